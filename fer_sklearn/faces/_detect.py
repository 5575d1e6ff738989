"""Find the faces of one photo, by whatever finds them."""

import numpy as np

from .._utils.validation import suggestion
from ..images import as_photo
from ._faces import Faces, as_faces
from ._haar import HaarDetector
from ._yunet import YuNetDetector

__all__ = ["detect_faces", "faces_of_photos", "is_boxes", "resolve_detector"]

_DETECTORS = {"haar": HaarDetector, "yunet": YuNetDetector}


def detect_faces(photo, detector="haar"):
    """Find the faces of one photo.

    Parameters
    ----------
    photo : str, path-like, bytes, file object, or array-like
        An image file, its contents, or pixels: grey (h, w), RGB (h, w, 3) or RGBA (h, w, 4).
    detector : {"haar", "yunet"}, callable or list of boxes, default="haar"
        ``"haar"`` is :class:`HaarDetector`, which needs nothing else; ``"yunet"`` is
        :class:`YuNetDetector`, which finds more and needs the file that
        :func:`fetch_yunet` brings. A callable gets ``uint8`` grey or RGB pixels and returns
        a list of boxes (left, top, width, height and perhaps a score) or `Faces`. Boxes
        that are known already may be passed in its place.

    Returns
    -------
    Faces
        With `boxes`, `scores` and `eyes`.

    Raises
    ------
    ValueError
        For an unknown `detector`, or one that returns something else.
    ImageReadError
        For a file that is missing or damaged.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> detect_faces(astronaut()).boxes.shape
    (1, 4)
    """
    photo = as_photo(photo)
    if is_boxes(detector):
        return as_faces(detector, "detector, as the boxes of a photo, has")
    return as_faces(resolve_detector(detector)(photo), f"detector={detector!r} returned")


def is_boxes(detector):
    """Tell whether boxes were given in place of a detector."""
    return isinstance(detector, (Faces, list, tuple, np.ndarray))


def resolve_detector(detector):
    """Return the function from pixels to faces that `detector` names or is."""
    if callable(detector):
        return detector
    if isinstance(detector, str) and detector in _DETECTORS:
        return _DETECTORS[detector]()
    raise ValueError(
        f"detector={detector!r} is unknown; expected 'haar', 'yunet', a function from pixels to "
        f"boxes, or a list of boxes.{suggestion(detector, _DETECTORS)}"
    )


def faces_of_photos(known, n_photos):
    """Return the faces that were given in place of a detector, one `Faces` a photo.

    Parameters
    ----------
    known : sequence
        For each photo a box of 4 or 5 numbers, a list of boxes, `Faces`, or None.
    n_photos : int
        How many photos there are.

    Raises
    ------
    ValueError
        If there are more or fewer, or an entry is no boxes; the message has its position.
    """
    if isinstance(known, Faces) or len(known) != n_photos:
        raise ValueError(
            f"detector, as a list of boxes, has {len(known)} entries for {n_photos} photo(s); "
            f"expected one a photo, in order: a box, a list of boxes, or None for no face."
        )
    return [
        as_faces(_listed(entry), f"detector[{index}], as the boxes of a photo, has")
        for index, entry in enumerate(known)
    ]


def _listed(entry):
    """Return a single box as a list of one, everything else as it is."""
    is_box = isinstance(entry, (list, tuple, np.ndarray)) and len(entry) and np.isscalar(entry[0])
    return [entry] if is_box else entry
