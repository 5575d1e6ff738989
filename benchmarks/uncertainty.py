"""Measure the calibration, abstention and conformal sets of the pretrained models.

    python benchmarks/uncertainty.py --data fer2013.zip

Writes benchmarks/results/uncertainty.json and uncertainty.md, all on PublicTest. No temperature,
curve or threshold that is fitted here is evaluated on an image that was used to fit it, or on an
exact duplicate of one; only the temperature in the bundled weights was fitted on PublicTest too.
Needs `pip install 'fer_sklearn[conformal]'`. A minute of CPU time.
"""

import argparse

import numpy as np
from _common import RESULTS, load_split, write_result
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
    """A fitted classifier with stored predictions: an image is a row number."""

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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="FER2013: zip, CSV or folder")
    args = parser.parse_args()
    X, y = load_split(args.data, "public")
    groups = duplicate_groups(X)
    models = {}
    for name in SHIPPED:
        model = load_pretrained(name, runtime="litert")
        recorded = Recorded(model.predict_proba(X), model[-1].classes_)
        models[name] = measure(recorded, y, groups)
    write_result("uncertainty", {"scored_on": "PublicTest", "models": models})
    (RESULTS / "uncertainty.md").write_text(tables(models), encoding="utf-8")


def measure(recorded, y, groups):
    """Return the results of one model: calibration, abstaining, conformal sets."""
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
    """Evaluate each fifth with a calibration fitted on the other four."""
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
    """Return mean and standard deviation of metrics fitted and evaluated on opposite halves."""
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
    contained = contains(sets, classes, y)
    return {label: contained[y == label].mean() for label in classes.tolist()} | {
        "size": sets.sum(axis=1).mean()
    }


def contains(sets, classes, y):
    """Return which sets, rows of bools, contain the true label."""
    return sets[np.arange(len(y)), np.searchsorted(classes, y)].astype(bool)


def tables(models):
    """Return the two tables of the guide as Markdown."""
    names = list(models)
    lines = [row("on PublicTest", names), "| --- |" + " ---: |" * len(names)]

    def add(label, cell):
        lines.append(row(label, [cell(entry) for entry in models.values()]))

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
    return "\n".join([*lines, "", *emotion_table(models)]) + "\n"


def emotion_table(models):
    rules = ("single threshold", "threshold per emotion")
    header = [f"{name}, {rule}" for name in models for rule in rules]
    lines = [row("coverage of sets at 90 %, %", header), "| --- |" + " ---: |" * len(header)]
    found = [
        entry["coverage_by_emotion_at_0.9"][rule] for entry in models.values() for rule in rules
    ]
    for emotion in found[0]:
        digits = (1, 2) if emotion == "size" else (100, 1)
        label = "labels per set" if emotion == "size" else emotion
        lines.append(row(label, [spread(figures[emotion], *digits) for figures in found]))
    return lines


def row(label, cells):
    return f"| {label} | {' | '.join(cells)} |"


def interval(estimate, digits):
    value, low, high = (f"{number:.{digits}f}" for number in estimate.values())
    return f"{value} ({low}–{high})"


def spread(figure, factor=1, digits=1):
    return f"{factor * figure['mean']:.{digits}f} ± {factor * figure['sd']:.{digits}f}"


def sets_cell(figures):
    return f"{spread(figures['coverage'], 100)}; {figures['size']['mean']:.2f}"


if __name__ == "__main__":
    main()
