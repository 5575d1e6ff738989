"""What a fitted classifier says of images: labels and probabilities for one price."""

from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from .._utils._probabilities import check_probabilities, predicted_probabilities
from .._utils.validation import count_samples

__all__ = ["Answers", "Probabilities", "ask", "named_columns", "true_columns"]


class Probabilities(NamedTuple):
    """Checked probabilities of shape (n, n_columns), and the label of each column.

    `epsilon` is how near to 0 and 1 they are told apart in the precision they came in.
    """

    values: np.ndarray
    classes: np.ndarray
    epsilon: float


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
    checked = _checked(proba, np.asarray(estimator.classes_), count_samples(X), "predict_proba(X)")
    return Answers(_remembering(estimator, X, proba).predict(X), checked)


def named_columns(y_proba, labels, n_samples):
    """Check probabilities whose columns are `labels`.

    Parameters
    ----------
    y_proba : array-like of shape (n_samples, k)
    labels : ndarray of shape (k,)
    n_samples : int

    Returns
    -------
    Probabilities

    Raises
    ------
    ValueError
        If there is not one column a label, or if the rows are no probabilities.
    """
    y_proba = np.asarray(y_proba)
    if y_proba.ndim == 2 and y_proba.shape[1] != len(labels):
        raise ValueError(
            f"y_proba has {y_proba.shape[1]} column(s) for {len(labels)} label(s), "
            f"{', '.join(map(repr, labels.tolist()))}; expected a column for each, in this "
            f"order. Name the label of every column in labels=, such as "
            f"labels=estimator.classes_."
        )
    return _checked(y_proba, labels, n_samples, "y_proba")


def true_columns(labels, true, classes):
    """Return, for each image, the column of its true label among the classes.

    Parameters
    ----------
    labels : ndarray of shape (k,)
    true : ndarray of shape (n,), int
        Positions in `labels`.
    classes : ndarray of shape (n_columns,)

    Returns
    -------
    ndarray of shape (n,), int
        -1 for a label that is no class.
    """
    place = {label: column for column, label in enumerate(classes.tolist())}
    return np.array([place.get(label, -1) for label in labels.tolist()])[true]


def _checked(proba, classes, n_samples, name):
    # Zeros of single precision cost a smaller logarithm, in scikit-learn's log_loss too.
    single = np.asarray(proba).dtype == np.float32
    return Probabilities(
        check_probabilities(proba, n_samples, len(classes), name=name),
        classes,
        float(np.finfo(np.float32 if single else np.float64).eps),
    )


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
