"""``iter_video``: frames in, frames with tracked faces out, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Integral

from .._utils.typing import Estimator, PixelArray
from ..face_reader import FaceReader, as_face_reader
from ._sources import FileSource, LiveSource, VideoSource, open_source
from ._tracking import FaceTracker, TrackedFace

__all__ = ["VideoFrame", "VideoStream", "iter_video"]


@dataclass(frozen=True)
class VideoFrame:
    """One frame and the faces in it.

    Attributes
    ----------
    index : int
        Position among all frames of the source, from 0.
    seconds : float
        Time from the start: according to the file, or to the clock for a camera.
    image : ndarray of shape (h, w, 3), uint8
        RGB.
    faces : list of TrackedFace
        Faces detected in this frame; empty if it was not searched.
    shown : list of TrackedFace
        Faces to draw: those of the last searched frame, and those lost a moment ago.
    is_searched : bool
        False for the frames that `stride` skips.
    """

    index: int
    seconds: float
    image: PixelArray
    faces: list[TrackedFace]
    shown: list[TrackedFace]
    is_searched: bool


def iter_video(
    source: VideoSource,
    estimator: Estimator | FaceReader | None = None,
    *,
    detector: str | Callable | None = None,
    stride: int = 1,
    yield_all_frames: bool = False,
    smoothing_seconds: float = 0.5,
    max_lost_seconds: float = 2.0,
    drop_frames: bool | None = None,
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
    detector : None, "haar", "yunet" or callable, default=None
        The face detector, as in :class:`~fer_sklearn.FaceReader`; ignored if `estimator` is
        one.
    stride : int, default=1
        Search only every `stride`-th frame for faces.
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
        If the source cannot be opened; while iterating, if a file is truncated or a camera goes
        away.
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> for frame in iter_video("holiday.mp4", stride=5):  # doctest: +SKIP
    ...     for face in frame.faces:
    ...         print(f"{frame.seconds:.1f} s, face {face.number}: {face.emotion}")
    """
    return VideoStream(
        source,
        estimator,
        detector=detector,
        stride=stride,
        yield_all_frames=yield_all_frames,
        smoothing_seconds=smoothing_seconds,
        max_lost_seconds=max_lost_seconds,
        drop_frames=drop_frames,
        should_stop=should_stop,
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
        source: VideoSource,
        estimator: Estimator | FaceReader | None = None,
        *,
        detector: str | Callable | None = None,
        stride: int = 1,
        yield_all_frames: bool = False,
        smoothing_seconds: float = 0.5,
        max_lost_seconds: float = 2.0,
        drop_frames: bool | None = None,
        should_stop: Callable[[], bool] | None = None,
    ):
        if not (isinstance(stride, Integral) and stride >= 1):
            raise ValueError(f"stride={stride!r}; expected an int of at least 1.")
        times = {"smoothing_seconds": smoothing_seconds, "max_lost_seconds": max_lost_seconds}
        FaceTracker([], **times)  # checks them before a camera is opened
        self._source: FileSource | LiveSource = open_source(
            source,
            drop_frames=drop_frames,
            stride=stride,
            yield_all_frames=yield_all_frames,
            should_stop=should_stop,
        )
        try:
            self._reader: FaceReader = as_face_reader(estimator, detector)
        except BaseException:
            self.close()
            raise
        self.name: str = self._source.name
        self.drops_frames: bool = self._source.drops_frames
        self.rate: float = self._source.rate
        self.n_frames: int | None = self._source.n_frames
        self.stride: int = stride
        self.classes: list[str] = list(self._reader.classes)
        self._tracker: FaceTracker = FaceTracker(self.classes, **times)
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

    def close(self) -> None:
        """Release the file or camera. You may close a stream twice."""
        source = getattr(self, "_source", None)
        if source is not None:
            source.close()

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
                )

    def _track(self, frame):
        detected = self._reader.detect(frame.image)
        labels, y_proba = self._reader.predict(self._reader.crop(frame.image, detected))
        return self._tracker.update(frame.seconds, detected.boxes, detected.scores, labels, y_proba)
