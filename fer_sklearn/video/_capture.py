"""One capture: how it is opened, what its file says of itself, and its pixels."""

from __future__ import annotations

import io
import math
import os
import re
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias

import numpy as np

from .._utils.typing import PixelArray
from ..exceptions import VideoReadError

__all__ = [
    "Clock",
    "Facts",
    "VideoSource",
    "check_source",
    "has_lost_fragments",
    "is_capture",
    "is_complete",
    "is_fragmented",
    "is_live",
    "is_sound",
    "lists_frames",
    "n_indexed",
    "open_capture",
    "quiet_opencv",
    "read_facts",
    "shown_seconds",
    "source_name",
    "to_rgb",
]

#: What OpenCV reads: a path or address, the number of a camera, or an opened
#: ``cv2.VideoCapture``.
VideoSource: TypeAlias = "str | os.PathLike[str] | int | Any"

# Headers of screen recordings and of some cameras state the resolution of their clock as a rate.
_PLAUSIBLE_RATE = 240
_DEFAULT_RATE = 25.0
# Pixels of real formats are at most about twice as wide as high; more is a damaged header.
_WIDEST_PIXEL = 4.0
# A video of constant rate has so many regular frames for each gap.
_REGULAR_PER_GAP = 20
# A clock that goes back by more seconds than this has been set back.
_RESTART = 1.0
_ONLY_SOUND = "contains only sound, and no video"


class Facts(NamedTuple):
    """What the header of a video, or a camera, says.

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
        How a mirrored video is turned upright: the matrix (a, b, c, d) that moves a pixel from
        (x, y) to (ax + cy, bx + dy). None for others, which OpenCV turns.
    """

    rate: float = _DEFAULT_RATE
    n_frames: int | None = None
    seconds: float | None = None
    stretch: tuple[float, float] = (1.0, 1.0)
    mirror: tuple[int, int, int, int] | None = None


def read_facts(capture: Any, path: Path | None = None) -> Facts:
    """Return what an opened capture, and the file that it reads, say of themselves."""
    import cv2

    mirror = None if path is None else _mirror(path)
    if mirror is not None:
        # OpenCV would take it for one that is turned, and turn it the wrong way.
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
    import cv2

    width, height = capture.get(cv2.CAP_PROP_SAR_NUM), capture.get(cv2.CAP_PROP_SAR_DEN)
    shape = width / height if width > 0 and height > 0 else 1.0
    if not 1 / _WIDEST_PIXEL <= shape <= _WIDEST_PIXEL:
        return 1.0, 1.0
    # Enlarged, so that nothing is lost.
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
        import cv2

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
    if is_capture(source) or _is_camera_number(source):
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
    if path.is_file() and is_sound(path):
        raise VideoReadError(f"{path}: {_ONLY_SOUND}")


def open_capture(source: Any) -> Any:
    """Open a source with OpenCV; return a capture as it is."""
    import cv2

    if is_capture(source):
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
    if is_live(source):
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


def to_rgb(image: PixelArray, facts: Facts = Facts()) -> PixelArray:  # noqa: B008 - immutable
    """Convert a frame from OpenCV, in BGR, BGRA or grey, to upright RGB with square pixels."""
    import cv2

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
    """The times of the frames of a file: their own time stamps, if these increase.

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
        """How many frames a video of constant rate lacks, by its few gaps; 0 for others."""
        has_few_gaps = self._n_gaps <= self._n_regular / _REGULAR_PER_GAP
        return self._n_missing if self._is_constant and has_few_gaps else 0

    @property
    def end(self) -> float:
        """When the last frame ends."""
        return self._seconds + self._interval

    def time(self, stamp: float) -> float:
        """Return the time of the next frame.

        Parameters
        ----------
        stamp : float
            Its own, in seconds.

        Returns
        -------
        float
            Seconds, not less than that of the previous frame.
        """
        before, self._last = self._last, stamp
        if math.isfinite(stamp) and stamp >= -1e-9:
            # Once two stamps in a row are early, the clock has been set back. A single one is
            # missing, or two frames are swapped.
            if before < stamp < self._newest - _RESTART:
                self._offset, self._newest = self._seconds - before, before
            if stamp > self._newest:
                self._count_missing(stamp - self._newest)
                self._newest = stamp
                self._seconds = max(stamp + self._offset, self._seconds, 0.0)
                return self._seconds
            self._n_missing -= 1  # one that was repeated in place of another
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


# -- what the bytes of a file say ----------------------------------------------------------

# The first boxes of MP4 and MOV files, and the first bytes of a Matroska or WebM file.
_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"moof", b"pnot")
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
# Its unit of time in nanoseconds, and the time of its first cluster in that unit, as FFmpeg and
# the tools of Matroska write them.
_UNIT = re.compile(rb"\x2a\xd7\xb1\x83(.{3})", re.DOTALL)
_FIRST_CLUSTER = re.compile(
    rb"\x1f\x43\xb6\x75.{1,8}?(?:\xbf\x84.{4})?\xe7(?:\x81(.)|\x82(..)|\x83(...)|\x84(.{4}))",
    re.DOTALL,
)
_SOUND_BRANDS = (b"M4A ", b"M4B ", b"M4P ", b"F4A ")
_VIDEO_TRACK = re.compile(rb"hdlr.{8}vide", re.DOTALL)
_SOUND_TRACK = re.compile(rb"hdlr.{8}soun", re.DOTALL)
_VIDEO_CHUNKS = [b"00dc", b"00db", b"01dc", b"01db"]
# A file names its tracks within this many bytes, if it names them at its start.
_HEAD = 65536
# And a part of an MP4 file is shorter than this.
_LONGEST_PART = 1 << 26


def is_complete(path: Path) -> bool | None:
    """Return whether a file is as long as its container says.

    Parameters
    ----------
    path : Path

    Returns
    -------
    bool or None
        None if the container is not MP4, MOV, AVI, Matroska or WebM, or does not say.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        end = _stated_end(file, size)
    return None if end is None else end <= size


def _stated_end(file, size):
    """Return where a file should end, or None if it does not say."""
    head = file.read(12)
    if head[4:8] in _BOXES:
        return max((end for _, _, end in _boxes(file, 0, size)), default=size)
    if head[:4] == b"RIFF":
        parts = [end for name, _, end in _chunks(file, 0, size) if name == b"RIFF"]
        return max(parts, default=None)
    if head[:4] == _EBML:
        file.seek(4)
        file.seek(_ebml_size(file) or 0, os.SEEK_CUR)
        if file.read(4) == _SEGMENT and (length := _ebml_size(file)) is not None:
            return file.tell() + length
    return None


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of the boxes of an MP4 or MOV file between two positions."""
    while start + 8 <= end:
        file.seek(start)
        length, name = struct.unpack(">I4s", file.read(8))
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8).rjust(8, b"\0"))
        # A length of 0 means: up to the end. What is no box follows the last one.
        if length < 8 or not name.isalnum():
            return
        yield name, start, start + length
        start += length


def _chunks(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of the chunks of an AVI file between two positions."""
    while start + 8 <= end:
        file.seek(start)
        name, length = struct.unpack("<4sI", file.read(8))
        # A recorder that was interrupted has left the length empty.
        if not length:
            return
        yield name, start, start + 8 + length
        start += 8 + length + length % 2


def _ebml_size(file):
    """Read the length of a Matroska element; None if it is not known."""
    first = (file.read(1) or b"\0")[0]
    n_more = 8 - first.bit_length()
    value = int.from_bytes(bytes([first & (127 >> n_more)]) + file.read(n_more), "big")
    return None if value == (1 << 7 * (n_more + 1)) - 1 else value


def shown_seconds(path: Path, facts: Facts) -> float | None:
    """Return how long a file should play, from where it says so exactly.

    The headers of MP4 and MOV files count frames that an edit list hides, as when a phone trims a
    video. The number of frames in the header of an AVI file may be wrong; its index is not. The
    duration of a Matroska file includes the time before its first frame.

    Parameters
    ----------
    path : Path
    facts : Facts
        What its header says.

    Returns
    -------
    float or None
        What the header says, if there is nothing better.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(12)
        if head[4:8] in _BOXES:
            return _edited_seconds(file, size) or facts.seconds
        if head[:4] == b"RIFF" and (n_frames := _n_indexed(file, size)):
            return n_frames / facts.rate
        if head[:4] == _EBML and facts.seconds is not None:
            head += file.read(_HEAD)
            unit, first = _UNIT.search(head), _FIRST_CLUSTER.search(head)
            nanoseconds = 1_000_000 if unit is None else _integer(unit[1], 0, 3)
            start = 0 if first is None else _integer(next(filter(None, first.groups())), 0, 4)
            return facts.seconds - start * nanoseconds / 1e9
    return facts.seconds


def _edited_seconds(file, size):
    """Return the duration of the edit list of the first video track, or None."""
    for track, units in _video_tracks(file, size):
        if b"elst" not in track:
            continue
        place = track.index(b"elst") + 12
        width = 8 if track[place - 8] else 4
        n_edits = _integer(track, place - 4, 4)
        edits = range(place, place + n_edits * (2 * width + 4), 2 * width + 4)
        # An edit without media, at a time of -1, delays the rest.
        shown = [i for i in edits if track[i + width : i + width + 1] != b"\xff"]
        return sum(_integer(track, i, width) for i in shown) / units or None
    return None


def _mirror(path):
    """Return the matrix of the first video track of an MP4 or MOV file if it is mirrored."""
    with open(path, "rb") as file:
        if file.read(8)[4:] not in _BOXES:
            return None
        for track, _ in _video_tracks(file, path.stat().st_size):
            place = track.index(b"tkhd") + 4
            numbers = struct.unpack_from(">5i", track, place + (52 if track[place] else 40))
            a, b, _, c, d = (round(number / 65536) for number in numbers)
            is_mirror = (abs(a), abs(b)) == (abs(d), abs(c)) in ((1, 0), (0, 1))
            return (a, b, c, d) if is_mirror and a * d - b * c < 0 else None
    return None


def _video_tracks(file, size):
    """Yield the video tracks of an MP4 or MOV file, and their units of time in a second."""
    for name, start, end in _boxes(file, 0, size):
        if name != b"moov":
            continue
        file.seek(start)
        movie, units = file.read(end - start), 0
        for name, first, last in _boxes(io.BytesIO(movie), 8, len(movie)):
            content = movie[first:last]
            if name == b"mvhd":
                units = _integer(content, 20 + 8 * content[8], 4)
            elif name == b"trak" and units and _VIDEO_TRACK.search(content):
                yield content, units


def _integer(content, start, width):
    return int.from_bytes(content[start : start + width], "big")


def n_indexed(path: Path) -> int | None:
    """Return how many frames the index of an AVI file lists, or None if there is none.

    Parameters
    ----------
    path : Path
    """
    with open(path, "rb") as file:
        return _n_indexed(file, path.stat().st_size) if file.read(4) == b"RIFF" else None


def _n_indexed(file, size):
    # Files of several parts have an index in each of them.
    if len(list(_chunks(file, 0, size))) != 1:
        return None
    for name, start, end in _chunks(file, 12, size):
        if name == b"idx1":
            file.seek(start + 8)
            n_entries = (end - start - 8) // 16
            names = np.frombuffer(file.read(16 * n_entries), "S4")[::4]
            return int(np.isin(names, _VIDEO_CHUNKS).sum())
    return None


def lists_frames(path: Path) -> bool:
    """Return whether a file is MP4, MOV or AVI, which list their frames."""
    with open(path, "rb") as file:
        head = file.read(8)
        return head[4:] in _BOXES or head[:4] == b"RIFF"


def is_fragmented(path: Path) -> bool:
    """Return whether a file is an MP4 file in parts, which is complete after each of them."""
    with open(path, "rb") as file:
        return any(name == b"moof" for name, _, _ in _boxes(file, 0, path.stat().st_size))


def has_lost_fragments(path: Path) -> bool:
    """Return whether an MP4 file contains parts behind a damage that hides them."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        boxes = list(_boxes(file, 0, size))
        if not boxes or boxes[0][0] not in _BOXES or (end := boxes[-1][2]) >= size:
            return False
        file.seek(end)
        # Their names are found within the first parts.
        return b"moof" in file.read(_LONGEST_PART)


# What tells a file of sound, and how its tracks show that they are video or sound.
_SOUND_STARTS = (b"fLaC", b"ID3", b"#!AMR", b"\x0b\x77", b"caff")
_ASF = bytes.fromhex("3026b2758e66cf11")
_TRACKS = {
    b"RIFF": (re.compile(b"strh.{4}vids", re.DOTALL), re.compile(b"strh.{4}auds", re.DOTALL)),
    _EBML: (re.compile(rb"\x86.V_[A-Z]", re.DOTALL), re.compile(rb"\x86.A_[A-Z]", re.DOTALL)),
    _ASF[:4]: (
        re.compile(re.escape(bytes.fromhex("c0ef19bc4d5bcf11"))),
        re.compile(re.escape(bytes.fromhex("409e69f84d5bcf11"))),
    ),
}


def is_sound(path: Path) -> bool:
    """Return whether a file contains sound and no video.

    FFmpeg takes the cover of an album for a video of one frame.

    Parameters
    ----------
    path : Path
    """
    with open(path, "rb") as file:
        head = file.read(_HEAD)
        is_mpeg = head[:1] == b"\xff" and head[1:2] >= b"\xe0"
        is_ogg = head[:4] == b"OggS" and head[28:35] in (b"OpusHea", b"\x01vorbis")
        is_m4a = head[4:8] == b"ftyp" and head[8:12] in _SOUND_BRANDS
        is_wave = head[:4] in (b"RIFF", b"FORM") and head[8:12] in (b"WAVE", b"AIFF", b"AIFC")
        if is_mpeg or is_ogg or is_m4a or is_wave or head.startswith(_SOUND_STARTS):
            return True
        if head[4:8] in _BOXES:
            for name, start, end in _boxes(file, 0, path.stat().st_size):
                if name == b"moov":
                    file.seek(start)
                    tracks = file.read(end - start)
                    return not _VIDEO_TRACK.search(tracks) and bool(_SOUND_TRACK.search(tracks))
        video, sound = _TRACKS.get(head[:4], (None, None))
        return bool(video and sound and not video.search(head) and sound.search(head))
