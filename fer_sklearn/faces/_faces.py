"""Detected faces, and helpers that the detectors share."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, wraps
from typing import Any, NamedTuple, TypeVar

import numpy as np

from .._utils.compat import cv2
from .._utils.typing import ArrayLike, FloatArray, IntArray, PixelArray
from ..images import resize, subsample, to_gray

__all__ = [
    "KEYPOINTS",
    "BaseDetector",
    "Faces",
    "WorkingImage",
    "as_faces",
    "find_near",
    "in_order",
    "joined",
    "largest",
    "per_thread",
    "unknown_keypoints",
    "without_copies",
    "working_image",
]

#: The key points of a face, in the order of `Faces.keypoints`. Right and left are the person's
#: own: in an upright photo, the right eye is further left. `ear` is the tragion, in front of it.
KEYPOINTS = ("right_eye", "left_eye", "nose", "mouth", "right_ear", "left_ear")

# A known face is searched for in a square of this many of its sides, and may have grown this much.
_NEAR, _GROWN = 2.2, 1.5
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
    keypoints : ndarray of shape (n_faces, 6, 2), float64
        x and y, in pixels of the photo, of the right eye, the left eye, the tip of the nose, the
        middle of the mouth, and the right and the left ear; NaN where unknown. Right and left are
        the person's own.
    box_in_crop : tuple of 4 float, default=(0.02, 0.01, 0.95, 0.95)
        Where the detector's box of a frontal face lies in an image of FER2013: left, top, width and
        height as fractions of the image, the median over many. Detectors frame faces differently;
        this places a crop without key points. The default is that of the Haar cascade, whose boxes
        reach from the brows to the chin.

    Examples
    --------
    >>> len(Faces.none())
    0
    """

    boxes: FloatArray
    scores: FloatArray
    keypoints: FloatArray
    box_in_crop: tuple[float, float, float, float] = (0.02, 0.01, 0.95, 0.95)

    @classmethod
    def none(cls) -> Faces:
        """Return the result for a photo without faces."""
        return cls(np.empty((0, 4)), np.empty(0), np.empty((0, len(KEYPOINTS), 2)))

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, indices: IntArray | ArrayLike) -> Faces:
        """Return some of the faces, in the order of `indices`, or those of a mask."""
        return replace(
            self,
            boxes=self.boxes[indices],  # type: ignore[index]
            scores=self.scores[indices],  # type: ignore[index]
            keypoints=self.keypoints[indices],  # type: ignore[index]
        )


def as_faces(found: Any, source: str) -> Faces:
    """Convert what a detector returned, or boxes that a user passed, to `Faces`.

    Parameters
    ----------
    found : Faces, None or array-like of shape (n, 4) or (n, 5)
        Boxes, with a score as the fifth number. None and empty sequences mean no faces.
    source : str
        Where `found` comes from, as the start of an error message.

    Raises
    ------
    ValueError
        For anything else, and for boxes without an area.
    """
    if isinstance(found, Faces):
        return _checked(found, source)
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
    return Faces(rows[:, :4], scores, unknown_keypoints(len(rows)))


def _checked(faces, source):
    """Return `Faces` whose lists, integers or None are converted to arrays of floats."""
    scores, keypoints = faces.scores, faces.keypoints
    try:
        n = len(faces)
        scores = np.full(n, np.nan) if scores is None else np.asarray(scores, np.float64)
        keypoints = unknown_keypoints(n) if keypoints is None else np.array(keypoints, np.float64)
        boxes, inside = (np.asarray(x, np.float64) for x in (faces.boxes, faces.box_in_crop))
    except (TypeError, ValueError):
        raise ValueError(f"{source} {faces!r}; {_EXPECTED}.") from None
    _check_boxes(boxes, source)
    shape = (n, len(KEYPOINTS), 2)
    if scores.shape != (n,) or keypoints.shape != shape:
        raise ValueError(
            f"{source} Faces with {n} boxes, scores of shape {scores.shape} and keypoints of "
            f"shape {keypoints.shape}; expected ({n},) and {shape}, NaN where unknown."
        )
    if inside.shape != (4,) or not np.isfinite(inside).all() or (inside[2:] <= 0).any():
        raise ValueError(
            f"{source} Faces with box_in_crop={faces.box_in_crop!r}; expected left, top, width and "
            f"height as fractions of a crop, finite, width and height above 0."
        )
    keypoints[~np.isfinite(keypoints)] = np.nan
    return replace(faces, boxes=boxes, scores=scores, keypoints=keypoints)


def unknown_keypoints(n_faces: int) -> FloatArray:
    """Return the key points of faces whose detector finds none: NaN."""
    return np.full((n_faces, len(KEYPOINTS), 2), np.nan)


def joined(several: Sequence[Faces]) -> Faces:
    """Concatenate the faces of several searches of one photo by one detector.

    Parameters
    ----------
    several : sequence of Faces
        At least one.

    Returns
    -------
    Faces
    """
    return replace(
        several[-1],
        boxes=np.concatenate([faces.boxes for faces in several]),
        scores=np.concatenate([faces.scores for faces in several]),
        keypoints=np.concatenate([faces.keypoints for faces in several]),
    )


def find_near(
    detect: Callable[[PixelArray, float], Faces], image: PixelArray, faces: Faces
) -> Faces:
    """Detect faces again near where they were, as in the next frame of a video.

    Parameters
    ----------
    detect : callable
        From a part of the image, and the side of the face that it showed, to `Faces`.
    image : ndarray of shape (h, w) or (h, w, 3), uint8
    faces : Faces
        The faces in the frame before.

    Returns
    -------
    Faces
        At most one for each of them; those that are lost are missing.
    """
    found = [Faces.none()]
    limits = np.array(image.shape[1::-1])
    for box in faces.boxes:
        centre, side = box[:2] + box[2:] / 2, float(box[2:].max())
        low = np.clip(centre - _NEAR * side / 2, 0, limits - 1).astype(int)
        high = np.clip(centre + _NEAR * side / 2, low + 1, limits).astype(int)
        near = detect(image[low[1] : high[1], low[0] : high[0]], side)
        boxes = near.boxes + np.array([*low, 0, 0])
        distances = np.abs(boxes[:, :2] + boxes[:, 2:] / 2 - centre).max(axis=1)
        is_same = (distances < side / 2) & (boxes[:, 2:].max(axis=1) < _GROWN * side)
        near = replace(near, boxes=boxes, keypoints=near.keypoints + low).take(is_same)
        found.append(near.take(np.argsort(distances[is_same])[:1]))
    return without_copies(joined(found))


def in_order(faces: Faces) -> Faces:
    """Sort faces in the order in which they are numbered.

    Parameters
    ----------
    faces : Faces

    Returns
    -------
    Faces
        By the left edges of their boxes, in whole pixels; those at the same one from top to
        bottom, then by size, the largest first, and by their scores, the highest first.
    """
    left, top = np.rint(faces.boxes[:, :2]).T
    return faces.take(np.lexsort((-faces.scores, -faces.boxes[:, 2:].prod(axis=1), top, left)))


def largest(faces: Faces, max_faces: int) -> Faces:
    """Keep the largest faces, in their order.

    Parameters
    ----------
    faces : Faces
    max_faces : int

    Returns
    -------
    Faces
    """
    areas = faces.boxes[:, 2:].prod(axis=1)
    return faces.take(np.sort(np.argsort(-areas, kind="stable")[:max_faces]))


def without_copies(faces: Faces) -> Faces:
    """Drop a face whose centre is in the box of an earlier one."""
    centres = faces.boxes[:, :2] + faces.boxes[:, 2:] / 2
    kept: list[int] = []
    for index, centre in enumerate(centres):
        offsets = np.abs(centre - centres[kept])
        if not (offsets < faces.boxes[kept, 2:] / 2).all(axis=1).any():
            kept.append(index)
    return faces.take(kept)


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


class BaseDetector:
    """Base class of detectors: dataclasses of parameters that are called with a photo."""

    @abstractmethod
    def __call__(self, image: PixelArray) -> Faces:
        """Detect the faces in one photo.

        Parameters
        ----------
        image : ndarray of shape (h, w) or (h, w, 3), uint8
            Grey or RGB; or anything else that :func:`detect_faces` takes.

        Returns
        -------
        Faces
            In pixels of the photo.
        """


class WorkingImage(NamedTuple):
    """A photo as a detector searches it: scaled, and with a border if a face may fill it.

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
    """Scale a photo for a detector, and extend its border by `padding` pixels.

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
    """Cache the results of `load` per thread, for objects that are not thread-safe.

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
