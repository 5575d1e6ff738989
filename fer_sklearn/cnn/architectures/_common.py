"""What several networks are made of, and weights out of files that Keras wrote."""

from pathlib import Path

import keras
from keras import layers

# What Keras raises where a file is none of HDF5, or is of another network.
_UNFIT = (ValueError, OSError, KeyError, TypeError, AttributeError, IndexError)


def drop(x, rate):
    # Training seeds these layers itself, but with PyTorch only those that have a seed.
    return layers.Dropout(rate, seed=0)(x)


def batch_norm(x):
    # Keras's momentum of 0.99 needs over 500 steps before predictions make sense, more than
    # a small data set gives.
    return layers.BatchNormalization(momentum=0.9)(x)


def conv_bn(x, filters, activation, kernel=3, strides=1):
    x = layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False)(x)
    x = batch_norm(x)
    return layers.Activation(activation)(x) if activation else x


def classifier(inputs, x, meta, **options):
    # Probabilities stay float32 where the rest of the network runs in half precision.
    outputs = layers.Dense(meta["n_classes"], activation="softmax", dtype="float32", **options)(x)
    return keras.Model(inputs, outputs)


def check_path(weights):
    """Return `weights` as the path of a file that is there and has a fitting name.

    Raises
    ------
    ValueError
        If the name does not end in ``.h5``.
    FileNotFoundError
        If there is no such file.
    """
    path = Path(weights)
    if path.suffix != ".h5":
        raise ValueError(
            f"initial_weights={str(weights)!r} is not the name of a Keras weights file; expected "
            f"None, 'imagenet' or a path that ends in '.weights.h5' or '.h5'."
        )
    if not path.is_file():
        raise FileNotFoundError(
            f"initial_weights={str(weights)!r} does not exist. Give the path of a weights file, "
            f"or None to draw the weights."
        )
    return path


def load_file(model, weights, *, owner, expected):
    """Load the weights of `model` from a file.

    Parameters
    ----------
    model : keras.Model
    weights : str or Path
        As for :func:`check_path`.
    owner, expected : str
        What the model is, and which files fit it, for the error message.

    Raises
    ------
    ValueError
        If the file is not HDF5, or does not fit the model; the model is then useless.
    FileNotFoundError
        If there is no such file.
    """
    path = check_path(weights)
    try:
        model.load_weights(path)
    except _UNFIT as error:
        # Keras goes on with an example of many lines.
        reason = " ".join(str(error).split()).partition(" Example")[0].rstrip(".")
        raise ValueError(
            f"initial_weights={str(weights)!r} does not fit {owner}: {reason}. Expected {expected}."
        ) from error


def download(name, url, md5):
    """Return the path of a weights file in Keras's cache, downloaded unless it is there.

    Raises
    ------
    OSError
        If it cannot be downloaded.
    """
    try:
        return keras.utils.get_file(name, url + name, cache_subdir="models", file_hash=md5)
    except Exception as error:  # Keras raises nothing more special
        raise OSError(
            f"initial_weights='imagenet' could not be downloaded ({error}). Download "
            f"{url}{name} where there is a network, and give its path as initial_weights; or "
            f"leave initial_weights=None to draw the weights."
        ) from error
