"""Fused batch normalisation equals Keras's own."""

import keras
import numpy as np
import pytest

from fer_sklearn import FERCNNClassifier
from fer_sklearn.cnn._compiled import (
    FusedBatchNormalization,
    NetworkSpec,
    _CompiledModel,
    describe_optimizer,
    fuse,
)

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow has the operation"
)


def normalized(meta):
    x = inputs = keras.Input(meta["input_shape"])
    x = keras.layers.Conv2D(4, 3, use_bias=False)(x)
    x = keras.layers.BatchNormalization(momentum=0.8)(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Activation("relu")(x))
    return keras.Model(inputs, keras.layers.Dense(meta["n_classes"], activation="softmax")(x))


def network():
    return normalized({"input_shape": (6, 6, 1), "n_classes": 3})


def trained(model):
    rng = np.random.default_rng(0)
    images = rng.random((10, 6, 6, 1), np.float32)
    labels = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 10)]
    model.compile(keras.optimizers.SGD(0.5), "categorical_crossentropy", jit_compile=False)
    model.fit(images, labels, batch_size=5, epochs=3, shuffle=False, verbose=0)
    return model.get_weights()


def test_training_gives_the_same_weights_and_statistics():
    plain = network()
    fused = keras.models.clone_model(plain, clone_function=fuse)
    fused.set_weights(plain.get_weights())
    assert sum(isinstance(layer, FusedBatchNormalization) for layer in fused.layers) == 1
    before = plain.get_weights()
    for got, expected, first in zip(trained(fused), trained(plain), before, strict=True):
        np.testing.assert_allclose(got, expected, atol=2e-6)
        assert not np.array_equal(got, first)


@pytest.mark.parametrize("options", [{"scale": False}, {"center": False}, {"axis": 1}])
def test_others_stay_as_they_are(options):
    layer = keras.layers.BatchNormalization(**options)
    layer.build((None, 4, 4, 2))
    assert type(fuse(layer)) is keras.layers.BatchNormalization


def test_training_uses_it_and_keeps_a_plain_keras_model(small_faces):
    optimizer, _ = describe_optimizer("sgd", 0.1, weight_decay=0, cosine_steps=None)
    spec = NetworkSpec(normalized, None, (24, 24, 1), 7, optimizer, 0.0, "float32")
    kinds = {type(layer) for layer in _CompiledModel(spec, spec.build_for_training()).model.layers}
    assert FusedBatchNormalization in kinds
    assert keras.layers.BatchNormalization not in kinds
    fitted = FERCNNClassifier(architecture=normalized, epochs=1, random_state=0).fit(*small_faces)
    assert FusedBatchNormalization not in {type(layer) for layer in fitted.model_.layers}
