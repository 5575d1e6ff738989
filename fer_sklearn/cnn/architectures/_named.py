"""The named networks, and the layers that they share.

Plain stacks of convolutions, as used in notebooks on FER2013, and residual networks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeAlias, TypeVar

import keras
from keras import layers

#: The mapping that builders take: ``"input_shape"`` (height, width, 1 | 3) and ``"n_classes"``.
Meta: TypeAlias = Mapping[str, Any]

_Builder = TypeVar("_Builder", bound=Callable[..., keras.Model])

#: The named architectures: their builders by name.
ARCHITECTURES: dict[str, Callable[..., keras.Model]] = {}

# Held while global settings differ from the user's.
_settings_lock = threading.RLock()


@contextmanager
def channels_last() -> Iterator[None]:
    """Build layers with channels last, regardless of the user's Keras settings.

    Yields
    ------
    None
        For one thread at a time.
    """
    with _settings_lock:
        before = keras.config.image_data_format()
        keras.config.set_image_data_format("channels_last")
        try:
            yield
        finally:
            keras.config.set_image_data_format(before)


def named(builder: _Builder) -> _Builder:
    """Make a network available under the name of its builder, in :data:`ARCHITECTURES`.

    Parameters
    ----------
    builder : callable
        A function ``(meta, dropout=…)`` that returns an uncompiled ``keras.Model``.

    Returns
    -------
    callable
        The builder, whose layers put channels last.
    """
    ARCHITECTURES[builder.__name__] = built = channels_last()(builder)
    return built


def drop(x: keras.KerasTensor, rate: float) -> keras.KerasTensor:
    """Add dropout."""
    # Training reseeds these layers, but on PyTorch that requires an initial seed.
    return layers.Dropout(rate, seed=0)(x)


def batch_norm(x: keras.KerasTensor) -> keras.KerasTensor:
    """Add batch normalisation."""
    # With Keras's momentum of 0.99, predictions make sense after 500 steps at the earliest,
    # which is more than training on a small data set has.
    return layers.BatchNormalization(momentum=0.9)(x)


def conv_bn(
    x: keras.KerasTensor, filters: int, activation: str | None, kernel: int = 3, strides: int = 1
) -> keras.KerasTensor:
    """Add a convolution without bias, batch normalisation and an activation."""
    x = layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False)(x)
    x = batch_norm(x)
    return layers.Activation(activation)(x) if activation else x


def classifier(
    inputs: keras.KerasTensor, x: keras.KerasTensor, meta: Meta, **options: Any
) -> keras.Model:
    """Return the model from `inputs` to probabilities, computed by a dense layer on `x`."""
    # Probabilities are float32 even if the rest of the network computes in half precision.
    outputs = layers.Dense(meta["n_classes"], activation="softmax", dtype="float32", **options)(x)
    return keras.Model(inputs, outputs)


@named
def conv3(meta: Meta, dropout: float = 0.25) -> keras.Model:
    """Build three convolutions of 32, 64 and 128 filters and one dense layer.

    The network of the many small FER2013 notebooks that train it with Adam at 1e-3 in
    batches of 64 and report 57 %. About 0.7 million parameters at 48×48.

    Parameters
    ----------
    meta : mapping
        ``"input_shape"`` and ``"n_classes"``.
    dropout : float, default=0.25
        Rate after each pooling; twice that rate, at most 0.9, before the output.

    Returns
    -------
    keras.Model
    """
    inputs = x = keras.Input(meta["input_shape"])
    for filters in (32, 64, 128):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(padding="same")(x)
        x = drop(x, dropout)
    x = layers.Flatten()(x)
    x = layers.Dense(128, activation="relu")(x)
    x = drop(x, min(2 * dropout, 0.9))
    return classifier(inputs, x, meta)


@named
def conv4_dense3(meta: Meta, dropout: float = 0.25) -> keras.Model:
    """Build four conv-BN-pool-dropout blocks and three dense layers, for 28×28 images.

    The block order of the notebooks that shrink FER2013 to 28×28 and train with Adam at
    1e-4. Their widths differ; here they are 32, 64, 128 and 256, then dense layers of 256,
    128 and the output. About 0.7 million parameters.

    Parameters
    ----------
    meta : mapping
        ``"input_shape"`` and ``"n_classes"``.
    dropout : float, default=0.25
        Rate in every block and after both hidden dense layers.

    Returns
    -------
    keras.Model
    """
    inputs = x = keras.Input(meta["input_shape"])
    for filters in (32, 64, 128, 256):
        x = conv_bn(x, filters, "relu")
        x = layers.MaxPooling2D(padding="same")(x)
        x = drop(x, dropout)
    x = layers.Flatten()(x)
    for units in (256, 128):
        x = layers.Dense(units, use_bias=False)(x)
        x = batch_norm(x)
        x = layers.Activation("relu")(x)
        x = drop(x, dropout)
    return classifier(inputs, x, meta)


@named
def conv4_wide(meta: Meta, dropout: float = 0.4) -> keras.Model:
    """Build convolutions of 128, 256, 512 and 512 filters and dense layers of 512 and 256.

    The network of the notebooks that report 62 % with Adam: unpadded 3×3 convolutions
    without batch normalisation, each followed by pooling and dropout. About 4.2 million
    parameters at 48×48; images must have at least 46×46 pixels.

    Parameters
    ----------
    meta : mapping
        ``"input_shape"`` and ``"n_classes"``.
    dropout : float, default=0.4
        Rate in every block and after the first dense layer; three quarters of it after
        the second.

    Returns
    -------
    keras.Model

    Raises
    ------
    ValueError
        If images have fewer than 46×46 pixels, too few for four blocks.
    """
    height, width, _ = meta["input_shape"]
    if min(height, width) < 46:
        raise ValueError(
            f"architecture='conv4_wide' needs images of at least 46×46 pixels; got "
            f"{height}×{width}. Put GrayscaleResizer(48) before it, or choose 'conv3'."
        )
    inputs = x = keras.Input(meta["input_shape"])
    for filters in (128, 256, 512, 512):
        x = layers.Conv2D(filters, 3, activation="relu")(x)
        x = layers.MaxPooling2D()(x)
        x = drop(x, dropout)
    x = layers.Flatten()(x)
    x = layers.Dense(512, activation="relu")(x)
    x = drop(x, dropout)
    x = layers.Dense(256, activation="relu")(x)
    x = drop(x, 0.75 * dropout)
    return classifier(inputs, x, meta)


@named
def vgg_elu(meta: Meta, dropout: float = 0.2) -> keras.Model:
    """Build VGG-like pairs of 32, 64, 128 and 256 filters with ELU, then dense 64 and 64.

    "Little VGG" of the class-weighted notebooks that report 60 % on validation images
    and 31 % on differently prepared test images. Blocks after Simonyan & Zisserman 2015
    (arXiv:1409.1556), ELU after Clevert et al. 2016 (arXiv:1511.07289). About 1.3 million
    parameters at 48×48.

    Parameters
    ----------
    meta : mapping
        ``"input_shape"`` and ``"n_classes"``.
    dropout : float, default=0.2
        Rate after every block; two and a half times that, at most 0.9, after the dense
        layers.

    Returns
    -------
    keras.Model
    """
    inputs = x = keras.Input(meta["input_shape"])
    for filters in (32, 64, 128, 256):
        for _ in range(2):
            x = layers.Conv2D(
                filters, 3, padding="same", activation="elu", kernel_initializer="he_normal"
            )(x)
            x = batch_norm(x)
        x = layers.MaxPooling2D(padding="same")(x)
        x = drop(x, dropout)
    x = layers.Flatten()(x)
    for _ in range(2):
        x = layers.Dense(64, activation="elu", kernel_initializer="he_normal")(x)
        x = batch_norm(x)
        x = drop(x, min(2.5 * dropout, 0.9))
    return classifier(inputs, x, meta)


@named
def mini_xception(meta: Meta, dropout: float | None = None) -> keras.Model:
    """Build mini-Xception: separable convolutions with residual shortcuts, no dense layer.

    After Arriaga, Valdenegro-Toro & Plöger 2017 (arXiv:1710.07557), who report 66 % on
    FER2013. About 60 thousand parameters at any image size.

    Parameters
    ----------
    meta : mapping
        ``"input_shape"`` and ``"n_classes"``.
    dropout : float or None, default=None
        Rate before the last convolution; the original has none.

    Returns
    -------
    keras.Model
    """
    inputs = x = keras.Input(meta["input_shape"])
    for _ in range(2):
        x = conv_bn(x, 8, "relu")
    for filters in (16, 32, 64, 128):
        shortcut = _half_size_shortcut(x, filters)
        for activation in ("relu", None):
            x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False)(x)
            x = batch_norm(x)
            if activation:
                x = layers.Activation(activation)(x)
        x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
        x = layers.Add()([x, shortcut])
    if dropout:
        x = drop(x, dropout)
    x = layers.Conv2D(meta["n_classes"], 3, padding="same")(x)
    x = layers.GlobalAveragePooling2D()(x)
    outputs = layers.Activation("softmax", dtype="float32")(x)
    return keras.Model(inputs, outputs)


@named
def resnet_se(meta: Meta, dropout: float = 0.2) -> keras.Model:
    """Build a small residual network with squeeze-and-excitation attention.

    A stem of 16 filters and three stages of two residual blocks with 32, 64 and 128 filters,
    each stage at half the resolution of the previous one. Residual blocks after He et
    al. 2016 (arXiv:1512.03385), channel attention after Hu et al. 2018 (arXiv:1709.01507).
    About 0.7 million parameters at any image size.

    Parameters
    ----------
    meta : mapping
        ``"input_shape"`` and ``"n_classes"``.
    dropout : float, default=0.2
        Rate before the output.

    Returns
    -------
    keras.Model
    """
    return _residual_network(meta, dropout, stem=16, widths=(32, 64, 128), blocks=(2, 2, 2))


@named
def resnet_se_tiny(meta: Meta, dropout: float = 0.1) -> keras.Model:
    """Build :func:`resnet_se` with under 100 thousand parameters.

    A stem of 16 filters and stages of three, two and one blocks with 16, 32 and 56 filters.

    Parameters
    ----------
    meta, dropout
        As in :func:`resnet_se`.

    Returns
    -------
    keras.Model
    """
    return _residual_network(meta, dropout, stem=16, widths=(16, 32, 56), blocks=(3, 2, 1))


@named
def resnet_se_v2(meta: Meta, dropout: float = 0.0) -> keras.Model:
    """Build the deeper residual network of the ``"default"`` pretrained model.

    Like :func:`resnet_se`, but with four stages of 32, 64, 128 and 256 filters, hard-swish
    (Howard et al. 2019, arXiv:1905.02244) instead of ReLU, and shortcuts with average pooling
    (He et al. 2019, arXiv:1812.01187). About 2.3 million parameters at any image size.
    Predicting one image takes as long as with :func:`resnet_se_wide`.

    Parameters
    ----------
    meta, dropout
        As in :func:`resnet_se`.

    Returns
    -------
    keras.Model
    """
    return _residual_network(
        meta, dropout, stem=16, widths=(32, 64, 128, 256), blocks=(2, 3, 4, 1), style=_V2
    )


@named
def resnet_se_v2_tiny(meta: Meta, dropout: float = 0.0) -> keras.Model:
    """Build :func:`resnet_se_v2` with under 100 thousand parameters.

    Stages of three, two and one blocks with 16, 32 and 48 filters, and a 1×1 convolution with
    128 filters before the output. The network of the ``"tiny"`` pretrained model.

    Parameters
    ----------
    meta, dropout
        As in :func:`resnet_se`.

    Returns
    -------
    keras.Model
    """
    return _residual_network(
        meta, dropout, stem=16, widths=(16, 32, 48), blocks=(3, 2, 1), head=128, style=_V2
    )


@named
def resnet_se_wide(meta: Meta, dropout: float = 0.3) -> keras.Model:
    """Build :func:`resnet_se` with wider second and third stages.

    A stem of 16 filters and stages of 32, 96 and 192 filters. About 1.5 million parameters at any
    image size.

    Parameters
    ----------
    meta, dropout
        As in :func:`resnet_se`.

    Returns
    -------
    keras.Model
    """
    return _residual_network(meta, dropout, stem=16, widths=(32, 96, 192), blocks=(2, 2, 2))


class _Style(NamedTuple):
    """The differences between the two generations of residual networks."""

    activation: str
    pooling: Callable[..., layers.Layer]  # in shortcuts that halve the resolution
    min_squeezed: int  # smallest number of channels in the bottleneck of an attention branch


_V1 = _Style("relu", partial(layers.MaxPooling2D, 1), 1)
_V2 = _Style("hard_silu", partial(layers.AveragePooling2D, 2), 8)


def _residual_network(
    meta: Meta,
    dropout: float,
    stem: int,
    widths: Sequence[int],
    blocks: Sequence[int],
    head: int | None = None,
    style: _Style = _V1,
) -> keras.Model:
    """Build a residual network with squeeze-and-excitation attention.

    Parameters
    ----------
    meta, dropout
        As in :func:`resnet_se`.
    stem : int
        Filters of the first convolution.
    widths : sequence of int
        Filters of each stage; each has half the resolution of the previous one.
    blocks : sequence of int
        Number of residual blocks per stage.
    head : int or None, default=None
        Filters of a 1×1 convolution before the output. If None, there is none.
    style : _Style, default=_V1
    """
    inputs = keras.Input(meta["input_shape"])
    x = conv_bn(inputs, stem, style.activation)
    for filters, count in zip(widths, blocks, strict=True):
        for i in range(count):
            x = _residual_se_block(x, filters, 1 if i else 2, style)
    if head:
        x = conv_bn(x, head, style.activation, kernel=1)
    x = layers.GlobalAveragePooling2D()(x)
    x = drop(x, dropout)
    return classifier(inputs, x, meta)


def _residual_se_block(x, filters, strides, style):
    shortcut = x if strides == 1 else _half_size_shortcut(x, filters, style)
    x = conv_bn(x, filters, style.activation, strides=strides)
    x = conv_bn(x, filters, None)
    x = layers.Multiply()([x, _channel_attention(x, filters, style)])
    return layers.Activation(style.activation)(layers.Add()([x, shortcut]))


def _half_size_shortcut(x, filters, style=_V1):
    # Pooling first is the same as a 1×1 convolution of stride 2, whose gradient crashes the
    # process in TensorFlow 2.21 on CPUs if the input has 8 channels.
    x = style.pooling(strides=2, padding="same")(x)
    return conv_bn(x, filters, None, kernel=1)


def _channel_attention(x, filters, style, reduction=8):
    squeezed = max(style.min_squeezed, filters // reduction)
    weights = layers.GlobalAveragePooling2D(keepdims=True)(x)
    weights = layers.Conv2D(squeezed, 1, activation="relu")(weights)
    return layers.Conv2D(filters, 1, activation="sigmoid")(weights)
