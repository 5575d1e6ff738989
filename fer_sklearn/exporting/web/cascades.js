// OpenCV's cascades: faces, and their confirmation by a second cascade, like faces/_opencv.py.

import { square } from "./crop.js";
import { copyWindow, cv, kept, released, toGray } from "./images.js";

export const CASCADES = ["frontalface_alt2", "frontalface_alt"];

// The second cascade searches a face scaled to this side, with this margin, for faces of these
// sizes.
const SECOND_SIDE = 72, SECOND_MARGIN = 0.3, SECOND_SIZES = [28, 64];

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
    const part = grayOf(square(photo, box, SECOND_SIDE, SECOND_MARGIN, angle));
    const [low, high] = SECOND_SIZES;
    const found = kept(new cv.RectVector());
    loaded.get("frontalface_alt").detectMultiScale(part, found, 1.1, 0, 0,
      new cv.Size(low, low), new cv.Size(high, high));
    return found.size();
  });
}

/** A grey matrix of an ImageData. */
export function grayOf(image) {
  return toGray(copyWindow(image, 0, 0, image.height, image.width));
}

function listed(rectangles) {
  return Array.from({ length: rectangles.size() }, (_, index) => {
    const { x, y, width, height } = rectangles.get(index);
    return [x, y, width, height];
  });
}
