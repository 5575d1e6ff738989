"""Classifiers that say when they do not know."""

import math
from numbers import Integral, Real
from typing import ClassVar, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import StratifiedKFold, check_cv
from sklearn.utils import column_or_1d, get_tags, indexable
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from ._utils.compat import HasMethods, Interval, fit_context
from ._utils.cross_validation import check_training_parts, fold_probabilities
from ._utils.prediction import predicted_probabilities
from ._utils.validation import encode_label_pair

__all__ = ["AbstainingClassifier", "SelectiveScores"]

_UNCERTAIN_TEXT = "uncertain"
_UNCERTAIN_NUMBER = -1


class SelectiveScores(NamedTuple):
    """What :meth:`AbstainingClassifier.selective_scores` returns."""

    coverage: float
    accuracy: float
    n_answered: int


class AbstainingClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Predict a label where the classifier is sure enough, and "uncertain" elsewhere.

    An image is answered if the highest of its probabilities is at least the threshold, and
    the answer is the label of that probability (Chow 1970; Geifman & El-Yaniv 2017,
    arXiv:1705.08500). The threshold is given, or chosen so that a given share of the
    training data is answered.

    Parameters
    ----------
    estimator : classifier with `predict_proba`
        Is cloned and fitted. Wrap a fitted one, such as a shipped model, in scikit-learn's
        ``FrozenEstimator`` to keep it as it is.
    threshold : float or None, default=None
        Lowest probability that is answered, in [0, 1].
    coverage : float or None, default=None
        Share of the images that is to be answered, in (0, 1]. Give this or `threshold`.
    cv : int, cross-validation generator, iterable or None, default=None
        Folds on which `coverage` is chosen: each image by a clone that was fitted without it.
        None is 5. A ``FrozenEstimator`` needs no folds and does not use them.
    uncertain_label : str, number or None, default=None
        What `predict` says instead of a label, of the same kind as the labels and none of
        them. None is ``"uncertain"`` among text and -1 among numbers.
    n_jobs : int or None, default=None
        How many folds are fitted at once, as everywhere in scikit-learn.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels of `estimator_`, sorted, which are the columns of `predict_proba`. The
        uncertain label is not among them.
    estimator_ : classifier
        The fitted one.
    threshold_ : float
        Lowest probability that is answered.
    uncertain_label_ : str or number
        What `predict` says instead of a label.
    n_features_in_ : int
        Where `estimator_` has it.

    See Also
    --------
    sklearn.calibration.CalibratedClassifierCV : Gives probabilities to classifiers without,
        and mends those that are too sure or not sure enough.

    Notes
    -----
    `score` is scikit-learn's accuracy: the share of all images that are rightly answered, an
    unanswered one counting as wrong. `selective_scores` tells how many were answered, and
    how many of the answers are right.

    On new images of the same kind the share that is answered differs from `coverage` by
    chance, and is somewhat larger after cross-validation, whose clones see fewer images and
    are less sure. Images of another kind may be answered more or less often.

    Examples
    --------
    >>> from sklearn.frozen import FrozenEstimator
    >>> from fer_sklearn import AbstainingClassifier, load_pretrained, make_faces
    >>> X, y = make_faces(70, random_state=0, return_X_y=True)
    >>> shipped = FrozenEstimator(load_pretrained(runtime="litert"))
    >>> model = AbstainingClassifier(shipped, coverage=0.8).fit(X)
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
        estimator,
        *,
        threshold=None,
        coverage=None,
        cv=None,
        uncertain_label=None,
        n_jobs=None,
    ):
        self.estimator = estimator
        self.threshold = threshold
        self.coverage = coverage
        self.cv = cv
        self.uncertain_label = uncertain_label
        self.n_jobs = n_jobs

    @fit_context(prefer_skip_nested_validation=False)  # the inner one's are its own
    def fit(self, X, y=None, **fit_params):
        """Fit a clone of `estimator`, and choose the threshold.

        Parameters
        ----------
        X : array-like of n_samples images
            Whatever `estimator` takes.
        y : array-like of shape (n_samples,), default=None
            Labels. A ``FrozenEstimator`` needs none: which share is answered can be chosen on
            any images of the kind that is to come.
        **fit_params : dict
            Handed to the `fit` of `estimator`; what has an entry for each image, such as
            `sample_weight`, is split with the folds.

        Returns
        -------
        self : AbstainingClassifier

        Raises
        ------
        ValueError
            For both or neither of `threshold` and `coverage`, a parameter out of range, an
            uncertain label that is a class or of another kind than the classes, or a class
            that is missing from a fold.
        TypeError
            If `estimator` has no `predict_proba`.
        """
        self._check_parameters()
        frozen = isinstance(self.estimator, FrozenEstimator)
        if y is not None:
            X, y = indexable(X, column_or_1d(y, warn=True))
            check_classification_targets(y)
        elif not frozen:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None. Only "
                f"a FrozenEstimator, which was fitted before, needs no labels."
            )
        cross_validated = self.coverage is not None and not frozen
        folds = _folds(self.cv, X, y) if cross_validated else ()
        self.estimator_ = clone(self.estimator).fit(X, y, **fit_params)
        self.classes_ = np.asarray(self.estimator_.classes_)
        self.uncertain_label_ = _uncertain_label(self.uncertain_label, self.classes_)
        if self.coverage is None:
            self.threshold_ = float(self.threshold)
        else:
            if cross_validated:
                predicted = fold_probabilities(
                    self.estimator, X, y, folds, n_jobs=self.n_jobs, fit_params=fit_params
                )
                confidence = np.concatenate([proba.max(axis=1) for proba, _ in predicted])
            else:
                confidence = _confidence(self.estimator_, X)
            self.threshold_ = _threshold_for(self.coverage, confidence)
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
        return self

    def predict(self, X):
        """Predict the label of each image, or that it is uncertain.

        Parameters
        ----------
        X : array-like of n_samples images

        Returns
        -------
        ndarray of shape (n_samples,)
            Entries of `classes_`, or `uncertain_label_`.
        """
        labels, answered = self._answers(X)
        return np.where(answered, labels, self.uncertain_label_)

    def predict_proba(self, X):
        """Return what `estimator_` answers, whether or not it is sure.

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

    def selective_scores(self, X, y):
        """Tell how many images are answered, and how many of the answers are right.

        Parameters
        ----------
        X : array-like of n_samples images
        y : array-like of shape (n_samples,)
            True labels, all of them among `classes_`.

        Returns
        -------
        SelectiveScores
            ``(coverage, accuracy, n_answered)``: the share of the images that is answered, the
            share of the answers that is right, NaN where there are none, and their number.

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
        >>> model.selective_scores(X, y)
        SelectiveScores(coverage=0.5, accuracy=1.0, n_answered=2)
        """
        labels, answered = self._answers(X)
        _, true, predicted = encode_label_pair(
            y,
            labels,
            self.classes_,
            input_names=("y", "predict(X)"),
            labels_name=f"the classes that {type(self).__name__} was fitted on",
        )
        right = (true == predicted)[answered]
        return SelectiveScores(
            coverage=float(answered.mean()),
            accuracy=float(right.mean()) if len(right) else math.nan,
            n_answered=len(right),
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        return tags

    def _check_parameters(self):
        """Refuse what the table of constraints cannot tell."""
        if (self.threshold is None) == (self.coverage is None):
            raise ValueError(
                f"threshold={self.threshold!r} and coverage={self.coverage!r}; expected exactly "
                f"one of them: the lowest probability that is answered, or the share of the "
                f"images that is to be."
            )
        if not hasattr(self.estimator, "predict_proba"):
            raise TypeError(
                f"estimator is {type(self.estimator).__name__}, which has no predict_proba, so "
                f"nothing says how sure it is. Wrap it in "
                f"sklearn.calibration.CalibratedClassifierCV, or set its probability=True."
            )

    def _answers(self, X):
        """Return the most probable label of each image, and whether it reaches the threshold."""
        check_is_fitted(self)
        proba, classes = predicted_probabilities(self.estimator_, X)
        return classes[proba.argmax(axis=1)], proba.max(axis=1) >= self.threshold_


def _confidence(estimator, X):
    return predicted_probabilities(estimator, X)[0].max(axis=1)


def _threshold_for(coverage, confidence):
    """Return the highest threshold that this share of the confidences reaches.

    Where several confidences are equal, a larger share can reach it.
    """
    descending = np.sort(confidence)[::-1]
    # 0.55 * 100 is a little more than 55, which is not to ask for a 56th.
    n_wanted = max(1, math.ceil(round(coverage * len(descending), 9)))
    return float(descending[n_wanted - 1])


def _folds(cv, X, y):
    """Return the (train, test) rows of each fold, all classes in each training part."""
    splitter = check_cv(cv, y, classifier=True)
    classes, counts = np.unique(y, return_counts=True)
    if isinstance(splitter, StratifiedKFold) and counts.min() < splitter.n_splits:
        raise ValueError(
            f"y has {counts.min()} sample(s) of class {classes.tolist()[counts.argmin()]!r}, but "
            f"cv has {splitter.n_splits} folds, some of which would lack it. Pass fewer folds, "
            f"leave that class out, or give threshold= instead of coverage=."
        )
    folds = list(splitter.split(X, y))
    check_training_parts(
        folds,
        y,
        classes,
        cv=cv,
        remedy="Use stratified folds, fewer of them, or pass threshold= instead of coverage=.",
    )
    return folds


def _uncertain_label(label, classes):
    """Return what stands for no answer, checked against the labels that are answers."""
    textual = isinstance(classes.tolist()[0], str)
    if label is None:
        label = _UNCERTAIN_TEXT if textual else _UNCERTAIN_NUMBER
    if isinstance(label, str) != textual:
        kind, example = ("text", _UNCERTAIN_TEXT) if textual else ("numbers", _UNCERTAIN_NUMBER)
        raise ValueError(
            f"uncertain_label={label!r}, but the classes are {kind}: {classes.tolist()}; expected "
            f"the same kind, such as {example!r}."
        )
    if label in classes.tolist():
        raise ValueError(
            f"uncertain_label={label!r} is one of the classes, {classes.tolist()}; choose another."
        )
    return label
