// Image processing, identical to what fer_sklearn does with OpenCV, to the pixel.
//
// A photo is an ImageData, or an object like it: RGBA, opaque.

/** Round halves to even, as Python and OpenCV do. */
export function round(number) {
  const below = Math.floor(number);
  const rest = number - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 !== 0) ? below + 1 : below;
}

/** Grey levels, with the luma weights of ITU-R BT.601. */
export function toGray({ data, width, height }) {
  const gray = new Uint8Array(width * height);
  for (let i = 0; i < gray.length; i++) {
    const at = 4 * i;
    gray[i] = (9798 * data[at] + 19235 * data[at + 1] + 3735 * data[at + 2] + 16384) >> 15;
  }
  return gray;
}

/**
 * Half the width and height of a photo, but at least a pixel: means of four pixels, or of two if a
 * side has only one. An odd last row or column is left out.
 */
export function halved(photo) {
  const [across, down] = [photo.width, photo.height].map((side) => (side > 1 ? 2 : 1));
  const width = Math.floor(photo.width / across);
  const height = Math.floor(photo.height / down);
  const data = new Uint8ClampedArray(4 * width * height);
  const right = 4 * (across - 1);
  const below = 4 * (down - 1) * photo.width;
  const isSquare = across === 2 && down === 2;
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let from = 4 * (down * y * photo.width + across * x);
      for (let channel = 0; channel < 4; channel++, from++) {
        const sum = photo.data[from] + photo.data[from + right]
          + photo.data[from + below] + photo.data[from + below + right];
        // OpenCV rounds halves up for four pixels, and to even for two.
        data[to++] = isSquare ? (sum + 2) >> 2 : round(sum / 4);
      }
    }
  }
  return { data, width, height };
}

/**
 * Interpolate a photo at the middles of the pixels of a crop.
 *
 * @param {ImageData} photo
 * @param {object} placement - centre x and y, width of a pixel of the crop as `unit`, `angle` in
 *   degrees
 * @param {number[]} size - height and width of the crop
 * @param {object} how - isCubic: by cubics rather than linearly; isBlack: black beyond the photo,
 *   whose border is continued otherwise
 * @returns {Uint8ClampedArray} RGB
 */
export function sample(photo, { x, y, unit, angle }, [height, width], { isCubic, isBlack }) {
  const cosine = Math.cos(angle * Math.PI / 180) * unit;
  const sine = Math.sin(angle * Math.PI / 180) * unit;
  // The middle of pixel 0 is at 0.5 in the photo, and at 0 for OpenCV.
  const left = cosine * (0.5 - width / 2) - sine * (0.5 - height / 2) + x - 0.5;
  const top = sine * (0.5 - width / 2) + cosine * (0.5 - height / 2) + y - 0.5;
  const samples = new Uint8ClampedArray(3 * height * width);
  const mix = isCubic ? mixCubic : mixLinear;
  // OpenCV's grid: 1/1024 of a pixel for each term, 1/32 for their sum.
  const across = Int32Array.from({ length: width }, (_, column) => round(cosine * column * 1024));
  const down = Int32Array.from({ length: width }, (_, column) => round(sine * column * 1024));
  for (let row = 0, at = 0; row < height; row++) {
    const startAcross = round((left - sine * row) * 1024) + 16;
    const startDown = round((top + cosine * row) * 1024) + 16;
    for (let column = 0; column < width; column++, at += 3) {
      const placeAcross = (startAcross + across[column]) >> 5;
      const placeDown = (startDown + down[column]) >> 5;
      mix(photo, placeAcross, placeDown, isBlack, samples, at);
    }
  }
  return samples;
}

/** Interpolate between four pixels; places are in 1/32 of a pixel. */
function mixLinear({ data, width, height }, across, down, isBlack, samples, at) {
  const [x, y, right, lower] = [across >> 5, down >> 5, across & 31, down & 31];
  if (x >= 0 && y >= 0 && x < width - 1 && y < height - 1) {
    const above = 4 * (y * width + x);
    const below = above + 4 * width;
    for (let i = 0; i < 3; i++) {
      const first = (32 - right) * data[above + i] + right * data[above + 4 + i];
      const second = (32 - right) * data[below + i] + right * data[below + 4 + i];
      samples[at + i] = ((32 - lower) * first + lower * second + 512) >> 10;
    }
    return;
  }
  for (let i = 0; i < 3; i++) {
    let sum = 512;
    for (const [dy, weight] of [[0, 32 - lower], [1, lower]]) {
      for (const [dx, part] of [[0, 32 - right], [1, right]]) {
        if (isBlack && (x + dx < 0 || y + dy < 0 || x + dx >= width || y + dy >= height)) continue;
        const place = inside(y + dy, height) * width + inside(x + dx, width);
        sum += weight * part * data[4 * place + i];
      }
    }
    samples[at + i] = sum >> 10;
  }
}

/** Interpolate between sixteen pixels; beyond the photo, its border is continued. */
function mixCubic({ data, width, height }, across, down, isBlack, samples, at) {
  const [x, y] = [(across >> 5) - 1, (down >> 5) - 1];
  const [columns, rows] = [TAPS[across & 31], TAPS[down & 31]];
  for (let i = 0; i < 3; i++) {
    let sum = 0;
    for (let dy = 0; dy < 4; dy++) {
      const start = inside(y + dy, height) * width;
      for (let dx = 0; dx < 4; dx++)
        sum += rows[dy] * columns[dx] * data[4 * (start + inside(x + dx, width)) + i];
    }
    samples[at + i] = Math.floor(sum + 0.5);
  }
}

function inside(place, end) {
  return place < 0 ? 0 : place >= end ? end - 1 : place;
}

// The weights of four neighbours at each of 32 places between two pixels.
const TAPS = Array.from({ length: 32 }, (_, place) => {
  return [1, 0, -1, -2].map((tap) => cubic(Math.abs(place / 32 + tap)));
});

/** The weight of a pixel at a distance (Keys 1981), with OpenCV's parameter. */
function cubic(d) {
  return d <= 1 ? (1.25 * d - 2.25) * d * d + 1 : ((-0.75 * d + 3.75) * d - 6) * d + 3;
}

/** Scale a photo: areas are averaged along sides that shrink, others interpolated by cubics. */
export function resize(photo, [height, width]) {
  const columns = weights(photo.width, width);
  const rows = weights(photo.height, height);
  const across = new Float64Array(photo.height * width * 4);
  for (let y = 0, at = 0; y < photo.height; y++) {
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < 4; channel++, at++) {
        for (const [place, weight] of columns[x])
          across[at] += weight * photo.data[4 * (y * photo.width + place) + channel];
      }
    }
  }
  const scaled = new ImageData(width, height);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < 4 * width; x++, at++) {
      let sum = 0;
      for (const [place, weight] of rows[y]) sum += weight * across[place * 4 * width + x];
      scaled.data[at] = round(sum);
    }
  }
  return scaled;
}

/** For each pixel of the result, source pixels and their weights. */
function weights(n, target) {
  return n > target ? areas(n, target) : cubics(n, target);
}

/** Weights of the source pixels that a pixel of the result covers. */
function areas(n, target) {
  const scale = n / target;
  return Array.from({ length: target }, (_, index) => {
    const [start, end] = [index * scale, Math.min((index + 1) * scale, n)];
    const first = Math.floor(start);
    return Array.from({ length: Math.ceil(end) - first }, (_, offset) => {
      const place = first + offset;
      return [place, (Math.min(end, place + 1) - Math.max(start, place)) / scale];
    });
  });
}

/** Four source pixels and their weights. */
function cubics(n, target) {
  return Array.from({ length: target }, (_, index) => {
    const centre = (index + 0.5) * n / target - 0.5;
    const first = Math.floor(centre) - 1;
    return [0, 1, 2, 3].map((tap) => {
      return [inside(first + tap, n), cubic(Math.abs(centre - first - tap))];
    });
  });
}

/** The mean of the n×n values around each, in an image whose border is reflected. */
export function blur(values, width, height, n) {
  return means(means(values, width, height, n, 1, width), height, width, n, width, 1);
}

/** Means of n values along one side; `step` leads to the next one, `other` to the next line. */
function means(values, length, n_lines, n, step, other) {
  const result = new Float64Array(values.length);
  const before = n >> 1;
  const reflected = Int32Array.from({ length: length + n }, (_, i) => {
    return step * reflect(i - before, length);
  });
  for (let line = 0; line < n_lines; line++) {
    const start = line * other;
    let sum = 0;
    for (let i = 0; i < n; i++) sum += values[start + reflected[i]];
    for (let i = 0; i < length; i++) {
      result[start + i * step] = sum / n;
      sum += values[start + reflected[i + n]] - values[start + reflected[i]];
    }
  }
  return result;
}

function reflect(place, length) {
  if (length === 1) return 0;
  const period = 2 * (length - 1);
  const rest = ((place % period) + period) % period;
  return Math.min(rest, period - rest);
}
