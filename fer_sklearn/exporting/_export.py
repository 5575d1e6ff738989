"""Write a fitted network in another format, run what was written, and keep it if it agrees."""

import os
import shutil
import uuid
from contextlib import contextmanager
from numbers import Integral, Real
from pathlib import Path

import numpy as np

from .._utils.validation import check_choice, check_pair
from ..inference import SIDECAR, sidecar_path
from ._check import check_answers, check_size, probes
from ._formats import FORMATS, LITERT_PRECISIONS, Order
from ._metadata import describe, describe_files, write_json

__all__ = ["export"]

_FEWEST_IMAGES = 64
_MOST_COMPARED = 512
# Integers learn their ranges from the images but for every fourth, on which they are compared.
_SHARE_KEPT = 4


def export(
    estimator,
    path,
    *,
    format=None,
    precision="float32",
    images=None,
    min_agreement=0.97,
    input_size=None,
    batch_size=1,
    accuracy=None,
    licence=None,
    vendor="auto",
    allow_custom_layers=False,
    overwrite=False,
):
    """Write a fitted CNN pipeline in a format of phones, browsers and servers.

    Grey conversion, scaling and normalisation go into the graph, so that nobody prepares
    images otherwise than the network learned them; a JSON file tells what goes in and what
    comes out. What was written is run by the format's own runtime on 64 faces and compared
    with the pipeline before it is put in place.

    Parameters
    ----------
    estimator : estimator object
        A fitted :class:`~fer_sklearn.FERCNNClassifier`, a pipeline that ends in one, as
        :func:`~fer_sklearn.make_cnn_pipeline` and :func:`~fer_sklearn.load_pretrained` give,
        or a search over one. A step ``crop`` is left out, and described in the JSON file.
    path : str or Path
        A file for ``"tflite"`` and ``"onnx"``, with its JSON file beside it as
        ``<path>.json``; a folder for the others, with ``fer_sklearn.json`` in it.
    format : {"tflite", "tfjs", "onnx", "saved_model", "web"} or None, default=None
        ``"tflite"`` is LiteRT's, for Android, iOS and small devices; ``"tfjs"``
        TensorFlow.js's (a graph model); ``"onnx"`` needs the extra ``onnx``; ``"web"`` is a
        folder with a whole page that any static server can show. None tells it from the
        suffix of `path`, ``.tflite`` or ``.onnx``.
    precision : {"float32", "float16", "dynamic_int8", "int8"}, default="float32"
        Of the weights; all but the first are for ``"tflite"`` alone. ``"int8"`` computes in
        integers throughout, takes grey faces of the network's own size as ``uint8``, and
        needs `images`.
    images : batch of photos or None, default=None
        Faces like those that the network will see, a few hundred of those it was trained on for
        example. Up to 512 of them are compared in place of 64 drawn faces. ``"int8"`` learns
        the range of each layer from three in four of them, and is compared on the others.
    min_agreement : float, default=0.97
        Least share of labels, in [0, 1], that must stay the same under quantisation; float32
        must agree to 1e-4 in probability instead.
    input_size : int, (int, int) or None, default=None
        Height and width of the faces that a ``"tflite"`` file takes, whole multiples of the
        network's, to which it scales them; None is the network's own. The other formats take
        faces of any size.
    batch_size : int, default=1
        How many faces a ``"tflite"`` file takes at once; the others take any number.
    accuracy, licence : object that JSON can hold, or None, default=None
        What the JSON file says of them. None is what is known of a shipped network.
    vendor : {"auto", True, False}, default="auto"
        Whether ``"web"`` copies the JavaScript packages that it uses into the folder, with
        npm; False names them on a public CDN by their checksums, ``"auto"`` does so where npm
        is missing.
    allow_custom_layers : bool, default=False
        Whether layers that are not Keras's own are translated by their operations, rather
        than refused.
    overwrite : bool, default=False
        Whether an earlier export at `path` is replaced.

    Returns
    -------
    dict
        What the JSON file says, with the result of the comparison as ``check``.

    Raises
    ------
    TypeError
        If `estimator` is none that can be exported.
    NotFittedError
        If it is not fitted.
    ExportError
        If what was written does not answer as the model does.
    FileExistsError
        If something is at `path`.
    MissingExtraError
        For ``"onnx"`` without its extra.
    ValueError
        For parameters that do not fit each other, or a layer or operation that the format
        does not know.

    See Also
    --------
    load_exported : Read ``"tflite"`` and ``"onnx"`` files back as classifiers.

    Examples
    --------
    >>> import tempfile
    >>> from fer_sklearn import export, load_exported, load_pretrained, make_faces
    >>> X, y = make_faces(7, random_state=0, return_X_y=True)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     told = export(load_pretrained("tiny"), f"{folder}/tiny.tflite")
    ...     load_exported(f"{folder}/tiny.tflite").predict(X).shape
    (7,)
    >>> told["labels"][:3], told["check"]["largest_difference"] < 1e-4
    (['angry', 'disgust', 'fear'], True)
    """
    from ._graph import serving_model, take_apart  # which loads Keras

    format = _resolve_format(format, path)
    _check_parameters(format, precision, images, min_agreement, batch_size, input_size)
    kind = FORMATS[format]
    target = check_target(path, kind.suffix, overwrite=overwrite)
    kind.check()
    parts = take_apart(estimator, allow_custom_layers=allow_custom_layers)
    size = _input_size(parts, input_size)
    channels = 3 if parts.takes_faces and precision != "int8" else 1
    model = serving_model(
        parts,
        channels=channels,
        size=None if kind.takes_any_size else size,
        batch_size=None if kind.takes_any_size else batch_size,
    )
    description = describe(
        parts, model, format=format, precision=precision, accuracy=accuracy, licence=licence
    )
    probed = [probes(parts, images, size=size, channels=channels)]
    if kind.takes_any_size and parts.takes_faces:  # scaled faces are compared too
        probed.append(probes(parts, images, size=(2 * size[0], 2 * size[1]), channels=channels))
    positions = np.arange(len(probed[0][1]))
    learned = positions % _SHARE_KEPT > 0
    compared = positions[~learned] if precision == "int8" else positions
    with placing(target, kind.suffix) as written:
        kind.write(model, written, Order(precision, probed[0][1][learned], description, vendor))
        network = written / kind.network
        files = [file for file in network.rglob("*") if file.is_file()] or [network]
        root = written if kind.suffix is None else written.parent
        description["files"] = describe_files(root, files)
        n_bytes = sum(file["bytes"] for file in description["files"].values())
        check_size(n_bytes, parts.classifier.model_.count_params(), precision)
        for for_model, for_graph in reversed(probed):  # of which the first is told of
            chosen = _evenly(compared, _MOST_COMPARED)
            answers, runtime = kind.run(network, for_graph[chosen], description)
            expected = parts.predict_proba(for_model[chosen])
            agreement = check_answers(
                expected, answers, exact=precision == "float32", min_agreement=min_agreement
            )
        description["check"] = {"runtime": runtime, **agreement}
        write_json(sidecar_path(written), description)
    return description


def check_target(path, suffix, *, overwrite):
    """Return where an export is to be put, if it may be put there.

    Parameters
    ----------
    path : str or Path
    suffix : str or None
        What the name of a file must end in; None if the export is a folder.
    overwrite : bool
        Whether an earlier export may be there.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        For a file with another suffix.
    FileNotFoundError
        If the folder in which it is to lie does not exist.
    FileExistsError
        If something is there; with `overwrite`, something else than an export.
    """
    path = Path(path)
    if suffix is not None and path.suffix != suffix:
        raise ValueError(
            f"path={str(path)!r} has the suffix {path.suffix!r}; expected {suffix!r}, as in "
            f"{str(path.with_suffix(suffix))!r}."
        )
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"path={str(path)!r} is in a folder that does not exist, {str(target.parent)!r}. "
            f"Create it first."
        )
    occupied = [place for place in _places(target, suffix) if place.exists()]
    if occupied and not overwrite:
        raise FileExistsError(
            f"path={str(path)!r}: {str(occupied[0])!r} exists already. Choose another path, or "
            f"pass overwrite=True."
        )
    is_export = target.is_dir() == (suffix is None) and sidecar_path(target).is_file()
    if target.exists() and not is_export:
        raise FileExistsError(
            f"path={str(path)!r} exists and is no earlier export, since it has no "
            f"{sidecar_path(target).name!r}; it is not overwritten. Choose another path."
        )
    return target


@contextmanager
def placing(target, suffix):
    """Give a place to write an export to, and move it to `target` once it is whole.

    Yields
    ------
    Path
        A name for a file, or an empty folder.
    """
    work = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    written = work / target.name
    (work if suffix else written).mkdir(parents=True)
    try:
        yield written
        if suffix is None and target.exists():
            os.replace(target, work / SIDECAR)  # under any name but its own, to be deleted
        for place in _places(written, suffix):
            os.replace(place, target.with_name(place.name))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _places(path, suffix):
    """Return what an export consists of: a folder, or a file and the JSON file beside it."""
    return [path] if suffix is None else [sidecar_path(path), path]


def _evenly(items, most):
    """Return `most` of the items, evenly spread, or all if there are fewer."""
    return items[np.linspace(0, len(items) - 1, min(len(items), most)).astype(int)]


def _resolve_format(format, path):
    """Return the format that is named, or that the suffix of the path tells."""
    if format is not None:
        return check_choice("format", format, FORMATS)
    for name, kind in FORMATS.items():
        if kind.suffix and str(path).endswith(kind.suffix):
            return name
    raise ValueError(
        f"format=None, and path={str(path)!r} ends neither in '.tflite' nor in '.onnx'; expected "
        f"format to be one of {', '.join(map(repr, FORMATS))}."
    )


def _input_size(parts, input_size):
    """Return the size of what the graph takes, the network's own or multiples of it."""
    own = tuple(parts.classifier.image_shape_)
    size = check_pair("input_size", input_size or own, "(height, width)")
    if size != own and not parts.takes_faces:
        raise ValueError(
            f"input_size={input_size!r} needs a pipeline with a GrayscaleResizer, which scales "
            f"faces to the {own[0]}×{own[1]} pixels of the network."
        )
    # Others would make it matter how an image came to have that size.
    if any(side % own_side for side, own_side in zip(size, own, strict=True)):
        raise ValueError(
            f"input_size={input_size!r} must be whole multiples of the network's height and width, "
            f"{own[0]}×{own[1]}, such as {(2 * own[0], 2 * own[1])}."
        )
    return size


def _check_parameters(format, precision, images, min_agreement, batch_size, input_size):
    """Tell everything at once that is wrong with the parameters, or does not fit together."""
    import keras

    problems = []
    check_choice("precision", precision, LITERT_PRECISIONS)
    if format != "tflite":
        given = {"precision": (precision, "float32"), "batch_size": (batch_size, 1)}
        given["input_size"] = (input_size, None)
        problems += [
            f"{name}={value!r} is for format='tflite' alone; leave it out for {format!r}."
            for name, (value, default) in given.items()
            if value != default
        ]
    if not (isinstance(min_agreement, Real) and 0 <= min_agreement <= 1):
        problems.append(f"min_agreement={min_agreement!r} must be a number from 0 to 1.")
    if not (isinstance(batch_size, Integral) and batch_size >= 1):
        problems.append(f"batch_size={batch_size!r} must be an int of 1 or more.")
    if precision == "int8" and input_size is not None:
        problems.append(
            f"input_size={input_size!r} does not go with precision='int8', whose graph takes grey "
            f"faces of the network's own size."
        )
    if precision == "int8" and images is None:
        problems.append(
            "precision='int8' needs images: some hundred faces like those that the network will "
            "see, of which it learns the range of each layer."
        )
    fewest = _FEWEST_IMAGES * (_SHARE_KEPT if precision == "int8" else 1)
    if images is not None and len(images) < fewest:
        problems.append(
            f"images has {len(images)} faces; expected {fewest} at least for precision="
            f"{precision!r}."
        )
    if keras.backend.backend() != "tensorflow":
        problems.append(
            f"Keras runs on {keras.backend.backend()!r}, from which nothing can be exported. Save "
            f"the model, and export it in a process with KERAS_BACKEND=tensorflow."
        )
    if problems:
        raise ValueError(" ".join(problems))
