"""Detect the faces in one photo with any detector."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np

from .._utils.typing import ArrayLike, ImageLike, PixelArray
from .._utils.validation import suggestion
from ..images import as_photo
from ._blazeface import BlazeFaceDetector
from ._faces import Faces, as_faces, in_order, largest
from ._opencv import HaarDetector, YuNetDetector

__all__ = [
    "Detector",
    "described",
    "detect_faces",
    "detect_in_pixels",
    "faces_of_photos",
    "is_boxes",
    "refind_of",
    "refuse_boxes",
    "resolve_detector",
]

#: What `detector` parameters take: a name, a function from pixels to boxes, an object with such a
#: method `detect`, or known boxes.
Detector: TypeAlias = "str | Callable[[PixelArray], Any] | Faces | ArrayLike | Sequence[Any]"

_DETECTORS = {"blazeface": BlazeFaceDetector, "haar": HaarDetector, "yunet": YuNetDetector}


def detect_faces(
    image: ImageLike | ArrayLike,
    detector: Detector = "blazeface",
    *,
    max_faces: int | None = None,
) -> Faces:
    """Detect the faces in one photo.

    Parameters
    ----------
    image : str, path-like, bytes, file object, or array-like
        An image file, its contents, or pixels: grey (h, w), RGB (h, w, 3) or RGBA (h, w, 4).
    detector : {"blazeface", "haar", "yunet"}, callable, object or list of boxes, \
            default="blazeface"
        ``"blazeface"`` is :class:`BlazeFaceDetector`, a network that is installed with this
        package. ``"haar"`` is :class:`HaarDetector`, which needs only OpenCV, finds fewer faces
        and no key points. ``"yunet"`` is :class:`YuNetDetector`, which needs the file that
        :func:`fetch_yunet` downloads. Your own detector is a callable, or an object with a method
        ``detect``, that receives ``uint8`` grey or RGB pixels and returns `Faces` or a list of
        boxes (left, top, width, height and optionally a score). You can also pass known boxes
        instead of a detector; they keep their order.
    max_faces : int or None, default=None
        If there are more, the largest are kept; of equally large ones, the first.

    Returns
    -------
    Faces
        From left to right; those at the same place from top to bottom, then by size.

    Raises
    ------
    ValueError
        If `detector` is unknown, or returns something else, or if `max_faces` is not positive.
    ImageReadError
        If the file is missing or damaged.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> detect_faces(astronaut()).boxes.shape
    (1, 4)
    """
    return detect_in_pixels(as_photo(image, name="image"), detector, max_faces)


def detect_in_pixels(photo: PixelArray, detector: Detector, max_faces: int | None = None) -> Faces:
    """Detect faces as :func:`detect_faces` does, in what :func:`as_photo` returned."""
    if max_faces is not None and not (isinstance(max_faces, Integral) and max_faces >= 1):
        raise ValueError(f"max_faces={max_faces!r} must be a positive int, or None.")
    if is_boxes(detector):
        faces = as_faces(detector, "detector, as the boxes of a photo, has")
    elif type(detect := resolve_detector(detector)) in _DETECTORS.values():
        faces = in_order(detect(photo))
    else:
        # A user's detector may draw on the photo or scale it in place; crops need the original.
        found = detect(as_photo(photo, name="image").copy())
        faces = in_order(as_faces(found, f"detector={detector!r} returned"))
    return faces if max_faces is None else largest(faces, max_faces)


def is_boxes(detector: Detector) -> bool:
    """Return whether boxes were passed instead of a detector."""
    return isinstance(detector, (Faces, list, tuple, np.ndarray))


def described(something: Any) -> str:
    """Return the ``repr`` of an object without its address, which changes in each process."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(something))


def refuse_boxes(detector: Detector | None) -> None:
    """Raise a ValueError if known boxes were passed as the detector of several photos."""
    if detector is not None and is_boxes(detector):
        raise ValueError(
            "detector is a list of boxes, which would be used for every photo; expected a name, "
            "an object or a function that detects faces. Call recognize(photo, detector=boxes) "
            "for each photo, or pass a function from pixels to boxes."
        )


def resolve_detector(detector: Detector) -> Callable[[PixelArray], Any]:
    """Return the function from pixels to faces for a `detector` parameter.

    Raises
    ------
    ValueError
        If `detector` is unknown, a class, or not a detector.
    """
    if isinstance(detector, type):
        raise ValueError(
            f"detector={detector.__name__} is a class; expected an instance. Pass "
            f"{detector.__name__}(), with parameters if needed."
        )
    if callable(detector):
        return detector
    if hasattr(detector, "detect"):
        return detector.detect
    if isinstance(detector, str) and detector in _DETECTORS:
        return _DETECTORS[detector]()
    raise ValueError(
        f"detector={detector!r} is unknown; expected 'blazeface', 'haar', 'yunet', a function "
        f"from pixels to boxes, an object with a method `detect`, or a list of boxes."
        f"{suggestion(detector, _DETECTORS)}"
    )


def refind_of(detector: Detector) -> Callable[[PixelArray, Faces], Faces] | None:
    """Return the method of a detector that follows known faces, or None if it has none.

    Raises
    ------
    ValueError
        If it is not a detector.
    """
    if is_boxes(detector):
        return None
    function = resolve_detector(detector)
    refind = getattr(getattr(function, "__self__", function), "refind", None)
    if refind is None or isinstance(function, tuple(_DETECTORS.values())):
        return refind
    return partial(_refind, refind)


def _refind(refind, image, faces):
    """Call this method of a user's detector, with the same checks as in `detect_in_pixels`."""
    return as_faces(refind(image.copy(), faces), "refind of detector returned")


def faces_of_photos(known: Sequence[Any], n_photos: int) -> list[Faces]:
    """Return the faces that were passed instead of a detector, one `Faces` per photo.

    Parameters
    ----------
    known : sequence
        For each photo a box of 4 or 5 numbers, a list of boxes, `Faces`, or None.
    n_photos : int
        The number of photos.

    Returns
    -------
    list of Faces

    Raises
    ------
    ValueError
        If there are more or fewer, or an entry is not boxes; the message has its position.
    """
    if isinstance(known, Faces) or len(known) != n_photos:
        raise ValueError(
            f"detector, as a list of boxes, has {len(known)} entries for {n_photos} photo(s); "
            f"expected one per photo, in order: a box, a list of boxes, or None for no face."
        )
    return [
        as_faces(_listed(entry), f"detector[{index}], as the boxes of a photo, has")
        for index, entry in enumerate(known)
    ]


def _listed(entry):
    """Return a single box as a list of one box, and everything else as it is."""
    is_box = isinstance(entry, (list, tuple, np.ndarray)) and len(entry) and np.isscalar(entry[0])
    return [entry] if is_box else entry
