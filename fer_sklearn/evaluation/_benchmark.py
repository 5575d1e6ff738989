"""Benchmark of several models on the same images: scores, times and sizes."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import joblib

from .._utils.tables import TabularReport, markdown_table
from .._utils.typing import ArrayLike, Estimator, ImagesLike
from ._evaluate import evaluate
from ._report import EvaluationReport

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Benchmark", "BenchmarkEntry", "benchmark_models"]

# The metrics of a printed benchmark, and their headings.
_TITLES = {
    "accuracy": "accuracy, %",
    "balanced_accuracy": "balanced accuracy, %",
    "macro_f1": "macro-F1, %",
}


@dataclass(frozen=True)
class BenchmarkEntry:
    """Scores and costs of one model.

    Attributes
    ----------
    report : EvaluationReport
        Scores on the test images.
    fit_seconds, predict_seconds : float
        Wall-clock time on all training images, and on all test images.
    size_bytes : int or float
        Size of the fitted model's compressed joblib dump; NaN if it cannot be dumped, for example
        because of a lambda function in it.
    """

    report: EvaluationReport
    fit_seconds: float
    predict_seconds: float
    size_bytes: float

    @property
    def costs(self) -> dict[str, float]:
        """``fit_seconds``, ``predict_seconds`` and ``size_bytes``, rounded."""
        return {
            "fit_seconds": round(self.fit_seconds, 2),
            "predict_seconds": round(self.predict_seconds, 3),
            "size_bytes": self.size_bytes,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return everything as nested dictionaries of plain Python numbers.

        Returns
        -------
        dict
            That of the report, and the costs.
        """
        return {**self.report.to_dict(), **self.costs}


@dataclass(frozen=True, repr=False, eq=False)
class Benchmark(TabularReport, Mapping):
    """Result of :func:`benchmark_models`: a mapping of names to entries; prints as a table.

    Attributes
    ----------
    entries : dict of str to BenchmarkEntry
        In the order in which the models were fitted.
    """

    entries: dict[str, BenchmarkEntry]

    def __getitem__(self, name: str) -> BenchmarkEntry:
        return self.entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as nested dictionaries of plain Python numbers.

        Returns
        -------
        dict
            One dictionary per model; see :meth:`BenchmarkEntry.to_dict`.
        """
        return {name: entry.to_dict() for name, entry in self.entries.items()}

    def to_frame(self) -> pd.DataFrame:
        """Return scores and costs as a tidy table.

        Returns
        -------
        pandas.DataFrame
            One row per model and metric, with the columns of ``EvaluationReport.to_frame`` after
            ``model``. The costs have NaN as their intervals.
        """
        import pandas as pd

        frames = []
        for name, entry in self.entries.items():
            frame = entry.report.to_frame()
            for metric, cost in entry.costs.items():
                frame.loc[len(frame)] = [metric, "all", cost, math.nan, math.nan]
            frame.insert(0, "model", name)
            frames.append(frame)
        return pd.concat(frames, ignore_index=True)

    def to_markdown(self) -> str:
        """Return a table in Markdown with one row per model.

        Returns
        -------
        str
            Scores are in percent, with their intervals.
        """
        header = ("model", *_TITLES.values(), "fit, s", "predict, s", "size, MB")
        rows = [
            (
                name,
                *(_percent(entry.report.overall[metric]) for metric in _TITLES),
                f"{entry.fit_seconds:.0f}",
                f"{entry.predict_seconds:.1f}",
                _megabytes(entry.size_bytes),
            )
            for name, entry in self.entries.items()
        ]
        return markdown_table(self._headline(), header, rows)

    def _headline(self):
        report = self._any_report()
        level = f"{100 * report.confidence_level:g} %"
        return f"{report.n_samples} test images, {level} intervals"

    def _tables(self):
        """Return (caption, header, rows) with one column per model."""
        rows = [
            (title, *(_percent(entry.report.overall[metric]) for entry in self.values()))
            for metric, title in _TITLES.items()
        ]
        rows += [
            (
                f"F1 of {label}, %",
                *(_percent(entry.report.per_emotion[label]["f1"]) for entry in self.values()),
            )
            for label in self._any_report().labels.tolist()
        ]
        rows += [
            ("fit, s", *(f"{entry.fit_seconds:.1f}" for entry in self.values())),
            ("predict, s", *(f"{entry.predict_seconds:.1f}" for entry in self.values())),
            ("size, MB", *(_megabytes(entry.size_bytes) for entry in self.values())),
        ]
        return [("", ("", *self.entries), rows)]

    def _any_report(self):
        return next(iter(self.entries.values())).report


def benchmark_models(
    estimators: Mapping[str, Estimator],
    train: tuple[ImagesLike, ArrayLike],
    test: tuple[ImagesLike, ArrayLike],
    *,
    on_start: Callable[[str], object] | None = None,
    random_state: int = 0,
) -> Benchmark:
    """Fit and evaluate several models on the same images.

    Parameters
    ----------
    estimators : mapping of str to estimator
        Unfitted classifiers by name; they are fitted in place.
    train, test : tuple (X, y)
        Images and labels, as the estimators take them.
    on_start : callable or None, default=None
        Called with each name before its fit, for example to show progress.
    random_state : int, default=0
        Seed of the resampling in :func:`evaluate`.

    Returns
    -------
    Benchmark
        A mapping of names to :class:`BenchmarkEntry`; prints as a table, and has ``to_dict``,
        ``to_json``, ``to_frame`` and ``to_markdown``.

    Raises
    ------
    ValueError
        If `estimators` is not a mapping, or empty.

    Examples
    --------
    >>> from fer_sklearn import benchmark_models, make_faces, make_hog_svm_pipeline
    >>> train = make_faces(140, random_state=0, return_X_y=True)
    >>> test = make_faces(70, random_state=1, return_X_y=True)
    >>> benchmark = benchmark_models({"HOG-SVM": make_hog_svm_pipeline()}, train, test)
    >>> benchmark["HOG-SVM"].report.overall["accuracy"].value > 0.9
    True
    """
    if not isinstance(estimators, Mapping) or not estimators:
        raise ValueError(
            f"estimators={estimators!r} must be a mapping of at least one name to its estimator, "
            f"such as {{'HOG-SVM': make_hog_svm_pipeline()}}."
        )
    entries = {}
    for name, estimator in estimators.items():
        if on_start is not None:
            on_start(name)
        began = time.perf_counter()
        estimator.fit(*train)
        fitted = time.perf_counter()
        estimator.predict(test[0])
        predicted = time.perf_counter()
        entries[name] = BenchmarkEntry(
            evaluate(estimator, *test, random_state=random_state),
            fitted - began,
            predicted - fitted,
            _dumped_size(estimator),
        )
    return Benchmark(entries)


def _percent(estimate):
    if math.isnan(estimate.value):
        return "–"
    value, low, high = (100 * number for number in estimate)
    return f"{value:.1f} ({low:.1f}–{high:.1f})"


def _megabytes(size):
    return "–" if math.isnan(size) else f"{size / 1e6:.1f}"


def _dumped_size(estimator):
    buffer = io.BytesIO()
    try:
        joblib.dump(estimator, buffer, compress=3)
    except Exception:  # the scores are worth more than the size
        return math.nan
    return buffer.tell()
