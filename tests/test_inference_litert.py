"""The LiteRT runtime predicts like the network, and can only predict."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError

from fer_sklearn import load_pretrained
from fer_sklearn.exporting import to_litert
from fer_sklearn.inference import InferenceClassifier
from fer_sklearn.weights import LABEL_SETS, SHIPPED, read_weights, write_weights


@pytest.mark.keras
@pytest.mark.parametrize("name", SHIPPED)
def test_it_predicts_like_keras(name, faces):
    X, _ = faces
    light, full = (load_pretrained(name, runtime=runtime) for runtime in ("litert", "keras"))
    expected = full.predict_proba(X)
    # The bundled LiteRT models compute in integers.
    np.testing.assert_allclose(light.predict_proba(X), expected, atol=0.05)
    assert (light.predict(X) == full.predict(X)).mean() > 0.97
    assert light.classes_.tolist() == full.classes_.tolist()


@pytest.mark.keras
@pytest.mark.parametrize("labels", LABEL_SETS)
def test_label_sets_agree_with_keras(labels, faces):
    X, _ = faces
    light, full = (
        load_pretrained("tiny", labels=labels, runtime=runtime) for runtime in ("litert", "keras")
    )
    assert light.classes_.tolist() == full.classes_.tolist()
    assert ("contempt" in light.classes_) == (labels == "ferplus")
    y_proba = light.predict_proba(X)
    np.testing.assert_allclose(y_proba.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(y_proba, full.predict_proba(X), atol=0.05)


def test_label_sets_differ(faces):
    X, _ = faces
    people, fer2013 = (
        load_pretrained("tiny", labels=labels, runtime="litert").predict_proba(X)
        for labels in ("people", "fer2013")
    )
    assert abs(people - fer2013).max() > 0.1


@pytest.mark.slow
def test_bundled_litert_models_match_the_bundled_weights(faces, tmp_path):
    """In full precision, LiteRT predicts what the shipped weights predict in Keras."""
    weights = read_weights("tiny")
    keras_model = load_pretrained("tiny", runtime="keras")
    made = to_litert(keras_model[-1].model_, precision="float32")
    single = {k: v for k, v in weights.description.items() if k not in ("heads", "label_sets")}
    write_weights(tmp_path / "t.npz", weights.arrays, single, litert=made)
    exact = load_pretrained(tmp_path / "t.npz", runtime="litert").predict_proba(faces[0])
    np.testing.assert_allclose(exact, keras_model.predict_proba(faces[0]), atol=1e-4)


def test_any_number_of_faces_in_any_order(faces):
    X, _ = faces
    light = load_pretrained("tiny", runtime="litert")
    whole = light.predict_proba(X)
    for n in (1, 33, 2, 32):
        np.testing.assert_allclose(light.predict_proba(X[:n]), whole[:n], atol=1e-5)


def test_without_the_mirror_image(faces):
    X, _ = faces
    light = load_pretrained("tiny", runtime="litert")
    mirrored = light.predict_proba(X[:, :, ::-1])
    np.testing.assert_allclose(light.predict_proba(X), mirrored, atol=1e-5)
    light.set_params(classifier__test_time_augmentation=False)
    assert abs(light.predict_proba(X) - light.predict_proba(X[:, :, ::-1])).max() > 1e-3


def test_tensorflow_is_not_loaded():
    code = (
        "import sys, numpy as np\n"
        "from fer_sklearn import load_pretrained\n"
        "model = load_pretrained(runtime='litert', crop_faces=True)\n"
        "model.predict_proba([np.zeros((48, 48), np.uint8)])\n"
        "assert not {'tensorflow', 'keras', 'scikeras'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_pickles(faces):
    X, _ = faces
    light = load_pretrained("tiny", runtime="litert")
    again = pickle.loads(pickle.dumps(light))
    np.testing.assert_array_equal(again.predict_proba(X), light.predict_proba(X))


def test_it_is_a_classifier_whose_clone_is_not_loaded(faces):
    classifier = InferenceClassifier("tiny", n_threads=1).load()
    assert is_classifier(classifier)
    with pytest.raises(NotFittedError):
        clone(classifier).predict(faces[0])
    with pytest.warns(UserWarning, match="cannot be trained"):
        loaded = clone(classifier).fit(*faces)
    np.testing.assert_array_equal(
        loaded.predict(faces[0] / 255), classifier.predict(faces[0] / 255)
    )


def test_it_cannot_be_trained(faces):
    light = load_pretrained("tiny", runtime="litert")
    expected = light.predict_proba(faces[0])
    with pytest.warns(UserWarning, match=r"cannot be trained.*runtime='keras'"):
        light.fit(*faces)
    np.testing.assert_array_equal(light.predict_proba(faces[0]), expected)


def test_faces_of_another_size(faces):
    with pytest.raises(ValueError, match="24×24"):
        InferenceClassifier("tiny").load().predict(faces[0][:, ::2, ::2])


def test_an_unknown_runtime():
    with pytest.raises(ValueError, match=r"runtime='lite'.*'keras', 'litert'.*Did you mean"):
        load_pretrained(runtime="lite")


def test_custom_weights_have_no_litert_model(tmp_path):
    path = tmp_path / "own.npz"
    weights = read_weights("tiny")
    write_weights(path, weights.arrays, weights.description)
    with pytest.raises(ValueError, match="without a LiteRT model"):
        load_pretrained(path, runtime="litert")
