"""Digests of the rows that a classifier was fitted on, and scores that mention such rows."""

import warnings

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fer_sklearn import (
    AbstainingClassifier,
    FERCNNClassifier,
    HOGSVMClassifier,
    LBPExtractor,
    LSSVMClassifier,
    evaluate,
    load,
    make_cnn_pipeline,
    make_descriptor_svm_pipeline,
    make_faces,
    make_hog_svm_pipeline,
    save,
)
from fer_sklearn._utils.cross_validation import count_training_rows, digest_rows


class Fitted:
    def __init__(self, digest):
        self.training_rows_ = digest


@pytest.fixture(scope="module")
def faces():
    return make_faces(280, size=24, noise=10, random_state=0, return_X_y=True)


@pytest.fixture(scope="module")
def pipeline(faces):
    X, y = faces
    return make_hog_svm_pipeline(size=24).fit(X[:140], y[:140])


@pytest.mark.parametrize("n_features", [1, 2, 15, 16, 400])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8])
def test_rows_are_found_again(n_features, dtype):
    X = np.random.default_rng(n_features).uniform(0, 200, (300, n_features)).astype(dtype)
    fitted = Fitted(digest_rows(X[:200]))
    known = {row.tobytes() for row in X[:200]}
    assert count_training_rows(fitted, X) == sum(row.tobytes() in known for row in X)


def test_rows_that_differ_by_rounding_are_found_again():
    X = np.random.default_rng(0).normal(size=(500, 100)).astype(np.float32)
    again = X * (1 + np.random.default_rng(1).normal(scale=1e-6, size=X.shape))
    assert count_training_rows(Fitted(digest_rows(X)), again) == 500
    assert count_training_rows(Fitted(digest_rows(X)), X + 0.01) == 0


def test_black_images_are_found_again():
    black = np.zeros((3, 24, 24), np.uint8)
    digest = digest_rows(black)
    assert len(digest) == 1  # copies count once
    assert count_training_rows(Fitted(digest), black) == 3


def test_a_large_digest_is_a_sample():
    X = np.random.default_rng(0).normal(size=(60_000, 16))
    digest = digest_rows(X)
    assert digest.nbytes <= 200_000
    assert count_training_rows(Fitted(digest), X[:20_000]) == pytest.approx(20_000, rel=0.03)
    assert count_training_rows(Fitted(digest), X[:20_000] + 1) == 0
    in_two_parts = digest_rows(X[30_000:], digest_rows(X[:30_000]))
    np.testing.assert_array_equal(in_two_parts, digest)


def test_a_score_on_training_images_says_so(pipeline, faces):
    X, y = faces
    message = r"^70 of the 140 images were in the training data of Pipeline"
    with pytest.warns(UserWarning, match=message):
        report = evaluate(pipeline, X[70:210], y[70:210])
    assert report.n_seen == report.to_dict()["n_seen"] == 70
    assert "70 of the images were in the training data" in repr(report)


def test_a_score_on_new_images_does_not(pipeline, faces):
    X, y = faces
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = evaluate(pipeline, X[140:], y[140:])
    assert report.n_seen == 0
    assert "training" not in repr(report)


def test_single_images_are_recognised(pipeline, faces):
    X, _ = faces
    assert [count_training_rows(pipeline, X[i : i + 1]) for i in range(135, 145)] == [1] * 5 + [
        0
    ] * 5


def test_descriptors_are_recognised(faces):
    X, y = faces
    classifier = LSSVMClassifier(flip_invariant=True)
    descriptors = [("lbp", LBPExtractor(grid=2))]
    model = make_descriptor_svm_pipeline(classifier, descriptors=descriptors, size=24)
    model.fit(X[:70], y[:70])
    assert count_training_rows(model, X[60:80]) == 10


def test_a_saved_model_remembers(pipeline, faces, tmp_path):
    save(pipeline, tmp_path / "model.fer")
    assert count_training_rows(load(tmp_path / "model.fer"), faces[0]) == 140


def test_rows_without_weight_were_not_trained_on():
    X = np.random.default_rng(0).normal(size=(40, 20))
    y = np.tile(["happy", "sad"], 20)
    model = HOGSVMClassifier().fit(X, y, sample_weight=np.repeat([0, 1], 20))
    assert count_training_rows(model, X) == 20


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: GridSearchCV(model, {"C": [1.0, 5.0]}, cv=2),
        lambda model: CalibratedClassifierCV(model, cv=2),
        lambda model: VotingClassifier([("nb", GaussianNB()), ("svm", model)]),
        lambda model: AbstainingClassifier(model.set_params(probability=True), threshold=0.5),
    ],
)
def test_wrappers_and_ensembles_are_opened(wrap):
    X = np.random.default_rng(0).normal(size=(60, 20))
    y = np.tile(["happy", "sad"], 30)
    model = wrap(HOGSVMClassifier()).fit(X[:40], y[:40])
    assert count_training_rows(model, X) == 40


def test_a_wrapped_pipeline_is_opened(pipeline, faces):
    assert count_training_rows(FrozenEstimator(pipeline), faces[0]) == 140


def test_an_ensemble_of_pipelines_is_opened():
    X = np.random.default_rng(0).normal(size=(60, 20))
    y = np.tile(["happy", "sad"], 30)
    pipelines = [("a", make_pipeline(StandardScaler(), LSSVMClassifier())), ("b", GaussianNB())]
    model = VotingClassifier(pipelines).fit(X[:40], y[:40])
    assert count_training_rows(model, X) == 40


def test_other_classifiers_have_no_digest():
    X = np.zeros((4, 2))
    assert count_training_rows(GaussianNB().fit(X, [0, 1, 0, 1]), X) == 0


@pytest.mark.slow
def test_a_network_collects_what_it_was_trained_on(faces):
    X, y = faces
    network = FERCNNClassifier(epochs=1, random_state=0, warm_start=True)
    pipeline = make_cnn_pipeline(network, size=24).fit(X[:70], y[:70])
    assert count_training_rows(pipeline, X) == 70
    with pytest.warns(UserWarning, match="^10 of the 20 images"):
        evaluate(pipeline, X[60:80], y[60:80])
    pixels = pipeline[:-1].transform(X)
    network = pipeline[-1].partial_fit(pixels[70:100], y[70:100])
    assert count_training_rows(network, pixels) == 100
    assert count_training_rows(network.fit(pixels[100:150], y[100:150]), pixels) == 150
    network.set_params(warm_start=False)
    assert count_training_rows(network.fit(pixels[:50], y[:50]), pixels) == 50
