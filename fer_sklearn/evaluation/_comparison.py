"""Whether models differ: numbers, and what they say in words."""

import json
import math
from dataclasses import dataclass
from typing import NamedTuple

from .._utils._html import html_page
from .._utils._text import heading, interval, nan_to_none, number, p_text
from .._utils.tables import markdown_table, text_table

__all__ = ["Comparison", "PairedDifference", "PairedTest"]


class PairedDifference(NamedTuple):
    """How far two models are apart in one number, on the same images.

    Attributes
    ----------
    first, second : str
        The models.
    metric : str
        As in ``EvaluationReport.overall``.
    first_value, second_value : float
        The number of each.
    value : float
        ``first_value - second_value``. More is better, save for ``"log_loss"`` and
        ``"expected_calibration_error"``.
    low, high : float
        Ends of its interval by the paired bootstrap.
    p_value : float
        Two-sided, by the same resamples.
    p_holm : float
        The same, corrected over all pairs of models.
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
    """McNemar's exact test of two models' accuracy.

    Attributes
    ----------
    first, second : str
        The models.
    first_only, second_only : int
        Images that only this one is right on.
    p_value : float
        Two-sided.
    p_holm : float
        The same, corrected over all pairs of models.
    """

    first: str
    second: str
    first_only: int
    second_only: int
    p_value: float
    p_holm: float


@dataclass(frozen=True, repr=False, eq=False)
class Comparison:
    """What :func:`compare` found; prints as sentences and aligned tables.

    Attributes
    ----------
    names : tuple of str
        The models.
    differences : list of PairedDifference
        One for each pair of models and each overall number that is known of both.
    tests : list of PairedTest
        One for each pair.
    n_samples : int
        Number of images.
    n_resamples : int
        Bootstrap resamples behind the intervals.
    confidence_level : float
        Share of the resamples that each interval spans.
    """

    names: tuple
    differences: list
    tests: list
    n_samples: int
    n_resamples: int
    confidence_level: float

    @property
    def verdicts(self):
        """A sentence for each pair, in the order of `tests`: list of str.

        Two models differ in accuracy where McNemar's corrected p-value is at most
        ``1 - confidence_level``. Where that is more, other numbers are named whose corrected
        p-value is at most that.
        """
        return [self._verdict(test) for test in self.tests]

    def to_frame(self):
        """Return the differences as a tidy table.

        Returns
        -------
        pandas.DataFrame
            One row a pair and metric, with the fields of :class:`PairedDifference` and, in the
            rows of accuracy, McNemar's ``mcnemar_p`` and ``mcnemar_p_holm``; NaN elsewhere.
        """
        import pandas as pd

        exact = {(t.first, t.second): (t.p_value, t.p_holm) for t in self.tests}
        rows = [
            (*d, *(exact[d.first, d.second] if d.metric == "accuracy" else (math.nan, math.nan)))
            for d in self.differences
        ]
        columns = [*PairedDifference._fields, "mcnemar_p", "mcnemar_p_holm"]
        return pd.DataFrame(rows, columns=columns)

    def to_dict(self):
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
        return json.dumps(nan_to_none(self.to_dict()), indent=indent, allow_nan=False)

    def to_markdown(self):
        """Return the verdicts as a list, and the tables, in Markdown.

        Returns
        -------
        str
        """
        verdicts = "\n".join(f"- {verdict}" for verdict in self.verdicts)
        tables = (markdown_table(*table) for table in self._tables())
        return "\n\n".join([self._headline(), verdicts, *tables])

    def __repr__(self):
        tables = (text_table(*table) for table in self._tables())
        return "\n\n".join([self._headline(), "\n".join(self.verdicts), *tables])

    def _repr_html_(self):
        return html_page([self._headline(), *self.verdicts], *self._tables())

    def _headline(self):
        return (
            f"{len(self.names)} models on the same {self.n_samples} images; "
            f"{self._interval_name()}s from {self.n_resamples} paired bootstrap resamples"
        )

    def _interval_name(self):
        return f"{100 * self.confidence_level:g} % interval"

    def _of_pair(self, test):
        pair = (test.first, test.second)
        return [d for d in self.differences if (d.first, d.second) == pair]

    def _verdict(self, test):
        accuracy, *others = self._of_pair(test)
        most = 1 - self.confidence_level
        values = " and ".join(
            f"{100 * value:.1f} %" for value in (accuracy.first_value, accuracy.second_value)
        )
        ends = f"{self._interval_name()} {interval(accuracy, signed=True)}"
        p_value = _with_relation(test.p_holm)
        found = (
            f"{values} of {self.n_samples} images (difference "
            f"{number(accuracy.value, signed=True)}, {ends}; McNemar's p {p_value}"
            f"{', corrected for the number of pairs' if len(self.tests) > 1 else ''})."
        )
        if test.p_holm <= most:
            return f"{test.first} and {test.second} differ in accuracy: {found}"
        sentence = (
            f"{test.first} and {test.second}: no difference in accuracy that this sample can "
            f"show: {found}"
        )
        apart = [heading(d.metric) for d in others if d.p_holm <= most]
        return f"{sentence} But they differ in {_listed(apart)}." if apart else sentence

    def _tables(self):
        """Return (caption, header, rows) of each pair, and of McNemar's tests."""
        several = len(self.tests) > 1
        p_names = ("p", "p (Holm)") if several else ("p",)

        def p_values(item):
            return [p_text(p) for p in ((item.p_value, item.p_holm)[: len(p_names)])]

        tables = [
            (
                f"{test.first} against {test.second}, by the paired bootstrap",
                ("metric", test.first, test.second, "difference", self._interval_name(), *p_names),
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
        header = ("models", "only the first right", "only the second right", *p_names)
        return [*tables, ("McNemar's exact test of accuracy", header, rows)]


def _with_relation(p_value):
    text = p_text(p_value)
    return text if text.startswith("<") else f"= {text}"


def _listed(words):
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
