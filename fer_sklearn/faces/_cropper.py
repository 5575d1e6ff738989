"""The transformer that crops one face from each photo."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from .._utils.compat import output_config
from .._utils.estimators import ImageOutputMixin, PhotoTransformer
from .._utils.pixel_values import PixelStack
from .._utils.pixels import known_shapes, pixel_names
from .._utils.typing import ImagesLike, PixelArray, Size
from .._utils.validation import check_choice, check_column_order, check_pair
from ..exceptions import NoFaceError, NoFaceWarning
from ..images import iter_photos, resize
from ._crop import FRAMINGS, crop_faces
from ._detect import Detector, detect_in_pixels, faces_of_photos, is_boxes, resolve_detector
from ._faces import Faces

__all__ = ["FaceCropper"]


class FaceCropper(ImageOutputMixin, PhotoTransformer):
    """Crop one face from each photo.

    Only the size of flattened images is learned, so `transform` works without `fit`. The number of
    photos never changes: `on_no_face` chooses what replaces a face that was not found, and one
    :class:`~fer_sklearn.exceptions.NoFaceWarning` says how many there were.

    Parameters
    ----------
    size : int or (int, int), default=48
        Side of the faces, or their height and width, in pixels.
    detector : {"blazeface", "haar", "yunet"}, callable, object or list, default="blazeface"
        The face detector. A name stands for :class:`BlazeFaceDetector`, :class:`HaarDetector` or
        :class:`YuNetDetector` with its defaults. A function, or an object with a method ``detect``,
        such as ``BlazeFaceDetector(min_face_size=60)``, takes ``uint8`` grey or RGB pixels and
        returns `Faces` or boxes (left, top, width, height and optionally a score). You can also
        pass a list of known faces: for each photo of the batch a box, a list of boxes,
        `Faces`, or None for no face.
    select : {"largest", "center", "most_certain"}, default="largest"
        Which face to take if there are several: the largest one, the one nearest to the centre
        of the photo, or the one with the highest score.
    framing : {"keypoints", "box"}, default="keypoints"
        How to frame a face as in FER2013. ``"keypoints"`` moves, rotates and scales it so that its
        eyes and mouth, if the detector found them, are where they are in that data set. ``"box"``
        only moves and scales it by its box.
    on_no_face : {"full_image", "raise", "blank"}, default="full_image"
        For a photo without a face: scale the whole photo to `size`, raise an error, or return
        a black image.

    Attributes
    ----------
    image_shape_ : (int, int) or None
        Height and width of the photos seen in `fit`, if they were arrays of one size.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> FaceCropper(size=64).fit_transform([astronaut()]).shape
    (1, 64, 64, 3)
    """

    def __init__(
        self,
        *,
        size: Size = 48,
        detector: Detector = "blazeface",
        select: str = "largest",
        framing: str = "keypoints",
        on_no_face: str = "full_image",
    ) -> None:
        self.size = size
        self.detector = detector
        self.select = select
        self.framing = framing
        self.on_no_face = on_no_face

    def transform(self, X: ImagesLike) -> PixelArray:
        """Crop the faces.

        Parameters
        ----------
        X : list, object array, or ndarray of shape (n, h, w), (n, h, w, 1 | 3 | 4) or (n, h * w)
            Photos of any sizes: paths or pixels. Flattened ones must have the size seen in `fit`.

        Returns
        -------
        ndarray of shape (n, height, width, 3), uint8
            RGB, or (n, height, width) if all photos are grey. A table, always RGB, if `set_output`
            requests one.

        Raises
        ------
        ValueError
            If `detector` is a list with another length than `X`, or `X` is one photo without the
            batch axis.
        NoFaceError
            If a photo has no face and ``on_no_face="raise"``.
        ImageReadError
            If a file is missing or damaged; the message names it.

        Warns
        -----
        NoFaceWarning
            Once per batch, if some photos have no face.
        """
        size = self._check_parameters()
        check_column_order(self, X, reset=False)
        photos = iter_photos(X, known=known_shapes(self), owner=type(self).__name__)
        detect = self._detect_function(len(photos))
        faces, faceless = _Faces(), []
        for index, photo in enumerate(photos):
            candidates = detect(index, photo)
            if len(candidates) == 0:
                faceless.append(index)
                faces.append(self._replacement(photo, size, photos.name(index)))
            else:
                chosen = _SELECTORS[self.select](candidates, photo.shape)
                faces.append(*crop_faces(photo, candidates.take([chosen]), size, self.framing))
        if faceless:
            self._warn(faceless, len(photos))
        stack = faces.finish()
        if stack.ndim == 3 and output_config("transform", self)["dense"] != "default":
            # Columns of a table are known before its photos are.
            stack = np.repeat(stack[..., np.newaxis], 3, axis=3)
        return self._as_output(X, stack)

    def _feature_names(self) -> tuple[str, ...]:
        return pixel_names((*check_pair("size", self.size, "(height, width)"), 3))

    def _check_parameters(self):
        check_choice("select", self.select, _SELECTORS)
        check_choice("framing", self.framing, FRAMINGS)
        check_choice("on_no_face", self.on_no_face, ("full_image", "raise", "blank"))
        if not is_boxes(self.detector):
            resolve_detector(self.detector)
        return check_pair("size", self.size, "(height, width)")

    def _detect_function(self, n_photos: int) -> Callable[[int, PixelArray], Faces]:
        """Return the function from a photo's position and pixels to its faces."""
        if is_boxes(self.detector):
            known = faces_of_photos(self.detector, n_photos)  # type: ignore[arg-type]
            return lambda index, photo: known[index]
        detector = resolve_detector(self.detector)
        return lambda index, photo: detect_in_pixels(photo, detector)

    def _replacement(self, photo, size, name):
        if self.on_no_face == "raise":
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


def _largest(faces, shape):
    return np.argmax(faces.boxes[:, 2] * faces.boxes[:, 3])


def _nearest_center(faces, shape):
    centres = faces.boxes[:, :2] + faces.boxes[:, 2:] / 2
    return np.argmin(np.square(centres - np.array([shape[1], shape[0]]) / 2).sum(axis=1))


def _most_certain(faces, shape):
    if np.isnan(faces.scores).any():
        raise ValueError(
            "select='most_certain' needs a detector that gives a score as the fifth number "
            "of each box. Choose select='largest'."
        )
    return np.argmax(faces.scores)


class _Faces(PixelStack):
    """Faces as RGB, or as grey if all are."""

    def __init__(self):
        super().__init__()
        self._is_color = False

    def append(self, image):
        """Add a face; those before become RGB if this is the first in colour."""
        if image.ndim == 3 and not self._is_color:
            before = list(self.finish())
            super().__init__()
            self._is_color = True
            for face in before:
                self.append(face)
        if image.ndim == 2 and self._is_color:
            image = np.repeat(image[..., np.newaxis], 3, axis=2)
        super().append(image)


_SELECTORS = {"largest": _largest, "center": _nearest_center, "most_certain": _most_certain}
