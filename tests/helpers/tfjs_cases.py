"""An example for each operation that can be written for TensorFlow.js."""

import numpy as np
import tensorflow as tf

raw = tf.raw_ops
_random = np.random.default_rng(1)
_KERNEL = tf.constant(_random.normal(size=(3, 3, 3, 5)), tf.float32)
_DEPTHWISE = tf.constant(_random.normal(size=(3, 3, 3, 2)), tf.float32)
_MATRIX = tf.constant(_random.normal(size=(48, 4)), tf.float32)
_BACKWARDS = tf.transpose(_KERNEL, (0, 1, 3, 2))
_NORM = {"scale": [1.0, 2.0, 3.0], "offset": [0.1, 0.2, 0.3], "variance": [1.0, 0.5, 2.0]}
_NORM |= {"mean": [0.3, 0.1, 0.2], "epsilon": 1e-3, "is_training": False}
_MARGINS = [[0, 0], [1, 2], [0, 1], [0, 0]]
_BLOCKS = ([2, 2], [[0, 0], [0, 0]])


def _n(x):
    return tf.shape(x)[0]


def _whole(x):
    return tf.cast(9 * x, tf.int32)


def _turned(x):
    return x[:, ::-1]


def _windows(x):
    return tf.tile([[0.1, 0.1, 0.8, 0.9]], tf.stack([_n(x), 1]))


def _unary(name, prepare=lambda x: x):
    return lambda x: getattr(raw, name)(x=prepare(x))


def _activation(name):
    return lambda x: getattr(raw, name)(features=9 * x)


def _binary(name, prepare=lambda x: x):
    return lambda x: getattr(raw, name)(x=prepare(x), y=prepare(_turned(x)))


_UNARY = """Abs Asin Acos Atan Asinh Atanh Ceil Cos Cosh Erf Exp Expm1 Floor IsFinite IsInf IsNan
Log1p Neg OnesLike Reciprocal Sigmoid Sign Sin Sinh Square Tan Tanh ZerosLike"""
_BINARY = """Sub Add AddV2 Mul Maximum Minimum Greater GreaterEqual Less LessEqual RealDiv
SquaredDifference"""

#: From float32 (n, 4, 4, 3) in -1..1 to any number of values per image. A name with a dot is
#: another use of the operation before it.
CASES = {
    **{name: _unary(name) for name in _UNARY.split()},
    **{name: _binary(name) for name in _BINARY.split()},
    **{k: _activation(k) for k in ("Elu", "LeakyRelu", "Relu", "Relu6", "Selu", "Softplus")},
    **{
        name: _unary(name, lambda x: tf.abs(x) + 1.01) for name in ("Acosh", "Log", "Rsqrt", "Sqrt")
    },
    **{name: _binary(name, lambda x: tf.round(3 * x)) for name in ("Equal", "NotEqual")},
    "Abs.int": lambda x: tf.abs(_whole(x)),
    "AddN": lambda x: raw.AddN(inputs=[x, _turned(x), x]),
    "AddV2.int": lambda x: _whole(x) + _whole(_turned(x)),
    "All": lambda x: tf.reduce_all(x > -0.5, -1),
    "Any": lambda x: tf.reduce_any(x > 0.5, -1),
    "ArgMax": lambda x: tf.argmax(x, -1, output_type=tf.int32),
    "ArgMin": lambda x: tf.argmin(x, 1, output_type=tf.int32),
    "Atan2": lambda x: raw.Atan2(y=x, x=_turned(x)),
    "AvgPool": lambda x: tf.nn.avg_pool2d(x, 3, 2, "SAME"),
    "AvgPool.valid": lambda x: tf.nn.avg_pool2d(x, 2, 1, "VALID"),
    "BatchMatMulV2": lambda x: tf.matmul(x, x, transpose_b=True),
    "BatchToSpaceND": lambda x: tf.batch_to_space(
        tf.space_to_batch(x, *_BLOCKS), [2, 2], [[0, 0], [1, 0]]
    ),
    "BiasAdd": lambda x: tf.nn.bias_add(x, [1.0, 2.0, 3.0]),
    "BroadcastTo": lambda x: tf.broadcast_to(x[:, :, None], tf.stack([_n(x), 4, 2, 4, 3])),
    "Cast": lambda x: tf.cast(9 * x, tf.int32),
    "ConcatV2": lambda x: tf.concat([x, _turned(x)], 1),
    "Conv2D": lambda x: tf.nn.conv2d(x, _KERNEL, 1, "SAME"),
    "Conv2D.strides": lambda x: tf.nn.conv2d(x, _KERNEL, 2, "SAME"),
    "Conv2D.dilated": lambda x: tf.nn.conv2d(x, _KERNEL, 1, "SAME", dilations=2),
    "Conv2D.explicit": lambda x: tf.nn.conv2d(x, _KERNEL, 1, _MARGINS),
    "Conv2DBackpropInput": lambda x: tf.nn.conv2d_transpose(
        x, _BACKWARDS, tf.stack([_n(x), 8, 8, 5]), 2, "SAME"
    ),
    "CropAndResize": lambda x: tf.image.crop_and_resize(x, _windows(x), tf.range(_n(x)), [3, 3]),
    "Cumprod": lambda x: tf.math.cumprod(x, 1),
    "Cumsum": lambda x: tf.math.cumsum(x, 1),
    "Cumsum.reverse": lambda x: tf.math.cumsum(x, 2, exclusive=True, reverse=True),
    "DepthToSpace": lambda x: tf.nn.depth_to_space(tf.concat([x, _turned(x), x, x * x], -1), 2),
    "DepthwiseConv2dNative": lambda x: tf.nn.depthwise_conv2d(x, _DEPTHWISE, [1] * 4, "SAME"),
    "DepthwiseConv2dNative.strides": lambda x: tf.nn.depthwise_conv2d(
        x, _DEPTHWISE, [1, 2, 2, 1], "SAME"
    ),
    "DivNoNan": lambda x: raw.DivNoNan(x=x, y=tf.round(3 * _turned(x))),
    "ExpandDims": lambda x: tf.expand_dims(x, 1),
    "Fill": lambda x: tf.fill(tf.stack([_n(x), 2]), 2.5),
    "FloorDiv": lambda x: raw.FloorDiv(x=10 * x, y=tf.round(7 * _turned(x)) + 0.4),
    "FloorDiv.int": lambda x: _whole(x) // 7,
    "FloorMod": lambda x: raw.FloorMod(x=10 * x, y=3 * _turned(x)),
    "FloorMod.int": lambda x: _whole(x) % 7,
    "FusedBatchNormV3": lambda x: raw.FusedBatchNormV3(x=x, **_NORM)[0],
    "GatherNd": lambda x: tf.gather_nd(x, tf.stack([tf.range(_n(x)), tf.range(_n(x)) % 4], 1)),
    "GatherV2": lambda x: tf.gather(x, [2, 0], axis=2),
    "LRN": lambda x: tf.nn.lrn(x),
    "LogSoftmax": lambda x: tf.nn.log_softmax(x),
    "LogicalAnd": lambda x: tf.logical_and(x > 0, _turned(x) > 0),
    "LogicalNot": lambda x: tf.logical_not(x > 0),
    "LogicalOr": lambda x: tf.logical_or(x > 0, _turned(x) > 0),
    "MatMul": lambda x: tf.matmul(tf.reshape(x, (-1, 48)), _MATRIX),
    "Max": lambda x: tf.reduce_max(x, (1, 2)),
    "Max.int": lambda x: tf.reduce_max(_whole(x), 1),
    "MaxPool": lambda x: tf.nn.max_pool2d(x, 3, 2, "SAME"),
    "Mean": lambda x: tf.reduce_mean(x, (1, 3), keepdims=True),
    "Min": lambda x: tf.reduce_min(x, (1, 2)),
    "MirrorPad": lambda x: tf.pad(x, _MARGINS, "REFLECT"),
    "MirrorPad.symmetric": lambda x: tf.pad(x, _MARGINS, "SYMMETRIC"),
    "Mul.int": lambda x: _whole(x) * 3,
    "Pack": lambda x: tf.stack([x, _turned(x)], 2),
    "Pad": lambda x: tf.pad(x, _MARGINS),
    "PadV2": lambda x: tf.pad(x, _MARGINS, constant_values=3.0),
    "Pow": lambda x: raw.Pow(x=tf.abs(x) + 0.5, y=3 * _turned(x)),
    "Prod": lambda x: tf.reduce_prod(x, 1),
    "Range": lambda x: tf.range(_n(x))[:, None],
    "Rank": lambda x: tf.fill(tf.stack([_n(x), 1]), raw.Rank(input=x[:, tf.newaxis])),
    "Reshape": lambda x: tf.reshape(x, (-1, 48)),
    "ResizeBilinear": lambda x: raw.ResizeBilinear(images=x, size=[7, 6], half_pixel_centers=True),
    "ResizeBilinear.corners": lambda x: raw.ResizeBilinear(
        images=x, size=[7, 6], align_corners=True
    ),
    "ResizeNearestNeighbor": lambda x: raw.ResizeNearestNeighbor(
        images=x, size=[7, 3], half_pixel_centers=True
    ),
    "ReverseV2": lambda x: tf.reverse(x, [2]),
    "Round": lambda x: tf.round(tf.round(20 * x) / 2),
    "Select": lambda x: raw.Select(condition=x > 0, x=x, y=10 * x),
    "SelectV2": lambda x: tf.where(x[:, :, :1, :1] > 0, x, 10 * _turned(x)),
    "SelectV2.scalar": lambda x: tf.where(_n(x) > 2, x, 2 * x),
    "Shape": lambda x: tf.tile(tf.shape(x)[None], tf.stack([_n(x), 1])),
    "Size": lambda x: tf.fill(tf.stack([_n(x), 1]), tf.size(x)),
    "Slice": lambda x: tf.slice(x, [0, 1, 0, 0], [-1, 2, -1, 1]),
    "Softmax": lambda x: tf.nn.softmax(x),
    "SpaceToBatchND": lambda x: tf.reshape(tf.space_to_batch(x, *_BLOCKS), tf.stack([_n(x), -1])),
    "Split": lambda x: tf.split(x, 2, axis=1)[1],
    "SplitV": lambda x: raw.SplitV(value=x, size_splits=[1, 3], axis=1, num_split=2)[1],
    "Squeeze": lambda x: tf.squeeze(x[:, :1], 1),
    "StridedSlice": lambda x: x[:, 3:0:-2],
    "StridedSlice.index": lambda x: x[:, 1:3, ..., tf.newaxis, 1],
    "StridedSlice.int": lambda x: _whole(x)[:, 1:, :, 0],
    "Sum": lambda x: tf.reduce_sum(x, (2, 3)),
    "Sum.int": lambda x: tf.reduce_sum(_whole(x), 1),
    "Tile": lambda x: tf.tile(x, [1, 2, 1, 3]),
    "TopKV2": lambda x: tf.math.top_k(x, 2)[0],
    "TopKV2.indices": lambda x: tf.math.top_k(x, 2)[1],
    "Transpose": lambda x: tf.transpose(x, (0, 3, 1, 2)),
    "Unpack": lambda x: tf.unstack(x, axis=2)[1],
}
