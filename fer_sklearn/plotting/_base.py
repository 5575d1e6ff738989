"""Predictions with probabilities, checked once for every picture that shows them."""

from typing import NamedTuple

import numpy as np

from .._utils.prediction import predicted_probabilities
from .._utils.validation import encode_label_pair, encode_labels
from ..evaluation._metrics import probabilities_of_labels

__all__ = ["Scored", "encode_true_labels", "score_estimator", "score_predictions"]


class Scored(NamedTuple):
    """True labels and the probabilities of all labels.

    Attributes
    ----------
    labels : ndarray of shape (k,)
        The label of each column of `proba`.
    true : ndarray of shape (n,), int
        Positions of the true labels in `labels`.
    proba : ndarray of shape (n, k), float64
    """

    labels: np.ndarray
    true: np.ndarray
    proba: np.ndarray

    @property
    def predicted(self):
        """Positions of the most probable labels, (n,) int; the first of equal ones."""
        return self.proba.argmax(axis=1)

    @property
    def confidence(self):
        """Probability of the predicted label, (n,) float64."""
        return self.proba.max(axis=1)

    @property
    def correct(self):
        """Whether the predicted label is the true one, (n,) bool."""
        return self.predicted == self.true


def encode_true_labels(y, labels=None, *, name):
    """Check labels, and number them as positions in one list.

    Returns
    -------
    labels : ndarray of shape (k,)
        The sorted labels of `y` where none are given.
    positions : ndarray of shape (n,), int
    """
    return encode_labels(y, labels, name=name)


def score_predictions(y_true, y_proba, labels=None):
    """Check true labels and probabilities against each other.

    Parameters
    ----------
    y_true : array-like of shape (n,)
    y_proba : array-like of shape (n, k), float
    labels : array-like of shape (k,), default=None
        The label of each column; None takes the sorted labels of `y_true`, if they are k.

    Returns
    -------
    Scored

    Raises
    ------
    ValueError
        For labels that are empty, missing or not among `labels`, for rows that are no
        probabilities, and for numbers of images or labels that differ.
    """
    labels, true = encode_true_labels(y_true, labels, name="y_true")
    return Scored(labels, true, probabilities_of_labels(y_proba, labels, len(true)).values)


def score_estimator(estimator, X, y):
    """Ask a fitted classifier for probabilities, and check them and the true labels.

    Returns
    -------
    Scored
        With the ``classes_`` of the classifier as labels.

    Raises
    ------
    TypeError
        If the classifier has no ``predict_proba``.
    ValueError
        As :func:`score_predictions`.
    """
    proba, classes = predicted_probabilities(estimator, X)
    labels, true, _ = encode_label_pair(
        y,
        classes[proba.argmax(axis=1)],
        classes,
        input_names=("y", "predict_proba(X)"),
        labels_name="the estimator's classes_",
    )
    return Scored(labels, true, proba)
