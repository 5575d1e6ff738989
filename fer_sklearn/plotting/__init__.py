"""Pictures of models, predictions and faces. matplotlib loads at first use."""

from ._coverage import CoverageAccuracyDisplay
from ._curves import LearningCurvesDisplay
from ._faces import plot_faces, plot_predictions, plot_samples
from ._heatmaps import plot_heatmaps
from ._matrix import ConfusionMatrixDisplay
from ._precision_recall import PrecisionRecallDisplay
from ._reliability import ReliabilityDisplay
from ._style import EMOTION_COLORS
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
