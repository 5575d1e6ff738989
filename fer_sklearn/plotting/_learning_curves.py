"""Learning curves."""

from collections.abc import Mapping

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ._style import new_figure

__all__ = ["LearningCurvesDisplay"]

_TRAINING, _VALIDATION = "#0072B2", "#D55E00"


class LearningCurvesDisplay:
    """Loss and accuracy of a training run by epoch, training beside validation.

    Made by :meth:`from_estimator` or :meth:`from_history`.

    Parameters
    ----------
    history : mapping of str to sequence of float
        ``"loss"``, ``"accuracy"`` and, where there was validation, ``"val_loss"`` and
        ``"val_accuracy"``: a number an epoch. At least the first or the second is needed.

    Attributes
    ----------
    axes_ : ndarray of matplotlib.axes.Axes
        One a quantity, after :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure of `axes_`.

    Examples
    --------
    >>> display = LearningCurvesDisplay.from_history({"loss": [1.9, 1.6], "val_loss": [1.8, 1.7]})
    >>> [line.get_label() for line in display.axes_[0].lines]
    ['training', 'validation']
    """

    def __init__(self, history):
        self.history = history

    @classmethod
    def from_estimator(cls, estimator, **plot_options):
        """Draw the curves of a fitted estimator.

        Parameters
        ----------
        estimator : fitted FERCNNClassifier, pipeline or search
            A pipeline is asked for its last step, a search such as
            :class:`~sklearn.model_selection.GridSearchCV` for its best estimator.
        **plot_options
            Passed to :meth:`plot`.

        Returns
        -------
        LearningCurvesDisplay

        Raises
        ------
        TypeError
            If it does not learn by epochs, thus has no ``history_``.
        sklearn.exceptions.NotFittedError
            If it was not fitted.
        ValueError
            If its history is empty, as that of weights that were loaded.
        """
        return cls(_find_history(estimator)).plot(**plot_options)

    @classmethod
    def from_history(cls, history, **plot_options):
        """Draw the curves of a history.

        Parameters
        ----------
        history : mapping, or an object whose attribute `history` is one
            The ``history_`` of a fitted :class:`~fer_sklearn.FERCNNClassifier`, or what
            ``keras.Model.fit`` returns.
        **plot_options
            Passed to :meth:`plot`.

        Returns
        -------
        LearningCurvesDisplay

        Raises
        ------
        TypeError
            If `history` is no mapping and has none.
        ValueError
            If it has neither loss nor accuracy.
        """
        return cls(history).plot(**plot_options)

    def plot(self, *, axes=None):
        """Draw.

        Parameters
        ----------
        axes : array-like of matplotlib.axes.Axes, default=None
            One a quantity in the history, loss first; None makes a figure.

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
                f"with a number an epoch. Pass the history_ of a fitted FERCNNClassifier."
            )
        if axes is None:
            axes = new_figure((4.5 * len(names), 3.4)).subplots(1, len(names), squeeze=False)
        self.axes_ = np.ravel(axes)
        if len(self.axes_) != len(names):
            raise ValueError(
                f"axes has {len(self.axes_)} item(s); expected {len(names)}, "
                f"for {' and '.join(names)}."
            )
        self.figure_ = self.axes_[0].figure
        for ax, name in zip(self.axes_, names, strict=True):
            _draw_curves(ax, name, history)
        return self


def _find_history(estimator):
    """Return the history of a fitted estimator, or of what it is made of."""
    check_is_fitted(estimator)
    inner = getattr(estimator, "best_estimator_", estimator)
    if isinstance(inner, Pipeline):
        inner = inner[-1]
    if not hasattr(inner, "history_"):
        raise TypeError(
            f"estimator is a {type(inner).__name__}, which has no history_; expected a fitted "
            f"FERCNNClassifier, or a Pipeline that ends in one. An estimator that does not learn "
            f"by epochs has no such curves; see sklearn.model_selection.LearningCurveDisplay."
        )
    return inner.history_


def _history_mapping(history):
    if not isinstance(history, Mapping):
        history = getattr(history, "history", None)
    if not isinstance(history, Mapping):
        raise TypeError(
            "history must be a mapping of names to numbers an epoch, such as the history_ "
            "of a fitted FERCNNClassifier, or have one as its attribute history."
        )
    return history


def _draw_curves(ax, name, history):
    from matplotlib.ticker import MaxNLocator

    parts = (("training", name, _TRAINING, "-"), ("validation", f"val_{name}", _VALIDATION, "--"))
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
