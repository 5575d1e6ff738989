"""``draw_faces``: boxes on a photo, and plates with emotions next to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .._utils.typing import ArrayLike, FloatArray, ImageLike, LabelArray, PixelArray
from .._utils.validation import columns_by_class
from ..emotions import label_colors
from ..images import as_photo, resize
from ._canvas import Reading, draw_plate, outline, plate_size

__all__ = ["Layout", "draw_faces", "font_size", "place_plates"]

_WHITE = (255, 255, 255)
# The longer side of an enlarged photo is at most this many times `min_side`.
_LONGEST = 4
# Font sizes in pixels: comfortable to read, and barely legible.
_COMFORTABLE, _SMALLEST = 12, 9
# What a plate shows and its font size relative to the usual one, from most to least detailed.
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
# The fraction of a face that a plate may cover if there is no free space for it.
_COVERED = 0.22


def draw_faces(
    image: ImageLike | ArrayLike,
    boxes: ArrayLike,
    labels: Sequence[str] | LabelArray,
    y_proba: ArrayLike | None,
    classes: Sequence[str] | LabelArray,
    *,
    titles: Sequence[str | None] | None = None,
    min_side: int | None = None,
) -> PixelArray:
    """Draw the faces of a photo: a box, the emotion, and small bars of all probabilities.

    Box and plate have the colour of the emotion, see :data:`~fer_sklearn.EMOTION_COLORS`, with a
    light outline to separate them from a background of the same colour. Text and lines scale with
    the image and its faces. If there is room, plates stay inside the image and cover neither faces
    nor each other; if there is little, the bars shrink to one strip of all probabilities, or only
    the emotion is shown.

    Parameters
    ----------
    image : str, path-like, or array-like of shape (h, w), (h, w, 3) or (h, w, 4)
        The photo, as :func:`~fer_sklearn.detect_faces` takes it. It is not modified.
    boxes : array-like of shape (n_faces, 4)
        Left, top, width and height of each face in pixels of the image. Boxes are clipped to the
        image; a face that lies outside it is not drawn.
    labels : array-like of shape (n_faces,)
        The emotion of each face.
    y_proba : array-like of shape (n_faces, n_classes) or None
        Class probabilities, in [0, 1], in the order of `classes`. If None, no bars are drawn; nor
        are they for a row that contains NaN, which stands for an estimator without
        ``predict_proba``.
    classes : sequence of n_classes str
        The names of the columns of `y_proba`.
    titles : sequence of n_faces (str or None), default=None
        Text before the emotion, such as ``"face 2"``.
    min_side : int or None, default=None
        Enlarge an image whose shorter side is below this many pixels, and add a margin at the right
        for the bars if a single face fills it; 320 is suitable for viewing. If None, the size is
        kept, as for frames of a video.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8
        RGB; as large as `image`, except with `min_side`.

    Raises
    ------
    ValueError
        If the lengths differ, a box is not finite, `min_side` is not positive, or `image` is
        not a photo.
    ImageReadError
        If `image` is a file that cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> from fer_sklearn import draw_faces
    >>> photo = np.zeros((240, 320, 3), dtype=np.uint8)
    >>> annotated = draw_faces(photo, [[40, 40, 90, 90]], ["happy"], [[0.9, 0.1]], ["happy", "sad"])
    >>> annotated.shape
    (240, 320, 3)
    """
    if min_side is not None and min_side < 1:
        raise ValueError(f"min_side={min_side!r}; expected an int of at least 1, or None.")
    photo = as_photo(image, name="image")
    faces = _check(boxes, labels, y_proba, classes, titles)
    photo, all_boxes = _enlarge(photo, faces.boxes, min_side)
    canvas = _rgb_copy(photo)
    shown_boxes, is_shown = _inside(all_boxes, canvas.shape)
    if not len(shown_boxes):
        return canvas
    colors = {name: _rgb(code) for name, code in label_colors([*classes, *faces.labels]).items()}
    readings = [
        _reading(faces.labels[i], faces.y_proba[i], classes, faces.titles[i], colors)
        for i in np.flatnonzero(is_shown).tolist()
    ]
    font = font_size(canvas.shape, shown_boxes)
    for box, reading in zip(shown_boxes, readings, strict=True):
        _draw_box(canvas, box, reading.color, font)
    if min_side is not None:
        canvas = _with_margin(canvas, shown_boxes, readings, font)
    layout = place_plates(canvas.shape, shown_boxes, readings, font)
    for (x, y), reading in zip(layout.corners, readings, strict=True):
        draw_plate(canvas, reading, x, y, layout.level, layout.font)
    return canvas


class _FaceArguments(NamedTuple):
    """The arguments of `draw_faces` as arrays and lists of equal length."""

    boxes: FloatArray
    labels: list[str]
    y_proba: FloatArray
    titles: list[str | None]


def _check(boxes, labels, y_proba, classes, titles):
    boxes = np.asarray(boxes, dtype=np.float64)
    boxes = boxes.reshape(0, 4) if boxes.size == 0 else boxes
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(
            f"boxes has shape {boxes.shape}; expected (n, 4): left, top, width, height."
        )
    if not np.isfinite(boxes).all():
        raise ValueError("boxes has NaN or infinite values; expected pixels of the image.")
    n, k = len(boxes), len(classes)
    labels = [str(label) for label in labels]
    titles = [None] * n if titles is None else list(titles)
    for name, items in (("labels", labels), ("titles", titles)):
        if len(items) != n:
            raise ValueError(f"{name} has {len(items)} item(s) for {n} box(es); expected one each.")
    if y_proba is None or n == 0:
        y_proba = np.full((n, k), np.nan)
    y_proba = columns_by_class(y_proba, np.asarray(classes), "y_proba")
    y_proba = np.asarray(y_proba, dtype=np.float64)
    if y_proba.shape != (n, k):
        raise ValueError(
            f"y_proba has shape {y_proba.shape}; expected ({n}, {k}): one row per box, one column "
            f"per class."
        )
    return _FaceArguments(boxes, labels, np.clip(y_proba, 0, 1), titles)


def _rgb_copy(photo):
    if photo.ndim == 2:
        return np.repeat(photo[:, :, None], 3, axis=2)
    return np.array(photo, order="C")


def _rgb(code):
    """Convert "#RRGGBB" to three numbers."""
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
    height, width = photo.shape[:2]
    scale = min(min_side / min(height, width), max(1.0, _LONGEST * min_side / max(height, width)))
    if scale <= 1:
        return photo, boxes
    return resize(photo, (round(height * scale), round(width * scale))), boxes * scale


def _inside(boxes, shape):
    """Clip boxes to the image; return those left, and which they are."""
    low = np.clip(boxes[:, :2], 0, [shape[1], shape[0]])
    high = np.clip(boxes[:, :2] + boxes[:, 2:], 0, [shape[1], shape[0]])
    inside = np.hstack([low, high - low])
    shown = (inside[:, 2:] >= 1).all(axis=1)
    return inside[shown], shown


def _with_margin(canvas, boxes, readings, font):
    """Widen an image whose only face leaves no room for its bars."""
    if len(boxes) != 1 or place_plates(canvas.shape, boxes, readings, font).covered == 0:
        return canvas
    width, height = plate_size(readings[0], "bars", font)
    if height > canvas.shape[0]:
        return canvas
    margin = np.full((canvas.shape[0], width + font, 3), _WHITE, np.uint8)
    return np.hstack([canvas, margin])


def _draw_box(canvas, box, color, font):
    """Outline a face in the colour of its emotion, with a light edge on both sides."""
    left, top, width, height = box
    thickness = max(1, round(min(font / 6.5, min(width, height) / 16)))
    edge = max(1, round(thickness / 3))
    # Keep the outer edge of a box at the border inside the image.
    inset = thickness / 2 + edge
    x = np.clip([left, left + width], inset, canvas.shape[1] - 1 - inset)
    y = np.clip([top, top + height], inset, canvas.shape[0] - 1 - inset)
    frame = (x[0], y[0], x[1] - x[0], y[1] - y[0])
    radius = min(0.08 * min(width, height), 1.2 * font)
    outline(canvas, frame, _WHITE, thickness=thickness + 2 * edge, radius=radius)
    outline(canvas, frame, color, thickness=thickness, radius=radius)


@dataclass(frozen=True)
class Layout:
    """Positions of the plates, what they show, and their font size."""

    corners: list[tuple[int, int]]  # x, y of the top left corner of each plate, in pixels
    level: str
    font: int
    covered: float  # largest fraction of a face that plates cover
    legible: bool  # no plate covers another or is cut off


def font_size(shape: tuple[int, ...], boxes: FloatArray) -> int:
    """Return the font size, in pixels, that suits an image and its faces.

    It grows with the faces, from a size that is legible when the whole image is shown (a 40th of
    its shorter side) to one that is not obtrusive (a 20th).
    """
    short = min(shape[:2])
    wanted = 0.1 * float(np.median(boxes[:, 3])) if len(boxes) else 0.0
    return max(_COMFORTABLE, round(float(np.clip(wanted, short / 40, short / 20))))


def place_plates(
    shape: tuple[int, ...], boxes: FloatArray, readings: Sequence[Reading], font: int
) -> Layout:
    """Choose the most detailed plates that fit, all of one kind and size.

    Parameters
    ----------
    shape : tuple
        Shape of the image, height and width first.
    boxes : ndarray of shape (n, 4), float64
        Left, top, width, height of the faces, within the image.
    readings : list of n Reading
    font : int
        Largest font size in pixels, from :func:`font_size`.

    Returns
    -------
    Layout
        The first that covers no face and no other plate; else the first that covers little of
        each face; else the one that covers least.
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
    """Place plates of one kind one by one; return the layout and the cost of collisions.

    Bars are all or nothing: the first collision ends the trial.
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
    """Return candidate boxes of a plate, best first: (m, 4) integers, moved into the image."""
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
    # On the face itself, the chin comes first: it shows less emotion than eyes and mouth.
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
