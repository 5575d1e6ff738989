"""How accurate and how well calibrated are the pretrained models?

    python benchmarks/model_card.py --data fer2013.zip --votes ferplus.csv

Writes benchmarks/results/model_card.json, and the tables and figures of the model card,
model_card_<name>.md and .png, all on PublicTest: what the models predict by default is scored on
people's majority (FER+), for the images that have one. Under a minute. --errors plots the most
confident errors of each model to a folder of your own: we may not distribute the images.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from _common import (
    also_in_training,
    argument_parser,
    load_bunch,
    markdown_table,
    percent,
    write_result,
)
from sklearn.calibration import calibration_curve

from fer_sklearn import (
    ConfusionMatrixDisplay,
    evaluate_predictions,
    load_pretrained,
    plot_faces,
)
from fer_sklearn.datasets import load_ferplus, majority_vote
from fer_sklearn.weights import SHIPPED, shipped_path

_BINS = 15


def main():
    parser = argument_parser(__doc__, votes=True)
    parser.add_argument("--errors", type=Path, help="folder for plots of the most confident errors")
    args = parser.parse_args()
    train, public = (load_bunch(args.data, subset) for subset in ("train", "public"))
    seen = also_in_training(train.images, public.images)
    votes = load_ferplus(args.votes, public.filenames)
    models, texts = {}, {}
    for name in SHIPPED:
        models[name], texts[name] = measure(name, public, votes, seen, args)
    write_result("model_card", {"scored_on": "PublicTest", "models": models}, args.output, texts)


def fer2013_accuracy(name, public):
    model = load_pretrained(name, labels="fer2013")
    report = evaluate_predictions(public.target, model.predict(public.images))
    return report.overall["accuracy"]._asdict()


def measure(name, public, votes, seen, args):
    """Measure one model, and draw its figures; return the result and its tables."""
    people = majority_vote(votes)
    clear = people != ""
    X, y, seen = public.images[clear], people[clear], seen[clear]
    model = load_pretrained(name)
    probabilities = model.predict_proba(X)
    labels = model.classes_[probabilities.argmax(axis=1)]
    report = evaluate_predictions(y, labels, votes=votes[clear])
    unseen = evaluate_predictions(y[~seen], labels[~seen])
    confidence = probabilities.max(axis=1)
    entry = {
        "parameters": model[-1].n_parameters_,
        "file_bytes": shipped_path(name).stat().st_size,
        "report": report.to_dict(),
        "not_in_training": {
            "images": int((~seen).sum()),
            "accuracy": unseen.overall["accuracy"]._asdict(),
        },
        "calibration": calibration(labels == y, confidence),
        "fer2013": fer2013_accuracy(name, public),
    }
    ConfusionMatrixDisplay(report.confusion_matrix, display_labels=report.labels).plot(
        title=f"{name} on people's majority"
    ).figure_.savefig(args.output / f"model_card_{name}_confusion.png", dpi=120)
    plot_reliability(name, entry["calibration"], args.output)
    if args.errors:
        plot_errors(X, y, labels, confidence, args.errors / f"{name}.png")
    return entry, tables(entry, report)


def calibration(correct, confidence):
    """Return the expected calibration error (Naeini et al. 2015), and its bins."""
    accuracies, means = calibration_curve(correct, confidence, n_bins=_BINS)
    counts, _ = np.histogram(confidence, bins=np.linspace(0, 1, _BINS + 1))
    counts = counts[counts > 0]
    error = np.average(np.abs(accuracies - means), weights=counts)
    return {
        "expected_calibration_error": float(error),
        "mean_confidence": float(confidence.mean()),
        "bins": {
            "confidence": means.tolist(),
            "accuracy": accuracies.tolist(),
            "images": counts.tolist(),
        },
    }


def tables(entry, report):
    """Return the tables of the model card."""
    accuracy = report.overall["accuracy"]
    unseen, calibrated = entry["not_in_training"], entry["calibration"]
    without_duplicate = f"the {unseen['images']:,} images without a duplicate in training"
    overall = [
        ("accuracy, %", percent(accuracy)),
        (f"accuracy on {without_duplicate}, %", percent(unseen["accuracy"])),
        ('accuracy of `labels="fer2013"` on FER2013\'s labels, %', percent(entry["fer2013"])),
        ("agreement of one person with the others, %", percent(report.people.human_accuracy)),
        ("balanced accuracy, %", percent(report.overall["balanced_accuracy"])),
        ("macro-F1, %", percent(report.overall["macro_f1"])),
        ("mean confidence, %", f"{100 * calibrated['mean_confidence']:.1f}"),
        ("expected calibration error", f"{calibrated['expected_calibration_error']:.3f}"),
        ("parameters", f"{entry['parameters']:,}"),
        ("file, MB", f"{entry['file_bytes'] / 1e6:.2f}"),
    ]
    metrics = ("precision", "recall", "f1")
    emotions = [
        (label, count, *(percent(report.per_emotion[label][metric]) for metric in metrics))
        for label, count in zip(report.labels, report.support, strict=True)
    ]
    header = ["people's majority", "images", "precision, %", "recall, %", "F1, %"]
    tables = markdown_table(["on PublicTest", ""], overall), markdown_table(header, emotions)
    return "\n\n".join(tables)


def plot_reliability(name, calibrated, folder):
    bins = calibrated["bins"]
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(4.5, 5), sharex=True, height_ratios=(3, 1), layout="constrained"
    )
    upper.plot([0, 1], [0, 1], color="0.6", linestyle="--", label="perfect")
    upper.plot(bins["confidence"], bins["accuracy"], marker="o", color="#0072b2", label=name)
    upper.set(ylabel="accuracy", ylim=(0, 1), title=f"{name} on PublicTest")
    upper.legend(loc="upper left")
    lower.bar(bins["confidence"], bins["images"], width=0.9 / _BINS, color="#0072b2")
    lower.set(xlabel="confidence", ylabel="images", xlim=(0, 1))
    figure.savefig(folder / f"model_card_{name}_reliability.png", dpi=120)
    plt.close(figure)


def plot_errors(X, y, labels, confidence, path):
    wrong = np.flatnonzero(labels != y)
    most_confident = wrong[np.argsort(-confidence[wrong], kind="stable")][:14]
    titles = [f"{labels[i]} {100 * confidence[i]:.0f} %\nlabel: {y[i]}" for i in most_confident]
    path.parent.mkdir(parents=True, exist_ok=True)
    plot_faces(X[most_confident], titles, n_cols=7).savefig(path, dpi=120)


if __name__ == "__main__":
    main()
