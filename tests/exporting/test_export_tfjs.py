"""Networks exported to TensorFlow.js predict as they do in Keras, or are rejected."""

import json
import subprocess

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from tfjs_cases import CASES

from fer_sklearn import load_pretrained
from fer_sklearn.cnn.architectures import ARCHITECTURES, build_model
from fer_sklearn.exporting._tfjs import OPERATIONS, freeze, read_back, write_tfjs
from fer_sklearn.exporting._web import MissingNodeError, find_node, install_packages, run_tfjs


@pytest.fixture(scope="module")
def packages():
    """The folder node_modules."""
    try:
        folder = install_packages()
    except MissingNodeError as error:
        pytest.skip(f"needs npm and its packages: {error}")
    if find_node() is None:
        pytest.skip("needs Node.js on the PATH")
    return folder


@pytest.fixture
def folder(tmp_path):
    """An empty folder for a model."""
    made = tmp_path / "model"
    made.mkdir()
    return made


class Of(layers.Layer):
    """Applies a function to a batch."""

    def __init__(self, function, **options):
        super().__init__(**options)
        self.function = function

    def call(self, images):
        return self.function(images)


def _images(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def _model(shape, *steps):
    end = start = keras.Input(shape)
    for step in steps:
        end = step(end)
    return keras.Model(start, end)


def _with_random_weights(model):
    """Also randomise what Keras initialises with zeros and ones, which would hide mistakes."""
    random = np.random.default_rng(0)
    model.set_weights(
        [
            w * random.uniform(0.8, 1.2, w.shape) + (w.ndim == 1) * random.uniform(0, 0.2, w.shape)
            for w in model.get_weights()
        ]
    )
    return model


def _plain():
    return _model(
        (12, 12, 1),
        layers.Conv2D(4, 3, strides=2, padding="same", activation="elu"),
        layers.BatchNormalization(),
        layers.DepthwiseConv2D(3, padding="same"),
        layers.LeakyReLU(),
        layers.AveragePooling2D(2, padding="same"),
        layers.ZeroPadding2D(1),
        layers.MaxPooling2D(2),
        layers.SeparableConv2D(5, 2, activation="silu"),
        layers.Dropout(0.5),
        layers.Flatten(),
        layers.Dense(3, activation="softmax"),
    )


def _of_any_size():
    def product(images):
        n = keras.ops.shape(images)[1]
        matrix = keras.ops.cast(keras.ops.arange(n), "float32")[:, None] / 10.0
        flat = keras.ops.reshape(keras.ops.transpose(images, (0, 2, 3, 1)), (-1, n))
        width = keras.ops.shape(images)[2]
        return keras.ops.reshape(keras.ops.matmul(flat, matrix), (-1, width, 2))

    return _model(
        (None, None, 2),
        Of(lambda x: keras.ops.concatenate([x, keras.ops.flip(x, axis=2)], axis=0)),
        Of(product),
        layers.GlobalAveragePooling1D(),
        Of(lambda x: keras.ops.mean(keras.ops.reshape(x, (2, -1, 2)), axis=0)),
    )


def _branched():
    start = keras.Input((8, 8, 3))
    maps = layers.Conv2D(4, 3, padding="same", name="shared")(start)
    gate = layers.Dense(4, activation="sigmoid")(layers.GlobalMaxPooling2D()(maps))
    maps = layers.Multiply()([maps, layers.Reshape((1, 1, 4))(gate)])
    maps = layers.Concatenate()([maps, layers.UpSampling2D(2)(layers.MaxPooling2D(2)(maps))])
    inner = _model((8, 8, 8), layers.Conv2DTranspose(2, 3, strides=2), layers.PReLU())
    return keras.Model(start, layers.Softmax()(layers.GlobalAveragePooling2D()(inner(maps))))


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (_plain, (3, 12, 12, 1)),
        (_of_any_size, (2, 7, 5, 2)),
        (_of_any_size, (1, 30, 31, 2)),
        (_branched, (18, 8, 8, 3)),
    ],
)
def test_output_matches_keras(make, shape, folder, packages):
    model, images = _with_random_weights(make()), _images(*shape)
    expected = model(images).numpy()
    assert expected.std() > 1e-3
    write_tfjs(model, folder)
    np.testing.assert_allclose(run_tfjs(folder, images), expected, atol=1e-5)
    np.testing.assert_allclose(read_back(folder, images), expected, atol=1e-5)


def test_pretrained_network(folder, packages):
    model, images = load_pretrained("tiny", runtime="keras")[-1].model_, _images(5, 48, 48, 1)
    write_tfjs(model, folder)
    expected = model(images).numpy()
    np.testing.assert_allclose(run_tfjs(folder, images), expected, atol=1e-5)
    np.testing.assert_allclose(read_back(folder, images), expected, atol=1e-5)
    assert np.abs(run_tfjs(folder, images[::-1]) - expected).max() > 1e-2


# EfficientNet alone takes as long to build as it takes to test all the others.
@pytest.mark.parametrize("name", sorted(set(ARCHITECTURES) - {"efficientnet_b0"}))
def test_every_architecture_can_be_written(name, folder, packages):
    meta = {"input_shape": (48, 48, 1), "n_classes": 7}
    model, images = _with_random_weights(build_model(name, meta, None, None)), _images(2, 48, 48, 1)
    write_tfjs(model, folder)
    np.testing.assert_allclose(run_tfjs(folder, images), model(images), atol=1e-5)


@pytest.mark.slow
def test_large_constants_are_split(folder):
    model = _model((1, 1, 2), layers.Flatten(), layers.Dense(1_000_000), layers.Dense(1))
    write_tfjs(model, folder)
    sizes = {path.name: path.stat().st_size for path in folder.glob("*.bin")}
    assert set(sizes) == {f"group1-shard{i}of4.bin" for i in (1, 2, 3, 4)}
    images = _images(1, 1, 1, 2)
    np.testing.assert_allclose(read_back(folder, images), model(images), rtol=1e-5, atol=1e-5)


def test_tensors_that_keras_does_not_track(folder):
    held, variable = tf.constant([2.0, 3.0]), tf.Variable([5.0, 7.0])
    write_tfjs(_model((2,), Of(lambda x: x * held + variable)), folder)
    np.testing.assert_allclose(read_back(folder, [[1.0, 1.0]]), [[7, 10]])


def _all_cases(images):
    n = tf.shape(images)[0]
    flat = [tf.reshape(tf.cast(f(images), tf.float32), tf.stack([n, -1])) for f in CASES.values()]
    return tf.concat(flat, axis=1)


def test_each_operation_matches_tensorflow(folder, packages):
    model, images = _model((4, 4, 3), Of(_all_cases)), _images(5, 4, 4, 3)
    assert {op.type for op in freeze(model).operations} == set(OPERATIONS)
    write_tfjs(model, folder)
    found, at, wrong = run_tfjs(folder, images), 0, {}
    for name, function in CASES.items():
        expected = tf.reshape(tf.cast(function(images), tf.float32), (5, -1)).numpy()
        part = found[:, at : at + expected.shape[1]]
        at += expected.shape[1]
        if not np.allclose(part, expected, rtol=1e-5, atol=1e-5):
            wrong[name] = float(np.abs(part - expected).max())
    assert not wrong
    assert at == found.shape[1]


def test_table_of_operations_matches_the_packages(packages):
    script = """
        const { readFileSync } = require('fs');
        const { getKernelsForBackend } = require('@tensorflow/tfjs-core');
        require('@tensorflow/tfjs-backend-wasm');
        const source = readFileSync(require.resolve('@tensorflow/tfjs-converter'), 'utf8');
        const operations = [...source.matchAll(/'tfOpName': '([^']+)'/g)].map((m) => m[1]);
        const kernels = getKernelsForBackend('wasm').map((kernel) => kernel.kernelName);
        console.log(JSON.stringify({ operations, kernels }));
    """
    command = [find_node(), "-e", script]
    done = subprocess.run(
        command, cwd=packages.parent, capture_output=True, text=True, check=True, timeout=60
    )
    has = json.loads(done.stdout)
    assert set(OPERATIONS) - set(has["operations"]) == set()
    assert set(OPERATIONS.values()) - {None} - set(has["kernels"]) == set()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: tf.einsum("nhwc,hd->nwcd", x, x[0, :, :, 0]), "support: Einsum"),
        (lambda x: tf.image.adjust_hue(x, 0.1), "support: .*AdjustHue"),
        (lambda x: x + tf.random.uniform((8, 8, 3)), "support: RandomUniform"),
        (lambda x: tf.function(tf.abs)(x), "support: PartitionedCall"),
        (lambda x: tf.cast(x, tf.float16) * 2, "support: Cast on float16"),
        (lambda x: tf.cast(tf.cast(x, tf.bool), tf.float32), "support: Cast on bool"),
        (lambda x: tf.reduce_mean(tf.cast(x, tf.int32), 1), "support: Mean on int32"),
        (lambda x: x[:, ::-1, :, 0], "support: StridedSlice with steps, combined with an index"),
        (lambda x: tf.cast(x, tf.int32)[:, ::2], "support: StridedSlice with steps"),
        (
            lambda x: tf.nn.max_pool2d(x, 2, 2, "VALID", "NCHW"),
            "support: MaxPool with channels",
        ),
        (lambda x: tf.one_hot(tf.cast(x, tf.int32), 3), "support: OneHot"),
    ],
)
def test_unsupported_operations_are_refused(function, message, folder):
    model = _model((8, 8, 3), layers.ReLU(), Of(function, name="mine"))
    with pytest.raises(ValueError, match=rf"{message}.*\(layer 'mine', Of\).*'saved_model'"):
        write_tfjs(model, folder)
    assert not list(folder.iterdir())


def test_unsupported_keras_layers_are_refused(folder):
    model = _model((8, 8, 4), layers.Conv2D(4, 3, groups=2, name="grouped"))
    with pytest.raises(ValueError, match=r"\(layer 'grouped', Conv2D\)"):
        write_tfjs(model, folder)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_weights_are_rejected(value, folder):
    model = _model((2,), layers.Dense(2, name="broken"))
    model.layers[-1].bias.assign([0, value])
    with pytest.raises(ValueError, match=r"not finite, in 'broken/bias'.*Train again"):
        write_tfjs(model, folder)


def test_weights_that_produce_nan_are_refused(folder):
    model = _model((2,), layers.BatchNormalization(name="broken"))
    model.layers[-1].moving_variance.assign([1, -1])
    with pytest.raises(ValueError, match=r"NaN.*\(layer 'broken', BatchNormalization\)"):
        write_tfjs(model, folder)


def test_several_inputs_are_rejected(folder):
    inputs = [keras.Input((2,)), keras.Input((2,))]
    with pytest.raises(ValueError, match=r"2 inputs and 1 outputs.*expected one"):
        write_tfjs(keras.Model(inputs, layers.Add()(inputs)), folder)


def test_other_backends_are_rejected(folder, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match=r"'jax'; expected 'tensorflow'.*KERAS_BACKEND=tensorflow"):
        write_tfjs(_model((2,), layers.ReLU()), folder)


def test_constant_output_is_refused(folder):
    model = _model((2,), Of(lambda x: tf.zeros((1, 2))))
    with pytest.raises(ValueError, match="does not depend on its input"):
        write_tfjs(model, folder)


def test_changed_byte_changes_the_output(folder, packages):
    model, images = _with_random_weights(_plain()), _images(3, 12, 12, 1)
    write_tfjs(model, folder)
    before = run_tfjs(folder, images)
    (path,) = folder.glob("*.bin")
    data = bytearray(path.read_bytes())
    data[-1] ^= 0x40  # of an exponent
    path.write_bytes(data)
    for run in (run_tfjs, read_back):
        assert not np.allclose(run(folder, images), before, atol=1e-4)


def test_truncated_file_is_refused(folder, packages):
    write_tfjs(_plain(), folder)
    (path,) = folder.glob("*.bin")
    path.write_bytes(path.read_bytes()[:-4])
    images = _images(1, 12, 12, 1)
    with pytest.raises(RuntimeError, match=r"shard1of1.bin: \d+ bytes instead of \d+"):
        run_tfjs(folder, images)
    with pytest.raises(
        ValueError, match=r"have \d+ bytes; expected \d+, as model.json states.*export again"
    ):
        read_back(folder, images)


def test_running_has_a_time_limit(folder, packages, monkeypatch):
    write_tfjs(_plain(), folder)
    monkeypatch.setattr("fer_sklearn.exporting._web._RUN_TIME_LIMIT", 0.01)
    with pytest.raises(RuntimeError, match=r"did not finish 1 images within 0\.01 seconds"):
        run_tfjs(folder, _images(1, 12, 12, 1))


def test_images_of_another_shape_are_refused(folder, packages):
    write_tfjs(_plain(), folder)
    with pytest.raises(RuntimeError, match=r"TensorFlow.js cannot run.*it printed"):
        run_tfjs(folder, _images(1, 13, 12, 1))
