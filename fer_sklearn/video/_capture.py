"""Open films, cameras and streams with OpenCV, quietly, and say in a line why one fails."""

import os
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..exceptions import VideoReadError

__all__ = [
    "check_source",
    "is_live",
    "open_capture",
    "source_name",
    "to_rgb",
]


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
