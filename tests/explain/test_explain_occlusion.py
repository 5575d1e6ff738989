"""Occlusion maps and masks: compared with a plain loop, for any classifier, bad input."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from fer_sklearn import (
    GrayscaleResizer,
    HOGExtractor,
    load_fer2013,
    load_pretrained,
    make_hog_svm_pipeline,
)
from fer_sklearn._utils.pixels import pixel_names
from fer_sklearn.explain import mask_pixels, occlusion_map, top_pixels
from fer_sklearn.explain._occlusion import _BATCH_SIZE, _windows


class BrightPixel(ClassifierMixin, BaseEstimator):
    """Its probability of "bright" is the mean of the four middle pixels of an image."""

    classes_ = np.array(["bright", "dark"])
    n_calls, largest = 0, 0

    def fit(self, X, y=None):
        return self

    def predict_proba(self, X):
        type(self).n_calls += 1
        type(self).largest = max(self.largest, len(X))
        X = np.asarray(X).reshape(len(X), 8, 8, -1)
        bright = X[:, 3:5, 3:5].mean(axis=(1, 2, 3)) / 255
        return np.stack([bright, 1 - bright], axis=1)

    def __sklearn_is_fitted__(self):
        return True


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 8, 8)).astype(np.uint8)


def test_it_is_the_mean_drop_over_the_windows_that_hide_a_pixel(images):
    found = occlusion_map(BrightPixel(), images, target="bright", window=4, stride=2, fill=0)
    before = BrightPixel().predict_proba(images)[:, 0]
    total, count = np.zeros(images.shape), np.zeros((8, 8))
    for top in range(-2, 8, 2):
        for left in range(-2, 8, 2):
            part = np.s_[max(top, 0) : top + 4, max(left, 0) : left + 4]
            changed = images.copy()
            changed[:, *part] = 0
            drop = before - BrightPixel().predict_proba(changed)[:, 0]
            total[:, *part] += drop[:, np.newaxis, np.newaxis]
            count[part] += 1
    np.testing.assert_allclose(found.heatmaps, total / count, atol=1e-6)
    assert found.heatmaps.dtype == np.float32
    np.testing.assert_array_equal(found.images, images)


@pytest.mark.parametrize(("window", "stride"), [(4, 2), (6, 2), (5, 5), (3, 1)])
def test_every_pixel_is_hidden_equally_often(window, stride):
    count = _windows((12, 16), window, stride).sum(axis=0)
    assert (count == (window // stride) ** 2).all()


def test_maps_are_signed(images):
    images[:, 3:5, 3:5] = 100
    darker = occlusion_map(BrightPixel(), images, target="bright", window=4, fill=0).heatmaps
    lighter = occlusion_map(BrightPixel(), images, target="bright", window=4, fill=255).heatmaps
    assert (darker[:, 3, 3] > 0.1).all()
    assert (lighter[:, 3, 3] < -0.1).all()
    dark = occlusion_map(BrightPixel(), images, target="dark", window=4, fill=0).heatmaps
    np.testing.assert_allclose(dark, -darker, atol=1e-6)


def test_the_default_target_is_the_most_probable(images):
    explanation = occlusion_map(BrightPixel(), images, window=4)
    bright = BrightPixel().predict_proba(images)[:, 0] > 0.5
    np.testing.assert_array_equal(explanation.targets, np.where(bright, "bright", "dark"))


def test_each_image_has_its_own_target(images):
    targets = ["bright", "dark", "dark", "bright", "dark"]
    mixed = occlusion_map(BrightPixel(), images, target=targets, window=4)
    bright = occlusion_map(BrightPixel(), images, target="bright", window=4)
    signs = np.where(np.array(targets) == "bright", 1, -1)[:, np.newaxis, np.newaxis]
    np.testing.assert_allclose(mixed.heatmaps, signs * bright.heatmaps, atol=1e-6)
    assert mixed.targets.tolist() == targets


@pytest.mark.parametrize("form", ["flattened", "with channel", "list", "colour"])
def test_every_form_of_images_gives_the_same(images, form):
    forms = {
        "flattened": images.reshape(5, -1),
        "with channel": images[..., np.newaxis],
        "list": list(images),
        "colour": np.repeat(images[..., np.newaxis], 3, axis=3),
    }
    expected = occlusion_map(BrightPixel(), images, window=4).heatmaps
    found = occlusion_map(BrightPixel(), forms[form], window=4).heatmaps
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_few_images_are_in_memory_at_once(images):
    BrightPixel.n_calls = BrightPixel.largest = 0
    occlusion_map(BrightPixel(), np.tile(images, (9, 1, 1)), window=2, stride=1)
    assert BrightPixel.largest <= _BATCH_SIZE
    assert BrightPixel.n_calls == 1 + -(-45 * 81 // _BATCH_SIZE)


def test_an_svm_of_photos_works(faces):
    X, y = faces
    model = make_hog_svm_pipeline(LogisticRegression(C=10)).fit(X, y)
    photos = [np.kron(face, np.ones((2, 2), np.uint8)) for face in X[:2]]
    explanation = occlusion_map(model, photos)
    np.testing.assert_array_equal(explanation.images, GrayscaleResizer(48).transform(photos))
    assert explanation.heatmaps.shape == (2, 48, 48)
    assert explanation.heatmaps.max() > 0.02


def test_a_classifier_without_probabilities_is_an_error_with_a_remedy(faces):
    X, y = faces
    model = make_pipeline(HOGExtractor(), SVC()).fit(X, y)
    with pytest.raises(TypeError, match=r"no predict_proba.*CalibratedClassifierCV"):
        occlusion_map(model, X)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window": 0}, "window=0 must be an integer from 1 to 8"),
        ({"window": 9}, "window=9 must be an integer from 1 to 8"),
        ({"window": 2.0}, "window=2.0 must be an integer"),
        ({"window": 4, "stride": 5}, "stride=5 must be an integer from 1 to 4"),
        ({"fill": "noise"}, "fill='noise' is unknown"),
        ({"fill": 256}, "fill=256 must be.*uint8 images can have, from 0 to 255"),
        ({"fill": None}, "fill=None must be"),
        ({"target": "brigth"}, r"'brigth'.*Did you mean 'bright'\?"),
        ({"target": ["bright"] * 4}, r"target has shape \(4,\) for 5 image\(s\)"),
    ],
)
def test_bad_arguments_are_rejected(images, arguments, message):
    with pytest.raises(ValueError, match=message):
        occlusion_map(BrightPixel(), images, **arguments)


def test_paths_without_a_step_that_reads_them_are_rejected():
    with pytest.raises(ValueError, match=r"X contains paths.*GrayscaleResizer\(\)"):
        occlusion_map(BrightPixel(), ["photo.png"])


def test_an_empty_batch_is_rejected():
    with pytest.raises(ValueError, match=r"found 0 photo\(s\), expected at least one"):
        occlusion_map(BrightPixel(), np.empty((0, 8, 8), np.uint8))


def test_the_same_number_of_pixels_is_most_relevant_in_each_image():
    heatmaps = np.random.default_rng(0).random((4, 10, 10))
    heatmaps[3] = 0
    masks = top_pixels(heatmaps, fraction=0.13)
    np.testing.assert_array_equal(masks.sum(axis=(1, 2)), 13)
    for heatmap, mask in zip(heatmaps[:3], masks[:3], strict=True):
        assert heatmap[mask].min() > heatmap[~mask].max()


def test_masks_hide_what_they_cover(images):
    masks = np.zeros(images.shape, bool)
    masks[:, 2:4] = True
    for fill in ("mean", 7):
        hidden = mask_pixels(images, masks, fill=fill)
        expected = np.rint(images.mean(axis=(1, 2))) if fill == "mean" else np.full(5, 7)
        np.testing.assert_array_equal(hidden[~masks], images[~masks])
        np.testing.assert_array_equal(hidden[:, 2, 3], expected)
        assert hidden.dtype == np.uint8
    blurred = mask_pixels(images, masks).astype(float)
    assert blurred[:, 2:4].std() < 0.7 * images[:, 2:4].std()
    np.testing.assert_allclose(
        mask_pixels(images / 255, masks)[masks], blurred[masks] / 255, atol=3e-3
    )


@pytest.mark.parametrize("masks", [np.zeros((5, 8, 8)), np.zeros((4, 8, 8), bool)])
def test_other_kinds_of_masks_are_rejected(images, masks):
    with pytest.raises(ValueError, match=r"expected bool of shape \(5, 8, 8\) or \(8, 8\)"):
        mask_pixels(images, masks)


def test_maps_of_another_shape_are_rejected():
    with pytest.raises(ValueError, match=r"heatmaps has shape \(8, 8\); expected \(n, h, w\)"):
        top_pixels(np.zeros((8, 8)))


@pytest.mark.parametrize("fraction", [0, 1, "0.1"])
def test_a_fraction_is_between_0_and_1(fraction):
    with pytest.raises(ValueError, match="fraction="):
        top_pixels(np.zeros((1, 8, 8)), fraction=fraction)


def test_hiding_relevant_pixels_of_real_faces_costs_more_than_random_ones(fer2013_path):
    X, y = load_fer2013(fer2013_path, subset="public", return_X_y=True)
    X, y = X[::30], y[::30]  # sorted by label
    model = load_pretrained("tiny", runtime="litert")
    heatmaps = occlusion_map(model, X, window=12).heatmaps
    random = np.random.default_rng(0).random(X.shape)
    relevant, scattered = (
        model.score(mask_pixels(X, top_pixels(maps)), y) for maps in (heatmaps, random)
    )
    assert relevant < scattered - 0.1


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.filterwarnings("error")
def test_tables_of_pixels(order):
    rng = np.random.default_rng(0)
    X, y = rng.random((40, 8, 8)), ["happy", "sad"] * 20
    names = list(pixel_names((8, 8)))[::order]
    table = pd.DataFrame(X.reshape(40, -1)[:, ::order], columns=names)
    model = LogisticRegression().fit(table, y)  # takes columns by their positions
    expected = occlusion_map(LogisticRegression().fit(X.reshape(40, -1), y), X.reshape(40, -1)[:3])
    np.testing.assert_allclose(
        occlusion_map(model, table[:3]).heatmaps, expected.heatmaps, atol=1e-6
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, float, bool])
def test_top_pixels_of_any_dtype(dtype):
    heatmaps = np.array([[[0, 3], [2, 100]]]).astype(dtype)
    assert top_pixels(heatmaps, fraction=0.5).tolist() == (
        [[[False, True], [True, False]]] if dtype is bool else [[[False, True], [False, True]]]
    )
