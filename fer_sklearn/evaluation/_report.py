"""The report of an evaluation: numbers with intervals, and how they are shown."""

import json
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .._utils.tables import (
    heading,
    html_page,
    interval,
    markdown_table,
    number,
    shaded_table,
    text_table,
    to_json_value,
    with_interval,
)
from ._metrics import PROBABILITY_METRICS, ImageScores

__all__ = ["Estimate", "EvaluationReport"]


class Estimate(NamedTuple):
    """A number measured on a sample, with the ends of its bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, repr=False, eq=False)
class EvaluationReport:
    """What :func:`evaluate` found; prints as aligned tables.

    Attributes
    ----------
    labels : ndarray of shape (k,)
        The labels, in the order of all that follows.
    overall : dict of str to Estimate
        Of the predicted labels, ``"accuracy"``, ``"balanced_accuracy"``, ``"macro_f1"``,
        ``"weighted_f1"`` and ``"cohen_kappa"``. Of the probabilities, ``"top_2_accuracy"``,
        ``"log_loss"`` (natural logarithm; 0 is perfect) and ``"expected_calibration_error"``
        (0 is perfect); NaN where no probabilities are known.
    per_emotion : dict of label to dict of str to Estimate
        ``"precision"``, ``"recall"`` and ``"f1"`` of every label.
    support : ndarray of shape (k,), int
        How many images truly have each label. A count, thus without an interval.
    confusion_matrix : ndarray of shape (k, k), int
        True labels in rows, predicted ones in columns.
    confusion_interval : ndarray of shape (2, k, k), float
        Lower and upper ends of the interval of each count.
    n_resamples : int
        Bootstrap resamples behind the intervals.
    confidence_level : float
        Share of the resamples that each interval spans.
    y_true, y_pred : ndarray of shape (n_samples,), unsigned int
        True and predicted label of each image, as positions in `labels`. :func:`compare` needs
        them; tables, dictionaries and JSON leave them out, and `scores` too.
    scores : ImageScores or None
        What the probabilities say of each image: ``top_2``, ``log_loss``, ``confidence`` and
        ``correct``, each an ndarray of shape (n_samples,). None where they are not known.

    Notes
    -----
    What is not defined is NaN, not 0: the recall of a label without support, the precision
    of a label that was never predicted, and the F1 of a label that is both. Means over
    labels leave NaN out, and so do intervals over resamples. Kappa is NaN where all images
    have one label and it is predicted for all. On the full sample, all numbers of a label
    equal scikit-learn's with ``zero_division=nan``; the overall ones equal its defaults.

    Cohen's kappa (1960) is the accuracy beyond that of chance. The numbers of probabilities
    look at nothing else: their label is the most probable one, whatever `y_pred` says. The
    expected calibration error has 15 bins of equal width, by the largest probability (Guo et
    al. 2017, arXiv:1706.04599). It is never negative, so resampling raises it: of a
    well-calibrated model, the interval may lie above the value.
    """

    labels: np.ndarray
    overall: dict
    per_emotion: dict
    support: np.ndarray
    confusion_matrix: np.ndarray
    confusion_interval: np.ndarray
    n_resamples: int
    confidence_level: float
    y_true: np.ndarray
    y_pred: np.ndarray
    scores: ImageScores | None

    @property
    def n_samples(self):
        """Number of images."""
        return int(self.support.sum())

    def to_frame(self):
        """Return the numbers as a tidy table.

        Returns
        -------
        pandas.DataFrame
            One row a number; columns ``metric``, ``emotion`` (``"all"`` for the overall
            ones), ``value``, ``low`` and ``high``. The support has NaN for an interval.
        """
        import pandas as pd

        rows = [(name, "all", *estimate) for name, estimate in self.overall.items()]
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

    def to_dict(self):
        """Return everything as nested dictionaries and lists of plain Python numbers.

        Returns
        -------
        dict
            Each number with an interval as ``{"value": …, "low": …, "high": …}``.
        """
        return {
            "n_samples": self.n_samples,
            "n_resamples": self.n_resamples,
            "confidence_level": self.confidence_level,
            "labels": self.labels.tolist(),
            "overall": {name: estimate._asdict() for name, estimate in self.overall.items()},
            "per_emotion": {
                label: {name: estimate._asdict() for name, estimate in estimates.items()}
                | {"support": int(count)}
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

    def to_json(self, *, indent=2):
        """Return :meth:`to_dict` as strict JSON, with ``null`` for NaN.

        Parameters
        ----------
        indent : int or None, default=2
            As in :func:`json.dumps`.

        Returns
        -------
        str
        """
        return json.dumps(to_json_value(self.to_dict()), indent=indent, allow_nan=False)

    def to_markdown(self):
        """Return the three tables in Markdown.

        As in print, numbers of probabilities are left out where none are known.

        Returns
        -------
        str
        """
        return "\n\n".join(
            [self._headline(), *(markdown_table(*table) for table in self._tables())]
        )

    def __repr__(self):
        return "\n\n".join([self._headline(), *(text_table(*table) for table in self._tables())])

    def _repr_html_(self):
        *plain, (caption, header, rows) = self._tables()
        names = [name for name, *_ in rows]
        confusion = shaded_table(
            f"{caption}; shares of the row", header, names, self.confusion_matrix
        )
        return html_page([self._headline()], *plain, confusion)

    def _headline(self):
        return (
            f"{self.n_samples} images, {len(self.labels)} labels; {self._interval_name()}s "
            f"from {self.n_resamples} bootstrap resamples"
        )

    def _interval_name(self):
        return f"{100 * self.confidence_level:g} % interval"

    def _tables(self):
        """Return (caption, header, rows) of the overall, per-label and confusion tables."""
        overall = [
            (heading(name), number(estimate.value), interval(estimate))
            for name, estimate in self.overall.items()
            if self.scores is not None or name not in PROBABILITY_METRICS
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
        return [
            ("Overall", ("metric", "value", self._interval_name()), overall),
            (
                f"Each label, with {self._interval_name()}s",
                ("label", *map(heading, metrics), "support"),
                per_emotion,
            ),
            (
                "Confusion matrix: true labels in rows, predicted ones in columns",
                ("true", *names),
                confusion,
            ),
        ]
