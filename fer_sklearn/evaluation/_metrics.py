"""Metrics of confusion matrices.

Every metric is a function of confusion matrices, stacked along any leading axes, true
labels in rows and predicted ones in columns. The sample is one such matrix and a thousand
bootstrap resamples are a stack of a thousand, so one function serves both.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from .._utils.validation import check_probabilities, encode_labels

__all__ = [
    "CLASS_METRICS",
    "CONFUSION_METRICS",
    "PROBABILITY_METRICS",
    "CoverageCurve",
    "ImageScores",
    "confusion_counts",
    "coverage_accuracy",
    "coverage_accuracy_curve",
    "image_scores",
    "metrics_of_sums",
    "summands",
]


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
    labels, true = encode_labels(y_true, labels, name="y_true")
    proba = named_columns(y_proba, labels, len(true)).values
    return coverage_accuracy(proba.argmax(axis=1) == true, proba.max(axis=1))


class ReliabilityBins(NamedTuple):
    """Predictions sorted into bins of equal width by confidence; empty bins are left out.

    Each is an ndarray of shape (n_occupied,): the mean confidence, the share that is right,
    and the number of predictions.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray


def bin_positions(confidence, *, n_bins=15):
    """Return the bin of each confidence.

    Parameters
    ----------
    confidence : array-like of shape (n,), float
        In [0, 1].
    n_bins : int, default=15
        Bins of equal width between 0 and 1, each open below and closed above, as Guo et al.
        (2017) have them.

    Returns
    -------
    ndarray of shape (n,), int
        From 0 to ``n_bins - 1``.
    """
    edges = np.linspace(0, 1, n_bins + 1)
    return np.searchsorted(edges[1:-1], confidence, side="left")


def reliability_bins(correct, confidence, *, n_bins=15):
    """Sort predictions by their confidence, and see how many of each bin are right.

    Parameters
    ----------
    correct : array-like of shape (n,), bool
        Whether each prediction is right.
    confidence : array-like of shape (n,), float
        Its probability, in [0, 1].
    n_bins : int, default=15
        As in :func:`bin_positions`.

    Returns
    -------
    ReliabilityBins
    """
    correct, confidence = np.asarray(correct, dtype=float), np.asarray(confidence, dtype=float)
    place = bin_positions(confidence, n_bins=n_bins)
    count = np.bincount(place, minlength=n_bins)
    occupied = count > 0
    sums = (np.bincount(place, values, minlength=n_bins) for values in (confidence, correct))
    means = (total[occupied] / count[occupied] for total in sums)
    return ReliabilityBins(*means, count[occupied])


def expected_calibration_error(bins):
    """Return the mean distance of confidence and accuracy, weighted by the bins' counts.

    Parameters
    ----------
    bins : ReliabilityBins

    Returns
    -------
    float
        From 0 to 1; 0 is perfect (Naeini et al. 2015; Guo et al. 2017, arXiv:1706.04599).
    """
    return float(np.average(np.abs(bins.confidence - bins.accuracy), weights=bins.count))


class Probabilities(NamedTuple):
    """Checked probabilities of shape (n, n_columns), and the label of each column.

    `epsilon` is how near to 0 and 1 they are told apart in the precision they came in.
    """

    values: np.ndarray
    classes: np.ndarray
    epsilon: float


def named_columns(y_proba, labels, n_samples):
    """Check probabilities whose columns are `labels`.

    Parameters
    ----------
    y_proba : array-like of shape (n_samples, k)
    labels : ndarray of shape (k,)
    n_samples : int

    Returns
    -------
    Probabilities

    Raises
    ------
    ValueError
        If there is not one column a label, or if the rows are no probabilities.
    """
    y_proba = np.asarray(y_proba)
    if y_proba.ndim == 2 and y_proba.shape[1] != len(labels):
        raise ValueError(
            f"y_proba has {y_proba.shape[1]} column(s) for {len(labels)} label(s), "
            f"{', '.join(map(repr, labels.tolist()))}; expected a column for each, in this "
            f"order. Name the label of every column in labels=, such as "
            f"labels=estimator.classes_."
        )
    return checked_probabilities(y_proba, labels, n_samples, "y_proba")


def true_columns(labels, true, classes):
    """Return, for each image, the column of its true label among the classes.

    Parameters
    ----------
    labels : ndarray of shape (k,)
    true : ndarray of shape (n,), int
        Positions in `labels`.
    classes : ndarray of shape (n_columns,)

    Returns
    -------
    ndarray of shape (n,), int
        -1 for a label that is no class.
    """
    place = {label: column for column, label in enumerate(classes.tolist())}
    return np.array([place.get(label, -1) for label in labels.tolist()])[true]


def checked_probabilities(proba, classes, n_samples, name):
    # Zeros of single precision cost a smaller logarithm, in scikit-learn's log_loss too.
    single = np.asarray(proba).dtype == np.float32
    return Probabilities(
        check_probabilities(proba, n_samples, len(classes), name=name),
        classes,
        float(np.finfo(np.float32 if single else np.float64).eps),
    )
