"""Bootstrap resamples of images, and percentile intervals."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from .._utils.typing import FloatArray, IntArray

__all__ = ["percentile_interval", "resampled_confusions", "resampled_sums"]

# Limits the memory use.
_RESAMPLES_AT_A_TIME = 64


def resampled_confusions(
    confusion: IntArray, n_resamples: int, rng: np.random.RandomState
) -> IntArray:
    """Draw the confusion matrices of bootstrap resamples.

    Drawing n images with replacement and counting their cells is equivalent to drawing the
    counts from a multinomial distribution, so the images themselves are not needed.

    Parameters
    ----------
    confusion : ndarray of shape (k, k), int
        Confusion matrix of the sample, not all zero.
    n_resamples : int
        Number of resamples.
    rng : RandomState

    Returns
    -------
    ndarray of shape (n_resamples, k, k), int

    Examples
    --------
    >>> rng = np.random.RandomState(0)
    >>> resampled_confusions(np.array([[2, 1], [0, 1]]), 3, rng).sum(axis=(1, 2))
    array([4, 4, 4])
    """
    counts = confusion.ravel()
    # Only occupied cells: rounding must not put an image into an empty one.
    occupied = np.flatnonzero(counts)
    n_samples = counts.sum()
    draws = np.zeros((n_resamples, counts.size), dtype=np.int64)
    draws[:, occupied] = rng.multinomial(n_samples, counts[occupied] / n_samples, size=n_resamples)
    return draws.reshape(n_resamples, *confusion.shape)


def resampled_sums(values: csr_array, n_resamples: int, rng: np.random.RandomState) -> FloatArray:
    """Sum values per image over bootstrap resamples of the images.

    Parameters
    ----------
    values : sparse array of shape (n, m), float64
        One row per image. All columns are summed over the same images, so that the sums of two
        models can be compared.
    n_resamples : int
        Number of resamples.
    rng : RandomState

    Returns
    -------
    ndarray of shape (n_resamples, m), float64

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> resampled_sums(csr_array(np.ones((5, 1))), 3, np.random.RandomState(0)).ravel()
    array([5., 5., 5.])
    """
    n, m = values.shape
    columns = values.T.tocsr()
    sums = np.empty((m, n_resamples))
    for start in range(0, n_resamples, _RESAMPLES_AT_A_TIME):
        block = sums[:, start : start + _RESAMPLES_AT_A_TIME]
        times = np.empty((n, block.shape[1]))  # occurrences of each image in each resample
        for resample in times.T:
            resample[:] = np.bincount(rng.randint(n, size=n), minlength=n)
        block[:] = columns @ times
    return sums.T


def percentile_interval(values: FloatArray | IntArray, confidence_level: float) -> FloatArray:
    """Return the ends of the central interval along the first axis, ignoring NaN.

    Parameters
    ----------
    values : ndarray of shape (n_resamples, ...)
    confidence_level : float
        Fraction of the resamples that the interval spans.

    Returns
    -------
    ndarray of shape (2, ...)
        NaN if no resample has a value.
    """
    flat = values.reshape(len(values), -1).astype(float)
    ends = np.full((2, flat.shape[1]), np.nan)
    defined = ~np.isnan(flat).all(axis=0)
    tail = (1 - confidence_level) / 2
    ends[:, defined] = np.nanquantile(flat[:, defined], [tail, 1 - tail], axis=0)
    return ends.reshape(2, *values.shape[1:])
