"""OpenCV's detectors: Haar cascades, and YuNet, a small network, with its model file."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from .._utils.compat import cv2
from .._utils.files import data_home, is_terminal
from .._utils.typing import FloatArray, PathLike, PixelArray
from ..exceptions import MissingExtraError
from ..images import as_photo, resize, to_gray
from ._crop import Placement, warp
from ._faces import (
    BaseDetector,
    Faces,
    WorkingImage,
    find_near,
    joined,
    per_thread,
    unknown_keypoints,
    without_copies,
    working_image,
)

__all__ = ["HaarDetector", "YuNetDetector", "count_detections", "fetch_yunet"]

# Side of the smallest face in the image that is searched. The cascade's own window has 20
# pixels, and misses faces that barely fill it.
_MIN_FACE = 24
# Photos whose shorter side is below this are enlarged to it.
_ENLARGED_SIDE = 256
# A face may fill a photo whose shorter side is below this, and be too small and too tightly framed
# for the cascade. It is enlarged to this side and padded by this fraction of it; a face then takes
# up at least this fraction of it.
_TIGHT_SIDE, _TIGHT_PADDING, _TIGHT_MIN_FACE = 150, 0.2, 0.4
# The cascade finds faces tilted by up to 15 degrees. Rotating by these angles finds the others.
_TILTS = (-25.0, 25.0)
# Rotated photos are shrunk to this longer side, and searched in larger steps.
_ROTATED_SIDE, _ROTATED_SCALE_FACTOR = 256, 1.2
# False positives have a low score, and a second cascade agrees in few windows. The weighted sum of
# both must reach a minimum, which is lower in a tight crop, since that is likely to be a face. This
# keeps one of 43 false positives in photos of scikit-image and scikit-learn, most of them rotated,
# and drops three of 279 faces.
_SCORE_ORIGIN, _SCORE_WEIGHT = 55.0, 4.0
_MIN_SCORE, _MIN_SCORE_TIGHT = 5.0, 0.0
# The second cascade searches a face scaled to this side, with this margin, for faces of these
# sizes.
_SECOND_SIDE, _SECOND_MARGIN, _SECOND_SIZES = 72, 0.3, (28, 64)

# A face may fill a photo whose shorter side is below this. The network finds more faces if it is
# enlarged to the second side, with a border of this fraction: 95 instead of 92 of 100 faces of
# FER2013, 97 instead of 93 of scikit-image's 100 faces of 25 pixels.
_YUNET_SMALL_SIDE, _YUNET_SIDE, _YUNET_PADDING = 150, 320, 0.2
# Where the box lies in an image of FER2013: medians.
_YUNET_BOX_IN_CROP = (0.09, -0.06, 0.82, 1.09)
# Boxes that overlap by more than this are one face: OpenCV's default.
_YUNET_OVERLAP = 0.3

YUNET_FILE = "face_detection_yunet_2023mar.onnx"
# From the Git LFS pointer models/face_detection_yunet/face_detection_yunet_2023mar.onnx in
# https://github.com/opencv/opencv_zoo, commit 82b38c8f98e7b52aa171400f3e4c722352d0669f.
YUNET_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
# The repository, and its mirror by the same authors.
YUNET_URLS = (
    f"https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/{YUNET_FILE}",
    f"https://huggingface.co/opencv/face_detection_yunet/resolve/main/{YUNET_FILE}",
)
_TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class _View:
    """A photo as it is searched, with the smallest face and the minimum score in it."""

    image: WorkingImage
    min_face: int
    min_score: float


@dataclass(kw_only=True, unsafe_hash=True)
class HaarDetector(BaseDetector):
    """Detect frontal faces with OpenCV's Haar cascade ``frontalface_alt2``.

    The boosted cascade of Viola & Jones 2001, trained by Lienhart 2002. Large photos are
    shrunk before they are searched. Small photos, and photos in which nothing is found at
    first, are searched as tight crops: enlarged and padded, because the cascade needs some
    background around a face of at least 20 pixels. Since it also finds faces in walls, uncertain
    detections must be confirmed by a second cascade, ``frontalface_alt``, which was trained
    separately. Tilted faces are searched for only if no upright face is found. No key points
    are found.

    The object holds only its parameters, so that it can be pickled; each thread loads the
    cascades when it first needs them.

    Parameters
    ----------
    min_size : int, default=40
        Smallest face to detect, in pixels of the photo, or of the photo enlarged to a shorter
        side of 256. Smaller faces hardly show an emotion.
    max_side : int, default=720
        Larger photos are shrunk to this longer side before they are searched, which bounds the
        cost: faces of a thirtieth of that side are found. 1440 finds faces half as large in
        large photos, at four times the cost.
    scale_factor : float, default=1.1
        Step between the sizes that are searched; 1.2 is twice as fast and finds fewer faces.
    min_neighbors : int, default=2
        Overlapping detections that make a face; a lower number finds more faces and more false
        positives.
    verify : bool, default=True
        Whether a second cascade must confirm uncertain detections.
    tilted : bool, default=True
        Whether to search for faces tilted by about 25 degrees if there is no upright one.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> faces = HaarDetector()(astronaut())
    >>> left, top, width, height = faces.boxes[0]
    >>> bool(150 < left < 200 and 80 < width < 120)
    True
    """

    min_size: int = 40
    max_side: int = 720
    scale_factor: float = 1.1
    min_neighbors: int = 2
    verify: bool = True
    tilted: bool = True

    def __post_init__(self) -> None:
        for name, least in (("min_size", 1), ("max_side", 64), ("min_neighbors", 0)):
            value: int = getattr(self, name)
            if not (isinstance(value, Integral) and value >= least):
                raise ValueError(f"{name}={value!r} must be an int of {least} or more.")
        if not (isinstance(self.scale_factor, Real) and self.scale_factor > 1):
            raise ValueError(f"scale_factor={self.scale_factor!r} must be a number above 1.")

    def __call__(self, image: PixelArray) -> Faces:
        """Detect the faces in one photo.

        The scores are sums of the cascade's last stage, about 54 to 58. Tilted faces have upright
        boxes.

        Raises
        ------
        MissingExtraError
            If the installed OpenCV has no cascades.
        """
        image = as_photo(image, name="image")
        views = self._views(image)
        for view in views:
            faces = self._detect_upright(image, view)
            if len(faces):
                return faces
        if self.tilted:
            for view in views:
                faces = self._detect_tilted(image, _coarser(view))
                if len(faces):
                    return faces
        return Faces.none()

    def refind(self, image: PixelArray, faces: Faces) -> Faces:
        """Detect faces again near where they were; those that are lost, or tilted, are missing."""

        def detect(part, side):
            options = {"min_size": max(1, round(side / 2)), "tilted": False}
            return HaarDetector(**(vars(self) | options))(part)

        return find_near(detect, as_photo(image, name="image"), faces)

    def _views(self, photo):
        """Return the whole photo and, if it may be one, the tight crop; the likelier one first."""
        height, width = photo.shape[:2]
        short, long = min(height, width), max(height, width)
        enlarged = max(1.0, _ENLARGED_SIDE / short)
        scale = min(enlarged * _MIN_FACE / self.min_size, self.max_side / long)
        views = [_View(working_image(photo, scale, gray=True), _MIN_FACE, _MIN_SCORE)]
        # An image this long and narrow is not a tight crop, and enlarging it would make it huge.
        if long <= 3 * short:
            padding, min_face = (
                round(part * _TIGHT_SIDE) for part in (_TIGHT_PADDING, _TIGHT_MIN_FACE)
            )
            image = working_image(photo, _TIGHT_SIDE / short, padding=padding, gray=True)
            views.append(_View(image, min_face, _MIN_SCORE_TIGHT))
        return views[::-1] if short < _TIGHT_SIDE else views

    def _detect_upright(self, photo, view):
        boxes, scores = self._search(view.image.pixels, view.min_face, self.scale_factor)
        boxes = view.image.boxes_in_photo(boxes)
        return self._verified(photo, boxes, scores, 0.0, view.min_score)

    def _detect_tilted(self, photo, view):
        """Search the photo rotated both ways, for larger faces and in larger steps."""
        factor = max(self.scale_factor, _ROTATED_SCALE_FACTOR)
        found = []
        for angle in _TILTS:
            gray, back = _rotate(view.image.pixels, angle)
            boxes, scores = self._search(gray, view.min_face, factor)
            boxes = view.image.boxes_in_photo(_rotated_back(boxes, back))
            found.append(self._verified(photo, boxes, scores, angle, _MIN_SCORE))
        faces = joined(found)
        return without_copies(faces.take(np.argsort(-faces.scores, kind="stable")))

    def _search(self, gray, min_face, scale_factor):
        """Return the boxes and scores that the cascade detects."""
        boxes, _, scores = _cascade("frontalface_alt2").detectMultiScale3(
            gray,
            scaleFactor=scale_factor,
            minNeighbors=self.min_neighbors,
            minSize=(min_face, min_face),
            outputRejectLevels=True,
        )
        return np.array(boxes, np.float64).reshape(-1, 4), np.array(scores, np.float64).ravel()

    def _verified(self, photo, boxes, scores, angle, min_score):
        """Drop detections that the second cascade does not confirm."""
        if self.verify:
            n_required = min_score - _SCORE_WEIGHT * (scores - _SCORE_ORIGIN)
            kept = np.flatnonzero(
                [
                    # If none are required, the second cascade need not run.
                    required <= 0 or count_detections(photo, box, angle) >= required
                    for box, required in zip(boxes, n_required, strict=True)
                ]
            )
            boxes, scores = boxes[kept], scores[kept]
        return Faces(boxes, scores, unknown_keypoints(len(boxes)))


def count_detections(
    photo: PixelArray, box: Sequence[float] | FloatArray, angle: float = 0.0
) -> int:
    """Count the windows near a box in which a second cascade, ``frontalface_alt``, sees a face.

    It was trained separately from the first one, and seldom errs in the same place.

    Parameters
    ----------
    photo : ndarray of shape (h, w) or (h, w, 3), uint8
    box : sequence of float
        Left, top, width and height of what may be a face.
    angle : float, default=0.0
        Clockwise tilt of the face, in degrees.

    Returns
    -------
    int
        The number of positions and sizes; 0 if it sees no face.
    """
    part = to_gray(_upright(photo, box, _SECOND_SIDE, _SECOND_MARGIN, angle))
    low, high = _SECOND_SIZES
    seen = _cascade("frontalface_alt").detectMultiScale(
        np.ascontiguousarray(part),
        scaleFactor=1.1,
        minNeighbors=0,
        minSize=(low, low),
        maxSize=(high, high),
    )
    return len(seen)


def _upright(photo, box, side, margin, angle):
    """Return the square around a box, with a margin, from the photo rotated back by `angle`."""
    left, top, width, height = box
    unit = max(width, height) * (1 + 2 * margin) / side
    return warp(photo, Placement(left + width / 2, top + height / 2, unit, angle), (side, side))


def _cascade(name):
    """Return this thread's copy of a cascade, which one thread at a time may use."""
    if not hasattr(cv2, "CascadeClassifier"):
        raise MissingExtraError(
            f"OpenCV {cv2.__version__} no longer has Haar cascades. "
            f"Type: pip install 'opencv-python-headless>=4.10,<5', or pass another detector, "
            f"such as 'yunet'."
        )
    return _load_cascade(name)


@per_thread
def _load_cascade(name: str) -> Any:
    folder = cv2.data.haarcascades
    return cv2.CascadeClassifier(f"{folder}haarcascade_{name}.xml")


def _coarser(view):
    """Shrink a view, so that two rotated copies of it cost less than the view itself."""
    gray = view.image.pixels
    factor = min(1.0, _ROTATED_SIDE / max(gray.shape))
    height, width = (max(1, round(side * factor)) for side in gray.shape)
    image = WorkingImage(
        resize(gray, (height, width)), view.image.scale * factor, view.image.padding * factor
    )
    return _View(image, max(_MIN_FACE, round(view.min_face * factor)), view.min_score)


def _rotate(gray, angle):
    """Rotate an image about its centre, and return the matrix that maps its points back."""
    height, width = gray.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    rotated = cv2.warpAffine(gray, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return rotated, cv2.invertAffineTransform(matrix)


def _rotated_back(boxes, back):
    """Move boxes so that their centres are at their positions before a rotation."""
    half = boxes[:, 2:] / 2
    centres = (boxes[:, :2] + half) @ back[:, :2].T + back[:, 2]
    return np.column_stack([centres - half, boxes[:, 2:]])


@dataclass(unsafe_hash=True)
class YuNetDetector(BaseDetector):
    """Detect faces with OpenCV's ``FaceDetectorYN`` and a YuNet model file.

    YuNet is a network of 75 thousand parameters by Wu, Peng & Yu 2023 ("YuNet: A tiny
    millisecond-level face detector", Machine Intelligence Research 20). It finds small, tilted and
    half-turned faces that a Haar cascade misses, and their key points except for the ears. The
    object holds only its parameters, so that it can be pickled; each thread loads the network when
    it first needs it.

    Parameters
    ----------
    model : str, path-like or None, default=None
        An ONNX file of YuNet, such as ``face_detection_yunet_2023mar.onnx`` from OpenCV Zoo.
        If None, the file that :func:`fetch_yunet` downloaded into the data folder, whose
        SHA-256 is checked each time it is loaded.
    min_score : float, default=0.7
        Faces with a lower score, from 0 to 1, are dropped.
    max_side : int, default=800
        Larger photos are shrunk to this longer side before they are searched. Faces of
        about 10 pixels in the shrunk photo are found.

    Examples
    --------
    >>> YuNetDetector("yunet.onnx", min_score=0.9)
    YuNetDetector(model='yunet.onnx', min_score=0.9, max_side=800)
    """

    model: PathLike | None = None
    _: KW_ONLY
    min_score: float = 0.7
    max_side: int = 800

    def __post_init__(self) -> None:
        if self.model is not None:
            if not isinstance(self.model, (str, os.PathLike)):
                raise TypeError(f"model={self.model!r} must be the path of an ONNX file, or None.")
            self.model = os.fspath(self.model)
        if not (isinstance(self.min_score, Real) and 0 < self.min_score < 1):
            raise ValueError(f"min_score={self.min_score!r} must be a number in (0, 1).")
        if not (isinstance(self.max_side, Integral) and self.max_side >= 64):
            raise ValueError(f"max_side={self.max_side!r} must be an int of 64 or more.")

    def __call__(self, image: PixelArray) -> Faces:
        """Detect the faces in one photo: `scores` in [0, 1].

        Raises
        ------
        FileNotFoundError
            If there is no model file; the message says how to get it.
        ValueError
            If the file in the data folder is not the published one, or OpenCV cannot read
            `model` as a network.
        """
        searched = _bgr_image(as_photo(image, name="image"), self.max_side)
        network = _yunet(self.model)
        network.setScoreThreshold(self.min_score)
        network.setInputSize((searched.pixels.shape[1], searched.pixels.shape[0]))
        _, rows = network.detect(searched.pixels)
        if rows is None:
            return Faces.none()
        rows = rows.astype(np.float64)
        points = searched.points_in_photo(rows[:, 4:14].reshape(-1, 5, 2))
        keypoints = unknown_keypoints(len(rows))
        # The network reports the corners of the mouth, and no ears.
        keypoints[:, :3] = points[:, :3]
        keypoints[:, 3] = points[:, 3:].mean(axis=1)
        boxes = searched.boxes_in_photo(rows[:, :4])
        return Faces(boxes, rows[:, 14].copy(), keypoints, _YUNET_BOX_IN_CROP)

    def network_sha256(self) -> str:
        """Return the SHA-256 of the model file."""
        path = _model_path() if self.model is None else Path(self.model).expanduser()
        return hashlib.sha256(path.read_bytes()).hexdigest()


def fetch_yunet(folder: PathLike | None = None) -> Path:
    """Download YuNet's model file once, for :class:`YuNetDetector`.

    The file, ``face_detection_yunet_2023mar.onnx`` of OpenCV Zoo, is 0.2 MB in size and under
    the MIT licence. It is kept only if its SHA-256 is the published one.

    Parameters
    ----------
    folder : str, path-like or None, default=None
        Where to keep it; created if it does not exist. If None, the environment variable
        ``FER_SKLEARN_DATA``, or ``~/fer_sklearn_data`` if that is not set; ``YuNetDetector()``
        finds it there.

    Returns
    -------
    Path
        The file. If it exists and is intact, nothing is downloaded.

    Raises
    ------
    ConnectionError
        If it cannot be downloaded, or the file that arrives is a different one. The message says
        how to get it by hand.
    """
    import pooch

    path = _model_path(folder)
    is_shown = is_terminal(sys.stderr)
    downloader = pooch.HTTPDownloader(progressbar=is_shown, timeout=_TIMEOUT_SECONDS)
    problems = []
    for url in YUNET_URLS:
        try:
            pooch.retrieve(
                url,
                f"sha256:{YUNET_SHA256}",
                fname=path.name,
                path=path.parent,
                downloader=downloader,
            )
        except (OSError, ValueError) as error:
            problems.append(f"{url}: {error}")
        else:
            return path
    raise ConnectionError(
        f"YuNet's model file could not be downloaded ({'; '.join(problems)}). Check the network, "
        f"or put the file {YUNET_FILE} (SHA-256 {YUNET_SHA256[:12]}…) from one of these addresses "
        f"into {path.parent} by hand."
    )


def _model_path(folder=None):
    return data_home(folder) / YUNET_FILE


def _bgr_image(photo, max_side):
    """Return the photo as the network searches it, in BGR."""
    short, long = sorted(photo.shape[:2])
    is_tight = short < _YUNET_SMALL_SIDE and long <= 3 * short
    scale = _YUNET_SIDE / short if is_tight else min(1.0, max_side / long)
    padding = round(_YUNET_PADDING * _YUNET_SIDE) if is_tight else 0
    searched = working_image(photo, scale, padding=padding)
    to_bgr = cv2.COLOR_GRAY2BGR if photo.ndim == 2 else cv2.COLOR_RGB2BGR
    return WorkingImage(cv2.cvtColor(searched.pixels, to_bgr), searched.scale, searched.padding)


def _yunet(model):
    """Return this thread's network of a file."""
    path = _model_path() if model is None else Path(model).expanduser()
    try:
        found = path.stat()
        return _load_yunet(path, model is None, found.st_mtime_ns, found.st_size)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"There is no YuNet model {str(path)!r}. Call fer_sklearn.fetch_yunet() or run "
            f"`fer-sklearn info --fetch-yunet`, which downloads it once (0.2 MB), or pass "
            f"YuNetDetector(model=...) the path of a copy."
        ) from None


def _load_yunet_file(path: Path, is_published: bool, *version: int) -> Any:
    """Load a model file into a network; `version` makes the cache notice a changed file."""
    data = path.read_bytes()
    if is_published:
        _check_published(data, path)
    try:
        return cv2.FaceDetectorYN.create(
            "onnx",
            np.frombuffer(data, np.uint8),
            np.empty(0, np.uint8),
            (320, 320),
            nms_threshold=_YUNET_OVERLAP,
        )
    except cv2.error as error:
        raise ValueError(
            f"model={str(path)!r} cannot be read by OpenCV {cv2.__version__} as a YuNet network "
            f"({error.err}). Pass face_detection_yunet_2023mar.onnx, which "
            f"fer_sklearn.fetch_yunet() downloads."
        ) from error


# A network is not thread-safe. Each thread keeps only the last one.
_load_yunet = per_thread(_load_yunet_file, maxsize=1)


def _check_published(data, path):
    found = hashlib.sha256(data).hexdigest()
    if found != YUNET_SHA256:
        raise ValueError(
            f"{path} is not the file that OpenCV Zoo publishes: it has {len(data)} bytes and the "
            f"SHA-256 {found[:12]}…; expected {YUNET_SHA256[:12]}…. Call "
            f"fer_sklearn.fetch_yunet(), which replaces it; to use your own file, pass "
            f"YuNetDetector(model=...)."
        )
