"""Conformal sets contain the true emotion as often as promised, with MAPIE and crepes."""

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from fer_sklearn import load_fer2013, load_pretrained, make_faces, make_hog_svm_pipeline

LEVELS = [0.8, 0.9]


@pytest.fixture(scope="module")
def drawn():
    """Small faces: 140 for training, 500 to conformalise, 500 for evaluation."""
    X, y = make_faces(1140, size=24, noise=8, random_state=0, return_X_y=True)
    return [(X[a:b], y[a:b]) for a, b in ((0, 140), (140, 640), (640, 1140))]


@pytest.fixture(scope="module")
def model(drawn):
    return make_hog_svm_pipeline(LogisticRegression(), size=24).fit(*drawn[0])


@pytest.fixture(scope="module")
def shipped():
    return load_pretrained("tiny", runtime="litert")


def coverage(sets, classes, y):
    """Return the fraction of images whose set, a row of bools, contains the true label."""
    return sets[np.arange(len(y)), np.searchsorted(classes, y)].mean()


def least_scored_sets(model, calibration, X, level):
    """Return the labels that are at least as probable as nearly all true labels were."""
    X_known, y_known = calibration
    known = model.predict_proba(X_known)[
        np.arange(len(y_known)), np.searchsorted(model.classes_, y_known)
    ]
    n = len(y_known)
    rank = int(np.ceil((n + 1) * level))
    lowest = 1 - np.sort(1 - known)[rank - 1]
    return model.predict_proba(X) >= lowest


@pytest.mark.parametrize("score", ["lac", "aps", "raps"])
def test_sets_contain_the_true_label_as_often_as_promised(drawn, model, score):
    mapie = pytest.importorskip("mapie.classification")
    _, calibration, (X, y) = drawn
    conformal = mapie.SplitConformalClassifier(
        model, confidence_level=LEVELS, conformity_score=score, random_state=0
    ).conformalize(*calibration)
    labels, sets = conformal.predict_set(X)
    np.testing.assert_array_equal(labels, model.predict(X))
    assert sets.shape == (len(X), 7, 2)
    for position, level in enumerate(LEVELS):
        # Three standard deviations: both halves are samples.
        slack = 3 * np.sqrt(level * (1 - level) * (2 / len(X)))
        reached = coverage(sets[:, :, position], model.classes_, y)
        assert reached > level - slack
        # APS and RAPS cover more than requested, since they include the last label.
        assert score != "lac" or reached < level + slack
        assert 1 < sets[:, :, position].sum(axis=1).mean() < 6


@pytest.mark.parametrize("position", [0, 1])
def test_sets_match_the_definition(drawn, model, position):
    mapie = pytest.importorskip("mapie.classification")
    _, calibration, (X, _) = drawn
    conformal = mapie.SplitConformalClassifier(model, confidence_level=LEVELS)
    sets = conformal.conformalize(*calibration).predict_set(X)[1][:, :, position]
    expected = least_scored_sets(model, calibration, X, LEVELS[position])
    assert (sets == expected).mean() > 0.999  # except for rounding at the bound itself


@pytest.mark.parametrize("form", [list, lambda X: X[..., np.newaxis]])
def test_other_forms_of_images(drawn, model, form):
    mapie = pytest.importorskip("mapie.classification")
    _, (X_known, y_known), (X, _) = drawn
    stacked, other = (
        mapie.SplitConformalClassifier(model)
        .conformalize(given(X_known), y_known)
        .predict_set(given(X))[1]
        for given in (np.asarray, form)
    )
    np.testing.assert_array_equal(other, stacked)


def test_calibrated_and_pretrained_models_are_accepted(drawn, shipped):
    mapie = pytest.importorskip("mapie.classification")
    train, (X_known, y_known), (X, y) = drawn
    calibrated = CalibratedClassifierCV(FrozenEstimator(shipped), method="temperature").fit(*train)
    for model in (shipped, calibrated):
        conformal = mapie.SplitConformalClassifier(model, confidence_level=0.8)
        sets = conformal.conformalize(X_known[:200], y_known[:200]).predict_set(X[:200])[1]
        assert coverage(sets[:, :, 0], model.classes_, y[:200]) > 0.68


def test_a_label_that_was_not_learned_is_rejected(drawn, model):
    mapie = pytest.importorskip("mapie.classification")
    X, y = drawn[1]
    with pytest.raises(ValueError, match=r"not matched values in estimator\.classes_"):
        mapie.SplitConformalClassifier(model).conformalize(X, np.where(y == "sad", "sadness", y))


def test_a_label_that_does_not_occur_is_an_error(drawn, model):
    mapie = pytest.importorskip("mapie.classification")
    X, y = drawn[1]
    with pytest.warns(UserWarning, match="less labels than your training dataset"):
        mapie.SplitConformalClassifier(model).conformalize(X[y != "sad"], y[y != "sad"])


def test_class_conditional_thresholds_cover_every_emotion(drawn, model):
    crepes = pytest.importorskip("crepes")
    _, calibration, (X, y) = drawn
    wrapped = crepes.WrapClassifier(model)
    wrapped.calibrate(*calibration, class_cond=True)
    sets = wrapped.predict_set(X, labels=False, confidence=0.9, smoothing=False)
    for label in model.classes_:
        own = y == label
        slack = 3 * np.sqrt(0.9 * 0.1 * (1 / own.sum() + 1 / (calibration[1] == label).sum()))
        assert coverage(sets[own], model.classes_, y[own]) > 0.9 - slack, label
    names = wrapped.predict_set(X[:3], confidence=0.9, smoothing=False)
    assert names == [model.classes_[row.astype(bool)].tolist() for row in sets[:3]]


def test_sets_have_their_coverage_on_fer2013(fer2013_path, shipped):
    mapie = pytest.importorskip("mapie.classification")
    X, y = load_fer2013(fer2013_path, subset="public", return_X_y=True)
    X_known, X_new, y_known, y_new = train_test_split(X, y, test_size=0.5, random_state=0)
    conformal = mapie.SplitConformalClassifier(shipped, confidence_level=0.9)
    sets = conformal.conformalize(X_known, y_known).predict_set(X_new)[1][:, :, 0]
    assert coverage(sets, shipped[-1].classes_, y_new) == pytest.approx(0.9, abs=0.03)
    assert sets.sum(axis=1).mean() < 3
