"""Base classes of the displays, and the predictions that they show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from .._utils.prediction import predicted_probabilities
from .._utils.typing import (
    ArrayLike,
    BoolArray,
    Estimator,
    FloatArray,
    ImagesLike,
    IntArray,
    LabelArray,
)
from .._utils.validation import encode_label_pair, encode_labels
from ..evaluation._metrics import probabilities_of_labels
from ._style import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Display", "Scored", "ScoredDisplay", "score_estimator", "score_predictions"]

_Self = TypeVar("_Self", bound="ScoredDisplay")


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

    Returns
    -------
    Scored

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
        """Return the axes to draw in, those of a new figure if `ax` is None."""
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
            Probabilities, as `predict_proba` returns them. The most probable label is the
            prediction, its probability the confidence.
        labels : array-like of shape (n_labels,), default=None
            The label of each column. If None, the sorted labels of `y_true`, which must then
            all occur.
        name : str, default=None
            Name of the model in the legend. If None, it has no name.
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
            The axes to draw in. If None, those of a new figure.

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
