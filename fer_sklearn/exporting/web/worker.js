// The worker: finds faces and answers, so that the page stays responsive.
//
// Messages in: {id, task, ...}; out: {id, result}, {id, error} or {progress}.

import { cropFace, wholePicture } from "./crop.js";
import { findFaces, isSmall } from "./faces.js";
import { Follower } from "./follow.js";
import { loadRuntime } from "./runtime.js";

// More pixels are no photo of people, or are an attack.
const MAX_PIXELS = 80_000_000;
// WebAssembly's memory is limited: this many faces are classified at once.
const AT_ONCE = 16;

let page = null, tf = null, network = null;
const follower = new Follower();
const canvas = new OffscreenCanvas(1, 1);
const context = canvas.getContext("2d", { willReadFrequently: true, alpha: false });

const tasks = {
  async load({ settings }) {
    page = settings;
    ({ tf, network } = await loadRuntime(page.runtime, (progress) => postMessage({ progress })));
    const [height, width] = page.size;
    await probabilities([new ImageData(width, height)]); // the first answer takes longest
  },

  /** Read the faces of a photo; the whole of it if asked to, or if it is small and shows none. */
  async photo({ source, whole }) {
    const photo = await pixels(source);
    const found = whole ? [] : findFaces(photo);
    const faces = found.map((face) => ({ ...face, picture: cut(photo, face), whole: false }));
    if (whole || (!faces.length && isSmall(photo))) {
      const box = [0, 0, photo.width, photo.height];
      const picture = wholePicture(photo, page.size);
      faces.push({ box, score: NaN, angle: 0, eyes: null, picture, whole: true });
    }
    return { width: photo.width, height: photo.height, faces: await withAnswers(faces) };
  },

  /** Read one frame of the camera; faces keep their number from frame to frame. */
  async frame({ source, seconds }) {
    const photo = await pixels(source);
    const found = follower.find(photo, seconds, page.crop.align);
    const faces = found.map((face) => ({ ...face, picture: cut(photo, face), whole: false }));
    return { width: photo.width, height: photo.height, faces: await withAnswers(faces) };
  },

  async forget() {
    follower.forget();
  },
};

onmessage = async ({ data: { id, task, ...rest } }) => {
  try {
    postMessage({ id, result: await tasks[task](rest) });
  } catch (error) {
    postMessage({ id, error: error.message ?? String(error) });
  }
};

/** The pixels of a file, a bitmap or an ImageData, upright and on white. */
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
    // Numbers as they are in the file, as Python reads them; turned as the camera noted.
    return await createImageBitmap(file, {
      imageOrientation: "from-image", colorSpaceConversion: "none",
    });
  } catch {
    throw new Error("This is not an image that the browser can read. Save it as JPEG or PNG.");
  }
}

function cut(photo, { box, eyes }) {
  return cropFace(photo, box, page.size, page.crop.margin, page.crop.align ? eyes : null);
}

async function withAnswers(faces) {
  const answers = await probabilities(faces.map((face) => face.picture));
  return faces.map((face, index) => {
    const shares = answers[index];
    const best = shares.indexOf(Math.max(...shares));
    return { ...face, label: page.labels[best], probability: shares[best], probabilities: shares };
  });
}

/** Classify pictures, ImageData all of one size; a list of numbers for each. */
async function probabilities(pictures) {
  const answers = [];
  for (let first = 0; first < pictures.length; first += AT_ONCE) {
    const some = pictures.slice(first, first + AT_ONCE);
    const output = tf.tidy(() => network.predict(rgb(some)));
    answers.push(...await output.array());
    output.dispose();
  }
  if (answers.some((shares) => shares.some((share) => !Number.isFinite(share))))
    throw new Error("The network answered with what is no number. Its files may be damaged.");
  return answers;
}

function rgb(pictures) {
  const [{ width, height }] = pictures;
  const numbers = new Float32Array(pictures.length * height * width * 3);
  let at = 0;
  for (const { data } of pictures) {
    for (let i = 0; i < data.length; i += 4) {
      numbers[at++] = data[i];
      numbers[at++] = data[i + 1];
      numbers[at++] = data[i + 2];
    }
  }
  return tf.tensor4d(numbers, [pictures.length, height, width, 3]);
}
