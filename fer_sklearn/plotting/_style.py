"""What all pictures share: colours, figures, and text that fits."""

from typing import NamedTuple

__all__ = [
    "ModelStyle",
    "fit_text",
    "model_lines",
    "model_style",
    "new_figure",
    "show_percent",
    "shrink_text",
    "text_width",
]

# Models in one picture differ by marker and dashes too, for colours may be lost in print.
_MODEL_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#333333", "#E69F00")
_MODEL_MARKERS = ("o", "s", "^", "D", "v", "P")
_MODEL_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
# Marks the one line of a model among the other lines of its axes.
_MODEL_LINE = "fer_sklearn model"

# Points; text below the smallest cannot be read.
_SMALLEST = 5.0


class ModelStyle(NamedTuple):
    """How one model's line is drawn; ``_asdict()`` goes into ``Axes.plot``."""

    color: str
    marker: str
    linestyle: str | tuple
    gid: str = _MODEL_LINE


def new_figure(size):
    """Return a pyplot figure of `size` inches, as scikit-learn's displays make one."""
    # The constrained layout makes room for labels, which would be clipped without it.
    import matplotlib.pyplot as plt

    return plt.figure(figsize=size, layout="constrained")


def model_lines(ax):
    """Return the lines in `ax` that were drawn in a :class:`ModelStyle`."""
    return [line for line in ax.lines if line.get_gid() == _MODEL_LINE]


def model_style(ax):
    """Return the style of the next model's line in `ax`; after six they repeat."""
    turn = len(model_lines(ax)) % len(_MODEL_COLORS)
    return ModelStyle(_MODEL_COLORS[turn], _MODEL_MARKERS[turn], _MODEL_DASHES[turn])


def show_percent(axis):
    """Write shares along an axis as per cent."""
    axis.set_major_formatter(lambda share, _position: f"{100 * share:.3g} %")


def text_width(text):
    """Return the width of a matplotlib text in inches, wherever it will stand."""
    return text.get_window_extent().width / text.figure.dpi


def shrink_text(text, width, *, smallest=1.0):
    """Make the letters of a matplotlib text so small that it is at most `width` inches wide."""
    if text_width(text) > width:
        text.set_fontsize(max(smallest, text.get_fontsize() * width / text_width(text)))
    # Letters have whole pixels, so that the width goes by steps and has to be looked at again.
    while text_width(text) > width and text.get_fontsize() > smallest:
        text.set_fontsize(max(smallest, text.get_fontsize() - 0.25))


def fit_text(text, width):
    """Make a matplotlib text at most `width` inches wide: smaller, and if need be shorter."""
    shrink_text(text, width, smallest=_SMALLEST)
    lines = text.get_text().split("\n")
    longest = max(map(len, lines))
    while text_width(text) > width and longest > 2:
        longest -= 1
        cut = (line if len(line) <= longest else line[: longest - 1] + "…" for line in lines)
        text.set_text("\n".join(cut))
