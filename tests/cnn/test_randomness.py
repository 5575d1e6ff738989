"""Random numbers: all of them come from `random_state`, and none from global generators."""

import json
import random
import subprocess
import sys
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from fer_sklearn import FERCNNClassifier, export, load_pretrained, make_faces
from fer_sklearn.cnn.architectures import build_model


class Own(layers.Layer):
    """Weights whose initialiser is not an attribute."""

    def build(self, shape):
        self.matrix = self.add_weight(shape=(shape[-1], 8), initializer="glorot_uniform")

    def call(self, inputs):
        return keras.ops.matmul(inputs, self.matrix)


class Inner(layers.Layer):
    """A layer within a layer."""

    def __init__(self, **options):
        super().__init__(**options)
        self.dense = layers.Dense(8)

    def build(self, shape):
        self.dense.build(shape)

    def call(self, inputs):
        return self.dense(inputs)


class Drawn(layers.Layer):
    """Weights from NumPy's, Python's and Keras's global generators."""

    def build(self, shape):
        matrix = np.random.normal(0, 0.1, (shape[-1], 8)) + random.random()  # noqa: NPY002
        self.matrix = self.add_weight(shape=matrix.shape, initializer=lambda *a, **k: matrix)
        self.bias = self.add_weight(shape=(8,), initializer=lambda s, dtype: keras.random.normal(s))

    def call(self, inputs):
        return keras.ops.matmul(inputs, self.matrix) + self.bias


class Noisy(layers.Layer):
    """Noise from Keras's global generator, in each step of training."""

    def call(self, inputs, training=False):
        return inputs + keras.random.normal(keras.ops.shape(inputs)) if training else inputs


def rows(x):
    return layers.Reshape((24, 24))(x)


def flat(x):
    return layers.Flatten()(x)


BODIES = {
    "Dense": lambda x: layers.Dense(8)(flat(x)),
    "LSTM": lambda x: layers.LSTM(8, dropout=0.1)(rows(x)),
    "GRU": lambda x: layers.GRU(8)(rows(x)),
    "Bidirectional": lambda x: layers.Bidirectional(layers.LSTM(4))(rows(x)),
    "TimeDistributed": lambda x: flat(layers.TimeDistributed(layers.Dense(4))(rows(x))),
    "ConvLSTM": lambda x: flat(
        layers.ConvLSTM1D(2, 5, strides=4)(layers.Reshape((4, 144, 1))(flat(x)))
    ),
    "MultiHeadAttention": lambda x: flat(layers.MultiHeadAttention(2, 4)(rows(x), rows(x))),
    "EinsumDense": lambda x: flat(layers.EinsumDense("ijk,kl->ijl", output_shape=(24, 4))(rows(x))),
    "SeparableConv2D": lambda x: flat(layers.SeparableConv2D(4, 3)(x)),
    "nested": lambda x: keras.Sequential([layers.Flatten(), layers.Dense(8)])(x),
    "own weights": lambda x: Own()(flat(x)),
    "layer in a layer": lambda x: Inner()(flat(x)),
    "global generators": lambda x: Drawn()(flat(x)),
    "noise": lambda x: layers.Dense(8)(Noisy()(flat(x))),
    "Lambda": lambda x: layers.Dense(8)(layers.Lambda(lambda y: y / 2)(flat(x))),
    "initialiser with a seed": lambda x: layers.Dense(
        8, kernel_initializer=keras.initializers.HeNormal(seed=1)
    )(flat(x)),
    "shared initialiser": lambda x: layers.Dense(8, kernel_initializer="he_normal")(
        layers.Dense(8, kernel_initializer=keras.initializers.get("he_normal"))(flat(x))
    ),
    "frozen": lambda x: layers.Dense(8, trainable=False)(flat(x)),
}


def network(meta, kind):
    inputs = keras.Input(meta["input_shape"])
    outputs = layers.Dense(meta["n_classes"], activation="softmax")(BODIES[kind](inputs))
    return keras.Model(inputs, outputs)


def fit(kind, seed=0, **options):
    X, y = make_faces(70, size=24, random_state=0, return_X_y=True)
    settings = {"architecture": partial(network, kind=kind), "epochs": 1, "random_state": seed}
    return FERCNNClassifier(**settings | options).fit(X, y)


def weight_sums(classifier):
    return [float(np.abs(weight).sum()) for weight in classifier.model_.get_weights()]


def sums(kinds):
    return [weight_sums(fit(kind)) for kind in kinds]


@pytest.mark.slow
@pytest.mark.parametrize(
    "kinds",
    [
        ["noise", "nested"],
        pytest.param(list(BODIES), marks=pytest.mark.nightly),
    ],
    ids=["some", "all"],
)
def test_the_same_weights_in_another_process(kinds):
    code = (
        "import json, sys; from test_randomness import sums; print(json.dumps(sums(sys.argv[1:])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *kinds],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    random.seed(1)
    keras.random.normal((1,))
    np.random.rand(1)  # noqa: NPY002
    assert json.loads(done.stdout.splitlines()[-1]) == sums(kinds)


def parametrized(kinds, nightly):
    return [
        pytest.param(kind, marks=[pytest.mark.nightly] if kind in nightly else []) for kind in kinds
    ]


RECURRENT = {"LSTM", "GRU", "Bidirectional", "ConvLSTM"}
QUICK = {"Dense", "nested", "own weights", "shared initialiser", "frozen"}


@pytest.mark.parametrize("kind", parametrized(BODIES, nightly=BODIES.keys() - QUICK))
def test_other_seeds_give_other_initial_weights(kind):
    # At this rate nothing is learned.
    first, second = (fit(kind, seed, learning_rate=1e-12) for seed in (0, 1))
    matrices = [
        [w.numpy() for w in fitted.model_.weights if w.ndim > 1 and "bias" not in w.path]
        for fitted in (first, second)
    ]
    assert matrices[0]
    for a, b in zip(*matrices, strict=True):
        assert abs(a - b).mean() > 1e-3


def states():
    from keras.src.backend.common.global_state import get_global_attribute

    generator = get_global_attribute("global_seed_generator")
    kept = None if generator is None else np.asarray(generator.state).tolist()
    numpy_state = np.random.get_state()  # noqa: NPY002
    return random.getstate(), numpy_state[1].tolist(), numpy_state[2], id(generator), kept


@pytest.mark.parametrize(
    "kind",
    parametrized(
        ["Dense", "LSTM", "global generators", "noise", "Lambda"],
        nightly=RECURRENT | {"noise", "Lambda"},
    ),
)
def test_training_leaves_global_generators_alone(kind, faces):
    before = states()
    classifier = fit(kind, validation_fraction=0.2)
    classifier.partial_fit(*make_faces(70, size=24, random_state=0, return_X_y=True))
    assert states() == before
    keras.random.normal((1,))  # now there is a global generator
    before = states()
    fit(kind)
    assert states() == before


@pytest.mark.slow
def test_everything_else_leaves_global_generators_alone(faces, tmp_path):
    before = states()
    model = load_pretrained("tiny", runtime="keras")
    model.predict(faces[0])
    export(model, tmp_path / "tiny.tflite")
    build_model("conv3", {"input_shape": (24, 24, 1), "n_classes": 7})
    assert states() == before


@pytest.mark.slow
def test_importing_keras_in_fit_leaves_global_generators_alone():
    code = """
import random, sys
import numpy as np
from fer_sklearn import FERCNNClassifier, make_faces

X, y = make_faces(70, size=24, random_state=0, return_X_y=True)
assert "tensorflow" not in sys.modules
before = random.getstate(), np.random.get_state()[1].tolist()
FERCNNClassifier(epochs=1, random_state=0).fit(X, y)
assert before == (random.getstate(), np.random.get_state()[1].tolist())
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_two_networks_without_a_seed_differ():
    meta = {"input_shape": (24, 24, 1), "n_classes": 7}
    state = random.getstate()
    first = build_model("conv3", meta).get_weights()[0]
    random.setstate(state)
    assert not np.array_equal(build_model("conv3", meta).get_weights()[0], first)
