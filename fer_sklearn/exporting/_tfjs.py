"""Networks in the format of TensorFlow.js: a graph in JSON, and its constants.

The format is that of ``tfjs.converters``, written here because that package cannot be installed
beside a current TensorFlow. See
https://www.tensorflow.org/js/guide/conversion and ``GraphModel`` in the source of TensorFlow.js.
"""

import json
import math
import re
import subprocess
from pathlib import Path

import numpy as np

from .. import __version__
from ..cnn.architectures import leaf_layers
from ._frozen import freeze
from ._node import MissingNodeError, find_node, install_packages
from ._tfjs_operations import NUMBER_TYPES, lack

__all__ = ["read_back", "run_tfjs", "write_tfjs"]

_MODEL = "model.json"
_SHARD_BYTES = 4 * 2**20  # what browsers keep in their caches
_DTYPES = {"float32": np.dtype("<f4"), "int32": np.dtype("<i4"), "bool": np.dtype("?")}
_RUNNER = Path(__file__).parent / "run_tfjs.mjs"
_TIME_LIMIT = 300  # seconds
_OTHER_FORMATS = "Build the network of other layers, or export it as 'tflite' or 'saved_model'."


def write_tfjs(model, folder):
    """Write a network as a graph model of TensorFlow.js.

    ``tf.loadGraphModel`` reads it, and ``model.predict`` of the result answers. All of its
    operations are such as the WebAssembly backend has.

    Parameters
    ----------
    model : keras.Model
        Built, with one input and one output, of float32, on the TensorFlow backend.
    folder : Path
        Exists and is empty. Gets ``model.json`` and the constants, ``group1-shard*of*.bin``.

    Raises
    ------
    ValueError
        For weights that are not finite; for an operation or a type of numbers that
        TensorFlow.js does not have on WebAssembly, or has wrong, with the layer that it comes
        from; and as in :func:`freeze`.
    """
    _check_weights(model)
    frozen = freeze(model)
    _check_operations(frozen, model)
    _check_constants(frozen, model)
    data = b"".join(
        np.ascontiguousarray(array, _DTYPES[array.dtype.name]).tobytes()
        for array in frozen.constants.values()
    )
    shards = [data[at : at + _SHARD_BYTES] for at in range(0, len(data), _SHARD_BYTES)]
    paths = [f"group1-shard{i}of{len(shards)}.bin" for i in range(1, len(shards) + 1)]
    for path, shard in zip(paths, shards, strict=True):
        (folder / path).write_bytes(shard)
    text = json.dumps(_description(frozen, paths), separators=(",", ":"), allow_nan=False)
    (folder / _MODEL).write_text(text, encoding="utf-8")


def run_tfjs(folder, images):
    """Answer images with a written model, in TensorFlow.js on WebAssembly, in Node.js.

    Parameters
    ----------
    folder : Path
        As ``export(…, format="tfjs")`` fills it.
    images : ndarray of float32, shape (n, h, w, channels)
        What the model takes.

    Returns
    -------
    ndarray of float32, shape (n, n_classes)

    Raises
    ------
    MissingNodeError
        If Node.js is missing, or the packages it needs cannot be had.
    RuntimeError
        If TensorFlow.js cannot read or run the model; the message has what it said.
    """
    images = np.ascontiguousarray(images, "<f4")
    packages = install_packages()
    node = find_node()
    if node is None:
        raise MissingNodeError(
            "node was not found, which runs what was written. Install Node.js from "
            "https://nodejs.org, and see that it is on the PATH."
        )
    command = [node, _RUNNER, packages, folder, *images.shape]
    try:
        done = subprocess.run(
            list(map(str, command)),
            input=images.tobytes(),
            capture_output=True,
            timeout=_TIME_LIMIT,
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(
            f"TensorFlow.js was not done with {len(images)} images after {_TIME_LIMIT} seconds. "
            f"Pass fewer or smaller ones."
        ) from None
    return _answers(done, folder)


def read_back(folder, images):
    """Answer images with a written model, in TensorFlow, where there is no Node.js.

    Graph and constants are taken from the files alone, so that a wrong offset, type or shape in
    them shows; whether TensorFlow.js computes the same is left open.

    Parameters
    ----------
    folder, images
        As in :func:`run_tfjs`.

    Returns
    -------
    ndarray of float32, shape (n, n_classes)

    Raises
    ------
    ValueError
        If the constants are not of the size that ``model.json`` says.
    """
    import tensorflow as tf
    from google.protobuf import json_format

    description = json.loads((folder / _MODEL).read_text(encoding="utf-8"))
    graph = json_format.ParseDict(description["modelTopology"], tf.compat.v1.GraphDef())
    constants = _read_constants(folder, description["weightsManifest"])
    for node in graph.node:
        if node.op == "Const":
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(constants[node.name]))
    (fed,) = description["signature"]["inputs"].values()
    (fetched,) = description["signature"]["outputs"].values()
    imported = tf.compat.v1.wrap_function(
        lambda: tf.graph_util.import_graph_def(graph, name=""), []
    )
    return imported.prune(fed["name"], fetched["name"])(tf.constant(images, tf.float32)).numpy()


def _check_weights(model):
    for variable in model.weights:
        values = variable.numpy()
        if not np.isfinite(values.astype(np.float64)).all():
            raise ValueError(
                f"model has weights that are not finite, in {variable.path!r}: its training "
                f"diverged. Train again, with a lower learning rate for example."
            )


def _check_operations(frozen, model):
    inputs, constants = frozen.inputs, frozen.constants
    found = {op.name: lack(op, inputs[op.name], constants) for op in frozen.operations}
    found |= {name: _lack_of_type(array) for name, array in constants.items()}
    problems = {f"{what}{_origin(name, model)}": None for name, what in found.items() if what}
    if problems:
        raise ValueError(
            f"model has what TensorFlow.js does not have on WebAssembly: {'; '.join(problems)}. "
            f"{_OTHER_FORMATS}"
        )


def _lack_of_type(array):
    return None if array.dtype.name in NUMBER_TYPES else f"constants of {array.dtype.name}"


def _check_constants(frozen, model):
    for name, array in frozen.constants.items():
        if np.isnan(array).any():
            raise ValueError(
                f"model computes what is not a number (NaN) of its weights alone"
                f"{_origin(name, model)}. Train again, or set the weights of that layer anew."
            )


def _origin(name, model):
    """Say which layer an operation comes from, as far as its name tells."""
    kinds = {layer.name: type(layer).__name__ for layer in leaf_layers(model)}
    for part in reversed(name.split("/")[:-1]):
        # Keras opens a scope a second time to run the layer, and TensorFlow numbers that one.
        for candidate in (re.sub(r"_\d+$", "", part), part):
            if candidate in kinds:
                return f" (layer {candidate!r}, {kinds[candidate]})"
    return ""


def _description(frozen, paths):
    """Return what ``model.json`` holds."""
    import tensorflow as tf

    nodes = [_constant_node(name, array.dtype) for name, array in frozen.constants.items()]
    nodes += [_node(operation, frozen.inputs[operation.name]) for operation in frozen.operations]
    weights = [
        {"name": name, "shape": list(array.shape), "dtype": array.dtype.name}
        for name, array in frozen.constants.items()
    ]
    tensors = {tensor.name: tensor for op in frozen.operations for tensor in op.outputs}
    return {
        "format": "graph-model",
        "generatedBy": tf.__version__,
        "convertedBy": f"fer_sklearn {__version__}",
        "signature": {
            "inputs": {"images": _tensor_info(tensors[_tensor_name(frozen.input)])},
            "outputs": {"probabilities": _tensor_info(tensors[_tensor_name(frozen.output)])},
        },
        "modelTopology": {
            "node": nodes,
            "library": {},
            "versions": {"producer": tf.version.GRAPH_DEF_VERSION},
        },
        "weightsManifest": [{"paths": paths, "weights": weights}],
    }


def _node(operation, inputs):
    from google.protobuf import json_format

    node = type(operation.node_def)(name=operation.name, op=operation.type, input=inputs)
    for name, attribute in operation.node_def.attr.items():
        if not name.startswith("_"):  # notes of TensorFlow to itself
            node.attr[name].CopyFrom(attribute)
    return json_format.MessageToDict(node)


def _constant_node(name, dtype):
    return {"name": name, "op": "Const", "attr": {"dtype": {"type": _type_name(dtype)}}}


def _tensor_info(tensor):
    from google.protobuf import json_format

    shape = json_format.MessageToDict(tensor.shape.as_proto())
    dtype = _type_name(tensor.dtype.as_numpy_dtype)
    return {"name": tensor.name, "dtype": dtype, "tensorShape": shape}


def _type_name(dtype):
    return {"float32": "DT_FLOAT", "int32": "DT_INT32", "bool": "DT_BOOL"}[np.dtype(dtype).name]


def _tensor_name(reference):
    """Return a name with the number of the output, which graphs leave out where it is 0."""
    return reference if ":" in reference else f"{reference}:0"


def _answers(done, folder):
    """Return what the process answered."""
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise RuntimeError(
            f"TensorFlow.js cannot run the model in {str(folder)!r}; it said:\n{said}\n"
            f"If the files are whole, export in another format; else export again."
        )
    header, _, data = done.stdout.partition(b"\n")
    return np.frombuffer(data, "<f4").reshape(json.loads(header)["shape"]).copy()


def _read_constants(folder, manifest):
    """Return the arrays of the binary files, by name."""
    data = b"".join((folder / path).read_bytes() for group in manifest for path in group["paths"])
    specs = [spec for group in manifest for spec in group["weights"]]
    sizes = [_DTYPES[spec["dtype"]].itemsize * math.prod(spec["shape"]) for spec in specs]
    if sum(sizes) != len(data):
        raise ValueError(
            f"The constants in {str(folder)!r} have {len(data)} bytes; model.json says "
            f"{sum(sizes)}. The files are damaged: export again."
        )
    ends = np.cumsum(sizes)
    return {
        spec["name"]: np.frombuffer(data[end - size : end], _DTYPES[spec["dtype"]]).reshape(
            spec["shape"]
        )
        for spec, size, end in zip(specs, sizes, ends, strict=True)
    }
