"""Fit several models on the same images and set them side by side."""

import io
import time
from dataclasses import dataclass

import joblib

from .._utils.tables import markdown_table
from ._evaluate import evaluate
from ._report import EvaluationReport

__all__ = ["BenchmarkEntry", "benchmark_models", "benchmark_table"]


@dataclass(frozen=True)
class BenchmarkEntry:
    """What one model cost and reached.

    Attributes
    ----------
    report : EvaluationReport
        Scores on the test images.
    fit_seconds, predict_seconds : float
        Wall-clock time on all training images, and on all test images.
    size_bytes : int
        Length of the fitted model's compressed joblib dump.
    """

    report: EvaluationReport
    fit_seconds: float
    predict_seconds: float
    size_bytes: int

    def to_dict(self):
        """Return everything as nested dictionaries of plain Python numbers."""
        return {
            **self.report.to_dict(),
            "fit_seconds": round(self.fit_seconds, 2),
            "predict_seconds": round(self.predict_seconds, 3),
            "size_bytes": self.size_bytes,
        }


def benchmark_models(models, train, test, *, on_start=None, random_state=0):
    """Fit and score models on the same images.

    Parameters
    ----------
    models : mapping of str to estimator
        Unfitted models; they are fitted in place.
    train, test : tuple (X, y)
        Images and labels as the models take them.
    on_start : callable or None, default=None
        Called with each name before its fit, to show progress.
    random_state : int, default=0
        Seed of the bootstrap intervals.

    Returns
    -------
    dict of str to BenchmarkEntry

    Examples
    --------
    >>> from fer_sklearn import benchmark_models, make_faces, make_hog_svm_pipeline
    >>> faces = make_faces(140, random_state=0, return_X_y=True)
    >>> entries = benchmark_models({"HOG-SVM": make_hog_svm_pipeline()}, faces, faces)
    >>> entries["HOG-SVM"].report.overall["accuracy"].value > 0.9
    True
    """
    entries = {}
    for name, model in models.items():
        if on_start is not None:
            on_start(name)
        began = time.perf_counter()
        model.fit(*train)
        fitted = time.perf_counter()
        model.predict(test[0])
        predicted = time.perf_counter()
        entries[name] = BenchmarkEntry(
            evaluate(model, *test, random_state=random_state),
            fitted - began,
            predicted - fitted,
            _dumped_size(model),
        )
    return entries


def benchmark_table(entries):
    """Set benchmark entries side by side as a Markdown table.

    Parameters
    ----------
    entries : mapping of str to BenchmarkEntry

    Returns
    -------
    str
        One row a model; scores in percent with their intervals.
    """
    columns = ("accuracy", "balanced_accuracy", "macro_f1")
    header = ["model", "accuracy, %", "balanced accuracy, %", "macro-F1, %"]
    header += ["fit, s", "predict, s", "size, MB"]
    rows = []
    for name, entry in entries.items():
        scores = [_percent(entry.report.overall[column]) for column in columns]
        costs = [f"{entry.fit_seconds:.0f}", f"{entry.predict_seconds:.1f}"]
        rows.append([name, *scores, *costs, f"{entry.size_bytes / 1e6:.1f}"])
    any_report = next(iter(entries.values())).report
    caption = (
        f"{any_report.n_samples} test images, "
        f"{100 * any_report.confidence_level:g} % bootstrap intervals"
    )
    return markdown_table(caption, header, rows)


def _percent(estimate):
    value, low, high = (100 * number for number in estimate)
    return f"{value:.1f} ({low:.1f}–{high:.1f})"


def _dumped_size(model):
    buffer = io.BytesIO()
    joblib.dump(model, buffer, compress=3)
    return buffer.tell()
