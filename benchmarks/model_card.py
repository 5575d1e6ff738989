"""Measure the figures of the model card of the pretrained models.

    python benchmarks/model_card.py --data fer2013.zip

Writes benchmarks/results/model_card.json, the tables of the card, model_card_<name>.md, and its
plots, all on PublicTest. Less than a minute. --errors plots the most confident errors of each model
into a folder of yours: we may not redistribute the images.
"""

import argparse
from pathlib import Path

import numpy as np
from _common import RESULTS, also_in_training, load_split, write_result
from sklearn.calibration import calibration_curve

from fer_sklearn import (
    ConfusionMatrixDisplay,
    evaluate_predictions,
    load_pretrained,
    plot_faces,
)
from fer_sklearn.weights import SHIPPED, shipped_path

_BINS = 15


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="FER2013: zip, CSV or folder")
    parser.add_argument("--errors", type=Path, help="folder for plots of the most confident errors")
    args = parser.parse_args()
    (X_train, _), (X, y) = (load_split(args.data, subset) for subset in ("train", "public"))
    seen = also_in_training(X_train, X)
    models = {name: measure(name, X, y, seen, args.errors) for name in SHIPPED}
    write_result("model_card", {"scored_on": "PublicTest", "models": models})


def measure(name, X, y, seen, errors):
    """Return the figures of one model's card, and write its tables and plots."""
    model = load_pretrained(name)
    probabilities = model.predict_proba(X)
    labels = model.classes_[probabilities.argmax(axis=1)]
    report = evaluate_predictions(y, labels)
    unseen = evaluate_predictions(y[~seen], labels[~seen])
    confidence = probabilities.max(axis=1)
    entry = {
        "parameters": model[-1].model_.count_params(),
        "file_bytes": shipped_path(name).stat().st_size,
        "report": report.to_dict(),
        "not_in_training": {
            "images": int((~seen).sum()),
            "accuracy": unseen.overall["accuracy"]._asdict(),
        },
        "calibration": calibration(labels == y, confidence),
    }
    (RESULTS / f"model_card_{name}.md").write_text(tables(entry, report), encoding="utf-8")
    ConfusionMatrixDisplay(report.confusion_matrix, display_labels=report.labels).plot(
        title=f"{name} on PublicTest"
    ).figure_.savefig(RESULTS / f"model_card_{name}_confusion.png", dpi=120)
    draw_reliability(name, entry["calibration"])
    if errors:
        plot_confident_errors(X, y, labels, confidence, errors / f"{name}.png")
    return entry


def calibration(correct, confidence):
    """Return the expected calibration error (Naeini et al. 2015) and its bins."""
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
    """Return the card's tables as Markdown."""
    accuracy = report.overall["accuracy"]
    unseen, calibrated = entry["not_in_training"], entry["calibration"]
    lines = [
        "| on PublicTest | |",
        "| --- | ---: |",
        f"| accuracy, % | {interval(accuracy)} |",
        f"| accuracy on the {unseen['images']:,} images without a duplicate in training, % "
        f"| {interval(unseen['accuracy'].values())} |",
        f"| balanced accuracy, % | {interval(report.overall['balanced_accuracy'])} |",
        f"| macro-F1, % | {interval(report.overall['macro_f1'])} |",
        f"| mean confidence, % | {100 * calibrated['mean_confidence']:.1f} |",
        f"| expected calibration error | {calibrated['expected_calibration_error']:.3f} |",
        f"| parameters | {entry['parameters']:,} |",
        f"| file, MB | {entry['file_bytes'] / 1e6:.2f} |",
        "",
        "| emotion | images | precision, % | recall, % | F1, % |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for label, count in zip(report.labels, report.support, strict=True):
        estimates = report.per_emotion[label]
        cells = [interval(estimates[metric]) for metric in ("precision", "recall", "f1")]
        lines.append(f"| {label} | {count} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def interval(estimate):
    value, low, high = (100 * number for number in estimate)
    return f"{value:.1f} ({low:.1f}–{high:.1f})"


def draw_reliability(name, calibrated):
    import matplotlib.pyplot as plt

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
    figure.savefig(RESULTS / f"model_card_{name}_reliability.png", dpi=120)
    plt.close(figure)


def plot_confident_errors(X, y, labels, confidence, path):
    wrong = np.flatnonzero(labels != y)
    selected = wrong[np.argsort(-confidence[wrong], kind="stable")][:14]
    titles = [f"{labels[i]} {100 * confidence[i]:.0f} %\nlabel: {y[i]}" for i in selected]
    path.parent.mkdir(parents=True, exist_ok=True)
    plot_faces(X[selected], titles, n_cols=7).savefig(path, dpi=120)


if __name__ == "__main__":
    main()
