"""Read from video files what OpenCV does not report: lengths, edits, tracks and lost frames."""

from __future__ import annotations

import io
import mmap
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

__all__ = [
    "frames_in_place",
    "has_lost_fragments",
    "is_complete",
    "is_fragmented",
    "is_sound",
    "lists_frames",
    "mirror_matrix",
    "n_indexed",
    "shown_seconds",
]

# The first boxes of MP4 and MOV files, and the first bytes of a Matroska or WebM file.
_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"moof", b"pnot")
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
# Elements of Matroska files: those that contain others, and those that are read.
_CLUSTER, _TRACK = b"\x1f\x43\xb6\x75", b"\xae"
_PARENTS = (_SEGMENT, _CLUSTER, _TRACK, b"\xa0", b"\x15\x49\xa9\x66", b"\x16\x54\xae\x6b")
_UNIT, _NUMBER, _KIND, _TIME = b"\x2a\xd7\xb1", b"\xd7", b"\x83", b"\xe7"
_BLOCKS = (b"\xa3", b"\xa1")
# Streams that may be cut anywhere: their lengths are those of the remaining part.
_STREAMS = (b"\x00\x00\x01\xba", b"\x47")
_ASF = bytes.fromhex("3026b2758e66cf11")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
# The header of an Ogg page, and its flags for the first and the last page of a stream.
_OGG, _OGG_HEADER, _FIRST_PAGE, _LAST_PAGE = b"OggS", 27, 2, 4
# The parts of a GIF file, and of FLV files: audio, video and data.
_GIF_IMAGE, _GIF_EXTENSION, _GIF_END = 0x2C, 0x21, 0x3B
_FLV_TAGS = (8, 9, 18)
# The entry in which an FLV file may state its size.
_FLV_SIZE = re.compile(rb"\0\x08filesize\0(.{8})", re.DOTALL)
# No frame or padding contains this many zeros.
_MOST_ZEROS = 2**14
_SOUND_BRANDS = (b"M4A ", b"M4B ", b"M4P ", b"F4A ")
_VIDEO_TRACK = re.compile(rb"hdlr.{8}vide", re.DOTALL)
_SOUND_TRACK = re.compile(rb"hdlr.{8}soun", re.DOTALL)
_VIDEO_CHUNKS = [b"00dc", b"00db", b"01dc", b"01db"]
# An entry of the index of an AVI file.
_ENTRY = np.dtype([("name", "S4"), ("flags", "<u4"), ("place", "<u4"), ("size", "<u4")])
# The first frames of a file, of which one is not damaged.
_ENOUGH = 100
# A file names its tracks within this many bytes, if it names them at its start.
_HEAD = 65536
# Parts of an MP4 file are shorter than this.
_LONGEST_PART = 1 << 26
_LONGEST_FILE = 1 << 53


def is_complete(path: Path) -> bool | None:
    """Return whether a file is as long as its container says.

    Parameters
    ----------
    path : Path

    Returns
    -------
    bool or None
        None if the container is not MP4, MOV, AVI, Matroska, WebM, FLV, Ogg, WMV, GIF or PNG, or
        does not state its length.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        end = _stated_end(file, size)
        # Bytes after the end do not count.
        if _ends_in_zeros(file, size if end is None else min(end, size)):
            return False
    return None if end is None else end <= size


def _ends_in_zeros(file, size):
    """Return whether the last of these bytes were never written, as after an interrupted copy.

    MP4 and MOV files, and AVI files with an index, may be padded; they list their frames.
    """
    file.seek(0)
    head = file.read(8)
    if head[4:] in _BOXES or (head[:4] == b"RIFF" and len(_video_chunks(file, size))):
        return False
    file.seek(max(0, size - _MOST_ZEROS))
    return size > _MOST_ZEROS and not any(file.read())


def _stated_end(file, size):
    """Return where a file should end, or None if it does not state it."""
    file.seek(0)
    head = file.read(12)
    if head[4:8] in _BOXES:
        ends = (end for name, _, end in _boxes(file, 0, size) if name in _BOXES)
        return max(ends, default=size)
    if head[:4] == b"RIFF":
        parts = [end for name, _, end in _chunks(file, 0, size) if name == b"RIFF"]
        return max(parts, default=None)
    if head[:4] == _EBML:
        file.seek(4)
        file.seek(_ebml_size(file) or 0, os.SEEK_CUR)
        if file.read(4) == _SEGMENT:
            if (length := _ebml_size(file)) is not None:
                return file.tell() + length
            # A recorder that was killed states no length, but its last frame may be incomplete.
            return None if _first_and_last(file)[2] else size + 1
    if head.startswith(_ASF):
        start = (head + file.read(_HEAD)).find(_ASF_FILE) + 40
        file.seek(start)
        return int.from_bytes(file.read(8), "little") or None if start >= 40 else None
    if head[:3] == b"FLV":
        stated = _FLV_SIZE.search(file.read(_HEAD))
        length = 0.0 if stated is None else struct.unpack(">d", stated.group(1))[0]
        is_length = 1 <= length < _LONGEST_FILE  # not NaN, for example
        return max(_end_of_tags(file, size), int(length) if is_length else size)
    if head[:4] == _OGG:
        return _read_ogg(file)[0] or size + 1
    if head.startswith((b"GIF8", b"\x89PNG")):
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _end_of_gif(data) if head.startswith(b"GIF8") else _end_of_png(data)
    return None


def _end_of_tags(file, size):
    """Return where the last tag of an FLV file ends, which may be beyond the end of the file."""
    place = 13
    while place < size:
        file.seek(place)
        tag = file.read(4)
        if tag[0] not in _FLV_TAGS:
            break
        place += 15 + _integer(tag, 1, 3)
    return place


def _end_of_gif(data):
    """Return where an animation ends; beyond its data if it was cut."""
    place = 13 + _length_of_colors(data, 10)
    while place < len(data) and (kind := data[place]) in (_GIF_IMAGE, _GIF_EXTENSION, _GIF_END):
        if kind == _GIF_END:
            return place + 1
        place += 11 + _length_of_colors(data, place + 9) if kind == _GIF_IMAGE else 2
        while place < len(data) and data[place]:
            place += 1 + data[place]
        place += 1
    return len(data) + 1


def _length_of_colors(data, place):
    flags = _integer(data, place, 1)
    return 3 * 2 ** (flags % 8 + 1) if flags >= 128 else 0


def _end_of_png(data):
    """Return where an animation ends; beyond its data if it was cut."""
    place, name = 8, b""
    while name != b"IEND" and place < len(data):
        name = data[place + 4 : place + 8]
        place += 12 + _integer(data, place, 4)
    return place if name == b"IEND" else len(data) + 1


def _read_ogg(file):
    """Return where the last page ends, or None if a stream lacks it, and whether all are there."""
    streams, place, end, is_whole = set(), 0, 0, True
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        while place >= 0 and len(header := data[place : place + _OGG_HEADER]) == _OGG_HEADER:
            flags, stream, n_segments = header[5], header[14:18], header[26]
            start = place + _OGG_HEADER + n_segments
            stop = start + sum(data[start - n_segments : start])
            if header.startswith(_OGG) and stop <= len(data):
                if flags & _FIRST_PAGE:
                    streams.add(stream)
                if flags & _LAST_PAGE:
                    streams.discard(stream)
                place = end = stop
            else:
                place = data.find(_OGG, place + 1)
                is_whole &= place < 0
    return None if streams else end, is_whole


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of the boxes of an MP4 or MOV file between two positions."""
    while start + 8 <= end:
        file.seek(start)
        length, name = struct.unpack(">I4s", file.read(8))
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8).rjust(8, b"\0"))
        # A length of 0 means "up to the end". Bytes after the last box are ignored.
        if length < 8 or not name.isalnum():
            return
        yield name, start, start + length
        start += length


def _chunks(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of the chunks of an AVI file between two positions."""
    while start + 8 <= end:
        file.seek(start)
        name, length = struct.unpack("<4sI", file.read(8))
        # An interrupted recorder leaves the length empty.
        if not length:
            return
        yield name, start, start + 8 + length
        start += 8 + length + length % 2


def _ebml_size(file):
    """Read the length of a Matroska element; None if it is not known."""
    start = file.tell()
    value, length = _ebml_number(file.read(8), 0)
    file.seek(start + length)
    return value


def _ebml_number(data, place):
    """Return a number of variable length (None if it is unknown) and the position after it."""
    n_more = 8 - data[place].bit_length() if place < len(data) else 8
    end = place + n_more + 1
    value = _integer(data, place, n_more + 1) & ((1 << 7 * (n_more + 1)) - 1)
    return (None if value == (1 << 7 * (n_more + 1)) - 1 else value), end


def shown_seconds(path: Path, stated: float | None, rate: float) -> float | None:
    """Return how long the video in a file should be, from the most reliable part of the file.

    The headers of MP4 and MOV files count frames that an edit list hides, as when a phone trims a
    video. The number of frames in the header of an AVI file may be wrong; its index is not. Others
    state the length of the longest track, which may be sound.

    Parameters
    ----------
    path : Path
    stated : float or None
        The length in the header.
    rate : float
        Frames per second.

    Returns
    -------
    float or None
        The length in the header if there is no better source; None if it is not that of the video.
    """
    size, is_whole = path.stat().st_size, is_complete(path)
    with open(path, "rb") as file:
        head = file.read(12)
        if head[4:8] in _BOXES:
            return _edited_seconds(file, size) or stated
        if head[:4] == b"RIFF" and (n_frames := len(_video_chunks(file, size))):
            return n_frames / rate
        if head[:4] == _EBML:
            first, last, _ = _first_and_last(file, _stated_end(file, size))
            if last is not None and is_whole is not False:
                return last - first + 1 / rate
            return None if stated is None else stated - first
        if head.startswith(_OGG):
            # FFmpeg takes the time of the last page present, audio or video. It gives up at larger
            # damage.
            end, has_all = _read_ogg(file)
            return stated if end is not None and not has_all else None
        is_stream = head.startswith(_STREAMS) or head[4:5] == _STREAMS[1]
        return None if is_stream or is_whole else stated


def _first_and_last(file, stated_end=None):
    """Return the times of the first and the last frame of the first video of a Matroska file.

    The last one is None if it comes after a damaged part. Return also whether the last element is
    complete. Bytes after the end that the file states do not count.
    """
    unit, number, video, time, first, last = 1_000_000, 0, None, 0, None, None
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        place, size = 0, min(len(data), stated_end or len(data))
        while place < size:
            start = place + 9 - data[place].bit_length()
            name = data[place:start]
            length, start = _ebml_number(data, start)
            if len(name) > 4 or (length is None and name not in _PARENTS):
                end = size + 1
            else:
                end = start if name in _PARENTS else start + length
            if end > size:
                # Damaged: continue with the next cluster, if there is one.
                last, place = None, data.find(_CLUSTER, place + 1, size)
                if place < 0:
                    break
                continue
            if name == _UNIT:
                unit = _integer(data, start, length)
            elif name == _NUMBER:
                number = _integer(data, start, length)
            elif name == _KIND and data[start] == 1 and video is None:
                video = number
            elif name == _TIME:
                time = _integer(data, start, length)
            elif name in _BLOCKS:
                track, start = _ebml_number(data, start)
                if track == video:
                    last = time + int.from_bytes(data[start : start + 2], "big", signed=True)
                    first = last if first is None else first
            place = end
    seconds = unit / 1e9
    return (first or 0) * seconds, None if last is None else last * seconds, place >= 0


def _edited_seconds(file, size):
    """Return the duration of the edit list of the first video track, or None."""
    for track, units in _video_tracks(file, size):
        if b"elst" not in track:
            continue
        place = track.index(b"elst") + 12
        width = 8 if _integer(track, place - 8, 1) else 4
        n_edits = _integer(track, place - 4, 4)
        end = min(place + n_edits * (2 * width + 4), len(track))
        edits = range(place, end, 2 * width + 4)
        # An edit without media, at a time of -1, delays the rest.
        shown = [i for i in edits if track[i + width : i + width + 1] != b"\xff"]
        return sum(_integer(track, i, width) for i in shown) / units or None
    return None


def mirror_matrix(path: Path) -> tuple[int, int, int, int] | None:
    """Return how the first video track of an MP4 or MOV file is mirrored for display.

    Parameters
    ----------
    path : Path

    Returns
    -------
    tuple of 4 int or None
        (a, b, c, d): a pixel at (x, y) moves to (ax + cy, bx + dy). None if it is not mirrored.
    """
    with open(path, "rb") as file:
        if file.read(8)[4:] not in _BOXES:
            return None
        for track, _ in _video_tracks(file, path.stat().st_size):
            place = track.find(b"tkhd") + 4
            start = place + (52 if _integer(track, place, 1) else 40)
            if place < 4 or start + 20 > len(track):
                return None
            numbers = struct.unpack_from(">5i", track, start)
            a, b, _, c, d = (round(number / 65536) for number in numbers)
            is_mirror = (abs(a), abs(b)) == (abs(d), abs(c)) in ((1, 0), (0, 1))
            return (a, b, c, d) if is_mirror and a * d - b * c < 0 else None
    return None


def _video_tracks(file, size):
    """Yield the video tracks of an MP4 or MOV file, and their units of time per second."""
    for name, start, end in _boxes(file, 0, size):
        if name != b"moov":
            continue
        file.seek(start)
        movie, units = file.read(min(end, size) - start), 0
        for name, first, last in _boxes(io.BytesIO(movie), 8, len(movie)):
            content = movie[first:last]
            if name == b"mvhd":
                units = _integer(content, 20 + 8 * _integer(content, 8, 1), 4)
            elif name == b"trak" and units and _VIDEO_TRACK.search(content):
                yield content, units


def _integer(content, start, width):
    return int.from_bytes(content[start : start + width], "big")


def n_indexed(path: Path) -> int | None:
    """Return how many frames the index of an AVI file lists, or None if there is none.

    Empty frames, which show the previous image for longer, are not counted.

    Parameters
    ----------
    path : Path
    """
    with open(path, "rb") as file:
        if file.read(4) != b"RIFF":
            return None
        chunks = _video_chunks(file, path.stat().st_size)
        return int(np.count_nonzero(chunks["size"])) if len(chunks) else None


def frames_in_place(path: Path) -> Iterator[bool]:
    """Yield for each frame of an AVI file whether it is where the index of the file says.

    FFmpeg skips a frame that is not, because its file is damaged, and does not count it, although
    an AVI file contains no times. Nothing is yielded for other files, nor for empty frames.

    Parameters
    ----------
    path : Path

    Yields
    ------
    bool
    """
    with open(path, "rb") as file:
        size = path.stat().st_size
        if file.read(4) != b"RIFF":
            return
        chunks = [chunk for chunk in _video_chunks(file, size) if chunk["size"]]
        # Positions are counted from the start of the file, or from the list of chunks.
        for base in (0, *_places_of_lists(file, size)):
            if any(_is_chunk(file, base, chunk) for chunk in chunks[:_ENOUGH]):
                yield from (_is_chunk(file, base, chunk) for chunk in chunks)
                return


def _places_of_lists(file, size):
    for name, start, _ in list(_chunks(file, 12, size)):
        file.seek(start + 8)
        if name == b"LIST" and file.read(4) == b"movi":
            yield start + 8


def _is_chunk(file, base, chunk):
    file.seek(base + int(chunk["place"]))
    return file.read(8) == struct.pack("<4sI", chunk["name"], chunk["size"])


def _video_chunks(file, size):
    """Return the frames in the index of an AVI file: their names, positions and sizes in bytes."""
    # Files of several parts have an index in each of them.
    if [name for name, _, _ in _chunks(file, 0, size)].count(b"RIFF") == 1:
        for name, start, end in _chunks(file, 12, size):
            if name == b"idx1":
                file.seek(start + 8)
                content = file.read(min(end, size) - start - 8)
                entries = np.frombuffer(content[: len(content) // 16 * 16], _ENTRY)
                return entries[np.isin(entries["name"], _VIDEO_CHUNKS)]
    return np.empty(0, _ENTRY)


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
    """Return whether an MP4 file contains parts that are hidden by a damaged one before them."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        boxes = list(_boxes(file, 0, size))
        if not boxes or boxes[0][0] not in _BOXES or (end := boxes[-1][2]) >= size:
            return False
        file.seek(end)
        # Their names are found within the first parts.
        return b"moof" in file.read(_LONGEST_PART)


# Signatures of audio files, and the marks of video and audio tracks.
_SOUND_STARTS = (b"fLaC", b"ID3", b"#!AMR", b"\x0b\x77", b"caff")
_TRACKS = {
    b"RIFF": (re.compile(b"strh.{4}vids", re.DOTALL), re.compile(b"strh.{4}auds", re.DOTALL)),
    _EBML: (re.compile(rb"\x86.V_[A-Z]", re.DOTALL), re.compile(rb"\x86.A_[A-Z]", re.DOTALL)),
    _OGG: (re.compile(rb"\x80theora|OVP80|BBCD\0|\x01video"), re.compile(rb"OpusHead|\x01vorbis")),
    _ASF[:4]: (
        re.compile(re.escape(bytes.fromhex("c0ef19bc4d5bcf11"))),
        re.compile(re.escape(bytes.fromhex("409e69f84d5bcf11"))),
    ),
}


def is_sound(path: Path) -> bool:
    """Return whether a file contains sound and no video.

    FFmpeg mistakes an album cover for a video of one frame.

    Parameters
    ----------
    path : Path
    """
    with open(path, "rb") as file:
        head = file.read(_HEAD)
        is_mpeg = head[:1] == b"\xff" and head[1:2] >= b"\xe0"
        is_m4a = head[4:8] == b"ftyp" and head[8:12] in _SOUND_BRANDS
        is_wave = head[:4] in (b"RIFF", b"FORM") and head[8:12] in (b"WAVE", b"AIFF", b"AIFC")
        if is_mpeg or is_m4a or is_wave or head.startswith(_SOUND_STARTS):
            return True
        if head[4:8] in _BOXES:
            size = path.stat().st_size
            for name, start, end in _boxes(file, 0, size):
                if name == b"moov":
                    file.seek(start)
                    tracks = file.read(min(end, size) - start)
                    return not _VIDEO_TRACK.search(tracks) and bool(_SOUND_TRACK.search(tracks))
        video, sound = _TRACKS.get(head[:4], (None, None))
        return bool(video and sound and not video.search(head) and sound.search(head))
