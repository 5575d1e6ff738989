"""``fer-sklearn evaluate``: the scores of a saved model on labelled images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._data import SUBSET_HELP, TEST_SUBSETS, load_labelled
from ._models import MODEL_HELP, SHIPPED, add_labels_option, load_model, positive_int
from ._output import CommandError, add_format, check_output, choose_format, emit, note

if TYPE_CHECKING:
    from .._utils.typing import PathLike
    from ..evaluation import EvaluationReport

__all__ = ["add_parser", "render_report", "run", "save_confusion"]

_EXAMPLES = """\
examples:
  fer-sklearn evaluate default fer2013.zip
  fer-sklearn evaluate default fer2013.zip --votes ferplus.csv
  fer-sklearn evaluate hog.fer fer2013.zip
  fer-sklearn evaluate hog.fer fer2013.zip --subset private --confusion hog.png
  fer-sklearn evaluate hog.fer my_photos/ --format json --output scores.json

Loading a model file can run arbitrary code: only use files that you trust.
"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = commands.add_parser(
        "evaluate",
        help="evaluate a saved model on labelled images",
        description="Evaluate a saved model on labelled images that it was not trained on: "
        "accuracy, Cohen's kappa, precision, recall and F1 with 95 % intervals, the confusion "
        "matrix and, if the model estimates probabilities, top-2 accuracy, log loss and "
        "calibration error.",
        epilog=_EXAMPLES,
    )
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
        help="a CSV file of FER+'s votes by image name; compares predictions, labels and single "
        "people with what most people see",
    )
    add_format(parser)
    parser.add_argument(
        "--confusion", metavar="FILE", help="also plot the confusion matrix (.png, .pdf or .svg)"
    )
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    """Load, predict and print the report."""
    from ..evaluation import evaluate

    figure = args.confusion and check_output(
        args.confusion, force=True, option="--confusion", suffixes=(".png", ".pdf", ".svg")
    )
    data = load_labelled(args.data, subset=args.subset, prefer=TEST_SUBSETS, limit=args.limit)
    labels = args.labels
    if labels is None and args.model in SHIPPED and data.layout == "FER2013 layout":
        labels = "fer2013"
        note("Scored with --labels fer2013, since these are FER2013's labels")
    votes = None if args.votes is None else _load_votes(args.votes, data, args.data)
    report = evaluate(load_model(args.model, labels), data.images, data.target, votes=votes)
    emit(render_report(report, choose_format(args)), args.output)
    if figure:
        save_confusion(report, figure)
        note(f"Written to {figure}")
    return 0


def _load_votes(path, data, source):
    """Return the votes on the images that were loaded."""
    from ..datasets import load_ferplus

    if data.filenames is None:
        raise CommandError(
            f"--votes {path}: votes are found by the names of images, and {source} is a table, "
            f"which has none; use the folder or archive of images"
        )
    return load_ferplus(path, data.filenames.tolist())


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
