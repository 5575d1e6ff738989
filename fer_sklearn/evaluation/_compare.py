"""Paired comparison of models on the same images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from .._utils.compat import validate_params
from .._utils.tables import TabularReport, heading, interval, number, p_text
from .._utils.typing import RandomState
from ._evaluate import RESAMPLING
from ._intervals import difference_error, mean_interval, normal_interval, two_sided_p
from ._metrics import CONFUSION_METRICS, PROBABILITY_METRICS, confusion_counts
from ._report import EvaluationReport, interval_name

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Comparison", "PairedDifference", "PairedTest", "compare"]


class PairedDifference(NamedTuple):
    """Difference of two models in one metric, on the same images.

    Attributes
    ----------
    first, second : str
        The models.
    metric : str
        As in ``EvaluationReport.overall``.
    first_value, second_value : float
        The metric of each model.
    value : float
        ``first_value - second_value``. Higher metrics are better, except for ``"log_loss"`` and
        ``"expected_calibration_error"``.
    low, high : float
        Ends of its interval; NaN for ``"expected_calibration_error"``.
    p_value : float
        Two-sided; NaN for ``"expected_calibration_error"``.
    p_holm : float
        The same, corrected for the number of pairs.
    """

    first: str
    second: str
    metric: str
    first_value: float
    second_value: float
    value: float
    low: float
    high: float
    p_value: float
    p_holm: float


class PairedTest(NamedTuple):
    """McNemar's exact test of the accuracy of two models.

    Attributes
    ----------
    first, second : str
        The models.
    first_only, second_only : int
        Number of images that only this model predicts correctly.
    p_value : float
        Two-sided.
    p_holm : float
        The same, corrected for the number of pairs.
    """

    first: str
    second: str
    first_only: int
    second_only: int
    p_value: float
    p_holm: float


@dataclass(frozen=True, repr=False, eq=False)
class Comparison(TabularReport):
    """Result of :func:`compare`; prints as sentences and aligned tables.

    Attributes
    ----------
    names : tuple of str
        The models.
    differences : list of PairedDifference
        One for each pair of models and each overall metric that both have.
    tests : list of PairedTest
        One for each pair.
    n_samples : int
        Number of images.
    n_resamples : int
        Number of bootstrap resamples behind the interval of the difference in log loss.
    confidence_level : float
        Probability with which each interval contains the true difference.
    """

    names: tuple[str, ...]
    differences: list[PairedDifference]
    tests: list[PairedTest]
    n_samples: int
    n_resamples: int
    confidence_level: float

    @property
    def verdicts(self) -> list[str]:
        """A sentence for each pair, in the order of `tests`.

        Two models differ in accuracy if McNemar's corrected p-value is at most
        ``1 - confidence_level``. If it is higher, the sentence lists the other metrics whose
        corrected p-value is at most that.
        """
        return [self._verdict(test) for test in self.tests]

    def to_frame(self) -> pd.DataFrame:
        """Return the differences as a tidy table.

        Returns
        -------
        pandas.DataFrame
            One row per pair and metric, with the fields of :class:`PairedDifference` and, in
            the rows of accuracy, McNemar's ``mcnemar_p`` and ``mcnemar_p_holm``; NaN elsewhere.
        """
        import pandas as pd

        exact = {(t.first, t.second): (t.p_value, t.p_holm) for t in self.tests}
        rows = [
            (*d, *(exact[d.first, d.second] if d.metric == "accuracy" else (math.nan, math.nan)))
            for d in self.differences
        ]
        columns = [*PairedDifference._fields, "mcnemar_p", "mcnemar_p_holm"]
        return pd.DataFrame(rows, columns=columns)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as nested dictionaries and lists of plain Python values.

        Returns
        -------
        dict
        """
        return {
            "names": list(self.names),
            "n_samples": self.n_samples,
            "n_resamples": self.n_resamples,
            "confidence_level": self.confidence_level,
            "verdicts": self.verdicts,
            "differences": [difference._asdict() for difference in self.differences],
            "mcnemar": [test._asdict() for test in self.tests],
        }

    def _headline(self):
        return (
            f"{len(self.names)} models on the same {self.n_samples} images; "
            f"{interval_name(self.confidence_level)}s"
        )

    def _sentences(self):
        return self.verdicts

    def _of_pair(self, test):
        pair = (test.first, test.second)
        return [d for d in self.differences if (d.first, d.second) == pair]

    def _verdict(self, test):
        accuracy, *others = self._of_pair(test)
        alpha = 1 - self.confidence_level
        values = " and ".join(
            f"{100 * value:.1f} %" for value in (accuracy.first_value, accuracy.second_value)
        )
        ends = f"{interval_name(self.confidence_level)} {interval(accuracy, signed=True)}"
        p_value = _with_relation(test.p_holm)
        found = (
            f"{values} of {self.n_samples} images (difference "
            f"{number(accuracy.value, signed=True)}, {ends}; McNemar's p {p_value}"
            f"{', corrected for the number of pairs' if len(self.tests) > 1 else ''})."
        )
        if test.p_holm <= alpha:
            return f"{test.first} and {test.second} differ in accuracy: {found}"
        sentence = f"{test.first} and {test.second}: no significant difference in accuracy: {found}"
        apart = [heading(d.metric) for d in others if d.p_holm <= alpha]
        return f"{sentence} But they differ in {_listed(apart)}." if apart else sentence

    def _tables(self):
        """Return (caption, header, rows) of each pair, and of McNemar's tests."""
        name_of_interval = interval_name(self.confidence_level)
        p_names = ("p", "p (Holm)") if len(self.tests) > 1 else ("p",)

        def p_values(item):
            return [p_text(p) for p in ((item.p_value, item.p_holm)[: len(p_names)])]

        tables = [
            (
                f"{test.first} against {test.second}",
                ("metric", test.first, test.second, "difference", name_of_interval, *p_names),
                [
                    (
                        heading(d.metric),
                        number(d.first_value),
                        number(d.second_value),
                        number(d.value, signed=True),
                        interval(d, signed=True),
                        *p_values(d),
                    )
                    for d in self._of_pair(test)
                ],
            )
            for test in self.tests
        ]
        rows = [
            (
                f"{test.first} against {test.second}",
                str(test.first_only),
                str(test.second_only),
                *p_values(test),
            )
            for test in self.tests
        ]
        header = ("models", "only the first correct", "only the second correct", *p_names)
        return [*tables, ("McNemar's exact test of accuracy", header, rows)]


@validate_params(RESAMPLING, prefer_skip_nested_validation=True)
def compare(
    reports: Mapping[str, EvaluationReport] | Sequence[EvaluationReport],
    *,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    random_state: RandomState = 0,
) -> Comparison:
    """Test whether models that were evaluated on the same images differ.

    Parameters
    ----------
    reports : mapping of str to EvaluationReport, or list of them
        At least two, all of the same images in the same order and with the same labels. Those
        of a list are called "model 1", "model 2" and so on.
    n_resamples : int, default=1000
        Number of bootstrap resamples behind the interval and the p-value of the log loss, which is
        not below ``2 / (n_resamples + 1)``.
    confidence_level : float, default=0.95
        Probability with which an interval contains the true difference, in (0, 1). A difference
        counts as significant if its p-value is at most ``1 - confidence_level``.
    random_state : int, RandomState instance or None, default=0
        Seed of the resampling.

    Returns
    -------
    Comparison
        States in words whether the models of each pair differ, and contains every difference.

    Raises
    ------
    TypeError
        If `reports` contains anything but reports.
    ValueError
        If there are fewer than two, or if their images, labels or classes differ. Only labels can
        be compared: you have to make sure that the images behind them are the same.

    See Also
    --------
    evaluate : Evaluate a fitted classifier.

    Notes
    -----
    McNemar's test (1947) takes the images that exactly one of two models predicts correctly, and
    tests whether they are split unevenly; here by the exact binomial distribution. Dietterich
    (1998) recommends it if each model was trained once. The intervals and p-values of the other
    metrics take into account that both models predict the same images. Their standard errors come
    from the delta method, after one image has been added that only the first model predicts
    correctly, and one that only the second does (Bonett & Price 2012): otherwise two models that
    agree on a few images would be certain to agree on all. The difference in log loss has a
    studentised bootstrap interval, and the difference in expected calibration error has none.

    With more than two models, p-values are corrected over all pairs, one metric at a time (Holm
    1979). They are not corrected over the metrics: choose one beforehand. Neither test accounts
    for the variation between training runs.

    Examples
    --------
    >>> from fer_sklearn.evaluation import evaluate_predictions
    >>> truth = ["happy", "sad"] * 20
    >>> good = evaluate_predictions(truth, truth)
    >>> poor = evaluate_predictions(truth, ["happy"] * 40)
    >>> for sentence in compare({"good": good, "poor": poor}).verdicts:
    ...     print(sentence)
    good and poor differ in accuracy: 100.0 % and 50.0 % of 40 images (difference +0.500, 95 %
    interval +0.335 to +0.665; McNemar's p < 0.001).
    """
    named = _named(reports)
    _check_alike(named)
    rng = check_random_state(random_state)
    pairs = list(combinations(named, 2))
    differences = [
        difference
        for pair in pairs
        for difference in _differences(pair, named, n_resamples, confidence_level, rng)
    ]
    tests = [_mcnemar(pair, named) for pair in pairs]
    return Comparison(
        names=tuple(named),
        differences=_corrected_by_metric(differences),
        tests=_corrected(tests),
        n_samples=next(iter(named.values())).n_samples,
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
        raise ValueError(f"reports has {len(reports)} report(s); expected at least two.")
    return reports


def _check_alike(reports):
    (name, report), *others = reports.items()
    for other_name, other in others:
        between = f"reports {name!r} and {other_name!r}"
        if report.classes is not None and other.classes is not None:
            _check_classes(between, report.classes.tolist(), other.classes.tolist())
        if not np.array_equal(report.labels, other.labels):
            raise ValueError(
                f"{between} have different labels, {report.labels.tolist()} and "
                f"{other.labels.tolist()}; expected the same in the same order. Pass the same "
                f"labels= to both evaluations."
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


def _check_classes(between, classes, other_classes):
    """Refuse models that were trained on different classes."""
    only = [label for label in classes if label not in other_classes]
    other_only = [label for label in other_classes if label not in classes]
    if only or other_only:
        parts = [
            f"only the {which} predicts {', '.join(map(repr, labels))}"
            for which, labels in (("first", only), ("second", other_only))
            if labels
        ]
        raise ValueError(
            f"{between} are of models with different classes: {' and '.join(parts)}. Their tasks "
            f"differ in difficulty, and so do their scores; expected the same classes. Fit both "
            f"models on the same labels, or translate the predictions of one to the labels of the "
            f"other and pass them to evaluate_predictions."
        )


def _differences(pair, reports, n_resamples, confidence_level, rng):
    """Yield the difference of two models in every metric that both have."""
    first, second = (reports[name] for name in pair)
    scores = first.scores, second.scores
    # Metrics are NaN without probabilities, and top-2 accuracy also is for two labels.
    defined = [
        name
        for name in PROBABILITY_METRICS
        if not any(math.isnan(report.overall[name].value) for report in (first, second))
    ]
    names = [*CONFUSION_METRICS, *defined]
    joint = _joint_counts(first, second)
    for metric in names:
        values = first.overall[metric].value, second.overall[metric].value
        apart = values[0] - values[1]
        low = high = p_value = math.nan
        if metric == "log_loss":
            losses = scores[0].log_loss - scores[1].log_loss
            # What an image would add for which only one of the models is wrong.
            unseen = [
                scores[0].other_log_loss.mean() - scores[1].log_loss.mean(),
                scores[0].log_loss.mean() - scores[1].other_log_loss.mean(),
            ]
            low, high, p_value = mean_interval(losses, unseen, n_resamples, confidence_level, rng)
        elif metric != "expected_calibration_error" and not math.isnan(apart):
            if metric == "top_2_accuracy":
                error = _error_of_hits(scores[0].top_2, scores[1].top_2)
            else:
                error = difference_error(CONFUSION_METRICS[metric], joint)
            low, high = normal_interval(apart, error, confidence_level)
            p_value = two_sided_p(apart, error)
        ends = (low, high, p_value, p_value)
        yield PairedDifference(pair[0], pair[1], metric, values[0], values[1], apart, *ends)


def _joint_counts(first, second):
    """Count the images by true label and both predictions, in an array of shape (k, k, k)."""
    k = len(first.labels)
    cells = (first.y_true.astype(int) * k + first.y_pred) * k + second.y_pred
    return np.bincount(cells, minlength=k**3).reshape(k, k, k)


def _error_of_hits(first, second):
    """Return the standard error of the difference of two proportions of hits, by image."""
    joint = np.zeros((2, 2, 2), int)
    joint[1] = confusion_counts(first.astype(int), second.astype(int), 2)
    return difference_error(CONFUSION_METRICS["accuracy"], joint)


def _mcnemar(pair, reports):
    from scipy.stats import binomtest

    first, second = pair
    correct, other_correct = (reports[name].y_true == reports[name].y_pred for name in pair)
    only = int((correct & ~other_correct).sum())
    other_only = int((~correct & other_correct).sum())
    n = only + other_only
    p_value = float(binomtest(only, n).pvalue) if n else 1.0
    return PairedTest(first, second, only, other_only, p_value, p_value)


def _corrected_by_metric(differences):
    corrected: dict[tuple[str, str, str], PairedDifference] = {}
    for metric in dict.fromkeys(difference.metric for difference in differences):
        family = [difference for difference in differences if difference.metric == metric]
        corrected |= {(d.first, d.second, metric): d for d in _corrected(family)}
    return [corrected[d.first, d.second, d.metric] for d in differences]


def _corrected(family):
    """Return comparisons of one kind with p-values corrected by the method of Holm (1979)."""
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


def _with_relation(p_value):
    text = p_text(p_value)
    return text if text.startswith("<") else f"= {text}"


def _listed(words):
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
