"""How much is a score inflated when test images leak into training?

    python benchmarks/leakage.py --data fer2013.zip [--only shipped augmenting selecting]

shipped     the pretrained models on PublicTest, with and without the 280 images of which the
            training set contains an exact copy
svm         a least-squares SVM on HOG features, trained with and without those images
augmenting  an SVM on 3,000 training images and three slightly rotated, shifted and brightened
            copies of each: cross-validated with the copies of an image in different folds, as
            happens when data are augmented before the split, and in the same fold
selecting   random labels: the best HOG features are selected before the split, or inside each
            fold; likewise for scaling

A quarter of an hour on two cores. Writes benchmarks/results/leakage.json and a Markdown table per
part next to it, leakage_<part>.md. Intervals come from a bootstrap of the images, in which copies
are drawn together.
"""

import numpy as np
from _common import (
    also_in_training,
    argument_parser,
    load_split,
    markdown_table,
    percent,
    read_result,
    write_result,
)
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fer_sklearn import (
    HOGExtractor,
    LSSVMClassifier,
    duplicate_groups,
    load_pretrained,
    make_hog_svm_pipeline,
)
from fer_sklearn.cnn.augmentation import augment, resolve_augmentation
from fer_sklearn.weights import SHIPPED

_N_RESAMPLES = 1000
_COMPONENTS = 250  # of the HOG features
_COPIES = 3
# Common augmentation, without random erasing.
_AUGMENTATION = resolve_augmentation(
    {"flip": 0.5, "rotation": 10.0, "shift": 0.05, "zoom": 0.05, "brightness": 0.1, "contrast": 0.1}
)


def main():
    args = parse_arguments()
    train, public = (load_split(args.data, subset) for subset in ("train", "public"))
    parts = read_result("leakage", args.output).get("parts", {})
    for name in args.only or PARTS:
        print(f"{name} …", flush=True)
        parts[name] = PARTS[name](train, public, args)
        ordered = {part: parts[part] for part in PARTS if part in parts}
        write_result("leakage", {"parts": ordered}, args.output, {name: table(parts[name])})


def parse_arguments():
    parser = argument_parser(__doc__, only=PARTS, seed=True)
    parser.add_argument("--images", type=int, default=3000, help="number of images to augment")
    return parser.parse_args()


def shipped(train, public, args):
    X, y = public
    seen = also_in_training(train[0], X)
    rows = []
    for name in SHIPPED:
        correct = load_pretrained(name, labels="fer2013", runtime="litert").predict(X) == y
        rows += [
            row(f"`{name}`, all {len(y):,} images", correct, args),
            row(f"`{name}`, the {(~seen).sum():,} not in training", correct[~seen], args),
            row(f"`{name}`, the {seen.sum():,} in training", correct[seen], args),
        ]
    return {"header": "model, images of PublicTest", "rows": rows}


def svm(train, public, args):
    X, y = public
    seen = also_in_training(train[0], X)
    copies = also_in_training(X, train[0])
    parts = {
        f"all {len(copies):,}": np.ones(len(copies), bool),
        f"the {(~copies).sum():,} that are not in PublicTest": ~copies,
    }
    rows = []
    for name, kept in parts.items():
        model = hog_svm(args).fit(train[0][kept], train[1][kept])
        correct = model.predict(X) == y
        rows += [
            row(f"trained on {name}: all of PublicTest", correct, args),
            row(f"trained on {name}: the {seen.sum():,} in training", correct[seen], args),
            row(f"trained on {name}: the {(~seen).sum():,} others", correct[~seen], args),
        ]
    return {"header": "least-squares SVM on HOG", "rows": rows}


def augmenting(train, public, args):
    rng = np.random.default_rng(args.seed)
    chosen = rng.choice(len(train[1]), args.images, replace=False)
    X, y = train[0][chosen], train[1][chosen]
    originals = duplicate_groups(X)
    copies = [augmented_copies(X, rng) for _ in range(_COPIES)]
    augmented, labels = np.concatenate([X, *copies]), np.tile(y, 1 + _COPIES)
    groups = np.tile(originals, 1 + _COPIES)
    options = {"n_splits": 5, "shuffle": True, "random_state": args.seed}
    trials = {
        f"{len(y):,} images, not augmented, duplicates together": (
            *(X, y, originals),
            StratifiedGroupKFold(**options),
        ),
        f"{len(labels):,}, augmented before the split (wrong)": (
            *(augmented, labels, groups),
            StratifiedKFold(**options),
        ),
        f"{len(labels):,}, copies of an image together": (
            *(augmented, labels, groups),
            StratifiedGroupKFold(**options),
        ),
    }
    rows = []
    for name, (images, targets, numbers, cv) in trials.items():
        together = numbers if isinstance(cv, StratifiedGroupKFold) else None
        found = cross_val_predict(hog_svm(args), images, targets, groups=together, cv=cv)
        rows.append(row(name, found == targets, args, numbers))
    return {"header": "SVM on HOG, five folds", "rows": rows}


def augmented_copies(X, rng):
    """Return an augmented copy of each image, as uint8."""
    return np.round(255 * augment(X, _AUGMENTATION, rng).clip(0, 1)).astype(np.uint8)


def selecting(train, public, args):
    """Score random labels: an accuracy above one in seven is due to a leak."""
    rng = np.random.default_rng(args.seed)
    chosen = rng.choice(len(train[1]), 350, replace=False)
    features = HOGExtractor().fit_transform(train[0][chosen])
    y = rng.permutation(np.arange(350) % 7)
    select, scale = SelectKBest(k=50), StandardScaler()
    logistic = LogisticRegression(max_iter=1000)
    trials = {
        "50 of 900 features selected before the split (wrong)": (
            select.fit_transform(features, y),
            make_pipeline(scale, logistic),
        ),
        "selected in each fold": (features, make_pipeline(scale, select, logistic)),
        "scaled before the split (wrong), nothing selected": (
            scale.fit_transform(features),
            logistic,
        ),
        "scaled in each fold, nothing selected": (features, make_pipeline(scale, logistic)),
    }
    folds = KFold(5, shuffle=True, random_state=args.seed)
    rows = [
        row(name, cross_val_predict(model, X, y, cv=folds) == y, args)
        for name, (X, model) in trials.items()
    ]
    return {"header": "350 images with random labels (chance: 14.3 %)", "rows": rows}


PARTS = {"shipped": shipped, "svm": svm, "augmenting": augmenting, "selecting": selecting}


def hog_svm(args):
    return make_hog_svm_pipeline(LSSVMClassifier(), n_components=_COMPONENTS)


def row(name, correct, args, groups=None):
    """Return an accuracy with its bootstrap interval; images of a group are drawn together."""
    groups = np.arange(len(correct)) if groups is None else groups
    sizes, hits = np.bincount(groups), np.bincount(groups, correct)
    rng = np.random.default_rng(args.seed)
    drawn = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=_N_RESAMPLES)
    low, high = np.percentile((drawn @ hits) / (drawn @ sizes), [2.5, 97.5])
    print(f"  {name}: {correct.mean():.4f}", flush=True)
    return {
        "name": name,
        "images": len(correct),
        "accuracy": {"value": float(correct.mean()), "low": float(low), "high": float(high)},
    }


def table(part):
    rows = [[entry["name"], percent(entry["accuracy"])] for entry in part["rows"]]
    return markdown_table([part["header"], "accuracy, %"], rows)


if __name__ == "__main__":
    main()
