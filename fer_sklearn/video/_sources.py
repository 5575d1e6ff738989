"""Where frames come from: films, read in order, and cameras, whose newest frame counts."""

import math
import os
import queue
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..exceptions import VideoReadError

__all__ = ["FilmSource", "Frame", "LiveSource", "open_source"]

# Frames read ahead of a film: enough to even out slow ones, few enough for 4K.
_AHEAD = 3
# A camera that gives nothing is asked again for a while: some stumble over a change of light.
_PATIENCE, _PAUSE = 2.0, 0.02
# A stream that neither gives a frame nor fails is given up.
_SILENCE = 10.0
# How often those who wait look whether they should still wait.
_TICK = 0.1
_PLAUSIBLE_RATE = 240
_USUAL_RATE = 25.0


@dataclass(frozen=True)
class Frame:
    """One picture of a film or camera.

    Attributes
    ----------
    index : int
        Its position, from 0, among all frames that the source had, also those left out.
    seconds : float
        Its time from the start.
    image : ndarray of shape (h, w, 3), uint8
        RGB.
    """

    index: int
    seconds: float
    image: np.ndarray


def open_source(source, *, live=None, every=1, all_frames=False, stop=None):
    """Open a film, a camera or a stream.

    Parameters
    ----------
    source : str, path-like, int or an opened ``cv2.VideoCapture``
        File, number of a camera, or address with ``://``.
    live : bool or None, default=None
        Whether frames are left out when they come faster than they are taken. None means
        for cameras, devices and addresses, not for files.
    every : int, default=1
        Of a film, take each such frame.
    all_frames : bool, default=False
        Of a film, take the frames between too.
    stop : callable or None, default=None
        Asked, without arguments, whenever a frame is waited for; once it returns true,
        there are no more frames.

    Returns
    -------
    FilmSource or LiveSource
        Iterates over :class:`Frame`; to be closed.

    Raises
    ------
    VideoReadError
        If it cannot be opened.
    """
    check_source(source)
    if is_live(source) if live is None else live:
        return LiveSource(source, stop=stop)
    return FilmSource(source, every=every, all_frames=all_frames, stop=stop)


class _Source:
    """A thread that alone opens, reads and releases a capture."""

    def __init__(self, source, stop):
        self.name = source_name(source)
        self.rate = _USUAL_RATE
        self.n_frames = None
        self._source = source
        self._stop = stop or _never
        self._is_decided = threading.Event()
        self._is_open = False
        self._is_over = threading.Event()
        self._error = None
        # A daemon: a thread that waits for a dead stream must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name="fer_sklearn video", daemon=True)
        self._thread.start()
        try:
            # In slices, so that Ctrl-C is answered while an address does not answer.
            while not self._is_decided.wait(_TICK):
                pass
        except BaseException:
            self._is_over.set()
            raise
        if not self._is_open:
            raise self._error

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        """Stop reading and let go of the camera or file; again and again does no harm."""
        self._is_over.set()
        self._thread.join(timeout=1.0)

    def _run(self):
        capture = None
        try:
            capture = open_capture(self._source)
            self._learn(capture)
            self._is_open = True
            self._is_decided.set()
            self._read(capture)
        except Exception as error:  # raised where the frames are taken
            self._error = error
        finally:
            # A capture that the caller opened is the caller's to release.
            if capture is not None and capture is not self._source:
                capture.release()
            self._is_over.set()
            self._is_decided.set()

    def _learn(self, capture):
        import cv2

        rate = capture.get(cv2.CAP_PROP_FPS)
        if 0 < rate <= _PLAUSIBLE_RATE:
            self.rate = float(rate)
        n_frames = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        if 0 < n_frames < math.inf:
            self.n_frames = int(n_frames)


class FilmSource(_Source):
    """Read a film in order: a few frames ahead, and never more than those in memory.

    Parameters
    ----------
    source : path-like or capture
        The film.
    every : int
        Each such frame is converted and given.
    all_frames : bool
        Give the others too.

    Attributes
    ----------
    name : str
    rate : float
        Frames a second, as the film says; 25 if that is not plausible.
    n_frames : int or None
        As the film says, or about.
    """

    is_live = False

    def __init__(self, source, *, every=1, all_frames=False, stop=None):
        self._step = 1 if all_frames else every
        self._queue = queue.Queue(maxsize=_AHEAD)
        super().__init__(source, stop)

    def __iter__(self):
        """Yield frames; raise VideoReadError at the end of a film that is not whole."""
        while not self._stop():
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

    def close(self):
        """Stop reading ahead, and close the file."""
        self._is_over.set()
        self._discard()
        super().close()

    def _read(self, capture):
        seconds, index = -1 / self.rate, 0
        while not self._is_over.is_set() and capture.grab():
            seconds = self._time_of(capture, seconds)
            if index % self._step == 0:
                is_whole, image = capture.retrieve()
                if is_whole:
                    self._put(Frame(index, seconds, to_rgb(image)))
            index += 1
        if not self._is_over.is_set():
            self._check_length(index, seconds + 1 / self.rate)

    def _time_of(self, capture, previous):
        """Return the film's own time of a frame, which need not be regular, or count on."""
        import cv2

        told = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if math.isfinite(told) and told > max(previous, -1e-9):
            return told
        return max(previous + 1 / self.rate, 0.0)

    def _put(self, frame):
        while not self._is_over.is_set():
            try:
                return self._queue.put(frame, timeout=_TICK)
            except queue.Full:
                continue
        return None

    def _discard(self):
        """Make room for a reader that waits for some."""
        while True:
            try:
                self._queue.get_nowait()
            except queue.Empty:
                return

    def _check_length(self, n_read, seconds):
        """Raise if a film ends long before its header says it does.

        Half a second and a twentieth are allowed for, as many headers only estimate.
        """
        if n_read == 0:
            raise VideoReadError(f"{self.name}: there is not one whole frame in this film")
        if self.n_frames is None:
            return
        expected = self.n_frames / self.rate
        if n_read < self.n_frames and seconds < 0.95 * expected - 0.5:
            raise VideoReadError(
                f"{self.name}: truncated or damaged after {seconds:.1f} of {expected:.1f} s "
                f"({n_read} of {self.n_frames} frames)"
            )


class LiveSource(_Source):
    """Watch a camera or stream, and give its newest frame whenever one is asked for.

    Older frames that nobody took are forgotten, so that whoever takes them is never behind.

    Parameters
    ----------
    source : int, str or capture
        The camera.

    Attributes
    ----------
    name : str
    rate : float
        Frames a second, as the camera says; 25 if that is not plausible.
    n_frames : None
        A camera has no end.
    """

    is_live = True

    def __init__(self, source, *, stop=None):
        self._news = threading.Condition()
        self._newest = None
        super().__init__(source, stop)
        self.n_frames = None

    def __iter__(self):
        """Yield the newest frames, each once; raise VideoReadError when the camera goes away."""
        start, last_sign = None, time.monotonic()
        while not self._stop():
            with self._news:
                self._news.wait_for(self._has_news, timeout=_TICK)
                newest, self._newest = self._newest, None
            if newest is not None:
                index, moment, image = newest
                start = moment if start is None else start
                yield Frame(index, moment - start, to_rgb(image))
                last_sign = time.monotonic()
            elif self._is_over.is_set():
                if self._error is not None:
                    raise self._error
                return
            elif time.monotonic() - last_sign > _SILENCE:
                raise VideoReadError(f"{self.name} has given no frame for {_SILENCE:.0f} s")

    def _has_news(self):
        return self._newest is not None or self._is_over.is_set()

    def _read(self, capture):
        index, last_good = 0, time.monotonic()
        while not self._is_over.is_set():
            is_whole, image = capture.read()
            if is_whole:
                last_good = time.monotonic()
                with self._news:
                    self._newest = index, last_good, image
                    self._news.notify()
                index += 1
            elif time.monotonic() - last_good > _PATIENCE:
                raise VideoReadError(
                    f"{self.name} gives no more frames: it was unplugged, or the stream is over"
                    if index
                    else f"{self.name} is open but gives no frame; another program may use it"
                )
            else:
                time.sleep(_PAUSE)


def _never():
    return False


def is_number(source):
    """Tell whether a source is the number of a camera."""
    return isinstance(source, (int, np.integer))


def is_capture(source):
    """Tell whether a source is an opened ``cv2.VideoCapture``, or something just like it."""
    return hasattr(source, "retrieve")


def is_live(source):
    """Tell whether a source has no end, and goes on whether or not its frames are taken."""
    if is_capture(source):
        import cv2

        return not source.get(cv2.CAP_PROP_FRAME_COUNT) > 0
    if is_number(source):
        return True
    return "://" in os.fspath(source) or os.fspath(source).startswith("/dev/video")


def source_name(source):
    """Return what messages call a source."""
    if is_capture(source):
        return "the capture"
    return f"camera {source}" if is_number(source) else os.fspath(source)


def check_source(source):
    """Raise, before OpenCV is asked, for what cannot be a film, camera or stream.

    Raises
    ------
    TypeError
        For something else than a path, a number, an address or a capture.
    VideoReadError
        For a file that is missing or may not be read.
    """
    if is_capture(source) or is_number(source):
        return
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            f"source is a {type(source).__name__}; expected the path of a film, the number of "
            f"a camera, the address of a stream, or an opened cv2.VideoCapture."
        )
    if is_live(source):
        return
    path = Path(source)
    if path.is_dir():
        raise VideoReadError(f"{path} is a folder; name a film in it")
    # A pattern such as frame_%03d.png stands for many files, none of that name.
    if not path.exists() and "%" not in path.name:
        raise VideoReadError(f"{path}: there is no such file")
    if path.exists() and not os.access(path, os.R_OK):
        raise VideoReadError(f"{path}: no permission to read this file")


def open_capture(source):
    """Open a source with OpenCV; a capture is returned as it is.

    Raises
    ------
    VideoReadError
        If it cannot be opened; the message says what to try.
    """
    import cv2

    if is_capture(source):
        return source
    with _quiet():
        capture = cv2.VideoCapture(int(source) if is_number(source) else os.fspath(source))
    if capture.isOpened():
        return capture
    capture.release()
    if is_number(source):
        raise VideoReadError(
            f"camera {source} cannot be opened: it is absent, used by another program, or not "
            f"allowed to you{_cameras()}. Try another number or the address of a stream."
        )
    if is_live(source):
        raise VideoReadError(
            f"{source} cannot be opened: nothing answers there, or it is no video stream. "
            f"Try it in a player such as VLC."
        )
    raise VideoReadError(
        f"{source}: not a film that OpenCV can read, or one that was cut off. Expected MP4, "
        f"MOV, AVI, MKV or WebM; a player that opens it can convert it."
    )


def _cameras():
    """Tell which cameras there are, where the system shows them."""
    if sys.platform != "linux":
        return ""
    numbers = sorted(
        int(device.name[5:])
        for device in Path("/dev").glob("video*")
        if device.name[5:].isdecimal()
    )
    if not numbers:
        return " (this computer shows no camera)"
    return f" (this computer shows the numbers {', '.join(map(str, numbers))})"


@contextmanager
def _quiet():
    """Keep OpenCV's own lines about a source that does not open off the terminal."""
    import cv2

    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def to_rgb(image):
    """Turn a picture as OpenCV gives it, BGR, BGRA or grey, into RGB pixels."""
    import cv2

    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    code = cv2.COLOR_BGRA2RGB if image.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return cv2.cvtColor(image, code)
