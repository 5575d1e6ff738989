"""Files of network weights, and the weights that are bundled with the package.

A file is a NumPy archive (``.npz``) with these entries:

``description``
    JSON text: the `description` that was passed to :func:`write_weights`, and the keys ``format``
    (2), ``shapes`` (the shape of each array), ``bytes`` and ``sha256`` (the size and the checksum
    of each of the parts below, by its name).
``weights``
    The arrays of ``keras.Model.get_weights()``, in this order, as float16, one after another.
``litert``
    Optional: the same network as a LiteRT model (``.tflite``), which predicts without
    TensorFlow.

Each part is stored as uint8 of shape ``(2, n)``, the even bytes before the odd ones, padded with a
zero if the number of bytes is odd. A file contains no code, so reading it runs none.

A network has one output, or several *heads*: dense layers from one embedding to the logits of
different classes. Then the description states ``heads`` and ``label_sets``, each of which blends
heads into the probabilities of its own classes; see :func:`write_weights`.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ._utils.files import atomic_write
from ._utils.litert import LiteRTNetwork, RowCache
from ._utils.typing import ArrayLike, FloatArray, PathLike
from ._utils.validation import suggestion

__all__ = [
    "LABEL_SETS",
    "SHIPPED",
    "NetworkWeights",
    "average_weights",
    "blend_heads",
    "check_embedding",
    "has_litert",
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
_OTHER_FILES = " For other files of models, pass what load or load_exported returns for them."
_FOLDER = Path(__file__).parent / "shipped"

# Those of all 28,709 training images of FER2013, and of their mirror images.
_EMBEDDINGS = RowCache(max_bytes=64 * 2**20)

#: The names of the bundled weights.
SHIPPED = ("default", "tiny")
#: The label sets of the bundled networks; the first is the default.
LABEL_SETS = ("people", "ferplus", "fer2013")


@dataclass(frozen=True)
class NetworkWeights:
    """Weights, and the description of the network they belong to.

    Parameters
    ----------
    arrays : list of ndarray, float32
        As ``keras.Model.set_weights`` takes them.
    description : dict
        ``architecture`` (a name), ``image_shape`` (height and width), ``classes`` (the labels, in
        the order of the outputs), ``pixel_range`` (the lowest and highest pixel in training), and
        anything else that the author added.
    """

    arrays: list[np.ndarray]
    description: dict[str, Any]


def is_weights_file(name: PathLike | None) -> bool:
    """Return whether `name` names bundled weights, or is the path of an ``.npz`` file.

    Parameters
    ----------
    name : str, path-like or None
        May end in the name of a label set, as in :func:`read_weights`.

    Returns
    -------
    bool
    """
    source = split_name(name)[0]
    return source in SHIPPED or str(source).endswith(".npz")


def has_litert(name: PathLike) -> bool:
    """Return whether weights, named as in :func:`read_weights`, come with a LiteRT model."""
    return split_name(name)[0] in SHIPPED or "litert" in read_description(name)["sha256"]


def split_outputs(outputs: FloatArray, description: Mapping[str, Any]) -> dict[str, FloatArray]:
    """Split the output of a LiteRT model with several heads.

    Parameters
    ----------
    outputs : ndarray of shape (n, n_outputs)
    description : dict
        As returned by :func:`read_litert`.

    Returns
    -------
    dict of str to ndarray
        Logits of shape (n, n_classes) by the names of the heads, and their input, the
        ``embedding``.
    """
    ends = np.cumsum(list(description["outputs"].values()))[:-1]
    parts = np.split(outputs, ends, axis=1)
    return dict(zip(description["outputs"], parts, strict=True))


def blend_heads(values: Mapping[str, FloatArray], description: Mapping[str, Any]) -> FloatArray:
    """Combine the heads of a network into one head for a label set.

    A head is a dense layer from the embedding to logits, so blending kernels and biases gives
    the same as blending logits.

    Parameters
    ----------
    values : dict of str to ndarray of shape (..., n_outputs)
        Kernels, biases or logits by the names of the heads.
    description : dict
        As returned by :func:`read_description`.

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


def shipped_path(name: str) -> Path:
    """Return the path of bundled weights.

    Parameters
    ----------
    name : str
        One of :data:`SHIPPED`.

    Returns
    -------
    Path
    """
    return _FOLDER / f"{name}.npz"


def read_weights(name: PathLike) -> NetworkWeights:
    """Read weights, bundled or from a file.

    Parameters
    ----------
    name : str or path-like
        One of :data:`SHIPPED`, or the path of an ``.npz`` file. A network with several heads
        predicts the first of its label sets, unless a colon and the name of another one
        follow, as in ``"default:fer2013"``.

    Returns
    -------
    NetworkWeights
        With a single head, that of the label set.

    Raises
    ------
    ValueError
        If the name or label set is unknown, or the file is corrupt or has another format.
    FileNotFoundError
        If the file does not exist.
    """
    data, description = _read(name, "weights")
    if data is None:
        raise ValueError(
            f"The weights {str(name)!r} contain only a LiteRT model. Choose runtime='litert'."
        )
    halves = np.frombuffer(data, np.float16).astype(np.float32)
    shapes = [tuple(shape) for shape in description["shapes"]]
    ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
    arrays = [a.reshape(shape) for a, shape in zip(np.split(halves, ends), shapes, strict=True)]
    return NetworkWeights(_with_one_head(arrays, description), description)


def average_weights(names: Sequence[PathLike]) -> NetworkWeights:
    """Average the weights of several networks, array by array.

    Networks that were trained further from the same weights, each with its own order of images, are
    so close to each other that their average is a good network too, often better than each of them
    (Wortsman et al. 2022, arXiv:2203.05482). Batch normalisation needs new statistics afterwards:
    see :func:`fer_sklearn.cnn.update_batch_norm`.

    Parameters
    ----------
    names : sequence of str or path-like
        At least two names, as in :func:`read_weights`.

    Returns
    -------
    NetworkWeights
        The averages, with the description of the first network and a single head.

    Raises
    ------
    ValueError
        If there are fewer than two, or they differ in architecture, image size, labels or
        range of pixels. Otherwise as in :func:`read_weights`.
    """
    if len(names) < 2:
        raise ValueError(f"names has {len(names)} name(s); expected at least two.")
    networks = [read_weights(name) for name in names]
    first = networks[0].description
    for name, network in zip(names, networks, strict=True):
        for key in ("architecture", "image_shape", "classes", "pixel_range"):
            if network.description[key] != first[key]:
                raise ValueError(
                    f"The weights {str(name)!r} have {key}={network.description[key]!r}, but "
                    f"{str(names[0])!r} have {first[key]!r}. Average only networks "
                    f"of the same kind."
                )
    averages = [
        np.mean(arrays, axis=0)
        for arrays in zip(*(network.arrays for network in networks), strict=True)
    ]
    of_several_heads = ("heads", "label_sets", "labels", "outputs")
    return NetworkWeights(
        averages, {key: value for key, value in first.items() if key not in of_several_heads}
    )


def read_description(name: PathLike) -> dict[str, Any]:
    """Read the description of weights, bundled or from a file.

    Parameters
    ----------
    name : str or path-like
        As in :func:`read_weights`; errors are the same.

    Returns
    -------
    dict
        As in :class:`NetworkWeights`. For a network with several heads, ``labels`` is the name
        of the label set, ``classes`` contains its labels, and ``heads`` and ``label_sets`` are
        as in :func:`write_weights`.
    """
    return _read(name, None)[1]


def read_litert(name: PathLike) -> tuple[bytes, dict[str, Any]]:
    """Read the LiteRT model of weights, bundled or from a file.

    Parameters
    ----------
    name
        As in :func:`read_description`.

    Returns
    -------
    model : bytes
        In the format that the interpreter of ``ai_edge_litert`` takes.
    description : dict
        As in :func:`read_description`.

    Raises
    ------
    ValueError
        Also if the file has no LiteRT model.
    """
    model, description = _read(name, "litert")
    if model is None:
        raise ValueError(
            f"The weights {str(name)!r} come without a LiteRT model. Choose runtime='keras'."
        )
    return model, description


class WeightsNetwork:
    """The LiteRT model of weights, from images to the probabilities of a label set.

    Several threads may call it at once.

    Parameters
    ----------
    name : str or path-like
        As in :func:`read_weights`; errors are those of :func:`read_litert`.
    n_threads : int or None, default=None
        Threads per call. If None, one per processor, at most four.

    Attributes
    ----------
    description : dict
        As in :func:`read_description`, for the file's own labels.
    """

    def __init__(self, name: PathLike, *, n_threads: int | None = None) -> None:
        model, self.description = read_litert(name)
        self._head: Sequence[FloatArray] | None = None
        self._blend: FloatArray | None = None
        if "heads" in self.description:  # Blending is linear, so one matrix suffices.
            outputs = np.eye(sum(self.description["outputs"].values()), dtype=np.float32)
            self._blend = blend_heads(split_outputs(outputs, self.description), self.description)
        self._network = LiteRTNetwork(model, n_threads=n_threads)
        self._digest = bytes.fromhex(self.description["sha256"]["litert"])

    def __call__(self, images: FloatArray) -> FloatArray:
        """Compute the probabilities for a batch.

        Parameters
        ----------
        images : ndarray of shape (n, h, w, 1), float32

        Returns
        -------
        ndarray of shape (n, n_classes), float32
            In the order of ``description["classes"]``, or of the head of :meth:`with_head`.
        """
        if self._head is not None:
            kernel, bias = self._head
            return _softmax(self.embed(images) @ kernel + bias)
        outputs = self._network(images)
        return outputs if self._blend is None else _softmax(outputs @ self._blend)

    def with_head(self, head: Sequence[FloatArray]) -> WeightsNetwork:
        """Return this network with the given head in place of its own.

        Parameters
        ----------
        head : (ndarray of shape (n_features, n_classes), ndarray of shape (n_classes,))
            Kernel and bias of a dense layer on the embedding.

        Returns
        -------
        WeightsNetwork
            It uses the cache of :meth:`embed`, so that several heads can be tried on the same
            images without running the network again.
        """
        network = copy.copy(self)
        network._head = head
        return network

    def embed(self, images: FloatArray, *, cache: bool = True) -> FloatArray:
        """Compute the embeddings of a batch, which are the input of the heads.

        Parameters
        ----------
        images : ndarray of shape (n, h, w, 1), float32
        cache : bool, default=True
            Whether to cache the embeddings in memory (64 MiB for all networks of this process), and
            reuse those of images that were seen before.

        Returns
        -------
        ndarray of shape (n, n_features), float32

        Raises
        ------
        ValueError
            If the LiteRT model returns probabilities only.
        """
        check_embedding(self.description)
        if cache:
            return _EMBEDDINGS.compute(self._digest, self._embed, images)
        return self._embed(images)

    def _embed(self, images):
        return split_outputs(self._network(images), self.description)["embedding"]


def check_embedding(description: Mapping[str, Any]) -> int:
    """Return the number of features of an embedding that a LiteRT model returns.

    Parameters
    ----------
    description : dict
        As returned by :func:`read_description`.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If it returns none.
    """
    if "litert" not in description["sha256"] or "embedding" not in description.get("outputs", {}):
        raise ValueError(
            "The weights have no LiteRT model that returns embeddings, as the bundled networks "
            f"do. Choose one of {', '.join(map(repr, SHIPPED))}."
        )
    return description["outputs"]["embedding"]


def _softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def write_weights(
    path: PathLike,
    arrays: Sequence[ArrayLike],
    description: Mapping[str, Any],
    *,
    litert: bytes | None = None,
) -> None:
    """Write weights in half precision, for :func:`read_weights`.

    To write the weights of a trained classifier, use :func:`fer_sklearn.cnn.save_network`.

    An existing file is replaced once the new one is complete.

    Parameters
    ----------
    path : str or path-like
        Ends in ``.npz``.
    arrays : sequence of ndarray
        As ``keras.Model.get_weights`` returns them. For a network with several heads, they end
        in a kernel and a bias per head, in the order of ``description["heads"]``.
    description : mapping
        At least ``architecture``, ``image_shape``, ``classes`` and ``pixel_range``; see
        :class:`NetworkWeights`. With several heads, also:

        - ``heads``: the classes of each head, by its name,
        - ``label_sets``: by name, each with ``classes``, ``blend`` (a weight per head) and
          ``temperature`` (by which logits are divided),
        - ``outputs``: the number of values per output of the LiteRT model, in its order.
    litert : bytes or None, default=None
        The same network as a LiteRT model, for :func:`read_litert`.

    Raises
    ------
    ValueError
        If the path has another suffix, or a weight is beyond the range of half precision.
    """
    if Path(path).suffix != ".npz":
        raise ValueError(f"path={str(path)!r} must end in '.npz'; add that suffix.")
    with np.errstate(over="ignore"):
        halves = [np.asarray(array).astype(np.float16) for array in arrays]
    if not all(np.isfinite(array).all() for array in halves):
        raise ValueError(
            "arrays has weights beyond the range of half precision, ±65504, or that are not finite."
        )
    parts = {"weights": b"".join(array.tobytes() for array in halves)}
    if litert is not None:
        parts["litert"] = litert
    complete = dict(description) | {
        "format": _FORMAT,
        "shapes": [array.shape for array in halves],
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()},
        "bytes": {name: len(data) for name, data in parts.items()},
    }
    with atomic_write(path) as file:
        np.savez_compressed(
            file,
            description=np.array(json.dumps(complete, ensure_ascii=False)),
            **{name: _byte_planes(data) for name, data in parts.items()},
        )


def _read(name, part):
    """Return the verified bytes of a part, None if there is no such part, and the description."""
    name, labels = split_name(name)
    if not is_weights_file(name):
        raise ValueError(
            f"There are no weights named {str(name)!r}; expected "
            f"{', '.join(map(repr, SHIPPED))} or the path of an .npz file."
            f"{_OTHER_FILES if Path(str(name)).suffix else suggestion(name, SHIPPED)}"
        )
    path = shipped_path(name) if name in SHIPPED else Path(name)
    remedy = "Reinstall fer_sklearn." if name in SHIPPED else "Copy it again from its source."
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
            f"The weights {str(path)!r} cannot be read ({error}): the file is corrupt or was not "
            f"written by fer_sklearn. {remedy}"
        ) from error
    if hashlib.sha256(data).hexdigest() != description["sha256"][part]:
        raise ValueError(
            f"The weights {str(path)!r} do not match their checksum: the file was changed or is "
            f"corrupt. {remedy}"
        )
    return data, description


class _OtherFormatError(ValueError):
    """An intact file of another format."""


class _UnknownLabelsError(ValueError):
    """An intact file without the requested label set."""


def split_name(name: PathLike | None) -> tuple[PathLike | None, str | None]:
    """Split a name such as ``"default:fer2013"`` into its source and its label set.

    Parameters
    ----------
    name : str, path-like or None
        As in :func:`read_weights`.

    Returns
    -------
    source : str, path-like or None
        Without the label set; `name` itself if it has none.
    labels : str or None
    """
    source, colon, labels = str(name).rpartition(":")
    # Not the colon of a drive, as in C:\weights.npz.
    if colon and (source in SHIPPED or source.endswith(".npz")):
        return source, labels
    return name, None


def _with_one_head(arrays, description):
    heads = description.get("heads")
    if heads is None:
        return arrays
    body, ends = arrays[: -2 * len(heads)], arrays[-2 * len(heads) :]
    kernels, biases = (dict(zip(heads, ends[i::2], strict=True)) for i in (0, 1))
    return [*body, blend_heads(kernels, description), blend_heads(biases, description)]


def _choose_labels(description, name, labels):
    """Set ``labels``, ``classes`` and the accuracy of a network with several heads."""
    known = description.get("label_sets", {})
    if labels is not None and labels not in known:
        expected = ", ".join(map(repr, known)) or "no label set, since they have a single head"
        raise _UnknownLabelsError(
            f"The weights {str(name)!r} have no labels {labels!r}; expected {expected}."
            f"{suggestion(labels, known)}"
        )
    if known:
        description["labels"] = labels or next(iter(known))
        chosen = known[description["labels"]]
        description |= {key: chosen[key] for key in ("classes", "accuracy") if key in chosen}


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
    """Separate even and odd bytes: float16 compresses better with all exponents together."""
    pairs = np.frombuffer(data + b"\0" * (len(data) % 2), np.uint8).reshape(-1, 2)
    return np.ascontiguousarray(pairs.T)


def _joined(planes):
    return planes.T.tobytes()
