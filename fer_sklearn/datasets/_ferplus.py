"""FER+: the votes of ten people on each image of FER2013."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from .._utils.typing import ArrayLike, FloatArray, IntArray, PathLike
from .._utils.validation import suggestion
from ..emotions import (
    EMOTIONS,
    FERPLUS_COLUMNS,
    N_VOTED_EMOTIONS,
    canonical_emotion,
    majority_vote,
    without_single_votes,
)
from ..exceptions import DatasetFormatError
from ._archives import FolderSource, TarSource, ZipSource, open_data
from ._table_kinds import row_name, table_chunks

__all__ = ["load_ferplus", "majority_vote", "vote_distributions", "votes_to_soft_targets"]

# The columns of FER+'s own file whose names differ.
_ORIGINAL_COLUMNS = {"image_name": "file", "nf": "not_a_face"}
# Two thirds of FER2013's labels are what the majority sees, and a fifth if votes belong to other
# images. Fewer images than this prove nothing, nor do those of some labels: of "fear", a seventh.
_LEAST_AGREEMENT, _FEWEST_VOTED = 1 / 3, 50
# Of the images that the script of FER+ writes.
_ORIGINAL_NAME = re.compile(r"fer\d{7}\.png")


def load_ferplus(path: PathLike, filenames: Sequence[str], y: ArrayLike | None = None) -> IntArray:
    """Load the votes of FER+ for images of FER2013.

    Parameters
    ----------
    path : str or path-like
        FER+'s own ``fer2013new.csv``, whose rows are those of ``fer2013.csv``; or a CSV file with a
        column ``file`` of names as in `filenames`, and ten columns of votes: ``neutral``,
        ``happiness``, ``surprise``, ``sadness``, ``anger``, ``disgust``, ``fear``, ``contempt``,
        ``unknown`` and ``not_a_face``. It may be compressed.
    filenames : sequence of str of length n
        Names of the images, as :func:`load_fer2013` returns them. The images that FER+'s own
        script writes, such as ``FER2013Train/fer0000000.png``, are found by their names in its
        file.
    y : array-like of shape (n,) or None, default=None
        The labels of FER2013, to check that votes and images belong together.

    Returns
    -------
    ndarray of shape (n, 10), int64
        Votes, in the order of ``fer_sklearn.emotions.FERPLUS_COLUMNS``; all zero for an image
        without a row.

    Raises
    ------
    FileNotFoundError
        If `path` does not exist.
    DatasetFormatError
        If a column is missing, a count is not an integer, an image has several rows that differ,
        no row belongs to any of the images, or the votes contradict `y`.

    References
    ----------
    Barsoum et al. (2016), Training deep networks for facial expression recognition with
    crowd-sourced label distribution, arXiv:1608.01041.
    """
    rows = _read_votes(path)
    votes = np.zeros((len(filenames), len(FERPLUS_COLUMNS)), np.int64)
    names = [_name_in(rows, name) for name in filenames]
    known = [i for i, name in enumerate(names) if name in rows]
    if len(filenames) and not known:
        raise DatasetFormatError(
            f"{path} has votes on {len(rows)} images, but not on any of these "
            f"{len(filenames)}, such as {filenames[0]!r}. Expected the names that load_fer2013 "
            f"returns as filenames in the column 'file'; FER+'s own fer2013new.csv belongs to "
            f"fer2013.csv."
        )
    for i in known:
        texts = rows[names[i]]
        if not all(re.fullmatch("[0-9]{1,6}", text.strip()) for text in texts):
            raise DatasetFormatError(
                f"{path}: the row of {filenames[i]!r} does not have ten non-negative integers, "
                f"but {', '.join(map(repr, texts))}. Download the file again."
            )
        votes[i] = [int(text) for text in texts]
    if y is not None:
        _check_labels(path, votes, y)
    return votes


def _check_labels(path: PathLike, votes: IntArray, y: ArrayLike) -> None:
    people, labels = majority_vote(votes), np.asarray(y)
    is_clear = np.isin(people, EMOTIONS)
    if is_clear.sum() < _FEWEST_VOTED or not np.isin(EMOTIONS, labels).all():
        return
    agreement = np.mean(people[is_clear] == labels[is_clear])
    if agreement < _LEAST_AGREEMENT:
        raise DatasetFormatError(
            f"{path}: its majorities agree with only {agreement:.0%} of the labels; expected about "
            f"two thirds. The votes are on other images, or the images are in another order: "
            f"fer2013new.csv belongs to the complete fer2013.csv."
        )


def _name_in(rows: Container[str], filename: str) -> str:
    """Return the name of an image in the file of votes, which knows FER+'s names without folder."""
    name = filename.rpartition("/")[2]
    return name if filename not in rows and _ORIGINAL_NAME.fullmatch(name) else filename


def _read_votes(path: PathLike) -> dict[str, tuple[str, ...]]:
    """Return the ten votes on each image as text, by its name.

    Those of FER+'s own file are also found by their row, since it names no image without a face.
    """
    rows: dict[str, tuple[str, ...]] = {}
    ambiguous = set()
    with open_data(path) as file:
        if isinstance(file, (FolderSource, ZipSource, TarSource)):
            raise DatasetFormatError(f"{path} is a folder or an archive; expected a CSV file.")
        for frame in table_chunks(file, str(path)):
            names, *columns = _vote_columns(path, frame.columns.tolist())
            is_original = names != "file"
            for row, name, *votes in frame[[names, *columns]].itertuples():
                if is_original:
                    rows[row_name(row)] = tuple(votes)
                if rows.setdefault(name, tuple(votes)) != tuple(votes):
                    ambiguous.add(name)
    if ambiguous and not is_original:
        raise DatasetFormatError(
            f"{path} has several rows for {min(ambiguous)!r} with different votes; expected one."
        )
    # FER+ gives one name to two images, and none to those without a face.
    return {name: votes for name, votes in rows.items() if name not in ambiguous}


def _vote_columns(path: PathLike, header: Sequence[str]) -> list[str]:
    """Return the columns of the name and, in the order of FERPLUS_COLUMNS, of the votes."""
    by_name: dict[str, list[str]] = {}
    for column in header:
        name = column.replace(" ", "_")
        name = _ORIGINAL_COLUMNS.get(name) or canonical_emotion(name)
        by_name.setdefault(name, []).append(column)
    wanted = ("file", *FERPLUS_COLUMNS)
    missing = [name for name in wanted if name not in by_name]
    if missing:
        raise DatasetFormatError(
            f"{path} has no column {missing[0]!r}; expected 'file' and FER+'s ten columns, "
            f"got {', '.join(header) or 'none'}.{suggestion(missing[0], header)}"
        )
    for name in wanted:
        if len(by_name[name]) > 1:
            raise DatasetFormatError(
                f"{path} has several columns for {name!r}: {', '.join(by_name[name])}. Keep one."
            )
    return [by_name[name][0] for name in wanted]


def vote_distributions(
    votes: ArrayLike, *, labels: Sequence[str] = FERPLUS_COLUMNS[:N_VOTED_EMOTIONS]
) -> FloatArray:
    """Return the fraction of votes for each emotion.

    Single votes are dropped, and so are votes for emotions that are not in `labels`. Images with
    most votes for something else, such as "unknown" or "not a face", have no distribution.

    Parameters
    ----------
    votes : array-like of shape (n, 10)
        As :func:`load_ferplus` returns them. The columns of a table are found by their names.
    labels : sequence of str, default=FERPLUS_COLUMNS[:8]
        Emotions to return the fractions of, in this order. Sorted ones, such as
        ``fer_sklearn.emotions.EMOTIONS``, make the result soft targets for a classifier of these
        labels.

    Returns
    -------
    ndarray of shape (n, n_labels), float64
        Fractions. Rows sum to 1, or are all zero.

    Raises
    ------
    ValueError
        If a label is not one of FER+'s eight emotions, or `votes` is not ten columns of counts.

    Examples
    --------
    >>> from fer_sklearn.emotions import EMOTIONS
    >>> votes = [[5, 0, 0, 3, 1, 0, 0, 1, 0, 0], [1, 0, 0, 0, 0, 0, 0, 2, 7, 0]]
    >>> vote_distributions(votes, labels=EMOTIONS)
    array([[0.   , 0.   , 0.   , 0.   , 0.625, 0.375, 0.   ],
           [0.   , 0.   , 0.   , 0.   , 0.   , 0.   , 0.   ]])
    """
    known, labels = FERPLUS_COLUMNS[:N_VOTED_EMOTIONS], list(labels)
    wrong = [label for label in labels if label not in known]
    if wrong:
        raise ValueError(
            f"labels has {wrong[0]!r}; expected some of {', '.join(known)}."
            f"{suggestion(wrong[0], known)}"
        )
    kept = without_single_votes(votes)
    emotions = kept[:, [known.index(label) for label in labels]]
    is_face = (emotions.max(axis=1) == kept.max(axis=1)) & (kept.max(axis=1) > 0)
    totals = np.maximum(emotions.sum(axis=1, keepdims=True), 1)
    return emotions / totals * is_face[:, np.newaxis]


def votes_to_soft_targets(
    votes: ArrayLike, y: ArrayLike, *, random_state: int | None = None
) -> FloatArray:
    """Estimate the probability of each label from votes.

    The categories of the votes are not the labels, and often disagree with them. A logistic
    regression learns to predict the label from the votes, by five-fold cross-validation.

    Parameters
    ----------
    votes : array-like of shape (n, n_columns)
        As :func:`load_ferplus` returns them.
    y : array-like of shape (n,)
        Labels, each at least five times.
    random_state : int or None, default=None
        Seed of the folds.

    Returns
    -------
    ndarray of shape (n, n_classes), float64
        Probabilities, in the order of the sorted labels, for the `soft_targets` of
        :meth:`fer_sklearn.FERCNNClassifier.fit`. Each row sums to 1.
    """
    fractions = np.asarray(votes, float) / 10
    features = np.hstack([fractions, np.sqrt(fractions)])
    model = LogisticRegression(C=10, max_iter=500)
    folds = StratifiedKFold(5, shuffle=True, random_state=random_state)
    return cross_val_predict(model, features, np.asarray(y), cv=folds, method="predict_proba")
