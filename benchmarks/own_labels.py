"""How many images do your own labels need, and how much of the bundled network should change?

    python benchmarks/own_labels.py --data fer2013.zip --votes ferplus.csv

The labels are three groups of what most people see (FER+): pleasant, unpleasant and neither. The
bundled network has not been trained on the images, which are those of PublicTest: 1,200 are kept
for scoring, in the proportions of the labels, and training images are drawn from the others, the
smaller draws from the larger ones. The head alone, the last stage and the whole network are those
of ``load_pretrained("default").fit``, against ``make_hog_svm_pipeline``.

Then any three of the seven emotions are renamed, and a head learns them from 70 training images of
each. The score on all of PublicTest's is compared with that of the bundled network, which learned
these emotions from all 28,709 training images.

About 25 minutes on two cores; if interrupted, run the same command again to resume. Writes
benchmarks/results/own_labels.json and two Markdown tables next to it.
"""

import itertools
import time

import numpy as np
from _common import (
    argument_parser,
    load_bunch,
    load_split,
    markdown_table,
    read_result,
    write_result,
)
from scipy.stats import t

from fer_sklearn import EMOTIONS, load_pretrained, make_hog_svm_pipeline
from fer_sklearn.datasets import load_ferplus, majority_vote

LABELS = {
    **{"happy": "pleasant", "neutral": "neither", "surprise": "neither"},
    **dict.fromkeys(("angry", "contempt", "disgust", "fear", "sad"), "unpleasant"),
}
SIZES = (10, 30, 100, 300)
N_SCORED = 1200
N_OF_THREE, DRAWS_OF_THREE = 70, 3


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
    args = argument_parser(__doc__, votes=True).parse_args()
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
    write_result("own_labels", result, args.output, table(result))
    if "three" not in result:
        result["three"] = three_emotions(
            load_split(args.data, "train"), load_split(args.data, "public")
        )
    tables = {"three": table_of_three(result["three"])}
    write_result("own_labels", result, args.output, tables)


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


def three_emotions(training, public):
    """Return the accuracy of new heads, and of the bundled one, for any three of the emotions."""
    X, y = training
    bundled = load_pretrained("default", labels="fer2013", runtime="litert")
    y_proba = bundled.predict_proba(public[0])
    found = {}
    for names in itertools.combinations(sorted(EMOTIONS), 3):
        own = dict(zip(names, ("one", "two", "three"), strict=True))
        kept = np.isin(public[1], names)
        unseen, truth = public[0][kept], public[1][kept]
        of_these = y_proba[kept][:, [list(bundled.classes_).index(name) for name in names]]
        accuracies = []
        for draw in range(DRAWS_OF_THREE):
            rng = np.random.default_rng(draw)
            rows = np.concatenate(
                [rng.choice(np.flatnonzero(y == name), N_OF_THREE, False) for name in names]
            )
            model = load_pretrained("default").fit(X[rows], [own[label] for label in y[rows]])
            accuracies.append(float(model.score(unseen, [own[label] for label in truth])))
        found["/".join(names)] = {
            "head": accuracies,
            "bundled": float((np.array(names)[of_these.argmax(axis=1)] == truth).mean()),
        }
        print("/".join(names), found["/".join(names)], flush=True)
    return found


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


def table_of_three(three):
    """Return the mean over all threes, and the best, the middle one and the worst ones."""
    heads = {names: float(np.mean(runs["head"])) for names, runs in three.items()}
    order = sorted(heads, key=heads.get)
    shown = [order[-1], order[len(order) // 2], *reversed(order[:3])]
    mean = [np.mean(list(heads.values())), np.mean([runs["bundled"] for runs in three.values()])]
    rows = [[f"mean of all {len(order)}", *mean]]
    rows += [[names.replace("/", ", "), heads[names], three[names]["bundled"]] for names in shown]
    header = ["accuracy, %", f"head, {N_OF_THREE} images per label", "bundled network"]
    return markdown_table(
        header, [[name, *(f"{100 * v:.1f}" for v in cells)] for name, *cells in rows]
    )


if __name__ == "__main__":
    main()
