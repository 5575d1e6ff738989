"""Text and rounded shapes on RGB arrays, in place, with smooth edges."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..emotions import is_dark

__all__ = [
    "Reading",
    "draw_plate",
    "fill",
    "line_height",
    "outline",
    "plate_size",
    "readable_on",
    "text_width",
    "write",
]

_BLACK, _WHITE = (28, 28, 30), (255, 255, 255)
_PAPER, _INK, _TRACK = (255, 255, 255), (28, 28, 30), (224, 224, 226)
_OPACITY = 0.86
# OpenCV takes coordinates in 2**-_SHIFT pixels.
_SHIFT = 4
# The points of a circle, clockwise from the right, and the corner that each belongs to.
_ANGLES = np.linspace(0, np.pi / 2, 9) + np.pi / 2 * np.arange(4)[:, None]
_ARCS = np.column_stack([np.cos(_ANGLES).ravel(), np.sin(_ANGLES).ravel()])
_CORNERS = np.repeat([[1, 1], [0, 1], [0, 0], [1, 0]], 9, axis=0)


@lru_cache(maxsize=64)
def _font(size, bold):
    """Return DejaVu Sans, which comes with matplotlib: clear when small, Latin to Cyrillic."""
    import matplotlib
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", name)
    # The basic layout takes half the time of the one for Arabic and Indic scripts, which
    # the font lacks.
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def line_height(size):
    """Return the pixels from the top of the highest to the bottom of the lowest letter."""
    return sum(_font(size, False).getmetrics())


@lru_cache(maxsize=1024)
def text_width(text, size, *, bold=False):
    """Return the width of a line of text, in pixels."""
    return int(np.ceil(_font(size, bold).getlength(text)))


@lru_cache(maxsize=256)
def _text_mask(text, size, bold):
    """Return how much of each pixel a line of text covers: uint8 (h, w)."""
    from PIL import Image, ImageDraw

    ascent, descent = _font(size, bold).getmetrics()
    # A letter may lean over its advance by a pixel or two.
    mask = Image.new("L", (text_width(text, size, bold=bold) + 2, ascent + descent))
    ImageDraw.Draw(mask).text((0, ascent), text, 255, _font(size, bold), anchor="ls")
    return np.asarray(mask)


def write(canvas, text, x, y, size, color, *, bold=False):
    """Write a line of text whose top left corner is at x, y; return where it ends, in x.

    Parameters
    ----------
    canvas : ndarray of shape (h, w, 3), uint8
        Written on; what does not fit is cut off.
    text : str
    x, y : int
        Pixels.
    size : int
        Of the font, in pixels.
    color : tuple of 3 int
        RGB, 0..255.
    bold : bool, default=False

    Returns
    -------
    int
    """
    _blend(canvas, _text_mask(text, size, bold), x, y, color)
    return x + text_width(text, size, bold=bold)


def fill(canvas, box, color, *, radius=0.0, opacity=1.0):
    """Fill a rectangle with round corners.

    Parameters
    ----------
    canvas : ndarray of shape (h, w, 3), uint8
        Painted on.
    box : tuple of 4 float
        Left, top, width, height in pixels.
    color : tuple of 3 int
        RGB, 0..255.
    radius : float, default=0.0
        Of the corners, in pixels; at most half the shorter side is used.
    opacity : float, default=1.0
        0 leaves what is there, 1 hides it.
    """
    import cv2

    left, top, width, height = box
    if width <= 0 or height <= 0:
        return
    # Around a pixel's centre OpenCV paints half a pixel more on each side, hence the -1.
    if opacity == 1:
        polygon = _rounded((left, top, width - 1, height - 1), radius)
        cv2.fillPoly(canvas, [polygon], color, cv2.LINE_AA, _SHIFT)
        return
    x, y = int(np.floor(left)), int(np.floor(top))
    shape = (int(np.ceil(top + height)) - y, int(np.ceil(left + width)) - x)
    mask = np.zeros(shape, np.uint8)
    polygon = _rounded((left - x, top - y, width - 1, height - 1), radius)
    cv2.fillPoly(mask, [polygon], round(255 * opacity), cv2.LINE_AA, _SHIFT)
    _blend(canvas, mask, x, y, color)


def outline(canvas, box, color, *, thickness, radius):
    """Draw a rectangle with round corners, its line half inside and half outside of `box`.

    Parameters
    ----------
    canvas, box, color, radius
        As :func:`fill` takes them.
    thickness : int
        Of the line, in pixels.
    """
    import cv2

    polygon = _rounded(box, radius)
    cv2.polylines(canvas, [polygon], True, color, thickness, cv2.LINE_AA, _SHIFT)


def readable_on(color):
    """Return near-black or white, whichever contrasts more with `color`."""
    return _WHITE if is_dark([level / 255 for level in color]) else _BLACK


def _rounded(box, radius):
    """Return the corner points of a rectangle with round corners, in 2**-_SHIFT pixels."""
    left, top, width, height = box
    radius = max(0.0, min(radius, width / 2, height / 2))
    inner = np.array([max(0.0, width - 2 * radius), max(0.0, height - 2 * radius)])
    points = _CORNERS * inner + _ARCS * radius + (left + radius, top + radius)
    return np.rint(points * 2**_SHIFT).astype(np.int32)


def _blend(canvas, mask, x, y, color):
    """Mix a colour into the canvas by a mask, 0..255, whose top left corner is at x, y."""
    import cv2

    height, width = canvas.shape[:2]
    top, left = max(0, -y), max(0, -x)
    mask = mask[top : max(top, height - y), left : max(left, width - x)]
    if mask.size == 0:
        return
    y, x = y + top, x + left
    part = canvas[y : y + mask.shape[0], x : x + mask.shape[1]]
    mask = cv2.merge((mask, mask, mask))
    shares = np.rint(np.arange(256)[:, None] / 255 * np.array(color)).astype(np.uint8)
    paint = cv2.LUT(mask, shares[:, None])
    part[:] = cv2.add(cv2.multiply(part, cv2.bitwise_not(mask), scale=1 / 255), paint)


@dataclass(frozen=True)
class Reading:
    """What a model read in a face, and in which colours that is drawn."""

    title: str
    label: str
    color: tuple  # of the label: RGB, 0..255
    names: tuple  # of the classes
    colors: tuple  # of the classes
    probabilities: tuple | None  # in the order of the classes; None if the model tells none

    def headline(self, level):
        """Return the parts of the first line, each with whether it is bold."""
        parts = [(self.title, False)] if self.title else []
        parts.append((self.label, True))
        if level != "name" and self.probabilities is not None and self.label in self.names:
            share = self.probabilities[self.names.index(self.label)]
            parts.append((f"{100 * share:.0f} %", False))
        return parts


def plate_size(reading, level, size):
    """Return how large a plate is.

    Parameters
    ----------
    reading : Reading
    level : {"bars", "strip", "line", "name"}
        A headline with a named bar for each class below, with one strip of all
        probabilities, or alone, at last without its percentage. Without probabilities it
        stands alone in any case.
    size : int
        Of the headline's font, in pixels.

    Returns
    -------
    tuple of 2 int
        Width and height in pixels.
    """
    grid = _Grid.of(reading, level, size)
    height = grid.head
    if reading.probabilities is not None and level == "strip":
        height += grid.strip
    if reading.probabilities is None or level != "bars":
        return grid.head_width, height
    width = grid.names_width + grid.gap + grid.bars_width + 2 * grid.pad
    height += 2 * grid.pad + grid.row * len(reading.names)
    return max(grid.head_width, width), height


def draw_plate(canvas, reading, x, y, level, size):
    """Draw a plate whose top left corner is at x, y; the others as in :func:`plate_size`."""
    grid = _Grid.of(reading, level, size)
    width, height = plate_size(reading, level, size)
    radius = 0.3 * size
    if height > grid.head:
        fill(canvas, (x, y, width, height), _PAPER, radius=radius, opacity=_OPACITY)
    else:
        # A thin light edge parts the plate from a ground of its own colour.
        fill(canvas, (x - 1, y - 1, width + 2, height + 2), _PAPER, radius=radius, opacity=0.7)
    fill(canvas, (x, y, width, grid.head), reading.color, radius=radius)
    if height > grid.head:
        # Only the outer corners are round.
        lower = grid.head // 2
        fill(canvas, (x, y + grid.head - lower, width, lower), reading.color)
    ink = readable_on(reading.color)
    left = x + grid.pad
    for text, bold in reading.headline(level):
        left = write(canvas, text, left, y + grid.head_top, size, ink, bold=bold) + grid.space
    if height == grid.head:
        return
    top = y + grid.head
    if level == "strip":
        _draw_strip(canvas, reading, (x + grid.pad, top, width - 2 * grid.pad, grid.strip))
    else:
        _draw_bars(canvas, reading, grid, x + grid.pad, top + grid.pad, width - 2 * grid.pad)


@dataclass(frozen=True)
class _Grid:
    """The measures of a plate, all in pixels."""

    pad: int
    gap: int
    space: int  # between the words of the headline
    head: int
    head_top: int
    head_width: int
    strip: int
    row: int
    row_font: int
    names_width: int
    bars_width: int

    @classmethod
    def of(cls, reading, level, size):
        pad, space = max(3, round(0.45 * size)), max(2, round(0.35 * size))
        parts = reading.headline(level)
        words = sum(text_width(text, size, bold=bold) for text, bold in parts)
        row_font = max(9, round(0.82 * size))
        lines = line_height(size)
        return cls(
            pad=pad,
            gap=max(3, round(0.4 * size)),
            space=space,
            head=lines + 2 * max(1, round(0.1 * size)),
            head_top=max(1, round(0.1 * size)),
            head_width=words + space * (len(parts) - 1) + 2 * pad,
            strip=max(6, round(0.75 * size)),
            row=max(11, round(1.2 * row_font)),
            row_font=row_font,
            names_width=max(text_width(name, row_font, bold=True) for name in reading.names)
            if reading.names
            else 0,
            bars_width=round(4.5 * size),
        )


def _draw_bars(canvas, reading, grid, x, y, width):
    """Draw a row for each class: its name, and a bar whose full length is a probability of 1."""
    thickness = max(4, round(0.62 * grid.row_font))
    left = x + grid.names_width + grid.gap
    length = x + width - left
    rows = zip(reading.names, reading.colors, reading.probabilities, strict=True)
    for i, (name, color, share) in enumerate(rows):
        top = y + i * grid.row
        text_top = top + (grid.row - line_height(grid.row_font)) // 2
        bold = name == reading.label
        write(canvas, name, x, text_top, grid.row_font, _INK, bold=bold)
        bar_top = top + (grid.row - thickness) // 2
        radius = min(2.0 + 0.05 * grid.row_font, thickness / 2)
        fill(canvas, (left, bar_top, length, thickness), _TRACK, radius=radius)
        # A sliver shows the colour of the unlikely ones too.
        filled = max(2.0, length * share)
        fill(canvas, (left, bar_top, filled, thickness), color, radius=min(radius, filled / 2))


def _draw_strip(canvas, reading, box):
    """Draw all probabilities end to end, each as long as it is likely."""
    left, top, width, height = box
    inset = max(1, round(0.22 * height))
    ends = np.rint(left + width * np.cumsum((0.0, *reading.probabilities))).astype(int)
    ends = np.minimum(ends, left + width)
    for color, start, end in zip(reading.colors, ends[:-1], ends[1:], strict=True):
        fill(canvas, (start, top + inset, end - start, height - 2 * inset), color)
