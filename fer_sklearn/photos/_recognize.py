"""From photos to emotions: faces are found in threads ahead and classified in batches."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .._utils.tables import row_columns
from .._utils.typing import FloatArray, LabelArray, PixelArray
from ..exceptions import ImageReadError
from ..images import as_photo
from ._rows import NO_FACE, OK, UNREADABLE
from ._sources import PhotoSource, reason_of

__all__ = ["PhotoResult", "iter_photo_batches"]

_UNREADABLE = f"{UNREADABLE}: "
_BOX = ("left", "top", "width", "height")
# A batch that is not full is classified anyway once it holds this many bytes, or has waited this
# many seconds: photos may be large and slow, and the first results should not wait for all.
_MAX_BYTES, _MAX_SECONDS = 2**27, 5.0
# Photos read ahead per thread; fewer if whole photos are kept, since these take more memory.
_AHEAD, _AHEAD_WHOLE = 3, 1


@dataclass(frozen=True, eq=False)
class PhotoResult:
    """The faces of one photo and their emotions.

    Attributes
    ----------
    source : PhotoSource
        The photo.
    status : str
        ``"ok"``, ``"no face"`` or ``"unreadable: <reason>"``.
    classes : list of str
        The labels, in the order of the columns of `y_proba`.
    boxes : ndarray of shape (n_faces, 4), float64
        Left, top, width and height of each face in pixels of the photo.
    scores : ndarray of shape (n_faces,), float64
        Detection scores; NaN if the detector has none.
    labels : ndarray of shape (n_faces,), str
        The emotions.
    y_proba : ndarray of shape (n_faces, n_classes), float64
        Class probabilities; NaN if the estimator has none.
    photo : ndarray of shape (h, w) or (h, w, 3), uint8, or None
        The pixels, if they were kept and could be read.
    """

    source: PhotoSource
    status: str
    classes: list[str]
    boxes: FloatArray
    scores: FloatArray
    labels: LabelArray
    y_proba: FloatArray
    photo: PixelArray | None = None

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of the photo, as :func:`~fer_sklearn.predict_photos` describes them.

        Returns
        -------
        list of dict
            One per face, or a single one whose `status` says why there is none. Missing values
            are None.
        """
        empty = dict.fromkeys(row_columns(self.classes)) | {
            "source": self.source.name,
            "status": self.status,
        }
        return [empty | self._face(face) for face in range(len(self.boxes))] or [empty]

    def _face(self, face):
        numbers = {
            **dict(zip(_BOX, self.boxes[face], strict=True)),
            "score": self.scores[face],
            **dict(zip(self.classes, self.y_proba[face], strict=True)),
        }
        known = {name: float(value) for name, value in numbers.items() if not np.isnan(value)}
        return {"face": face, "emotion": str(self.labels[face])} | known


class _Detected(NamedTuple):
    """A photo whose faces wait for their batch."""

    source: PhotoSource
    status: str
    boxes: FloatArray
    scores: FloatArray
    crops: list[PixelArray]
    photo: PixelArray | None

    def count_bytes(self):
        return sum(image.nbytes for image in (*self.crops, self.photo) if image is not None)


def iter_photo_batches(
    sources: Iterable[PhotoSource],
    reader: Any,
    *,
    crop_faces: bool = True,
    batch_size: int = 64,
    n_threads: int = 1,
    keep_photos: bool = False,
    on_error: str = "row",
) -> Generator[list[PhotoResult], None, None]:
    """Read photos, find their faces and classify them.

    Parameters
    ----------
    sources : iterable of PhotoSource
    reader : FaceReader
        Its methods `detect` and `crop` are called from `n_threads` threads.
    crop_faces : bool, default=True
        If False, every photo is treated as one face.
    batch_size : int, default=64
        Faces to classify at once; also the number of photos that may wait for that.
    n_threads : int, default=1
        Threads that read photos and find faces. If 1, the calling thread does.
    keep_photos : bool, default=False
        Whether results contain the pixels of their photo.
    on_error : {"row", "raise"}, default="row"
        Whether a photo that cannot be read gets a result that says so, or raises.

    Yields
    ------
    list of PhotoResult
        The photos of one batch. In total, one result per source, in the order of `sources`.

    Raises
    ------
    ImageReadError
        With ``on_error="raise"``.
    """
    import cv2  # noqa: F401 - before threads do, which would see it half imported

    def detect(source):
        detected = _detect(source, reader, crop_faces, keep_photos)
        if on_error == "raise" and detected.status.startswith(UNREADABLE):
            raise ImageReadError(f"{source.name}: {detected.status.removeprefix(_UNREADABLE)}.")
        return detected

    ahead = _AHEAD if crop_faces and not keep_photos else _AHEAD_WHOLE
    waiting, n_faces, n_bytes, start = [], 0, 0, time.monotonic()
    for detected in _map_ahead(detect, sources, n_threads, ahead * n_threads):
        waiting.append(detected)
        n_faces += len(detected.crops)
        n_bytes += detected.count_bytes()
        if (
            max(n_faces, len(waiting)) >= batch_size
            or n_bytes >= _MAX_BYTES
            or time.monotonic() - start >= _MAX_SECONDS
        ):
            yield _classify(waiting, reader, batch_size)
            waiting, n_faces, n_bytes, start = [], 0, 0, time.monotonic()
    if waiting:
        yield _classify(waiting, reader, batch_size)


def _map_ahead(function: Callable, items: Iterable, n_threads: int, n_ahead: int) -> Iterator:
    """Yield `function` of every item in order, a few calls ahead in threads."""
    if n_threads == 1:
        yield from map(function, items)
        return
    pending: deque = deque()
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="photos")
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= n_ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _detect(source, reader, crop_faces, keep_photos):
    """Read one photo, find its faces and crop them."""

    def unreadable(reason):
        status = f"{_UNREADABLE}{reason}"
        return _Detected(source, status, np.empty((0, 4)), np.empty(0), [], None)

    if source.problem:
        return unreadable(source.problem)
    names = [source.name, *([source.item] if isinstance(source.item, str) else [])]
    try:
        photo = as_photo(source.item, name=source.name)
    except Exception as error:  # whatever an object of the user's own raises
        return unreadable(reason_of(error, *names))
    try:
        boxes, scores, crops = _find_faces(photo, reader) if crop_faces else _whole(photo)
    except (MemoryError, RecursionError) as error:
        return unreadable(f"too large to be searched ({type(error).__name__})")
    except Exception as error:
        error.add_note(f"It happened in the photo {source.name}.")
        raise
    status = OK if len(boxes) else NO_FACE
    return _Detected(source, status, boxes, scores, crops, photo if keep_photos else None)


def _find_faces(photo, reader):
    faces = reader.detect(photo)
    # A view would keep the whole photo in memory until its batch is full.
    crops = [crop if crop.base is None else crop.copy() for crop in reader.crop(photo, faces)]
    return faces.boxes, faces.scores, crops


def _whole(photo):
    height, width = photo.shape[:2]
    return np.array([[0.0, 0.0, width, height]]), np.array([np.nan]), [photo]


def _classify(detected, reader, batch_size):
    """Return the results of photos whose faces are classified together."""
    crops = [crop for photo in detected for crop in photo.crops]
    predictions = [
        reader.predict(crops[start : start + batch_size])
        for start in range(0, len(crops), batch_size)
    ] or [reader.predict([])]
    labels, y_proba = map(np.concatenate, zip(*predictions, strict=True))
    results, start = [], 0
    for photo in detected:
        rows = slice(start, start := start + len(photo.crops))
        results.append(
            PhotoResult(
                source=photo.source,
                status=photo.status,
                classes=reader.classes,
                boxes=photo.boxes,
                scores=photo.scores,
                labels=labels[rows],
                y_proba=y_proba[rows],
                photo=photo.photo,
            )
        )
    return results
