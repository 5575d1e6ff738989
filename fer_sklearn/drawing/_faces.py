"""Boxes and plates on a photo."""

import numpy as np

from ..emotions import label_colors
from ..images import as_photo
from ._canvas import outline
from ._layout import font_size, place_plates
from ._plate import Reading, draw_plate, plate_size

__all__ = ["draw_faces"]

_WHITE = (255, 255, 255)
# The side of a picture that is enlarged grows to this many times `min_side` at most.
_LONGEST = 4


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
