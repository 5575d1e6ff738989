"""Combine and reduce descriptors: mirror images, principal components."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from scipy.linalg import eigh
from sklearn import config_context, get_config
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    OneToOneFeatureMixin,
    TransformerMixin,
    clone,
)
from sklearn.decomposition import PCA
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils import check_random_state, gen_batches
from sklearn.utils.extmath import svd_flip
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import check_is_fitted, validate_data

from .._utils.compat import HasMethods, Interval, fit_context
from .._utils.estimators import FeatureNamesMixin, ImageDescriptor, ImageTagsMixin
from .._utils.pixels import check_pixels
from .._utils.typing import ArrayLike, FloatArray, NDArray, PixelArray, RandomState
from ._hog import HOGExtractor

__all__ = ["BalancedPCA", "CappedPCA", "MirroredFeatures", "make_pca"]

# With no more features than this, the covariance matrix is small enough to be decomposed.
_MAX_COVARIANCE = 4096
_ROWS_AT_A_TIME = 2048


class MirroredFeatures(FeatureNamesMixin, ImageTagsMixin, TransformerMixin, BaseEstimator):
    """Concatenate the features of each image with those of its mirror image.

    An expression means the same in the mirror, but features cannot be mirrored once they are
    extracted. The first half of the output columns describes the images, the second half, named
    ``mirrored_…``, their mirror images. ``LSSVMClassifier(flip_invariant=True)`` learns from both
    at the cost of one.

    Parameters
    ----------
    transformer : transformer or None, default=None
        Transformer from images to features, such as a ``FeatureUnion`` of descriptors. It is
        cloned, and fitted on the images only. If None, ``HOGExtractor()``.

    Attributes
    ----------
    transformer_ : transformer
        Fitted transformer.
    n_features_in_ : int
        Number of pixels per image seen in `fit`.
    image_shape_ : (int, int)
        Height and width of the images seen in `fit`, in pixels.

    Examples
    --------
    >>> import numpy as np
    >>> from fer_sklearn.features import MirroredFeatures
    >>> faces = np.random.default_rng(0).integers(0, 256, (3, 48, 48), dtype=np.uint8)
    >>> both = MirroredFeatures().fit_transform(faces)
    >>> both.shape
    (3, 1800)
    >>> mirrored = MirroredFeatures().fit_transform(faces[:, :, ::-1])
    >>> bool((mirrored[:, :900] == both[:, 900:]).all())
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "transformer": [HasMethods(["fit_transform", "transform"]), None],
    }

    def __init__(self, transformer: TransformerMixin | None = None) -> None:
        self.transformer = transformer

    def fit(self, X: ArrayLike, y: ArrayLike | None = None, **fit_params: Any) -> MirroredFeatures:
        """Fit the transformer.

        Parameters
        ----------
        X : array-like of shape (n_samples, h, w), (n_samples, h, w, 1) or (n_samples, h * w)
            Grey images, uint8 or float.
        y : array-like of shape (n_samples,), default=None
            Passed to the transformer.
        **fit_params : dict
            Passed to the transformer; with metadata routing enabled, what it requests.

        Returns
        -------
        self : MirroredFeatures
            Fitted transformer.
        """
        self.fit_transform(X, y, **fit_params)
        return self

    @fit_context(prefer_skip_nested_validation=False)
    def fit_transform(
        self, X: ArrayLike, y: ArrayLike | None = None, **fit_params: Any
    ) -> FloatArray:
        """Fit the transformer and extract the features.

        Parameters
        ----------
        X, y, **fit_params
            As in :meth:`fit`.

        Returns
        -------
        ndarray of shape (n_samples, 2 * n_features)
            Features of the images, then of their mirror images.
        """
        if get_config()["enable_metadata_routing"]:
            fit_params = process_routing(self, "fit", **fit_params).transformer.fit_transform
        labelled = y is not None
        images = check_pixels(self, X, reset=True, keep_float64=True, labelled=labelled)
        given = self.transformer
        self.transformer_ = HOGExtractor() if given is None else clone(given)
        # Tables are made of the result only.
        with config_context(transform_output="default"):
            features = self.transformer_.fit_transform(images, y, **fit_params)
            return np.hstack([features, self.transformer_.transform(images[:, :, ::-1])])

    def transform(self, X: ArrayLike) -> FloatArray:
        """Extract the features of images and of their mirror images.

        Parameters
        ----------
        X : array-like of shape (n_samples, h, w), (n_samples, h, w, 1) or (n_samples, h * w)
            Grey images of the size seen in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, 2 * n_features)
            Features of the images, then of their mirror images.
        """
        check_is_fitted(self, "transformer_")
        images = check_pixels(self, X, reset=False, keep_float64=True)
        with config_context(transform_output="default"):
            return np.hstack(_both_sides(self.transformer_, images))

    def _feature_names(self) -> list[str]:
        """Return the transformer's names, and the same with the prefix ``mirrored_``."""
        check_is_fitted(self, "transformer_")
        names = self.transformer_.get_feature_names_out()
        return [*names, *(f"mirrored_{name}" for name in names)]

    def get_metadata_routing(self) -> MetadataRouter:
        """Return which parameters of `fit` are passed to the transformer.

        Returns
        -------
        MetadataRouter
        """
        mapping = MethodMapping()
        for caller in ("fit", "fit_transform"):
            mapping.add(caller=caller, callee="fit_transform")
        transformer = HOGExtractor() if self.transformer is None else self.transformer
        return MetadataRouter(owner=self).add(transformer=transformer, method_mapping=mapping)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags


def _both_sides(transformer: Any, images: PixelArray) -> list[FloatArray]:
    """Return the features of images and of their mirror images, from a fitted transformer.

    Unions and pipelines are taken apart, since a descriptor inside may obtain the features of the
    mirror images from those of the images, which is faster.
    """
    # A subclass may do more than its steps, and only the union itself can use n_jobs.
    if type(transformer) is FeatureUnion and transformer.n_jobs is None:
        parts = [
            (part, (transformer.transformer_weights or {}).get(name, 1))
            for name, part in transformer.transformer_list
            if part not in ("drop", "passthrough")
        ]
        if len(parts) == len(transformer.transformer_list):
            sides = zip(*(_both_sides(part, images) for part, _ in parts), strict=True)
            factors = [factor for _, factor in parts]
            return [np.hstack([x * f for x, f in zip(s, factors, strict=True)]) for s in sides]
    if type(transformer) is Pipeline and isinstance(transformer[0], ImageDescriptor):
        described = _both_sides(transformer[0], images)
        return [transformer[1:].transform(x) for x in described] if transformer[1:] else described
    features = transformer.transform(images)
    if isinstance(transformer, ImageDescriptor):
        mirrored = transformer._mirrored(np.asarray(features))
        if mirrored is not None:
            return [features, mirrored]
    return [features, transformer.transform(images[:, :, ::-1])]


class LeadingPCA(PCA):
    """Principal components of thousands of samples, without computing the others.

    The ``"covariance_eigh"`` solver of ``sklearn.decomposition.PCA`` computes all eigenvectors of
    the covariance matrix and drops most of them. Here LAPACK computes the largest ones, which span
    the same subspace and take a third of the time. For arrays, and an integer number of
    components.
    """

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> LeadingPCA:
        """Fit the components of features, float32 or float64 of shape (n_samples, n_features)."""
        features = validate_data(self, X, dtype=[np.float64, np.float32])
        n_samples, n_features = features.shape
        self.n_samples_, self.n_components_ = n_samples, self.n_components
        self.mean_ = features.mean(axis=0, dtype=np.float64).astype(features.dtype)
        covariance = np.zeros((n_features, n_features), features.dtype)
        # Centred in parts, which saves a copy of X.
        for part in gen_batches(n_samples, _ROWS_AT_A_TIME):
            centred = features[part] - self.mean_
            covariance += centred.T @ centred
        covariance /= n_samples - 1
        total = max(float(np.trace(covariance)), 0.0)
        leading = (n_features - self.n_components_, n_features - 1)
        variances, vectors = eigh(covariance, subset_by_index=leading, overwrite_a=True)
        # Rounding can make variances negative.
        self.explained_variance_ = np.maximum(variances[::-1], 0)
        _, components = svd_flip(None, vectors[:, ::-1].T, u_based_decision=False)
        self.components_ = np.ascontiguousarray(components)
        kept = float(self.explained_variance_.sum())
        self.explained_variance_ratio_ = self.explained_variance_ / (max(total, kept) or 1.0)
        self.singular_values_ = np.sqrt(self.explained_variance_ * (n_samples - 1))
        self.noise_variance_ = max(total - kept, 0.0) / max(n_features - self.n_components_, 1)
        return self

    def fit_transform(self, X: ArrayLike, y: ArrayLike | None = None) -> FloatArray:
        """Fit the components and reduce `X` to them, to shape (n_samples, n_components)."""
        return self.fit(X).transform(X)


class ContiguousPCA(PCA):
    """Principal components that are stored contiguously in memory.

    scikit-learn keeps a view of the components that it computed. A saved copy is contiguous, so its
    products would be summed in a different order, and its output would differ by rounding.
    """

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> ContiguousPCA:
        """Fit the components, as ``sklearn.decomposition.PCA`` does."""
        self.fit_transform(X)
        return self

    def fit_transform(self, X: ArrayLike, y: ArrayLike | None = None) -> FloatArray:
        """Fit the components and reduce `X` to them, as ``sklearn.decomposition.PCA`` does."""
        reduced = super().fit_transform(X)
        self.components_: FloatArray = np.asfortranarray(self.components_)
        return reduced


def make_pca(
    shape: tuple[int, int],
    n_components: int | None,
    random_state: int | np.random.RandomState | None,
) -> PCA | None:
    """Return an unfitted PCA for data of this shape, or None if it would not reduce the data.

    Parameters
    ----------
    shape : (int, int)
        Number of samples and of features.
    n_components : int or None
        Number of components to keep; None keeps all features.
    random_state : int, RandomState instance or None
        Seed of the approximate solver, which is used for thousands of features.

    Returns
    -------
    PCA or None
        Its output is an array, even if scikit-learn is configured to return tables.
    """
    n_samples, n_features = shape
    if n_components is None or n_components >= min(n_samples, n_features):
        return None
    seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)
    if n_features <= min(n_samples, _MAX_COVARIANCE):
        pca = LeadingPCA(n_components, svd_solver="covariance_eigh", random_state=seed)
    else:
        pca = ContiguousPCA(n_components, random_state=seed)
    return pca.set_output(transform="default")


class CappedPCA(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Reduce features to at most a number of principal components.

    ``sklearn.decomposition.PCA`` raises an error if there are fewer features or samples than
    components. This class then returns the features unchanged, so that one pipeline fits data sets
    and images of any size. It also uses the solver that is fastest for features of images.

    Parameters
    ----------
    n_components : int or None, default=200
        Maximum number of components. If None, or if `X` has no more features or samples, it is
        returned as it is.
    random_state : int, RandomState instance or None, default=0
        Seed of the approximate solver, which is used for thousands of features.

    Attributes
    ----------
    pca_ : PCA or None
        Fitted principal components; None if the features were not reduced.
    n_features_in_ : int
        Number of features seen in `fit`.

    See Also
    --------
    BalancedPCA : Also scales the components, to combine several descriptors.

    Examples
    --------
    >>> import numpy as np
    >>> from fer_sklearn.features import CappedPCA
    >>> X = np.random.default_rng(0).normal(size=(50, 20))
    >>> CappedPCA(n_components=3).fit_transform(X).shape
    (50, 3)
    >>> CappedPCA(n_components=30).fit_transform(X).shape
    (50, 20)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
    }

    def __init__(self, *, n_components: int | None = 200, random_state: RandomState = 0) -> None:
        self.n_components = n_components
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> CappedPCA:
        """Fit the principal components.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, float32 or float64.
        y : ignored
            Present for consistency.

        Returns
        -------
        self : CappedPCA
            Fitted transformer.
        """
        self.fit_transform(X)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X: ArrayLike, y: ArrayLike | None = None) -> FloatArray:
        """Fit the principal components and reduce `X` to them.

        Parameters
        ----------
        X, y
            As in :meth:`fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_reduced)
            Principal components, of the dtype of `X`.
        """
        reduced = validate_data(self, X, dtype=[np.float32, np.float64])
        self.pca_ = make_pca(reduced.shape, self.n_components, self.random_state)
        if self.pca_ is not None:
            reduced = self.pca_.fit_transform(reduced)
        self._n_features_out = reduced.shape[1]
        return self._finish_fit(reduced)

    def transform(self, X: ArrayLike) -> FloatArray:
        """Reduce `X` to the principal components.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_reduced)
            Principal components, of the dtype of `X`.
        """
        check_is_fitted(self, "pca_")
        features = validate_data(self, X, reset=False, dtype=[np.float32, np.float64])
        return self._finish(features if self.pca_ is None else self.pca_.transform(features))

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[Any]:
        """Return the names of the components, or those of the features if all were kept.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the features. If None, those seen in `fit`, else ``x0``, ``x1``, …

        Returns
        -------
        ndarray of shape (n_reduced,), object
            ``cappedpca0``, ``cappedpca1``, …, after the name of the class.
        """
        check_is_fitted(self, "pca_")
        if self.pca_ is None:
            return OneToOneFeatureMixin.get_feature_names_out(self, input_features)
        return super().get_feature_names_out(input_features)

    def _finish_fit(self, reduced: FloatArray) -> FloatArray:
        """Learn what `_finish` needs, and apply it to the components of the training data."""
        return self._finish(reduced)

    def _finish(self, reduced: FloatArray) -> FloatArray:
        """Return the output for these components."""
        return reduced

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


class BalancedPCA(CappedPCA):
    """Reduce a descriptor to principal components, scaled to a total variance of 1.

    Descriptors differ in length and scale, so in a ``FeatureUnion`` the longest would dominate.
    After this step, all have the same influence, unless you set ``transformer_weights``.

    Parameters
    ----------
    n_components : int or None, default=250
        Maximum number of components. If None, or if `X` has no more features or samples, it is
        only scaled.
    random_state : int, RandomState instance or None, default=0
        As in :class:`CappedPCA`.

    Attributes
    ----------
    pca_ : PCA or None
        Fitted principal components; None if the features were not reduced.
    scale_ : float
        Factor that the components are multiplied by.
    n_features_in_ : int
        Number of features seen in `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from fer_sklearn.features import BalancedPCA
    >>> X = np.random.default_rng(0).normal(size=(50, 20))
    >>> reduced = BalancedPCA(n_components=3).fit_transform(X)
    >>> reduced.shape, round(float(reduced.var(axis=0).sum()), 6)
    ((50, 3), 1.0)
    """

    def __init__(self, *, n_components: int | None = 250, random_state: RandomState = 0) -> None:
        super().__init__(n_components=n_components, random_state=random_state)

    def _finish_fit(self, reduced: FloatArray) -> FloatArray:
        variance = float(reduced.var(axis=0, dtype=np.float64).sum())
        self.scale_ = variance**-0.5 if variance > 0 else 1.0
        return self._finish(reduced)

    def _finish(self, reduced: FloatArray) -> FloatArray:
        return reduced * reduced.dtype.type(self.scale_)
