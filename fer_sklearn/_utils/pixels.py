"""Identify the axes of batches of images, and validate stacks of images.

:func:`split_batch` accepts photos of any kind, :func:`check_pixels` images of one size, the input
of estimators. Grey ones are accepted in four equivalent forms, and returned as ``(n, h, w)``:

====================  ==========================================================
``(n, h, w)``         a stack of grey images; a list of equal images is stacked
list of photos        paths, bytes or Pillow images of one size; also in a Series
``(n, h, w, 1)``      the same with a channel axis
``(n, h * w)``        flattened images: of the fitted size, and squares in `fit`
====================  ==========================================================

Images in colour, ``(n, h, w, 3)``, are accepted by the estimators that can use them.

One image without the batch axis is rejected, because its rows would be treated as images.

Images are checked once. An estimator that calls another one with images that are already checked
uses methods for checked pixels, such as ``PredictionMixin._checked_proba``. Photos are checked by
:func:`~fer_sklearn._utils.image_files.as_photo`.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, TypeAlias, overload

import numpy as np
from PIL.Image import Image

from .image_files import as_photo
from .pixel_values import PixelStack, check_finite, contains_items, to_gray, to_pixels
from .typing import ArrayLike, ImagesLike, PixelArray

__all__ = [
    "KnownShapes",
    "check_pixels",
    "check_stack_shape",
    "flat_image_shape",
    "in_pixel_order",
    "known_shapes",
    "photo_items",
    "pixel_names",
    "split_batch",
]

#: Heights and widths that flattened images may have; None if any.
KnownShapes: TypeAlias = tuple[tuple[int, int], ...] | None

# Columns of a table of images, with or without the prefix that a ColumnTransformer adds.
_PIXEL_NAME = re.compile(r"((?:.*__)?)pixel_(\d+)_(\d+)(_red|_green|_blue)?")
_COLOURS = ("red", "green", "blue")
# A last axis of one of these lengths may contain channels. From this height on, an array whose last
# axis is that short is a photo with channels, not a stack of narrow grey images.
_CHANNELS, _LOWEST_PHOTO = (1, 2, 3, 4), 8
# Rows of fewer pixels are images one pixel high if they are not squares. Rows with labels, which
# cannot be the rows of one image, may have more, but not as many as a face.
_LEAST_PIXELS, _LEAST_FACE = 16, 100
# Among known shapes: such rows are accepted.
_SHORT_ROWS = (1, 0)


@lru_cache(maxsize=8)
def pixel_names(shape: tuple[int, ...]) -> tuple[str, ...]:
    """Return the names of the columns of flattened images, by row and column of the pixel.

    Parameters
    ----------
    shape : (int, int) or (int, int, 3)
        Shape of an image.

    Examples
    --------
    >>> pixel_names((1, 2))
    ('pixel_0_0', 'pixel_0_1')
    >>> pixel_names((1, 1, 3))
    ('pixel_0_0_red', 'pixel_0_0_green', 'pixel_0_0_blue')
    """
    channels = [f"_{name}" for name in _COLOURS] if len(shape) == 3 else [""]
    return tuple(
        f"pixel_{row}_{column}{channel}"
        for row, column in np.ndindex(*shape[:2])
        for channel in channels
    )


def in_pixel_order(columns: Iterable[Any]) -> tuple[list[str], tuple[int, ...]] | None:
    """Sort names of columns by the pixel that they name.

    Parameters
    ----------
    columns : iterable of str
        Names as in :func:`pixel_names`, in any order, with or without a prefix such as
        ``"faces__"``.

    Returns
    -------
    names : list of str
    shape : (int, int) or (int, int, 3)
        Shape of the images that have these pixels.

    None if the columns are not all pixels of an image.
    """
    columns = list(map(str, columns))
    found = [match.groups() for match in map(_PIXEL_NAME.fullmatch, columns) if match]
    if not 0 < len(found) == len(columns):
        return None
    prefix, _, _, channel = found[0]
    height, width = (1 + max(int(groups[side]) for groups in found) for side in (1, 2))
    shape = (height, width, 3) if channel else (height, width)
    if len(columns) != math.prod(shape):
        return None
    names = [prefix + name for name in pixel_names(shape)]
    return (names, shape) if set(columns) == set(names) else None


def _without_names(X: Any) -> Any:
    """Return a table whose columns are named after pixels, in any order, as an array of images."""
    X = _without_nullable(X)
    columns = list(map(str, getattr(X, "columns", ())))
    if (found := in_pixel_order(columns)) is None:
        return X
    names, shape = found
    return (X if columns == names else X[names]).to_numpy().reshape(len(X), *shape)


def _without_nullable(X: Any) -> Any:
    """Return a table of pandas' nullable numbers with NumPy's dtypes, if none is missing."""
    is_table = hasattr(X, "iloc") and hasattr(X, "columns")
    dtypes = {getattr(dtype, "numpy_dtype", None) for dtype in X.dtypes} if is_table else ()
    if not dtypes or any(dtype is None or dtype.kind not in "biuf" for dtype in dtypes):
        return X
    try:  # as objects or floats, integers would not be known to lie in 0..255
        return X.astype(np.result_type(*dtypes))
    except (ValueError, TypeError):
        return X  # missing pixels are reported later


@overload
def check_pixels(
    estimator: Any,
    X: ArrayLike,
    *,
    reset: bool,
    keep_float64: bool = ...,
    labelled: bool = ...,
    color: bool = ...,
) -> PixelArray: ...


@overload
def check_pixels(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike | None,
    *,
    reset: bool,
    keep_float64: bool = ...,
    color: bool = ...,
) -> tuple[PixelArray, Any]: ...


def check_pixels(
    estimator: Any,
    X: ArrayLike,
    y: Any = "no_validation",
    *,
    reset: bool,
    keep_float64: bool = False,
    labelled: bool = False,
    color: bool = False,
) -> Any:
    """Check a batch of images of one size that was passed to an estimator.

    Sets ``n_features_in_`` (values per image), ``image_shape_`` ``(height, width)`` and, with
    `color`, ``n_channels_`` on the estimator if `reset`, and otherwise compares `X` with them.

    Parameters
    ----------
    estimator : estimator object
        The estimator whose `fit` or `predict` received `X`; error messages name its class.
    X : array-like of shape (n, h, w), (n, h, w, 1) or (n, h * w), or list of photos
        Pixels of bool or integers as in ``to_pixels``, or finite floats of any range. With
        `color` also (n, h, w, 3). Paths, bytes and Pillow images are read as grey, unless the
        estimator was fitted on colour.
    y : array-like of shape (n,) or "no_validation"
        Labels to check along with `X`.
    reset : bool
        True in `fit`, False in `predict` and `transform`. A stateless estimator that was
        not fitted has no size to compare with, and takes any.
    keep_float64 : bool, default=False
        Whether float64 pixels stay as they are.
    labelled : bool, default=False
        Whether `X` has labels, although none are passed here.
    color : bool, default=False
        Whether the estimator can use RGB.

    Returns
    -------
    pixels : ndarray of shape (n, h, w) or (n, h, w, 3), uint8 or float32 (or float64, if kept)
        A view of `X` if its dtype allows it.
    y : ndarray of shape (n,)
        Only if `y` was passed.

    Raises
    ------
    ValueError
        For mixed sizes, colour, NaN, empty input, integers beyond 0..255, an image size
        other than the fitted one, one image without the batch axis, or labels of another length.
    ImageReadError
        If a file is missing or damaged.
    """
    from sklearn.utils.validation import validate_data

    _check_is_batch(X, "X")
    name = type(estimator).__name__
    fitted = None if reset else getattr(estimator, "image_shape_", None)
    channels = (1, 3) if color else (1,)
    if fitted is not None:
        channels = (getattr(estimator, "n_channels_", 1),)
    rows, shape, n_channels = _to_rows(X, fitted, channels, name)
    if shape and fitted and shape != fitted:
        raise ValueError(
            f"X has images of {_size(shape)} pixels, but {name} was fitted on {_size(fitted)}. "
            f"Put the same GrayscaleResizer or RGBResizer before it as in fit."
        )
    checked = validate_data(
        estimator, rows, y, reset=reset, dtype="numeric", order="C", ensure_all_finite=False
    )
    rows, labels = checked if isinstance(checked, tuple) else (checked, None)
    image_shape = shape or fitted
    if image_shape is None:
        image_shape = flat_image_shape(rows.shape, labelled=labelled or labels is not None)
    if reset:
        estimator.image_shape_ = image_shape
        if color:
            estimator.n_channels_ = n_channels
    rows = to_pixels(rows, name="X", is_batch=True)
    if rows.dtype.kind == "f":
        check_finite(rows, name="X", is_batch=True)
        if not (keep_float64 and rows.dtype == np.float64):
            rows = rows.astype(np.float32, copy=False)
    pixels = rows.reshape(len(rows), *image_shape, *([3] if n_channels == 3 else []))
    return pixels if labels is None else (pixels, labels)


def _to_rows(X, fitted, channels, name):
    """Flatten images to rows; return them, their height and width (None if 2-D), channels."""
    X = _without_names(X)
    if (photos := photo_items(X)) is not None:
        X = _read_photos(photos, channels)
    if hasattr(X, "to_numpy") and getattr(X, "ndim", 2) == 1:
        X = X.to_numpy()  # a Series of images
    if isinstance(X, (list, tuple)) or (isinstance(X, np.ndarray) and X.dtype == object):
        X = _stack_list(X)
    ndim = len(getattr(X, "shape", ()))
    if ndim == 2 and fitted:
        flat_image_shape(X.shape, known=((fitted[0], fitted[1] * channels[0]),), owner=name)
    if ndim not in (3, 4):
        return X, None, channels[0]
    X = np.asarray(X)
    if ndim == 3:
        check_stack_shape(X.shape, known=(fitted,) if fitted else None)
    found = X.shape[3] if ndim == 4 else 1
    if found not in channels:
        raise ValueError(_wrong_channels(X.shape, channels, name))
    shape = X.shape[1:3]
    return X.reshape(len(X), math.prod(shape) * found), shape, found


def _wrong_channels(shape, channels, name):
    if channels == (3,):
        return (
            f"X has shape {shape}, but {name} was fitted on images in colour, (n, h, w, 3). Put "
            f"the same steps before it as in fit, such as RGBResizer()."
        )
    also = ", or (n, h, w, 3) in colour" if 3 in channels else ""
    remedy = "Put GrayscaleResizer() before this step."
    if shape[1] in _CHANNELS and shape[-1] not in _CHANNELS:
        remedy = "If channels come first, pass np.moveaxis(X, 1, -1)."
    return (
        f"X has shape {shape}, {shape[-1]} channels; expected grey images "
        f"(n, h, w) or (n, h, w, 1){also}. {remedy}"
    )


def photo_items(X: Any) -> list[Any] | None:
    """Return the items of a batch if any of them is a file or a Pillow image, else None.

    Parameters
    ----------
    X : anything
        A list or tuple, an object array, a Series, or a table of one column.
    """
    items = X
    if hasattr(X, "to_numpy") and (getattr(X, "ndim", 1) == 1 or X.shape[1:] == (1,)):
        items = X.to_numpy()
    if isinstance(items, np.ndarray):
        if not contains_items(items) or items.shape[1:] not in ((), (1,)):
            return None
        items = items.ravel()
    elif not isinstance(items, (list, tuple)):
        return None
    return list(items) if any(map(_is_file_or_image, items)) else None


def _is_file_or_image(item):
    kinds = (str, bytes, bytearray, memoryview, os.PathLike, Image)
    return isinstance(item, kinds) or hasattr(item, "read")


def _check_is_batch(X, name):
    """Refuse a single photo, and collections whose order is not that of labels or results."""
    if _is_file_or_image(X):
        is_path = isinstance(X, (str, os.PathLike))
        what = f"path, {str(X)!r}" if is_path else f"photo, of type {type(X).__name__}"
        raise ValueError(f"{name} is a single {what}; expected a batch. Pass a list: [{name}].")
    is_sparse = hasattr(X, "tocsr")  # one of SciPy's sparse arrays is a dict
    if isinstance(X, (set, frozenset, dict)) and not is_sparse:
        raise TypeError(
            f"{name} is a {type(X).__name__}, whose items have no positions; expected a list of "
            f"photos or an array. Pass a list, such as sorted({name}) for a set of paths."
        )


def _read_photos(items, channels):
    """Read photos of one size: in colour if an estimator was fitted on that, otherwise grey."""
    stack = PixelStack()
    for index, item in enumerate(items):
        photo = as_photo(item, name=f"X[{index}]")
        if channels != (3,):
            photo = to_gray(photo)
        elif photo.ndim == 2:
            photo = np.repeat(photo[..., np.newaxis], 3, axis=2)
        stack.append(photo)
    return stack.finish()


def _stack_list(X):
    """Stack a list of images of one size; leave every other list as it is."""
    shapes = {np.shape(item) for item in X if isinstance(item, np.ndarray) and item.ndim in (2, 3)}
    if not shapes:
        # Numbers in nested lists are an array, which has a shape.
        return np.asarray(X) if isinstance(X, (list, tuple)) and _is_nested(X) else X
    if len(shapes) > 1:
        raise ValueError(
            f"X contains images of {len(shapes)} different sizes, such as "
            f"{' and '.join(map(str, sorted(shapes)[:2]))}; expected one size. "
            f"Put GrayscaleResizer() before this step."
        )
    shape = shapes.pop()
    for index, item in enumerate(X):
        if np.shape(item) != shape:
            raise ValueError(
                f"X[{index}] is a {type(item).__name__} of shape {np.shape(item)}; expected an "
                f"image of shape {shape} like the others. Leave it out, or correct it."
            )
    return np.stack(list(X))


def _is_nested(X):
    """Return whether a list contains lists or arrays of one length, as rows of pixels are."""
    lengths = {len(item) if hasattr(item, "__len__") else -1 for item in X}
    return len(lengths) == 1 and lengths != {-1} and not isinstance(X[0], (str, bytes, dict))


def _size(shape):
    return "×".join(map(str, shape))


def known_shapes(estimator: Any, *sizes: tuple[int, int]) -> KnownShapes:
    """Return the sizes of flattened images that a transformer of photos accepts.

    Parameters
    ----------
    estimator : transformer
        With ``image_shape_``, if it was fitted on images of one size.
    *sizes : (int, int)
        Others that it accepts.

    Returns
    -------
    tuple of (int, int)
        The size seen in `fit` comes first. Without `fit`, rows of fewer than 16 pixels are accepted
        too, as images one pixel high.
    """
    fitted = getattr(estimator, "image_shape_", None)
    return (*sizes, _SHORT_ROWS) if fitted is None else (fitted, *sizes)


def flat_image_shape(
    shape: tuple[int, ...],
    *,
    known: KnownShapes = None,
    owner: str = "",
    labelled: bool = False,
    name: str = "X",
) -> tuple[int, int]:
    """Return height and width of the images that are the rows of a two-dimensional array.

    An array ``(h, w)`` may also be one grey image without its batch axis, whose rows would then be
    treated as images. So rows must have a known length or, where none is known, as in `fit` and in
    functions, be squares.

    Parameters
    ----------
    shape : (int, int)
        Number of rows and of pixels in each.
    known : tuple of (int, int) or None, default=None
        Possible heights and widths of the images; if it is empty, rows are rejected. If None, rows
        may be squares, or have fewer than 16 pixels (100 if they are labelled), as images one pixel
        high.
    owner : str
        Name of the estimator that knows them, for error messages.
    labelled : bool, default=False
        Whether the rows have labels, so that they are not one image.
    name : str
        Name of the array in error messages.

    Raises
    ------
    ValueError
        If rows of that length are not images, or the array may be one image.
    """
    n_rows, n_pixels = shape
    one_image = f"[{name}] or {name}[np.newaxis]"
    if known is not None:
        for height, width in known:
            if n_pixels == height * width:
                return height, width
        if _SHORT_ROWS in known and n_pixels < _LEAST_PIXELS:
            return 1, n_pixels
        if known in ((), (_SHORT_ROWS,)):
            raise ValueError(
                f"{name} has shape {shape}: one image, or flattened images, whose height and "
                f"width {owner} does not know. Pass {name}.reshape(-1, height, width) for "
                f"flattened images, and {one_image} for one image."
            )
        height, width = known[0]
        raise ValueError(
            f"{name} has {n_pixels} features, but {owner} is expecting {height * width} features "
            f"as input: rows are flattened images of {height}×{width} pixels. If {name}, of shape "
            f"{shape}, is one image, pass {one_image}."
        )
    side = math.isqrt(n_pixels)
    if side * side != n_pixels:
        if n_pixels < (_LEAST_FACE if labelled else _LEAST_PIXELS):
            return 1, n_pixels
        raise ValueError(
            f"{name} has shape {shape}, and rows of {n_pixels} pixels are not square images. Pass "
            f"{name}.reshape(-1, height, width) for flattened images of another shape, and "
            f"{one_image} for one image."
        )
    if n_rows == n_pixels >= _LEAST_PIXELS and not labelled:
        raise ValueError(
            f"{name} has shape {shape}: one image, or {n_rows} flattened images of {side}×{side} "
            f"pixels. Pass {one_image} for one image, and {name}.reshape(-1, {side}, {side}) for "
            f"many."
        )
    return side, side


def check_stack_shape(
    shape: tuple[int, ...], *, known: KnownShapes = None, name: str = "X"
) -> None:
    """Reject one photo that was passed instead of a stack of images.

    Parameters
    ----------
    shape : (int, int, int)
        Shape of the array: (n, h, w) for grey images, but (h, w, 1 | 2 | 3 | 4) for one photo.
    known : tuple of (int, int) or None, default=None
        Possible heights and widths of the images.
    name : str
        Name of the array in error messages.

    Raises
    ------
    ValueError
        If it is one photo.
    """
    known = known or ()
    may_be_photo = shape[2] in _CHANNELS and (shape[1] >= _LOWEST_PHOTO or shape[:2] in known)
    if may_be_photo and shape[1:] not in known:
        raise ValueError(
            f"{name} has shape {shape}, which is one photo; expected a batch of photos, "
            f"(n, h, w) or (n, h, w, 3). Pass [{name}] or {name}[np.newaxis]."
        )


def split_batch(
    X: ImagesLike,
    *,
    name: str = "X",
    known: KnownShapes = None,
    owner: str = "",
    labelled: bool = False,
) -> PixelArray | list[Any]:
    """Return a batch of photos as an array or a list of photos, without reading or copying.

    Parameters
    ----------
    X : list, object array, Series, table or ndarray
        Each item a path, bytes or an array ``(h, w)``, ``(h, w, 3)`` or ``(h, w, 4)``; or one
        array of shape (n, h, w), (n, h, w, 1 | 3 | 4) or (n, h * w). A single path or photo is
        refused, because it is not a batch.
    name : str
        Name of `X` in error messages.
    known, owner, labelled
        The shape of flattened images, as in :func:`flat_image_shape`.

    Returns
    -------
    ndarray of shape (n, h, w) or (n, h, w, c), or list
        An array if `X` is pixels of one size in one array.

    Raises
    ------
    ValueError
        If `X` is empty, a single path, a single photo, or an array of another shape.
    TypeError
        If it is not a list or an array, for example a set.
    """
    _check_is_batch(X, name)
    X = _without_names(X)
    items: Any = X.to_numpy() if hasattr(X, "to_numpy") else X
    if isinstance(items, np.ndarray) and contains_items(items) and items.ndim == 2:
        if items.shape[1] > 1 and isinstance(items.flat[0], str):
            raise ValueError(
                f"{name} has {items.shape[1]} columns; expected one column of paths. Select it, "
                f"for example with a ColumnTransformer."
            )
        items = items[:, 0] if items.shape[1] == 1 else items
    if isinstance(items, np.ndarray) and not contains_items(items):
        return _as_stack(items, name, known, owner, labelled)
    if not hasattr(items, "__len__") or not hasattr(items, "__iter__") or hasattr(items, "tocsr"):
        raise TypeError(
            f"{name} is a {type(items).__name__}; expected a list of photos or an array. Sparse "
            f"input is not supported."
        )
    items = list(items)
    if not items:
        raise ValueError(f"{name} is empty: found 0 photo(s), expected at least one.")
    if all(not _is_file_or_image(item) and np.ndim(item) == 1 for item in items):
        return _as_stack(np.asarray(items), name, known, owner, labelled)
    shapes = {item.shape if isinstance(item, np.ndarray) else () for item in items}
    if len(shapes) == 1 and len(shape := shapes.pop()) == 2:
        # Iterating over a photo in colour yields its rows.
        check_stack_shape((len(items), *shape), known=known, name=name)
    return items


def _as_stack(array, name, known, owner, labelled):
    """View a numeric array as images along its first axis."""
    if array.ndim == 2 and len(array):
        shape = flat_image_shape(
            array.shape, known=known, labelled=labelled, name=name, owner=owner
        )
        array = array.reshape(len(array), *shape)
    if array.ndim not in (3, 4):
        raise ValueError(
            f"{name} has shape {array.shape}; expected a batch of photos, (n, h, w) or "
            f"(n, h, w, 3). Reshape your data; for one photo pass {name}[np.newaxis]."
        )
    if len(array) == 0:
        raise ValueError(
            f"{name} has shape {array.shape}: found 0 photo(s), expected at least one."
        )
    if array.ndim == 3:
        check_stack_shape(array.shape, known=known, name=name)
    return array
