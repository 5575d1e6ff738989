"""``fer-sklearn benchmark``: both kinds of model, trained and scored on the same images."""

import json
import math
from pathlib import Path

from ._data import Labelled, load_split
from ._evaluate import save_confusion
from ._models import positive_int, told_by_epoch
from ._output import CommandError, add_format, emit, note, render

__all__ = ["add_parser", "run"]

_N_TRAIN, _N_TEST = 1400, 700
_RESULT = "benchmark.json"
_SYNTHETIC = (
    "SYNTHETIC drawn faces: this shows that both models work, not how well they do on photos."
)

_EXAMPLES = """\
examples:
  fer-sklearn benchmark                  drawn faces, a minute, no data needed
  fer-sklearn benchmark --data fer2013.zip --output results/
"""


def add_parser(commands):
    """Describe the command."""
    parser = commands.add_parser(
        "benchmark",
        help="compare HOG-SVM and CNN on the same images, also without data",
        description="Train HOG-SVM and CNN on the same images and compare scores (with 95 % "
        "intervals), times and sizes. Without --data on drawn faces, in a minute or two; on "
        "FER2013 with its training images and the public test half, in about an hour.",
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
        help="of the CNN (default: 20, or 6 on drawn faces)",
    )
    parser.add_argument(
        "--dtype-policy",
        choices=("float32", "mixed_bfloat16"),
        default="float32",
        help="of the CNN; mixed_bfloat16 is faster on processors that have it",
    )
    parser.add_argument("--random-state", type=int, default=0, metavar="N", help="(default: 0)")
    add_format(parser, file=False)
    parser.add_argument(
        "--output",
        "-o",
        metavar="DIR",
        help="also write benchmark.json, benchmark.md and confusion matrices there",
    )
    parser.add_argument("--force", action="store_true", help="replace an earlier result there")
    parser.set_defaults(run=run)
    return parser


def run(args):
    """Train both, print the comparison."""
    folder = args.output and _check_folder(Path(args.output), args.force)
    if args.data is None:
        if args.limit:
            args.parser.error("argument --limit: only with --data")
        note(_SYNTHETIC)
    train, test = _load(args)
    entries = _compare(_models(args), train, test)
    synthetic = args.data is None
    emit(_render(entries, args.format or "table", synthetic))
    if folder:
        _write(entries, folder, synthetic)
        note(f"Written to {folder}")
    if synthetic:
        note(_SYNTHETIC)
    return 0


def _load(args):
    """Return images to train on and images to score."""
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

    with told_by_epoch(models["CNN"]):
        return benchmark_models(models, train, test, on_start=start)


def _render(entries, form, synthetic):
    """Turn the entries into text."""
    if form == "json":
        models = {
            name: {
                **json.loads(entry.report.to_json()),
                "fit_seconds": round(entry.fit_seconds, 2),
                "predict_seconds": round(entry.predict_seconds, 3),
                "size_bytes": entry.size_bytes,
            }
            for name, entry in entries.items()
        }
        return json.dumps({"synthetic": synthetic, "models": models}, indent=2)
    if form == "csv":
        return render(list(_tidy(entries)), "csv")
    if form == "markdown":
        from ..evaluation import benchmark_table

        table = benchmark_table(entries)
        return f"{_SYNTHETIC}\n\n{table}" if synthetic else table
    return render(list(_side_by_side(entries)), "table")


def _tidy(entries):
    """Yield a row a number."""
    for name, entry in entries.items():
        for row in entry.report.to_frame().to_dict("records"):
            yield {"model": name} | row
        costs = {
            "fit_seconds": round(entry.fit_seconds, 2),
            "predict_seconds": round(entry.predict_seconds, 3),
            "size_bytes": entry.size_bytes,
        }
        for metric, value in costs.items():
            yield {
                "model": name,
                "metric": metric,
                "emotion": "all",
                "value": value,
                "low": None,
                "high": None,
            }


def _side_by_side(entries):
    """Yield a row a metric, with a column a model."""
    reports = {name: entry.report for name, entry in entries.items()}

    def row(title, cell):
        return {"": title} | {name: cell(name) for name in entries}

    for metric in ("accuracy", "balanced_accuracy", "macro_f1"):
        title = metric.replace("_", " ").replace("f1", "F1")
        yield row(f"{title}, %", lambda name, m=metric: _percent(reports[name].overall[m]))
    for label in next(iter(reports.values())).labels.tolist():
        yield row(
            f"F1 of {label}, %", lambda name, e=label: _percent(reports[name].per_emotion[e]["f1"])
        )
    yield row("training, s", lambda name: f"{entries[name].fit_seconds:.1f}")
    yield row("predicting, s", lambda name: f"{entries[name].predict_seconds:.1f}")
    yield row("size, MB", lambda name: f"{entries[name].size_bytes / 1e6:.1f}")


def _percent(estimate):
    if math.isnan(estimate.value):
        return "–"
    value, low, high = (100 * number for number in estimate)
    return f"{value:.1f} ({low:.1f}–{high:.1f})"


def _check_folder(folder, force):
    """Make the folder, before the work is done, and refuse to replace a result in it."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / _RESULT).exists() and not force:
        raise CommandError(
            f"{folder / _RESULT} exists already. Choose another --output, or add --force."
        )
    return folder


def _write(entries, folder, synthetic):
    for name, form in ((_RESULT, "json"), ("benchmark.md", "markdown")):
        (folder / name).write_text(_render(entries, form, synthetic) + "\n", encoding="utf-8")
    for name, entry in entries.items():
        path = folder / f"confusion_{name.lower().replace('-', '_')}.png"
        save_confusion(entry.report, path, title=f"{name}, synthetic" if synthetic else name)
