"""Crop faces as they are framed in FER2013, by their key points or by their boxes."""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from itertools import compress
from typing import Any, NamedTuple

import numpy as np

from .._utils.compat import cv2
from .._utils.typing import ArrayLike, FloatArray, ImageLike, PixelArray, Size
from .._utils.validation import check_pair
from ..images import as_photo, to_gray
from ._faces import KEYPOINTS, Faces, as_faces

__all__ = [
    "FRAMINGS",
    "Placement",
    "Pyramid",
    "crop_face",
    "crop_faces",
    "face_quality",
    "place",
    "sample",
    "warp",
]

#: The values of `framing` parameters.
FRAMINGS = ("keypoints", "box")

# Positions of key points in FER2013's images: medians over the training images, as fractions of the
# image. A crop is placed by the eyes and the mouth; the nose moves as the head turns. Tighter and
# wider crops do not improve recognition (benchmarks/framing.py).
_IN_CROP = {
    "right_eye": (15.1 / 48, 18.9 / 48),
    "left_eye": (32.9 / 48, 18.7 / 48),
    "mouth": (24.3 / 48, 37.2 / 48),
}
_USED = [KEYPOINTS.index(name) for name in _IN_CROP]
_EYES = [KEYPOINTS.index(name) for name in ("right_eye", "left_eye")]
_NOSE = KEYPOINTS.index("nose")
# Key points are ignored if they imply a face this many times as large as its box does.
_MISPLACED = 1.8
# A pixel of a crop is the mean of at most this many samples in each direction.
_MOST_SAMPLES = 16
# OpenCV only warps images with sides of less than 32,768 pixels.
_LONGEST_SIDE = 16_384
# Values at which a face has the best quality: its side in pixels, and the contrast between
# neighbouring pixels of a crop of 48, in grey levels. A quarter of FER2013's training images have
# less contrast.
_FULL_SIDE, _FULL_CONTRAST = 48, 9.0


class Placement(NamedTuple):
    """The position of a crop in its photo."""

    x: float  # of its centre, in pixels of the photo
    y: float
    unit: float  # width of a pixel of the crop, in pixels of the photo
    angle: float  # in degrees, by which the face is turned clockwise


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
        index = max(0, math.floor(math.log2(unit)))
        while len(self._levels) <= index:
            last = self._levels[-1]
            if max(last.shape[:2]) < 2:
                break
            height, width = max(1, last.shape[0] // 2), max(1, last.shape[1] // 2)
            # Without an odd last row or column, every pixel is the mean of exactly four.
            even = last[: 2 * height, : 2 * width]
            self._levels.append(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA))
        index = min(index, len(self._levels) - 1)
        return self._levels[index], float(2**index)

    def read(self, placements: Sequence[Placement], size: tuple[int, int]) -> PixelArray:
        """Interpolate crops, each in the smallest copy that has its pixels.

        Parameters
        ----------
        placements : sequence of Placement
        size : (int, int)
            Height and width of the crops.

        Returns
        -------
        ndarray of shape (n_placements, height, width, 3), uint8
            RGB; black beyond the photo.
        """
        crops = np.empty((len(placements), *size, 3), np.uint8)
        for crop, (x, y, unit, angle) in zip(crops, placements, strict=True):
            copy, width = self.level(unit)
            scaled = Placement(x / width, y / width, unit / width, angle)
            how, beyond = cv2.INTER_LINEAR, cv2.BORDER_CONSTANT
            pixels = sample(copy, scaled, size, how=how, beyond=beyond)
            crop[:] = cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB) if pixels.ndim == 2 else pixels
        return crops


def crop_face(
    image: ImageLike | ArrayLike,
    box: Sequence[float] | FloatArray,
    size: Size,
    keypoints: ArrayLike | None = None,
    *,
    box_in_crop: Sequence[float] = Faces.box_in_crop,
) -> PixelArray:
    """Crop one face from a photo, framed as in FER2013.

    The face is moved, rotated and scaled in one step, so that its eyes and mouth are where they are
    in FER2013's images. Without key points, it is moved and scaled by its box instead.

    Parameters
    ----------
    image : str, path-like, bytes, file object, or array-like
        The photo, as :func:`~fer_sklearn.detect_faces` takes it.
    box : sequence of float
        Left, top, width and height in pixels; further numbers are ignored.
    size : int or (int, int)
        Side of the result, or its height and width. If they differ, more of the photo is shown
        along the longer side; nothing is distorted.
    keypoints : array-like of shape (6, 2) or None, default=None
        As in :class:`Faces`; NaN where unknown. If an eye is unknown, or the key points contradict
        the box, the box is used.
    box_in_crop : sequence of 4 float, default=(0.02, 0.01, 0.95, 0.95)
        As in :class:`Faces`; ``(0, 0, 1, 1)`` crops the box itself.

    Returns
    -------
    ndarray of shape (height, width) or (height, width, 3), uint8
        Where it extends beyond the photo, the border pixels are repeated.

    Examples
    --------
    >>> import numpy as np
    >>> crop_face(np.zeros((60, 80), np.uint8), (10, 20, 30, 30), (48, 48)).shape
    (48, 48)
    """
    photo = as_photo(image, name="image")
    size = check_pair("size", size, "(height, width)")
    points = None if keypoints is None else [keypoints]
    given: tuple[Any, ...] = ([box[:4]], None, points, box_in_crop)
    faces = as_faces(Faces(*given), "crop_face received")
    return crop_faces(photo, faces, size)[0]


def crop_faces(
    image: PixelArray, faces: Faces, size: tuple[int, int], framing: str = "keypoints"
) -> list[PixelArray]:
    """Crop faces from the photo in which they were detected, as :func:`crop_face` does.

    Parameters
    ----------
    image : ndarray of shape (h, w) or (h, w, 3), uint8
    faces : Faces
    size : (int, int)
        Height and width of the crops.
    framing : {"keypoints", "box"}, default="keypoints"
        Whether key points or boxes place the crops. Faces without key points are always placed by
        their boxes.

    Returns
    -------
    list of ndarray of shape (height, width) or (height, width, 3), uint8
    """
    return [warp(image, placement, size) for placement in _placements(faces, size, framing)]


def face_quality(
    shape: tuple[int, ...],
    faces: Faces,
    crops: Sequence[PixelArray],
    framing: str = "keypoints",
) -> FloatArray:
    """Measure how well each face can be seen, to filter out faces that cannot be classified.

    The quality is the product of five parts, each of which is 1 at best:

    - size: the side of the crop in pixels of the photo, over 48;
    - sharpness: the contrast between neighbouring pixels of the crop, scaled to 48 pixels, over
      that of a clear image of FER2013. Blurred, dark and pale faces have little;
    - the fraction of the crop that is inside the photo;
    - how frontal the face is: twice the distance from the nose to the nearer eye, along the line
      through both eyes, over the distance between them; 1 without key points;
    - the score of the detector, if that is in [0, 1].

    Parameters
    ----------
    shape : tuple of int
        Shape of the photo: height and width first.
    faces : Faces
    crops : list of ndarray of shape (height, width) or (height, width, 3), uint8
        What :func:`crop_faces` returned.
    framing : {"keypoints", "box"}, default="keypoints"
        As it was passed there.

    Returns
    -------
    ndarray of shape (n_faces,), float64
        In [0, 1].
    """
    if not len(crops):
        return np.empty(0)
    size = crops[0].shape[:2]
    placements = _placements(faces, size, framing)
    sides = np.array([placement.unit * min(size) for placement in placements])
    parts = [
        sides / _FULL_SIDE,
        np.array([_contrast(crop) for crop in crops]) / _FULL_CONTRAST,
        np.array([_inside(shape, placement, size) for placement in placements]),
        _frontal(faces.keypoints),
        np.where((faces.scores >= 0) & (faces.scores <= 1), faces.scores, 1.0),
    ]
    return np.prod(np.clip(parts, 0, 1), axis=0)


def place(
    box: Sequence[float] | FloatArray,
    size: tuple[int, int],
    keypoints: ArrayLike | None = None,
    *,
    box_in_crop: Sequence[float] = Faces.box_in_crop,
) -> Placement:
    """Return where :func:`crop_face` puts a crop.

    Parameters
    ----------
    box, size, keypoints, box_in_crop
        As in :func:`crop_face`.
    """
    left, top, width, height = (float(number) for number in box[:4])
    in_left, in_top, in_width, in_height = box_in_crop
    # The smallest crop of this shape in which the box takes up no more than its fraction.
    unit = max(width / (in_width * size[1]), height / (in_height * size[0]))
    if keypoints is not None:
        placed = _by_keypoints(np.asarray(keypoints, np.float64), size)
        if placed is not None and 1 / _MISPLACED < placed.unit / unit < _MISPLACED:
            return placed
    x = left + width / 2 + (0.5 - in_left - in_width / 2) * unit * size[1]
    y = top + height / 2 + (0.5 - in_top - in_height / 2) * unit * size[0]
    return Placement(x, y, unit, 0.0)


def _by_keypoints(keypoints, size):
    """Return the placement that brings eyes and mouth closest to where they belong, or None."""
    # Plain complex numbers: for three points, arrays would take ten times as long.
    points = [complex(x, y) for x, y in keypoints[_USED].tolist()]
    known = [cmath.isfinite(point) for point in points]
    if not all(known[:2]):
        return None
    found = list(compress(points, known))
    wanted = [complex(x - 0.5, y - 0.5) * min(size) for x, y in compress(_IN_CROP.values(), known)]
    found_centre, wanted_centre = sum(found) / len(found), sum(wanted) / len(wanted)
    # Least squares over similarities: a complex factor turns and scales.
    towards = [point - wanted_centre for point in wanted]
    factor = sum(
        offset.conjugate() * (point - found_centre)
        for offset, point in zip(towards, found, strict=True)
    ) / sum(abs(offset) ** 2 for offset in towards)
    if factor == 0:
        return None
    centre = found_centre - factor * wanted_centre
    return Placement(centre.real, centre.imag, abs(factor), math.degrees(cmath.phase(factor)))


def _placements(faces, size, framing):
    points = faces.keypoints if framing == "keypoints" else [None] * len(faces)
    return [
        place(box, size, keypoints, box_in_crop=faces.box_in_crop)
        for box, keypoints in zip(faces.boxes, points, strict=True)
    ]


def warp(image: PixelArray, placement: Placement, size: tuple[int, int]) -> PixelArray:
    """Read a crop from a photo in one step.

    Parameters
    ----------
    image : ndarray of shape (h, w) or (h, w, 3), uint8
    placement : Placement
    size : (int, int)
        Height and width of the crop.

    Returns
    -------
    ndarray of shape (height, width) or (height, width, 3), uint8
        A pixel that shows more than one pixel of the photo is the mean of samples that are a pixel
        of the photo apart, at most 16 by 16; otherwise it is interpolated by cubics.
    """
    height, width = size
    # Rounding errors must not double the samples.
    n = min(max(1, math.ceil(placement.unit - 1e-6)), _MOST_SAMPLES)
    samples = sample(
        image,
        placement._replace(unit=placement.unit / n),
        (height * n, width * n),
        how=cv2.INTER_LINEAR if placement.unit >= 1 else cv2.INTER_CUBIC,
        beyond=cv2.BORDER_REPLICATE,
    )
    return samples if n == 1 else cv2.resize(samples, (width, height), interpolation=cv2.INTER_AREA)


def sample(
    image: PixelArray, placement: Placement, size: tuple[int, int], *, how: int, beyond: int
) -> PixelArray:
    """Interpolate a photo at the middles of the pixels of a crop.

    Parameters
    ----------
    image : ndarray of shape (h, w) or (h, w, 3), uint8
    placement : Placement
    size : (int, int)
        Height and width of the crop.
    how, beyond : int
        OpenCV's interpolation, and its mode for pixels beyond the photo.

    Returns
    -------
    ndarray of shape (height, width) or (height, width, 3), uint8
    """
    x, y, unit, angle = placement
    height, width = size
    cosine, sine = math.cos(math.radians(angle)) * unit, math.sin(math.radians(angle)) * unit
    # The middle of pixel 0 is at 0.5 in the photo, and at 0 for OpenCV.
    left = x - 0.5 + cosine * (0.5 - width / 2) - sine * (0.5 - height / 2)
    top = y - 0.5 + sine * (0.5 - width / 2) + cosine * (0.5 - height / 2)
    # Pass OpenCV only the part that is needed.
    columns = _span(left, cosine * width, -sine * height, image.shape[1])
    rows = _span(top, sine * width, cosine * height, image.shape[0])
    part = image[rows, columns]
    matrix = np.array([[cosine, -sine, left - columns.start], [sine, cosine, top - rows.start]])
    if max(part.shape[:2]) > _LONGEST_SIDE:
        # A part this long has hundreds of pixels for each of the crop's: shrink it first.
        sides = np.array(part.shape[1::-1])
        shrunken = np.maximum(sides * _LONGEST_SIDE // sides.max(), 1)
        part = cv2.resize(part, shrunken.tolist(), interpolation=cv2.INTER_AREA)
        scale = shrunken / sides
        matrix = matrix * scale[:, np.newaxis]
        matrix[:, 2] += (scale - 1) / 2  # Pixel 0 is at 0, and its edge at -0.5.
    return cv2.warpAffine(
        part,
        matrix,
        (width, height),
        flags=how | cv2.WARP_INVERSE_MAP,
        borderMode=beyond,
    )


def _span(start, across, down, length):
    """Return which rows or columns of a photo a crop needs, at least one of them.

    Its first corner is at `start`, its neighbours `across` and `down` from there.
    """
    low = math.floor(start + min(across, 0) + min(down, 0)) - 2
    high = math.ceil(start + max(across, 0) + max(down, 0)) + 3
    low = min(max(low, 0), length - 1)
    return slice(low, min(max(high, low + 1), length))


def _contrast(crop):
    """Return the root mean square difference of neighbouring pixels, at 48 pixels."""
    gray = cv2.resize(to_gray(crop), (48, 48), interpolation=cv2.INTER_AREA)
    # The corners show hair and background.
    gray = gray[8:40, 8:40]
    neighbours = (gray[1:], gray[:-1]), (gray[:, 1:], gray[:, :-1])
    return math.sqrt(sum(cv2.norm(*pair, cv2.NORM_L2SQR) / pair[0].size for pair in neighbours))


def _inside(shape, placement, size):
    """Return the fraction of a crop that is inside the photo."""
    # Most crops are entirely inside, even if they are rotated.
    reach = placement.unit * math.hypot(*size) / 2
    if reach <= min(placement.x, placement.y, shape[1] - placement.x, shape[0] - placement.y):
        return 1.0
    grid = (np.arange(8) + 0.5) / 8 - 0.5
    offsets = placement.unit * (grid * size[1] + 1j * (grid * size[0])[:, np.newaxis])
    points = offsets * np.exp(1j * math.radians(placement.angle))
    x, y = placement.x + points.real, placement.y + points.imag
    return ((x >= 0) & (x <= shape[1]) & (y >= 0) & (y <= shape[0])).mean()


def _frontal(keypoints):
    """Return how frontal faces are, from 1 to 0 for a profile."""
    right, left = np.moveaxis(keypoints[:, _EYES], 1, 0)
    across = left - right
    with np.errstate(divide="ignore", invalid="ignore"):
        along = ((keypoints[:, _NOSE] - right) * across).sum(axis=1) / (across**2).sum(axis=1)
    return np.where(np.isnan(along), 1.0, 2 * np.minimum(along, 1 - along))
