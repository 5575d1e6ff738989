// OpenCV's cascades: faces, their confirmation by a second cascade, and eyes, like faces/_haar.py.

import { cropRotated } from "./crop.js";
import { cv, kept, released, toGray } from "./images.js";

export const CASCADES = ["frontalface_alt2", "frontalface_alt", "eye"];

// The second cascade searches a face scaled to this side, with this margin, for faces of these
// sizes.
const SECOND_SIDE = 72, SECOND_MARGIN = 0.3, SECOND_SIZES = [28, 64];
// Eyes are looked for in a face of this side, between these rows, in halves that overlap.
const EYES_SIDE = 96, EYES_ROWS = [4, 68], EYES_HALF = 56;
// Sizes of an eye in such a face.
const EYE_SIZES = [20, 40];
// Eyes are farther apart than this fraction of the face's side, and more level than this angle.
const MIN_EYE_DISTANCE = 0.25, MAX_EYE_TILT = 25 * Math.PI / 180;

const loaded = new Map();

/** Load the file of a cascade into OpenCV. */
export function loadCascade(name, bytes) {
  const file = `${name}.xml`;
  cv.FS_createDataFile("/", file, bytes, true, false, false);
  const cascade = new cv.CascadeClassifier();
  const isRead = cascade.load(`/${file}`);
  cv.FS_unlink(`/${file}`);
  if (!isRead) throw new Error(`cascades/haarcascade_${file} is corrupt. Copy it again.`);
  loaded.set(name, cascade);
}

/**
 * The detections of the first cascade in a grey matrix.
 *
 * @returns {{box: number[], score: number}[]} the score is the sum of the last stage
 */
export function search(gray, minSize, maxSize, scaleFactor, minNeighbors) {
  const boxes = kept(new cv.RectVector());
  const levels = kept(new cv.IntVector());
  const weights = kept(new cv.DoubleVector());
  loaded.get("frontalface_alt2").detectMultiScale3(gray, boxes, levels, weights, scaleFactor,
    minNeighbors, 0, new cv.Size(minSize, minSize), new cv.Size(maxSize, maxSize), true);
  return listed(boxes).map((box, index) => ({ box, score: weights.get(index) }));
}

/** The number of positions and sizes at which a second cascade detects a face near a box. */
export function countDetections(photo, box, angle) {
  return released(() => {
    const part = cropRotated(photo, box, [SECOND_SIDE, SECOND_SIDE], SECOND_MARGIN, angle);
    const [low, high] = SECOND_SIZES;
    const found = kept(new cv.RectVector());
    loaded.get("frontalface_alt").detectMultiScale(toGray(part), found, 1.1, 0, 0,
      new cv.Size(low, low), new cv.Size(high, high));
    return found.size();
  });
}

/** x and y of both eyes of a face, the left one first, or null unless both are found. */
export function detectEyes(photo, box, angle) {
  return released(() => {
    const face = toGray(cropRotated(photo, box, [EYES_SIDE, EYES_SIDE], 0, angle));
    const eyes = [0, EYES_SIDE - EYES_HALF].map((left) => strongestEye(face, left));
    if (eyes.includes(null)) return null;
    const right = eyes[1][0] - eyes[0][0];
    const down = eyes[1][1] - eyes[0][1];
    // Otherwise, one of them is a brow, a nostril or a wrinkle.
    const isLevel = Math.abs(Math.atan2(down, right)) < MAX_EYE_TILT;
    const isPair = isLevel && right > MIN_EYE_DISTANCE * EYES_SIDE;
    return isPair ? eyes.map((eye) => inPhoto(eye, box, angle)) : null;
  });
}

function strongestEye(face, left) {
  const [top, bottom] = EYES_ROWS;
  const part = kept(face.roi(new cv.Rect(left, top, EYES_HALF, bottom - top)));
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
      best = { count, eye: [left + x + width / 2, top + y + height / 2] };
  });
  return best && best.eye;
}

/** Map a point of the upright square face back into the photo. */
function inPhoto([x, y], [left, top, width, height], angle) {
  const unit = Math.max(width, height) / EYES_SIDE;
  const across = (x - EYES_SIDE / 2) * unit;
  const down = (y - EYES_SIDE / 2) * unit;
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
