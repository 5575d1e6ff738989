"""Displays of probabilities: coverage, precision and recall, reliability."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import average_precision_score, precision_recall_curve

from .._utils.typing import ArrayLike, FloatArray
from ..emotions import label_colors
from ..evaluation._metrics import (
    N_BINS,
    CoverageCurve,
    ReliabilityBins,
    bin_positions,
    coverage_curve,
    reliability_bins,
)
from ._base import ScoredDisplay, model_lines, model_style, show_percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection
    from matplotlib.lines import Line2D
    from matplotlib.patches import StepPatch

__all__ = ["CoverageAccuracyDisplay", "PrecisionRecallDisplay", "ReliabilityDisplay"]

# Thresholds of confidence that are marked on the curve, and their markers.
_MARKED = {0.5: "o", 0.7: "s", 0.9: "^"}
# Below this fraction of images, accuracy jumps with each of them; it may leave the axes.
_FEW = 0.05
_F1_LEVELS = (0.2, 0.4, 0.6, 0.8)
_FAINT = "#BBBBBB"
_HISTOGRAM = "confidence histogram"
# Height of the histogram as a fraction of the axes, below the range from 0 to 1.
_HISTOGRAM_HEIGHT = 0.17


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
        The marked thresholds, if they are within the range of the curve.

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
            The axes to draw in; they can contain the curves of other models. If None, a new
            figure is created.

        Returns
        -------
        CoverageAccuracyDisplay
            This display, with all attributes set.
        """
        _, coverage, accuracy = curve = _checked_curve(self.curve)
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


def _checked_curve(curve):
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
            The axes to draw in, with the legend inside. If None, a new figure is created, with
            the legend next to the axes.

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
            The axes to draw in; they can contain the diagrams of other models. If None, a new
            figure is created.

        Returns
        -------
        ReliabilityDisplay
            This display, with all attributes set.
        """
        correct, confidence = _checked_bins(self.correct, self.confidence, self.n_bins)
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


def _checked_bins(correct, confidence, n_bins):
    correct, confidence = np.asarray(correct), np.asarray(confidence, dtype=np.float64)
    if correct.ndim != 1 or correct.shape != confidence.shape or not len(correct):
        raise ValueError(
            f"correct has shape {correct.shape} and confidence {confidence.shape}; expected one "
            f"of each for every prediction, at least one, (n_samples,)."
        )
    strange = ~np.isin(correct, (0, 1))
    if strange.any():
        first = int(strange.argmax())
        raise ValueError(
            f"correct[{first}] is {correct.tolist()[first]!r}; expected True or False, whether the "
            f"prediction is correct. from_predictions takes labels and probabilities."
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
    """Draw the parts that all models share; return the axes of the histogram."""
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
