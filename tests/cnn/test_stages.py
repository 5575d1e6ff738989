"""Stages: how networks are split by resolution, and what freezing preserves."""

from functools import cache, partial

import keras
import numpy as np
import pytest
from keras import layers

from fer_sklearn.cnn.architectures import (
    build_model,
    freeze_stages,
    leaf_layers,
    mobilenet_v3_small,
    split_stages,
)

META = {"input_shape": (48, 48, 1), "n_classes": 7}


def nested(meta):
    """A Sequential in a Sequential, whose resolution drops within the inner one."""
    inner = [layers.Conv2D(4, 3), layers.MaxPooling2D(), layers.Conv2D(4, 3)]
    return keras.Sequential(
        [
            keras.Input(meta["input_shape"]),
            layers.Conv2D(2, 3, padding="same"),
            keras.Sequential([keras.Input((*meta["input_shape"][:2], 2)), *inner]),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.BatchNormalization(),
            layers.Dense(meta["n_classes"], "softmax"),
        ]
    )


def keeps_its_dimensions(meta):
    """A head of 1×1 convolutions after a pooling that keeps the dimensions."""
    inputs = x = keras.Input(meta["input_shape"])
    x = layers.Conv2D(4, 3, strides=4, padding="same")(x)
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Conv2D(meta["n_classes"], 1, activation="softmax")(x)
    return keras.Model(inputs, layers.Flatten()(x))


def padded(meta):
    """Padding before an unpadded convolution, which does not lower the resolution."""
    inputs = x = keras.Input(meta["input_shape"])
    x = layers.Conv2D(4, 3, strides=12, padding="same")(x)
    x = layers.ZeroPadding2D(3)(x)
    x = layers.Conv2D(4, 7)(x)
    return keras.Model(inputs, layers.Dense(7)(layers.Flatten()(x)))


# Height of each stage before the head, and how many layers with weights each stage has.
EXPECTED = {
    "conv4_wide": ([46, 21, 8, 2], [1, 1, 1, 1, 3]),
    "vgg_elu": ([48, 24, 12, 6], [4, 4, 4, 4, 5]),
    "mini_xception": ([48, 24, 12, 6, 3], [8, 6, 6, 6, 2, 1]),
    "resnet_se": ([48, 24, 12, 6], [2, 14, 14, 14, 1]),
    "mobilenet_v3_small": ([48, 24, 12, 6, 3], [2, 8, 12, 40, 24, 1]),
    "efficientnet_b0": ([48, 24, 12, 6, 3], [10, 16, 16, 48, 40, 1]),
    nested: ([48, 21], [2, 1, 2]),
    keeps_its_dimensions: ([12], [1, 1]),
    padded: ([4], [2, 1]),
    partial(mobilenet_v3_small, size=32): ([16, 8, 4, 2, 1], [2, 8, 12, 40, 24, 1]),
}


def label(value):
    """Name a test by its architecture."""
    return (
        f"{value.func.__name__}_32"
        if isinstance(value, partial)
        else getattr(value, "__name__", None)
    )


every_network = pytest.mark.parametrize("architecture", EXPECTED, ids=label)


@cache
def network(architecture):
    """Tests do not change it."""
    return build_model(architecture, META)


def flat(stages):
    return [layer for stage in stages for layer in stage]


@every_network
def test_stages_follow_the_resolutions(architecture):
    *body, head = split_stages(network(architecture))
    heights, n_weighted = EXPECTED[architecture]
    weighted = [[layer for layer in stage if layer.weights] for stage in [*body, head]]
    assert [stage[0].output.shape[1] for stage in weighted[:-1]] == heights
    assert list(map(len, weighted)) == n_weighted


@every_network
def test_each_layer_is_in_one_stage_and_in_order(architecture):
    leaves = list(leaf_layers(network(architecture)))
    stages = split_stages(network(architecture))
    positions = [[leaves.index(layer) for layer in stage] for stage in stages]
    assert sorted(flat(positions)) == list(range(len(leaves)))
    assert all(stage == sorted(stage) for stage in positions)
    if architecture != "mini_xception":  # whose shortcuts come before the end of a stage
        assert flat(positions) == list(range(len(leaves)))


@every_network
def test_no_layer_feeds_an_earlier_stage(architecture):
    """Everything before a frozen layer has to be frozen too."""
    seen = {}
    for number, stage in enumerate(split_stages(network(architecture))):
        for layer in stage:
            inputs = keras.tree.flatten(layer.input)
            assert max((seen.get(id(tensor), 0) for tensor in inputs), default=0) <= number
            seen |= {id(tensor): number for tensor in keras.tree.flatten(layer.output)}


def test_attention_belongs_to_the_stage_that_it_weighs():
    for stage in split_stages(network("resnet_se"))[1:-1]:
        kinds = [type(layer).__name__ for layer in stage]
        assert kinds.count("GlobalAveragePooling2D") == kinds.count("Multiply") == 2


def test_subclassed_model_is_one_stage():
    class Opaque(keras.Model):
        def __init__(self):
            super().__init__()
            self.flatten, self.dense = layers.Flatten(), layers.Dense(7)

        def call(self, x):
            return self.dense(self.flatten(x))

    model = Opaque()
    model(np.zeros((1, 4, 4, 1), np.float32))
    assert split_stages(model) == [[model.flatten, model.dense]]
    with pytest.raises(ValueError, match=r"which has 1 stage\(s\): head\. Choose trainable='all'"):
        freeze_stages(model, "head")


def test_network_without_weights_is_one_stage():
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.MaxPooling2D(), layers.Flatten()])
    assert list(map(len, split_stages(model))) == [2]


def trained(model):
    """Run one step on noise; return the weights before and after, by layer."""
    leaves = list(leaf_layers(model))
    before = [layer.get_weights() for layer in leaves]
    rng = np.random.default_rng(0)
    X, y = rng.random((8, *model.input_shape[1:]), np.float32), np.arange(8) % 7
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", run_eagerly=True)
    model.fit(X, y, batch_size=8, epochs=1, verbose=0)
    pairs = zip(before, (layer.get_weights() for layer in leaves), strict=True)
    return {
        layer: [np.array_equal(a, b) for a, b in zip(*pair, strict=True)]
        for layer, pair in zip(leaves, pairs, strict=True)
    }


@pytest.mark.parametrize(
    ("architecture", "trainable", "n"),
    [
        ("resnet_se", "last_stage", 3),
        (nested, "head", 2),
        (partial(mobilenet_v3_small, size=32), "head", 5),
    ],
    ids=label,
)
def test_frozen_layers_keep_weights_and_statistics(architecture, trainable, n):
    model = build_model(architecture, META)
    stages = split_stages(model)
    freeze_stages(model, trainable)
    same = trained(model)
    assert all(all(same[layer]) for layer in flat(stages[:n]))
    learning = [layer for layer in flat(stages[n:]) if layer.weights]
    assert all(not all(same[layer]) for layer in learning)
    for layer in learning:
        if isinstance(layer, layers.BatchNormalization):
            assert not any(same[layer][2:])  # the moving mean and variance


@pytest.mark.parametrize("trainable", ["heads", 2, None])
def test_unknown_part_of_a_network(trainable):
    with pytest.raises(ValueError, match=f"trainable={trainable!r} is unknown; expected.*'head'"):
        freeze_stages(network("resnet_se"), trainable)


def test_the_last_stage_is_all_of_a_network_with_one():
    message = r"trainable='last_stage' freezes nothing .* 2 stage\(s\): 12×12, head\. Choose"
    with pytest.raises(ValueError, match=message):
        freeze_stages(build_model(keeps_its_dimensions, META), "last_stage")


def test_freezing_no_stage_keeps_layers_frozen_by_the_builder():
    model = nested(META)
    model.layers[0].trainable = False
    freeze_stages(model, "all")
    assert [layer.trainable for layer in model.layers] == [False] + [True] * 5


def test_copies_are_frozen_too():
    model = build_model(partial(mobilenet_v3_small, size=32), META)
    freeze_stages(model, "last_stage")
    frozen, copied = (
        [layer.trainable for layer in leaf_layers(each) if layer.weights]
        for each in (model, keras.models.clone_model(model))
    )
    assert frozen == copied
    assert (frozen[0], frozen[-1]) == (False, True)
