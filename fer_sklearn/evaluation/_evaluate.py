"""Evaluate fitted classifiers, and predictions that have already been made."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state

from .._utils.compat import Interval, StrOptions, validate_params
from .._utils.cross_validation import count_training_rows
from .._utils.estimators import predicted_probabilities
from .._utils.typing import ArrayLike, Estimator, ImagesLike, LabelArray, RandomState
from .._utils.validation import count_samples, encode_label_pair
from ._intervals import (
    UNDEFINED,
    Estimate,
    calibration_interval,
    class_intervals,
    confusion_intervals,
    mean_interval,
    proportion,
    proportion_interval,
)
from ._metrics import (
    CLASS_METRICS,
    CONFUSION_METRICS,
    PROBABILITY_METRICS,
    Probabilities,
    checked_probabilities,
    confusion_counts,
    image_scores,
    label_columns,
    probabilities_of_labels,
)
from ._people import agreement_with_people
from ._report import EvaluationReport

__all__ = ["RESAMPLING", "SCORING", "evaluate", "evaluate_predictions"]

#: The scores of this package, for the parameter ``scoring`` of ``cross_validate`` and
#: ``GridSearchCV``. With several scores ``GridSearchCV`` also needs ``refit``, such as
#: ``refit="macro_f1"``.
SCORING: dict[str, str] = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced_accuracy",
    "macro_f1": "f1_macro",
}

#: Constraints of the parameters that every function that resamples has.
RESAMPLING = {
    "n_resamples": [Interval(Integral, 1, None, closed="left")],
    "confidence_level": [Interval(Real, 0, 1, closed="neither")],
    "random_state": ["random_state"],
}


@validate_params(
    {**RESAMPLING, "response_method": [StrOptions({"auto", "predict", "predict_proba"})]},
    prefer_skip_nested_validation=True,
)
def evaluate(
    estimator: Estimator,
    X: ImagesLike,
    y: ArrayLike,
    *,
    votes: ArrayLike | None = None,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    random_state: RandomState = 0,
    labels: ArrayLike | None = None,
    response_method: Literal["auto", "predict", "predict_proba"] = "auto",
) -> EvaluationReport:
    """Evaluate a fitted classifier on labelled images.

    Parameters
    ----------
    estimator : fitted classifier or pipeline
        Its `predict` provides the labels, its `predict_proba` the probabilities.
    X : array-like of n_samples images
        Any input that `estimator` accepts.
    y : array-like of shape (n_samples,)
        True labels.
    votes : array-like of shape (n_samples, 10), default=None
        Votes of people on each image, as :func:`~fer_sklearn.datasets.load_ferplus` returns them.
        The report then also shows how well predictions, labels and single people agree with the
        majority. The labels must be names of emotions.
    n_resamples : int, default=1000
        Number of bootstrap resamples behind the interval of the log loss.
    confidence_level : float, default=0.95
        Probability with which an interval contains the true value, in (0, 1).
    random_state : int, RandomState instance or None, default=0
        Seed of the resampling.
    labels : array-like of shape (k,), default=None
        Labels to report, in this order; all labels that occur must be among them. If None,
        ``estimator.classes_`` or, if it has none, the sorted labels that occur.
    response_method : {"auto", "predict", "predict_proba"}, default="auto"
        ``"predict_proba"`` evaluates probabilities in addition to labels. ``"predict"``
        evaluates labels only; top-2 accuracy, log loss and calibration error are then NaN.
        ``"auto"`` evaluates probabilities if `estimator` has `predict_proba`.

    Returns
    -------
    EvaluationReport

    Raises
    ------
    ValueError
        If `X` and `y` differ in length or are empty. If `y` has missing labels, or labels that
        `estimator` was not fitted on and that `labels` does not list. If `predict_proba` does not
        return probabilities, for example because rows do not sum to one. If `votes` are not ten
        counts for each image.
    TypeError
        If ``response_method="predict_proba"`` and `estimator` has no `predict_proba`.

    Warns
    -----
    UserWarning
        If `estimator` was fitted on some of the images. Classifiers of this package recognise the
        images, or their features, that they received in `fit`.

    See Also
    --------
    evaluate_predictions : Evaluate predictions that have already been made.
    compare : Test whether two models differ.

    Notes
    -----
    Both `predict` and `predict_proba` are called, because they can disagree, for example when
    the decision threshold was tuned or the probabilities were calibrated separately. The steps
    of a pipeline before the last one run once for both. Classifiers of this package with a
    method `predict_from_proba`, and scikit-learn's ``CalibratedClassifierCV``, compute their
    labels from the probabilities, so that they predict only once.

    A label that `labels` adds to those of `estimator` has a probability of 0. One that is only
    predicted, such as the "uncertain" of a classifier that abstains, must be listed in
    `labels`: it counts as an error, and with an F1 of 0 in macro F1.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> y = ["happy", "happy", "happy", "sad"]
    >>> model = DummyClassifier().fit([[0]] * 4, y)
    >>> report = evaluate(model, [[0]] * 4, y)
    >>> accuracy = report.overall["accuracy"]
    >>> accuracy.value, round(accuracy.low, 3), round(accuracy.high, 3)
    (0.75, 0.194, 0.994)
    >>> report.overall["balanced_accuracy"].value
    0.5
    >>> round(report.overall["log_loss"].value, 3)
    0.562
    """
    n_images, n_labels = count_samples(X), count_samples(y)
    if n_images != n_labels:
        raise ValueError(
            f"X has {n_images} image(s) and y {n_labels} label(s); expected one label per image."
        )
    if n_images == 0:
        raise ValueError("X and y are empty; expected at least one image with its label.")
    labels_name = "labels"
    classes = np.asarray(estimator.classes_) if hasattr(estimator, "classes_") else None
    if labels is None and classes is not None:
        labels = classes
        labels_name = f"the classes that {type(estimator).__name__} was fitted on"
    predictions = collect_predictions(estimator, X, response_method)
    n_seen = predictions.n_seen
    if n_seen:
        warnings.warn(
            f"{n_seen} of the {n_images} images were in the training data of "
            f"{type(estimator).__name__}, or are exact copies of images that were. Scores on them "
            f"are inflated by memorisation. Evaluate without them; duplicate_groups finds copies.",
            UserWarning,
            stacklevel=3,
        )
    encoded = encode_label_pair(
        y,
        predictions.labels,
        labels,
        input_names=("y", "predict(X)"),
        labels_name=labels_name,
    )
    return _measure(
        encoded,
        predictions.y_proba,
        votes,
        n_seen,
        classes,
        n_resamples=n_resamples,
        confidence_level=confidence_level,
        random_state=random_state,
    )


@validate_params(RESAMPLING, prefer_skip_nested_validation=True)
def evaluate_predictions(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    y_proba: ArrayLike | None = None,
    votes: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    random_state: RandomState = 0,
) -> EvaluationReport:
    """Evaluate predicted labels, and optionally probabilities, against true labels.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        True and predicted labels, both text or both numbers.
    y_proba : array-like of shape (n_samples, k), default=None
        Probability of each label, in the order of `labels`, or in any order if it is a DataFrame
        whose columns are named after them; each row sums to 1. If None, top-2 accuracy, log loss
        and calibration error are NaN.
    votes : array-like of shape (n_samples, 10), default=None
        As in :func:`evaluate`.
    labels : array-like of shape (k,), default=None
        Labels to report, in this order; all labels that occur must be among them. If None, the
        sorted labels that occur.
    n_resamples, confidence_level, random_state
        As in :func:`evaluate`.

    Returns
    -------
    EvaluationReport

    Raises
    ------
    ValueError
        If labels and predictions differ in length or kind, are empty, have missing labels, or
        labels that are not in `labels`; if `y_proba` has a different number of rows or columns,
        or rows that are not probabilities.

    Notes
    -----
    The intervals show how much the metrics would vary with another sample of test images, not with
    another training run. They are also valid for small samples, and for models that are always
    correct:

    - Proportions (accuracy, top-2 accuracy, recall, precision, and counts of the confusion
      matrix) have the exact interval of Clopper & Pearson (1934), and so has the F1 of a label,
      as a function of a proportion.
    - Balanced accuracy and macro F1 combine the intervals of the labels that occur (Zou & Donner
      2008); weighted F1 and kappa follow the accuracy.
    - The log loss has a studentised bootstrap interval (Efron & Tibshirani 1993, section 12.5), or
      a normal one that allows for two more errors, if that is wider.
    - The expected calibration error is too high on average, since noise in a bin counts as error.
      Its interval allows for that: it reaches further down than up, and to 0 if the model may be
      perfectly calibrated.

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
    known, true, _ = encoded
    return _measure(
        encoded,
        None if y_proba is None else probabilities_of_labels(y_proba, known, len(true)),
        votes,
        n_resamples=n_resamples,
        confidence_level=confidence_level,
        random_state=random_state,
    )


class Predictions(NamedTuple):
    """Predicted labels of shape (n,), and `Probabilities` or None.

    `n_seen` is the number of images that the classifier was fitted on.
    """

    labels: LabelArray
    y_proba: Probabilities | None
    n_seen: int


def collect_predictions(
    estimator: Any, X: Any, response_method: Literal["auto", "predict", "predict_proba"] = "auto"
) -> Predictions:
    """Predict labels and, if the classifier has them, probabilities.

    The transformers of a pipeline run once for both.

    Parameters
    ----------
    estimator : fitted classifier or pipeline
    X : array-like of n_samples images
    response_method : {"auto", "predict", "predict_proba"}
        As in :func:`evaluate`; "auto" requires `predict_proba` and `classes_`.

    Raises
    ------
    TypeError
        If probabilities are required and the classifier has no `predict_proba`.
    """
    estimator = getattr(estimator, "best_estimator_", estimator)
    if type(estimator) is Pipeline:
        for _, transformer in estimator.steps[:-1]:
            if transformer not in (None, "passthrough"):
                X = transformer.transform(X)
        return collect_predictions(estimator.steps[-1][1], X, response_method)
    labels, y_proba = _predict(estimator, X, response_method)
    return Predictions(labels, y_proba, count_training_rows(estimator, X))


def _predict(estimator, X, response_method):
    has_proba = hasattr(estimator, "predict_proba") and hasattr(estimator, "classes_")
    if response_method == "predict" or (response_method == "auto" and not has_proba):
        return estimator.predict(X), None
    if not has_proba:
        predicted_probabilities(estimator, X)  # raises, naming what is missing
    from sklearn.calibration import CalibratedClassifierCV

    proba, classes = estimator.predict_proba(X), np.asarray(estimator.classes_)
    checked = checked_probabilities(proba, classes, count_samples(X), "predict_proba(X)")
    if _predicts_from_proba(estimator):
        return estimator.predict_from_proba(proba), checked
    if type(estimator) is CalibratedClassifierCV:
        # Documented: the class with the highest probability.
        return classes[np.argmax(proba, axis=1)], checked
    return estimator.predict(X), checked


def _predicts_from_proba(estimator):
    """Return whether `predict` returns what `predict_from_proba` derives from probabilities.

    It does not if a subclass overrides only `predict`.
    """
    if isinstance(estimator, FrozenEstimator):
        estimator = estimator.estimator
    for cls in type(estimator).__mro__:
        if "predict_from_proba" in vars(cls):
            return True
        if "predict" in vars(cls):
            return False
    return False


def _measure(
    encoded, y_proba, votes, n_seen=0, classes=None, *, n_resamples, confidence_level, random_state
):
    """Build the report from encoded labels, and `Probabilities` and votes or None."""
    labels, true, predicted = encoded
    people = None
    if votes is not None:
        people = agreement_with_people(votes, labels, true, predicted, confidence_level)
    confusion = confusion_counts(true, predicted, len(labels))
    scores = _image_scores(labels, true, y_proba)
    n_labels = len(labels) if y_proba is None else max(len(labels), len(y_proba.classes))
    rng = check_random_state(random_state)
    return EvaluationReport(
        labels=labels,
        overall=_overall_estimates(confusion, confidence_level)
        | _probability_estimates(scores, n_labels, n_resamples, confidence_level, rng),
        per_emotion=_label_estimates(labels, confusion, confidence_level),
        support=confusion.sum(axis=1),
        confusion_matrix=confusion,
        confusion_interval=proportion_interval(
            confusion, np.full(confusion.shape, len(true)), confidence_level
        )
        * len(true),
        n_resamples=int(n_resamples),
        confidence_level=float(confidence_level),
        y_true=_compact(true, labels),
        y_pred=_compact(predicted, labels),
        scores=scores,
        people=people,
        n_seen=n_seen,
        classes=classes,
    )


def _image_scores(labels, true, y_proba):
    if y_proba is None:
        return None
    columns = label_columns(labels, true, y_proba.classes)
    return image_scores(y_proba.values, columns, epsilon=y_proba.epsilon)


def _overall_estimates(confusion, confidence_level):
    ends = confusion_intervals(confusion, confidence_level)
    return {
        name: Estimate(float(metric(confusion)), *ends[name].tolist())
        for name, metric in CONFUSION_METRICS.items()
    }


def _probability_estimates(scores, n_labels, n_resamples, confidence_level, rng):
    if scores is None:
        return dict.fromkeys(PROBABILITY_METRICS, UNDEFINED)
    estimates = {
        name: UNDEFINED._replace(value=m(scores)) for name, m in PROBABILITY_METRICS.items()
    }
    n = len(scores.top_2)
    # Of two labels, the true one is always among the two most probable.
    estimates["top_2_accuracy"] = (
        proportion(scores.top_2.sum(), n, confidence_level) if n_labels > 2 else UNDEFINED
    )
    unseen = [scores.other_log_loss.mean()] * 2
    low, high, _ = mean_interval(scores.log_loss, unseen, n_resamples, confidence_level, rng)
    estimates["log_loss"] = estimates["log_loss"]._replace(low=max(0.0, low), high=high)
    ends = calibration_interval(scores.correct, scores.confidence, confidence_level)
    name = "expected_calibration_error"
    estimates[name] = Estimate(estimates[name].value, *ends)
    return estimates


def _label_estimates(labels, confusion, confidence_level):
    ends = class_intervals(confusion, confidence_level)
    values = {name: metric(confusion).tolist() for name, metric in CLASS_METRICS.items()}
    return {
        label: {
            name: Estimate(values[name][i], *ends[name][:, i].tolist()) for name in CLASS_METRICS
        }
        for i, label in enumerate(labels.tolist())
    }


def _compact(positions, labels):
    return positions.astype(np.min_scalar_type(len(labels) - 1))
