"""Batch statistics and temperature of a trained network."""

import copy

import keras
import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss

from fer_sklearn import FERCNNClassifier, load_pretrained
from fer_sklearn.cnn import fit_temperature, scale_logits, update_batch_norm
from fer_sklearn.cnn.architectures import leaf_layers


@pytest.fixture
def tiny():
    return load_pretrained("tiny", runtime="keras")


def batch_norm_layers(classifier):
    return [
        layer
        for layer in leaf_layers(classifier.model_)
        if isinstance(layer, keras.layers.BatchNormalization)
    ]


@pytest.mark.slow
def test_batch_statistics_are_those_of_the_images(tiny, faces):
    pixels = tiny[:-1].transform(faces[0][:64])
    classifier = tiny[-1]
    before = classifier.predict_proba(pixels)
    first, *others = batch_norm_layers(classifier)
    momentum = first.momentum
    expected = {}
    first.momentum = 0.0
    for i in (0, 32):
        classifier.model_(pixels[i : i + 32, ..., np.newaxis], training=True)
        expected[i] = np.asarray(first.moving_mean), np.asarray(first.moving_variance)
    first.momentum = momentum
    first.moving_mean.assign(np.zeros_like(first.moving_mean))
    update_batch_norm(classifier, pixels, batch_size=32)
    for found, values in zip(
        (first.moving_mean, first.moving_variance),
        zip(*expected.values(), strict=True),
        strict=True,
    ):
        np.testing.assert_allclose(found, np.mean(values, axis=0), rtol=1e-3, atol=1e-4)
    assert {layer.momentum for layer in (first, *others)} == {momentum}
    after = classifier.predict_proba(pixels)
    assert np.isfinite(after).all()
    assert np.abs(after - before).max() > 1e-3  # predictions use the new statistics


def test_too_few_images_for_batch_statistics(tiny, faces):
    with pytest.raises(ValueError, match=r"X has 70 images; expected at least batch_size=256"):
        update_batch_norm(tiny[-1], tiny[:-1].transform(faces[0]))


def test_temperature_is_part_of_the_network(tiny, faces):
    X, y = faces
    before = tiny.predict_proba(X)
    temperature = fit_temperature(tiny, X, y)
    scale_logits(tiny[-1].set_params(test_time_augmentation=False), temperature)
    after = tiny.predict_proba(X)
    assert log_loss(y, after) < log_loss(y, before)
    scale_logits(tiny[-1], 1 / temperature)
    tiny[-1].set_params(test_time_augmentation=True)
    np.testing.assert_allclose(tiny.predict_proba(X), before, atol=1e-5)


def test_temperature_is_that_of_scikit_learn_whatever_the_labels_are(tiny, faces):
    X, y = faces
    calibrated = CalibratedClassifierCV(FrozenEstimator(tiny), method="temperature").fit(X, y)
    expected = 1 / calibrated.calibrated_classifiers_[0].calibrators[0].beta_
    network, labels = copy.copy(tiny[-1]), tiny.classes_
    for classes in (labels, 10 * np.arange(7) - 5):
        network.classes_ = classes
        target = classes[np.searchsorted(labels, y)]
        assert fit_temperature(network, X, target) == pytest.approx(expected, rel=1e-3)
    with pytest.raises(ValueError, match="Text and numbers cannot be compared"):
        fit_temperature(network, X, y)
    with pytest.raises(ValueError, match=r"not among the classes of the estimator: 3; "):
        fit_temperature(network, X, np.full(len(X), 3))
    with pytest.raises(ValueError, match=r"X has 70 image\(s\) and y 3 label"):
        fit_temperature(tiny, X, y[:3])


def test_scaling_is_exact_on_logits(tiny, faces):
    tiny[-1].set_params(test_time_augmentation=False)
    before = np.log(tiny.predict_proba(faces[0]))
    scale_logits(tiny[-1], 2.0)
    after = np.log(tiny.predict_proba(faces[0]))
    expected = before / 2 - np.log(np.exp(before / 2).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(after, expected, atol=1e-4)


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan")])
def test_invalid_temperature(tiny, temperature):
    with pytest.raises(ValueError, match=r"temperature=.* must be a number above 0"):
        scale_logits(tiny[-1], temperature)


def test_network_without_a_softmax_at_its_end(faces):
    def pooled(meta):
        inputs = keras.Input(meta["input_shape"])
        x = keras.layers.Conv2D(meta["n_classes"], 3)(inputs)
        x = keras.layers.GlobalAveragePooling2D()(x)
        return keras.Model(inputs, keras.layers.Softmax(name="end")(x))

    classifier = FERCNNClassifier(architecture=pooled, epochs=1, random_state=0).fit(*faces)
    with pytest.raises(TypeError, match=r"ends in the layer 'end' \(Softmax\)"):
        scale_logits(classifier, 2.0)


@pytest.mark.parametrize(
    "call", [lambda c: scale_logits(c, 2.0), lambda c: update_batch_norm(c, np.zeros((1, 8, 8)))]
)
def test_unfitted_classifier(call):
    with pytest.raises(NotFittedError):
        call(FERCNNClassifier())
