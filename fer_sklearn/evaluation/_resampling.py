"""Estimates with confidence intervals: bootstrap resamples, and intervals of proportions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.special import ndtri

from .._utils.typing import ArrayLike, FloatArray, IntArray

__all__ = [
    "Estimate",
    "percentile_interval",
    "proportion",
    "resampled_confusions",
    "resampled_sums",
    "wilson_interval",
]

# Limits the memory use.
_RESAMPLES_AT_A_TIME = 64


class Estimate(NamedTuple):
    """A metric measured on a sample, with the ends of its confidence interval."""

    value: float
    low: float
    high: float


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


def wilson_interval(hits: ArrayLike, n: ArrayLike, confidence_level: float) -> FloatArray:
    """Return the ends of Wilson's interval of proportions.

    Unlike percentiles of resamples, it is reliable near 0 and 1, and in small samples (Brown, Cai &
    DasGupta 2001).

    Parameters
    ----------
    hits, n : array-like of the same shape
        Number of hits and of trials.
    confidence_level : float

    Returns
    -------
    ndarray of shape (2, ...)
        NaN where `n` is 0.

    Examples
    --------
    >>> wilson_interval(20, 20, 0.95).round(2)
    array([0.84, 1.  ])
    """
    hits, n = np.asarray(hits, dtype=float), np.asarray(n, dtype=float)
    z = ndtri((1 + confidence_level) / 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        half = z * np.sqrt(hits * (n - hits) / n + z**2 / 4)
    ends = np.stack([hits + z**2 / 2 - half, hits + z**2 / 2 + half]) / (n + z**2)
    return np.clip(ends, 0, 1)


def proportion(hits: float, n: int, confidence_level: float) -> Estimate:
    """Return a proportion with its interval; NaN if `n` is 0.

    Parameters
    ----------
    hits : float
        Number of hits; a sum of numbers from 0 to 1 makes the interval too wide, not too narrow.
    n : int
    confidence_level : float

    Returns
    -------
    Estimate
    """
    if n == 0:
        return Estimate(float("nan"), float("nan"), float("nan"))
    return Estimate(float(hits / n), *wilson_interval(hits, n, confidence_level).tolist())
