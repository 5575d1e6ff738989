"""Contribution of each part of the training recipe of the pretrained models.

    python benchmarks/recipe_changes.py --data fer2013.zip --votes ferplus.csv

Trains a smaller network with the recipe for a few epochs, and again with one change at a time,
about six minutes each on two cores. Early gains need not last to the end, but the order is cheap
to measure. If interrupted, run the same command again to resume. Writes
benchmarks/results/recipe_changes.json and a Markdown table next to it.
"""

import argparse
import json
from pathlib import Path

import keras
from _common import RESULTS, load_bunch, write_result
from train_pretrained import AUGMENTATION, COMMON, mixed_targets, shares

from fer_sklearn import FERCNNClassifier, evaluate_predictions, make_cnn_pipeline

_BASE = COMMON | {"architecture": "resnet_se", "label_smoothing": 0.05}
_RATE = COMMON["learning_rate"]
# Change -> parameters, and whether the votes are used.
CHANGES = {
    "the recipe": ({}, True),
    "labels only, no votes": ({}, False),
    "no augmentation": ({"augmentation": None}, True),
    "no erased rectangles": ({"augmentation": AUGMENTATION | {"erasing": 0.0}}, True),
    "stronger augmentation": ({"augmentation": True}, True),
    "no label smoothing": ({"label_smoothing": 0.0}, True),
    "1/16 of the weight decay": ({"weight_decay": COMMON["weight_decay"] / 16}, True),
    "constant learning rate": ({"learning_rate_schedule": None}, True),
    "constant learning rate, weights averaged (EMA)": (
        {
            "learning_rate_schedule": None,
            "optimizer": keras.optimizers.SGD(
                _RATE,
                momentum=0.9,
                nesterov=True,
                weight_decay=COMMON["weight_decay"],
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
    soft = mixed_targets(shares("teacher", args.votes), train, args)
    path = RESULTS / "recipe_changes.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["changes"] if path.exists() else {}
    for name in args.only or CHANGES:
        parameters, votes = CHANGES[name]
        print(f"{name} …", flush=True)
        rows[name] = measure(args, _BASE | parameters, train, public, soft if votes else None)
        ordered = {change: rows[change] for change in CHANGES if change in rows}
        result = {"scored_on": "PublicTest", "epochs": args.epochs, "changes": ordered}
        write_result("recipe_changes", result)
        (RESULTS / "recipe_changes.md").write_text(table(ordered) + "\n", encoding="utf-8")
    print(table(rows))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="FER2013: zip, CSV or folder")
    parser.add_argument("--votes", required=True, help="FER+ votes as CSV, by image name")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("recipe_changes"))
    parser.add_argument("--only", nargs="+", choices=CHANGES, metavar="CHANGE")
    return parser.parse_args()


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
        "parameters": classifier.model_.count_params(),
    }


def table(rows):
    base = rows.get("the recipe", {}).get("accuracy", {}).get("value")
    lines = ["| change | PublicTest, % | points |", "| --- | ---: | ---: |"]
    for name, row in rows.items():
        value, low, high = (100 * number for number in row["accuracy"].values())
        change = "" if base is None or name == "the recipe" else f"{value - 100 * base:+.1f}"
        lines.append(f"| {name} | {value:.1f} ({low:.1f}–{high:.1f}) | {change} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
