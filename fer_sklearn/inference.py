"""Networks that predict without TensorFlow: the bundled ones, and exported files.

One classifier runs them on LiteRT (formerly TensorFlow Lite) or ONNX Runtime, which start in a
fraction of TensorFlow's time: for servers and small devices.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from ._utils.compat import import_optional
from ._utils.estimators import ImageTagsMixin, PredictionMixin, set_network_attributes
from ._utils.litert import LiteRTNetwork, is_litert_installed
from ._utils.typing import FloatArray, ImagesLike, PathLike
from .images import resize_gray
from .weights import WeightsNetwork, is_weights_file

__all__ = [
    "METADATA_FILENAME",
    "METADATA_VERSION",
    "InferenceClassifier",
    "is_litert_installed",
    "load_exported",
    "metadata_path",
]

#: The name of the metadata file, which is JSON, in a folder that was exported.
METADATA_FILENAME = "fer_sklearn.json"
#: Incremented when the meaning of an entry in the metadata file changes.
METADATA_VERSION = 1


def metadata_path(path: Path) -> Path:
    """Return where the metadata file of an export is: in its folder, or next to its file.

    Parameters
    ----------
    path : Path
        The exported folder or file.

    Returns
    -------
    Path
    """
    return path / METADATA_FILENAME if path.is_dir() else path.with_name(f"{path.name}.json")


def load_exported(path: PathLike, *, n_threads: int | None = None) -> InferenceClassifier:
    """Load a ``"tflite"`` or ``"onnx"`` file that :func:`~fer_sklearn.export` wrote.

    Parameters
    ----------
    path : str or Path
        The file. Its metadata file, which was written with it, must be next to it.
    n_threads : int or None, default=None
        Threads per batch. If None, the runtime's default.

    Returns
    -------
    InferenceClassifier
        Fitted. TensorFlow is not imported.

    Raises
    ------
    FileNotFoundError
        If the file or its metadata file does not exist.
    ValueError
        If one of them is damaged, changed, or of a newer version, or `path` is in another format.
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
    return InferenceClassifier(Path(path), n_threads=n_threads).load()


class InferenceClassifier(PredictionMixin, ImageTagsMixin, ClassifierMixin, BaseEstimator):
    """A trained network that predicts without TensorFlow, and cannot be trained.

    Usually made by :func:`~fer_sklearn.load_pretrained` with ``runtime="litert"``, or by
    :func:`load_exported`. It takes less time per image than the
    :class:`~fer_sklearn.FERCNNClassifier` that it came from. Its probabilities differ by up to a
    few hundredths if the network uses integer arithmetic, as the bundled ones do, and otherwise
    only by rounding. Several threads may predict at once.

    Parameters
    ----------
    source : str or Path, default="default"
        The name of a bundled network, optionally with a label set, as in ``"default:ferplus"``;
        an ``.npz`` file of :mod:`fer_sklearn.weights` with a LiteRT model; or a ``"tflite"`` or
        ``"onnx"`` file that :func:`~fer_sklearn.export` wrote.
    test_time_augmentation : bool or None, default=None
        Whether to average the probabilities of each image and its mirror image, which takes
        twice as long. If None, True for weights and False for an exported file, whose network
        does so itself if the exported model did.
    n_threads : int or None, default=None
        Threads per batch. If None, the runtime's default: for LiteRT one per processor, at most
        four.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    image_shape_ : (int, int)
        Height and width of the images that the network takes.
    n_features_in_ : int
        Their product.
    pixel_range_ : (float, float)
        Lowest and highest pixel in training.
    description_ : dict
        The description in the weights file, or the contents of the metadata file.

    Examples
    --------
    >>> from fer_sklearn import load_pretrained, make_faces
    >>> X, y = make_faces(7, random_state=0, return_X_y=True)
    >>> load_pretrained("tiny", runtime="litert").predict_proba(X).shape
    (7, 7)
    """

    _images_at_a_time = 32  # more are not faster
    _network: LiteRTNetwork | ONNXNetwork | WeightsNetwork

    def __init__(
        self,
        source: PathLike = "default",
        *,
        test_time_augmentation: bool | None = None,
        n_threads: int | None = None,
    ) -> None:
        self.source = source
        self.test_time_augmentation = test_time_augmentation
        self.n_threads = n_threads

    def load(self) -> InferenceClassifier:
        """Read the network. The classifier is fitted afterwards.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For an unknown name, a damaged file, or one without a network that runs here.
        FileNotFoundError
            If there is no such file.
        MissingExtraError
            For ``"onnx"`` without ``onnxruntime``.
        """
        if _is_exported(self.source):
            self._load_exported(Path(self.source))
        else:
            self._load_weights()
        return self

    def _load_weights(self):
        self._network = WeightsNetwork(self.source, n_threads=self.n_threads)
        self._takes, self._repeats = "pixels", (1, 1)
        self.description_ = description = self._network.description
        set_network_attributes(
            self,
            classes=description["classes"],
            image_shape=description["image_shape"],
            pixel_range=description["pixel_range"],
        )

    def _load_exported(self, path):
        description, content = _read_exported(path)
        given = description["input"]
        batch_size, *sides, _ = given["shape"]
        if description["format"] == "onnx":
            self._network = ONNXNetwork(content, n_threads=self.n_threads)
        else:
            self._network = LiteRTNetwork(content, n_threads=self.n_threads, batch_size=batch_size)
        # A network that takes larger faces averages these copies back to the original pixels.
        self._repeats = tuple(
            (side or own) // own for side, own in zip(sides, given["model_size"], strict=True)
        )
        self._takes = given["kind"]
        self.description_ = description
        set_network_attributes(
            self,
            classes=description.get("numeric_labels") or description["labels"],
            image_shape=given["model_size"],
            pixel_range=given["range"],
        )

    def fit(self, X: Any, y: Any = None) -> InferenceClassifier:
        """Do nothing: the network stays as it is.

        This lets you use it in searches, pipelines and ``cross_val_predict``.

        Parameters
        ----------
        X, y : ignored

        Returns
        -------
        self

        Warns
        -----
        UserWarning
            Always, since nothing is trained.
        """
        warnings.warn(
            "InferenceClassifier cannot be trained: fit leaves its network as it is. To train, use "
            "a FERCNNClassifier, such as that of load_pretrained(runtime='keras').",
            stacklevel=2,
        )
        return self if hasattr(self, "classes_") else self.load()

    def predict_proba(self, X: ImagesLike) -> FloatArray:
        """Predict the probability of each label.

        Parameters
        ----------
        X : array-like of shape (n, h, w), (n, h, w, 1) or (n, h * w)
            Grey images of ``image_shape_``, on the scale of ``pixel_range_``. The export of a
            pipeline takes faces of any size, as :class:`~fer_sklearn.GrayscaleResizer` does:
            paths or pixels, uint8 or floats in [0, 1].

        Returns
        -------
        ndarray of shape (n, n_classes), float32
            In the order of ``classes_``; each row sums to one.
        """
        return super().predict_proba(X)

    def _check_images(self, X):
        if self._takes == "pixels":
            return super()._check_images(X)
        known = (self.image_shape_,)
        return resize_gray(X, self.image_shape_, known=known, owner=type(self).__name__)

    def _network_input(self, pixels):
        if self._takes == "pixels":
            return super()._network_input(pixels)
        faces = pixels.astype(np.float32)[..., np.newaxis]
        for axis, times in enumerate(self._repeats, start=1):
            faces = np.repeat(faces, times, axis=axis)
        return np.repeat(faces, 3, axis=-1) if self._takes == "rgb" else faces

    def _predict_batch(self, images):
        y_proba = self._network(images)
        if self.description_.get("precision") == "int8":
            # Rounded to 1/256 each, they rarely sum to one.
            y_proba /= np.maximum(y_proba.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return y_proba

    def _averages_mirror_images(self):
        if self.test_time_augmentation is None:
            return not _is_exported(self.source)
        return self.test_time_augmentation

    def __sklearn_is_fitted__(self):
        return hasattr(self, "classes_")


class ONNXNetwork:
    """An ONNX model with one input and one output.

    Parameters
    ----------
    content : bytes
        The contents of an ``.onnx`` file.
    n_threads : int or None, default=None
        Threads per call. If None, the default of onnxruntime.
    """

    def __init__(self, content: bytes, *, n_threads: int | None = None) -> None:
        self._content, self._n_threads = content, n_threads
        self._session = self._make_session()

    def __call__(self, images: FloatArray) -> FloatArray:
        """Compute the outputs for a batch, as :class:`LiteRTNetwork` does."""
        (given,) = self._session.get_inputs()
        return self._session.run(None, {given.name: images})[0]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_session"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._session = self._make_session()

    def _make_session(self):
        runtime = import_optional("onnxruntime", extra="onnx", purpose="Running an ONNX model")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = self._n_threads or 0
        options.log_severity_level = 3  # only errors; it warns about its own optimisations
        return runtime.InferenceSession(self._content, options, providers=["CPUExecutionProvider"])


def _is_exported(source):
    """Return whether `source` is an exported file: a path that is not a weights file."""
    if is_weights_file(source):
        return False
    return isinstance(source, Path) or Path(source).suffix != "" or Path(source).exists()


def _read_exported(path):
    """Return the metadata of an exported file, and its checked contents."""
    metadata = metadata_path(path)
    for needed in (path, metadata):
        if not needed.exists():
            raise FileNotFoundError(
                f"path={str(path)!r}: {str(needed)!r} does not exist; expected a file that "
                f"fer_sklearn.export wrote, with its metadata file next to it. Copy both."
            )
    damaged = ValueError(
        f"path={str(path)!r}: the metadata file {str(metadata)!r} is damaged, or "
        f"fer_sklearn.export did not write it. Export again."
    )
    try:
        description = json.loads(metadata.read_text(encoding="utf-8"))
        format, version = description["format"], int(description["version"])
    except (ValueError, KeyError, TypeError):
        raise damaged from None
    if version > METADATA_VERSION:
        raise ValueError(
            f"path={str(path)!r} was exported by a newer fer_sklearn (version {version} of the "
            f"metadata file; this one reads {METADATA_VERSION}). "
            f"Type: pip install --upgrade fer_sklearn"
        )
    if format not in ("tflite", "onnx"):
        raise ValueError(
            f"path={str(path)!r} has the format {format!r}; expected 'tflite' or 'onnx', which run "
            f"without TensorFlow. Export the model again as one of these."
        )
    if not _is_complete(description):
        raise damaged
    content = path.read_bytes()
    (expected,) = (file["sha256"] for file in description["files"].values())
    if hashlib.sha256(content).hexdigest() != expected:
        raise ValueError(
            f"path={str(path)!r} does not match the checksum in {str(metadata)!r}: it was changed, "
            f"damaged or renamed over another. Export again."
        )
    return description, content


def _is_complete(description):
    """Return whether a metadata file describes one network, and names each of its outputs."""
    try:
        labels, given, files = (description[name] for name in ("labels", "input", "files"))
        n_labels = description["output"]["shape"][1]
        names = description.get("numeric_labels") or labels
        return (
            len(set(labels)) == len(set(names)) == len(names) == n_labels
            and given["kind"] in ("pixels", "gray", "rgb")
            and (len(given["shape"]), len(given["model_size"]), len(given["range"])) == (4, 2, 2)
            and ["sha256" in file for file in files.values()] == [True]
        )
    except (KeyError, TypeError, IndexError, AttributeError):
        return False
