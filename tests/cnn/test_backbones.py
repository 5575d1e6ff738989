"""Networks of keras.applications: adaptation, weights, and how Keras treats them."""

import pickle
from functools import cache, partial

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from fer_sklearn import FERCNNClassifier
from fer_sklearn.cnn._compiled import draw_weights
from fer_sklearn.cnn.architectures import (
    build_model,
    efficientnet_b0,
    leaf_layers,
    mobilenet_v3_small,
)

META = {"input_shape": (28, 28, 1), "n_classes": 7}
BUILDERS = {"mobilenet_v3_small": mobilenet_v3_small, "efficientnet_b0": efficientnet_b0}
APPLICATIONS = {
    "mobilenet_v3_small": keras.applications.MobileNetV3Small,
    "efficientnet_b0": keras.applications.EfficientNetB0,
}
MILLIONS = {"mobilenet_v3_small": 0.943, "efficientnet_b0": 4.06}
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

every_backbone = pytest.mark.parametrize(
    "name", ["mobilenet_v3_small", pytest.param("efficientnet_b0", marks=pytest.mark.slow)]
)


@cache
def network(name):
    """A network for 28×28 pixels that are resized to 32×32; tests do not change it."""
    return build_model(partial(BUILDERS[name], size=32), META)


@cache
def application(name):
    """Keras's own network without its top, with stand-ins for the ImageNet weights."""
    model = APPLICATIONS[name](include_top=False, weights=None, input_shape=(32, 32, 3))
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            # Keras's file contains the standard deviation where the layer expects the variance.
            layer.set_weights([MEAN, DEVIATION, np.array(0)])
    return model


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return a function that writes an application's weights, in either Keras format."""
    folder = tmp_path_factory.mktemp("weights")

    @cache
    def path(name, ending):
        target = folder / f"{name}{ending}"
        if ending == ".h5":
            application(name).save(target)
        else:
            application(name).save_weights(target)
        return target

    return path


@pytest.fixture(scope="module")
def loaded(files):
    """Return a function that loads the network from such a file; tests do not change it."""

    @cache
    def load(name, ending=".h5"):
        return build_model(partial(BUILDERS[name], size=32), META, weights=files(name, ending))

    return load


@pytest.fixture
def requests(files, monkeypatch):
    """Make Keras find its ImageNet files; return a list of the requested ones."""
    requested = []

    def get_file(fname, origin, cache_subdir, file_hash):
        requested.append((fname, origin, cache_subdir, file_hash))
        name = "mobilenet_v3_small" if "mobilenet" in fname else "efficientnet_b0"
        return str(files(name, ".h5"))

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    return requested


def images(n=4, size=28):
    return np.random.default_rng(0).random((n, size, size, 1), np.float32)


def predict(model, x):
    """Predict without compiling, which takes seconds for networks like these."""
    return keras.ops.convert_to_numpy(model(x, training=False))


def backbone_weights(model):
    return model.get_layer("backbone").get_weights()


def assert_same(first, second):
    for a, b in zip(first, second, strict=True):
        assert_array_equal(a, b)


@every_backbone
def test_named_backbone_has_the_stated_size(name):
    model = build_model(name, {"input_shape": (48, 48, 1), "n_classes": 7})
    assert model.count_params() == pytest.approx(1e6 * MILLIONS[name], rel=0.01)
    assert model.get_layer("backbone").input_shape == (None, 96, 96, 3)


@every_backbone
def test_backbone_gives_probabilities(name):
    probabilities = predict(network(name), images())
    assert probabilities.shape == (4, 7)
    assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


@every_backbone
def test_layers_around_the_backbone_are_keras_own(name):
    kinds = [type(layer).__name__ for layer in network(name).layers]
    before = ["InputLayer", "Resizing", "Concatenate", "Rescaling"]
    assert kinds == [*before, "Functional", "GlobalAveragePooling2D", "Dropout", "Dense"]
    assert all(type(layer).__module__.startswith("keras.") for layer in leaf_layers(network(name)))


def test_images_of_the_right_size_are_not_resized():
    model = build_model(partial(mobilenet_v3_small, size=32), META | {"input_shape": (32, 32, 1)})
    assert not any(isinstance(layer, keras.layers.Resizing) for layer in model.layers)


def test_images_of_any_shape():
    meta = {"input_shape": (1, 3, 1), "n_classes": 2}
    assert build_model("mobilenet_v3_small", meta).output_shape == (None, 2)


@pytest.mark.slow
def test_dropout_replaces_the_rate_before_the_output_alone():
    """The backbone's own dropout layers, which drop whole branches, keep their published rates."""
    model = build_model(partial(efficientnet_b0, size=32), META, dropout=0.4)
    replaced, published = (
        [layer.rate for layer in leaf_layers(each) if isinstance(layer, keras.layers.Dropout)]
        for each in (model, network("efficientnet_b0"))
    )
    assert len(published) == 10
    assert replaced == [*published[:-1], 0.4]


@every_backbone
def test_size_too_small(name):
    with pytest.raises(ValueError, match=rf"size=31 is too small for architecture '{name}'.*32"):
        build_model(partial(BUILDERS[name], size=31), META)


@pytest.mark.slow
@every_backbone
@pytest.mark.filterwarnings("ignore:`input_shape` is undefined:UserWarning")
def test_imagenet_weights_get_the_pixels_they_were_trained_on(name, requests):
    """The first features equal those of Keras's own network for pixels in 0..255."""
    meta = META | {"input_shape": (32, 32, 1)}
    ours = build_model(partial(BUILDERS[name], size=32), meta, weights="imagenet")
    keras_own = APPLICATIONS[name](include_top=False, input_shape=(32, 32, 3))
    assert len(requests) == 2
    assert requests[0] == requests[1]  # file, address and checksum are still Keras's
    pixels = images(size=32)
    expected = predict(up_to_stem(keras_own), 255 * np.repeat(pixels, 3, axis=-1))
    backbone = ours.get_layer("backbone")
    adapted = predict(
        keras.Model(ours.input, ours.layers[ours.layers.index(backbone) - 1].output), pixels
    )
    assert np.abs(expected).max() > 0.1
    assert_allclose(predict(up_to_stem(backbone), adapted), expected, atol=1e-5)


def up_to_stem(model):
    first = next(x for x in model.layers if isinstance(x, keras.layers.BatchNormalization))
    return keras.Model(model.input, first.output)


@every_backbone
@pytest.mark.parametrize("ending", [".h5", ".weights.h5"])
def test_file_of_the_application(name, ending, loaded):
    wanted = application(name).get_weights()[3 if name == "efficientnet_b0" else 0 :]
    assert_same(backbone_weights(loaded(name, ending)), wanted)


@pytest.mark.slow
def test_file_of_a_trained_backbone(tmp_path):
    path = tmp_path / "backbone.weights.h5"
    network("efficientnet_b0").get_layer("backbone").save_weights(path)
    model = build_model(partial(efficientnet_b0, size=32), META, weights=str(path))
    assert_same(backbone_weights(model), backbone_weights(network("efficientnet_b0")))


@pytest.mark.parametrize("ending", [pytest.param(".h5", marks=pytest.mark.slow), ".weights.h5"])
@pytest.mark.filterwarnings("ignore::UserWarning")  # Keras lists what is missing
def test_file_of_another_application(ending, files):
    message = (
        r"does not fit architecture 'mobilenet_v3_small': .*\. Expected the weights of keras\."
        r"applications\.MobileNetV3Small without its top, or .*get_layer\('backbone'\)"
    )
    with pytest.raises(ValueError, match=message):
        build_model("mobilenet_v3_small", META, weights=files("efficientnet_b0", ending))


@every_backbone
def test_imagenet_weights_without_a_network(name, monkeypatch):
    def get_file(fname, origin, **_):
        raise Exception(f"URL fetch failure on {origin}: None -- no route")  # as Keras does

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    message = (
        r"initial_weights='imagenet' could not be downloaded \(URL fetch failure on .*no route\)"
        r"\. Download https://\S+\.h5 on a computer that is online, and pass its path"
    )
    with pytest.raises(OSError, match=message):
        build_model(name, META, weights="imagenet")


def test_the_head_on_loaded_weights_is_reproducible(loaded):
    heads = [loaded("mobilenet_v3_small", ending).layers[-1] for ending in (".h5", ".weights.h5")]
    assert_same(*(head.get_weights() for head in heads))


@every_backbone
def test_the_network_around_does_not_depend_on_the_weights(name, loaded):
    """This lets `set_weights` copy the weights of a loaded network into a new one."""
    drawn = keras.models.clone_model(network(name))
    drawn.set_weights(loaded(name).get_weights())
    assert_array_equal(predict(drawn, images()), predict(loaded(name), images()))


@pytest.mark.slow
@every_backbone
@pytest.mark.parametrize(
    "duplicate",
    [keras.models.clone_model, lambda model: pickle.loads(pickle.dumps(model))],
    ids=["clone", "pickle"],
)
def test_copies_predict_the_same(name, duplicate):
    copied = duplicate(network(name))
    copied.set_weights(network(name).get_weights())
    assert_array_equal(predict(copied, images()), predict(network(name), images()))
    assert momenta(copied) == {0.9}


def momenta(model):
    kind = keras.layers.BatchNormalization
    return {layer.momentum for layer in leaf_layers(model) if isinstance(layer, kind)}


@every_backbone
def test_batch_normalisation_follows_a_small_data_set(name, loaded):
    assert momenta(network(name)) == momenta(loaded(name)) == {0.9}


@every_backbone
def test_calling_the_network_is_not_training_it(name):
    """Keras's Resizing would pass its default, training=True, to all layers after it."""
    model, before = network(name), network(name).get_weights()
    called = keras.ops.convert_to_numpy(model(images()))
    assert_same(model.get_weights(), before)
    assert_allclose(called, predict(model, images()), atol=1e-6)


@every_backbone
def test_every_dropout_can_be_seeded(name):
    states = [v for v in network(name).variables if v.path.endswith("seed_generator_state")]
    kind = keras.layers.Dropout
    assert len(states) == sum(isinstance(layer, kind) for layer in leaf_layers(network(name)))


@every_backbone
def test_all_weights_are_drawn_from_the_seed(name):
    model = network(name)
    weights = [draw_weights(model, seed) for seed in (3, 4, 3)]
    assert_same(weights[0], weights[2])
    is_kernel = [v.trainable and v.path.endswith("kernel") for v in model.weights]
    for drawn, first, second in zip(is_kernel, *weights[:2], strict=True):
        assert not (drawn and np.array_equal(first, second))


def depthwise(meta, filters, dropout=0.2):
    """A few layers of each kind that backbones contain."""
    inputs = x = keras.Input(meta["input_shape"])
    backbone_input = y = keras.Input(meta["input_shape"])
    y = keras.layers.Conv2D(filters, 3, strides=4)(y)
    y = keras.layers.DepthwiseConv2D(3)(y)
    y = keras.layers.BatchNormalization(momentum=0.9)(y)
    x = keras.Model(backbone_input, y, name="backbone")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(dropout, seed=0)(x)
    return keras.Model(inputs, keras.layers.Dense(meta["n_classes"], "softmax")(x))


@pytest.mark.slow
def test_partial_in_an_estimator(small_faces):
    X, y = small_faces
    clf = FERCNNClassifier(architecture=partial(depthwise, filters=4), epochs=1, random_state=0)
    weights = clf.fit(X, y).model_.get_weights()
    restored = pickle.loads(pickle.dumps(clf))
    assert_array_equal(restored.predict_proba(X[:5]), clf.predict_proba(X[:5]))
    assert_same(restored.fit(X, y).model_.get_weights(), weights)
    other = clone(clf).set_params(architecture=partial(depthwise, filters=8))
    assert other.fit(X, y).model_.get_weights()[0].shape == (3, 3, 1, 8)
