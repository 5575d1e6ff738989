"""Seeds, global state, and reuse of compiled models."""

import random
import subprocess
import sys
import textwrap
import threading

import keras
import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config

from fer_sklearn import FERCNNClassifier, make_faces
from fer_sklearn.cnn._compiled import (
    NetworkSpec,
    TrainingState,
    derive_seeds,
    describe_optimizer,
    draw_weights,
)
from fer_sklearn.cnn._data import TrainingData
from fer_sklearn.cnn._fit import train
from fer_sklearn.cnn.augmentation import resolve_augmentation

X, Y = make_faces(96, size=24, random_state=0, return_X_y=True)


def fit_weights(seed=0):
    classifier = FERCNNClassifier(epochs=2, augmentation=True, random_state=seed)
    return classifier.fit(X, Y).model_.get_weights()


def assert_equal(first, second):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def reference():
    return fit_weights()


# Same seed, same weights


def test_twice_in_the_same_process(reference):
    random.seed(7)
    assert_equal(fit_weights(), reference)


def test_another_seed_gives_other_weights(reference):
    assert not np.array_equal(fit_weights(1)[0], reference[0])


@pytest.mark.parametrize("backend", ["threading", pytest.param("loky", marks=pytest.mark.nightly)])
def test_in_workers(reference, backend):
    with parallel_config(backend=backend, n_jobs=2):
        for weights in Parallel()(delayed(fit_weights)() for _ in range(2)):
            assert_equal(weights, reference)


def test_while_another_thread_draws_from_python(reference):
    stopped = threading.Event()

    def draw():
        while not stopped.wait(0.001):
            random.random()

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        assert_equal(fit_weights(), reference)
    finally:
        stopped.set()
        thread.join()


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_in_dask_workers(reference, tmp_path):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.Client(
            n_workers=1, threads_per_worker=2, dashboard_address=None, local_directory=tmp_path
        ),
        parallel_config(backend="dask"),
    ):
        for weights in Parallel()(delayed(fit_weights)() for _ in range(2)):
            assert_equal(weights, reference)


@pytest.mark.slow
def test_none_draws_from_numpy_as_everywhere_in_scikit_learn(reference):
    assert not np.array_equal(fit_weights(None)[0], fit_weights(None)[0])


# No global state is left behind


def test_no_global_state_is_left_behind():
    from tensorflow.python.framework.config import is_op_determinism_enabled

    before = np.random.get_state()[1].tolist()  # noqa: NPY002 - others may use it
    fit_weights()
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    assert not is_op_determinism_enabled()
    assert keras.config.dtype_policy().name == "float32"


def test_unseeded_dropout_after_a_seeded_fit():
    # scikeras leaves TensorFlow's determinism on, after which this raises.
    fit_weights()
    inputs = np.ones((4, 8), np.float32)
    model = keras.Sequential([keras.layers.Dropout(0.5), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(inputs, inputs[:, 0], verbose=0)


@pytest.mark.nightly
def test_thirty_fits_use_at_most_60_mb_more():
    code = """
        import gc, psutil
        from fer_sklearn import FERCNNClassifier, make_faces

        X, y = make_faces(64, random_state=0, return_X_y=True)
        resident = lambda: psutil.Process().memory_info().rss / 2**20
        FERCNNClassifier(epochs=1, random_state=0).fit(X, y)
        before = resident()
        for seed in range(30):
            FERCNNClassifier(epochs=1, random_state=seed).fit(X, y)
        gc.collect()
        print(resident() - before)
    """
    assert float(_run(code)) <= 60


# Reuse of compiled models


def test_a_fitted_estimator_keeps_its_own_weights(reference):
    classifier = FERCNNClassifier(epochs=2, augmentation=True, random_state=0).fit(X, Y)
    fit_weights(5)
    assert_equal(classifier.model_.get_weights(), reference)


def test_a_failed_fit_does_not_affect_the_next(reference):
    class Fail(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FERCNNClassifier(epochs=2, random_state=3, callbacks=[Fail()]).fit(X, Y)
    assert_equal(fit_weights(), reference)


def test_frozen_layers_keep_their_weights():
    frozen = keras.layers.Dense(4, trainable=False)
    model = keras.Sequential([keras.Input((8,)), frozen, keras.layers.Dense(2)])
    before = model.get_weights()
    drawn = draw_weights(model, 7)
    np.testing.assert_array_equal(drawn[0], before[0])
    assert not np.array_equal(drawn[2], before[2])


def test_drawn_weights_have_the_spread_of_their_initialiser():
    layer = keras.layers.Dense(400, kernel_initializer="he_normal")
    model = keras.Sequential([keras.Input((300,)), layer])
    kernel = draw_weights(model, 0)[0]
    assert kernel.std() == pytest.approx(np.sqrt(2 / 300), rel=0.02)
    np.testing.assert_array_equal(draw_weights(model, 0)[0], kernel)
    assert not np.array_equal(draw_weights(model, 1)[0], kernel)


def test_seeds_differ_by_purpose():
    assert len({*derive_seeds(0, 2, 50), *derive_seeds(0, 3, 50), *derive_seeds(1, 2, 50)}) == 150


# Resuming training


def _spec():
    optimizer, rate = describe_optimizer("sgd", 0.02, weight_decay=1e-4, cosine_steps=None)
    return NetworkSpec("conv3", None, (24, 24, 1), 7, optimizer, 0.0, "float32"), rate


def test_two_epochs_and_two_more_are_four():
    spec, rate = _spec()
    data = TrainingData(X, np.unique(Y, return_inverse=True)[1])
    options = {"batch_size": 32, "seed": 4, "learning_rate": rate, "keep_optimizer": True}
    whole, whole_optimizer, *_ = train(spec, data, epochs=4, **options)
    half, optimizer, *_ = train(spec, data, epochs=2, **options)
    start = TrainingState(half.get_weights(), optimizer, epoch=2)
    rest, rest_optimizer, history, _ = train(spec, data, epochs=2, start=start, **options)
    assert len(history["loss"]) == 2
    assert_equal(rest.get_weights(), whole.get_weights())
    assert_equal(rest_optimizer, whole_optimizer)


def test_every_image_occurs_once_per_epoch(monkeypatch):
    seen = []

    def remember(images, settings, rng):
        seen.extend(images[:, 0, 0].tolist())
        return images / np.float32(255)

    monkeypatch.setattr("fer_sklearn.cnn._data.augment", remember)
    numbered = np.zeros((96, 24, 24), np.uint8)
    numbered[:, 0, 0] = np.arange(96)
    data = TrainingData(numbered, np.arange(96) % 7)
    spec, rate = _spec()
    settings = resolve_augmentation({})
    train(spec, data, epochs=2, batch_size=36, seed=0, learning_rate=rate, augmentation=settings)
    first, second = seen[:96], seen[96:192]
    assert sorted(first) == sorted(second) == list(range(96))
    assert first != second


def test_mixing_reaches_training(small_faces):
    X, y = small_faces
    histories = [
        FERCNNClassifier(epochs=1, augmentation={"mixup": alpha}, random_state=0).fit(X, y).history_
        for alpha in (0.0, 1.0)
    ]
    assert histories[0]["loss"] != histories[1]["loss"]


# Other backends


@pytest.mark.nightly
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_trains_on_another_backend(backend):
    pytest.importorskip(backend)
    code = f"""
        import os
        os.environ["KERAS_BACKEND"] = "{backend}"
        import keras
        from fer_sklearn import FERCNNClassifier, make_faces

        X, y = make_faces(140, size=24, random_state=0, return_X_y=True)
        first, second = (
            FERCNNClassifier(
                epochs=8, learning_rate=2e-3, batch_size=20, dropout=0.1, random_state=0
            ).fit(X, y)
            for _ in "ab"
        )
        assert keras.backend.backend() == "{backend}"
        assert (first.predict_proba(X) == second.predict_proba(X)).all()
        print(first.history_["loss"][-1] < 0.99 * first.history_["loss"][0])
    """
    assert _run(code) == "True"


def _run(code):
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_training_that_diverges_is_refused():
    classifier = FERCNNClassifier(learning_rate=1e30, epochs=2, batch_size=8, random_state=0)
    with pytest.raises(ValueError, match=r"diverged in epoch 1 of 2: .*=1e\+30. Lower"):
        classifier.fit(X, Y)
    assert not hasattr(classifier, "n_iter_")
