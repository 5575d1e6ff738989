"""How well a classifier recognises emotions: numbers, each with its uncertainty."""

from ._evaluate import SCORING, evaluate, evaluate_predictions
from ._report import Estimate, EvaluationReport

__all__ = [
    "SCORING",
    "Estimate",
    "EvaluationReport",
    "evaluate",
    "evaluate_predictions",
]
