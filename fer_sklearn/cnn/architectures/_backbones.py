"""Networks of ``keras.applications`` on grey faces or in colour, and weights files from Keras.

Each consists of a conversion of the pixels, the application without its top as one layer named
``"backbone"``, and a new output. The conversion does not depend on the weights, so weights can
be copied between networks, regardless of the weights they were built with.
"""

from __future__ import annotations

from pathlib import Path

import keras
from keras import layers

from ..._utils.typing import PathLike
from ._named import Meta, classifier, drop, named

# Errors that Keras raises if a file is not HDF5, or belongs to another network.
_UNFIT = (ValueError, OSError, KeyError, TypeError, AttributeError, IndexError)
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


@named
def mobilenet_v3_small(
    meta: Meta, dropout: float = 0.2, weights: PathLike | None = None, size: int = 96
) -> keras.Model:
    """Build MobileNetV3-Small for images of 96×96 pixels.

    After Howard et al. 2019 (arXiv:1905.02244). About 0.94 million parameters at any image
    size. Pixels in [0, 1] are resized, scaled to [-1, 1] and, if they are grey, repeated for three
    channels.

    Parameters
    ----------
    meta : mapping
        ``"input_shape"`` and ``"n_classes"``.
    dropout : float, default=0.2
        Rate before the output.
    weights : None, str or path-like, default=None
        Weights of the backbone. If None, they are drawn at random. ``"imagenet"`` downloads
        those of ImageNet through Keras. A path names a ``.weights.h5`` or ``.h5`` file of the
        application without its top, or of this network's layer ``"backbone"``. The output
        layer is always new.
    size : int, default=96
        Height and width, at least 32, to which images are resized.

    Returns
    -------
    keras.Model

    Raises
    ------
    ValueError
        If the size is below 32 pixels, or the file belongs to another network.
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


@named
def efficientnet_b0(
    meta: Meta, dropout: float = 0.2, weights: PathLike | None = None, size: int = 96
) -> keras.Model:
    """Build EfficientNet-B0 for images of 96×96 pixels.

    After Tan & Le 2019 (arXiv:1905.11946). About 4.1 million parameters at any image size.
    Pixels in [0, 1] are resized, repeated for three channels if they are grey, and normalised by
    the mean and standard deviation of ImageNet, regardless of the weights.

    Parameters
    ----------
    meta, weights, size
        As in :func:`mobilenet_v3_small`, which raises the same errors too.
    dropout : float, default=0.2
        Rate before the output. In addition, whole residual branches are dropped at the
        published rates, up to 0.19.

    Returns
    -------
    keras.Model
    """
    _check_size("efficientnet_b0", size)
    application = keras.applications.EfficientNetB0(
        include_top=False, weights=None, input_shape=(size, size, 3)
    )
    # The normalisation is left out: Keras builds it differently for ImageNet's weights, and
    # `set_weights` does not put its values into effect.
    stem = application.get_layer("stem_conv_pad")
    rest = keras.Model(stem.input, application.output, name="backbone")
    if weights == "imagenet":
        weights = download(
            "efficientnetb0_notop.h5",
            "https://storage.googleapis.com/keras-applications/",
            "50bc09e76180e00e4465e1a485ddc09d",
        )
    if weights is not None:
        # Files in Keras's older format contain all layers, the normalisation among them.
        older = not str(weights).endswith(".weights.h5")
        _load(application if older else rest, weights, "efficientnet_b0", "EfficientNetB0")
    backbone = keras.models.clone_model(rest)  # its layers are part of one graph only
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
            f"size={size!r} is too small for architecture {name!r}, which halves images five "
            f"times; expected at least 32."
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
    """Add pixel conversion before a backbone that has its weights, and an output after it."""
    for layer in backbone.layers:
        if isinstance(layer, layers.BatchNormalization):
            # As in `batch_norm`; the applications have 0.99 and 0.999. This also applies to
            # ImageNet's weights: a layer that is trained normalises by the statistics of each
            # batch of faces, and predictions are wrong until the moving averages have caught
            # up. The averages of frozen layers do not change.
            layer.momentum = 0.9
    height, width, n_channels = meta["input_shape"]
    inputs = x = keras.Input(meta["input_shape"])
    # Pixels stay float32: bfloat16 has fewer than eight bits of precision.
    if (height, width) != backbone.input_shape[1:3]:
        resizing = layers.Resizing(*backbone.input_shape[1:3], dtype="float32")
        # The layer's default is training=True, which it would pass to all layers after it when
        # the network is called without `training`.
        x = resizing(x, training=False)
    if n_channels == 1:
        x = layers.Concatenate(dtype="float32")([x, x, x])
    x = backbone(scaling(x))
    x = layers.GlobalAveragePooling2D()(x)
    x = drop(x, dropout)
    # The only layer that a backbone's file does not contain. The seed makes networks that start
    # from the same file start with the same weights.
    return classifier(inputs, x, meta, kernel_initializer=keras.initializers.GlorotUniform(seed=0))


def check_path(weights: PathLike) -> Path:
    """Return the path of a weights file, which must exist and have the right suffix.

    Raises
    ------
    ValueError
        If the name does not end in ``.h5``.
    FileNotFoundError
        If the file does not exist.
    """
    path = Path(weights)
    if path.suffix != ".h5":
        raise ValueError(
            f"initial_weights={str(weights)!r} is not the name of a Keras weights file; expected "
            f"None, 'imagenet' or a path that ends in '.weights.h5' or '.h5'."
        )
    if not path.is_file():
        raise FileNotFoundError(
            f"initial_weights={str(weights)!r} does not exist. Pass the path of a weights "
            f"file, or None for random weights."
        )
    return path


def load_file(model: keras.Model, weights: PathLike, *, owner: str, expected: str) -> None:
    """Load the weights of `model` from a file.

    Parameters
    ----------
    model : keras.Model
    weights : str or path-like
    owner, expected : str
        Descriptions of the model and of the files that fit it, for the error message.

    Raises
    ------
    ValueError
        If the file is not HDF5, or does not fit the model, which is then unusable.
    FileNotFoundError
        If the file does not exist.
    """
    path = check_path(weights)
    try:
        model.load_weights(path)
    except _UNFIT as error:
        # Keras adds an example of many lines.
        reason = " ".join(str(error).split()).partition(" Example")[0].rstrip(".")
        raise ValueError(
            f"initial_weights={str(weights)!r} does not fit {owner}: {reason}. Expected {expected}."
        ) from error


def download(name: str, url: str, md5: str) -> str:
    """Download a weights file, unless Keras has it in its cache, and return its path.

    Raises
    ------
    OSError
        If it cannot be downloaded.
    """
    try:
        return keras.utils.get_file(name, url + name, cache_subdir="models", file_hash=md5)
    except Exception as error:  # Keras raises nothing more specific
        raise OSError(
            f"initial_weights='imagenet' could not be downloaded ({error}). Download "
            f"{url}{name} on a computer that is online, and pass its path as initial_weights; or "
            f"leave initial_weights=None for random weights."
        ) from error
