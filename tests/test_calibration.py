"""scikit-learn's calibration works with these classifiers, on images, photos and names."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, cross_val_predict

from fer_sklearn import (
    FERCNNClassifier,
    HOGSVMClassifier,
    LSSVMClassifier,
    duplicate_groups,
    evaluate_predictions,
    load,
    load_fer2013,
    load_pretrained,
    make_faces,
    make_hog_svm_pipeline,
    save,
)

METHODS = ["temperature", "isotonic"]


class TooSure(ClassifierMixin, BaseEstimator):
    """Square the probabilities of a fitted classifier, which makes it overconfident."""

    def __init__(self, fitted):
        self.fitted = fitted

    def fit(self, X, y):
        self.classes_ = self.fitted[-1].classes_
        return self

    def predict_proba(self, X):
        squares = self.fitted.predict_proba(X).astype(float) ** 2
        return squares / squares.sum(axis=1, keepdims=True)

    def predict(self, X):
        return self.fitted.predict(X)


@pytest.fixture(scope="module")
def drawn():
    return make_faces(210, random_state=0, return_X_y=True)


@pytest.fixture(scope="module")
def train(drawn):
    return tuple(array[:140] for array in drawn)


@pytest.fixture(scope="module")
def test(drawn):
    return tuple(array[140:] for array in drawn)


@pytest.fixture(scope="module")
def shipped():
    return load_pretrained("tiny", labels="fer2013", runtime="litert")


def hog_svm(**parameters):
    return make_hog_svm_pipeline(HOGSVMClassifier(**parameters))


def temperature_of(calibrated):
    return 1 / calibrated.calibrated_classifiers_[0].calibrators[0].beta_


def best_temperature(logits, codes):
    """The temperature with the lowest log loss, found differently from scikit-learn."""
    rows = np.arange(len(codes))
    found = minimize_scalar(
        lambda log_t: -log_softmax(logits / np.exp(log_t), axis=1)[rows, codes].mean(),
        bounds=(-4, 4),
        method="bounded",
        options={"xatol": 1e-8},
    )
    return float(np.exp(found.x))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("ensemble", [True, False])
def test_a_pipeline_on_images_gets_probabilities(train, test, method, ensemble):
    model = CalibratedClassifierCV(hog_svm(), method=method, cv=3, ensemble=ensemble).fit(*train)
    proba = model.predict_proba(test[0])
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert model.classes_.tolist() == np.unique(train[1]).tolist()
    assert model.score(*test) > 0.8
    # Better than predicting the class frequencies.
    assert log_loss(test[1], proba) < np.log(7) / 2


@pytest.mark.parametrize(
    "classifier",
    [HOGSVMClassifier(), HOGSVMClassifier(kernel="linear", random_state=0), LSSVMClassifier()],
)
def test_temperature_divides_the_scores_of_an_svm(train, test, classifier):
    inner = make_hog_svm_pipeline(classifier)
    model = CalibratedClassifierCV(inner, method="temperature", cv=3, ensemble=False).fit(*train)
    scores = cross_val_predict(inner, *train, cv=3, method="decision_function")
    expected = best_temperature(scores, np.searchsorted(model.classes_, train[1]))
    assert temperature_of(model) == pytest.approx(expected, rel=1e-2)
    refitted = clone(inner).fit(*train)
    np.testing.assert_allclose(
        model.predict_proba(test[0]),
        softmax(refitted.decision_function(test[0]) / temperature_of(model), axis=1),
        atol=1e-6,
    )


def test_scores_take_precedence_over_probabilities_of_an_svm(train, test):
    # So probability=True is wasted time inside CalibratedClassifierCV.
    model = CalibratedClassifierCV(
        hog_svm(probability=True, random_state=0), method="temperature", cv=3, ensemble=False
    ).fit(*train)
    plain = CalibratedClassifierCV(hog_svm(), method="temperature", cv=3, ensemble=False)
    assert temperature_of(model) == pytest.approx(temperature_of(plain.fit(*train)), rel=0.1)


def test_temperature_divides_the_log_probabilities_of_a_pretrained_model(shipped, train, test):
    model = CalibratedClassifierCV(FrozenEstimator(shipped), method="temperature").fit(*train)
    logits = np.log(shipped.predict_proba(train[0]).astype(float))
    expected = best_temperature(logits, np.searchsorted(model.classes_, train[1]))
    assert temperature_of(model) == pytest.approx(expected, rel=1e-2)
    logits = np.log(shipped.predict_proba(test[0]).astype(float))
    np.testing.assert_allclose(
        model.predict_proba(test[0]), softmax(logits / temperature_of(model), axis=1), atol=1e-5
    )


def test_a_pretrained_model_keeps_its_labels_under_a_temperature(shipped, train, test):
    model = CalibratedClassifierCV(FrozenEstimator(shipped), method="temperature").fit(*train)
    np.testing.assert_array_equal(model.predict(test[0]), shipped.predict(test[0]))


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_network_is_calibrated_on_folds(train, test, method):
    network = FERCNNClassifier(epochs=2, random_state=0)
    model = CalibratedClassifierCV(network, method=method, cv=2)
    proba = model.fit(train[0][:, ::3, ::3], train[1]).predict_proba(test[0][:, ::3, ::3])
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert len(model.calibrated_classifiers_) == 2


@pytest.mark.parametrize("method", METHODS)
def test_photos_of_any_size_go_through(train, test, method):
    photos = [np.stack([face] * 3, axis=2)[: 44 + row % 3] for row, face in enumerate(train[0])]
    model = CalibratedClassifierCV(hog_svm(), method=method, cv=2).fit(photos, train[1])
    assert model.predict_proba(list(test[0][:3])).shape == (3, 7)
    assert model.score(*test) > 0.5


def test_given_folds_keep_duplicates_together(train, test):
    X, y = np.concatenate([train[0], train[0]]), np.concatenate([train[1], train[1]])
    groups = duplicate_groups(X)
    folds = list(StratifiedGroupKFold(3).split(X, y, groups))
    assert not any(set(groups[a]) & set(groups[b]) for a, b in folds)
    together = CalibratedClassifierCV(hog_svm(), method="temperature", cv=folds).fit(X, y)
    apart = CalibratedClassifierCV(hog_svm(), method="temperature", cv=3).fit(X, y)
    # An SVM that has seen the duplicates is more confident than it can be on new faces.
    assert temperature_of(apart) < temperature_of(together)


@pytest.mark.parametrize("method", METHODS)
def test_a_calibrated_pipeline_is_saved(train, test, tmp_path, method):
    model = CalibratedClassifierCV(hog_svm(), method=method, cv=2).fit(*train)
    again = load(save(model, tmp_path / "model"))
    np.testing.assert_array_equal(again.predict_proba(test[0]), model.predict_proba(test[0]))


def test_a_calibrated_pretrained_model_is_saved(shipped, train, test, tmp_path):
    model = CalibratedClassifierCV(FrozenEstimator(shipped), method="isotonic").fit(*train)
    again = load(save(model, tmp_path / "model"))
    np.testing.assert_allclose(again.predict_proba(test[0]), model.predict_proba(test[0]))


@pytest.mark.slow
def test_a_search_tunes_a_calibrated_classifier_in_parallel(train):
    model = CalibratedClassifierCV(hog_svm(), cv=2)
    grid = {"method": METHODS, "estimator__classifier__C": [5.0]}
    search = GridSearchCV(model, grid, cv=2, n_jobs=2, scoring="neg_log_loss").fit(*train)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_class_weights_by_name_need_an_ensemble(train):
    # Everything else passes integer codes to the classifier, as the guide explains.
    inner = hog_svm(class_weight={"disgust": 3.0})
    CalibratedClassifierCV(inner, method="isotonic", cv=2).fit(*train)
    for parameters in ({"method": "temperature"}, {"method": "isotonic", "ensemble": False}):
        with pytest.raises(ValueError, match="class_weight has the unknown key"):
            CalibratedClassifierCV(inner, cv=2, **parameters).fit(*train)


def test_a_pretrained_network_inside_learns_integer_codes(train):
    model = load_pretrained("tiny")
    calibrated = CalibratedClassifierCV(model, method="temperature", cv=2).fit(*train)
    fitted = calibrated.calibrated_classifiers_[0].estimator
    assert fitted.classes_.tolist() == list(range(7))  # not the names that its head knows
    assert calibrated.classes_.tolist() == np.unique(train[1]).tolist()


def test_an_emotion_that_is_missing_is_an_error(shipped, train):
    X, y = train[0][train[1] != "disgust"], train[1][train[1] != "disgust"]
    for method in METHODS:
        with (
            pytest.warns(RuntimeWarning, match="does not match total number of classes"),
            pytest.raises(IndexError),
        ):
            CalibratedClassifierCV(FrozenEstimator(shipped), method=method).fit(X, y)


@pytest.mark.xfail(reason="scikit-learn mistakes labels other than 0 to n - 1 for columns")
def test_numbers_from_one_are_calibrated_too(train, test):
    # When this passes, delete the warning from docs/uncertainty.md.
    codes = np.unique(train[1], return_inverse=True)[1]
    by_number, by_name = (
        CalibratedClassifierCV(hog_svm(), method="temperature", cv=3).fit(train[0], labels)
        for labels in (codes + 1, train[1])
    )
    np.testing.assert_allclose(
        by_number.predict_proba(test[0]), by_name.predict_proba(test[0]), atol=1e-6
    )


def test_an_overconfident_model_is_calibrated_on_fer2013(fer2013_path, shipped):
    X, y = load_fer2013(fer2013_path, subset="public", return_X_y=True)
    held_out, rest = next(StratifiedGroupKFold(2).split(X, y, duplicate_groups(X)))
    too_sure = TooSure(shipped).fit(X, y)
    mended = {
        method: CalibratedClassifierCV(FrozenEstimator(too_sure), method=method).fit(
            X[held_out], y[held_out]
        )
        for method in METHODS
    }
    assert calibration_error(too_sure, X[rest], y[rest]) > 0.1
    for model in mended.values():
        assert calibration_error(model, X[rest], y[rest]) < 0.04
    assert temperature_of(mended["temperature"]) == pytest.approx(2, abs=0.3)


def calibration_error(model, X, y):
    proba = model.predict_proba(X)
    report = evaluate_predictions(
        y, model.classes_[proba.argmax(axis=1)], y_proba=proba, labels=model.classes_
    )
    return report.overall["expected_calibration_error"].value
