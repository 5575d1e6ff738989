// Faces in the camera's frames, like video/_tracking.py: in every frame, known faces are detected
// again near where they were, and from time to time all of it is searched for others.

// Seconds between complete searches, with known faces and without any.
const SEARCH_INTERVAL = 1, SEARCH_INTERVAL_ALONE = 0.2;
// Side, in pixels of a frame, of the smallest faces to search for: who looks into a camera is near.
const MIN_FACE_SIZE = 48;
// A face that is not detected stays for this many seconds, since detectors miss single frames.
const MAX_LOST_SECONDS = 0.3;

export class FaceTracker {
  #faces = [];
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
    const refound = this.detector.refind(photo, this.#faces);
    const isLost = refound.includes(null);
    this.#faces = this.#faces.map((face, index) => {
      return refound[index] ? { ...face, ...refound[index], seen: seconds } : face;
    });
    this.#faces = this.#faces.filter((face, index) => {
      return !this.#faces.slice(0, index).some((other) => isSame(other, face));
    });
    const interval = this.#faces.length ? SEARCH_INTERVAL : SEARCH_INTERVAL_ALONE;
    if (isLost || seconds - this.#lastSearch >= interval) this.#search(photo, seconds);
    this.#faces = this.#faces.filter((face) => seconds - face.seen <= MAX_LOST_SECONDS);
    return this.#faces.map((face) => ({ ...face }));
  }

  /** Search all of a frame: for other faces, and for those that were lost. */
  #search(photo, seconds) {
    for (const face of this.detector.detect(photo, MIN_FACE_SIZE)) {
      const known = this.#faces.find((other) => isSame(other, face));
      if (!known) this.#faces.push({ ...face, number: this.#nNumbers++, seen: seconds });
      else if (known.seen < seconds) Object.assign(known, face, { seen: seconds });
    }
    this.#lastSearch = seconds;
  }
}

/** Whether two faces are one: the centre of one box is in the other. */
function isSame({ box }, { box: other }) {
  return [0, 1].every((axis) => {
    const distance = box[axis] + box[axis + 2] / 2 - other[axis] - other[axis + 2] / 2;
    return Math.abs(distance) < Math.max(box[axis + 2], other[axis + 2]) / 2;
  });
}
