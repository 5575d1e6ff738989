"""The plate beside a face: its emotion as a headline, the probabilities as bars."""

from dataclasses import dataclass

import numpy as np

from ._canvas import fill, line_height, readable_on, text_width, write

__all__ = ["Reading", "draw_plate", "plate_size"]

_PAPER, _INK, _TRACK = (255, 255, 255), (28, 28, 30), (224, 224, 226)
_OPACITY = 0.86


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
