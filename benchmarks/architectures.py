"""Does each named architecture reach the accuracy that its original claims?

    python benchmarks/architectures.py --data fer2013.zip [--only conv3 vgg_elu] [--work FOLDER]

Trains each architecture on FER2013's training images with its original's settings, with a
stratified tenth held out to choose the epoch, and scores it on PublicTest. Training ends after
the original's number of epochs or by early stopping, which takes hours on two cores: a script
that was interrupted resumes from its checkpoints in --work. Each result is written immediately,
and an architecture that already has one is skipped unless --only names it. The row of resnet_se,
this package's own, comes from benchmarks/hog_svm_vs_cnn.py; run that first.
"""

from pathlib import Path

from _common import (
    argument_parser,
    load_split,
    markdown_table,
    percent,
    read_result,
    write_result,
)
from keras.callbacks import ReduceLROnPlateau

from fer_sklearn import FERCNNClassifier, evaluate, make_cnn_pipeline

# The original's settings, as far as the notebooks agree on them.
ORIGINALS = {
    "conv3": {
        "claim": "57 % (notebook c)",
        "claimed": 57,
        "size": 48,
        "epochs": 50,
        "settings": {"learning_rate": 1e-3, "batch_size": 64, "patience": 5},
    },
    "conv4_dense3": {
        "claim": "none stated (notebook a)",
        "claimed": None,
        "size": 28,
        "epochs": 50,
        "settings": {"learning_rate": 1e-4, "batch_size": 64, "patience": 5},
    },
    "vgg_elu": {
        "claim": "60 % validation, 31 % test (notebook b)",
        "claimed": 60,
        "size": 48,
        "epochs": 25,
        "settings": {
            "learning_rate": 1e-3,
            "batch_size": 64,
            "patience": 5,
            "class_weight": "balanced",
            "augmentation": {"flip": 0.5, "rotation": 10, "shift": 0.1, "zoom": 0.1},
        },
    },
    "mini_xception": {
        "claim": "66 % (Arriaga et al. 2017)",
        "claimed": 66,
        "size": 48,
        "epochs": 110,
        "settings": {
            "learning_rate": 1e-3,
            "batch_size": 32,
            "patience": 50,
            "augmentation": {"flip": 0.5, "rotation": 10, "shift": 0.1, "zoom": 0.1},
        },
        "plateau": {"factor": 0.1, "patience": 12},  # where the learning rate falls
    },
    "conv4_wide": {
        "claim": "62 % (notebooks d and e)",
        "claimed": 62,
        "size": 48,
        "epochs": 100,
        "settings": {"learning_rate": 1e-3, "batch_size": 128, "patience": 10},
    },
}


def train_and_score(name, train, public, seed, dtype_policy, work):
    """Train one architecture with its original's settings, and score it."""
    original = ORIGINALS[name]
    plateau = original.get("plateau")
    classifier = FERCNNClassifier(
        architecture=name,
        epochs=original["epochs"],
        early_stopping=True,
        dtype_policy=dtype_policy,
        callbacks=plateau and [ReduceLROnPlateau("val_loss", **plateau)],
        random_state=seed,
        verbose=1,
        checkpoint_dir=work / name,
        **original["settings"],
    )
    model = make_cnn_pipeline(classifier, size=original["size"])
    model.fit(*train)
    classifier = model[-1]
    return {
        "claim": original["claim"],
        "epochs_original": original["epochs"],
        "epochs_trained": classifier.n_iter_,
        "best_epoch": 1
        + max(range(classifier.n_iter_), key=classifier.history_["val_accuracy"].__getitem__),
        "parameters": classifier.n_parameters_,
        "held_out_accuracy": max(classifier.history_["val_accuracy"]),
        "public_test": evaluate(model, *public, random_state=seed).to_dict(),
        "settings": original["settings"]
        | {"size": original["size"], "plateau": plateau, "dtype_policy": dtype_policy},
        "seed": seed,
        "history": classifier.history_,
    }


def own_network(folder):
    """Return the result of benchmarks/hog_svm_vs_cnn.py for resnet_se, in the same form."""
    comparison = read_result("hog_svm_vs_cnn", folder)
    report = comparison["models"]["CNN"]
    epochs = comparison["cnn_settings"]["epochs"]
    return {
        "claim": "none (this package's own)",
        "epochs_original": epochs,
        "epochs_trained": epochs,
        "parameters": comparison["cnn_parameters"],
        "public_test": report,
        "settings": comparison["cnn_settings"],
        "seed": comparison["seed"],
    }


def table(results):
    """Compare the accuracy of each architecture with its original's claim."""
    rows = []
    for name, result in results.items():
        accuracy = result["public_test"]["overall"]["accuracy"]
        claimed = ORIGINALS.get(name, {}).get("claimed")
        cells = [
            f"`{name}`",
            f"{result['parameters']:,}",
            result["claim"],
            percent(accuracy),
            f"{result['epochs_trained']} of {result['epochs_original']}",
            verdict(result, 100 * accuracy["value"], claimed),
        ]
        rows.append(cells)
    header = ["architecture", "parameters", "original claim", "PublicTest, %", "epochs", "claim"]
    return markdown_table(header, rows, "lrlrrl")


def verdict(result, reached, claimed):
    """Return whether the claim is met and, if not, why training ended."""
    if claimed is None:
        return "–"
    if reached >= claimed:
        return "met"
    if result["epochs_trained"] < result["epochs_original"]:
        return f"not met: stopped early, best at epoch {result['best_epoch']}"
    return "not met"


def main():
    parser = argument_parser(__doc__, only=ORIGINALS, seed=True)
    parser.add_argument(
        "--work", type=Path, default=Path("architectures"), help="folder for checkpoints"
    )
    parser.add_argument("--dtype-policy", default="float32")
    args = parser.parse_args()

    train, public = (load_split(args.data, subset) for subset in ("train", "public"))
    results = read_result("architectures", args.output).get("architectures", {})
    for name in args.only or [name for name in ORIGINALS if name not in results]:
        print(f"{name}: the original claims {ORIGINALS[name]['claim']}", flush=True)
        results[name] = train_and_score(
            name, train, public, args.seed, args.dtype_policy, args.work
        )
        write_result("architectures", {"architectures": results}, args.output)
    results["resnet_se"] = own_network(args.output)
    ordered = {name: results[name] for name in (*ORIGINALS, "resnet_se") if name in results}
    write_result("architectures", {"architectures": results}, args.output, table(ordered))


if __name__ == "__main__":
    main()
