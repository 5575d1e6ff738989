"""How much does each part of the training recipe gain?

    python benchmarks/recipe_changes.py --data fer2013.zip --votes ferplus.csv

Trains a smaller network for a few epochs with the recipe, and again with one change at a time;
about six minutes each on two cores. Early gains need not last until the end of a full training,
but their order is cheap to find. If interrupted, run the same command again to resume. Writes
benchmarks/results/recipe_changes.json and a Markdown table next to it.
"""

from pathlib import Path

import keras
import numpy as np
from _common import (
    AUGMENTATION,
    TRAINING,
    argument_parser,
    load_bunch,
    markdown_table,
    percent,
    read_result,
    write_result,
    write_table,
)

from fer_sklearn import FERCNNClassifier, evaluate_predictions, make_cnn_pipeline
from fer_sklearn.datasets import load_ferplus, votes_to_soft_targets

_BASE = TRAINING | {"architecture": "resnet_se", "label_smoothing": 0.05}
_LEARNING_RATE = TRAINING["learning_rate"]
# The parameters of each change, and whether votes are used.
CHANGES = {
    "the recipe": ({}, True),
    "labels only, no votes": ({}, False),
    "no augmentation": ({"augmentation": None}, True),
    "no erased rectangles": ({"augmentation": AUGMENTATION | {"erasing": 0.0}}, True),
    "stronger augmentation": ({"augmentation": True}, True),
    "no label smoothing": ({"label_smoothing": 0.0}, True),
    "1/16 of the weight decay": ({"weight_decay": TRAINING["weight_decay"] / 16}, True),
    "constant learning rate": ({"learning_rate_schedule": None}, True),
    "constant learning rate, weights averaged (EMA)": (
        {
            "learning_rate_schedule": None,
            "optimizer": keras.optimizers.SGD(
                _LEARNING_RATE,
                momentum=0.9,
                nesterov=True,
                weight_decay=TRAINING["weight_decay"],
                use_ema=True,
                ema_momentum=0.998,
            ),
        },
        True,
    ),
}


def main():
    args = parse_arguments()
    train, public = (load_bunch(args.data, subset) for subset in ("train", "public"))
    soft_targets = labels_and_votes(train, args)
    rows = read_result("recipe_changes", args.output).get("changes", {})
    for name in args.only or CHANGES:
        parameters, votes = CHANGES[name]
        print(f"{name} …", flush=True)
        targets = soft_targets if votes else None
        rows[name] = measure(args, _BASE | parameters, train, public, targets)
        ordered = {change: rows[change] for change in CHANGES if change in rows}
        result = {"scored_on": "PublicTest", "epochs": args.epochs, "changes": ordered}
        write_result("recipe_changes", result, args.output)
        write_table("recipe_changes", table(ordered), args.output)


def parse_arguments():
    parser = argument_parser(__doc__)
    parser.add_argument("--votes", required=True, help="FER+ votes as CSV, by file name")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("recipe_changes"), help="checkpoints")
    parser.add_argument("--only", nargs="+", choices=CHANGES, metavar="CHANGE")
    return parser.parse_args()


def labels_and_votes(train, args):
    """Return soft targets: the mean of the label and of what FER+'s votes predict."""
    labels = train.target[:, np.newaxis] == np.unique(train.target)
    votes = load_ferplus(args.votes, train.filenames)
    return (labels + votes_to_soft_targets(votes, train.target, random_state=args.seed)) / 2


def measure(args, parameters, train, public, soft_targets):
    classifier = FERCNNClassifier(
        **parameters,
        epochs=args.epochs,
        random_state=args.seed,
        checkpoint_dir=args.work,
        test_time_augmentation=True,
        verbose=1,
    )
    pipeline = make_cnn_pipeline(classifier)
    pipeline.fit(train.images, train.target, classifier__soft_targets=soft_targets)
    accuracy = evaluate_predictions(public.target, pipeline.predict(public.images)).overall[
        "accuracy"
    ]
    return {
        "accuracy": accuracy._asdict(),
        "training_accuracy": classifier.history_["accuracy"][-1],
        "parameters": classifier.n_parameters_,
    }


def table(rows):
    base = rows.get("the recipe", {}).get("accuracy", {}).get("value")
    cells = []
    for name, row in rows.items():
        gain = "" if base is None else f"{100 * (row['accuracy']['value'] - base):+.1f}"
        cells.append([name, percent(row["accuracy"]), "" if name == "the recipe" else gain])
    return markdown_table(["change", "PublicTest, %", "points"], cells)


if __name__ == "__main__":
    main()
