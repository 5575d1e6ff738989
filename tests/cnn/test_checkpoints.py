"""Interrupted training resumes and ends with the same result."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial

import keras
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from fer_sklearn import FERCNNClassifier, make_faces
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


class Stop(keras.callbacks.Callback):
    """Interrupt training at the start of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self._epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self._epoch:
            raise KeyboardInterrupt


class Count(keras.callbacks.Callback):
    """Record which epochs are trained; copies share the list."""

    def __init__(self):
        super().__init__()
        self.epochs = []

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs.append(epoch)


@pytest.fixture(scope="module")
def data():
    return make_faces(70, size=16, random_state=0, return_X_y=True)


def interrupt(parameters, data, epoch):
    with pytest.raises(KeyboardInterrupt):
        FERCNNClassifier(**parameters, callbacks=[Stop(epoch)]).fit(*data)


def assert_same_fit(first, second):
    assert first.history_ == second.history_
    assert first.n_iter_ == second.n_iter_
    for a, b in zip(first.model_.get_weights(), second.model_.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"early_stopping": True, "patience": 2, "epochs": 12, "learning_rate": 0.3},
        {"learning_rate_schedule": None, "optimizer": "adam", "learning_rate": 1e-3},
        pytest.param(
            {"class_weight": {"happy": 3.0}, "architecture": "mini_xception"},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["cosine", "early stopping", "adam", "weighted"],
)
def test_resumes_where_it_was_interrupted(data, tmp_path, more):
    parameters = PARAMETERS | more
    whole = FERCNNClassifier(**parameters).fit(*data)
    parameters["checkpoint_dir"] = tmp_path
    interrupt(parameters, data, epoch=2)
    count = Count()
    resumed = FERCNNClassifier(**parameters, callbacks=[count]).fit(*data)
    assert count.epochs[0] == 2
    assert_same_fit(resumed, whole)


@pytest.mark.parametrize(
    "epoch",
    [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(3, marks=pytest.mark.slow)],
)
def test_resumes_before_and_after_unfreezing(data, tmp_path, epoch):
    first = FERCNNClassifier(**PARAMETERS).fit(*data)
    path = tmp_path / "first.weights.h5"
    first.model_.save_weights(path)
    parameters = PARAMETERS | {"initial_weights": path, "frozen_stages": 1, "unfreeze_after": 2}
    whole = FERCNNClassifier(**parameters).fit(*data)
    parameters["checkpoint_dir"] = tmp_path / "checkpoints"
    interrupt(parameters, data, epoch)
    assert_same_fit(FERCNNClassifier(**parameters).fit(*data), whole)


@pytest.mark.slow
def test_kill_minus_nine(data, tmp_path):
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
    count = Count()
    parameters = PARAMETERS | {"epochs": 40}
    resumed = FERCNNClassifier(**parameters, checkpoint_dir=tmp_path, callbacks=[count]).fit(*data)
    assert 0 < len(count.epochs) < 40
    assert_same_fit(resumed, FERCNNClassifier(**parameters).fit(*data))


def test_a_finished_fit_is_loaded(data, tmp_path):
    classifier = FERCNNClassifier(**PARAMETERS, checkpoint_dir=tmp_path)
    first = clone(classifier).fit(*data)
    count = Count()
    again = classifier.set_params(callbacks=[count]).fit(*data)
    assert count.epochs == []
    assert_same_fit(again, first)
    np.testing.assert_array_equal(again.predict_proba(data[0]), first.predict_proba(data[0]))


@pytest.mark.slow
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
    early_stopping={"wait": 1, "best": 0.5, "best_epoch": 1, "best_weights": [np.zeros(2)]},
)


def test_written_weights_are_read_back(tmp_path):
    checkpoint = Checkpoint(tmp_path, "name")
    assert checkpoint.read() is None
    checkpoint.write(STATE)
    state = checkpoint.read()
    np.testing.assert_array_equal(state.weights[1], STATE.weights[1])
    assert state.optimizer[0] == 7
    assert (state.epoch, state.history, state.finished) == (3, STATE.history, False)
    np.testing.assert_array_equal(state.early_stopping.pop("best_weights")[0], np.zeros(2))
    assert state.early_stopping == {"wait": 1, "best": 0.5, "best_epoch": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["name.npz"]


def test_a_damaged_file_says_so(tmp_path):
    checkpoint = Checkpoint(tmp_path, "name")
    checkpoint.write(STATE)
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"checkpoint .*name\.npz.* is corrupt.*Delete it"):
        checkpoint.read()


def builder(meta, width=4):
    raise NotImplementedError


def test_fingerprint_of_functions():
    names = [
        fingerprint({"architecture": value}, [])
        for value in (builder, partial(builder, width=5), partial(builder, width=6), "conv3")
    ]
    assert len(set(names)) == 4
    assert names[1] == fingerprint({"architecture": partial(builder, width=5)}, [])
