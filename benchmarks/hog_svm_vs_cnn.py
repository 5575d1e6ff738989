"""How accurate and fast are the HOG-SVM and the CNN, trained on all of FER2013?

    python benchmarks/hog_svm_vs_cnn.py --data fer2013.zip

Writes benchmarks/results/hog_svm_vs_cnn.json, a Markdown table next to it, and a figure of each
confusion matrix. Under half an hour on two cores.
"""

from pathlib import Path

from _common import argument_parser, load_split, write_result

from fer_sklearn import (
    ConfusionMatrixDisplay,
    benchmark_models,
    make_cnn_pipeline,
    make_hog_svm_pipeline,
    save,
)


def main():
    parser = argument_parser(__doc__, seed=True)
    parser.add_argument("--epochs", type=int, default=20, help="epochs of the CNN")
    parser.add_argument("--dtype-policy", default="float32")
    parser.add_argument("--save", type=Path, help="folder in which to save the fitted models")
    args = parser.parse_args()

    cnn = make_cnn_pipeline().set_params(
        classifier__epochs=args.epochs,
        classifier__dtype_policy=args.dtype_policy,
        classifier__random_state=args.seed,
        classifier__verbose=1,
    )
    models = {"HOG-SVM": make_hog_svm_pipeline(), "CNN": cnn}
    train, public = (load_split(args.data, subset) for subset in ("train", "public"))
    benchmark = benchmark_models(
        models, train, public, on_start=lambda name: print(f"Training {name} …", flush=True)
    )

    result = {
        "trained_on": f"train, {len(train[1])} images",
        "scored_on": f"PublicTest, {len(public[1])} images",
        "seed": args.seed,
        "models": benchmark.to_dict(),
        "cnn_parameters": cnn[-1].n_parameters_,
        "cnn_settings": {k: v for k, v in cnn[-1].get_params().items() if v is not None},
        "cnn_history": cnn[-1].history_,
    }
    write_result("hog_svm_vs_cnn", result, args.output, benchmark.to_markdown())
    for name, entry in benchmark.items():
        report = entry.report
        display = ConfusionMatrixDisplay(report.confusion_matrix, display_labels=report.labels)
        slug = name.lower().replace("-", "_")
        display.plot(title=f"{name} on PublicTest").figure_.savefig(
            args.output / f"hog_svm_vs_cnn_{slug}.png", dpi=120
        )
    if args.save:
        args.save.mkdir(parents=True, exist_ok=True)
        for name, model in models.items():
            save(model, args.save / f"{name.lower()}.fer")


if __name__ == "__main__":
    main()
