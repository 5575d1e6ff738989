"""Agreement of predictions with the votes of several people on each image."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .._utils.tables import interval, number
from .._utils.typing import ArrayLike, FloatArray, IntArray, LabelArray
from ..emotions import (
    FERPLUS_COLUMNS,
    N_VOTED_EMOTIONS,
    canonical_emotion,
    check_votes,
    majority_vote,
)
from ._intervals import Estimate, mean_fraction, proportion

__all__ = ["PeopleAgreement", "agreement_with_people"]

_TITLES = {
    "accuracy": "predictions with the majority",
    "label_accuracy": "true labels with the majority",
    "human_accuracy": "one person with the others",
    "human_accuracy_all": "one person with the others, all images",
    "majority": "images with a majority",
}


@dataclass(frozen=True)
class PeopleAgreement:
    """Agreement of people's votes with predictions, labels and each other.

    Attributes
    ----------
    accuracy : Estimate
        Fraction of the images with a majority for which the majority is predicted.
    label_accuracy : Estimate
        The same for the true labels.
    human_accuracy : Estimate
        The fraction of these images for which one person voted for the most frequent emotion of the
        others, averaged over all choices of this person. If the others are tied, each of their
        emotions counts in part.
    human_accuracy_all : Estimate
        The same on all images that have at least two votes.
    majority : Estimate
        Fraction of the images with votes that have a majority.
    n_images : int
        Number of images with a majority.
    n_without_majority, n_without_votes : int
        Number of images that are left out.
    missing_labels : dict of str to int
        Number of images for each majority that is not among the labels of the report, such as
        "contempt" for a model of seven emotions. They count as errors.

    Notes
    -----
    The majority is that of :func:`fer_sklearn.datasets.majority_vote`. The intervals are those of
    proportions, and for human accuracy of means.
    """

    accuracy: Estimate
    label_accuracy: Estimate
    human_accuracy: Estimate
    human_accuracy_all: Estimate
    majority: Estimate
    n_images: int
    n_without_majority: int
    n_without_votes: int
    missing_labels: dict[str, int]

    def estimates(self) -> dict[str, Estimate]:
        """Return the values with an interval, by name.

        Returns
        -------
        dict of str to Estimate
        """
        return {name: getattr(self, name) for name in _TITLES}

    def to_dict(self) -> dict[str, Any]:
        """Return everything as nested dictionaries of plain Python numbers.

        Returns
        -------
        dict
        """
        return asdict(self) | {
            name: estimate._asdict() for name, estimate in self.estimates().items()
        }

    def sentence(self) -> str:
        """Describe which images are scored.

        Returns
        -------
        str
        """
        text = (
            f"People's votes: {self.n_images} images have a majority; {self.n_without_majority} "
            f"without one and {self.n_without_votes} without votes are left out."
        )
        if self.missing_labels:
            listed = ", ".join(f"{count} {label}" for label, count in self.missing_labels.items())
            text += f" Majorities that are not among the labels count as errors: {listed}."
        return text

    def rows(self) -> list[tuple[str, str, str]]:
        """Return the rows of a printed table: name, value and interval.

        Returns
        -------
        list of tuple of str
        """
        return [
            (_TITLES[name], number(estimate.value), interval(estimate))
            for name, estimate in self.estimates().items()
        ]


def agreement_with_people(
    votes: ArrayLike,
    labels: LabelArray,
    true: IntArray,
    predicted: IntArray,
    confidence_level: float,
) -> PeopleAgreement:
    """Compare predictions, labels and people with the majority of people's votes.

    Parameters
    ----------
    votes : array-like of shape (n, 10)
    labels : ndarray of shape (k,)
        Names of emotions, in any of their usual spellings.
    true, predicted : ndarray of shape (n,), int
        Positions in `labels`.
    confidence_level : float

    Raises
    ------
    ValueError
        If the votes are not valid, or no label is an emotion.
    """
    votes = check_votes(votes, len(true))
    names = _emotion_names(labels)
    majority = majority_vote(votes)
    clear, has_votes = majority != "", votes.sum(axis=1) > 0
    missing, counts = np.unique(majority[clear & ~np.isin(majority, names)], return_counts=True)

    def matches(positions):
        hits = (names[positions] == majority)[clear]
        return proportion(hits.sum(), len(hits), confidence_level)

    person = _agreement_of_one(votes)

    def mean_of_person(rows):
        return mean_fraction(person[rows & ~np.isnan(person)], confidence_level)

    return PeopleAgreement(
        accuracy=matches(predicted),
        label_accuracy=matches(true),
        human_accuracy=mean_of_person(clear),
        human_accuracy_all=mean_of_person(has_votes),
        majority=proportion(clear.sum(), has_votes.sum(), confidence_level),
        n_images=int(clear.sum()),
        n_without_majority=int((has_votes & ~clear).sum()),
        n_without_votes=int((~has_votes).sum()),
        missing_labels=dict(zip(missing.tolist(), counts.tolist(), strict=True)),
    )


def _emotion_names(labels: LabelArray) -> np.ndarray:
    """Translate labels to the emotions of the votes; raise if none matches."""
    emotions = FERPLUS_COLUMNS[:N_VOTED_EMOTIONS]
    names = np.array([str(canonical_emotion(str(label).strip().lower())) for label in labels])
    if labels.dtype.kind != "U" or not np.isin(names, emotions).any():
        raise ValueError(
            f"votes are for the emotions {', '.join(emotions)}, none of which is among the labels "
            f"{', '.join(map(repr, labels.tolist()))}. Leave votes out, or use the names of "
            f"emotions; fer_sklearn.emotions.FER2013_CODES[code] is the name of a code."
        )
    return names


def _agreement_of_one(votes: IntArray) -> FloatArray:
    """Return how often one person votes for the most frequent emotion of the others.

    Parameters
    ----------
    votes : ndarray of shape (n, k), int

    Returns
    -------
    ndarray of shape (n,), float64
        The mean over all voters, in [0, 1]; NaN for images with fewer than two votes. If m
        emotions of the others are tied, each counts 1 / m.
    """
    n_votes = votes.sum(axis=1)
    agreeing = np.zeros(len(votes))
    for column in range(votes.shape[1]):
        others = votes.copy()
        others[:, column] -= 1
        most = others.max(axis=1)
        ties = (others == most[:, np.newaxis]).sum(axis=1)
        agreeing += votes[:, column] * (others[:, column] == most) / ties
    return np.divide(agreeing, n_votes, out=np.full(len(votes), np.nan), where=n_votes > 1)
