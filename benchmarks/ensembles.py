"""Ensembles of the pretrained CNNs and the HOG-SVM.

    python benchmarks/ensembles.py --data fer2013.zip

The HOG-SVM is trained with probabilities on all training images, which takes about ten minutes.
The final estimator of a stack is trained on one half of PublicTest and evaluated on the other,
both ways; everything else is evaluated on all of PublicTest. Writes
benchmarks/results/ensembles.json and a Markdown table next to it.
"""

import argparse

import numpy as np
from _common import RESULTS, load_split, write_result
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from fer_sklearn import (
    HOGSVMClassifier,
    evaluate_predictions,
    load_pretrained,
    make_hog_svm_pipeline,
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="FER2013: zip, CSV or folder")
    args = parser.parse_args()
    train, (X, y) = (load_split(args.data, subset) for subset in ("train", "public"))

    svm = make_hog_svm_pipeline(HOGSVMClassifier(probability=True, random_state=0)).fit(*train)
    members = [
        (name, FrozenEstimator(model))
        for name, model in (
            ("cnn", load_pretrained()),
            ("tiny", load_pretrained("tiny")),
            ("hog_svm", svm),
        )
    ]
    pair = [members[0], members[2]]
    models = {
        "pretrained CNN, `default`": members[0][1],
        "pretrained CNN, `tiny`": members[1][1],
        "HOG-SVM": svm,
        "`default` and HOG-SVM, averaged": VotingClassifier(pair, voting="soft"),
        "`default` and HOG-SVM, 3 : 1": VotingClassifier(pair, voting="soft", weights=[3, 1]),
        "all three, averaged": VotingClassifier(members, voting="soft"),
        "`default` and HOG-SVM, stacked": stack(pair),
        "all three, stacked": stack(members),
    }
    reports = {
        name: evaluate_predictions(y, predict(model, X, y)) for name, model in models.items()
    }
    result = {name: report.to_dict()["overall"] for name, report in reports.items()}
    write_result("ensembles", {"scored_on": "PublicTest", "models": result})
    text = table(reports)
    (RESULTS / "ensembles.md").write_text(text + "\n", encoding="utf-8")
    print(text)


def stack(members):
    return StackingClassifier(
        members, LogisticRegression(C=0.1), cv="prefit", stack_method="predict_proba"
    )


def predict(model, X, y):
    """Predict for PublicTest; for a stack, each half by a model fitted on the other."""
    if isinstance(model, StackingClassifier):
        halves = StratifiedKFold(2, shuffle=True, random_state=0)
        return cross_val_predict(model, X, y, cv=halves)
    if isinstance(model, VotingClassifier):
        model.fit(X, y)  # its members are frozen: it learns only the label names
    return model.predict(X)


def table(reports):
    lines = [
        "| model | accuracy, % | balanced accuracy, % | macro-F1, % |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, report in reports.items():
        cells = []
        for metric in ("accuracy", "balanced_accuracy", "macro_f1"):
            value, low, high = 100 * np.array(report.overall[metric])
            cells.append(f"{value:.1f} ({low:.1f}–{high:.1f})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
