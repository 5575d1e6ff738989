"""The reliability diagram: accuracy against confidence."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np

from .._utils.typing import ArrayLike
from ..evaluation._metrics import N_BINS, ReliabilityBins, bin_positions, reliability_bins
from ._base import ScoredDisplay, model_style, show_percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection
    from matplotlib.lines import Line2D
    from matplotlib.patches import StepPatch

__all__ = ["ReliabilityDisplay"]

_HISTOGRAM = "confidence histogram"
# Height of the histogram as a fraction of the axes, below the range from 0 to 1.
_HISTOGRAM_HEIGHT = 0.17


class ReliabilityDisplay(ScoredDisplay):
    """Accuracy against confidence, and a histogram of the confidences.

    Create it with :meth:`from_estimator` or :meth:`from_predictions`. Each point is a bin of
    predictions. The bar that joins it to the diagonal is the gap between confidence and
    accuracy: below the diagonal the model is overconfident, above it underconfident. The
    histogram at the bottom shows how many predictions each point stands for.

    Parameters
    ----------
    correct : array-like of shape (n_samples,), bool
        Whether each prediction is correct.
    confidence : array-like of shape (n_samples,), float
        Its probability, in [0, 1].
    n_bins : int, default=15
        Number of bins of equal width between 0 and 1.
    name : str, default=None
        Name of the model in the legend.

    Attributes
    ----------
    bins_ : ReliabilityBins
        Mean confidence, accuracy and number of predictions of the occupied bins, after
        :meth:`plot`.
    expected_calibration_error_ : float
        Mean length of the bars, weighted by the number of predictions in each bin; in [0, 1].
        0 is perfect. Also in the legend, as ECE.
    ax_ : matplotlib.axes.Axes
        The axes.
    figure_ : matplotlib.figure.Figure
        The figure of `ax_`.
    line_ : matplotlib.lines.Line2D
        The points.
    gaps_ : matplotlib.collections.LineCollection
        The bars.
    histogram_ : matplotlib.patches.StepPatch
        The outline of the histogram.

    References
    ----------
    Guo, Pleiss, Sun & Weinberger, "On Calibration of Modern Neural Networks", 2017,
    arXiv:1706.04599.

    Examples
    --------
    >>> display = ReliabilityDisplay.from_predictions(
    ...     ["happy", "sad"], [[0.8, 0.2], [0.6, 0.4]], labels=["happy", "sad"]
    ... )
    >>> round(display.expected_calibration_error_, 2)
    0.4
    """

    bins_: ReliabilityBins
    expected_calibration_error_: float
    line_: Line2D
    gaps_: LineCollection
    histogram_: StepPatch

    def __init__(
        self,
        correct: ArrayLike,
        confidence: ArrayLike,
        *,
        n_bins: int = N_BINS,
        name: str | None = None,
    ):
        self.correct = correct
        self.confidence = confidence
        self.n_bins = n_bins
        self.name = name

    @classmethod
    def _from_scored(cls, scored, **options):
        return cls(scored.correct, scored.confidence, **options)

    def plot(self, *, ax: Axes | None = None) -> ReliabilityDisplay:
        """Draw the diagram.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            The axes to draw in; they can contain the diagrams of other models. If None, those of
            a new figure.

        Returns
        -------
        ReliabilityDisplay
            This display, with all attributes set.
        """
        correct, confidence = _checked(self.correct, self.confidence, self.n_bins)
        self.bins_ = reliability_bins(correct, confidence, n_bins=self.n_bins)
        self.expected_calibration_error_ = self.bins_.expected_calibration_error
        ax = self._use_axes(ax, (4.2, 4.4))
        inset = next((child for child in ax.child_axes if child.get_label() == _HISTOGRAM), None)
        if inset is None:
            inset = _prepare(ax)
        style = model_style(ax)
        error = f"ECE {self.expected_calibration_error_:.3f}"
        label = error if self.name is None else f"{self.name}: {error}"
        points = self.bins_.confidence, self.bins_.accuracy
        (self.line_,) = ax.plot(*points, **style._asdict(), label=label, markersize=4, linewidth=1)
        self.gaps_ = ax.vlines(
            points[0], points[0], points[1], color=style.color, alpha=0.3, linewidth=5
        )
        self.histogram_ = self._draw_histogram(inset, confidence, style)
        above = (0, _HISTOGRAM_HEIGHT, 1, 1 - _HISTOGRAM_HEIGHT)
        ax.legend(loc="best", bbox_to_anchor=above, fontsize="small", framealpha=0.8)
        return self

    def _draw_histogram(self, inset, confidence, style):
        edges = np.linspace(0, 1, self.n_bins + 1)
        place = bin_positions(confidence, n_bins=self.n_bins)
        fractions = np.bincount(place, minlength=self.n_bins) / len(confidence)
        inset.stairs(fractions, edges, fill=True, color=style.color, alpha=0.25)
        return inset.stairs(fractions, edges, color=style.color, linestyle=style.linestyle)


def _checked(correct, confidence, n_bins):
    correct, confidence = np.asarray(correct), np.asarray(confidence, dtype=np.float64)
    if correct.ndim != 1 or correct.shape != confidence.shape or not len(correct):
        raise ValueError(
            f"correct has shape {correct.shape} and confidence {confidence.shape}; expected one "
            f"of each for every prediction, at least one, (n_samples,)."
        )
    outside = ~((confidence >= 0) & (confidence <= 1 + 1e-3))
    if outside.any():
        first = int(outside.argmax())
        raise ValueError(
            f"confidence[{first}] is {confidence[first]}; expected probabilities, from 0 to 1."
        )
    if not isinstance(n_bins, Integral) or n_bins < 1:
        raise ValueError(f"n_bins={n_bins!r} must be an int, at least 1.")
    return correct, confidence


def _prepare(ax):
    """Draw what all models share; return the axes of the histogram."""
    ax.plot([0, 1], [0, 1], color="#888888", linewidth=1, linestyle=(0, (2, 2)))
    # The histogram is inside, in room made below 0, so that any layout of `ax` keeps it.
    room = _HISTOGRAM_HEIGHT + 0.04
    ax.set(xlim=(0, 1), ylim=(-room / (1 - room) * 1.02, 1.02))
    ax.set(xticks=np.linspace(0, 1, 6), yticks=np.linspace(0, 1, 6))
    for axis in (ax.xaxis, ax.yaxis):
        show_percent(axis)
    ax.set(xlabel="Confidence of the prediction", ylabel="Accuracy")
    ax.axhline(0, color="#444444", linewidth=0.8)
    ax.spines[["top", "right"]].set_visible(False)
    inset = ax.inset_axes((0, 0, 1, _HISTOGRAM_HEIGHT), label=_HISTOGRAM)
    inset.set(xlim=(0, 1), xticks=[], yticks=[])
    inset.patch.set_visible(False)
    inset.spines[:].set_visible(False)
    inset.text(0.02, 0.9, "frequency", transform=inset.transAxes, va="top", fontsize="small")
    return inset
