"""Write networks in each export format, and run the files with the runtime of the format."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from .._utils.compat import import_optional
from .._utils.typing import FloatArray
from ..exceptions import MissingExtraError
from ..inference import LiteRTNetwork, ONNXNetwork, is_litert_installed
from ._tfjs import read_back, write_tfjs
from ._web import MissingNodeError, check_requirements, run_tfjs, write_web

if TYPE_CHECKING:
    import keras

__all__ = ["FORMATS", "LITERT_PRECISIONS", "ExportRequest", "Precision", "to_litert"]

Precision: TypeAlias = Literal["float32", "float16", "dynamic_int8", "int8"]
LITERT_PRECISIONS: tuple[Precision, ...] = get_args(Precision)
#: The packages of the extra ``onnx``, which write and run ONNX files.
_ONNX_MODULES = ("onnx", "tf2onnx", "onnxruntime")


@dataclass(frozen=True)
class ExportRequest:
    """Options of a format, in addition to the network."""

    precision: Precision
    representative: FloatArray  # inputs of the graph, for `to_litert`
    metadata: dict[str, Any]  # contents of the metadata file
    bundle_packages: bool


@dataclass(frozen=True)
class Format:
    """How networks are written in one format, and run."""

    write: Callable[[keras.Model, Path, ExportRequest], None]  # folders exist already
    # (path, images, metadata) -> probabilities and the name of the runtime
    run: Callable[[Path, FloatArray, dict[str, Any]], tuple[FloatArray, str]]
    suffix: str | None = None  # of the file; None if the export is a folder
    network: str = "."  # the part of a folder that contains the network
    takes_any_size: bool = True
    # Raises if a requirement is not installed; receives `bundle_packages`.
    check: Callable[[bool], None] = lambda bundle_packages: None


def to_litert(
    model: keras.Model,
    *,
    precision: Precision = "float16",
    representative: FloatArray | None = None,
) -> bytes:
    """Convert a Keras network to a LiteRT (TensorFlow Lite) model.

    Parameters
    ----------
    model : keras.Model
        A built model on the TensorFlow backend, such as ``FERCNNClassifier.model_``.
    precision : {"float16", "float32", "dynamic_int8", "int8"}, default="float16"
        Precision of the stored weights. ``"float16"`` and ``"float32"`` compute in float32,
        ``"dynamic_int8"`` with integers where a layer allows it, and ``"int8"`` with integers
        throughout, including input and output (``uint8``).
    representative : ndarray of shape (n, h, w, channels), float32, or None, default=None
        A few hundred inputs, from which ``"int8"`` calibrates the range of each layer. The
        other precisions ignore it.

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

    # `from_concrete_functions` would write a file without weights, whose output is NaN.
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        inputs: Iterable[FloatArray] = () if representative is None else representative
        converter.representative_dataset = lambda: ([image[None]] for image in inputs)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    # Keras prints what it saves, and TensorFlow warns about statistics of an older interface.
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Statistics for quantized inputs")
        return converter.convert()


def _write_litert(model: keras.Model, path: Path, request: ExportRequest) -> None:
    path.write_bytes(
        to_litert(model, precision=request.precision, representative=request.representative)
    )


def _run_litert(path: Path, images: FloatArray, metadata: dict[str, Any]) -> tuple[FloatArray, str]:
    batch_size = metadata["input"]["shape"][0]
    network = LiteRTNetwork(path.read_bytes(), batch_size=batch_size)
    return network(images), f"ai-edge-litert {version('ai-edge-litert')}"


def _check_litert(bundle_packages: bool) -> None:
    if not is_litert_installed():
        raise MissingExtraError(
            "format='tflite' needs the package 'ai-edge-litert' to verify the export, and it is "
            "not available for this platform. Export on another computer, or to 'onnx'."
        )


def _write_onnx(model: keras.Model, path: Path, request: ExportRequest) -> None:
    import tensorflow as tf

    # A reloaded model no longer knows the shapes with which it was called.
    (given,) = model.inputs
    signature = [tf.TensorSpec(given.shape, tf.float32, name="faces")]
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        # Both come from the converter's own code.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        model.export(path, format="onnx", input_signature=signature, verbose=False)


def _run_onnx(path: Path, images: FloatArray, metadata: dict[str, Any]) -> tuple[FloatArray, str]:
    return ONNXNetwork(path.read_bytes())(images), f"onnxruntime {version('onnxruntime')}"


def _check_onnx(bundle_packages: bool) -> None:
    for module in _ONNX_MODULES:
        import_optional(module, extra="onnx", purpose="format='onnx'")


def _write_saved_model(model: keras.Model, folder: Path, request: ExportRequest) -> None:
    with redirect_stdout(io.StringIO()):  # Keras prints what it wrote
        model.export(folder, format="tf_saved_model", verbose=False)


def _run_saved_model(
    folder: Path, images: FloatArray, metadata: dict[str, Any]
) -> tuple[FloatArray, str]:
    import tensorflow as tf

    loaded = tf.saved_model.load(folder)  # must stay alive while it computes
    return loaded.serve(images).numpy(), f"tensorflow {version('tensorflow')}"


def _write_tfjs(model: keras.Model, folder: Path, request: ExportRequest) -> None:
    write_tfjs(model, folder)


def _run_tfjs(folder: Path, images: FloatArray, metadata: dict[str, Any]) -> tuple[FloatArray, str]:
    """Run a model in Node.js or, if that is missing, rebuild the graph from the files."""
    try:
        return run_tfjs(folder, images), "TensorFlow.js on WebAssembly, in Node.js"
    except MissingNodeError:
        probabilities = read_back(folder, images)
        return probabilities, "TensorFlow, from the written files, as Node.js is missing"


def _write_web(model: keras.Model, folder: Path, request: ExportRequest) -> None:
    write_web(model, request.metadata, folder, bundle_packages=request.bundle_packages)


#: Format by name.
FORMATS = {
    "tflite": Format(
        _write_litert, _run_litert, ".tflite", takes_any_size=False, check=_check_litert
    ),
    "tfjs": Format(_write_tfjs, _run_tfjs),
    "onnx": Format(_write_onnx, _run_onnx, ".onnx", check=_check_onnx),
    "saved_model": Format(_write_saved_model, _run_saved_model),
    "web": Format(_write_web, _run_tfjs, network="model", check=check_requirements),
}
