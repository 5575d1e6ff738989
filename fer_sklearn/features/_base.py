"""What descriptors of grey images have in common: they learn nothing but the images' size."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._utils.compat import fit_context
from .._utils.pixels import ImageTagsMixin, check_pixels

__all__ = ["ImageDescriptor"]


class ImageDescriptor(ImageTagsMixin, TransformerMixin, BaseEstimator):
    """A stateless transformer from grey images to features.

    A subclass has ``_check_size()``, which raises if ``image_shape_`` is too small for its
    parameters; ``_describe(images)``, from ``(n, h, w)`` to ``(n, n_features)`` float32; and
    ``_feature_names()``, their names in order.
    """

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Check the parameters and record the image size.

        Parameters
        ----------
        X : array-like of shape (n, h, w), (n, h, w, 1) or (n, h * w)
            Grey images, uint8 or float.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For images too small for the parameters, or any input that is no stack of images.
        """
        check_pixels(self, X, reset=True, keep_float64=True)
        self._check_size()
        return self

    def transform(self, X):
        """Compute the features.

        Parameters
        ----------
        X : array-like of shape (n, h, w), (n, h, w, 1) or (n, h * w)
            Grey images, uint8 or float.

        Returns
        -------
        ndarray of shape (n, n_features), float32
        """
        self._validate_params()
        return self._describe(check_pixels(self, X, reset=False, keep_float64=True))

    def get_feature_names_out(self, input_features=None):
        """Name the features after their place in the image and what they count.

        Parameters
        ----------
        input_features : ignored
            Features are not pixels, so the names of the pixels do not matter.

        Returns
        -------
        ndarray of shape (n_features,), object
        """
        check_is_fitted(self, "image_shape_")
        return np.array(self._feature_names(), dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.transformer_tags.preserves_dtype = []
        return tags
