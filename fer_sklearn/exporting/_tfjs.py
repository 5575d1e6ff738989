"""Networks in the format of TensorFlow.js: a graph in JSON, and its constants.

The format is that of ``tfjs.converters``, written here because that package cannot be installed
beside a current TensorFlow. See
https://www.tensorflow.org/js/guide/conversion and ``GraphModel`` in the source of TensorFlow.js.
"""

import json
import math
import re
from dataclasses import dataclass

import numpy as np

from .. import __version__

__all__ = ["OPERATIONS", "FrozenGraph", "freeze", "read_back", "write_tfjs"]

_MODEL = "model.json"
_SHARD_BYTES = 4 * 2**20  # what browsers keep in their caches
_DTYPES = {"float32": np.dtype("<f4"), "int32": np.dtype("<i4"), "bool": np.dtype("?")}
_OTHER_FORMATS = "Build the network of other layers, or export it as 'tflite' or 'saved_model'."
# What answers with its inputs as they are.
_PASSES_ON = {
    *("EnsureShape", "Identity", "IdentityN", "PreventGradient", "Snapshot", "StopGradient"),
}

#: The types of numbers that it has.
NUMBER_TYPES = ("float32", "int32", "bool")

# Of version 4.22.0: the intersection of what @tensorflow/tfjs-converter reads, `tfOpName` in
# its operations/op_list, with what its executors make of each and with the kernels that
# @tensorflow/tfjs-backend-wasm registers, getKernelsForBackend('wasm'). Left out is what no
# network for images needs (text, sparse tensors, tables, loops, random numbers, three
# dimensions) and OneHot, which answers otherwise than TensorFlow. The tests hold the table to
# the packages, and each operation in it to TensorFlow's answers.
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

#: By the name of an operation of TensorFlow, the kernel that computes it; None where there is
#: nothing to compute.
OPERATIONS = {name: name for name in _SAME_NAME.split()} | {
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

# By operation and attribute: the types for which the kernel fails or answers otherwise than
# TensorFlow, without saying so, as the tests' answers for each operation showed.
_WRONG_TYPES = {
    ("BatchMatMulV2", "T"): {"int32"},
    ("Cast", "DstT"): {"bool"},
    ("MatMul", "T"): {"int32"},
    ("Mean", "T"): {"int32"},
    ("Select", "T"): {"bool"},
    ("SelectV2", "T"): {"bool"},
}


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
    from ..cnn.architectures import leaf_layers

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


@dataclass(frozen=True)
class FrozenGraph:
    """What a network computes.

    Attributes
    ----------
    operations : list of tf.Operation
        In an order in which they can run; the input is one of them, constants are not.
    inputs : dict of str to list of str
        By the name of an operation: what it reads, as names of operations and constants, with
        ``":1"`` appended for the second output of one, and so on.
    constants : dict of str to ndarray
        By name.
    input, output : str
        What to feed and what to fetch.
    """

    operations: list
    inputs: dict
    constants: dict
    input: str
    output: str


def freeze(model):
    """Trace a network and compute in advance whatever does not depend on its input.

    Parameters
    ----------
    model : keras.Model
        With one input and one output, on the TensorFlow backend.

    Returns
    -------
    FrozenGraph

    Raises
    ------
    ValueError
        For several inputs or outputs, another backend, or an output that does not depend on
        the input.
    """
    import tensorflow as tf

    _check_model(model)
    weights = [v.numpy() for v in model.trainable_variables]
    states = [v.numpy() for v in model.non_trainable_variables]
    (spec,) = (tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in model.inputs)

    def answer(images):
        with tf.name_scope("network"):  # outside of which no layer's name may start with "_"
            return model.stateless_call(weights, states, images, training=False)[0]

    traced = tf.compat.v1.wrap_function(answer, [spec])
    return _without_constant_parts(traced)


def _check_model(model):
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Keras runs on {keras.backend.backend()!r}; expected 'tensorflow', whose graphs are "
            f"what is written. Set the environment variable KERAS_BACKEND=tensorflow."
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"model has {len(model.inputs)} inputs and {len(model.outputs)} outputs; expected one "
            f"of each. Wrap it in a keras.Model with a single input and output."
        )


def _without_constant_parts(traced):
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


def _ancestors(operation):
    """Return what an operation depends on, and itself; what only runs before it is left out."""
    found, pending = set(), [operation]
    while pending:
        current = pending.pop()
        if current not in found:
            found.add(current)
            pending.extend(tensor.op for tensor in current.inputs)
    return found


def _constant_operations(operations, input_operation):
    """Return those that answer the same whatever the input is.

    Tensors and variables that a layer holds without Keras's knowledge are among them.
    """
    constant = set()
    for op in operations:
        varies = op.op_def.is_stateful and op.type != "ReadVariableOp"  # as random numbers do
        varies = varies or op == input_operation
        if not varies and all(tensor.op in constant for tensor in op.inputs):
            constant.add(op)
    return constant


def _passed_on(tensor, constant):
    """Return where a tensor comes from, past the operations that change nothing."""
    while tensor.op.type in _PASSES_ON and tensor.op not in constant:
        tensor = tensor.op.inputs[tensor.value_index]
    return tensor


def _reference(tensor, constant):
    name, index = tensor.op.name, tensor.value_index
    if tensor.op in constant:  # each output becomes a constant of its own
        return f"{name}/output_{index}" if index else name
    return f"{name}:{index}" if index else name


def lack(operation, inputs, constants):
    """Say what of an operation TensorFlow.js does not have, or has wrong.

    Parameters
    ----------
    operation : tf.Operation
    inputs : list of str
        Names of what it reads.
    constants : dict of str to ndarray
        Those of the graph, by name.

    Returns
    -------
    str or None
        None if it has all.
    """
    kind = operation.type
    if kind not in OPERATIONS:
        return f"the operation {kind}"
    for name, attribute in operation.node_def.attr.items():
        if attribute.WhichOneof("value") == "type" and not name.startswith("_"):
            found = operation.get_attr(name).name
            if found not in NUMBER_TYPES or found in _WRONG_TYPES.get((kind, name), ()):
                return f"the operation {kind} on {found}"
        if name == "data_format" and attribute.s not in (b"NHWC", b""):
            return f"the operation {kind} with channels first"
    if kind == "StridedSlice" and not _is_right_slice(operation, constants.get(inputs[3])):
        return "the operation StridedSlice with steps beside an index or on integers"
    return None


def _is_right_slice(operation, steps):
    if steps is not None and (steps == 1).all():
        return True
    return operation.get_attr("shrink_axis_mask") == 0 and operation.get_attr("T").name == "float32"
