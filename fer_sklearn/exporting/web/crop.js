// Crops of a photo, framed as in FER2013, and their quality: those of faces/_crop.py, to the pixel.

import { resize, round, sample, toGray } from "./images.js";

// Where the eyes and the mouth are in an image of FER2013, in fractions of its side.
const IN_CROP = [[15.1 / 48, 18.9 / 48], [32.9 / 48, 18.7 / 48], [24.3 / 48, 37.2 / 48]];
// Where BlazeFace's box lies in such an image: left, top, width, height.
const BOX_IN_CROP = [0.074, 0.147, 0.852, 0.852];
// Key points are ignored if they imply a face this many times as large as its box does.
const MISPLACED = 1.8;
// A pixel of a crop is the mean of at most this many samples in each direction.
const MOST_SAMPLES = 16;
// A face of the best quality has at least this side in pixels, and this contrast.
const FULL_SIDE = 48, FULL_CONTRAST = 9;
// The order of the key points that BlazeFace finds.
const RIGHT_EYE = 0, LEFT_EYE = 1, NOSE = 2, MOUTH = 3;

/**
 * Crop a face.
 *
 * @param {ImageData} photo
 * @param {{box: number[], keypoints: number[][], score: number}} face
 * @param {number[]} size - height and width of the crop
 * @param {string} framing - "keypoints" or "box"
 * @returns {{image: ImageData, quality: number}}
 */
export function cropFace(photo, face, size, framing) {
  const placement = place(face.box, framing === "box" ? null : face.keypoints, size);
  const image = warp(photo, placement, size);
  return { image, quality: quality(photo, face, placement, image, framing) };
}

/** The position of a crop in the photo: its centre, the width of its pixels, its angle in degrees. */
export function place([left, top, width, height], keypoints, [rows, columns]) {
  const [inLeft, inTop, inWidth, inHeight] = BOX_IN_CROP;
  const unit = Math.max(width / (inWidth * columns), height / (inHeight * rows));
  if (keypoints) {
    const placed = placeByKeypoints(keypoints, Math.min(rows, columns));
    const growth = placed.unit / unit;
    if (growth > 1 / MISPLACED && growth < MISPLACED) return placed;
  }
  return {
    x: left + width / 2 + (0.5 - inLeft - inWidth / 2) * unit * columns,
    y: top + height / 2 + (0.5 - inTop - inHeight / 2) * unit * rows,
    unit,
    angle: 0,
  };
}

/** Least squares over all ways to move, turn and scale the eyes and the mouth into place. */
function placeByKeypoints(keypoints, side) {
  const found = [RIGHT_EYE, LEFT_EYE, MOUTH].map((index) => keypoints[index]);
  const wanted = IN_CROP.map((point) => point.map((share) => (share - 0.5) * side));
  const [foundX, foundY] = mean(found);
  const [wantedX, wantedY] = mean(wanted);
  // A complex factor turns and scales.
  let [real, imaginary, total] = [0, 0, 0];
  for (const [index, [x, y]] of found.entries()) {
    const [toX, toY] = [wanted[index][0] - wantedX, wanted[index][1] - wantedY];
    real += toX * (x - foundX) + toY * (y - foundY);
    imaginary += toX * (y - foundY) - toY * (x - foundX);
    total += toX * toX + toY * toY;
  }
  real /= total;
  imaginary /= total;
  return {
    x: foundX - (real * wantedX - imaginary * wantedY),
    y: foundY - (real * wantedY + imaginary * wantedX),
    unit: Math.hypot(real, imaginary),
    angle: Math.atan2(imaginary, real) * 180 / Math.PI,
  };
}

function mean(points) {
  return [0, 1].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length);
}

/** Read a crop in one step: the mean of samples, or an interpolation by cubics to enlarge. */
export function warp(photo, placement, [height, width]) {
  const n = Math.min(Math.max(1, Math.ceil(placement.unit - 1e-6)), MOST_SAMPLES);
  const columns = width * n;
  const finer = { ...placement, unit: placement.unit / n };
  const samples = sample(photo, finer, [height * n, columns], { isCubic: placement.unit < 1 });
  const crop = new ImageData(width, height);
  const share = Math.fround(1 / (n * n));
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at += 4) {
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (let dy = 0; dy < n; dy++) {
          let place = 3 * ((y * n + dy) * columns + x * n) + channel;
          for (let dx = 0; dx < n; dx++, place += 3) sum += samples[place];
        }
        // OpenCV rounds halves of four up, and others to even, in 32 bits.
        crop.data[at + channel] = n === 2 ? (sum + 2) >> 2 : round(Math.fround(sum * share));
      }
      crop.data[at + 3] = 255;
    }
  }
  return crop;
}

/** How well a face can be seen, from 0 to 1: size × sharpness × inside × frontal × score. */
function quality(photo, { score, keypoints }, placement, image, framing) {
  const parts = [
    placement.unit * Math.min(image.width, image.height) / FULL_SIDE,
    contrast(image) / FULL_CONTRAST,
    shareInside(photo, placement, image),
    frontal(keypoints),
    score,
  ];
  return parts.reduce((product, part) => product * Math.min(Math.max(part, 0), 1), 1);
}

/** The root mean square difference of neighbouring pixels, at 48 pixels, without the corners. */
function contrast(image) {
  const isScaled = image.width !== FULL_SIDE || image.height !== FULL_SIDE;
  const gray = toGray(isScaled ? resize(image, [FULL_SIDE, FULL_SIDE]) : image);
  const [low, high] = [8, 40];
  let sum = 0;
  for (let y = low; y < high; y++) {
    for (let x = low; x < high; x++) {
      const at = y * FULL_SIDE + x;
      if (y + 1 < high) sum += (gray[at + FULL_SIDE] - gray[at]) ** 2;
      if (x + 1 < high) sum += (gray[at + 1] - gray[at]) ** 2;
    }
  }
  return Math.sqrt(sum / ((high - low) * (high - low - 1)));
}

/** The fraction of a crop that is inside the photo. */
function shareInside(photo, { x, y, unit, angle }, { width, height }) {
  const cosine = unit * Math.cos(angle * Math.PI / 180);
  const sine = unit * Math.sin(angle * Math.PI / 180);
  let n = 0;
  for (let row = 0; row < 8; row++) {
    for (let column = 0; column < 8; column++) {
      const across = ((column + 0.5) / 8 - 0.5) * width;
      const down = ((row + 0.5) / 8 - 0.5) * height;
      const atX = x + cosine * across - sine * down;
      const atY = y + sine * across + cosine * down;
      if (atX >= 0 && atX <= photo.width && atY >= 0 && atY <= photo.height) n++;
    }
  }
  return n / 64;
}

/** How frontal a face is, from 1 to 0 for a profile. */
function frontal(keypoints) {
  const [[rightX, rightY], [leftX, leftY]] = [keypoints[RIGHT_EYE], keypoints[LEFT_EYE]];
  const [x, y] = [leftX - rightX, leftY - rightY];
  const [noseX, noseY] = keypoints[NOSE];
  const along = ((noseX - rightX) * x + (noseY - rightY) * y) / (x * x + y * y);
  return Number.isFinite(along) ? 2 * Math.min(along, 1 - along) : 1;
}
