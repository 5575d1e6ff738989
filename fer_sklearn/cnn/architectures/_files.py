"""Weights out of files that Keras wrote, and the download of ImageNet's."""

from pathlib import Path

import keras

# What Keras raises where a file is none of HDF5, or is of another network.
_UNFIT = (ValueError, OSError, KeyError, TypeError, AttributeError, IndexError)


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
