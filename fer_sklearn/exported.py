"""Exported networks as classifiers, without TensorFlow: for servers and small devices."""

import hashlib
import json
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from ._runtimes import LiteRTNetwork, ONNXNetwork
from ._validation import (
    ImageTagsMixin,
    check_pixel_range,
    check_pixels,
    to_unit_floats,
)
from .preprocessing import resize_gray

__all__ = ["SIDECAR", "SIDECAR_VERSION", "ExportedClassifier", "load_exported", "sidecar_path"]

#: The name of the JSON file in a folder of an export.
SIDECAR = "fer_sklearn.json"
#: Grows when what the JSON file says changes its meaning.
SIDECAR_VERSION = 1

_BATCH = 32  # more are not faster


def sidecar_path(path):
    """Return where the JSON file of an export is: in its folder, or beside its file."""
    return path / SIDECAR if path.is_dir() else path.with_name(f"{path.name}.json")


def load_exported(path, *, n_threads=None):
    """Load a ``"tflite"`` or ``"onnx"`` file that :func:`~fer_sklearn.export` wrote.

    Parameters
    ----------
    path : str or Path
        The file; the JSON file that was written with it lies beside it.
    n_threads : int or None, default=None
        Processor threads for one batch; None leaves it to the runtime.

    Returns
    -------
    ExportedClassifier
        Fitted. TensorFlow is not imported.

    Raises
    ------
    FileNotFoundError
        If the file, or the JSON file beside it, does not exist.
    ValueError
        If one of them is damaged, changed, or of a newer version, or `path` is of another format.
    MissingExtraError
        For ``"onnx"`` without ``onnxruntime``.

    Examples
    --------
    >>> import tempfile
    >>> from fer_sklearn import export, load_exported, load_pretrained, make_faces
    >>> X, y = make_faces(7, random_state=0, return_X_y=True)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = export(load_pretrained("tiny"), f"{folder}/tiny.tflite")
    ...     load_exported(f"{folder}/tiny.tflite").predict_proba(X).shape
    (7, 7)
    """
    return ExportedClassifier(path, n_threads=n_threads).load()


class ExportedClassifier(ImageTagsMixin, ClassifierMixin, BaseEstimator):
    """A network in a file of another runtime, which only predicts.

    Usually made by :func:`load_exported`. Nothing is learned in `fit`, so that the
    classifier keeps its network inside ``cross_val_predict``, searches and pipelines.

    Parameters
    ----------
    path : str or Path
        A ``"tflite"`` or ``"onnx"`` file that :func:`~fer_sklearn.export` wrote.
    n_threads : int or None, default=None
        Processor threads for one batch; None leaves it to the runtime.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    image_shape_ : tuple of int
        Height and width of what the network sees.
    n_features_in_ : int
        Their product.
    description_ : dict
        What the JSON file says.
    """

    def __init__(self, path, *, n_threads=None):
        self.path = path
        self.n_threads = n_threads

    def load(self):
        """Read the file, and so become fitted.

        Returns
        -------
        self : ExportedClassifier
        """
        path = Path(self.path)
        description, content = _read(path)
        given = description["input"]
        self.description_ = description
        self.classes_ = np.array(description["labels"])
        self.image_shape_ = tuple(given["model_size"])
        self.n_features_in_ = self.image_shape_[0] * self.image_shape_[1]
        if description["format"] == "onnx":
            self._network = ONNXNetwork(content, n_threads=self.n_threads)
        else:
            batch_size = given["shape"][0]
            self._network = LiteRTNetwork(content, n_threads=self.n_threads, batch_size=batch_size)
        return self

    def fit(self, X, y=None):
        """Learn nothing: the network stays as it was exported.

        Parameters
        ----------
        X, y : ignored

        Returns
        -------
        self : ExportedClassifier
        """
        return self if hasattr(self, "classes_") else self.load()

    def predict(self, X):
        """Predict the label of each face.

        Parameters
        ----------
        X : batch of faces
            As in :meth:`predict_proba`.

        Returns
        -------
        ndarray of shape (n,)
        """
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def predict_proba(self, X):
        """Predict the probability of each label.

        Parameters
        ----------
        X : list, object array, or ndarray of shape (n, h, w), (n, h, w, 1 | 3 | 4) or (n, h * w)
            Faces of any size, as :class:`~fer_sklearn.GrayscaleResizer` takes them: paths or
            pixels, uint8 or floats in [0, 1]. An export of a pipeline without that step takes
            what its classifier takes.

        Returns
        -------
        ndarray of shape (n, n_classes), float32
            In the order of ``classes_``.
        """
        check_is_fitted(self, "classes_")
        images = self._images(X)
        batches = [self._network(images[i : i + _BATCH]) for i in range(0, len(images), _BATCH)]
        return np.concatenate(batches)

    def _images(self, X):
        """Prepare what the graph takes."""
        given = self.description_["input"]
        if given["kind"] == "pixels":
            pixels = check_pixels(self, X, reset=False)
            check_pixel_range(pixels, given["range"], type(self).__name__)
            return to_unit_floats(pixels)
        faces = resize_gray(X, self.image_shape_).astype(np.float32)[..., None]
        for axis, own in enumerate(self.image_shape_, start=1):
            # Where the graph takes larger faces, it averages these copies into what they were.
            times = (given["shape"][axis] or own) // own
            faces = np.repeat(faces, times, axis=axis)
        return np.repeat(faces, 3, axis=-1) if given["kind"] == "rgb" else faces

    def __sklearn_is_fitted__(self):
        return hasattr(self, "classes_")


def _read(path):
    """Return what the JSON file says, and the checked contents of the network's file."""
    beside = sidecar_path(path)
    for needed in (path, beside):
        if not needed.exists():
            raise FileNotFoundError(
                f"path={str(path)!r}: {str(needed)!r} does not exist; expected a file that "
                f"fer_sklearn.export wrote, and its JSON file beside it. Copy both."
            )
    try:
        description = json.loads(beside.read_text(encoding="utf-8"))
        format, version = description["format"], description["version"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(
            f"path={str(path)!r}: the JSON file {str(beside)!r} is damaged, or fer_sklearn.export "
            f"did not write it. Export again."
        ) from None
    if version > SIDECAR_VERSION:
        raise ValueError(
            f"path={str(path)!r} was exported by a newer fer_sklearn (version {version} of the "
            f"JSON file; this one reads {SIDECAR_VERSION}). Type: pip install --upgrade fer_sklearn"
        )
    if format not in ("tflite", "onnx"):
        raise ValueError(
            f"path={str(path)!r} has the format {format!r}; expected 'tflite' or 'onnx', which run "
            f"without TensorFlow. Export the model again as one of these."
        )
    content = path.read_bytes()
    (expected,) = (file["sha256"] for file in description["files"].values())
    if hashlib.sha256(content).hexdigest() != expected:
        raise ValueError(
            f"path={str(path)!r} does not match the checksum in {str(beside)!r}: it was changed, "
            f"damaged or renamed over another. Export again."
        )
    return description, content
