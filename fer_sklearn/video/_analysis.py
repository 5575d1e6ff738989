"""A whole film, or what a camera sees until it is stopped, to files and a summary."""

import os
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from .._utils.tables import text_table
from ..exceptions import VideoReadError
from ._outputs import FilmWriter, TimelineWriter, check_film_suffix, plot_timeline
from ._stream import iter_video

__all__ = ["Counter", "FaceSummary", "VideoSummary", "analyze_video"]

_PICTURES = (".png", ".svg", ".pdf", ".jpg")
# Lines of a printed table; hours before a camera in the street have thousands of faces.
_SHOWN = 20


def analyze_video(
    source,
    model=None,
    *,
    timeline=None,
    annotated=None,
    plot=None,
    viewer=None,
    detector=None,
    every=1,
    smoothing=0.5,
    max_gap=2.0,
    live=None,
    seconds=None,
    stop=None,
    progress=None,
):
    """Tell the emotions in a film, or before a camera, and write them down as they come.

    Memory does not grow with the length of the film.

    Parameters
    ----------
    source, model, detector, every, smoothing, max_gap, live
        As of :func:`iter_video`.
    timeline : path-like or None, default=None
        A CSV with a row for each face of each searched frame: frame, seconds, face, its box
        (left, top, width, height), score, emotion, and a column for each label. Rows are on
        the disk as soon as they are told.
    annotated : path-like or None, default=None
        A film with boxes, emotions and probabilities drawn on, as large and as fast as the
        source, without sound: ``.mp4``, ``.mov``, ``.mkv``, ``.webm`` or ``.avi``.
    plot : path-like or None, default=None
        A picture of the probabilities over time, of the faces that were seen for longest;
        not written where there is no face.
    viewer : callable or None, default=None
        Called without arguments once the source is open; returns a context manager that shows
        the annotated frames, such as :class:`StreamPage`. It needs the methods ``show(frame)``
        and ``update(status)``, and an attribute ``closed``; the analysis stops once that is true.
    seconds : float or None, default=None
        Stop after so many.
    stop : callable or None, default=None
        Asked without arguments before each frame, and while one is waited for; once it
        returns true, the analysis ends.
    progress : callable or None, default=None
        ``tqdm``, or what takes the same arguments, around the frames.

    Returns
    -------
    VideoSummary
        The share of each emotion for each face. If a film is truncated, a camera goes away or
        a disk is full, its `problem` says so, and what was recorded until then is kept.

    Raises
    ------
    VideoReadError
        If the source cannot be opened.
    OSError
        If a file cannot be written.
    ValueError
        For a parameter out of its range, or a film whose suffix is not known.

    Examples
    --------
    >>> summary = analyze_video("holiday.mp4", timeline="holiday.csv")  # doctest: +SKIP
    >>> print(summary)  # doctest: +SKIP
    """
    if seconds is not None and not seconds > 0:
        raise ValueError(f"seconds={seconds!r} must be a number above 0, or None.")
    _check_outputs(source, timeline, annotated, plot)
    ending = _Ending(stop)
    with ExitStack() as stack:
        stream = stack.enter_context(
            iter_video(
                source,
                model,
                detector=detector,
                every=every,
                all_frames=annotated is not None,
                smoothing=smoothing,
                max_gap=max_gap,
                live=live,
                stop=ending,
            )
        )
        if viewer is not None:
            ending.viewer = stack.enter_context(viewer())
        if plot is not None and timeline is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fer_sklearn_"))
            timeline = Path(folder) / "timeline.csv"
        counter = Counter(stream.classes, 1 / stream.rate)
        problem = _record(stream, counter, timeline, annotated, ending.viewer, seconds, progress)
        summary = counter.summary(stream.name, problem)
        if plot is not None and summary.faces:
            try:
                plot_timeline(timeline, plot, summary.seconds, stream.classes)
            except OSError as error:
                summary.problem = summary.problem or str(error)
    return summary


def _record(stream, counter, timeline, annotated, viewer, seconds, progress):
    """Write, show and count all frames; return why they ended early, or None."""
    with ExitStack() as stack:
        rows = film = None
        if timeline is not None:
            rows = stack.enter_context(TimelineWriter(timeline, stream.classes))
        if annotated is not None:
            film = stack.enter_context(FilmWriter(annotated, stream.rate))
        pace = _Pace()
        try:
            for frame in _with_bar(stream, progress, all_frames=film is not None):
                if seconds is not None and frame.seconds >= seconds:
                    break
                counter.add(frame)
                if rows is not None:
                    rows.write(frame)
                if film is None and viewer is None:
                    continue
                picture = _annotate(frame, stream.classes)
                if film is not None:
                    film.write(picture, frame.seconds)
                if viewer is not None:
                    viewer.update(_status(frame, stream.classes, pace.tick()))
                    viewer.show(picture)
        except (VideoReadError, OSError) as error:
            return str(error)
    return None


def _check_outputs(source, timeline, annotated, plot):
    """Raise before any work is done, and before a film is written over itself."""
    if annotated is not None:
        check_film_suffix(annotated)
    if plot is not None and Path(plot).suffix.lower() not in _PICTURES:
        raise ValueError(f"{plot}: a plot's name must end in {', '.join(_PICTURES)}")
    outputs = [Path(path) for path in (timeline, annotated, plot) if path is not None]
    if len({path.absolute() for path in outputs}) < len(outputs):
        raise ValueError("timeline, annotated and plot must be files of their own.")
    is_path = isinstance(source, (str, os.PathLike)) and os.path.exists(source)
    for path in outputs:
        if is_path and path.exists() and path.samefile(source):
            raise ValueError(f"{path} is the film itself; name another file to write.")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise PermissionError(f"{path}: there is no such folder, or no right to write there")


class _Ending:
    """Say whether to stop: for the caller, or for the user who closed the viewer."""

    def __init__(self, stop):
        self._stop = stop
        self.viewer = None

    def __call__(self):
        asked = self._stop is not None and self._stop()
        return asked or (self.viewer is not None and self.viewer.closed)


def _with_bar(stream, progress, *, all_frames):
    if progress is None:
        return stream
    total = stream.n_frames
    if total is not None and not all_frames:
        total = -(-total // stream.every)
    return progress(stream, total=total, unit="frame")


def _annotate(frame, classes):
    """Return a picture of the frame with its faces drawn on."""
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
    """Return what is told beside the picture, as plain numbers."""
    return {
        "seconds": round(frame.seconds, 2),
        "fps": round(rate, 1),
        "faces": [
            {
                "face": face.number,
                "emotion": face.emotion,
                "probability": round(face.probability, 3),
                "probabilities": {
                    label: round(probability, 3)
                    for label, probability in zip(classes, face.probabilities.tolist(), strict=True)
                },
            }
            for face in frame.shown
        ],
    }


class _Pace:
    """How many frames a second are worked on, averaged over the last second or so."""

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
    """One face in a film.

    Attributes
    ----------
    face : int
        Its number.
    first, last : float
        When it was first and last seen, in seconds.
    seconds : float
        How long it was seen.
    emotion : str
        The one that it showed for longest.
    shares : dict of str to float
        For each label, the share of `seconds` in which it was the most probable one.
    """

    face: int
    first: float
    last: float
    seconds: float
    emotion: str
    shares: dict


@dataclass
class VideoSummary:
    """What :func:`~fer_sklearn.analyze_video` returns; printed, it is a table.

    Attributes
    ----------
    source : str
        The film or camera.
    seconds : float
        Length of what was read.
    n_frames : int
        Frames that the source had until then.
    n_searched : int
        Those of them that were searched for faces.
    faces : list of FaceSummary
        By number.
    problem : str or None
        Why it ended early: a truncated film, a camera that went away, a full disk.
    """

    source: str
    seconds: float = 0.0
    n_frames: int = 0
    n_searched: int = 0
    faces: list = field(default_factory=list)
    problem: str | None = None

    def rows(self):
        """Return a dictionary a face: face, seconds, first, last, emotion and all shares."""
        return [
            {
                "face": face.face,
                "seconds": round(face.seconds, 3),
                "first": round(face.first, 3),
                "last": round(face.last, 3),
                "emotion": face.emotion,
                **{label: round(share, 4) for label, share in face.shares.items()},
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
        header = ["face", "seconds", "first", "last", "emotion", *self.faces[0].shares]
        longest = sorted(self.faces, key=lambda face: -face.seconds)
        lines = [
            [
                str(face.face),
                *(f"{time:.1f}" for time in (face.seconds, face.first, face.last)),
                face.emotion,
                *(f"{100 * share:.0f} %" for share in face.shares.values()),
            ]
            for face in sorted(longest[:_SHOWN], key=lambda face: face.face)
        ]
        table = text_table(caption, header, lines)
        if len(longest) > _SHOWN:
            table += (
                f"\nand {len(longest) - _SHOWN} more, seen for {longest[_SHOWN].seconds:.1f} s "
                f"or less"
            )
        return table


class Counter:
    """Count seconds, frames and emotions while a film runs."""

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
        # What is seen now is taken to have been so since the frame before.
        elapsed = frame.seconds - self._previous if self.n_searched else self._interval
        self._previous = frame.seconds
        self.n_searched += 1
        for face in frame.faces:
            known = self._faces.setdefault(face.number, [frame.seconds, 0.0, {}])
            known[1] = frame.seconds
            known[2][face.emotion] = known[2].get(face.emotion, 0.0) + elapsed

    def summary(self, source, problem):
        """Return what was counted so far."""
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
            shares={label: times.get(label, 0.0) / seconds for label in labels},
        )
