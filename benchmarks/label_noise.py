"""How often people agree with the label errors that audit_dataset finds.

    python benchmarks/label_noise.py --data fer2013.zip --votes ferplus.csv

Audits FER2013's training images with the default classifier, cross-validated, and compares the
most suspicious labels with the votes of FER+ (Barsoum et al. 2016, arXiv:1608.01041), for which ten
people labelled the same images, independently of the audit. Five to ten minutes on two cores.
Writes benchmarks/results/label_noise.json and a Markdown table next to it. --work keeps the
cross-validated probabilities, and --plot plots the findings into a file of yours: we may not
redistribute the images.
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np
from _common import RESULTS, load_bunch, write_result
from scipy.stats import binomtest

from fer_sklearn import canonical_emotion
from fer_sklearn.audit import audit_dataset

_TOPS = (100, 500, 1000)
_NO_FACE = ("unknown", "not_a_face")


def main():
    args = parse_arguments()
    train = load_bunch(args.data, "train")
    began = time.perf_counter(), time.process_time()
    report, reused = audited(train, args.work)
    seconds = time.perf_counter() - began[0], time.process_time() - began[1]
    print(report, flush=True)
    if args.plot:
        report.plot().savefig(args.plot, dpi=120)
    result = {
        "audited": "FER2013, training split",
        "images": report.n_images,
        "blank": len(report.blank),
        "copies": len(report.copies),
        "conflicts": len(report.label_conflicts),
        "label_errors": len(report.label_errors),
        "accuracy_of_the_classifier": float((report.y_proba.argmax(axis=1) == report.codes).mean()),
        "doubted": doubted(report, votes_of(args.votes, train.filenames)),
    }
    if not reused:
        result |= {"seconds": round(seconds[0]), "cpu_seconds": round(seconds[1])}
    write_result("label_noise", result)
    (RESULTS / "label_noise.md").write_text(table(result) + "\n", encoding="utf-8")
    print(table(result))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="FER2013: zip, CSV or folder")
    parser.add_argument("--votes", required=True, help="FER+ votes as CSV, by image name")
    parser.add_argument("--work", type=Path, help="folder in which to cache the probabilities")
    parser.add_argument("--plot", type=Path, help="PNG file for a plot of the findings")
    return parser.parse_args()


def audited(train, folder):
    """Return the audit, and whether its probabilities were cached."""
    path = folder and folder / "label_noise.npy"
    if path and path.exists():
        proba = np.load(path)
        return audit_dataset(train.images, train.target, y_proba=proba), True
    report = audit_dataset(train.images, train.target)
    if path:
        folder.mkdir(parents=True, exist_ok=True)
        np.save(path, report.y_proba)
    return report, False


def votes_of(path, files):
    """Return the votes for each image, or None without votes.

    Returns
    -------
    list of (set of str or None)
        The emotions with the most votes, several if tied; ``"contempt"``, which
        FER2013 does not have, ``"unknown"`` and ``"not_a_face"`` are possible too.
    """
    with open(path, newline="", encoding="utf-8") as file:
        (_, *columns), *rows = csv.reader(file)
    votes = {name: np.array(counts, int) for name, *counts in rows}
    names = [canonical_emotion(column) for column in columns]
    return [
        {names[i] for i in np.flatnonzero(votes[file] == votes[file].max())}
        if file in votes
        else None
        for file in files
    ]


def doubted(report, votes):
    """Return how often people agree with the audit, starting with its most confident findings."""
    rank = report.label_errors
    suggested = np.full(report.n_images, -1)
    suggested[rank] = report.suggested_labels
    voted = np.array([vote is not None for vote in votes])
    labels = report.labels.tolist()

    def row(rows):
        rows = np.asarray(rows)[voted[rows]]
        kinds = {"another": 0, "no_face": 0, "suggested": 0}
        for i in rows:
            if labels[report.codes[i]] not in votes[i]:
                kinds["no_face" if votes[i] & set(_NO_FACE) else "another"] += 1
                kinds["suggested"] += suggested[i] >= 0 and labels[suggested[i]] in votes[i]
        return {
            "images": len(rows),
            "disagree": fraction(kinds["another"] + kinds["no_face"], len(rows)),
            "no_face": fraction(kinds["no_face"], len(rows)),
            "suggested": fraction(int(kinds["suggested"]), len(rows)),
        }

    others = np.setdiff1d(np.arange(report.n_images), rank)
    result = {"all images": row(np.arange(report.n_images))}
    result |= {f"the {n:,} most doubtful": row(rank[:n]) for n in _TOPS if n <= len(rank)}
    return result | {"all likely errors": row(rank), "all others": row(others)}


def fraction(count, n):
    """Return a fraction with its Wilson interval."""
    low, high = binomtest(count, n).proportion_ci(0.95, method="wilson")
    return {"value": count / n, "low": float(low), "high": float(high)}


def table(result):
    lines = [
        "| images of FER2013's training set | with votes | votes contradict the label, % "
        "| no face, or unclear, % | votes agree with the suggestion, % |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, row in result["doubted"].items():
        cells = [name, f"{row['images']:,}"]
        for kind in ("disagree", "no_face", "suggested"):
            value, low, high = (100 * number for number in row[kind].values())
            applies = kind != "suggested" or "doubtful" in name or "likely" in name
            cells.append(f"{value:.1f} ({low:.1f}–{high:.1f})" if applies else "")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
