"""The report of an evaluation: metrics with their intervals, as text and tables."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._utils.tables import (
    TabularReport,
    heading,
    interval,
    number,
    shaded_table,
    with_interval,
)
from .._utils.typing import FloatArray, IntArray, LabelArray
from ._intervals import Estimate
from ._metrics import PROBABILITY_METRICS, ImageScores
from ._people import PeopleAgreement

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EvaluationReport", "interval_name"]


@dataclass(frozen=True, repr=False, eq=False)
class EvaluationReport(TabularReport):
    """Result of :func:`evaluate`; prints as aligned tables.

    Attributes
    ----------
    labels : ndarray of shape (k,)
        The labels, in the order of all the following attributes.
    overall : dict of str to Estimate
        For the predicted labels ``"accuracy"``, ``"balanced_accuracy"``, ``"macro_f1"``,
        ``"weighted_f1"`` and ``"cohen_kappa"``. For the probabilities ``"top_2_accuracy"``,
        ``"log_loss"`` (natural logarithm; 0 is perfect) and ``"expected_calibration_error"``
        (0 is perfect); NaN if there are no probabilities. Top-2 accuracy is also NaN if there are
        only two labels, since it would always be 1.
    per_emotion : dict of label to dict of str to Estimate
        ``"precision"``, ``"recall"`` and ``"f1"`` of every label.
    support : ndarray of shape (k,), int
        Number of images with each true label. A count, so it has no interval.
    confusion_matrix : ndarray of shape (k, k), int
        True labels in rows, predicted ones in columns.
    confusion_interval : ndarray of shape (2, k, k), float
        Lower and upper ends of the interval of each count.
    n_resamples : int
        Number of bootstrap resamples behind the interval of the log loss.
    confidence_level : float
        Probability with which each interval contains the true value.
    y_true, y_pred : ndarray of shape (n_samples,), unsigned int
        True and predicted label of each image, as positions in `labels`. :func:`compare` needs
        them; tables, dictionaries and JSON omit them, and `scores` too.
    scores : ImageScores or None
        Scores of the probabilities of each image: ``top_2``, ``log_loss``, ``confidence`` and
        ``correct``, each an ndarray of shape (n_samples,). None if there are no probabilities.
    people : PeopleAgreement or None
        Agreement with the majority of people's votes. None if there were no votes.
    n_seen : int
        Number of images that the classifier was fitted on, as far as it is known; scores on them
        are too high.
    classes : ndarray or None
        The classes that the classifier was fitted on, if they are known. `labels` may contain
        others too.

    Notes
    -----
    Undefined metrics are NaN, not 0: the recall of a label without support, the precision of a
    label that was never predicted, and the F1 of a label for which both apply. Means over labels
    ignore NaN, and their intervals are of the mean over the labels that occur. Kappa is NaN if all
    images have one label and it is predicted for all. The metrics of each label equal
    scikit-learn's with ``zero_division=nan``; the overall ones equal its defaults.

    Cohen's kappa (1960) is the agreement with the labels, corrected for chance. The metrics of the
    probabilities use nothing else: their label is the most probable one, regardless of `y_pred`.
    The expected calibration error has 15 bins of equal width, by the highest probability (Guo et
    al. 2017, arXiv:1706.04599). It is never negative, and therefore too high on average, the more
    so the fewer images there are; its interval allows for that.
    """

    labels: LabelArray
    overall: dict[str, Estimate]
    per_emotion: dict[Any, dict[str, Estimate]]
    support: IntArray
    confusion_matrix: IntArray
    confusion_interval: FloatArray
    n_resamples: int
    confidence_level: float
    y_true: IntArray
    y_pred: IntArray
    scores: ImageScores | None
    people: PeopleAgreement | None = None
    n_seen: int = 0
    classes: LabelArray | None = None

    @property
    def n_samples(self) -> int:
        """Number of images."""
        return int(self.support.sum())

    def to_frame(self) -> pd.DataFrame:
        """Return the metrics as a tidy table.

        Returns
        -------
        pandas.DataFrame
            One row per metric and label; columns ``metric``, ``emotion`` (``"all"`` for the overall
            ones), ``value``, ``low`` and ``high``. The support has NaN as its interval. The names
            of metrics that compare with people's votes begin with ``people_``.
        """
        import pandas as pd

        rows = [(name, "all", *estimate) for name, estimate in self.overall.items()]
        if self.people is not None:
            rows += [
                (f"people_{name}", "all", *estimate)
                for name, estimate in self.people.estimates().items()
            ]
        rows += [
            (name, label, *estimate)
            for label, estimates in self.per_emotion.items()
            for name, estimate in estimates.items()
        ]
        rows += [
            ("support", label, float(count), math.nan, math.nan)
            for label, count in zip(self.labels.tolist(), self.support, strict=True)
        ]
        return pd.DataFrame(rows, columns=["metric", "emotion", "value", "low", "high"])

    def to_dict(self) -> dict[str, Any]:
        """Return everything as nested dictionaries and lists of plain Python numbers.

        Returns
        -------
        dict
            Each metric with an interval as ``{"value": …, "low": …, "high": …}``.
        """
        return {
            "n_samples": self.n_samples,
            "n_seen": self.n_seen,
            "n_resamples": self.n_resamples,
            "confidence_level": self.confidence_level,
            "labels": self.labels.tolist(),
            "overall": {name: estimate._asdict() for name, estimate in self.overall.items()},
            "people": None if self.people is None else self.people.to_dict(),
            "per_emotion": {
                label: {
                    **{name: estimate._asdict() for name, estimate in estimates.items()},
                    "support": int(count),
                }
                for (label, estimates), count in zip(
                    self.per_emotion.items(), self.support, strict=True
                )
            },
            "confusion_matrix": self.confusion_matrix.tolist(),
            "confusion_interval": {
                end: bounds.tolist()
                for end, bounds in zip(("low", "high"), self.confusion_interval, strict=True)
            },
        }

    def _headline(self):
        return (
            f"{self.n_samples} images, {len(self.labels)} labels; "
            f"{interval_name(self.confidence_level)}s"
        )

    def _sentences(self):
        sentences = []
        if self.n_seen:
            sentences.append(
                f"{self.n_seen} of the images were in the training data: the scores are inflated."
            )
        if self.people is not None:
            sentences.append(self.people.sentence())
        return sentences

    def _html_tables(self):
        *plain, (caption, header, rows) = self._tables()
        names = [name for name, *_ in rows]
        confusion = shaded_table(
            f"{caption}; percentages of the row", header, names, self.confusion_matrix
        )
        return [*plain, confusion]

    def _tables(self):
        """Return (caption, header, rows) of the overall, per-label and confusion tables."""
        name_of_interval = interval_name(self.confidence_level)
        overall = [
            (heading(name), number(estimate.value), interval(estimate))
            for name, estimate in self.overall.items()
            if name not in PROBABILITY_METRICS or not math.isnan(estimate.value)
        ]
        per_emotion = [
            (
                str(label),
                *(with_interval(estimate) for estimate in estimates.values()),
                str(count),
            )
            for (label, estimates), count in zip(
                self.per_emotion.items(), self.support, strict=True
            )
        ]
        metrics = next(iter(self.per_emotion.values()))
        names = [str(label) for label in self.labels]
        confusion = [
            (name, *map(str, row))
            for name, row in zip(names, self.confusion_matrix.tolist(), strict=True)
        ]
        people = (
            "People's votes",
            ("agreement", "value", name_of_interval),
            [] if self.people is None else self.people.rows(),
        )
        return [
            ("Overall", ("metric", "value", name_of_interval), overall),
            *([people] if self.people is not None else []),
            (
                f"Each label, with {name_of_interval}s",
                ("label", *map(heading, metrics), "support"),
                per_emotion,
            ),
            (
                "Confusion matrix: true labels in rows, predicted ones in columns",
                ("true", *names),
                confusion,
            ),
        ]


def interval_name(confidence_level: float) -> str:
    """Return the name of an interval, such as "95 % interval"."""
    return f"{100 * confidence_level:g} % interval"
