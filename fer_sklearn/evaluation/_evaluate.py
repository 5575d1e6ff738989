"""Reports of fitted classifiers and of predictions that are already made."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval, validate_params
from sklearn.utils.validation import _num_samples

from .._labels import encode_labels
from ._confusion import (
    CLASS_METRICS,
    OVERALL_METRICS,
    bootstrap_confusion_matrices,
    percentile_interval,
)
from ._report import Estimate, EvaluationReport

__all__ = ["SCORING", "evaluate", "evaluate_predictions"]

#: What ``cross_validate`` and ``GridSearchCV`` take as ``scoring``. With several scores
#: ``GridSearchCV`` also needs ``refit``, such as ``refit="macro_f1"``.
SCORING = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced_accuracy",
    "macro_f1": "f1_macro",
}


_check_resampling = validate_params(
    {
        "n_resamples": [Interval(Integral, 1, None, closed="left")],
        "confidence_level": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)


@_check_resampling
def evaluate(
    estimator, X, y, *, n_resamples=1000, confidence_level=0.95, random_state=0, labels=None
):
    """Predict with a fitted classifier and say how well it did.

    Parameters
    ----------
    estimator : fitted classifier or pipeline
        Its `predict` is called once.
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

    Returns
    -------
    EvaluationReport

    Raises
    ------
    ValueError
        If `X` and `y` differ in length or are empty, if `y` has missing labels, or labels
        that `estimator` was not fitted on and that `labels` does not name.

    See Also
    --------
    evaluate_predictions : The same from predictions that are already made.

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
    """
    n_images, n_labels = _num_samples(X), _num_samples(y)
    if n_images != n_labels:
        raise ValueError(
            f"X holds {n_images} image(s) and y {n_labels} label(s); expected one label an image."
        )
    if n_images == 0:
        raise ValueError("X and y are empty; expected at least one image with its label.")
    known_as = "labels"
    if labels is None and hasattr(estimator, "classes_"):
        labels = estimator.classes_
        known_as = f"the classes that {type(estimator).__name__} was fitted on"
    return _report(
        encode_labels(
            y, estimator.predict(X), labels, names=("y", "predict(X)"), known_as=known_as
        ),
        n_resamples=n_resamples,
        confidence_level=confidence_level,
        random_state=random_state,
    )


@_check_resampling
def evaluate_predictions(
    y_true, y_pred, *, labels=None, n_resamples=1000, confidence_level=0.95, random_state=0
):
    """Say how well predicted labels match the true ones.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        True and predicted labels, both text or both numbers.
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
        If the two differ in length or kind, are empty, have missing labels, or labels
        that are not in `labels`.

    Notes
    -----
    The intervals are percentiles of the bootstrap (Efron & Tibshirani 1993, chapter 13)
    over images. They say how far the figures would move with another sample of test
    images, not with another training run.

    Examples
    --------
    >>> report = evaluate_predictions(
    ...     ["happy", "sad", "happy", "sad"], ["happy", "sad", "sad", "sad"]
    ... )
    >>> report.confusion_matrix
    array([[1, 1],
           [0, 2]])
    >>> round(report.per_emotion["sad"]["precision"].value, 3)
    0.667
    """
    return _report(
        encode_labels(y_true, y_pred, labels),
        n_resamples=n_resamples,
        confidence_level=confidence_level,
        random_state=random_state,
    )


def _report(encoded, *, n_resamples, confidence_level, random_state):
    labels, true, predicted = encoded
    k = len(labels)
    confusion = np.bincount(true * k + predicted, minlength=k * k).reshape(k, k)
    resamples = bootstrap_confusion_matrices(confusion, n_resamples, random_state)

    def estimates(metrics):
        for name, metric in metrics.items():
            ends = percentile_interval(metric(resamples), confidence_level)
            yield name, np.stack([metric(confusion), *ends], axis=-1).tolist()

    per_class = dict(estimates(CLASS_METRICS))
    return EvaluationReport(
        labels=labels,
        overall={name: Estimate(*numbers) for name, numbers in estimates(OVERALL_METRICS)},
        per_emotion={
            label: {name: Estimate(*numbers[i]) for name, numbers in per_class.items()}
            for i, label in enumerate(labels.tolist())
        },
        support=confusion.sum(axis=1),
        confusion_matrix=confusion,
        confusion_interval=percentile_interval(resamples, confidence_level),
        n_resamples=int(n_resamples),
        confidence_level=float(confidence_level),
    )
