"""``fer-sklearn evaluate``: how well a saved model does on labelled images."""

from pathlib import Path

from ._data import SUBSET_HELP, TEST_SUBSETS, load_labelled
from ._models import MODEL_HELP, load_model, positive_int
from ._output import CommandError, add_format, choose_format, emit, note

__all__ = ["add_parser", "render_report", "run", "save_confusion"]

_EXAMPLES = """\
examples:
  fer-sklearn evaluate default fer2013.zip
  fer-sklearn evaluate hog.fer fer2013.zip
  fer-sklearn evaluate hog.fer fer2013.zip --subset private --confusion hog.png
  fer-sklearn evaluate hog.fer my_photos/ --format json --output scores.json

A model file can run any code when it is read: use only files that you trust.
"""


def add_parser(commands):
    """Describe the command."""
    parser = commands.add_parser(
        "evaluate",
        help="measure a saved model on labelled images",
        description="Measure a saved model on labelled images that it was not trained on: "
        "accuracy, Cohen's kappa, precision, recall and F1 with 95 % intervals, the confusion "
        "matrix and, where the model gives probabilities, top-2 accuracy, log loss and "
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
        "--limit", type=positive_int, metavar="N", help="use only N images, of each label its share"
    )
    add_format(parser)
    parser.add_argument(
        "--confusion", metavar="FILE", help="also draw the confusion matrix (.png, .pdf or .svg)"
    )
    parser.set_defaults(run=run)
    return parser


def run(args):
    """Load, predict, print the report."""
    from ..evaluation import evaluate

    picture = args.confusion and _check_picture(args.confusion)
    model = load_model(args.model)
    data = load_labelled(args.data, subset=args.subset, prefer=TEST_SUBSETS, limit=args.limit)
    report = evaluate(model, *data)
    emit(render_report(report, choose_format(args)), args.output)
    if picture:
        save_confusion(report, picture)
        note(f"Drawn to {picture}")
    return 0


def render_report(report, form):
    """Turn an evaluation report into text."""
    if form == "json":
        return report.to_json()
    if form == "csv":
        return report.to_frame().to_csv(index=False).rstrip("\n")
    return report.to_markdown() if form == "markdown" else repr(report)


def save_confusion(report, path, *, title=None):
    """Draw the confusion matrix of a report to a file."""
    from ..plotting import ConfusionMatrixDisplay

    display = ConfusionMatrixDisplay(report.confusion_matrix, display_labels=report.labels)
    display.plot(title=title).figure_.savefig(path, dpi=120)


def _check_picture(path):
    path = Path(path)
    if path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise CommandError(f"--confusion {path} must end in .png, .pdf or .svg")
    return path
