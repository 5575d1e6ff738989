// Face tracking for the camera: whole frames are searched at intervals, in between only the
// surroundings of known faces, which takes a tenth of the time.

import { grayOf, search } from "./cascades.js";
import { square } from "./crop.js";
import { centreOf, photoView, upright } from "./faces.js";
import { released } from "./images.js";

// Whole frames are searched at this longer side, in steps of this factor, for faces of at least
// this size.
const SIDE = 320, STEP = 1.2, MIN_FACE = 28;
const SEARCH_INTERVAL = 1; // seconds
// Near a face: the face with this margin is scaled to this side, and searched for faces of these
// sizes. A face that has not moved fills half of it.
const NEAR_MARGIN = 0.5, NEAR_SIDE = 96, NEAR_SIZES = [32, 72], NEAR_STEP = 1.15;
// Fewer overlapping detections are required where a face was a moment ago.
const NEAR_NEIGHBORS = 1;
// A face that is not detected stays for this many seconds, since the cascade misses single frames.
const MAX_LOST_SECONDS = 0.3;

export class FaceTracker {
  #faces = [];
  #nNumbers = 0;
  #lastSearch = -Infinity;

  forget() {
    this.#faces = [];
    this.#nNumbers = 0;
    this.#lastSearch = -Infinity;
  }

  /** The faces in the next frame, like those of detectFaces, each with a number that it keeps. */
  detect(photo, seconds) {
    const isDue = !this.#faces.length || seconds - this.#lastSearch >= SEARCH_INTERVAL;
    released(() => {
      if (isDue) this.#everywhere(photo, seconds);
      else this.#nearby(photo, seconds);
    });
    this.#faces = this.#faces.filter((face) => seconds - face.seen <= MAX_LOST_SECONDS);
    return this.#faces.map((face) => ({ ...face, angle: 0 }));
  }

  #everywhere(photo, seconds) {
    const scale = Math.min(1, SIDE / Math.max(photo.width, photo.height));
    const found = upright(photo, photoView(photo, { scale, minFace: MIN_FACE }), STEP);
    const known = this.#faces;
    this.#faces = found.map(({ box, score }) => {
      const index = known.findIndex((face) => isSame(face.box, box));
      const number = index < 0 ? this.#nNumbers++ : known.splice(index, 1)[0].number;
      return { box, score, number, seen: seconds };
    });
    this.#faces.push(...known);
    this.#lastSearch = seconds;
  }

  #nearby(photo, seconds) {
    for (const face of this.#faces) {
      const part = grayOf(square(photo, face.box, NEAR_SIDE, NEAR_MARGIN, 0));
      const found = search(part, ...NEAR_SIZES, NEAR_STEP, NEAR_NEIGHBORS);
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

/** Whether two boxes show one face: the centre of one lies in the middle of the other. */
function isSame(box, other) {
  const [x, y] = centreOf(box);
  const [otherX, otherY] = centreOf(other);
  const reach = Math.max(box[2], other[2]) / 2;
  return Math.abs(x - otherX) < reach && Math.abs(y - otherY) < reach;
}
