"""Files written while a video is analysed: a timeline, an annotated video, and a plot."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from .._utils.files import atomic_write, check_writable
from .._utils.tables import VIDEO_COLUMNS, rounded, row_columns
from .._utils.typing import PathLike, PixelArray
from ..images import resize
from ._sources import quiet_opencv
from ._stream import VideoFrame
from ._tracking import TrackedFace

__all__ = [
    "PLOT_SUFFIXES",
    "TIMELINE_COLUMNS",
    "VIDEO_SUFFIXES",
    "TimelineWriter",
    "VideoWriter",
    "plot_timeline",
]

#: The columns of a timeline before those of the classes.
TIMELINE_COLUMNS = tuple(VIDEO_COLUMNS)
PLOT_SUFFIXES = (".png", ".svg", ".pdf", ".jpg")
# Codecs that OpenCV's wheels include on every system, by the suffix of the file.
_CODECS = {
    ".mp4": "mp4v",
    ".m4v": "mp4v",
    ".mov": "mp4v",
    ".mkv": "mp4v",
    ".webm": "VP80",
    ".avi": "MJPG",
}
VIDEO_SUFFIXES = tuple(_CODECS)
# An image is repeated for at most this many seconds if the clock of a source jumps.
_LONGEST_STILL = 10.0
# Points in time that a plot resolves: a figure has hardly more columns of pixels.
_N_MOMENTS = 1500


class TimelineWriter:
    """Write the faces of each frame to a CSV file, which is flushed after every frame.

    Parameters
    ----------
    path : path-like
        Replaced if it exists.
    classes : sequence of str
        The labels; one column of probabilities each.

    Raises
    ------
    ValueError
        If a class has the name of another column.
    OSError
        If the file cannot be written.
    """

    def __init__(self, path: PathLike, classes: Sequence[str]):
        self._columns = row_columns(classes, video=True)
        self._classes = classes
        self._file = open(path, "w", newline="", encoding="utf-8")  # noqa: SIM115 (see __exit__)
        self._writer = csv.DictWriter(self._file, self._columns, lineterminator="\n")
        self._writer.writeheader()
        self._file.flush()

    def __enter__(self) -> TimelineWriter:
        return self

    def __exit__(self, *exception):
        self._file.close()

    def write(self, frame: VideoFrame) -> None:
        """Append one row per face of a frame."""
        self._writer.writerows(rounded(self._row(frame, face)) for face in frame.faces)
        self._file.flush()

    def _row(self, frame: VideoFrame, face: TrackedFace) -> dict[str, Any]:
        left, top, width, height = face.box.tolist()
        return {
            "frame": frame.index,
            "seconds": frame.seconds,
            "face": face.number,
            "left": left,
            "top": top,
            "width": width,
            "height": height,
            "score": face.score,
            "emotion": face.emotion,
            **dict(zip(self._classes, face.probabilities.tolist(), strict=True)),
        }


class VideoWriter:
    """Write images to a video that runs at the speed at which they were taken.

    If they come more slowly or irregularly, some are repeated or dropped, so that the video shows
    each at its time. There is no sound. An odd width or height is reduced by one pixel.

    Parameters
    ----------
    path : path-like
        ``.mp4``, ``.m4v``, ``.mov``, ``.mkv`` (MPEG-4), ``.webm`` (VP8, for browsers) or
        ``.avi`` (Motion JPEG, large). Replaced if it exists.
    rate : float
        Frames per second.

    Raises
    ------
    ValueError
        If the suffix is unknown, or the installed OpenCV cannot write such a file.
    OSError
        If the file cannot be written.
    """

    def __init__(self, path: PathLike, rate: float):
        self.path = Path(path)
        check_writable(self.path, suffixes=VIDEO_SUFFIXES)
        # OpenCV does not say why it cannot write a file; this does.
        with open(self.path, "wb"):
            pass
        self.rate = rate
        self._video: Any = None
        self._size = (0, 0)
        self._start = 0.0
        self._n_written = 0

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, *exception):
        if self._video is not None:
            self._video.release()
        else:
            with suppress(OSError):
                self.path.unlink()

    def write(self, image: PixelArray, seconds: float) -> None:
        """Append an image at its time.

        Parameters
        ----------
        image : ndarray of shape (h, w, 3), uint8
            RGB; scaled to the size of the first one.
        seconds : float
        """
        import cv2

        if self._video is None:
            self._size, self._start = image.shape[:2], seconds
            self._video = self._open()
        if image.shape[:2] != self._size:
            image = resize(image, self._size)
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        for _ in range(self._count_due(seconds)):
            self._video.write(image)
            self._n_written += 1

    def _count_due(self, seconds):
        """Return how often to write an image for the video to catch up with the time."""
        due = round((seconds - self._start) * self.rate) + 1 - self._n_written
        most = max(1, round(_LONGEST_STILL * self.rate))
        if due > most:
            self._start += (due - most) / self.rate
        return min(due, most)

    def _open(self):
        import cv2

        height, width = self._size
        codec = _CODECS[self.path.suffix.lower()]
        with quiet_opencv():
            code = cv2.VideoWriter_fourcc(*codec)  # type: ignore[attr-defined]
            video = cv2.VideoWriter(str(self.path), code, self.rate, (width, height))
        if not video.isOpened():
            video.release()
            raise ValueError(
                f"{self.path}: the installed OpenCV cannot write {codec} videos of "
                f"{width}×{height} pixels. Choose a file name that ends in .avi."
            )
        return video


def plot_timeline(
    timeline: PathLike, path: PathLike, seconds: float, classes: Sequence[str]
) -> None:
    """Plot the probabilities over time of the faces that were visible for longest.

    Parameters
    ----------
    timeline : path-like
        A CSV file of :class:`TimelineWriter` with at least one row.
    path : path-like
        The figure: ``.png``, ``.svg``, ``.pdf`` or ``.jpg``. Replaced if it exists.
    seconds : float
        Length of the video.
    classes : sequence of str
        The columns of probabilities.

    Raises
    ------
    OSError
        If the figure cannot be written.
    """
    import matplotlib.pyplot as plt

    from ..plotting import EmotionTimelineDisplay

    rows = _subsampled(timeline, seconds / _N_MOMENTS, classes)
    display = EmotionTimelineDisplay.from_rows(rows)
    try:
        with atomic_write(path) as file:
            display.figure_.savefig(file, format=Path(path).suffix[1:].lower())
    finally:
        plt.close(display.figure_)


def _subsampled(timeline, moment, classes):
    """Return one row per face and moment: mean probabilities and the last emotion."""
    sums: dict[tuple[int, int], list] = {}
    with open(timeline, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            seconds = float(row["seconds"])
            values = [seconds, *(float(row[name] or math.nan) for name in classes)]
            known = sums.setdefault(
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
        for (face, _), (count, total, emotion) in sums.items()
    ]
