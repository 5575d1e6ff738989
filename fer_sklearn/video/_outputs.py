"""Results of an analysis: a timeline, an annotated video, a plot, and a summary of each face."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .._utils.compat import cv2
from .._utils.files import atomic_write, check_writable, open_output
from .._utils.tables import VIDEO_COLUMNS, CSVLines, row_columns, text_table
from .._utils.typing import PathLike, PixelArray
from ..images import resize
from ._capture import opencv_name, quiet_opencv
from ._containers import is_complete
from ._tracking import TrackedFace, VideoFrame

__all__ = [
    "PLOT_SUFFIXES",
    "TIMELINE_COLUMNS",
    "VIDEO_SUFFIXES",
    "Counter",
    "FaceSummary",
    "TimelineWriter",
    "VideoSummary",
    "VideoWriter",
    "check_video_path",
    "plot_timeline",
    "write_faces",
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
# OpenCV rounds rates to thousandths, and MPEG-4 has at most 65,535 units of time per second.
_PRECISE_RATE = 65
# An image is repeated for at most this many seconds if the clock of a source jumps.
_LONGEST_STILL = 10.0
# A frame counts for at least this many seconds, since two can have the same time.
_SHORTEST_STILL = 1e-6
# Points in time that a plot resolves: a figure has few more columns of pixels.
_N_MOMENTS = 1500
# Rows of a printed table; hours of street video contain thousands of faces.
_N_SHOWN = 20


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
        self._lines = CSVLines(row_columns(classes, video=True))
        self._classes = classes
        self._file = open_output(path)
        self._write(self._lines.header)

    def __enter__(self) -> TimelineWriter:
        return self

    def __exit__(self, *exception):
        self._file.close()

    def write(self, frame: VideoFrame) -> None:
        """Append one row per face of a frame, or one without a face, if it was searched."""
        if not frame.is_searched:
            return
        rows = [self._row(frame, face) for face in frame.faces] or [self._row(frame)]
        self._write(b"".join(map(self._lines.encode, rows)))

    def _write(self, lines):
        self._file.write(lines)
        self._file.flush()

    def _row(self, frame: VideoFrame, face: TrackedFace | None = None) -> dict[str, Any]:
        row = dict.fromkeys(self._lines.columns) | {"frame": frame.index, "seconds": frame.seconds}
        if face is None:
            return row
        left, top, width, height = face.box.tolist()
        return row | {
            "face": face.number,
            "left": left,
            "top": top,
            "width": width,
            "height": height,
            "score": face.score,
            "quality": face.quality,
            "emotion": face.emotion,
            **dict(zip(self._classes, face.probabilities.tolist(), strict=True)),
        }


def check_video_path(path: PathLike, name: str = "path") -> Path:
    """Check that an annotated video can be written; errors are those of :class:`VideoWriter`."""
    return check_writable(path, suffixes=VIDEO_SUFFIXES, name=name)


class VideoWriter:
    """Write images to a video that runs at the speed at which they were taken.

    If they arrive more slowly or irregularly, some are repeated or dropped, so that the video shows
    each image at its time. There is no sound. An odd width or height is reduced by one pixel.

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
        If the file cannot be written; at the end, if it is incomplete.
    """

    def __init__(self, path: PathLike, rate: float):
        self.path = Path(path)
        check_video_path(self.path)
        # OpenCV does not say why it cannot write a file; this check does.
        with open(self.path, "wb"):
            pass
        self.rate = rate if rate < _PRECISE_RATE else round(rate, 2)
        self._video: Any = None
        self._size = (0, 0)
        self._start = 0.0
        self._n_written = 0

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind, error, traceback):
        if self._video is None:
            with suppress(OSError):
                self.path.unlink()
            return
        self._video.release()
        if kind is None:
            self._check_complete()

    def _check_complete(self):
        """Raise if the end is missing, which OpenCV does not notice."""
        with opencv_name(self.path) as name, quiet_opencv():
            capture = cv2.VideoCapture(name)
            n_frames = capture.get(cv2.CAP_PROP_FRAME_COUNT)
            capture.release()
        if n_frames < 1 or is_complete(self.path) is False:
            raise OSError(f"{self.path}: OpenCV could not write the whole video; is the disk full?")

    def write(self, image: PixelArray, seconds: float) -> None:
        """Append an image at its time.

        Parameters
        ----------
        image : ndarray of shape (h, w, 3), uint8
            RGB; scaled to the size of the first one.
        seconds : float
        """
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
        """Return how often to write an image so that the video catches up with its time."""
        due = round((seconds - self._start) * self.rate) + 1 - self._n_written
        most = max(1, round(_LONGEST_STILL * self.rate))
        if due > most:
            self._start += (due - most) / self.rate
        return min(due, most)

    def _open(self):
        height, width = self._size
        codec = _CODECS[self.path.suffix.lower()]
        code = cv2.VideoWriter_fourcc(*codec)
        with opencv_name(self.path) as name, quiet_opencv():
            video = cv2.VideoWriter(name, code, self.rate, (width, height))
        if not video.isOpened():
            video.release()
            raise ValueError(
                f"{self.path}: the installed OpenCV cannot write {codec} videos of "
                f"{width}×{height} pixels. Choose a file name that ends in .avi."
            )
        return video


def plot_timeline(
    timeline: PathLike, path: PathLike, summary: VideoSummary, classes: Sequence[str]
) -> None:
    """Plot the probabilities over time of the faces that were visible for longest.

    Parameters
    ----------
    timeline : path-like
        A CSV file of :class:`TimelineWriter` with at least one row.
    path : path-like
        The figure: ``.png``, ``.svg``, ``.pdf`` or ``.jpg``. Replaced if it exists.
    summary : VideoSummary
        The length of the video, and how many frames were searched.
    classes : sequence of str
        The columns of probabilities.

    Raises
    ------
    OSError
        If the figure cannot be written.
    """
    import matplotlib.pyplot as plt

    from ..plotting import EmotionTimelineDisplay

    rows = _subsampled(timeline, math.ceil(summary.n_searched / _N_MOMENTS), classes)
    display = EmotionTimelineDisplay.from_rows(rows, duration=summary.seconds)
    try:
        with atomic_write(path) as file:
            display.figure_.savefig(file, format=Path(path).suffix[1:].lower())
    finally:
        plt.close(display.figure_)


def _subsampled(timeline, n_frames, classes):
    """Return one row per face and `n_frames` frames: mean probabilities and the last emotion.

    Frames are counted rather than seconds, so that at a constant rate the rows are equally far
    apart, and even short gaps show.
    """
    sums: dict[tuple[int, int], list] = {}
    frame, position = None, -1
    with open(timeline, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            frame, position = row["frame"], position + (row["frame"] != frame)
            if not row["face"]:
                continue
            values = [float(row["seconds"]), *(float(row[name] or math.nan) for name in classes)]
            known = sums.setdefault(
                (int(row["face"]), position // n_frames), [0, np.zeros(len(values)), ""]
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


@dataclass
class FaceSummary:
    """One face in a video.

    Attributes
    ----------
    face : int
        Its number, from 0.
    first, last : float
        Times at which it was first and last seen, in seconds.
    seconds : float
        Time for which it was seen.
    emotion : str
        The emotion that it showed for longest.
    n_changes : int
        Number of times its emotion changed.
    fractions : dict of str to float
        For each label, the fraction of `seconds` for which it was the most probable one.
    mean_probabilities : dict of str to float
        For each label, its probability, averaged over `seconds`; NaN if the estimator has none.
    """

    face: int
    first: float
    last: float
    seconds: float
    emotion: str
    n_changes: int
    fractions: dict[str, float]
    mean_probabilities: dict[str, float]


@dataclass
class VideoSummary:
    """The result of :func:`~fer_sklearn.analyze_video`; it prints as a table.

    Attributes
    ----------
    source : str
        The video or camera.
    seconds : float, default=0.0
        Length of the part that was read.
    n_frames : int, default=0
        Number of frames in this part.
    n_searched : int, default=0
        Number of these frames that were searched for faces.
    n_damaged : int, default=0
        Number of these frames that could not be decoded, or that a video of constant rate lacks;
        they are skipped.
    faces : list of FaceSummary
        By number.
    problem : str or None, default=None
        Why the analysis ended early: a truncated file, a lost camera, a full disk.
    """

    source: str
    seconds: float = 0.0
    n_frames: int = 0
    n_searched: int = 0
    n_damaged: int = 0
    faces: list[FaceSummary] = field(default_factory=list)
    problem: str | None = None

    def rows(self) -> list[dict[str, Any]]:
        """Return the faces as rows, which :class:`pandas.DataFrame` takes.

        Returns
        -------
        list of dict
            One per face: ``face``, ``seconds``, ``first``, ``last`` (in seconds, rounded to 3
            digits), ``emotion``, ``n_changes``, the fraction of each label (``happy``, …) and its
            mean probability (``mean_happy``, …; None if unknown), rounded to 4 digits.
        """
        return [
            {
                "face": face.face,
                "seconds": round(face.seconds, 3),
                "first": round(face.first, 3),
                "last": round(face.last, 3),
                "emotion": face.emotion,
                "n_changes": face.n_changes,
                **{label: round(fraction, 4) for label, fraction in face.fractions.items()},
                **{
                    f"mean_{label}": None if math.isnan(mean) else round(mean, 4)
                    for label, mean in face.mean_probabilities.items()
                },
            }
            for face in self.faces
        ]

    def __str__(self):
        caption = (
            f"{self.source}: {self.seconds:.1f} s, {self.n_frames} frames, "
            f"{self.n_searched} searched, {len(self.faces)} face(s)"
        )
        if self.n_damaged:
            caption += f"\n{self.n_damaged} damaged frame(s) skipped"
        if self.problem is not None:
            caption += f"\nended early: {self.problem}"
        if not self.faces:
            return caption
        longest = sorted(self.faces, key=lambda face: -face.seconds)
        shown = sorted(longest[:_N_SHOWN], key=lambda face: face.face)
        table = _fraction_table(caption, shown)
        if not any(math.isnan(mean) for mean in shown[0].mean_probabilities.values()):
            table += "\n\n" + _mean_table("mean probabilities", shown)
        if len(longest) > _N_SHOWN:
            table += (
                f"\nand {len(longest) - _N_SHOWN} more, each seen for "
                f"{longest[_N_SHOWN].seconds:.1f} s or less"
            )
        return table


def _fraction_table(caption, faces):
    header = ["face", "seconds", "first", "last", "emotion", "changes", *faces[0].fractions]
    lines = [
        [
            str(face.face),
            *(f"{time:.1f}" for time in (face.seconds, face.first, face.last)),
            face.emotion,
            str(face.n_changes),
            *map(_percent, face.fractions.values()),
        ]
        for face in faces
    ]
    return text_table(caption, header, lines)


def _mean_table(caption, faces):
    header = ["face", *faces[0].mean_probabilities]
    lines = [[str(face.face), *map(_percent, face.mean_probabilities.values())] for face in faces]
    return text_table(caption, header, lines)


def _percent(fraction):
    return f"{100 * fraction:.0f} %"


def write_faces(summary: VideoSummary, path: PathLike, classes: Sequence[str]) -> None:
    """Write the rows of a summary to a CSV file.

    Parameters
    ----------
    summary : VideoSummary
    path : path-like
        Replaced if it exists.
    classes : sequence of str
        The labels, for the header of a video without faces.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    means = [f"mean_{label}" for label in classes]
    columns = ["face", "seconds", "first", "last", "emotion", "n_changes", *classes, *means]
    rows = summary.rows()
    with atomic_write(path, encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0] if rows else columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


class Counter:
    """Count seconds, frames and emotions during an analysis.

    Parameters
    ----------
    classes : sequence of str
        The labels.
    interval : float
        Seconds between two frames.
    max_gap : float, default=math.inf
        A frame counts for at most this many seconds. A camera that yields none for longer was
        lost or paused.
    """

    def __init__(self, classes: Sequence[str], interval: float, *, max_gap: float = math.inf):
        self._classes = list(classes)
        self._interval = interval
        self._max_gap = max_gap
        self._faces: dict[int, _Seen] = {}
        self._shown: list[TrackedFace] = []
        self._end = self._since = 0.0
        self.n_frames = self.n_searched = 0

    def add(self, frame: VideoFrame) -> None:
        """Count one frame."""
        self.n_frames = frame.index + 1
        self._end = frame.seconds
        if not frame.is_searched:
            return
        for face in self._shown:
            self._faces[face.number].hold(face, self._elapsed(frame.seconds))
        self._shown, self._since = frame.faces, frame.seconds
        self.n_searched += 1
        for face in frame.faces:
            if face.number not in self._faces:
                self._faces[face.number] = _Seen(frame.seconds, len(self._classes))
            self._faces[face.number].see(face, frame.seconds)

    def end(self, n_frames: int, seconds: float) -> None:
        """Extend the counts to the end of the video, beyond the last frame that was searched."""
        self.n_frames, self._end = n_frames, seconds - self._interval

    def summary(
        self, source: str = "", *, n_damaged: int = 0, problem: str | None = None
    ) -> VideoSummary:
        """Return the summary of all frames so far."""
        end = self._end + self._interval
        faces = deepcopy(self._faces)
        for face in self._shown:
            faces[face.number].hold(face, self._elapsed(end))
        return VideoSummary(
            source=source,
            seconds=end if self.n_frames else 0.0,
            n_frames=self.n_frames,
            n_searched=self.n_searched,
            n_damaged=n_damaged,
            faces=[seen.summary(n, self._classes) for n, seen in sorted(faces.items())],
            problem=problem,
        )

    def _elapsed(self, until):
        """Return for how long the last searched frame counts: it is shown until the next one."""
        return min(max(until - self._since, _SHORTEST_STILL), self._max_gap)


class _Seen:
    """The emotions of one face so far."""

    def __init__(self, seconds, n_classes):
        self._first = self._last = seconds
        self._times: dict[str, float] = {}
        self._sums = np.zeros(n_classes)
        self._emotion = None
        self._n_changes = 0

    def see(self, face, seconds):
        """Count a frame."""
        self._last = seconds
        self._n_changes += self._emotion not in (None, face.emotion)
        self._emotion = face.emotion

    def hold(self, face, elapsed):
        """Count the time for which a frame is shown."""
        self._times[face.emotion] = self._times.get(face.emotion, 0.0) + elapsed
        self._sums += elapsed * face.probabilities

    def summary(self, number, classes):
        seconds = sum(self._times.values())
        labels = list(dict.fromkeys([*classes, *self._times]))
        means = (self._sums / seconds).tolist()
        return FaceSummary(
            face=number,
            first=self._first,
            last=self._last,
            seconds=seconds,
            emotion=max(labels, key=lambda label: self._times.get(label, 0.0)),
            n_changes=self._n_changes,
            fractions={label: self._times.get(label, 0.0) / seconds for label in labels},
            mean_probabilities=dict(zip(classes, means, strict=True)),
        )
