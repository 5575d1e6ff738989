"""Named architectures, and functions in their place."""

import copy
import pickle
from functools import partial

import keras
import numpy as np
import pytest

from fer_sklearn.cnn.architectures import ARCHITECTURES, architecture_key, build_model

META = {"input_shape": (48, 48, 1), "n_classes": 7}
# The others are tested in test_backbones.py.
NAMES = sorted(set(ARCHITECTURES) - {"mobilenet_v3_small", "efficientnet_b0"})
SIZES = {name: 28 if name == "conv4_dense3" else 48 for name in NAMES}
# Millions of parameters, as the docstrings state them.
MILLIONS = {
    "conv3": 0.68,
    "conv4_dense3": 0.69,
    "conv4_wide": 4.2,
    "vgg_elu": 1.3,
    "mini_xception": 0.058,
    "resnet_se": 0.70,
    "resnet_se_tiny": 0.097,
    "resnet_se_v2": 2.32,
    "resnet_se_v2_tiny": 0.095,
    "resnet_se_wide": 1.52,
}


@pytest.mark.parametrize("name", NAMES)
def test_named_network_gives_probabilities(name):
    meta = META | {"input_shape": (SIZES[name], SIZES[name], 1)}
    model = build_model(name, meta)
    images = np.random.default_rng(0).random((3, *meta["input_shape"]), np.float32)
    probabilities = keras.ops.convert_to_numpy(model(images))
    assert probabilities.shape == (3, 7)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_named_network_has_the_stated_size(name):
    meta = META | {"input_shape": (SIZES[name], SIZES[name], 1)}
    assert build_model(name, meta).count_params() == pytest.approx(1e6 * MILLIONS[name], rel=0.03)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "conv4_wide"])
def test_named_network_takes_tiny_images(name):
    meta = {"input_shape": (1, 3, 1), "n_classes": 2}
    assert build_model(name, meta).output_shape == (None, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
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


def test_wide_network_rejects_small_images():
    meta = META | {"input_shape": (45, 48, 1)}
    with pytest.raises(ValueError, match=r"'conv4_wide' needs images of at least 46×46.*45×48"):
        build_model("conv4_wide", meta)


def test_unknown_name_gets_a_suggestion():
    with pytest.raises(ValueError, match=r"architecture='resnet_es' is unknown.*'resnet_se'\?"):
        build_model("resnet_es", META)


def tiny(meta):
    layers = [keras.Input(meta["input_shape"]), keras.layers.Flatten()]
    return keras.Sequential([*layers, keras.layers.Dense(meta["n_classes"], "softmax")])


def test_a_function_works_like_a_name():
    assert build_model(tiny, META).count_params() == 48 * 48 * 7 + 7


def test_dropout_for_a_function_that_takes_none():
    with pytest.raises(ValueError, match=r"dropout=0.5 was given, but architecture 'tiny' takes"):
        build_model(tiny, META, dropout=0.5)


def always_seven(meta):
    return tiny(META)


def test_function_of_another_output_shape():
    with pytest.raises(ValueError, match=r"'always_seven' has the output shape \(None, 7\)"):
        build_model(always_seven, META | {"n_classes": 3})


def test_function_of_another_input_shape():
    with pytest.raises(ValueError, match=r"'always_seven' has the input shape .*; expected"):
        build_model(always_seven, META | {"input_shape": (12, 12, 1)})


def subclassed(meta):
    return type("Subclassed", (keras.Model,), {})()


def test_function_of_a_model_without_shapes():
    with pytest.raises(ValueError, match=r"input shape None; expected .*: start it with keras"):
        build_model(subclassed, META)


def test_a_network_is_not_an_architecture():
    with pytest.raises(TypeError, match="is a Sequential; expected a name, or a function that"):
        build_model(tiny(META), META)


def no_model(meta):
    return {}


def test_function_that_returns_no_model():
    with pytest.raises(TypeError, match=r"'no_model' returned dict; expected a keras.Model"):
        build_model(no_model, META)


def test_a_partial_works_like_a_function():
    model = build_model(partial(ARCHITECTURES["resnet_se"], dropout=0.7), META)
    assert [layer.rate for layer in model.layers if hasattr(layer, "rate")] == [0.7]
    model = build_model(partial(ARCHITECTURES["resnet_se"], dropout=0.7), META, dropout=0.1)
    assert [layer.rate for layer in model.layers if hasattr(layer, "rate")] == [0.1]


def test_errors_name_the_function_of_a_partial():
    with pytest.raises(TypeError, match=r"architecture 'no_model' returned dict"):
        build_model(partial(no_model), META)


def wide_or_narrow(meta, filters, kernel=3):
    inputs = keras.Input(meta["input_shape"])
    x = keras.layers.Conv2D(filters, kernel)(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(meta["n_classes"], "softmax")(x))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies_of_a_partial_have_one_key(duplicate):
    original = partial(wide_or_narrow, filters=4, kernel=5)
    assert architecture_key(duplicate(original)) == architecture_key(original)
    assert architecture_key(partial(wide_or_narrow, filters=8, kernel=5)) != architecture_key(
        original
    )


def test_key_of_others():
    assert architecture_key("conv3") == architecture_key(ARCHITECTURES["conv3"])
    assert architecture_key(tiny) is tiny
    unhashable = partial(wide_or_narrow, filters=4, kernel=[3, 3])
    assert architecture_key(unhashable) is unhashable


@pytest.fixture(scope="module")
def conv3_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "conv3.weights.h5"
    build_model("conv3", META | {"input_shape": (8, 8, 1)}).save_weights(path)
    return path


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_whole_network_from_a_file(conv3_file, kind):
    meta = META | {"input_shape": (8, 8, 1)}
    models = [build_model("conv3", meta, weights=kind(conv3_file)) for _ in range(2)]
    for first, second in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("architecture", ["resnet_se", tiny])
@pytest.mark.filterwarnings("ignore::UserWarning")  # Keras lists what is missing
def test_file_of_another_network(conv3_file, architecture):
    name = getattr(architecture, "__name__", architecture)
    message = (
        rf"initial_weights='.*conv3\.weights\.h5' does not fit architecture '{name}' for 48×48 "
        r"pixels and 7 classes: .*could not be loaded\. Expected a file that model\.save_weights"
    )
    with pytest.raises(ValueError, match=message):
        build_model(architecture, META, weights=conv3_file)


def test_file_that_keras_cannot_read(tmp_path):
    path = tmp_path / "notes.weights.h5"
    path.write_text("no weights")
    with pytest.raises(ValueError, match=r"does not fit architecture 'conv3'.*signature not found"):
        build_model("conv3", META, weights=path)


@pytest.mark.parametrize("architecture", ["conv3", "mobilenet_v3_small"])
def test_missing_file(tmp_path, architecture):
    path = tmp_path / "none.weights.h5"
    with pytest.raises(FileNotFoundError, match=r"initial_weights='.*none.weights.h5' does not ex"):
        build_model(architecture, META, weights=path)


@pytest.mark.parametrize("architecture", ["conv3", "mobilenet_v3_small"])
def test_weights_that_are_not_a_file_name(architecture):
    with pytest.raises(ValueError, match=r"'imagnet' is not the name of.*'imagenet' or a path"):
        build_model(architecture, META, weights="imagnet")


@pytest.mark.parametrize("architecture", ["conv3", tiny])
def test_imagenet_weights_of_a_network_without(architecture):
    name = getattr(architecture, "__name__", architecture)
    message = (
        rf"initial_weights='imagenet' was given, but architecture '{name}' has no ImageNet "
        r"weights; choose 'mobilenet_v3_small' or 'efficientnet_b0'\."
    )
    with pytest.raises(ValueError, match=message):
        build_model(architecture, META, weights="imagenet")
