"""Files of network weights, and those that ship with the package.

A file is a NumPy archive (``.npz``): the weights in half precision, a description, and
perhaps the same network as a LiteRT model (``.tflite``), which predicts without TensorFlow;
with a checksum over each. It holds no code, so that reading one can run none.
"""

import hashlib
import json
import math
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ._utils.validation import suggestion

__all__ = [
    "SHIPPED",
    "NetworkWeights",
    "is_weights_file",
    "read_description",
    "read_litert",
    "read_weights",
    "shipped_path",
    "write_weights",
]

_FORMAT = 2
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
        For an unknown name, a damaged file, or one of another version.
    FileNotFoundError
        If there is no such file.
    """
    data, description = _read(name, "weights")
    halves = np.frombuffer(data, np.float16).astype(np.float32)
    shapes = [tuple(shape) for shape in description["shapes"]]
    ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
    arrays = [a.reshape(shape) for a, shape in zip(np.split(halves, ends), shapes, strict=True)]
    return NetworkWeights(arrays, description)


def read_description(name):
    """Read what a shipped name or a file says of itself, as in :class:`NetworkWeights`."""
    return _read(name, None)[1]


def read_litert(name):
    """Read the LiteRT model of a shipped name or of a file.

    Parameters
    ----------
    name : str or Path
        As in :func:`read_weights`; errors are the same.

    Returns
    -------
    model : bytes
        As ``ai_edge_litert``'s interpreter takes them.
    description : dict
        As in :class:`NetworkWeights`.
    """
    model, description = _read(name, "litert")
    if model is None:
        raise ValueError(
            f"The weights {str(name)!r} come without a LiteRT model. Choose runtime='keras'."
        )
    return model, description


def write_weights(path, arrays, description, *, litert=None):
    """Write weights, in half precision, for :func:`read_weights`.

    Parameters
    ----------
    path : str or Path
        Ends in ``.npz``.
    arrays : list of ndarray
        As ``keras.Model.get_weights`` returns them.
    description : dict
        At least ``architecture``, ``image_shape``, ``classes`` and ``pixel_range``.
    litert : bytes or None, default=None
        The same network as a LiteRT model, for :func:`read_litert`.
    """
    with np.errstate(over="ignore"):
        halves = [np.asarray(array).astype(np.float16) for array in arrays]
    if not all(np.isfinite(array).all() for array in halves):
        raise ValueError("arrays has weights beyond the range of half precision, ±65504.")
    parts = {"weights": b"".join(array.tobytes() for array in halves)}
    if litert is not None:
        parts["litert"] = litert
    description = description | {
        "format": _FORMAT,
        "shapes": [array.shape for array in halves],
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()},
        "bytes": {name: len(data) for name, data in parts.items()},
    }
    np.savez_compressed(
        path,
        description=np.array(json.dumps(description, ensure_ascii=False)),
        **{name: _byte_planes(data) for name, data in parts.items()},
    )


def _read(name, part):
    """Return the checked bytes of one part of a file, None if it lacks it, and the description."""
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
            description = json.loads(str(file["description"]))
            _check_format(path, description["format"])
            if part not in description["sha256"]:
                return None, description
            data = _joined(file[part])[: description["bytes"][part]]
    except FileNotFoundError:
        raise FileNotFoundError(f"The weights {str(path)!r} do not exist. {remedy}") from None
    except _OtherFormatError:
        raise
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"The weights {str(path)!r} cannot be read ({error}): the file is damaged or is "
            f"none of fer_sklearn's. {remedy}"
        ) from error
    if hashlib.sha256(data).hexdigest() != description["sha256"][part]:
        raise ValueError(
            f"The weights {str(path)!r} do not match their checksum: the file was changed or "
            f"damaged. {remedy}"
        )
    return data, description


class _OtherFormatError(ValueError):
    """A whole file of another version."""


def _check_format(path, found):
    if found == _FORMAT:
        return
    remedy = (
        "Type: pip install --upgrade fer_sklearn"
        if found > _FORMAT
        else "Write it again with this version's write_weights."
    )
    raise _OtherFormatError(
        f"The weights {str(path)!r} have the format {found}; this version of fer_sklearn reads "
        f"format {_FORMAT}. {remedy}"
    )


def _byte_planes(data):
    """Part even from odd bytes: halves have signs and exponents in one of them, which shrink."""
    pairs = np.frombuffer(data + b"\0" * (len(data) % 2), np.uint8).reshape(-1, 2)
    return np.ascontiguousarray(pairs.T)


def _joined(planes):
    return planes.T.tobytes()
