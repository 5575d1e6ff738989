"""Which settings suit the SVMs, and what do people's votes add? By cross-validation.

    python benchmarks/svm_selection.py --data fer2013.zip --votes ferplus.csv [--only NAME ...]

Each candidate is trained on FER2013's labels, and again on the votes of FER+ as soft targets. It
is scored on the labels, and on what most people see (people's majority; images without one are
left out). Only training images are used: a fixed third of them, so that a candidate takes minutes
rather than an hour, in three folds that are stratified by label and keep all duplicates of an
image together. Models trained on all images, three times as many as here, score higher; see
benchmarks/descriptors.py. Each result is written immediately, to
benchmarks/results/svm_selection.json and a Markdown table next to it, and a candidate that already
has one is skipped unless --only names it. One to three CPU minutes per candidate.
"""

import os
import tempfile
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from _common import argument_parser, markdown_table, read_result, write_result
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline

from fer_sklearn import (
    HOGExtractor,
    HOGSVMClassifier,
    LBPExtractor,
    LSSVMClassifier,
    duplicate_groups,
    load_fer2013,
    make_descriptor_svm_pipeline,
    make_hog_svm_pipeline,
)
from fer_sklearn.datasets import majority_vote, vote_distributions
from fer_sklearn.emotions import EMOTIONS
from fer_sklearn.features import BalancedPCA, CodebookExtractor

N_FOLDS = 3


#: Descriptors, each reduced to 250 components.
DESCRIPTORS = {
    "hog": HOGExtractor(orientations=12, pixels_per_cell=6),
    "lbp1": LBPExtractor(radius=1.0),
    "lbp2": LBPExtractor(radius=2.0),
    "codebook6": CodebookExtractor(patch_size=6, n_codewords=112, grid=6),
    "codebook8": CodebookExtractor(patch_size=8, n_codewords=256, grid=4),
}
HOG_LBP = ("hog", "lbp1", "lbp2")


def hog_svm(C, gamma):
    """Return the title and the pipeline of a HOG-SVM."""
    classifier = HOGSVMClassifier(C=C, gamma=gamma)
    title = f"SVM: HOG; C {C:g}, gamma {gamma}"
    return title, lambda cache: make_hog_svm_pipeline(classifier, memory=cache)


def least_squares(names, C=10.0, gamma="2*scale", n_components=None):
    """Return the title and the pipeline of a least-squares SVM on some descriptors."""
    union = [(name, make_pipeline(DESCRIPTORS[name], BalancedPCA())) for name in names]
    settings = {"C": C, "gamma": gamma, "n_components": n_components}
    classifier = LSSVMClassifier(flip_invariant=True, random_state=0, **settings)
    title = (
        f"least squares: {', '.join(names)}; {n_components or 'all'} components, C {C:g}, "
        f"gamma {gamma}"
    )
    return title, lambda cache: make_descriptor_svm_pipeline(
        classifier, descriptors=union, memory=cache
    )


#: Title of each candidate, and a function from a cache to its pipeline. The first of each
#: classifier is what was recommended before votes and cross-validation.
CANDIDATES = {
    "hog_svm": hog_svm(5.0, "2*scale"),
    "hog_svm_c2": hog_svm(2.0, "2*scale"),
    "hog_svm_scale": hog_svm(5.0, "scale"),
    "descriptors": least_squares(HOG_LBP, n_components=400),
    "scale": least_squares(HOG_LBP, gamma="scale", n_components=400),
    "all_components": least_squares(HOG_LBP, gamma="scale"),
    "codebook6": least_squares((*HOG_LBP, "codebook6"), gamma="scale"),
    "codebooks": least_squares((*HOG_LBP, "codebook6", "codebook8"), gamma="scale"),
    "codebooks_800": least_squares(tuple(DESCRIPTORS), gamma="scale", n_components=800),
    "codebooks_c3": least_squares(tuple(DESCRIPTORS), C=3.0, gamma="scale"),
    "codebooks_c30": least_squares(tuple(DESCRIPTORS), C=30.0, gamma="scale"),
    "codebooks_2scale": least_squares(tuple(DESCRIPTORS)),
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


def cross_validate(make, data, cache):
    """Return both figures for a candidate trained on labels, and trained on votes."""
    images, labels = data["images"], data["labels"]
    predicted = {targets: np.full(len(labels), "", object) for targets in ("labels", "votes")}
    start = time.process_time()
    for fold, unseen in data["folds"]:
        # Images that most people see none of the labels in have no votes to learn from.
        fold = fold[data["votes"][fold].any(axis=1)]
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
    args = argument_parser(__doc__, votes=True, only=CANDIDATES, seed=True).parse_args()
    data = load(args.data, args.votes, args.seed)
    result = read_result("svm_selection", args.output) or {"candidates": {}}
    result |= {
        "images": len(data["labels"]),
        "images_with_majority": int((data["majority"] != "").sum()),
        "folds": N_FOLDS,
        "seed": args.seed,
    }
    todo = args.only or [name for name in CANDIDATES if name not in result["candidates"]]
    # With the cache, trainings on the same images use the same features.
    with tempfile.TemporaryDirectory() as cache:
        for name in todo:
            print(f"{name} …", flush=True)
            result["candidates"][name] = cross_validate(CANDIDATES[name][1], data, cache)
            write_result("svm_selection", result, args.output, table(result["candidates"]))


if __name__ == "__main__":
    main()
