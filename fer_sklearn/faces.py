"""Find the face in each photo and cut it out."""

import warnings
from numbers import Real
from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import Interval

from ._haar import HaarDetector
from ._photos import ImageOutputMixin, as_photo, iter_photos, resize
from ._validation import ImageTagsMixin, as_photo_list, check_choice, check_pair
from .exceptions import NoFaceError, NoFaceWarning

__all__ = ["FaceCropper", "HaarDetector", "crop_face", "detect_faces"]


def detect_faces(photo, detector="haar"):
    """Find the faces of one photo.

    Parameters
    ----------
    photo : str, path-like, or array-like of shape (h, w), (h, w, 3) or (h, w, 4)
        A file, or grey, RGB or RGBA pixels.
    detector : "haar" or callable, default="haar"
        ``"haar"`` is ``HaarDetector()``. A callable gets ``uint8`` grey or RGB pixels and
        returns boxes as below.

    Returns
    -------
    ndarray of shape (n_faces, 4) or (n_faces, 5)
        Left, top, width and height in pixels of the photo, and perhaps a certainty.

    Raises
    ------
    ValueError
        For an unknown `detector`, or one that returns something else.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> detect_faces(astronaut()).shape
    (1, 5)
    """
    found = _resolve_detector(detector)(as_photo(photo))
    if len(found) == 0:
        return np.empty((0, 5))
    boxes = np.asarray(found, dtype=np.float64).reshape(len(found), -1)
    if boxes.shape[1] not in (4, 5) or not np.isfinite(boxes).all() or (boxes[:, 2:4] <= 0).any():
        raise ValueError(
            f"detector={detector!r} returned {boxes[0].tolist()} as the first of "
            f"{len(boxes)} boxes; expected left, top, width, height and perhaps a certainty, "
            f"finite, width and height above 0."
        )
    return boxes


def crop_face(photo, box, size, margin=0.0):
    """Cut a box out of a photo, in the proportions of `size`.

    Parameters
    ----------
    photo : ndarray of shape (h, w) or (h, w, 3), uint8
        Grey or RGB.
    box : sequence of float
        Left, top, width and height in pixels; what follows is ignored. Its shorter side is
        lengthened to the proportions of `size`, so that nothing is distorted.
    size : (int, int)
        Height and width of the result.
    margin : float, default=0.0
        Share of the box added on each of its sides.

    Returns
    -------
    ndarray of shape (height, width) or (height, width, 3), uint8
        Where the box leaves the photo, its border is continued.

    Examples
    --------
    >>> import numpy as np
    >>> crop_face(np.zeros((60, 80), np.uint8), (10, 20, 30, 30), (48, 48)).shape
    (48, 48)
    """
    import cv2

    left, top, width, height = (float(number) for number in box[:4])
    centre_x, centre_y = left + width / 2, top + height / 2
    unit = max(height / size[0], width / size[1]) * (1 + 2 * margin)
    height, width = max(1, round(unit * size[0])), max(1, round(unit * size[1]))
    top, left = round(centre_y - height / 2), round(centre_x - width / 2)
    missing = (
        max(0, -top),
        max(0, top + height - photo.shape[0]),
        max(0, -left),
        max(0, left + width - photo.shape[1]),
    )
    if any(missing):
        photo = cv2.copyMakeBorder(photo, *missing, cv2.BORDER_REPLICATE)
    top, left = top + missing[0], left + missing[2]
    return resize(photo[top : top + height, left : left + width], tuple(size))


class FaceCropper(ImageOutputMixin, ImageTagsMixin, TransformerMixin, BaseEstimator):
    """Cut one face out of each photo.

    Stateless: `transform` works without `fit`. The number of photos never changes: where
    no face is found, `on_no_face` says what stands in for it, and one
    :class:`~fer_sklearn.exceptions.NoFaceWarning` tells how many there were.

    Parameters
    ----------
    size : int or (int, int), default=48
        Side of the faces, or their height and width, in pixels.
    detector : "haar" or callable, default="haar"
        What finds faces: :class:`HaarDetector` with its defaults, or a function from
        ``uint8`` grey or RGB pixels to boxes (left, top, width, height and perhaps a
        certainty), such as ``HaarDetector(min_neighbors=5)``.
    select : {"largest", "center", "most_certain"}, default="largest"
        Which face is taken where there are several.
    margin : float, default=0.0
        Share of the face's box added on each side.
    on_no_face : {"full_image", "raise", "blank"}, default="full_image"
        For a photo without a face: the whole photo is scaled to `size`, an error is
        raised, or a black image is given.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> FaceCropper(size=64).fit_transform([astronaut()]).shape
    (1, 64, 64, 3)
    """

    _parameter_constraints: ClassVar[dict] = {
        "margin": [Interval(Real, 0, 10, closed="both")],
    }

    def __init__(
        self,
        *,
        size=48,
        detector="haar",
        select="largest",
        margin=0.0,
        on_no_face="full_image",
    ):
        self.size = size
        self.detector = detector
        self.select = select
        self.margin = margin
        self.on_no_face = on_no_face

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Check the parameters; there is nothing to learn.

        Parameters
        ----------
        X : batch of photos
            Not read, only counted.
        y : ignored

        Returns
        -------
        self
        """
        self._check_names()
        as_photo_list(X)
        return self

    def transform(self, X):
        """Cut out the faces.

        Parameters
        ----------
        X : list, object array, or ndarray of shape (n, h, w), (n, h, w, 1 | 3 | 4) or (n, h * w)
            Photos of any sizes: paths or pixels.

        Returns
        -------
        ndarray of shape (n, height, width, 3), uint8
            RGB, or (n, height, width) where every photo is grey.

        Raises
        ------
        NoFaceError
            If a photo has no face and ``on_no_face="raise"``.
        ImageReadError
            For a file that is missing or damaged; the message names it.

        Warns
        -----
        NoFaceWarning
            Once a batch, if some photos have no face.
        """
        size = self._check_names()
        faces, faceless = [], []
        for index, photo in enumerate(iter_photos(X)):
            boxes = detect_faces(photo, self.detector)
            if len(boxes) == 0:
                faceless.append(index)
                faces.append(self._stand_in(photo, size, index, X))
            else:
                box = _SELECTORS[self.select](boxes, photo.shape)
                faces.append(crop_face(photo, box, size, self.margin))
        if faceless:
            self._warn(faceless, len(faces))
        return _stack(faces)

    def _check_names(self):
        self._validate_params()
        check_choice("select", self.select, _SELECTORS)
        check_choice("on_no_face", self.on_no_face, ("full_image", "raise", "blank"))
        _resolve_detector(self.detector)
        return check_pair("size", self.size, "(height, width)")

    def _stand_in(self, photo, size, index, X):
        if self.on_no_face == "raise":
            item = as_photo_list(X)[index]
            name = f"X[{index}]" if isinstance(item, np.ndarray) else str(item)
            raise NoFaceError(
                f"No face was found in {name}, {photo.shape[0]}×{photo.shape[1]} pixels. "
                f"Leave the photo out, or set on_no_face='full_image' or 'blank'."
            )
        if self.on_no_face == "blank":
            return np.zeros((*size, *photo.shape[2:]), np.uint8)
        return resize(photo, size)

    def _warn(self, faceless, n_photos):
        shown = ", ".join(map(str, faceless[:5])) + (", …" if len(faceless) > 5 else "")
        warnings.warn(
            f"No face was found in {len(faceless)} of {n_photos} photos (positions {shown}); "
            f"on_no_face={self.on_no_face!r} was applied.",
            NoFaceWarning,
            stacklevel=3,
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True
        tags.input_tags.positive_only = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _resolve_detector(detector):
    if callable(detector):
        return detector
    if detector == "haar":
        return HaarDetector()
    raise ValueError(
        f"detector={detector!r} is unknown; expected 'haar' or a function from pixels to boxes."
    )


def _largest(boxes, shape):
    return boxes[np.argmax(boxes[:, 2] * boxes[:, 3])]


def _nearest_center(boxes, shape):
    offsets = boxes[:, :2] + boxes[:, 2:4] / 2 - np.array([shape[1], shape[0]]) / 2
    return boxes[np.argmin(np.square(offsets).sum(1))]


def _most_certain(boxes, shape):
    if boxes.shape[1] == 5:
        return boxes[np.argmax(boxes[:, 4])]
    raise ValueError(
        "select='most_certain' needs a detector that gives a certainty as the fifth number "
        "of each box. Choose select='largest'."
    )


def _stack(faces):
    """Stack faces, as RGB unless all are grey."""
    if any(face.ndim == 3 for face in faces):
        faces = [face if face.ndim == 3 else np.repeat(face[..., None], 3, 2) for face in faces]
    return np.stack(faces)


_SELECTORS = {"largest": _largest, "center": _nearest_center, "most_certain": _most_certain}
