"""How many images do labels of your own need, and how much of the bundled network should change?

    python benchmarks/own_labels.py --data fer2013.zip --votes ferplus.csv

The labels are three groups of what most people see (FER+): pleasant, unpleasant and neither. The
bundled network has not been trained on the images, which are those of PublicTest: 1,200 are kept
for scoring, in the proportions of the labels, and training images are drawn from the others, the
smaller draws from the larger ones. The head alone, the last stage and the whole network are those
of ``load_pretrained("default").fit``, against ``make_hog_svm_pipeline``. About twenty minutes on
two cores; if interrupted, run the same command again to resume. Writes
benchmarks/results/own_labels.json and a Markdown table next to it.
"""

import time

import numpy as np
from _common import argument_parser, load_bunch, markdown_table, read_result, write_result
from _common import write_table as write_markdown
from scipy.stats import t

from fer_sklearn import load_pretrained, make_hog_svm_pipeline
from fer_sklearn.datasets import load_ferplus, majority_vote

LABELS = {
    **{"happy": "pleasant", "neutral": "neither", "surprise": "neither"},
    **dict.fromkeys(("angry", "contempt", "disgust", "fear", "sad"), "unpleasant"),
}
SIZES = (10, 30, 100, 300)
N_SCORED = 1200


def adapted(trainable):
    def fit(X, y):
        model = load_pretrained("default")
        model.set_params(classifier__trainable=trainable, classifier__random_state=0)
        return model.fit(X, y)

    return fit


def hog_svm(X, y):
    return make_hog_svm_pipeline().set_params(classifier__random_state=0).fit(X, y)


# How each is trained, and on how many draws.
METHODS = {
    "head": (adapted("head"), 10),
    "last stage": (adapted("last_stage"), 3),
    "whole network": (adapted("all"), 3),
    "HOG-SVM": (hog_svm, 10),
}


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--votes", required=True, help="FER+'s votes, a CSV file")
    args = parser.parse_args()
    images, labels = own_labels(args)
    drawn, scored = split(labels)
    result = read_result("own_labels", args.output)
    result.pop("environment", None)
    result |= {
        "images": "PublicTest, those on which most people agree",
        "labels": LABELS,
        "scored_on": len(scored),
        "draws": {name: count for name, (_, count) in METHODS.items()},
        "mapped": accuracy_of_mapped(images[scored], labels[scored]),
    }
    cells = result.setdefault("cells", {})
    for name, (fit, n_draws) in METHODS.items():
        for size in SIZES:
            runs = cells.setdefault(name, {}).setdefault(str(size), [])
            for draw in range(len(runs), n_draws):
                rows = draw_rows(labels, drawn, size, draw)
                start = time.perf_counter()
                model = fit(images[rows], labels[rows])
                seconds = time.perf_counter() - start
                accuracy = float(model.score(images[scored], labels[scored]))
                runs.append({"accuracy": accuracy, "seconds": round(seconds, 2)})
                print(f"{name}, {size}, draw {draw}: {accuracy:.3f}, {seconds:.1f} s", flush=True)
                write_result("own_labels", result, args.output)
    write_markdown("own_labels", table(result), args.output)


def own_labels(args):
    """Return the images on whose majority people agree, and the labels of their groups."""
    bunch = load_bunch(args.data, "public")
    seen = majority_vote(load_ferplus(args.votes, bunch.filenames.tolist())).astype(str)
    rows = np.flatnonzero(np.isin(seen, list(LABELS)))
    return bunch.images[rows], np.array([LABELS[name] for name in seen[rows]])


def split(labels):
    """Return rows to draw from and rows to score, of which each label has its proportion."""
    order = np.random.default_rng(0).permutation(len(labels))
    kept = [
        order[labels[order] == label][: round(N_SCORED * np.mean(labels == label))]
        for label in np.unique(labels)
    ]
    scored = np.sort(np.concatenate(kept))
    return np.setdiff1d(order, scored), scored


def draw_rows(labels, rows, size, draw):
    """Draw `size` images of each label; a smaller number gives a part of a larger one."""
    order = np.random.default_rng(draw + 1).permutation(rows)
    return np.concatenate([order[labels[order] == label][:size] for label in np.unique(labels)])


def accuracy_of_mapped(images, labels):
    """Return the accuracy of the bundled model whose labels are mapped, without any training."""
    model = load_pretrained("default", labels="ferplus", runtime="litert")
    groups = np.unique(labels)
    sums = [[LABELS[name] == group for group in groups] for name in model.classes_]
    y_proba = model.predict_proba(images) @ np.array(sums, float)
    return float((groups[y_proba.argmax(axis=1)] == labels).mean())


def interval(runs):
    """Return the mean accuracy and its 95 % t interval over draws, in percent."""
    values = 100 * np.array([run["accuracy"] for run in runs])
    half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():.1f} ± {half:.1f}"


def table(result):
    rows = []
    for name, cells in result["cells"].items():
        longest = np.median([run["seconds"] for run in cells[str(SIZES[-1])]])
        shown = f"{longest:.1f}" if longest < 10 else f"{longest:.0f}"
        n_draws = result["draws"][name]
        rows.append([f"{name}, {n_draws} draws", *map(interval, cells.values()), shown])
    mapped = [f"{100 * result['mapped']:.1f}"] + ["–"] * len(SIZES)
    rows.append(["the bundled emotions, grouped, without any training", *mapped])
    header = ["accuracy, %", *(f"{size} images per label" for size in SIZES), "fit of 300, s"]
    return markdown_table(header, rows)


if __name__ == "__main__":
    main()
