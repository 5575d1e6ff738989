"""Scales of pixel values: 8 bits, [0, 1], and normalised. Pure functions over NumPy and OpenCV."""

from __future__ import annotations

import math

import numpy as np

from .typing import ArrayLike, PixelArray
from .validation import check_choice

__all__ = [
    "NORMALIZATIONS",
    "check_pixel_range",
    "flat_image_shape",
    "normalize_pixels",
    "to_uint8",
    "to_unit_floats",
    "unit_range",
]

#: The methods of :func:`normalize_pixels`.
NORMALIZATIONS = ("unit", "standard", "equalize", "clahe")

# Interpolation leaves values this far outside [0, 1] and [0, 255].
_FLOAT_SLACK = 1e-3
# Contrast limit of CLAHE, and tiles per side: 12 pixels of a 48-pixel face.
_CLAHE_CLIP, _CLAHE_TILES = 2.0, 4


def to_uint8(array: ArrayLike) -> PixelArray:
    """Convert an image, or a stack of images, of any dtype to 8 bits.

    ===============  =================================================================
    dtype            meaning
    ===============  =================================================================
    uint8            returned as it is, not copied
    bool             False is black (0), True is white (255)
    uint16           the full range 0..65535 is scaled to 0..255
    other integers   must lie in 0..255
    float            [0, 1] if no value is above 1, and scaled; otherwise [0, 255].
                     Rounding errors of 0.001 are clipped
    ===============  =================================================================

    The range is decided for the whole array: a float stack in 0..255 in which no pixel exceeds
    1 is treated as [0, 1].

    Parameters
    ----------
    array : array-like of any shape

    Returns
    -------
    ndarray of the same shape, uint8
        Rounded to the nearest integer.

    Raises
    ------
    ValueError
        For NaN, infinity, values outside these ranges, and dtypes that are not numeric.

    Examples
    --------
    >>> to_uint8([[0.0, 0.5, 1.0]])
    array([[  0, 128, 255]], dtype=uint8)
    """
    array = np.asarray(array)
    if array.dtype == np.uint8 or array.size == 0:
        return array.astype(np.uint8, copy=False)
    if array.dtype == bool:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        # v / 257, rounded, in integers.
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if array.dtype.kind in "iu":
        return _small_integers(array)
    if array.dtype.kind == "f":
        return _scaled_floats(array)
    raise ValueError(
        f"array has dtype {array.dtype}; expected an image of bool, integer or float pixels."
    )


def flat_image_shape(n_features: int) -> tuple[int, int]:
    """Return height and width of a flattened image: a square, or one row of pixels."""
    side = math.isqrt(n_features)
    return (side, side) if side * side == n_features else (1, n_features)


def unit_range(pixels: PixelArray) -> tuple[float, float]:
    """Return the lowest and highest pixel, with integers divided by 255."""
    scale = 255.0 if pixels.dtype == np.uint8 else 1.0
    return float(pixels.min()) / scale, float(pixels.max()) / scale


def to_unit_floats(pixels: PixelArray) -> PixelArray:
    """Scale integer pixels to [0, 1], and leave floats as they are.

    Parameters
    ----------
    pixels : ndarray of shape (n, h, w), uint8 or float

    Returns
    -------
    ndarray of shape (n, h, w, 1), float32
    """
    if pixels.dtype == np.uint8:
        pixels = pixels * np.float32(1 / 255)
    return pixels.astype(np.float32, copy=False)[..., np.newaxis]


def check_pixel_range(pixels: PixelArray, fitted: tuple[float, float], name: str) -> None:
    """Raise if `pixels` cannot have the scale of the pixels that an estimator was fitted on.

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
        If one side lies in [0, 1] and the other reaches far beyond it.
    """
    low, high = unit_range(pixels)
    fitted_low, fitted_high = fitted
    fitted_in_unit = fitted_low >= 0 and fitted_high <= 1
    too_wide = fitted_in_unit and (low < -0.5 or high > 2)
    too_narrow = fitted_high > 16 and low >= 0 and 0 < high <= 1
    if too_wide or too_narrow:
        raise ValueError(
            f"X has pixels from {low:.4g} to {high:.4g} (integers divided by 255), but {name} "
            f"was fitted on pixels from {fitted_low:.4g} to {fitted_high:.4g}. Prepare both "
            f"alike, best with the same PixelNormalizer in one Pipeline."
        )


def normalize_pixels(images: PixelArray, method: str = "unit") -> PixelArray:
    """Normalise a stack of grey images.

    Parameters
    ----------
    images : ndarray of shape (n, h, w), uint8 or float32
        Floats must lie in [0, 1], except for ``"standard"``.
    method : {"unit", "standard", "equalize", "clahe"}, default="unit"
        As in :class:`~fer_sklearn.PixelNormalizer`.

    Returns
    -------
    ndarray of shape (n, h, w), float32
        In [0, 1], except for ``"standard"``. `images` itself if nothing changes.

    Raises
    ------
    ValueError
        If `method` is unknown, or floats lie outside [0, 1] where they may not.

    Examples
    --------
    >>> import numpy as np
    >>> normalize_pixels(np.array([[[0, 51, 255]]], dtype=np.uint8))
    array([[[0. , 0.2, 1. ]]], dtype=float32)
    """
    return _METHODS[check_choice("method", method, _METHODS)](images)


def _small_integers(array):
    low, high = array.min(), array.max()
    if low < 0 or high > 255:
        raise ValueError(
            f"array has {array.dtype} pixels from {low} to {high}; expected 0..255. "
            f"If it is a 16-bit image, pass array.astype('uint16')."
        )
    return array.astype(np.uint8)


def _scaled_floats(array):
    low, high = array.min(), array.max()
    if not np.isfinite(low) or not np.isfinite(high):
        raise ValueError(
            f"array has {np.count_nonzero(~np.isfinite(array))} pixel(s) that are NaN or "
            f"infinite; expected finite numbers. Replace them, with np.nan_to_num for instance."
        )
    if low < -_FLOAT_SLACK or high > 255 + _FLOAT_SLACK:
        raise ValueError(
            f"array has float pixels from {low:g} to {high:g}; expected [0, 1] or [0, 255]. "
            f"Rescale them first."
        )
    scale = 255 if high <= 1 + _FLOAT_SLACK else 1
    return np.clip(np.floor(array.astype(np.float32) * scale + 0.5), 0, 255).astype(np.uint8)


def _unit(images):
    if images.dtype == np.uint8:
        return images / np.float32(255)
    return _check_unit_range(images)


def _standard(images):
    images = images.astype(np.float32)
    images -= images.mean((1, 2), keepdims=True)
    deviation = images.std((1, 2), keepdims=True)
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
    # An image of a single level has nothing to spread, and keeps its brightness.
    levels = np.where(rest > 0, levels, np.arange(256) / 255).astype(np.float32)
    return np.take_along_axis(levels, codes, 1).reshape(images.shape)


def _clahe(images):
    import cv2

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
