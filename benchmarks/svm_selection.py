"""Which settings suit the SVMs, and what do people's votes add? By cross-validation.

    python benchmarks/svm_selection.py --data fer2013.zip --votes ferplus.csv [--only NAME ...]

Each candidate is trained on FER2013's labels, and again on the votes of FER+ as soft targets. It
is scored on the labels, and on what most people see (people's majority; images without one are
left out). Only training images are used: a fixed third of them, so that a candidate takes minutes
rather than an hour, in three folds that are stratified by label and keep all duplicates of an
image together. Models trained on all images, three times as many as here, score higher; see
benchmarks/descriptors.py. Each result is written immediately, to
benchmarks/results/svm_selection.json and a Markdown table next to it, and a candidate that already
has one is skipped unless --only names it. About two CPU minutes per candidate.
"""

import os
import tempfile
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from _common import argument_parser, markdown_table, read_result, write_result, write_table
from sklearn.model_selection import StratifiedGroupKFold

from fer_sklearn import (
    duplicate_groups,
    load_fer2013,
    make_descriptor_svm_pipeline,
    make_hog_svm_pipeline,
)
from fer_sklearn.datasets import majority_vote, vote_distributions
from fer_sklearn.emotions import EMOTIONS

N_FOLDS = 3


def descriptors(**settings):
    """Return a candidate: the recommended descriptors and classifier with other settings."""
    return lambda cache: make_descriptor_svm_pipeline(memory=cache).set_params(**settings)


#: Title of each candidate, and a function from a cache to its pipeline.
CANDIDATES = {
    "hog_svm": ("HOG, SVM", lambda cache: make_hog_svm_pipeline(memory=cache)),
    "descriptors": ("descriptors, least-squares SVM", descriptors()),
}


def load(path, votes, seed):
    """Return images, labels, soft targets, majorities and folds of a third of the images."""
    train = load_fer2013(path, subset="train", votes=votes)
    groups = duplicate_groups(train.images)
    thirds = StratifiedGroupKFold(3, shuffle=True, random_state=seed)
    _, rows = next(thirds.split(train.images, train.target, groups))
    folds = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=seed)
    return {
        "images": train.images[rows],
        "labels": train.target[rows],
        "votes": vote_distributions(train.votes[rows], labels=EMOTIONS),
        "majority": majority_vote(train.votes[rows]),
        "folds": list(folds.split(rows, train.target[rows], groups[rows])),
    }


def cross_validate(make, data):
    """Return both figures for a candidate trained on labels, and trained on votes."""
    images, labels = data["images"], data["labels"]
    predicted = {targets: np.full(len(labels), "", object) for targets in ("labels", "votes")}
    start = time.process_time()
    for fold, unseen in data["folds"]:
        # Images that most people see none of the labels in have no votes to learn from.
        fold = fold[data["votes"][fold].any(axis=1)]
        # With the cache, both trainings use the same features.
        with tempfile.TemporaryDirectory() as cache:
            for targets in predicted:
                soft = data["votes"][fold] if targets == "votes" else None
                model = make(cache).fit(images[fold], labels[fold], classifier__soft_targets=soft)
                predicted[targets][unseen] = model.predict(images[unseen])
    seconds = time.process_time() - start
    clear = data["majority"] != ""
    return {
        "cpu_seconds": round(seconds),
        "trained_on": {
            targets: {
                "labels": round(float((found == labels).mean()), 4),
                "people": round(float((found == data["majority"])[clear].mean()), 4),
            }
            for targets, found in predicted.items()
        },
    }


def table(candidates):
    """List the candidates that were measured, in the order of CANDIDATES."""
    rows = [
        [title, *(f"{100 * figures[t][s]:.1f}" for t in figures for s in ("labels", "people"))]
        for name, (title, _) in CANDIDATES.items()
        if name in candidates
        for figures in [candidates[name]["trained_on"]]
    ]
    header = [
        "candidate",
        "trained on labels: labels, %",
        "people's majority, %",
        "trained on votes: labels, %",
        "people's majority, %",
    ]
    return markdown_table(header, rows)


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--votes", required=True, help="FER+ votes as CSV, by file name")
    parser.add_argument("--only", nargs="+", choices=CANDIDATES, help="run these, even again")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    data = load(args.data, args.votes, args.seed)
    result = read_result("svm_selection", args.output) or {"candidates": {}}
    result |= {
        "images": len(data["labels"]),
        "images_with_majority": int((data["majority"] != "").sum()),
        "folds": N_FOLDS,
        "seed": args.seed,
    }
    for name in args.only or [name for name in CANDIDATES if name not in result["candidates"]]:
        print(f"{name} …", flush=True)
        result["candidates"][name] = cross_validate(CANDIDATES[name][1], data)
        write_result("svm_selection", result, args.output)
        write_table("svm_selection", table(result["candidates"]), args.output)


if __name__ == "__main__":
    main()
