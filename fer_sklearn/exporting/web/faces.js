// Find the faces of a photo as fer_sklearn's HaarDetector does (faces/_haar.py): the same views
// of the photo, sizes, thresholds and order, so that the boxes agree with Python's.

import { agreement, findEyes, search } from "./cascades.js";
import { cv, kept, released, resize, round, thinOut, toGray, turn } from "./images.js";

// HaarDetector's parameters.
const MIN_SIZE = 40, MAX_SIDE = 720, SCALE_FACTOR = 1.1, MIN_NEIGHBORS = 2;
// The smallest face is this large where it is searched.
const SMALLEST = 24;
// Photos whose shorter side is below this are enlarged to it.
const ENLARGED_SIDE = 256;
// A photo whose shorter side is below this may be all face, too small and too tight for the
// cascade. It is enlarged to this side and padded by this share of it, and then a face takes
// up this share of it at least.
const TIGHT_SIDE = 150, TIGHT_PADDING = 0.2, TIGHT_SMALLEST = 0.4;
// The cascade finds faces that lean by some 15 degrees; turned by these, the others do too.
const TILTS = [-25, 25];
// Turned photos are searched shrunk to this longer side, and in larger steps.
const TURNED_SIDE = 256, TURNED_SCALE_FACTOR = 1.2;
// A face must reach this sum of its score and the windows in which a second cascade agrees.
const SCORE_ORIGIN = 55, SCORE_WEIGHT = 4;
const LEAST_SUM = 5, LEAST_SUM_TIGHT = 0;

/**
 * Find the faces of a photo.
 *
 * @param {ImageData} photo
 * @returns {{box: number[], score: number, angle: number, eyes: number[][] | null}[]} boxes are
 *   left, top, width and height in pixels of the photo; eyes are null unless both are seen
 */
export function findFaces(photo) {
  return released(() => {
    const views = photoViews(photo);
    for (const view of views) {
      const faces = upright(photo, view, SCALE_FACTOR);
      if (faces.length) return withEyes(photo, faces);
    }
    for (const view of views) {
      const faces = tilted(photo, coarser(view));
      if (faces.length) return withEyes(photo, faces);
    }
    return [];
  });
}

/** Whether a photo is so small that it may be nothing but a face. */
export function isSmall(photo) {
  return Math.max(photo.width, photo.height) <= TIGHT_SIDE;
}

/** The whole photo and, if it can be one, the tight crop; the likelier first. */
function photoViews(photo) {
  const short = Math.min(photo.height, photo.width);
  const long = Math.max(photo.height, photo.width);
  const enlarged = Math.max(1, ENLARGED_SIDE / short);
  const scale = Math.min(enlarged * SMALLEST / MIN_SIZE, MAX_SIDE / long);
  const views = [photoView(photo, { scale })];
  // Nothing so long and narrow is a tight crop, and enlarged it would be huge.
  if (long <= 3 * short) {
    views.push(photoView(photo, {
      scale: TIGHT_SIDE / short,
      padding: round(TIGHT_PADDING * TIGHT_SIDE),
      smallest: round(TIGHT_SMALLEST * TIGHT_SIDE),
      leastSum: LEAST_SUM_TIGHT,
    }));
  }
  return short < TIGHT_SIDE ? views.reverse() : views;
}

/** A photo as it is searched: grey, shrunk or enlarged, and perhaps with a border. */
export function photoView(photo, options) {
  const { scale, padding = 0, smallest = SMALLEST, leastSum = LEAST_SUM } = options;
  const height = Math.max(1, round(photo.height * scale));
  const width = Math.max(1, round(photo.width * scale));
  let gray = resize(toGray(thinOut(photo, scale)), height, width);
  if (padding) {
    const bordered = kept(new cv.Mat());
    cv.copyMakeBorder(gray, bordered, padding, padding, padding, padding, cv.BORDER_REPLICATE,
      new cv.Scalar());
    gray = bordered;
  }
  return { gray, scale, padding, smallest, leastSum };
}

/** The upright faces that one view shows. */
export function upright(photo, view, scaleFactor) {
  const found = search(view.gray, view.smallest, 0, scaleFactor, MIN_NEIGHBORS)
    .map(({ box, score }) => ({ box: inPhoto(box, view), score, angle: 0 }));
  return checked(photo, found, view.leastSum);
}

/** Shrink a view, so that two turned copies of it cost less than itself. */
function coarser(view) {
  const { rows, cols } = view.gray;
  const factor = Math.min(1, TURNED_SIDE / Math.max(rows, cols));
  return {
    ...view,
    gray: resize(view.gray, ...[rows, cols].map((side) => Math.max(1, round(side * factor)))),
    scale: view.scale * factor,
    padding: view.padding * factor,
    smallest: Math.max(SMALLEST, round(view.smallest * factor)),
  };
}

/** Search the photo turned both ways, for larger faces and in larger steps. */
function tilted(photo, view) {
  const { rows, cols } = view.gray;
  const found = TILTS.flatMap((angle) => {
    const { turned, motion } = turn(view.gray, [cols / 2, rows / 2], angle, rows, cols);
    const seen = search(turned, view.smallest, 0, TURNED_SCALE_FACTOR, MIN_NEIGHBORS)
      .map(({ box, score }) => ({ box: inPhoto(turnedBack(box, motion), view), score, angle }));
    return checked(photo, seen, LEAST_SUM);
  });
  return withoutCopies(found.sort((one, other) => other.score - one.score));
}

/** Leave out what a second cascade does not take for a face. */
function checked(photo, found, leastSum) {
  return found.filter(({ box, score, angle }) => {
    const missing = leastSum - SCORE_WEIGHT * (score - SCORE_ORIGIN);
    // Where nothing is missing, the second cascade need not be asked.
    return missing <= 0 || agreement(photo, box, angle) >= missing;
  });
}

function withEyes(photo, faces) {
  return faces.map((face) => ({ ...face, eyes: findEyes(photo, face.box, face.angle) }));
}

function inPhoto([left, top, width, height], { padding, scale }) {
  return [left - padding, top - padding, width, height].map((number) => number / scale);
}

/** Move a box so that its centre is where it was before a turn. */
function turnedBack([left, top, width, height], [a, b, c, d, e, f]) {
  const x = left + width / 2 - c;
  const y = top + height / 2 - f;
  const determinant = a * e - b * d;
  const centre = [(e * x - b * y) / determinant, (a * y - d * x) / determinant];
  return [centre[0] - width / 2, centre[1] - height / 2, width, height];
}

/** Leave out a face whose centre is in the box of a surer one. */
function withoutCopies(faces) {
  const chosen = [];
  for (const face of faces) {
    const [x, y] = centreOf(face.box);
    const isCopy = chosen.some(({ box }) => {
      const [otherX, otherY] = centreOf(box);
      return Math.abs(x - otherX) < box[2] / 2 && Math.abs(y - otherY) < box[3] / 2;
    });
    if (!isCopy) chosen.push(face);
  }
  return chosen;
}

export function centreOf([left, top, width, height]) {
  return [left + width / 2, top + height / 2];
}
