"""The reliability diagram: is a model right as often as it is sure?"""

from numbers import Integral

import numpy as np

from ..evaluation._metrics import bin_positions, reliability_bins
from ._base import score_estimator, score_predictions
from ._style import model_style, new_figure, show_percent

__all__ = ["ReliabilityDisplay"]

_HISTOGRAM = "confidence histogram"
# Height of the histogram as a share of the axes, below what is drawn of shares from 0 to 1.
_HISTOGRAM_HEIGHT = 0.17


class ReliabilityDisplay:
    """Confidence against the share that is right, and how often each confidence occurs.

    Made by :meth:`from_estimator` or :meth:`from_predictions`. A point is a bin of
    predictions. The bar that joins it to the diagonal is the gap between what the model
    claims and what is true: below the diagonal it is too sure, above it not sure enough.
    The histogram at the foot shows how many predictions are behind each point.

    Parameters
    ----------
    correct : array-like of shape (n_samples,), bool
        Whether each prediction is right.
    confidence : array-like of shape (n_samples,), float
        Its probability, in [0, 1].
    n_bins : int, default=15
        Bins of equal width between 0 and 1.
    name : str, default=None
        What the legend calls the model.

    Attributes
    ----------
    bins_ : ReliabilityBins
        Mean confidence, share that is right, and number of predictions of the occupied
        bins, after :meth:`plot`.
    expected_calibration_error_ : float
        Mean length of the bars, weighted by the number of predictions behind each; in
        [0, 1]. 0 is perfect. Also in the legend, as ECE.
    ax_ : matplotlib.axes.Axes
        What was drawn on.
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

    def __init__(self, correct, confidence, *, n_bins=15, name=None):
        self.correct = correct
        self.confidence = confidence
        self.n_bins = n_bins
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, X, y, *, n_bins=15, name=None, ax=None):
        """Predict with a fitted classifier and draw its reliability.

        Parameters
        ----------
        estimator : fitted classifier or pipeline
            Its `predict_proba` is called once.
        X : array-like of n_samples images
            Whatever `estimator` takes. Images that it was not fitted on, nor calibrated.
        y : array-like of shape (n_samples,)
            The true labels.
        n_bins : int, default=15
            Bins of equal width between 0 and 1.
        name : str, default=None
            What the legend calls the model; None takes the name of its class.
        ax : matplotlib.axes.Axes, default=None
            As in :meth:`plot`.

        Returns
        -------
        ReliabilityDisplay

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
        return cls(scored.correct, scored.confidence, n_bins=n_bins, name=name).plot(ax=ax)

    @classmethod
    def from_predictions(cls, y_true, y_proba, *, labels=None, n_bins=15, name=None, ax=None):
        """Draw the reliability of predictions that are already made.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            True labels.
        y_proba : array-like of shape (n_samples, n_labels), float
            Probabilities, as `predict_proba` returns them. The most probable label is the
            prediction, its probability the confidence.
        labels : array-like of shape (n_labels,), default=None
            The label of each column. None takes the sorted labels of `y_true`, which must
            then all occur.
        n_bins, name, ax
            As in :meth:`from_estimator`, except that None leaves the model nameless.

        Returns
        -------
        ReliabilityDisplay
        """
        scored = score_predictions(y_true, y_proba, labels)
        return cls(scored.correct, scored.confidence, n_bins=n_bins, name=name).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure. Axes that show the reliability of a model
            take that of another one beside it.

        Returns
        -------
        ReliabilityDisplay
            This display, with all attributes set.
        """
        correct, confidence = _checked(self.correct, self.confidence, self.n_bins)
        self.bins_ = reliability_bins(correct, confidence, n_bins=self.n_bins)
        self.expected_calibration_error_ = self.bins_.expected_calibration_error
        ax = new_figure((4.2, 4.4)).subplots() if ax is None else ax
        self.ax_, self.figure_ = ax, ax.figure
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
        shares = np.bincount(place, minlength=self.n_bins) / len(confidence)
        inset.stairs(shares, edges, fill=True, color=style.color, alpha=0.25)
        return inset.stairs(shares, edges, color=style.color, linestyle=style.linestyle)


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
    """Draw what is there once for all models; return the axes of the histogram."""
    ax.plot([0, 1], [0, 1], color="#888888", linewidth=1, linestyle=(0, (2, 2)))
    # The histogram stands inside, in room made below 0: whatever lays out `ax` keeps it.
    room = _HISTOGRAM_HEIGHT + 0.04
    ax.set(xlim=(0, 1), ylim=(-room / (1 - room) * 1.02, 1.02))
    ax.set(xticks=np.linspace(0, 1, 6), yticks=np.linspace(0, 1, 6))
    for axis in (ax.xaxis, ax.yaxis):
        show_percent(axis)
    ax.set(xlabel="Confidence of the prediction", ylabel="Share that is right")
    ax.axhline(0, color="#444444", linewidth=0.8)
    ax.spines[["top", "right"]].set_visible(False)
    inset = ax.inset_axes((0, 0, 1, _HISTOGRAM_HEIGHT), label=_HISTOGRAM)
    inset.set(xlim=(0, 1), xticks=[], yticks=[])
    inset.patch.set_visible(False)
    inset.spines[:].set_visible(False)
    inset.text(0.02, 0.9, "how often", transform=inset.transAxes, va="top", fontsize="small")
    return inset
