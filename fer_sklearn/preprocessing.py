"""From photos or faces to grey images of one size, and from those to normalised pixels."""

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.metaestimators import available_if

from ._utils.pixels import ImageOutputMixin, ImageTagsMixin, as_photo_list, check_pixels
from ._utils.validation import check_choice, check_pair
from .images import iter_photos, resize, to_gray, to_uint8

__all__ = ["GrayscaleResizer", "PixelNormalizer", "normalize_pixels", "resize_gray"]

# Contrast limit of CLAHE, and tiles along each side: 12 pixels of a face of 48.
_CLAHE_CLIP, _CLAHE_TILES = 2.0, 4


def resize_gray(photos, size):
    """Turn photos of any kind and size into grey images of one size.

    Colour becomes grey by the luma weights of ITU-R BT.601. Shrinking averages areas,
    enlarging interpolates by cubics.

    Parameters
    ----------
    photos : list, object array, or ndarray of shape (n, h, w), (n, h, w, 1 | 3 | 4) or (n, h * w)
        Paths or pixels.
    size : (int, int)
        Height and width of the images.

    Returns
    -------
    ndarray of shape (n, height, width), uint8
        A view of `photos` where they are already such images.

    Examples
    --------
    >>> import numpy as np
    >>> resize_gray([np.zeros((90, 80, 3)), np.ones((20, 20))], (48, 48)).shape
    (2, 48, 48)
    """
    finished = _already_gray(photos, size)
    if finished is not None:
        return finished
    images = np.empty((len(as_photo_list(photos)), *size), np.uint8)
    for image, photo in zip(images, iter_photos(photos), strict=True):
        image[:] = resize(to_gray(photo), size)
    return images


def normalize_pixels(images, method="unit"):
    """Normalise a stack of grey images.

    Parameters
    ----------
    images : ndarray of shape (n, h, w), uint8 or float32
        Floats must lie in [0, 1], except for ``"standard"``.
    method : {"unit", "standard", "equalize", "clahe"}, default="unit"
        As in :class:`PixelNormalizer`.

    Returns
    -------
    ndarray of shape (n, h, w), float32
        In [0, 1], except for ``"standard"``. `images` itself where nothing changes.

    Examples
    --------
    >>> import numpy as np
    >>> normalize_pixels(np.array([[[0, 51, 255]]], dtype=np.uint8))
    array([[[0. , 0.2, 1. ]]], dtype=float32)
    """
    return _METHODS[check_choice("method", method, _METHODS)](images)


class GrayscaleResizer(ImageOutputMixin, ImageTagsMixin, TransformerMixin, BaseEstimator):
    """Turn photos or faces of any kind and size into grey images of one size.

    Stateless: `transform` works without `fit`. Colour becomes grey by the luma weights of
    ITU-R BT.601; shrinking averages areas, enlarging interpolates by cubics.

    Parameters
    ----------
    size : int or (int, int), default=48
        Side of the square images, or their height and width, in pixels.

    Examples
    --------
    >>> import numpy as np
    >>> photos = [np.zeros((90, 80, 3), np.uint8), np.zeros((20, 20), np.uint8)]
    >>> GrayscaleResizer(size=32).fit_transform(photos).shape
    (2, 32, 32)
    """

    def __init__(self, size=48):
        self.size = size

    def fit(self, X, y=None):
        """Check the parameters; there is nothing to learn.

        Parameters
        ----------
        X : batch of photos
            Not read, only counted.
        y : ignored

        Returns
        -------
        self
        """
        check_pair("size", self.size, "(height, width)")
        as_photo_list(X)
        return self

    def transform(self, X):
        """Resize the photos.

        Parameters
        ----------
        X : list, object array, or ndarray of shape (n, h, w), (n, h, w, 1 | 3 | 4) or (n, h * w)
            Paths or pixels: bool, integers in 0..255, uint16, or floats in [0, 1] or
            [0, 255].

        Returns
        -------
        ndarray of shape (n, height, width), uint8
            Not copied where `X` is that already.

        Raises
        ------
        ImageReadError
            For a file that is missing or damaged; the message names it.
        ValueError
            For an item that is no photo; the message has its position.
        """
        return resize_gray(X, check_pair("size", self.size, "(height, width)"))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True
        tags.input_tags.positive_only = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _gives_rows(normalizer):
    return getattr(normalizer, "n_dims_", 2) == 2


class PixelNormalizer(ImageTagsMixin, OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Normalise the pixels of grey images, each image by itself.

    Stateless: `transform` works without `fit`, which only records the image size. The
    output has the shape of the input; where that is flattened images, it is a table, and
    `set_output` applies.

    Parameters
    ----------
    method : {"unit", "standard", "equalize", "clahe"}, default="unit"
        ``"unit"``: integers are divided by 255, floats in [0, 1] are left alone.

        ``"standard"``: zero mean and unit variance of each image; a flat one becomes zero.

        ``"equalize"``: the histogram of each image is flattened, so that brightness and
        contrast of the photo no longer matter.

        ``"clahe"``: the same tile by tile with limited contrast (Zuiderveld 1994), 4×4
        tiles, limit 2.

        All but ``"standard"`` give values in [0, 1]; the last two work on 256 levels.

    Attributes
    ----------
    n_features_in_ : int
        Pixels an image, seen in `fit`.
    image_shape_ : (int, int)
        Height and width of the images seen in `fit`.
    n_dims_ : int
        Dimensions of the array seen in `fit`; 2 for flattened images.

    Examples
    --------
    >>> import numpy as np
    >>> PixelNormalizer().fit_transform(np.array([[[0, 51], [102, 255]]], dtype=np.uint8))
    array([[[0. , 0.2],
            [0.4, 1. ]]], dtype=float32)
    """

    def __init__(self, method="unit"):
        self.method = method

    def fit(self, X, y=None):
        """Check the parameters and record the image size.

        Parameters
        ----------
        X : array-like of shape (n, h, w), (n, h, w, 1) or (n, h * w)
            Grey images, integers in 0..255 or floats.
        y : ignored

        Returns
        -------
        self
        """
        check_choice("method", self.method, _METHODS)
        check_pixels(self, X, reset=True)
        self.n_dims_ = np.asarray(X).ndim
        return self

    def transform(self, X):
        """Normalise the images.

        Parameters
        ----------
        X : array-like of shape (n, h, w), (n, h, w, 1) or (n, h * w)
            Grey images, integers in 0..255 or floats in [0, 1] (``"standard"``: any).

        Returns
        -------
        ndarray of the shape of `X`, float32

        Raises
        ------
        ValueError
            For floats outside [0, 1] where they are not expected.
        """
        pixels = normalize_pixels(check_pixels(self, X, reset=False), self.method)
        return pixels.reshape(np.asarray(X).shape)

    @available_if(_gives_rows)
    def get_feature_names_out(self, input_features=None):
        """Return the names of the pixels, where they came as a table.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns; those seen in `fit`, else ``x0``, ``x1``, …

        Returns
        -------
        ndarray of shape (n_features,), object
        """
        return super().get_feature_names_out(input_features)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.positive_only = self.method != "standard"
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _already_gray(photos, size):
    """View `photos` as grey uint8 images of the right size, or return None if they are not."""
    if not isinstance(photos, np.ndarray) or photos.dtype != np.uint8 or len(photos) == 0:
        return None
    height, width = size
    is_flat = photos.ndim == 2 and height == width and photos.shape[1] == height * width
    if is_flat or photos.shape[1:] in ((height, width), (height, width, 1)):
        return photos.reshape(-1, height, width)
    return None


def _unit(images):
    if images.dtype == np.uint8:
        return images / np.float32(255)
    return _check_unit_range(images)


def _standard(images):
    images = images.astype(np.float32)
    images -= images.mean((1, 2), keepdims=True)
    spread = images.std((1, 2), keepdims=True)
    # A flat image differs from its mean by rounding at most, and stays (nearly) zero.
    images /= np.where(spread > 1e-6, spread, 1)
    return images


def _equalize(images):
    """Map each grey level to the share of pixels that are darker, as equalizeHist does."""
    codes = _as_bytes(images).reshape(len(images), -1)
    histograms = np.apply_along_axis(np.bincount, 1, codes, minlength=256)
    shares = histograms.cumsum(1).astype(np.float32)
    darkest = np.take_along_axis(histograms, codes.min(1, keepdims=True), 1)
    rest = codes.shape[1] - darkest
    levels = np.maximum(shares - darkest, 0) / np.maximum(rest, 1)
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


_METHODS = {"unit": _unit, "standard": _standard, "equalize": _equalize, "clahe": _clahe}
