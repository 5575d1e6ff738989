"""Detected faces, and helpers that the detectors share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import Any, NamedTuple, TypeVar

import numpy as np

from .._utils.typing import ArrayLike, FloatArray, IntArray, PixelArray
from ..images import resize, subsample, to_gray

__all__ = ["Faces", "ParametersMixin", "WorkingImage", "as_faces", "per_thread", "working_image"]

_EXPECTED = (
    "expected a list of (left, top, width, height) and optionally a score, finite, width and "
    "height above 0; or a Faces object; or an empty list if there is no face"
)
_Loaded = TypeVar("_Loaded")


@dataclass(frozen=True, eq=False)
class Faces:
    """The faces that a detector found in one photo.

    Parameters
    ----------
    boxes : ndarray of shape (n_faces, 4), float64
        Left, top, width and height in pixels of the photo. A box may extend beyond it.
    scores : ndarray of shape (n_faces,), float64
        The detector's confidence, on its own scale; higher is more confident. NaN if it
        reports none.
    eyes : ndarray of shape (n_faces, 2, 2), float64
        x and y of the eye further left in the photo, then of the other; NaN if unknown.

    Examples
    --------
    >>> len(Faces.none())
    0
    """

    boxes: FloatArray
    scores: FloatArray
    eyes: FloatArray

    @classmethod
    def none(cls) -> Faces:
        """Return the result for a photo without faces."""
        return cls(np.empty((0, 4)), np.empty(0), np.empty((0, 2, 2)))

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, indices: IntArray | ArrayLike) -> Faces:
        """Return some of the faces, in the order of `indices`, or those of a mask."""
        return Faces(self.boxes[indices], self.scores[indices], self.eyes[indices])  # type: ignore[index]


def as_faces(found: Any, source: str) -> Faces:
    """Convert what a detector returned, or boxes that a user passed, to `Faces`.

    Parameters
    ----------
    found : Faces, None or array-like of shape (n, 4) or (n, 5)
        Boxes, with a score as the fifth number. None and empty sequences mean no faces.
    source : str
        Where `found` comes from, as the start of an error message.

    Returns
    -------
    Faces

    Raises
    ------
    ValueError
        For anything else, and for boxes without an area.
    """
    if isinstance(found, Faces):
        _check_boxes(found.boxes, source)
        if found.scores.shape != (len(found),) or found.eyes.shape != (len(found), 2, 2):
            raise ValueError(
                f"{source} Faces with {len(found)} boxes, scores of shape {found.scores.shape} "
                f"and eyes of shape {found.eyes.shape}; expected ({len(found)},) and "
                f"({len(found)}, 2, 2), NaN where unknown."
            )
        return found
    if found is None or (hasattr(found, "__len__") and len(found) == 0):
        return Faces.none()
    try:
        rows = np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{source} {found!r}; {_EXPECTED}.") from None
    if rows.ndim != 2 or rows.shape[1] not in (4, 5):
        raise ValueError(f"{source} {rows.tolist()}, of shape {rows.shape}; {_EXPECTED}.")
    _check_boxes(rows[:, :4], source)
    scores = rows[:, 4] if rows.shape[1] == 5 else np.full(len(rows), np.nan)
    return Faces(rows[:, :4], scores, np.full((len(rows), 2, 2), np.nan))


def _check_boxes(boxes, source):
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{source} boxes of shape {boxes.shape}; {_EXPECTED}.")
    wrong = ~np.isfinite(boxes).all(axis=1) | (boxes[:, 2:] <= 0).any(axis=1)
    if wrong.any():
        index = np.flatnonzero(wrong)[0]
        raise ValueError(
            f"{source} {boxes[index].tolist()} as number {index} of {len(boxes)} boxes; "
            f"{_EXPECTED}."
        )


class ParametersMixin:
    """Shows, compares and hashes an object by the parameters that `__init__` assigned."""

    def __repr__(self) -> str:
        parameters = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({parameters})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    def __hash__(self) -> int:
        return hash(tuple(vars(self).values()))


class WorkingImage(NamedTuple):
    """A photo as a detector searches it: scaled, and with a border if it may be all face.

    Attributes
    ----------
    pixels : ndarray of shape (h, w) or (h, w, 3), uint8
    scale : float
        Its size over that of the photo.
    padding : float
        Pixels of border on each side.
    """

    pixels: PixelArray
    scale: float
    padding: float

    def points_in_photo(self, points: FloatArray) -> FloatArray:
        """Map points (…, 2), x and y, back into the photo."""
        return (points - self.padding) / self.scale

    def boxes_in_photo(self, boxes: FloatArray) -> FloatArray:
        """Map boxes (n, 4) back into the photo."""
        return np.column_stack([boxes[:, :2] - self.padding, boxes[:, 2:]]) / self.scale


def working_image(
    photo: PixelArray, scale: float, *, padding: int = 0, gray: bool = False
) -> WorkingImage:
    """Scale a photo for a detector, and continue its border by `padding` pixels.

    Parameters
    ----------
    photo : ndarray of shape (h, w) or (h, w, 3), uint8
    scale : float
    padding : int, default=0
        Pixels on each side. Detectors need some background around a face.
    gray : bool, default=False
        Whether to convert it to grey.

    Returns
    -------
    WorkingImage
    """
    import cv2

    height, width = (max(1, round(side * scale)) for side in photo.shape[:2])
    image = subsample(photo, scale)
    image = resize(to_gray(image) if gray else image, (height, width))
    if padding:
        sides = (padding, padding, padding, padding)
        image = cv2.copyMakeBorder(image, *sides, cv2.BORDER_REPLICATE)
    return WorkingImage(image, scale, padding)


def per_thread(
    load: Callable[..., _Loaded], *, maxsize: int | None = None
) -> Callable[..., _Loaded]:
    """Cache what `load` returns per thread, for objects that one thread at a time may use.

    Parameters
    ----------
    load : callable
        Its arguments must be hashable.
    maxsize : int or None, default=None
        How many results each thread keeps. If None, all.

    Returns
    -------
    callable
    """
    local = threading.local()

    @wraps(load)
    def cached(*args: Any) -> _Loaded:
        if not hasattr(local, "load"):
            local.load = lru_cache(maxsize)(load)
        return local.load(*args)

    return cached
