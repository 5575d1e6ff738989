"""Metrics of confusion matrices, and what chance does to them.

Every metric is a function of confusion matrices, stacked along any leading axes, true
labels in rows and predicted ones in columns. The sample is one such matrix and a thousand
bootstrap resamples are a stack of a thousand, so one function serves both.
"""

import numpy as np
from sklearn.utils import check_random_state

__all__ = [
    "CLASS_METRICS",
    "OVERALL_METRICS",
    "bootstrap_confusion_matrices",
    "percentile_interval",
]


def _precision(confusion):
    return _ratio(_hits(confusion), confusion.sum(axis=-2))


def _recall(confusion):
    return _ratio(_hits(confusion), confusion.sum(axis=-1))


def _f1(confusion):
    return _ratio(2 * _hits(confusion), confusion.sum(axis=-1) + confusion.sum(axis=-2))


def _accuracy(confusion):
    return _ratio(_hits(confusion).sum(axis=-1), confusion.sum(axis=(-2, -1)))


def _balanced_accuracy(confusion):
    return _mean_of_defined(_recall(confusion))


def _macro_f1(confusion):
    return _mean_of_defined(_f1(confusion))


def _weighted_f1(confusion):
    support = confusion.sum(axis=-1)
    return np.nansum(support * _f1(confusion), axis=-1) / support.sum(axis=-1)


def _hits(confusion):
    return np.diagonal(confusion, axis1=-2, axis2=-1)


def _ratio(part, whole):
    """Divide, with NaN where the whole is nothing."""
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def _mean_of_defined(values):
    defined = ~np.isnan(values)
    return values.sum(axis=-1, where=defined) / defined.sum(axis=-1)


# Stack (..., k, k) -> (...). A further number from the confusion matrix is one line here.
OVERALL_METRICS = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "macro_f1": _macro_f1,
    "weighted_f1": _weighted_f1,
}

# Stack (..., k, k) -> (..., k).
CLASS_METRICS = {"precision": _precision, "recall": _recall, "f1": _f1}


def bootstrap_confusion_matrices(confusion, n_resamples, random_state):
    """Draw the confusion matrices of bootstrap resamples.

    Drawing n images with replacement and counting their cells is drawing the counts from
    a multinomial distribution, so the images themselves are not needed.

    Parameters
    ----------
    confusion : ndarray of shape (k, k), int
        Confusion matrix of the sample, not all zero.
    n_resamples : int
        How many to draw.
    random_state : int, RandomState instance or None
        Seed.

    Returns
    -------
    ndarray of shape (n_resamples, k, k), int

    Examples
    --------
    >>> bootstrap_confusion_matrices(np.array([[2, 1], [0, 1]]), 3, 0).sum(axis=(1, 2))
    array([4, 4, 4])
    """
    counts = confusion.ravel()
    # Only cells that occur: rounding must not put an image into an empty one.
    occupied = np.flatnonzero(counts)
    n_samples = counts.sum()
    draws = np.zeros((n_resamples, counts.size), dtype=np.int64)
    draws[:, occupied] = check_random_state(random_state).multinomial(
        n_samples, counts[occupied] / n_samples, size=n_resamples
    )
    return draws.reshape(n_resamples, *confusion.shape)


def percentile_interval(values, confidence_level):
    """Ends of the central interval along the first axis, leaving NaN out."""
    flat = values.reshape(len(values), -1).astype(float)
    ends = np.full((2, flat.shape[1]), np.nan)
    defined = ~np.isnan(flat).all(axis=0)
    tail = (1 - confidence_level) / 2
    ends[:, defined] = np.nanquantile(flat[:, defined], [tail, 1 - tail], axis=0)
    return ends.reshape(2, *values.shape[1:])
