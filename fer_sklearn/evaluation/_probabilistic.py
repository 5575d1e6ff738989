"""Metrics of probabilities, as sums of one number an image.

Every metric is a function of those sums, stacked along any leading axes: over the sample
once, and over a thousand bootstrap resamples, as with confusion matrices.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from .._utils._probabilities import bin_positions

__all__ = ["PROBABILITY_METRICS", "ImageScores", "image_scores", "metrics_of_sums", "summands"]

_N_BINS = 15


class ImageScores(NamedTuple):
    """What the probabilities say of each image, whatever label was predicted.

    Attributes
    ----------
    top_2 : ndarray of shape (n,), bool
        Whether the true label is among the two most probable ones.
    log_loss : ndarray of shape (n,), float64
        Negative natural logarithm of the probability of the true label.
    confidence : ndarray of shape (n,), float64
        The largest probability, in [0, 1].
    correct : ndarray of shape (n,), bool
        Whether the label of the largest probability is the true one.
    """

    top_2: np.ndarray
    log_loss: np.ndarray
    confidence: np.ndarray
    correct: np.ndarray


def image_scores(proba, true_column, *, epsilon):
    """Score the probabilities of each image.

    Parameters
    ----------
    proba : ndarray of shape (n, n_columns), float64
        Rows that sum to one.
    true_column : ndarray of shape (n,), int
        Column of the true label; -1 for a label without one, whose probability is 0.
    epsilon : float
        Probabilities are clipped to ``[epsilon, 1 - epsilon]`` before the logarithm.

    Returns
    -------
    ImageScores
    """
    columns = np.arange(proba.shape[1])
    own = true_column[:, np.newaxis]
    probability = np.where(own >= 0, np.take_along_axis(proba, own, axis=1), 0)
    # Of equal probabilities scikit-learn's top_k_accuracy_score puts the last column first.
    ahead = (proba > probability) | ((proba == probability) & (columns > own))
    return ImageScores(
        top_2=ahead.sum(axis=1) < 2,
        log_loss=-np.log(probability[:, 0].clip(epsilon, 1 - epsilon)),
        confidence=proba.max(axis=1),
        correct=proba.argmax(axis=1) == true_column,
    )


def summands(scores):
    """Return what the metrics need of each image, ready to be summed.

    Parameters
    ----------
    scores : ImageScores

    Returns
    -------
    sparse array of shape (n, 2 + 15), float64
        Top-2 hit, logarithmic loss, and in the column of its bin of confidence how far the
        confidence is above the truth.
    """
    n = len(scores.confidence)
    bins = bin_positions(scores.confidence, n_bins=_N_BINS)
    columns = np.column_stack([np.zeros(n, dtype=int), np.ones(n, dtype=int), 2 + bins])
    values = np.column_stack([scores.top_2, scores.log_loss, scores.confidence - scores.correct])
    starts = np.arange(0, 3 * n + 1, 3)
    return csr_array((values.ravel(), columns.ravel(), starts), shape=(n, 2 + _N_BINS))


def _expected_calibration_error(sums, n):
    # A bin's |confidence - accuracy| times its share of the images: the counts cancel.
    return np.abs(sums[..., 2:]).sum(axis=-1) / n


# Sums (..., 2 + 15) and the number of images -> (...).
PROBABILITY_METRICS = {
    "top_2_accuracy": lambda sums, n: sums[..., 0] / n,
    "log_loss": lambda sums, n: sums[..., 1] / n,
    "expected_calibration_error": _expected_calibration_error,
}


def metrics_of_sums(sums, n):
    """Return every metric of probabilities.

    Parameters
    ----------
    sums : ndarray of shape (..., 2 + 15)
        Sums of :func:`summands` over images.
    n : int
        How many images were summed.

    Returns
    -------
    dict of str to ndarray of shape (...)
    """
    return {name: metric(sums, n) for name, metric in PROBABILITY_METRICS.items()}
