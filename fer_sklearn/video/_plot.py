"""Plot a time line that may be hours long, read row by row."""

import csv
import math

import numpy as np

__all__ = ["plot_timeline"]

# Moments of a film that are told apart: a picture has hardly more columns.
_MOMENTS = 1500


def plot_timeline(timeline, path, seconds, classes):
    """Draw the probabilities over time of the faces that were seen for longest.

    Parameters
    ----------
    timeline : path-like
        The CSV that a time line was written to; with one row at least.
    path : path-like
        The picture, as matplotlib writes it: ``.png``, ``.svg``, ``.pdf``, …; replaced.
    seconds : float
        Length of the film.
    classes : sequence of str
        The columns of probabilities.
    """
    import matplotlib.pyplot as plt

    from ..plotting import EmotionTimelineDisplay

    display = EmotionTimelineDisplay.from_rows(_thinned(timeline, seconds / _MOMENTS, classes))
    try:
        display.figure_.savefig(path)
    finally:
        plt.close(display.figure_)


def _thinned(timeline, moment, classes):
    """Return rows, those of one face in one moment averaged, with the last emotion told."""
    kept = {}
    with open(timeline, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            seconds = float(row["seconds"])
            values = [seconds, *(float(row[name] or math.nan) for name in classes)]
            known = kept.setdefault(
                (int(row["face"]), int(seconds / moment)), [0, np.zeros(len(values)), ""]
            )
            known[0] += 1
            known[1] += values
            known[2] = row["emotion"]
    return [
        {
            "face": face,
            "emotion": emotion,
            **dict(zip(("seconds", *classes), (total / count).tolist(), strict=True)),
        }
        for (face, _), (count, total, emotion) in kept.items()
    ]
