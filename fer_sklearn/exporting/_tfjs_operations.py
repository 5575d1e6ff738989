"""Which operations of TensorFlow its runtime for browsers has, on WebAssembly."""

__all__ = ["NUMBER_TYPES", "OPERATIONS", "lack"]

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
