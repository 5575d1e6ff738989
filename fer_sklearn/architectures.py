"""Keras networks, one small function each.

A builder takes ``meta``, a mapping with ``"input_shape"`` ``(height, width, 1)`` and
``"n_classes"``, and optionally ``dropout``; it returns an uncompiled ``keras.Model``
whose output is ``n_classes`` probabilities. A function of the same form, written by a
user, is as good as a name wherever an architecture is asked for. Builders need no seeds:
:class:`~fer_sklearn.FERCNNClassifier` draws all first weights from its own.
"""

import inspect
from functools import partial

import keras
from keras import layers

from ._validation import suggestion

__all__ = [
    "ARCHITECTURES",
    "build_model",
    "conv3",
    "conv4_dense3",
    "conv4_wide",
    "mini_xception",
    "resnet_se",
    "vgg_elu",
]


def conv3(meta, dropout=0.25):
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
        x = _dropout(x, dropout)
    x = layers.Flatten()(x)
    x = layers.Dense(128, activation="relu")(x)
    x = _dropout(x, min(2 * dropout, 0.9))
    return _classifier(inputs, x, meta)


def conv4_dense3(meta, dropout=0.25):
    """Build four conv-BN-pool-dropout blocks and three dense layers, for 28×28 images.

    The block order of the notebooks that shrink FER2013 to 28×28 and train with Adam at
    1e-4. They do not agree on widths; here they are 32, 64, 128 and 256, then dense
    layers of 256, 128 and the output. About 0.7 million parameters.

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
        x = _conv_bn(x, filters, "relu")
        x = layers.MaxPooling2D(padding="same")(x)
        x = _dropout(x, dropout)
    x = layers.Flatten()(x)
    for units in (256, 128):
        x = layers.Dense(units, use_bias=False)(x)
        x = _batch_norm(x)
        x = layers.Activation("relu")(x)
        x = _dropout(x, dropout)
    return _classifier(inputs, x, meta)


def conv4_wide(meta, dropout=0.4):
    """Build convolutions of 128, 256, 512 and 512 filters and dense layers of 512 and 256.

    The network of the notebooks that report 62 % with Adam: unpadded 3×3 convolutions
    without batch normalisation, each followed by pooling and dropout. About 4.2 million
    parameters at 48×48, of which it needs at least 46 pixels a side.

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
        For images under 46 pixels a side, of which nothing is left after four blocks.
    """
    height, width, _ = meta["input_shape"]
    if min(height, width) < 46:
        raise ValueError(
            f"architecture='conv4_wide' needs images of at least 46×46 pixels, got "
            f"{height}×{width}. Put GrayscaleResizer(48) before it, or choose 'conv3'."
        )
    inputs = x = keras.Input(meta["input_shape"])
    for filters in (128, 256, 512, 512):
        x = layers.Conv2D(filters, 3, activation="relu")(x)
        x = layers.MaxPooling2D()(x)
        x = _dropout(x, dropout)
    x = layers.Flatten()(x)
    x = layers.Dense(512, activation="relu")(x)
    x = _dropout(x, dropout)
    x = layers.Dense(256, activation="relu")(x)
    x = _dropout(x, 0.75 * dropout)
    return _classifier(inputs, x, meta)


def vgg_elu(meta, dropout=0.2):
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
            x = _batch_norm(x)
        x = layers.MaxPooling2D(padding="same")(x)
        x = _dropout(x, dropout)
    x = layers.Flatten()(x)
    for _ in range(2):
        x = layers.Dense(64, activation="elu", kernel_initializer="he_normal")(x)
        x = _batch_norm(x)
        x = _dropout(x, min(2.5 * dropout, 0.9))
    return _classifier(inputs, x, meta)


def mini_xception(meta, dropout=None):
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
        x = _conv_bn(x, 8, "relu")
    for filters in (16, 32, 64, 128):
        shortcut = _half_size_shortcut(x, filters)
        for activation in ("relu", None):
            x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False)(x)
            x = _batch_norm(x)
            if activation:
                x = layers.Activation(activation)(x)
        x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
        x = layers.Add()([x, shortcut])
    if dropout:
        x = _dropout(x, dropout)
    x = layers.Conv2D(meta["n_classes"], 3, padding="same")(x)
    x = layers.GlobalAveragePooling2D()(x)
    outputs = layers.Activation("softmax", dtype="float32")(x)
    return keras.Model(inputs, outputs)


def resnet_se(meta, dropout=0.2):
    """Build a small residual network with squeeze-and-excitation attention.

    A stem of 16 filters and three stages of two residual blocks, 32, 64 and 128 filters
    wide, each stage at half the resolution of the one before. Residual blocks after He et
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
    inputs = keras.Input(meta["input_shape"])
    x = _conv_bn(inputs, 16, "relu")
    for filters in (32, 64, 128):
        x = _residual_se_block(x, filters, strides=2)
        x = _residual_se_block(x, filters, strides=1)
    x = layers.GlobalAveragePooling2D()(x)
    x = _dropout(x, dropout)
    return _classifier(inputs, x, meta)


#: The architectures that have a name.
ARCHITECTURES = {
    builder.__name__: builder
    for builder in (conv3, conv4_dense3, conv4_wide, vgg_elu, mini_xception, resnet_se)
}


def build_model(architecture, meta, dropout=None):
    """Build a named or user-written architecture, and check what came out.

    Parameters
    ----------
    architecture : str or callable
        A key of :data:`ARCHITECTURES`, or a function ``(meta)`` or ``(meta, dropout)``
        that returns a ``keras.Model``.
    meta : mapping
        ``"input_shape"`` ``(height, width, 1)`` and ``"n_classes"``.
    dropout : float or None
        Replaces the builder's own rate, unless None.

    Returns
    -------
    keras.Model

    Raises
    ------
    ValueError
        For an unknown name, a `dropout` that the builder does not take, or a model of
        another input or output shape.
    TypeError
        If the builder returns something else than a ``keras.Model``.
    """
    builder = resolve_architecture(architecture)
    name = getattr(builder, "__name__", repr(builder))
    if dropout is not None:
        if "dropout" not in inspect.signature(builder).parameters:
            raise ValueError(
                f"dropout={dropout!r} was given, but architecture {name!r} takes no "
                f"dropout. Leave dropout=None, or add the parameter to the function."
            )
        builder = partial(builder, dropout=dropout)
    model = builder(meta)
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"architecture {name!r} returned {type(model).__name__}; expected a keras.Model."
        )
    expected = (None, meta["n_classes"])
    if model.output_shape != expected:
        raise ValueError(
            f"architecture {name!r} has the output shape {model.output_shape}; expected "
            f"{expected}: end it with Dense(meta['n_classes'], activation='softmax')."
        )
    return model


def resolve_architecture(architecture):
    """Return the builder function that `architecture` names or is."""
    if callable(architecture):
        return architecture
    if architecture in ARCHITECTURES:
        return ARCHITECTURES[architecture]
    raise ValueError(
        f"architecture={architecture!r} is unknown; expected a function or one of "
        f"{', '.join(map(repr, ARCHITECTURES))}.{suggestion(architecture, ARCHITECTURES)}"
    )


def _dropout(x, rate):
    # Training seeds these layers itself, but with PyTorch only those that have a seed.
    return layers.Dropout(rate, seed=0)(x)


def _batch_norm(x):
    # Keras's momentum of 0.99 needs over 500 steps before predictions make sense, more than
    # a small data set gives.
    return layers.BatchNormalization(momentum=0.9)(x)


def _conv_bn(x, filters, activation, kernel=3, strides=1):
    x = layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False)(x)
    x = _batch_norm(x)
    return layers.Activation(activation)(x) if activation else x


def _residual_se_block(x, filters, strides):
    shortcut = x if strides == 1 else _half_size_shortcut(x, filters)
    x = _conv_bn(x, filters, "relu", strides=strides)
    x = _conv_bn(x, filters, None)
    x = layers.Multiply()([x, _channel_attention(x, filters)])
    return layers.Activation("relu")(layers.Add()([x, shortcut]))


def _half_size_shortcut(x, filters):
    # Sampling first equals a 1×1 convolution of stride 2, whose gradient crashes the process
    # in TensorFlow 2.21 on CPUs where the input has 8 channels.
    x = layers.MaxPooling2D(1, strides=2, padding="same")(x)
    return _conv_bn(x, filters, None, kernel=1)


def _channel_attention(x, filters, reduction=8):
    weights = layers.GlobalAveragePooling2D(keepdims=True)(x)
    weights = layers.Conv2D(filters // reduction, 1, activation="relu")(weights)
    return layers.Conv2D(filters, 1, activation="sigmoid")(weights)


def _classifier(inputs, x, meta):
    # Probabilities stay float32 where the rest of the network runs in half precision.
    outputs = layers.Dense(meta["n_classes"], activation="softmax", dtype="float32")(x)
    return keras.Model(inputs, outputs)
