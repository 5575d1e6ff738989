"""OpenCV's YuNet, a small network that detects faces and their eyes, and its model file."""

from __future__ import annotations

import hashlib
import os
import sys
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from .._utils.files import data_home, is_terminal
from .._utils.typing import PathLike, PixelArray
from ._faces import Faces, ParametersMixin, WorkingImage, per_thread, working_image

__all__ = ["YuNetDetector", "fetch_yunet"]

# A photo whose shorter side is below this may be all face. The network finds more faces if it
# is enlarged to the second side, with a border of this fraction: 95 instead of 92 of 100 faces
# of FER2013, 97 instead of 93 of scikit-image's 100 faces of 25 pixels.
_SMALL_SIDE, _TIGHT_SIDE, _TIGHT_PADDING = 150, 320, 0.2
# Boxes that overlap by more than this are one face: OpenCV's default.
_OVERLAP = 0.3

FILE = "face_detection_yunet_2023mar.onnx"
# From the Git LFS pointer models/face_detection_yunet/face_detection_yunet_2023mar.onnx in
# https://github.com/opencv/opencv_zoo, commit 82b38c8f98e7b52aa171400f3e4c722352d0669f.
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
# The repository, and its mirror by the same authors.
URLS = (
    f"https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/{FILE}",
    f"https://huggingface.co/opencv/face_detection_yunet/resolve/main/{FILE}",
)
_TIMEOUT_SECONDS = 30


class YuNetDetector(ParametersMixin):
    """Detect faces with OpenCV's ``FaceDetectorYN`` and a YuNet model file.

    YuNet is a network of 75 thousand parameters by Wu, Peng & Yu 2023 ("YuNet: A tiny
    millisecond-level face detector", Machine Intelligence Research 20). It finds small,
    tilted and half-turned faces that a Haar cascade misses, and their eyes. The object holds
    only its parameters, so that it can be pickled; each thread loads the network when it first
    needs it.

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

    model: str | None
    min_score: float
    max_side: int

    def __init__(
        self, model: PathLike | None = None, *, min_score: float = 0.7, max_side: int = 800
    ) -> None:
        if model is not None and not isinstance(model, (str, os.PathLike)):
            raise TypeError(f"model={model!r} must be the path of an ONNX file, or None.")
        if not (isinstance(min_score, Real) and 0 < min_score < 1):
            raise ValueError(f"min_score={min_score!r} must be a number in (0, 1).")
        if not (isinstance(max_side, Integral) and max_side >= 64):
            raise ValueError(f"max_side={max_side!r} must be an int of 64 or more.")
        self.model = None if model is None else os.fspath(model)
        self.min_score = min_score
        self.max_side = max_side

    def __call__(self, image: PixelArray) -> Faces:
        """Detect the faces in one photo.

        Parameters
        ----------
        image : ndarray of shape (h, w) or (h, w, 3), uint8
            Grey or RGB.

        Returns
        -------
        Faces

        Raises
        ------
        FileNotFoundError
            If there is no model file; the message says how to get it.
        ValueError
            If the file in the data folder is not the published one, or OpenCV cannot read
            `model` as a network.
        """
        searched = _bgr_image(image, self.max_side)
        network = _network(self.model)
        network.setScoreThreshold(self.min_score)
        network.setInputSize((searched.pixels.shape[1], searched.pixels.shape[0]))
        _, rows = network.detect(searched.pixels)
        if rows is None:
            return Faces.none()
        rows = rows.astype(np.float64)
        eyes = searched.points_in_photo(rows[:, 4:8].reshape(-1, 2, 2))
        left_first = np.argsort(eyes[:, :, 0], axis=1)[:, :, np.newaxis]
        eyes = np.take_along_axis(eyes, left_first, axis=1)
        return Faces(searched.boxes_in_photo(rows[:, :4]), rows[:, 14].copy(), eyes)


def fetch_yunet(folder: PathLike | None = None) -> Path:
    """Download YuNet's model file once, for :class:`YuNetDetector`.

    The file, ``face_detection_yunet_2023mar.onnx`` of OpenCV Zoo, has 0.2 MB and is under
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
        If it cannot be downloaded, or another file arrives. The message says how to get it
        by hand.
    """
    import pooch

    path = _model_path(folder)
    downloader = pooch.HTTPDownloader(progressbar=is_terminal(sys.stderr), timeout=_TIMEOUT_SECONDS)
    problems = []
    for url in URLS:
        try:
            pooch.retrieve(
                url, f"sha256:{SHA256}", fname=path.name, path=path.parent, downloader=downloader
            )
        except (OSError, ValueError) as error:
            problems.append(f"{url}: {error}")
        else:
            return path
    raise ConnectionError(
        f"YuNet's model file could not be downloaded ({'; '.join(problems)}). Check the network, "
        f"or put the file {FILE} (SHA-256 {SHA256[:12]}…) from one of these addresses into "
        f"{path.parent} by hand."
    )


def _model_path(folder=None):
    return data_home(folder) / FILE


def _bgr_image(photo, max_side):
    """Return the photo as the network searches it, in BGR."""
    import cv2

    short, long = sorted(photo.shape[:2])
    is_tight = short < _SMALL_SIDE and long <= 3 * short
    scale = _TIGHT_SIDE / short if is_tight else min(1.0, max_side / long)
    padding = round(_TIGHT_PADDING * _TIGHT_SIDE) if is_tight else 0
    searched = working_image(photo, scale, padding=padding)
    to_bgr = cv2.COLOR_GRAY2BGR if photo.ndim == 2 else cv2.COLOR_RGB2BGR
    return WorkingImage(cv2.cvtColor(searched.pixels, to_bgr), searched.scale, searched.padding)


def _network(model):
    """Return this thread's network of a file."""
    path = _model_path() if model is None else Path(model).expanduser()
    try:
        found = path.stat()
        return _load(path, model is None, found.st_mtime_ns, found.st_size)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"There is no YuNet model {str(path)!r}. Call fer_sklearn.fetch_yunet(), which "
            f"downloads it once (0.2 MB), or pass YuNetDetector(model=...) the path of a copy."
        ) from None


def _load_file(path: Path, is_published: bool, *version: int) -> Any:
    """Load a model file into a network; `version` makes the cache notice a changed file."""
    import cv2

    data = path.read_bytes()
    if is_published:
        _check_published(data, path)
    try:
        return cv2.FaceDetectorYN.create(
            "onnx",
            np.frombuffer(data, np.uint8),
            np.empty(0, np.uint8),
            (320, 320),
            nms_threshold=_OVERLAP,
        )
    except cv2.error as error:
        raise ValueError(
            f"model={str(path)!r} cannot be read by OpenCV {cv2.__version__} as a YuNet network "
            f"({error.err}). Pass face_detection_yunet_2023mar.onnx, which "
            f"fer_sklearn.fetch_yunet() downloads."
        ) from error


# A network is not thread-safe. Each thread keeps only the last one.
_load = per_thread(_load_file, maxsize=1)


def _check_published(data, path):
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256:
        raise ValueError(
            f"{path} is not the file that OpenCV Zoo publishes: it has {len(data)} bytes and the "
            f"SHA-256 {found[:12]}…; expected {SHA256[:12]}…. Call fer_sklearn.fetch_yunet(), "
            f"which replaces it; to use your own file, pass YuNetDetector(model=...)."
        )
