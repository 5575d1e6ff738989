"""Validation of stacks of grey images, the input of estimators.

Images are accepted in three equivalent forms, and returned as ``(n, h, w)``:

====================  ==========================================================
``(n, h, w)``         a stack of grey images; a list of equal images is stacked
``(n, h, w, 1)``      the same with a channel axis
``(n, h * w)``        flattened images: square if the number of columns is a
                      perfect square, otherwise one pixel high
====================  ==========================================================

Images are checked once. An estimator that calls another one with images that are already checked
uses methods for checked pixels, such as ``PredictionMixin._checked_proba``. Photos are checked by
:func:`fer_sklearn.images.as_photo`.
"""

from __future__ import annotations

import math
from typing import Any, Literal, overload

import numpy as np

from .pixel_values import flat_image_shape
from .typing import ArrayLike, PixelArray

__all__ = ["ImageOutputMixin", "ImageTagsMixin", "check_pixels"]


class ImageTagsMixin:
    """Tags of an estimator that takes stacks of images and flattened images alike."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.two_d_array = True
        tags.input_tags.three_d_array = True
        return tags


class ImageOutputMixin:
    """A `set_output` for transformers whose output is images and therefore never a table."""

    def set_output(self, *, transform: Any = None) -> Any:
        """Do nothing: images stay an array, also if a whole pipeline is configured.

        Parameters
        ----------
        transform : ignored

        Returns
        -------
        self
        """
        return self


@overload
def check_pixels(
    estimator: Any, X: ArrayLike, *, reset: bool, keep_float64: bool = ...
) -> PixelArray: ...


@overload
def check_pixels(
    estimator: Any,
    X: ArrayLike,
    y: Literal["no_validation"],
    *,
    reset: bool,
    keep_float64: bool = ...,
) -> PixelArray: ...


@overload
def check_pixels(
    estimator: Any, X: ArrayLike, y: ArrayLike | None, *, reset: bool, keep_float64: bool = ...
) -> tuple[PixelArray, Any]: ...


def check_pixels(
    estimator: Any,
    X: ArrayLike,
    y: Any = "no_validation",
    *,
    reset: bool,
    keep_float64: bool = False,
) -> Any:
    """Check a batch of grey images that was passed to an estimator.

    Sets ``n_features_in_`` (pixels per image) and ``image_shape_`` ``(height, width)`` on the
    estimator if `reset`, and otherwise compares `X` with them.

    Parameters
    ----------
    estimator : estimator object
        Whose `fit` or `predict` received `X`; its class is named in error messages.
    X : array-like of shape (n, h, w), (n, h, w, 1) or (n, h * w)
        Integer pixels in 0..255, or finite float pixels of any range.
    y : array-like of shape (n,) or "no_validation"
        Labels to check along with `X`.
    reset : bool
        True in `fit`, False in `predict` and `transform`. A stateless estimator that was
        not fitted has no size to compare with, and takes any.
    keep_float64 : bool, default=False
        Whether float64 pixels stay as they are.

    Returns
    -------
    pixels : ndarray of shape (n, h, w), uint8 or float32 (or float64, if kept)
        A view of `X` if its dtype allows it.
    y : ndarray of shape (n,)
        Only if `y` was passed.

    Raises
    ------
    ValueError
        For mixed sizes, colour, NaN, empty input, integers beyond 0..255, an image size
        other than the fitted one, or labels of another length.
    """
    from sklearn.utils.validation import validate_data

    rows, shape = _to_rows(X)
    fitted = None if reset else getattr(estimator, "image_shape_", None)
    if shape and fitted and shape != fitted:
        raise ValueError(
            f"X has images of {_size(shape)} pixels, but {type(estimator).__name__} was "
            f"fitted on {_size(fitted)}. Put the same GrayscaleResizer before it as in fit."
        )
    checked = validate_data(estimator, rows, y, reset=reset, dtype="numeric", order="C")
    rows, labels = checked if isinstance(checked, tuple) else (checked, None)
    image_shape = shape or fitted or flat_image_shape(rows.shape[1])
    if reset:
        estimator.image_shape_ = image_shape
    if not (keep_float64 and rows.dtype == np.float64):
        rows = _pixel_dtype(rows)
    pixels = rows.reshape(len(rows), *image_shape)
    return pixels if labels is None else (pixels, labels)


def _to_rows(X):
    """Flatten images to rows; return them with the image shape, None for 2-D input."""
    if isinstance(X, (list, tuple)) or (isinstance(X, np.ndarray) and X.dtype == object):
        X = _stack_list(X)
    ndim = getattr(X, "ndim", None)
    if ndim not in (3, 4):
        return X, None
    X = np.asarray(X)
    if ndim == 4 and X.shape[3] != 1:
        raise ValueError(
            f"X has shape {X.shape}, {X.shape[3]} channels; expected grey images "
            f"(n, h, w) or (n, h, w, 1). Put GrayscaleResizer() before this step."
        )
    shape = X.shape[1:3]
    return X.reshape(len(X), math.prod(shape)), shape


def _stack_list(X):
    """Stack a list of images of one size; leave every other list as it is."""
    shapes = {np.shape(item) for item in X if isinstance(item, np.ndarray) and item.ndim in (2, 3)}
    if not shapes:
        return X
    if len(shapes) > 1:
        raise ValueError(
            f"X contains images of {len(shapes)} different sizes, such as "
            f"{' and '.join(map(str, sorted(shapes)[:2]))}; expected one size. "
            f"Put GrayscaleResizer() before this step."
        )
    return np.stack(list(X))


def _size(shape):
    return "×".join(map(str, shape))


def _pixel_dtype(rows):
    """Bring checked numbers to uint8 or float32."""
    if rows.dtype == np.uint8 or rows.dtype == np.float32:
        return rows
    if rows.dtype.kind == "f":
        return rows.astype(np.float32)
    low, high = rows.min(), rows.max()
    if low < 0 or high > 255:
        raise ValueError(
            f"X has integer pixels from {low} to {high}; integers must lie in 0..255. "
            f"Scale them, or pass floats."
        )
    return rows.astype(np.uint8)
