"""Metrics of confusion matrices.

Every metric is a function of confusion matrices, stacked along any leading axes, true
labels in rows and predicted ones in columns. The sample is one such matrix and a thousand
bootstrap resamples are a stack of a thousand, so one function serves both.
"""

import numpy as np

__all__ = ["CLASS_METRICS", "CONFUSION_METRICS", "confusion_counts"]


def confusion_counts(true, predicted, n_labels):
    """Count the images of each true and predicted label.

    Parameters
    ----------
    true, predicted : ndarray of shape (n,), int
        Positions in the list of labels.
    n_labels : int

    Returns
    -------
    ndarray of shape (n_labels, n_labels), int
    """
    cells = np.bincount(true * n_labels + predicted, minlength=n_labels**2)
    return cells.reshape(n_labels, n_labels)


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


def _cohen_kappa(confusion):
    n = confusion.sum(axis=(-2, -1))
    hits = _hits(confusion).sum(axis=-1)
    # n² times what chance alone would hit: labels drawn blindly, each as often as it is.
    by_chance = (confusion.sum(axis=-1) * confusion.sum(axis=-2)).sum(axis=-1)
    return _ratio(n * hits - by_chance, n**2 - by_chance)


def _hits(confusion):
    return np.diagonal(confusion, axis1=-2, axis2=-1)


def _ratio(part, whole):
    """Divide, with NaN where the whole is nothing."""
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def _mean_of_defined(values):
    defined = ~np.isnan(values)
    return values.sum(axis=-1, where=defined) / defined.sum(axis=-1)


# Stack (..., k, k) -> (...). A further number from the confusion matrix is one line here.
CONFUSION_METRICS = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "macro_f1": _macro_f1,
    "weighted_f1": _weighted_f1,
    "cohen_kappa": _cohen_kappa,
}

# Stack (..., k, k) -> (..., k).
CLASS_METRICS = {"precision": _precision, "recall": _recall, "f1": _f1}
