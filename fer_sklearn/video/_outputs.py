"""What is written while a film runs: a time line, row by row, and an annotated film."""

import csv
import math
from contextlib import suppress
from pathlib import Path

import numpy as np

__all__ = ["TIMELINE_COLUMNS", "FilmWriter", "TimelineWriter", "plot_timeline"]

#: The columns of a time line before those of the classes.
TIMELINE_COLUMNS = (
    *("frame", "seconds", "face", "left", "top", "width", "height"),
    *("score", "emotion"),
)
# What OpenCV's wheels can write on every system, by the suffix of the file.
_CODECS = {
    ".mp4": "mp4v",
    ".m4v": "mp4v",
    ".mov": "mp4v",
    ".mkv": "mp4v",
    ".webm": "VP80",
    ".avi": "MJPG",
}
# A picture stands no longer than this where the clock of a source jumps.
_LONGEST_STILL = 10.0
# Moments of a film that are told apart: a picture has hardly more columns.
_MOMENTS = 1500


class TimelineWriter:
    """Write the faces of each frame to a CSV, of which all that was told is on the disk.

    Parameters
    ----------
    path : path-like
        Replaced if it exists.
    classes : sequence of str
        The labels; a column of probabilities each.

    Raises
    ------
    OSError
        If the file cannot be written.
    """

    def __init__(self, path, classes):
        # Closed by __exit__.
        self._file = open(path, "w", newline="", encoding="utf-8")  # noqa: SIM115
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._write([[*TIMELINE_COLUMNS, *classes]])

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._file.close()

    def write(self, frame):
        """Add a row for each face of a frame."""
        self._write(
            [
                frame.index,
                f"{frame.seconds:.3f}",
                face.number,
                *(_number(side, 1) for side in face.box),
                _number(face.score, 3),
                face.emotion,
                *(_number(probability, 4) for probability in face.probabilities),
            ]
            for face in frame.faces
        )

    def _write(self, rows):
        self._writer.writerows(rows)
        self._file.flush()


class FilmWriter:
    """Write pictures to a film that runs as fast as they came.

    Where they came more slowly or irregularly, some are repeated or left out, so that the
    film shows each at its time. There is no sound, and of odd sides a pixel is left out.

    Parameters
    ----------
    path : path-like
        ``.mp4``, ``.m4v``, ``.mov``, ``.mkv`` (MPEG-4), ``.webm`` (VP8, which browsers play)
        or ``.avi`` (motion JPEG, large). Replaced if it exists.
    rate : float
        Frames a second.

    Raises
    ------
    ValueError
        For another suffix, or where the installed OpenCV cannot write it.
    OSError
        If the file cannot be written.
    """

    def __init__(self, path, rate):
        self.path = Path(path)
        check_film_suffix(self.path)
        # OpenCV does not say why it cannot write; this does.
        with open(self.path, "wb"):
            pass
        self.rate = rate
        self._film = None
        self._size = None
        self._start = None
        self._n_written = 0

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self._film is not None:
            self._film.release()
        else:
            with suppress(OSError):
                self.path.unlink()

    def write(self, image, seconds):
        """Add an RGB picture at its time; one of another size is scaled to the first's."""
        import cv2

        height, width = image.shape[:2]
        if self._film is None:
            self._size, self._start = (width, height), seconds
            self._film = self._open()
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        if (width, height) != self._size:
            image = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        for _ in range(self._due(seconds)):
            self._film.write(image)
            self._n_written += 1

    def _due(self, seconds):
        """Return how often to write a picture for the film to be where its time is."""
        due = round((seconds - self._start) * self.rate) + 1 - self._n_written
        most = max(1, round(_LONGEST_STILL * self.rate))
        if due > most:
            self._start += (due - most) / self.rate
        return min(due, most)

    def _open(self):
        import cv2

        codec = _CODECS[self.path.suffix.lower()]
        level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            code = cv2.VideoWriter_fourcc(*codec)
            film = cv2.VideoWriter(str(self.path), code, self.rate, self._size)
        finally:
            cv2.utils.logging.setLogLevel(level)
        if not film.isOpened():
            film.release()
            raise ValueError(
                f"{self.path}: the installed OpenCV cannot write {codec} films of "
                f"{self._size[0]}×{self._size[1]} pixels. Name a file that ends in .avi."
            )
        return film


def check_film_suffix(path):
    """Raise ValueError if a film cannot be written under this name."""
    if Path(path).suffix.lower() not in _CODECS:
        raise ValueError(f"{path}: a film's name must end in {', '.join(_CODECS)}")


def _number(value, digits):
    return "" if math.isnan(value) else f"{value:.{digits}f}"


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
