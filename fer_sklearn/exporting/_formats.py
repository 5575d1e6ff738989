"""The formats that networks are exported to: how each is written, and what runs it."""

import io
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np

from .._utils.optional import import_optional
from ..exceptions import MissingExtraError
from ..inference import LiteRTNetwork, ONNXNetwork, is_litert_installed
from ._node import MissingNodeError, run_tfjs
from ._tfjs import read_back, write_tfjs
from ._web import write_web

__all__ = ["FORMATS", "LITERT_PRECISIONS", "Order", "to_litert"]

LITERT_PRECISIONS = ("float32", "float16", "dynamic_int8", "int8")
#: What writing and running ONNX needs, of the extra ``onnx``.
ONNX_MODULES = ("onnx", "tf2onnx", "onnxruntime")


def to_litert(model, *, precision="float16", representative=None):
    """Convert a Keras network to a LiteRT model.

    Parameters
    ----------
    model : keras.Model
        Built, on the TensorFlow backend; ``FERCNNClassifier.model_``, for example.
    precision : {"float16", "float32", "dynamic_int8", "int8"}, default="float16"
        Of the stored weights. What is computed is float32 in the first two; with
        ``"dynamic_int8"`` integers where a layer allows it; with ``"int8"`` integers
        throughout, also what goes in and comes out (``uint8``).
    representative : ndarray of shape (n, h, w, channels), float32, or None
        Some hundred inputs, of which ``"int8"`` learns the range of each layer. Ignored otherwise.

    Returns
    -------
    bytes
        The contents of a ``.tflite`` file.

    Examples
    --------
    >>> from fer_sklearn import load_pretrained
    >>> len(to_litert(load_pretrained("tiny")[-1].model_)) < 300_000
    True
    """
    import tensorflow as tf

    # `from_concrete_functions` would write a file without weights, which answers NaN.
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.representative_dataset = lambda: ([image[None]] for image in representative)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    # Keras lists what it saves meanwhile; TensorFlow misses statistics of an older interface.
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Statistics for quantized inputs")
        return converter.convert()


def write_saved_model(model, folder):
    """Write a network as a TensorFlow SavedModel.

    Parameters
    ----------
    model : keras.Model
    folder : Path
        It exists and is empty.
    """
    with redirect_stdout(io.StringIO()):  # where Keras describes what it wrote
        model.export(folder, format="tf_saved_model", verbose=False)


def run_saved_model(folder, images):
    """Load what :func:`write_saved_model` wrote, and compute its answers.

    Parameters
    ----------
    folder : Path
    images : ndarray of shape (n, h, w, channels), float32

    Returns
    -------
    ndarray of shape (n, n_outputs), float32
    """
    import tensorflow as tf

    loaded = tf.saved_model.load(folder)  # to be kept while it computes
    return loaded.serve(images).numpy()


def write_onnx(model, path):
    """Write a network as an ONNX file.

    Parameters
    ----------
    model : keras.Model
    path : Path
    """
    import tensorflow as tf

    # A reloaded model has forgotten with which shapes it was called.
    (given,) = model.inputs
    signature = [tf.TensorSpec(given.shape, tf.float32, name="faces")]
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # both of the converter's own code
        warnings.simplefilter("ignore", FutureWarning)
        model.export(path, format="onnx", input_signature=signature, verbose=False)


@dataclass(frozen=True)
class Order:
    """What a format may need to know beside the network."""

    precision: str
    representative: np.ndarray  # inputs, as `to_litert` takes them
    description: dict  # the JSON file's
    vendor: object  # as `write_web` takes it


@dataclass(frozen=True)
class Format:
    """How networks are written in one format, and run."""

    write: Callable  # (model, path, order); the path of a folder exists
    run: Callable  # (path, images, description) -> answers and the name of what computed them
    suffix: str | None = None  # of a file; None is a folder
    network: str = "."  # the part of a folder that holds the network
    takes_any_size: bool = True
    check: Callable = lambda: None  # raises if what it needs is not installed


def _write_litert(model, path, order):
    path.write_bytes(
        to_litert(model, precision=order.precision, representative=order.representative)
    )


def _run_litert(path, images, description):
    batch_size = description["input"]["shape"][0]
    network = LiteRTNetwork(path.read_bytes(), batch_size=batch_size)
    return network(images), f"ai-edge-litert {version('ai-edge-litert')}"


def _check_litert():
    if not is_litert_installed():
        raise MissingExtraError(
            "format='tflite' needs the package 'ai-edge-litert' to run what it wrote, and it is "
            "not built for this kind of computer. Export on another one, or to 'onnx'."
        )


def _run_onnx(path, images, description):
    return ONNXNetwork(path.read_bytes())(images), f"onnxruntime {version('onnxruntime')}"


def _check_onnx():
    for module in ONNX_MODULES:
        import_optional(module, extra="onnx", purpose="format='onnx'")


def _run_saved_model(folder, images, description):
    return run_saved_model(folder, images), f"tensorflow {version('tensorflow')}"


def _run_tfjs(folder, images, description):
    """Answer in Node.js or, where that is missing, rebuild the graph from what was written."""
    try:
        return run_tfjs(folder, images), "TensorFlow.js on WebAssembly, in Node.js"
    except MissingNodeError:
        return read_back(folder, images), "TensorFlow, from the written files: no Node.js was there"


#: Name -> format.
FORMATS = {
    "tflite": Format(
        _write_litert, _run_litert, ".tflite", takes_any_size=False, check=_check_litert
    ),
    "tfjs": Format(lambda model, path, order: write_tfjs(model, path), _run_tfjs),
    "onnx": Format(
        lambda model, path, order: write_onnx(model, path), _run_onnx, ".onnx", check=_check_onnx
    ),
    "saved_model": Format(
        lambda model, path, order: write_saved_model(model, path), _run_saved_model
    ),
    "web": Format(
        lambda model, path, order: write_web(model, order.description, path, vendor=order.vendor),
        _run_tfjs,
        network="model",
    ),
}
