"""How do class weights, oversampling and focal loss affect disgust, and the other emotions?

    python benchmarks/imbalance.py --data fer2013.zip [--only cnn]

Disgust has 436 of FER2013's 28,709 training images. A small CNN and a least-squares SVM on HOG
features are trained without a remedy and with one remedy at a time, and scored on PublicTest.
Dividing probabilities by class frequencies needs no training: it is applied to the models that
were trained without a remedy. Every remedy is compared with none by a paired bootstrap. About
fifteen minutes on two cores for the SVM and forty for the CNN; if interrupted, run the same
command again to resume. Writes benchmarks/results/imbalance.json and a Markdown table next to it.
--limit limits the training images, for a trial.
"""

import time
from pathlib import Path

import numpy as np
from _common import argument_parser, load_split, read_result, write_result

from fer_sklearn import (
    LSSVMClassifier,
    evaluate_predictions,
    make_cnn_pipeline,
    make_hog_svm_pipeline,
)

RARE = "disgust"
_N_RESAMPLES = 1000
_COMPONENTS = 250  # of the HOG features
# Settings that differ from the recommended ones. The weight decay is that of the pretrained network
# of this size.
_CNN = {
    "architecture": "resnet_se_tiny",
    "weight_decay": 1e-3,
    "label_smoothing": 0.0,
    "test_time_augmentation": True,
}
METRICS = {
    f"recall of {RARE}": lambda confusion, rare: _recalls(confusion)[..., rare],
    f"precision of {RARE}": lambda confusion, rare: _divide(
        confusion[..., rare, rare], confusion[..., rare].sum(axis=-1)
    ),
    f"F1 of {RARE}": lambda confusion, rare: _f1(confusion)[..., rare],
    "mean recall of the others": lambda confusion, rare: np.nanmean(
        np.delete(_recalls(confusion), rare, axis=-1), axis=-1
    ),
    "accuracy": lambda confusion, rare: (
        np.trace(confusion, axis1=-2, axis2=-1) / confusion.sum(axis=(-2, -1))
    ),
    "balanced accuracy": lambda confusion, rare: np.nanmean(_recalls(confusion), axis=-1),
    "macro-F1": lambda confusion, rare: np.nanmean(_f1(confusion), axis=-1),
}


def main():
    args = parse_arguments()
    train, public = (load_split(args.data, subset) for subset in ("train", "public"))
    train = limited(*train, args.limit)
    result = {
        "scored_on": "PublicTest",
        "trained_on": len(train[1]),
        "epochs_of_the_cnn": args.epochs,
    }
    result["models"] = read_result("imbalance", args.output).get("models", {})
    for model in args.only or MODELS:
        print(f"{model} …", flush=True)
        predictions = predict_with_each(model, train, public[0], args)
        result["models"][model] = compared(predictions, public[1], args)
        ordered = {name: result["models"][name] for name in MODELS if name in result["models"]}
        write_result("imbalance", result | {"models": ordered}, args.output, table(ordered))


def parse_arguments():
    parser = argument_parser(__doc__, only=MODELS, seed=True)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--limit", type=int, help="number of training images, for a trial")
    parser.add_argument(
        "--work", type=Path, default=Path("imbalance"), help="folder for checkpoints"
    )
    return parser.parse_args()


def limited(X, y, limit):
    rows = np.random.default_rng(0).permutation(len(y))[:limit]
    return X[rows], y[rows]


def predict_with_each(model, train, X, args):
    """Train with each remedy; return the predictions for `X`, and the seconds of training.

    Returns
    -------
    dict of str to (ndarray of shape (n,), float)
    """
    predictions = {}
    for remedy, train_one in MODELS[model].items():
        start = time.perf_counter()
        fitted = train_one(*train, args)
        seconds = time.perf_counter() - start
        predictions[remedy] = fitted.predict(X), seconds
        if remedy == "no remedy":
            frequencies = np.unique(train[1], return_counts=True)[1] / len(train[1])
            # Bayes' rule for equally frequent labels (Menon et al. 2021).
            adjusted = fitted.classes_[(fitted.predict_proba(X) / frequencies).argmax(axis=1)], 0.0
        print(f"  {remedy}: {seconds:.0f} s", flush=True)
    predictions["probabilities divided by class frequencies"] = adjusted
    return predictions


def oversampled(y, seed):
    """Return positions in which each label occurs as often as the most frequent one."""
    rng = np.random.default_rng(seed)
    labels, counts = np.unique(y, return_counts=True)
    rows = [
        np.concatenate([members := np.flatnonzero(y == label), rng.choice(members, most)])
        for label, most in zip(labels, counts.max() - counts, strict=True)
    ]
    return np.concatenate(rows)


def svm(X, y, args, **parameters):
    classifier = LSSVMClassifier(**parameters)
    return make_hog_svm_pipeline(classifier, n_components=_COMPONENTS).fit(X, y)


def cnn(X, y, args, *, epochs=None, **parameters):
    pipeline = make_cnn_pipeline()
    pipeline["classifier"].set_params(
        **_CNN,
        **parameters,
        epochs=epochs or args.epochs,
        random_state=args.seed,
        checkpoint_dir=args.work,
        verbose=1,
    )
    return pipeline.fit(X, y)


def oversampled_cnn(X, y, args):
    rows = oversampled(y, args.seed)
    # As many steps as the others, since its epochs are longer.
    epochs = max(1, round(args.epochs * len(y) / len(rows)))
    return cnn(X[rows], y[rows], args, epochs=epochs)


# For a least-squares SVM, duplicating an image is the same as doubling its weight.
MODELS = {
    "svm": {
        "no remedy": lambda *data: svm(*data, probability=True),
        "class weights": lambda *data: svm(*data, class_weight="balanced"),
    },
    "cnn": {
        "no remedy": cnn,
        "class weights": lambda *data: cnn(*data, class_weight="balanced"),
        "oversampling": oversampled_cnn,
        "focal loss": lambda *data: cnn(*data, loss="focal"),
    },
}
_TITLES = {"svm": "least-squares SVM on HOG", "cnn": "CNN, `resnet_se_tiny`"}


def compared(predictions, y, args):
    """Return the metrics of each remedy, and their differences from no remedy."""
    labels = np.unique(y)
    rare = labels.tolist().index(RARE)
    counts = np.random.default_rng(args.seed).multinomial(
        len(y), np.full(len(y), 1 / len(y)), size=_N_RESAMPLES
    )
    measured = {
        remedy: measure(confusions(y, predicted, labels, counts), rare)
        for remedy, (predicted, _) in predictions.items()
    }
    rows = {}
    for remedy, (predicted, seconds) in predictions.items():
        exact = exact_intervals(evaluate_predictions(y, predicted, labels=labels))
        rows[remedy] = {
            "seconds": round(seconds),
            "metrics": {
                name: exact.get(name, interval(values)) for name, values in measured[remedy].items()
            },
            "against_nothing": {
                name: interval(values - measured["no remedy"][name])
                for name, values in measured[remedy].items()
            },
        }
    return rows


def exact_intervals(report):
    """Return the metrics whose intervals hold for few images too; None for NaN."""
    estimates = {"accuracy": report.overall["accuracy"]} | {
        f"{title} of {RARE}": report.per_emotion[RARE][metric]
        for title, metric in (("recall", "recall"), ("precision", "precision"), ("F1", "f1"))
    }
    return {
        name: {key: None if np.isnan(x) else x for key, x in estimate._asdict().items()}
        for name, estimate in estimates.items()
    }


def confusions(y, predicted, labels, counts):
    """Return confusion matrices of shape (1 + n_resamples, k, k): first of all images."""
    k = len(labels)
    cells = np.searchsorted(labels, y) * k + np.searchsorted(labels, predicted)
    counts = np.vstack([np.ones(len(y), int), counts])
    return (counts @ np.eye(k * k, dtype=int)[cells]).reshape(-1, k, k)


def measure(confusion, rare):
    return {name: metric(confusion, rare) for name, metric in METRICS.items()}


def interval(values):
    """Return the first value with the 95 % percentile interval of the others; None for NaN."""
    if np.isnan(values[0]):
        return dict.fromkeys(("value", "low", "high"))
    low, high = np.nanpercentile(values[1:], [2.5, 97.5])
    return {"value": float(values[0]), "low": float(low), "high": float(high)}


def _divide(a, b):
    return np.divide(a, b, out=np.full(np.shape(a), np.nan), where=b > 0)


def _recalls(confusion):
    return _divide(np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(axis=-1))


def _f1(confusion):
    both = confusion.sum(axis=-1) + confusion.sum(axis=-2)
    return _divide(2 * np.diagonal(confusion, axis1=-2, axis2=-1), both)


def table(models):
    """List the metrics of all remedies, in bold if they differ significantly from no remedy."""
    lines = [
        f"| remedy | {' | '.join(f'{name}, %' for name in METRICS)} |",
        f"| --- |{' ---: |' * len(METRICS)}",
    ]
    for model, rows in models.items():
        lines.append(f"| **{_TITLES[model]}** |{' |' * len(METRICS)}")
        for remedy, row in rows.items():
            cells = [cell(row["metrics"][name], row["against_nothing"][name]) for name in METRICS]
            lines.append(f"| {remedy} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cell(estimate, difference):
    if estimate["value"] is None:  # the precision of a label that was never predicted
        return "–"
    value, low, high = (100 * number for number in estimate.values())
    is_significant = difference["value"] is not None and (
        difference["low"] > 0 or difference["high"] < 0
    )
    shown = f"**{value:.1f}**" if is_significant else f"{value:.1f}"
    return f"{shown} ({low:.1f}–{high:.1f})"


if __name__ == "__main__":
    main()
