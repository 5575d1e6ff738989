"""``fer-sklearn info``: installed versions, or a model file with its model card."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import os
import platform
import re
from pathlib import Path

from .._utils.files import printable
from ._models import MODEL_HELP, SHIPPED, add_labels_option, load_model, load_reader
from ._output import Command, emit, note, one_line, render

__all__ = ["INFO", "run"]

_DISTRIBUTION = "fer_sklearn"
_HELP = """\
show installed versions, or a model file and its model card

Show the versions of the packages, the Keras backend, OpenCV's face detectors
and the optional extras; or the contents of a model file and its model card.

examples:
  fer-sklearn info                installed versions
  fer-sklearn info default        a bundled model
  fer-sklearn info hog.fer        a model file, with its model card
  fer-sklearn info hog.fer --format markdown > README.md
                                  the card as a page that Hugging Face reads
  fer-sklearn info --fetch-yunet
                                  download the network of --detector yunet
"""


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", nargs="?", help=MODEL_HELP)
    add_labels_option(parser)
    parser.add_argument(
        "--format",
        choices=("table", "json", "markdown"),
        default="table",
        help="how to print the result (default: table); markdown is for model cards",
    )
    parser.add_argument(
        "--fetch-yunet",
        action="store_true",
        help="download the file that --detector yunet needs (0.2 MB)",
    )


def run(args: argparse.Namespace) -> int:
    """Print a table of names and values."""
    if args.labels and args.model is None:
        args.parser.error("argument --labels: only with MODEL")
    if args.fetch_yunet:
        from ..faces import fetch_yunet

        note(f"YuNet's model file: {fetch_yunet()}")
    if args.format == "markdown":
        if args.model is None:
            args.parser.error("--format markdown: only with MODEL, whose model card it prints")
        emit(_page(args.model, args.labels))
        return 0
    facts = _installation() if args.model is None else _model(args.model, args.labels)
    if args.format == "json":
        emit(json.dumps(facts, indent=2, ensure_ascii=False, default=str))
        return 0
    title = "installed" if args.model is None else "model"
    # Labels and parameters are those of a file, which may come from anyone.
    rows = [{title: printable(name), "value": printable(value)} for name, value in _lines(facts)]
    emit(render(rows, "table"))
    if args.model is None:
        for name, missing in _missing_extras().items():
            note(f"To install {', '.join(missing)}: pip install '{_DISTRIBUTION}[{name}]'")
    return 0


def _installation():
    """Return versions without importing the packages, which takes seconds for some."""
    needed = [name for name, extra in _requirements() if extra is None]
    facts = {_DISTRIBUTION: _version(_DISTRIBUTION), "python": platform.python_version()}
    facts |= {name: _version(name) or "not installed" for name in [*needed, "keras"]}
    facts["Keras backend"] = _keras_backend()
    cascades = _cascades()
    facts["OpenCV cascades"] = str(len(cascades) or "none: detector='haar' cannot work")
    missing = _missing_extras()
    for extra in dict.fromkeys(extra for _, extra in _requirements() if extra):
        absent = missing.get(extra)
        facts[f"extra [{extra}]"] = f"not installed: {', '.join(absent)}" if absent else "installed"
    return facts


def _requirements():
    """Return (package, extra or None) for all dependencies."""
    found = []
    for line in importlib.metadata.requires(_DISTRIBUTION) or ():
        name = re.split(r"[^\w.-]", line)[0]
        extra = re.search(r"""extra == ["']([\w-]+)["']""", line)
        found.append((name, extra[1] if extra else None))
    return found


def _missing_extras():
    missing: dict[str, list[str]] = {}
    for name, extra in _requirements():
        if extra and _version(name) is None:
            missing.setdefault(extra, []).append(name)
    return missing


def _version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _keras_backend():
    """Return the backend that Keras would use: from the environment, its file, or its default."""
    if chosen := os.environ.get("KERAS_BACKEND"):
        return chosen
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    try:
        settings = json.loads((Path(home) / "keras.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        settings = {}
    return settings.get("backend", "tensorflow")


def _cascades():
    """Return the names of OpenCV's face detectors; OpenCV 5 has none."""
    import cv2.data

    if not hasattr(cv2, "CascadeClassifier"):
        return []
    return sorted(file.stem for file in Path(cv2.data.haarcascades).glob("*.xml"))


def _page(name, labels):
    from ..persistence import model_card
    from ..weights import is_weights_file

    is_named = is_weights_file(name) or labels is not None
    return model_card(load_model(name, labels) if is_named else name).rstrip()


def _model(name, labels):
    """Return the contents of a bundled model or a model file."""
    from ..exceptions import ModelFileError
    from ..face_reader import FaceReader
    from ..persistence import read_card
    from ..weights import is_weights_file, read_description, shipped_path, split_name

    is_named = is_weights_file(name)
    source = str(split_name(name)[0])
    card = None if is_named or labels else read_card(name)
    try:
        model = load_model(name, labels)
    except (ModelFileError, ImportError, AttributeError) as error:
        if card is None:
            raise
        # The card can be read even if the file contains code of others.
        return {"file": name, "not loaded": str(error), "classes": card["labels"], "card": card}
    path = shipped_path(source) if source in SHIPPED else source
    last = model[-1] if hasattr(model, "steps") else model
    facts = {
        "file": str(path),
        "file size": f"{Path(path).stat().st_size / 1e6:.1f} MB",
        "classes": [str(label) for label in getattr(model, "classes_", [])],
        "image size": _image_size(model),
        "probabilities": "yes" if hasattr(model, "predict_proba") else "no",
    }
    if hasattr(last, "n_parameters_"):
        facts["weights"] = f"{last.n_parameters_:,}"
        facts["epochs trained"] = last.n_iter_
    elif is_named:
        description = read_description(f"{source}:{labels}" if labels else name)
        if "labels" in description:
            facts["labels"] = description["labels"]
        shapes = description["shapes"]
        facts["weights"] = f"{sum(map(math.prod, shapes)):,}"
    if hasattr(model, "classes_"):
        facts |= _of_photos(load_reader(name, labels) if is_named else FaceReader(model))
    for name, step in getattr(model, "steps", [("model", model)]):
        given = {
            key: value for key, value in step.get_params(deep=False).items() if value is not None
        }
        facts[name] = {"type": type(step).__name__} | given
    return facts if card is None else facts | {"card": card}


def _of_photos(reader):
    """Return the other settings that determine the predictions for a photo."""
    made_by = reader.provenance()
    shown = {
        "model_sha256": "network SHA-256",
        "model_checksum": "model checksum",
        "detector": "detector",
        "detector_sha256": "detector SHA-256",
        "framing": "framing",
    }
    return {title: made_by[key] for key, title in shown.items() if key in made_by}


def _image_size(model):
    """Return the size, in pixels, of the images that the classifier takes."""
    steps = dict(getattr(model, "steps", []))
    shape = getattr(model[-1] if steps else model, "image_shape_", None)
    size = shape or getattr(steps.get("resize"), "size", None)
    if size is None:
        return "unknown"
    height, width = size if isinstance(size, (tuple, list)) else (size, size)
    return f"{width}×{height}"


def _lines(facts):
    """Yield names and values; the parameters of a step are indented below it."""
    for name, value in facts.items():
        if name == "card":
            yield from _lines_of_card(value)
            continue
        if not isinstance(value, dict):
            yield name, ", ".join(value) if isinstance(value, list) else str(value)
            continue
        yield f"step {name}", value["type"]
        yield from ((f"  {key}", str(item)) for key, item in value.items() if key != "type")


def _lines_of_card(card):
    """Yield the entries of a model card that the model itself does not show."""
    from ..persistence import card_lines

    for name, value in card_lines(card):
        yield f"card: {name}", one_line(value)


INFO = Command("info", _HELP, _add_options, run)
