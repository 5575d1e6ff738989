"""Frames in, frames with followed faces out, one at a time."""

from dataclasses import dataclass
from numbers import Integral

import numpy as np

from ..face_reader import as_reader
from ._sources import open_source
from ._tracking import FaceTracker

__all__ = ["VideoFrame", "VideoStream", "iter_video"]


@dataclass(frozen=True)
class VideoFrame:
    """One frame and the faces in it.

    Attributes
    ----------
    index : int
        Position among all frames of the source, from 0.
    seconds : float
        Time from the start: the film's own, or the clock's for a camera.
    image : ndarray of shape (h, w, 3), uint8
        RGB.
    faces : list of TrackedFace
        Those found in this frame; none if it was not searched.
    shown : list of TrackedFace
        Those to draw: of the last searched frame, and those lost a moment before.
    is_searched : bool
        False for the frames between those that `every` asks for.
    """

    index: int
    seconds: float
    image: np.ndarray
    faces: list
    shown: list
    is_searched: bool


def iter_video(
    source,
    model=None,
    *,
    detector=None,
    every=1,
    all_frames=False,
    smoothing=0.5,
    max_gap=2.0,
    live=None,
    stop=None,
):
    """Tell the emotions in a film, or before a camera, frame by frame.

    Parameters
    ----------
    source : str, path-like, int or an opened ``cv2.VideoCapture``
        A film that OpenCV reads, the number of a camera (0 is the first), or the address of
        a stream (``rtsp://…``).
    model : fitted pipeline, FaceReader or None, default=None
        What finds and classifies faces; None is the model that ships.
    detector : None, "haar", "yunet" or callable, default=None
        What finds the faces, as of :class:`~fer_sklearn.FaceReader`; not asked for where
        `model` is one.
    every : int, default=1
        Search only every such frame.
    all_frames : bool, default=False
        Yield the frames between too, with the faces of the last one searched. Of a camera,
        they are always yielded.
    smoothing : float, default=0.5
        Time constant, in seconds, over which probabilities are averaged; 0 for not at all.
    max_gap : float, default=2.0
        Seconds for which a face that is lost keeps its number.
    live : bool or None, default=None
        Whether frames that come while one is worked on are left out, save the newest. None
        means for cameras and addresses; of a file, no frame is left out.
    stop : callable or None, default=None
        Asked without arguments between frames and while one is waited for; once it returns
        true, no more frames follow.

    Returns
    -------
    VideoStream
        An iterator over :class:`VideoFrame`, holding a few frames at most. Close it, or use it
        in a ``with`` statement, if it is not read to its end.

    Raises
    ------
    VideoReadError
        If the source cannot be opened; while iterating, if a film is truncated or a camera
        goes away.
    ValueError
        For a parameter out of its range.

    Examples
    --------
    >>> for frame in iter_video("holiday.mp4", every=5):  # doctest: +SKIP
    ...     for face in frame.faces:
    ...         print(f"{frame.seconds:.1f} s, face {face.number}: {face.emotion}")
    """
    return VideoStream(
        source,
        model,
        detector=detector,
        every=every,
        all_frames=all_frames,
        smoothing=smoothing,
        max_gap=max_gap,
        live=live,
        stop=stop,
    )


class VideoStream:
    """The iterator that :func:`iter_video` returns, and what is known of its source.

    Attributes
    ----------
    name : str
        What messages call the source.
    is_live : bool
        Whether frames are left out when they come faster than they are worked on.
    rate : float
        Frames a second, as the source says, or 25.
    n_frames : int or None
        How many it says it has; only an estimate in some films, None for a camera.
    classes : list of str
        The model's labels.
    """

    def __init__(
        self, source, model, *, detector, every, all_frames, smoothing, max_gap, live, stop
    ):
        if not (isinstance(every, Integral) and every >= 1):
            raise ValueError(f"every={every!r} must be an int of 1 or more.")
        FaceTracker([], smoothing=smoothing, max_gap=max_gap)  # before a camera is opened
        self._source = open_source(source, live=live, every=every, all_frames=all_frames, stop=stop)
        try:
            self._reader = as_reader(model, detector)
        except BaseException:
            self.close()
            raise
        self.name = self._source.name
        self.is_live = self._source.is_live
        self.rate = self._source.rate
        self.n_frames = self._source.n_frames
        self.classes = list(self._reader.classes)
        self.every = every
        self._tracker = FaceTracker(self.classes, smoothing=smoothing, max_gap=max_gap)
        self._frames = self._work()

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._frames)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def __del__(self):
        self.close()

    def close(self):
        """Let go of the film or camera; again and again does no harm."""
        source = getattr(self, "_source", None)
        if source is not None:
            source.close()

    def _work(self):
        searched = None
        with self._source:
            for frame in self._source:
                is_due = searched is None or frame.index - searched >= self.every
                faces = []
                if is_due:
                    searched, faces = frame.index, self._search(frame)
                yield VideoFrame(
                    index=frame.index,
                    seconds=frame.seconds,
                    image=frame.image,
                    faces=faces,
                    shown=self._tracker.shown(frame.seconds),
                    is_searched=is_due,
                )

    def _search(self, frame):
        found = self._reader.find(frame.image)
        labels, probabilities = self._reader.classify(self._reader.cut(frame.image, found))
        return self._tracker.update(frame.seconds, found.boxes, found.scores, labels, probabilities)
