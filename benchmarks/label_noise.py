"""How often do people disagree with the labels that audit_dataset reports?

    python benchmarks/label_noise.py --data fer2013.zip --votes ferplus.csv

Audits FER2013's training images with the default classifier, cross-validated, and compares the
most doubtful labels with the votes of FER+ (Barsoum et al. 2016, arXiv:1608.01041): ten people saw
each image, and the audit does not use their votes. Five to ten minutes on two cores. Writes
benchmarks/results/label_noise.json and a Markdown table next to it. --work keeps the
cross-validated probabilities for another run. --plot saves a figure of the findings to a file
of your own: we may not distribute the images.
"""

import time
from pathlib import Path

import numpy as np
from _common import (
    argument_parser,
    load_bunch,
    markdown_table,
    percent,
    write_result,
)
from scipy.stats import binomtest

from fer_sklearn.audit import audit_dataset
from fer_sklearn.datasets import load_ferplus
from fer_sklearn.emotions import FERPLUS_COLUMNS

_TOPS = (100, 500, 1000)
_NO_FACE = ("unknown", "not_a_face")


def main():
    args = parse_arguments()
    train = load_bunch(args.data, "train")
    start = time.perf_counter(), time.process_time()
    report, reused = audited(train, args.work)
    seconds = time.perf_counter() - start[0], time.process_time() - start[1]
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
        "doubted": disagreement(report, majorities(args.votes, train.filenames)),
    }
    if not reused:
        result |= {"seconds": round(seconds[0]), "cpu_seconds": round(seconds[1])}
    write_result("label_noise", result, args.output, table(result))


def parse_arguments():
    parser = argument_parser(__doc__, votes=True)
    parser.add_argument("--work", type=Path, help="folder to keep the probabilities in")
    parser.add_argument("--plot", type=Path, help="PNG file for a figure of the findings")
    return parser.parse_args()


def audited(train, folder):
    """Return the audit, and whether it used the probabilities of an earlier run."""
    path = folder and folder / "label_noise.npy"
    if path and path.exists():
        proba = np.load(path)
        return audit_dataset(train.images, train.target, y_proba=proba), True
    report = audit_dataset(train.images, train.target)
    if path:
        folder.mkdir(parents=True, exist_ok=True)
        np.save(path, report.y_proba)
    return report, False


def majorities(path, filenames):
    """Return the emotions with the most votes for each image, several in a tie.

    They include ``"contempt"``, ``"unknown"`` and ``"not_a_face"``, which FER2013 does not have.

    Returns
    -------
    list of (set of str or None)
        None for images without votes.
    """
    names = np.array(FERPLUS_COLUMNS)
    return [
        set(names[counts == counts.max()].tolist()) if counts.any() else None
        for counts in load_ferplus(path, filenames)
    ]


def disagreement(report, votes):
    """Return how often votes contradict the labels, from the most doubtful labels on."""
    rank = report.label_errors
    suggested = np.full(report.n_images, -1)
    suggested[rank] = report.suggested_labels
    has_votes = np.array([vote is not None for vote in votes])
    labels = report.labels.tolist()

    def row(rows):
        rows = np.asarray(rows)[has_votes[rows]]
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
    """Return a fraction with its exact interval."""
    low, high = binomtest(count, n).proportion_ci(0.95, method="exact")
    return {"value": count / n, "low": float(low), "high": float(high)}


def table(result):
    rows = []
    for name, row in result["doubted"].items():
        cells = [name, f"{row['images']:,}"]
        for kind in ("disagree", "no_face", "suggested"):
            is_known = kind != "suggested" or "doubtful" in name or "likely" in name
            cells.append(percent(row[kind]) if is_known else "")
        rows.append(cells)
    header = ["images of FER2013's training set", "with votes", "votes contradict the label, %"]
    header += ["no face, or unclear, %", "votes agree with the suggestion, %"]
    return markdown_table(header, rows)


if __name__ == "__main__":
    main()
