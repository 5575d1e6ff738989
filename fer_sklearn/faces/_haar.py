"""OpenCV's Haar cascade, held so that it pickles, threads, and finds faces in tight crops."""

from dataclasses import dataclass, replace
from numbers import Integral, Real

import numpy as np

from ..images import resize, thin_out, to_gray
from ._cascades import agreement, cascade, find_eyes
from ._faces import Faces
from ._parameters import ByParameters

__all__ = ["HaarDetector"]

# The smallest face is this large where it is searched. The cascade's own window has 20
# pixels, and finds less where a face just fills it.
_SMALLEST = 24
# Photos whose shorter side is below this are enlarged to it.
_ENLARGED_SIDE = 256
# A photo whose shorter side is below this may be all face, too small and too tight for
# the cascade. It is enlarged to this side and padded by this share of it, and then a face
# takes up this share of it at least.
_TIGHT_SIDE, _TIGHT_PADDING, _TIGHT_SMALLEST = 150, 0.2, 0.4
# The cascade finds faces that lean by some 15 degrees; turned by these, the others do too.
_TILTS = (-25.0, 25.0)
# Turned photos are searched shrunk to this longer side, and in larger steps.
_TURNED_SIDE, _TURNED_SCALE_FACTOR = 256, 1.2
# What is no face has a low score and few windows in which a second cascade agrees. A face
# must reach this sum of both; where it is looked for in a tight crop, which is likely to be
# one, less. Of 43 false alarms in photos of scikit-image and scikit-learn, most of them
# turned, this lets one pass; of 279 faces it leaves out three.
_SCORE_ORIGIN, _SCORE_WEIGHT = 55.0, 4.0
_LEAST_SUM, _LEAST_SUM_TIGHT = 5.0, 0.0


@dataclass(frozen=True)
class _View:
    """A photo as it is searched: shrunk or enlarged, and perhaps with a border."""

    gray: np.ndarray
    scale: float
    padding: float
    smallest: int
    least_sum: float


class HaarDetector(ByParameters):
    """Find frontal faces with OpenCV's Haar cascade ``frontalface_alt2``.

    Boosted cascade of Viola & Jones 2001, trained by Lienhart 2002. Large photos are
    searched shrunk. Small photos, and photos in which nothing is found at first, are
    searched as tight crops: enlarged and padded, because the cascade wants some background
    around a face of 20 pixels at least. Since it also finds faces in walls, what it is not
    sure of must be a face to a second cascade too, ``frontalface_alt``, trained apart. Only
    where no upright face is found, tilted ones are looked for. Eyes are found by the
    cascade ``eye``.

    The object holds only its parameters, so that it pickles; each thread loads the cascades
    when it first looks for a face.

    Parameters
    ----------
    min_size : int, default=40
        Smallest face looked for, in pixels of the photo, or of the photo enlarged to a
        shorter side of 256. Less is hardly enough to tell an emotion.
    max_side : int, default=720
        Larger photos are shrunk to this longer side before they are searched, so that
        none costs more: faces of a thirtieth of that side are found. 1440 finds half as large
        ones in large photos, at four times the cost.
    scale_factor : float, default=1.1
        Step between the sizes that are searched; 1.2 is twice as fast and finds fewer.
    min_neighbors : int, default=2
        Overlapping detections that make a face; fewer find more, and more that is none.
    verify : bool, default=True
        Whether a second cascade must agree where the first is not sure.
    tilted : bool, default=True
        Whether faces tilted by about 25 degrees are looked for where there is no other.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> faces = HaarDetector()(astronaut())
    >>> left, top, width, height = faces.boxes[0]
    >>> bool(150 < left < 200 and 80 < width < 120)
    True
    """

    def __init__(
        self,
        *,
        min_size=40,
        max_side=720,
        scale_factor=1.1,
        min_neighbors=2,
        verify=True,
        tilted=True,
    ):
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

    def __call__(self, photo):
        """Find the faces of one photo.

        Parameters
        ----------
        photo : ndarray of shape (h, w) or (h, w, 3), uint8
            Grey or RGB.

        Returns
        -------
        Faces
            In pixels of the photo. The scores are sums of the cascade's last stage, some 54
            to 58. Tilted faces have upright boxes.
        """
        views = self._views(photo)
        for view in views:
            faces = self._upright(photo, view)
            if len(faces):
                return faces
        if self.tilted:
            for view in views:
                faces = self._turned(photo, _coarser(view))
                if len(faces):
                    return faces
        return Faces.none()

    def _views(self, photo):
        """Return the whole photo and, if it can be one, the tight crop; the likelier first."""
        height, width = photo.shape[:2]
        short, long = min(height, width), max(height, width)
        enlarged = max(1.0, _ENLARGED_SIDE / short)
        scale = min(enlarged * _SMALLEST / self.min_size, self.max_side / long)
        views = [_view(photo, scale, 0, _SMALLEST, _LEAST_SUM)]
        # Nothing so long and narrow is a tight crop, and enlarged it would be huge.
        if long <= 3 * short:
            padding = round(_TIGHT_PADDING * _TIGHT_SIDE)
            smallest = round(_TIGHT_SMALLEST * _TIGHT_SIDE)
            scale = _TIGHT_SIDE / short
            views.append(_view(photo, scale, padding, smallest, _LEAST_SUM_TIGHT))
        return views[::-1] if short < _TIGHT_SIDE else views

    def _upright(self, photo, view):
        boxes, scores = self._search(view.gray, view.smallest, self.scale_factor)
        return self._checked(photo, _in_photo(boxes, view), scores, 0.0, view.least_sum)

    def _turned(self, photo, view):
        """Search the photo turned both ways, for larger faces and in larger steps."""
        factor = max(self.scale_factor, _TURNED_SCALE_FACTOR)
        found = []
        for angle in _TILTS:
            gray, back = _turn(view.gray, angle)
            boxes, scores = self._search(gray, view.smallest, factor)
            boxes = _turned_back(boxes, back)
            boxes = _in_photo(boxes, view)
            found.append(self._checked(photo, boxes, scores, angle, _LEAST_SUM))
        return _without_copies(_joined(found))

    def _search(self, gray, smallest, scale_factor):
        """Return boxes and scores of what the cascade takes for faces."""
        boxes, _, scores = cascade("frontalface_alt2").detectMultiScale3(
            gray,
            scaleFactor=scale_factor,
            minNeighbors=self.min_neighbors,
            minSize=(smallest, smallest),
            outputRejectLevels=True,
        )
        return np.array(boxes, np.float64).reshape(-1, 4), np.array(scores, np.float64).ravel()

    def _checked(self, photo, boxes, scores, angle, least_sum):
        """Leave out what a second cascade does not take for a face; find the others' eyes."""
        if self.verify:
            missing = least_sum - _SCORE_WEIGHT * (scores - _SCORE_ORIGIN)
            kept = [
                # Where nothing is missing, the second cascade need not be asked.
                windows <= 0 or agreement(photo, box, angle) >= windows
                for box, windows in zip(boxes, missing, strict=True)
            ]
            kept = np.flatnonzero(kept)
            boxes, scores = boxes[kept], scores[kept]
        eyes = np.empty((len(boxes), 2, 2))
        for index, box in enumerate(boxes):
            eyes[index] = find_eyes(photo, box, angle)
        return Faces(boxes, scores, eyes)


def _view(photo, scale, padding, smallest, least_sum):
    import cv2

    height, width = (max(1, round(side * scale)) for side in photo.shape[:2])
    gray = resize(to_gray(thin_out(photo, scale)), (height, width))
    if padding:
        gray = cv2.copyMakeBorder(gray, *[padding] * 4, cv2.BORDER_REPLICATE)
    return _View(gray, scale, padding, smallest, least_sum)


def _coarser(view):
    """Shrink a view, so that two turned copies of it cost less than itself."""
    factor = min(1.0, _TURNED_SIDE / max(view.gray.shape))
    height, width = (max(1, round(side * factor)) for side in view.gray.shape)
    return replace(
        view,
        gray=resize(view.gray, (height, width)),
        scale=view.scale * factor,
        padding=view.padding * factor,
        smallest=max(_SMALLEST, round(view.smallest * factor)),
    )


def _in_photo(boxes, view):
    boxes = boxes.copy()
    boxes[:, :2] -= view.padding
    return boxes / view.scale


def _turn(gray, angle):
    """Turn a picture about its centre, and return how its points are turned back."""
    import cv2

    height, width = gray.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    turned = cv2.warpAffine(gray, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return turned, cv2.invertAffineTransform(matrix)


def _turned_back(boxes, back):
    """Move boxes so that their centres are where they were before a turn."""
    half = boxes[:, 2:] / 2
    centres = (boxes[:, :2] + half) @ back[:, :2].T + back[:, 2]
    return np.column_stack([centres - half, boxes[:, 2:]])


def _joined(several):
    """Put the faces of several searches together, the surest first."""
    parts = [[getattr(faces, name) for faces in several] for name in ("boxes", "scores", "eyes")]
    faces = Faces(*(np.concatenate(part) for part in parts))
    return faces.take(np.argsort(-faces.scores, kind="stable"))


def _without_copies(faces):
    """Leave out a face whose centre is in the box of a surer one."""
    centres = faces.boxes[:, :2] + faces.boxes[:, 2:] / 2
    kept = []
    for index, centre in enumerate(centres):
        offsets = np.abs(centre - centres[kept])
        if not (offsets < faces.boxes[kept, 2:] / 2).all(axis=1).any():
            kept.append(index)
    return faces.take(kept)
