"""How reliable are the pretrained models' probabilities, abstentions and conformal sets?

    python benchmarks/uncertainty.py --data fer2013.zip

Writes benchmarks/results/uncertainty.json and a Markdown table next to it, all on PublicTest. No
calibrator or threshold that is fitted here is scored on an image on which it was fitted, nor on an
exact copy of one; the temperature inside the bundled weights, however, was fitted on PublicTest.
Needs `pip install 'fer_sklearn[conformal]'`. A minute of CPU time.
"""

import numpy as np
from _common import argument_parser, load_split, markdown_table, write_result
from crepes import WrapClassifier
from mapie.classification import SplitConformalClassifier
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import StratifiedGroupKFold

from fer_sklearn import (
    AbstainingClassifier,
    duplicate_groups,
    evaluate_predictions,
    load_pretrained,
)
from fer_sklearn.weights import SHIPPED

_METHODS = ("temperature", "isotonic")
_COVERAGES = (0.9, 0.8, 0.7, 0.5)
_LEVELS = (0.8, 0.9, 0.95)
_SCORES = ("lac", "aps", "raps")
_REPEATS = 20


class Recorded(ClassifierMixin, BaseEstimator):
    """A fitted classifier that returns precomputed probabilities: an image is a row of them."""

    def __init__(self, proba, classes):
        self.proba = proba
        self.classes = classes
        self.classes_ = classes

    def fit(self, X, y=None):
        return self

    def predict_proba(self, X):
        return self.proba[np.ravel(X)]

    def predict(self, X):
        return self.classes[self.predict_proba(X).argmax(axis=1)]


def main():
    args = argument_parser(__doc__).parse_args()
    X, y = load_split(args.data, "public")
    groups = duplicate_groups(X)
    models = {}
    for name in SHIPPED:
        model = load_pretrained(name, labels="fer2013", runtime="litert")
        recorded = Recorded(model.predict_proba(X), model[-1].classes_)
        models[name] = measure(recorded, y, groups)
    write_result(
        "uncertainty", {"scored_on": "PublicTest", "models": models}, args.output, tables(models)
    )


def measure(recorded, y, groups):
    """Measure one model: calibration, abstention and conformal sets."""
    rows = np.arange(len(y))[:, np.newaxis]
    halves = [
        next(StratifiedGroupKFold(2, shuffle=True, random_state=seed).split(rows, y, groups))
        for seed in range(_REPEATS)
    ]
    return {
        "calibration": {
            "as bundled": probability_report(recorded.proba, recorded.classes, y),
            **{
                method: calibrated_on_folds(recorded, rows, y, groups, method)
                for method in _METHODS
            },
        },
        "abstaining": {
            str(coverage): over_halves(halves, selective, recorded, rows, y, coverage)
            for coverage in _COVERAGES
        },
        "sets": {
            score: {
                str(level): over_halves(halves, set_scores, recorded, rows, y, score, level)
                for level in _LEVELS
            }
            for score in _SCORES
        },
        "coverage_by_emotion_at_0.9": {
            "single threshold": over_halves(halves, emotions_by_one_threshold, recorded, rows, y),
            "threshold per emotion": over_halves(
                halves, emotions_by_own_thresholds, recorded, rows, y
            ),
        },
    }


def calibrated_on_folds(recorded, rows, y, groups, method):
    """Calibrate each fifth with a calibrator that was fitted on the other four."""
    proba = np.empty(recorded.proba.shape)
    temperatures = []
    for known, new in StratifiedGroupKFold(5).split(rows, y, groups):
        model = CalibratedClassifierCV(FrozenEstimator(recorded), method=method)
        proba[new] = model.fit(rows[known], y[known]).predict_proba(rows[new])
        if method == "temperature":
            (calibrator,) = model.calibrated_classifiers_[0].calibrators
            temperatures.append(1 / calibrator.beta_)
    report = probability_report(proba, recorded.classes, y)
    return report | ({"temperature": float(np.mean(temperatures))} if temperatures else {})


def probability_report(proba, classes, y):
    report = evaluate_predictions(y, classes[proba.argmax(axis=1)], y_proba=proba, labels=classes)
    metrics = ("accuracy", "log_loss", "expected_calibration_error")
    return {name: report.overall[name]._asdict() for name in metrics} | {
        "mean_confidence": float(proba.max(axis=1).mean())
    }


def over_halves(halves, score, *args):
    """Fit on one half and score on the other; return mean and standard deviation of each figure."""
    found = [score(*args, known, new) for known, new in halves]
    figures = {name: [one[name] for one in found] for name in found[0]}
    return {
        name: {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1))}
        for name, values in figures.items()
    }


def selective(recorded, rows, y, coverage, known, new):
    model = AbstainingClassifier(FrozenEstimator(recorded), coverage=coverage).fit(rows[known])
    scores = model.selective_accuracy(rows[new], y[new])
    return {
        "threshold": model.threshold_,
        "coverage": scores.coverage,
        "accuracy": scores.accuracy,
    }


def set_scores(recorded, rows, y, score, level, known, new):
    sets = conformal_sets(recorded, rows, y, score, level, known, new)
    sizes = sets.sum(axis=1)
    return {
        "coverage": contains(sets, recorded.classes, y[new]).mean(),
        "size": sizes.mean(),
        "one_label": (sizes == 1).mean(),
        "empty": (sizes == 0).mean(),
    }


def conformal_sets(recorded, rows, y, score, level, known, new):
    conformal = SplitConformalClassifier(
        recorded, confidence_level=level, conformity_score=score, random_state=0
    )
    return conformal.conformalize(rows[known], y[known]).predict_set(rows[new])[1][:, :, 0]


def emotions_by_one_threshold(recorded, rows, y, known, new):
    sets = conformal_sets(recorded, rows, y, "lac", 0.9, known, new)
    return by_emotion(sets, recorded.classes, y[new])


def emotions_by_own_thresholds(recorded, rows, y, known, new):
    wrapped = WrapClassifier(recorded)
    wrapped.calibrate(rows[known], y[known], class_cond=True)
    sets = wrapped.predict_set(rows[new], labels=False, confidence=0.9, smoothing=False)
    return by_emotion(sets, recorded.classes, y[new])


def by_emotion(sets, classes, y):
    covered = contains(sets, classes, y)
    return {label: covered[y == label].mean() for label in classes.tolist()} | {
        "size": sets.sum(axis=1).mean()
    }


def contains(sets, classes, y):
    """Return which sets, given as rows of bools, contain the true label."""
    return sets[np.arange(len(y)), np.searchsorted(classes, y)].astype(bool)


def tables(models):
    """Return the two tables of the guide."""
    rows = []

    def add(label, cell):
        rows.append([label, *(cell(entry) for entry in models.values())])

    for metric, digits in (("expected_calibration_error", 3), ("log_loss", 3)):
        for method in ("as bundled", *_METHODS):
            add(
                f"{metric.replace('_', ' ')}, {method}",
                lambda entry, at=(method, metric), digits=digits: interval(
                    entry["calibration"][at[0]][at[1]], digits
                ),
            )
    add(
        "accuracy, %",
        lambda entry: f"{100 * entry['calibration']['as bundled']['accuracy']['value']:.1f}",
    )
    for coverage in _COVERAGES:
        add(
            f"accuracy at {100 * coverage:.0f} % coverage, %",
            lambda entry, at=str(coverage): spread(entry["abstaining"][at]["accuracy"], 100),
        )
    for level in _LEVELS:
        for score in _SCORES:
            add(
                f"{score.upper()} sets at {100 * level:.0f} %: coverage, %; labels per set",
                lambda entry, at=(score, str(level)): sets_cell(entry["sets"][at[0]][at[1]]),
            )
    return markdown_table(["on PublicTest", *models], rows) + "\n\n" + emotion_table(models)


def emotion_table(models):
    rules = ("single threshold", "threshold per emotion")
    header = [f"{name}, {rule}" for name in models for rule in rules]
    rows = []
    found = [
        entry["coverage_by_emotion_at_0.9"][rule] for entry in models.values() for rule in rules
    ]
    for emotion in found[0]:
        digits = (1, 2) if emotion == "size" else (100, 1)
        label = "labels per set" if emotion == "size" else emotion
        rows.append([label, *(spread(figures[emotion], *digits) for figures in found)])
    return markdown_table(["coverage of sets at 90 %, %", *header], rows)


def interval(estimate, digits):
    value, low, high = (f"{number:.{digits}f}" for number in estimate.values())
    return f"{value} ({low}–{high})"


def spread(figure, factor=1, digits=1):
    return f"{factor * figure['mean']:.{digits}f} ± {factor * figure['sd']:.{digits}f}"


def sets_cell(figures):
    return f"{spread(figures['coverage'], 100)}; {figures['size']['mean']:.2f}"


if __name__ == "__main__":
    main()
