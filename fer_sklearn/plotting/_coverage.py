"""How many images are answered, against how many of those answers are right."""

import numpy as np

from ..evaluation._metrics import CoverageCurve, coverage_curve
from ._base import score_estimator, score_predictions
from ._style import model_lines, model_style, new_figure, show_percent

__all__ = ["CoverageAccuracyDisplay"]

# Thresholds of confidence that are marked on the curve, and by what.
_MARKED = {0.5: "o", 0.7: "s", 0.9: "^"}
# Below this share of images, accuracy jumps with each of them; it may leave the picture.
_FEW = 0.05


class CoverageAccuracyDisplay:
    """Accuracy on the images that a model answers, by the share of images that it answers.

    Made by :meth:`from_estimator` or :meth:`from_predictions`. The right end answers every
    image; to the left, the least certain are left out. The marks tell the confidence that is
    asked for there: 50, 70 and 90 %.

    Parameters
    ----------
    curve : CoverageCurve, or a tuple of three ndarrays of shape (n_thresholds,)
        ``threshold``, ``coverage`` and ``accuracy``, the first rising.
    name : str, default=None
        What the legend calls the model.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        What was drawn on, after :meth:`plot`.
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

    def __init__(self, curve, *, name=None):
        self.curve = curve
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, X, y, *, name=None, ax=None):
        """Predict with a fitted classifier and draw its curve.

        Parameters
        ----------
        estimator : fitted classifier or pipeline
            Its `predict_proba` is called once.
        X : array-like of n_samples images
            Whatever `estimator` takes.
        y : array-like of shape (n_samples,)
            The true labels.
        name : str, default=None
            What the legend calls the model; None takes the name of its class.
        ax : matplotlib.axes.Axes, default=None
            As in :meth:`plot`.

        Returns
        -------
        CoverageAccuracyDisplay

        Raises
        ------
        TypeError
            If `estimator` has no `predict_proba`.
        ValueError
            If the labels are empty, missing, of another number than the images, or none
            of the estimator's, or what it answers are no probabilities.
        """
        scored = score_estimator(estimator, X, y)
        name = type(estimator).__name__ if name is None else name
        return cls(coverage_curve(scored.correct, scored.confidence), name=name).plot(ax=ax)

    @classmethod
    def from_predictions(cls, y_true, y_proba, *, labels=None, name=None, ax=None):
        """Draw the curve of predictions that are already made.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            True labels.
        y_proba : array-like of shape (n_samples, n_labels), float
            Probabilities, as `predict_proba` returns them. The most probable label is the
            answer, its probability the confidence.
        labels : array-like of shape (n_labels,), default=None
            The label of each column. None takes the sorted labels of `y_true`, which must
            then all occur.
        name, ax
            As in :meth:`from_estimator`, except that None leaves the model nameless.

        Returns
        -------
        CoverageAccuracyDisplay
        """
        scored = score_predictions(y_true, y_proba, labels)
        return cls(coverage_curve(scored.correct, scored.confidence), name=name).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure. Axes that show the curve of a model take
            that of another one beside it.

        Returns
        -------
        CoverageAccuracyDisplay
            This display, with all attributes set.
        """
        _, coverage, accuracy = curve = _checked(self.curve)
        ax = new_figure((4.6, 3.6)).subplots() if ax is None else ax
        self.ax_, self.figure_ = ax, ax.figure
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
        ax.set(xlabel="Share of images that is answered", ylabel="Accuracy of the answers")
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
    """Mark where each of the thresholds lies on the curve; name them where asked to."""
    marks = {}
    for mark, marker in _MARKED.items():
        # From the first threshold that is reached on, as many are answered as from the mark on.
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
    """Return the lowest accuracy in `ax`, but for that of a few images."""
    curves = (line.get_xydata() for line in model_lines(ax))
    return min(curve[curve[:, 0] >= _FEW, 1].min() for curve in curves)
