"""Layers that several architectures share, and loading weights files that Keras wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import keras
from keras import layers

from ..._utils.typing import PathLike

#: What builders take: ``"input_shape"`` (height, width, 1) and ``"n_classes"``.
Meta: TypeAlias = Mapping[str, Any]

# What Keras raises if a file is not HDF5, or belongs to another network.
_UNFIT = (ValueError, OSError, KeyError, TypeError, AttributeError, IndexError)


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
            f"file, or None to draw the weights."
        )
    return path


def load_file(model: keras.Model, weights: PathLike, *, owner: str, expected: str) -> None:
    """Load the weights of `model` from a file.

    Parameters
    ----------
    model : keras.Model
    weights : str or path-like
    owner, expected : str
        What the model is, and which files fit it, for the error message.

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
            f"leave initial_weights=None to draw the weights."
        ) from error
