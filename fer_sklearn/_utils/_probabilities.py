"""Probabilities of classes: checked where they come in, and how well they are kept."""

from typing import NamedTuple

import numpy as np

__all__ = [
    "ReliabilityBins",
    "bin_positions",
    "check_probabilities",
    "expected_calibration_error",
    "predicted_probabilities",
    "reliability_bins",
]

# Rows that were rounded, or summed in half precision, are still probabilities.
_SUM_TOLERANCE = 1e-3


def check_probabilities(proba, n_samples=None, n_classes=None, *, name="y_proba"):
    """Return class probabilities as float64, or say what is wrong with them.

    Parameters
    ----------
    proba : array-like of shape (n_samples, n_classes)
        Each row in [0, 1] and, to a thousandth, of the sum 1.
    n_samples, n_classes : int or None, default=None
        What the shape must be; None leaves it open.
    name : str, default="y_proba"
        What errors call it.

    Returns
    -------
    ndarray of shape (n_samples, n_classes), float64

    Raises
    ------
    ValueError
        If the shape is another one, or a row holds NaN, a number outside [0, 1], or does
        not sum to one.
    """
    proba = np.asarray(proba, dtype=np.float64)
    expected = tuple("n" if n is None else n for n in (n_samples, n_classes))
    if proba.ndim != 2 or any(
        wanted not in ("n", found) for wanted, found in zip(expected, proba.shape, strict=True)
    ):
        raise ValueError(
            f"{name} has shape {proba.shape}; expected ({expected[0]}, {expected[1]}): a row an "
            f"image and a column a class, as predict_proba returns them."
        )
    outside = ~((proba >= 0) & (proba <= 1 + _SUM_TOLERANCE)).all(axis=1)  # NaN is outside too
    _refuse_rows(outside, proba, name, "numbers from 0 to 1")
    _refuse_rows(
        np.abs(proba.sum(axis=1) - 1) > _SUM_TOLERANCE,
        proba,
        name,
        "a sum of 1; scores of a decision_function are no probabilities",
    )
    return proba


def _refuse_rows(bad, proba, name, expected):
    if bad.any():
        first = int(bad.argmax())
        raise ValueError(
            f"{name}[{first}] is {np.array2string(proba[first], precision=4)}; expected "
            f"{expected}. {bad.sum()} of {len(bad)} row(s) are wrong."
        )


def predicted_probabilities(estimator, X):
    """Return what a fitted classifier answers, checked, and its classes.

    Returns
    -------
    proba : ndarray of shape (n_samples, n_classes), float64
    classes : ndarray of shape (n_classes,)

    Raises
    ------
    TypeError
        If the classifier has no ``predict_proba``.
    ValueError
        If what it answers are no probabilities.
    """
    if not hasattr(estimator, "predict_proba"):
        raise TypeError(
            f"estimator is {type(estimator).__name__}, which has no predict_proba; expected a "
            f"classifier that gives probabilities. Wrap it in "
            f"sklearn.calibration.CalibratedClassifierCV, or set its probability=True."
        )
    classes = np.asarray(estimator.classes_)
    proba = check_probabilities(
        estimator.predict_proba(X), n_classes=len(classes), name="predict_proba(X)"
    )
    return proba, classes


class ReliabilityBins(NamedTuple):
    """Predictions sorted into bins of equal width by confidence; empty bins are left out.

    Each is an ndarray of shape (n_occupied,): the mean confidence, the share that is right,
    and the number of predictions.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray


def bin_positions(confidence, *, n_bins=15):
    """Return the bin of each confidence.

    Parameters
    ----------
    confidence : array-like of shape (n,), float
        In [0, 1].
    n_bins : int, default=15
        Bins of equal width between 0 and 1, each open below and closed above, as Guo et al.
        (2017) have them.

    Returns
    -------
    ndarray of shape (n,), int
        From 0 to ``n_bins - 1``.
    """
    edges = np.linspace(0, 1, n_bins + 1)
    return np.searchsorted(edges[1:-1], confidence, side="left")


def reliability_bins(correct, confidence, *, n_bins=15):
    """Sort predictions by their confidence, and see how many of each bin are right.

    Parameters
    ----------
    correct : array-like of shape (n,), bool
        Whether each prediction is right.
    confidence : array-like of shape (n,), float
        Its probability, in [0, 1].
    n_bins : int, default=15
        As in :func:`bin_positions`.

    Returns
    -------
    ReliabilityBins
    """
    correct, confidence = np.asarray(correct, dtype=float), np.asarray(confidence, dtype=float)
    place = bin_positions(confidence, n_bins=n_bins)
    count = np.bincount(place, minlength=n_bins)
    occupied = count > 0
    sums = (np.bincount(place, values, minlength=n_bins) for values in (confidence, correct))
    means = (total[occupied] / count[occupied] for total in sums)
    return ReliabilityBins(*means, count[occupied])


def expected_calibration_error(bins):
    """Return the mean distance of confidence and accuracy, weighted by the bins' counts.

    Parameters
    ----------
    bins : ReliabilityBins

    Returns
    -------
    float
        From 0 to 1; 0 is perfect (Naeini et al. 2015; Guo et al. 2017, arXiv:1706.04599).
    """
    return float(np.average(np.abs(bins.confidence - bins.accuracy), weights=bins.count))
