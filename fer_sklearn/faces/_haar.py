"""OpenCV's Haar cascades as a detector that pickles, runs in threads, and finds tight crops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from .._utils.typing import FloatArray, PixelArray
from ..exceptions import MissingExtraError
from ..images import resize, to_gray
from ._crop import crop_rotated
from ._faces import Faces, ParametersMixin, WorkingImage, per_thread, working_image

__all__ = ["HaarDetector", "count_detections", "detect_eyes"]

# Side of the smallest face in the image that is searched. The cascade's own window has 20
# pixels, and misses faces that barely fill it.
_MIN_FACE = 24
# Photos whose shorter side is below this are enlarged to it.
_ENLARGED_SIDE = 256
# A photo whose shorter side is below this may be all face, too small and too tight for
# the cascade. It is enlarged to this side and padded by this fraction of it; a face then
# takes up at least this fraction of it.
_TIGHT_SIDE, _TIGHT_PADDING, _TIGHT_MIN_FACE = 150, 0.2, 0.4
# The cascade finds faces tilted by up to 15 degrees. Rotating by these angles finds the others.
_TILTS = (-25.0, 25.0)
# Rotated photos are shrunk to this longer side, and searched in larger steps.
_ROTATED_SIDE, _ROTATED_SCALE_FACTOR = 256, 1.2
# False alarms have a low score, and a second cascade agrees in few windows. A face must reach
# a minimum of the weighted sum of both; the minimum is lower in a tight crop, which is likely to
# be a face. This keeps one of 43 false alarms in photos of scikit-image and scikit-learn, most of
# them rotated, and drops three of 279 faces.
_SCORE_ORIGIN, _SCORE_WEIGHT = 55.0, 4.0
_MIN_SCORE, _MIN_SCORE_TIGHT = 5.0, 0.0
# The second cascade searches a face scaled to this side, with this margin, for faces of these
# sizes.
_SECOND_SIDE, _SECOND_MARGIN, _SECOND_SIZES = 72, 0.3, (28, 64)
# Eyes are looked for in a face of this side, between these rows, in halves that overlap.
_EYES_SIDE = 96
_EYES_ROWS = slice(4, 68)
_EYES_HALF = 56
# Sizes of an eye in such a face.
_EYE_SIZES = (20, 40)
# Eyes are farther apart than this fraction of the face's side, and more level than this angle.
_MIN_EYE_DISTANCE, _MAX_EYE_TILT = 0.25, math.radians(25)


@dataclass(frozen=True)
class _View:
    """A photo as it is searched, with the smallest face and the minimum score in it."""

    image: WorkingImage
    min_face: int
    min_score: float


class HaarDetector(ParametersMixin):
    """Detect frontal faces with OpenCV's Haar cascade ``frontalface_alt2``.

    The boosted cascade of Viola & Jones 2001, trained by Lienhart 2002. Large photos are
    shrunk before they are searched. Small photos, and photos in which nothing is found at
    first, are searched as tight crops: enlarged and padded, because the cascade needs some
    background around a face of at least 20 pixels. Since it also finds faces in walls, uncertain
    detections must be confirmed by a second cascade, ``frontalface_alt``, which was trained
    separately. Tilted faces are searched for only if no upright face is found. Eyes are
    detected by the cascade ``eye``.

    The object holds only its parameters, so that it can be pickled; each thread loads the
    cascades when it first needs them.

    Parameters
    ----------
    min_size : int, default=40
        Smallest face to detect, in pixels of the photo, or of the photo enlarged to a shorter
        side of 256. Smaller faces hardly show an emotion.
    max_side : int, default=720
        Larger photos are shrunk to this longer side before they are searched, which bounds the
        cost: faces of a thirtieth of that side are found. 1440 finds faces half as large in
        large photos, at four times the cost.
    scale_factor : float, default=1.1
        Step between the sizes that are searched; 1.2 is twice as fast and finds fewer faces.
    min_neighbors : int, default=2
        Overlapping detections that make a face; a lower number finds more faces and more false
        alarms.
    verify : bool, default=True
        Whether a second cascade must confirm uncertain detections.
    tilted : bool, default=True
        Whether to search for faces tilted by about 25 degrees if there is no upright one.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> faces = HaarDetector()(astronaut())
    >>> left, top, width, height = faces.boxes[0]
    >>> bool(150 < left < 200 and 80 < width < 120)
    True
    """

    min_size: int
    max_side: int
    scale_factor: float
    min_neighbors: int
    verify: bool
    tilted: bool

    def __init__(
        self,
        *,
        min_size: int = 40,
        max_side: int = 720,
        scale_factor: float = 1.1,
        min_neighbors: int = 2,
        verify: bool = True,
        tilted: bool = True,
    ) -> None:
        if not (isinstance(min_size, Integral) and min_size >= 1):
            raise ValueError(f"min_size={min_size!r} must be an int of 1 or more.")
        if not (isinstance(max_side, Integral) and max_side >= 64):
            raise ValueError(f"max_side={max_side!r} must be an int of 64 or more.")
        if not (isinstance(scale_factor, Real) and scale_factor > 1):
            raise ValueError(f"scale_factor={scale_factor!r} must be a number above 1.")
        if not (isinstance(min_neighbors, Integral) and min_neighbors >= 0):
            raise ValueError(f"min_neighbors={min_neighbors!r} must be an int of 0 or more.")
        self.min_size = min_size
        self.max_side = max_side
        self.scale_factor = scale_factor
        self.min_neighbors = min_neighbors
        self.verify = verify
        self.tilted = tilted

    def __call__(self, image: PixelArray) -> Faces:
        """Detect the faces in one photo.

        Parameters
        ----------
        image : ndarray of shape (h, w) or (h, w, 3), uint8
            Grey or RGB.

        Returns
        -------
        Faces
            In pixels of the photo. The scores are sums of the cascade's last stage, about 54
            to 58. Tilted faces have upright boxes.

        Raises
        ------
        MissingExtraError
            If the installed OpenCV has no cascades.
        """
        views = self._views(image)
        for view in views:
            faces = self._detect_upright(image, view)
            if len(faces):
                return faces
        if self.tilted:
            for view in views:
                faces = self._detect_tilted(image, _coarser(view))
                if len(faces):
                    return faces
        return Faces.none()

    def _views(self, photo):
        """Return the whole photo and, if it may be one, the tight crop; the likelier one first."""
        height, width = photo.shape[:2]
        short, long = min(height, width), max(height, width)
        enlarged = max(1.0, _ENLARGED_SIDE / short)
        scale = min(enlarged * _MIN_FACE / self.min_size, self.max_side / long)
        views = [_View(working_image(photo, scale, gray=True), _MIN_FACE, _MIN_SCORE)]
        # Nothing this long and narrow is a tight crop, and enlarged it would be huge.
        if long <= 3 * short:
            padding, min_face = (
                round(part * _TIGHT_SIDE) for part in (_TIGHT_PADDING, _TIGHT_MIN_FACE)
            )
            image = working_image(photo, _TIGHT_SIDE / short, padding=padding, gray=True)
            views.append(_View(image, min_face, _MIN_SCORE_TIGHT))
        return views[::-1] if short < _TIGHT_SIDE else views

    def _detect_upright(self, photo, view):
        boxes, scores = self._search(view.image.pixels, view.min_face, self.scale_factor)
        boxes = view.image.boxes_in_photo(boxes)
        return self._verified(photo, boxes, scores, 0.0, view.min_score)

    def _detect_tilted(self, photo, view):
        """Search the photo rotated both ways, for larger faces and in larger steps."""
        factor = max(self.scale_factor, _ROTATED_SCALE_FACTOR)
        found = []
        for angle in _TILTS:
            gray, back = _rotate(view.image.pixels, angle)
            boxes, scores = self._search(gray, view.min_face, factor)
            boxes = view.image.boxes_in_photo(_rotated_back(boxes, back))
            found.append(self._verified(photo, boxes, scores, angle, _MIN_SCORE))
        return _without_copies(_joined(found))

    def _search(self, gray, min_face, scale_factor):
        """Return the boxes and scores of what the cascade detects."""
        boxes, _, scores = _cascade("frontalface_alt2").detectMultiScale3(
            gray,
            scaleFactor=scale_factor,
            minNeighbors=self.min_neighbors,
            minSize=(min_face, min_face),
            outputRejectLevels=True,
        )
        return np.array(boxes, np.float64).reshape(-1, 4), np.array(scores, np.float64).ravel()

    def _verified(self, photo, boxes, scores, angle, min_score):
        """Drop detections that the second cascade does not confirm; find the others' eyes."""
        if self.verify:
            n_required = min_score - _SCORE_WEIGHT * (scores - _SCORE_ORIGIN)
            kept = np.flatnonzero(
                [
                    # If none are required, the second cascade need not run.
                    required <= 0 or count_detections(photo, box, angle) >= required
                    for box, required in zip(boxes, n_required, strict=True)
                ]
            )
            boxes, scores = boxes[kept], scores[kept]
        eyes = np.empty((len(boxes), 2, 2))
        for index, box in enumerate(boxes):
            eyes[index] = detect_eyes(photo, box, angle)
        return Faces(boxes, scores, eyes)


def count_detections(
    photo: PixelArray, box: Sequence[float] | FloatArray, angle: float = 0.0
) -> int:
    """Count the windows near a box in which a second cascade, ``frontalface_alt``, sees a face.

    It was trained separately from the first one, and seldom errs in the same place.

    Parameters
    ----------
    photo : ndarray of shape (h, w) or (h, w, 3), uint8
    box : sequence of float
        Left, top, width and height of what may be a face.
    angle : float, default=0.0
        Clockwise tilt of the face, in degrees.

    Returns
    -------
    int
        The number of positions and sizes; 0 if it sees no face.
    """
    side = (_SECOND_SIDE, _SECOND_SIDE)
    part = to_gray(crop_rotated(photo, box, side, _SECOND_MARGIN, angle))
    low, high = _SECOND_SIZES
    seen = _cascade("frontalface_alt").detectMultiScale(
        np.ascontiguousarray(part),
        scaleFactor=1.1,
        minNeighbors=0,
        minSize=(low, low),
        maxSize=(high, high),
    )
    return len(seen)


def detect_eyes(
    photo: PixelArray, box: Sequence[float] | FloatArray, angle: float = 0.0
) -> FloatArray:
    """Detect the eyes of a face.

    Parameters
    ----------
    photo, box, angle
        As in :func:`count_detections`.

    Returns
    -------
    ndarray of shape (2, 2), float64
        x and y of the eye further left, and of the other, in pixels of the photo. NaN
        unless both are found where eyes can be.
    """
    face = to_gray(crop_rotated(photo, box, (_EYES_SIDE, _EYES_SIDE), 0.0, angle))
    halves = face[_EYES_ROWS, :_EYES_HALF], face[_EYES_ROWS, -_EYES_HALF:]
    eyes = np.array([_strongest_eye(half) for half in halves])
    eyes += [(0, _EYES_ROWS.start), (_EYES_SIDE - _EYES_HALF, _EYES_ROWS.start)]
    right, down = eyes[1] - eyes[0]
    # Otherwise one of them was not found, or is an eyebrow, a nostril or a wrinkle.
    if right > _MIN_EYE_DISTANCE * _EYES_SIDE and abs(math.atan2(down, right)) < _MAX_EYE_TILT:
        return _eyes_in_photo(eyes, box, angle)
    return np.full((2, 2), np.nan)


def _cascade(name):
    """Return this thread's copy of a cascade, which one thread at a time may use."""
    import cv2

    if not hasattr(cv2, "CascadeClassifier"):
        raise MissingExtraError(
            f"OpenCV {cv2.__version__} no longer has Haar cascades. "
            f"Type: pip install 'opencv-python-headless>=4.10,<5', or pass another detector, "
            f"such as 'yunet'."
        )
    return _load_cascade(name)


@per_thread
def _load_cascade(name: str) -> Any:
    import cv2

    folder = cv2.data.haarcascades  # type: ignore[attr-defined]
    return cv2.CascadeClassifier(f"{folder}haarcascade_{name}.xml")


def _strongest_eye(half):
    """Return the centre of what looks most like an eye in half a face, or NaN."""
    low, high = _EYE_SIZES
    boxes, counts = _cascade("eye").detectMultiScale2(
        np.ascontiguousarray(half),
        scaleFactor=1.1,
        minNeighbors=1,
        minSize=(low, low),
        maxSize=(high, high),
    )
    if len(boxes) == 0:
        return np.nan, np.nan
    left, top, width, height = boxes[np.argmax(counts)]
    return left + width / 2, top + height / 2


def _eyes_in_photo(points, box, angle):
    """Map points of the upright square face back into the photo."""
    left, top, width, height = box
    unit = max(width, height) / _EYES_SIDE
    across, down = (points - _EYES_SIDE / 2).T * unit
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return np.column_stack(
        [
            left + width / 2 + cosine * across - sine * down,
            top + height / 2 + sine * across + cosine * down,
        ]
    )


def _coarser(view):
    """Shrink a view, so that two rotated copies of it cost less than the view itself."""
    gray = view.image.pixels
    factor = min(1.0, _ROTATED_SIDE / max(gray.shape))
    height, width = (max(1, round(side * factor)) for side in gray.shape)
    image = WorkingImage(
        resize(gray, (height, width)), view.image.scale * factor, view.image.padding * factor
    )
    return _View(image, max(_MIN_FACE, round(view.min_face * factor)), view.min_score)


def _rotate(gray, angle):
    """Rotate an image about its centre, and return the matrix that maps its points back."""
    import cv2

    height, width = gray.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    rotated = cv2.warpAffine(gray, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return rotated, cv2.invertAffineTransform(matrix)


def _rotated_back(boxes, back):
    """Move boxes so that their centres are where they were before a rotation."""
    half = boxes[:, 2:] / 2
    centres = (boxes[:, :2] + half) @ back[:, :2].T + back[:, 2]
    return np.column_stack([centres - half, boxes[:, 2:]])


def _joined(several):
    """Concatenate the faces of several searches, the most confident ones first."""
    parts = [[getattr(faces, name) for faces in several] for name in ("boxes", "scores", "eyes")]
    faces = Faces(*(np.concatenate(part) for part in parts))
    return faces.take(np.argsort(-faces.scores, kind="stable"))


def _without_copies(faces):
    """Drop a face whose centre is in the box of a more confident one."""
    centres = faces.boxes[:, :2] + faces.boxes[:, 2:] / 2
    kept: list[int] = []
    for index, centre in enumerate(centres):
        offsets = np.abs(centre - centres[kept])
        if not (offsets < faces.boxes[kept, 2:] / 2).all(axis=1).any():
            kept.append(index)
    return faces.take(kept)
