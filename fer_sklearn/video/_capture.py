"""Open a video or camera; read its header, the times of its frames, and pixels."""

from __future__ import annotations

import math
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from .._utils.compat import cv2
from .._utils.typing import PixelArray
from ..exceptions import VideoReadError
from ._containers import is_sound, mirror_matrix

__all__ = [
    "Clock",
    "Facts",
    "VideoSource",
    "check_source",
    "is_capture",
    "is_live",
    "open_capture",
    "opencv_name",
    "quiet_opencv",
    "read_facts",
    "source_name",
    "to_rgb",
]

#: What OpenCV reads: a path or address, the number of a camera, or an opened
#: ``cv2.VideoCapture``.
VideoSource: TypeAlias = "str | os.PathLike[str] | int | Any"

# Headers of screen recordings and of some cameras state the resolution of their clock as a rate.
_PLAUSIBLE_RATE = 240
_DEFAULT_RATE = 25.0
# Pixels of real formats are at most about twice as wide as high; otherwise, the header is damaged.
_WIDEST_PIXEL = 4.0
# A video of constant rate has at least this many regular frames per gap.
_REGULAR_PER_GAP = 20
# A clock that goes back by more seconds than this has been set back.
_RESTART = 1.0
_ONLY_SOUND = "contains only sound, and no video"


class Facts(NamedTuple):
    """Properties of a video or camera, from its header.

    Attributes
    ----------
    rate : float
        Frames per second; 25 if that is not plausible.
    n_frames : int or None
        Number of frames; in some files only an estimate.
    seconds : float or None
        Duration.
    stretch : tuple of 2 float
        Factors by which width and height grow when pixels become squares.
    mirror : tuple of 4 int or None
        How to turn a mirrored video upright: the matrix (a, b, c, d) that moves a pixel from (x, y)
        to (ax + cy, bx + dy). None for other videos, which OpenCV turns.
    """

    rate: float = _DEFAULT_RATE
    n_frames: int | None = None
    seconds: float | None = None
    stretch: tuple[float, float] = (1.0, 1.0)
    mirror: tuple[int, int, int, int] | None = None


def read_facts(capture: Any, path: Path | None = None) -> Facts:
    """Return the properties of an opened capture and the file that it reads."""
    mirror = None if path is None else mirror_matrix(path)
    if mirror is not None:
        # OpenCV would mistake it for a rotated video, and rotate it the wrong way.
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
    rate, n_frames = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    is_rate, is_count = 0 < rate < math.inf, 0 < n_frames < math.inf
    return Facts(
        rate=float(rate) if is_rate and rate <= _PLAUSIBLE_RATE else _DEFAULT_RATE,
        n_frames=int(n_frames) if is_count else None,
        # The count may be the duration times a rate that is not plausible.
        seconds=n_frames / rate if is_rate and is_count else None,
        stretch=_stretch(capture, is_turned=mirror is not None and mirror[0] == 0),
        mirror=mirror,
    )


def _stretch(capture, is_turned):
    width, height = capture.get(cv2.CAP_PROP_SAR_NUM), capture.get(cv2.CAP_PROP_SAR_DEN)
    shape = width / height if width > 0 and height > 0 else 1.0
    if not 1 / _WIDEST_PIXEL <= shape <= _WIDEST_PIXEL:
        return 1.0, 1.0
    # Enlarged, so that no detail is lost.
    stretch = max(shape, 1.0), max(1 / shape, 1.0)
    if capture.get(cv2.CAP_PROP_ORIENTATION_AUTO):
        is_turned = capture.get(cv2.CAP_PROP_ORIENTATION_META) % 180 == 90
    return stretch[::-1] if is_turned else stretch


def _is_camera_number(source):
    return isinstance(source, (int, np.integer))


def is_capture(source: Any) -> bool:
    """Return whether a source is an opened ``cv2.VideoCapture``, or works like one."""
    return hasattr(source, "retrieve")


def is_live(source: Any) -> bool:
    """Return whether a source has no end and does not wait for its frames to be taken."""
    if is_capture(source):
        return not source.get(cv2.CAP_PROP_FRAME_COUNT) > 0
    if _is_camera_number(source):
        return True
    return "://" in os.fspath(source) or os.fspath(source).startswith("/dev/video")


def source_name(source: Any) -> str:
    """Return the name of a source in messages."""
    if is_capture(source):
        return "the capture"
    return f"camera {source}" if _is_camera_number(source) else os.fspath(source)


def check_source(source: Any) -> None:
    """Raise before OpenCV is called if a source cannot be a video, camera or stream."""
    if is_capture(source):
        return
    if _is_camera_number(source):
        if source >= 2**31:  # OpenCV's limit
            raise VideoReadError(f"camera {source} does not exist; try 0, the first one")
        return
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            f"source is a {type(source).__name__}; expected the path of a video, the number of "
            f"a camera, the address of a stream, or an opened cv2.VideoCapture."
        )
    if is_live(source):
        return
    path = Path(source)
    if path.is_dir():
        raise VideoReadError(f"{path} is a folder; name a video in it")
    # A pattern such as frame_%03d.png stands for many files, none of which has that name.
    if not path.exists() and "%" not in path.name:
        raise VideoReadError(f"{path}: there is no such file")
    if path.exists() and not os.access(path, os.R_OK):
        raise VideoReadError(f"{path}: no permission to read this file")
    try:
        has_only_sound = path.is_file() and is_sound(path)
    except OSError as error:  # such as a damaged disk
        raise VideoReadError(f"{path}: cannot be read ({error.strerror})") from error
    if has_only_sound:
        raise VideoReadError(f"{path}: {_ONLY_SOUND}")


def open_capture(source: Any) -> Any:
    """Open a source with OpenCV; return a capture as it is."""
    if is_capture(source):
        return source
    with opencv_name(source) as name, quiet_opencv():
        capture = cv2.VideoCapture(name)
    if capture.isOpened():
        return capture
    capture.release()
    if _is_camera_number(source):
        raise VideoReadError(
            f"camera {source} cannot be opened: it does not exist, another program uses it, or you "
            f"lack permission{_cameras()}. Try another number or the address of a stream."
        )
    if is_live(source):
        raise VideoReadError(
            f"{source} cannot be opened: nothing responds there, or it is not a video stream. "
            f"Try it in a player such as VLC."
        )
    raise VideoReadError(
        f"{source}: not a video that OpenCV can read, or a truncated one. Expected MP4, MOV, "
        f"AVI, MKV or WebM; a player that opens it can convert it."
    )


@contextmanager
def opencv_name(source: Any) -> Iterator[Any]:
    """Yield the name by which OpenCV opens a source, or a file to write, and no other.

    Raises
    ------
    VideoReadError
        If there is none.
    """
    if _is_camera_number(source):
        yield int(source)
        return
    name = os.fspath(source)
    with ExitStack() as stack:
        if not is_live(source):
            name = os.path.abspath(name)  # FFmpeg interprets text before a colon as a protocol
            if not os.path.exists(name):
                folder, pattern = os.path.split(name)
                name = os.path.join(folder.replace("%", "%%"), pattern)
            elif "%" in name or not _can_encode(name):
                name = _linked(name, stack)
        if not _can_encode(name):
            raise VideoReadError(
                f"{name!a}: OpenCV cannot open a file whose name is not UTF-8. Rename it."
            )
        yield name


def _linked(path, stack):
    """Return a link to a file, whose name OpenCV cannot use.

    FFmpeg takes a "%" in the path of an image for a pattern, which stands for many images.
    """
    suffix = os.path.splitext(path)[1]
    suffix = suffix if suffix.isascii() and suffix[1:].isalnum() else ""
    with suppress(OSError):  # some systems have no links
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fer_sklearn_"))
        link = os.path.join(folder, f"video{suffix}")
        os.symlink(path, link)
        return link
    return path


def _can_encode(path):
    """Return whether a path is text in UTF-8; OpenCV crashes for others."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _cameras():
    """Return the cameras that exist, if the system lists them."""
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
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def to_rgb(image: PixelArray, facts: Facts = Facts()) -> PixelArray:  # noqa: B008 - immutable
    """Convert a frame from OpenCV, in BGR, BGRA or grey, to upright RGB with square pixels."""
    if facts.mirror is not None:
        a, b, c, d = facts.mirror
        if a == 0:
            image = image.swapaxes(0, 1)
        image = np.ascontiguousarray(image[:: b + d, :: a + c])
    if facts.stretch != (1.0, 1.0):
        image = cv2.resize(image, None, fx=facts.stretch[0], fy=facts.stretch[1])
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    code = cv2.COLOR_BGRA2RGB if image.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return cv2.cvtColor(image, code)


class Clock:
    """The times of the frames of a file: their time stamps, if these increase.

    Parameters
    ----------
    rate : float
        Frames per second, for frames without a time stamp.
    """

    def __init__(self, rate: float):
        self._interval = 1 / rate
        self._seconds = self._last = self._newest = -math.inf
        self._offset = 0.0
        self._n_regular = self._n_gaps = self._n_missing = 0
        self._is_constant = True

    @property
    def n_missing(self) -> int:
        """Number of frames missing from a video of constant rate, by its few gaps; 0 for others."""
        has_few_gaps = self._n_gaps <= self._n_regular / _REGULAR_PER_GAP
        return self._n_missing if self._is_constant and has_few_gaps else 0

    def n_missing_at(self, end: float) -> int:
        """Return the number of frames missing at the end of a video of constant rate."""
        return max(0, round((end - self.end) / self._interval)) if self._is_constant else 0

    @property
    def end(self) -> float:
        """Time at which the last frame ends."""
        return self._seconds + self._interval

    def time(self, stamp: float) -> float:
        """Return the time of the next frame.

        Parameters
        ----------
        stamp : float
            Its own time stamp, in seconds.

        Returns
        -------
        float
            Seconds, not less than that of the previous frame.
        """
        before, self._last = self._last, stamp
        if math.isfinite(stamp) and stamp >= -1e-9:
            # If two time stamps in a row are early, the clock has been set back. If it is a single
            # one, it is missing, or two frames are swapped.
            if before < stamp < self._newest - _RESTART:
                self._offset, self._newest = self._seconds - before, before
            if stamp > self._newest:
                self._count_missing(stamp - self._newest)
                self._newest = stamp
                self._seconds = max(stamp + self._offset, self._seconds, 0.0)
                return self._seconds
            self._n_missing -= 1  # a repeated frame that replaces a missing one
        self._seconds = max(self.end, 0.0)
        return self._seconds

    def _count_missing(self, step):
        if not math.isfinite(step):
            return
        n = round(step / self._interval)
        # Some containers round to a millisecond.
        self._is_constant &= abs(step - n * self._interval) < max(0.1 * self._interval, 0.0011)
        self._n_regular += n == 1
        self._n_gaps += n > 1
        self._n_missing += max(n - 1, 0)
