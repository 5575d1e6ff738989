"""Accuracy of the predictions that are kept, by coverage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._utils.typing import ArrayLike
from ..evaluation._metrics import CoverageCurve, coverage_curve
from ._base import ScoredDisplay, model_lines, model_style, show_percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

__all__ = ["CoverageAccuracyDisplay"]

# Thresholds of confidence that are marked on the curve, and their markers.
_MARKED = {0.5: "o", 0.7: "s", 0.9: "^"}
# Below this fraction of images, accuracy jumps with each of them; it may leave the axes.
_FEW = 0.05


class CoverageAccuracyDisplay(ScoredDisplay):
    """Accuracy of the predictions that a model makes, by the fraction of images it predicts.

    Create it with :meth:`from_estimator` or :meth:`from_predictions`. At the right end the model
    predicts every image; to the left, it abstains from the least confident ones. The markers
    show where the required confidence is 50, 70 and 90 %.

    Parameters
    ----------
    curve : CoverageCurve, or a tuple of three array-likes of shape (n_thresholds,)
        ``threshold``, ``coverage`` and ``accuracy``, the first ascending.
    name : str, default=None
        Name of the model in the legend.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes, after :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure of `ax_`.
    line_ : matplotlib.lines.Line2D
        The curve.
    marks_ : dict of float to matplotlib.lines.Line2D
        The marked thresholds, those that lie within the curve's.

    Examples
    --------
    >>> display = CoverageAccuracyDisplay.from_predictions(
    ...     ["happy", "sad"], [[0.8, 0.2], [0.6, 0.4]], labels=["happy", "sad"]
    ... )
    >>> display.line_.get_xydata().tolist()
    [[1.0, 0.5], [0.5, 1.0]]
    """

    line_: Line2D
    marks_: dict[float, Line2D]

    def __init__(
        self,
        curve: CoverageCurve | tuple[ArrayLike, ArrayLike, ArrayLike],
        *,
        name: str | None = None,
    ):
        self.curve = curve
        self.name = name

    @classmethod
    def _from_scored(cls, scored, **options):
        return cls(coverage_curve(scored.correct, scored.confidence), **options)

    def plot(self, *, ax: Axes | None = None) -> CoverageAccuracyDisplay:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            The axes to draw in; they can contain the curves of other models. If None, those of a
            new figure.

        Returns
        -------
        CoverageAccuracyDisplay
            This display, with all attributes set.
        """
        _, coverage, accuracy = curve = _checked(self.curve)
        ax = self._use_axes(ax, (4.6, 3.6))
        style = model_style(ax)
        label = f"{100 * accuracy[0]:.1f} % on all images"
        (self.line_,) = ax.plot(
            coverage,
            accuracy,
            **style._asdict() | {"marker": None},
            label=label if self.name is None else f"{self.name}: {label}",
        )
        self.marks_ = _draw_marks(ax, curve, style.color, named=len(model_lines(ax)) == 1)
        for axis in (ax.xaxis, ax.yaxis):
            show_percent(axis)
        ax.set(xlabel="Coverage: fraction of images predicted", ylabel="Accuracy on them")
        ax.set(xlim=(0, 1.02), ylim=(max(_lowest_accuracy(ax) - 0.1, -0.02), 1.02))
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(loc="lower left", fontsize="small", framealpha=0.9)
        return self


def _checked(curve):
    curve = CoverageCurve(*(np.asarray(part, dtype=np.float64) for part in curve))
    if curve.coverage.ndim != 1 or not len(curve.coverage) or len({p.shape for p in curve}) > 1:
        raise ValueError(
            f"curve has parts of the shapes {', '.join(str(part.shape) for part in curve)}; "
            f"expected threshold, coverage and accuracy, each (n_thresholds,), at least one."
        )
    return curve


def _draw_marks(ax, curve, color, named):
    """Mark the thresholds on the curve, with or without their names."""
    marks = {}
    for mark, marker in _MARKED.items():
        # The mark has the coverage of the first threshold that reaches it.
        i = int(np.searchsorted(curve.threshold, mark))
        if not 0 < i < len(curve.threshold):
            continue
        place = curve.coverage[i], curve.accuracy[i]
        (marks[mark],) = ax.plot(*place, marker, color=color, markersize=6)
        if named:
            text = f"≥ {100 * mark:.0f} %"
            offset = {"xytext": (5, 5), "textcoords": "offset points"}
            ax.annotate(text, place, **offset, fontsize="small", color=color)
    return marks


def _lowest_accuracy(ax):
    """Return the lowest accuracy in `ax`, ignoring coverages of a few images."""
    curves = (np.asarray(line.get_xydata()) for line in model_lines(ax))
    return min(curve[curve[:, 0] >= _FEW, 1].min() for curve in curves)
