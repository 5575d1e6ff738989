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
    "LABEL_SETS",
    "SHIPPED",
    "NetworkWeights",
    "blend_heads",
    "is_weights_file",
    "read_description",
    "read_litert",
    "read_weights",
    "shipped_path",
    "split_name",
    "split_outputs",
    "write_weights",
]

_FORMAT = 2
_FOLDER = Path(__file__).parent / "shipped"

#: The weights that ship with the package.
SHIPPED = ("default", "tiny")
#: What a shipped network can be asked for; the first is the default.
LABEL_SETS = ("people", "ferplus", "fer2013")


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
    source = split_name(name)[0]
    return source in SHIPPED or str(source).endswith(".npz")


def split_outputs(outputs, description):
    """Split what a LiteRT model of several heads computes.

    Parameters
    ----------
    outputs : ndarray of shape (n, n_outputs)
    description : dict
        As :func:`read_litert` returns it.

    Returns
    -------
    dict of str to ndarray
        Logits of shape (n, n_classes) by the heads' names, and the ``embedding`` before them.
    """
    ends = np.cumsum(list(description["outputs"].values()))[:-1]
    parts = np.split(outputs, ends, axis=1)
    return dict(zip(description["outputs"], parts, strict=True))


def blend_heads(values, description):
    """Combine what belongs to the heads of a network into one label set.

    A head is a dense layer from the network's embedding to logits, so that blending kernels,
    biases or logits comes to the same.

    Parameters
    ----------
    values : dict of str to ndarray of shape (..., n_outputs)
        By the heads' names: kernels, biases or logits.
    description : dict
        As :func:`read_description` returns it.

    Returns
    -------
    ndarray of shape (..., n_classes)
        In the order of ``description["classes"]``: the heads' weighted sum, divided by the
        label set's temperature.
    """
    chosen = description["label_sets"][description["labels"]]
    parts = [
        weight * values[head][..., [description["heads"][head].index(c) for c in chosen["classes"]]]
        for head, weight in chosen["blend"].items()
    ]
    return sum(parts) / chosen["temperature"]


def shipped_path(name):
    """Return where the package keeps the weights of a shipped name."""
    return _FOLDER / f"{name}.npz"


def read_weights(name):
    """Read weights by their shipped name or the path of a file.

    Parameters
    ----------
    name : str or Path
        One of :data:`SHIPPED`, or the path of an ``.npz`` file. Networks with several heads
        predict the first of their label sets, unless a colon and the name of another
        follow, as in ``"default:fer2013"``.

    Returns
    -------
    NetworkWeights
        With a single head, that of the label set.

    Raises
    ------
    ValueError
        For an unknown name or label set, a damaged file, or one of another version.
    FileNotFoundError
        If there is no such file.
    """
    data, description = _read(name, "weights")
    halves = np.frombuffer(data, np.float16).astype(np.float32)
    shapes = [tuple(shape) for shape in description["shapes"]]
    ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
    arrays = [a.reshape(shape) for a, shape in zip(np.split(halves, ends), shapes, strict=True)]
    return NetworkWeights(_with_one_head(arrays, description), description)


def _with_one_head(arrays, description):
    heads = description.get("heads")
    if heads is None:
        return arrays
    body, ends = arrays[: -2 * len(heads)], arrays[-2 * len(heads) :]
    kernels, biases = (dict(zip(heads, ends[i::2], strict=True)) for i in (0, 1))
    return [*body, blend_heads(kernels, description), blend_heads(biases, description)]


def read_description(name):
    """Read what a shipped name or a file says of itself.

    Parameters
    ----------
    name : str or Path
        As in :func:`read_weights`; errors are the same.

    Returns
    -------
    dict
        As in :class:`NetworkWeights`; of a network with several heads, ``labels`` is the name
        of the label set, ``classes`` are its labels, ``heads`` the outputs of each head, and
        ``label_sets`` all that there are.
    """
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
        As ``keras.Model.get_weights`` returns them; of a network with several heads, a kernel
        and a bias per head at the end, in the order of ``description["heads"]``.
    description : dict
        At least ``architecture``, ``image_shape``, ``classes`` and ``pixel_range``. With
        several heads, ``heads``, lists of outputs by name, and ``label_sets``, by name: each
        a dict of ``classes``, ``blend`` (a weight per head) and ``temperature``, by which logits
        are divided; ``outputs``, the number of values per output of the LiteRT model, in its
        order.
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
    name, labels = split_name(name)
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
            _choose_labels(description, name, labels)
            if part not in description["sha256"]:
                return None, description
            data = _joined(file[part])[: description["bytes"][part]]
    except FileNotFoundError:
        raise FileNotFoundError(f"The weights {str(path)!r} do not exist. {remedy}") from None
    except (_OtherFormatError, _UnknownLabelsError):
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


class _UnknownLabelsError(ValueError):
    """A whole file without the label set that was asked for."""


def split_name(name):
    """Return the source in a name such as ``"default:fer2013"``, and its label set or None."""
    source, colon, labels = str(name).rpartition(":")
    # Not the colon of a drive, as in C:\weights.npz.
    if colon and (source in SHIPPED or source.endswith(".npz")):
        return source, labels
    return name, None


def _choose_labels(description, name, labels):
    """Set ``labels`` and ``classes`` of a network with several heads."""
    known = description.get("label_sets", {})
    if labels is not None and labels not in known:
        expected = ", ".join(map(repr, known)) or "no label set, since they have a single head"
        raise _UnknownLabelsError(
            f"The weights {str(name)!r} have no labels {labels!r}; expected {expected}."
            f"{suggestion(labels, known)}"
        )
    if known:
        description["labels"] = labels or next(iter(known))
        description["classes"] = known[description["labels"]]["classes"]


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
