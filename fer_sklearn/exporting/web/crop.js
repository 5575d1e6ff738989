// Crops of a photo, framed as in FER2013: those of faces/_crop.py, to the pixel.

import { copyWindow, released, resize, round, toImageData } from "./images.js";

// Where the box of a frontal face lies in an image of FER2013: left, top, width, height.
const BOX_IN_CROP = [0.02, 0.01, 0.95, 0.95];
// A pixel of a crop is the mean of at most this many samples in each direction.
const MOST_SAMPLES = 16;

/**
 * Crop a face by its box.
 *
 * @param {ImageData} photo
 * @param {number[]} box - left, top, width, height
 * @param {number[]} size - height and width of the result
 * @returns {ImageData}
 */
export function cropFace(photo, box, size) {
  return warp(photo, placed(box, size), size);
}

/** Where a crop lies in the photo: its centre, the width of its pixels, its angle in degrees. */
function placed([left, top, width, height], [rows, columns]) {
  const [inLeft, inTop, inWidth, inHeight] = BOX_IN_CROP;
  const unit = Math.max(width / (inWidth * columns), height / (inHeight * rows));
  return {
    x: left + width / 2 + (0.5 - inLeft - inWidth / 2) * unit * columns,
    y: top + height / 2 + (0.5 - inTop - inHeight / 2) * unit * rows,
    unit,
    angle: 0,
  };
}

/** Read a crop in one step: the mean of samples, or an interpolation by cubics to enlarge. */
export function warp(photo, placement, [height, width]) {
  const n = Math.min(Math.max(1, Math.ceil(placement.unit - 1e-6)), MOST_SAMPLES);
  const rows = height * n;
  const columns = width * n;
  const samples = sample(photo, { ...placement, unit: placement.unit / n }, [rows, columns],
    placement.unit >= 1 ? linear : cubic);
  const crop = new ImageData(width, height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (let dy = 0; dy < n; dy++)
          for (let dx = 0; dx < n; dx++)
            sum += samples[((y * n + dy) * columns + x * n + dx) * 3 + channel];
        // OpenCV rounds halves of four up, and others to even.
        const mean = sum / (n * n);
        crop.data[(y * width + x) * 4 + channel] = n === 2 ? Math.floor(mean + 0.5) : round(mean);
      }
      crop.data[(y * width + x) * 4 + 3] = 255;
    }
  }
  return crop;
}

/** Interpolate a photo at the middles of the pixels of a crop; its border is continued. */
function sample(photo, { x, y, unit, angle }, [height, width], weigh) {
  const cosine = Math.cos(angle * Math.PI / 180) * unit;
  const sine = Math.sin(angle * Math.PI / 180) * unit;
  // The middle of pixel 0 is at 0.5 in the photo, and at 0 for OpenCV.
  const left = cosine * (0.5 - width / 2) - sine * (0.5 - height / 2) + x - 0.5;
  const top = sine * (0.5 - width / 2) + cosine * (0.5 - height / 2) + y - 0.5;
  const samples = new Uint8ClampedArray(height * width * 3);
  const taps = TAPS.get(weigh);
  for (let row = 0, at = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      // OpenCV's grid: 1/1024 of a pixel for each term, 1/32 for their sum.
      const across = grid(left - sine * row, cosine * column);
      const down = grid(top + cosine * row, sine * column);
      const first = [across >> 5, down >> 5].map((place) => place + 1 - taps[0].length / 2);
      const [columnWeights, rowWeights] = [taps[across & 31], taps[down & 31]];
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (let i = 0; i < rowWeights.length; i++) {
          const start = inside(first[1] + i, photo.height) * photo.width;
          for (let j = 0; j < columnWeights.length; j++) {
            const place = start + inside(first[0] + j, photo.width);
            sum += rowWeights[i] * columnWeights[j] * photo.data[place * 4 + channel];
          }
        }
        samples[at++] = Math.floor(sum + 0.5);
      }
    }
  }
  return samples;
}

function grid(start, step) {
  return (round(start * 1024) + round(step * 1024) + 16) >> 5;
}

function inside(place, end) {
  return Math.min(Math.max(place, 0), end - 1);
}

function linear(part) {
  return [1 - part, part];
}

/** Weights of four neighbours (Keys 1981), with OpenCV's parameter. */
function cubic(part) {
  const near = (d) => (1.25 * d - 2.25) * d * d + 1;
  const far = (d) => ((-0.75 * d + 3.75) * d - 6) * d + 3;
  return [far(part + 1), near(part), near(1 - part), far(2 - part)];
}

// The weights at each of 32 places between two pixels.
const TAPS = new Map([linear, cubic].map((weigh) => {
  return [weigh, Array.from({ length: 32 }, (_, place) => weigh(place / 32))];
}));

/** Scale the whole photo to `size`, as FaceCropper does if there is no face. */
export function wholeImage(photo, size) {
  return released(() => {
    const whole = copyWindow(photo, 0, 0, photo.height, photo.width);
    return toImageData(resize(whole, ...size));
  });
}

/** The square around a box, with a margin, from the photo rotated back by `angle` degrees. */
export function square(photo, [left, top, width, height], side, margin, angle) {
  const unit = Math.max(width, height) * (1 + 2 * margin) / side;
  const centre = { x: left + width / 2, y: top + height / 2 };
  return warp(photo, { ...centre, unit, angle }, [side, side]);
}
