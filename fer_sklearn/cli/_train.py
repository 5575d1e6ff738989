"""``fer-sklearn train`` and ``tune``: fit a model on labelled images and save it.

``tune`` first cross-validates hyperparameters and ranks them.
"""

from __future__ import annotations

import argparse
import ast
import shlex
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ._data import SUBSET_HELP, Labelled, hold_out, load_labelled
from ._evaluate import render_report, save_confusion
from ._models import (
    SHIPPED,
    add_model_options,
    build_model,
    check_model_options,
    epoch_progress,
    model_name,
    positive_int,
    proper_fraction,
)
from ._output import (
    Command,
    add_format,
    check_distinct,
    check_output,
    emit,
    note,
    progress,
    render,
)

if TYPE_CHECKING:
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import Pipeline

__all__ = ["SCORES", "TRAIN", "TUNE", "parse_grid", "run", "run_tune", "search"]

# What `--from` searches by default: a head, or more of the network.
_HEAD_GRID = {
    "classifier__head_C": [0.003, 0.01, 0.03, 0.1, 0.3],
    "classifier__class_weight": [None, "balanced"],
}
_FINE_TUNING_GRID = {"classifier__learning_rate": [0.002, 0.005, 0.015]}
# A copy: importing evaluation.SCORING would slow down --help.
SCORES = ("accuracy", "balanced_accuracy", "macro_f1")

_PICTURES = (".png", ".pdf", ".svg")

_TRAIN_HELP = """\
train a model on labelled images and save it to a file

Train a model on labelled images, score it on those that are held out, and save
it to a file.

examples:
  fer-sklearn train my_photos/ --from default --output mine.fer
                    (my_photos/bored/*.jpg, my_photos/curious/*.jpg, ...)
  fer-sklearn train my_photos/ --from default --crop-faces --trainable all
  fer-sklearn train fer2013.zip --model hog-svm --output hog.fer
  fer-sklearn train fer2013.zip --model cnn --epochs 20 --output cnn.fer

A tenth of the images, without copies of the others, is held out to score the
model, overall and for each label, with intervals and a confusion matrix.
"""
_TUNE_HELP = """\
find the best hyperparameters of a model by cross-validation

Find the best hyperparameters of a model by cross-validation, and rank all
candidates.

examples:
  fer-sklearn tune my_photos/ --from default --output mine.fer
  fer-sklearn tune fer2013.zip --model hog-svm --limit 3000 --n-jobs 2
  fer-sklearn tune fer2013.zip --model hog-svm --limit 3000 \\
      --grid classifier__C=1,5,10 --grid hog__pixels_per_cell=6,8
  fer-sklearn tune fer2013.zip --model cnn --architecture conv3 --epochs 10 \\
      --limit 3000 --grid classifier__learning_rate=0.0003,0.001

Hyperparameters are named STEP__PARAMETER, for example classifier__C. Copies of
an image are kept in one fold. With --output, a tenth of the images is held
out of the search to score the best model.
"""


class _Outputs(NamedTuple):
    """The files that a command writes: a model, and a figure if images are held out."""

    model: Path
    confusion: Path | None


def _add_options(parser: argparse.ArgumentParser) -> None:
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
    _add_data_options(parser)
    add_model_options(parser)


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add what ``train`` and ``tune`` have in common besides the model."""
    parser.add_argument("--force", action="store_true", help="replace existing files")
    parser.add_argument(
        "--subset", metavar="NAME", help=f"{SUBSET_HELP} (default: train, if it exists)"
    )
    parser.add_argument(
        "--hold-out",
        type=proper_fraction,
        default=0.1,
        metavar="X",
        help="fraction of each label's images to hold out and score; 0 trains on all images "
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
    outputs = _check_outputs(args, args.output or f"{args.model or 'mine'}.fer")
    data, held_out = _load_parts(args)
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
    _save_scored(model, (data, held_out), outputs, summary, args)
    return 0


def _check_outputs(args: argparse.Namespace, path: str) -> _Outputs:
    """Check before any work is done that the model and its figure can be written."""
    model = check_output(path, force=args.force)
    picture = None
    if args.hold_out:
        picture = check_output(
            args.confusion or model.with_name(f"{model.stem}_confusion.png"),
            force=args.force,
            option="--confusion",
            suffixes=_PICTURES,
        )
    elif args.confusion:
        args.parser.error("argument --confusion: not with --hold-out 0, which scores nothing")
    check_distinct({"--output": model, "--confusion": picture}, (args.data,))
    return _Outputs(model=model, confusion=picture)


def _load_parts(args: argparse.Namespace) -> tuple[Labelled, Labelled | None]:
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
        note("The network was trained on FER2013: its scores on these training images are inflated")
    return data, held_out


def _save_scored(
    model: Pipeline,
    parts: tuple[Labelled, Labelled | None],
    outputs: _Outputs,
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
    name = _as_argument(outputs.model)
    note(f"Next: fer-sklearn evaluate {name} DATA, or: fer-sklearn predict PHOTO --model {name}")


def _as_argument(path):
    """Return a path as a shell and a command take it: neither an option nor a bundled model."""
    name = str(path)
    return shlex.quote(f"./{name}" if name.startswith("-") or name in SHIPPED else name)


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


def _add_tune_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help="as for train")
    parser.add_argument(
        "--grid",
        action="append",
        metavar="NAME=A,B,…",
        help="values to try for a hyperparameter; may be repeated (default: cell size, "
        "orientations and C of hog-svm; image size, dropout and learning rate of cnn; "
        "regularisation and class weights of a new head)",
    )
    parser.add_argument(
        "--cv", type=positive_int, default=3, metavar="N", help="number of folds (default: 3)"
    )
    parser.add_argument(
        "--n-jobs",
        type=positive_int,
        default=1,
        metavar="N",
        help="number of parallel jobs (default: 1)",
    )
    parser.add_argument(
        "--scoring",
        choices=SCORES,
        default="accuracy",
        help="metric to rank by (default: accuracy); balanced_accuracy and macro_f1 weight all "
        "emotions equally",
    )
    add_format(parser, file=False)
    parser.add_argument(
        "--output",
        "-o",
        metavar="FILE",
        help="train a model with the best hyperparameters, score it on images that are held out, "
        "and save it",
    )
    _add_data_options(parser)
    add_model_options(parser)


def run_tune(args: argparse.Namespace) -> int:
    """Search, print the ranking, and save the best model if requested."""
    check_model_options(args)
    if args.cv < 2:
        args.parser.error("argument --cv: expected at least 2 folds")
    if not args.output:
        if args.confusion:
            args.parser.error("argument --confusion: only with --output, which scores a model")
        args.hold_out = 0.0
    outputs = _check_outputs(args, args.output) if args.output else None
    fitted, parts = _search_grid(args, refit=bool(args.output))
    rows = _ranking(fitted.cv_results_, args.scoring)
    form = args.format or "table"
    if form in ("table", "markdown"):
        rows = _for_reading(rows, args.scoring)
    emit(
        render(
            rows, form, caption=f"{args.scoring}, mean and standard deviation over {args.cv} folds"
        )
    )
    if outputs is not None:
        best = fitted.best_estimator_.set_params(memory=None)
        chosen = ", ".join(f"{name}={value}" for name, value in fitted.best_params_.items())
        show = emit if form in ("table", "markdown") else note  # keep stdout machine-readable
        show("")
        _save_scored(best, parts, outputs, {"hyperparameters": chosen}, args, show=show)
    return 0


def parse_grid(texts: Sequence[str]) -> dict[str, list[Any]]:
    """Parse ``["a__b=1,5", …]`` into ``{"a__b": [1, 5], …}``.

    Values are Python literals (numbers, None, True, tuples), else strings.
    """
    grid = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not (name.strip() and equals and values.strip()):
            raise ValueError(f"{text!r} is not of the form NAME=VALUE,VALUE")
        try:
            grid[name.strip()] = list(ast.literal_eval(f"[{values}]"))
        except (ValueError, SyntaxError):
            grid[name.strip()] = [_literal(value.strip()) for value in values.split(",")]
    return grid


def _literal(text):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _search_grid(args, *, refit):
    """Read the data and cross-validate all candidates."""
    with ExitStack() as stack:
        # Detecting faces is expensive: cached on disk, it is done once per fold, not per candidate.
        folder = args.crop_faces and stack.enter_context(tempfile.TemporaryDirectory())
        model = build_model(args, memory=folder or None)
        grid = _grid(args, model)
        data, held_out = _load_parts(args)
        searched = search(
            model,
            grid,
            data,
            n_folds=args.cv,
            n_jobs=args.n_jobs,
            scoring=args.scoring,
            refit=refit,
            random_state=args.random_state,
        )
        return searched, (data, held_out)


def _grid(args, model):
    """Return the requested grid or the default one; exit if a hyperparameter does not exist."""
    from .._utils.validation import suggestion

    if not args.grid:
        return _default_grid(args)
    try:
        grid = parse_grid(args.grid)
    except ValueError as error:
        args.parser.error(f"argument --grid: {error}")
    known = [name for name in model.get_params() if "__" in name]
    for name in grid:
        if name not in known:
            hint = suggestion(name, known) or f" Hyperparameters are {', '.join(sorted(known))}."
            args.parser.error(f"argument --grid: there is no hyperparameter {name!r}.{hint}")
    return grid


def _default_grid(args):
    from ..pipelines import CNN_GRID, HOG_SVM_GRID

    if args.base is not None:
        return _HEAD_GRID if args.trainable in (None, "head") else _FINE_TUNING_GRID
    return HOG_SVM_GRID if args.model == "hog-svm" else CNN_GRID


def _ranking(results, scoring):
    """Return one row per candidate, the best first, with every score."""
    order = results[f"rank_test_{scoring}"].argsort(kind="stable")
    names = (scoring, *(name for name in SCORES if name != scoring))
    rows = []
    for i in order:
        row: dict[str, float] = {"rank": int(results[f"rank_test_{scoring}"][i])}
        for name in names:
            row[name] = round(float(results[f"mean_test_{name}"][i]), 4)
            row[f"{name}_std"] = round(float(results[f"std_test_{name}"][i]), 4)
        row["fit_seconds"] = round(float(results["mean_fit_time"][i]), 2)
        rows.append(row | results["params"][i])
    return rows


def _for_reading(rows, scoring):
    """Keep only the score that ranks, and shorten the names of hyperparameters."""
    measured = {"rank", "fit_seconds", *SCORES, *(f"{name}_std" for name in SCORES)}
    settings = [name for name in rows[0] if name not in measured]
    short = {name: name.rpartition("__")[2] for name in settings}
    if len(set(short.values())) < len(short):
        short = {name: name for name in settings}
    return [
        {"rank": row["rank"]}
        | {scoring: f"{row[scoring]:.3f} ± {row[f'{scoring}_std']:.3f}"}
        | {short[name]: str(row[name]) for name in settings}
        | {"fit, s": f"{row['fit_seconds']:.1f}"}
        for row in rows
    ]


def search(
    model: Pipeline,
    grid: Mapping[str, Sequence[Any]],
    data: Labelled,
    *,
    n_folds: int,
    n_jobs: int | None,
    scoring: Any,
    refit: str,
    random_state: int,
) -> GridSearchCV:
    """Cross-validate all candidates of a grid, keeping copies of an image in one fold.

    Returns
    -------
    GridSearchCV
        Fitted; with ``best_estimator_`` if `refit`.
    """
    from sklearn.model_selection import ParameterGrid

    from .._utils.cross_validation import grouped_folds
    from ..datasets import duplicate_groups
    from ..evaluation import SCORING

    folds = grouped_folds(n_folds, random_state)
    searched = _progress_search_class()(
        model,
        grid,
        cv=folds,
        n_jobs=n_jobs,
        scoring=SCORING,
        refit=scoring if refit else False,
        error_score="raise",
    )
    n_candidates = len(ParameterGrid(grid))
    note(f"{n_candidates} candidates × {n_folds} folds = {n_candidates * n_folds} fits")
    return searched.fit(data.images, data.target, groups=duplicate_groups(data.images))


def _progress_search_class():
    """Return a subclass of GridSearchCV; made here so that ``--help`` loads no scikit-learn."""
    from sklearn.model_selection import GridSearchCV, ParameterGrid

    class ProgressGridSearchCV(GridSearchCV):
        """A grid search that shows a progress bar, by evaluating a few candidates at a time."""

        def _run_search(self, evaluate_candidates):
            candidates = list(ParameterGrid(self.param_grid))
            # As many at once as there are workers keeps all of them busy.
            at_once = self.n_jobs or 1
            with progress(None, total=len(candidates), unit="candidate") as bar:
                for start in range(0, len(candidates), at_once):
                    chosen = candidates[start : start + at_once]
                    evaluate_candidates(chosen)
                    bar.update(len(chosen))

    return ProgressGridSearchCV


TRAIN = Command(
    "train",
    _TRAIN_HELP,
    _add_options,
    run,
    usage="fer-sklearn train DATA {--from MODEL, --model {hog-svm,cnn}} [options]",
)

TUNE = Command(
    "tune",
    _TUNE_HELP,
    _add_tune_options,
    run_tune,
    usage="fer-sklearn tune DATA {--from MODEL, --model {hog-svm,cnn}} [options]",
)
