// The worker: detects and classifies faces, so that the page stays responsive.
//
// Messages in: {id, task, ...}; out: {id, result}, {id, error} or {progress}.

import { cropFace } from "./crop.js";
import { resize } from "./images.js";
import { FaceTracker } from "./tracking.js";
import { loadRuntime } from "./runtime.js";

// Larger images are rarely photos, and may be an attack.
const MAX_PIXELS = 80_000_000;
// Images of at most this longer side may contain nothing but a face.
const SMALL = 150;
// Faces per batch; WebAssembly's memory is limited.
const BATCH_SIZE = 16;

let page = null, tf = null, detector = null, network = null, tracker = null;
const canvas = new OffscreenCanvas(1, 1);
const context = canvas.getContext("2d", { willReadFrequently: true, alpha: false });

const tasks = {
  async load({ settings }) {
    page = settings;
    const loaded = await loadRuntime(page.runtime, (progress) => postMessage({ progress }));
    ({ tf, detector, network } = loaded);
    tracker = new FaceTracker(detector);
    // The first predictions take longest.
    const [height, width] = page.size;
    detector.detect(new ImageData(width, height));
    await predictProba([new ImageData(width, height)]);
  },

  /** Classify the faces in a photo, or all of it if requested, or if it is small without a face. */
  async photo({ source, whole }) {
    const photo = await pixels(source);
    const faces = whole ? [] : cropped(photo, detector.detect(photo));
    if (whole || (!faces.length && Math.max(photo.width, photo.height) <= SMALL)) {
      const box = [0, 0, photo.width, photo.height];
      const image = resize(photo, page.size);
      faces.push({ box, score: NaN, quality: NaN, keypoints: [], image, whole: true });
    }
    return { width: photo.width, height: photo.height, faces: await classified(faces) };
  },

  /** Classify the faces in a camera frame; faces keep their number from frame to frame. */
  async frame({ source, seconds }) {
    const start = performance.now();
    const photo = await pixels(source);
    const { width, height } = photo;
    const faces = await classified(cropped(photo, tracker.detect(photo, seconds)));
    return { width, height, faces, milliseconds: performance.now() - start };
  },

  async forget() {
    tracker.forget();
  },
};

onmessage = async ({ data: { id, task, ...rest } }) => {
  try {
    postMessage({ id, result: await tasks[task](rest) });
  } catch (error) {
    postMessage({ id, error: error.message ?? String(error) });
  }
};

/** The pixels of a file, a bitmap or an ImageData, upright and on a white background. */
async function pixels(source) {
  if (source instanceof ImageData) return source;
  const bitmap = source instanceof Blob ? await decoded(source) : source;
  const { width, height } = bitmap;
  if (width * height > MAX_PIXELS) {
    bitmap.close();
    throw new Error(`The image has ${width}×${height} pixels. Shrink it to 80 megapixels.`);
  }
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, width, height);
}

async function decoded(file) {
  try {
    // Rotated as EXIF says, and without colour conversion, like in Python.
    return await createImageBitmap(file, {
      imageOrientation: "from-image", colorSpaceConversion: "none",
    });
  } catch {
    throw new Error("This is not an image that the browser can read. Save it as JPEG or PNG.");
  }
}

function cropped(photo, faces) {
  return faces.map((face) => {
    return { ...face, ...cropFace(photo, face, page.size, page.framing), whole: false };
  });
}

async function classified(faces) {
  const outputs = await predictProba(faces.map((face) => face.image));
  return faces.map((face, index) => {
    const probabilities = outputs[index];
    const best = probabilities.indexOf(Math.max(...probabilities));
    const [label, probability] = [page.labels[best], probabilities[best]];
    return { ...face, label, probability, probabilities };
  });
}

/** The probability of each label for each of several ImageData of one size. */
async function predictProba(images) {
  const outputs = [];
  for (let first = 0; first < images.length; first += BATCH_SIZE) {
    const batch = images.slice(first, first + BATCH_SIZE);
    const output = tf.tidy(() => network.predict(rgb(batch)));
    outputs.push(...await output.array());
    output.dispose();
  }
  if (outputs.some((row) => row.some((value) => !Number.isFinite(value))))
    throw new Error("The network returned NaN. Its files may be corrupt.");
  return outputs;
}

function rgb(images) {
  const [{ width, height }] = images;
  const numbers = new Float32Array(images.length * height * width * 3);
  let at = 0;
  for (const { data } of images) {
    for (let i = 0; i < data.length; i += 4) {
      numbers[at++] = data[i];
      numbers[at++] = data[i + 1];
      numbers[at++] = data[i + 2];
    }
  }
  return tf.tensor4d(numbers, [images.length, height, width, 3]);
}
