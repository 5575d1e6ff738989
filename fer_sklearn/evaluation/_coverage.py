"""What a classifier gets right where it may abstain, from sure to unsure."""

from typing import NamedTuple

import numpy as np

__all__ = ["CoverageCurve", "coverage_accuracy"]


class CoverageCurve(NamedTuple):
    """Coverage and accuracy of what is kept, for every threshold of confidence.

    Attributes
    ----------
    threshold : ndarray of shape (n_thresholds,), float64
        The confidences that occur, rising: images below a threshold are refused.
    coverage : ndarray of shape (n_thresholds,), float64
        Share of the images that is kept, in (0, 1], falling from 1.
    accuracy : ndarray of shape (n_thresholds,), float64
        Share of the kept images that is right, in [0, 1].
    """

    threshold: np.ndarray
    coverage: np.ndarray
    accuracy: np.ndarray

    @property
    def aurc(self):
        """Area under the risk-coverage curve, in [0, 1]; 0 is perfect.

        The mean risk, ``1 - accuracy``, over the coverages ``1/n`` to 1 (Geifman, Uziel & El-Yaniv
        2019, arXiv:1805.08206). Images of one confidence are kept together, so each counts
        with the risk of the whole tie.
        """
        share = -np.diff(self.coverage, append=0)
        return float(share @ (1 - self.accuracy))


def coverage_accuracy(correct, confidence):
    """Return how many images are kept, and how many of those are right, for every threshold.

    Parameters
    ----------
    correct : array-like of shape (n,), bool
        Whether each prediction is right; n is at least 1.
    confidence : array-like of shape (n,), float
        How sure each is; images of equal confidence are kept or refused together.

    Returns
    -------
    CoverageCurve
        A point for each confidence that occurs, the one that keeps everything first.

    Examples
    --------
    >>> curve = coverage_accuracy([True, False, True], [0.9, 0.5, 0.5])
    >>> curve.coverage.round(2), curve.accuracy.round(2)
    (array([1.  , 0.33]), array([0.67, 1.  ]))
    >>> round(curve.aurc, 3)
    0.222
    """
    threshold, tie = np.unique(np.asarray(confidence, dtype=float), return_inverse=True)
    counts = np.bincount(tie)
    hits = np.bincount(tie, np.asarray(correct, dtype=float))
    # From a threshold upwards: sums over the ties from the surest down.
    kept, right = (np.cumsum(values[::-1])[::-1] for values in (counts, hits))
    return CoverageCurve(threshold, kept / kept[0], right / kept)
