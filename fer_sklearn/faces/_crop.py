"""Crop a face from a photo, upright or rotated so that its eyes are level."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .._utils.typing import ArrayLike, FloatArray, PixelArray
from ..images import resize

__all__ = ["crop_face", "crop_rotated"]


def crop_face(
    image: PixelArray,
    box: Sequence[float] | FloatArray,
    size: tuple[int, int],
    margin: float = 0.0,
    eyes: ArrayLike | None = None,
) -> PixelArray:
    """Crop a box from a photo, with the aspect ratio of `size`.

    Parameters
    ----------
    image : ndarray of shape (h, w) or (h, w, 3), uint8
        Grey or RGB.
    box : sequence of float
        Left, top, width and height in pixels; further numbers are ignored. Its shorter side is
        extended to the aspect ratio of `size`, so that nothing is distorted.
    size : (int, int)
        Height and width of the result.
    margin : float, default=0.0
        Fraction of the box to add on each side.
    eyes : array-like of shape (2, 2) or None, default=None
        x and y of the eye further left in the photo, and of the other. The face is rotated
        about the centre of its box until they are level; scale and centre stay. If None or
        NaN, it is not rotated.

    Returns
    -------
    ndarray of shape (height, width) or (height, width, 3), uint8
        Where the box extends beyond the photo, the photo's border is continued.

    Examples
    --------
    >>> import numpy as np
    >>> crop_face(np.zeros((60, 80), np.uint8), (10, 20, 30, 30), (48, 48)).shape
    (48, 48)
    """
    return crop_rotated(image, box, size, margin, _tilt(eyes))


def crop_rotated(
    image: PixelArray,
    box: Sequence[float] | FloatArray,
    size: tuple[int, int],
    margin: float,
    angle: float,
) -> PixelArray:
    """Crop as :func:`crop_face` does, from the photo rotated back by `angle` degrees.

    A face that is tilted clockwise by `angle` comes out upright.
    """
    left, top, width, height = (float(number) for number in box[:4])
    centre_x, centre_y = left + width / 2, top + height / 2
    unit = max(height / size[0], width / size[1]) * (1 + 2 * margin)
    n_rows, n_columns = max(1, round(unit * size[0])), max(1, round(unit * size[1]))
    if angle == 0:
        first_row, first_column = round(centre_y - n_rows / 2), round(centre_x - n_columns / 2)
        window = _window(image, first_row, first_column, n_rows, n_columns)
    else:
        window = _rotated(image, (centre_x, centre_y), angle, n_rows, n_columns)
    return resize(window, (size[0], size[1]))


def _tilt(eyes):
    """Return the clockwise tilt of a face in the photo, in degrees."""
    if eyes is None or not np.isfinite(eyes).all():
        return 0.0
    (x1, y1), (x2, y2) = np.asarray(eyes, dtype=np.float64)
    return math.degrees(math.atan2(y2 - y1, x2 - x1))


def _window(image, top, left, height, width):
    """Return a part of the photo; beyond it, its border is continued."""
    import cv2

    bottom, right = top + height, left + width
    missing = (
        max(0, -top),
        max(0, bottom - image.shape[0]),
        max(0, -left),
        max(0, right - image.shape[1]),
    )
    if not any(missing):
        return image[top:bottom, left:right]
    # Copy only what is needed, but at least one row and column, so that there is a border.
    rows = slice(min(max(0, top), image.shape[0] - 1), max(1, bottom))
    columns = slice(min(max(0, left), image.shape[1] - 1), max(1, right))
    part = cv2.copyMakeBorder(image[rows, columns], *missing, cv2.BORDER_REPLICATE)
    top, left = max(0, top - image.shape[0] + 1), max(0, left - image.shape[1] + 1)
    return part[top : top + height, left : left + width]


def _rotated(image, centre, angle, height, width):
    """Return the part about `centre` of the photo rotated back by `angle`."""
    import cv2

    # A window with this side contains the part at any angle.
    side = math.ceil(math.hypot(height, width)) + 4
    top, left = round(centre[1] - side / 2), round(centre[0] - side / 2)
    part = np.ascontiguousarray(_window(image, top, left, side, side))
    matrix = cv2.getRotationMatrix2D((centre[0] - left - 0.5, centre[1] - top - 0.5), angle, 1.0)
    # Shift the rotated face into the corner of the result, which has exactly its size.
    matrix[:, 2] += (width / 2 - (centre[0] - left), height / 2 - (centre[1] - top))
    return cv2.warpAffine(
        part, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
