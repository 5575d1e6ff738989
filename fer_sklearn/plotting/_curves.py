"""Curves over time: of a training run by epoch, and of the emotions in a video."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._utils.estimators import split_pipeline
from .._utils.tables import PHOTO_COLUMNS, VIDEO_COLUMNS
from .._utils.typing import Estimator, NDArray
from ..emotions import label_colors
from ._base import BLUE, VERMILION, as_axes, new_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["EmotionTimelineDisplay", "LearningCurvesDisplay"]

# The columns of a row that are not probabilities.
_OTHER_COLUMNS = {*PHOTO_COLUMNS, *VIDEO_COLUMNS, "status"}
# A face that was absent for more than this many steps leaves a gap. Cameras deliver frames at
# irregular times; then it has to be absent for longer, and for this many seconds.
_GAP_STEPS, _IRREGULAR_GAP_STEPS, _IRREGULAR_GAP_SECONDS = 1.5, 4, 0.5
# Seconds between two ticks of the time axis.
_STEPS = (10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
# Bottom and height of the band of emotions, above the probabilities.
_BAND = (1.04, 0.07)


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
            If it has no ``history_``, because it is not trained in epochs.
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
            The ``history_`` of a fitted :class:`~fer_sklearn.FERCNNClassifier`, or the result of
            ``keras.Model.fit``.
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
            One per quantity in the history, loss first. If None, a new figure is created.

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


class EmotionTimelineDisplay:
    """Probabilities of the emotions over the time of a video, with one panel per face.

    Create it with :meth:`from_rows`. The band above the curves has the colour of the predicted
    emotion at each moment. Curve and band are interrupted where the face was not found, even in a
    single frame; for cameras, whose frames come at irregular times, only after half a second.

    Parameters
    ----------
    rows : sequence of dict, or DataFrame of pandas or polars
        A timeline: ``seconds``, ``face``, ``emotion``, and a column of probabilities for each
        class; other columns of a timeline, and rows without a face, are ignored. Values can be
        text, as ``csv.DictReader`` returns them.

    Attributes
    ----------
    axes_ : ndarray of matplotlib.axes.Axes
        One per face shown, after :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure of `axes_`.
    faces_ : list
        The faces shown, in the order of `axes_`.

    Examples
    --------
    >>> rows = [
    ...     {"seconds": 0.0, "face": 0, "emotion": "happy", "happy": 0.9, "sad": 0.1},
    ...     {"seconds": 0.5, "face": 0, "emotion": "happy", "happy": 0.7, "sad": 0.3},
    ... ]
    >>> display = EmotionTimelineDisplay.from_rows(rows)
    >>> [line.get_label() for line in display.axes_[0].lines]
    ['happy', 'sad']
    """

    axes_: NDArray[Any]
    figure_: Figure
    faces_: list[Any]

    def __init__(self, rows: Sequence[Mapping[str, Any]] | pd.DataFrame):
        self.rows = rows

    @classmethod
    def from_rows(
        cls,
        rows: Sequence[Mapping[str, Any]] | pd.DataFrame,
        *,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        max_faces: int = 6,
        duration: float | None = None,
    ) -> EmotionTimelineDisplay:
        """Draw a timeline.

        Parameters
        ----------
        rows : sequence of dict, or DataFrame of pandas or polars
            As for the class.
        axes, max_faces, duration
            As in :meth:`plot`.

        Returns
        -------
        EmotionTimelineDisplay

        Raises
        ------
        ValueError
            If there is no row, a column is missing, or a probability is not a number.
        """
        return cls(rows).plot(axes=axes, max_faces=max_faces, duration=duration)

    def plot(
        self,
        *,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        max_faces: int = 6,
        duration: float | None = None,
    ) -> EmotionTimelineDisplay:
        """Draw the timeline.

        Parameters
        ----------
        axes : array-like of matplotlib.axes.Axes, default=None
            One per face shown. If None, a new figure is created.
        max_faces : int, default=6
            Maximum number of panels: the faces with most rows, in the order of their first. The
            figure says how many were left out.
        duration : float or None, default=None
            Length of the video in seconds, which the time axis then covers. If None, the axis
            covers the time in which faces were visible.

        Returns
        -------
        EmotionTimelineDisplay
            This display, with `axes_`, `figure_` and `faces_` set.
        """
        if max_faces < 1:
            raise ValueError(f"max_faces={max_faces!r} must be at least 1.")
        all_rows = _as_rows(self.rows)
        rows = [row for row in all_rows if _has_face(row)]
        if not rows:
            raise ValueError("rows contains no face; there is nothing to plot.")
        classes = [name for name in rows[0] if name not in _OTHER_COLUMNS]
        by_face: dict[Any, list] = {}
        for row in rows:
            by_face.setdefault(_face(row), []).append(row)
        most_seen = sorted(by_face, key=lambda face: -len(by_face[face]))[:max_faces]
        self.faces_ = [face for face in by_face if face in set(most_seen)]
        n = len(self.faces_)
        own_figure = axes is None
        self.axes_ = _new_axes(n) if axes is None else as_axes(axes, n, "one per face")
        self.figure_ = self.axes_[0].figure
        colors = label_colors([*classes, *(str(row["emotion"]) for row in rows)])
        usual, longest = _usual_steps(all_rows)
        for ax, face in zip(self.axes_, self.faces_, strict=True):
            _draw_face(ax, face, by_face[face], classes, colors, usual, longest)
        if duration is not None:
            for ax in self.axes_:
                ax.set_xlim(0, duration)
        _mark_time(self.axes_)
        self._label(len(by_face) - n, colors, own_figure)
        return self

    def _label(self, n_left_out, colors, own_figure):
        """Add one legend of the colours, and the label of the time axis below the last panel."""
        from matplotlib.patches import Patch

        text = "Time"
        if n_left_out:
            noun = "face, which was" if n_left_out == 1 else "faces, which were"
            text += f"\nNot shown: {n_left_out} more {noun} visible for a shorter time"
        self.axes_[-1].set_xlabel(text)
        options: dict[str, Any] = {
            "handles": [Patch(color=color, label=name) for name, color in colors.items()],
            "frameon": False,
            "handlelength": 1.2,
            "handleheight": 0.6,
        }
        if own_figure:
            columns = min(7, len(colors))
            self.figure_.legend(loc="outside upper center", ncols=columns, **options)
        else:
            self.axes_[0].legend(fontsize="small", **options)


def _new_axes(n):
    figure = new_figure((9.0, 0.9 + 1.9 * n))
    return figure.subplots(n, 1, sharex=True, squeeze=False)[:, 0]


def _as_rows(rows):
    """Return a timeline as a list of dicts with all required columns."""
    if hasattr(rows, "to_dicts"):  # a DataFrame of polars
        rows = rows.to_dicts()
    rows = rows.to_dict("records") if hasattr(rows, "to_dict") else list(rows)
    if not rows:
        raise ValueError("rows is empty; expected a timeline with one row per face and frame.")
    missing = [name for name in ("seconds", "face", "emotion") if name not in rows[0]]
    if missing:
        raise ValueError(
            f"rows has no column {', '.join(map(repr, missing))}; expected those of a timeline: "
            f"seconds, face, emotion, and one per class. It has {', '.join(map(repr, rows[0]))}."
        )
    return rows


def _has_face(row):
    face = row["face"]
    return face not in ("", None) and face == face  # pandas reads an empty field as NaN


def _face(row):
    """Return the number of a face: pandas reads a column with empty fields as floats."""
    face = row["face"]
    return int(face) if isinstance(face, float) and face.is_integer() else face


def _usual_steps(rows):
    """Return the usual time between two frames, and the longest that is not a gap, in seconds.

    Frames without any face may be missing, so the shortest steps between rows show the usual one.
    """
    steps = np.diff(np.unique([_number(row, "seconds") for row in rows]))
    if not len(steps):
        return 0.1, math.inf
    usual = float(np.quantile(steps, 0.1))
    multiples = steps / usual
    if np.mean(np.abs(multiples - np.rint(multiples)) < 0.1) >= 0.9:
        return usual, _GAP_STEPS * usual
    usual = float(np.median(steps))
    return usual, max(_IRREGULAR_GAP_SECONDS, _IRREGULAR_GAP_STEPS * usual)


def _draw_face(ax, face, rows, classes, colors, usual, longest):
    """Draw one panel."""
    rows = sorted(rows, key=lambda row: _number(row, "seconds"))
    seconds = np.array([_number(row, "seconds") for row in rows])
    emotions = [str(row["emotion"]) for row in rows]
    gaps = np.flatnonzero(np.diff(seconds) > longest) + 1
    # NaN between two rows interrupts the curve; an isolated point needs a marker.
    x = np.insert(seconds, gaps, np.nan)
    around = np.isnan(np.pad(x, 1, constant_values=np.nan))
    isolated = np.flatnonzero(around[:-2] & ~around[1:-1] & around[2:]).tolist()
    for name in classes:
        proba = np.array([_number(row, name) for row in rows])
        if np.isnan(proba).all():
            continue
        y = np.insert(proba, gaps, np.nan)
        marker = {"marker": ".", "markevery": isolated} if isolated else {}
        ax.plot(x, y, color=colors[name], label=name, linewidth=1.6, **marker)
    lengths = _lengths(seconds, gaps, usual)
    _draw_band(ax, seconds, lengths, emotions, gaps, colors)
    times = {name: lengths[np.equal(emotions, name)].sum() for name in dict.fromkeys(emotions)}
    most = max(times, key=lambda name: times[name])
    percent = 100 * times[most] / lengths.sum()
    ax.set_title(f"face {face}: {most} {percent:.0f} % of the time", loc="left", fontsize=10)
    ax.set(ylim=(0, sum(_BAND)), yticks=[0, 0.5, 1], yticklabels=["0 %", "50 %", "100 %"])
    ax.margins(x=0.01)
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)


def _draw_band(ax, seconds, lengths, emotions, gaps, colors):
    """Draw the predicted emotion at each moment, run by run."""
    changes = [i for i in range(1, len(emotions)) if emotions[i] != emotions[i - 1]]
    starts = sorted({0, *changes, *gaps.tolist()})
    spans = [
        (seconds[start], lengths[start:end].sum())
        for start, end in zip(starts, [*starts[1:], len(emotions)], strict=True)
    ]
    runs = [colors[emotions[start]] for start in starts]
    ax.broken_barh(spans, _BAND, facecolors=runs, linewidth=0)


def _lengths(seconds, gaps, usual):
    """Return for how long each row is shown: up to the next one, or as long as most others."""
    lengths = np.append(np.diff(seconds), usual)
    lengths[gaps - 1] = usual
    return lengths


def _number(row, name):
    """Return a value of a row as a float; NaN if it is empty."""
    value = row.get(name)
    if value is None or value == "":
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(
            f"rows has {name}={value!r}; expected a number. Remove columns that are not "
            f"probabilities."
        ) from None


def _mark_time(axes):
    """Put ticks at round times: seconds, or minutes and hours for longer videos."""
    from matplotlib.ticker import MultipleLocator

    start, end = np.array([ax.get_xlim() for ax in axes]).T
    span = end.max() - start.min()
    if span <= 60:
        for ax in axes:
            ax.xaxis.set_major_formatter("{x:g} s")
        return
    step = next((step for step in _STEPS if span / step <= 9), span / 9)
    for ax in axes:
        ax.xaxis.set_major_locator(MultipleLocator(step))
        ax.xaxis.set_major_formatter(_clock)


def _clock(seconds, _position=None):
    """Format a time: 0:05, 2:05, or 1:02:05."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
