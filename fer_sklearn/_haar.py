"""OpenCV's Haar cascade, held so that it pickles, threads, and finds faces in tight crops."""

import threading
from numbers import Integral, Real

import numpy as np

from ._photos import resize
from .exceptions import MissingExtraError
from .images import to_gray

__all__ = ["HaarDetector"]

# A photo whose shorter side is below this may be all face, too small and too tight for
# the cascade. It is enlarged to this side, and padded by this share of it.
_TIGHT_SIDE, _TIGHT_PADDING, _TIGHT_MIN_FACE = 150, 0.2, 0.4
# Otherwise, smaller photos are enlarged to this length of the shorter side, and larger
# ones shrunk to this length of the longer side.
_ENLARGED_SIDE, _SEARCHED_SIDE = 256, 1280
# The cascade's own window.
_WINDOW = 20

_cascades = threading.local()


class HaarDetector:
    """Find frontal faces with OpenCV's Haar cascade ``frontalface_alt2``.

    Boosted cascade of Viola & Jones 2001, trained by Lienhart 2002. Small photos, and
    photos in which nothing is found at first, are searched as tight crops: enlarged and
    padded, because the cascade wants some background around a face of 20 pixels at least.
    The object holds only its parameters, so that it pickles; each thread loads the cascade
    when it first looks for a face.

    Parameters
    ----------
    scale_factor : float, default=1.1
        Step between the sizes that are searched; 1.2 is twice as fast and finds fewer.
    min_neighbors : int, default=3
        Overlapping detections that make a face; fewer find more, and more that is none.
    min_face : float, default=0.08
        Smallest face looked for, as a share of the photo's shorter side.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> left, top, width, height, certainty = HaarDetector()(astronaut())[0]
    >>> bool(150 < left < 200 and 80 < width < 120)
    True
    """

    def __init__(self, *, scale_factor=1.1, min_neighbors=3, min_face=0.08):
        if not (isinstance(scale_factor, Real) and scale_factor > 1):
            raise ValueError(f"scale_factor={scale_factor!r} must be a number above 1.")
        if not (isinstance(min_neighbors, Integral) and min_neighbors >= 0):
            raise ValueError(f"min_neighbors={min_neighbors!r} must be an int of 0 or more.")
        if not (isinstance(min_face, Real) and 0 < min_face < 1):
            raise ValueError(f"min_face={min_face!r} must be a number in (0, 1).")
        self.scale_factor = scale_factor
        self.min_neighbors = min_neighbors
        self.min_face = min_face

    def __repr__(self):
        return (
            f"HaarDetector(scale_factor={self.scale_factor}, "
            f"min_neighbors={self.min_neighbors}, min_face={self.min_face})"
        )

    def __eq__(self, other):
        return type(other) is type(self) and vars(other) == vars(self)

    def __hash__(self):
        return hash((self.scale_factor, self.min_neighbors, self.min_face))

    def __call__(self, photo):
        """Find the faces of one photo.

        Parameters
        ----------
        photo : ndarray of shape (h, w) or (h, w, 3), uint8
            Grey or RGB.

        Returns
        -------
        ndarray of shape (n_faces, 5)
            Left, top, width and height in pixels, and the certainty (higher is surer).
        """
        gray = to_gray(photo)
        is_small = min(gray.shape) < _TIGHT_SIDE
        searches = (self._search_tight, self._search_whole)
        for search in searches if is_small else reversed(searches):
            boxes = search(gray)
            if len(boxes):
                return boxes
        return np.empty((0, 5))

    def _search_whole(self, gray):
        """Search for faces of any size, in small photos enlarged and in huge ones shrunk."""
        enlarged = max(1.0, _ENLARGED_SIDE / min(gray.shape))
        scale = min(enlarged, _SEARCHED_SIDE / max(gray.shape))
        return self._search(gray, scale, 0, self.min_face)

    def _search_tight(self, gray):
        """Search for one large face that may fill the photo."""
        # Nothing so long and narrow is a tight crop, and enlarged it would be huge.
        if max(gray.shape) > 3 * min(gray.shape):
            return np.empty((0, 5))
        padding = round(_TIGHT_PADDING * _TIGHT_SIDE)
        return self._search(gray, _TIGHT_SIDE / min(gray.shape), padding, _TIGHT_MIN_FACE)

    def _search(self, gray, scale, padding, min_face):
        import cv2

        height, width = (max(1, round(side * scale)) for side in gray.shape)
        gray = resize(gray, (height, width))
        if padding:
            gray = cv2.copyMakeBorder(gray, *[padding] * 4, cv2.BORDER_REPLICATE)
        side = max(_WINDOW, round(min_face * min(height, width)))
        found, _, certainty = _cascade().detectMultiScale3(
            gray,
            scaleFactor=self.scale_factor,
            minNeighbors=self.min_neighbors,
            minSize=(side, side),
            outputRejectLevels=True,
        )
        if len(found) == 0:
            return np.empty((0, 5))
        boxes = found.astype(np.float64)
        boxes[:, :2] -= padding
        return np.column_stack([boxes / scale, np.ravel(certainty)])


def _cascade():
    """Return this thread's cascade, which OpenCV allows only one thread to use at a time."""
    import cv2

    if not hasattr(cv2, "CascadeClassifier"):
        raise MissingExtraError(
            f"OpenCV {cv2.__version__} has no Haar cascades any more. "
            f"Type: pip install 'opencv-python-headless>=4.10,<5', or pass a detector of "
            f"your own."
        )
    if not hasattr(_cascades, "frontal"):
        file = f"{cv2.data.haarcascades}haarcascade_frontalface_alt2.xml"
        _cascades.frontal = cv2.CascadeClassifier(file)
    return _cascades.frontal
