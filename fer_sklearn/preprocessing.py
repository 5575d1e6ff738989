"""Resize photos or faces to one size, and normalise their pixels.

Thin classes over :func:`~fer_sklearn.images.resize_gray`, :func:`~fer_sklearn.images.resize_rgb`
and :func:`~fer_sklearn.preprocessing.normalize_pixels`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ._utils.estimators import ImageOutputMixin, ImageTagsMixin, PhotoTransformer
from ._utils.pixel_values import NORMALIZATIONS, normalize_pixels
from ._utils.pixels import check_pixels, in_pixel_order, known_shapes, photo_items, pixel_names
from ._utils.typing import ArrayLike, ImagesLike, NDArray, PixelArray, Size
from ._utils.validation import check_choice, check_column_order, check_pair
from .images import resize_gray, resize_rgb

__all__ = [
    "GrayscaleResizer",
    "PixelNormalizer",
    "RGBResizer",
    "normalize_pixels",
    "resize_gray",
    "resize_rgb",
]


class _Resizer(ImageOutputMixin, PhotoTransformer):
    """Base class of the transformers that resize photos."""

    size: Size
    _resize: ClassVar[Callable[..., PixelArray]]

    def transform(self, X: ImagesLike) -> PixelArray:
        """Resize the photos.

        Parameters
        ----------
        X : list, object array, or ndarray of shape (n, h, w), (n, h, w, 1 | 3 | 4) or (n, h * w)
            Paths or pixels: bool, integers in 0..255, uint16, or floats in [0, 1] or
            [0, 255]. Flattened images must have the size seen in `fit`, or `size`.

        Returns
        -------
        ndarray of shape (n, height, width) or, in colour, (n, height, width, 3), uint8
            `X` itself if it is such an array already; a table if `set_output` requests one.

        Raises
        ------
        ImageReadError
            If a file is missing or damaged; the message names it.
        ValueError
            If an item is not a photo; the message has its position. If `X` is one photo without
            the batch axis.
        """
        size = self._check_parameters()
        check_column_order(self, X, reset=False)
        known = known_shapes(self, size)
        return self._as_output(X, self._resize(X, size, known=known, owner=type(self).__name__))

    def _check_parameters(self) -> tuple[int, int]:
        return check_pair("size", self.size, "(height, width)")


class GrayscaleResizer(_Resizer):
    """Convert photos or faces of any kind and size to grey images of one size.

    Only the size of flattened images is learned, so `transform` works without `fit`. Colour becomes
    grey with the luma weights of ITU-R BT.601; shrinking averages areas, enlarging uses cubic
    interpolation.

    Parameters
    ----------
    size : int or (int, int), default=48
        Side of the square images, or their height and width, in pixels.

    Attributes
    ----------
    image_shape_ : (int, int) or None
        Height and width of the images seen in `fit`, if they were arrays of one size.

    Examples
    --------
    >>> import numpy as np
    >>> photos = [np.zeros((90, 80, 3), np.uint8), np.zeros((20, 20), np.uint8)]
    >>> GrayscaleResizer(size=32).fit_transform(photos).shape
    (2, 32, 32)
    """

    _resize = staticmethod(resize_gray)

    def __init__(self, size: Size = 48) -> None:
        self.size = size

    def _feature_names(self) -> tuple[str, ...]:
        return pixel_names(self._check_parameters())


class RGBResizer(_Resizer):
    """Convert photos or faces of any kind and size to RGB images of one size.

    Like :class:`GrayscaleResizer`, but in colour, for networks that are trained on colour images.
    Grey images get three equal channels.

    Parameters
    ----------
    size : int or (int, int), default=96
        Side of the square images, or their height and width, in pixels.

    Attributes
    ----------
    image_shape_ : (int, int) or None
        Height and width of the images seen in `fit`, if they were arrays of one size.

    Examples
    --------
    >>> from skimage.data import astronaut, camera
    >>> RGBResizer(size=32).fit_transform([astronaut(), camera()]).shape
    (2, 32, 32, 3)
    """

    _resize = staticmethod(resize_rgb)

    def __init__(self, size: Size = 96) -> None:
        self.size = size

    def _feature_names(self) -> tuple[str, ...]:
        return pixel_names((*self._check_parameters(), 3))


def _n_dims(X):
    """Return the dimensions of a batch of images: an array, a table, or a list of images."""
    n_dims = len(getattr(X, "shape", ()))
    if n_dims > 1 or not hasattr(X, "__iter__"):
        return n_dims or np.asarray(X).ndim
    return 1 + np.ndim(next(iter(X)))


class PixelNormalizer(
    ImageOutputMixin,
    ImageTagsMixin,
    OneToOneFeatureMixin,
    TransformerMixin,
    BaseEstimator,
):
    """Normalise the pixels of images of one size, each image separately.

    Stateless: `transform` works without `fit`, which only records the image size. The output has
    the shape of the input.

    Parameters
    ----------
    method : {"unit", "standard", "equalize", "clahe"}, default="unit"
        ``"unit"``: divides integers by 255 and leaves floats in [0, 1] as they are.

        ``"standard"``: zero mean and unit variance per image; a flat image becomes zero.

        ``"equalize"``: flattens the histogram of each image, so that brightness and contrast
        of the photo no longer matter.

        ``"clahe"``: the same per tile with limited contrast (Zuiderveld 1994), 4×4 tiles,
        limit 2.

        All but ``"standard"`` return values in [0, 1]; the last two work on 256 levels, and on
        grey images only.

    Attributes
    ----------
    n_features_in_ : int
        Values per image, seen in `fit`.
    image_shape_ : (int, int)
        Height and width of the images seen in `fit`.
    n_channels_ : int
        1 for grey images, 3 for images in colour.

    Examples
    --------
    >>> import numpy as np
    >>> PixelNormalizer().fit_transform(np.array([[[0, 51], [102, 255]]], dtype=np.uint8))
    array([[[0. , 0.2],
            [0.4, 1. ]]], dtype=float32)
    """

    def __init__(self, method: str = "unit") -> None:
        self.method = method

    def fit(self, X: ArrayLike, y: Any = None) -> PixelNormalizer:
        """Check the parameters and record the image size.

        Parameters
        ----------
        X : array-like of shape (n, h, w), (n, h, w, 1 | 3) or (n, h * w), or list of photos
            Images of one size, integers in 0..255 or floats. Files are read as grey.
        y : ignored

        Returns
        -------
        self
        """
        check_choice("method", self.method, NORMALIZATIONS)
        check_pixels(self, X, reset=True, labelled=y is not None, color=True)
        return self

    def transform(self, X: ArrayLike) -> PixelArray:
        """Normalise the images.

        Parameters
        ----------
        X : array-like of shape (n, h, w), (n, h, w, 1 | 3) or (n, h * w), or list of photos
            Images of one size, integers in 0..255 or floats in [0, 1] (``"standard"``: any).

        Returns
        -------
        ndarray of the shape of `X`, float32
            Of shape (n, h, w) for a list of photos.

        Raises
        ------
        ValueError
            For floats outside [0, 1] where they are not expected.
        """
        pixels = normalize_pixels(check_pixels(self, X, reset=False, color=True), self.method)
        are_photos = photo_items(X) is not None
        n_dims = 3 if are_photos else _n_dims(X)
        shapes = {2: (len(pixels), -1), 4: (*pixels.shape[:3], -1)}
        columns = [] if are_photos else list(getattr(X, "columns", ()))
        are_names = columns and all(isinstance(name, str) for name in columns)
        names = columns if are_names else pixel_names(pixels.shape[1:])
        if are_names and (found := in_pixel_order(columns)):
            names, _ = found  # the pixels were put in this order
        shape = pixels.shape if pixels.ndim == 4 and n_dims != 2 else shapes.get(n_dims)
        return self._as_output(X, pixels.reshape(shape or pixels.shape), names)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[Any]:
        """Return the names of the pixels.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns. If None, those of the table seen in `fit`, or ``pixel_12_40`` for
            row 12 and column 40. Names of pixels are returned in the order of the pixels.

        Returns
        -------
        ndarray of shape (n_features,), object
        """
        if not hasattr(self, "feature_names_in_"):
            names = [] if input_features is None else np.asarray(input_features).tolist()
            if found := in_pixel_order(names):
                input_features = np.array(found[0], dtype=object)
            if input_features is None:
                check_is_fitted(self, "image_shape_")
                shape = (*self.image_shape_, 3) if self.n_channels_ == 3 else self.image_shape_
                return np.array(pixel_names(shape), dtype=object)
            if not hasattr(self, "n_features_in_"):
                return np.asarray(input_features, dtype=object)
        return super().get_feature_names_out(input_features)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.positive_only = self.method != "standard"
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
