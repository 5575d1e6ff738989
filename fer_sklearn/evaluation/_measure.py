"""From labels and probabilities, checked and numbered, to a report."""

import numpy as np
from sklearn.utils import check_random_state

from ._answers import true_columns
from ._metrics import CLASS_METRICS, CONFUSION_METRICS, confusion_counts
from ._probabilistic import PROBABILITY_METRICS, image_scores, metrics_of_sums, summands
from ._report import Estimate, EvaluationReport
from ._resampling import percentile_interval, resampled_confusions, resampled_sums

__all__ = ["measure"]

_UNDEFINED = Estimate(np.nan, np.nan, np.nan)


def measure(encoded, probabilities, *, n_resamples, confidence_level, random_state):
    """Make the report.

    Parameters
    ----------
    encoded : tuple (labels, true, predicted)
        As ``encode_labels`` returns them.
    probabilities : Probabilities or None
    n_resamples, confidence_level, random_state
        As in :func:`evaluate`.

    Returns
    -------
    EvaluationReport
    """
    labels, true, predicted = encoded
    rng = check_random_state(random_state)
    confusion = confusion_counts(true, predicted, len(labels))
    confusions = resampled_confusions(confusion, n_resamples, rng)
    scores = _scores(labels, true, probabilities)
    return EvaluationReport(
        labels=labels,
        overall={
            name: _estimate(metric(confusion), metric(confusions), confidence_level)
            for name, metric in CONFUSION_METRICS.items()
        }
        | _of_probabilities(scores, n_resamples, confidence_level, rng),
        per_emotion=_of_each_label(labels, confusion, confusions, confidence_level),
        support=confusion.sum(axis=1),
        confusion_matrix=confusion,
        confusion_interval=percentile_interval(confusions, confidence_level),
        n_resamples=int(n_resamples),
        confidence_level=float(confidence_level),
        y_true=_small(true, labels),
        y_pred=_small(predicted, labels),
        scores=scores,
    )


def _scores(labels, true, probabilities):
    if probabilities is None:
        return None
    columns = true_columns(labels, true, probabilities.classes)
    return image_scores(probabilities.values, columns, epsilon=probabilities.epsilon)


def _of_probabilities(scores, n_resamples, confidence_level, rng):
    if scores is None:
        return dict.fromkeys(PROBABILITY_METRICS, _UNDEFINED)
    each = summands(scores)
    n = each.shape[0]
    values = metrics_of_sums(each.sum(axis=0), n)
    resampled = metrics_of_sums(resampled_sums(each, n_resamples, rng), n)
    return {
        name: _estimate(value, resampled[name], confidence_level) for name, value in values.items()
    }


def _of_each_label(labels, confusion, confusions, confidence_level):
    found = {label: {} for label in labels.tolist()}
    for name, metric in CLASS_METRICS.items():
        values, resampled = metric(confusion), metric(confusions)
        for label, value, column in zip(found, values, resampled.T, strict=True):
            found[label][name] = _estimate(value, column, confidence_level)
    return found


def _estimate(value, resampled, confidence_level):
    ends = percentile_interval(resampled, confidence_level)
    return Estimate(float(value), *ends.tolist())


def _small(positions, labels):
    return positions.astype(np.min_scalar_type(len(labels) - 1))
