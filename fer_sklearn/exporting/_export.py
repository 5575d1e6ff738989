"""Write a network in another format, run it, and keep the file if the predictions agree."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sized
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .._utils.files import atomic_replace_dir, real_target, write_json
from .._utils.typing import Estimator, FloatArray, ImagesLike, NDArray, PathLike, Size
from .._utils.validation import check_choice, check_pair
from ..cnn._network import load_keras
from ..datasets import make_faces
from ..exceptions import ExportError
from ..inference import metadata_path
from ..preprocessing import resize_gray
from ._formats import FORMATS, LITERT_PRECISIONS, ExportRequest, Precision

if TYPE_CHECKING:
    from ._graph import PipelineParts

__all__ = ["export"]

_MIN_IMAGES = 64
_MAX_COMPARED = 512
# One image in four verifies an int8 export; the others calibrate it.
_HELD_OUT_STEP = 4
# Synthetic faces to compare, if none are given.
_N_FACES = 64
# Largest difference in probability allowed for float32 formats, which round in another order.
_TOLERANCE = 1e-4
_BYTES_PER_WEIGHT = {"float32": 4, "float16": 2, "dynamic_int8": 1, "int8": 1}
# Scales of red, green and blue in synthetic faces, so that a graph which swaps channels is noticed.
_TINT = np.array([1.0, 0.8, 0.55])


def export(
    estimator: Estimator,
    path: PathLike,
    *,
    format: Literal["tflite", "tfjs", "onnx", "saved_model", "web"] | None = None,
    precision: Precision = "float32",
    representative_data: ImagesLike | None = None,
    min_label_agreement: float = 0.97,
    input_size: Size | None = None,
    batch_size: int = 1,
    accuracy: Any = None,
    license: Any = None,
    bundle_packages: bool = True,
    allow_custom_layers: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Export a fitted CNN pipeline to a format for phones, browsers and servers.

    Greyscale conversion, scaling and normalisation become part of the graph, so that images
    are always prepared as in training; a metadata file in JSON describes input and output.
    Every export is run by the format's own runtime and compared with the pipeline before it
    is kept.

    Parameters
    ----------
    estimator : estimator object
        A fitted :class:`~fer_sklearn.FERCNNClassifier`, a pipeline that ends in one, as from
        :func:`~fer_sklearn.make_cnn_pipeline` and :func:`~fer_sklearn.load_pretrained`, or a
        fitted search over one. A :class:`~fer_sklearn.FaceCropper` is not exported; the
        metadata file describes it.
    path : str or path-like
        The file to write for ``"tflite"`` and ``"onnx"``, with its metadata file next to it
        as ``<path>.json``; a folder for the other formats, which contains the metadata as
        ``fer_sklearn.json``.
    format : {"tflite", "tfjs", "onnx", "saved_model", "web"} or None, default=None
        ``"tflite"``: LiteRT, for Android, iOS and small devices. ``"tfjs"``: a graph model
        for TensorFlow.js. ``"onnx"``: ONNX; needs the extra ``onnx``. ``"saved_model"``: a
        TensorFlow SavedModel. ``"web"``: a web app for any static file server. If None, the
        format follows from the suffix of `path`, ``.tflite`` or ``.onnx``.
    precision : {"float32", "float16", "dynamic_int8", "int8"}, default="float32"
        Precision of the weights; all but ``"float32"`` are for ``"tflite"`` only. ``"int8"``
        computes with integers throughout, takes grey faces of the network's own size as
        ``uint8``, and needs `representative_data`.
    representative_data : batch of photos or None, default=None
        Faces like those that the network will see, such as a few hundred training images.
        Up to 512 of them are compared instead of 64 synthetic faces. ``"int8"`` uses three
        in four of them to calibrate the range of each layer, and the others for comparison.
    min_label_agreement : float, default=0.97
        Minimum fraction of faces, in [0, 1], whose predicted label must be unchanged at
        reduced precision. Ignored for ``"float32"``, whose probabilities must agree to 1e-4.
    input_size : int, (int, int) or None, default=None
        Height and width in pixels of the faces that a ``"tflite"`` model takes and scales:
        whole multiples of the network's own size. If None, the network's own. The other
        formats take faces of any size.
    batch_size : int, default=1
        Batch size of a ``"tflite"`` model; the other formats take any.
    accuracy, license : JSON-serialisable object or None, default=None
        Accuracy and licence to record in the metadata file. If None, those of the pretrained
        model, or nothing for your own.
    bundle_packages : bool, default=True
        Whether to copy the JavaScript packages that ``"web"`` uses into the folder, with npm, so
        that the page works offline. If False, it loads them from a public CDN and verifies their
        checksums.
    allow_custom_layers : bool, default=False
        Whether to convert the operations of layers that are not part of Keras. If False, such
        layers raise an error.
    overwrite : bool, default=False
        Whether to replace an earlier export at `path`.

    Returns
    -------
    dict
        The contents of the metadata file, with the result of the comparison as ``check``.

    Raises
    ------
    TypeError
        If `estimator` cannot be exported.
    NotFittedError
        If it is not fitted.
    ExportError
        If the output of the exported model does not match. Nothing is written.
    FileExistsError
        If something exists at `path`.
    MissingExtraError
        If ``"onnx"`` is requested without its extra.
    ImportError
        If ``"web"`` should bundle packages, and npm is missing or fails. Nothing is written.
    ValueError
        If parameters do not fit together, if the format does not support a layer or an operation,
        or if the network returns NaN.

    Warns
    -----
    UserWarning
        If the pipeline detects faces differently from the page of ``"web"``, which uses BlazeFace
        with its default settings.

    See Also
    --------
    load_exported : Load ``"tflite"`` and ``"onnx"`` files as classifiers.

    Examples
    --------
    >>> import tempfile
    >>> from fer_sklearn import export, load_exported, load_pretrained, make_faces
    >>> X, y = make_faces(7, random_state=0, return_X_y=True)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     metadata = export(load_pretrained("tiny"), f"{folder}/tiny.tflite")
    ...     load_exported(f"{folder}/tiny.tflite").predict(X).shape
    (7,)
    >>> metadata["labels"][:3], metadata["check"]["largest_difference"] < 1e-4
    (['angry', 'disgust', 'fear'], True)
    """
    load_keras()
    from ._graph import describe, serving_model, take_apart

    format_name = _resolve_format(format, path)
    _check_parameters(
        format_name, precision, representative_data, min_label_agreement, batch_size, input_size
    )
    form = FORMATS[format_name]
    target = _check_target(path, form.suffix, overwrite=overwrite)
    form.check(bundle_packages)
    parts = take_apart(estimator, allow_custom_layers=allow_custom_layers)
    size = _check_input_size(parts, input_size)
    channels = 3 if parts.takes_faces and precision != "int8" else 1
    model = serving_model(
        parts,
        channels=channels,
        size=None if form.takes_any_size else size,
        batch_size=None if form.takes_any_size else batch_size,
    )
    metadata = describe(
        parts, model, format=format_name, precision=precision, accuracy=accuracy, license=license
    )
    batches = [_make_probe_batch(parts, representative_data, size=size, channels=channels)]
    if form.takes_any_size and parts.takes_faces:
        # Faces that the graph has to scale down are compared too.
        double = (2 * size[0], 2 * size[1])
        batches.append(
            _make_probe_batch(parts, representative_data, size=double, channels=channels)
        )
    positions = np.arange(len(batches[0][1]))
    is_calibration = positions % _HELD_OUT_STEP > 0
    compared = positions[~is_calibration] if precision == "int8" else positions
    compared = _evenly_spaced(compared, _MAX_COMPARED)
    names = None if form.suffix is None else [metadata_path(target).name, target.name]
    with atomic_replace_dir(target, names=names) as written:
        request = ExportRequest(precision, batches[0][1][is_calibration], metadata, bundle_packages)
        form.write(model, written, request)
        network = written / form.network
        files = [file for file in network.rglob("*") if file.is_file()] or [network]
        root = written if form.suffix is None else written.parent
        metadata["files"] = _describe_files(root, files)
        n_bytes = sum(file["bytes"] for file in metadata["files"].values())
        _check_file_size(n_bytes, parts.classifier.n_parameters_, precision)
        for for_model, for_graph in reversed(batches):  # the metadata describes the first batch
            found, runtime = form.run(network, for_graph[compared], metadata)
            agreement = _check_outputs(
                parts.predict_proba(for_model[compared]),
                found,
                exact=precision == "float32",
                min_label_agreement=min_label_agreement,
            )
        metadata["check"] = {"runtime": runtime, **agreement}
        write_json(metadata_path(written), metadata)
    return metadata


def _check_target(path: PathLike, suffix: str | None, *, overwrite: bool) -> Path:
    """Return the resolved path of an export, if it may be written there.

    Parameters
    ----------
    path : str or path-like
    suffix : str or None
        The suffix that a file must have; None if the export is a folder.
    overwrite : bool
        Whether an earlier export may exist there.

    Raises
    ------
    ValueError
        If the file has another suffix.
    FileNotFoundError
        If the parent folder does not exist.
    FileExistsError
        If something exists there; with `overwrite`, something that is not an export.
    """
    path = Path(path)
    if suffix is not None and path.suffix != suffix:
        raise ValueError(
            f"path={str(path)!r} has the suffix {path.suffix!r}; expected {suffix!r}, as in "
            f"{str(path.with_suffix(suffix))!r}."
        )
    target = real_target(path)
    written = [target] if suffix is None else [metadata_path(target), target]
    existing = [file for file in written if file.exists()]
    if existing and not overwrite:
        raise FileExistsError(
            f"path={str(path)!r}: {str(existing[0])!r} exists already. Choose another path, or "
            f"pass overwrite=True."
        )
    is_export = target.is_dir() == (suffix is None) and metadata_path(target).is_file()
    if target.exists() and not is_export:
        raise FileExistsError(
            f"path={str(path)!r} exists and is not an earlier export, since it has no "
            f"{metadata_path(target).name!r}; it was not overwritten. Choose another path."
        )
    return target


def _evenly_spaced(items: NDArray, n_max: int) -> NDArray:
    """Return `n_max` evenly spaced items, or all if there are fewer."""
    return items[np.linspace(0, len(items) - 1, min(len(items), n_max)).astype(int)]


def _resolve_format(format: str | None, path: PathLike) -> str:
    """Return the given format, or the one that the suffix of the path implies."""
    if format is not None:
        return check_choice("format", format, FORMATS)
    for name, form in FORMATS.items():
        if form.suffix and str(path).endswith(form.suffix):
            return name
    raise ValueError(
        f"format=None, and path={str(path)!r} ends neither in '.tflite' nor in '.onnx'; expected "
        f"format to be one of {', '.join(map(repr, FORMATS))}."
    )


def _check_input_size(parts: PipelineParts, input_size: Size | None) -> tuple[int, int]:
    """Return the input size of the graph: the network's own, or whole multiples of it."""
    height, width = parts.classifier.image_shape_
    size = check_pair("input_size", input_size or (height, width), "(height, width)")
    if size != (height, width) and not parts.takes_faces:
        raise ValueError(
            f"input_size={input_size!r} needs a pipeline with a GrayscaleResizer, which scales "
            f"faces to the {height}×{width} pixels of the network."
        )
    # With any other size, the result would depend on how the image was scaled to it.
    if size[0] % height or size[1] % width:
        raise ValueError(
            f"input_size={input_size!r} must be whole multiples of the network's height and width, "
            f"{height}×{width}, such as {(2 * height, 2 * width)}."
        )
    return size


def _check_parameters(
    format: str,
    precision: str,
    representative_data: Sized | None,
    min_label_agreement: float,
    batch_size: int,
    input_size: Size | None,
) -> None:
    """Report all problems with the parameters in one error."""
    import keras

    problems = []
    check_choice("precision", precision, LITERT_PRECISIONS)
    if format != "tflite":
        given: dict[str, tuple[Any, Any]] = {
            "precision": (precision, "float32"),
            "batch_size": (batch_size, 1),
            "input_size": (input_size, None),
        }
        problems += [
            f"{name}={value!r} is for format='tflite' only; leave it out for {format!r}."
            for name, (value, default) in given.items()
            if value != default
        ]
    if not (isinstance(min_label_agreement, Real) and 0 <= min_label_agreement <= 1):
        problems.append(
            f"min_label_agreement={min_label_agreement!r} must be a number from 0 to 1."
        )
    if not (isinstance(batch_size, Integral) and batch_size >= 1):
        problems.append(f"batch_size={batch_size!r} must be an int of 1 or more.")
    if precision == "int8" and input_size is not None:
        problems.append(
            f"input_size={input_size!r} cannot be combined with precision='int8', which takes grey "
            f"faces of the network's own size."
        )
    if precision == "int8" and representative_data is None:
        problems.append(
            "precision='int8' needs representative_data: a few hundred faces like those that the "
            "network will see, to calibrate the range of each layer."
        )
    n_min = _MIN_IMAGES * (_HELD_OUT_STEP if precision == "int8" else 1)
    if representative_data is not None and len(representative_data) < n_min:
        problems.append(
            f"representative_data has {len(representative_data)} faces; expected at least {n_min} "
            f"for precision={precision!r}."
        )
    if keras.backend.backend() != "tensorflow":
        problems.append(
            f"Keras runs on {keras.backend.backend()!r}, which cannot export. Save the model, and "
            f"export it in a process with KERAS_BACKEND=tensorflow."
        )
    if problems:
        raise ValueError(" ".join(problems))


def _make_probe_batch(
    parts: PipelineParts, images: ImagesLike | None, *, size: tuple[int, int], channels: int
) -> tuple[NDArray, FloatArray]:
    """Return the faces to compare: as input of the model, and as input of the exported graph.

    Parameters
    ----------
    parts : PipelineParts
    images : batch of photos or None
        If None, 64 synthetic faces.
    size : (int, int)
        Height and width of the graph's input.
    channels : {1, 3}

    Returns
    -------
    for_model : ndarray
        Input of ``parts.predict_proba``.
    for_graph : ndarray of shape (n, height, width, channels), float32
    """
    synthetic = images is None
    if synthetic:
        images = make_faces(_N_FACES, size=max(size), random_state=0).images
    grays = resize_gray(images, size)
    if not parts.takes_faces:
        low, high = parts.pixel_range
        pixels = (low + grays / np.float32(255) * (high - low)).astype(np.float32)
        return pixels, pixels[..., None]
    if channels == 1:
        return grays, grays[..., None].astype(np.float32)
    faces = np.repeat(grays[..., None], 3, axis=-1)
    if synthetic:
        faces = np.rint(faces * _TINT).astype(np.uint8)
    return faces, faces.astype(np.float32)


def _check_outputs(
    expected: FloatArray, found: FloatArray, *, exact: bool, min_label_agreement: float
) -> dict[str, int | float]:
    """Compare the output of an exported file with that of the model.

    Parameters
    ----------
    expected, found : ndarray of shape (n, n_classes)
        Probabilities from the model and from the exported file.
    exact : bool
        Whether probabilities must agree to 1e-4, or only the predicted labels.
    min_label_agreement : float
        Minimum fraction of equal labels if `exact` is False.

    Returns
    -------
    dict
        ``faces``, ``largest_difference`` and ``label_agreement``.

    Raises
    ------
    ExportError
        If the outputs do not agree.
    """
    if found.shape != expected.shape:
        raise ExportError(
            f"The exported model returned an output of shape {found.shape}; expected "
            f"{expected.shape}. Nothing was written. Please report this as a bug."
        )
    if not np.isfinite(found).all():
        raise ExportError(
            "The exported model returned NaN or infinity, as a file without its weights does. "
            "Nothing was written. Please report this as a bug."
        )
    difference = float(np.abs(found - expected).max())
    agreement = float((found.argmax(axis=1) == expected.argmax(axis=1)).mean())
    if exact and difference > _TOLERANCE:
        raise ExportError(
            f"The exported model differs from the original by {difference:.2g} in probability on "
            f"{len(expected)} faces; expected at most {_TOLERANCE:g}. Nothing was written. Check "
            f"whether a layer of the network behaves differently outside Keras."
        )
    if not exact and agreement < min_label_agreement:
        raise ExportError(
            f"The quantised model predicts the same label as the original for {agreement:.1%} of "
            f"{len(expected)} faces; min_label_agreement={min_label_agreement:g}. Nothing was "
            f"written. Pass more representative_data, such as a few hundred training images, "
            f"choose another precision, or lower min_label_agreement."
        )
    return {
        "faces": len(expected),
        "largest_difference": difference,
        "label_agreement": agreement,
    }


def _check_file_size(n_bytes: int, n_parameters: int, precision: str) -> None:
    """Raise ExportError if a file is too small to contain the network's weights."""
    minimum = n_parameters * _BYTES_PER_WEIGHT[precision] // 2
    if n_bytes < minimum:
        raise ExportError(
            f"The exported file has {n_bytes:,} bytes; {n_parameters:,} weights as {precision} "
            f"need at least {minimum:,}. Nothing was written. Please report this as a bug."
        )


def _describe_files(folder: Path, paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Return the size and checksum of each file, by its path relative to `folder`."""
    return {
        path.relative_to(folder).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(paths)
    }
