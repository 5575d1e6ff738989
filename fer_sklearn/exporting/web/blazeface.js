// Face detection like fer_sklearn's BlazeFaceDetector (faces/_blazeface.py): the same network,
// views, thresholds and order, so that boxes and key points agree with Python's.

import { blur, halved, round, sample, toGray } from "./images.js";

// The network sees squares of this side. A face is placed relative to anchors: two in the middle
// of each cell of 8 pixels, and six in each cell of 16.
const SIDE = 128;
const ANCHORS = anchors([[8, 2], [16, 6]]);
// Scores are clipped to this before the logistic function, and boxes that overlap by more than this
// are one face.
const MAX_LOGIT = 100, OVERLAP = 0.3;
// BlazeFaceDetector's parameters.
const MIN_SCORE = 0.6, MIN_FACE_SIZE = 24, MAX_VIEWS = 120;
// The network finds faces that take up this fraction of its view's side, or more.
const SMALLEST = 20 / SIDE;
// A face that is only partly in the photo may be this many times as long as its shorter side.
const CUT_OFF = 2;
// If no face is found at first, the photo is searched again with a border of this relative size.
const BORDER = 1.7;
// Photos are searched for small faces if their longer side has this many pixels, or if they show
// none that is larger than this fraction of that side.
const LARGE = 640, PORTRAIT = 0.25;
// The views for small faces: each level is this many times smaller than the one before, views are
// this far apart, in sides, and scores from this value lead to a second look. Views with less
// contrast than this, in grey levels, are skipped.
const FINER = 3, STEP = 0.8, MAYBE = 0.4, FLAT = 6;
// Faces get a second look if they are smaller than this fraction of their view's side, have a lower
// score than this, or are tilted by more than this many degrees. It uses a view that is this many
// times as large as the face.
const SMALL = 0.33, CERTAIN = 0.7, TILTED = 30, CLOSE_UP = 1.8;
// If it is still not certain, it may lie on its side.
const TURNS = [90, -90];
// Faces with a lower score than the first, which do not fill this fraction of the photo's longer
// side, must also be found in the mirror image, with a score that exceeds the minimum by the last.
const OBVIOUS = 0.75, FILLING = 0.5, MARGIN = 0.05;
// By how much the score of a known face may be lower than that of a new one.
const KNOWN = 0.1;
// By how much of its side a face may have moved at the second look.
const MOVED = 0.4;
// How far a head reaches from the middle of its face, in sides of the face's box.
const HEAD = 0.75;
// Skin of any tone: the least and the most of brightness, Cr and Cb.
const SKIN = [[30, 133, 77], [255, 173, 127]];
// Views that the network looks at together.
const BATCH_SIZE = 8;

// The pixels of a view as the network takes them.
const SCALED = Float32Array.from({ length: 256 }, (_, value) => {
  return Math.fround(value * Math.fround(1 / 127.5)) - 1;
});
const HALF_VIEW = SIDE / 2;

export class FaceDetector {
  /**
   * @param {object} tf - TensorFlow.js
   * @param {LiteRTNetwork} network
   */
  constructor(tf, network) {
    this.tf = tf;
    this.network = network;
  }

  /**
   * Detect the faces in a photo.
   *
   * @param {ImageData} photo
   * @param {number} minFaceSize - side, in pixels of the photo, of the smallest faces to search for
   * @returns {{box: number[], score: number, keypoints: number[][]}[]} in pixels of the photo; boxes
   *   are left, top, width and height; from left to right
   */
  detect(photo, minFaceSize = MIN_FACE_SIZE) {
    return ordered(new Search(this, photo).run(minFaceSize / SMALLEST).map(asFace));
  }

  /**
   * Detect known faces again, near where they were, and look for others in one view of the photo.
   *
   * @param {ImageData} photo
   * @param {object[]} faces - as `detect` returns them
   * @param {number|null} turn - which view; all of them in turn show all of the photo; null for none
   * @param {number} minFaceSize - as in `detect`
   * @returns {{known: (object|null)[], others: object[]}} null for each known face that is lost
   */
  follow(photo, faces, turn, minFaceSize) {
    const search = new Search(this, photo);
    const before = faces.map(asDetection);
    const known = before.map((face) => {
      const found = search.levelled(face);
      return found && found.score >= MIN_SCORE - KNOWN ? found : null;
    });
    const taken = known.map((face, index) => face ?? before[index]);
    const others = turn === null ? [] : search.others(taken, turn, minFaceSize / SMALLEST);
    return { known: known.map((face) => face && asFace(face)), others: others.map(asFace) };
  }

  /** Candidate faces in each of several views, in pixels of the photo. */
  look(pyramid, views) {
    const found = [];
    for (let first = 0; first < views.length; first += BATCH_SIZE) {
      const batch = views.slice(first, first + BATCH_SIZE);
      const pixels = new Float32Array(batch.length * SIDE * SIDE * 3);
      batch.forEach((view, index) => pyramid.draw(view, pixels, index * SIDE * SIDE * 3));
      const images = this.tf.tensor4d(pixels, [batch.length, SIDE, SIDE, 3]);
      const [boxes, logits] = this.network.run(images);
      images.dispose();
      found.push(...batch.map((view, index) => {
        return suppress(decode(boxes, logits, index)).map((face) => inPhoto(face, view));
      }));
    }
    return found;
  }
}

/** The search of one photo. A detection has `score` and `points`: centre, size, key points. */
class Search {
  constructor(detector, photo) {
    this.detector = detector;
    this.photo = photo;
    this.pyramid = new Pyramid(photo);
    this.longer = Math.max(photo.width, photo.height);
    this.nLeft = MAX_VIEWS;
  }

  /** @param {number} finest - side of the smallest views */
  run(finest) {
    const { width, height } = this.photo;
    const whole = viewOf(width / 2, height / 2, this.longer);
    let found = this.first(whole);
    const isPortrait = Math.max(0, ...found.map(sideOf)) > PORTRAIT * this.longer;
    if (this.longer >= LARGE || (this.longer > finest && !isPortrait))
      found = this.smaller(found, finest);
    return found.length ? found : this.first({ ...whole, unit: BORDER * whole.unit });
  }

  /** Search a view, and look again at faces that are uncertain, tilted or small in it. */
  first(view) {
    let [seen] = this.look([view]);
    if (!seen.length) {
      // A face on its side can be too little like a face.
      const turned = this.look(TURNS.map((angle) => ({ ...view, angle })));
      seen = turned.reduce((one, other) => (bestOf(other) > bestOf(one) ? other : one));
    }
    const found = [];
    for (let face of seen) {
      const isClear = face.score >= CERTAIN && Math.abs(tiltOf(face) - view.angle) < TILTED;
      if (!isClear || sideOf(face) < SMALL * SIDE * view.unit) face = this.again(face, TURNS);
      this.add(found, face, MIN_SCORE);
    }
    return found;
  }

  /** Search for smaller faces than those that were found, down to views of a side. */
  smaller(found, finest) {
    for (const { side, isLast } of this.levels(finest)) {
      // Half of what is left, so that the smallest faces get their share.
      const n = isLast ? this.nLeft : Math.floor(this.nLeft / 2);
      const views = this.promising(side, found).slice(0, Math.max(0, n));
      const seen = this.look(views).flat().sort((one, other) => other.score - one.score);
      for (const face of seen) {
        if (found.some((other) => contains(other, face))) continue;
        this.add(found, this.again(face), Math.max(CERTAIN, MIN_SCORE));
      }
    }
    return found;
  }

  /** The sides of the views for smaller and smaller faces. */
  levels(finest) {
    const n = Math.max(1, round(Math.log(this.longer / finest) / Math.log(FINER)));
    const sides = Array.from({ length: n }, (_, index) => {
      return this.longer * (finest / this.longer) ** ((index + 1) / n);
    });
    // No face that can be seen in a larger view fits into the photo.
    const largest = CUT_OFF * Math.min(this.photo.width, this.photo.height) / SMALLEST;
    return sides.map((side, index) => ({ side, isLast: index === n - 1 }))
      .filter(({ side }) => side <= largest);
  }

  /** Look for other faces than those that are known in one view: each is due in its turn. */
  others(known, turn, finest) {
    const { width, height } = this.photo;
    const finer = this.levels(finest).flatMap(({ side }) => this.views(side));
    const views = [viewOf(width / 2, height / 2, this.longer), ...finer];
    const found = [...known];
    for (const face of this.look([views[turn % views.length]])[0]) {
      if (!found.some((other) => contains(other, face)))
        this.add(found, this.again(face), CERTAIN);
    }
    return found.slice(known.length);
  }

  /** The views of a side that show all of the photo. */
  views(side) {
    const rows = places(this.photo.height, side);
    const columns = places(this.photo.width, side);
    return rows.flatMap((y) => columns.map((x) => viewOf(x, y, side)));
  }

  /** The views of a side that may show other faces, the most promising ones first. */
  promising(side, found) {
    const views = this.views(side);
    return this.pyramid.promise(views, found)
      .map((promised, index) => ({ ...promised, view: views[index] }))
      .sort((one, other) => other.promise - one.promise)
      .filter(({ contrast }) => contrast >= FLAT)
      .map(({ view }) => view);
  }

  /** Add a face to those found, if it is a different one and its score is high enough. */
  add(found, face, minScore) {
    if (face.score < minScore || found.some((other) => contains(other, face))) return;
    if (this.isConfirmed(face)) found.push(face);
  }

  /** Whether a face is obvious, fills the photo, or is found in the mirror, too. */
  isConfirmed(face) {
    if (face.score >= OBVIOUS || sideOf(face) > FILLING * this.longer) return true;
    return (this.near(face, tiltOf(face), true)?.score ?? 0) >= MIN_SCORE + MARGIN;
  }

  /** Look at one face again, close up; return the best detection, or the face as it was. */
  again(face, turns = []) {
    const seen = [this.levelled(face), face];
    if ((seen[0]?.score ?? 0) < CERTAIN && turns.length) {
      const turned = best(turns.map((turn) => this.near(face, turn)));
      if (turned && turned.score > face.score) seen.push(this.levelled(turned), turned);
    }
    return best(seen);
  }

  /** The face that is detected when the view is rotated by its tilt, or null. */
  levelled(face) {
    return this.near(face, tiltOf(face));
  }

  /** The face that is detected close up where one was, or null. */
  near(face, angle, isMirrored = false) {
    const [x, y] = face.points;
    const side = sideOf(face);
    const [found] = this.look([{ ...viewOf(x, y, CLOSE_UP * side, angle), isMirrored }]);
    const distance = ({ points }) => Math.max(Math.abs(points[0] - x), Math.abs(points[1] - y));
    if (!found.length) return null;
    const nearest = found.reduce((one, other) => (distance(other) < distance(one) ? other : one));
    return distance(nearest) < MOVED * side ? nearest : null;
  }

  look(views) {
    this.nLeft -= views.length;
    return this.detector.look(this.pyramid, views);
  }
}

/** A photo, and copies of half its size, a quarter, and so on, made when needed. */
class Pyramid {
  constructor(photo) {
    this.levels = [photo];
  }

  /** The smallest copy whose pixels are at most `unit` pixels of the photo wide, and their width. */
  level(unit) {
    let index = Math.max(0, Math.floor(Math.log2(unit)));
    while (this.levels.length <= index) {
      const last = this.levels.at(-1);
      if (Math.max(last.width, last.height) < 2) break;
      this.levels.push(halved(last));
    }
    index = Math.min(index, this.levels.length - 1);
    return { copy: this.levels[index], width: 2 ** index };
  }

  /** Write a view into an array as the network takes it: black beyond the photo. */
  draw({ x, y, unit, angle, isMirrored }, pixels, start) {
    const { copy, width } = this.level(unit);
    const scaled = { x: x / width, y: y / width, unit: unit / width, angle };
    const samples = sample(copy, scaled, [SIDE, SIDE], { isBlack: true });
    for (let i = 0; i < samples.length; i++)
      pixels[start + (isMirrored ? opposite(i) : i)] = SCALED[samples[i]];
  }

  /**
   * How much there is in views of one size to be small faces: the largest contrast within a square
   * of a face's size, and the same times how much more skin it shows than its surroundings do.
   */
  promise(views, found) {
    const face = 1.2 * SMALLEST * SIDE * views[0].unit;
    const { copy, width } = this.level(face / 6);
    const n = Math.max(3, round(face / width));
    const gray = toGray(copy);
    const [columns, rows] = [copy.width, copy.height];
    const squares = blur(Float64Array.from(gray, (value) => value * value), columns, rows, n);
    const means = blur(gray, columns, rows, n);
    const contrast = squares.map((square, i) => Math.sqrt(Math.max(square - means[i] ** 2, 0)));
    const promise = contrast.slice();
    if (!isGray(copy)) {
      const skin = skinOf(copy);
      const near = blur(skin, columns, rows, n);
      const around = blur(skin, columns, rows, 2 * n + 1);
      for (let i = 0; i < promise.length; i++)
        promise[i] = Math.min(contrast[i], 10) * Math.max(near[i] - 0.8 * around[i], 0.1);
    }
    for (const { points } of found) {
      // Faces that are known already are ignored.
      const [x, y, w, h] = points.subarray(0, 4).map((value) => value / width);
      const [left, right] = [x - HEAD * w, x + HEAD * w].map((at) => Math.max(0, Math.trunc(at)));
      const [top, bottom] = [y - HEAD * h, y + HEAD * h].map((at) => Math.max(0, Math.trunc(at)));
      for (let row = top; row < Math.min(bottom, rows); row++) {
        contrast.fill(0, row * columns + left, row * columns + Math.min(right, columns));
        promise.fill(0, row * columns + left, row * columns + Math.min(right, columns));
      }
    }
    return views.map((view) => ({
      contrast: maximum(contrast, columns, rows, view, width),
      promise: maximum(promise, columns, rows, view, width),
    }));
  }
}

/** Where a value of a view is in its mirror image. */
function opposite(i) {
  const column = Math.floor(i / 3) % SIDE;
  return i + 3 * (SIDE - 1 - 2 * column);
}

/** The largest of the values in a view. */
function maximum(values, columns, rows, { x, y, unit }, width) {
  const half = unit * HALF_VIEW;
  const range = (centre, length) => [
    Math.min(Math.max(0, Math.trunc((centre - half) / width)), length - 1),
    Math.min(Math.trunc((centre + half) / width) + 1, length),
  ];
  const [[left, right], [top, bottom]] = [range(x, columns), range(y, rows)];
  let largest = -Infinity;
  for (let row = top; row < bottom; row++) {
    for (let column = left; column < right; column++)
      largest = Math.max(largest, values[row * columns + column]);
  }
  return largest;
}

function isGray({ data }) {
  for (let i = 0; i < data.length; i += 4)
    if (data[i] !== data[i + 1] || data[i] !== data[i + 2]) return false;
  return true;
}

/** 1 for each pixel that has the colour of skin, else 0. */
function skinOf({ data, width, height }) {
  const skin = new Uint8Array(width * height);
  for (let i = 0, at = 0; i < skin.length; i++, at += 4) {
    const [red, green, blue] = [data[at], data[at + 1], data[at + 2]];
    const luma = (4899 * red + 9617 * green + 1868 * blue + 8192) >> 14;
    const cr = ((red - luma) * 11682 + 128 * 16384 + 8192) >> 14;
    const cb = ((blue - luma) * 9241 + 128 * 16384 + 8192) >> 14;
    skin[i] = [luma, cr, cb].every((value, j) => value >= SKIN[0][j] && value <= SKIN[1][j]);
  }
  return skin;
}

/** Convert the network's outputs for one view of a batch to detections, in pixels of the view. */
function decode(boxes, logits, index) {
  const n = ANCHORS.length;
  const lowest = Math.log(MAYBE / (1 - MAYBE));
  const found = [];
  for (let i = 0; i < n; i++) {
    const logit = logits[index * n + i];
    if (logit < lowest) continue;
    const start = (index * n + i) * 16;
    const points = Float64Array.from(boxes.subarray(start, start + 16));
    for (let at = 0; at < 16; at += 2) {
      if (at === 2) continue; // the size of the box
      points[at] += ANCHORS[i][0];
      points[at + 1] += ANCHORS[i][1];
    }
    found.push({ score: 1 / (1 + Math.exp(-Math.min(logit, MAX_LOGIT))), points });
  }
  return found;
}

/** Merge detections that overlap the most certain one, weighted by their scores. */
function suppress(found) {
  let left = found.sort((one, other) => other.score - one.score);
  const merged = [];
  while (left.length) {
    const [first] = left;
    const same = left.filter((face) => face === first || overlap(face, first) > OVERLAP);
    const total = same.reduce((sum, { score }) => sum + score, 0);
    const points = first.points.map((_, at) => {
      return same.reduce((sum, face) => sum + face.score * face.points[at], 0) / total;
    });
    merged.push({ score: first.score, points });
    left = left.filter((face) => !same.includes(face));
  }
  return merged;
}

/** Intersection over union of two boxes. */
function overlap({ points: one }, { points: other }) {
  let common = 1;
  for (const axis of [0, 1]) {
    const low = Math.max(one[axis] - one[axis + 2] / 2, other[axis] - other[axis + 2] / 2);
    const high = Math.min(one[axis] + one[axis + 2] / 2, other[axis] + other[axis + 2] / 2);
    common *= Math.max(high - low, 0);
  }
  return common / (one[2] * one[3] + other[2] * other[3] - common);
}

/** Move a detection from its view into the photo. */
function inPhoto({ score, points }, { x, y, unit, angle }) {
  const cosine = Math.cos(angle * Math.PI / 180) * unit;
  const sine = Math.sin(angle * Math.PI / 180) * unit;
  const moved = new Float64Array(points.length);
  for (let at = 0; at < points.length; at += 2) {
    const [across, down] = [points[at] - HALF_VIEW, points[at + 1] - HALF_VIEW];
    moved[at] = x + cosine * across - sine * down;
    moved[at + 1] = y + sine * across + cosine * down;
  }
  [moved[2], moved[3]] = [points[2] * unit, points[3] * unit];
  return { score, points: moved };
}

/** Whether the box of one face contains the centre of another. */
function contains({ points }, { points: [x, y] }) {
  return Math.abs(points[0] - x) < points[2] / 2 && Math.abs(points[1] - y) < points[3] / 2;
}

function bestOf(found) {
  return Math.max(0, ...found.map(({ score }) => score));
}

/** The detection with the highest score, or null; the first one of equals. */
function best(seen) {
  return seen.reduce((one, other) => ((other?.score ?? 0) > (one?.score ?? 0) ? other : one), null);
}

function sideOf({ points }) {
  return Math.max(points[2], points[3]);
}

/** By how many degrees the eyes of a face are turned clockwise. */
function tiltOf({ points }) {
  return Math.atan2(points[7] - points[5], points[6] - points[4]) * 180 / Math.PI;
}

/** A square of the photo, centre and side, as the network sees it. */
function viewOf(x, y, side, angle = 0) {
  return { x, y, unit: side / SIDE, angle };
}

/** The centres of views along one side of the photo. */
function places(length, side) {
  if (length <= side) return [length / 2];
  const n = Math.ceil((length - side) / (STEP * side)) + 1;
  return Array.from({ length: n }, (_, i) => side / 2 + i * (length - side) / (n - 1));
}

function anchors(kinds) {
  return kinds.flatMap(([cell, n]) => {
    const middles = Array.from({ length: SIDE / cell }, (_, index) => (index + 0.5) * cell);
    return middles.flatMap((y) => middles.flatMap((x) => Array(n).fill([x, y])));
  });
}

function asFace({ score, points }) {
  const [x, y, width, height, ...rest] = points;
  const keypoints = Array.from({ length: rest.length / 2 }, (_, i) => rest.slice(2 * i, 2 * i + 2));
  return { box: [x - width / 2, y - height / 2, width, height], score, keypoints };
}

function asDetection({ box: [left, top, width, height], score, keypoints }) {
  const centre = [left + width / 2, top + height / 2];
  return { score, points: Float64Array.from([...centre, width, height, ...keypoints.flat()]) };
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
