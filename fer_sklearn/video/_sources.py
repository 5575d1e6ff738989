"""Read all frames of video files in order, and the newest frames of cameras and streams."""

from __future__ import annotations

import os
import queue
import threading
import time
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._utils.compat import cv2
from .._utils.typing import PixelArray
from ..exceptions import CameraWarning, VideoReadError
from ._capture import (
    Clock,
    Facts,
    VideoSource,
    check_source,
    is_capture,
    is_live,
    open_capture,
    read_facts,
    source_name,
    to_rgb,
)
from ._containers import (
    frames_in_place,
    has_lost_fragments,
    is_complete,
    is_fragmented,
    lists_frames,
    n_indexed,
    shown_seconds,
)

__all__ = ["FileSource", "Frame", "LiveSource", "open_source"]

# Frames of a file that are read ahead: enough to even out slow ones, few enough for 4K.
_AHEAD = 3
# A damaged frame ends neither the file nor the search for the next good one, up to this many in a
# row.
_MOST_DAMAGED = 1000
# Some cameras fail for a moment when the light changes: retry for this many seconds, with this
# pause.
_PATIENCE, _PAUSE = 2.0, 0.02
# Seconds until a camera that neither yields a frame nor fails counts as lost.
_SILENCE = 10.0
# Seconds until the first attempt to reconnect to a lost camera, and maximum until the next one;
# they double each time.
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0
# How often waiting threads check whether they should stop, in seconds.
_TICK = 0.1


@dataclass(frozen=True)
class Frame:
    """One frame of a video or camera.

    Attributes
    ----------
    index : int
        Position among all frames of the source, from 0, dropped and damaged ones included.
    seconds : float
        Time from the start.
    image : ndarray of shape (h, w, 3), uint8
        RGB, with square pixels.
    arrived : float
        When it was read, by ``time.monotonic``.
    """

    index: int
    seconds: float
    image: PixelArray
    arrived: float


def open_source(
    source: VideoSource,
    *,
    drop_frames: bool | None = None,
    stride: int = 1,
    yield_all_frames: bool = False,
    reconnect_seconds: float = 0.0,
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
    reconnect_seconds : float, default=0.0
        For cameras: how long to try to reconnect to one that is lost.
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
    check_source(source)
    if is_live(source) if drop_frames is None else drop_frames:
        return LiveSource(source, reconnect_seconds=reconnect_seconds, should_stop=should_stop)
    step = 1 if yield_all_frames else stride
    return FileSource(source, step=step, should_stop=should_stop)


class _Source:
    """A thread that opens, reads and releases a capture; no other thread touches it.

    Attributes
    ----------
    name : str
    drops_frames : bool
        Whether frames are dropped if they arrive faster than they are processed.
    rate : float
        Frames per second according to the source; 25 if that is not plausible.
    n_frames : int or None
        According to a file, in some only an estimate; None for a camera, which has no end.
    n_damaged : int
        Number of frames of a file that could not be decoded so far; they are skipped. At the end,
        frames that are missing from a video of constant rate are counted too.
    """

    drops_frames: bool
    n_damaged = 0
    #: Number of frames and seconds of a file, once all frames have been taken.
    length: tuple[int, float] | None = None
    _path: Path | None = None

    def __init__(self, source: VideoSource, should_stop: Callable[[], bool] | None):
        self.name = source_name(source)
        self.facts = Facts()
        self._source = source
        self._capture: Any = None
        self._should_stop = should_stop or _never
        self._is_decided = threading.Event()
        self._is_open = False
        self._is_over = threading.Event()
        self._error: Exception | None = None
        # A daemon: a thread that waits for a dead stream must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name="fer_sklearn video", daemon=True)
        self._thread.start()
        # A process that ends while OpenCV reads would crash.
        weakref.finalize(self, _end, self._is_over, self._thread)
        try:
            # In slices, so that Ctrl-C works while an address does not respond.
            while not self._is_decided.wait(_TICK):
                pass
        except BaseException:
            self._is_over.set()
            raise
        if self._error is not None and not self._is_open:
            raise self._error

    @property
    def rate(self) -> float:
        """Frames per second according to the source; 25 if that is not plausible."""
        return self.facts.rate

    @property
    def n_frames(self) -> int | None:
        """Number of frames according to the source."""
        return self.facts.n_frames

    @property
    def is_lost(self) -> bool:
        """Whether a camera is lost, and is being reconnected."""
        return False

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self) -> None:
        """Stop reading and release the camera or file. You may close a source twice."""
        _end(self._is_over, self._thread)

    def pause(self) -> None:
        """Release a camera until :meth:`resume`; a file just waits."""

    def resume(self) -> None:
        """Take the camera again."""

    def _run(self):
        try:
            self._open()
            self._is_open = True
            self._is_decided.set()
            self._read()
        except Exception as error:  # raised in the thread that takes the frames
            self._error = error
        finally:
            self._release()
            self._is_over.set()
            self._is_decided.set()

    def _open(self):
        self._capture = open_capture(self._source)
        self.facts = read_facts(self._capture, self._path)

    def _release(self):
        # A capture that the caller opened is released by the caller.
        if self._capture is not None and self._capture is not self._source:
            self._capture.release()
        self._capture = None

    def _read(self):
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
        path = None if is_capture(source) else Path(os.fspath(source))  # type: ignore[arg-type]
        self._path = path if path is not None and path.is_file() else None
        self._first: PixelArray | None = None
        self._read_length: tuple[int, float] | None = None
        self._is_converted = self._path is None
        self._size = self._path.stat().st_size if self._path is not None else 0
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
                self.length = self._read_length
                if self._error is not None:
                    raise self._error from None
                return
            yield frame

    def close(self) -> None:
        """Stop reading ahead, and close the file."""
        self._is_over.set()
        self._discard()
        super().close()

    def _read(self):
        clock = Clock(self.rate)
        index = due = n_failed = n_lost = 0
        places = frames_in_place(self._path) if self._path is not None else iter(())
        last_good = time.monotonic()
        while not self._is_over.is_set():
            # OpenCV reports a damaged frame like the end of the file.
            if not self._capture.grab():
                if not n_failed:  # the consumer of the frames may have been slow
                    last_good = time.monotonic()
                n_failed += 1
                if n_failed > _MOST_DAMAGED or time.monotonic() - last_good > _PATIENCE:
                    break
                continue
            skipped = n_failed
            for _ in range(1 + n_failed):
                while not next(places, True):
                    skipped, n_lost = skipped + 1, n_lost + 1
            index, self.n_damaged = index + skipped, self.n_damaged + skipped
            n_failed, last_good = 0, time.monotonic()
            seconds = clock.time(self._stamp() + n_lost / self.rate)
            if index >= due:
                is_decoded, image = self._capture.retrieve()
                if is_decoded:
                    if not self._is_converted:
                        self._check_converted(image)
                    image = to_rgb(image, self.facts)
                    self._put(Frame(index, seconds, image, last_good))
                    due = index + self._step
                else:
                    self.n_damaged += 1
            index += 1
        if not self._is_over.is_set():
            self._read_length = (index, max(0.0, clock.end))
            self._check_end(index, clock)

    def _check_converted(self, image):
        """Raise if OpenCV returns memory that it has not written to, as for interlaced frames.

        OpenCV 4.13 and later do not notice that FFmpeg refuses to convert these. All their
        frames are the same then, and differ from those of another capture unless they are black.
        """
        if self._first is None:
            self._first = image
            return
        self._is_converted = True
        if not np.array_equal(image, self._first):
            self._first = None
            return
        again = open_capture(self._source)
        read_facts(again, self._path)
        is_read, first = again.read()
        is_broken = is_read and not np.array_equal(first, self._first)
        if is_read and not is_broken and not first.any() and self.n_frames:
            later = []
            for part in (1, 2, 3):
                again.set(cv2.CAP_PROP_POS_FRAMES, part * self.n_frames // 4)
                later.append(again.read())
            is_broken = all(is_read and not image.any() for is_read, image in later)
        again.release()
        if is_broken:
            raise VideoReadError(
                f"{self.name}: OpenCV {cv2.__version__} returns no image; "
                f"{'unless it is black throughout, ' if not first.any() else ''}the video is "
                f"probably interlaced, which only versions before 4.13 can read. Convert it "
                f"(ffmpeg -i {Path(self.name).name} -vf yadif new.mp4), or install "
                f"'opencv-python-headless<4.13'."
            )

    def _stamp(self):
        return self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000

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

    def _check_end(self, n_read, clock):
        """Count missing frames, and raise if a file ends before it should."""
        if n_read == 0:
            raise VideoReadError(f"{self.name}: the video contains no decodable frame")
        stated, is_whole, is_growing, is_lost = self.facts.seconds, None, False, False
        if self._path is not None and self._path.exists():  # nobody deleted it meanwhile
            stated = shown_seconds(self._path, self.facts.seconds, self.rate)
            is_whole = is_complete(self._path)
            file = self._path.stat()
            is_growing = file.st_size != self._size and time.time() - file.st_mtime < _PATIENCE
            # An MP4 file in fragments is complete after each of them, and may still grow.
            is_growing &= not is_whole or is_fragmented(self._path)
            is_lost = not is_growing and has_lost_fragments(self._path)
            n_frames = n_indexed(self._path)
            self.n_damaged += max(0, (n_frames or 0) - n_read)
            if not lists_frames(self._path):
                self.n_damaged = max(self.n_damaged, clock.n_missing)
            elif n_frames is None and stated is not None:
                n_left = max(0, (self.n_frames or 0) - n_read)
                self.n_damaged += min(n_left, clock.n_missing_at(stated))
        is_short = _is_short(n_read, self.n_frames, clock.end, stated, is_whole, 1 / self.rate)
        if not (is_short or is_growing or is_lost):
            return
        what = "is still being written; read" if is_growing else "truncated or damaged after"
        is_known = is_short and stated is not None
        of = f" of {stated:.1f} s ({n_read} of {self.n_frames} frames)" if is_known else " s"
        raise VideoReadError(f"{self.name}: {what} {clock.end:.1f}{of}")


def _is_short(n_read, n_frames, seconds, stated, is_whole, interval):
    """Return whether a file ends before it should.

    Parameters
    ----------
    n_read, seconds : int, float
        The number of frames and the length that were read.
    n_frames, stated : int or None, float or None
        The number of frames and the length that the file should have.
    is_whole : bool or None
        Whether the file is as long as its container says.
    interval : float
        Seconds between two frames.
    """
    if stated is None:
        return is_whole is False
    if n_frames is not None and n_read >= n_frames:
        return False
    # Many headers contain only an estimate.
    most = 0.5 * interval if is_whole is False else 0.5 + 0.05 * stated
    return seconds < stated - most


class LiveSource(_Source):
    """Watch a camera or stream, and yield its newest frame on request.

    Older frames that no one took are dropped, so that the caller never lags behind.

    Parameters
    ----------
    source : int, str or capture
    reconnect_seconds : float, default=0.0
        How long to try to reconnect to a camera that is lost, at growing intervals. Captures that
        the caller opened cannot be opened again.
    should_stop : callable or None, default=None
        As in :func:`open_source`.
    """

    drops_frames = True

    def __init__(
        self,
        source: VideoSource,
        *,
        reconnect_seconds: float = 0.0,
        should_stop: Callable[[], bool] | None = None,
    ):
        self._reconnect_seconds = 0.0 if is_capture(source) else reconnect_seconds
        self._news = threading.Condition()
        self._newest: tuple[int, float, PixelArray] | None = None
        self._n_read = 0
        self._last_good = time.monotonic()
        self._lost_since: float | None = None
        self._is_paused = threading.Event()
        self._said: deque[str] = deque()
        super().__init__(source, should_stop)

    @property
    def n_frames(self) -> None:
        """None: a camera has no end."""
        return None

    def __iter__(self) -> Iterator[Frame]:
        """Yield the newest frames, each once; raise VideoReadError if the camera is lost for good.

        Warn when it is lost, and when it is available again.
        """
        start = None
        while not self._should_stop():
            with self._news:
                self._news.wait_for(self._has_news, timeout=_TICK)
                newest, self._newest = self._newest, None
            while self._said:
                warnings.warn(self._said.popleft(), CameraWarning, stacklevel=2)
            if newest is not None:
                index, moment, image = newest
                start = moment if start is None else start
                image = to_rgb(image, self.facts)
                yield Frame(index, moment - start, image, moment)
            elif self._is_over.is_set():
                if self._error is not None:
                    raise self._error
                return
            elif self._is_silent():
                raise VideoReadError(f"{self.name} has returned no frame for {_SILENCE:.0f} s")

    def pause(self) -> None:
        """Release the camera until :meth:`resume`."""
        self._is_paused.set()

    def resume(self) -> None:
        """Open the camera again."""
        self._last_good = time.monotonic()
        with self._news:
            self._newest = None  # an outdated frame
        self._is_paused.clear()

    @property
    def is_lost(self) -> bool:
        """Whether the camera is lost, and is being reconnected."""
        return self._lost_since is not None

    def _has_news(self):
        return self._newest is not None or self._is_over.is_set()

    def _is_silent(self):
        """Return whether the camera hangs, that is, neither yields a frame nor fails."""
        is_expected = self._lost_since is None and not self._is_paused.is_set()
        patience = _SILENCE + self._reconnect_seconds
        return is_expected and time.monotonic() - self._last_good > patience

    def _read(self):
        wait = _FIRST_WAIT
        while not self._is_over.is_set():
            if self._is_paused.is_set():
                self._release()
                self._is_over.wait(_TICK)
                continue
            try:
                if self._capture is None:
                    self._open()
                self._watch()
            except VideoReadError as error:
                self._release()
                wait = _FIRST_WAIT if self._lost_since is None else min(2 * wait, _LONGEST_WAIT)
                self._wait_for_camera(error, wait)

    def _watch(self):
        """Read frames until the camera is lost, or no longer wanted."""
        opened = time.monotonic()
        while not (self._is_over.is_set() or self._is_paused.is_set()):
            is_complete_frame, image = self._capture.read()
            now = time.monotonic()
            if is_complete_frame:
                if self._lost_since is not None:
                    self._said.append(f"{self.name} is back after {now - self._lost_since:.0f} s")
                    self._lost_since = None
                self._last_good = now
                with self._news:
                    self._newest = self._n_read, now, image
                    self._news.notify()
                self._n_read += 1
            elif now - max(self._last_good, opened) > _PATIENCE:
                raise VideoReadError(
                    f"{self.name} returns no more frames: it was unplugged, or the stream has ended"
                    if self._n_read
                    else f"{self.name} is open but returns no frame; another program may use it"
                )
            else:
                time.sleep(_PAUSE)

    def _wait_for_camera(self, error, wait):
        """Wait until the next attempt to reconnect, or raise the error if there is none."""
        # A video at a URL has ended; it would start again.
        if not (self._n_read and self._reconnect_seconds) or self.facts.n_frames is not None:
            raise error
        if self._lost_since is None:
            self._lost_since = self._last_good
            self._said.append(f"{error}; trying to reconnect")
        left = self._lost_since + self._reconnect_seconds - time.monotonic()
        if left <= 0:
            raise VideoReadError(
                f"{self.name} was lost, and did not come back within {self._reconnect_seconds:g} s"
            )
        self._is_over.wait(min(wait, left))


def _end(is_over, thread):
    is_over.set()
    if thread is not threading.current_thread():
        thread.join(timeout=1.0)


def _never():
    return False
