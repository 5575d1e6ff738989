"""Base class of the SVM classifiers."""

from __future__ import annotations

from abc import abstractmethod
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from .._utils.compat import Interval, StrOptions, check_sample_weight
from .._utils.cross_validation import digest_rows
from .._utils.typing import ArrayLike, FloatArray, IntArray, LabelArray
from .._utils.validation import check_soft_targets

__all__ = ["BaseSVM", "gaussian_kernel"]


def _has_probability(classifier: BaseSVM) -> bool:
    """Return True if `probability` is set; otherwise raise, for ``available_if``."""
    if classifier.probability:
        return True
    raise AttributeError(
        "predict_proba is not available with probability=False. Set probability=True before "
        "fit, which then takes longer."
    )


class BaseSVM(ClassifierMixin, BaseEstimator):
    """Parameters and checks that both SVM classifiers share.

    A subclass has the parameters of ``_parameter_constraints``; ``_is_calibrated``, whether `fit`
    learned probabilities; and ``_calibrated_probabilities(X)``, from checked features to an array
    of shape (n_samples, n_classes).
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "C": [Interval(Real, 0, None, closed="neither")],
        "gamma": [StrOptions({"scale", "2*scale"}), Interval(Real, 0, None, closed="neither")],
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "probability": ["boolean"],
        "random_state": ["random_state"],
    }

    @available_if(_has_probability)
    def predict_proba(self, X: ArrayLike) -> FloatArray:
        """Predict calibrated probabilities.

        Available only if `probability` was True in `fit`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, as in `fit`.

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
        *,
        fill_weight: bool,
    ) -> tuple[FloatArray, IntArray, FloatArray | None, FloatArray | None]:
        """Set `classes_`; return features, positions of labels in it, weights and soft targets.

        Samples without weight are left out. With `fill_weight`, weights are ones if
        `sample_weight` is None.
        """
        _check_is_2d(X, type(self).__name__)
        features, labels = validate_data(self, X, y, dtype=[np.float32, np.float64])
        check_classification_targets(labels)
        counted, weight = np.ones(len(labels), bool), None
        if sample_weight is not None or fill_weight:
            weight = check_sample_weight(sample_weight, features, ensure_non_negative=True)
            counted = weight > 0
            features, labels, weight = features[counted], labels[counted], weight[counted]
        self.training_rows_ = digest_rows(features)
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
        return features, codes, weight, targets

    def _check_features(self, X: ArrayLike) -> FloatArray:
        """Return the features of a fitted classifier's `predict`, checked."""
        check_is_fitted(self)
        _check_is_2d(X, type(self).__name__)
        return validate_data(self, X, reset=False, dtype=[np.float32, np.float64])

    @property
    @abstractmethod
    def _is_calibrated(self) -> bool: ...

    @abstractmethod
    def _calibrated_probabilities(self, X: FloatArray) -> FloatArray: ...

    def _reduce(self, X: FloatArray) -> FloatArray:
        """Return the principal components of checked features."""
        return X if self.pca_ is None else self.pca_.transform(X)

    def _kernel_coefficient(self, X: FloatArray, sample_weight: FloatArray | None) -> float:
        """Return the coefficient of the Gaussian kernel that `gamma` stands for on `X`.

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


def _check_is_2d(X: Any, name: str) -> None:
    """Raise if `X` is a stack or a list of images."""
    # np.ndim would copy a whole list.
    is_list = isinstance(X, (list, tuple)) and len(X) > 0
    n_dims = 1 + np.ndim(X[0]) if is_list else getattr(X, "ndim", 0)
    if n_dims > 2:
        raise ValueError(
            f"X has {n_dims} dimensions, as images have; {name} expects features of shape "
            f"(n_samples, n_features). Put HOGExtractor() before it in a Pipeline, or use "
            f"make_hog_svm_pipeline()."
        )
