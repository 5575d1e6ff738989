"""AbstainingClassifier: predicts if it is confident, abstains otherwise, and counts both."""

import math

import numpy as np
import pytest
from joblib import parallel_config
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    cross_val_predict,
    train_test_split,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from fer_sklearn import (
    EMOTIONS,
    AbstainingClassifier,
    HOGSVMClassifier,
    load,
    load_pretrained,
    make_hog_svm_pipeline,
    save,
)

_CLASSES = ["angry", "happy", "sad"]
_TAKEN = "the check has labels -1 and 1, but -1 means uncertain if labels are numbers"
_ABSTAINS = "the model abstains on a tenth of the images, which the check counts as errors"
EXPECTED_FAILURES = {
    "threshold": {"check_classifiers_classes": _TAKEN},
    "coverage": {"check_classifiers_classes": _TAKEN, "check_classifiers_train": _ABSTAINS},
}


class GivenProbabilities(ClassifierMixin, BaseEstimator):
    """Returns its input as probabilities."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.asarray(X)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


@pytest.fixture(scope="module")
def data():
    """240 points of three classes that overlap, and their labels."""
    rng = np.random.default_rng(0)
    codes = np.arange(240) % 3
    centres = np.array([[0.0, 0.0], [1.5, 0.0], [0.0, 1.5]])
    X = rng.normal(centres[codes])
    return X, np.array(_CLASSES)[codes]


@pytest.fixture(scope="module")
def fitted(data):
    return LogisticRegression().fit(*data)


@parametrize_with_checks(
    [
        AbstainingClassifier(GaussianNB(), threshold=0.0),
        AbstainingClassifier(GaussianNB(), coverage=0.9, cv=2),
    ],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES[
        "threshold" if estimator.coverage is None else "coverage"
    ],
    xfail_strict=True,
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_passes_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("threshold", [0, 0.5, 0.8, 1])
def test_predicts_where_the_highest_probability_reaches_the_threshold(data, fitted, threshold):
    X, y = data
    model = AbstainingClassifier(LogisticRegression(), threshold=threshold).fit(X, y)
    sure = fitted.predict_proba(X).max(axis=1) >= threshold
    expected = np.where(sure, fitted.predict(X), "uncertain")
    np.testing.assert_array_equal(model.predict(X), expected)
    assert model.threshold_ == threshold
    assert 0 < sure.sum() < len(X) or threshold in (0, 1)


def test_a_probability_equal_to_the_threshold_is_accepted():
    model = AbstainingClassifier(GivenProbabilities(), threshold=0.75).fit([[0.0]] * 2, ["a", "b"])
    assert model.predict([[0.75, 0.25], [0.5, 0.5]]).tolist() == ["a", "uncertain"]


def test_probabilities_and_classes_are_those_of_the_inner_estimator(data, fitted):
    X, y = data
    model = AbstainingClassifier(LogisticRegression(), threshold=0.9).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), fitted.predict_proba(X))
    assert model.classes_.tolist() == _CLASSES
    assert model.uncertain_label_ == "uncertain"
    assert model.n_features_in_ == 2


def test_the_inner_estimator_is_cloned(data):
    inner = LogisticRegression()
    AbstainingClassifier(inner, coverage=0.5).fit(*data)
    assert not hasattr(inner, "classes_")


@pytest.mark.parametrize("coverage", [0.001, 0.333, 0.5, 0.55, 1])
def test_coverage_is_the_smallest_sufficient_fraction(data, fitted, coverage):
    X = data[0][:100]
    model = AbstainingClassifier(FrozenEstimator(fitted), coverage=coverage).fit(X)
    confident = model.predict(X) != "uncertain"
    assert confident.sum() == {0.001: 1, 0.333: 34, 0.5: 50, 0.55: 55, 1: 100}[coverage]
    confidence = fitted.predict_proba(X).max(axis=1)
    assert confidence[confident].min() == model.threshold_ > confidence[~confident].max(initial=0)


def test_equal_probabilities_are_accepted_together():
    proba = [[0.9, 0.1], [0.7, 0.3], [0.7, 0.3], [0.6, 0.4]]
    frozen = FrozenEstimator(GivenProbabilities().fit(proba, ["a", "b", "a", "b"]))
    model = AbstainingClassifier(frozen, coverage=0.5).fit(proba)
    assert model.selective_accuracy(proba, ["a", "a", "b", "b"]) == (0.75, 2 / 3, 3)


@pytest.mark.parametrize("cv", [None, 3, StratifiedKFold(4, shuffle=True, random_state=1)])
def test_coverage_is_chosen_on_images_that_were_held_out(data, cv):
    X, y = data
    model = AbstainingClassifier(LogisticRegression(), coverage=0.7, cv=cv).fit(X, y)
    held_out = cross_val_predict(LogisticRegression(), X, y, cv=cv, method="predict_proba")
    confidence = held_out.max(axis=1)
    assert (confidence >= model.threshold_).mean() == 0.7
    assert model.threshold_ in confidence


def test_folds_can_be_given(data):
    X, y = data
    groups = np.arange(len(X)) // 4
    folds = list(StratifiedGroupKFold(3).split(X, y, groups))
    model = AbstainingClassifier(LogisticRegression(), coverage=0.7, cv=folds).fit(X, y)
    held_out = cross_val_predict(LogisticRegression(), X, y, cv=folds, method="predict_proba")
    assert (held_out.max(axis=1) >= model.threshold_).mean() == 0.7


def test_folds_in_parallel_give_the_same(data):
    one = AbstainingClassifier(LogisticRegression(), coverage=0.7).fit(*data)
    with parallel_config(backend="threading"):
        two = clone(one).set_params(n_jobs=2).fit(*data)
    assert one.threshold_ == two.threshold_


def test_labels_reach_the_folds_as_they_are(data):
    # Class weights by name, and the labels of a pretrained model, match only names.
    inner = LogisticRegression(class_weight={"angry": 3.0})
    model = AbstainingClassifier(inner, coverage=0.8).fit(*data)
    numbers = clone(inner).set_params(class_weight={0: 3.0})
    codes = np.searchsorted(_CLASSES, data[1])
    assert (
        model.threshold_
        == AbstainingClassifier(numbers, coverage=0.8).fit(data[0], codes).threshold_
    )


def test_fit_parameters_are_split_with_the_folds(data):
    X, y = data
    weight = np.where(np.arange(len(X)) % 4, 1.0, 0.0)
    weighted = AbstainingClassifier(LogisticRegression(), coverage=0.7, cv=2)
    weighted.fit(X, y, sample_weight=weight)
    held_out = cross_val_predict(
        LogisticRegression(), X, y, cv=2, method="predict_proba", params={"sample_weight": weight}
    )
    assert (held_out.max(axis=1) >= weighted.threshold_).mean() == 0.7
    np.testing.assert_array_equal(
        weighted.estimator_.coef_, LogisticRegression().fit(X, y, sample_weight=weight).coef_
    )


def test_a_frozen_model_is_unchanged(data, fitted):
    X, y = data
    model = AbstainingClassifier(FrozenEstimator(fitted), coverage=0.5).fit(X[:20], y[:20][::-1])
    assert model.estimator_.estimator is fitted
    np.testing.assert_array_equal(model.predict_proba(X), fitted.predict_proba(X))


@pytest.mark.parametrize("threshold", [0.0, 0.6, 0.9])
def test_selective_scores_count_predictions_and_correct_ones(data, fitted, threshold):
    X, y = data
    model = AbstainingClassifier(FrozenEstimator(fitted), threshold=threshold).fit(X)
    predicted = model.predict(X)
    confident = predicted != "uncertain"
    scores = model.selective_accuracy(X, y)
    assert scores.n_predicted == confident.sum()
    assert scores.coverage == confident.mean()
    assert scores.accuracy == accuracy_score(y[confident], predicted[confident])


def test_accuracy_without_predictions_is_nan(data):
    model = AbstainingClassifier(LogisticRegression(), threshold=1).fit(*data)
    assert set(model.predict(data[0])) == {"uncertain"}
    scores = model.selective_accuracy(*data)
    assert scores.coverage == scores.n_predicted == 0
    assert math.isnan(scores.accuracy)


def test_score_is_the_fraction_of_all_images_classified_correctly(data):
    X, y = data
    model = AbstainingClassifier(LogisticRegression(), threshold=0.7).fit(X, y)
    scores = model.selective_accuracy(X, y)
    assert model.score(X, y) == accuracy_score(y, model.predict(X))
    assert model.score(X, y) == pytest.approx(scores.coverage * scores.accuracy)


def test_true_labels_that_were_not_learned_are_rejected(data):
    X, y = data
    model = AbstainingClassifier(LogisticRegression(), threshold=0.7).fit(X, y)
    with pytest.raises(
        ValueError, match="that are not among the classes that AbstainingClassifier was fitted on"
    ):
        model.selective_accuracy(X, np.where(y == "sad", "uncertain", y))


@pytest.mark.parametrize(("given", "meant"), [(None, -1), (-9, -9), (0.5, 0.5)])
def test_numeric_labels_have_a_number_for_uncertain(data, given, meant):
    X, y = data
    codes = np.searchsorted(_CLASSES, y) + 1
    model = AbstainingClassifier(LogisticRegression(), threshold=0.6, uncertain_label=given)
    predicted = model.fit(X, codes).predict(X)
    assert model.uncertain_label_ == meant
    assert set(predicted.tolist()) == {meant, 1, 2, 3}
    assert predicted.dtype.kind == ("f" if given == 0.5 else "i")


def test_labels_of_any_length_and_kind_of_text(data):
    X, y = data
    for labels in (y.astype(object), y.tolist()):
        model = AbstainingClassifier(LogisticRegression(), threshold=0.6, uncertain_label="?")
        assert set(model.fit(X, labels).predict(X)) == {*_CLASSES, "?"}


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({}, ValueError, r"threshold=None and coverage=None; expected exactly one of them: "),
        (
            {"threshold": 0.5, "coverage": 0.5},
            ValueError,
            r"threshold=0\.5 and coverage=0\.5; expected exactly one of them: ",
        ),
        (
            {"threshold": 1.5},
            ValueError,
            r"'threshold' parameter of AbstainingClassifier must be a float in the range "
            r"\[0\.0, 1\.0\] or None\. Got 1\.5",
        ),
        (
            {"coverage": 0.0},
            ValueError,
            r"'coverage' .* in the range \(0\.0, 1\.0\] or None\. Got 0\.0",
        ),
        ({"coverage": 80}, ValueError, r"'coverage' .* Got 80"),
        ({"threshold": math.nan}, ValueError, r"'threshold' .* Got nan"),
        (
            {"threshold": 0.5, "uncertain_label": "sad"},
            ValueError,
            r"uncertain_label='sad' is one of the classes, \['angry', 'happy', 'sad'\]; choose",
        ),
        (
            {"threshold": 0.5, "uncertain_label": -1},
            ValueError,
            r"uncertain_label=-1, but the classes are text: .*; expected the same kind, such as "
            r"'uncertain'\.$",
        ),
        (
            {"estimator": LinearSVC(), "threshold": 0.5},
            TypeError,
            r"^estimator is LinearSVC, which has no predict_proba, so its confidence is "
            r"unknown\. Wrap it in sklearn\.calibration\.CalibratedClassifierCV, or set its",
        ),
        (
            {"estimator": HOGSVMClassifier(), "threshold": 0.5},
            TypeError,
            r"^estimator is HOGSVMClassifier, which has no predict_proba",
        ),
    ],
)
def test_invalid_parameters_are_errors(data, parameters, error, message):
    model = AbstainingClassifier(**{"estimator": LogisticRegression(), **parameters})
    with pytest.raises(error, match=message):
        model.fit(*data)


def test_text_among_numbers_is_rejected(data):
    X, y = data
    model = AbstainingClassifier(LogisticRegression(), threshold=0.5, uncertain_label="uncertain")
    with pytest.raises(ValueError, match=r"but the classes are numbers: .* such as -1\.$"):
        model.fit(X, np.searchsorted(_CLASSES, y))


def test_a_class_rarer_than_the_folds_is_an_error(data):
    X, y = data
    y = np.where(np.arange(len(y)) == 0, "disgust", y)
    with pytest.raises(
        ValueError, match=r"^y has 1 sample\(s\) of class 'disgust', but cv has 5 folds, some of"
    ):
        AbstainingClassifier(LogisticRegression(), coverage=0.5).fit(X, y)


def test_a_class_missing_from_a_fold_is_an_error(data):
    X, y = data
    order = np.argsort(y)
    with pytest.raises(ValueError, match=r"^Fold 0 of cv=KFold.* trains without .* 'angry'; exp"):
        AbstainingClassifier(LogisticRegression(), coverage=0.5, cv=KFold(3)).fit(
            X[order], y[order]
        )


def test_a_fit_that_fails_leaves_the_earlier_one(data):
    X, y = data
    model = AbstainingClassifier(LogisticRegression(), coverage=0.5).fit(X, y)
    before = dict(vars(model))
    with pytest.raises(ValueError, match="uncertain"):
        model.fit(X, np.where(y == "angry", "uncertain", y))
    assert vars(model) == before


def test_labels_are_needed_to_train(data):
    with pytest.raises(ValueError, match=r"but the target y is None\. Only a FrozenEstimator"):
        AbstainingClassifier(LogisticRegression(), threshold=0.5).fit(data[0])


def test_invalid_probabilities_are_rejected():
    model = AbstainingClassifier(GivenProbabilities(), threshold=0.5).fit([[0.0]] * 2, ["a", "b"])
    for wrong in ([[0.7, 0.7]], [[math.nan, 1.0]]):
        with pytest.raises(ValueError, match=r"^predict_proba\(X\)\[0\] is"):
            model.predict(wrong)


def test_predicting_before_fit(data, fitted):
    for inner in (LogisticRegression(), FrozenEstimator(fitted)):
        with pytest.raises(NotFittedError):
            AbstainingClassifier(inner, threshold=0.5).predict(data[0])


def test_photos_of_any_size_go_through(small_faces):
    X, y = (array[:140] for array in small_faces)
    photos = [np.stack([face] * 3, axis=2)[: 22 + row % 3] for row, face in enumerate(X)]
    inner = make_hog_svm_pipeline(LogisticRegression(), size=24)
    model = AbstainingClassifier(inner, coverage=0.6, cv=2).fit(photos, y)
    scores = model.selective_accuracy(photos, y)
    assert scores.coverage >= 0.6
    assert scores.accuracy > 0.9


def test_a_search_over_coverage_in_parallel(data):
    X, y = data
    model = AbstainingClassifier(LogisticRegression(), coverage=0.5, cv=2)
    search = GridSearchCV(model, {"coverage": [0.3, 0.9], "estimator__C": [1.0]}, cv=2, n_jobs=2)
    assert search.fit(X, y).best_params_["coverage"] == 0.9  # more predictions, more correct
    assert clone(model).get_params()["coverage"] == 0.5


def test_saved_models_are_restored(data, tmp_path):
    X, y = data
    model = AbstainingClassifier(LogisticRegression(), coverage=0.5).fit(X, y)
    again = load(save(model, tmp_path / "model"))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.threshold_ == model.threshold_


def test_a_pretrained_model_needs_no_labels(faces):
    X, y = faces
    shipped = load_pretrained("tiny", runtime="litert")
    model = AbstainingClassifier(FrozenEstimator(shipped), coverage=0.5).fit(X)
    confident = model.predict(X) != "uncertain"
    assert confident.sum() == 35
    np.testing.assert_array_equal(model.predict(X)[confident], shipped.predict(X)[confident])
    assert model.classes_.tolist() == sorted(EMOTIONS)
    assert model.selective_accuracy(X, y).n_predicted == 35


def test_coverage_holds_and_accuracy_grows_on_fer2013(fer2013_path):
    from fer_sklearn import load_fer2013

    X, y = load_fer2013(fer2013_path, subset="public", return_X_y=True)
    X, X_new, _, y_new = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)
    shipped = FrozenEstimator(load_pretrained("tiny", runtime="litert"))
    model = AbstainingClassifier(shipped, coverage=0.5).fit(X)
    scores = model.selective_accuracy(X_new, y_new)
    assert scores.coverage == pytest.approx(0.5, abs=0.05)  # three standard deviations
    assert scores.accuracy > shipped.score(X_new, y_new) + 0.1


@pytest.mark.parametrize(
    "dtype", ["uint8", "uint16", "uint32", "uint64", "int8", "int64", ">i2", "float16", "bool"]
)
@pytest.mark.parametrize("uncertain", [None, -7, 1000, 0.1, np.float64(0.1)])
def test_the_uncertain_label_survives_any_dtype_of_labels(dtype, uncertain):
    X = np.random.default_rng(0).normal(size=(60, 4))
    y = (np.arange(60) % 2).astype(dtype)
    model = AbstainingClassifier(GaussianNB(), threshold=0.6, uncertain_label=uncertain).fit(X, y)
    predicted = model.predict(X)
    sure = model.predict_proba(X).max(axis=1) >= 0.6
    assert 0 < sure.sum() < 60
    assert model.uncertain_label_ == (-1 if uncertain is None else uncertain)
    assert_array_equal(predicted == model.uncertain_label_, ~sure)
    assert_array_equal(predicted[sure], model.estimator_.predict(X)[sure])
    assert_array_equal(model.predict_from_proba(model.predict_proba(X)), predicted)
    assert_array_equal(model.classes_, np.unique(y))
    n_correct = (predicted == y).sum()
    if not isinstance(model.uncertain_label_, float):
        assert model.score(X, y) == pytest.approx(n_correct / 60)
    assert model.selective_accuracy(X, y).accuracy == pytest.approx(n_correct / sure.sum())


@pytest.mark.parametrize(
    ("classes", "uncertain"),
    [
        (np.array([0, 2**63], np.uint64), -1),
        (np.array([0, 2**60 + 1]), 0.5),
        (np.array([0, 1]), 2**70),
    ],
)
def test_labels_beyond_any_number_type_are_kept(classes, uncertain):
    X = [[0.0], [1.0], [9.0], [10.0]]
    model = AbstainingClassifier(GaussianNB(), threshold=0.5, uncertain_label=uncertain)
    predicted = model.fit(X, classes[[0, 0, 1, 1]]).predict_from_proba([[1, 0], [0, 1], [0.5, 0.5]])
    assert predicted.tolist() == [*classes.tolist(), classes[0]]
    model.threshold_ = 0.6
    predicted = model.predict_from_proba([[1, 0], [0, 1], [0.5, 0.5]])
    assert predicted.tolist() == [*classes.tolist(), uncertain]


def test_nan_cannot_be_the_uncertain_label(data):
    model = AbstainingClassifier(GaussianNB(), threshold=0.5, uncertain_label=np.nan)
    with pytest.raises(ValueError, match=r"uncertain_label=nan does not equal itself.* such as -1"):
        model.fit([[0.0], [1.0]], [0, 1])
