"""OpenCV's YuNet, a small network that finds faces, their eyes and a score."""

import os
import threading
from numbers import Integral, Real
from pathlib import Path

import numpy as np

from ..images import resize, thin_out
from ._faces import Faces
from ._fetch import checked_bytes, yunet_path
from ._parameters import ByParameters

__all__ = ["YuNetDetector"]

# A photo whose shorter side is below this may be all face. The network finds more where it
# is enlarged to the second side, with a border of this share: 95 in place of 92 of 100 faces
# of FER2013, 97 in place of 93 of scikit-image's 100 of 25 pixels.
_SMALL_SIDE, _TIGHT_SIDE, _TIGHT_PADDING = 150, 320, 0.2
# Boxes that overlap by more than this are one face: OpenCV's default.
_OVERLAP = 0.3

_loaded = threading.local()


class YuNetDetector(ByParameters):
    """Find faces with OpenCV's ``FaceDetectorYN`` and a YuNet model file.

    YuNet is a network of 75 thousand parameters by Wu, Peng & Yu 2023 ("YuNet: A tiny
    millisecond-level face detector", Machine Intelligence Research 20). It finds small,
    tilted and half-turned faces that a Haar cascade misses, and tells where their eyes
    are. The object holds only its parameters, so that it pickles; each thread loads the
    network when it first looks for a face.

    Parameters
    ----------
    model : str, path-like or None, default=None
        An ONNX file of YuNet, such as ``face_detection_yunet_2023mar.onnx`` from OpenCV Zoo.
        None is the file that :func:`fetch_yunet` put into the data folder, which is
        compared with its published SHA-256 each time it is loaded.
    min_score : float, default=0.7
        Faces with a lower score, from 0 to 1, are left out.
    max_side : int, default=800
        Larger photos are shrunk to this longer side before they are searched. Faces of
        some 10 pixels in the shrunk photo are found.

    Examples
    --------
    >>> YuNetDetector("yunet.onnx", min_score=0.9)
    YuNetDetector(model='yunet.onnx', min_score=0.9, max_side=800)
    """

    def __init__(self, model=None, *, min_score=0.7, max_side=800):
        if model is not None and not isinstance(model, (str, os.PathLike)):
            raise TypeError(f"model={model!r} must be the path of an ONNX file, or None.")
        if not (isinstance(min_score, Real) and 0 < min_score < 1):
            raise ValueError(f"min_score={min_score!r} must be a number in (0, 1).")
        if not (isinstance(max_side, Integral) and max_side >= 64):
            raise ValueError(f"max_side={max_side!r} must be an int of 64 or more.")
        self.model = None if model is None else os.fspath(model)
        self.min_score = min_score
        self.max_side = max_side

    def __call__(self, photo):
        """Find the faces of one photo.

        Parameters
        ----------
        photo : ndarray of shape (h, w) or (h, w, 3), uint8
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
        image, scale, padding = _working_image(photo, self.max_side)
        network = _network(self.model)
        network.setScoreThreshold(self.min_score)
        network.setInputSize((image.shape[1], image.shape[0]))
        _, rows = network.detect(image)
        if rows is None:
            return Faces.none()
        rows = rows.astype(np.float64)
        points = (rows[:, 4:8].reshape(-1, 2, 2) - padding) / scale
        boxes = np.column_stack([rows[:, :2] - padding, rows[:, 2:4]]) / scale
        left_first = np.argsort(points[:, :, 0], axis=1)[:, :, np.newaxis]
        return Faces(boxes, rows[:, 14].copy(), np.take_along_axis(points, left_first, axis=1))


def _working_image(photo, max_side):
    """Return the BGR image that is searched, its scale, and the border around it."""
    import cv2

    height, width = photo.shape[:2]
    short, long = min(height, width), max(height, width)
    is_tight = short < _SMALL_SIDE and long <= 3 * short
    scale = _TIGHT_SIDE / short if is_tight else min(1.0, max_side / long)
    image = resize(
        thin_out(photo, scale), (max(1, round(height * scale)), max(1, round(width * scale)))
    )
    padding = round(_TIGHT_PADDING * _TIGHT_SIDE) if is_tight else 0
    if padding:
        image = cv2.copyMakeBorder(image, *[padding] * 4, cv2.BORDER_REPLICATE)
    to_bgr = cv2.COLOR_GRAY2BGR if image.ndim == 2 else cv2.COLOR_RGB2BGR
    return cv2.cvtColor(image, to_bgr), scale, padding


def _network(model):
    """Return this thread's network of a file, which only one thread may use at a time."""
    path = yunet_path() if model is None else Path(model).expanduser()
    try:
        found = path.stat()
        key = (path, found.st_mtime_ns, found.st_size)
        if getattr(_loaded, "key", None) != key:
            data = checked_bytes(path) if model is None else path.read_bytes()
            _loaded.network, _loaded.key = _create(data, path), key
    except FileNotFoundError:
        raise FileNotFoundError(
            f"There is no YuNet model {str(path)!r}. Call fer_sklearn.fetch_yunet(), which "
            f"downloads it once (0.2 MB), or pass YuNetDetector(model=...) the path of a copy."
        ) from None
    return _loaded.network


def _create(data, path):
    import cv2

    buffer = np.frombuffer(data, np.uint8)
    try:
        return cv2.FaceDetectorYN.create(
            "onnx", buffer, np.empty(0, np.uint8), (320, 320), nms_threshold=_OVERLAP
        )
    except cv2.error as error:
        raise ValueError(
            f"model={str(path)!r} cannot be read by OpenCV {cv2.__version__} as a YuNet network "
            f"({error.err}). Pass face_detection_yunet_2023mar.onnx, which "
            f"fer_sklearn.fetch_yunet() downloads."
        ) from error
