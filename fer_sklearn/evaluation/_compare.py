"""Whether models differ: on the same images, resampled alike."""

from itertools import combinations

import numpy as np
from scipy.sparse import csr_array, hstack
from sklearn.utils import check_random_state

from .._utils.compat import validate_params
from ._comparison import Comparison, PairedDifference, PairedTest
from ._evaluate import RESAMPLING
from ._metrics import CONFUSION_METRICS
from ._probabilistic import metrics_of_sums, summands
from ._report import EvaluationReport
from ._resampling import percentile_interval, resampled_sums

__all__ = ["compare"]


@validate_params(RESAMPLING, prefer_skip_nested_validation=True)
def compare(reports, *, n_resamples=1000, confidence_level=0.95, random_state=0):
    """Say whether models differ that were evaluated on the same images.

    Parameters
    ----------
    reports : mapping of str to EvaluationReport, or list of them
        At least two, all of the same images in the same order and with the same labels. Those
        of a list are called "model 1", "model 2" and so on.
    n_resamples : int, default=1000
        Bootstrap resamples of the images, the same for all models. No p-value of the
        bootstrap is below ``2 / (n_resamples + 1)``.
    confidence_level : float, default=0.95
        Share of the resamples that an interval spans, in (0, 1). Models are said to differ
        where a p-value is at most ``1 - confidence_level``.
    random_state : int, RandomState instance or None, default=0
        Seed of the resampling.

    Returns
    -------
    Comparison
        Says in words whether each two models differ; holds every difference.

    Raises
    ------
    TypeError
        If `reports` holds anything but reports.
    ValueError
        If there are fewer than two, or if they are of other images or labels. Only labels can
        be compared: that the images behind them are the same is for the caller to see to.

    See Also
    --------
    evaluate : Makes a report.

    Notes
    -----
    McNemar's test (1947) looks at the images that one of two models is right on and the other
    wrong, and asks whether these are split unevenly; here by the exact binomial distribution.
    Dietterich (1998) recommends it where each model was trained once. For every number, the
    difference is resampled with the same images for both models; its p-value is the level at
    which the percentile interval would touch 0 (Efron & Tibshirani 1993, section 15.4).

    With more than two models, p-values are corrected over all pairs, one number at a time
    (Holm 1979). They are not corrected over the numbers: judge by one chosen beforehand.
    Neither test knows how far another training run would have led.

    Examples
    --------
    >>> from fer_sklearn.evaluation import evaluate_predictions
    >>> truth = ["happy", "sad"] * 20
    >>> good = evaluate_predictions(truth, truth)
    >>> poor = evaluate_predictions(truth, ["happy"] * 40)
    >>> for sentence in compare({"good": good, "poor": poor}).verdicts:
    ...     print(sentence)
    good and poor differ in accuracy: 100.0 % and 50.0 % of 40 images (difference +0.500, 95 %
    interval +0.350 to +0.650; McNemar's p < 0.001).
    """
    reports = _named(reports)
    _check_alike(reports)
    rng = check_random_state(random_state)
    resampled = _resampled_overall(reports, n_resamples, rng)
    pairs = list(combinations(reports, 2))
    differences = [
        difference
        for pair in pairs
        for difference in _differences(pair, reports, resampled, confidence_level)
    ]
    tests = [_mcnemar(pair, reports) for pair in pairs]
    return Comparison(
        names=tuple(reports),
        differences=_corrected_by_metric(differences),
        tests=_corrected(tests),
        n_samples=next(iter(reports.values())).n_samples,
        n_resamples=int(n_resamples),
        confidence_level=float(confidence_level),
    )


def _named(reports):
    if isinstance(reports, (list, tuple)):
        reports = {f"model {number}": report for number, report in enumerate(reports, start=1)}
    try:
        reports = {str(name): report for name, report in reports.items()}
    except AttributeError:
        raise TypeError(
            f"reports is {type(reports).__name__}; expected a mapping of names to reports, or a "
            f"list of reports."
        ) from None
    for name, report in reports.items():
        if not isinstance(report, EvaluationReport):
            raise TypeError(
                f"reports[{name!r}] is {type(report).__name__}; expected an EvaluationReport, as "
                f"evaluate and evaluate_predictions return it."
            )
    if len(reports) < 2:
        raise ValueError(f"reports holds {len(reports)} report(s); expected at least two.")
    return reports


def _check_alike(reports):
    (name, report), *others = reports.items()
    for other_name, other in others:
        between = f"reports {name!r} and {other_name!r}"
        if not np.array_equal(report.labels, other.labels):
            raise ValueError(
                f"{between} are of different labels, {report.labels.tolist()} and "
                f"{other.labels.tolist()}; expected the same in the same order. Give both the "
                f"same labels=."
            )
        if report.n_samples != other.n_samples:
            raise ValueError(
                f"{between} are of {report.n_samples} and {other.n_samples} images; expected the "
                f"same images in the same order."
            )
        unlike = report.y_true != other.y_true
        if unlike.any():
            first = int(unlike.argmax())
            label, other_label = (r.labels[r.y_true[first]].item() for r in (report, other))
            raise ValueError(
                f"{between} are of different images: {unlike.sum()} of {len(unlike)} true labels "
                f"differ, such as that of image {first}, {label!r} and {other_label!r}; expected "
                f"the same images in the same order."
            )


def _resampled_overall(reports, n_resamples, rng):
    """Return, for each name, each overall metric of every resample."""
    columns = {name: _columns(report) for name, report in reports.items()}
    sums = resampled_sums(hstack(list(columns.values())), n_resamples, rng)
    ends = np.cumsum([each.shape[1] for each in columns.values()])[:-1]
    return {
        name: _metrics(report, part)
        for (name, report), part in zip(reports.items(), np.split(sums, ends, axis=1), strict=True)
    }


def _columns(report):
    """Return what the metrics need of each image: its cell, and what its probabilities say."""
    k = len(report.labels)
    n = report.n_samples
    places = report.y_true.astype(int) * k + report.y_pred
    cells = csr_array((np.ones(n), places, np.arange(n + 1)), shape=(n, k * k))
    return cells if report.scores is None else hstack([cells, summands(report.scores)])


def _metrics(report, sums):
    k = len(report.labels)
    confusions = sums[:, : k * k].reshape(-1, k, k)
    found = {name: metric(confusions) for name, metric in CONFUSION_METRICS.items()}
    if report.scores is not None:
        found |= metrics_of_sums(sums[:, k * k :], report.n_samples)
    return found


def _differences(pair, reports, resampled, confidence_level):
    """Yield the difference of two models in every metric that is known of both."""
    first, second = pair
    for metric in resampled[first]:
        if metric in resampled[second]:
            values = [reports[name].overall[metric].value for name in pair]
            apart = resampled[first][metric] - resampled[second][metric]
            ends = percentile_interval(apart, confidence_level)
            p_value = _bootstrap_p(apart)
            yield PairedDifference(
                *pair, metric, *values, values[0] - values[1], *ends.tolist(), p_value, p_value
            )


def _bootstrap_p(apart):
    """Return the two-sided p-value of resampled differences; NaN where none is defined."""
    apart = apart[~np.isnan(apart)]
    if not len(apart):
        return float("nan")
    # The sample itself counts as a resample, so that no p-value is 0.
    beyond = 1 + min((apart <= 0).sum(), (apart >= 0).sum())
    return float(min(1, 2 * beyond / (1 + len(apart))))


def _mcnemar(pair, reports):
    from scipy.stats import binomtest

    right, other_right = (reports[name].y_true == reports[name].y_pred for name in pair)
    only = int((right & ~other_right).sum())
    other_only = int((~right & other_right).sum())
    n = only + other_only
    p_value = float(binomtest(only, n).pvalue) if n else 1.0
    return PairedTest(*pair, only, other_only, p_value, p_value)


def _corrected_by_metric(differences):
    corrected = {}
    for metric in dict.fromkeys(difference.metric for difference in differences):
        family = [difference for difference in differences if difference.metric == metric]
        corrected |= {(d.first, d.second, metric): d for d in _corrected(family)}
    return [corrected[d.first, d.second, d.metric] for d in differences]


def _corrected(family):
    """Return comparisons of one kind with their p-values corrected as Holm (1979) does it."""
    defined = sorted(
        (item for item in family if not np.isnan(item.p_value)), key=lambda item: item.p_value
    )
    corrected, at_least = {}, 0.0
    for rank, item in enumerate(defined):
        at_least = max(at_least, min(1.0, (len(defined) - rank) * item.p_value))
        corrected[item.first, item.second] = at_least
    return [
        item._replace(p_holm=corrected.get((item.first, item.second), item.p_value))
        for item in family
    ]
