"""The confusion matrix as a picture."""

import numpy as np

from .._utils.validation import encode_label_pair
from ..evaluation._metrics import confusion_counts
from ._style import new_figure, shrink_text, text_width

__all__ = ["ConfusionMatrixDisplay"]

# Points below which names of columns are slanted; share of a cell that text may fill.
_SMALLEST_NAME, _FILLED = 7.5, 0.94


class ConfusionMatrixDisplay:
    """Confusion matrix with the share of each true label and the count in every cell.

    Made by :meth:`from_estimator` or :meth:`from_predictions`. The shade of a cell is its
    share of the row, so that a rare emotion is as visible as a frequent one; the diagonal
    reads as recall.

    Parameters
    ----------
    confusion_matrix : array-like of shape (k, k), int
        True labels in rows, predicted ones in columns.
    display_labels : array-like of shape (k,), default=None
        Names of rows and columns. None numbers them.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        What was drawn on, after :meth:`plot`.
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

    def __init__(self, confusion_matrix, *, display_labels=None):
        self.confusion_matrix = confusion_matrix
        self.display_labels = display_labels

    @classmethod
    def from_estimator(cls, estimator, X, y, *, labels=None, **plot_options):
        """Predict with a fitted classifier and draw its confusion matrix.

        Parameters
        ----------
        estimator : fitted classifier or pipeline
            Its `predict` is called once.
        X : array-like of n_samples images
            Whatever `estimator` takes.
        y : array-like of shape (n_samples,)
            The true labels.
        labels : array-like of shape (k,), default=None
            Labels to show, in this order; all that occur must be among them. None takes
            the sorted labels that occur in `y` or are predicted.
        **plot_options
            Passed to :meth:`plot`.

        Returns
        -------
        ConfusionMatrixDisplay

        Raises
        ------
        ValueError
            If the labels are empty, missing, of another number than the images, or not
            among `labels`.
        """
        return cls._from_encoded(
            encode_label_pair(y, estimator.predict(X), labels, input_names=("y", "predict(X)")),
            plot_options,
        )

    @classmethod
    def from_predictions(cls, y_true, y_pred, *, labels=None, **plot_options):
        """Draw the confusion matrix of predictions that are already made.

        Parameters
        ----------
        y_true, y_pred : array-like of shape (n_samples,)
            True and predicted labels.
        labels : array-like of shape (k,), default=None
            As in :meth:`from_estimator`.
        **plot_options
            Passed to :meth:`plot`.

        Returns
        -------
        ConfusionMatrixDisplay
        """
        return cls._from_encoded(encode_label_pair(y_true, y_pred, labels), plot_options)

    @classmethod
    def _from_encoded(cls, encoded, plot_options):
        labels, true, predicted = encoded
        confusion = confusion_counts(true, predicted, len(labels))
        return cls(confusion, display_labels=labels).plot(**plot_options)

    def plot(self, *, ax=None, cmap="Blues", title=None):
        """Draw.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.
        cmap : str or matplotlib.colors.Colormap, default="Blues"
            One that runs from light to dark stays readable in grey.
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
        names = range(k) if self.display_labels is None else self.display_labels
        if len(names) != k:
            raise ValueError(
                f"display_labels has {len(names)} name(s) for a {k}×{k} confusion_matrix; "
                f"expected {k}."
            )
        if ax is None:
            side = max(4.0, 0.85 * k + 1.2)
            ax = new_figure((side, side)).subplots()
        row_sums = counts.sum(axis=1, keepdims=True)
        # A row without support has no shares: its cells stay white and show the zeros alone.
        shares = np.divide(counts, row_sums, out=np.zeros((k, k)), where=row_sums > 0)
        self.ax_, self.figure_ = ax, ax.figure
        self.im_ = ax.imshow(shares, cmap=cmap, vmin=0, vmax=1)
        ax.set_xticks(range(k), names)
        ax.set_yticks(range(k), names)
        ax.set(xlabel="Predicted", ylabel="True", title=title or "")
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        width = _FILLED * _fit_column_names(ax, k)
        self.text_ = np.array(
            [
                [self._write_cell(i, j, shares, counts, row_sums[i, 0] > 0) for j in range(k)]
                for i in range(k)
            ]
        )
        _fit_cells(self.text_, width)
        return self

    def _write_cell(self, i, j, shares, counts, supported):
        color = self.im_.cmap(self.im_.norm(shares[i, j]))
        percent = f"{100 * shares[i, j]:.0f} %\n" if supported else ""
        return self.ax_.text(
            j,
            i,
            f"{percent}{counts[i, j]}",
            ha="center",
            va="center",
            fontsize=9,
            fontweight="bold" if i == j else "normal",
            color=_readable_on(color),
        )


def _readable_on(color):
    """White or near-black, whichever contrasts more with a colour (WCAG 2 luminance)."""
    luminance = np.dot([0.2126, 0.7152, 0.0722], np.asarray(color[:3]) ** 2.2)
    return "white" if luminance < 0.21 else "#222222"


def _fit_column_names(ax, k):
    """Write the names of the columns side by side, or slanted; return the inches of a cell."""
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
    """Bring what stands in the cells to one size that fits the widest."""
    widest = max(texts.ravel(), key=text_width)
    shrink_text(widest, width)
    for text in texts.ravel():
        text.set_fontsize(widest.get_fontsize())
