"""Read all frames of video files in order, and the newest frames of cameras and streams."""

from __future__ import annotations

import math
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from .._utils.typing import PixelArray
from ..exceptions import VideoReadError

__all__ = ["FileSource", "Frame", "LiveSource", "VideoSource", "open_source", "quiet_opencv"]

#: What OpenCV reads: a path or address, the number of a camera, or an opened
#: ``cv2.VideoCapture``.
VideoSource: TypeAlias = "str | os.PathLike[str] | int | Any"

# Frames of a file that are read ahead: enough to even out slow ones, few enough for 4K.
_AHEAD = 3
# Some cameras fail for a moment when the light changes: retry for this many seconds, with this
# pause.
_PATIENCE, _PAUSE = 2.0, 0.02
# Give up on a stream that neither yields a frame nor fails for this many seconds.
_SILENCE = 10.0
# How often waiting threads check whether they should stop, in seconds.
_TICK = 0.1
_PLAUSIBLE_RATE = 240
_DEFAULT_RATE = 25.0


@dataclass(frozen=True)
class Frame:
    """One frame of a video or camera.

    Attributes
    ----------
    index : int
        Position among all frames of the source, from 0, dropped frames included.
    seconds : float
        Time from the start.
    image : ndarray of shape (h, w, 3), uint8
        RGB.
    """

    index: int
    seconds: float
    image: PixelArray


def open_source(
    source: VideoSource,
    *,
    drop_frames: bool | None = None,
    stride: int = 1,
    yield_all_frames: bool = False,
    should_stop: Callable[[], bool] | None = None,
) -> FileSource | LiveSource:
    """Open a video file, a camera or a stream.

    Parameters
    ----------
    source : str, path-like, int or an opened ``cv2.VideoCapture``
        A file, the number of a camera, or an address that contains ``://``.
    drop_frames : bool or None, default=None
        Whether frames are dropped if they arrive faster than they are processed. If None, True
        for cameras, devices and addresses, and False for files.
    stride : int, default=1
        For files: read only every `stride`-th frame.
    yield_all_frames : bool, default=False
        For files: read the other frames too.
    should_stop : callable or None, default=None
        Called without arguments while waiting for a frame; once it returns True, no more frames
        are yielded.

    Returns
    -------
    FileSource or LiveSource
        Iterates over :class:`Frame`. Close it after use.

    Raises
    ------
    TypeError
        If `source` has another type.
    VideoReadError
        If it cannot be opened.
    """
    _check_source(source)
    if _is_live(source) if drop_frames is None else drop_frames:
        return LiveSource(source, should_stop=should_stop)
    step = 1 if yield_all_frames else stride
    return FileSource(source, step=step, should_stop=should_stop)


class _Source:
    """A thread that opens, reads and releases a capture; no other thread touches it."""

    def __init__(self, source: VideoSource, should_stop: Callable[[], bool] | None):
        self.name = _source_name(source)
        self.rate = _DEFAULT_RATE
        self.n_frames: int | None = None
        self._source = source
        self._should_stop = should_stop or _never
        self._is_decided = threading.Event()
        self._is_open = False
        self._is_over = threading.Event()
        self._error: Exception | None = None
        # A daemon: a thread that waits for a dead stream must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name="fer_sklearn video", daemon=True)
        self._thread.start()
        try:
            # In slices, so that Ctrl-C works while an address does not respond.
            while not self._is_decided.wait(_TICK):
                pass
        except BaseException:
            self._is_over.set()
            raise
        if self._error is not None and not self._is_open:
            raise self._error

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self) -> None:
        """Stop reading and release the camera or file. You may close a source twice."""
        self._is_over.set()
        self._thread.join(timeout=1.0)

    def _run(self):
        capture = None
        try:
            capture = _open_capture(self._source)
            self._read_properties(capture)
            self._is_open = True
            self._is_decided.set()
            self._read(capture)
        except Exception as error:  # raised in the thread that takes the frames
            self._error = error
        finally:
            # A capture that the caller opened is for the caller to release.
            if capture is not None and capture is not self._source:
                capture.release()
            self._is_over.set()
            self._is_decided.set()

    def _read_properties(self, capture):
        import cv2

        rate = capture.get(cv2.CAP_PROP_FPS)
        if 0 < rate <= _PLAUSIBLE_RATE:
            self.rate = float(rate)
        n_frames = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        if 0 < n_frames < math.inf:
            self.n_frames = int(n_frames)

    def _read(self, capture):
        raise NotImplementedError


class FileSource(_Source):
    """Read a video file in order, a few frames ahead and never more in memory.

    Parameters
    ----------
    source : path-like or capture
    step : int, default=1
        Convert and yield only every `step`-th frame.
    should_stop : callable or None, default=None
        As in :func:`open_source`.

    Attributes
    ----------
    name : str
    drops_frames : bool
        False.
    rate : float
        Frames per second according to the file; 25 if that is not plausible.
    n_frames : int or None
        According to the file; in some files only an estimate.
    """

    drops_frames = False

    def __init__(
        self,
        source: VideoSource,
        *,
        step: int = 1,
        should_stop: Callable[[], bool] | None = None,
    ):
        self._step = step
        self._queue: queue.Queue[Frame] = queue.Queue(maxsize=_AHEAD)
        super().__init__(source, should_stop)

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames; raise VideoReadError at the end of a truncated file."""
        while not self._should_stop():
            over = self._is_over.is_set()
            try:
                frame = self._queue.get(timeout=_TICK)
            except queue.Empty:
                if not over:
                    continue
                if self._error is not None:
                    raise self._error from None
                return
            yield frame

    def close(self) -> None:
        """Stop reading ahead, and close the file."""
        self._is_over.set()
        self._discard()
        super().close()

    def _read(self, capture):
        seconds, index = -1 / self.rate, 0
        while not self._is_over.is_set() and capture.grab():
            seconds = self._time_of(capture, seconds)
            if index % self._step == 0:
                is_complete, image = capture.retrieve()
                if is_complete:
                    self._put(Frame(index, seconds, _to_rgb(image)))
            index += 1
        if not self._is_over.is_set():
            self._check_length(index, seconds + 1 / self.rate)

    def _time_of(self, capture, previous):
        """Return the time of a frame in the file, if it increases; else count on."""
        import cv2

        seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if math.isfinite(seconds) and seconds > max(previous, -1e-9):
            return seconds
        return max(previous + 1 / self.rate, 0.0)

    def _put(self, frame):
        while not self._is_over.is_set():
            try:
                return self._queue.put(frame, timeout=_TICK)
            except queue.Full:
                continue
        return None

    def _discard(self):
        """Empty the queue, so that a waiting reader thread can finish."""
        while True:
            try:
                self._queue.get_nowait()
            except queue.Empty:
                return

    def _check_length(self, n_read, seconds):
        """Raise if a file ends long before its header says.

        Half a second and 5 % are tolerated, since many headers only estimate.
        """
        if n_read == 0:
            raise VideoReadError(f"{self.name}: the video contains no decodable frame")
        if self.n_frames is None:
            return
        expected = self.n_frames / self.rate
        if n_read < self.n_frames and seconds < 0.95 * expected - 0.5:
            raise VideoReadError(
                f"{self.name}: truncated or damaged after {seconds:.1f} of {expected:.1f} s "
                f"({n_read} of {self.n_frames} frames)"
            )


class LiveSource(_Source):
    """Watch a camera or stream, and yield its newest frame on request.

    Older frames that no one took are dropped, so that the caller never lags behind.

    Parameters
    ----------
    source : int, str or capture
    should_stop : callable or None, default=None
        As in :func:`open_source`.

    Attributes
    ----------
    name : str
    drops_frames : bool
        True.
    rate : float
        Frames per second according to the camera; 25 if that is not plausible.
    n_frames : None
        A camera has no end.
    """

    drops_frames = True

    def __init__(self, source: VideoSource, *, should_stop: Callable[[], bool] | None = None):
        self._news = threading.Condition()
        self._newest: tuple[int, float, PixelArray] | None = None
        super().__init__(source, should_stop)
        self.n_frames = None

    def __iter__(self) -> Iterator[Frame]:
        """Yield the newest frames, each once; raise VideoReadError if the camera goes away."""
        start, last_sign = None, time.monotonic()
        while not self._should_stop():
            with self._news:
                self._news.wait_for(self._has_news, timeout=_TICK)
                newest, self._newest = self._newest, None
            if newest is not None:
                index, moment, image = newest
                start = moment if start is None else start
                yield Frame(index, moment - start, _to_rgb(image))
                last_sign = time.monotonic()
            elif self._is_over.is_set():
                if self._error is not None:
                    raise self._error
                return
            elif time.monotonic() - last_sign > _SILENCE:
                raise VideoReadError(f"{self.name} has returned no frame for {_SILENCE:.0f} s")

    def _has_news(self):
        return self._newest is not None or self._is_over.is_set()

    def _read(self, capture):
        index, last_good = 0, time.monotonic()
        while not self._is_over.is_set():
            is_complete, image = capture.read()
            if is_complete:
                last_good = time.monotonic()
                with self._news:
                    self._newest = index, last_good, image
                    self._news.notify()
                index += 1
            elif time.monotonic() - last_good > _PATIENCE:
                raise VideoReadError(
                    f"{self.name} returns no more frames: it was unplugged, or the stream has ended"
                    if index
                    else f"{self.name} is open but returns no frame; another program may use it"
                )
            else:
                time.sleep(_PAUSE)


def _never():
    return False


def _is_camera_number(source):
    return isinstance(source, (int, np.integer))


def _is_capture(source):
    """Return whether a source is an opened ``cv2.VideoCapture``, or works like one."""
    return hasattr(source, "retrieve")


def _is_live(source):
    """Return whether a source has no end and does not wait for its frames to be taken."""
    if _is_capture(source):
        import cv2

        return not source.get(cv2.CAP_PROP_FRAME_COUNT) > 0
    if _is_camera_number(source):
        return True
    return "://" in os.fspath(source) or os.fspath(source).startswith("/dev/video")


def _source_name(source):
    """Return the name of a source in messages."""
    if _is_capture(source):
        return "the capture"
    return f"camera {source}" if _is_camera_number(source) else os.fspath(source)


def _check_source(source):
    """Raise before OpenCV is called if a source cannot be a video, camera or stream."""
    if _is_capture(source) or _is_camera_number(source):
        return
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            f"source is a {type(source).__name__}; expected the path of a video, the number of "
            f"a camera, the address of a stream, or an opened cv2.VideoCapture."
        )
    if _is_live(source):
        return
    path = Path(source)
    if path.is_dir():
        raise VideoReadError(f"{path} is a folder; name a video in it")
    # A pattern such as frame_%03d.png stands for many files, none of which has that name.
    if not path.exists() and "%" not in path.name:
        raise VideoReadError(f"{path}: there is no such file")
    if path.exists() and not os.access(path, os.R_OK):
        raise VideoReadError(f"{path}: no permission to read this file")


def _open_capture(source):
    """Open a source with OpenCV; return a capture as it is."""
    import cv2

    if _is_capture(source):
        return source
    with quiet_opencv():
        capture = cv2.VideoCapture(int(source) if _is_camera_number(source) else os.fspath(source))
    if capture.isOpened():
        return capture
    capture.release()
    if _is_camera_number(source):
        raise VideoReadError(
            f"camera {source} cannot be opened: it is absent, used by another program, or you "
            f"lack permission{_cameras()}. Try another number or the address of a stream."
        )
    if _is_live(source):
        raise VideoReadError(
            f"{source} cannot be opened: nothing responds there, or it is not a video stream. "
            f"Try it in a player such as VLC."
        )
    raise VideoReadError(
        f"{source}: not a video that OpenCV can read, or a truncated one. Expected MP4, MOV, "
        f"AVI, MKV or WebM; a player that opens it can convert it."
    )


def _cameras():
    """Return which cameras exist, if the system shows them."""
    if sys.platform != "linux":
        return ""
    numbers = sorted(
        int(device.name[5:])
        for device in Path("/dev").glob("video*")
        if device.name[5:].isdecimal()
    )
    if not numbers:
        return " (no camera was found on this computer)"
    return f" (found on this computer: {', '.join(map(str, numbers))})"


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Silence OpenCV's own messages about files that cannot be opened."""
    import cv2

    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def _to_rgb(image):
    """Convert a frame from OpenCV, in BGR, BGRA or grey, to RGB."""
    import cv2

    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    code = cv2.COLOR_BGRA2RGB if image.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return cv2.cvtColor(image, code)
