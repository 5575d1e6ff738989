"""Grad-CAM: compared with class activation maps and differences, in wrappers, bad input."""

import gc
import os
import pickle
import subprocess
import sys
import weakref

import keras
import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline

from fer_sklearn import FERCNNClassifier, GrayscaleResizer, load_fer2013, load_pretrained
from fer_sklearn.cnn.architectures import build_model
from fer_sklearn.explain import grad_cam, mask_pixels, top_pixels
from fer_sklearn.explain._grad_cam import _enlarged, activation_maps, split_network
from fer_sklearn.uncertainty import AbstainingClassifier

META = {"input_shape": (24, 24, 1), "n_classes": 4}


@pytest.fixture(scope="module")
def shipped():
    return load_pretrained("tiny")


@pytest.fixture(scope="module")
def network(shipped):
    """The pretrained network without test-time augmentation."""
    plain = load_pretrained("tiny")[-1]
    return plain.set_params(test_time_augmentation=False)


@pytest.fixture
def pixels(faces):
    return faces[0][:3].astype(np.float32)[..., np.newaxis] / 255


def test_images_of_a_network_for_colour_stay_in_colour(faces):
    X, y = faces
    X = np.stack([X, 255 - X, X // 2], axis=-1)[:20, ::2, ::2]
    model = FERCNNClassifier(epochs=1, random_state=0).fit(X, y[:20])
    explanation = grad_cam(model, X[:2])
    np.testing.assert_allclose(explanation.images, X[:2] / 255, atol=1e-6)
    assert explanation.heatmaps.shape == (2, 24, 24)


@pytest.mark.parametrize("method", ["hires_cam", "grad_cam"])
def test_before_global_pooling_it_is_the_class_activation_map(network, pixels, method):
    """Zhou et al. 2016: the last maps, weighted as the output layer weights their means."""
    model = network.model_
    last_maps = [layer for layer in model.layers if len(layer.output.shape) == 4][-1]
    positions = np.array([3, 0, 6])
    found = activation_maps(split_network(model, last_maps.name, method), pixels, positions, method)
    maps = keras.Model(model.inputs[0], last_maps.output)(pixels).numpy()
    kernel = model.layers[-1].kernel.numpy()
    expected = np.einsum("nhwc,cn->nhw", maps, kernel[:, positions]) / (6 * 6)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_gradients_are_differences_of_scores(network, pixels):
    parts = split_network(network.model_, None, "hires_cam")
    maps = parts.body[0](pixels[:1], training=False).numpy()
    assert maps.shape[1:3] == (24, 24)
    rng = np.random.default_rng(0)
    direction = rng.normal(size=maps.shape).astype(np.float32) * 1e-3
    up, down = (parts.scores(maps + sign * direction).numpy()[0, 3] for sign in (1, -1))
    import tensorflow as tf

    with tf.GradientTape() as tape:
        watched = tf.constant(maps)
        tape.watch(watched)
        score = parts.scores(watched)[0, 3]
    gradient = tape.gradient(score, watched).numpy()
    assert (up - down) / 2 == pytest.approx((gradient * direction).sum(), rel=0.05, abs=1e-4)
    found = activation_maps(parts, pixels[:1], np.array([3]), "hires_cam")
    np.testing.assert_allclose(found, (maps * gradient).sum(-1), rtol=1e-3, atol=1e-4)
    found = activation_maps(parts, pixels[:1], np.array([3]), "grad_cam")
    means = gradient.mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(found, (maps * means).sum(-1), rtol=1e-3, atol=1e-4)


def test_the_pretrained_pipeline_explains_its_prediction(shipped, faces):
    X, _ = faces
    explanation = grad_cam(shipped, X[:5])
    np.testing.assert_array_equal(explanation.targets, shipped.predict(X[:5]))
    np.testing.assert_allclose(explanation.images, X[:5] / 255, atol=1e-6)
    assert explanation.heatmaps.shape == (5, 48, 48)
    assert explanation.heatmaps.dtype == np.float32
    np.testing.assert_allclose(explanation.heatmaps.max(axis=(1, 2)), 1)
    assert explanation.heatmaps.min() >= 0


def test_each_image_is_explained_by_itself(shipped, faces):
    X, _ = faces
    together = grad_cam(shipped, X[:4]).heatmaps
    alone = np.concatenate([grad_cam(shipped, X[i : i + 1]).heatmaps for i in range(4)])
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_target_is_one_label_or_one_for_each(shipped, faces):
    X, _ = faces
    happy = grad_cam(shipped, X[:2], target="happy")
    assert happy.targets.tolist() == ["happy", "happy"]
    mixed = grad_cam(shipped, X[:2], target=["happy", "sad"])
    np.testing.assert_allclose(mixed.heatmaps[0], happy.heatmaps[0], atol=1e-5)
    assert np.abs(mixed.heatmaps[1] - happy.heatmaps[1]).max() > 0.1


def test_test_time_augmentation_mirrors_the_map_of_the_mirror_image(shipped, network, faces):
    X = faces[0][:3]
    maps, of_mirror = (grad_cam(shipped, x, target="happy").heatmaps for x in (X, X[:, :, ::-1]))
    np.testing.assert_allclose(of_mirror[:, :, ::-1], maps, atol=1e-4)
    plain, of_mirror = (grad_cam(network, x, target="happy").heatmaps for x in (X, X[:, :, ::-1]))
    assert np.abs(of_mirror[:, :, ::-1] - plain).max() > 0.05


def test_photos_are_explained_as_the_network_sees_them(shipped, faces):
    photos = [np.kron(face, np.ones((2, 2), np.uint8)) for face in faces[0][:2]]
    explanation = grad_cam(shipped, photos)
    np.testing.assert_allclose(
        explanation.images, GrayscaleResizer(48).transform(photos) / 255, atol=1e-6
    )


def test_wrappers_are_opened(shipped, faces):
    X, y = faces
    frozen = FrozenEstimator(shipped)
    calibrated = CalibratedClassifierCV(frozen, method="temperature").fit(X, y)
    abstaining = AbstainingClassifier(frozen, threshold=0.99).fit(X[:7], y[:7])
    expected = grad_cam(shipped, X[:2], target="sad").heatmaps
    for wrapper in (frozen, calibrated, abstaining, make_pipeline("passthrough", calibrated)):
        found = grad_cam(wrapper, X[:2], target="sad").heatmaps
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_several_networks_are_ambiguous(faces):
    X, y = faces
    several = CalibratedClassifierCV(DummyClassifier(), cv=2).fit(X, y)
    with pytest.raises(TypeError, match="CalibratedClassifierCV of 2 fitted estimators"):
        grad_cam(several, X)


def test_another_runtime_is_an_error_with_a_remedy(faces):
    with pytest.raises(TypeError, match=r"InferenceClassifier.*load_pretrained\(runtime='keras'\)"):
        grad_cam(load_pretrained("tiny", runtime="litert"), faces[0])


def test_a_classifier_without_a_network_is_an_error_with_a_remedy(faces):
    X, y = faces
    with pytest.raises(TypeError, match=r"DummyClassifier.*use occlusion_map or region_importance"):
        grad_cam(DummyClassifier().fit(X, y), X)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "hapy"}, r"'hapy'.*Did you mean 'happy'\?"),
        ({"target": ["happy"]}, r"target has shape \(1,\) for 2 image\(s\)"),
        ({"layer": "nowhere"}, "layer='nowhere' is not a layer of the network with maps"),
        ({"method": "gradcam"}, r"method='gradcam' is unknown.*Did you mean 'grad_cam'\?"),
    ],
)
def test_bad_arguments_are_rejected(shipped, faces, arguments, message):
    with pytest.raises(ValueError, match=message):
        grad_cam(shipped, faces[0][:2], **arguments)


@pytest.mark.slow
def test_a_bypassed_layer_is_rejected(network, faces):
    inside = next(
        layer.name
        for layer in reversed(network.model_.layers)
        if isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (3, 3)
    )
    with pytest.raises(ValueError, match="through which all data pass; expected one of"):
        grad_cam(network, faces[0][:1], layer=inside)


def test_a_layer_can_be_named(network, faces):
    last_maps = [layer for layer in network.model_.layers if len(layer.output.shape) == 4][-1]
    X = faces[0][:2]
    named = grad_cam(network, X, method="grad_cam", layer=last_maps.name).heatmaps
    np.testing.assert_allclose(named, grad_cam(network, X, method="grad_cam").heatmaps, atol=1e-6)
    assert np.abs(named - grad_cam(network, X).heatmaps).max() > 0.2


@pytest.mark.parametrize("architecture", ["conv3", "mini_xception", "vgg_elu", "resnet_se_tiny"])
def test_default_layers_are_large_enough(architecture):
    model = build_model(architecture, {"input_shape": (48, 48, 1), "n_classes": 7})
    for method, side in (("hires_cam", 24), ("grad_cam", 6)):
        parts = split_network(model, None, method)
        assert parts.body[-1].output_shape[1:3] == (side, side)


def test_layers_of_nested_networks_are_found():
    model = build_model("mobilenet_v3_small", {"input_shape": (48, 48, 1), "n_classes": 7})
    images = np.random.default_rng(0).random((2, 48, 48, 1), dtype=np.float32)
    backbone = split_network(model, "backbone", "grad_cam")
    inside = split_network(model, None, "hires_cam")
    assert [len(parts.body) for parts in (backbone, inside)] == [1, 2]
    for parts in (backbone, inside):
        values = images
        for part in parts.body:
            values = part(values, training=False)
        scores = parts.scores(values).numpy()
        np.testing.assert_allclose(
            keras.ops.softmax(scores), model(images, training=False), atol=1e-5
        )
    assert inside.body[-1].output_shape[1:3] == (24, 24)


def _head(kind):
    inputs = x = keras.Input(META["input_shape"])
    x = keras.layers.Conv2D(3, 3, padding="same")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    if kind == "dense":
        return keras.Model(inputs, keras.layers.Dense(4, activation="softmax")(x))
    x = keras.layers.Dense(4)(x)
    last = {
        "softmax layer": keras.layers.Softmax(),
        "activation": keras.layers.Activation("softmax"),
        "something else": keras.layers.Lambda(lambda x: keras.ops.softmax(x)),
    }
    return keras.Model(inputs, last[kind](x))


@pytest.mark.parametrize("kind", ["dense", "softmax layer", "activation", "something else"])
def test_scores_are_the_logits(kind):
    model = _head(kind)
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(size=array.shape) for array in model.get_weights()])
    parts = split_network(model, None, "hires_cam")
    images = np.random.default_rng(0).random((2, 24, 24, 1), dtype=np.float32)
    scores = parts.scores(parts.body[0](images, training=False))
    np.testing.assert_allclose(keras.ops.softmax(scores), model(images), atol=1e-5)


def test_a_network_without_feature_maps_is_rejected():
    model = keras.Sequential(
        [keras.Input((24, 24, 1)), keras.layers.Flatten(), keras.layers.Dense(4, "softmax")]
    )
    with pytest.raises(ValueError, match=r"no layer with maps.*Use occlusion_map"):
        split_network(model, None, "hires_cam")


def test_a_subclassed_network_is_rejected():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4, activation="softmax")

        def call(self, x):
            return self.dense(keras.ops.reshape(x, (-1, 24 * 24)))

    model = Own()
    model(np.zeros((1, 24, 24, 1), np.float32))
    with pytest.raises(ValueError, match=r"subclassed model.*use occlusion_map"):
        split_network(model, None, "hires_cam")


def test_a_sequential_network_works(small_faces):
    X, y = small_faces
    classifier = FERCNNClassifier(architecture=_sequential, epochs=1, random_state=0)
    classifier.fit(X[:70], y[:70])
    assert grad_cam(classifier, X[:2]).heatmaps.shape == (2, 24, 24)


def _sequential(meta):
    return keras.Sequential(
        [
            keras.Input(meta["input_shape"]),
            keras.layers.Conv2D(4, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(meta["n_classes"], activation="softmax"),
        ]
    )


def test_maps_are_enlarged_evenly_and_zero_stays_zero():
    maps = np.zeros((2, 4, 4), np.float32)
    maps[0, 1, 2] = 5
    enlarged = _enlarged(maps, (12, 12))
    assert enlarged[0].argmax() == 4 * 12 + 7  # the middle of the twelfths that pixel covers
    assert enlarged[0].max() == 1
    assert not enlarged[1].any()
    np.testing.assert_allclose(_enlarged(maps[:, ::-1], (12, 12)), enlarged[:, ::-1], atol=1e-6)


def _count_nodes(classifier):
    return sum(len(layer._inbound_nodes) for layer in classifier.model_.layers)


@pytest.mark.slow
def test_repeated_calls_do_not_leak(faces):
    classifier = load_pretrained("tiny")[-1]
    X = faces[0][:2]
    expected = grad_cam(classifier, X).heatmaps

    before = _count_nodes(classifier)
    for _ in range(3):
        np.testing.assert_array_equal(grad_cam(classifier, X).heatmaps, expected)
    assert _count_nodes(classifier) == before
    copy = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_allclose(grad_cam(copy, X).heatmaps, expected, atol=1e-5)
    network = weakref.ref(classifier.model_)
    del classifier
    gc.collect()
    assert network() is None


@pytest.mark.slow
def test_changed_weights_change_the_map(faces):
    classifier = load_pretrained("tiny")[-1]
    before = grad_cam(classifier, faces[0][:2], target="sad").heatmaps
    weights = classifier.model_.get_weights()
    classifier.model_.set_weights([*weights[:-2], -weights[-2], weights[-1]])
    after = grad_cam(classifier, faces[0][:2], target="sad").heatmaps
    assert np.abs(after - before).max() > 0.5


def _run(script, **environment):
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_keras_is_loaded_only_for_networks():
    script = """
import sys, numpy as np
from fer_sklearn.explain import grad_cam, occlusion_map
from fer_sklearn import load_pretrained
model, X = load_pretrained("tiny", runtime="litert"), np.zeros((1, 48, 48), np.uint8)
occlusion_map(model, X, window=24)
try:
    grad_cam(model, X)
except TypeError:
    print(*sorted({"keras", "tensorflow", "matplotlib", "cv2"} & set(sys.modules)), "done")
"""
    assert _run(script).strip() == "done"


@pytest.mark.nightly
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_give_the_same_maps(faces, tmp_path, backend):
    pytest.importorskip(backend)
    np.save(tmp_path / "X.npy", faces[0][:2])
    script = f"""
import numpy as np
from fer_sklearn import load_pretrained
from fer_sklearn.explain import grad_cam
X = np.load({str(tmp_path / "X.npy")!r})
maps = grad_cam(load_pretrained("tiny"), X, target="happy").heatmaps
np.save({str(tmp_path / "maps.npy")!r}, maps)
"""
    _run(script, KERAS_BACKEND=backend)
    expected = grad_cam(load_pretrained("tiny"), faces[0][:2], target="happy").heatmaps
    np.testing.assert_allclose(np.load(tmp_path / "maps.npy"), expected, atol=1e-3)


def test_hiding_relevant_pixels_of_real_faces_costs_more_than_random_ones(shipped, fer2013_path):
    X, y = load_fer2013(fer2013_path, subset="public", return_X_y=True)
    X, y = X[::12], y[::12]  # sorted by label
    heatmaps = grad_cam(shipped, X).heatmaps
    random = np.random.default_rng(0).random(X.shape)
    for fill in ("mean", "blur"):
        relevant, scattered = (
            shipped.score(mask_pixels(X, top_pixels(maps), fill=fill), y)
            for maps in (heatmaps, random)
        )
        assert relevant < scattered - 0.04
