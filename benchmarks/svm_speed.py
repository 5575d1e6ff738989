"""How much faster are the SVMs' steps than scikit-learn's own routines, and are they equal?

    python benchmarks/svm_speed.py --data fer2013.zip

Three steps are compared: prediction with `HOGSVMClassifier` with that of the `SVC` inside, the
principal components of each descriptor with `PCA(svd_solver="covariance_eigh")`, and LBP of faces
and mirror images with two calls. Both sides process the same images of FER2013 alternately, in
one process; the lowest CPU times are compared, since other work on the machine can only add to
them. Writes benchmarks/results/svm_speed.json and a
Markdown table next to it. A few minutes on one core.
"""

import os
import time

# Neither side may use more than one core.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from _common import (
    argument_parser,
    load_split,
    markdown_table,
    write_result,
)
from sklearn.decomposition import PCA
from sklearn.svm import SVC

from fer_sklearn import HOGExtractor, HOGSVMClassifier, LBPExtractor
from fer_sklearn.features import CappedPCA, MirroredFeatures

HOG = HOGExtractor(orientations=12, pixels_per_cell=6)


def lowest_cpu_seconds(functions, rounds):
    """Return the lowest CPU time of each of several functions that are called alternately."""
    laps = []
    for _ in range(rounds):
        for function in functions:
            start = time.process_time()
            function()
            laps.append(time.process_time() - start)
    return [min(laps[i :: len(functions)]) for i in range(len(functions))]


def compare(what, ours, theirs, rounds, **equality):
    """Time both alternately; `equality` says how close the results are."""
    own, other = lowest_cpu_seconds([ours, theirs], rounds)
    return {
        "what": what,
        "times_as_fast": round(other / own, 2),
        "fer_sklearn_cpu_seconds": round(own, 3),
        "scikit_learn_cpu_seconds": round(other, 3),
        **equality,
    }


def prediction(features, y, new, rounds):
    """Compare the predictions of one fitted SVM with those of scikit-learn's."""
    pca = CappedPCA().fit(features)
    features, new = pca.transform(features), pca.transform(new)
    ours = HOGSVMClassifier().fit(features, y)
    inner = ours.svm_
    theirs = SVC(C=inner.C, gamma=inner.gamma, break_ties=True).fit(features, y)
    difference = np.abs(ours.decision_function(new) - theirs.decision_function(new)).max()
    return compare(
        f"SVC, {len(theirs.support_):,} support vectors, {len(new):,} faces",
        lambda: ours.predict(new),
        lambda: theirs.predict(new),
        rounds,
        labels_equal=float((ours.predict(new) == theirs.predict(new)).mean()),
        largest_difference=float(difference),
    )


def components(name, features, n_components, rounds):
    """Compare the principal components of a descriptor."""
    ours = CappedPCA(n_components=n_components)
    theirs = PCA(n_components, svd_solver="covariance_eigh")
    both = ours.fit(features).pca_.components_ @ theirs.fit(features).components_.T
    cosine = np.linalg.svd(both, compute_uv=False).min()
    return compare(
        f"PCA of {name}, {features.shape[0]:,}×{features.shape[1]:,}, {n_components} components",
        lambda: ours.fit(features),
        lambda: theirs.fit(features),
        rounds,
        smallest_cosine=float(cosine),
    )


def mirrored(images, rounds):
    """Compare LBP of faces and mirror images with two calls."""
    lbp, both = LBPExtractor(), MirroredFeatures(LBPExtractor()).fit(images)
    lbp.fit(images)

    def twice():
        return np.hstack([lbp.transform(images), lbp.transform(images[:, :, ::-1])])

    return compare(
        f"LBP of {len(images):,} faces and mirror images",
        lambda: both.transform(images),
        twice,
        rounds,
        features_equal=float((both.transform(images) == twice()).mean()),
    )


def equality(row):
    """Say how close the results of a comparison are."""
    if "labels_equal" in row:
        return f"{row['labels_equal']:.0%} of labels, decisions to {row['largest_difference']:.0e}"
    if "features_equal" in row:
        return f"{row['features_equal']:.0%} of features"
    return f"subspace, cosines from {row['smallest_cosine']:.6f}"


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--images", type=int, default=5000, help="number to fit on (default: 5000)")
    parser.add_argument("--rounds", type=int, default=3, help="timings per side (default: 3)")
    args = parser.parse_args()
    X, y = (part[: args.images] for part in load_split(args.data, "train"))
    new, _ = load_split(args.data, "public")
    hog = HOG.fit_transform(X)
    rows = [
        prediction(hog, y, HOG.transform(new), args.rounds),
        components("HOG", hog, 200, args.rounds),
        components("LBP", LBPExtractor().fit_transform(X), 250, args.rounds),
        mirrored(new, 5 * args.rounds),  # short, so a busy machine disturbs it more
    ]
    header = ["step", "times as fast", "equal"]
    cells = [[row["what"], f"{row['times_as_fast']:.1f}", equality(row)] for row in rows]
    write_result(
        "svm_speed",
        {"rounds": args.rounds, "comparisons": rows},
        args.output,
        markdown_table(header, cells, "lrl"),
    )


if __name__ == "__main__":
    main()
