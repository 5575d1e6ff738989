"""``fer-sklearn benchmark``: train and score both kinds of model on the same images."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ._data import Labelled, load_split
from ._evaluate import save_confusion
from ._models import epoch_progress, positive_int
from ._output import CommandError, add_format, emit, note, render, write_text

__all__ = ["add_parser", "run"]

_N_TRAIN, _N_TEST = 1400, 700
_RESULT = "benchmark.json"
_SYNTHETIC = (
    "SYNTHETIC faces: this shows that both models work, not how accurate they are on photos."
)

_EXAMPLES = """\
examples:
  fer-sklearn benchmark                  synthetic faces, no data needed
  fer-sklearn benchmark --data fer2013.zip --output results/
"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = commands.add_parser(
        "benchmark",
        help="compare HOG-SVM and CNN on the same images, also without data",
        description="Train HOG-SVM and CNN on the same images and compare scores (with 95 % "
        "intervals), times and sizes. Without --data, this uses synthetic faces and takes a minute "
        "or two; on FER2013, with its training images and PublicTest, about an hour.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--data", metavar="DATA", help="FER2013, or label folders, as for train")
    parser.add_argument(
        "--limit", type=positive_int, metavar="N", help="use only N images of DATA for training"
    )
    parser.add_argument(
        "--epochs",
        type=positive_int,
        metavar="N",
        help="epochs of the CNN (default: 20, or 6 on synthetic faces)",
    )
    parser.add_argument(
        "--dtype-policy",
        choices=("float32", "mixed_bfloat16"),
        default="float32",
        help="dtype of the CNN; mixed_bfloat16 is for recent GPUs, and slower on most CPUs",
    )
    parser.add_argument(
        "--random-state", type=int, default=0, metavar="N", help="random seed (default: 0)"
    )
    add_format(parser, file=False)
    parser.add_argument(
        "--output",
        "-o",
        metavar="DIR",
        help="also write benchmark.json, benchmark.md and confusion matrices to this folder",
    )
    parser.add_argument("--force", action="store_true", help="replace an earlier result in it")
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    """Train both and print the comparison."""
    folder = args.output and _check_folder(Path(args.output), args.force)
    if args.data is None:
        if args.limit:
            args.parser.error("argument --limit: only with --data")
        note(_SYNTHETIC)
    train, test = _load(args)
    benchmark = _compare(_models(args), train, test)
    synthetic = args.data is None
    emit(_render(benchmark, args.format or "table", synthetic))
    if folder:
        _write(benchmark, folder, synthetic)
        note(f"Written to {folder}")
    if synthetic:
        note(_SYNTHETIC)
    return 0


def _load(args):
    """Return images to train on and images to test on."""
    if args.data is not None:
        return load_split(args.data, limit=args.limit, random_state=args.random_state)
    from ..datasets import make_faces

    X, y = make_faces(_N_TRAIN + _N_TEST, random_state=args.random_state, return_X_y=True)
    return Labelled(X[:_N_TRAIN], y[:_N_TRAIN]), Labelled(X[_N_TRAIN:], y[_N_TRAIN:])


def _models(args):
    from ..pipelines import make_cnn_pipeline, make_hog_svm_pipeline

    note("Loading Keras …")
    from ..cnn import FERCNNClassifier

    small = FERCNNClassifier(epochs=6, batch_size=32) if args.data is None else None
    settings = {"dtype_policy": args.dtype_policy, "random_state": args.random_state}
    if args.epochs:
        settings["epochs"] = args.epochs
    cnn = make_cnn_pipeline(small)
    cnn.set_params(**{f"classifier__{name}": value for name, value in settings.items()})
    return {"HOG-SVM": make_hog_svm_pipeline(), "CNN": cnn}


def _compare(models, train, test):
    from ..evaluation import benchmark_models

    def start(name):
        note(f"Training {name} on {len(train.target):,} images, scoring {len(test.target):,} …")

    with epoch_progress(models["CNN"]):
        return benchmark_models(models, train[:2], test[:2], on_start=start)


def _render(benchmark, form, synthetic):
    """Return the benchmark as text."""
    if form == "json":
        from .._utils.tables import to_json_value

        models = to_json_value(benchmark.to_dict())
        return json.dumps({"synthetic": synthetic, "models": models}, indent=2)
    if form == "csv":
        return render(benchmark.to_frame().to_dict("records"), "csv")
    if form == "markdown":
        table = benchmark.to_markdown()
        return f"{_SYNTHETIC}\n\n{table}" if synthetic else table
    return repr(benchmark)


def _check_folder(folder, force):
    """Create the folder before any work is done, and do not replace a result in it."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / _RESULT).exists() and not force:
        raise CommandError(
            f"{folder / _RESULT} exists already. Choose another --output, or add --force."
        )
    return folder


def _write(benchmark, folder, synthetic):
    for name, form in ((_RESULT, "json"), ("benchmark.md", "markdown")):
        write_text(folder / name, _render(benchmark, form, synthetic))
    for name, entry in benchmark.items():
        path = folder / f"confusion_{name.lower().replace('-', '_')}.png"
        save_confusion(entry.report, path, title=f"{name}, synthetic" if synthetic else name)
