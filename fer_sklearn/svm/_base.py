"""Base class of the SVMs: parameters, checks, public methods and the Gaussian kernel."""

from __future__ import annotations

from abc import abstractmethod
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from .._utils.compat import Interval, StrOptions, check_sample_weight, fit_context
from .._utils.cross_validation import digest_rows
from .._utils.estimators import keeps_fit_on_failure
from .._utils.pixels import photo_items
from .._utils.typing import ArrayLike, FloatArray, IntArray, LabelArray, NDArray
from .._utils.validation import (
    check_class_totals,
    check_class_weight,
    check_complete_labels,
    check_soft_targets,
)

__all__ = ["BaseSVM", "TrainingData", "are_images", "gaussian_kernel"]


def _has_probability(classifier: BaseSVM) -> bool:
    """Return True if `probability` is set; otherwise raise, for ``available_if``."""
    if classifier.probability:
        return True
    raise AttributeError(
        "predict_proba is not available with probability=False. Set probability=True before "
        "fit, which then takes longer."
    )


class TrainingData(NamedTuple):
    """Checked training data of an SVM.

    Attributes
    ----------
    features : ndarray of shape (n_samples, n_features), float32 or float64
    codes : ndarray of shape (n_samples,), int
        Positions of the labels in the classes.
    weight : ndarray of shape (n_samples,), or None
        Weights of the samples; None if all are 1.
    soft : ndarray of shape (n_samples, n_classes), or None
        Probabilities to learn instead of the labels.
    """

    features: FloatArray
    codes: IntArray
    weight: FloatArray | None
    soft: FloatArray | None


class BaseSVM(ClassifierMixin, BaseEstimator):
    """Parameters, checks and public methods of both SVM classifiers.

    A subclass has the parameters of ``_parameter_constraints``; ``_fit(data)``, which learns
    from :class:`TrainingData`; ``_best(X)`` and ``_decide(X)``, from checked features to
    positions of labels and to decision values; ``_is_calibrated``, whether `fit` learned
    probabilities; and ``_calibrated_probabilities(X)``, from checked features to an array of shape
    (n_samples, n_classes).
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "C": [Interval(Real, 0, None, closed="neither")],
        "gamma": [StrOptions({"scale", "2*scale"}), Interval(Real, 0, None, closed="neither")],
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "probability": ["boolean"],
        "random_state": ["random_state"],
    }

    @fit_context(prefer_skip_nested_validation=True)
    @keeps_fit_on_failure
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        soft_targets: ArrayLike | None = None,
    ) -> Self:
        """Fit the SVM.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, float32 or float64. :class:`HOGSVMClassifier` also takes grey images, uint8
            or float, of shape (n_samples, h, w) or (n_samples, h, w, 1).
        y : array-like of shape (n_samples,)
            Labels, strings or numbers, of two classes or more.
        sample_weight : array-like of shape (n_samples,), default=None
            Per-sample weights, at least 0; not used when fitting the principal components.
        soft_targets : array-like of shape (n_samples, n_classes), default=None
            Probabilities to learn instead of `y`, such as fractions of people's votes, in the
            order of the sorted labels. `y` then only provides the classes, and selects each
            sample's `class_weight`. :class:`HOGSVMClassifier` can only learn labels, so it takes
            each sample once for each label whose probability is above 0, with the probability as
            its weight. Its training time grows with the square of their number: set small
            probabilities to 0 first.

        Returns
        -------
        self
            Fitted classifier.

        Raises
        ------
        ValueError
            If `X` has another shape, if `y` has a single class, if `soft_targets` are not
            probabilities of the sorted labels, or if the parameters do not suit the data.
        """
        self._fit(self._check_training_data(X, y, sample_weight, soft_targets))
        return self

    def predict(self, X: ArrayLike) -> LabelArray:
        """Predict labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, h, w)
            Features or images, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels, of the dtype of `classes_`.
        """
        best = self._best(self._check_features(X))
        return self.classes_[best]

    def decision_function(self, X: ArrayLike) -> FloatArray:
        """Return the decision function, before any calibration.

        `predict` returns the class with the highest value.

        Parameters
        ----------
        X : array-like
            As in `predict`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or (n_samples,) for two classes
            Distances to the separating hyperplanes. Those of :class:`LSSVMClassifier` are near 1
            for the predicted class and near 0 for the others; for two classes, the difference.
        """
        return self._decide(self._check_features(X))

    @available_if(_has_probability)
    def predict_proba(self, X: ArrayLike) -> FloatArray:
        """Predict calibrated probabilities.

        Available only if `probability` was True in `fit`.

        Parameters
        ----------
        X : array-like
            As in `predict`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities, in the order of `classes_`; each row sums to 1.
        """
        features = self._check_features(X)
        if not self._is_calibrated:
            raise AttributeError(
                "probability was set to True after fit. Call fit again to calibrate."
            )
        return self._calibrated_probabilities(features)

    def _check_training_data(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None,
        soft_targets: ArrayLike | None,
    ) -> TrainingData:
        """Check the arguments of `fit`, and set `classes_`. Samples without weight are left out."""
        check_complete_labels(y)
        features, labels = validate_data(
            self, self._to_features(X, reset=True), y, dtype=[np.float32, np.float64]
        )
        check_classification_targets(labels)
        weight = None
        if sample_weight is not None:
            weight = check_sample_weight(sample_weight, features, ensure_non_negative=True)
        counted = self._has_weight(labels, weight)
        features, labels = features[counted], labels[counted]
        weight = None if weight is None else weight[counted]
        self.training_rows_ = digest_rows(np.asarray(X)[counted])
        self.classes_: LabelArray
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y has one class, {self.classes_.tolist()[0]!r}; expected two classes or more. "
                f"Check the labels, and that the subset you fit on is shuffled or stratified."
            )
        targets = None
        if soft_targets is not None:
            targets = check_soft_targets(soft_targets, len(counted), self.classes_)[counted]
        return TrainingData(features, codes, weight, targets)

    def _has_weight(self, labels: LabelArray, weight: FloatArray | None) -> NDArray[np.bool_]:
        """Return which samples have a weight above 0, in `weight` and in `class_weight`."""
        total = np.ones(len(labels)) if weight is None else weight
        classes, codes = np.unique(labels, return_inverse=True)
        if isinstance(self.class_weight, dict):
            total = total * check_class_weight(self.class_weight, classes)[codes]
        check_class_totals(codes, classes, total)
        return total > 0

    def _weights_of_classes(self) -> FloatArray:
        """Return the class weights of the learned classes."""
        assert isinstance(self.class_weight, dict)
        learned = set(self.classes_.tolist())
        weights = {label: weight for label, weight in self.class_weight.items() if label in learned}
        return check_class_weight(weights, self.classes_)

    def _check_features(self, X: ArrayLike) -> FloatArray:
        """Return the features of a fitted classifier's `predict`, checked."""
        check_is_fitted(self)
        X = self._to_features(X, reset=False)
        return validate_data(self, X, reset=False, dtype=[np.float32, np.float64])

    def _to_features(self, X: ArrayLike, *, reset: bool) -> ArrayLike:
        """Return `X`; refuse images, unless a subclass supports them. `reset` is True in `fit`."""
        name = type(self).__name__
        if photo_items(X) is not None:
            raise ValueError(
                f"X contains photos; {name} expects features of shape (n_samples, n_features). "
                f"Use make_hog_svm_pipeline(), which reads photos, or put such steps before {name}."
            )
        if are_images(X):
            raise ValueError(
                f"X has more than two dimensions, as images have; {name} expects features of "
                f"shape (n_samples, n_features). Put HOGExtractor() before it in a Pipeline, or "
                f"use make_hog_svm_pipeline()."
            )
        return X

    @abstractmethod
    def _fit(self, data: TrainingData) -> None: ...

    @abstractmethod
    def _best(self, X: FloatArray) -> IntArray: ...

    @abstractmethod
    def _decide(self, X: FloatArray) -> FloatArray: ...

    @property
    @abstractmethod
    def _is_calibrated(self) -> bool: ...

    @abstractmethod
    def _calibrated_probabilities(self, X: FloatArray) -> FloatArray: ...

    def _reduce(self, X: FloatArray) -> FloatArray:
        """Return the principal components of checked features."""
        return X if self.pca_ is None else self.pca_.transform(X)

    def _kernel_coefficient(self, X: FloatArray, sample_weight: FloatArray | None) -> float:
        """Return the coefficient of the Gaussian kernel for `gamma` and the data `X`.

        ``"scale"`` is one over the total variance, as in ``sklearn.svm.SVC``; a weight of 2 counts
        as two copies.
        """
        if not isinstance(self.gamma, str):
            return float(self.gamma)
        mean = np.average(X, weights=sample_weight, axis=0).mean()
        variance = np.average(np.square(X - mean), weights=sample_weight, axis=0).mean()
        scale = 1 / (X.shape[1] * variance) if variance > 0 else 1.0
        return float(2 * scale if self.gamma == "2*scale" else scale)


def gaussian_kernel(rows: list[FloatArray], columns: list[FloatArray], gamma: float) -> FloatArray:
    """Return the Gaussian kernel of two lists of sides, averaged over all pairs of sides.

    Parameters
    ----------
    rows : list of ndarray of shape (n, n_features)
        One array, or one of the images and one of their mirror images.
    columns : list of ndarray of shape (m, n_features)
        The same of other images.
    gamma : float
        Coefficient of the kernel.

    Returns
    -------
    ndarray of shape (n, m)
    """
    total: Any = None
    for row in rows:
        for column in columns:
            values = row @ column.T
            values *= 2 * gamma
            values -= gamma * np.einsum("ij,ij->i", row, row)[:, np.newaxis]
            values -= gamma * np.einsum("ij,ij->i", column, column)
            # Rounding can make the distance of a sample to itself negative.
            np.minimum(values, 0, out=values)
            np.exp(values, out=values)
            total = values if total is None else np.add(total, values, out=total)
    total /= len(rows) * len(columns)
    return total


def are_images(X: Any) -> bool:
    """Return whether `X` is images of pixels: an array, or a list, of three dimensions or more."""
    # np.ndim would copy a whole list.
    is_list = isinstance(X, (list, tuple)) and len(X) > 0
    n_dims = 1 + np.ndim(X[0]) if is_list else getattr(X, "ndim", 0)
    return n_dims > 2 and photo_items(X) is None
