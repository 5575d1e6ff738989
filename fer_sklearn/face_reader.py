"""Photos in, faces with probabilities out: a model and a detector, taken apart from a pipeline."""

import numpy as np

from .faces import FaceCropper, crop_face, detect_faces
from .pretrained import fastest_runtime, load_pretrained

__all__ = ["FaceReader", "as_reader"]

# Faces are cut out at this side where the model does not say what it scales them to.
_SIDE = 48


class FaceReader:
    """Find all faces of a photo, cut them out, and tell their emotions.

    The three steps are apart, so that faces of many photos can be classified at once.
    Several threads may use one reader.

    Parameters
    ----------
    model : estimator or None, default=None
        A fitted pipeline or classifier that takes a list of pictures. Its step ``crop``, if
        it has one, tells how faces are cut out. None is the model that ships, on the
        runtime that starts fastest.
    detector : None, str, callable or list of boxes, default=None
        As in :class:`~fer_sklearn.FaceCropper`. None is that of the model's step ``crop``,
        or ``"haar"``.

    Attributes
    ----------
    classes : list of str
        The model's labels, in the order of the probabilities.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> reader = FaceReader()
    >>> faces = reader.find(astronaut())
    >>> labels, probabilities = reader.classify(reader.cut(astronaut(), faces))
    >>> labels.tolist(), probabilities.shape
    (['happy'], (1, 7))
    """

    def __init__(self, model=None, *, detector=None):
        model = load_pretrained(runtime=fastest_runtime()) if model is None else model
        self._cropper, self._model = _taken_apart(model)
        self._detector = self._cropper.detector if detector is None else detector
        self.classes = [str(label) for label in self._model.classes_]

    def find(self, photo):
        """Find the faces of one photo.

        Parameters
        ----------
        photo : ndarray of shape (h, w) or (h, w, 3), uint8
            Grey or RGB.

        Returns
        -------
        Faces
        """
        return detect_faces(photo, self._detector)

    def cut(self, photo, faces):
        """Cut faces out of the photo in which they were found.

        Parameters
        ----------
        photo : ndarray of shape (h, w) or (h, w, 3), uint8
        faces : Faces

        Returns
        -------
        list of ndarray of shape (height, width) or (height, width, 3), uint8
            Of the size that the model scales to.
        """
        eyes = faces.eyes if self._cropper.align else [None] * len(faces.boxes)
        return [
            crop_face(photo, box, self._size, self._cropper.margin, eyes=pair)
            for box, pair in zip(faces.boxes, eyes, strict=True)
        ]

    def classify(self, pictures):
        """Tell the emotion of each picture, which is nothing but a face.

        Parameters
        ----------
        pictures : list of ndarray of shape (h, w) or (h, w, 3), uint8

        Returns
        -------
        labels : ndarray of shape (n,), str
        probabilities : ndarray of shape (n, n_classes), float64
            NaN where the model has no ``predict_proba``.
        """
        unknown = np.full((len(pictures), len(self.classes)), np.nan)
        if not len(pictures):
            return np.array([], str), unknown
        if not hasattr(self._model, "predict_proba"):
            return self._model.predict(pictures).astype(str), unknown
        probabilities = np.asarray(self._model.predict_proba(pictures), np.float64)
        return np.array(self.classes)[probabilities.argmax(axis=1)], probabilities

    @property
    def _size(self):
        resize = getattr(self._model, "named_steps", {}).get("resize")
        size = getattr(resize, "size", _SIDE)
        return size if isinstance(size, tuple) else (size, size)


def as_reader(model, detector):
    """Return `model` if it finds faces itself, else a reader that does so for it."""
    if all(hasattr(model, name) for name in ("find", "cut", "classify")):
        return model
    return FaceReader(model, detector=detector)


def _taken_apart(model):
    """Return the cropper of a pipeline, or a plain one, and the rest."""
    names = [name for name, _ in getattr(model, "steps", [])]
    cropper, rest = (model[0], model[1:]) if names[:1] == ["crop"] else (FaceCropper(), model)
    if not hasattr(rest, "predict") or not hasattr(rest, "classes_"):
        raise TypeError(
            f"model is a {type(model).__name__} that cannot predict labels; expected a fitted "
            f"classifier, such as load_pretrained() or a pipeline after fit."
        )
    return cropper, rest
