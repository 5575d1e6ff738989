"""Interpret and normalise pixel values, and store stacks that are too large for memory.

:func:`to_pixels` and :func:`to_uint8` implement the table of dtypes and ranges, and
:func:`check_pixel_range` compares them with those seen in fit.
"""

from __future__ import annotations

import errno
import math
import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from .compat import cv2
from .typing import ArrayLike, NDArray, PixelArray
from .validation import check_choice

__all__ = [
    "NORMALIZATIONS",
    "PixelStack",
    "check_finite",
    "check_pixel_range",
    "contains_items",
    "empty_pixels",
    "max_memory",
    "normalize_pixels",
    "on_white",
    "take_rows",
    "to_gray",
    "to_pixels",
    "to_uint8",
    "to_unit_floats",
    "unit_range",
]

#: The methods of :func:`normalize_pixels`.
NORMALIZATIONS = ("unit", "standard", "equalize", "clahe")

# Interpolation leaves values this far outside [0, 1] and [0, 255].
_FLOAT_SLACK = 1e-3
# Values of white in uint16 arrays of 8, 10, 12 and 16 bits.
_WHITES = (255, 1023, 4095, 65535)
# How far pixels may leave the range that they had in fit: cubic interpolation overshoots.
_RANGE_SLACK = 0.1
# Floats up to the first are [0, 1], overshoot included; from the second on, 0..255. Between them
# lie x / 127.5 and the like: in 0..255 they would be black.
_LEAST_PIXELS = 16  # fewer numbers are not a picture, and may have any range
_UNIT_HIGH, _BYTES_LOW = 1 + _RANGE_SLACK, 2 + _FLOAT_SLACK
# The brightest pixel of an image in 0..255 is not below this.
_BYTES = 16
# Contrast limit of CLAHE, and tiles per side: 12 pixels of a 48-pixel face.
_CLAHE_CLIP, _CLAHE_TILES = 2.0, 4
# A stack that is too large for memory is processed in parts of this many bytes.
_BYTES_AT_ONCE = 2**24
_MAX_MEMORY = "FER_SKLEARN_MAX_MEMORY"
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?", re.IGNORECASE)


def contains_items(array: NDArray[Any]) -> bool:
    """Return whether an array contains paths, text or objects, and not pixels."""
    return array.dtype.kind in "OUST"


def to_pixels(array: ArrayLike, *, name: str = "array", is_batch: bool = False) -> PixelArray:
    """Convert integer and bool pixels to 8 bits, and return float pixels as they are.

    ===============  =================================================================
    dtype            meaning
    ===============  =================================================================
    uint8            0 is black, 255 is white; returned as it is, not copied
    bool             False is black (0), True is white (255)
    uint16           white is 255, 1023, 4095 or 65535 (8, 10, 12 or 16 bits): the lowest
                     that no pixel exceeds. Scaled to 0..255
    other integers   must lie in 0..255
    float            see :func:`to_uint8` where pixels must become 8 bits, and
                     :func:`check_pixel_range` where they stay floats
    ===============  =================================================================

    The meaning is decided for the whole array.

    Parameters
    ----------
    array : array-like of any shape
        In any byte order.
    name : str, default="array"
        Its name in error messages.
    is_batch : bool, default=False
        Whether the first axis counts images, which error messages then name.

    Returns
    -------
    ndarray of the same shape, uint8 or float
        In native byte order.

    Raises
    ------
    ValueError
        For integers outside these ranges, and dtypes that are not numeric.

    Examples
    --------
    >>> to_pixels(np.array([False, True])), to_pixels(np.array([0, 255], np.uint16))
    (array([  0, 255], dtype=uint8), array([  0, 255], dtype=uint8))
    """
    array = np.asarray(array)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype == np.uint8 or array.dtype.kind == "f":
        return array
    if array.size == 0:
        return array.astype(np.uint8)
    if array.dtype == bool:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        return _from_uint16(array)
    if array.dtype.kind in "iu":
        return _small_integers(array, name, is_batch)
    raise ValueError(
        f"{name} has dtype {array.dtype}; expected an image of bool, integer or float pixels."
    )


def to_uint8(array: ArrayLike, *, name: str = "array", is_batch: bool = False) -> PixelArray:
    """Convert an image, or a stack of images, of any dtype to 8 bits.

    Integers and bool as in ``to_pixels``. Floats lie in [0, 1] if no value is above 1, and are
    scaled; otherwise they lie in [0, 255]. Values that exceed the range by less than a tenth of 1,
    as after cubic interpolation, are clipped; a highest value from 1.1 to 2 is rejected. The range
    is decided for the whole array: a float stack in 0..255 in which no pixel exceeds 1 is treated
    as [0, 1].

    Parameters
    ----------
    array : array-like of any shape
    name, is_batch
        As in ``to_pixels``.

    Returns
    -------
    ndarray of the same shape, uint8
        Rounded to the nearest integer. `array` itself if it is uint8.

    Raises
    ------
    ValueError
        For NaN, infinity, values outside these ranges, and dtypes that are not numeric.

    Examples
    --------
    >>> to_uint8([[0.0, 0.5, 1.0]])
    array([[  0, 128, 255]], dtype=uint8)
    """
    pixels = to_pixels(array, name=name, is_batch=is_batch)
    if pixels.dtype == np.uint8 or pixels.size == 0:
        return pixels.astype(np.uint8, copy=False)
    low, high = check_finite(pixels, name=name, is_batch=is_batch)
    n_pixels = math.prod(pixels.shape[1:]) if is_batch else pixels.size
    is_unclear = n_pixels >= _LEAST_PIXELS and _UNIT_HIGH < high <= _BYTES_LOW
    if low < -_RANGE_SLACK or is_unclear or high > 255 + _RANGE_SLACK:
        raise ValueError(
            f"{name} has float pixels from {low:g} to {high:g}; expected [0, 1] or [0, 255]. "
            f"Rescale them first."
        )
    scale = 255 if high <= _UNIT_HIGH else 1
    return np.clip(np.floor(pixels.astype(np.float32) * scale + 0.5), 0, 255).astype(np.uint8)


def check_finite(
    pixels: PixelArray, *, name: str = "array", is_batch: bool = False
) -> tuple[float, float]:
    """Return the lowest and the highest pixel; refuse NaN and infinity.

    Parameters
    ----------
    pixels : ndarray
        Not empty.
    name, is_batch
        As in ``to_pixels``.

    Raises
    ------
    ValueError
        Names the first image of a batch that contains NaN or infinity.
    """
    low, high = pixels.min(), pixels.max()
    if np.isfinite(low) and np.isfinite(high):
        return float(low), float(high)
    is_bad = ~np.isfinite(pixels)
    if not is_batch:
        raise ValueError(
            f"{name} has {np.count_nonzero(is_bad)} pixel(s) that are NaN or infinite; expected "
            f"finite numbers. Replace them, for example with np.nan_to_num."
        )
    rows = np.flatnonzero(is_bad.reshape(len(pixels), -1).any(axis=1))
    found = "NaN" if np.isnan(pixels[rows[0]]).any() else "infinity"
    raise ValueError(
        f"{name}[{rows[0]}] contains {found}; {len(rows)} of {len(pixels)} images contain NaN or "
        f"infinity; expected finite numbers. Leave such images out, or replace these values, for "
        f"example with np.nan_to_num."
    )


def unit_range(pixels: PixelArray) -> tuple[float, float]:
    """Return the lowest and highest pixel, with integers divided by 255."""
    scale = 255.0 if pixels.dtype == np.uint8 else 1.0
    return float(pixels.min()) / scale, float(pixels.max()) / scale


def on_white(image: Image.Image) -> PixelArray:
    """Composite an RGBA image on white.

    Parameters
    ----------
    image : PIL.Image.Image of mode "RGBA"

    Returns
    -------
    ndarray of shape (h, w, 3), uint8
    """
    background = Image.new("RGBA", image.size, (255, 255, 255, 255))
    background.alpha_composite(image)
    return np.array(background.convert("RGB"))


def to_gray(image: PixelArray) -> PixelArray:
    """Convert RGB to grey with the luma weights of ITU-R BT.601, as JPEG does.

    Parameters
    ----------
    image : ndarray of shape (h, w) or (h, w, 3), uint8

    Returns
    -------
    ndarray of shape (h, w), uint8
        `image` itself if it is grey.
    """
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def to_unit_floats(pixels: PixelArray) -> PixelArray:
    """Scale integer pixels to [0, 1], and leave floats as they are.

    Parameters
    ----------
    pixels : ndarray of shape (n, h, w) or (n, h, w, 3), uint8 or float

    Returns
    -------
    ndarray of shape (n, h, w, 1) or (n, h, w, 3), float32
    """
    if pixels.dtype != np.float32:
        factor = np.float32(1 / 255) if pixels.dtype == np.uint8 else np.float32(1)
        floats = empty_pixels(pixels.shape, np.float32)
        pixels = np.multiply(pixels, factor, out=floats, casting="same_kind")
    return pixels if pixels.ndim == 4 else pixels[..., np.newaxis]


def check_pixel_range(pixels: PixelArray, fitted: tuple[float, float], name: str) -> None:
    """Raise if `pixels` cannot have the scale of the pixels that an estimator was fitted on.

    Networks take float pixels as they are, and integers divided by 255. The range seen in `fit`
    shows whether the scale is [0, 1], [-1, 1] (or standardised pixels, which have no limits) or
    floats in 0..255.

    Parameters
    ----------
    pixels : ndarray of shape (n, h, w), uint8 or float32
    fitted : tuple of float
        The :func:`unit_range` of the pixels seen in fit.
    name : str
        The name of the estimator, for the error message.

    Raises
    ------
    ValueError
        If pixels lie outside the fitted scale by more than 0.1; if none is negative, but some
        were in `fit`; or if none is above 1, and the fitted scale is 0..255.
    """
    low, high = unit_range(pixels)
    fitted_low, fitted_high = fitted
    if _contradicts(low, high, *fitted):
        raise ValueError(
            f"X has pixels from {low:.4g} to {high:.4g} (integers divided by 255), but {name} "
            f"was fitted on pixels from {fitted_low:.4g} to {fitted_high:.4g}. Preprocess both in "
            f"the same way, preferably with one PixelNormalizer in a Pipeline."
        )


def _contradicts(low, high, fitted_low, fitted_high):
    """Return whether pixels in [low, high] are on another scale than those seen in fit."""
    if fitted_low < -_RANGE_SLACK:  # [-1, 1], or standardised: every image has dark pixels
        within_one = fitted_low >= -1 - _RANGE_SLACK and fitted_high <= 1 + _RANGE_SLACK
        beyond_one = low < -1 - _RANGE_SLACK or high > 1 + _RANGE_SLACK
        return (low >= 0 and high > 0) or (within_one and beyond_one)
    if fitted_high <= 1 + _RANGE_SLACK:  # [0, 1]
        return low < -_RANGE_SLACK or high > 1 + _RANGE_SLACK
    # [0, 255], unless they are not pixels.
    return fitted_high > _BYTES and high <= 1 + _RANGE_SLACK and (low < 0 or high > 0)


def normalize_pixels(images: PixelArray, method: str = "unit") -> PixelArray:
    """Normalise a stack of images.

    Parameters
    ----------
    images : ndarray of shape (n, h, w) or (n, h, w, 3), uint8 or float32
        Floats must lie in [0, 1], except for ``"standard"``.
    method : {"unit", "standard", "equalize", "clahe"}, default="unit"
        As in :class:`~fer_sklearn.PixelNormalizer`.

    Returns
    -------
    ndarray of the shape of `images`, float32
        In [0, 1], except for ``"standard"``. `images` itself if nothing changes. A ``memmap`` if it
        takes more than 2 GiB, or the limit in ``FER_SKLEARN_MAX_MEMORY``.

    Raises
    ------
    ValueError
        If `method` is unknown, or takes only grey images and these are in colour, or floats lie
        outside [0, 1] and may not.

    Examples
    --------
    >>> import numpy as np
    >>> normalize_pixels(np.array([[[0, 51, 255]]], dtype=np.uint8))
    array([[[0. , 0.2, 1. ]]], dtype=float32)
    """
    function = _METHODS[check_choice("method", method, _METHODS)]
    if images.ndim == 4 and function in (_equalize, _clahe):
        raise ValueError(
            f"method={method!r} takes grey images, and X is in colour. Choose 'unit' or "
            f"'standard', or put GrayscaleResizer() before this step."
        )
    if 4 * images.size <= max_memory() or (function is _unit and images.dtype != np.uint8):
        return function(images)
    # Each image is normalised separately, so a large stack can be normalised in parts.
    normalized = empty_pixels(images.shape, np.float32)
    for part in _parts(normalized):
        normalized[part] = function(images[part])
    return normalized


def _from_uint16(array):
    """Scale to 0..255 by the lowest white that no pixel exceeds."""
    white = next(white for white in _WHITES if array.max() <= white)
    if white == 255:
        return array.astype(np.uint8)
    # v * 255 / white, rounded, in integers.
    return ((array.astype(np.uint32) * 255 + white // 2) // white).astype(np.uint8)


def _small_integers(array, name, is_batch):
    low, high = array.min(), array.max()
    if low < 0 or high > 255:
        where = name
        if is_batch:
            row = np.argmax(((array < 0) | (array > 255)).reshape(len(array), -1).any(axis=1))
            where = f"{name}[{row}]"
            low, high = array[row].min(), array[row].max()
        raise ValueError(
            f"{where} has {array.dtype} pixels from {low} to {high}; expected 0..255. "
            f"If it is a 16-bit image, pass {name}.astype('uint16')."
        )
    return array.astype(np.uint8)


def _unit(images):
    if images.dtype == np.uint8:
        return images / np.float32(255)
    return _check_unit_range(images)


def _standard(images):
    images = images.astype(np.float32)
    axes = tuple(range(1, images.ndim))
    images -= images.mean(axes, keepdims=True)
    deviation = images.std(axes, keepdims=True)
    # A flat image differs from its mean by rounding errors at most, and stays (nearly) zero.
    images /= np.where(deviation > 1e-6, deviation, 1)
    return images


def _equalize(images):
    """Map each grey level to the fraction of darker pixels, as OpenCV's equalizeHist does."""
    codes = _as_bytes(images).reshape(len(images), -1)
    histograms = np.apply_along_axis(np.bincount, 1, codes, minlength=256)
    cumulative = histograms.cumsum(1).astype(np.float32)
    darkest = np.take_along_axis(histograms, codes.min(1, keepdims=True), 1)
    rest = codes.shape[1] - darkest
    levels = np.maximum(cumulative - darkest, 0) / np.maximum(rest, 1)
    # An image with a single level has no histogram to spread, and keeps its brightness.
    levels = np.where(rest > 0, levels, np.arange(256) / 255).astype(np.float32)
    return np.take_along_axis(levels, codes, 1).reshape(images.shape)


def _clahe(images):
    clahe = cv2.createCLAHE(_CLAHE_CLIP, (_CLAHE_TILES, _CLAHE_TILES))
    return np.stack([clahe.apply(image) for image in _as_bytes(images)]) / np.float32(255)


def _as_bytes(images):
    return images if images.dtype == np.uint8 else to_uint8(_check_unit_range(images))


def _check_unit_range(images):
    low, high = images.min(), images.max()
    if low >= 0 and high <= 1:
        return images
    raise ValueError(
        f"X has float pixels from {low:g} to {high:g}; expected [0, 1]. Divide pixels in "
        f"0..255 by 255, or put GrayscaleResizer() before this step; for any other range "
        f"use PixelNormalizer(method='standard')."
    )


_METHODS = dict(zip(NORMALIZATIONS, (_unit, _standard, _equalize, _clahe), strict=True))

# -- arrays that may be too large for memory ------------------------------------------------


def max_memory() -> int:
    """Return how many bytes of memory one array of images may take.

    Returns
    -------
    int
        The environment variable ``FER_SKLEARN_MAX_MEMORY``, such as ``"500M"`` or ``"8G"``, or
        2 GiB if that is not set.

    Raises
    ------
    ValueError
        If the variable is not a size.
    """
    text = os.environ.get(_MAX_MEMORY) or "2G"
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f"the environment variable {_MAX_MEMORY} is {text!r}; expected a number of bytes, "
            f"such as '500M' or '8G'."
        )
    return int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " "))


def empty_pixels(shape: Sequence[int], dtype: Any = np.uint8) -> PixelArray:
    """Return an array to fill: in memory, or in a temporary file if it would be too large.

    Parameters
    ----------
    shape : sequence of int
    dtype : dtype, default=uint8

    Returns
    -------
    ndarray or numpy.memmap
        A ``memmap`` if it takes more than ``max_memory()``. Its file, in the system's folder for
        temporary files, is deleted with the array. Processes of joblib map the same file.

    Raises
    ------
    OSError
        If the disk has no room for the file.
    """
    n_bytes = int(np.prod([int(side) for side in shape], dtype=object)) * np.dtype(dtype).itemsize
    if n_bytes <= max_memory():
        return np.empty(shape, dtype)
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise OSError(
            errno.ENOSPC,
            f"an array of {n_bytes:,} bytes does not fit on the disk, which has {free:,} free. Set "
            f"TMPDIR to a folder with more room, or use smaller images",
            folder,
        )
    descriptor, path = tempfile.mkstemp(prefix="fer_sklearn-", suffix=".pixels")
    os.close(descriptor)
    array = np.memmap(path, dtype, "w+", shape=tuple(shape))
    # Views of the array keep the mapping, not the array.
    weakref.finalize(array.base, _remove, path, os.getpid())
    return array


def _remove(path, process):
    """Remove a file, unless this is a fork of the process that made it."""
    if os.getpid() == process:
        os.remove(path)


def take_rows(array: PixelArray, rows: PixelArray) -> PixelArray:
    """Return rows of an array as a copy: a ``memmap`` if it takes more than ``max_memory()``."""
    if not isinstance(array, np.memmap) or len(rows) * array[:1].nbytes <= max_memory():
        return np.asarray(array)[rows]
    taken = empty_pixels((len(rows), *array.shape[1:]), array.dtype)
    for part in _parts(taken):
        taken[part] = array[rows[part]]
    return taken


def _parts(array):
    """Return slices of an array, each of a few megabytes."""
    n_rows = max(1, _BYTES_AT_ONCE // array[:1].nbytes)
    return [slice(start, start + n_rows) for start in range(0, len(array), n_rows)]


class PixelStack:
    """Collect images one by one into one array.

    Images of one size that take more than ``max_memory()`` are moved to a file as they are added.
    """

    def __init__(self) -> None:
        self._images: list[PixelArray] = []
        self._n_bytes = 0
        self._mapped: PixelArray | None = None
        self._n_mapped = 0

    def append(self, image: PixelArray) -> None:
        """Add an image.

        Raises
        ------
        ValueError
            If images of several sizes take too much memory.
        """
        self._images.append(image)
        self._n_bytes += image.nbytes
        if self._n_bytes > max(max_memory(), 1):
            self._spill()

    def finish(self) -> PixelArray:
        """Return all images.

        Returns
        -------
        ndarray of shape (n, h, w) or (n, h, w, 3), uint8
            Or an object array of shape (n,), if their sizes differ.
        """
        if self._mapped is not None:
            self._spill()
            return self._mapped[: self._n_mapped]
        if len({image.shape for image in self._images}) == 1:
            return np.stack(self._images)
        stacked = np.empty(len(self._images), dtype=object)
        # Not by slice: NumPy would try to make one array of images of equal height.
        for i, image in enumerate(self._images):
            stacked[i] = image
        return stacked

    def _spill(self):
        """Move the images in memory to the file, which doubles when it is full."""
        shapes = {image.shape for image in self._images}
        if self._mapped is not None:
            shapes.add(self._mapped.shape[1:])
        if len(shapes) > 1:
            raise ValueError(
                f"images of different sizes, such as {' and '.join(map(str, sorted(shapes)[:2]))}, "
                f"take more than {max_memory():,} bytes. Pass size=…, which resizes them to one "
                f"size, or set the environment variable {_MAX_MEMORY}, for example to '8G'."
            )
        n = self._n_mapped + len(self._images)
        if self._mapped is None or n > len(self._mapped):
            larger = empty_pixels((2 * n, *shapes.pop()))
            if self._mapped is not None:
                larger[: self._n_mapped] = self._mapped[: self._n_mapped]
            self._mapped = larger
        for i, image in enumerate(self._images, self._n_mapped):
            self._mapped[i] = image
        self._images, self._n_mapped, self._n_bytes = [], n, 0
