"""Precision and recall of every emotion, over all thresholds of its probability."""

import math

import numpy as np
from sklearn.metrics import average_precision_score, precision_recall_curve

from ..emotions import label_colors
from ._base import score_estimator, score_predictions
from ._style import new_figure

__all__ = ["PrecisionRecallDisplay"]

_F1_LEVELS = (0.2, 0.4, 0.6, 0.8)
_FAINT = "#BBBBBB"


class PrecisionRecallDisplay:
    """Precision against recall, a curve for each emotion against all others.

    Made by :meth:`from_estimator` or :meth:`from_predictions`. The legend gives the average
    precision of each, the highest first. Along a faint line F1 is the same.

    Parameters
    ----------
    precision, recall : dict of label to ndarray
        A curve for each label that occurs, as
        :func:`sklearn.metrics.precision_recall_curve` returns it.
    average_precision : dict of label to float
        For every label; NaN for one that does not occur, which has no curve.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        What was drawn on, after :meth:`plot`.
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

    def __init__(self, precision, recall, average_precision):
        self.precision = precision
        self.recall = recall
        self.average_precision = average_precision

    @classmethod
    def from_estimator(cls, estimator, X, y, *, ax=None):
        """Predict with a fitted classifier and draw its curves.

        Parameters
        ----------
        estimator : fitted classifier or pipeline
            Its `predict_proba` is called once.
        X : array-like of n_samples images
            Whatever `estimator` takes.
        y : array-like of shape (n_samples,)
            The true labels.
        ax : matplotlib.axes.Axes, default=None
            As in :meth:`plot`.

        Returns
        -------
        PrecisionRecallDisplay

        Raises
        ------
        TypeError
            If `estimator` has no `predict_proba`.
        ValueError
            If the labels are empty, missing, of another number than the images, or none
            of the estimator's, or what it answers are no probabilities.
        """
        return cls._from_scored(score_estimator(estimator, X, y), ax)

    @classmethod
    def from_predictions(cls, y_true, y_proba, *, labels=None, ax=None):
        """Draw the curves of predictions that are already made.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            True labels.
        y_proba : array-like of shape (n_samples, n_labels), float
            Probabilities, as `predict_proba` returns them.
        labels : array-like of shape (n_labels,), default=None
            The label of each column. None takes the sorted labels of `y_true`, which must
            then all occur.
        ax : matplotlib.axes.Axes, default=None
            As in :meth:`plot`.

        Returns
        -------
        PrecisionRecallDisplay
        """
        return cls._from_scored(score_predictions(y_true, y_proba, labels), ax)

    @classmethod
    def _from_scored(cls, scored, ax):
        precision, recall, average = {}, {}, {}
        for i, label in enumerate(scored.labels.tolist()):
            positive, proba = scored.true == i, scored.proba[:, i]
            if not positive.any():
                average[label] = math.nan
                continue
            precision[label], recall[label], _ = precision_recall_curve(positive, proba)
            average[label] = float(average_precision_score(positive, proba))
        return cls(precision, recall, average).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw, with the legend inside; None makes a figure, with the legend
            beside the curves.

        Returns
        -------
        PrecisionRecallDisplay
            This display, with `ax_`, `figure_` and `lines_` set.
        """
        own_figure = ax is None
        ax = new_figure((5.6, 4.0)).subplots() if own_figure else ax
        self.ax_, self.figure_ = ax, ax.figure
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
        options = {"handles": [*self.lines_.values(), *notes], "title": "Average precision"}
        if own_figure:
            options |= {"fontsize": "small", "title_fontsize": "small", "handlelength": 1.4}
            self.figure_.legend(loc="outside right upper", frameon=False, **options)
        else:
            # Where curves of a model that knows something do not pass.
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
