"""Reports of fitted classifiers and of predictions that are already made."""

from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state

from .._utils.compat import Interval, StrOptions, validate_params
from .._utils.prediction import predicted_probabilities
from .._utils.validation import count_samples, encode_label_pair
from ._metrics import (
    CLASS_METRICS,
    CONFUSION_METRICS,
    PROBABILITY_METRICS,
    Probabilities,
    checked_probabilities,
    confusion_counts,
    image_scores,
    metrics_of_sums,
    named_columns,
    summands,
    true_columns,
)
from ._report import Estimate, EvaluationReport
from ._resampling import percentile_interval, resampled_confusions, resampled_sums

__all__ = [
    "RESAMPLING",
    "SCORING",
    "Answers",
    "Probabilities",
    "ask",
    "evaluate",
    "evaluate_predictions",
    "measure",
    "named_columns",
    "true_columns",
]

#: What ``cross_validate`` and ``GridSearchCV`` take as ``scoring``. With several scores
#: ``GridSearchCV`` also needs ``refit``, such as ``refit="macro_f1"``.
SCORING = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced_accuracy",
    "macro_f1": "f1_macro",
}


#: What every function that resamples takes.
RESAMPLING = {
    "n_resamples": [Interval(Integral, 1, None, closed="left")],
    "confidence_level": [Interval(Real, 0, 1, closed="neither")],
    "random_state": ["random_state"],
}


@validate_params(
    {**RESAMPLING, "probabilities": ["boolean", StrOptions({"auto"})]},
    prefer_skip_nested_validation=True,
)
def evaluate(
    estimator,
    X,
    y,
    *,
    n_resamples=1000,
    confidence_level=0.95,
    random_state=0,
    labels=None,
    probabilities="auto",
):
    """Predict with a fitted classifier and say how well it did.

    Parameters
    ----------
    estimator : fitted classifier or pipeline
        Labels are what its `predict` says, probabilities what its `predict_proba` does.
    X : array-like of n_samples images
        Whatever `estimator` takes.
    y : array-like of shape (n_samples,)
        The true labels.
    n_resamples : int, default=1000
        Bootstrap resamples behind the intervals.
    confidence_level : float, default=0.95
        Share of the resamples that an interval spans, in (0, 1).
    random_state : int, RandomState instance or None, default=0
        Seed of the resampling.
    labels : array-like of shape (k,), default=None
        Labels to report, in this order; all that occur must be among them. None takes
        ``estimator.classes_``, or where it has none, the sorted labels that occur.
    probabilities : {"auto", True, False}, default="auto"
        Whether to judge probabilities too. ``"auto"`` does where `estimator` has
        `predict_proba`; True insists; False saves their cost. Without them top-2 accuracy,
        log loss and calibration error are NaN.

    Returns
    -------
    EvaluationReport

    Raises
    ------
    ValueError
        If `X` and `y` differ in length or are empty, if `y` has missing labels, or labels
        that `estimator` was not fitted on and that `labels` does not name, or if what
        `predict_proba` says are no probabilities, such as rows that do not sum to one.
    TypeError
        If `probabilities` is True and `estimator` has no `predict_proba`.

    See Also
    --------
    evaluate_predictions : The same from predictions that are already made.
    compare : Whether two models differ.

    Notes
    -----
    `predict` and `predict_proba` are both asked, since one need not follow from the other:
    think of a tuned threshold, or of probabilities that are calibrated apart. The steps of
    a pipeline before the last run once for both, and a `predict` that only calls its own
    `predict_proba`, as those of the networks here and of scikit-learn's
    ``CalibratedClassifierCV``, is handed what that said before.

    A label that `labels` adds to those of `estimator` has the probability 0. One that is only
    predicted, such as the "uncertain" of a classifier that abstains, must be among `labels`: it
    counts as an error, and with an F1 of 0 in macro F1.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> y = ["happy", "happy", "happy", "sad"]
    >>> model = DummyClassifier().fit([[0]] * 4, y)
    >>> report = evaluate(model, [[0]] * 4, y)
    >>> report.overall["accuracy"]
    Estimate(value=0.75, low=0.25, high=1.0)
    >>> report.overall["balanced_accuracy"].value
    0.5
    >>> round(report.overall["log_loss"].value, 3)
    0.562
    """
    n_images, n_labels = count_samples(X), count_samples(y)
    if n_images != n_labels:
        raise ValueError(
            f"X holds {n_images} image(s) and y {n_labels} label(s); expected one label an image."
        )
    if n_images == 0:
        raise ValueError("X and y are empty; expected at least one image with its label.")
    labels_name = "labels"
    if labels is None and hasattr(estimator, "classes_"):
        labels = estimator.classes_
        labels_name = f"the classes that {type(estimator).__name__} was fitted on"
    answers = ask(estimator, X, probabilities)
    encoded = encode_label_pair(
        y,
        answers.predicted,
        labels,
        input_names=("y", "predict(X)"),
        labels_name=labels_name,
    )
    return measure(
        encoded,
        answers.probabilities,
        n_resamples=n_resamples,
        confidence_level=confidence_level,
        random_state=random_state,
    )


@validate_params(RESAMPLING, prefer_skip_nested_validation=True)
def evaluate_predictions(
    y_true,
    y_pred,
    *,
    y_proba=None,
    labels=None,
    n_resamples=1000,
    confidence_level=0.95,
    random_state=0,
):
    """Say how well predicted labels, and probabilities, match the true labels.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        True and predicted labels, both text or both numbers.
    y_proba : array-like of shape (n_samples, k), default=None
        Probability of each label, in the order of `labels`; rows of the sum 1. Without it
        top-2 accuracy, log loss and calibration error are NaN.
    labels : array-like of shape (k,), default=None
        Labels to report, in this order; all that occur must be among them. None takes the
        sorted labels that occur.
    n_resamples, confidence_level, random_state
        As in :func:`evaluate`.

    Returns
    -------
    EvaluationReport

    Raises
    ------
    ValueError
        If labels and predictions differ in length or kind, are empty, have missing labels,
        or labels that are not in `labels`; if `y_proba` has another number of rows or of
        columns, or rows that are no probabilities.

    Notes
    -----
    The intervals are percentiles of the bootstrap (Efron & Tibshirani 1993, chapter 13)
    over images. They say how far the figures would move with another sample of test
    images, not with another training run.

    Numbers of the confusion matrix are resampled as its cells, by a multinomial
    distribution, and those of the probabilities as images. That is the same: how often each
    cell occurs among images that are drawn with replacement has just this distribution, and
    each interval is of one number alone.

    Examples
    --------
    >>> report = evaluate_predictions(
    ...     ["happy", "sad", "happy", "sad"],
    ...     ["happy", "sad", "sad", "sad"],
    ...     y_proba=[[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7]],
    ... )
    >>> report.confusion_matrix
    array([[1, 1],
           [0, 2]])
    >>> round(report.per_emotion["sad"]["precision"].value, 3)
    0.667
    >>> round(report.overall["cohen_kappa"].value, 3)
    0.5
    >>> round(report.overall["log_loss"].value, 3)
    0.4
    """
    encoded = encode_label_pair(y_true, y_pred, labels)
    proba = None if y_proba is None else named_columns(y_proba, encoded[0], len(encoded[1]))
    return measure(
        encoded,
        proba,
        n_resamples=n_resamples,
        confidence_level=confidence_level,
        random_state=random_state,
    )


class Answers(NamedTuple):
    """Predicted labels of shape (n,), and `Probabilities` or None."""

    predicted: np.ndarray
    probabilities: Probabilities | None


def ask(estimator, X, probabilities="auto"):
    """Predict labels and, where the classifier gives them, probabilities.

    The labels are those of `predict`, which need not be the most probable ones: a threshold
    may be tuned, or the probabilities be calibrated apart. Both cost one prediction where
    that is safe: the transformers of a pipeline run once, and a `predict` that asks its own
    `predict_proba` of the same images is told what that said before.

    Parameters
    ----------
    estimator : fitted classifier or pipeline
    X : array-like of n_samples images
    probabilities : {"auto", True, False}
        Whether to ask for them: "auto" where the estimator has `predict_proba` and `classes_`.

    Returns
    -------
    Answers

    Raises
    ------
    TypeError
        If `probabilities` is True and the classifier has no `predict_proba`.
    """
    estimator = _without_search(estimator)
    if type(estimator) is Pipeline:
        for _, transformer in estimator.steps[:-1]:
            if transformer not in (None, "passthrough"):
                X = transformer.transform(X)
        return ask(estimator.steps[-1][1], X, probabilities)
    gives = hasattr(estimator, "predict_proba") and hasattr(estimator, "classes_")
    if not probabilities or (probabilities == "auto" and not gives):
        return Answers(estimator.predict(X), None)
    if not gives:
        predicted_probabilities(estimator, X)  # says what is missing
    proba = estimator.predict_proba(X)
    checked = checked_probabilities(
        proba, np.asarray(estimator.classes_), count_samples(X), "predict_proba(X)"
    )
    return Answers(_remembering(estimator, X, proba).predict(X), checked)


def _without_search(estimator):
    """Return what a fitted search predicts with."""
    from sklearn.model_selection import GridSearchCV, RandomizedSearchCV

    is_search = isinstance(estimator, (GridSearchCV, RandomizedSearchCV))
    return getattr(estimator, "best_estimator_", estimator) if is_search else estimator


def _remembering(estimator, X, proba):
    """Return a shallow copy of an estimator that knows the probabilities of `X`.

    Its `predict` is the same function. Where that calls ``self.predict_proba(X)``, nothing is
    computed again; where it works otherwise, or on other images, nothing changes.
    """
    if not isinstance(estimator, BaseEstimator):
        return estimator

    def predict_proba(images, *args, **kwargs):
        known = images is X and not args and not kwargs
        return proba if known else estimator.predict_proba(images, *args, **kwargs)

    twin = object.__new__(type(estimator))
    # Not copy.copy, which may rebuild what an estimator compiles when it is unpickled.
    vars(twin).update(vars(estimator), predict_proba=predict_proba)
    return twin


_UNDEFINED = Estimate(np.nan, np.nan, np.nan)


def measure(encoded, probabilities, *, n_resamples, confidence_level, random_state):
    """Make the report.

    Parameters
    ----------
    encoded : tuple (labels, true, predicted)
        As ``encode_labels`` returns them.
    probabilities : Probabilities or None
    n_resamples, confidence_level, random_state
        As in :func:`evaluate`.

    Returns
    -------
    EvaluationReport
    """
    labels, true, predicted = encoded
    rng = check_random_state(random_state)
    confusion = confusion_counts(true, predicted, len(labels))
    confusions = resampled_confusions(confusion, n_resamples, rng)
    scores = _scores(labels, true, probabilities)
    return EvaluationReport(
        labels=labels,
        overall={
            name: _estimate(metric(confusion), metric(confusions), confidence_level)
            for name, metric in CONFUSION_METRICS.items()
        }
        | _of_probabilities(scores, n_resamples, confidence_level, rng),
        per_emotion=_of_each_label(labels, confusion, confusions, confidence_level),
        support=confusion.sum(axis=1),
        confusion_matrix=confusion,
        confusion_interval=percentile_interval(confusions, confidence_level),
        n_resamples=int(n_resamples),
        confidence_level=float(confidence_level),
        y_true=_small(true, labels),
        y_pred=_small(predicted, labels),
        scores=scores,
    )


def _scores(labels, true, probabilities):
    if probabilities is None:
        return None
    columns = true_columns(labels, true, probabilities.classes)
    return image_scores(probabilities.values, columns, epsilon=probabilities.epsilon)


def _of_probabilities(scores, n_resamples, confidence_level, rng):
    if scores is None:
        return dict.fromkeys(PROBABILITY_METRICS, _UNDEFINED)
    each = summands(scores)
    n = each.shape[0]
    values = metrics_of_sums(each.sum(axis=0), n)
    resampled = metrics_of_sums(resampled_sums(each, n_resamples, rng), n)
    return {
        name: _estimate(value, resampled[name], confidence_level) for name, value in values.items()
    }


def _of_each_label(labels, confusion, confusions, confidence_level):
    found = {label: {} for label in labels.tolist()}
    for name, metric in CLASS_METRICS.items():
        values, resampled = metric(confusion), metric(confusions)
        for label, value, column in zip(found, values, resampled.T, strict=True):
            found[label][name] = _estimate(value, column, confidence_level)
    return found


def _estimate(value, resampled, confidence_level):
    ends = percentile_interval(resampled, confidence_level)
    return Estimate(float(value), *ends.tolist())


def _small(positions, labels):
    return positions.astype(np.min_scalar_type(len(labels) - 1))
