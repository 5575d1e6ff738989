"""Networks of ``keras.applications`` on grey faces, to be trained further or from nothing.

Each is the adaptation of our pixels, the application without its top as one layer named
``"backbone"``, and an output of its own. The adaptation does not depend on the weights, so
that weights can be moved between networks whatever they were built with.
"""

import keras
from keras import layers

from ._common import classifier, download, drop, load_file

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


def mobilenet_v3_small(meta, dropout=0.2, weights=None, size=96):
    """Build MobileNetV3-Small on images of 96×96 pixels.

    After Howard et al. 2019 (arXiv:1905.02244). About 0.94 million parameters at any image
    size. Pixels in [0, 1] are resized, repeated for three channels and brought to [-1, 1].

    Parameters
    ----------
    meta : mapping
        ``"input_shape"`` and ``"n_classes"``.
    dropout : float, default=0.2
        Rate before the output.
    weights : None, str or Path, default=None
        Of the backbone: None draws them, ``"imagenet"`` lets Keras download those of
        ImageNet, and a path names a ``.weights.h5`` or ``.h5`` file of the application
        without its top or of this network's layer ``"backbone"``. The output layer is
        always new.
    size : int, default=96
        Height and width, at least 32, to which images are resized.

    Returns
    -------
    keras.Model

    Raises
    ------
    ValueError
        For a size under 32 pixels, or a file that is not of this network.
    FileNotFoundError
        If the file does not exist.
    OSError
        If the download fails.
    """
    _check_size("mobilenet_v3_small", size)
    backbone = keras.applications.MobileNetV3Small(
        include_top=False,
        weights=None,
        input_shape=(size, size, 3),
        include_preprocessing=False,
        name="backbone",
    )
    if weights == "imagenet":
        weights = download(
            "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
            "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v3/",
            "d3e8ec802a04aa4fc771ee12a9a9b836",
        )
    if weights is not None:
        _load(backbone, weights, "mobilenet_v3_small", "MobileNetV3Small")
    return _network(meta, dropout, backbone, layers.Rescaling(2.0, -1.0, dtype="float32"))


def efficientnet_b0(meta, dropout=0.2, weights=None, size=96):
    """Build EfficientNet-B0 on images of 96×96 pixels.

    After Tan & Le 2019 (arXiv:1905.11946). About 4.1 million parameters at any image size.
    Pixels in [0, 1] are resized, repeated for three channels and normalised by the mean and
    deviation of ImageNet's, whatever the weights.

    Parameters
    ----------
    meta : mapping
        ``"input_shape"`` and ``"n_classes"``.
    dropout : float, default=0.2
        Rate before the output; whole residual branches are dropped at the published rates,
        up to 0.19, besides.
    weights : None, str or Path, default=None
        As in :func:`mobilenet_v3_small`.
    size : int, default=96
        Height and width, at least 32, to which images are resized.

    Returns
    -------
    keras.Model

    Raises
    ------
    ValueError
        For a size under 32 pixels, or a file that is not of this network.
    FileNotFoundError
        If the file does not exist.
    OSError
        If the download fails.
    """
    _check_size("efficientnet_b0", size)
    application = keras.applications.EfficientNetB0(
        include_top=False, weights=None, input_shape=(size, size, 3)
    )
    # Without its normalisation, which Keras builds in one way for ImageNet's weights and in
    # another for others, and whose values `set_weights` does not bring to use.
    stem = application.get_layer("stem_conv_pad")
    rest = keras.Model(stem.input, application.output, name="backbone")
    if weights == "imagenet":
        weights = download(
            "efficientnetb0_notop.h5",
            "https://storage.googleapis.com/keras-applications/",
            "50bc09e76180e00e4465e1a485ddc09d",
        )
    if weights is not None:
        # Files in Keras's older format are read layer by layer, the normalisation included.
        older = not str(weights).endswith(".weights.h5")
        _load(application if older else rest, weights, "efficientnet_b0", "EfficientNetB0")
    backbone = keras.models.clone_model(rest)  # whose layers are in one graph alone
    backbone.set_weights(rest.get_weights())
    scaling = layers.Rescaling(
        [1 / deviation for deviation in _IMAGENET_DEVIATION],
        [-m / d for m, d in zip(_IMAGENET_MEAN, _IMAGENET_DEVIATION, strict=True)],
        dtype="float32",
    )
    return _network(meta, dropout, backbone, scaling)


def _check_size(name, size):
    if size < 32:
        raise ValueError(
            f"size={size!r} is too small for architecture {name!r}, which halves its images "
            f"five times; expected at least 32."
        )


def _load(model, weights, name, application):
    load_file(
        model,
        weights,
        owner=f"architecture {name!r}",
        expected=(
            f"the weights of keras.applications.{application} without its top, or of a trained "
            f"network's backbone: model.get_layer('backbone').save_weights('….weights.h5')"
        ),
    )


def _network(meta, dropout, backbone, scaling):
    """Put adaptation and output around a backbone; all weights are there already."""
    for layer in backbone.layers:
        if isinstance(layer, layers.BatchNormalization):
            # As in `batch_norm`; the applications have 0.99 and 0.999. ImageNet's statistics
            # are no exception: while a layer learns, it normalises by those of the faces, and
            # its predictions are off until the moving ones have followed. While it is
            # frozen, they do not move.
            layer.momentum = 0.9
    height, width, _ = meta["input_shape"]
    inputs = x = keras.Input(meta["input_shape"])
    # Pixels stay float32: half precision would leave them fewer than eight bits.
    if (height, width) != backbone.input_shape[1:3]:
        resizing = layers.Resizing(*backbone.input_shape[1:3], dtype="float32")
        # The layer's default is training=True, which a call of the whole network without
        # `training` would hand on to all layers after it.
        x = resizing(x, training=False)
    x = layers.Concatenate(dtype="float32")([x, x, x])
    x = backbone(scaling(x))
    x = layers.GlobalAveragePooling2D()(x)
    x = drop(x, dropout)
    # The one layer that no file of a backbone has; seeded, so that a network which is
    # trained from there on starts the same each time.
    return classifier(inputs, x, meta, kernel_initializer=keras.initializers.GlorotUniform(seed=0))
