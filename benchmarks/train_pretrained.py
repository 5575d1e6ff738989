"""Train the pretrained models of the package.

    python benchmarks/train_pretrained.py --data fer2013.zip --votes ferplus.csv
    python benchmarks/train_pretrained.py --data fer2013.zip --votes ferplus.csv --name tiny

Each learns from others: "teacher" from the labels and the votes of FER+, "student" from these and
the predictions of "teacher", "third", which starts from "student" and uses mixup, from the
predictions of both, and "tiny" from those of "teacher". "default" averages the weights of three
"third" networks, with seeds 0, 1 and 2. Missing networks are trained first, in --work. The bundled
models, "default" and "tiny", get a temperature that calibrates their probabilities.

If interrupted, run the same command again: it resumes after the last completed epoch and ends with
the same weights. KERAS_BACKEND=jax trains the same network on a GPU.

The metrics of each seed are written to benchmarks/results/pretrained.json, with a table next to it;
the log and the checkpoints to --work. --ship puts the weights into the package.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from _common import (
    AUGMENTATION,
    RESULTS,
    TRAINING,
    also_in_training,
    load_bunch,
    markdown_table,
    read_result,
    write_result,
    write_table,
)

from fer_sklearn import FERCNNClassifier, evaluate_predictions, load_pretrained, make_cnn_pipeline
from fer_sklearn.cnn import fit_temperature, scale_logits, update_batch_norm
from fer_sklearn.datasets import load_ferplus, votes_to_soft_targets
from fer_sklearn.exporting import to_litert
from fer_sklearn.weights import (
    SHIPPED,
    average_weights,
    read_weights,
    shipped_path,
    write_weights,
)

WIDE = {"architecture": "resnet_se_wide", "epochs": 56}
RECIPES = {
    "teacher": WIDE | {"label_smoothing": 0.05},
    "student": WIDE,
    "third": WIDE
    | {"epochs": 40, "learning_rate": 0.06, "augmentation": AUGMENTATION | {"mixup": 0.2}},
    # A small network does not overfit, so it needs less regularisation.
    "tiny": {
        "architecture": "resnet_se_tiny",
        "epochs": 60,
        "weight_decay": 1e-3,
        "augmentation": AUGMENTATION | {"rotation": 8.0, "zoom": 0.08, "erasing": 0.0},
    },
}
# The fraction of the targets that does not come from the label.
SOURCES = {
    "teacher": {"votes": 0.5},
    "student": {"votes": 0.2, "teacher": 0.5},
    "third": {"votes": 0.2, "teacher": 0.25, "student": 0.25},
    "tiny": {"teacher": 0.7},
}
STARTS = {"third": "student"}  # The source of initial weights, if they are not random.
MEANS = {"default": ("third", (0, 1, 2))}  # Which networks and seeds are averaged.
_IMAGES_OF_STATISTICS = 8192
_SEED_OF_TEACHERS = 0  # Other seeds of a network learn from the same teacher.


def main():
    args = parse_arguments()
    args.work.mkdir(parents=True, exist_ok=True)
    log = args.work / f"{args.name}-{args.seed}.log"
    with open(log, "a", encoding="utf-8") as file:
        sys.stdout = _Tee(sys.stdout, file)
        try:
            run(args)
        finally:
            sys.stdout = sys.stdout.terminal


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="FER2013: zip, CSV or folder")
    parser.add_argument("--votes", help="FER+ votes as CSV, by the images' names")
    parser.add_argument("--name", choices=[*RECIPES, *MEANS], default="default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="instead of the recipe's; for a trial")
    parser.add_argument("--work", type=Path, default=Path("pretrained"))
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--ship", action="store_true", help="put the weights into the package")
    return parser.parse_args()


def run(args):
    if args.name in MEANS:
        average(args)
    else:
        train(args)


def average(args):
    """Average several networks; train the missing ones first."""
    member, seeds = MEANS[args.name]
    paths = [weights_of(member, seed, args) for seed in seeds]
    for seed, path in zip(seeds, paths, strict=True):
        if not path.exists():
            train(argparse.Namespace(**vars(args) | {"name": member, "seed": seed}))
    description = read_weights(paths[0]).description | {"seed": list(seeds)}
    entry = {"mean_of": member, "seeds": list(seeds)}
    finish(args, average_weights(paths).arrays, description, entry)


def train(args):
    for source in SOURCES[args.name]:
        if source in RECIPES and not weights_of(source, _SEED_OF_TEACHERS, args).exists():
            train(argparse.Namespace(**vars(args) | {"name": source, "seed": _SEED_OF_TEACHERS}))
    recipe = TRAINING | RECIPES[args.name]
    if args.epochs:
        recipe["epochs"] = args.epochs
    images = load_bunch(args.data, "train")
    start = STARTS.get(args.name)
    classifier = FERCNNClassifier(
        **recipe,
        initial_weights=start and weights_of(start, _SEED_OF_TEACHERS, args),
        random_state=args.seed,
        verbose=1,
        checkpoint_dir=args.work,
    )
    pipeline = make_cnn_pipeline(classifier)
    print(f"{args.name}, seed {args.seed}: {recipe}", flush=True)
    began = time.perf_counter(), time.process_time()
    parts = shares(args.name, args.votes)
    targets = mixed_targets(parts, images, args)
    pipeline.fit(images.images, images.target, classifier__soft_targets=targets)
    seconds = time.perf_counter() - began[0], time.process_time() - began[1]

    finish(
        args,
        classifier.model_.get_weights(),
        {
            "architecture": recipe["architecture"],
            "image_shape": classifier.image_shape_,
            "classes": classifier.classes_.tolist(),
            "pixel_range": classifier.pixel_range_,
            "trained_on": f"FER2013, training split, {len(images.images)} images",
            "seed": args.seed,
        },
        {
            "recipe": recipe,
            "targets": parts,
            "training_accuracy": classifier.history_["accuracy"][-1],
            "last_run_seconds": round(seconds[0]),
            "last_run_cpu_seconds": round(seconds[1]),
            "history": {k: np.round(v, 5).tolist() for k, v in classifier.history_.items()},
        },
    )


def finish(args, arrays, description, entry):
    """Write the weights of a network, evaluate them, and record the result."""
    images, public = (load_bunch(args.data, subset) for subset in ("train", "public"))
    path = weights_of(args.name, args.seed, args)
    write_weights(path, arrays, description)
    if args.name in SHIPPED:
        write_weights(path, counted_anew(path, images.images, args.seed), description)
        arrays, temperature = tempered(path, images, public)
        description = description | {"temperature": temperature}
        write_weights(path, arrays, description)
        entry = {"temperature": temperature, **entry}
    shipped = load_pretrained(path)  # in full precision, from half-precision weights
    entry = {
        "parameters": shipped[-1].n_parameters_,
        "file_bytes": path.stat().st_size,
        "public": {
            name: score(shipped.set_params(classifier__test_time_augmentation=flip), public)
            for name, flip in (("plain", False), ("flips", True))
        },
        **entry,
    }
    print({k: v["accuracy"] for k, v in entry["public"].items()}, f"-> {path}", flush=True)
    record(args, entry)
    if args.ship and args.name in SHIPPED:
        ship(args.name, path, entry["public"])


def counted_anew(path, images, seed):
    """Return weights with batch statistics of images without augmentation or mixup."""
    pipeline = load_pretrained(path)
    chosen = np.random.default_rng(seed).permutation(len(images))[:_IMAGES_OF_STATISTICS]
    update_batch_norm(pipeline[-1], pipeline[:-1].transform(images[chosen]))
    return pipeline[-1].model_.get_weights()


def tempered(path, train, public):
    """Return weights with calibrated probabilities, and the temperature.

    It is fitted on those images of PublicTest that are not in the training set, and on one
    prediction per image, since applications use one or the mean of two.
    """
    pipeline = load_pretrained(path).set_params(classifier__test_time_augmentation=False)
    unseen = ~also_in_training(train.images, public.images)
    temperature = fit_temperature(pipeline, public.images[unseen], public.target[unseen])
    scale_logits(pipeline[-1], temperature)
    return pipeline[-1].model_.get_weights(), temperature


def weights_of(name, seed, args):
    return args.work / f"{name}-{seed}.npz"


def ship(name, path, public):
    """Put weights into the package, together with the same network as a LiteRT model."""
    weights = read_weights(path)
    litert = to_litert(load_pretrained(path)[-1].model_)
    description = weights.description | {
        "accuracy": {
            "FER2013, PublicTest, with mirror images": round(public["flips"]["accuracy"], 5),
            "FER2013, PublicTest, without": round(public["plain"]["accuracy"], 5),
        },
        "licence": "MIT; the images it was trained on, FER2013, have terms of their own",
    }
    write_weights(shipped_path(name), weights.arrays, description, litert=litert)


def mixed_targets(parts, train, args):
    """Return the targets: labels, mixed with votes and with a teacher's predictions."""
    own = train.target[:, np.newaxis] == np.unique(train.target)
    mixed = np.zeros(own.shape)
    for source, share in parts.items():
        if source == "label":
            said = own
        elif source == "votes":
            votes = load_ferplus(args.votes, train.filenames)
            said = votes_to_soft_targets(votes, train.target, random_state=args.seed)
        else:
            teacher = load_pretrained(weights_of(source, _SEED_OF_TEACHERS, args))
            said = teacher.predict_proba(train.images)
        mixed += share * said
    return mixed


def shares(name, votes):
    """Return the weights of the sources of the targets; without votes, the label has more."""
    others = {k: v for k, v in SOURCES[name].items() if k != "votes" or votes}
    return {"label": round(1 - sum(others.values()), 3), **others}


def score(pipeline, public):
    probabilities = pipeline.predict_proba(public.images)
    labels = pipeline.classes_[probabilities.argmax(axis=1)]
    overall = evaluate_predictions(public.target, labels).overall
    return {
        "accuracy": overall["accuracy"].value,
        "interval": [overall["accuracy"].low, overall["accuracy"].high],
        "balanced_accuracy": overall["balanced_accuracy"].value,
    }


def record(args, entry):
    """Add one seed to the results, and update their table."""
    seeds = read_result("pretrained", args.output).get("models", {})
    seeds.setdefault(args.name, {})[str(args.seed)] = entry
    write_result("pretrained", {"scored_on": "PublicTest", "models": seeds}, args.output)
    write_table("pretrained", table(seeds), args.output)


def table(models):
    rows = []
    for name, seeds in sorted(models.items()):
        entries = list(seeds.values())
        cells = [
            spread([100 * entry["public"][kind]["accuracy"] for entry in entries])
            for kind in ("plain", "flips")
        ]
        parameters = f"{entries[0]['parameters']:,}"
        rows.append([f"`{name}`", parameters, len(seeds), *cells])
    header = ["model", "parameters", "seeds", "PublicTest, %", "with mirror images, %"]
    return markdown_table(header, rows)


def spread(values):
    """Return the mean and, if there are several, the standard deviation."""
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}"


class _Tee:
    """Write to the terminal and to the log."""

    def __init__(self, terminal, log):
        self.terminal, self._log = terminal, log

    def write(self, text):
        self._log.write(text)
        return self.terminal.write(text)

    def flush(self):
        self._log.flush()
        self.terminal.flush()


if __name__ == "__main__":
    main()
