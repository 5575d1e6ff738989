"""``analyze_video``: a whole video, or a camera until it is stopped, to files and a summary."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._utils.files import check_writable
from .._utils.tables import rounded, text_table
from .._utils.typing import Estimator, PathLike
from ..exceptions import VideoReadError
from ..face_reader import FaceReader
from ._outputs import (
    PLOT_SUFFIXES,
    VIDEO_SUFFIXES,
    TimelineWriter,
    VideoWriter,
    plot_timeline,
)
from ._sources import VideoSource
from ._stream import iter_video

__all__ = ["FaceSummary", "VideoSummary", "analyze_video"]

# Rows of a printed table; hours of street video contain thousands of faces.
_N_SHOWN = 20


def analyze_video(
    source: VideoSource,
    estimator: Estimator | FaceReader | None = None,
    *,
    output: PathLike | None = None,
    annotated_video: PathLike | None = None,
    plot_path: PathLike | None = None,
    viewer: Callable[[], AbstractContextManager] | None = None,
    detector: str | Callable | None = None,
    stride: int = 1,
    smoothing_seconds: float = 0.5,
    max_lost_seconds: float = 2.0,
    drop_frames: bool | None = None,
    duration: float | None = None,
    should_stop: Callable[[], bool] | None = None,
    progress: Callable[..., Any] | None = None,
) -> VideoSummary:
    """Recognise emotions in a video file or camera stream and write the results incrementally.

    Memory use does not grow with the length of the video.

    Parameters
    ----------
    source, estimator, detector, stride, smoothing_seconds, max_lost_seconds, drop_frames
        As in :func:`iter_video`.
    output : path-like or None, default=None
        CSV file for the timeline, with one row per face and searched frame: ``frame`` (index
        from 0), ``seconds``, ``face`` (its number from 0), its box in pixels (``left``, ``top``,
        ``width``, ``height``), ``score``, ``emotion``, and one column of probabilities per
        label. Rows are on disk as soon as they are computed.
    annotated_video : path-like or None, default=None
        Video with boxes, emotions and probabilities drawn on it, of the size and speed of the
        source and without sound: ``.mp4``, ``.m4v``, ``.mov``, ``.mkv``, ``.webm`` or ``.avi``.
    plot_path : path-like or None, default=None
        Plot of the probabilities over time of the faces that were visible for longest:
        ``.png``, ``.svg``, ``.pdf`` or ``.jpg``. Not written if no face is detected.
    viewer : callable or None, default=None
        Called without arguments once the source is open; returns a context manager that shows
        the annotated frames, such as :class:`~fer_sklearn.video.StreamPage`. It needs the
        methods ``show(frame)`` and ``update(status)``, and an attribute ``closed``; the analysis
        stops once that is true.
    duration : float or None, default=None
        Stop after this many seconds of video.
    should_stop : callable or None, default=None
        Called without arguments before each frame and while waiting for one; once it returns
        True, the analysis stops.
    progress : callable or None, default=None
        Wraps the iterator over frames: ``tqdm.tqdm``, or a function with the same arguments
        ``total`` and ``unit``.

    Returns
    -------
    VideoSummary
        The fraction of time for which each face shows each emotion. If a file is truncated, a
        camera goes away or a disk is full, its `problem` says so, and the results so far are
        kept.

    Raises
    ------
    VideoReadError
        If the source cannot be opened.
    OSError
        If a file cannot be written.
    ValueError
        If a parameter is out of range, or the suffix of a file is unknown.

    Examples
    --------
    >>> summary = analyze_video("holiday.mp4", output="holiday.csv")  # doctest: +SKIP
    >>> print(summary)  # doctest: +SKIP
    """
    if duration is not None and not duration > 0:
        raise ValueError(f"duration={duration!r}; expected a number of seconds above 0, or None.")
    _check_outputs(source, output, annotated_video, plot_path)
    stop = _Stop(should_stop)
    with ExitStack() as stack:
        stream = stack.enter_context(
            iter_video(
                source,
                estimator,
                detector=detector,
                stride=stride,
                yield_all_frames=annotated_video is not None,
                smoothing_seconds=smoothing_seconds,
                max_lost_seconds=max_lost_seconds,
                drop_frames=drop_frames,
                should_stop=stop,
            )
        )
        if viewer is not None:
            stop.viewer = stack.enter_context(viewer())
        if plot_path is not None and output is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fer_sklearn_"))
            output = Path(folder) / "timeline.csv"
        counter = _Counter(stream.classes, 1 / stream.rate)
        problem = _record(stream, counter, output, annotated_video, stop.viewer, duration, progress)
        summary = counter.summary(stream.name, problem)
        if plot_path is not None and output is not None and summary.faces:
            try:
                plot_timeline(output, plot_path, summary.seconds, stream.classes)
            except OSError as error:
                summary.problem = summary.problem or str(error)
    return summary


def _record(stream, counter, output, annotated_video, viewer, duration, progress):
    """Write, show and count all frames; return why they ended early, or None."""
    with ExitStack() as stack:
        rows = video = None
        if output is not None:
            rows = stack.enter_context(TimelineWriter(output, stream.classes))
        if annotated_video is not None:
            video = stack.enter_context(VideoWriter(annotated_video, stream.rate))
        pace = _Pace()
        try:
            for frame in _with_bar(stream, progress, all_frames=video is not None):
                if duration is not None and frame.seconds >= duration:
                    break
                counter.add(frame)
                if rows is not None:
                    rows.write(frame)
                if video is None and viewer is None:
                    continue
                image = _annotate(frame, stream.classes)
                if video is not None:
                    video.write(image, frame.seconds)
                if viewer is not None:
                    viewer.update(_status(frame, stream.classes, pace.tick()))
                    viewer.show(image)
        except (VideoReadError, OSError) as error:
            return str(error)
    return None


def _check_outputs(source, output, annotated_video, plot_path):
    """Check all files before any work is done, and that none of them is the source."""
    named = {"output": output, "annotated_video": annotated_video, "plot_path": plot_path}
    paths = {name: Path(path) for name, path in named.items() if path is not None}
    if len({path.absolute() for path in paths.values()}) < len(paths):
        raise ValueError("output, annotated_video and plot_path must be different files.")
    is_path = isinstance(source, (str, os.PathLike)) and os.path.exists(source)
    suffixes = {"annotated_video": VIDEO_SUFFIXES, "plot_path": PLOT_SUFFIXES}
    for name, path in paths.items():
        if is_path and path.exists() and path.samefile(source):
            raise ValueError(f"{name}={str(path)!r} is the video itself; choose another file.")
        check_writable(path, suffixes=suffixes.get(name), name=name)


class _Stop:
    """Whether to stop: because the caller says so, or the user closed the viewer."""

    def __init__(self, should_stop):
        self._should_stop = should_stop
        self.viewer = None

    def __call__(self):
        is_stopped = self._should_stop is not None and self._should_stop()
        return is_stopped or (self.viewer is not None and self.viewer.closed)


def _with_bar(stream, progress, *, all_frames):
    if progress is None:
        return stream
    total = stream.n_frames
    if total is not None and not all_frames:
        total = -(-total // stream.stride)
    return progress(stream, total=total, unit="frame")


def _annotate(frame, classes):
    """Return an image of the frame with its faces drawn on it."""
    from ..drawing import draw_faces

    faces = frame.shown
    return draw_faces(
        frame.image,
        [face.smooth_box for face in faces],
        [face.emotion for face in faces],
        [face.probabilities for face in faces],
        classes,
        titles=[f"face {face.number}" for face in faces],
    )


def _status(frame, classes, rate):
    """Return what viewers show next to the image."""
    return {
        **rounded({"seconds": frame.seconds, "fps": rate}),
        "faces": [
            {
                "face": face.number,
                "emotion": face.emotion,
                **rounded({"probability": face.probability}),
                "probabilities": rounded(dict(zip(classes, face.probabilities, strict=True))),
            }
            for face in frame.shown
        ],
    }


class _Pace:
    """Frames processed per second, averaged over the last second or so."""

    def __init__(self):
        self._last = None
        self._interval = None

    def tick(self):
        now = time.monotonic()
        last, self._last = self._last, now
        if last is None:
            return 0.0
        interval = max(now - last, 1e-6)
        if self._interval is None:
            self._interval = interval
        self._interval += 0.1 * (interval - self._interval)
        return 1 / self._interval


@dataclass
class FaceSummary:
    """One face in a video.

    Attributes
    ----------
    face : int
        Its number, from 0.
    first, last : float
        When it was first and last seen, in seconds.
    seconds : float
        For how long it was seen.
    emotion : str
        The emotion that it showed for longest.
    fractions : dict of str to float
        For each label, the fraction of `seconds` for which it was the most probable one.
    """

    face: int
    first: float
    last: float
    seconds: float
    emotion: str
    fractions: dict[str, float]


@dataclass
class VideoSummary:
    """The result of :func:`~fer_sklearn.analyze_video`; it prints as a table.

    Attributes
    ----------
    source : str
        The video or camera.
    seconds : float, default=0.0
        Length of what was read.
    n_frames : int, default=0
        Number of frames that the source had until then.
    n_searched : int, default=0
        Number of these frames that were searched for faces.
    faces : list of FaceSummary
        By number.
    problem : str or None, default=None
        Why the analysis ended early: a truncated file, a camera that went away, a full disk.
    """

    source: str
    seconds: float = 0.0
    n_frames: int = 0
    n_searched: int = 0
    faces: list[FaceSummary] = field(default_factory=list)
    problem: str | None = None

    def rows(self) -> list[dict[str, Any]]:
        """Return the faces as rows.

        Returns
        -------
        list of dict
            One per face, with its times in seconds rounded to 3 digits, its emotion and the
            fraction of each label rounded to 4 digits.
        """
        return [
            {
                "face": face.face,
                "seconds": round(face.seconds, 3),
                "first": round(face.first, 3),
                "last": round(face.last, 3),
                "emotion": face.emotion,
                **{label: round(fraction, 4) for label, fraction in face.fractions.items()},
            }
            for face in self.faces
        ]

    def __str__(self):
        caption = (
            f"{self.source}: {self.seconds:.1f} s, {self.n_frames} frames, "
            f"{self.n_searched} searched, {len(self.faces)} face(s)"
        )
        if self.problem is not None:
            caption += f"\nended early: {self.problem}"
        if not self.faces:
            return caption
        header = ["face", "seconds", "first", "last", "emotion", *self.faces[0].fractions]
        longest = sorted(self.faces, key=lambda face: -face.seconds)
        lines = [
            [
                str(face.face),
                *(f"{time:.1f}" for time in (face.seconds, face.first, face.last)),
                face.emotion,
                *(f"{100 * fraction:.0f} %" for fraction in face.fractions.values()),
            ]
            for face in sorted(longest[:_N_SHOWN], key=lambda face: face.face)
        ]
        table = text_table(caption, header, lines)
        if len(longest) > _N_SHOWN:
            table += (
                f"\nand {len(longest) - _N_SHOWN} more, each seen for "
                f"{longest[_N_SHOWN].seconds:.1f} s or less"
            )
        return table


class _Counter:
    """Count seconds, frames and emotions during an analysis."""

    def __init__(self, classes, interval):
        self._classes = list(classes)
        self._interval = interval
        self._faces = {}
        self._end = self._previous = 0.0
        self.n_frames = self.n_searched = 0

    def add(self, frame):
        """Count one frame."""
        self.n_frames = frame.index + 1
        self._end = frame.seconds
        if not frame.is_searched:
            return
        # An emotion is assumed to have lasted since the previous searched frame.
        elapsed = frame.seconds - self._previous if self.n_searched else self._interval
        self._previous = frame.seconds
        self.n_searched += 1
        for face in frame.faces:
            known = self._faces.setdefault(face.number, [frame.seconds, 0.0, {}])
            known[1] = frame.seconds
            known[2][face.emotion] = known[2].get(face.emotion, 0.0) + elapsed

    def summary(self, source, problem):
        """Return the summary of all frames so far."""
        return VideoSummary(
            source=source,
            seconds=self._end + self._interval if self.n_frames else 0.0,
            n_frames=self.n_frames,
            n_searched=self.n_searched,
            faces=[self._face(number, *known) for number, known in sorted(self._faces.items())],
            problem=problem,
        )

    def _face(self, number, first, last, times):
        seconds = sum(times.values())
        labels = list(dict.fromkeys([*self._classes, *times]))
        return FaceSummary(
            face=number,
            first=first,
            last=last,
            seconds=seconds,
            emotion=max(labels, key=lambda label: times.get(label, 0.0)),
            fractions={label: times.get(label, 0.0) / seconds for label in labels},
        )
