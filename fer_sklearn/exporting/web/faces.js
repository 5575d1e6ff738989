// Face detection like fer_sklearn's HaarDetector (faces/_opencv.py): the same views of the photo,
// sizes, thresholds and order, so that the boxes agree with Python's.

import { countDetections, search } from "./cascades.js";
import { cv, kept, released, resize, rotate, round, subsample, toGray } from "./images.js";

// HaarDetector's parameters.
const MIN_SIZE = 40, MAX_SIDE = 720, SCALE_FACTOR = 1.1, MIN_NEIGHBORS = 2;
// Side of the smallest face in the image that is searched.
const MIN_FACE = 24;
// Photos whose shorter side is below this are enlarged to it.
const ENLARGED_SIDE = 256;
// A photo whose shorter side is below this may be all face, too small and too tight for the
// cascade. It is enlarged to this side and padded by this fraction of it; a face then takes up
// at least this fraction of it.
const TIGHT_SIDE = 150, TIGHT_PADDING = 0.2, TIGHT_MIN_FACE = 0.4;
// The cascade finds faces tilted by up to 15 degrees. Rotating by these angles finds the others.
const TILTS = [-25, 25];
// Rotated photos are shrunk to this longer side, and searched in larger steps.
const ROTATED_SIDE = 256, ROTATED_SCALE_FACTOR = 1.2;
// A face must reach a minimum of the weighted sum of its score and of the number of windows in
// which a second cascade agrees.
const SCORE_ORIGIN = 55, SCORE_WEIGHT = 4;
const MIN_SCORE = 5, MIN_SCORE_TIGHT = 0;

/**
 * Detect the faces in a photo.
 *
 * @param {ImageData} photo
 * @returns {{box: number[], score: number, angle: number}[]} boxes are left, top, width and height
 *   in pixels of the photo; from left to right
 */
export function detectFaces(photo) {
  return released(() => {
    const views = photoViews(photo);
    for (const view of views) {
      const faces = upright(photo, view, SCALE_FACTOR);
      if (faces.length) return ordered(faces);
    }
    for (const view of views) {
      const faces = tilted(photo, coarser(view));
      if (faces.length) return ordered(faces);
    }
    return [];
  });
}

/** Whether a photo is so small that it may contain nothing but a face. */
export function isSmall(photo) {
  return Math.max(photo.width, photo.height) <= TIGHT_SIDE;
}

/** Views of the photo as a whole and, if possible, as a tight crop; the likelier one first. */
function photoViews(photo) {
  const short = Math.min(photo.height, photo.width);
  const long = Math.max(photo.height, photo.width);
  const enlarged = Math.max(1, ENLARGED_SIDE / short);
  const scale = Math.min(enlarged * MIN_FACE / MIN_SIZE, MAX_SIDE / long);
  const views = [photoView(photo, { scale })];
  // A long and narrow image is not a tight crop, and would become huge.
  if (long <= 3 * short) {
    views.push(photoView(photo, {
      scale: TIGHT_SIDE / short,
      padding: round(TIGHT_PADDING * TIGHT_SIDE),
      minFace: round(TIGHT_MIN_FACE * TIGHT_SIDE),
      minScore: MIN_SCORE_TIGHT,
    }));
  }
  return short < TIGHT_SIDE ? views.reverse() : views;
}

/** A photo as it is searched: grey, shrunk or enlarged, optionally with a border. */
export function photoView(photo, options) {
  const { scale, padding = 0, minFace = MIN_FACE, minScore = MIN_SCORE } = options;
  const height = Math.max(1, round(photo.height * scale));
  const width = Math.max(1, round(photo.width * scale));
  let gray = resize(toGray(subsample(photo, scale)), height, width);
  if (padding) {
    const bordered = kept(new cv.Mat());
    cv.copyMakeBorder(gray, bordered, padding, padding, padding, padding, cv.BORDER_REPLICATE,
      new cv.Scalar());
    gray = bordered;
  }
  return { gray, scale, padding, minFace, minScore };
}

/** The upright faces in one view. */
export function upright(photo, view, scaleFactor) {
  const found = search(view.gray, view.minFace, 0, scaleFactor, MIN_NEIGHBORS)
    .map(({ box, score }) => ({ box: inPhoto(box, view), score, angle: 0 }));
  return checked(photo, found, view.minScore);
}

/** Shrink a view, so that searching two rotated copies costs less than searching the view. */
function coarser(view) {
  const { rows, cols } = view.gray;
  const factor = Math.min(1, ROTATED_SIDE / Math.max(rows, cols));
  return {
    ...view,
    gray: resize(view.gray, ...[rows, cols].map((side) => Math.max(1, round(side * factor)))),
    scale: view.scale * factor,
    padding: view.padding * factor,
    minFace: Math.max(MIN_FACE, round(view.minFace * factor)),
  };
}

/** Search the photo rotated both ways, for larger faces and in larger steps. */
function tilted(photo, view) {
  const { rows, cols } = view.gray;
  const found = TILTS.flatMap((angle) => {
    const { rotated, motion } = rotate(view.gray, [cols / 2, rows / 2], angle, rows, cols);
    const seen = search(rotated, view.minFace, 0, ROTATED_SCALE_FACTOR, MIN_NEIGHBORS)
      .map(({ box, score }) => ({ box: inPhoto(rotatedBack(box, motion), view), score, angle }));
    return checked(photo, seen, MIN_SCORE);
  });
  return withoutDuplicates(found.sort((one, other) => other.score - one.score));
}

/** Drop detections that a second cascade does not confirm. */
function checked(photo, found, minScore) {
  return found.filter(({ box, score, angle }) => {
    const missing = minScore - SCORE_WEIGHT * (score - SCORE_ORIGIN);
    // If nothing is missing, the second cascade is not needed.
    return missing <= 0 || countDetections(photo, box, angle) >= missing;
  });
}

/** From left to right, then from top to bottom, then by size. */
function ordered(faces) {
  const key = ({ box }) => [round(box[0]), round(box[1]), -box[2] * box[3]];
  return faces.sort((one, other) => {
    const [first, second] = [key(one), key(other)];
    const at = first.findIndex((number, index) => number !== second[index]);
    return at < 0 ? 0 : first[at] - second[at];
  });
}

function inPhoto([left, top, width, height], { padding, scale }) {
  return [left - padding, top - padding, width, height].map((number) => number / scale);
}

/** Move a box so that its centre is where it was before the rotation. */
function rotatedBack([left, top, width, height], [a, b, c, d, e, f]) {
  const x = left + width / 2 - c;
  const y = top + height / 2 - f;
  const determinant = a * e - b * d;
  const centre = [(e * x - b * y) / determinant, (a * y - d * x) / determinant];
  return [centre[0] - width / 2, centre[1] - height / 2, width, height];
}

/** Drop a face whose centre lies in the box of one with a higher score. */
function withoutDuplicates(faces) {
  const chosen = [];
  for (const face of faces) {
    const [x, y] = centreOf(face.box);
    const isDuplicate = chosen.some(({ box }) => {
      const [otherX, otherY] = centreOf(box);
      return Math.abs(x - otherX) < box[2] / 2 && Math.abs(y - otherY) < box[3] / 2;
    });
    if (!isDuplicate) chosen.push(face);
  }
  return chosen;
}

export function centreOf([left, top, width, height]) {
  return [left + width / 2, top + height / 2];
}
