"""``fer-sklearn train``: fit a model on labelled images and save it.

``tune`` shares what is here about data, the images that are held out, and the saved model.
"""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ._data import SUBSET_HELP, Labelled, hold_out, load_labelled
from ._evaluate import render_report, save_confusion
from ._models import (
    add_model_options,
    build_model,
    check_model_options,
    epoch_progress,
    model_name,
    proper_fraction,
)
from ._output import check_output, emit, note, render

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = [
    "Outputs",
    "add_data_options",
    "add_parser",
    "check_outputs",
    "load_parts",
    "run",
    "save_scored",
]

_PICTURES = (".png", ".pdf", ".svg")

_EXAMPLES = """\
examples:
  fer-sklearn train my_photos/ --from default --output mine.fer
                    (my_photos/bored/*.jpg, my_photos/curious/*.jpg, ...)
  fer-sklearn train my_photos/ --from default --crop-faces --trainable all
  fer-sklearn train fer2013.zip --model hog-svm --output hog.fer
  fer-sklearn train fer2013.zip --model cnn --epochs 20 --output cnn.fer

A tenth of the images, without copies of the others, is held out to score the
model: with an interval, for each label, and as a picture of the confusions.
"""


class Outputs(NamedTuple):
    """The files that a command writes: a model, and a picture if images are held out."""

    model: Path
    confusion: Path | None


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = commands.add_parser(
        "train",
        help="train a model on labelled images and save it to a file",
        description="Train a model on labelled images, score it on those that are held out, and "
        "save it to a file.",
        usage="fer-sklearn train DATA {--from MODEL, --model {hog-svm,cnn}} [options]",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "data",
        metavar="DATA",
        help="FER2013 (zip, CSV or folder), a folder or zip with one folder per label, or a CSV or "
        "Parquet table of images",
    )
    parser.add_argument(
        "--output",
        "-o",
        metavar="FILE",
        help="where to save the model (default: hog-svm.fer, cnn.fer or mine.fer)",
    )
    add_data_options(parser)
    add_model_options(parser)
    parser.set_defaults(run=run)
    return parser


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add what ``train`` and ``tune`` have in common beside the model."""
    parser.add_argument("--force", action="store_true", help="replace files that exist")
    parser.add_argument(
        "--subset", metavar="NAME", help=f"{SUBSET_HELP} (default: train, if it exists)"
    )
    parser.add_argument(
        "--hold-out",
        type=proper_fraction,
        default=0.1,
        metavar="X",
        help="fraction of each label's images to score the saved model on; 0 trains on all "
        "(default: 0.1)",
    )
    parser.add_argument(
        "--confusion",
        metavar="FILE",
        help="where to plot the confusion matrix of these images (.png, .pdf or .svg; default: "
        "next to the model)",
    )


def run(args: argparse.Namespace) -> int:
    """Train, score and save; print a summary and the scores."""
    check_model_options(args)
    outputs = check_outputs(args, args.output or f"{args.model or 'mine'}.fer")
    data, held_out = load_parts(args)
    model = build_model(args)
    note(f"Training {model_name(args)} on {len(data.target):,} images …")
    start = time.perf_counter()
    with epoch_progress(model):
        model.fit(data.images, data.target)
    seconds = time.perf_counter() - start
    summary = {
        "images": f"{len(data.target):,}",
        "labels": ", ".join(map(str, model.classes_)),
        "training": f"{seconds:.1f} s",
        **_last_epoch(model),
    }
    save_scored(model, (data, held_out), outputs, summary, args)
    return 0


def check_outputs(args: argparse.Namespace, path: str) -> Outputs:
    """Check before any work is done that the model and its picture may be written."""
    model = check_output(path, force=args.force)
    if not args.hold_out:
        if args.confusion:
            args.parser.error("argument --confusion: not with --hold-out 0, which scores nothing")
        return Outputs(model=model, confusion=None)
    picture = check_output(
        args.confusion or model.with_name(f"{model.stem}_confusion.png"),
        force=args.force,
        option="--confusion",
        suffixes=_PICTURES,
    )
    return Outputs(model=model, confusion=picture)


def load_parts(args: argparse.Namespace) -> tuple[Labelled, Labelled | None]:
    """Load the images to train on, and those that are held out; None with ``--hold-out 0``."""
    data = load_labelled(
        args.data, subset=args.subset, limit=args.limit, random_state=args.random_state
    )
    if not args.hold_out:
        return data, None
    data, held_out = hold_out(data, args.hold_out, args.random_state)
    note(
        f"Held out {len(held_out.target):,} of these to score the model; --hold-out 0 trains on all"
    )
    if args.base is not None and data.layout == "FER2013 layout":
        note(
            "The network was trained on FER2013 before: scores on its training images are too high"
        )
    return data, held_out


def save_scored(
    model: Pipeline,
    parts: tuple[Labelled, Labelled | None],
    outputs: Outputs,
    summary: dict[str, str],
    args: argparse.Namespace,
    *,
    show: Callable[[str], None] = emit,
) -> None:
    """Save a fitted model, show a summary and its scores, and say what to do next.

    The model card says what it was trained on, and the scores.
    """
    from ..persistence import save

    data, held_out = parts
    card = {"data": _described(data, args, args.subset)}
    save(model, outputs.model, card=card)  # before it is scored, which may fail
    summary = {
        "model": str(outputs.model),
        **summary,
        "file size": f"{outputs.model.stat().st_size / 1e6:.1f} MB",
    }
    show(render([{"result": key, "value": value} for key, value in summary.items()], "table"))
    if held_out is not None and outputs.confusion is not None:
        from ..evaluation import evaluate

        report = evaluate(model, held_out.images, held_out.target)
        tested = _described(held_out, args, "held out")
        save(model, outputs.model, card=card | {"scores": report, "evaluated_on": tested})
        show("\n" + render_report(report, "table"))
        save_confusion(report, outputs.confusion, title=f"{len(held_out.target)} images held out")
        note(f"Confusion matrix: {outputs.confusion}")
    name = shlex.quote(str(outputs.model))
    note(f"Next: fer-sklearn evaluate {name} DATA, or: fer-sklearn predict PHOTO --model {name}")


def _described(data, args, subset):
    from ..persistence import describe_data

    name = Path(args.data).resolve().name
    return describe_data(data.images, data.target, name=name, subset=subset)


def _last_epoch(model):
    """Return the validation accuracy of the epoch whose weights a network keeps."""
    scores = getattr(model[-1], "history_", {}).get("val_accuracy")
    if not scores:
        return {}
    kept = max(scores) if model[-1].early_stopping else scores[-1]
    return {"epochs": str(len(scores)), "validation accuracy": f"{kept:.1%}"}
