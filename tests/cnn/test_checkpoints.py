"""Interrupted training resumes and ends with the same result."""

import copy
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
import types
from functools import partial

import keras
import numpy as np
import pytest
from networks import small_network
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from fer_sklearn import FERCNNClassifier, make_faces
from fer_sklearn.cnn import EpochBar, EpochLines
from fer_sklearn.cnn._checkpoints import Checkpoint, fingerprint
from fer_sklearn.cnn._compiled import TrainingState

PARAMETERS = {
    "epochs": 4,
    "optimizer": "sgd",
    "learning_rate": 0.05,
    "learning_rate_schedule": "cosine",
    "augmentation": True,
    "random_state": 0,
}


class KilledError(BaseException):
    """Stands in for `kill -9`."""


def killed_after(monkeypatch, n_steps):
    """End training at a step of the checkpoint's sequence; return the steps that it took.

    Each state that is written is two steps: its contents are on the disk, and they take the place
    of the previous ones.
    """
    steps = []

    def step(name):
        steps.append(name)
        if len(steps) == n_steps:
            raise KilledError

    replace = os.replace

    def replace_later(source, target):
        step("written")
        replace(source, target)
        step("replaced")

    monkeypatch.setattr("fer_sklearn._utils.files.os.replace", replace_later)
    return steps


def epochs_of(text):
    """The epochs that `verbose=1` printed, counted from 0."""
    return [int(line.split("/")[0].split()[1]) - 1 for line in text.splitlines()]


@pytest.fixture(scope="module")
def data():
    return make_faces(70, size=16, random_state=0, return_X_y=True)


def interrupt(parameters, data, epoch):
    """Train until the checkpoint of an epoch is written."""
    with pytest.MonkeyPatch.context() as patch:
        killed_after(patch, 2 * epoch)
        with pytest.raises(KilledError):
            FERCNNClassifier(**parameters).fit(*data)


def assert_same_fit(first, second):
    assert first.history_ == second.history_
    assert first.n_iter_ == second.n_iter_
    for a, b in zip(first.model_.get_weights(), second.model_.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "more",
    [
        {},
        *(
            pytest.param(more, marks=pytest.mark.nightly)
            for more in (
                {"early_stopping": True, "patience": 2, "epochs": 12, "learning_rate": 0.3},
                {"learning_rate_schedule": None, "optimizer": "adam", "learning_rate": 1e-3},
                {"class_weight": {"happy": 3.0}, "architecture": "mini_xception"},
            )
        ),
    ],
    ids=["cosine", "early stopping", "adam", "weighted"],
)
def test_resumes_where_it_was_interrupted(data, tmp_path, capsys, more):
    parameters = PARAMETERS | more
    whole = FERCNNClassifier(**parameters).fit(*data)
    parameters["checkpoint_dir"] = tmp_path
    interrupt(parameters, data, epoch=2)
    resumed = FERCNNClassifier(**parameters, verbose=1).fit(*data)
    assert epochs_of(capsys.readouterr().out)[0] == 2
    assert_same_fit(resumed, whole)


class Decay(keras.callbacks.Callback):
    """Lower the learning rate in steps that it counts itself, from where each training began."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor
        self.rates = []

    def on_train_begin(self, logs=None):
        self.rates = []
        self.steps = np.zeros(2, int)

    def on_epoch_end(self, epoch, logs=None):
        self.steps[0] += 1
        rate = 0.05 * self.factor ** int(self.steps[0])
        self.model.optimizer.learning_rate = rate
        self.rates.append(rate)


@pytest.mark.nightly
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("unfreeze_after", [None, 2])
def test_a_kill_at_each_step_ends_with_the_same_weights(
    data, tmp_path, monkeypatch, early_stopping, unfreeze_after
):
    small = {"architecture": small_network, "batch_size": 35, "save_optimizer": True}
    first = FERCNNClassifier(**PARAMETERS | small | {"epochs": 1}).fit(*data)
    path = tmp_path / "first.weights.h5"
    first.model_.save_weights(path)
    parameters = PARAMETERS | small | {"learning_rate_schedule": None, "epochs": 5}
    parameters |= {"callbacks": [Decay(0.5)], "validation_fraction": 0.3, "learning_rate": 0.3}
    parameters |= {"early_stopping": early_stopping, "patience": 1, "initial_weights": path}
    if unfreeze_after:
        parameters |= {"trainable": "head", "unfreeze_after": unfreeze_after}
    whole = FERCNNClassifier(**parameters).fit(*data)
    with monkeypatch.context() as patch:
        steps = killed_after(patch, 0)
        FERCNNClassifier(**parameters, checkpoint_dir=tmp_path / "counted").fit(*data)
        n_steps = len(steps)
    assert n_steps >= 4
    for n in range(1, n_steps + 1):
        folder = tmp_path / str(n)
        with monkeypatch.context() as patch:
            killed_after(patch, n)
            with pytest.raises(KilledError):
                FERCNNClassifier(**parameters, checkpoint_dir=folder).fit(*data)
        for _ in range(2):  # the rest, and what was finished
            resumed = FERCNNClassifier(**parameters, checkpoint_dir=folder).fit(*data)
            assert_same_fit(resumed, whole)
            assert resumed.callbacks_[0].rates == whole.callbacks_[0].rates
        assert_same_fit(resumed.partial_fit(*data), clone_of(whole).partial_fit(*data))
        assert [file.suffix for file in folder.iterdir()] == [".npz"]


def clone_of(fitted):
    """A copy that can be trained further, while `fitted` stays as it is."""
    return pickle.loads(pickle.dumps(fitted))


@pytest.mark.slow
@pytest.mark.parametrize(
    "epoch",
    [pytest.param(1, marks=pytest.mark.nightly), 2, pytest.param(3, marks=pytest.mark.nightly)],
)
def test_resumes_before_and_after_unfreezing(data, tmp_path, epoch):
    first = FERCNNClassifier(**PARAMETERS).fit(*data)
    path = tmp_path / "first.weights.h5"
    first.model_.save_weights(path)
    parameters = PARAMETERS | {"initial_weights": path}
    parameters |= {"trainable": "head", "unfreeze_after": 2}
    whole = FERCNNClassifier(**parameters).fit(*data)
    parameters["checkpoint_dir"] = tmp_path / "checkpoints"
    interrupt(parameters, data, epoch)
    assert_same_fit(FERCNNClassifier(**parameters).fit(*data), whole)


@pytest.mark.slow
def test_kill_minus_nine(data, tmp_path, capsys):
    code = f"""
        import sys
        from fer_sklearn import FERCNNClassifier, make_faces

        X, y = make_faces(70, size=16, random_state=0, return_X_y=True)
        FERCNNClassifier(**{PARAMETERS | {"epochs": 40}}, checkpoint_dir=sys.argv[1]).fit(X, y)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("*.npz")):
        assert process.poll() is None, "ended before the first checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    parameters = PARAMETERS | {"epochs": 40}
    resumed = FERCNNClassifier(**parameters, checkpoint_dir=tmp_path, verbose=1).fit(*data)
    assert 0 < len(epochs_of(capsys.readouterr().out)) < 40
    assert_same_fit(resumed, FERCNNClassifier(**parameters).fit(*data))


def test_a_finished_fit_is_loaded(data, tmp_path, capsys):
    classifier = FERCNNClassifier(**PARAMETERS, checkpoint_dir=tmp_path)
    first = clone(classifier).fit(*data)
    again = classifier.set_params(verbose=1).fit(*data)
    assert capsys.readouterr().out == ""
    assert_same_fit(again, first)
    np.testing.assert_array_equal(again.predict_proba(data[0]), first.predict_proba(data[0]))


@pytest.mark.nightly
def test_another_fit_has_another_checkpoint(data, tmp_path):
    X, y = data
    parameters = PARAMETERS | {"epochs": 1, "checkpoint_dir": tmp_path}
    for changed in (
        {},
        {"learning_rate": 0.06},
        {"random_state": 1},
        {"dropout": 0.1},
        {"loss": "focal"},
        {"optimizer": keras.optimizers.Adam(0.01), "learning_rate_schedule": None},
        {"optimizer": keras.optimizers.Adam(0.02), "learning_rate_schedule": None},
    ):
        FERCNNClassifier(**(parameters | changed)).fit(X, y)
    FERCNNClassifier(**parameters).fit(X, y, sample_weight=np.linspace(0.5, 1, len(y)))
    FERCNNClassifier(**parameters).fit(X[1:], y[1:])
    assert len(list(tmp_path.iterdir())) == 9
    FERCNNClassifier(**parameters, verbose=1).fit(X, y)  # the result does not depend on it
    assert len(list(tmp_path.iterdir())) == 9


@pytest.mark.slow
def test_a_search_keeps_its_checkpoints_separate(data, tmp_path):
    search = GridSearchCV(
        FERCNNClassifier(epochs=1, random_state=0, checkpoint_dir=tmp_path),
        {"dropout": [0.1, 0.3]},
        cv=2,
    )
    scores = search.fit(*data).cv_results_["mean_test_score"]
    assert len(list(tmp_path.iterdir())) == 5  # two folds of two candidates, and the refit
    again = clone(search).fit(*data)
    np.testing.assert_array_equal(again.cv_results_["mean_test_score"], scores)


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)])
def test_needs_an_integer_seed(data, tmp_path, random_state):
    classifier = FERCNNClassifier(random_state=random_state, checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match=r"random_state=.*expected an integer"):
        classifier.fit(*data)


def test_a_file_where_the_folder_should_be(data, tmp_path):
    (tmp_path / "file").touch()
    classifier = FERCNNClassifier(random_state=0, checkpoint_dir=tmp_path / "file")
    with pytest.raises(NotADirectoryError, match=r"checkpoint_dir=.* is a file; expected a folder"):
        classifier.fit(*data)


# Output file


STATE = TrainingState(
    [np.arange(3.0), np.ones((2, 2))],
    [np.int64(7) * np.ones(())],
    3,
    history={"loss": [2.0, 1.5, 1.25]},
    callbacks=[{}, {"wait": 1, "best": np.float32(0.5), "pairs": {(1, "a"): [None, {2}]}}],
)


def test_written_weights_are_read_back(tmp_path):
    checkpoint = Checkpoint(tmp_path, "name")
    assert checkpoint.read() is None
    checkpoint.write(STATE)
    state = checkpoint.read()
    np.testing.assert_array_equal(state.weights[1], STATE.weights[1])
    assert state.optimizer[0] == 7
    assert (state.epoch, state.history, state.finished) == (3, STATE.history, False)
    assert state.callbacks == STATE.callbacks
    assert isinstance(state.callbacks[1]["best"], np.float32)
    assert [path.name for path in tmp_path.iterdir()] == ["name.npz"]


def test_a_damaged_file_is_reported(tmp_path):
    checkpoint = Checkpoint(tmp_path, "name")
    checkpoint.write(STATE)
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"checkpoint .*name\.npz.* is corrupt.*Delete it"):
        checkpoint.read()


def test_the_fingerprint_depends_on_the_places_of_arrays():
    array = np.ones((3, 2))
    names = [fingerprint({}, {name: array}) for name in ("soft_targets", "auxiliary_targets")]
    assert len(set(names)) == 2
    assert names[0] == fingerprint({}, {"none": None, "soft_targets": array.copy()})


# What a checkpoint belongs to


def network(meta, activation="relu", width=4):
    layers = [keras.Input(meta["input_shape"]), keras.layers.Flatten()]
    layers.append(keras.layers.Dense(width, activation=activation))
    return keras.Sequential([*layers, keras.layers.Dense(meta["n_classes"], "softmax")])


def closure(activation):
    def net(meta):
        return network(meta, activation)

    return net


def edited(factor):
    """The same cell of a notebook, before and after an edit."""
    names = {"keras": keras}
    source = f"""
class Scaled(keras.layers.Layer):
    def call(self, inputs):
        return inputs * {factor}

def net(meta):
    layers = [keras.Input(meta["input_shape"]), keras.layers.Flatten(), Scaled()]
    return keras.Sequential([*layers, keras.layers.Dense(meta["n_classes"], "softmax")])
"""
    exec(source, names)
    return names["net"]


def with_lambda(function):
    def net(meta):
        layers = [keras.Input(meta["input_shape"]), keras.layers.Flatten()]
        layers.append(keras.layers.Lambda(function, output_shape=lambda shape: shape))
        return keras.Sequential([*layers, keras.layers.Dense(meta["n_classes"], "softmax")])

    return net


def frozen(value):
    def net(meta):
        layer = keras.layers.Dense(4, trainable=False)
        layers = [keras.Input(meta["input_shape"]), keras.layers.Flatten(), layer]
        model = keras.Sequential([*layers, keras.layers.Dense(meta["n_classes"], "softmax")])
        layer.set_weights([np.full((256, 4), value), np.zeros(4)])
        return model

    return net


SCALE = 2.0


def scaled(inputs):
    return inputs * SCALE


def set_scale(value):
    """A function that reads another value of a global variable."""
    return types.FunctionType(scaled.__code__, {"SCALE": value, "__name__": __name__}, "scaled")


PAIRS = {
    "closure": (closure("relu"), closure("tanh")),
    "frozen weights": (frozen(0.01), frozen(0.02)),
    "partial": (partial(network, width=4), partial(network, width=5)),
    "lambda": (lambda meta: network(meta, "relu"), lambda meta: network(meta, "tanh")),
    "edited": (edited(1.0), edited(2.0)),
    "Lambda layer": (with_lambda(lambda x: 2 * x), with_lambda(lambda x: 3 * x)),
    "global": (with_lambda(set_scale(2.0)), with_lambda(set_scale(3.0))),
}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(*pair, marks=[] if name in ("closure", "frozen weights") else pytest.mark.slow)
        for name, pair in PAIRS.items()
    ],
    ids=PAIRS,
)
def test_another_network_has_another_checkpoint(data, tmp_path, first, second):
    settings = {"epochs": 1, "random_state": 0}
    kept = settings | {"checkpoint_dir": tmp_path}
    FERCNNClassifier(architecture=first, **kept).fit(*data)
    resumed = FERCNNClassifier(architecture=second, **kept).fit(*data)
    assert_same_fit(resumed, FERCNNClassifier(architecture=second, **settings).fit(*data))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "make",
    [
        lambda: closure("relu"),
        lambda: partial(network, width=5),
        lambda: edited(2.0),
        lambda: with_lambda(lambda x: 2 * x),
        lambda: frozen(0.01),
    ],
    ids=["closure", "partial", "edited", "Lambda layer", "frozen weights"],
)
def test_the_same_network_has_the_same_checkpoint(data, tmp_path, capsys, make):
    settings = {"epochs": 1, "random_state": 0, "checkpoint_dir": tmp_path, "verbose": 1}
    fitted = [FERCNNClassifier(architecture=make(), **settings).fit(*data) for _ in range(2)]
    assert_same_fit(*fitted)
    assert len(list(tmp_path.iterdir())) == 1
    assert epochs_of(capsys.readouterr().out) == [0]


def test_a_network_that_was_copied_has_the_same_checkpoint(data, tmp_path, capsys):
    settings = {"epochs": 1, "random_state": 0, "checkpoint_dir": tmp_path, "verbose": 1}
    first = FERCNNClassifier(architecture=closure("relu"), **settings).fit(*data)
    copy.deepcopy(first.model_)  # for which scikeras registers the class of Keras's own models
    assert_same_fit(FERCNNClassifier(architecture=closure("relu"), **settings).fit(*data), first)
    assert epochs_of(capsys.readouterr().out) == [0]


@pytest.mark.parametrize(
    "callbacks",
    [
        [keras.callbacks.LearningRateScheduler(lambda epoch: 0.1)],
        [keras.callbacks.LearningRateScheduler(lambda epoch: 0.2)],
        [keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None)],
        [Decay(0.5)],
        [Decay(0.25)],
    ],
)
def test_callbacks_belong_to_a_checkpoint(data, tmp_path, callbacks):
    settings = {"architecture": small_network, "epochs": 1, "random_state": 0}
    settings["checkpoint_dir"] = tmp_path
    others = [[], [keras.callbacks.TerminateOnNaN()], [Decay(0.75)]]
    for other in [*others, callbacks, callbacks]:
        FERCNNClassifier(callbacks=other, **settings).fit(*data)
    assert len(list(tmp_path.iterdir())) == 4


def test_callbacks_that_only_watch_do_not_matter(data, tmp_path):
    settings = {"architecture": small_network, "epochs": 2, "random_state": 0}
    settings["checkpoint_dir"] = tmp_path / "checkpoints"
    log = keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))
    for callbacks in (None, [EpochLines()], [EpochBar()], [log]):
        FERCNNClassifier(callbacks=callbacks, **settings).fit(*data)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1


class Draws(keras.callbacks.Callback):
    """A callback whose random numbers would start over after an interruption."""

    def on_train_begin(self, logs=None):
        self.rng = np.random.default_rng(0)


class Locked(keras.callbacks.Callback):
    """A callback that cannot be compared."""

    def __init__(self):
        super().__init__()
        self.view = memoryview(b"")

    def __deepcopy__(self, memo):
        return Locked()


@pytest.mark.parametrize(
    ("callback", "kept"), [(Draws(), "a Generator"), (Locked(), "a memoryview")]
)
def test_a_callback_that_cannot_be_resumed(data, tmp_path, callback, kept):
    classifier = FERCNNClassifier(
        epochs=3, callbacks=[EpochLines(), callback], random_state=0, checkpoint_dir=tmp_path
    )
    with pytest.raises(ValueError, match=rf"callbacks\[1\], a {type(callback).__name__}.*{kept}"):
        classifier.fit(*data)
    classifier.set_params(checkpoint_dir=None).fit(*data)


def test_a_network_that_cannot_be_described(data, tmp_path):
    class Halved(keras.layers.Layer):
        def __init__(self, factor):
            super().__init__()
            self.factor = factor

        def call(self, inputs):
            return inputs * self.factor[0]

        def get_config(self):
            raise NotImplementedError("no config")

    def net(meta):
        layers = [keras.Input(meta["input_shape"]), keras.layers.Flatten(), Halved([0.5])]
        return keras.Sequential([*layers, keras.layers.Dense(meta["n_classes"], "softmax")])

    classifier = FERCNNClassifier(architecture=net, epochs=1, random_state=0)
    classifier.fit(*data)
    classifier.set_params(checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match=r"a network that can be described.*a method get_config"):
        classifier.fit(*data)
