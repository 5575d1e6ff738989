"""``fer-sklearn evaluate`` and ``benchmark``: the scores of models on labelled images.

The former scores a saved model, and the latter trains both kinds of model on the same images.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ._data import SUBSET_HELP, TEST_SUBSETS, Labelled, load_labelled, load_split
from ._models import (
    MODEL_HELP,
    SHIPPED,
    add_dtype_option,
    add_labels_option,
    epoch_progress,
    load_model,
    positive_int,
    seed,
)
from ._output import (
    Command,
    CommandError,
    add_format,
    check_distinct,
    check_output,
    choose_format,
    emit,
    note,
    render,
    write_text,
)

if TYPE_CHECKING:
    from .._utils.typing import PathLike
    from ..evaluation import EvaluationReport

__all__ = [
    "BENCHMARK",
    "EVALUATE",
    "render_report",
    "run",
    "run_benchmark",
    "save_confusion",
]

_EVALUATE_HELP = """\
evaluate a saved model on labelled images

Evaluate a saved model on labelled images that it was not trained on: accuracy,
Cohen's kappa, precision, recall and F1 with 95 % intervals, the confusion
matrix and, if the model estimates probabilities, top-2 accuracy, log loss and
calibration error.

examples:
  fer-sklearn evaluate default fer2013.zip
  fer-sklearn evaluate default fer2013.zip --votes ferplus.csv
  fer-sklearn evaluate hog.fer fer2013.zip
  fer-sklearn evaluate hog.fer fer2013.zip --subset private --confusion hog.png
  fer-sklearn evaluate hog.fer my_photos/ --format json --output scores.json

Model files contain no code, so it is safe to load one from a stranger.
"""
_BENCHMARK_HELP = """\
compare HOG-SVM and CNN on the same images; needs no data set

Train HOG-SVM and CNN on the same images and compare scores (with 95 %
intervals), times and sizes. Without --data, this uses synthetic faces and
takes a minute or two; on FER2013, with its training images and PublicTest,
about half an hour.

examples:
  fer-sklearn benchmark                  synthetic faces, no data needed
  fer-sklearn benchmark --data fer2013.zip --output results/
"""

# Synthetic faces of a benchmark without data.
_N_TRAIN, _N_TEST = 1400, 700
_RESULT = "benchmark.json"
_SYNTHETIC = (
    "SYNTHETIC faces: this shows that both models work, not how accurate they are on photos."
)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "data", metavar="DATA", help="FER2013, or a folder or zip of label folders, as for train"
    )
    parser.add_argument(
        "--subset", metavar="NAME", help=f"{SUBSET_HELP} (default: public, or test, else all)"
    )
    parser.add_argument(
        "--limit", type=positive_int, metavar="N", help="use only N images, stratified by label"
    )
    add_labels_option(parser, default="fer2013 on FER2013, else people")
    parser.add_argument(
        "--votes",
        metavar="FILE",
        help="FER+'s fer2013new.csv, or votes by image name; compares predictions, labels and "
        "single people with what most people see",
    )
    add_format(parser)
    parser.add_argument(
        "--confusion", metavar="FILE", help="also plot the confusion matrix (.png, .pdf or .svg)"
    )


def run(args: argparse.Namespace) -> int:
    """Load, predict and print the report."""
    from ..evaluation import evaluate

    figure = _check_outputs(args)
    data = load_labelled(args.data, subset=args.subset, prefer=TEST_SUBSETS, limit=args.limit)
    labels = args.labels
    if labels is None and args.model in SHIPPED and data.layout == "FER2013 layout":
        labels = "fer2013"
        note("Scored with --labels fer2013, since these are FER2013's labels")
    votes = None if args.votes is None else _load_votes(args.votes, data)
    report = evaluate(load_model(args.model, labels), data.images, data.target, votes=votes)
    emit(render_report(report, choose_format(args)), args.output)
    if figure:
        save_confusion(report, figure)
        note(f"Written to {figure}")
    return 0


def _check_outputs(args):
    """Return the file for the confusion matrix, after checking what will be written."""
    if args.output:
        check_output(args.output, force=True)
    figure = args.confusion and check_output(
        args.confusion, force=True, option="--confusion", suffixes=(".png", ".pdf", ".svg")
    )
    outputs = {"--output": args.output, "--confusion": args.confusion}
    check_distinct(outputs, (args.model, args.data, args.votes))
    return figure


def _load_votes(path, data):
    """Return the votes on the images that were loaded."""
    from ..datasets import load_ferplus

    return load_ferplus(path, data.filenames.tolist(), data.target)


def render_report(report: EvaluationReport, form: str) -> str:
    """Convert an evaluation report to text."""
    if form == "json":
        return report.to_json()
    if form == "csv":
        return report.to_frame().to_csv(index=False).rstrip("\n")
    return report.to_markdown() if form == "markdown" else repr(report)


def save_confusion(report: EvaluationReport, path: PathLike, *, title: str | None = None) -> None:
    """Plot the confusion matrix of a report to a file."""
    from .._utils.files import atomic_write
    from ..plotting import ConfusionMatrixDisplay

    display = ConfusionMatrixDisplay(report.confusion_matrix, display_labels=report.labels)
    figure = display.plot(title=title).figure_
    with atomic_write(path) as file:
        figure.savefig(file, format=Path(path).suffix[1:].lower(), dpi=120)


def _add_benchmark_options(parser: argparse.ArgumentParser) -> None:
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
    add_dtype_option(parser, default="float32")
    parser.add_argument(
        "--random-state", type=seed, default=0, metavar="N", help="random seed (default: 0)"
    )
    add_format(parser, file=False)
    parser.add_argument(
        "--output",
        "-o",
        metavar="DIR",
        help="also write benchmark.json, benchmark.md and confusion matrices to this folder",
    )
    parser.add_argument(
        "--force", action="store_true", help="replace an earlier result in that folder"
    )


def run_benchmark(args: argparse.Namespace) -> int:
    """Train both and print the comparison."""
    folder = args.output and _check_folder(Path(args.output), args.force)
    if args.data is None:
        if args.limit:
            args.parser.error("argument --limit: only with --data")
        note(_SYNTHETIC)
    train, test = _load_both(args)
    benchmark = _train_and_score(_both_models(args), train, test)
    synthetic = args.data is None
    emit(_render_benchmark(benchmark, args.format or "table", synthetic))
    if folder:
        _write_benchmark(benchmark, folder, synthetic)
        note(f"Written to {folder}")
    if synthetic:
        note(_SYNTHETIC)
    return 0


def _load_both(args):
    """Return images to train on and images to test on."""
    if args.data is not None:
        return load_split(args.data, limit=args.limit, random_state=args.random_state)
    from ..datasets import make_faces

    X, y = make_faces(_N_TRAIN + _N_TEST, random_state=args.random_state, return_X_y=True)
    return Labelled(X[:_N_TRAIN], y[:_N_TRAIN]), Labelled(X[_N_TRAIN:], y[_N_TRAIN:])


def _both_models(args):
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


def _train_and_score(models, train, test):
    from ..evaluation import benchmark_models

    def start(name):
        note(f"Training {name} on {len(train.target):,} images, scoring {len(test.target):,} …")

    with epoch_progress(models["CNN"]):
        return benchmark_models(models, train[:2], test[:2], on_start=start)


def _render_benchmark(benchmark, form, synthetic):
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


def _write_benchmark(benchmark, folder, synthetic):
    for name, form in ((_RESULT, "json"), ("benchmark.md", "markdown")):
        write_text(folder / name, _render_benchmark(benchmark, form, synthetic))
    for name, entry in benchmark.items():
        path = folder / f"confusion_{name.lower().replace('-', '_')}.png"
        save_confusion(entry.report, path, title=f"{name}, synthetic" if synthetic else name)


EVALUATE = Command("evaluate", _EVALUATE_HELP, _add_options, run)

BENCHMARK = Command("benchmark", _BENCHMARK_HELP, _add_benchmark_options, run_benchmark)
