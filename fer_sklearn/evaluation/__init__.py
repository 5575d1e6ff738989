"""How well a classifier recognises emotions: numbers, each with its uncertainty."""

from ._benchmark import BenchmarkEntry, benchmark_models, benchmark_table
from ._compare import Comparison, PairedDifference, PairedTest, compare
from ._evaluate import SCORING, evaluate, evaluate_predictions
from ._metrics import CoverageCurve, ImageScores, coverage_accuracy_curve
from ._report import Estimate, EvaluationReport

__all__ = [
    "SCORING",
    "BenchmarkEntry",
    "Comparison",
    "CoverageCurve",
    "Estimate",
    "EvaluationReport",
    "ImageScores",
    "PairedDifference",
    "PairedTest",
    "benchmark_models",
    "benchmark_table",
    "compare",
    "coverage_accuracy_curve",
    "evaluate",
    "evaluate_predictions",
]
