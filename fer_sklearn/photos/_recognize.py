"""The faces of photos and their emotions: searched ahead in threads, classified in batches."""

import re
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ..images import as_photo, read_image
from ._rows import NO_FACE, OK, UNREADABLE

__all__ = ["PhotoResult", "iter_photo_batches", "row_columns"]

_BOX = ("left", "top", "width", "height")
_BEFORE, _AFTER = ("source", "face", *_BOX, "score", "emotion"), ("status",)
# A batch that is not full is classified none the less once it holds so much, or waited so long:
# photos may be large and slow, and who waits for them wants to see the first.
_MAX_BYTES, _MAX_SECONDS = 2**27, 5.0
# Photos that are searched, or wait searched, for each thread; whole ones take more memory.
_AHEAD, _AHEAD_WHOLE = 3, 1


@dataclass(frozen=True, eq=False)
class PhotoResult:
    """What was found in one photo.

    Attributes
    ----------
    source : PhotoSource
    status : str
        ``"ok"``, ``"no face"`` or ``"unreadable: why"``.
    boxes : ndarray of shape (n, 4), float64
        Left, top, width and height of each face in pixels of the photo.
    scores : ndarray of shape (n,), float64
        The detector's; NaN where it tells none.
    labels : ndarray of shape (n,), str
        The emotions.
    probabilities : ndarray of shape (n, n_classes), float64
        NaN where the model tells none.
    photo : ndarray of shape (h, w) or (h, w, 3), uint8, or None
        The pixels, if they were to be kept and can be read.
    """

    source: object
    status: str
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    photo: np.ndarray | None = None

    def rows(self, classes):
        """Return a dictionary a face, or one that says why there is none.

        Parameters
        ----------
        classes : list of str
            The labels, in the order of the columns of `probabilities`.

        Returns
        -------
        list of dict
            With the keys of :func:`row_columns`; None where there is nothing to tell.
        """
        empty = dict.fromkeys(row_columns(classes)) | {
            "source": self.source.name,
            "status": self.status,
        }
        return [empty | self._face(face, classes) for face in range(len(self.boxes))] or [empty]

    def _face(self, face, classes):
        numbers = {
            **dict(zip(_BOX, self.boxes[face], strict=True)),
            "score": self.scores[face],
            **dict(zip(classes, self.probabilities[face], strict=True)),
        }
        told = {name: float(value) for name, value in numbers.items() if not np.isnan(value)}
        return {"face": face, "emotion": str(self.labels[face])} | told


def row_columns(classes):
    """Return the keys of a row: source, face, box, score, emotion, the classes and status.

    Raises
    ------
    ValueError
        If a class is called like another column.
    """
    classes = [str(label) for label in classes]
    taken = sorted({*_BEFORE, *_AFTER}.intersection(classes))
    if taken:
        raise ValueError(
            f"model has the class(es) {', '.join(map(repr, taken))}, which are names of other "
            f"columns of the result; expected other names. Train it with other labels."
        )
    return [*_BEFORE, *classes, *_AFTER]


@dataclass(frozen=True, eq=False)
class _Found:
    """A photo that was searched: what waits for its batch."""

    source: object
    status: str
    boxes: np.ndarray
    scores: np.ndarray
    pictures: list
    photo: np.ndarray | None

    @property
    def n_bytes(self):
        held = [*self.pictures, *([] if self.photo is None else [self.photo])]
        return sum(picture.nbytes for picture in held)


def iter_photo_batches(
    sources, reader, *, crop_faces=True, batch_size=64, n_threads=1, keep_photos=False
):
    """Read, search and classify photos one after the other.

    Parameters
    ----------
    sources : iterable of PhotoSource
    reader : FaceReader
        With `find` and `cut`, called from `n_threads` threads, and `classify`.
    crop_faces : bool, default=True
        False takes every photo for one face.
    batch_size : int, default=64
        Faces that are classified at a time, and photos that wait for it at most.
    n_threads : int, default=1
        Photos that are read and searched at a time. 1 does so in the calling thread.
    keep_photos : bool, default=False
        Whether results have the pixels of their photo.

    Yields
    ------
    list of PhotoResult
        Those of a batch; in all, one for each source, in their order.
    """

    def search(source):
        return _search(source, reader, crop_faces, keep_photos)

    ahead = _AHEAD if crop_faces and not keep_photos else _AHEAD_WHOLE
    held, n_faces, n_bytes, began = [], 0, 0, time.monotonic()
    for found in _map_ahead(search, sources, n_threads, ahead * n_threads):
        held.append(found)
        n_faces += len(found.pictures)
        n_bytes += found.n_bytes
        if (
            max(n_faces, len(held)) >= batch_size
            or n_bytes >= _MAX_BYTES
            or time.monotonic() - began >= _MAX_SECONDS
        ):
            yield _classify(held, reader, batch_size)
            held, n_faces, n_bytes, began = [], 0, 0, time.monotonic()
    if held:
        yield _classify(held, reader, batch_size)


def _map_ahead(function, items, n_threads, n_ahead):
    """Yield `function` of every item in order, a few calls ahead in threads."""
    if n_threads == 1:
        yield from map(function, items)
        return
    pending = deque()
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


def _search(source, reader, crop_faces, keep_photos):
    """Read one photo, find its faces and cut them out."""
    nothing = np.empty((0, 4)), np.empty(0), []
    if source.problem:
        return _Found(source, f"{UNREADABLE}: {source.problem}", *nothing, None)
    try:
        photo = _read(source)
    except (ValueError, TypeError, OSError) as error:
        return _Found(source, f"{UNREADABLE}: {_reason(error, source)}", *nothing, None)
    try:
        boxes, scores, pictures = _faces(photo, reader) if crop_faces else _whole(photo)
    except Exception as error:
        error.add_note(f"It happened in the photo {source.name}.")
        raise
    status = OK if len(boxes) else NO_FACE
    return _Found(source, status, boxes, scores, pictures, photo if keep_photos else None)


def _read(source):
    if isinstance(source.item, (bytes, bytearray, memoryview)):
        return read_image(source.item)
    return as_photo(source.item, name=source.name)


def _faces(photo, reader):
    faces = reader.find(photo)
    # A view would hold the whole photo until its batch is full.
    pictures = [
        picture if picture.base is None else picture.copy() for picture in reader.cut(photo, faces)
    ]
    return faces.boxes, faces.scores, pictures


def _whole(photo):
    height, width = photo.shape[:2]
    return np.array([[0.0, 0.0, width, height]]), np.array([np.nan]), [photo]


def _reason(error, source):
    """Return the first sentence of an error without the name of the photo, which a row has."""
    text = " ".join(str(error).split())
    name = source.item if isinstance(source.item, str) else source.name
    for prefix in (f"{name}:", "the image:", name):
        text = text.removeprefix(prefix).lstrip()
    return re.split(r"\. (?=[A-Z])", text)[0].rstrip(".") or type(error).__name__


def _classify(held, reader, batch_size):
    """Return the results of photos whose faces are classified together."""
    pictures = [picture for found in held for picture in found.pictures]
    answers = [
        reader.classify(pictures[start : start + batch_size])
        for start in range(0, len(pictures), batch_size)
    ] or [reader.classify([])]
    labels, probabilities = map(np.concatenate, zip(*answers, strict=True))
    results, start = [], 0
    for found in held:
        rows = slice(start, start := start + len(found.pictures))
        answer = labels[rows], probabilities[rows]
        results.append(
            PhotoResult(found.source, found.status, found.boxes, found.scores, *answer, found.photo)
        )
    return results
