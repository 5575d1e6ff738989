"""How much does each step gain, from HOG alone to several descriptors and mirror images?

    python benchmarks/descriptors.py --data fer2013.zip [--only search hog ...]

Each step is fitted on all of FER2013's training images and scored on PublicTest. The settings
come from "search", a grid search on a stratified sixth of the training images. Each result is
written immediately, to benchmarks/results/descriptors.json and a Markdown table next to it, and a
step that already has one is skipped unless --only names it. Training cost is CPU time, which
depends less on other work on the machine than wall time. About half an hour on two cores.
"""

import tempfile
import time

import numpy as np
from _common import (
    argument_parser,
    load_split,
    markdown_table,
    percent,
    read_result,
    write_result,
    write_table,
)
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
    """Return the recommended pipeline with some of its descriptors, without mirror images."""
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


STEPS = {
    "svm": ("HOG, SVM", make_hog_svm_pipeline),
    "hog": ("HOG, least-squares SVM", lambda: unmirrored("hog")),
    "lbp": ("+ LBP", lambda: unmirrored("hog", "lbp1", "lbp2")),
    "mirror": ("+ mirror images", make_descriptor_svm_pipeline),
}


def search(train, seed):
    """Search the recommended pipeline's grid on a stratified part of the training images."""
    images, _, labels, _ = train_test_split(
        *train, train_size=1 / 6, stratify=train[1], random_state=seed
    )
    start = time.process_time()
    # With the cache, features are computed once per fold rather than once per candidate.
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
        "cpu_seconds": round(time.process_time() - start),
        "best": found.best_params_,
        "candidates": [
            found.cv_results_["params"][i] | {"accuracy": round(float(scores[i]), 4)} for i in order
        ],
    }


def fit_and_score(model, train, public, seed):
    """Fit and score a pipeline, and measure the cost of both."""
    wall, cpu = time.perf_counter(), time.process_time()
    model.fit(*train)
    cost = time.perf_counter() - wall, time.process_time() - cpu
    start = time.process_time()
    predicted = model.predict(public[0])
    predict_seconds = time.process_time() - start
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
    """List the steps that were measured, and the gain of each over the one before."""
    rows, before = [], None
    for name, (title, _) in STEPS.items():
        if name not in steps:
            continue
        result = steps[name]
        accuracy = result["public_test"]["overall"]["accuracy"]
        value = 100 * accuracy["value"]
        cells = [
            title,
            f"{result['features']:,}",
            percent(accuracy),
            "" if before is None else f"{value - before:+.1f}",
            f"{result['fit_cpu_seconds']:.0f}",
        ]
        rows.append(cells)
        before = value
    header = ["step", "features", "PublicTest, %", "gain", "training, CPU s"]
    return markdown_table(header, rows)


def main():
    parser = argument_parser(__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=["search", *STEPS], help="run these, even again"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    train, public = (load_split(args.data, subset) for subset in ("train", "public"))
    result = read_result("descriptors", args.output) or {"steps": {}}
    todo = ["search", *STEPS]
    done = {*result["steps"], *(["search"] if "search" in result else [])}
    for name in args.only or [name for name in todo if name not in done]:
        print(f"{name} …", flush=True)
        if name == "search":
            result["search"] = search(train, args.seed)
        else:
            model = STEPS[name][1]()
            result["steps"][name] = fit_and_score(model, train, public, args.seed)
        write_result("descriptors", result, args.output)
        write_table("descriptors", table(result["steps"]), args.output)


if __name__ == "__main__":
    main()
