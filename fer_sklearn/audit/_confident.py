"""Confident learning: which labels does a classifier contradict with more than usual certainty?"""

from typing import NamedTuple

import numpy as np

__all__ = ["LabelErrors", "likely_label_errors"]

# Two probabilities closer than this are taken for equal, as cleanlab takes them.
_TOLERANCE = 1e-6


class LabelErrors(NamedTuple):
    """The images that are likely to carry a wrong label, most likely first.

    Attributes
    ----------
    indices : ndarray of shape (n_errors,), int
    suggested : ndarray of shape (n_errors,), int
        The most probable class of each, as a column of the probabilities.
    """

    indices: np.ndarray
    suggested: np.ndarray


def likely_label_errors(codes, proba):
    """Find likely label errors by confident learning.

    A class's threshold is the mean probability that images of its label are given for it. An
    image counts for the class whose threshold it reaches, for the most probable one where it
    reaches several, and is a likely error where neither that nor the most probable class is
    its label. Thresholds make up for a classifier that is surer of some classes than of
    others. The same images as cleanlab's
    ``find_label_issues(filter_by="confident_learning")``, in the order of its
    ``"normalized_margin"``.

    Parameters
    ----------
    codes : ndarray of shape (n,), int
        The label of each image, as a column of `proba`.
    proba : ndarray of shape (n, n_classes), float
        Probabilities from a classifier that was not fitted on the image.

    Returns
    -------
    LabelErrors
        Sorted by how much more probable the suggested class is than the label.

    References
    ----------
    Northcutt, Jiang & Chuang (2021), Confident Learning: Estimating Uncertainty in Dataset
    Labels, Journal of Artificial Intelligence Research 70.

    Examples
    --------
    >>> import numpy as np
    >>> proba = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.1, 0.9]])
    >>> likely_label_errors(np.array([0, 0, 0, 1]), proba)
    LabelErrors(indices=array([2]), suggested=array([1]))
    """
    rows = np.arange(len(codes))
    own = proba[rows, codes]
    reached = proba >= _thresholds(own, codes, proba.shape[1]) - _TOLERANCE
    most_probable = proba.argmax(axis=1)
    counted_as = np.where(reached.sum(axis=1) > 1, most_probable, reached.argmax(axis=1))
    others = proba.copy()
    others[rows, codes] = -1
    margin = own - others.max(axis=1)
    contradicted = reached.any(axis=1) & (counted_as != codes)
    likely = np.flatnonzero(contradicted & (margin < -_TOLERANCE))
    likely = likely[np.argsort(margin[likely], kind="stable")]
    return LabelErrors(likely, others[likely].argmax(axis=1))


def _thresholds(own, codes, n_classes):
    """Return the mean of `own` by class; a class without images is out of reach."""
    counts = np.bincount(codes, minlength=n_classes)
    sums = np.bincount(codes, own, minlength=n_classes)
    means = np.divide(sums, counts, out=np.full(n_classes, np.inf), where=counts > 0)
    return means.clip(min=2 * _TOLERANCE)
