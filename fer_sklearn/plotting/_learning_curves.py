"""Learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sklearn.utils.validation import check_is_fitted

from .._utils.prediction import split_pipeline
from .._utils.typing import Estimator, NDArray
from ._base import BLUE, VERMILION, as_axes, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["LearningCurvesDisplay"]


class LearningCurvesDisplay:
    """Loss and accuracy of a training run by epoch, for training and validation data.

    Create it with :meth:`from_estimator` or :meth:`from_history`.

    Parameters
    ----------
    history : mapping of str to sequence of float, or an object with it as attribute `history`
        ``"loss"``, ``"accuracy"`` and, if there was validation data, ``"val_loss"`` and
        ``"val_accuracy"``, with one number per epoch. At least loss or accuracy is needed.

    Attributes
    ----------
    axes_ : ndarray of matplotlib.axes.Axes
        One per quantity, after :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure of `axes_`.

    Examples
    --------
    >>> display = LearningCurvesDisplay.from_history({"loss": [1.9, 1.6], "val_loss": [1.8, 1.7]})
    >>> [line.get_label() for line in display.axes_[0].lines]
    ['training', 'validation']
    """

    axes_: NDArray[Any]
    figure_: Figure

    def __init__(self, history: Mapping[str, Sequence[float]] | Any):
        self.history = history

    @classmethod
    def from_estimator(
        cls, estimator: Estimator, *, axes: Sequence[Axes] | NDArray[Any] | None = None
    ) -> LearningCurvesDisplay:
        """Draw the curves of a fitted estimator.

        Parameters
        ----------
        estimator : fitted FERCNNClassifier, pipeline or search
            The last step of a pipeline and the best estimator of a search, such as
            :class:`~sklearn.model_selection.GridSearchCV`, are used.
        axes : array-like of matplotlib.axes.Axes, default=None
            As in :meth:`plot`.

        Returns
        -------
        LearningCurvesDisplay

        Raises
        ------
        TypeError
            If it is not trained in epochs, and so has no ``history_``.
        sklearn.exceptions.NotFittedError
            If it was not fitted.
        ValueError
            If its history is empty, like that of loaded weights.
        """
        return cls(_find_history(estimator)).plot(axes=axes)

    @classmethod
    def from_history(
        cls,
        history: Mapping[str, Sequence[float]] | Any,
        *,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
    ) -> LearningCurvesDisplay:
        """Draw the curves of a history.

        Parameters
        ----------
        history : mapping, or an object whose attribute `history` is one
            The ``history_`` of a fitted :class:`~fer_sklearn.FERCNNClassifier`, or what
            ``keras.Model.fit`` returns.
        axes : array-like of matplotlib.axes.Axes, default=None
            As in :meth:`plot`.

        Returns
        -------
        LearningCurvesDisplay

        Raises
        ------
        TypeError
            If `history` is not a mapping and has none.
        ValueError
            If it has neither loss nor accuracy.
        """
        return cls(history).plot(axes=axes)

    def plot(self, *, axes: Sequence[Axes] | NDArray[Any] | None = None) -> LearningCurvesDisplay:
        """Draw the curves.

        Parameters
        ----------
        axes : array-like of matplotlib.axes.Axes, default=None
            One per quantity in the history, loss first. If None, those of a new figure.

        Returns
        -------
        LearningCurvesDisplay
            This display, with `axes_` and `figure_` set.
        """
        history = _history_mapping(self.history)
        names = [name for name in ("loss", "accuracy") if len(history.get(name, ()))]
        if not names:
            raise ValueError(
                f"history has the entries {sorted(history)}; expected 'loss' or 'accuracy' "
                f"with one number per epoch. Pass the history_ of a fitted FERCNNClassifier."
            )
        if axes is None:
            axes = new_figure((4.5 * len(names), 3.4)).subplots(1, len(names), squeeze=False)
        self.axes_ = as_axes(axes, len(names), f"for {' and '.join(names)}")
        self.figure_ = self.axes_[0].figure
        for ax, name in zip(self.axes_, names, strict=True):
            _draw_curves(ax, name, history)
        return self


def _find_history(estimator):
    """Return the history of a fitted estimator, or of the one inside it."""
    check_is_fitted(estimator)
    _, inner = split_pipeline(estimator)
    if not hasattr(inner, "history_"):
        raise TypeError(
            f"estimator is a {type(inner).__name__}, which has no history_; expected a fitted "
            f"FERCNNClassifier, or a Pipeline that ends in one. An estimator that is not trained "
            f"in epochs has no such curves; see sklearn.model_selection.LearningCurveDisplay."
        )
    return inner.history_


def _history_mapping(history):
    if not isinstance(history, Mapping):
        history = getattr(history, "history", None)
    if not isinstance(history, Mapping):
        raise TypeError(
            "history must be a mapping of names to one number per epoch, such as the history_ "
            "of a fitted FERCNNClassifier, or have one as its attribute history."
        )
    return history


def _draw_curves(ax, name, history):
    from matplotlib.ticker import MaxNLocator

    parts = (("training", name, BLUE, "-"), ("validation", f"val_{name}", VERMILION, "--"))
    for label, key, color, style in parts:
        values = history.get(key, ())
        if len(values):
            # A single epoch is a point, which only a marker shows.
            marker = "o" if len(values) == 1 else None
            epochs = range(1, len(values) + 1)
            ax.plot(epochs, values, style, color=color, label=label, marker=marker, linewidth=1.8)
    ax.set(xlabel="Epoch", ylabel=name.capitalize())
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize="small", handlelength=1.5)
