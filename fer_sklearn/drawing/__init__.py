"""Draw boxes, emotions and probabilities on photos."""

from ._faces import draw_faces

__all__ = ["draw_faces"]
