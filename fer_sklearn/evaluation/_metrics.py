"""Metrics of confusion matrices and of predicted probabilities.

Metrics of a confusion matrix also take a stack of them, along any leading axes: the intervals
differentiate them by the count in each cell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .._utils.typing import ArrayLike, BoolArray, FloatArray, IntArray, LabelArray
from .._utils.validation import check_probabilities, encode_labels

__all__ = [
    "CLASS_METRICS",
    "CONFUSION_METRICS",
    "N_BINS",
    "PROBABILITY_METRICS",
    "CoverageCurve",
    "ImageScores",
    "Probabilities",
    "ReliabilityBins",
    "accuracy_coverage_curve",
    "bin_positions",
    "checked_probabilities",
    "confusion_counts",
    "coverage_curve",
    "hits",
    "image_scores",
    "label_columns",
    "probabilities_of_labels",
    "reliability_bins",
]

#: Bins of confidence behind the expected calibration error, everywhere.
N_BINS = 15


# Confusion matrices


def confusion_counts(true: IntArray, predicted: IntArray, n_labels: int) -> IntArray:
    """Count the images with each pair of true and predicted labels.

    Parameters
    ----------
    true, predicted : ndarray of shape (n,), int
        Positions in the list of labels.
    n_labels : int

    Returns
    -------
    ndarray of shape (n_labels, n_labels), int
        True labels in rows, predicted ones in columns.
    """
    cells = np.bincount(true * n_labels + predicted, minlength=n_labels**2)
    return cells.reshape(n_labels, n_labels)


def _precision(confusion):
    return _ratio(hits(confusion), confusion.sum(axis=-2))


def _recall(confusion):
    return _ratio(hits(confusion), confusion.sum(axis=-1))


def _f1(confusion):
    return _ratio(2 * hits(confusion), confusion.sum(axis=-1) + confusion.sum(axis=-2))


def _accuracy(confusion):
    return _ratio(hits(confusion).sum(axis=-1), confusion.sum(axis=(-2, -1)))


def _balanced_accuracy(confusion):
    return _mean_of_defined(_recall(confusion))


def _macro_f1(confusion):
    return _mean_of_defined(_f1(confusion))


def _weighted_f1(confusion):
    support = confusion.sum(axis=-1)
    return np.nansum(support * _f1(confusion), axis=-1) / support.sum(axis=-1)


def _cohen_kappa(confusion):
    n = confusion.sum(axis=(-2, -1))
    n_hits = hits(confusion).sum(axis=-1)
    # n² times the accuracy expected by chance: labels drawn at random, with their frequencies.
    by_chance = (confusion.sum(axis=-1) * confusion.sum(axis=-2)).sum(axis=-1)
    return _ratio(n * n_hits - by_chance, n**2 - by_chance)


def hits(confusion: Any) -> Any:
    """Return the diagonal: the number of images of each label that are classified correctly."""
    return np.diagonal(confusion, axis1=-2, axis2=-1)


def _ratio(part, whole):
    """Divide, with NaN where the denominator is 0."""
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def _mean_of_defined(values):
    defined = ~np.isnan(values)
    return values.sum(axis=-1, where=defined) / defined.sum(axis=-1)


# Stack (..., k, k) -> (...). To add a metric of the confusion matrix, add a line here.
CONFUSION_METRICS: dict[str, Callable[[Any], Any]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "macro_f1": _macro_f1,
    "weighted_f1": _weighted_f1,
    "cohen_kappa": _cohen_kappa,
}

# Stack (..., k, k) -> (..., k).
CLASS_METRICS: dict[str, Callable[[Any], Any]] = {
    "precision": _precision,
    "recall": _recall,
    "f1": _f1,
}


# Probabilities and their columns


class Probabilities(NamedTuple):
    """Checked probabilities of shape (n, n_columns), and the label of each column.

    `epsilon` is the smallest distance from 0 and 1 that the precision of the original array can
    represent.
    """

    values: FloatArray
    classes: LabelArray
    epsilon: float


def checked_probabilities(
    y_proba: ArrayLike, classes: LabelArray, n_samples: int, name: str
) -> Probabilities:
    """Check probabilities; `name` identifies them in error messages.

    Raises
    ------
    ValueError
        If the shape is not ``(n_samples, len(classes))``, or the rows are not probabilities.
    """
    # Zeros in single precision have a smaller logarithm, in scikit-learn's log_loss too.
    single = np.asarray(y_proba).dtype == np.float32
    return Probabilities(
        check_probabilities(y_proba, n_samples, classes=classes, name=name),
        classes,
        float(np.finfo(np.float32 if single else np.float64).eps),
    )


def probabilities_of_labels(
    y_proba: ArrayLike, labels: LabelArray, n_samples: int
) -> Probabilities:
    """Check the parameter `y_proba`, whose columns are `labels`.

    Parameters
    ----------
    y_proba : array-like of shape (n_samples, k)
    labels : ndarray of shape (k,)
    n_samples : int

    Raises
    ------
    ValueError
        If there is not one column per label, or the rows are not probabilities.
    """
    shape = np.shape(y_proba)
    if len(shape) == 2 and shape[1] != len(labels):
        raise ValueError(
            f"y_proba has {shape[1]} column(s) for {len(labels)} label(s), "
            f"{', '.join(map(repr, labels.tolist()))}; expected a label for each column. Pass "
            f"labels=, in the order of the columns, such as labels=estimator.classes_."
        )
    return checked_probabilities(y_proba, labels, n_samples, "y_proba")


def label_columns(labels: LabelArray, true: IntArray, classes: LabelArray) -> IntArray:
    """Return the column of the true label of each image among the classes.

    Parameters
    ----------
    labels : ndarray of shape (k,)
    true : ndarray of shape (n,), int
        Positions in `labels`.
    classes : ndarray of shape (n_columns,)

    Returns
    -------
    ndarray of shape (n,), int
        -1 for a label that is not a class.
    """
    place = {label: column for column, label in enumerate(classes.tolist())}
    return np.array([place.get(label, -1) for label in labels.tolist()])[true]


# Metrics of probabilities


class ImageScores(NamedTuple):
    """Scores of the probabilities of each image, independent of the predicted label.

    Attributes
    ----------
    top_2 : ndarray of shape (n,), bool
        Whether the true label is among the two most probable ones.
    log_loss : ndarray of shape (n,), float64
        Negative natural logarithm of the probability of the true label.
    confidence : ndarray of shape (n,), float64
        The highest probability, in [0, 1].
    correct : ndarray of shape (n,), bool
        Whether the most probable label is the true one.
    other_log_loss : ndarray of shape (n,), float64
        What the log loss would be if another label were the true one: the mean over the others,
        weighted by their probabilities.
    """

    top_2: BoolArray
    log_loss: FloatArray
    confidence: FloatArray
    correct: BoolArray
    other_log_loss: FloatArray


def image_scores(y_proba: FloatArray, true_column: IntArray, *, epsilon: float) -> ImageScores:
    """Score the probabilities of each image.

    Parameters
    ----------
    y_proba : ndarray of shape (n, n_columns), float64
        Rows that sum to one.
    true_column : ndarray of shape (n,), int
        Column of the true label; -1 for a label without a column, whose probability is 0.
    epsilon : float
        Probabilities are clipped to ``[epsilon, 1 - epsilon]`` before the logarithm.
    """
    columns = np.arange(y_proba.shape[1])
    own = true_column[:, np.newaxis]
    probability = np.where(own >= 0, np.take_along_axis(y_proba, own, axis=1), 0)
    # Among equal probabilities, scikit-learn's top_k_accuracy_score ranks the last column first.
    ahead = (y_proba > probability) | ((y_proba == probability) & (columns > own))
    clipped = y_proba.clip(epsilon, 1 - epsilon)
    others = clipped * (columns != own)
    losses = -(others * np.log(clipped)).sum(axis=1)
    return ImageScores(
        top_2=ahead.sum(axis=1) < 2,
        log_loss=-np.log(probability[:, 0].clip(epsilon, 1 - epsilon)),
        confidence=y_proba.max(axis=1),
        correct=y_proba.argmax(axis=1) == true_column,
        other_log_loss=losses / others.sum(axis=1).clip(epsilon),
    )


# To add a metric of probabilities, add a line here, and its interval in _evaluate.py.
PROBABILITY_METRICS: dict[str, Callable[[ImageScores], float]] = {
    "top_2_accuracy": lambda scores: float(scores.top_2.mean()),
    "log_loss": lambda scores: float(scores.log_loss.mean()),
    "expected_calibration_error": lambda scores: (
        reliability_bins(scores.correct, scores.confidence).expected_calibration_error
    ),
}


# Bins of confidence


class ReliabilityBins(NamedTuple):
    """Predictions in bins of equal width by confidence; empty bins are left out.

    Attributes
    ----------
    confidence : ndarray of shape (n_occupied,), float64
        Mean confidence of each bin, in [0, 1].
    accuracy : ndarray of shape (n_occupied,), float64
        Fraction of correct predictions, in [0, 1].
    n_predictions : ndarray of shape (n_occupied,), int
        Number of predictions.
    """

    confidence: FloatArray
    accuracy: FloatArray
    n_predictions: IntArray

    @property
    def expected_calibration_error(self) -> float:
        """Mean distance between confidence and accuracy, weighted by the predictions in each bin.

        From 0 to 1; 0 is perfect (Naeini et al. 2015; Guo et al. 2017, arXiv:1706.04599).
        """
        gaps = np.abs(self.confidence - self.accuracy)
        return float(np.average(gaps, weights=self.n_predictions))


def bin_positions(confidence: ArrayLike, *, n_bins: int = N_BINS) -> IntArray:
    """Return the bin of each confidence.

    Parameters
    ----------
    confidence : array-like of shape (n,), float
        In [0, 1].
    n_bins : int, default=15
        Number of bins of equal width between 0 and 1, open below and closed above, as in Guo
        et al. (2017).

    Returns
    -------
    ndarray of shape (n,), int
        From 0 to ``n_bins - 1``.
    """
    edges = np.linspace(0, 1, n_bins + 1)
    return np.searchsorted(edges[1:-1], confidence, side="left")


def reliability_bins(
    correct: ArrayLike, confidence: ArrayLike, *, n_bins: int = N_BINS
) -> ReliabilityBins:
    """Group predictions by confidence and compute the accuracy of each bin.

    Parameters
    ----------
    correct : array-like of shape (n,), bool
        Whether each prediction is correct.
    confidence : array-like of shape (n,), float
        Its probability, in [0, 1].
    n_bins : int, default=15
        As in :func:`bin_positions`.
    """
    correct, confidence = np.asarray(correct, dtype=float), np.asarray(confidence, dtype=float)
    place = bin_positions(confidence, n_bins=n_bins)
    size = np.bincount(place, minlength=n_bins)
    occupied = size > 0
    mean_confidence, accuracy = (
        np.bincount(place, values, minlength=n_bins)[occupied] / size[occupied]
        for values in (confidence, correct)
    )
    return ReliabilityBins(mean_confidence, accuracy, size[occupied])


# Coverage


class CoverageCurve(NamedTuple):
    """Coverage and accuracy of the predictions kept at every threshold of confidence.

    Attributes
    ----------
    threshold : ndarray of shape (n_thresholds,), float64
        The confidences that occur, ascending; predictions below a threshold are rejected.
    coverage : ndarray of shape (n_thresholds,), float64
        Fraction of the images that is kept, in (0, 1], descending from 1.
    accuracy : ndarray of shape (n_thresholds,), float64
        Accuracy on the images that are kept, in [0, 1].
    """

    threshold: FloatArray
    coverage: FloatArray
    accuracy: FloatArray

    @property
    def aurc(self) -> float:
        """Area under the risk-coverage curve, in [0, 1]; 0 is perfect.

        The mean risk, ``1 - accuracy``, over the coverages ``1/n`` to 1 (Geifman, Uziel & El-Yaniv
        2019, arXiv:1805.08206). Images of equal confidence are kept together, so each of them
        counts with the risk of the whole tie.
        """
        fraction = -np.diff(self.coverage, append=0)
        return float(fraction @ (1 - self.accuracy))


def coverage_curve(correct: ArrayLike, confidence: ArrayLike) -> CoverageCurve:
    """Return coverage and accuracy for every threshold of confidence.

    Parameters
    ----------
    correct : array-like of shape (n,), bool
        Whether each prediction is correct; n is at least 1.
    confidence : array-like of shape (n,), float
        The confidence of each; images of equal confidence are kept or rejected together.

    Returns
    -------
    CoverageCurve
        A point for each confidence that occurs, starting with the one that keeps every image.

    Examples
    --------
    >>> curve = coverage_curve([True, False, True], [0.9, 0.5, 0.5])
    >>> curve.coverage.round(2), curve.accuracy.round(2)
    (array([1.  , 0.33]), array([0.67, 1.  ]))
    >>> round(curve.aurc, 3)
    0.222
    """
    threshold, tie = np.unique(np.asarray(confidence, dtype=float), return_inverse=True)
    sizes = np.bincount(tie)
    hits = np.bincount(tie, np.asarray(correct, dtype=float))
    # From each threshold upwards: cumulative sums from the most confident tie down.
    kept, n_correct = (np.cumsum(values[::-1])[::-1] for values in (sizes, hits))
    return CoverageCurve(threshold, kept / kept[0], n_correct / kept)


def accuracy_coverage_curve(
    y_true: ArrayLike, y_proba: ArrayLike, *, labels: ArrayLike | None = None
) -> CoverageCurve:
    """Compute the accuracy of a classifier that may abstain, at every coverage.

    Each image is given its most probable label, or rejected if that probability is below a
    threshold. The higher the threshold, the fewer images are kept, and the more accurate the
    predictions for them should be.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels.
    y_proba : array-like of shape (n_samples, n_labels)
        Probability of each label; each row sums to 1.
    labels : array-like of shape (n_labels,), default=None
        Labels of the columns, such as ``estimator.classes_``. If None, the sorted labels that
        occur.

    Returns
    -------
    CoverageCurve
        ``threshold``, ``coverage`` and ``accuracy``, each an ndarray of shape
        (n_thresholds,), with a point for each confidence that occurs: images of equal
        confidence are kept together. Coverage descends from 1. ``aurc`` is the area under the
        risk-coverage curve, 0 for a classifier without errors.

    Raises
    ------
    ValueError
        If labels are missing, empty or not among `labels`, or if the rows of `y_proba` are not
        probabilities or differ in number from the labels.

    Notes
    -----
    Risk is ``1 - accuracy``; the curve is that of El-Yaniv & Wiener (2010), the area that of
    Geifman, Uziel & El-Yaniv (2019, arXiv:1805.08206).

    Examples
    --------
    >>> curve = accuracy_coverage_curve(
    ...     ["happy", "sad", "sad"], [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]
    ... )
    >>> curve.threshold
    array([0.6, 0.8, 0.9])
    >>> curve.coverage.round(2), curve.accuracy.round(2)
    (array([1.  , 0.67, 0.33]), array([0.67, 1.  , 1.  ]))
    >>> round(curve.aurc, 3)
    0.111
    """
    known, true = encode_labels(y_true, labels, name="y_true")
    proba = probabilities_of_labels(y_proba, known, len(true)).values
    return coverage_curve(proba.argmax(axis=1) == true, proba.max(axis=1))
