"""The metadata file of an export: input, output, preprocessing and verification, in JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..faces import FaceCropper
from ..inference import METADATA_VERSION
from ..weights import SHIPPED, read_description, split_name

if TYPE_CHECKING:
    import keras

    from ..cnn import FERCNNClassifier
    from ._graph import PipelineParts

__all__ = ["describe", "describe_files", "write_json"]

_STEPS = {
    "gray": "(9798 red + 19235 green + 3735 blue + 16384) / 32768, rounded down (ITU-R BT.601)",
    "resize": "areas averaged along sides that shrink, cubics (slope -0.75) along others, rounded",
}
_NORMALIZE = {
    "unit": "pixels / 255",
    "standard": "pixels / 255, then minus the image's mean, divided by its standard deviation",
}


def describe(
    parts: PipelineParts,
    model: keras.Model,
    *,
    format: str,
    precision: str,
    accuracy: Any,
    license: Any,
) -> dict[str, Any]:
    """Describe an exported network.

    Parameters
    ----------
    parts : PipelineParts
    model : keras.Model
        From :func:`serving_model`.
    format, precision : str
    accuracy, license : JSON-serialisable object or None
        If None, those of the pretrained model, or nothing.

    Returns
    -------
    dict
        JSON-serialisable.
    """
    classifier = parts.classifier
    shipped = _shipped(classifier)
    batch, *sides, channels = model.input_shape
    kind = "pixels" if not parts.takes_faces else "rgb" if channels == 3 else "gray"
    return {
        "format": format,
        "precision": precision,
        "version": METADATA_VERSION,
        "written_with": {
            name: __version__ if name == "fer_sklearn" else version(name)
            for name in ("fer_sklearn", "tensorflow", "keras")
        },
        "labels": [str(label) for label in classifier.classes_],
        "label_set": shipped.get("labels"),
        "input": {
            "kind": kind,
            "layout": "NHWC",
            "shape": [batch, *sides, channels],
            "dtype": "uint8" if precision == "int8" else "float32",
            "range": [0, 255] if parts.takes_faces else list(map(float, classifier.pixel_range_)),
            "model_size": list(classifier.image_shape_),
        },
        "output": {
            "shape": [batch, len(classifier.classes_)],
            "dtype": "uint8" if precision == "int8" else "float32",
            "meaning": "probabilities, in the order of labels",
        },
        "preprocessing": _preprocessing(parts, kind, sides),
        "mirror_average": classifier.test_time_augmentation,
        "crop": _crop(parts, format),
        "accuracy": shipped.get("accuracy") if accuracy is None else accuracy,
        "licence": shipped.get("licence") if license is None else license,
    }


def describe_files(folder: Path, paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Return the size and checksum of each file, by its path relative to `folder`."""
    return {
        path.relative_to(folder).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(paths)
    }


def write_json(path: Path, content: Any) -> None:
    """Write an indented JSON file."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def _shipped(classifier: FERCNNClassifier) -> dict[str, Any]:
    """Return the description of a pretrained network, unless it was trained further."""
    name = classifier.initial_weights
    if isinstance(name, str) and split_name(name)[0] in SHIPPED and classifier.n_iter_ == 0:
        return read_description(name)
    return {}


def _preprocessing(parts: PipelineParts, kind: str, sides: Sequence[int | None]) -> dict[str, Any]:
    """Return which preprocessing steps are part of the graph, and which come before it."""
    steps = {"normalize": _NORMALIZE[parts.method]}
    if not parts.takes_faces:
        inside = ["normalize"] if parts.normalizer is not None else []
        return {"steps": steps if inside else {}, "in_the_graph": inside, "before_it": []}
    steps = {**_STEPS, **steps}
    inside = ["normalize"] if kind == "gray" else ["gray", "normalize"]
    if kind == "rgb" and tuple(sides) != tuple(parts.classifier.image_shape_):
        inside.insert(1, "resize")
    before = [name for name in steps if name not in inside]
    return {"steps": steps, "in_the_graph": inside, "before_it": before}


def _crop(parts: PipelineParts, format: str) -> dict[str, Any] | None:
    """Return how faces are cropped from a photo before they enter the graph."""
    if not parts.takes_faces:
        return None
    cropper = parts.cropper or FaceCropper()
    detector = cropper.detector if isinstance(cropper.detector, str) else "a custom function"
    if format == "web":
        detector = "blazeface"  # the page's own
    return {"detector": detector, "framing": cropper.framing}
