"""Plain stacks of convolutions, as used in notebooks on FER2013."""

import keras
from keras import layers

from ._common import Meta, batch_norm, classifier, conv_bn, drop


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
        If images have less than 46×46 pixels, of which nothing is left after four blocks.
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
