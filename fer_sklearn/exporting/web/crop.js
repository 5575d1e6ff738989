// Crop a face from a photo, optionally rotated so that its eyes are level. Identical to
// faces/_crop.py, to the pixel.

import { copyWindow, released, resize, rotate, round, toImageData } from "./images.js";

/**
 * Crop a box from a photo, in the proportions of `size`.
 *
 * @param {ImageData} photo
 * @param {number[]} box - left, top, width, height; the shorter side is extended
 * @param {number[]} size - height and width of the result
 * @param {number} margin - fraction of the box added on each side
 * @param {number[][] | null} eyes - x and y of both eyes, which become level
 * @returns {ImageData}
 */
export function cropFace(photo, box, size, margin = 0, eyes = null) {
  return released(() => toImageData(cropRotated(photo, box, size, margin, tilt(eyes))));
}

/** Scale the whole photo to `size`, as FaceCropper does if there is no face. */
export function wholeImage(photo, size) {
  return released(() => {
    const whole = copyWindow(photo, 0, 0, photo.height, photo.width);
    return toImageData(resize(whole, ...size));
  });
}

/** Crop like `cropFace`, with the photo rotated by `angle` degrees; returns a matrix. */
export function cropRotated(photo, box, size, margin, angle) {
  const [left, top, boxWidth, boxHeight] = box;
  const x = left + boxWidth / 2;
  const y = top + boxHeight / 2;
  const unit = Math.max(boxHeight / size[0], boxWidth / size[1]) * (1 + 2 * margin);
  const height = Math.max(1, round(unit * size[0]));
  const width = Math.max(1, round(unit * size[1]));
  const part = angle === 0
    ? copyWindow(photo, round(y - height / 2), round(x - width / 2), height, width)
    : copyRotated(photo, x, y, angle, height, width);
  return resize(part, ...size);
}

function copyRotated(photo, x, y, angle, height, width) {
  // A window of this side is large enough for any rotation.
  const side = Math.ceil(Math.hypot(height, width)) + 4;
  const top = round(y - side / 2);
  const left = round(x - side / 2);
  const part = copyWindow(photo, top, left, side, side);
  // Shifts the rotated face to the corner of the result, which has exactly its size.
  const shift = [width / 2 - (x - left), height / 2 - (y - top)];
  return rotate(part, [x - left - 0.5, y - top - 0.5], angle, height, width, shift).rotated;
}

/** How far a face is rotated clockwise in the photo, in degrees. */
function tilt(eyes) {
  if (eyes === null) return 0;
  const [[x1, y1], [x2, y2]] = eyes;
  return Math.atan2(y2 - y1, x2 - x1) * 180 / Math.PI;
}
