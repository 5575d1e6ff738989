"""Files of network weights, and those that ship with the package.

A file is a NumPy archive (``.npz``): the weights in half precision, and a description, with
a checksum over the weights. It holds no code, so that reading one can run none.
"""

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ._validation import suggestion

__all__ = [
    "SHIPPED",
    "NetworkWeights",
    "digest_of",
    "is_weights_file",
    "read_weights",
    "shipped_path",
    "write_weights",
]

_FORMAT = 1
_FOLDER = Path(__file__).parent / "shipped"

#: The weights that ship with the package.
SHIPPED = ("default", "tiny")


@dataclass(frozen=True)
class NetworkWeights:
    """Weights and what they belong to.

    Attributes
    ----------
    arrays : list of ndarray of float32
        As ``keras.Model.set_weights`` takes them.
    description : dict
        ``architecture``, a name; ``image_shape``, height and width; ``classes``, the labels
        in the order of the outputs; ``pixel_range``, lowest and highest pixel seen in
        training; and whatever else the author noted.
    """

    arrays: list
    description: dict


def is_weights_file(name):
    """Tell whether `name` is a shipped name or the path of an ``.npz`` file."""
    return name in SHIPPED or str(name).endswith(".npz")


def shipped_path(name):
    """Return where the package keeps the weights of a shipped name."""
    return _FOLDER / f"{name}.npz"


def read_weights(name):
    """Read weights by their shipped name or the path of a file.

    Parameters
    ----------
    name : str or Path
        One of :data:`SHIPPED`, or the path of an ``.npz`` file.

    Returns
    -------
    NetworkWeights

    Raises
    ------
    ValueError
        For an unknown name, a damaged file, or one of a newer version.
    FileNotFoundError
        If there is no such file.
    """
    if not is_weights_file(name):
        raise ValueError(
            f"There are no weights named {str(name)!r}; expected "
            f"{', '.join(map(repr, SHIPPED))} or the path of an .npz file."
            f"{suggestion(name, SHIPPED)}"
        )
    path = shipped_path(name) if name in SHIPPED else Path(name)
    remedy = "Install fer_sklearn again." if name in SHIPPED else "Copy it again from its source."
    try:
        with np.load(path) as file:
            entries = dict(file)
        description = json.loads(str(entries["description"]))
    except FileNotFoundError:
        raise FileNotFoundError(f"The weights {str(path)!r} do not exist. {remedy}") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"The weights {str(path)!r} cannot be read ({error}): the file is damaged or is "
            f"none of fer_sklearn's. {remedy}"
        ) from error
    if description["format"] > _FORMAT:
        raise ValueError(
            f"The weights {str(path)!r} have the format {description['format']}; this version "
            f"of fer_sklearn reads formats up to {_FORMAT}. "
            f"Type: pip install --upgrade fer_sklearn"
        )
    arrays = [entries[f"weights_{i}"] for i in range(len(entries) - 1)]
    if digest_of(arrays).hexdigest() != description["sha256"]:
        raise ValueError(
            f"The weights {str(path)!r} do not match their checksum: the file was changed or "
            f"damaged. {remedy}"
        )
    return NetworkWeights([array.astype(np.float32) for array in arrays], description)


def write_weights(path, arrays, description):
    """Write weights, in half precision, for :func:`read_weights`.

    Parameters
    ----------
    path : str or Path
        Ends in ``.npz``.
    arrays : list of ndarray
        As ``keras.Model.get_weights`` returns them.
    description : dict
        At least ``architecture``, ``image_shape``, ``classes`` and ``pixel_range``.

    Returns
    -------
    NetworkWeights
        What will be read, rounded as it will be.
    """
    with np.errstate(over="ignore"):
        arrays = [np.asarray(array).astype(np.float16) for array in arrays]
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError("arrays has weights beyond the range of half precision, ±65504.")
    description = {**description, "format": _FORMAT, "sha256": digest_of(arrays).hexdigest()}
    entries = {f"weights_{i}": array for i, array in enumerate(arrays)}
    np.savez_compressed(
        path, description=np.array(json.dumps(description, ensure_ascii=False)), **entries
    )
    return NetworkWeights([array.astype(np.float32) for array in arrays], description)


def digest_of(arrays, start=b""):
    """Return the SHA-256 of `start` and of the dtypes, shapes and contents of arrays."""
    digest = hashlib.sha256(start)
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array))
    return digest
