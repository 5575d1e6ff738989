"""The network of a classifier: its outputs, processes that share it, and custom layers in it."""

import multiprocessing
import os
import pickle
import subprocess
import sys
from functools import partial

import keras
import numpy as np
import pytest
from networks import small_network
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from fer_sklearn import FERCNNClassifier, load_pretrained
from fer_sklearn.cnn import _network


def ending_in(meta, activation="softmax", more=0):
    x = inputs = keras.Input(meta["input_shape"])
    x = keras.layers.Flatten()(x)
    outputs = keras.layers.Dense(meta["n_classes"] + more, activation=activation)(x)
    return keras.Model(inputs, outputs)


@keras.saving.register_keras_serializable("tests")
class Doubled(keras.layers.Layer):
    """A custom layer with a parameter."""

    def __init__(self, factor=2.0, **options):
        super().__init__(**options)
        self.factor = factor

    def call(self, inputs):
        return self.factor * inputs

    def get_config(self):
        return super().get_config() | {"factor": self.factor}


class Forgetful(Doubled):
    """A custom layer whose description omits its parameter, and which is not registered."""

    def get_config(self):
        return keras.layers.Layer.get_config(self)


def with_layer(meta, kind=Doubled):
    x = inputs = keras.Input(meta["input_shape"])
    x = kind(3.0)(keras.layers.Flatten()(x))
    return keras.Model(inputs, keras.layers.Dense(meta["n_classes"], activation="softmax")(x))


def quick(**options):
    return FERCNNClassifier(
        **{"architecture": small_network, "epochs": 1, "random_state": 0} | options
    )


@pytest.mark.parametrize("activation", [None, "sigmoid", "relu", "tanh", "log_softmax"])
def test_outputs_that_are_not_probabilities_are_refused(small_faces, activation):
    classifier = quick(architecture=partial(ending_in, activation=activation))
    with pytest.raises(ValueError, match=r"not probabilities.*activation='softmax'"):
        classifier.fit(*small_faces)
    with pytest.raises(ValueError, match=r"not probabilities.*activation='softmax'"):
        classifier.partial_fit(*small_faces)


@pytest.mark.parametrize("more", [-1, 1])
def test_the_number_of_outputs_is_that_of_classes(small_faces, more):
    with pytest.raises(
        ValueError, match=rf"output shape \(None, {7 + more}\); expected \(None, 7\)"
    ):
        quick(architecture=partial(ending_in, more=more)).fit(*small_faces)


@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_two_classes_need_a_softmax_too(small_faces, activation):
    X, y = small_faces
    two = np.isin(y, ["happy", "sad"])
    with pytest.raises(ValueError, match="not probabilities"):
        quick(architecture=partial(ending_in, activation=activation)).fit(X[two], y[two])


@pytest.fixture
def channels_first():
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize(
    "architecture",
    ["conv3", pytest.param("resnet_se_tiny", marks=pytest.mark.nightly), small_network],
)
def test_channels_first_in_the_settings_of_keras_changes_nothing(
    small_faces, request, architecture
):
    X, y = small_faces
    expected = quick(architecture=architecture).fit(X, y)
    request.getfixturevalue("channels_first")
    fitted = quick(architecture=architecture).fit(X, y)
    np.testing.assert_array_equal(fitted.predict_proba(X[:9]), expected.predict_proba(X[:9]))
    copied = pickle.loads(pickle.dumps(expected))
    np.testing.assert_array_equal(copied.predict_proba(X[:9]), expected.predict_proba(X[:9]))
    assert keras.config.image_data_format() == "channels_first"


def _errors(connection, calls):
    for call in calls:
        try:
            call()
        except RuntimeError as error:
            connection.send(str(error))
        else:
            connection.send("no error")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork:RuntimeWarning")
def test_a_forked_process_raises_instead_of_waiting_forever(small_faces):
    X, y = small_faces
    fitted = quick().fit(X, y)
    pickled = pickle.dumps(fitted)
    calls = [
        lambda: fitted.predict(X[:2]),
        lambda: pickle.loads(pickled).predict(X[:2]),
        lambda: fitted.model_,
        lambda: clone(fitted).fit(X, y),
    ]
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=_errors, args=(there, calls))
    child.start()
    try:
        for _ in calls:
            assert here.poll(30), "the child hangs"
            assert "Start processes with multiprocessing.get_context('spawn')" in here.recv()
        child.join(30)
        assert child.exitcode == 0
    finally:
        child.kill()


def test_equal_networks_share_one_compiled_function(small_faces):
    X, y = small_faces
    fitted = quick().fit(X, y)
    copies = [pickle.loads(pickle.dumps(fitted)) for _ in range(3)]
    answers = [copied.predict_proba(X[:5]) for copied in copies]
    for answer in answers:
        np.testing.assert_array_equal(answer, answers[0])
    assert len({id(copied._predict) for copied in copies}) == 1
    # Training one of them leaves the others alone.
    copies[0].set_params(warm_start=True).fit(X, y)
    assert not np.array_equal(copies[0].predict_proba(X[:5]), answers[0])
    np.testing.assert_array_equal(copies[1].predict_proba(X[:5]), answers[0])
    other = pickle.loads(pickle.dumps(quick(random_state=1).fit(X, y)))
    assert not np.array_equal(other.predict_proba(X[:5]), answers[0])


def test_few_compiled_functions_are_kept(small_faces, monkeypatch):
    X, y = small_faces
    monkeypatch.setattr(_network, "_MAX_SHARED", 2)
    for seed in range(4):
        fitted = quick(random_state=seed).fit(X[:70], y[:70])
        pickle.loads(pickle.dumps(fitted)).predict(X[:1])
        assert len(_network._shared) <= 2


@pytest.mark.slow
def test_loading_a_pretrained_network_again_takes_no_extra_memory(faces):
    psutil = pytest.importorskip("psutil")

    def load_and_predict(n):
        for _ in range(n):
            load_pretrained("tiny", runtime="keras").predict(faces[0][:1])
        return psutil.Process().memory_info().rss / 2**20

    before = load_and_predict(5)
    assert load_and_predict(20) - before < 20  # it was 3 to 5 MB each time


@pytest.mark.parametrize("kind", [Doubled, Forgetful])
def test_custom_layers_survive_copies(small_faces, kind):
    X, y = small_faces
    fitted = quick(architecture=partial(with_layer, kind=kind)).fit(X, y)
    expected = fitted.predict_proba(X[:9])
    copied = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_allclose(copied.predict_proba(X[:9]), expected, atol=1e-6)
    np.testing.assert_array_equal(clone(fitted).fit(X, y).predict_proba(X[:9]), expected)


@pytest.mark.nightly
def test_custom_layers_in_worker_processes(small_faces):
    X, y = small_faces
    classifier = quick(architecture=with_layer)
    alone = cross_val_score(classifier, X, y, cv=2)
    np.testing.assert_array_equal(cross_val_score(classifier, X, y, cv=2, n_jobs=2), alone)


@pytest.mark.nightly
def test_custom_layers_of_a_script_survive_in_its_pickles(tmp_path):
    code = """
import pickle, sys
import keras, numpy as np
from sklearn.model_selection import cross_val_score
from fer_sklearn import FERCNNClassifier, make_faces

class Tripled(keras.layers.Layer):
    def call(self, inputs):
        return 3 * inputs

def network(meta):
    return keras.Sequential([
        keras.Input(meta["input_shape"]), keras.layers.Flatten(), Tripled(),
        keras.layers.Dense(meta["n_classes"], activation="softmax")])

if __name__ == "__main__":
    X, y = make_faces(70, size=24, random_state=0, return_X_y=True)
    if sys.argv[1] == "write":
        fitted = FERCNNClassifier(architecture=network, epochs=1, random_state=0).fit(X, y)
        cross_val_score(fitted, X, y, cv=2, n_jobs=2, error_score="raise")
        with open("fitted.pkl", "wb") as file:
            pickle.dump((fitted, fitted.predict_proba(X)), file)
    else:
        with open("fitted.pkl", "rb") as file:
            fitted, expected = pickle.load(file)
        np.testing.assert_allclose(fitted.predict_proba(X), expected, atol=1e-6)
"""
    (tmp_path / "script.py").write_text(code)
    for step in ("write", "read"):
        subprocess.run([sys.executable, "script.py", step], cwd=tmp_path, check=True)
