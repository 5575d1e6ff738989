// Faces from frame to frame of the camera: now and then the whole frame is searched, in between
// only what is near the faces, which takes a tenth of the time.

import { findEyes, search } from "./cascades.js";
import { cropTurned } from "./crop.js";
import { centreOf, photoView, upright } from "./faces.js";
import { released, toGray } from "./images.js";

// Whole frames are searched at this longer side, in steps of this factor, for faces of this size.
const SIDE = 320, STEP = 1.2, SMALLEST = 28;
const SECONDS_BETWEEN = 1;
// Near a face: a part of the frame with so much around it is scaled to this side, and a face of
// these sizes looked for in it, half of which it fills when it has not moved.
const NEAR_MARGIN = 0.5, NEAR_SIDE = 96, NEAR_SIZES = [32, 72], NEAR_STEP = 1.15;
// Fewer overlapping detections make a face where one was a moment ago.
const NEAR_NEIGHBORS = 1;
// A face that is not seen stays for this long: the cascade blinks.
const LINGER = 0.3;

export class Follower {
  #faces = [];
  #number = 0;
  #searched = -Infinity;

  forget() {
    this.#faces = [];
    this.#number = 0;
    this.#searched = -Infinity;
  }

  /** Faces of the next frame, as findFaces tells them, each with a number that it keeps. */
  find(photo, seconds, withEyes) {
    const isDue = !this.#faces.length || seconds - this.#searched >= SECONDS_BETWEEN;
    released(() => {
      if (isDue) this.#everywhere(photo, seconds);
      else this.#nearby(photo, seconds);
    });
    this.#faces = this.#faces.filter((face) => seconds - face.seen <= LINGER);
    return this.#faces.map((face) => {
      return { ...face, angle: 0, eyes: withEyes ? findEyes(photo, face.box, 0) : null };
    });
  }

  #everywhere(photo, seconds) {
    const scale = Math.min(1, SIDE / Math.max(photo.width, photo.height));
    const found = upright(photo, photoView(photo, { scale, smallest: SMALLEST }), STEP);
    const known = this.#faces;
    this.#faces = found.map(({ box, score }) => {
      const index = known.findIndex((face) => isSame(face.box, box));
      const number = index < 0 ? ++this.#number : known.splice(index, 1)[0].number;
      return { box, score, number, seen: seconds };
    });
    this.#faces.push(...known);
    this.#searched = seconds;
  }

  #nearby(photo, seconds) {
    for (const face of this.#faces) {
      const part = cropTurned(photo, face.box, [NEAR_SIDE, NEAR_SIDE], NEAR_MARGIN, 0);
      const found = search(toGray(part), ...NEAR_SIZES, NEAR_STEP, NEAR_NEIGHBORS);
      if (!found.length) continue;
      const best = found.reduce((one, other) => (other.score > one.score ? other : one));
      const unit = face.box[2] * (1 + 2 * NEAR_MARGIN) / NEAR_SIDE;
      const [x, y] = centreOf(face.box);
      const [left, top, width, height] = best.box.map((number) => number * unit);
      const half = NEAR_SIDE / 2 * unit;
      Object.assign(face, {
        box: [x - half + left, y - half + top, width, height], score: best.score, seen: seconds,
      });
    }
    this.#faces = this.#faces.filter((face, index) => {
      return !this.#faces.slice(0, index).some((other) => isSame(other.box, face.box));
    });
  }
}

/** Whether two boxes are of one face: the centre of one is in the middle of the other. */
function isSame(box, other) {
  const [x, y] = centreOf(box);
  const [otherX, otherY] = centreOf(other);
  const reach = Math.max(box[2], other[2]) / 2;
  return Math.abs(x - otherX) < reach && Math.abs(y - otherY) < reach;
}
