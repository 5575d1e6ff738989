"""Plots of models, predictions and faces. matplotlib is imported at first use."""

from ..emotions import EMOTION_COLORS
from ._confusion_matrix import ConfusionMatrixDisplay
from ._curves import EmotionTimelineDisplay, LearningCurvesDisplay
from ._faces import plot_faces, plot_heatmaps, plot_predictions, plot_samples
from ._probabilities import (
    CoverageAccuracyDisplay,
    PrecisionRecallDisplay,
    ReliabilityDisplay,
)

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
