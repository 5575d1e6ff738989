"""Pictures: confusion matrices, learning curves, faces. matplotlib loads at first use."""

from ._curves import LearningCurvesDisplay
from ._faces import plot_faces
from ._matrix import ConfusionMatrixDisplay
from ._style import EMOTION_COLORS

__all__ = ["EMOTION_COLORS", "ConfusionMatrixDisplay", "LearningCurvesDisplay", "plot_faces"]
