// Cut a face out of a photo, upright or with its eyes made level: faces/_crop.py, to the pixel.

import { cutWindow, released, resize, round, toImageData, turn } from "./images.js";

/**
 * Cut a box out of a photo, in the proportions of `size`.
 *
 * @param {ImageData} photo
 * @param {number[]} box - left, top, width, height; its shorter side is lengthened
 * @param {number[]} size - height and width of the result
 * @param {number} margin - share of the box added on each side
 * @param {number[][] | null} eyes - x and y of both, which are made level
 * @returns {ImageData}
 */
export function cropFace(photo, box, size, margin = 0, eyes = null) {
  return released(() => toImageData(cropTurned(photo, box, size, margin, tilt(eyes))));
}

/** Scale the whole photo to `size`, as FaceCropper does where there is no face. */
export function wholePicture(photo, size) {
  return released(() => {
    const whole = cutWindow(photo, 0, 0, photo.height, photo.width);
    return toImageData(resize(whole, ...size));
  });
}

/** Cut as `cropFace` does, the photo being turned back by `angle` degrees; returns a matrix. */
export function cropTurned(photo, box, size, margin, angle) {
  const [left, top, boxWidth, boxHeight] = box;
  const x = left + boxWidth / 2;
  const y = top + boxHeight / 2;
  const unit = Math.max(boxHeight / size[0], boxWidth / size[1]) * (1 + 2 * margin);
  const height = Math.max(1, round(unit * size[0]));
  const width = Math.max(1, round(unit * size[1]));
  const part = angle === 0
    ? cutWindow(photo, round(y - height / 2), round(x - width / 2), height, width)
    : cutTurned(photo, x, y, angle, height, width);
  return resize(part, ...size);
}

function cutTurned(photo, x, y, angle, height, width) {
  // What a window of this side holds suffices whichever way it is turned.
  const side = Math.ceil(Math.hypot(height, width)) + 4;
  const top = round(y - side / 2);
  const left = round(x - side / 2);
  const part = cutWindow(photo, top, left, side, side);
  // The turned face comes to lie in the corner of the result, which has just its size.
  const shift = [width / 2 - (x - left), height / 2 - (y - top)];
  return turn(part, [x - left - 0.5, y - top - 0.5], angle, height, width, shift).turned;
}

/** By how many degrees a face is turned clockwise in the photo. */
function tilt(eyes) {
  if (eyes === null) return 0;
  const [[x1, y1], [x2, y2]] = eyes;
  return Math.atan2(y2 - y1, x2 - x1) * 180 / Math.PI;
}
