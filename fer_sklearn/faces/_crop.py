"""Cut a face out of a photo, upright or with its eyes made level."""

import math

import numpy as np

from ..images import resize

__all__ = ["crop_face", "crop_turned"]


def crop_face(photo, box, size, margin=0.0, eyes=None):
    """Cut a box out of a photo, in the proportions of `size`.

    Parameters
    ----------
    photo : ndarray of shape (h, w) or (h, w, 3), uint8
        Grey or RGB.
    box : sequence of float
        Left, top, width and height in pixels; what follows is ignored. Its shorter side is
        lengthened to the proportions of `size`, so that nothing is distorted.
    size : (int, int)
        Height and width of the result.
    margin : float, default=0.0
        Share of the box added on each of its sides.
    eyes : array-like of shape (2, 2) or None, default=None
        x and y of the eye further left in the photo, and of the other. The face is turned
        about the centre of its box until they are level; scale and centre stay. None or
        NaN: it is not turned.

    Returns
    -------
    ndarray of shape (height, width) or (height, width, 3), uint8
        Where the box leaves the photo, its border is continued.

    Examples
    --------
    >>> import numpy as np
    >>> crop_face(np.zeros((60, 80), np.uint8), (10, 20, 30, 30), (48, 48)).shape
    (48, 48)
    """
    return crop_turned(photo, box, size, margin, _tilt(eyes))


def crop_turned(photo, box, size, margin, angle):
    """Cut as `crop_face` does, the photo being turned back by `angle` degrees.

    A face that is turned clockwise by `angle` comes out upright.
    """
    left, top, width, height = (float(number) for number in box[:4])
    centre_x, centre_y = left + width / 2, top + height / 2
    unit = max(height / size[0], width / size[1]) * (1 + 2 * margin)
    height, width = max(1, round(unit * size[0])), max(1, round(unit * size[1]))
    if angle == 0:
        top, left = round(centre_y - height / 2), round(centre_x - width / 2)
        return resize(_window(photo, top, left, height, width), tuple(size))
    return resize(_turned(photo, (centre_x, centre_y), angle, height, width), tuple(size))


def _tilt(eyes):
    """Return by how many degrees a face is turned clockwise in the photo."""
    if eyes is None or not np.isfinite(eyes).all():
        return 0.0
    (x1, y1), (x2, y2) = np.asarray(eyes, dtype=np.float64)
    return math.degrees(math.atan2(y2 - y1, x2 - x1))


def _window(photo, top, left, height, width):
    """Return a part of the photo; beyond it, its border is continued."""
    import cv2

    bottom, right = top + height, left + width
    missing = (
        max(0, -top),
        max(0, bottom - photo.shape[0]),
        max(0, -left),
        max(0, right - photo.shape[1]),
    )
    if not any(missing):
        return photo[top:bottom, left:right]
    # Only what is needed is copied; at least a row and a column, for there to be a border.
    rows = slice(min(max(0, top), photo.shape[0] - 1), max(1, bottom))
    columns = slice(min(max(0, left), photo.shape[1] - 1), max(1, right))
    part = cv2.copyMakeBorder(photo[rows, columns], *missing, cv2.BORDER_REPLICATE)
    top, left = max(0, top - photo.shape[0] + 1), max(0, left - photo.shape[1] + 1)
    return part[top : top + height, left : left + width]


def _turned(photo, centre, angle, height, width):
    """Return a part of the photo about `centre`, of the photo turned back by `angle`."""
    import cv2

    # What a window of this side holds suffices whichever way it is turned.
    side = math.ceil(math.hypot(height, width)) + 4
    top, left = round(centre[1] - side / 2), round(centre[0] - side / 2)
    part = np.ascontiguousarray(_window(photo, top, left, side, side))
    matrix = cv2.getRotationMatrix2D((centre[0] - left - 0.5, centre[1] - top - 0.5), angle, 1.0)
    # The turned face comes to lie in the corner of the result, which has just its size.
    matrix[:, 2] += (width / 2 - (centre[0] - left), height / 2 - (centre[1] - top))
    return cv2.warpAffine(
        part, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
