"""Principal components of one descriptor among several."""

from numbers import Integral
from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from .._utils.compat import Interval, fit_context

__all__ = ["BalancedPCA", "make_pca"]

# Up to here the covariance matrix is small enough to be decomposed itself.
_MAX_COVARIANCE = 4096


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
