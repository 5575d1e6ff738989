"""How much does each step gain, from HOG alone to several descriptors, mirror images and votes?

    python benchmarks/descriptors.py --data fer2013.zip --votes ferplus.csv [--only svm hog ...]

Each step is fitted on all of FER2013's training images and scored on PublicTest: on FER2013's
labels, and on what most people see (the majority of FER+'s votes; images without one are left
out). Descriptors and classifier were chosen by cross-validation on training images, by
benchmarks/svm_selection.py. Each result is written immediately, to
benchmarks/results/descriptors.json and a Markdown table next to it, and a step that already has one
is skipped unless --only names it. Training cost is CPU time, which depends less on other work on
the machine than wall time. About an hour on two cores.
"""

import time

from _common import (
    argument_parser,
    markdown_table,
    percent,
    read_result,
    write_result,
)
from sklearn.pipeline import FeatureUnion, Pipeline

from fer_sklearn import (
    GrayscaleResizer,
    LSSVMClassifier,
    evaluate_predictions,
    load_fer2013,
    make_descriptor_svm_pipeline,
    make_hog_svm_pipeline,
)
from fer_sklearn.datasets import vote_distributions
from fer_sklearn.emotions import EMOTIONS


def recommended(*names, mirrored=True):
    """Return the recommended pipeline with some of its descriptors."""
    pipeline = make_descriptor_svm_pipeline()
    parts = dict(pipeline["features"].transformer.transformer_list)
    descriptors = [(name, parts[name]) for name in names]
    if mirrored:
        return make_descriptor_svm_pipeline(descriptors=descriptors)
    return Pipeline(
        [
            ("resize", GrayscaleResizer()),
            ("features", FeatureUnion(descriptors)),
            ("classifier", pipeline["classifier"].set_params(flip_invariant=False)),
        ]
    )


#: Title of each step, its pipeline, and whether it is trained on votes.
STEPS = {
    "svm": ("HOG, SVM", make_hog_svm_pipeline, False),
    "svm_votes": ("HOG, SVM, trained on votes", make_hog_svm_pipeline, True),
    "hog": ("HOG, least-squares SVM", lambda: recommended("hog", mirrored=False), False),
    "lbp": (
        "HOG and LBP, least-squares SVM",
        lambda: recommended("hog", "lbp1", "lbp2", mirrored=False),
        False,
    ),
    "mirror": (
        "HOG and LBP, mirror images, least-squares SVM",
        lambda: recommended("hog", "lbp1", "lbp2"),
        False,
    ),
    "codebooks": (
        "HOG, LBP and codebooks, mirror images, least-squares SVM",
        make_descriptor_svm_pipeline,
        False,
    ),
    "votes": ("the same, trained on votes", make_descriptor_svm_pipeline, True),
}


def fit_and_score(model, train, public, on_votes, seed):
    """Fit and score a pipeline, and measure the cost of both."""
    X, y, fit_params = train.images, train.target, {}
    if on_votes:
        votes = vote_distributions(train.votes, labels=EMOTIONS)
        is_seen = votes.any(axis=1)  # not images in which most people see something else
        X, y, fit_params = X[is_seen], y[is_seen], {"classifier__soft_targets": votes[is_seen]}
    wall, cpu = time.perf_counter(), time.process_time()
    model.fit(X, y, **fit_params)
    cost = time.perf_counter() - wall, time.process_time() - cpu
    start = time.process_time()
    predicted = model.predict(public.images)
    predict_seconds = time.process_time() - start
    classifier = model[-1]
    described = model.named_steps.get("pca", classifier)
    report = evaluate_predictions(public.target, predicted, votes=public.votes, random_state=seed)
    return {
        "public_test": report.to_dict(),
        "features": described.n_features_in_ // (2 if is_mirrored(classifier) else 1),
        "fit_images": len(y),
        "fit_seconds": round(cost[0], 1),
        "fit_cpu_seconds": round(cost[1], 1),
        "predict_cpu_seconds": round(predict_seconds, 1),
    }


def is_mirrored(classifier):
    return isinstance(classifier, LSSVMClassifier) and classifier.flip_invariant


def table(steps):
    """List the steps that were measured."""
    rows = [
        [
            title,
            f"{steps[name]['features']:,}",
            percent(steps[name]["public_test"]["overall"]["accuracy"]),
            percent(steps[name]["public_test"]["people"]["accuracy"]),
            f"{steps[name]['fit_cpu_seconds']:.0f}",
        ]
        for name, (title, *_) in STEPS.items()
        if name in steps
    ]
    header = ["step", "features", "FER2013's labels, %", "people's majority, %", "training, CPU s"]
    return markdown_table(header, rows)


def main():
    args = argument_parser(__doc__, votes=True, only=STEPS, seed=True).parse_args()

    train, public = (
        load_fer2013(args.data, subset=subset, votes=args.votes) for subset in ("train", "public")
    )
    result = read_result("descriptors", args.output) or {"steps": {}}
    for name in args.only or [name for name in STEPS if name not in result["steps"]]:
        print(f"{name} …", flush=True)
        _, make, on_votes = STEPS[name]
        result["steps"][name] = fit_and_score(make(), train, public, on_votes, args.seed)
        write_result("descriptors", result, args.output, table(result["steps"]))


if __name__ == "__main__":
    main()
