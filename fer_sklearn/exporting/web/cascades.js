// OpenCV's cascades: a second opinion on a face, and its eyes, as faces/_cascades.py has them.

import { cropTurned } from "./crop.js";
import { cv, kept, released, toGray } from "./images.js";

export const CASCADES = ["frontalface_alt2", "frontalface_alt", "eye"];

// A second opinion is asked on a face of half this side, with what is around it, and on faces
// of these sizes.
const OPINION_SIDE = 72, OPINION_MARGIN = 0.3, OPINION_SIZES = [28, 64];
// Eyes are looked for in a face of this side, between these rows, in halves that overlap.
const SIDE = 96, ROWS = [4, 68], HALF = 56;
// An eye is this large in such a face.
const EYE_SIZES = [20, 40];
// Farther apart than this share of the face's side, and more level than this angle.
const LEAST_DISTANCE = 0.25, LARGEST_TILT = 25 * Math.PI / 180;

const loaded = new Map();

/** Give OpenCV the file of a cascade. */
export function loadCascade(name, bytes) {
  const file = `${name}.xml`;
  cv.FS_createDataFile("/", file, bytes, true, false, false);
  const cascade = new cv.CascadeClassifier();
  const isRead = cascade.load(`/${file}`);
  cv.FS_unlink(`/${file}`);
  if (!isRead) throw new Error(`cascades/haarcascade_${file} is damaged. Copy it again.`);
  loaded.set(name, cascade);
}

/**
 * What the first cascade takes for faces in a grey matrix.
 *
 * @returns {{box: number[], score: number}[]} the score is the sum of the last stage
 */
export function search(gray, smallest, largest, scaleFactor, minNeighbors) {
  const boxes = kept(new cv.RectVector());
  const levels = kept(new cv.IntVector());
  const weights = kept(new cv.DoubleVector());
  loaded.get("frontalface_alt2").detectMultiScale3(gray, boxes, levels, weights, scaleFactor,
    minNeighbors, 0, new cv.Size(smallest, smallest), new cv.Size(largest, largest), true);
  return listed(boxes).map((box, index) => ({ box, score: weights.get(index) }));
}

/** In how many positions and sizes a second cascade sees a face about a box. */
export function agreement(photo, box, angle) {
  return released(() => {
    const part = cropTurned(photo, box, [OPINION_SIDE, OPINION_SIDE], OPINION_MARGIN, angle);
    const [low, high] = OPINION_SIZES;
    const seen = kept(new cv.RectVector());
    loaded.get("frontalface_alt").detectMultiScale(toGray(part), seen, 1.1, 0, 0,
      new cv.Size(low, low), new cv.Size(high, high));
    return seen.size();
  });
}

/** x and y of both eyes of a face, the one further left first, or null unless both are seen. */
export function findEyes(photo, box, angle) {
  return released(() => {
    const face = toGray(cropTurned(photo, box, [SIDE, SIDE], 0, angle));
    const eyes = [0, SIDE - HALF].map((left) => strongestEye(face, left));
    if (eyes.includes(null)) return null;
    const right = eyes[1][0] - eyes[0][0];
    const down = eyes[1][1] - eyes[0][1];
    // Otherwise one of them is a brow, a nostril or a wrinkle.
    const isLevel = Math.abs(Math.atan2(down, right)) < LARGEST_TILT;
    const isPair = isLevel && right > LEAST_DISTANCE * SIDE;
    return isPair ? eyes.map((eye) => inPhoto(eye, box, angle)) : null;
  });
}

function strongestEye(face, left) {
  const part = kept(face.roi(new cv.Rect(left, ROWS[0], HALF, ROWS[1] - ROWS[0])));
  const half = kept(part.clone());
  const [low, high] = EYE_SIZES;
  const boxes = kept(new cv.RectVector());
  const counts = kept(new cv.IntVector());
  loaded.get("eye").detectMultiScale2(half, boxes, counts, 1.1, 1, 0, new cv.Size(low, low),
    new cv.Size(high, high));
  let best = null;
  listed(boxes).forEach(([x, y, width, height], index) => {
    const count = counts.get(index);
    if (best === null || count > best.count)
      best = { count, eye: [left + x + width / 2, ROWS[0] + y + height / 2] };
  });
  return best && best.eye;
}

/** Map a point of the upright square face back into the photo. */
function inPhoto([x, y], [left, top, width, height], angle) {
  const unit = Math.max(width, height) / SIDE;
  const across = (x - SIDE / 2) * unit;
  const down = (y - SIDE / 2) * unit;
  const cosine = Math.cos(angle * Math.PI / 180);
  const sine = Math.sin(angle * Math.PI / 180);
  return [
    left + width / 2 + cosine * across - sine * down,
    top + height / 2 + sine * across + cosine * down,
  ];
}

function listed(rectangles) {
  return Array.from({ length: rectangles.size() }, (_, index) => {
    const { x, y, width, height } = rectangles.get(index);
    return [x, y, width, height];
  });
}
