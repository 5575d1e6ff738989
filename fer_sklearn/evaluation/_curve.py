"""Accuracy at every coverage: what is right where unsure images are refused."""

from .._utils._labels import encode_labels
from ._answers import named_columns
from ._coverage import coverage_accuracy

__all__ = ["coverage_accuracy_curve"]


def coverage_accuracy_curve(y_true, y_proba, *, labels=None):
    """Say how accurate a classifier is where it may refuse the images it is unsure of.

    Each image is given the label of its largest probability, or refused where that is below
    a threshold. The higher the threshold, the fewer images are kept, and the more of those
    should be right.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels.
    y_proba : array-like of shape (n_samples, n_labels)
        Probability of each label, rows of the sum 1.
    labels : array-like of shape (n_labels,), default=None
        Labels of the columns, such as ``estimator.classes_``. None takes the sorted labels
        that occur.

    Returns
    -------
    CoverageCurve
        ``threshold``, ``coverage`` and ``accuracy``, each an ndarray of shape
        (n_thresholds,), a point for each confidence that occurs: images of equal
        confidence are kept together. Coverage falls from 1. ``aurc`` is the area under the
        risk-coverage curve, 0 for a classifier without errors.

    Raises
    ------
    ValueError
        If labels are missing, empty or not among `labels`, or rows of `y_proba` are no
        probabilities or of another number than the labels.

    Notes
    -----
    Risk is ``1 - accuracy``; the curve is that of El-Yaniv & Wiener (2010), the area that of
    Geifman, Uziel & El-Yaniv (2019, arXiv:1805.08206).

    Examples
    --------
    >>> curve = coverage_accuracy_curve(
    ...     ["happy", "sad", "sad"], [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]
    ... )
    >>> curve.threshold
    array([0.6, 0.8, 0.9])
    >>> curve.coverage.round(2), curve.accuracy.round(2)
    (array([1.  , 0.67, 0.33]), array([0.67, 1.  , 1.  ]))
    >>> round(curve.aurc, 3)
    0.111
    """
    labels, true, _ = encode_labels(y_true, y_true, labels)
    proba = named_columns(y_proba, labels, len(true)).values
    return coverage_accuracy(proba.argmax(axis=1) == true, proba.max(axis=1))
