// Faces in the camera's frames: in every frame, known faces are detected again near where they were.
// Every few frames, one view is searched for others, so that no frame takes much longer than the
// next.
const LOOK_EVERY = 3;
// All of a frame is searched at once if it shows no known face, or one was lost, but only after
// this many seconds.
const SEARCH_INTERVAL = 0.2;
// Side, in pixels of a frame, of the smallest faces to search for: people are close to their camera.
const MIN_FACE_SIZE = 48;
// A face that is not detected stays for this many seconds, since detectors miss single frames.
const MAX_LOST_SECONDS = 0.3;

export class FaceTracker {
  #faces = [];
  #nFrames = 0;
  #nNumbers = 0;
  #lastSearch = -Infinity;

  /** @param {FaceDetector} detector */
  constructor(detector) {
    this.detector = detector;
  }

  forget() {
    this.#faces = [];
    this.#nNumbers = 0;
    this.#lastSearch = -Infinity;
  }

  /** The faces in the next frame, like those of `detect`, each with a number that it keeps. */
  detect(photo, seconds) {
    if (this.#faces.length) this.#follow(photo, seconds);
    const isComplete = this.#faces.length && this.#faces.every((face) => face.seen === seconds);
    if (!isComplete && seconds - this.#lastSearch >= SEARCH_INTERVAL) {
      this.#add(this.detector.detect(photo, MIN_FACE_SIZE), seconds);
      this.#lastSearch = seconds;
    }
    this.#faces = this.#faces.filter((face) => seconds - face.seen <= MAX_LOST_SECONDS);
    return this.#faces.map((face) => ({ ...face }));
  }

  #follow(photo, seconds) {
    const n = this.#nFrames++;
    const turn = n % LOOK_EVERY === 0 ? n / LOOK_EVERY : null;
    const { known, others } = this.detector.follow(photo, this.#faces, turn, MIN_FACE_SIZE);
    this.#faces.forEach((face, index) => {
      if (known[index]) Object.assign(face, known[index], { seen: seconds });
    });
    // If two faces merge, the older one remains.
    this.#faces = this.#faces.filter((face, index) => {
      return !this.#faces.slice(0, index).some((other) => isSame(other, face));
    });
    this.#add(others, seconds);
  }

  /** Add faces; those that are known and were lost are found again. */
  #add(faces, seconds) {
    for (const face of faces) {
      const known = this.#faces.find((other) => isSame(other, face));
      if (!known) this.#faces.push({ ...face, number: this.#nNumbers++, seen: seconds });
      else if (known.seen < seconds) Object.assign(known, face, { seen: seconds });
    }
  }
}

/** Whether two faces are one: the centre of one box is in the other. */
function isSame({ box }, { box: other }) {
  return [0, 1].every((axis) => {
    const distance = box[axis] + box[axis + 2] / 2 - other[axis] - other[axis + 2] / 2;
    return Math.abs(distance) < Math.max(box[axis + 2], other[axis + 2]) / 2;
  });
}
