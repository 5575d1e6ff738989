"""TensorFlow.js graph models: a graph in JSON, and its constants in binary files.

``tfjs.converters`` writes the same format, but cannot be installed together with a current
TensorFlow. See https://www.tensorflow.org/js/guide/conversion and ``GraphModel`` in the source of
TensorFlow.js.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from .. import __version__
from .._utils.typing import FloatArray, NDArray

if TYPE_CHECKING:
    import keras

__all__ = ["OPERATIONS", "FrozenGraph", "freeze", "read_back", "write_tfjs"]

_MODEL = "model.json"
_SHARD_BYTES = 4 * 2**20  # small enough for browser caches
_DTYPES = {"float32": np.dtype("<f4"), "int32": np.dtype("<i4"), "bool": np.dtype("?")}
_OTHER_FORMATS = "Use other layers, or export to 'tflite' or 'saved_model'."
# Operations that return their inputs unchanged.
_PASSES_ON = {
    *("EnsureShape", "Identity", "IdentityN", "PreventGradient", "Snapshot", "StopGradient"),
}

#: The data types that TensorFlow.js supports.
_NUMBER_TYPES = ("float32", "int32", "bool")

# For version 4.22.0: the operations that @tensorflow/tfjs-converter reads (`tfOpName` in its
# operations/op_list), as far as its executors need only kernels that
# @tensorflow/tfjs-backend-wasm registers (getKernelsForBackend('wasm')). Operations that image
# networks do not need are left out (text, sparse tensors, tables, loops, random numbers, three
# dimensions), and so is OneHot, whose result differs from TensorFlow's. The tests compare the
# table with the packages, and the result of each operation with TensorFlow's.
_SAME_NAME = """
    Abs Acos Acosh Add AddN All Any ArgMax ArgMin Asin Asinh Atan Atan2 Atanh AvgPool
    BatchToSpaceND Cast Ceil Conv2D Conv2DBackpropInput Cos Cosh CropAndResize Cumprod Cumsum
    DepthToSpace DepthwiseConv2dNative Elu Equal Erf Exp ExpandDims Expm1 Fill Floor FloorDiv
    GatherNd GatherV2 Greater GreaterEqual IsFinite IsInf IsNan LRN LeakyRelu Less LessEqual
    Log Log1p LogicalAnd LogicalNot LogicalOr Max MaxPool Maximum Mean Min Minimum MirrorPad
    Neg NotEqual OnesLike Pack PadV2 Pow Prod Range RealDiv Reciprocal Relu Relu6
    Reshape ResizeBilinear ResizeNearestNeighbor Round Rsqrt Select Selu Sigmoid Sign Sin Sinh
    Slice Softmax Softplus SpaceToBatchND SplitV Sqrt Square SquaredDifference StridedSlice
    Sub Sum Tan Tanh Tile Transpose Unpack ZerosLike
"""

#: The kernel that computes each TensorFlow operation; None if there is nothing to compute.
OPERATIONS: dict[str, str | None] = {
    **{name: name for name in _SAME_NAME.split()},
    "AddV2": "Add",
    "BatchMatMulV2": "BatchMatMul",
    "BiasAdd": "Add",
    "BroadcastTo": "Tile",
    "ConcatV2": "Concat",
    "DivNoNan": "RealDiv",
    "FloorMod": "Mod",
    "FusedBatchNormV3": "FusedBatchNorm",
    "LogSoftmax": "Log",
    "MatMul": "BatchMatMul",
    "Mul": "Multiply",
    "Pad": "PadV2",
    "Placeholder": None,
    "Rank": None,
    "ReverseV2": "Reverse",
    "SelectV2": "Select",
    "Shape": None,
    "Size": None,
    "Split": "SplitV",
    "Squeeze": "Reshape",
    "TopKV2": "TopK",
}

# By operation and attribute: the types for which the kernel silently fails, or returns a result
# that differs from TensorFlow's.
_WRONG_TYPES = {
    ("BatchMatMulV2", "T"): {"int32"},
    ("Cast", "DstT"): {"bool"},
    ("MatMul", "T"): {"int32"},
    ("Mean", "T"): {"int32"},
    ("Select", "T"): {"bool"},
    ("SelectV2", "T"): {"bool"},
}


def write_tfjs(model: keras.Model, folder: Path) -> None:
    """Write a network as a graph model for TensorFlow.js.

    Load it with ``tf.loadGraphModel``. It uses only operations that the WebAssembly backend
    supports.

    Parameters
    ----------
    model : keras.Model
        A built float32 model with one input and one output, on the TensorFlow backend.
    folder : Path
        An existing, empty folder, to which ``model.json`` and the constants,
        ``group1-shard*of*.bin``, are written.

    Raises
    ------
    ValueError
        If weights are not finite, or if TensorFlow.js's WebAssembly backend does not support
        an operation or data type; the message names the layer. Also as in :func:`freeze`.
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


def read_back(folder: Path, images: FloatArray) -> FloatArray:
    """Run an exported model in TensorFlow, if there is no Node.js.

    Graph and constants are read from the files alone, so that a wrong offset, type or shape
    becomes visible. This does not verify that TensorFlow.js computes the same.

    Parameters
    ----------
    folder : Path
    images : ndarray of shape (n, h, w, channels), float32
        Both as in :func:`run_tfjs`.

    Returns
    -------
    ndarray of shape (n, n_classes), float32

    Raises
    ------
    ValueError
        If the constants do not have the size that ``model.json`` states.
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


def _check_weights(model: keras.Model) -> None:
    for variable in model.weights:
        values = variable.numpy()
        if not np.isfinite(values.astype(np.float64)).all():
            raise ValueError(
                f"model has weights that are not finite, in {variable.path!r}: its training "
                f"diverged. Train again, for example with a lower learning rate."
            )


def _check_operations(frozen: FrozenGraph, model: keras.Model) -> None:
    inputs, constants = frozen.inputs, frozen.constants
    found = {
        op.name: unsupported_reason(op, inputs[op.name], constants) for op in frozen.operations
    }
    found |= {name: _unsupported_type(array) for name, array in constants.items()}
    problems = {f"{what}{_origin(name, model)}": None for name, what in found.items() if what}
    if problems:
        raise ValueError(
            f"The model uses operations that TensorFlow.js's WebAssembly backend does not support: "
            f"{'; '.join(problems)}. {_OTHER_FORMATS}"
        )


def _unsupported_type(array: NDArray) -> str | None:
    return None if array.dtype.name in _NUMBER_TYPES else f"constants of {array.dtype.name}"


def _check_constants(frozen: FrozenGraph, model: keras.Model) -> None:
    for name, array in frozen.constants.items():
        if np.isnan(array).any():
            raise ValueError(
                f"The weights of model produce NaN for any input{_origin(name, model)}. Train "
                f"again, or set the weights of that layer again."
            )


def _origin(name: str, model: keras.Model) -> str:
    """Return the layer that an operation belongs to, in parentheses, if its name shows it."""
    from ..cnn.architectures import leaf_layers

    kinds = {layer.name: type(layer).__name__ for layer in leaf_layers(model)}
    for part in reversed(name.split("/")[:-1]):
        # Keras opens a second scope to run the layer, to which TensorFlow appends a number.
        for candidate in (re.sub(r"_\d+$", "", part), part):
            if candidate in kinds:
                return f" (layer {candidate!r}, {kinds[candidate]})"
    return ""


def _description(frozen: FrozenGraph, paths: Sequence[str]) -> dict[str, Any]:
    """Return the contents of ``model.json``."""
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


def _node(operation: Any, inputs: Sequence[str]) -> dict[str, Any]:
    from google.protobuf import json_format

    node = type(operation.node_def)(name=operation.name, op=operation.type, input=inputs)
    for name, attribute in operation.node_def.attr.items():
        if not name.startswith("_"):  # for TensorFlow's internal use
            node.attr[name].CopyFrom(attribute)
    return json_format.MessageToDict(node)


def _constant_node(name: str, dtype: DTypeLike) -> dict[str, Any]:
    return {"name": name, "op": "Const", "attr": {"dtype": {"type": _type_name(dtype)}}}


def _tensor_info(tensor: Any) -> dict[str, Any]:
    from google.protobuf import json_format

    shape = json_format.MessageToDict(tensor.shape.as_proto())
    dtype = _type_name(tensor.dtype.as_numpy_dtype)
    return {"name": tensor.name, "dtype": dtype, "tensorShape": shape}


def _type_name(dtype: DTypeLike) -> str:
    return {"float32": "DT_FLOAT", "int32": "DT_INT32", "bool": "DT_BOOL"}[np.dtype(dtype).name]


def _tensor_name(reference: str) -> str:
    """Return a name with the index of the output, which graphs omit if it is 0."""
    return reference if ":" in reference else f"{reference}:0"


def _read_constants(folder: Path, manifest: Sequence[Mapping[str, Any]]) -> dict[str, NDArray]:
    """Return the arrays in the binary files, by name."""
    data = b"".join((folder / path).read_bytes() for group in manifest for path in group["paths"])
    specs = [spec for group in manifest for spec in group["weights"]]
    sizes = [_DTYPES[spec["dtype"]].itemsize * math.prod(spec["shape"]) for spec in specs]
    if sum(sizes) != len(data):
        raise ValueError(
            f"The constants in {str(folder)!r} have {len(data)} bytes; expected {sum(sizes)}, as "
            f"model.json states. The files are corrupt: export again."
        )
    ends = np.cumsum(sizes)
    return {
        spec["name"]: np.frombuffer(data[end - size : end], _DTYPES[spec["dtype"]]).reshape(
            spec["shape"]
        )
        for spec, size, end in zip(specs, sizes, ends, strict=True)
    }


@dataclass(frozen=True)
class FrozenGraph:
    """The computation of a network.

    Attributes
    ----------
    operations : list of tf.Operation
        The operations in a valid order of execution, including the input, without constants.
    inputs : dict of str to list of str
        The inputs of each operation, as names of operations and constants, with ``":1"``
        appended for the second output of an operation, and so on.
    constants : dict of str to ndarray
        The value of each constant.
    input, output : str
        The names to feed and to fetch.
    """

    operations: list[Any]
    inputs: dict[str, list[str]]
    constants: dict[str, NDArray]
    input: str
    output: str


def freeze(model: keras.Model) -> FrozenGraph:
    """Trace a network, and precompute everything that does not depend on its input.

    Parameters
    ----------
    model : keras.Model
        A model with one input and one output, on the TensorFlow backend.

    Raises
    ------
    ValueError
        If there are several inputs or outputs, if the backend is not TensorFlow, or if the
        output does not depend on the input.
    """
    import tensorflow as tf

    _check_model(model)
    weights = [v.numpy() for v in model.trainable_variables]
    states = [v.numpy() for v in model.non_trainable_variables]
    (spec,) = (tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in model.inputs)

    def predict(images):
        with tf.name_scope("network"):  # at the top level, no layer's name may start with "_"
            return model.stateless_call(weights, states, images, training=False)[0]

    traced = tf.compat.v1.wrap_function(predict, [spec])
    return _without_constant_parts(traced)


def _check_model(model: keras.Model) -> None:
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Keras runs on {keras.backend.backend()!r}; expected 'tensorflow', which traces the "
            f"graph. Set the environment variable KERAS_BACKEND=tensorflow."
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"model has {len(model.inputs)} inputs and {len(model.outputs)} outputs; expected one "
            f"of each. Wrap it in a keras.Model with a single input and output."
        )


def _without_constant_parts(traced: Any) -> FrozenGraph:
    (output,) = traced.outputs
    needed = _ancestors(output.op)
    operations = [op for op in traced.graph.get_operations() if op in needed]
    constant = _constant_operations(operations, traced.inputs[0].op)
    if output.op in constant:
        raise ValueError("model has an output that does not depend on its input.")
    varying = [op for op in operations if op not in constant]
    read = {op.name: [_passed_on(tensor, constant) for tensor in op.inputs] for op in varying}
    last = _passed_on(output, constant)
    kept = [op for op in varying if op.type not in _PASSES_ON]
    borders = {t.name: t for op in kept for t in read[op.name] if t.op in constant}
    values = traced.prune([], list(borders.values()))() if borders else []
    return FrozenGraph(
        operations=kept,
        inputs={op.name: [_reference(tensor, constant) for tensor in read[op.name]] for op in kept},
        constants={
            _reference(tensor, constant): np.asarray(value)
            for tensor, value in zip(borders.values(), values, strict=True)
        },
        input=traced.inputs[0].op.name,
        output=_reference(last, constant),
    )


def _ancestors(operation: Any) -> set[Any]:
    """Return an operation and all operations whose output it uses, without control dependencies."""
    found: set[Any] = set()
    pending = [operation]
    while pending:
        current = pending.pop()
        if current not in found:
            found.add(current)
            pending.extend(tensor.op for tensor in current.inputs)
    return found


def _constant_operations(operations: Iterable[Any], input_operation: Any) -> set[Any]:
    """Return the operations whose output does not depend on the input.

    They include tensors and variables in a layer that Keras does not track.
    """
    constant: set[Any] = set()
    for op in operations:
        varies = op.op_def.is_stateful and op.type != "ReadVariableOp"  # such as random numbers
        varies = varies or op == input_operation
        if not varies and all(tensor.op in constant for tensor in op.inputs):
            constant.add(op)
    return constant


def _passed_on(tensor: Any, constant: set[Any]) -> Any:
    """Return the origin of a tensor, skipping operations that change nothing."""
    while tensor.op.type in _PASSES_ON and tensor.op not in constant:
        tensor = tensor.op.inputs[tensor.value_index]
    return tensor


def _reference(tensor: Any, constant: set[Any]) -> str:
    name, index = tensor.op.name, tensor.value_index
    if tensor.op in constant:  # each output becomes a separate constant
        return f"{name}/output_{index}" if index else name
    return f"{name}:{index}" if index else name


def unsupported_reason(
    operation: Any, inputs: Sequence[str], constants: Mapping[str, NDArray]
) -> str | None:
    """Return why TensorFlow.js cannot compute an operation.

    Parameters
    ----------
    operation : tf.Operation
    inputs : list of str
        Names of its inputs.
    constants : dict of str to ndarray
        The constants of the graph.

    Returns
    -------
    str or None
        The operation and the unsupported type, layout or use of it; None if it is supported.
    """
    kind = operation.type
    if kind not in OPERATIONS:
        return kind
    for name, attribute in operation.node_def.attr.items():
        if attribute.WhichOneof("value") == "type" and not name.startswith("_"):
            found = operation.get_attr(name).name
            if found not in _NUMBER_TYPES or found in _WRONG_TYPES.get((kind, name), ()):
                return f"{kind} on {found}"
        if name == "data_format" and attribute.s not in (b"NHWC", b""):
            return f"{kind} with channels first"
    if kind == "StridedSlice" and not _is_supported_slice(operation, constants.get(inputs[3])):
        return "StridedSlice with steps, combined with an index or on integers"
    return None


def _is_supported_slice(operation: Any, steps: NDArray | None) -> bool:
    if steps is not None and (steps == 1).all():
        return True
    return operation.get_attr("shrink_axis_mask") == 0 and operation.get_attr("T").name == "float32"
