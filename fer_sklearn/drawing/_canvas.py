"""Text, rounded shapes and plates on RGB arrays, drawn in place and antialiased."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import numpy as np

from .._utils.compat import cv2
from .._utils.typing import PixelArray
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

#: RGB, 0..255.
Color: TypeAlias = tuple[int, int, int]
#: Left, top, width and height in pixels.
Box: TypeAlias = tuple[float, float, float, float]

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
    """Return DejaVu Sans, which matplotlib includes: legible when small, Latin to Cyrillic."""
    import matplotlib
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", name)
    # The basic layout is twice as fast as the one for Arabic and Indic scripts, which the font
    # lacks.
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def line_height(size: int) -> int:
    """Return the height of a line of text, in pixels."""
    return sum(_font(size, False).getmetrics())


@lru_cache(maxsize=1024)
def text_width(text: str, size: int, *, bold: bool = False) -> int:
    """Return the width of a line of text, in pixels."""
    return int(np.ceil(_font(size, bold).getlength(text)))


@lru_cache(maxsize=256)
def _text_mask(text, size, bold):
    """Return the coverage of each pixel by a line of text: uint8 (h, w)."""
    from PIL import Image, ImageDraw

    ascent, descent = _font(size, bold).getmetrics()
    # A letter may exceed its advance by a pixel or two.
    mask = Image.new("L", (text_width(text, size, bold=bold) + 2, ascent + descent))
    ImageDraw.Draw(mask).text((0, ascent), text, 255, _font(size, bold), anchor="ls")
    return np.asarray(mask)


def write(
    canvas: PixelArray, text: str, x: int, y: int, size: int, color: Color, *, bold: bool = False
) -> int:
    """Write a line of text with its top left corner at x, y; return the x where it ends.

    Parameters
    ----------
    canvas : ndarray of shape (h, w, 3), uint8
        Modified in place; text that does not fit is cut off.
    text : str
    x, y : int
        Position in pixels.
    size : int
        Font size in pixels.
    color : tuple of 3 int
        RGB, 0..255.
    bold : bool, default=False
    """
    _blend(canvas, _text_mask(text, size, bold), x, y, color)
    return x + text_width(text, size, bold=bold)


def fill(
    canvas: PixelArray, box: Box, color: Color, *, radius: float = 0.0, opacity: float = 1.0
) -> None:
    """Fill a rectangle with rounded corners.

    Parameters
    ----------
    canvas : ndarray of shape (h, w, 3), uint8
        Modified in place.
    box : tuple of 4 float
        Left, top, width, height in pixels.
    color : tuple of 3 int
        RGB, 0..255.
    radius : float, default=0.0
        Corner radius in pixels; limited to half the shorter side.
    opacity : float, default=1.0
        0 is transparent, 1 is opaque.
    """
    left, top, width, height = box
    if width <= 0 or height <= 0:
        return
    # OpenCV fills half a pixel more on each side, so subtract 1.
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


def outline(canvas: PixelArray, box: Box, color: Color, *, thickness: int, radius: float) -> None:
    """Draw a rectangle with rounded corners; half of the line is inside `box`.

    Parameters
    ----------
    canvas, box, color, radius
        As in :func:`fill`.
    thickness : int
        Line width in pixels.
    """
    polygon = _rounded(box, radius)
    cv2.polylines(canvas, [polygon], True, color, thickness, cv2.LINE_AA, _SHIFT)


def readable_on(color: Color) -> Color:
    """Return near-black or white, whichever contrasts more with `color`, in RGB 0..255."""
    return _WHITE if is_dark([level / 255 for level in color]) else _BLACK


def _rounded(box, radius):
    """Return the outline of a rectangle with rounded corners, in 2**-_SHIFT pixels."""
    left, top, width, height = box
    radius = max(0.0, min(radius, width / 2, height / 2))
    inner = np.array([max(0.0, width - 2 * radius), max(0.0, height - 2 * radius)])
    points = _CORNERS * inner + _ARCS * radius + (left + radius, top + radius)
    return np.rint(points * 2**_SHIFT).astype(np.int32)


def _blend(canvas, mask, x, y, color):
    """Blend a colour into the canvas with a mask, 0..255, whose top left corner is at x, y."""
    height, width = canvas.shape[:2]
    top, left = max(0, -y), max(0, -x)
    mask = mask[top : max(top, height - y), left : max(left, width - x)]
    if mask.size == 0:
        return
    y, x = y + top, x + left
    part = canvas[y : y + mask.shape[0], x : x + mask.shape[1]]
    mask = cv2.merge((mask, mask, mask))
    levels = np.rint(np.arange(256)[:, None] / 255 * np.array(color)).astype(np.uint8)
    paint = cv2.LUT(mask, levels[:, None])
    part[:] = cv2.add(cv2.multiply(part, cv2.bitwise_not(mask), scale=1 / 255), paint)


@dataclass(frozen=True)
class Reading:
    """The predictions for one face, and the colours in which they are drawn."""

    title: str
    label: str
    color: Color  # of the label
    names: tuple[str, ...]  # of the classes
    colors: tuple[Color, ...]  # of the classes
    probabilities: tuple[float, ...] | None  # in the order of the classes

    def headline(self, level: str) -> list[tuple[str, bool]]:
        """Return the parts of the first line, each with whether it is bold."""
        parts = [(self.title, False)] if self.title else []
        parts.append((self.label, True))
        if level != "name" and self.probabilities is not None and self.label in self.names:
            probability = self.probabilities[self.names.index(self.label)]
            parts.append((f"{100 * probability:.0f} %", False))
        return parts


def plate_size(reading: Reading, level: str, size: int) -> tuple[int, int]:
    """Return the size of a plate.

    Parameters
    ----------
    reading : Reading
    level : {"bars", "strip", "line", "name"}
        A headline with one named bar per class below it, with one strip of all
        probabilities, alone, or alone and without the percentage. Without probabilities, the
        headline is always alone.
    size : int
        Font size of the headline in pixels.

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


def draw_plate(canvas: PixelArray, reading: Reading, x: int, y: int, level: str, size: int) -> None:
    """Draw a plate with its top left corner at x, y; see :func:`plate_size` for the rest."""
    grid = _Grid.of(reading, level, size)
    width, height = plate_size(reading, level, size)
    radius = 0.3 * size
    if height > grid.head:
        fill(canvas, (x, y, width, height), _PAPER, radius=radius, opacity=_OPACITY)
    else:
        # A thin light edge separates the plate from a background of the same colour.
        fill(canvas, (x - 1, y - 1, width + 2, height + 2), _PAPER, radius=radius, opacity=0.7)
    fill(canvas, (x, y, width, grid.head), reading.color, radius=radius)
    if height > grid.head:
        # Only the outer corners are rounded.
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
    """The dimensions of a plate in pixels."""

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
    """Draw one row per class: its name and a bar, whose full length is a probability of 1."""
    thickness = max(4, round(0.62 * grid.row_font))
    left = x + grid.names_width + grid.gap
    length = x + width - left
    rows = zip(reading.names, reading.colors, reading.probabilities, strict=True)
    for i, (name, color, probability) in enumerate(rows):
        top = y + i * grid.row
        text_top = top + (grid.row - line_height(grid.row_font)) // 2
        bold = name == reading.label
        write(canvas, name, x, text_top, grid.row_font, _INK, bold=bold)
        bar_top = top + (grid.row - thickness) // 2
        radius = min(2.0 + 0.05 * grid.row_font, thickness / 2)
        fill(canvas, (left, bar_top, length, thickness), _TRACK, radius=radius)
        # Even improbable classes show a sliver of their colour.
        filled = max(2.0, length * probability)
        fill(canvas, (left, bar_top, filled, thickness), color, radius=min(radius, filled / 2))


def _draw_strip(canvas, reading, box):
    """Draw all probabilities as one bar of segments."""
    left, top, width, height = box
    inset = max(1, round(0.22 * height))
    ends = np.rint(left + width * np.cumsum((0.0, *reading.probabilities))).astype(int)
    ends = np.minimum(ends, left + width)
    for color, start, end in zip(reading.colors, ends[:-1], ends[1:], strict=True):
        fill(canvas, (start, top + inset, end - start, height - 2 * inset), color)
