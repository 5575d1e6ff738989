"""The names of the seven emotions, their colours, and the codes that data sets use for them.

Labels are names everywhere in this package. The integer codes of a data set are translated
once, when its file is read.
"""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "AFFECTNET_CODES",
    "CK_PLUS_CODES",
    "EMOTIONS",
    "EMOTION_COLORS",
    "FER2013_CODES",
    "FERPLUS_COLUMNS",
    "RAF_DB_CODES",
    "canonical_emotion",
    "label_colors",
]

#: The seven emotions, sorted as ``classes_`` of a fitted classifier sorts them.
EMOTIONS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")

#: One colour per emotion, in all plots. From Okabe & Ito 2008 ("Color Universal Design"):
#: they can be distinguished with each of the three kinds of colour blindness.
EMOTION_COLORS = dict(
    zip(
        EMOTIONS,
        ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#333333", "#0072B2", "#56B4E9"),
        strict=True,
    )
)

#: Kaggle's integer codes of FER2013: the position is the code.
FER2013_CODES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

#: The codes of the Extended Cohn-Kanade set (Lucey et al. 2010): the position is the code.
CK_PLUS_CODES = (
    "neutral",
    "angry",
    "contempt",
    "disgust",
    "fear",
    "happy",
    "sad",
    "surprise",
)

#: The codes of RAF-DB (Li et al. 2017), which start at 1.
RAF_DB_CODES = dict(
    enumerate(("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"), start=1)
)

#: The codes of AffectNet (Mollahosseini et al. 2017): the position is the code. The last three,
#: "none", "uncertain" and "no face", are not labels.
AFFECTNET_CODES = (
    "neutral",
    "happy",
    "sad",
    "surprise",
    "fear",
    "disgust",
    "angry",
    "contempt",
    None,
    None,
    None,
)

#: The vote columns of FER+ (Barsoum et al. 2016), in the order of its file.
FERPLUS_COLUMNS = (
    "neutral",
    "happy",
    "surprise",
    "sad",
    "angry",
    "disgust",
    "fear",
    "contempt",
    "unknown",
    "not_a_face",
)

#: The number of these that are emotions; the last two, "unknown" and "not a face", are not.
N_VOTED_EMOTIONS = 8

# For other labels, such as "contempt"; distinct from the colours above.
_OTHER_COLORS = ("#8C6D31", "#6A3D9A", "#B2182B", "#8DA0CB", "#4D7C0F", "#A6A6A6")

_SYNONYMS = {
    "angry": ("anger", "an", "ang", "mad"),
    "disgust": ("disgusted", "di", "dis"),
    "fear": ("fearful", "afraid", "scared", "fe", "fea"),
    "happy": ("happiness", "joy", "joyful", "smile", "smiling", "ha", "hap"),
    "neutral": ("neutrality", "calm", "normal", "ne", "neu"),
    "sad": ("sadness", "unhappy", "sa"),
    "surprise": ("surprised", "surprising", "su", "sur"),
    "contempt": ("contemptuous",),
}
# Folders are often numbered: "0_angry".
_NUMBER = re.compile(r"^\d+[\s._-]+")
_CANONICAL = {name: name for name in _SYNONYMS} | {
    synonym: name for name, synonyms in _SYNONYMS.items() for synonym in synonyms
}


def canonical_emotion(label: str) -> str:
    """Translate the usual synonyms of an emotion into this package's name for it.

    Parameters
    ----------
    label : str
        A label as a data set spells it, such as ``"Happiness"``, ``"anger"`` or ``"1_disgust"``.

    Returns
    -------
    str
        One of :data:`EMOTIONS`, or `label` itself if it is not a synonym of one
        (``"contempt"`` stays ``"contempt"``).

    Examples
    --------
    >>> canonical_emotion("Happiness"), canonical_emotion("fearful")
    ('happy', 'fear')
    >>> canonical_emotion("contempt")
    'contempt'
    """
    name = str(label).strip().lower()
    return _CANONICAL.get(name) or _CANONICAL.get(_NUMBER.sub("", name), label)


def is_emotion(label: str) -> bool:
    """Return whether a label is one of :data:`EMOTIONS` or "contempt"."""
    return label in _SYNONYMS


def majority_vote(votes: ArrayLike) -> NDArray[np.str_]:
    """Return the emotion that most people voted for, by the rule of FER+'s authors.

    Single votes are dropped as accidental. An image has a majority if more than half of the
    remaining votes are for one emotion; "unknown" and "not a face" are not emotions.

    Parameters
    ----------
    votes : array-like of shape (n, 10)
        As :func:`~fer_sklearn.datasets.load_ferplus` returns them.

    Returns
    -------
    ndarray of shape (n,), str
        One of eight emotions, or ``""`` for an image without a majority.

    Raises
    ------
    ValueError
        If `votes` does not have these ten columns, or is not counts.
    """
    kept = without_single_votes(votes)
    most = kept.argmax(axis=1)
    clear = (kept.max(axis=1) > kept.sum(axis=1) / 2) & (most < N_VOTED_EMOTIONS)
    return np.where(clear, np.array(FERPLUS_COLUMNS)[most], "")


def without_single_votes(votes: ArrayLike) -> NDArray[Any]:
    """Return votes with 0 for each 1, which FER+'s authors consider accidental."""
    counts = check_votes(votes)
    return np.where(counts > 1, counts, 0)


def check_votes(votes: ArrayLike, n_samples: int | None = None) -> NDArray[np.int64]:
    """Check people's votes, and return them as an array.

    Parameters
    ----------
    votes : array-like of shape (n_samples, 10)
        Counts in the order of ``FERPLUS_COLUMNS``. The columns of a table are found by their names.
    n_samples : int or None, default=None
        The expected number of images. If None, any.

    Returns
    -------
    ndarray of shape (n_samples, 10), int64

    Raises
    ------
    ValueError
        If the shape or the columns differ, or a count is not a non-negative integer.
    """
    counts = np.asarray(sorted_votes(votes))
    n_rows = len(counts) if counts.ndim and n_samples is None else n_samples
    if counts.shape != (n_rows, len(FERPLUS_COLUMNS)):
        raise ValueError(
            f"votes has shape {counts.shape}; expected ({'n' if n_samples is None else n_samples}, "
            f"{len(FERPLUS_COLUMNS)}): a row for each image, and a column for each of "
            f"{', '.join(FERPLUS_COLUMNS)}, as load_ferplus returns them."
        )
    try:
        numbers = counts.astype(float)
    except (TypeError, ValueError):
        raise ValueError(
            f"votes has dtype {counts.dtype}; expected integers, as load_ferplus returns them."
        ) from None
    whole = np.isfinite(numbers) & (numbers >= 0) & (numbers == np.floor(numbers))
    wrong = ~whole.all(axis=1)
    if wrong.any():
        first = int(wrong.argmax())
        raise ValueError(
            f"votes[{first}] is {counts[first].tolist()}; expected non-negative integers, "
            f"the counts of votes. {wrong.sum()} of {n_rows} row(s) are wrong."
        )
    return numbers.astype(np.int64)


def sorted_votes(votes: Any) -> Any:
    """Return votes with the columns of a table in the order of :data:`FERPLUS_COLUMNS`.

    Parameters
    ----------
    votes : array-like of shape (n, 10)
        Arrays are returned as they are.

    Raises
    ------
    ValueError
        If a table has other columns.
    """
    columns = list(getattr(votes, "columns", ()))
    if not any(isinstance(name, str) for name in columns):
        return votes
    by_name = {canonical_emotion(name.strip().lower()): name for name in map(str, columns)}
    if set(by_name) != set(FERPLUS_COLUMNS) or len(columns) != len(FERPLUS_COLUMNS):
        raise ValueError(
            f"votes has the columns {', '.join(map(repr, columns))}; expected "
            f"{', '.join(FERPLUS_COLUMNS)}, in any order."
        )
    return votes[[by_name[name] for name in FERPLUS_COLUMNS]]


def label_colors(labels: Iterable[str]) -> dict[str, str]:
    """Assign a colour to each label.

    Parameters
    ----------
    labels : iterable of str
        Names such as the ``classes_`` of a model.

    Returns
    -------
    dict of str to str
        Label to ``"#RRGGBB"``, in the order of `labels`. Emotions have those of
        :data:`EMOTION_COLORS`; others cycle through six more.

    Examples
    --------
    >>> label_colors(["happy", "contempt"])
    {'happy': '#E69F00', 'contempt': '#8C6D31'}
    """
    labels = list(dict.fromkeys(str(label) for label in labels))
    others = [label for label in labels if label not in EMOTION_COLORS]
    cycled = {label: _OTHER_COLORS[i % len(_OTHER_COLORS)] for i, label in enumerate(others)}
    return {label: EMOTION_COLORS.get(label) or cycled[label] for label in labels}


def is_dark(color: Iterable[float]) -> bool:
    """Return whether white text contrasts more with a colour than near-black text does.

    Parameters
    ----------
    color : sequence of 3 floats
        Red, green and blue, in [0, 1].

    Returns
    -------
    bool
        By the relative luminance of WCAG 2.

    Examples
    --------
    >>> is_dark((0.0, 0.45, 0.7)), is_dark((0.9, 0.62, 0.0))
    (True, False)
    """
    red, green, blue = (level**2.2 for level in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.2
