"""OpenCV's cascades, each loaded once a thread: a second opinion on a face, and its eyes."""

import math
import threading

import numpy as np

from ..exceptions import MissingExtraError
from ..images import to_gray
from ._crop import crop_turned

__all__ = ["agreement", "cascade", "find_eyes"]

# A second opinion is asked on a face of half this side, with what is around it, and on
# faces of these sizes.
_OPINION_SIDE, _OPINION_MARGIN, _OPINION_SIZES = 72, 0.3, (28, 64)
# Eyes are looked for in a face of this side, between these rows, in halves that overlap.
_SIDE = 96
_ROWS = slice(4, 68)
_HALF = 56
# An eye is this large in such a face.
_EYE_SIZES = (20, 40)
# Farther apart than this share of the face's side, and more level than this angle.
_LEAST_DISTANCE, _LARGEST_TILT = 0.25, math.radians(25)

_loaded = threading.local()


def cascade(name):
    """Return this thread's copy of a cascade, which OpenCV lets only one thread use at a time.

    Raises
    ------
    MissingExtraError
        If the installed OpenCV has no cascades.
    """
    import cv2

    if not hasattr(cv2, "CascadeClassifier"):
        raise MissingExtraError(
            f"OpenCV {cv2.__version__} has no Haar cascades any more. "
            f"Type: pip install 'opencv-python-headless>=4.10,<5', or pass another detector, "
            f"such as 'yunet'."
        )
    if not hasattr(_loaded, name):
        file = f"{cv2.data.haarcascades}haarcascade_{name}.xml"
        setattr(_loaded, name, cv2.CascadeClassifier(file))
    return getattr(_loaded, name)


def agreement(photo, box, angle=0.0):
    """Ask a second cascade, ``frontalface_alt``, how many faces it sees about a box.

    Trained apart from the first, it seldom errs in the same place.

    Parameters
    ----------
    photo : ndarray of shape (h, w) or (h, w, 3), uint8
    box : sequence of float
        Left, top, width and height of what may be a face.
    angle : float, default=0.0
        By how many degrees the face is turned clockwise.

    Returns
    -------
    int
        In how many positions and sizes it sees one; 0 where it sees none.
    """
    side = (_OPINION_SIDE, _OPINION_SIDE)
    part = to_gray(crop_turned(photo, box, side, _OPINION_MARGIN, angle))
    low, high = _OPINION_SIZES
    seen = cascade("frontalface_alt").detectMultiScale(
        np.ascontiguousarray(part),
        scaleFactor=1.1,
        minNeighbors=0,
        minSize=(low, low),
        maxSize=(high, high),
    )
    return len(seen)


def find_eyes(photo, box, angle=0.0):
    """Look for the eyes of a face.

    Parameters
    ----------
    photo, box, angle
        As in `agreement`.

    Returns
    -------
    ndarray of shape (2, 2), float64
        x and y of the eye further left, and of the other, in pixels of the photo. NaN
        unless both are seen where eyes can be.
    """
    face = to_gray(crop_turned(photo, box, (_SIDE, _SIDE), 0.0, angle))
    eyes = np.array([_strongest_eye(half) for half in (face[_ROWS, :_HALF], face[_ROWS, -_HALF:])])
    eyes += [(0, _ROWS.start), (_SIDE - _HALF, _ROWS.start)]
    right, down = eyes[1] - eyes[0]
    # Otherwise one of them is not seen, or is a brow, a nostril or a wrinkle.
    if right > _LEAST_DISTANCE * _SIDE and abs(math.atan2(down, right)) < _LARGEST_TILT:
        return _in_photo(eyes, box, angle)
    return np.full((2, 2), np.nan)


def _strongest_eye(half):
    """Return the centre of what looks most like an eye in half a face, or NaN."""
    low, high = _EYE_SIZES
    boxes, counts = cascade("eye").detectMultiScale2(
        np.ascontiguousarray(half),
        scaleFactor=1.1,
        minNeighbors=1,
        minSize=(low, low),
        maxSize=(high, high),
    )
    if len(boxes) == 0:
        return np.nan, np.nan
    left, top, width, height = boxes[np.argmax(counts)]
    return left + width / 2, top + height / 2


def _in_photo(points, box, angle):
    """Map points of the upright square face back into the photo."""
    left, top, width, height = box
    unit = max(width, height) / _SIDE
    across, down = (points - _SIDE / 2).T * unit
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return np.column_stack(
        [
            left + width / 2 + cosine * across - sine * down,
            top + height / 2 + sine * across + cosine * down,
        ]
    )
