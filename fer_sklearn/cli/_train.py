"""``fer-sklearn train``: fit a model on labelled images and save it."""

from __future__ import annotations

import argparse
import shlex
import time
from typing import Any

from ._data import SUBSET_HELP, load_labelled
from ._models import add_model_options, build_model, check_model_options, epoch_progress
from ._output import check_output, emit, note, render

__all__ = ["add_parser", "run"]

_EXAMPLES = """\
examples:
  fer-sklearn train fer2013.zip --model hog-svm --output hog.fer
  fer-sklearn train fer2013.zip --model cnn --epochs 20 --output cnn.fer
  fer-sklearn train my_photos/ --model hog-svm --crop-faces --output mine.fer
                    (my_photos/happy/*.jpg, my_photos/sad/*.jpg, ...)
"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = commands.add_parser(
        "train",
        help="train a model on labelled images and save it to a file",
        description="Train a model on labelled images and save it to a file.",
        usage="fer-sklearn train DATA --model {hog-svm,cnn} [options]",
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
        help="where to save the model (default: hog-svm.fer or cnn.fer)",
    )
    parser.add_argument("--force", action="store_true", help="replace that file if it exists")
    parser.add_argument(
        "--subset", metavar="NAME", help=f"{SUBSET_HELP} (default: train, if it exists)"
    )
    add_model_options(parser)
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    """Train and save; print a summary."""
    check_model_options(args)
    path = check_output(args.output or f"{args.model}.fer", force=args.force)
    data = load_labelled(
        args.data, subset=args.subset, limit=args.limit, random_state=args.random_state
    )
    model = build_model(args)
    note(f"Training {args.model} on {len(data.target):,} images …")
    start = time.perf_counter()
    with epoch_progress(model):
        model.fit(data.images, data.target)
    seconds = time.perf_counter() - start

    from ..persistence import save

    save(model, path)
    summary = {
        "model": str(path),
        "images": f"{len(data.target):,}",
        "labels": ", ".join(map(str, model.classes_)),
        "training": f"{seconds:.1f} s",
        **_last_epoch(model),
        "file size": f"{path.stat().st_size / 1e6:.1f} MB",
    }
    emit(render([{"result": key, "value": value} for key, value in summary.items()], "table"))
    name = shlex.quote(str(path))
    note(f"Next: fer-sklearn evaluate {name} DATA, or: fer-sklearn predict PHOTO --model {name}")
    return 0


def _last_epoch(model):
    """Return the validation accuracy of the epoch whose weights a network keeps."""
    scores = getattr(model[-1], "history_", {}).get("val_accuracy")
    if not scores:
        return {}
    kept = max(scores) if model[-1].early_stopping else scores[-1]
    return {"epochs": str(len(scores)), "validation accuracy": f"{kept:.1%}"}
