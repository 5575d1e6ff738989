"""Networks that predict without TensorFlow: the shipped ones, and exported ones.

They run on LiteRT (TensorFlow Lite) and ONNX, from the first second of a process: for servers
and small devices.
"""

import hashlib
import json
import os
import queue
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from ._utils.optional import import_optional
from ._utils.pixels import ImageTagsMixin, check_pixel_range, check_pixels, to_unit_floats
from ._utils.prediction import PredictionMixin
from .preprocessing import resize_gray
from .weights import read_litert

__all__ = [
    "SIDECAR",
    "SIDECAR_VERSION",
    "ExportedClassifier",
    "LiteRTClassifier",
    "is_litert_installed",
    "load_exported",
    "sidecar_path",
]

#: The name of the JSON file in a folder of an export.
SIDECAR = "fer_sklearn.json"
#: Grows when what the JSON file says changes its meaning.
SIDECAR_VERSION = 1

_BATCH = 32  # more are not faster
_MOST_THREADS = 4


def is_litert_installed():
    """Tell whether the LiteRT runtime is there, as it is wherever it is built for."""
    try:
        import ai_edge_litert.interpreter  # noqa: F401
    except ImportError:
        return False
    return True


class LiteRTNetwork:
    """A LiteRT model, called TensorFlow Lite before.

    Parameters
    ----------
    content : bytes
        The contents of a ``.tflite`` file of one input and one output.
    n_threads : int or None, default=None
        Processor threads for one call; None is one a processor, at most four.
    batch_size : int or None, default=None
        How many images the model takes at once, if it takes no other number.
    """

    def __init__(self, content, *, n_threads=None, batch_size=None):
        self._content, self._n_threads, self._batch_size = content, n_threads, batch_size
        self._idle = queue.LifoQueue()

    def __call__(self, images):
        """Compute the answers.

        Parameters
        ----------
        images : ndarray of shape (n, h, w, channels), float32
            In the model's own range, also where it is quantised.

        Returns
        -------
        ndarray of shape (n, n_outputs), float32
        """
        try:
            interpreter = self._idle.get_nowait()
        except queue.Empty:
            interpreter = self._make_interpreter()
        step = self._batch_size or len(images)
        answers = [
            _filled(interpreter, images[start : start + step], step)
            for start in range(0, len(images), step)
        ]
        self._idle.put(interpreter)
        return np.concatenate(answers)

    def __getstate__(self):
        # Interpreters cannot be copied, and are made when needed.
        return {name: value for name, value in vars(self).items() if name != "_idle"}

    def __setstate__(self, state):
        self.__dict__.update(state, _idle=queue.LifoQueue())

    def _make_interpreter(self):
        from ai_edge_litert.interpreter import Interpreter

        n_threads = self._n_threads or min(os.cpu_count() or 1, _MOST_THREADS)
        interpreter = Interpreter(model_content=self._content, num_threads=n_threads)
        interpreter.allocate_tensors()
        return interpreter


class ONNXNetwork:
    """An ONNX model.

    Parameters
    ----------
    content : bytes
        The contents of an ``.onnx`` file of one input and one output.
    n_threads : int or None, default=None
        Processor threads for one call; None leaves it to onnxruntime.
    """

    def __init__(self, content, *, n_threads=None):
        self._content, self._n_threads = content, n_threads
        self._session = self._make_session()

    def __call__(self, images):
        """Compute the answers, as :meth:`LiteRTNetwork.__call__` does."""
        (given,) = self._session.get_inputs()
        return self._session.run(None, {given.name: images})[0]

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "_session"}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._session = self._make_session()

    def _make_session(self):
        runtime = import_optional("onnxruntime", extra="onnx", purpose="Running an ONNX model")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = self._n_threads or 0
        options.log_severity_level = 3  # errors; it warns of what its own optimiser does
        return runtime.InferenceSession(self._content, options, providers=["CPUExecutionProvider"])


class LiteRTClassifier(PredictionMixin, ImageTagsMixin, ClassifierMixin, BaseEstimator):
    """A trained network that the LiteRT runtime computes.

    It answers as the :class:`~fer_sklearn.FERCNNClassifier` that it came from, to two thousandths,
    starts without TensorFlow, and takes less time for an image; it cannot be trained.
    Several threads may predict at once.

    Parameters
    ----------
    source : str or Path, default="default"
        A shipped name, or an ``.npz`` file of :mod:`fer_sklearn.weights` with a LiteRT model.
    test_time_augmentation : bool, default=True
        Average the probabilities of each image and its mirror image; takes twice as long.
    n_threads : int or None, default=None
        Processor threads for one batch; None is one a processor, at most four.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    image_shape_ : tuple of int
        Height and width of the images.
    n_features_in_ : int
        Their product.
    pixel_range_ : tuple of float
        Lowest and highest pixel in training.

    Examples
    --------
    >>> from fer_sklearn import load_pretrained, make_faces
    >>> X, y = make_faces(7, random_state=0, return_X_y=True)
    >>> load_pretrained("tiny", runtime="litert").predict_proba(X).shape
    (7, 7)
    """

    _images_at_a_time = 32  # more are not faster

    def __init__(self, source="default", *, test_time_augmentation=True, n_threads=None):
        self.source = source
        self.test_time_augmentation = test_time_augmentation
        self.n_threads = n_threads

    def load(self):
        """Read the network, and so become fitted.

        Returns
        -------
        self : LiteRTClassifier

        Raises
        ------
        ValueError
            For an unknown name, a damaged file, or one without a LiteRT model.
        FileNotFoundError
            If there is no such file.
        """
        model, described = read_litert(self.source)
        self.classes_ = np.array(described["classes"])
        self.image_shape_ = tuple(described["image_shape"])
        self.n_features_in_ = self.image_shape_[0] * self.image_shape_[1]
        self.pixel_range_ = tuple(described["pixel_range"])
        self._predict_batch = LiteRTNetwork(model, n_threads=self.n_threads)
        return self

    def fit(self, X, y=None):
        """Refuse: this runtime only predicts.

        Raises
        ------
        NotImplementedError
            Always.
        """
        raise NotImplementedError(
            "LiteRTClassifier cannot be trained. Train a FERCNNClassifier, such as that of "
            "load_pretrained(runtime='keras')."
        )

    def __sklearn_is_fitted__(self):
        return hasattr(self, "classes_")


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


def _filled(interpreter, images, size):
    """Run one batch, filled up to `size`, which is what the interpreter takes."""
    (given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    n_images = len(images)
    if n_images < size:
        images = np.concatenate([images, np.repeat(images[-1:], size - n_images, axis=0)])
    if tuple(given["shape"]) != images.shape:
        interpreter.resize_tensor_input(given["index"], images.shape)
        interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], _quantized(images, given))
    interpreter.invoke()
    return _dequantized(interpreter.get_tensor(answer["index"]), answer)[:n_images]


def _quantized(images, tensor):
    if tensor["dtype"] == np.float32:
        return images
    scale, zero = tensor["quantization"]
    levels = np.iinfo(tensor["dtype"])
    return np.clip(np.rint(images / scale) + zero, levels.min, levels.max).astype(tensor["dtype"])


def _dequantized(answers, tensor):
    if tensor["dtype"] == np.float32:
        return answers
    scale, zero = tensor["quantization"]
    return (answers.astype(np.float32) - zero) * np.float32(scale)
