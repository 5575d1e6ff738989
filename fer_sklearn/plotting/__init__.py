"""Pictures: confusion matrices, learning curves, faces. matplotlib loads at first use."""

from ._curves import LearningCurvesDisplay
from ._faces import plot_faces
from ._matrix import ConfusionMatrixDisplay
from ._style import EMOTION_COLORS
from ._timeline import EmotionTimelineDisplay

__all__ = [
    "EMOTION_COLORS",
    "ConfusionMatrixDisplay",
    "EmotionTimelineDisplay",
    "LearningCurvesDisplay",
    "plot_faces",
]
