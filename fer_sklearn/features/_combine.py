"""Combine and reduce descriptors: mirror images, principal components."""

from numbers import Integral
from typing import ClassVar

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    clone,
)
from sklearn.decomposition import PCA
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from .._utils.compat import HasMethods, Interval, fit_context
from .._utils.pixels import ImageTagsMixin, check_pixels
from ._hog import HOGExtractor

__all__ = ["BalancedPCA", "MirroredFeatures", "make_pca"]

# Up to here the covariance matrix is small enough to be decomposed itself.
_MAX_COVARIANCE = 4096


class MirroredFeatures(ImageTagsMixin, TransformerMixin, BaseEstimator):
    """Features of each face and, beside them, those of its mirror image.

    An expression means the same in the mirror, but once images have become features nothing
    can be mirrored any more. This keeps both: the first half of the columns describes the
    images, the second half their mirror images, and ``n_samples`` stays. A classifier that
    knows of it, ``LSSVMClassifier(flip_invariant=True)``, learns from both at the price of one.

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


def make_pca(shape, n_components, random_state):
    """Return an unfitted PCA for data of this shape, or None where it could not reduce it.

    Parameters
    ----------
    shape : (int, int)
        Samples and features.
    n_components : int or None
        Components wanted; None is all features.
    random_state : int, RandomState instance or None
        Seed of the approximate solver, taken for thousands of features.

    Returns
    -------
    PCA or None
    """
    n_samples, n_features = shape
    if n_components is None or n_components >= min(n_samples, n_features):
        return None
    exact = n_features <= min(n_samples, _MAX_COVARIANCE)
    return PCA(
        n_components,
        svd_solver="covariance_eigh" if exact else "auto",
        random_state=check_random_state(random_state).randint(np.iinfo(np.int32).max),
    )


class BalancedPCA(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Reduce a descriptor to principal components and scale it to a total variance of 1.

    Descriptors differ in length and scale: joined as they are, the longest would decide.
    After this step each counts as much as any other in a ``FeatureUnion``, unless its
    ``transformer_weights`` say otherwise.

    Parameters
    ----------
    n_components : int or None, default=250
        Principal components kept. None, or as many as there are features or samples,
        keeps the features as they are.
    random_state : int, RandomState instance or None, default=0
        Seed of the approximate solver, taken for thousands of features.

    Attributes
    ----------
    pca_ : PCA or None
        None where nothing was to be reduced.
    scale_ : float
        What the components are multiplied by.
    n_features_in_ : int
        Columns of `X` seen in `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from fer_sklearn.features import BalancedPCA
    >>> X = np.random.default_rng(0).normal(size=(50, 20))
    >>> reduced = BalancedPCA(n_components=3).fit_transform(X)
    >>> reduced.shape, round(float(reduced.var(axis=0).sum()), 6)
    ((50, 3), 1.0)
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
    }

    def __init__(self, *, n_components=250, random_state=0):
        self.n_components = n_components
        self.random_state = random_state

    def fit(self, X, y=None):
        """Learn the components and their scale.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : ignored

        Returns
        -------
        self
        """
        self.fit_transform(X)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X, y=None):
        """Learn the components and their scale, and reduce `X`.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : ignored

        Returns
        -------
        ndarray of shape (n, n_components), float32 or float64
        """
        X = validate_data(self, X, dtype=[np.float32, np.float64])
        self.pca_ = make_pca(X.shape, self.n_components, self.random_state)
        reduced = X if self.pca_ is None else self.pca_.fit_transform(X)
        variance = float(reduced.var(axis=0, dtype=np.float64).sum())
        self.scale_ = variance**-0.5 if variance > 0 else 1.0
        self._n_features_out = reduced.shape[1]
        return reduced * reduced.dtype.type(self.scale_)

    def transform(self, X):
        """Reduce `X`.

        Parameters
        ----------
        X : array-like of shape (n, n_features)

        Returns
        -------
        ndarray of shape (n, n_components), float32 or float64
        """
        check_is_fitted(self, "scale_")
        X = validate_data(self, X, reset=False, dtype=[np.float32, np.float64])
        reduced = X if self.pca_ is None else self.pca_.transform(X)
        return reduced * reduced.dtype.type(self.scale_)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
