"""Base class for grey image descriptors."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._utils.compat import fit_context
from .._utils.estimators import FeatureNamesMixin, ImageTagsMixin
from .._utils.pixels import check_pixels
from .._utils.typing import ArrayLike, FloatArray, NDArray, PixelArray

__all__ = ["ImageDescriptor"]


class ImageDescriptor(FeatureNamesMixin, ImageTagsMixin, TransformerMixin, BaseEstimator):
    """A transformer from grey images to features, stateless unless `fit` learns from the images.

    A subclass has ``_check_size()``, which raises if ``image_shape_`` is too small for its
    parameters; ``_describe(images)``, from images of shape (n, h, w) to float32 features of shape
    (n, n_features); and ``_feature_names()``, which returns their names in order. It may have
    ``_mirrored(features)``, if features of images determine those of their mirror images, and
    ``_learn(images)``, with the tag ``requires_fit``.
    """

    @abstractmethod
    def _check_size(self) -> None: ...

    @abstractmethod
    def _describe(self, images: PixelArray) -> FloatArray: ...

    def _learn(self, images: PixelArray) -> None:
        """Learn what `_describe` needs from images of shape (n, h, w)."""

    def _mirrored(self, features: FloatArray) -> FloatArray | None:
        """Return the features of the mirror images, or None if `features` do not determine them."""
        return None

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> ImageDescriptor:
        """Check the parameters and record the image size.

        Parameters
        ----------
        X : array-like of shape (n_samples, h, w), (n_samples, h, w, 1) or (n_samples, h * w)
            Grey images, uint8 or float.
        y : ignored
            Present for consistency.

        Returns
        -------
        self : ImageDescriptor
            The transformer.

        Raises
        ------
        ValueError
            If the images are too small for the parameters, or `X` is not a stack of grey images.
        """
        images = check_pixels(self, X, reset=True, keep_float64=True, labelled=y is not None)
        self._check_size()
        self._learn(images)
        return self

    def transform(self, X: ArrayLike) -> FloatArray:
        """Extract the features.

        Parameters
        ----------
        X : array-like of shape (n_samples, h, w), (n_samples, h, w, 1) or (n_samples, h * w)
            Grey images, uint8 or float; if `fit` learns from images, of their size and range.

        Returns
        -------
        ndarray of shape (n_samples, n_features), float32
            Features.
        """
        check_is_fitted(self)
        self._validate_params()
        return self._describe(check_pixels(self, X, reset=False, keep_float64=True))

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[Any]:
        check_is_fitted(self, "image_shape_")
        return super().get_feature_names_out(input_features)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.transformer_tags.preserves_dtype = []
        return tags
