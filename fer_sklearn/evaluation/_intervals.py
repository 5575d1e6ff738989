"""Confidence intervals of metrics, and of the differences of two models.

None of them shrinks to a point when all images are classified correctly.
``benchmarks/intervals.py`` measures how often each contains the true value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.special import betaincinv, ndtr, ndtri

from .._utils.tables import with_interval
from .._utils.typing import ArrayLike, BoolArray, FloatArray, IntArray
from ._metrics import CLASS_METRICS, CONFUSION_METRICS, N_BINS, bin_positions, hits

__all__ = [
    "UNDEFINED",
    "Estimate",
    "calibration_interval",
    "class_intervals",
    "confusion_intervals",
    "difference_error",
    "mean_fraction",
    "mean_interval",
    "normal_interval",
    "proportion",
    "proportion_interval",
    "two_sided_p",
]

_RESAMPLES_AT_A_TIME = 64
# In units of images, to differentiate metrics by the counts of a confusion matrix.
_STEP = 1e-5


class Estimate(NamedTuple):
    """A metric measured on a sample, with the ends of its confidence interval.

    Prints with three decimals, such as ``0.957 (0.909–0.984)``, or as a dash if undefined.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return with_interval(self)


UNDEFINED = Estimate(float("nan"), float("nan"), float("nan"))


# Proportions


def proportion_interval(n_hits: ArrayLike, n: ArrayLike, confidence_level: float) -> FloatArray:
    """Return the ends of the exact interval of proportions (Clopper & Pearson 1934).

    Parameters
    ----------
    n_hits, n : array-like of the same shape
        Number of hits and of trials.
    confidence_level : float

    Returns
    -------
    ndarray of shape (2, ...)
        NaN where `n` is 0.

    Examples
    --------
    >>> proportion_interval(20, 20, 0.95).round(3)
    array([0.832, 1.   ])
    """
    n_hits, n = np.asarray(n_hits, dtype=float), np.asarray(n, dtype=float)
    misses = n - n_hits
    tail = (1 - confidence_level) / 2
    # betaincinv needs positive parameters, also where its result is not used.
    low = betaincinv(np.maximum(n_hits, 0.5), misses + 1, tail)
    high = betaincinv(n_hits + 1, np.maximum(misses, 0.5), 1 - tail)
    ends = np.stack([np.where(n_hits > 0, low, 0.0), np.where(misses > 0, high, 1.0)])
    return np.where(n > 0, ends, np.nan)


def proportion(n_hits: int, n: int, confidence_level: float) -> Estimate:
    """Return a proportion with its interval; NaN if `n` is 0.

    Parameters
    ----------
    n_hits, n : int
    confidence_level : float
    """
    if n == 0:
        return UNDEFINED
    return Estimate(float(n_hits / n), *proportion_interval(n_hits, n, confidence_level).tolist())


def mean_fraction(fractions: FloatArray, confidence_level: float) -> Estimate:
    """Return the mean of fractions with its interval; NaN if there are none.

    Parameters
    ----------
    fractions : ndarray of shape (n,), float
        In [0, 1].
    confidence_level : float

    Returns
    -------
    Estimate
        With a normal interval that allows for a 0 and a 1 that were not observed.
    """
    if not len(fractions):
        return UNDEFINED
    mean = float(fractions.mean())
    error = _smoothed_error(fractions, mean, [0, 1])
    return Estimate(mean, *np.clip(normal_interval(mean, error, confidence_level), 0, 1).tolist())


# Metrics of a confusion matrix


def class_intervals(confusion: IntArray, confidence_level: float) -> dict[str, FloatArray]:
    """Return the interval of each metric of each label.

    The F1 of a label is ``2 * j / (1 + j)``, where ``j`` is the proportion of the images with this
    label, true or predicted, for which it is both.

    Parameters
    ----------
    confusion : ndarray of shape (k, k), int
    confidence_level : float

    Returns
    -------
    dict of str to ndarray of shape (2, k)
        The same names as in ``CLASS_METRICS``; NaN where the metric is undefined.
    """
    n_hits, n_true, n_predicted = hits(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    both = proportion_interval(n_hits, n_true + n_predicted - n_hits, confidence_level)
    return {
        "precision": proportion_interval(n_hits, n_predicted, confidence_level),
        "recall": proportion_interval(n_hits, n_true, confidence_level),
        "f1": 2 * both / (1 + both),
    }


def confusion_intervals(confusion: IntArray, confidence_level: float) -> dict[str, FloatArray]:
    """Return the interval of each overall metric of a confusion matrix.

    Parameters
    ----------
    confusion, confidence_level
        As in :func:`class_intervals`.

    Returns
    -------
    dict of str to ndarray of shape (2,)
        The same names as in ``CONFUSION_METRICS``.

    Notes
    -----
    The intervals of means over labels combine those of the labels (Zou & Donner 2008). Recalls are
    independent of each other; F1s are not, since an error lowers that of two labels. Kappa and the
    weighted F1 follow the accuracy, and so do their intervals; that of the balanced accuracy is at
    least as wide, because the combination is too narrow if each label has few errors.
    """
    n = confusion.sum()
    values = {name: float(metric(confusion)) for name, metric in CONFUSION_METRICS.items()}
    accuracy = proportion_interval(hits(confusion).sum(), n, confidence_level)
    by_chance = (confusion.sum(axis=1) * confusion.sum(axis=0)).sum() / n**2
    by_label = class_intervals(confusion, confidence_level)
    recall, f1 = (CLASS_METRICS[name](confusion) for name in ("recall", "f1"))
    kappa = np.full(2, np.nan)
    if by_chance < 1:
        kappa = (accuracy - by_chance) / (1 - by_chance)
    shifted = {
        name: (values[name] + accuracy - values["accuracy"]).clip(0, 1)
        for name in ("balanced_accuracy", "weighted_f1")
    }
    recalls = _interval_of_mean(recall, by_label["recall"], np.eye(len(recall)))
    ends = recalls, shifted["balanced_accuracy"]
    return {
        "accuracy": accuracy,
        "balanced_accuracy": np.array([np.minimum(*ends)[0], np.maximum(*ends)[1]]),
        "macro_f1": _interval_of_mean(f1, by_label["f1"], _f1_correlation(confusion)),
        "weighted_f1": shifted["weighted_f1"],
        "cohen_kappa": kappa,
    }


def _interval_of_mean(values, ends, correlation):
    """Combine the intervals of several values to one of the mean of those that are defined."""
    defined = ~np.isnan(values)
    correlation = correlation[np.ix_(defined, defined)]
    mean = values[defined].mean()
    below, above = (np.abs(end - values)[defined] / defined.sum() for end in ends)
    halves = [np.sqrt(max(0.0, side @ correlation @ side)) for side in (below, above)]
    return np.array([mean - halves[0], mean + halves[1]])


def _f1_correlation(confusion):
    """Return the correlation of the F1s of the labels, of shape (k, k), by the delta method."""
    # Add half an image, spread over all cells, so that there is an error of every kind.
    smoothed = confusion + 0.5 / confusion.size
    slopes = _slopes(CLASS_METRICS["f1"], smoothed).reshape(-1, len(confusion))
    covariance = slopes.T @ (slopes * smoothed.reshape(-1, 1))
    deviation = np.sqrt(np.diag(covariance))
    deviation[deviation == 0] = 1
    return covariance / np.outer(deviation, deviation)


def _slopes(metric: Callable[[Any], Any], confusion: FloatArray) -> FloatArray:
    """Return the derivative of a metric by the count in each cell, of shape (k, k, ...)."""
    # Row by row: a matrix for each cell would take gigabytes for a hundred labels.
    rows = []
    for row in np.eye(len(confusion)):
        steps = _STEP * row[:, np.newaxis] * np.eye(len(confusion))[:, np.newaxis]
        rows.append((metric(confusion + steps) - metric(confusion - steps)) / (2 * _STEP))
    return np.nan_to_num(np.stack(rows))


def calibration_interval(
    correct: BoolArray, confidence: FloatArray, confidence_level: float
) -> tuple[float, float]:
    """Return the interval of the expected calibration error.

    Parameters
    ----------
    correct : ndarray of shape (n,), bool
    confidence : ndarray of shape (n,), float
    confidence_level : float

    Returns
    -------
    low, high : float

    Notes
    -----
    The error is a sum of absolute values, one for each bin. If a bin is well calibrated, its
    absolute value is noise alone and too high on average, so percentiles of resamples miss the true
    error. But the error is too high by at most the sum of the absolute noise, whose quantiles give
    the lower end. For the upper end, consider the sum with the true sign of each bin instead of
    absolute values. It cannot be higher than the error, and it is a mean, whose standard error
    gives the upper end. The interval is therefore slightly too wide.
    """
    n = len(confidence)
    bins = bin_positions(confidence)
    gaps = confidence - correct
    # The variance if the confidence is correct, in case too few errors were observed.
    expected = confidence * (1 - confidence)
    sums = [np.bincount(bins, each, minlength=N_BINS) for each in (gaps, gaps**2, expected)]
    variance = np.maximum(sums[1] / n - (sums[0] / n) ** 2, sums[2] / n) / n
    error = np.abs(sums[0]).sum() / n
    z = float(ndtri((1 + confidence_level) / 2))
    # The absolute value of a standard normal variable has this mean, and this variance.
    mean_noise, noise_variance = np.sqrt(2 / np.pi), 1 - 2 / np.pi
    noise = mean_noise * np.sqrt(variance).sum() + z * np.sqrt(noise_variance * variance.sum())
    squares = max(sums[1].sum(), sums[2].sum())
    high = error + z * np.sqrt((squares + 1) / (n + 1) / n)
    return float(max(0.0, error - noise)), float(min(1.0, high))


# Differences of two models


def difference_error(metric: Callable[[Any], Any], joint: IntArray) -> float:
    """Return the standard error of the difference of two models in a metric.

    Parameters
    ----------
    metric : callable
        From a confusion matrix, or a stack of them, to numbers.
    joint : ndarray of shape (k, k, k), int
        Number of images by true label, and by the predictions of both models.

    Notes
    -----
    By the delta method. Two images that only one of the models classifies correctly are added
    first, one for each model, as Bonett & Price (2012) do for the difference of two accuracies.
    Otherwise models that agree on all images would differ by 0 with certainty.
    """
    smoothed = joint.astype(float)
    occurring = np.flatnonzero(joint.sum(axis=(1, 2)))
    for label in occurring:
        others = occurring[occurring != label]
        if not len(others):
            others = np.delete(np.arange(len(joint)), label)
        share = 1 / max(1, len(occurring) * len(others))
        smoothed[label, label, others] += share
        smoothed[label, others, label] += share
    first, second = _slopes(metric, smoothed.sum(axis=2)), _slopes(metric, smoothed.sum(axis=1))
    slopes = first[:, :, np.newaxis] - second[:, np.newaxis, :]
    return float(np.sqrt((smoothed * slopes**2).sum()))


def normal_interval(value: float, error: float, confidence_level: float) -> tuple[float, float]:
    """Return the ends of the interval of a value with a normal distribution.

    Parameters
    ----------
    value, error : float
        The estimate and its standard error.
    confidence_level : float
    """
    half = float(ndtri((1 + confidence_level) / 2)) * error
    return value - half, value + half


def two_sided_p(value: float, error: float) -> float:
    """Return the p-value of a value that is 0 on average and has a normal distribution."""
    if error == 0:
        return 1.0 if value == 0 else 0.0
    return float(2 * ndtr(-abs(value) / error))


# Means


def mean_interval(
    values: FloatArray,
    unseen: ArrayLike,
    n_resamples: int,
    confidence_level: float,
    rng: np.random.RandomState,
) -> tuple[float, float, float]:
    """Return the interval of the mean of skewed values, and its p-value.

    By the studentised bootstrap (Efron & Tibshirani 1993, section 12.5): the mean of each resample
    is divided by its own standard error, because for skewed values both vary together. Where the
    normal interval of `values` and `unseen` reaches further, its ends are returned: large values
    may be so rare that none was seen.

    Parameters
    ----------
    values : ndarray of shape (n,), float
    unseen : array-like of float
        Further values that are possible. They count in the standard error, but not in the mean.
    n_resamples : int
    confidence_level : float
    rng : RandomState

    Returns
    -------
    low, high, p_value : float
        The p-value is that of a mean of 0, two-sided.
    """
    mean = float(values.mean())
    error = _smoothed_error(values, mean, unseen)
    low, high = normal_interval(mean, error, confidence_level)
    p_value = two_sided_p(mean, error)
    error = float(_standard_error(values))
    if not error > 0:
        return low, high, p_value
    resampled = _resampled_t(values, mean, error, n_resamples, rng)
    tail = (1 - confidence_level) / 2
    below, above = np.quantile(resampled, [tail, 1 - tail], method="inverted_cdf").tolist()
    low = min(low, mean - above * error if np.isfinite(above) else low)
    high = max(high, mean - below * error if np.isfinite(below) else high)
    # The sample itself counts as a resample, so that no p-value is 0.
    beyond = 1 + min((resampled >= mean / error).sum(), (resampled <= mean / error).sum())
    return low, high, max(p_value, min(1.0, 2 * float(beyond) / (1 + n_resamples)))


def _resampled_t(values, mean, error, n_resamples, rng):
    """Return the error of each resample's mean, in units of its own standard error."""
    resampled = np.empty(n_resamples)
    for start in range(0, n_resamples, _RESAMPLES_AT_A_TIME):
        part = resampled[start : start + _RESAMPLES_AT_A_TIME]
        drawn = values[rng.randint(len(values), size=(len(part), len(values)))]
        apart, errors = drawn.mean(axis=1) - mean, _standard_error(drawn)
        # The error of a resample of equal values is infinite. Rounding must not hide that.
        spreads = errors > 1e-9 * error
        part[:] = np.where(spreads, 1, np.inf) * np.sign(apart)
        np.divide(apart, errors, out=part, where=spreads)
    return resampled


def _smoothed_error(values, mean, unseen):
    """Return the standard error of a mean if values that were not observed are possible too."""
    squares = ((values - mean) ** 2).sum() + ((np.asarray(unseen) - mean) ** 2).sum()
    return float(np.sqrt(squares) / len(values))


def _standard_error(values):
    n = values.shape[-1]
    with np.errstate(invalid="ignore"):
        return values.std(axis=-1, ddof=1) / np.sqrt(n) if n > 1 else np.zeros(values.shape[:-1])
