"""Describe each face together with its mirror image."""

from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from .._utils.compat import HasMethods, fit_context
from .._utils.pixels import ImageTagsMixin, check_pixels
from ._hog import HOGExtractor

__all__ = ["MirroredFeatures"]


class MirroredFeatures(ImageTagsMixin, TransformerMixin, BaseEstimator):
    """Features of each face and, beside them, those of its mirror image.

    An expression means the same in the mirror, but once images have become features nothing
    can be mirrored any more. This keeps both: the first half of the columns describes the
    images, the second half their mirror images, and ``n_samples`` stays. A classifier that
    knows of it, ``LSSVMClassifier(mirrored=True)``, learns from both at the price of one.

    Parameters
    ----------
    transformer : transformer or None, default=None
        What turns images into features, such as a ``FeatureUnion`` of descriptors. None is
        ``HOGExtractor()``. It is cloned, and fitted on the images as they are.

    Attributes
    ----------
    transformer_ : transformer
        Fitted.
    n_features_in_ : int
        Pixels an image, seen in `fit`.
    image_shape_ : (int, int)
        Height and width of the images seen in `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from fer_sklearn.features import MirroredFeatures
    >>> faces = np.random.default_rng(0).integers(0, 256, (3, 48, 48), dtype=np.uint8)
    >>> both = MirroredFeatures().fit_transform(faces)
    >>> both.shape
    (3, 1800)
    >>> turned = MirroredFeatures().fit_transform(faces[:, :, ::-1])
    >>> bool((turned[:, :900] == both[:, 900:]).all())
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "transformer": [HasMethods(["fit_transform", "transform"]), None],
    }

    def __init__(self, transformer=None):
        self.transformer = transformer

    def fit(self, X, y=None):
        """Fit the transformer.

        Parameters
        ----------
        X : array-like of shape (n, h, w), (n, h, w, 1) or (n, h * w)
            Grey images, uint8 or float.
        y : array-like of shape (n,), default=None
            Handed to the transformer.

        Returns
        -------
        self
        """
        self.fit_transform(X, y)
        return self

    @fit_context(prefer_skip_nested_validation=False)
    def fit_transform(self, X, y=None):
        """Fit the transformer and describe the images.

        Parameters
        ----------
        X : array-like of shape (n, h, w), (n, h, w, 1) or (n, h * w)
            Grey images, uint8 or float.
        y : array-like of shape (n,), default=None
            Handed to the transformer.

        Returns
        -------
        ndarray of shape (n, 2 * n_features)
        """
        images = check_pixels(self, X, reset=True, keep_float64=True)
        given = self.transformer
        self.transformer_ = HOGExtractor() if given is None else clone(given)
        features = self.transformer_.fit_transform(images, y)
        return self._with_mirrored(features, images)

    def transform(self, X):
        """Describe images and their mirror images.

        Parameters
        ----------
        X : array-like of shape (n, h, w), (n, h, w, 1) or (n, h * w)
            Grey images of the size seen in `fit`.

        Returns
        -------
        ndarray of shape (n, 2 * n_features)
        """
        check_is_fitted(self, "transformer_")
        images = check_pixels(self, X, reset=False, keep_float64=True)
        return self._with_mirrored(self.transformer_.transform(images), images)

    def get_feature_names_out(self, input_features=None):
        """Name the features as the transformer does, those of the mirror ``mirrored_…``.

        Parameters
        ----------
        input_features : ignored
            Features are not pixels, so the names of the pixels do not matter.

        Returns
        -------
        ndarray of shape (2 * n_features,), object
        """
        check_is_fitted(self, "transformer_")
        names = self.transformer_.get_feature_names_out()
        return np.array([*names, *(f"mirrored_{name}" for name in names)], dtype=object)

    def _with_mirrored(self, features, images):
        return np.hstack([features, self.transformer_.transform(images[:, :, ::-1])])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags
