"""Classifiers that abstain when they are not confident."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import StratifiedKFold, check_cv
from sklearn.utils import column_or_1d, get_tags, indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from ._utils.compat import HasMethods, Interval, fit_context
from ._utils.cross_validation import check_training_parts, fold_probabilities
from ._utils.estimators import keeps_fit_on_failure, predicted_probabilities
from ._utils.typing import ArrayLike, CrossValidator, Estimator, FloatArray, ImagesLike, LabelArray
from ._utils.validation import check_complete_labels, check_probabilities, encode_label_pair

__all__ = ["AbstainingClassifier", "SelectiveAccuracy"]

_UNCERTAIN_TEXT = "uncertain"
_UNCERTAIN_NUMBER = -1


class SelectiveAccuracy(NamedTuple):
    """Result of :meth:`AbstainingClassifier.selective_accuracy`.

    Attributes
    ----------
    coverage : float
        Fraction of the images for which a label was predicted, in [0, 1].
    accuracy : float
        Accuracy of these predictions, in [0, 1]; NaN if there are none.
    n_predicted : int
        Number of these predictions.
    """

    coverage: float
    accuracy: float
    n_predicted: int


class AbstainingClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Predict a label if the classifier is confident enough, and "uncertain" otherwise.

    The classifier predicts the most probable class if its probability reaches the threshold,
    and abstains otherwise (Chow 1970; Geifman & El-Yaniv 2017, arXiv:1705.08500). Pass the
    threshold, or have it chosen so that a given fraction of the training data is predicted.

    Parameters
    ----------
    estimator : classifier with `predict_proba`
        Cloned and fitted. Wrap a fitted one, such as a pretrained model, in scikit-learn's
        ``FrozenEstimator`` to keep it as it is.
    threshold : float or None, default=None
        Lowest probability for which a label is predicted, in [0, 1].
    coverage : float or None, default=None
        Fraction of the images for which a label should be predicted, in (0, 1]. Pass either
        this or `threshold`.
    cv : int, cross-validation generator, iterable or None, default=None
        Folds on which the threshold for `coverage` is chosen: each image is scored by a clone
        that was fitted without it. If None, 5 folds. Not used for a ``FrozenEstimator``.
    uncertain_label : str, number or None, default=None
        What `predict` returns instead of a label: text if the labels are text, a number if they
        are numbers, and not one of them. If None, ``"uncertain"`` for text and -1 for numbers.
    n_jobs : int or None, default=None
        Number of folds to fit in parallel, as in scikit-learn.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels of `estimator_`, sorted, in the order of the columns of `predict_proba`. The
        uncertain label is not among them.
    estimator_ : classifier
        The fitted classifier.
    threshold_ : float
        Lowest probability for which a label is predicted.
    uncertain_label_ : str or number
        What `predict` returns instead of a label.
    n_features_in_ : int
        Only if `estimator_` has it.

    See Also
    --------
    sklearn.calibration.CalibratedClassifierCV : Adds probabilities to classifiers that have
        none, and recalibrates those that are over- or underconfident.

    Notes
    -----
    `score` is scikit-learn's accuracy: the fraction of all images that are predicted correctly,
    where "uncertain" counts as wrong. `selective_accuracy` returns the coverage and the accuracy
    of the predictions that were made.

    On new images of the same kind the fraction of predictions differs from `coverage` by chance,
    and is somewhat higher after cross-validation, whose clones are fitted on fewer images and
    are less confident. It can be higher or lower for images of another kind.

    Examples
    --------
    >>> from sklearn.frozen import FrozenEstimator
    >>> from fer_sklearn import AbstainingClassifier, load_pretrained, make_faces
    >>> X, y = make_faces(70, random_state=0, return_X_y=True)
    >>> pretrained = FrozenEstimator(load_pretrained(runtime="litert"))
    >>> model = AbstainingClassifier(pretrained, coverage=0.8).fit(X)
    >>> model.predict(X).tolist().count("uncertain")
    14
    """

    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit", "predict"])],
        "threshold": [Interval(Real, 0, 1, closed="both"), None],
        "coverage": [Interval(Real, 0, 1, closed="right"), None],
        "cv": ["cv_object"],
        "uncertain_label": [str, Real, None],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        estimator: Estimator,
        *,
        threshold: float | None = None,
        coverage: float | None = None,
        cv: CrossValidator = None,
        uncertain_label: str | float | None = None,
        n_jobs: int | None = None,
    ):
        self.estimator = estimator
        self.threshold = threshold
        self.coverage = coverage
        self.cv = cv
        self.uncertain_label = uncertain_label
        self.n_jobs = n_jobs

    @fit_context(prefer_skip_nested_validation=False)  # the inner estimator validates its own
    @keeps_fit_on_failure
    def fit(
        self, X: ImagesLike, y: ArrayLike | None = None, **fit_params: Any
    ) -> AbstainingClassifier:
        """Fit a clone of `estimator`, and choose the threshold.

        Parameters
        ----------
        X : array-like of n_samples images
            Any input that `estimator` accepts.
        y : array-like of shape (n_samples,), default=None
            Labels. Optional for a ``FrozenEstimator``, whose coverage can be chosen on any
            images like those to be predicted.
        **fit_params : dict
            Passed to the `fit` of `estimator`; parameters with one value per image, such as
            `sample_weight`, are split with the folds. With metadata routing enabled, `estimator`
            and `cv` each get what they request, such as `groups`.

        Returns
        -------
        self : AbstainingClassifier

        Raises
        ------
        ValueError
            If both or neither of `threshold` and `coverage` are given, a parameter is out of range,
            the uncertain label is one of the classes or of a different type, or a class is missing
            from the training part of a fold.
        TypeError
            If `estimator` has no `predict_proba`.
        """
        self._check_parameters()
        frozen = isinstance(self.estimator, FrozenEstimator)
        if y is not None:
            check_complete_labels(y)
            X, y = indexable(X, column_or_1d(y, warn=True))
            check_classification_targets(y)
        elif not frozen:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None. Only "
                f"a FrozenEstimator, which was fitted before, needs no labels."
            )
        cross_validated = self.threshold is None and not frozen
        split_params: dict[str, Any] = {}
        if get_config()["enable_metadata_routing"]:
            routed = process_routing(self, "fit", **fit_params)
            fit_params, split_params = routed.estimator.fit, routed.splitter.split
        folds = _folds(self.cv, X, y, split_params) if cross_validated else ()
        self.estimator_ = clone(self.estimator).fit(X, y, **fit_params)
        self.classes_ = np.asarray(self.estimator_.classes_)
        self.uncertain_label_ = _uncertain_label(self.uncertain_label, self.classes_)
        if self.threshold is not None:
            self.threshold_ = float(self.threshold)
        else:
            if cross_validated:
                predicted = fold_probabilities(
                    self.estimator, X, y, folds, n_jobs=self.n_jobs, fit_params=fit_params
                )
            else:
                predicted = [predicted_probabilities(self.estimator_, X)]
            confidence = np.concatenate([proba.max(axis=1) for proba, _ in predicted])
            self.threshold_ = _threshold_for(self.coverage, confidence)
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
        return self

    def predict(self, X: ImagesLike) -> LabelArray:
        """Predict the label of each image, or that it is uncertain.

        Parameters
        ----------
        X : array-like of n_samples images

        Returns
        -------
        ndarray of shape (n_samples,)
            Entries of `classes_`, or `uncertain_label_`. Of the dtype of `classes_`, or of the
            smallest one that also has room for the uncertain label.
        """
        check_is_fitted(self)
        return self._abstaining(*self._most_probable(X))

    def predict_from_proba(self, y_proba: ArrayLike) -> LabelArray:
        """Return the labels that `predict` derives from probabilities.

        Parameters
        ----------
        y_proba : array-like of shape (n_samples, n_classes)
            As `predict_proba` returns them, or a DataFrame with a column named after each class.

        Returns
        -------
        ndarray of shape (n_samples,)
            Entries of `classes_`, or `uncertain_label_`.
        """
        check_is_fitted(self)
        proba = check_probabilities(y_proba, classes=self.classes_)
        return self._abstaining(*self._at_threshold(proba))

    def predict_proba(self, X: ImagesLike) -> FloatArray:
        """Return the probabilities of `estimator_`, whether or not it is confident.

        Parameters
        ----------
        X : array-like of n_samples images

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        check_is_fitted(self)
        return self.estimator_.predict_proba(X)

    def selective_accuracy(self, X: ImagesLike, y: ArrayLike) -> SelectiveAccuracy:
        """Return the coverage, and the accuracy of the predictions that are made.

        Parameters
        ----------
        X : array-like of n_samples images
        y : array-like of shape (n_samples,)
            True labels, all of them among `classes_`.

        Returns
        -------
        SelectiveAccuracy
            ``(coverage, accuracy, n_predicted)``.

        Raises
        ------
        ValueError
            If `y` has another length, or labels that `estimator_` was not fitted on.

        Examples
        --------
        >>> from sklearn.linear_model import LogisticRegression
        >>> from fer_sklearn import AbstainingClassifier
        >>> X, y = [[0], [1], [2], [9]], ["sad", "sad", "happy", "happy"]
        >>> model = AbstainingClassifier(LogisticRegression(), threshold=0.8).fit(X, y)
        >>> model.selective_accuracy(X, y)
        SelectiveAccuracy(coverage=0.5, accuracy=1.0, n_predicted=2)
        """
        check_is_fitted(self)
        labels, confident = self._most_probable(X)
        _, true, predicted = encode_label_pair(
            y,
            labels,
            self.classes_,
            input_names=("y", "predict(X)"),
            labels_name=f"the classes that {type(self).__name__} was fitted on",
        )
        correct = (true == predicted)[confident]
        return SelectiveAccuracy(
            coverage=float(confident.mean()),
            accuracy=float(correct.mean()) if len(correct) else math.nan,
            n_predicted=len(correct),
        )

    def get_metadata_routing(self) -> MetadataRouter:
        """Return which parameters of `fit` are passed to `estimator`, and which to `cv`.

        Returns
        -------
        MetadataRouter
        """
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)  # score takes sample_weight
            .add(
                estimator=self.estimator,
                method_mapping=MethodMapping().add(caller="fit", callee="fit"),
            )
            .add(
                splitter=self.cv,
                method_mapping=MethodMapping().add(caller="fit", callee="split"),
            )
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        return tags

    def _check_parameters(self):
        """Check what the table of constraints cannot express."""
        if (self.threshold is None) == (self.coverage is None):
            raise ValueError(
                f"threshold={self.threshold!r} and coverage={self.coverage!r}; expected exactly "
                f"one of them: the lowest probability for which a label is predicted, or the "
                f"fraction of the images for which one should be."
            )
        if not hasattr(self.estimator, "predict_proba"):
            raise TypeError(
                f"estimator is {type(self.estimator).__name__}, which has no predict_proba, so "
                f"its confidence is unknown. Wrap it in "
                f"sklearn.calibration.CalibratedClassifierCV, or set its probability=True."
            )

    def _most_probable(self, X):
        """Return the most probable label of each image, and whether it reaches the threshold."""
        return self._at_threshold(predicted_probabilities(self.estimator_, X)[0])

    def _at_threshold(self, proba):
        return self.classes_[proba.argmax(axis=1)], proba.max(axis=1) >= self.threshold_

    def _abstaining(self, labels, confident):
        """Return the labels, with the uncertain one where the classifier is not confident."""
        dtype = _common_dtype(self.classes_, self.uncertain_label_)
        predicted = labels.astype(dtype)
        predicted[~confident] = self.uncertain_label_
        return predicted


def _threshold_for(coverage, confidence):
    """Return the highest threshold that this fraction of the confidences reaches.

    If several confidences are equal, a larger fraction can reach it.
    """
    descending = np.sort(confidence)[::-1]
    # 0.55 * 100 is a little more than 55, which must not require a 56th.
    n_wanted = max(1, math.ceil(round(coverage * len(descending), 9)))
    return float(descending[n_wanted - 1])


def _common_dtype(classes, label):
    """Return the smallest dtype that can represent the classes and a label."""
    if classes.dtype.kind not in "biuf":
        return np.result_type(classes, np.asarray(label))
    common = np.promote_types(classes.dtype, np.min_scalar_type(label))
    # Of uint64 and -1, the common dtype is a float.
    integers = [common] if common.kind in "iu" else []
    for dtype in map(np.dtype, [classes.dtype, *integers, np.int64, common, np.float64]):
        if dtype.kind == "b" or (dtype.kind in "iu" and not _fits(label, dtype)):
            continue
        there = classes.astype(dtype)
        unchanged = np.array_equal(there, classes) and np.array_equal(
            there.astype(classes.dtype), classes
        )
        if unchanged and dtype.type(label) == label:
            return dtype
    return np.dtype(object)


def _fits(number, dtype):
    """Return whether a number is an integer within the limits of an integer dtype."""
    limits = np.iinfo(dtype)
    return limits.min <= number <= limits.max and float(number).is_integer()


def _folds(cv, X, y, split_params):
    """Return the (train, test) rows of each fold, with all classes in each training part."""
    splitter = check_cv(cv, y, classifier=True)
    classes, counts = np.unique(y, return_counts=True)
    if isinstance(splitter, StratifiedKFold) and counts.min() < splitter.n_splits:
        raise ValueError(
            f"y has {counts.min()} sample(s) of class {classes.tolist()[counts.argmin()]!r}, but "
            f"cv has {splitter.n_splits} folds, some of which would lack it. Pass fewer folds, "
            f"drop that class, or pass threshold= instead of coverage=."
        )
    folds = list(splitter.split(X, y, **split_params))
    check_training_parts(
        folds,
        y,
        classes,
        cv=cv,
        remedy="Use stratified folds, fewer of them, or pass threshold= instead of coverage=.",
    )
    return folds


def _uncertain_label(label, classes):
    """Return the label for abstentions, checked against the classes."""
    textual = isinstance(classes.tolist()[0], str)
    if label is None:
        label = _UNCERTAIN_TEXT if textual else _UNCERTAIN_NUMBER
    if isinstance(label, str) != textual:
        kind, example = ("text", _UNCERTAIN_TEXT) if textual else ("numbers", _UNCERTAIN_NUMBER)
        raise ValueError(
            f"uncertain_label={label!r}, but the classes are {kind}: {classes.tolist()}; expected "
            f"the same kind, such as {example!r}."
        )
    if label != label:
        raise ValueError(
            f"uncertain_label={label!r} does not equal itself, so no prediction could be "
            f"recognised as uncertain; expected another number, such as {_UNCERTAIN_NUMBER}."
        )
    if label in classes.tolist():
        raise ValueError(
            f"uncertain_label={label!r} is one of the classes, {classes.tolist()}; choose another."
        )
    return label
