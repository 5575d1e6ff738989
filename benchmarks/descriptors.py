"""Gain of each step from HOG alone to several descriptors with mirror images.

    python benchmarks/descriptors.py --data fer2013.zip [--only search scales ...]

Each step is fitted on all of FER2013's training images and evaluated on PublicTest. Its settings
come from ``search``, a grid search on a stratified sixth of the training images. Each result is
written as soon as it is available, to benchmarks/results/descriptors.json and a Markdown table
next to it, and steps that have one are skipped unless named by --only. Training time is CPU
time, which depends less on other load than the clock. About half an hour on two cores.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from _common import RESULTS, load_split, write_result
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from sklearn.pipeline import FeatureUnion, Pipeline

from fer_sklearn import (
    DESCRIPTOR_SVM_GRID,
    GrayscaleResizer,
    LSSVMClassifier,
    evaluate_predictions,
    make_descriptor_svm_pipeline,
    make_hog_svm_pipeline,
)


def unmirrored(*names):
    """Return the recommended pipeline with only these descriptors, without mirror images."""
    recommended = make_descriptor_svm_pipeline()
    union = recommended["features"].transformer
    parts = dict(union.transformer_list)
    classifier = recommended["classifier"].set_params(flip_invariant=False)
    return Pipeline(
        [
            ("resize", GrayscaleResizer()),
            ("features", FeatureUnion([(name, parts[name]) for name in names])),
            ("classifier", classifier),
        ]
    )


LADDER = {
    "svm": ("HOG, SVM", make_hog_svm_pipeline),
    "hog": ("HOG, least-squares SVM", lambda: unmirrored("hog")),
    "lbp": ("+ LBP", lambda: unmirrored("hog", "lbp1", "lbp2")),
    "mirror": ("+ mirror images", make_descriptor_svm_pipeline),
}


def search(train, seed):
    """Search the recommended pipeline's grid on a stratified subset of the training images."""
    images, _, labels, _ = train_test_split(
        *train, train_size=1 / 6, stratify=train[1], random_state=seed
    )
    began = time.process_time()
    # With the cache, features are computed once per fold instead of once per candidate.
    with tempfile.TemporaryDirectory() as cache:
        found = GridSearchCV(
            make_descriptor_svm_pipeline(memory=cache),
            DESCRIPTOR_SVM_GRID,
            cv=StratifiedKFold(3, shuffle=True, random_state=seed),
            refit=False,
        ).fit(images, labels)
    scores = found.cv_results_["mean_test_score"]
    order = np.argsort(-scores, kind="stable")
    return {
        "n_images": len(labels),
        "cpu_seconds": round(time.process_time() - began),
        "best": found.best_params_,
        "candidates": [
            found.cv_results_["params"][i] | {"accuracy": round(float(scores[i]), 4)} for i in order
        ],
    }


def fit_and_score(model, train, public, seed):
    """Fit a pipeline and return its time and accuracy."""
    clock, processor = time.perf_counter(), time.process_time()
    model.fit(*train)
    cost = time.perf_counter() - clock, time.process_time() - processor
    began = time.process_time()
    predicted = model.predict(public[0])
    predict_seconds = time.process_time() - began
    classifier = model[-1]
    described = model.named_steps.get("pca", classifier)
    report = evaluate_predictions(public[1], predicted, random_state=seed)
    return {
        "public_test": report.to_dict(),
        "features": described.n_features_in_ // (2 if is_mirrored(classifier) else 1),
        "fit_seconds": round(cost[0], 1),
        "fit_cpu_seconds": round(cost[1], 1),
        "predict_cpu_seconds": round(predict_seconds, 1),
    }


def is_mirrored(classifier):
    return isinstance(classifier, LSSVMClassifier) and classifier.flip_invariant


def table(steps):
    """Return a Markdown table of the measured steps."""
    lines = [
        "| step | features | PublicTest, % | gain | training, CPU s |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    before = None
    for name, (title, _) in LADDER.items():
        if name not in steps:
            continue
        result = steps[name]
        value, low, high = (100 * x for x in result["public_test"]["overall"]["accuracy"].values())
        cells = [
            title,
            f"{result['features']:,}",
            f"{value:.1f} ({low:.1f}–{high:.1f})",
            "" if before is None else f"{value - before:+.1f}",
            f"{result['fit_cpu_seconds']:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
        before = value
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="FER2013: zip, CSV or folder")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=["search", *LADDER],
        help="run only these, even if done",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()

    train, public = (load_split(args.data, subset) for subset in ("train", "public"))
    path = args.output / "descriptors.json"
    result = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"steps": {}}
    todo = ["search", *LADDER]
    done = {*result["steps"], *(["search"] if "search" in result else [])}
    for name in args.only or [name for name in todo if name not in done]:
        print(f"{name} …", flush=True)
        if name == "search":
            result["search"] = search(train, args.seed)
        else:
            model = LADDER[name][1]()
            result["steps"][name] = fit_and_score(model, train, public, args.seed)
        write_result("descriptors", result, args.output)
        text = table(result["steps"])
        (args.output / "descriptors.md").write_text(text + "\n", encoding="utf-8")
        print(text, flush=True)


if __name__ == "__main__":
    main()
