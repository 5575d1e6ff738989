"""Precision and recall of every emotion, over all thresholds of its probability."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import average_precision_score, precision_recall_curve

from .._utils.typing import FloatArray
from ..emotions import label_colors
from ._base import ScoredDisplay

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

__all__ = ["PrecisionRecallDisplay"]

_F1_LEVELS = (0.2, 0.4, 0.6, 0.8)
_FAINT = "#BBBBBB"


class PrecisionRecallDisplay(ScoredDisplay):
    """Precision against recall, with one curve per emotion, each against all others.

    Create it with :meth:`from_estimator` or :meth:`from_predictions`. The legend shows the
    average precision of each emotion, the highest first. F1 is constant along each faint line.

    Parameters
    ----------
    precision, recall : dict of label to ndarray
        A curve for each label that occurs, as
        :func:`sklearn.metrics.precision_recall_curve` returns it.
    average_precision : dict of label to float
        For every label; NaN for one that does not occur, which has no curve.
    name : str, default=None
        Name of the model, in the title of the legend.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes, after :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure of `ax_`.
    lines_ : dict of label to matplotlib.lines.Line2D
        The curves.

    Examples
    --------
    >>> display = PrecisionRecallDisplay.from_predictions(
    ...     ["happy", "sad"], [[0.8, 0.2], [0.6, 0.4]], labels=["happy", "sad"]
    ... )
    >>> display.average_precision
    {'happy': 1.0, 'sad': 1.0}
    """

    lines_: dict[Any, Line2D]

    def __init__(
        self,
        precision: Mapping[Any, FloatArray],
        recall: Mapping[Any, FloatArray],
        average_precision: Mapping[Any, float],
        *,
        name: str | None = None,
    ):
        self.precision = precision
        self.recall = recall
        self.average_precision = average_precision
        self.name = name

    @classmethod
    def _default_name(cls, estimator):
        return None  # the curves of one model fill the axes

    @classmethod
    def _from_scored(cls, scored, **options):
        precision, recall, average = {}, {}, {}
        for i, label in enumerate(scored.labels.tolist()):
            positive, proba = scored.true == i, scored.proba[:, i]
            if not positive.any():
                average[label] = math.nan
                continue
            precision[label], recall[label], _ = precision_recall_curve(positive, proba)
            average[label] = float(average_precision_score(positive, proba))
        return cls(precision, recall, average, **options)

    def plot(self, *, ax: Axes | None = None) -> PrecisionRecallDisplay:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            The axes to draw in, with the legend inside. If None, those of a new figure, with the
            legend next to them.

        Returns
        -------
        PrecisionRecallDisplay
            This display, with `ax_`, `figure_` and `lines_` set.
        """
        own_figure = ax is None
        ax = self._use_axes(ax, (5.6, 4.0))
        _draw_f1_levels(ax)
        colors = label_colors(self.average_precision)
        ranked = sorted(self.precision, key=lambda label: -self.average_precision[label])
        self.lines_ = {
            label: ax.plot(
                self.recall[label],
                self.precision[label],
                color=colors[str(label)],
                label=f"{label}  {self.average_precision[label]:.2f}",
                linewidth=1.6,
                drawstyle="steps-post",
            )[0]
            for label in ranked
        }
        ax.set(xlabel="Recall", ylabel="Precision", xlim=(0, 1.01), ylim=(0, 1.01))
        ax.spines[["top", "right"]].set_visible(False)
        self._write_legend(own_figure)
        return self

    def _write_legend(self, own_figure):
        from matplotlib.lines import Line2D

        absent = [label for label in self.average_precision if label not in self.precision]
        notes = [Line2D([], [], linestyle="none", label=f"{label}: no image") for label in absent]
        options: dict[str, Any] = {
            "handles": [*self.lines_.values(), *notes],
            "title": "Average precision" + ("" if self.name is None else f" of {self.name}"),
        }
        if own_figure:
            options |= {"fontsize": "small", "title_fontsize": "small", "handlelength": 1.4}
            self.figure_.legend(loc="outside right upper", frameon=False, **options)
        else:
            # Curves of a model that is better than chance do not pass there.
            options |= {"fontsize": "x-small", "title_fontsize": "x-small", "handlelength": 1}
            self.ax_.legend(loc="lower left", labelspacing=0.25, **options)


def _draw_f1_levels(ax):
    for level in _F1_LEVELS:
        recall = np.linspace(level / (2 - level), 1, 200)
        precision = level * recall / (2 * recall - level)
        ax.plot(recall, precision, color=_FAINT, linewidth=0.7, zorder=0.5)
        ax.text(
            1.02, precision[-1], f"F1 {level}", color="#777777", fontsize="x-small", va="center"
        )
