"""Where the plates go: beside the faces, inside the picture, off other faces and plates."""

from dataclasses import dataclass

import numpy as np

from ._plate import plate_size

__all__ = ["Layout", "font_size", "place_plates"]

# Of a font, in pixels: what is read with ease, and what can be read at all.
_EASY, _SMALLEST = 12, 9
# From the fullest to the smallest: what a plate shows, and its font beside the usual one.
_STEPS = (
    ("bars", 1.0),
    ("bars", 0.8),
    ("bars", 0.6),
    ("strip", 1.0),
    ("strip", 0.8),
    ("line", 0.8),
    ("line", 0.6),
    ("name", 0.6),
)
# The share of a face that a plate may cover if there is no free place for it.
_COVERED = 0.22


@dataclass(frozen=True)
class Layout:
    """Where each plate goes, what the plates show, and how large their letters are."""

    corners: list  # x, y of each plate's top left corner, int pixels
    level: str
    font: int
    covered: float  # the largest share of a face that plates cover
    legible: bool  # no plate covers another or is cut off


def font_size(shape, boxes):
    """Return the font size, in pixels, that suits a picture and its faces.

    Letters grow with the faces, within what can be read when the whole picture is
    looked at (a 40th of its shorter side) and what does not shout (a 20th).
    """
    short = min(shape[:2])
    wanted = 0.1 * float(np.median(boxes[:, 3])) if len(boxes) else 0.0
    return max(_EASY, round(float(np.clip(wanted, short / 40, short / 20))))


def place_plates(shape, boxes, readings, font):
    """Choose the fullest plates that fit, all of one kind and size.

    Parameters
    ----------
    shape : tuple
        Height and width of the picture first.
    boxes : ndarray of shape (n, 4), float64
        Left, top, width, height of the faces, within the picture.
    readings : list of n Reading
    font : int
        Size to begin with, in pixels, as :func:`font_size` tells it.

    Returns
    -------
    Layout
        The first that covers no face and no other plate; else the first that covers
        little of each face; else the one that covers least.
    """
    layouts = []
    for level, factor in _STEPS:
        size = max(_SMALLEST, round(factor * font))
        layout, clash = _try(shape, boxes, readings, level, size)
        if clash == 0:
            return layout
        if level != "bars":
            layouts.append((clash, layout))
    for _, layout in layouts:
        if layout.legible and layout.covered <= _COVERED:
            return layout
    return min(layouts, key=lambda pair: pair[0])[1]


def _try(shape, boxes, readings, level, font):
    """Place plates of one kind, one by one; return the layout and how much they collide.

    Bars are all or nothing: the first that collides ends the trial.
    """
    gap = max(4, round(0.5 * font))
    corners, plates, total, lost = [], np.empty((0, 4)), 0.0, 0.0
    areas = boxes[:, 2] * boxes[:, 3]
    covered = np.zeros(len(boxes))
    for box, reading in zip(boxes, readings, strict=True):
        size = plate_size(reading, level, font)
        places = _places(shape, box, size, gap, beside=level == "bars")
        on_faces = _overlaps(places, boxes)
        on_plates = _overlaps(places, plates).sum(axis=1)
        outside = size[0] * size[1] - _overlaps(places, _whole(shape))[:, 0]
        unread = (on_plates + outside) / (size[0] * size[1])
        # A plate that cannot be read is worse than a face that is partly hidden.
        costs = (on_faces / areas).sum(axis=1) + 4 * unread
        best = int(np.argmin(costs))
        corners.append((int(places[best, 0]), int(places[best, 1])))
        plates = np.vstack([plates, places[best]])
        covered += on_faces[best] / areas
        total += costs[best]
        lost += unread[best]
        if total > 0 and level == "bars":
            break
    return Layout(corners, level, font, float(covered.max(initial=0.0)), lost == 0), total


def _places(shape, box, size, gap, beside):
    """Return the places for a plate, best first: int-valued (m, 4), pushed into the picture."""
    left, top, width, height = box
    w, h = size
    right, bottom, center = left + width, top + height, left + (width - w) / 2
    at_the_sides = [
        (right + gap, top),
        (left - gap - w, top),
        (right + gap, bottom - h),
        (left - gap - w, bottom - h),
    ]
    above_and_below = [
        (left, bottom + gap),
        (left, top - gap - h),
        (right - w, bottom + gap),
        (right - w, top - gap - h),
    ]
    # On the face itself, the chin first: that tells less than eyes and mouth.
    on_the_face = [(center, bottom - h - gap), (center, top + gap)]
    outside = (at_the_sides, above_and_below) if beside else (above_and_below, at_the_sides)
    places = np.rint(np.array([*outside[0], *outside[1], *on_the_face], float))
    room = (max(0, shape[1] - w), max(0, shape[0] - h))
    corners = np.clip(places, 0, room)
    return np.column_stack([corners, np.broadcast_to([w, h], corners.shape)])


def _whole(shape):
    return np.array([[0.0, 0.0, shape[1], shape[0]]])


def _overlaps(a, b):
    """Return the area that each of the boxes (m, 4) shares with each of (n, 4): (m, n)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, :2] + a[:, None, 2:], b[None, :, :2] + b[None, :, 2:])
    return np.prod(np.clip(high - low, 0, None), axis=2)
