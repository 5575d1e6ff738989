"""Base classes of all plots, the predictions they show, colours, axes and text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from .._utils.estimators import predicted_probabilities
from .._utils.typing import (
    ArrayLike,
    BoolArray,
    Estimator,
    FloatArray,
    ImagesLike,
    IntArray,
    LabelArray,
    NDArray,
)
from .._utils.validation import encode_label_pair, encode_labels
from ..evaluation._metrics import probabilities_of_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

__all__ = [
    "BLUE",
    "VERMILION",
    "Display",
    "ModelStyle",
    "Scored",
    "ScoredDisplay",
    "as_axes",
    "fit_text",
    "model_lines",
    "model_style",
    "new_figure",
    "score_estimator",
    "score_predictions",
    "show_percent",
    "shrink_text",
    "text_width",
]

_Self = TypeVar("_Self", bound="ScoredDisplay")

#: Two colours of Okabe & Ito 2008 that everyone can tell apart.
BLUE, VERMILION = "#0072B2", "#D55E00"
# Models in one plot also differ by marker and dashes, because colours may be lost in print.
_MODEL_COLORS = (BLUE, VERMILION, "#009E73", "#CC79A7", "#333333", "#E69F00")
_MODEL_MARKERS = ("o", "s", "^", "D", "v", "P")
_MODEL_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
# Marks the line of a model among the other lines of its axes.
_MODEL_LINE = "fer_sklearn model"

# Points; smaller text cannot be read.
_SMALLEST = 5.0


class Scored(NamedTuple):
    """True labels and the probabilities of all labels.

    Attributes
    ----------
    labels : ndarray of shape (k,)
        The label of each column of `proba`.
    true : ndarray of shape (n,), int
        Positions of the true labels in `labels`.
    proba : ndarray of shape (n, k), float64
    """

    labels: LabelArray
    true: IntArray
    proba: FloatArray

    @property
    def predicted(self) -> IntArray:
        """Positions of the most probable labels, (n,) int; the first of equal ones."""
        return self.proba.argmax(axis=1)

    @property
    def confidence(self) -> FloatArray:
        """Probability of the predicted label, (n,) float64."""
        return self.proba.max(axis=1)

    @property
    def correct(self) -> BoolArray:
        """Whether the predicted label is the true one, (n,) bool."""
        return self.predicted == self.true


def score_predictions(
    y_true: ArrayLike, y_proba: ArrayLike, labels: ArrayLike | None = None
) -> Scored:
    """Check true labels and probabilities against each other.

    Parameters
    ----------
    y_true : array-like of shape (n,)
    y_proba : array-like of shape (n, k), float
    labels : array-like of shape (k,), default=None
        The label of each column. If None, the sorted labels of `y_true`, which must be k.

    Raises
    ------
    ValueError
        For labels that are empty, missing or not among `labels`, for rows that are not
        probabilities, and for different numbers of images or labels.
    """
    known, true = encode_labels(y_true, labels, name="y_true")
    return Scored(known, true, probabilities_of_labels(y_proba, known, len(true)).values)


def score_estimator(estimator: Estimator, X: ImagesLike, y: ArrayLike) -> Scored:
    """Predict probabilities with a fitted classifier, and check them and the true labels.

    Returns
    -------
    Scored
        With the ``classes_`` of the classifier as labels.

    Raises
    ------
    TypeError
        If the classifier has no ``predict_proba``.
    ValueError
        As :func:`score_predictions`.
    """
    proba, classes = predicted_probabilities(estimator, X)
    labels, true, _ = encode_label_pair(
        y,
        classes[proba.argmax(axis=1)],
        classes,
        input_names=("y", "predict_proba(X)"),
        labels_name="the estimator's classes_",
    )
    return Scored(labels, true, proba)


class Display:
    """Base class of displays that are drawn in one axes."""

    ax_: Axes
    figure_: Figure

    def _use_axes(self, ax, figsize):
        """Return the axes to draw in; if `ax` is None, create a figure."""
        ax = new_figure(figsize).subplots() if ax is None else ax
        self.ax_, self.figure_ = ax, ax.figure
        return ax


class ScoredDisplay(Display):
    """Base class of displays of predicted probabilities.

    A subclass defines ``_from_scored``, which returns a new display, and ``plot``.
    """

    @classmethod
    def from_estimator(
        cls: type[_Self],
        estimator: Estimator,
        X: ImagesLike,
        y: ArrayLike,
        *,
        name: str | None = None,
        ax: Axes | None = None,
        **options: Any,
    ) -> _Self:
        """Predict with a fitted classifier and draw the result.

        Parameters
        ----------
        estimator : fitted classifier or pipeline
            Its `predict_proba` is called once.
        X : array-like of n_samples images
            Any input that `estimator` accepts. Use images on which it was neither fitted nor
            calibrated.
        y : array-like of shape (n_samples,)
            True labels.
        name : str, default=None
            Name of the model in the legend. If None, the name of its class, where a legend of
            models is shown.
        ax : matplotlib.axes.Axes, default=None
            As in :meth:`plot`.
        **options
            Other parameters of the class, such as `n_bins` of ``ReliabilityDisplay``.

        Returns
        -------
        display
            An instance of this class.

        Raises
        ------
        TypeError
            If `estimator` has no `predict_proba`.
        ValueError
            If the labels are empty, missing, differ in number from the images, or are not
            classes of the estimator, or if `predict_proba` does not return probabilities.
        """
        scored = score_estimator(estimator, X, y)
        name = cls._default_name(estimator) if name is None else name
        return cls._from_scored(scored, name=name, **options).plot(ax=ax)

    @classmethod
    def from_predictions(
        cls: type[_Self],
        y_true: ArrayLike,
        y_proba: ArrayLike,
        *,
        labels: ArrayLike | None = None,
        name: str | None = None,
        ax: Axes | None = None,
        **options: Any,
    ) -> _Self:
        """Draw predictions that have already been made.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            True labels.
        y_proba : array-like of shape (n_samples, n_labels), float
            Probabilities, as `predict_proba` returns them, or a DataFrame with a column named
            after each label. The most probable label is the prediction, its probability the
            confidence.
        labels : array-like of shape (n_labels,), default=None
            The label of each column. If None, the sorted labels of `y_true`, which must then
            all occur.
        name : str, default=None
            Name of the model in the legend. If None, it has no name.
        ax, **options
            As in :meth:`from_estimator`.

        Returns
        -------
        display
            An instance of this class.

        Raises
        ------
        ValueError
            If labels are empty, missing or not among `labels`, or if the rows of `y_proba` are
            not probabilities or differ in number from the labels.
        """
        scored = score_predictions(y_true, y_proba, labels)
        return cls._from_scored(scored, name=name, **options).plot(ax=ax)

    def plot(self: _Self, *, ax: Axes | None = None) -> _Self:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            The axes to draw in. If None, a new figure is created.

        Returns
        -------
        display
            This display.
        """
        raise NotImplementedError

    @classmethod
    def _from_scored(cls, scored, **options):
        raise NotImplementedError

    @classmethod
    def _default_name(cls, estimator):
        return type(estimator).__name__


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
