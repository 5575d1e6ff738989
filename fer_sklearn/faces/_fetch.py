"""Get YuNet's model file from OpenCV Zoo, and make sure that it is that file."""

import hashlib
import urllib.request
from pathlib import Path

from .._utils.files import atomic_write, data_home

__all__ = ["checked_bytes", "fetch_yunet", "yunet_path"]

FILE = "face_detection_yunet_2023mar.onnx"
# As the Git LFS pointer of models/face_detection_yunet/face_detection_yunet_2023mar.onnx tells
# in https://github.com/opencv/opencv_zoo, commit 82b38c8f98e7b52aa171400f3e4c722352d0669f.
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
SIZE = 232_589
# The repository, and its mirror by the same authors.
URLS = (
    f"https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/{FILE}",
    f"https://huggingface.co/opencv/face_detection_yunet/resolve/main/{FILE}",
)
_TIMEOUT_SECONDS = 30


def fetch_yunet(folder=None):
    """Download YuNet's model file once, for :class:`YuNetDetector`.

    The file, ``face_detection_yunet_2023mar.onnx`` of OpenCV Zoo, has 0.2 MB and is under
    the MIT licence. It is kept only if its SHA-256 is the published one.

    Parameters
    ----------
    folder : str, path-like or None, default=None
        Where to keep it. None means the environment variable ``FER_SKLEARN_DATA``, or
        ``~/fer_sklearn_data`` where that is not set; there, ``YuNetDetector()`` finds it.
        It is made if it does not exist.

    Returns
    -------
    Path
        The file. If it is there and intact, nothing is downloaded.

    Raises
    ------
    ConnectionError
        If it cannot be downloaded, or what comes is another file. The message says how
        to get it by hand.
    """
    path = yunet_path(folder)
    if path.exists() and _is_intact(path.read_bytes()):
        return path
    problems = []
    for url in URLS:
        try:
            data = _download(url)
        except (OSError, ValueError) as error:
            problems.append(f"{url}: {getattr(error, 'reason', None) or error}")
            continue
        if _is_intact(data):
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as file:
                file.write(data)
            return path
        problems.append(f"{url}: {len(data)} bytes that are not the published file")
    raise ConnectionError(
        f"YuNet's model file could not be downloaded ({'; '.join(problems)}). Check the network, "
        f"or put the file {FILE} (SHA-256 {SHA256[:12]}…) from one of these addresses into "
        f"{path.parent} by hand."
    )


def yunet_path(folder=None):
    """Return where YuNet's model file is, or would be."""
    return data_home(folder) / FILE


def checked_bytes(path):
    """Return the contents of YuNet's model file.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    ValueError
        If it is not the published file.
    """
    data = Path(path).read_bytes()
    if not _is_intact(data):
        raise ValueError(
            f"{path} is not the file that OpenCV Zoo publishes: it has {len(data)} bytes and the "
            f"SHA-256 {hashlib.sha256(data).hexdigest()[:12]}…; expected {SIZE} bytes and "
            f"{SHA256[:12]}…. Call fer_sklearn.fetch_yunet(), which replaces it; to use a file of "
            f"your own, pass YuNetDetector(model=...)."
        )
    return data


def _is_intact(data):
    return hashlib.sha256(data).hexdigest() == SHA256


def _download(url):
    with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response:
        # Whatever is longer is another file.
        return response.read(SIZE + 1)
