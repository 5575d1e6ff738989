"""Shared by all plots: colours, figures, axes, and fitting of text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._utils.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

__all__ = [
    "BLUE",
    "VERMILION",
    "ModelStyle",
    "as_axes",
    "fit_text",
    "model_lines",
    "model_style",
    "new_figure",
    "show_percent",
    "shrink_text",
    "text_width",
]

#: Two colours of Okabe & Ito 2008 that everyone can tell apart.
BLUE, VERMILION = "#0072B2", "#D55E00"
# Models in one plot also differ by marker and dashes, because colours may be lost in print.
_MODEL_COLORS = (BLUE, VERMILION, "#009E73", "#CC79A7", "#333333", "#E69F00")
_MODEL_MARKERS = ("o", "s", "^", "D", "v", "P")
_MODEL_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
# Identifies the line of a model among the other lines of its axes.
_MODEL_LINE = "fer_sklearn model"

# Points; smaller text cannot be read.
_SMALLEST = 5.0


class ModelStyle(NamedTuple):
    """Style of a model's line; ``_asdict()`` goes into ``Axes.plot``."""

    color: str
    marker: str
    linestyle: str | tuple
    gid: str = _MODEL_LINE


def new_figure(figsize: tuple[float, float]) -> Figure:
    """Return a pyplot figure of `figsize` inches, like scikit-learn's displays."""
    # The constrained layout makes room for labels, which would be clipped without it.
    import matplotlib.pyplot as plt

    return plt.figure(figsize=figsize, layout="constrained")


def as_axes(axes: Any, n: int, reason: str) -> NDArray[Any]:
    """Return `n` axes as an array; `reason` ends the error message for another number."""
    axes = np.ravel(axes)
    if len(axes) != n:
        raise ValueError(f"axes has {len(axes)} item(s); expected {n}, {reason}.")
    return axes


def model_lines(ax: Axes) -> list[Line2D]:
    """Return the lines in `ax` that were drawn in a :class:`ModelStyle`."""
    return [line for line in ax.lines if line.get_gid() == _MODEL_LINE]


def model_style(ax: Axes) -> ModelStyle:
    """Return the style of the next model's line in `ax`; styles repeat after six."""
    turn = len(model_lines(ax)) % len(_MODEL_COLORS)
    return ModelStyle(_MODEL_COLORS[turn], _MODEL_MARKERS[turn], _MODEL_DASHES[turn])


def show_percent(axis: Axis) -> None:
    """Label fractions along an axis as percentages."""
    axis.set_major_formatter(lambda fraction, _position: f"{100 * fraction:.3g} %")


def text_width(text: Text) -> float:
    """Return the width of a matplotlib text in inches."""
    return text.get_window_extent().width / _dpi(text)


def _dpi(text):
    return text.get_figure(root=True).dpi


def _points(text):
    return float(text.get_fontsize())


def shrink_text(text: Text, width: float, *, smallest: float = 1.0) -> None:
    """Reduce the font size of a matplotlib text so that it is at most `width` inches wide."""
    if text_width(text) > width:
        text.set_fontsize(max(smallest, _points(text) * width / text_width(text)))
    # Glyphs have whole pixels, so the width changes in steps and must be measured again.
    while text_width(text) > width and _points(text) > smallest:
        text.set_fontsize(max(smallest, _points(text) - 0.25))


def fit_text(text: Text, width: float) -> None:
    """Make a matplotlib text at most `width` inches wide: smaller and, if necessary, shorter."""
    shrink_text(text, width, smallest=_SMALLEST)
    lines = text.get_text().split("\n")
    longest = max(map(len, lines))
    while text_width(text) > width and longest > 2:
        longest -= 1
        cut = (line if len(line) <= longest else line[: longest - 1] + "…" for line in lines)
        text.set_text("\n".join(cut))
