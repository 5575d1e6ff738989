// Image processing with OpenCV, identical to fer_sklearn's images.py, to the pixel.
//
// A photo is an ImageData: RGBA, opaque. Only the part that is needed becomes an OpenCV matrix,
// so that 50 megapixels do not have to fit into WebAssembly's memory.

/** OpenCV.js, once `useOpenCV` has been called. */
export let cv = null;

export function useOpenCV(module) {
  cv = module;
}

const workspaces = [];

/** Run a function, and free the matrices that it kept. It must not return matrices. */
export function released(work) {
  workspaces.push([]);
  try {
    return work();
  } finally {
    for (const object of workspaces.pop()) object.delete();
  }
}

/** Free an OpenCV object when the enclosing `released` ends. */
export function kept(object) {
  workspaces.at(-1).push(object);
  return object;
}

/** Round halves to even, as Python does. */
export function round(number) {
  const below = Math.floor(number);
  const rest = number - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 !== 0) ? below + 1 : below;
}

/** Drop rows and columns of a photo before it is scaled by `scale`, if that is far below 1. */
export function subsample(photo, scale) {
  const step = Math.max(1, Math.floor(0.5 / scale));
  const height = Math.ceil(photo.height / step);
  const width = Math.ceil(photo.width / step);
  return copied(photo, height, width, (y) => y * step, (x) => x * step);
}

/** Copy a window of a photo; outside the photo, border pixels are repeated. */
export function copyWindow(photo, top, left, height, width) {
  const inside = (at, end) => Math.min(Math.max(at, 0), end - 1);
  return copied(photo, height, width,
    (y) => inside(top + y, photo.height), (x) => inside(left + x, photo.width));
}

function copied(photo, height, width, rowOf, columnOf) {
  const matrix = kept(new cv.Mat(height, width, cv.CV_8UC4));
  const { data } = photo;
  // One number per pixel instead of four.
  const from = new Uint32Array(data.buffer, data.byteOffset, data.length / 4);
  const to = new Uint32Array(matrix.data.buffer, matrix.data.byteOffset, height * width);
  const columns = Uint32Array.from({ length: width }, (_, x) => columnOf(x));
  for (let y = 0; y < height; y++) {
    const start = rowOf(y) * photo.width;
    for (let x = 0; x < width; x++) to[y * width + x] = from[start + columns[x]];
  }
  return matrix;
}

export function toGray(matrix) {
  const gray = kept(new cv.Mat());
  cv.cvtColor(matrix, gray, cv.COLOR_RGBA2GRAY);
  return gray;
}

/** Scale a matrix: areas are averaged along sides that shrink, others interpolated by cubics. */
export function resize(matrix, height, width) {
  if (matrix.rows === height && matrix.cols === width) return matrix;
  const scaled = kept(new cv.Mat(height, width, matrix.type()));
  if (height <= matrix.rows && width <= matrix.cols)
    cv.resize(matrix, scaled, new cv.Size(width, height), 0, 0, cv.INTER_AREA);
  else interpolate(matrix, scaled);
  return scaled;
}

/** Interpolation. OpenCV.js rounds the weights of cubics, which OpenCV for Python does not. */
function interpolate(from, to) {
  const channels = from.channels();
  const columns = weights(from.cols, to.cols);
  const rows = weights(from.rows, to.rows);
  const across = new Float64Array(from.rows * to.cols * channels);
  const width = to.cols * channels;
  for (let y = 0; y < from.rows; y++) {
    const row = from.data.subarray(y * from.cols * channels);
    for (let x = 0; x < width; x++) {
      const channel = x % channels;
      for (const [place, weight] of columns[(x - channel) / channels])
        across[y * width + x] += weight * row[place * channels + channel];
    }
  }
  const { data } = to;
  for (let y = 0; y < to.rows; y++) {
    for (let x = 0; x < width; x++) {
      let sum = 0;
      for (const [place, weight] of rows[y]) sum += weight * across[place * width + x];
      data[y * width + x] = Math.min(Math.max(round(sum), 0), 255);
    }
  }
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

/** Four source pixels and their weights (Keys 1981). */
function cubics(n, target) {
  return Array.from({ length: target }, (_, index) => {
    const centre = (index + 0.5) * n / target - 0.5;
    const first = Math.floor(centre) - 1;
    return [0, 1, 2, 3].map((tap) => {
      const place = Math.min(Math.max(first + tap, 0), n - 1);
      return [place, cubic(Math.abs(centre - first - tap))];
    });
  });
}

function cubic(d) {
  const a = -0.75;
  return d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
}

/** Rotate a matrix counter-clockwise about a point, into the given size. */
export function rotate(matrix, centre, angle, height, width) {
  const rotated = kept(new cv.Mat());
  const motion = kept(cv.getRotationMatrix2D(new cv.Point(...centre), angle, 1));
  cv.warpAffine(matrix, rotated, motion, new cv.Size(width, height), cv.INTER_LINEAR,
    cv.BORDER_REPLICATE);
  return { rotated, motion: Array.from(motion.data64F) };
}

export function toImageData(matrix) {
  return new ImageData(new Uint8ClampedArray(matrix.data), matrix.cols, matrix.rows);
}
