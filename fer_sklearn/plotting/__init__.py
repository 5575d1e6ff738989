"""Plots of models, predictions and faces. matplotlib is imported at first use."""

from ..emotions import EMOTION_COLORS
from ._confusion_matrix import ConfusionMatrixDisplay
from ._faces import plot_faces, plot_heatmaps, plot_predictions, plot_samples
from ._learning_curves import LearningCurvesDisplay
from ._probabilities import (
    CoverageAccuracyDisplay,
    PrecisionRecallDisplay,
    ReliabilityDisplay,
)
from ._timeline import EmotionTimelineDisplay

__all__ = [
    "EMOTION_COLORS",
    "ConfusionMatrixDisplay",
    "CoverageAccuracyDisplay",
    "EmotionTimelineDisplay",
    "LearningCurvesDisplay",
    "PrecisionRecallDisplay",
    "ReliabilityDisplay",
    "plot_faces",
    "plot_heatmaps",
    "plot_predictions",
    "plot_samples",
]
