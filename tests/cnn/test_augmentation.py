"""Augmentation of training batches."""

import numpy as np
import pytest

from fer_sklearn.cnn.augmentation import DEFAULT_AUGMENTATION, augment, mix_up, resolve_augmentation

NOTHING = dict.fromkeys(DEFAULT_AUGMENTATION, 0.0)


@pytest.fixture
def images(faces):
    return faces[0][:40]


def augmented(images, **settings):
    return augment(images, NOTHING | settings, np.random.default_rng(0))


def test_without_settings_pixels_are_only_scaled(images):
    np.testing.assert_allclose(augmented(images), images / 255, atol=1e-6)


def test_floats_stay_on_their_scale(images):
    floats = images.astype(np.float32) - 100
    np.testing.assert_allclose(augmented(floats), floats, atol=1e-3)


def test_certain_flip_is_the_mirror_image(images):
    mirrored = images[:, :, ::-1] / 255
    np.testing.assert_allclose(augmented(images, flip=1.0), mirrored, atol=1e-6)


def test_half_the_images_are_flipped(images):
    flipped = (np.abs(augmented(images, flip=0.5) - images / 255) > 0.01).any(axis=(1, 2))
    assert 0.25 < flipped.mean() < 0.75


@pytest.mark.parametrize("name", sorted(set(DEFAULT_AUGMENTATION) - {"flip", "mixup"}))
def test_each_setting_changes_images(images, name):
    largest = 30 if name == "rotation" else 0.5
    changed = np.abs(augmented(images, **{name: largest}) - images / 255).mean(axis=(1, 2))
    assert (changed > 0.005).mean() > 0.3


def test_rotation_is_within_the_angle():
    bar = np.zeros((50, 41, 41), np.uint8)
    bar[:, 20, 4:37] = 255
    turned = augmented(bar, rotation=10)
    rows, columns = np.indices((41, 41)) - 20
    covariance = (turned * rows * columns).sum((1, 2)) / (turned * columns**2).sum((1, 2))
    angles = np.rad2deg(np.arctan(covariance))
    assert np.abs(angles).max() < 11
    assert np.ptp(angles) > 10


def test_shift_is_within_its_fraction():
    dot = np.zeros((50, 40, 40), np.uint8)
    dot[:, 19:21, 19:21] = 255
    moved = augmented(dot, shift=0.25)
    rows = (moved.sum(2) * np.arange(40)).sum(1) / moved.sum((1, 2))
    assert np.abs(rows - 19.5).max() < 10.1
    assert np.ptp(rows) > 10


def test_mixing_blends_images_and_targets_alike():
    targets = np.eye(6, dtype=np.float32)[np.arange(60) % 6]
    images = np.repeat(targets[:, :, np.newaxis, np.newaxis], 5, axis=2)  # reveal their targets
    mixed, blended = mix_up(images, targets, 0.4, np.random.default_rng(0))
    np.testing.assert_allclose(mixed[:, :, 0, 0], blended, atol=1e-6)
    np.testing.assert_allclose(blended.sum(axis=1), 1, atol=1e-6)
    own = blended[np.arange(60), np.arange(60) % 6]
    assert own.min() >= 0.5
    assert 0.1 < (own < 0.95).mean() < 0.9


def test_more_mixing_with_a_larger_alpha():
    targets = np.eye(50, dtype=np.float32)
    kept = [
        mix_up(targets, targets, alpha, np.random.default_rng(0))[1].max(axis=1).mean()
        for alpha in (0.05, 0.3, 1.0)
    ]
    assert kept == sorted(kept, reverse=True)


def test_input_is_left_alone(images):
    before = images.copy()
    augment(images, dict(DEFAULT_AUGMENTATION), np.random.default_rng(0))
    np.testing.assert_array_equal(images, before)


def test_same_generator_same_images(images):
    first, second = (augment(images, DEFAULT_AUGMENTATION, np.random.default_rng(3)) for _ in "ab")
    np.testing.assert_array_equal(first, second)


def test_true_is_the_default():
    assert resolve_augmentation(True) == DEFAULT_AUGMENTATION


def test_mapping_does_only_what_it_names():
    assert resolve_augmentation({"rotation": 5}) == NOTHING | {"rotation": 5.0}


@pytest.mark.parametrize("nothing", [None, False])
def test_none_and_false_do_nothing(nothing):
    assert resolve_augmentation(nothing) is None


def test_unknown_key_gets_a_suggestion():
    with pytest.raises(ValueError, match=r"unknown key\(s\) 'rotate'.*'rotation'"):
        resolve_augmentation({"rotate": 5})


def test_value_out_of_range_is_named():
    with pytest.raises(ValueError, match=r"augmentation\['zoom'\]=1.5 must be a number in \[0"):
        resolve_augmentation({"zoom": 1.5})
    assert resolve_augmentation({"flip": 1})["flip"] == 1
    with pytest.raises(ValueError, match=r"\['flip'\]=2 must be a number in \[0.0, 1.0\]\."):
        resolve_augmentation({"flip": 2})


def test_neither_mapping_nor_true():
    with pytest.raises(ValueError, match="augmentation='flip' must be None, True or a mapping"):
        resolve_augmentation("flip")
