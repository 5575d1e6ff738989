"""Evaluation of classifiers: metrics, each with its confidence interval."""

from ._benchmark import Benchmark, BenchmarkEntry, benchmark_models
from ._compare import Comparison, PairedDifference, PairedTest, compare
from ._evaluate import SCORING, evaluate, evaluate_predictions
from ._intervals import Estimate
from ._metrics import CoverageCurve, ImageScores, accuracy_coverage_curve
from ._people import PeopleAgreement
from ._report import EvaluationReport

__all__ = [
    "SCORING",
    "Benchmark",
    "BenchmarkEntry",
    "Comparison",
    "CoverageCurve",
    "Estimate",
    "EvaluationReport",
    "ImageScores",
    "PairedDifference",
    "PairedTest",
    "PeopleAgreement",
    "accuracy_coverage_curve",
    "benchmark_models",
    "compare",
    "evaluate",
    "evaluate_predictions",
]
