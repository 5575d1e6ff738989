"""Evaluation of probabilities: metrics compared with scikit-learn, and where they come from."""

import json
import time
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, top_k_accuracy_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC

from fer_sklearn import EMOTIONS, HOGSVMClassifier, load_pretrained, make_hog_svm_pipeline
from fer_sklearn.evaluation import accuracy_coverage_curve, compare, evaluate, evaluate_predictions
from fer_sklearn.evaluation._metrics import reliability_bins
from fer_sklearn.uncertainty import AbstainingClassifier

PROBABILITY_METRICS = ("top_2_accuracy", "log_loss", "expected_calibration_error")


def make_predictions(n=400, seed=0, labels=EMOTIONS, sharpness=2.0):
    """Return true labels, the most probable ones and probabilities, which are calibrated."""
    rng = np.random.default_rng(seed)
    true = rng.integers(len(labels), size=n)
    scores = rng.normal(size=(n, len(labels)))
    scores[np.arange(n), true] += sharpness
    proba = np.exp(sharpness * scores)
    proba /= proba.sum(axis=1, keepdims=True)
    names = np.array(labels)
    return names[true], names[proba.argmax(axis=1)], proba


class Counting(ClassifierMixin, BaseEstimator):
    """A classifier that counts how often it computes; `predict` works as `way` says."""

    def __init__(self, way="argmax"):
        self.way = way

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.computed_ = []
        return self

    def predict_proba(self, X):
        self.computed_.append(len(X))
        scores = np.exp(np.asarray(X, dtype=float))
        return scores / scores.sum(axis=1, keepdims=True)

    def predict(self, X):
        if self.way == "last":
            return np.repeat(self.classes_[-1], len(X))
        images = X if self.way == "argmax" else np.asarray(X) * -1
        return self.classes_[self.predict_proba(images).argmax(axis=1)]


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(size=(30, 3))


@pytest.fixture
def y():
    return np.array(["a", "b", "c"] * 10)


def values(report, names=PROBABILITY_METRICS):
    return [report.overall[name].value for name in names]


def test_metrics_match_scikit_learn():
    y_true, y_pred, proba = make_predictions()
    report = evaluate_predictions(y_true, y_pred, y_proba=proba)
    right = np.array(EMOTIONS)[proba.argmax(axis=1)] == y_true
    expected = [
        top_k_accuracy_score(y_true, proba, k=2, labels=EMOTIONS),
        log_loss(y_true, proba, labels=EMOTIONS),
        reliability_bins(right, proba.max(axis=1)).expected_calibration_error,
    ]
    assert values(report) == pytest.approx(expected)


@pytest.mark.parametrize("table", [pd.DataFrame, pl.DataFrame])
def test_columns_of_a_table_are_found_by_their_names(table):
    y, proba = np.array(["sad", "happy", "fear"]), np.array([[0, 0.1, 0.9], [0, 1, 0], [1, 0, 0]])
    columns = {"sad": proba[:, 2], "fear": proba[:, 0], "happy": proba[:, 1]}
    report = evaluate_predictions(y, y, y_proba=table(columns))
    assert report.overall["log_loss"].value == pytest.approx(log_loss(y, proba))
    curves = [accuracy_coverage_curve(y, given) for given in (table(columns), proba)]
    np.testing.assert_array_equal(*curves)
    model = AbstainingClassifier(DummyClassifier(), threshold=0.5).fit(np.eye(3), y)
    assert model.predict_from_proba(table(columns)).tolist() == y.tolist()
    columns["joy"] = columns.pop("happy")
    with pytest.raises(ValueError, match=r"y_proba has the columns \['sad', 'fear', 'joy'\]"):
        evaluate_predictions(y, y, y_proba=table(columns))


@pytest.mark.parametrize(
    ("y", "names", "is_named"),
    [
        ([2, 1, 0], [2, 1, 0], True),
        ([2, 1, 0], ["2", "1", "0"], True),
        ([3, 2, 1], [3.0, 2.0, 1.0], True),
        ([2, 1, 0], ["0", "1", "2"], False),
        ([3, 2, 1], [0, 1, 2], False),
    ],
)
def test_columns_that_are_named_after_numbers(y, names, is_named):
    proba = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0, 0.4, 0.6]])
    report = evaluate_predictions(y, y, y_proba=pd.DataFrame(proba, columns=names))
    expected = log_loss(y, proba[:, ::-1] if is_named else proba)
    assert report.overall["log_loss"].value == pytest.approx(expected)


def test_columns_that_are_named_after_truth_values():
    table = pd.DataFrame([[0.9, 0.1], [0.2, 0.8]], columns=[True, False])
    report = evaluate_predictions([True, False], [True, False], y_proba=table)
    assert report.overall["log_loss"].value == pytest.approx(-np.log([0.9, 0.8]).mean())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_confident_errors_are_clipped_like_scikit_learn(dtype):
    y_true, proba = ["a", "b", "b"], np.array([[1, 0], [1, 0], [0, 1]], dtype=dtype)
    report = evaluate_predictions(y_true, ["a", "a", "b"], y_proba=proba)
    assert report.overall["log_loss"].value == pytest.approx(log_loss(y_true, proba), rel=1e-6)


def test_ties_are_broken_like_scikit_learn():
    rng = np.random.default_rng(0)
    proba = rng.integers(1, 4, size=(200, 4)).astype(float)
    proba /= proba.sum(axis=1, keepdims=True)
    y_true = rng.choice(list("abcd"), 200)
    report = evaluate_predictions(y_true, y_true, y_proba=proba)
    expected = top_k_accuracy_score(y_true, proba, k=2)
    assert report.overall["top_2_accuracy"].value == pytest.approx(expected)


def test_top_2_accuracy_needs_more_than_two_labels():
    y_true, y_pred = ["a", "b", "b", "a"], ["a", "a", "b", "a"]
    proba = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]])
    report = evaluate_predictions(y_true, y_pred, y_proba=proba)
    assert np.isnan(report.overall["top_2_accuracy"]).all()
    assert str(report.overall["top_2_accuracy"]) == "–"
    assert str(report.overall["accuracy"]) == "0.750 (0.194–0.994)"
    assert report.overall["log_loss"].value == pytest.approx(log_loss(y_true, proba))
    assert "top-2" not in str(report)
    assert "top-2" not in str(compare({"first": report, "second": report}))


def test_calibration_error_by_hand():
    # In one bin the confidence is 0.8 and the accuracy 0.5, in another 0.6 and 1.
    proba = [[0.8, 0.2], [0.8, 0.2], [0.6, 0.4], [0.4, 0.6]]
    report = evaluate_predictions(["a", "b", "a", "b"], ["a", "a", "a", "b"], y_proba=proba)
    assert report.overall["expected_calibration_error"].value == pytest.approx(0.35)


def test_calibration_error_has_the_bins_of_the_reliability_diagram():
    rng = np.random.default_rng(0)
    # On the edges of bins, which belong to the lower bin, and within them.
    confidence = rng.choice([*np.linspace(0, 1, 16)[8:], *rng.uniform(0.5, 1, 8)], 300)
    right = rng.random(300) < confidence
    proba = np.column_stack([confidence, 1 - confidence])
    y_true = np.where(right, "a", "b")
    report = evaluate_predictions(y_true, ["a"] * 300, y_proba=proba)
    assert report.overall["expected_calibration_error"].value == pytest.approx(
        reliability_bins(right, confidence).expected_calibration_error
    )


def test_intervals_match_a_plain_bootstrap():
    y_true, y_pred, proba = make_predictions(300, sharpness=3)
    report = evaluate_predictions(y_true, y_pred, y_proba=proba, n_resamples=3000)
    rng, resampled = np.random.default_rng(1), []
    for _ in range(250):
        rows = rng.integers(0, 300, 300)
        resampled.append(
            [
                top_k_accuracy_score(y_true[rows], proba[rows], k=2, labels=EMOTIONS),
                log_loss(y_true[rows], proba[rows], labels=EMOTIONS),
            ]
        )
    found = [report.overall[name][1:] for name in PROBABILITY_METRICS[:2]]
    expected = np.quantile(resampled, [0.025, 0.975], axis=0).T
    widths = np.ptp(expected, axis=1, keepdims=True)
    assert (np.abs(found - expected) < 0.25 * widths).all()


def calibrated_predictions(n, rng, temperature=1.0):
    """Return labels drawn with the probabilities, which are then sharpened by the temperature."""
    proba = rng.dirichlet(np.full(7, 0.5), n)
    y_true = np.array(EMOTIONS)[(proba.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)]
    sharp = proba ** (1 / temperature)
    return y_true, sharp / sharp.sum(axis=1, keepdims=True)


def calibration_estimate(y_true, proba):
    y_pred = np.array(EMOTIONS)[proba.argmax(axis=1)]
    report = evaluate_predictions(y_true, y_pred, y_proba=proba, labels=EMOTIONS, n_resamples=1)
    return report.overall["expected_calibration_error"]


@pytest.mark.parametrize(("n", "n_trials"), [(100, 120), (3000, 40)])
def test_the_interval_of_the_calibration_error_covers_0(n, n_trials):
    rng = np.random.default_rng(0)
    estimates = [calibration_estimate(*calibrated_predictions(n, rng)) for _ in range(n_trials)]
    assert np.mean([estimate.low == 0 for estimate in estimates]) >= 0.9
    assert all(low <= value <= high for value, low, high in estimates)


def test_the_interval_of_the_calibration_error_covers_that_of_a_poor_model():
    rng = np.random.default_rng(0)
    population = calibrated_predictions(60_000, rng, temperature=0.4)
    true = calibration_estimate(*population).value
    rows = rng.integers(60_000, size=(60, 400))
    estimates = [calibration_estimate(*(part[row] for part in population)) for row in rows]
    assert np.mean([low <= true <= high for _, low, high in estimates]) >= 0.9
    assert np.mean([low > 0.02 for _, low, _ in estimates]) >= 0.9


def test_the_log_loss_of_skewed_probabilities_has_a_skewed_interval():
    # Few confident errors: the mean could be far higher, but hardly lower.
    proba = np.tile([0.999, 0.001], (100, 1))
    y_true = ["happy"] * 94 + ["sad"] * 6
    report = evaluate_predictions(y_true, ["happy"] * 100, y_proba=proba, labels=["happy", "sad"])
    value, low, high = report.overall["log_loss"]
    assert low < value < high
    assert high - value > 1.2 * (value - low)


def test_the_log_loss_allows_for_an_error_that_was_not_seen():
    proba = np.tile([0.999, 0.001], (100, 1))
    report = evaluate_predictions(
        ["happy"] * 100, ["happy"] * 100, y_proba=proba, labels=["happy", "sad"]
    )
    value, low, high = report.overall["log_loss"]
    assert (value, low) == (pytest.approx(0.001, rel=0.01), 0)
    assert high == pytest.approx(1.96 * 2**0.5 * -np.log(0.001) / 100, rel=0.05)


def test_probabilities_leave_the_other_numbers_alone():
    y_true, y_pred, proba = make_predictions()
    without = evaluate_predictions(y_true, y_pred)
    report = evaluate_predictions(y_true, y_pred, y_proba=proba)
    assert report.per_emotion == without.per_emotion
    assert report.overall["accuracy"] == without.overall["accuracy"]


def test_all_intervals_of_publictest_take_under_a_second():
    y_true, y_pred, proba = make_predictions(3589)
    seconds = []
    for _ in range(3):  # another process may disturb a single run
        start = time.perf_counter()
        evaluate_predictions(y_true, y_pred, y_proba=proba, n_resamples=1000)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1


def test_a_label_that_is_missing_from_a_fold():
    labels = list("abcd")
    y_true, y_pred, proba = make_predictions(labels=labels)
    fold = y_true != "d"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = evaluate_predictions(
            y_true[fold], y_pred[fold], y_proba=proba[fold], labels=labels
        )
    assert np.isnan(report.per_emotion["d"]["recall"]).all()
    assert report.overall["log_loss"].value == pytest.approx(
        log_loss(y_true[fold], proba[fold], labels=labels)
    )
    assert np.isfinite(values(report)).all()


def test_without_probabilities_their_numbers_are_nan_and_not_printed():
    report = evaluate_predictions(["a", "b"], ["a", "a"])
    assert np.isnan([report.overall[name] for name in PROBABILITY_METRICS]).all()
    assert report.scores is None
    assert json.loads(report.to_json())["overall"]["log_loss"]["value"] is None
    assert report.to_frame().set_index("metric").value[["log_loss"]].isna().all()
    for text in (repr(report), report.to_markdown(), report._repr_html_()):
        assert "log loss" not in text


def test_with_probabilities_their_numbers_are_printed():
    y_true, y_pred, proba = make_predictions()
    report = evaluate_predictions(y_true, y_pred, y_proba=proba)
    shown = f"{report.overall['log_loss'].value:.3f}"
    for text in (repr(report), report.to_markdown(), report._repr_html_()):
        assert "log loss" in text
        assert shown in text


def test_the_report_keeps_the_prediction_for_each_image():
    y_true, y_pred, proba = make_predictions()
    report = evaluate_predictions(y_true, y_pred, y_proba=proba)
    assert report.y_true.dtype == np.uint8
    np.testing.assert_array_equal(report.labels[report.y_true], y_true)
    np.testing.assert_array_equal(report.labels[report.y_pred], y_pred)
    np.testing.assert_array_equal(report.scores.confidence, proba.max(axis=1))
    np.testing.assert_array_equal(report.scores.correct, y_true == y_pred)
    assert report.scores.log_loss.mean() == pytest.approx(report.overall["log_loss"].value)
    assert not {"y_true", "y_pred", "scores"} & set(report.to_dict())


def test_evaluate_takes_labels_and_probabilities_of_the_estimator(X, y):
    model = LogisticRegression().fit(X, y)
    report = evaluate(model, X, y)
    assert report.overall["accuracy"].value == pytest.approx(model.score(X, y))
    assert report.overall["log_loss"].value == pytest.approx(log_loss(y, model.predict_proba(X)))


def test_the_pretrained_network_predicts_once(faces, monkeypatch):
    model = load_pretrained("tiny", runtime="litert")
    network = model[-1]
    expected = log_loss(faces[1], model.predict_proba(faces[0]), labels=EMOTIONS)
    calls, whole = [], type(network)._batch_proba

    def counted(self, pixels):
        calls.append(len(pixels))
        return whole(self, pixels)

    monkeypatch.setattr(type(network), "_batch_proba", counted)
    report = evaluate(model, *faces)
    assert sum(calls) == len(faces[0])
    assert report.overall["log_loss"].value == pytest.approx(expected, rel=1e-5)


class Declaring(Counting):
    """A classifier whose labels follow from its probabilities."""

    def predict_from_proba(self, y_proba):
        return self.classes_[y_proba.argmax(axis=1)]


@pytest.mark.parametrize("wrap", [lambda model: model, make_pipeline, FrozenEstimator])
def test_a_classifier_that_predicts_from_its_probabilities_predicts_once(X, y, wrap):
    model = Declaring().fit(X, y)
    report = evaluate(wrap(model), X, y)
    assert model.computed_ == [30]
    np.testing.assert_array_equal(report.labels[report.y_pred], model.predict(X))


def test_evaluating_leaves_the_estimator_as_it_was(X, y):
    model = Declaring().fit(X, y)
    before = dict(vars(model))
    evaluate(model, X, y)
    assert vars(model) == before


def test_a_subclass_that_predicts_differently_is_called(X, y):
    class Last(Declaring):
        def predict(self, X):
            return np.repeat(self.classes_[-1], len(X))

    report = evaluate(Last().fit(X, y), X, y)
    assert report.confusion_matrix[:, 2].tolist() == [10, 10, 10]


def test_any_other_predict_is_called(X, y):
    model = Counting().fit(X, y)
    report = evaluate(model, X, y)
    assert model.computed_ == [30, 30]
    np.testing.assert_array_equal(report.labels[report.y_pred], model.predict(X))


def test_calibrated_probabilities_are_computed_once(X, y):
    model = CalibratedClassifierCV(Counting(), cv=2, ensemble=False).fit(X, y)
    inner = model.calibrated_classifiers_[0].estimator
    inner.computed_.clear()
    report = evaluate(model, X, y)
    assert inner.computed_ == [30]
    assert report.overall["accuracy"].value == pytest.approx(model.score(X, y))


def test_predict_on_other_images_is_computed_again(X, y):
    model = Counting("negative").fit(X, y)
    report = evaluate(model, X, y)
    assert model.computed_ == [30, 30]
    np.testing.assert_array_equal(report.labels[report.y_pred], model.predict(X))


@pytest.mark.parametrize("wrap", [lambda model: model, make_pipeline])
def test_labels_come_from_predict_not_from_probabilities(X, y, wrap):
    model = wrap(Counting("last")).fit(X, y)
    report = evaluate(model, X, y)
    assert report.confusion_matrix[:, 2].tolist() == [10, 10, 10]
    most_probable = Counting().fit(X, y).predict(X)
    np.testing.assert_array_equal(report.scores.correct, y == most_probable)
    assert report.overall["log_loss"].value == pytest.approx(log_loss(y, model.predict_proba(X)))


def test_an_svm_calibrated_separately(small_faces):
    X, y = small_faces
    model = make_hog_svm_pipeline(HOGSVMClassifier(probability=True, random_state=0))
    model.fit(X[:140], y[:140])
    X, y = X[140:], y[140:]
    report = evaluate(model, X, y)
    assert report.overall["accuracy"].value == pytest.approx(model.score(X, y))
    assert report.overall["log_loss"].value == pytest.approx(log_loss(y, model.predict_proba(X)))


def test_an_abstaining_classifier(small_faces):
    X, y = small_faces
    model = AbstainingClassifier(
        make_hog_svm_pipeline(HOGSVMClassifier(probability=True)), threshold=0.7
    )
    model.fit(X[:140], y[:140])
    X, y = X[140:], y[140:]
    report = evaluate(model, X, y, labels=[*EMOTIONS, "uncertain"])
    assert report.overall["accuracy"].value == pytest.approx((model.predict(X) == y).mean())
    assert report.confusion_matrix[:, -1].sum() == (model.predict(X) == "uncertain").sum() > 0
    assert report.overall["log_loss"].value == pytest.approx(log_loss(y, model.predict_proba(X)))
    with pytest.raises(ValueError, match=r"^predict\(X\) has .*'uncertain'.* list every label in"):
        evaluate(model, X, y)


class HalvingWithoutState(TransformerMixin, BaseEstimator):
    """A stateless transformer without a tag that says so."""

    def __init__(self):
        self.n_calls = 0

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        self.n_calls += 1
        return np.asarray(X) / 2


@pytest.mark.parametrize(
    "last", [RandomForestClassifier(5, random_state=0), LogisticRegression(), Counting("last")]
)
def test_the_steps_of_a_pipeline_run_once(X, y, last):
    step = HalvingWithoutState()
    model = make_pipeline("passthrough", step, last).fit(X, y)
    step.n_calls = 0
    report = evaluate(model, X, y)
    assert step.n_calls == 1
    assert report.overall["accuracy"].value == pytest.approx(model.score(X, y))
    assert report.overall["log_loss"].value == pytest.approx(log_loss(y, model.predict_proba(X)))


def test_a_search_predicts_with_its_best_model(X, y):
    step = HalvingWithoutState()
    search = GridSearchCV(
        make_pipeline(FunctionTransformer(step.transform), LogisticRegression()),
        {"logisticregression__C": [1e-3, 1.0]},
        cv=2,
    ).fit(X, y)
    step = search.best_estimator_[0].func.__self__
    step.n_calls = 0
    report = evaluate(search, X, y)
    assert step.n_calls == 1
    assert report.overall["log_loss"].value == pytest.approx(log_loss(y, search.predict_proba(X)))


def test_columns_follow_the_estimator_and_not_the_order_of_labels(X, y):
    model = LogisticRegression().fit(X, y)
    plain, turned = evaluate(model, X, y), evaluate(model, X, y, labels=["c", "a", "b"])
    assert values(turned) == pytest.approx(values(plain))


def test_a_label_the_estimator_has_not_seen_has_probability_0(X, y):
    model = LogisticRegression().fit(X, y)
    y = np.where(np.arange(30) < 6, "new", y)
    report = evaluate(model, X, y, labels=["a", "b", "c", "new"])
    proba = np.column_stack([model.predict_proba(X), np.zeros(30)])
    assert report.overall["log_loss"].value == pytest.approx(log_loss(y, proba))
    assert report.overall["top_2_accuracy"].value == pytest.approx(
        top_k_accuracy_score(y, proba, k=2)
    )
    assert not report.scores.correct[:6].any()


def test_an_estimator_without_probabilities_is_measured_without_them(X, y):
    model = make_pipeline(LinearSVC()).fit(X, y)
    report = evaluate(model, X, y)
    assert report.overall["accuracy"].value == pytest.approx(model.score(X, y))
    assert np.isnan(values(report)).all()


def test_probabilities_can_be_required(X, y):
    with pytest.raises(TypeError, match=r"^estimator is LinearSVC, which has no predict_proba;"):
        evaluate(make_pipeline(LinearSVC()).fit(X, y), X, y, response_method="predict_proba")


def test_probabilities_can_be_skipped(X, y):
    model = Counting("last").fit(X, y)
    assert evaluate(model, X, y, response_method="predict").scores is None
    assert model.computed_ == []


@pytest.mark.parametrize("response_method", ["yes", 2, None])
def test_unknown_response_method(X, y, response_method):
    with pytest.raises(ValueError, match=r"^The 'response_method' parameter of .*evaluate must be"):
        evaluate(DummyClassifier().fit(X, y), X, y, response_method=response_method)


class Unnormalised(DummyClassifier):
    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 0.5)


def test_probabilities_that_do_not_sum_to_one_are_an_error(X, y):
    with pytest.raises(ValueError, match=r"^predict_proba\(X\)\[0\] is \[0\.5 0\.5 0\.5\]; .* sum"):
        evaluate(Unnormalised().fit(X, y), X, y)


@pytest.mark.parametrize(
    ("y_proba", "message"),
    [
        ([[0.5, 0.5], [0.9, 0.3]], r"^y_proba\[1\] is \[0\.9 0\.3\]; expected a sum of 1;"),
        ([[0.5, 0.5], [np.nan, 1]], r"^y_proba\[1\] is \[nan  1\.\]; expected numbers from 0"),
        ([[0.5, 0.5]], r"^y_proba has shape \(1, 2\); expected \(2, 2\)"),
        ([0.5, 0.5], r"^y_proba has shape \(2,\); expected \(2, 2\)"),
        (
            [[0.5, 0.2, 0.3], [0.1, 0.1, 0.8]],
            r"^y_proba has 3 column\(s\) for 2 label\(s\), 'a', 'b'; .* labels=estimator\.classes_",
        ),
    ],
)
def test_bad_probabilities_are_errors(y_proba, message):
    with pytest.raises(ValueError, match=message):
        evaluate_predictions(["a", "b"], ["a", "b"], y_proba=y_proba)
    with pytest.raises(ValueError, match=message):
        accuracy_coverage_curve(["a", "b"], y_proba)
