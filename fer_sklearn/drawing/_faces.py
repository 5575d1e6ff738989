"""Boxes and plates on a photo."""

from dataclasses import dataclass

import numpy as np

from ..emotions import label_colors
from ..images import as_photo
from ._canvas import Reading, draw_plate, outline, plate_size

__all__ = ["Layout", "draw_faces", "font_size", "place_plates"]

_WHITE = (255, 255, 255)
# The side of a picture that is enlarged grows to this many times `min_side` at most.
_LONGEST = 4
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


def draw_faces(image, boxes, labels, probabilities, classes, *, titles=None, min_side=None):
    """Draw the faces of a photo: a box, the emotion, and small bars of all probabilities.

    Box and plate have the colour of the emotion, see :data:`~fer_sklearn.EMOTION_COLORS`,
    with a light edge that parts them from a ground of that colour. Letters and lines scale
    with the picture and its faces. Plates stay inside the picture and off faces and each
    other where there is room; where there is little, the bars become one strip of all
    probabilities, or the emotion stands alone.

    Parameters
    ----------
    image : str, path-like, or array-like of shape (h, w), (h, w, 3) or (h, w, 4)
        The photo, as :func:`~fer_sklearn.detect_faces` takes it. It is not changed.
    boxes : array-like of shape (n, 4)
        Left, top, width and height of each face in pixels of the photo. What lies outside of
        it is cut off; a face that does altogether is left out.
    labels : array-like of shape (n,)
        The emotion of each face.
    probabilities : array-like of shape (n, k) or None
        Between 0 and 1, in the order of `classes`. A row with NaN, as a model without
        ``predict_proba`` gives, has no bars, and neither has any with None.
    classes : sequence of k str
        The names of the columns.
    titles : sequence of n (str or None), default=None
        What to write before the emotion, such as ``"face 2"``.
    min_side : int, default=None
        A photo whose shorter side is below this many pixels is enlarged to it, and one that
        a single face fills gets a margin at its right for the bars; 320 suits pictures to
        look at. None keeps the size, as a film needs.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8
        An RGB picture, as large as `image` but for `min_side`.

    Raises
    ------
    ValueError
        If the lengths do not agree, a box is not finite, `min_side` is not positive, or
        `image` is no photo.
    ImageReadError
        If it is a file that cannot be read.

    Examples
    --------
    >>> photo = np.zeros((240, 320, 3), dtype=np.uint8)
    >>> picture = draw_faces(photo, [[40, 40, 90, 90]], ["happy"], [[0.9, 0.1]], ["happy", "sad"])
    >>> picture.shape
    (240, 320, 3)
    """
    if min_side is not None and min_side < 1:
        raise ValueError(f"min_side={min_side!r} must be at least 1, or None.")
    photo = as_photo(image, name="image")
    boxes, labels, probabilities, titles = _check(boxes, labels, probabilities, classes, titles)
    photo, boxes = _enlarge(photo, boxes, min_side)
    canvas = _rgb_copy(photo)
    boxes, shown = _inside(boxes, canvas.shape)
    if not len(boxes):
        return canvas
    colors = {name: _rgb(code) for name, code in label_colors([*classes, *labels]).items()}
    readings = [
        _reading(labels[i], probabilities[i], classes, titles[i], colors)
        for i in np.flatnonzero(shown)
    ]
    font = font_size(canvas.shape, boxes)
    for box, reading in zip(boxes, readings, strict=True):
        _draw_box(canvas, box, reading.color, font)
    if min_side is not None:
        canvas = _with_margin(canvas, boxes, readings, font)
    layout = place_plates(canvas.shape, boxes, readings, font)
    for (x, y), reading in zip(layout.corners, readings, strict=True):
        draw_plate(canvas, reading, x, y, layout.level, layout.font)
    return canvas


def _check(boxes, labels, probabilities, classes, titles):
    """Return the arguments as arrays and lists of one length."""
    boxes = np.asarray(boxes, dtype=np.float64)
    boxes = boxes.reshape(0, 4) if boxes.size == 0 else boxes
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(
            f"boxes has shape {boxes.shape}; expected (n, 4): left, top, width, height."
        )
    if not np.isfinite(boxes).all():
        raise ValueError("boxes has NaN or infinite values; expected pixels of the photo.")
    n, k = len(boxes), len(classes)
    labels = [str(label) for label in labels]
    titles = [None] * n if titles is None else list(titles)
    for name, items in (("labels", labels), ("titles", titles)):
        if len(items) != n:
            raise ValueError(f"{name} has {len(items)} item(s) for {n} box(es); expected one each.")
    if probabilities is None or n == 0:
        probabilities = np.full((n, k), np.nan)
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if probabilities.shape != (n, k):
        raise ValueError(
            f"probabilities has shape {probabilities.shape}; expected ({n}, {k}): a row for each "
            f"of the boxes, a column for each of the classes."
        )
    return boxes, labels, np.clip(probabilities, 0, 1), titles


def _rgb_copy(photo):
    if photo.ndim == 2:
        return np.repeat(photo[:, :, None], 3, axis=2)
    return np.array(photo, order="C")


def _rgb(code):
    """Turn "#RRGGBB" into three numbers."""
    return tuple(bytes.fromhex(code.removeprefix("#")))


def _reading(label, probabilities, classes, title, colors):
    names = tuple(str(name) for name in classes)
    known = len(names) > 0 and np.isfinite(probabilities).all()
    return Reading(
        title=title or "",
        label=label,
        color=colors[label],
        names=names,
        colors=tuple(colors[name] for name in names),
        probabilities=tuple(probabilities.tolist()) if known else None,
    )


def _enlarge(photo, boxes, min_side):
    """Scale a small photo and its boxes up."""
    if min_side is None:
        return photo, boxes
    import cv2

    height, width = photo.shape[:2]
    scale = min(min_side / min(height, width), max(1.0, _LONGEST * min_side / max(height, width)))
    if scale <= 1:
        return photo, boxes
    size = (round(width * scale), round(height * scale))
    return cv2.resize(photo, size, interpolation=cv2.INTER_CUBIC), boxes * scale


def _inside(boxes, shape):
    """Cut boxes off at the picture's border; return those left, and which they are."""
    low = np.clip(boxes[:, :2], 0, [shape[1], shape[0]])
    high = np.clip(boxes[:, :2] + boxes[:, 2:], 0, [shape[1], shape[0]])
    inside = np.hstack([low, high - low])
    shown = (inside[:, 2:] >= 1).all(axis=1)
    return inside[shown], shown


def _with_margin(canvas, boxes, readings, font):
    """Widen a picture whose only face leaves no room for its bars."""
    if len(boxes) != 1 or place_plates(canvas.shape, boxes, readings, font).covered == 0:
        return canvas
    width, height = plate_size(readings[0], "bars", font)
    if height > canvas.shape[0]:
        return canvas
    margin = np.full((canvas.shape[0], width + font, 3), _WHITE, np.uint8)
    return np.hstack([canvas, margin])


def _draw_box(canvas, box, color, font):
    """Outline a face in its emotion's colour, with a light edge on both sides."""
    left, top, width, height = box
    thickness = max(1, round(min(font / 6.5, min(width, height) / 16)))
    edge = max(1, round(thickness / 3))
    # The outer edge of a box at the border of the picture would lie outside.
    inset = thickness / 2 + edge
    x = np.clip([left, left + width], inset, canvas.shape[1] - 1 - inset)
    y = np.clip([top, top + height], inset, canvas.shape[0] - 1 - inset)
    frame = (x[0], y[0], x[1] - x[0], y[1] - y[0])
    radius = min(0.08 * min(width, height), 1.2 * font)
    outline(canvas, frame, _WHITE, thickness=thickness + 2 * edge, radius=radius)
    outline(canvas, frame, color, thickness=thickness, radius=radius)


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
