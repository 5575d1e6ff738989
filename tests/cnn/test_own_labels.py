"""Your own labels on the bundled body: a head is learned alone, without TensorFlow."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from fer_sklearn import (
    FERCNNClassifier,
    evaluate,
    grad_cam,
    load,
    load_fer2013,
    load_pretrained,
    make_faces,
    save,
)
from fer_sklearn._utils.litert import RowCache
from fer_sklearn.cnn import save_network
from fer_sklearn.cnn._own_labels import learn_head
from fer_sklearn.weights import WeightsNetwork, read_weights, write_weights

MOODS = {
    **{"angry": "bad", "disgust": "bad", "fear": "bad", "sad": "bad"},
    **{"happy": "good", "neutral": "none", "surprise": "none"},
}


@pytest.fixture(scope="module")
def moods():
    """Faces with custom labels, for training and testing."""
    X, y = make_faces(280, random_state=0, return_X_y=True)
    y = np.array([MOODS[label] for label in y])
    return X[:140], y[:140], X[140:], y[140:]


@pytest.fixture(scope="module")
def fitted(moods):
    return load_pretrained("tiny").fit(*moods[:2])


@pytest.fixture
def head(moods):
    """An unfitted classifier that learns a head."""
    return FERCNNClassifier(initial_weights="tiny", trainable="head")


def test_new_labels(fitted, moods):
    _, _, unseen, truth = moods
    assert fitted.classes_.tolist() == ["bad", "good", "none"]
    y_proba = fitted.predict_proba(unseen)
    np.testing.assert_allclose(y_proba.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(fitted.predict(unseen), fitted.classes_[y_proba.argmax(axis=1)])
    assert fitted.score(unseen, truth) > 0.9
    assert evaluate(fitted, unseen, truth).labels.tolist() == ["bad", "good", "none"]
    mirrored = fitted.predict_proba(unseen[:, :, ::-1])
    np.testing.assert_allclose(mirrored, y_proba, atol=1e-5)


@pytest.mark.parametrize("n_labels", [2, 30])
def test_two_labels_or_thirty(n_labels):
    X = make_faces(150, random_state=0).images
    numbers = np.arange(150) % n_labels
    model = load_pretrained("tiny").fit(X, numbers)
    assert model.predict_proba(X).shape == (150, n_labels)
    assert model.classes_.tolist() == list(range(n_labels))


def test_saves_loads_and_pickles(fitted, moods, tmp_path):
    expected = fitted.predict_proba(moods[2])
    for same in (load(save(fitted, tmp_path / "own.fer")), pickle.loads(pickle.dumps(fitted))):
        np.testing.assert_array_equal(same.predict_proba(moods[2]), expected)


def test_a_clone_fits_the_same_head(fitted, moods):
    again = clone(fitted).fit(*moods[:2])
    np.testing.assert_array_equal(again.predict_proba(moods[2]), fitted.predict_proba(moods[2]))


def test_a_search_runs_the_body_once_for_each_image(moods, monkeypatch):
    computed = []
    embed = WeightsNetwork._embed
    monkeypatch.setattr(
        WeightsNetwork, "_embed", lambda self, x: computed.append(len(x)) or embed(self, x)
    )
    monkeypatch.setattr("fer_sklearn.weights._EMBEDDINGS", RowCache(2**24))
    grid = {"classifier__head_C": [0.003, 0.03], "classifier__class_weight": [None, "balanced"]}
    search = GridSearchCV(load_pretrained("tiny"), grid, cv=3).fit(*moods[:2])
    assert search.best_score_ > 0.8
    assert sum(computed) == 2 * len(moods[0])  # and its mirror image


@pytest.mark.slow
def test_neither_fit_nor_predict_needs_tensorflow():
    code = """
import sys
sys.modules |= dict.fromkeys(["tensorflow", "keras", "scikeras"])  # importing them raises
import numpy as np
from fer_sklearn import load_pretrained, make_faces

X, y = make_faces(70, random_state=0, return_X_y=True)
model = load_pretrained("tiny").fit(X, np.where(y == "happy", "yes", "no"))
assert model.score(X, np.where(y == "happy", "yes", "no")) > 0.9
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_showing_it_in_a_notebook_does_not_load_keras(fitted, moods):
    same = pickle.loads(pickle.dumps(fitted))
    assert "n_parameters_" in same._repr_html_()
    assert "n_parameters_" in dir(same[-1])
    assert "_litert" in vars(same[-1])
    assert same[-1].model_ is not None
    assert "model_" in dir(same[-1])


def test_keras_continues_where_litert_ends(fitted, moods):
    """Explanations and exports use the Keras model, which has the new head too."""
    same = pickle.loads(pickle.dumps(fitted))
    explained = grad_cam(same, moods[2][:1], target="good")
    assert explained.targets.tolist() == ["good"]
    assert same[-1].model_.output_shape == (None, 3)
    np.testing.assert_allclose(
        same.predict_proba(moods[2]), fitted.predict_proba(moods[2]), atol=0.05
    )


@pytest.mark.slow
def test_the_architecture_follows_the_weights(head, moods, tmp_path):
    fitted = head.fit(*moods[:2])
    assert (fitted.architecture, fitted.architecture_) == (None, "resnet_se_v2_tiny")
    save_network(fitted, tmp_path / "own.npz")
    again = load_pretrained(tmp_path / "own.npz")
    assert again.classes_.tolist() == ["bad", "good", "none"]
    assert again.score(*moods[2:]) > 0.9
    fitted.set_params(initial_weights=None, trainable="all", epochs=1).fit(*moods[:2])
    assert fitted.architecture_ == "conv3"


def test_keras_and_litert_learn_comparable_heads(head, moods, monkeypatch):
    X, y, unseen, truth = moods
    on_litert = clone(head).fit(X, y)
    monkeypatch.setattr("fer_sklearn.cnn._own_labels.is_litert_installed", lambda: False)
    on_keras = clone(head).fit(X, y)
    assert "_model" in vars(on_keras)
    assert "_model" not in vars(on_litert)
    difference = on_keras.predict_proba(unseen) - on_litert.predict_proba(unseen)
    assert 0 < abs(difference).max() < 0.05
    assert abs(on_keras.score(unseen, truth) - on_litert.score(unseen, truth)) < 0.03


def test_the_head_of_a_network_that_was_trained_here(moods):
    """`warm_start` keeps the body of the last fit; there is no file."""
    X, y, _, _ = moods
    network = FERCNNClassifier(epochs=2, random_state=0, warm_start=True).fit(X, y)
    before = network.model_.get_weights()
    network.set_params(trainable="head").fit(X, y)
    after = network.model_.get_weights()
    same = [np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert same == [True] * (len(same) - 2) + [False] * 2
    assert network.score(X, y) > 0.6
    assert network.n_iter_ == len(network.history_["loss"]) == 1


def test_weights_without_a_litert_model(moods, tmp_path):
    X, y, unseen, _ = moods
    weights = read_weights("tiny")
    keys = ("architecture", "image_shape", "classes", "pixel_range")
    write_weights(tmp_path / "own.npz", weights.arrays, {k: weights.description[k] for k in keys})
    model = load_pretrained(tmp_path / "own.npz").fit(X, y)
    expected = load_pretrained("tiny").fit(X, y).predict_proba(unseen)
    np.testing.assert_allclose(model.predict_proba(unseen), expected, atol=0.05)


def test_known_labels_are_adapted_not_replaced():
    """Two faces per emotion change little, although a new head needs more."""
    X, y = make_faces(14, random_state=0, return_X_y=True)
    bundled = load_pretrained("tiny", runtime="litert")
    adapted = load_pretrained("tiny").set_params(classifier__head_C=1e-6).fit(X, y)
    unseen = make_faces(70, random_state=1).images
    found = adapted.predict(unseen) == bundled.predict(unseen)
    renamed = np.char.add("my ", y)
    fresh = load_pretrained("tiny").set_params(classifier__head_C=1e-6).fit(X, renamed)
    assert found.mean() > 0.5  # the bias is free, so that the frequency of labels is learned
    assert abs(fresh.predict_proba(unseen) - 1 / 7).max() < 0.05


def test_labels_that_change_in_the_mirror():
    X = make_faces(40, random_state=0).images.copy()
    X[:, :, :24] = 0  # half a face
    X = np.concatenate([X, X[:, :, ::-1]])
    y = np.repeat(["right", "left"], 40)
    confused = load_pretrained("tiny").fit(X, y)
    np.testing.assert_allclose(confused.predict_proba(X), 0.5, atol=1e-3)
    confused.set_params(
        classifier__augmentation=None, classifier__test_time_augmentation=False
    ).fit(X, y)
    assert confused.score(X, y) > 0.95


def test_weights_of_zero_leave_images_out(head, moods):
    X, y, unseen, _ = moods
    expected = clone(head).fit(X[:100], y[:100]).predict_proba(unseen)
    weights = np.r_[np.ones(100), np.zeros(40)]
    found = clone(head).fit(X, y, sample_weight=weights).predict_proba(unseen)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_balanced_classes(head, moods):
    X, y, unseen, truth = moods
    rare = np.flatnonzero(y == "good")[:2]
    rows = np.r_[np.flatnonzero(y != "good"), rare]
    plain = clone(head).fit(X[rows], y[rows])
    balanced = clone(head).set_params(class_weight="balanced").fit(X[rows], y[rows])
    good = list(plain.classes_).index("good")
    of_good = unseen[truth == "good"]
    assert (
        balanced.predict_proba(of_good)[:, good].mean()
        > plain.predict_proba(of_good)[:, good].mean() + 0.05
    )


def test_soft_targets(head, moods):
    X, y, unseen, _ = moods
    expected = clone(head).fit(X, y).predict_proba(unseen)
    certain = (y[:, np.newaxis] == np.unique(y)).astype(float)
    found = clone(head).fit(X, y, soft_targets=certain).predict_proba(unseen)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    vague = clone(head).fit(X, y, soft_targets=0.7 * certain + 0.1).predict_proba(unseen)
    assert vague.max(axis=1).mean() < expected.max(axis=1).mean() - 0.1


def test_a_second_head(head, moods):
    X, y, unseen, _ = moods
    targets = np.column_stack([y == "good", y != "good"]).astype(float)
    targets[:20] = 0  # nothing is known
    fitted = clone(head).fit(X, y, auxiliary_targets=targets)
    assert "auxiliary_loss" in fitted.history_
    second = fitted.auxiliary_classifier().predict_proba(unseen)
    good = list(fitted.classes_).index("good")
    assert np.corrcoef(second[:, 0], fitted.predict_proba(unseen)[:, good])[0, 1] > 0.9


def test_it_is_the_logistic_regression_of_scikit_learn():
    rng = np.random.default_rng(0)
    X = rng.normal(3, 2, (80, 5)).astype(np.float32)
    y = rng.integers(0, 3, 80)
    weights = rng.uniform(0.1, 2, 80)
    kernel, bias = learn_head(X, np.eye(3)[y], weights, C=0.3)
    mean = np.average(X, axis=0, weights=weights)
    scale = np.sqrt(np.average(((X - mean) ** 2).mean(axis=1), weights=weights))
    expected = LogisticRegression(C=0.3, tol=1e-8, max_iter=1000)
    expected.fit((X - mean) / scale, y, sample_weight=weights)
    logits = X @ kernel + bias
    found = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected.predict_proba((X - mean) / scale), atol=1e-4)


def test_it_does_not_depend_on_the_scale_of_the_embedding():
    rng = np.random.default_rng(0)
    X, y = rng.normal(0, 1, (60, 4)), rng.integers(0, 2, 60)
    kernel, bias = learn_head(X, np.eye(2)[y], np.ones(60), C=0.03)
    scaled, shifted = learn_head(50 * X + 9, np.eye(2)[y], np.ones(60), C=0.03)
    np.testing.assert_allclose((50 * X + 9) @ scaled + shifted, X @ kernel + bias, atol=1e-4)


def test_images_without_any_difference(head):
    X = np.full((6, 48, 48), 100, np.uint8)
    fitted = head.fit(X, ["a", "a", "a", "a", "b", "b"])
    np.testing.assert_allclose(fitted.predict_proba(X)[:, 0], 2 / 3, atol=1e-3)


def test_one_label_is_refused(moods):
    with pytest.raises(ValueError, match="y has only one class, 'good'"):
        load_pretrained("tiny").fit(moods[0], ["good"] * 140)


@pytest.mark.parametrize("emotions", [("happy", "sad", "surprise"), ("angry", "happy", "neutral")])
def test_three_relabelled_emotions_of_fer2013(emotions, fer2013_path):
    """70 images of each, of the training images; scored on all of PublicTest."""
    own = dict(zip(emotions, "ABC", strict=True))
    X, y = load_fer2013(fer2013_path, subset="train", return_X_y=True)
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.choice(np.flatnonzero(y == name), 70, False) for name in emotions])
    model = load_pretrained("default").fit(X[rows], [own[label] for label in y[rows]])
    unseen, truth = load_fer2013(fer2013_path, subset="public", return_X_y=True)
    kept = np.isin(truth, emotions)
    assert model.score(unseen[kept], [own[label] for label in truth[kept]]) >= 0.84
