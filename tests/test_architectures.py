"""The named networks, and what a user may write instead of a name."""

import keras
import numpy as np
import pytest

from fer_sklearn.architectures import ARCHITECTURES, build_model

META = {"input_shape": (48, 48, 1), "n_classes": 7}
SIZES = {name: 28 if name == "conv4_dense3" else 48 for name in ARCHITECTURES}
# Millions of parameters, as the docstrings state them.
MILLIONS = {
    "conv3": 0.68,
    "conv4_dense3": 0.69,
    "conv4_wide": 4.2,
    "vgg_elu": 1.3,
    "mini_xception": 0.058,
    "resnet_se": 0.70,
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_named_network_gives_probabilities(name):
    meta = META | {"input_shape": (SIZES[name], SIZES[name], 1)}
    model = build_model(name, meta)
    images = np.random.default_rng(0).random((3, *meta["input_shape"]), np.float32)
    probabilities = keras.ops.convert_to_numpy(model(images))
    assert probabilities.shape == (3, 7)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_named_network_has_the_stated_size(name):
    meta = META | {"input_shape": (SIZES[name], SIZES[name], 1)}
    assert build_model(name, meta).count_params() == pytest.approx(1e6 * MILLIONS[name], rel=0.03)


@pytest.mark.parametrize("name", [n for n in ARCHITECTURES if n != "conv4_wide"])
def test_named_network_takes_tiny_images(name):
    meta = {"input_shape": (1, 3, 1), "n_classes": 2}
    assert build_model(name, meta).output_shape == (None, 2)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_dropout_replaces_every_rate(name):
    rates = {
        rate: [
            layer.rate
            for layer in build_model(name, META, rate).layers
            if isinstance(layer, keras.layers.Dropout)
        ]
        for rate in (0.1, 0.3)
    }
    assert len(rates[0.1]) > 0
    np.testing.assert_allclose(np.array(rates[0.3]), np.minimum(3 * np.array(rates[0.1]), 0.9))


def test_wide_network_refuses_small_images():
    meta = META | {"input_shape": (45, 48, 1)}
    with pytest.raises(ValueError, match=r"'conv4_wide' needs images of at least 46×46.*45×48"):
        build_model("conv4_wide", meta)


def test_unknown_name_gets_a_suggestion():
    with pytest.raises(ValueError, match=r"architecture='resnet_es' is unknown.*'resnet_se'\?"):
        build_model("resnet_es", META)


def tiny(meta):
    layers = [keras.Input(meta["input_shape"]), keras.layers.Flatten()]
    return keras.Sequential([*layers, keras.layers.Dense(meta["n_classes"], "softmax")])


def test_function_is_as_good_as_a_name():
    assert build_model(tiny, META).count_params() == 48 * 48 * 7 + 7


def test_dropout_for_a_function_that_takes_none():
    with pytest.raises(ValueError, match=r"dropout=0.5 was given, but architecture 'tiny' takes"):
        build_model(tiny, META, dropout=0.5)


def always_seven(meta):
    return tiny(META)


def test_function_of_another_output_shape():
    with pytest.raises(ValueError, match=r"'always_seven' has the output shape \(None, 7\)"):
        build_model(always_seven, META | {"n_classes": 3})


def no_model(meta):
    return {}


def test_function_that_returns_no_model():
    with pytest.raises(TypeError, match=r"'no_model' returned dict; expected a keras.Model"):
        build_model(no_model, META)
