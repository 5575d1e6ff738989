"""The confusion matrix as a plot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.typing import ArrayLike, Estimator, ImagesLike, NDArray
from .._utils.validation import encode_label_pair
from ..emotions import is_dark
from ..evaluation._metrics import confusion_counts
from ._base import Display, shrink_text, text_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.image import AxesImage

__all__ = ["ConfusionMatrixDisplay"]

# Points below which column names are slanted; fraction of a cell that text may fill.
_SMALLEST_NAME, _FILLED = 7.5, 0.94


class ConfusionMatrixDisplay(Display):
    """Confusion matrix with the percentage of each true label and the count in every cell.

    Create it with :meth:`from_estimator` or :meth:`from_predictions`. The shade of a cell is
    its fraction of the row, so that a rare emotion is as visible as a frequent one; the diagonal
    reads as recall.

    Parameters
    ----------
    confusion_matrix : array-like of shape (k, k), int
        True labels in rows, predicted ones in columns.
    display_labels : array-like of shape (k,), default=None
        Names of rows and columns. If None, they are numbered.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes, after :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure of `ax_`.
    im_ : matplotlib.image.AxesImage
        The shaded matrix.
    text_ : ndarray of shape (k, k), object
        The text of each cell.

    Examples
    --------
    >>> display = ConfusionMatrixDisplay.from_predictions(
    ...     ["happy", "sad", "sad"], ["happy", "sad", "happy"]
    ... )
    >>> print(display.text_[1, 0].get_text())
    50 %
    1
    """

    im_: AxesImage
    text_: NDArray[Any]

    def __init__(self, confusion_matrix: ArrayLike, *, display_labels: ArrayLike | None = None):
        self.confusion_matrix = confusion_matrix
        self.display_labels = display_labels

    @classmethod
    def from_estimator(
        cls,
        estimator: Estimator,
        X: ImagesLike,
        y: ArrayLike,
        *,
        labels: ArrayLike | None = None,
        ax: Axes | None = None,
        cmap: str | Colormap = "Blues",
        title: str | None = None,
    ) -> ConfusionMatrixDisplay:
        """Predict with a fitted classifier and draw its confusion matrix.

        Parameters
        ----------
        estimator : fitted classifier or pipeline
            Its `predict` is called once.
        X : array-like of n_samples images
            Any input that `estimator` accepts.
        y : array-like of shape (n_samples,)
            True labels.
        labels : array-like of shape (k,), default=None
            Labels to show, in this order; all that occur must be among them. If None, the
            sorted labels that occur in `y` or are predicted.
        ax, cmap, title
            As in :meth:`plot`.

        Returns
        -------
        ConfusionMatrixDisplay

        Raises
        ------
        ValueError
            If the labels are empty, missing, differ in number from the images, or are not
            among `labels`.
        """
        encoded = encode_label_pair(
            y, estimator.predict(X), labels, input_names=("y", "predict(X)")
        )
        return cls._from_encoded(encoded).plot(ax=ax, cmap=cmap, title=title)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        *,
        labels: ArrayLike | None = None,
        ax: Axes | None = None,
        cmap: str | Colormap = "Blues",
        title: str | None = None,
    ) -> ConfusionMatrixDisplay:
        """Draw the confusion matrix of predictions that have already been made.

        Parameters
        ----------
        y_true, y_pred : array-like of shape (n_samples,)
            True and predicted labels.
        labels : array-like of shape (k,), default=None
            As in :meth:`from_estimator`.
        ax, cmap, title
            As in :meth:`plot`.

        Returns
        -------
        ConfusionMatrixDisplay
        """
        encoded = encode_label_pair(y_true, y_pred, labels)
        return cls._from_encoded(encoded).plot(ax=ax, cmap=cmap, title=title)

    @classmethod
    def _from_encoded(cls, encoded):
        labels, true, predicted = encoded
        return cls(confusion_counts(true, predicted, len(labels)), display_labels=labels)

    def plot(
        self,
        *,
        ax: Axes | None = None,
        cmap: str | Colormap = "Blues",
        title: str | None = None,
    ) -> ConfusionMatrixDisplay:
        """Draw the matrix.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            The axes to draw in. If None, a new figure is created.
        cmap : str or matplotlib.colors.Colormap, default="Blues"
            One that runs from light to dark remains readable in grey.
        title : str, default=None
            Title of the axes.

        Returns
        -------
        ConfusionMatrixDisplay
            This display, with `ax_`, `figure_`, `im_` and `text_` set.
        """
        counts = np.asarray(self.confusion_matrix)
        if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
            raise ValueError(
                f"confusion_matrix has shape {counts.shape}; expected a square one, (k, k)."
            )
        k = len(counts)
        given = range(k) if self.display_labels is None else np.asarray(self.display_labels)
        names = [str(name) for name in given]
        if len(names) != k:
            raise ValueError(
                f"display_labels has {len(names)} name(s) for a {k}×{k} confusion_matrix; "
                f"expected {k}."
            )
        side = max(4.0, 0.85 * k + 1.2)
        ax = self._use_axes(ax, (side, side))
        row_sums = counts.sum(axis=1, keepdims=True)
        # A row without support has no fractions: its cells stay white and show the zeros alone.
        fractions = np.divide(counts, row_sums, out=np.zeros((k, k)), where=row_sums > 0)
        self.im_ = ax.imshow(fractions, cmap=cmap, vmin=0, vmax=1)
        ax.set_xticks(range(k), names)
        ax.set_yticks(range(k), names)
        ax.set(xlabel="Predicted", ylabel="True", title=title or "")
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        width = _FILLED * _fit_column_names(ax, k)
        self.text_ = np.array(
            [
                [self._write_cell(i, j, fractions, counts, row_sums[i, 0] > 0) for j in range(k)]
                for i in range(k)
            ]
        )
        _fit_cells(self.text_, width)
        return self

    def _write_cell(self, i, j, fractions, counts, supported):
        color = self.im_.cmap(self.im_.norm(fractions[i, j]))
        percent = f"{100 * fractions[i, j]:.0f} %\n" if supported else ""
        return self.ax_.text(
            j,
            i,
            f"{percent}{counts[i, j]}",
            ha="center",
            va="center",
            fontsize=9,
            fontweight="bold" if i == j else "normal",
            color="white" if is_dark(color[:3]) else "#222222",
        )


def _fit_column_names(ax, k):
    """Write column names side by side, or slanted; return the width of a cell in inches."""
    width = _cell_width(ax, k)
    names = ax.get_xticklabels()
    size = names[0].get_fontsize() * _FILLED * width / max(map(text_width, names))
    if size >= _SMALLEST_NAME:
        ax.tick_params(axis="x", labelsize=min(size, names[0].get_fontsize()))
        return width
    for name in names:
        name.set(rotation=45, ha="right", rotation_mode="anchor")
    return _cell_width(ax, k)


def _cell_width(ax, k):
    # The layout makes room for labels when it draws, and nearly all of it the first time.
    for _ in range(2):
        ax.figure.draw_without_rendering()
    return ax.get_window_extent().width / ax.figure.dpi / k


def _fit_cells(texts, width):
    """Give the text of all cells one font size, at which the widest fits."""
    widest = max(texts.ravel(), key=text_width)
    shrink_text(widest, width)
    for text in texts.ravel():
        text.set_fontsize(widest.get_fontsize())
