"""The pretrained models: ready to use, offline, and like any other estimator."""

import math
import socket
import subprocess
import sys

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from fer_sklearn import (
    EMOTIONS,
    FERCNNClassifier,
    evaluate,
    export,
    grad_cam,
    load_exported,
    load_fer2013,
    load_image_folder,
    load_pretrained,
    occlusion_map,
)
from fer_sklearn.weights import LABEL_SETS, SHIPPED, read_weights, write_weights

# FER2013's labels on PublicTest; at most half a point below benchmarks/results/pretrained.json.
FLOORS = {"default": 0.733, "tiny": 0.688}
RUNTIMES = ("auto", "keras", "litert")


@pytest.fixture(scope="module", params=SHIPPED)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def pretrained(name):
    return load_pretrained(name)


@pytest.fixture(scope="module")
def astronaut():
    from skimage.data import astronaut

    return astronaut()


def test_a_photo_right_after_installation(name, astronaut, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a shipped model needs no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    model = load_pretrained(name, crop_faces=True)
    assert model.predict([astronaut]).tolist() == ["happy"]


def test_probabilities(pretrained, faces):
    probabilities = pretrained.predict_proba(faces[0])
    assert pretrained.classes_.tolist() == sorted(EMOTIONS)
    assert probabilities.shape == (70, 7)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    labels = pretrained.classes_[probabilities.argmax(axis=1)]
    np.testing.assert_array_equal(pretrained.predict(faces[0]), labels)


def test_a_mirror_image_gets_the_same_prediction(pretrained, faces):
    X, _ = faces
    mirrored = pretrained.predict_proba(X[:, :, ::-1])
    np.testing.assert_allclose(mirrored, pretrained.predict_proba(X), atol=1e-5)
    plain = load_pretrained().set_params(classifier__test_time_augmentation=False)
    assert abs(plain.predict_proba(X) - plain.predict_proba(X[:, :, ::-1])).max() > 1e-3


def test_faces_of_any_size_and_in_colour(pretrained, faces):
    X, _ = faces
    large = np.kron(X[:5], np.ones((1, 2, 2), np.uint8))
    colour = [np.stack([image] * 3, axis=2) for image in X[:5]]
    expected = pretrained.predict_proba(X[:5])
    np.testing.assert_allclose(pretrained.predict_proba(colour), expected, atol=1e-5)
    np.testing.assert_allclose(pretrained.predict_proba(large), expected, atol=1e-5)


def test_parameters_of_tiny():
    shapes = read_weights("tiny").description["shapes"]  # of both heads
    assert sum(map(math.prod, shapes)) < 100_000


def test_labels_of_ferplus_include_contempt():
    model = load_pretrained("tiny", labels="ferplus")
    assert model.classes_.tolist() == sorted([*EMOTIONS, "contempt"])


@pytest.fixture(scope="module", params=LABEL_SETS)
def of_labels(request):
    """The tiny model of each label set, and its labels."""
    expected = sorted(EMOTIONS) if request.param != "ferplus" else sorted([*EMOTIONS, "contempt"])
    return load_pretrained("tiny", labels=request.param), expected


@pytest.mark.keras
def test_explanations_follow_the_labels(of_labels, faces):
    model, labels = of_labels
    explained = grad_cam(model, faces[0][:2], target=labels[1])
    assert explained.targets.tolist() == [labels[1]] * 2
    occluded = occlusion_map(model, faces[0][:1], target=labels[1], window=24, stride=24)
    assert occluded.targets.tolist() == [labels[1]]


def test_the_explanation_of_contempt_needs_its_labels(faces):
    with pytest.raises(ValueError, match="contempt"):
        grad_cam(load_pretrained("tiny"), faces[0][:1], target="contempt")


@pytest.mark.keras
def test_initial_weights_follow_the_labels(of_labels, faces):
    model, labels = of_labels
    name = model[-1].initial_weights
    again = FERCNNClassifier(architecture=model[-1].architecture, initial_weights=name)
    again.load_weights()
    assert again.classes_.tolist() == labels
    again.set_params(test_time_augmentation=True)
    found = again.predict_proba(faces[0])
    expected = load_pretrained(name, runtime="keras").predict_proba(faces[0])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_an_export_in_float32_follows_the_labels_and_equals_keras(of_labels, faces, tmp_path):
    model, labels = of_labels
    metadata = export(model, tmp_path / "model.tflite")
    assert metadata["labels"] == labels
    exported = load_exported(tmp_path / "model.tflite").predict_proba(faces[0])
    np.testing.assert_allclose(exported, model.predict_proba(faces[0]), rtol=0, atol=1e-5)


def test_an_unknown_label_set_is_refused():
    with pytest.raises(ValueError, match=r"labels='peoples'.*Did you mean 'people'\?"):
        load_pretrained("tiny", labels="peoples")


@pytest.mark.slow
@pytest.mark.keras
def test_it_predicts_without_keras_until_something_needs_it(faces):
    code = """
import pickle, sys
from fer_sklearn import load_pretrained, make_faces

X = make_faces(3, random_state=0).images
model = load_pretrained("tiny")
before = model.predict_proba(X)
again = pickle.loads(pickle.dumps(model))
assert (again.predict_proba(X) == before).all()
assert model[-1].n_parameters_ > 90_000
assert not {"keras", "tensorflow"} & set(sys.modules)
assert model[-1].model_.count_params() == model[-1].n_parameters_
assert "keras" in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.keras
def test_the_runtimes_agree(faces):
    X, _ = faces
    models = {runtime: load_pretrained("tiny", runtime=runtime) for runtime in RUNTIMES}
    auto, keras, litert = (models[runtime].predict_proba(X) for runtime in RUNTIMES)
    np.testing.assert_array_equal(auto, litert)
    assert 0 < abs(auto - keras).max() < 0.05
    # Whoever reads the Keras model may change it, and predictions follow.
    models["auto"][-1].model_.set_weights([0 * a for a in models["auto"][-1].model_.get_weights()])
    np.testing.assert_allclose(models["auto"].predict_proba(X), 1 / 7, atol=1e-6)
    assert clone(models["auto"])[-1].get_params() == models["keras"][-1].get_params()


@pytest.mark.keras
def test_a_network_without_a_litert_model_runs_on_keras(faces, tmp_path):
    weights = read_weights("tiny")
    keys = ("architecture", "image_shape", "classes", "pixel_range")
    path = tmp_path / "own.npz"
    write_weights(path, weights.arrays, {key: weights.description[key] for key in keys})
    model = load_pretrained(path)
    expected = load_pretrained("tiny", runtime="keras").predict_proba(faces[0])
    np.testing.assert_allclose(model.predict_proba(faces[0]), expected, atol=2e-3)


def test_saves_and_loads(pretrained, faces, tmp_path):
    joblib.dump(pretrained, tmp_path / "model.joblib")
    again = joblib.load(tmp_path / "model.joblib")
    np.testing.assert_array_equal(again.predict_proba(faces[0]), pretrained.predict_proba(faces[0]))


@pytest.mark.slow
def test_a_clone_is_unfitted_and_fits_from_the_same_weights(faces):
    X, y = faces
    pretrained = load_pretrained("tiny")
    parameters = {"epochs": 1, "learning_rate": 1e-9, "augmentation": None, "random_state": 0}
    parameters["trainable"] = "all"
    still = clone(pretrained).set_params(**{f"classifier__{k}": v for k, v in parameters.items()})
    assert not hasattr(still[-1], "model_")
    # Batch normalisation adapts slightly to the new images, even if nothing is trained.
    difference = abs(still.fit(X, y).predict_proba(X) - pretrained.predict_proba(X))
    fresh = clone(still).set_params(classifier__initial_weights=None).fit(X, y)
    assert (
        difference.mean() < 0.5 * abs(fresh.predict_proba(X) - pretrained.predict_proba(X)).mean()
    )


@pytest.mark.slow
def test_fine_tuning_on_a_custom_folder(photos):
    """Synthetic faces are unlike the training images; a few epochs suffice to learn them."""
    own = load_image_folder(photos / "train")
    unseen = load_image_folder(photos / "test")
    model = load_pretrained("tiny")
    before = model.score(unseen.images, unseen.target)
    model.set_params(classifier__random_state=0, classifier__learning_rate=0.02)
    model.set_params(classifier__trainable="last_stage")
    frozen = [layer.get_weights() for layer in model[-1].model_.layers[:4]]
    model.fit(own.images, own.target)
    assert model.score(unseen.images, unseen.target) > max(before, 0.5) + 0.1
    for old, layer in zip(frozen, model[-1].model_.layers[:4], strict=True):
        for a, b in zip(old, layer.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_tunes_like_any_other(faces):
    search = GridSearchCV(
        load_pretrained("tiny").set_params(classifier__epochs=1, classifier__random_state=0),
        {"classifier__trainable": ["head", "last_stage"]},
        cv=2,
    ).fit(*faces)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_an_unknown_name():
    with pytest.raises(ValueError, match=r"no weights named 'tini'.*Did you mean 'tiny'\?"):
        load_pretrained("tini")


def test_accuracy_on_publictest(name, pretrained, fer2013_path):
    X, y = load_fer2013(fer2013_path, subset="public", return_X_y=True)
    pretrained = load_pretrained(name, labels="fer2013", runtime="litert")
    assert evaluate(pretrained, X, y).overall["accuracy"].value >= FLOORS[name]
