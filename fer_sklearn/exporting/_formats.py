"""The formats: what each is called, how it is written, and what runs it."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np

from .._utils.optional import import_optional
from ..exceptions import MissingExtraError
from ..inference import LiteRTNetwork, ONNXNetwork, is_litert_installed
from ._keras_formats import ONNX_MODULES, run_saved_model, write_onnx, write_saved_model
from ._litert import to_litert
from ._node import MissingNodeError
from ._tfjs import read_back, run_tfjs, write_tfjs
from ._web import write_web

__all__ = ["FORMATS", "Order"]


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
