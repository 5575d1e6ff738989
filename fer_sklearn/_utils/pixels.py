"""The only input gate: whatever enters an estimator or a function is checked here.

Images come in three equivalent forms, and leave this module in one:

====================  ==========================================================
``(n, h, w)``         a stack of grey images; a list of equal images is stacked
``(n, h, w, 1)``      the same with a channel axis
``(n, h * w)``        flattened images: square where the number of columns is a
                      perfect square, else one pixel high
====================  ==========================================================
"""

import math

import numpy as np

__all__ = [
    "ImageOutputMixin",
    "ImageTagsMixin",
    "as_photo_list",
    "check_pixel_range",
    "check_pixels",
    "to_unit_floats",
    "unit_range",
]


class ImageTagsMixin:
    """Tags of an estimator that takes stacks of images and flattened images alike."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.three_d_array = True
        return tags


class ImageOutputMixin:
    """A `set_output` for transformers whose output is images, hence never a table."""

    def set_output(self, *, transform=None):
        """Do nothing: images stay an array, also where a whole pipeline is configured.

        Parameters
        ----------
        transform : ignored

        Returns
        -------
        self
        """
        return self


def check_pixels(estimator, X, y="no_validation", *, reset, keep_float64=False):
    """Check a batch of grey images on its way into an estimator.

    Sets ``n_features_in_`` (pixels an image) and ``image_shape_`` ``(height, width)`` on
    the estimator if `reset`, else compares `X` with them.

    Parameters
    ----------
    estimator : estimator object
        Whose `fit` or `predict` received `X`; its class names the error messages.
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
        A view of `X` where its dtype allows it.
    y : ndarray of shape (n,)
        Only where `y` was given.

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
            f"fitted on {_size(fitted)}. Put the same GrayscaleResizer "
            f"before it that was there in fit."
        )
    checked = validate_data(estimator, rows, y, reset=reset, dtype="numeric", order="C")
    rows, labels = checked if isinstance(checked, tuple) else (checked, None)
    image_shape = shape or fitted or _square_or_row(rows.shape[1])
    if reset:
        estimator.image_shape_ = image_shape
    if not (keep_float64 and rows.dtype == np.float64):
        rows = _pixel_dtype(rows)
    pixels = rows.reshape(len(rows), *image_shape)
    return pixels if labels is None else (pixels, labels)


def unit_range(pixels):
    """Return the lowest and highest pixel, integers being scaled to [0, 1]."""
    scale = 255.0 if pixels.dtype == np.uint8 else 1.0
    return float(pixels.min()) / scale, float(pixels.max()) / scale


def to_unit_floats(pixels):
    """Bring integer pixels to [0, 1]; leave float pixels; return ``(n, h, w, 1)`` float32."""
    if pixels.dtype == np.uint8:
        pixels = pixels * np.float32(1 / 255)
    return pixels.astype(np.float32, copy=False)[..., np.newaxis]


def check_pixel_range(pixels, fitted, name):
    """Raise if `pixels` cannot be on the scale of those an estimator was fitted on.

    Parameters
    ----------
    pixels : ndarray of shape (n, h, w), uint8 or float32
    fitted : tuple of float
        As from :func:`unit_range` in fit.
    name : str
        The estimator's, for the message.

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


def as_photo_list(X, *, name="X"):
    """Split a batch of photos into a list, one item a photo, without copying pixels.

    Parameters
    ----------
    X : list, object array, or ndarray of shape (n, h, w), (n, h, w, 1 | 3 | 4) or (n, h * w)
        Each item a path (`str` or `Path`) or an array ``(h, w)``, ``(h, w, 3)`` or
        ``(h, w, 4)``. A single path or photo is refused: it is not a batch.
    name : str
        What error messages call `X`.

    Returns
    -------
    list
        The photos in order; arrays as views, paths as they came.
    """
    if isinstance(X, (str, bytes)) or hasattr(X, "__fspath__"):
        raise ValueError(
            f"{name} is a single path, {str(X)!r}; expected a batch. Pass a list: [{name}]."
        )
    if hasattr(X, "to_numpy"):
        X = X.to_numpy()
    if isinstance(X, np.ndarray) and X.ndim == 2 and X.shape[1] == 1 and X.dtype.kind in "OUS":
        X = X[:, 0]
    if isinstance(X, np.ndarray) and X.dtype.kind not in "OUS":
        return list(_stack_of_images(X, name))
    if not hasattr(X, "__len__") or not hasattr(X, "__iter__") or hasattr(X, "tocsr"):
        raise TypeError(
            f"{name} is a {type(X).__name__}; expected a list of photos or an array. Sparse "
            f"input is not supported."
        )
    items = list(X)
    if not items:
        raise ValueError(f"{name} is empty: found 0 photo(s), expected at least one.")
    if all(np.ndim(item) == 1 and not isinstance(item, (str, bytes)) for item in items):
        return list(_stack_of_images(np.asarray(items), name))
    return items


def _stack_of_images(X, name):
    """View a numeric array as images along its first axis."""
    if X.ndim == 2:
        X = X.reshape(len(X), *_square_or_row(X.shape[1]))
    if X.ndim not in (3, 4):
        raise ValueError(
            f"{name} has shape {X.shape}; expected a batch of photos, (n, h, w) or "
            f"(n, h, w, 3). Reshape your data; for one photo pass {name}[np.newaxis]."
        )
    if len(X) == 0:
        raise ValueError(f"{name} has shape {X.shape}: found 0 photo(s), expected at least one.")
    return X


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
            f"X holds images of {len(shapes)} different sizes, such as "
            f"{' and '.join(map(str, sorted(shapes)[:2]))}; expected one size. "
            f"Put GrayscaleResizer() before this step."
        )
    return np.stack(list(X))


def _square_or_row(n_features):
    side = math.isqrt(n_features)
    return (side, side) if side * side == n_features else (1, n_features)


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
