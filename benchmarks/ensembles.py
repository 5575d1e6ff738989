"""Does an ensemble of the pretrained CNN and the HOG-SVM beat the CNN?

    python benchmarks/ensembles.py --data fer2013.zip

The HOG-SVM is trained with probabilities on all training images, which takes about ten minutes.
The final estimator of a stack is trained on one half of PublicTest and scored on the other, both
ways; all other models are scored on the whole of PublicTest. Writes
benchmarks/results/ensembles.json and a Markdown table next to it.
"""

from _common import (
    argument_parser,
    load_split,
    markdown_table,
    percent,
    write_result,
)
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
    args = argument_parser(__doc__).parse_args()
    train, (X, y) = (load_split(args.data, subset) for subset in ("train", "public"))

    svm = make_hog_svm_pipeline(HOGSVMClassifier(probability=True, random_state=0)).fit(*train)
    members = [
        (name, FrozenEstimator(model))
        for name, model in (
            ("cnn", load_pretrained(labels="fer2013")),
            ("tiny", load_pretrained("tiny", labels="fer2013")),
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
    write_result(
        "ensembles", {"scored_on": "PublicTest", "models": result}, args.output, table(reports)
    )


def stack(members):
    return StackingClassifier(
        members, LogisticRegression(C=0.1), cv="prefit", stack_method="predict_proba"
    )


def predict(model, X, y):
    """Predict PublicTest; with a stack, each half after training on the other."""
    if isinstance(model, StackingClassifier):
        halves = StratifiedKFold(2, shuffle=True, random_state=0)
        return cross_val_predict(model, X, y, cv=halves)
    if isinstance(model, VotingClassifier):
        model.fit(X, y)  # its members are frozen: this only sets the classes
    return model.predict(X)


def table(reports):
    metrics = ("accuracy", "balanced_accuracy", "macro_f1")
    return markdown_table(
        ["model", "accuracy, %", "balanced accuracy, %", "macro-F1, %"],
        [
            [name, *(percent(report.overall[metric]) for metric in metrics)]
            for name, report in reports.items()
        ],
    )


if __name__ == "__main__":
    main()
