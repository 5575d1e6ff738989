"""Reports of fitted classifiers and of predictions that are already made."""

from numbers import Integral, Real

from .._utils._labels import encode_labels
from .._utils.compat import Interval, StrOptions, validate_params
from .._utils.validation import count_samples
from ._answers import ask, named_columns
from ._measure import measure

__all__ = ["RESAMPLING", "SCORING", "evaluate", "evaluate_predictions"]

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
    known_as = "labels"
    if labels is None and hasattr(estimator, "classes_"):
        labels = estimator.classes_
        known_as = f"the classes that {type(estimator).__name__} was fitted on"
    answers = ask(estimator, X, probabilities)
    encoded = encode_labels(
        y, answers.predicted, labels, names=("y", "predict(X)"), known_as=known_as
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
    encoded = encode_labels(y_true, y_pred, labels)
    proba = None if y_proba is None else named_columns(y_proba, encoded[0], len(encoded[1]))
    return measure(
        encoded,
        proba,
        n_resamples=n_resamples,
        confidence_level=confidence_level,
        random_state=random_state,
    )
