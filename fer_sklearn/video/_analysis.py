"""``iter_video``, which yields frames, and ``analyze_video``, which writes files."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from .._utils.files import check_writable, is_stream, locked, write_provenance
from .._utils.tables import rounded
from .._utils.typing import Estimator, PathLike
from ..exceptions import VideoReadError
from ..face_reader import FaceReader, ReadsFaces, as_face_reader, provenance_of
from ._capture import VideoSource
from ._outputs import (
    PLOT_SUFFIXES,
    Counter,
    TimelineWriter,
    VideoSummary,
    VideoWriter,
    check_video_path,
    plot_timeline,
    write_faces,
)
from ._sources import FileSource, LiveSource, open_source
from ._tracking import FaceSearch, FaceTracker, TrackedFace, VideoFrame

__all__ = ["VideoStream", "analyze_video", "iter_video"]

# Formats of tables in which others may expect a file of such a name to be.
_OTHER_TABLES = (".json", ".jsonl", ".parquet", ".feather", ".xls", ".xlsx", ".ods")
# A camera that yields no frame for longer than this, in seconds, was lost or paused.
_LONGEST_GAP = 2.0
# Seconds between two checks of a paused viewer, and between two tables that a viewer gets; and the
# number of faces in the table.
_TICK, _TABLE_INTERVAL, _N_LISTED = 0.05, 1.0, 100


def iter_video(
    source: VideoSource,
    estimator: Estimator | FaceReader | None = None,
    *,
    detector: str | Callable | None = None,
    stride: int = 1,
    detect_every: int | str = "auto",
    yield_all_frames: bool = False,
    smoothing_seconds: float = 0.5,
    max_lost_seconds: float = 2.0,
    drop_frames: bool | None = None,
    reconnect_seconds: float = 60.0,
    should_stop: Callable[[], bool] | None = None,
) -> VideoStream:
    """Recognise emotions in a video file or camera stream, frame by frame.

    Parameters
    ----------
    source : str, path-like, int or an opened ``cv2.VideoCapture``
        A video file that OpenCV can read, the number of a camera (0 is the first), or the
        address of a stream (``rtsp://…``).
    estimator : fitted pipeline or classifier, FaceReader or None, default=None
        If None, the bundled pretrained model.
    detector : None, "blazeface", "haar", "yunet" or callable, default=None
        The face detector, as in :class:`~fer_sklearn.FaceReader`; None if `estimator` is one.
    stride : int, default=1
        Search only every `stride`-th frame for faces.
    detect_every : int or "auto", default="auto"
        Search only every `detect_every`-th of these frames completely; in the others, known faces
        are followed, which is many times as fast. A new face is detected at most that many frames
        late. A frame is also searched completely if a known face is lost, at a cut, and if the last
        complete search was a second ago. ``"auto"`` is 25, and 1 if the detector cannot follow
        faces: it needs a method ``refind(image, faces)`` that returns `Faces`.
    yield_all_frames : bool, default=False
        Whether to yield the other frames too, with the faces of the last searched one. All
        frames of a camera are yielded in any case.
    smoothing_seconds : float, default=0.5
        Time constant, in seconds, over which probabilities are averaged; 0 disables smoothing.
    max_lost_seconds : float, default=2.0
        Number of seconds for which a lost face keeps its number.
    drop_frames : bool or None, default=None
        Whether to drop all but the newest of the frames that arrive while one is processed. If
        None, True for cameras and addresses, and False for files.
    reconnect_seconds : float, default=60.0
        How long to try to reconnect to a camera or stream that is lost, at intervals that grow
        from 1 to 30 seconds; 0 gives up at once. A ``cv2.VideoCapture`` that you opened cannot be
        opened again.
    should_stop : callable or None, default=None
        Called without arguments between frames and while waiting for one; once it returns True,
        no more frames are yielded.

    Returns
    -------
    VideoStream
        An iterator over :class:`~fer_sklearn.video.VideoFrame` that keeps a few frames in
        memory. Close it, or use it in a ``with`` statement, if you do not read it to the end.

    Raises
    ------
    VideoReadError
        If the source cannot be opened; while iterating, if a file is truncated, or a camera is lost
        and does not come back.
    ValueError
        If a parameter is out of range.

    Warns
    -----
    CameraWarning
        When a camera is lost, and when it is available again.

    Examples
    --------
    >>> for frame in iter_video("holiday.mp4", stride=5):  # doctest: +SKIP
    ...     for face in frame.faces:
    ...         print(f"{frame.seconds:.1f} s, face {face.number}: {face.emotion}")
    """
    _check_options(stride, detect_every, reconnect_seconds)
    times = {"smoothing_seconds": smoothing_seconds, "max_lost_seconds": max_lost_seconds}
    FaceTracker([], **times)  # checks them before a camera is opened
    opened = open_source(
        source,
        drop_frames=drop_frames,
        stride=stride,
        yield_all_frames=yield_all_frames,
        reconnect_seconds=reconnect_seconds,
        should_stop=should_stop,
    )
    try:
        reader = as_face_reader(estimator, detector)
        search = FaceSearch(reader, detect_every)
        return VideoStream(opened, reader, search, FaceTracker(reader.classes, **times), stride)
    except BaseException:
        opened.close()
        raise


def _check_options(stride: int, detect_every: int | str, reconnect_seconds: float) -> None:
    if not (isinstance(stride, Integral) and stride >= 1):
        raise ValueError(f"stride={stride!r}; expected an int of at least 1.")
    if detect_every != "auto" and not (isinstance(detect_every, Integral) and detect_every >= 1):
        raise ValueError(
            f"detect_every={detect_every!r}; expected an int of at least 1, or 'auto'."
        )
    if not (isinstance(reconnect_seconds, Real) and reconnect_seconds >= 0):
        raise ValueError(
            f"reconnect_seconds={reconnect_seconds!r}; expected a non-negative number of seconds."
        )


class VideoStream:
    """The iterator that :func:`iter_video` returns.

    Attributes
    ----------
    name : str
        Name of the source in messages.
    drops_frames : bool
        Whether frames are dropped if they arrive faster than they are processed.
    rate : float
        Frames per second according to the source, or 25.
    n_frames : int or None
        Number of frames according to the source; only an estimate in some files, None for a
        camera.
    stride : int
        Every `stride`-th frame is searched for faces.
    classes : list of str
        The labels of the estimator.
    """

    def __init__(
        self,
        source: FileSource | LiveSource,
        reader: ReadsFaces,
        search: FaceSearch,
        tracker: FaceTracker,
        stride: int,
    ) -> None:
        self._source = source
        self._reader = reader
        self._search = search
        self._tracker = tracker
        self.name: str = source.name
        self.drops_frames: bool = source.drops_frames
        self.rate: float = source.rate
        self.n_frames: int | None = source.n_frames
        self.stride = stride
        self.classes: list[str] = list(reader.classes)
        self._frames: Iterator[VideoFrame] = self._process()

    def __iter__(self) -> VideoStream:
        return self

    def __next__(self) -> VideoFrame:
        return next(self._frames)

    def __enter__(self) -> VideoStream:
        return self

    def __exit__(self, *exception):
        self.close()

    def __del__(self):
        self.close()

    @property
    def length(self) -> tuple[int, float] | None:
        """Frames and seconds of a file that has been read to its end, else None."""
        return self._source.length

    @property
    def n_damaged(self) -> int:
        """Number of frames of a file that could not be decoded so far, or are missing."""
        return self._source.n_damaged

    @property
    def is_lost(self) -> bool:
        """Whether a camera is lost, and is being reconnected."""
        return self._source.is_lost

    def provenance(self) -> dict[str, str]:
        """Return what is needed to reproduce the results, as :meth:`FaceReader.provenance` does."""
        return provenance_of(self._reader)

    def pause(self) -> None:
        """Release a camera, until :meth:`resume`; a file just waits."""
        self._source.pause()

    def resume(self) -> None:
        """Open the camera again."""
        self._source.resume()

    def close(self) -> None:
        """Release the file or camera. You may close a stream twice."""
        self._source.close()

    def _process(self) -> Iterator[VideoFrame]:
        searched = None
        with self._source:
            for frame in self._source:
                is_due = searched is None or frame.index - searched >= self.stride
                faces: list[TrackedFace] = []
                if is_due:
                    searched, faces = frame.index, self._track(frame)
                yield VideoFrame(
                    index=frame.index,
                    seconds=frame.seconds,
                    image=frame.image,
                    faces=faces,
                    shown=self._tracker.shown(frame.seconds),
                    is_searched=is_due,
                    arrived=frame.arrived,
                )

    def _track(self, frame):
        detected = self._search(frame.image, frame.seconds)
        crops = self._reader.crop(frame.image, detected)
        labels, y_proba = self._reader.predict(crops)
        quality = None
        if hasattr(self._reader, "quality"):
            quality = self._reader.quality(frame.image, detected, crops)
        return self._tracker.update(
            frame.seconds, detected.boxes, detected.scores, labels, y_proba, quality
        )


def analyze_video(
    source: VideoSource,
    estimator: Estimator | FaceReader | None = None,
    *,
    output: PathLike | None = None,
    annotated_video: PathLike | None = None,
    plot_path: PathLike | None = None,
    faces_path: PathLike | None = None,
    viewer: Callable[[], AbstractContextManager] | None = None,
    detector: str | Callable | None = None,
    stride: int = 1,
    detect_every: int | str = "auto",
    smoothing_seconds: float = 0.5,
    max_lost_seconds: float = 2.0,
    drop_frames: bool | None = None,
    reconnect_seconds: float = 60.0,
    duration: float | None = None,
    provenance: bool = False,
    should_stop: Callable[[], bool] | None = None,
    progress: Callable[..., Any] | None = None,
) -> VideoSummary:
    """Recognise emotions in a video file or camera stream and write the results incrementally.

    Memory use does not grow with the length of the video.

    Parameters
    ----------
    source, estimator, detector, stride, detect_every, smoothing_seconds, max_lost_seconds, \
            drop_frames, reconnect_seconds
        As in :func:`iter_video`.
    output : path-like or None, default=None
        CSV file for the timeline, with one row per face and searched frame: ``frame`` (index from
        0), ``seconds``, ``face`` (its number from 0), its box in pixels (``left``, ``top``,
        ``width``, ``height``), ``score``, ``quality``, ``emotion``, and one column of probabilities
        per label. A frame without a face has a row in which only ``frame`` and ``seconds`` are
        filled. Rows are on disk as soon as they are computed.
    annotated_video : path-like or None, default=None
        Video with boxes, emotions and probabilities drawn on it, of the size and speed of the
        source and without sound: ``.mp4``, ``.m4v``, ``.mov``, ``.mkv``, ``.webm`` or ``.avi``.
    plot_path : path-like or None, default=None
        Plot of the probabilities over time of the faces that were visible for longest:
        ``.png``, ``.svg``, ``.pdf`` or ``.jpg``. Not written if no face is detected.
    faces_path : path-like or None, default=None
        CSV file with one row per face: when and for how long it was seen, how often its emotion
        changed, and for each label the fraction of the time and the mean probability, as in
        :meth:`VideoSummary.rows() <fer_sklearn.video.VideoSummary.rows>`. Written at the end.
    viewer : callable or None, default=None
        Called without arguments once the source is open; returns a context manager that shows the
        annotated frames, such as :class:`~fer_sklearn.video.StreamPage`. It needs the methods
        ``show(frame, arrived=…)`` and ``update(status)`` of that class, and an attribute
        ``closed``; the analysis stops once that is true. While an attribute ``paused`` is true, the
        analysis waits, and a camera is released.
    duration : float or None, default=None
        Stop after this many seconds of video.
    provenance : bool, default=False
        Whether to record how the timeline was made: for ``holiday.csv``,
        ``holiday.csv.provenance.json`` contains the versions, the network, the detector, the labels
        and how faces are framed, as for :func:`~fer_sklearn.predict_photos`.
    should_stop : callable or None, default=None
        Called without arguments before each frame and while waiting for one; once it returns
        True, the analysis stops.
    progress : callable or None, default=None
        Wraps the iterator over frames: ``tqdm.tqdm``, or a function with the same arguments
        ``total`` and ``unit``.

    Returns
    -------
    VideoSummary
        For each face, the fraction of time and the mean probability of each emotion. If a file is
        truncated, a camera is lost or a disk is full, its `problem` says so, and the results so far
        are kept.

    Raises
    ------
    VideoReadError
        If the source cannot be opened.
    OSError
        If a file cannot be written, or another process writes to it.
    ValueError
        If a parameter is out of range, or the suffix of a file is unknown.

    Examples
    --------
    >>> summary = analyze_video("holiday.mp4", output="holiday.csv")  # doctest: +SKIP
    >>> print(summary)  # doctest: +SKIP
    """
    if duration is not None and not duration > 0:
        raise ValueError(f"duration={duration!r}; expected a number of seconds above 0, or None.")
    is_file = output is not None and not is_stream(output)
    if provenance and not is_file:
        raise ValueError("provenance=True needs output, the file next to which it is written.")
    _check_outputs(source, output, annotated_video, plot_path, faces_path)
    control = _Control(should_stop)
    with ExitStack() as stack:
        for path in (output, annotated_video):  # both are written during the whole analysis
            if path is not None:
                stack.enter_context(locked(path))
        stream = stack.enter_context(
            iter_video(
                source,
                estimator,
                detector=detector,
                stride=stride,
                detect_every=detect_every,
                yield_all_frames=annotated_video is not None,
                smoothing_seconds=smoothing_seconds,
                max_lost_seconds=max_lost_seconds,
                drop_frames=drop_frames,
                reconnect_seconds=reconnect_seconds,
                should_stop=control,
            )
        )
        control.stream = stream
        if output is not None and is_file:
            write_provenance(output, stream.provenance() if provenance else None)
        if viewer is not None:
            control.viewer = stack.enter_context(viewer())
        timelines = [] if output is None else [output]
        if plot_path is not None and not is_file:  # a stream cannot be read again
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fer_sklearn_"))
            timelines.append(Path(folder) / "timeline.csv")
        max_gap = _LONGEST_GAP if stream.drops_frames else math.inf
        counter = Counter(stream.classes, 1 / stream.rate, max_gap=max_gap)
        problem = _record(
            stream, counter, timelines, annotated_video, control.viewer, duration, progress
        )
        if stream.length is not None:  # include frames that were skipped after the last search
            counter.end(*stream.length)
        summary = counter.summary(stream.name, n_damaged=stream.n_damaged, problem=problem)
        try:
            if faces_path is not None:
                write_faces(summary, faces_path, stream.classes)
            if plot_path is not None and summary.faces:
                plot_timeline(timelines[-1], plot_path, summary, stream.classes)
        except OSError as error:
            summary.problem = summary.problem or str(error)
    return summary


def _record(stream, counter, timelines, annotated_video, viewer, duration, progress):
    """Write, show and count all frames; return why they ended early, or None."""
    with ExitStack() as stack:
        video = None
        tables = [stack.enter_context(TimelineWriter(t, stream.classes)) for t in timelines]
        if annotated_video is not None:
            video = stack.enter_context(VideoWriter(annotated_video, stream.rate))
        writers = stack.pop_all()
    pace, n_tables = _Pace(), 0
    try:
        with writers:
            for frame in _with_bar(stream, progress, all_frames=video is not None):
                if duration is not None and frame.seconds >= duration:
                    break
                counter.add(frame)
                for table in tables:
                    table.write(frame)
                if video is None and viewer is None:
                    continue
                image = _annotate(frame, stream.classes)
                if video is not None:
                    video.write(image, frame.seconds)
                if viewer is not None:
                    status = _status(frame, stream.classes, pace.tick())
                    if pace.seconds >= n_tables * _TABLE_INTERVAL:
                        status["table"] = _table(counter)
                        n_tables = 1 + int(pace.seconds / _TABLE_INTERVAL)
                    viewer.update(status)
                    viewer.show(image, arrived=frame.arrived if stream.drops_frames else None)
    except (VideoReadError, OSError) as error:
        return str(error)
    finally:
        if viewer is not None:
            viewer.update({"table": _table(counter)})
    return None


def _table(counter):
    """Return the rows of the faces that viewers list, so far."""
    faces = counter.summary()
    faces.faces = sorted(faces.faces, key=lambda face: -face.seconds)[:_N_LISTED]
    return sorted(faces.rows(), key=lambda row: row["face"])


def _check_outputs(source, output, annotated_video, plot_path, faces_path):
    """Check all files before any work is done, and that none of them is the source."""
    named = {
        "output": output,
        "annotated_video": annotated_video,
        "plot_path": plot_path,
        "faces_path": faces_path,
    }
    paths = {name: Path(path) for name, path in named.items() if path is not None}
    if len({os.path.realpath(path) for path in paths.values()}) < len(paths):
        raise ValueError(f"{', '.join(named)} must be different files.")
    is_path = isinstance(source, (str, os.PathLike)) and os.path.exists(source)
    suffixes = {"plot_path": PLOT_SUFFIXES}
    for name, path in paths.items():
        if name in ("output", "faces_path") and path.suffix.lower() in _OTHER_TABLES:
            raise ValueError(
                f"{name}={str(path)!r} ends in {path.suffix!r}, but it is written as CSV. End its "
                f"name in '.csv'."
            )
        if is_path and path.exists() and path.samefile(source):
            raise ValueError(f"{name}={str(path)!r} is the video itself; choose another file.")
        check_writable(path, suffixes=suffixes.get(name), name=name)
    if annotated_video is not None:
        check_video_path(annotated_video, "annotated_video")


class _Control:
    """Ends or pauses an analysis at the request of the caller or of a user of the viewer.

    The source calls it before each frame and while waiting for one.
    """

    def __init__(self, should_stop):
        self._should_stop = should_stop
        self._was_lost = False
        self.stream: Any = None
        self.viewer: Any = None

    def __call__(self):
        if self.viewer is not None:
            self._tell_if_lost()
            self._wait_if_paused()
        return self._is_over()

    def _is_over(self):
        is_stopped = self._should_stop is not None and self._should_stop()
        return is_stopped or (self.viewer is not None and self.viewer.closed)

    def _tell_if_lost(self):
        is_lost = self.stream.is_lost
        if is_lost and not self._was_lost:
            message = f"{self.stream.name} is lost; trying to reconnect"
            self.viewer.update({"message": message, "faces": []})
        self._was_lost = is_lost

    def _wait_if_paused(self):
        if not getattr(self.viewer, "paused", False):
            return
        self.stream.pause()
        while self.viewer.paused and not self._is_over():
            time.sleep(_TICK)
        self.stream.resume()


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
    """Return the data that viewers show next to the image."""
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
        self._start = time.monotonic()
        self._last = None
        self._interval = None

    @property
    def seconds(self):
        """Seconds since the start."""
        return time.monotonic() - self._start

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
