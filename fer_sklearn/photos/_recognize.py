"""Recognise emotions in photos: find faces ahead in threads, and classify them in batches."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from .._utils.compat import import_opencv
from .._utils.tables import html_page, row_columns, text_table
from .._utils.typing import (
    ArrayLike,
    Estimator,
    FloatArray,
    ImageLike,
    LabelArray,
    PixelArray,
)
from ..exceptions import ImageReadError
from ..face_reader import FaceReader, ReadsFaces, as_face_reader
from ..faces._detect import Detector
from ..faces._faces import as_faces
from ..images import as_photo, resize
from ._rows import NO_FACE, OK, UNREADABLE
from ._sources import PhotoSource, reason_of

__all__ = [
    "DetectedPhoto",
    "PhotoResult",
    "RecognizedFace",
    "RecognizedFaces",
    "classify",
    "find_faces",
    "iter_photo_batches",
    "recognize",
]

_BOX = ("left", "top", "width", "height")
# A batch that is not full is classified anyway once it holds this many bytes, or has waited this
# many seconds: photos may be large and slow, and the first results should not wait for all.
_MAX_BYTES, _MAX_SECONDS = 2**27, 5.0
# The image in a notebook is at most this large, and at least so large that labels are legible.
_SHOWN_SIDE, _MIN_SIDE = 720, 320
_NOTHING = "no face was found"
# Two threads must not decode the same Pillow image, which may be passed twice. Each image uses one
# of these locks.
_LOCKS = [threading.Lock() for _ in range(64)]
# Which columns of the printed table are aligned to the right.
_NUMERIC = (True, False, *[True] * 6)


def recognize(
    image: ImageLike | ArrayLike,
    estimator: Estimator | FaceReader | str | None = None,
    *,
    detector: Detector | None = None,
    crop_faces: bool = True,
) -> RecognizedFaces:
    """Recognise the emotion of every face in one photo.

    Parameters
    ----------
    image : path, bytes, str, file object, Pillow image or array-like
        A file or its contents, also as a data URI or text in base64; or pixels of shape (h, w),
        (h, w, 3) or (h, w, 4).
    estimator : fitted pipeline or classifier, str, FaceReader or None, default=None
        As in :class:`~fer_sklearn.FaceReader`: a string names a bundled network, such as
        ``"tiny"``. If None, the bundled pretrained model. Bundled networks are loaded once.
    detector : None, str, callable or list of boxes, default=None
        As in :class:`~fer_sklearn.FaceReader`.
    crop_faces : bool, default=True
        Whether to find faces. If False, the whole photo is one face, as in FER2013.

    Returns
    -------
    RecognizedFaces
        A list of :class:`~fer_sklearn.photos.RecognizedFace`, empty if no face was found. It
        prints as a table, and a notebook shows the photo with its faces.

    Raises
    ------
    ImageReadError
        If the photo cannot be read.
    TypeError, ValueError
        If `image` is not a photo.

    See Also
    --------
    predict_photos : Any number of photos, as a table or a file.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> from fer_sklearn import recognize
    >>> (face,) = recognize(astronaut())
    >>> face.emotion, face.probability > 0.5, len(face.probabilities)
    ('happy', True, 7)
    """
    photo = as_photo(image, name="image")
    reader = as_face_reader(estimator, detector)
    source = PhotoSource("image", photo)
    (results,) = iter_photo_batches([source], reader, crop_faces=crop_faces, keep_photos=True)
    return RecognizedFaces(results[0])


@dataclass(frozen=True)
class RecognizedFace:
    """A face of :func:`~fer_sklearn.recognize`.

    Attributes
    ----------
    emotion : str
        The most probable label, or what the estimator predicts if it abstains, such as
        ``"uncertain"``.
    probability : float or None
        Its probability; None if the estimator has none.
    probabilities : dict of str to float
        The probability of each label; empty if the estimator has none.
    box : tuple of float
        Left, top, width and height in pixels of the photo.
    quality : float or None
        How well the face can be seen, in [0, 1]: see :class:`~fer_sklearn.FaceReader`.
    score : float or None
        The detector's confidence, on its own scale.
    """

    emotion: str
    probability: float | None
    probabilities: dict[str, float]
    box: tuple[float, float, float, float]
    quality: float | None
    score: float | None


class RecognizedFaces(list[RecognizedFace]):
    """The faces of one photo, in the order of their numbers.

    Parameters
    ----------
    result : PhotoResult
        With the photo.

    Attributes
    ----------
    photo : ndarray of shape (h, w) or (h, w, 3), uint8
        The pixels in which they were found.
    """

    def __init__(self, result: PhotoResult) -> None:
        super().__init__(_faces(result))
        self._result = result

    @property
    def photo(self) -> PixelArray:
        """The pixels in which the faces were found."""
        assert self._result.photo is not None
        return self._result.photo

    def __repr__(self) -> str:
        if not self:
            return _NOTHING
        return text_table("", *self._table(), numeric=_NUMERIC)

    def _repr_html_(self) -> str:
        from ..drawing import draw_faces

        factor = min(1.0, _SHOWN_SIDE / max(self.photo.shape[:2]))
        height, width = (max(1, round(side * factor)) for side in self.photo.shape[:2])
        # The faces that are in the list now: you may have sorted it, or removed some.
        classes = self._result.classes
        unknown = dict.fromkeys(classes, np.nan)
        drawn = draw_faces(
            resize(self.photo, (height, width)),
            np.array([face.box for face in self]) * factor,
            [face.emotion for face in self],
            [list((face.probabilities or unknown).values()) for face in self],
            classes,
            titles=[f"face {number}" for number in range(len(self))],
            min_side=_MIN_SIDE,
        )
        file = io.BytesIO()
        Image.fromarray(drawn).save(file, "JPEG", quality=90)
        encoded = base64.b64encode(file.getvalue()).decode()
        shown = (
            f'<img src="data:image/jpeg;base64,{encoded}" alt="{len(self)} face(s)" '
            f'style="max-width: 100%">'
        )
        return shown + (html_page([], ("", *self._table())) if self else f"<p>{_NOTHING}</p>")

    def _table(self):
        header = ("face", "emotion", "probability", "quality", "left", "top", "width", "height")
        rows = [
            [
                str(number),
                face.emotion,
                *("–" if x is None else f"{x:.2f}" for x in (face.probability, face.quality)),
                *(f"{side:.0f}" for side in face.box),
            ]
            for number, face in enumerate(self)
        ]
        return header, rows


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
    quality : ndarray of shape (n_faces,), float64
        How well each face can be seen, in [0, 1]; NaN if the reader does not measure it.
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
    quality: FloatArray
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
        rows = []
        for face, (box, y_proba) in enumerate(zip(self.boxes, self.y_proba, strict=True)):
            numbers = {
                **dict(zip(_BOX, box, strict=True)),
                "score": self.scores[face],
                "quality": self.quality[face],
                **dict(zip(self.classes, y_proba, strict=True)),
            }
            known = {name: float(value) for name, value in numbers.items() if not np.isnan(value)}
            rows.append(empty | {"face": face, "emotion": str(self.labels[face])} | known)
        return rows or [empty]


def _faces(result):
    """Return the faces of a photo as records."""
    faces = []
    for box, score, quality, label, y_proba in zip(
        result.boxes, result.scores, result.quality, result.labels, result.y_proba, strict=True
    ):
        known = {} if np.isnan(y_proba).any() else dict(zip(result.classes, y_proba, strict=True))
        probabilities = {name: float(value) for name, value in known.items()}
        faces.append(
            RecognizedFace(
                emotion=str(label),
                probability=probabilities.get(str(label)),
                probabilities=probabilities,
                box=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
                quality=_or_none(quality),
                score=_or_none(score),
            )
        )
    return faces


def _or_none(number):
    return None if np.isnan(number) else float(number)


class DetectedPhoto(NamedTuple):
    """A photo whose faces are waiting for a batch."""

    source: PhotoSource
    status: str
    boxes: FloatArray
    scores: FloatArray
    quality: FloatArray
    crops: list[PixelArray]
    photo: PixelArray | None

    def count_bytes(self) -> int:
        """Return the memory that its pixels take."""
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
        Faces to classify at once; also the number of photos that may wait for that, and with
        several threads, that are read ahead.
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
    find = partial(
        find_faces, reader=reader, crop_faces=crop_faces, keep_photo=keep_photos, on_error=on_error
    )
    if n_threads == 1:
        photos: Iterator[DetectedPhoto] = map(find, sources)
    else:
        # While one batch is classified, the threads read the next one. Whole photos take much
        # memory.
        are_small = crop_faces and not keep_photos
        import_opencv()  # before a user's detector does so in several threads at once
        photos = _map_ahead(
            find, sources, n_threads, max(batch_size, n_threads) if are_small else n_threads
        )
    waiting: list[DetectedPhoto] = []
    n_faces, n_bytes, start = 0, 0, time.monotonic()
    for detected in photos:
        waiting.append(detected)
        n_faces += len(detected.crops)
        n_bytes += detected.count_bytes()
        if (
            max(n_faces, len(waiting)) >= batch_size
            or n_bytes >= _MAX_BYTES
            or time.monotonic() - start >= _MAX_SECONDS
        ):
            yield classify(waiting, reader, batch_size)
            waiting, n_faces, n_bytes, start = [], 0, 0, time.monotonic()
    if waiting:
        yield classify(waiting, reader, batch_size)


def _map_ahead(function: Callable, items: Iterable, n_threads: int, n_ahead: int) -> Iterator:
    """Yield `function` of every item in order, a few calls ahead in threads."""
    pending: deque = deque()
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="photos")
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            # Finished results do not wait for a slow source of items.
            while len(pending) >= n_ahead or (pending and pending[0].done()):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def find_faces(
    source: PhotoSource,
    reader: ReadsFaces,
    *,
    crop_faces: bool = True,
    keep_photo: bool = False,
    on_error: str = "row",
) -> DetectedPhoto:
    """Read one photo, find its faces and crop them; several threads may do so at once."""

    def unreadable(reason, error=None):
        if on_error == "raise":
            raise ImageReadError(f"{source.name}: {reason}.") from error
        status = f"{UNREADABLE}: {reason}"
        return DetectedPhoto(source, status, np.empty((0, 4)), np.empty(0), np.empty(0), [], None)

    if source.problem:
        return unreadable(source.problem)
    names = [source.name, *([source.item] if isinstance(source.item, str) else [])]
    is_shared = isinstance(source.item, Image.Image)
    lock = _LOCKS[id(source.item) // 16 % len(_LOCKS)] if is_shared else nullcontext()
    try:
        with lock:
            photo = as_photo(source.item, name=source.name)
    except Exception as error:  # a user's own objects may raise anything
        return unreadable(reason_of(error, *names), error)
    try:
        if crop_faces:
            faces = reader.detect(photo)
            # A view would keep the whole photo in memory until its batch is full.
            crops = [x if x.base is None else x.copy() for x in reader.crop(photo, faces)]
        else:
            faces, crops = as_faces([(0, 0, *photo.shape[1::-1])], "the photo has"), [photo]
        quality = np.full(len(crops), np.nan)
        if crop_faces and hasattr(reader, "quality"):
            quality = reader.quality(photo, faces, crops)
    except (MemoryError, RecursionError) as error:
        return unreadable(f"too large to be searched ({type(error).__name__})", error)
    except Exception as error:
        error.add_note(f"It happened in the photo {source.name}.")
        raise
    status = OK if len(crops) else NO_FACE
    kept = photo if keep_photo else None
    return DetectedPhoto(source, status, faces.boxes, faces.scores, quality, crops, kept)


def classify(
    detected: Sequence[DetectedPhoto], reader: ReadsFaces, batch_size: int
) -> list[PhotoResult]:
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
                quality=photo.quality,
                photo=photo.photo,
            )
        )
    return results
