"""Photos with boxes, emotions and probabilities drawn on."""

from ._faces import draw_faces

__all__ = ["draw_faces"]
