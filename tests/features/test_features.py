"""HOG: equal to scikit-image for every kind of input, with clear errors."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from skimage.feature import hog
from sklearn.base import clone

from fer_sklearn.features import HOGExtractor, hog_batch
from fer_sklearn.features._hog import BLOCK_NORMS


def _images(kind, n=7, shape=(48, 48), seed=0):
    """Seeded images of a given kind."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 256, (n, *shape), dtype=np.uint8)
    codes[0] = 128  # a flat image
    codes[1, :, ::2] = 0  # stripes: many gradients of 0, 90 and 180 degrees
    codes[1, :, 1::2] = 255
    return {
        "uint8": codes,
        "float32 of bytes": codes / np.float32(255),
        "float64 of bytes": codes / 255.0,
        "float32": rng.random((n, *shape), dtype=np.float32),
        "float64": rng.random((n, *shape)),
        "signed float64": rng.normal(size=(n, *shape)),
    }[kind]


KINDS = ["uint8", "float32 of bytes", "float64 of bytes", "float32", "float64", "signed float64"]


def _reference(images, **parameters):
    names = {"orientations": 9, "pixels_per_cell": (8, 8), "cells_per_block": (2, 2)}
    return np.array([hog(image, **(names | parameters)) for image in images])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("orientations", [1, 4, 8, 9, 12])
def test_equals_scikit_image_in_every_precision(kind, orientations):
    images = _images(kind)
    features = HOGExtractor(orientations=orientations).fit_transform(images)
    assert features.dtype == np.float32
    assert_allclose(features, _reference(images, orientations=orientations), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["uint8", "float64"])
@pytest.mark.parametrize("norm", BLOCK_NORMS)
@pytest.mark.parametrize("transform_sqrt", [False, True])
def test_equals_scikit_image_under_every_norm(kind, norm, transform_sqrt):
    images = _images(kind)
    parameters = {"block_norm": norm, "transform_sqrt": transform_sqrt}
    features = HOGExtractor(**parameters).fit_transform(images)
    assert_allclose(features, _reference(images, **parameters), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["uint8", "float32"])
@pytest.mark.parametrize(
    ("shape", "cell", "block"),
    [
        ((48, 48), (6, 6), (2, 2)),
        ((47, 50), (6, 7), (2, 3)),  # pixels are left over on both sides
        ((20, 33), (5, 3), (1, 2)),
        ((16, 16), (8, 8), (2, 2)),  # a single block
        ((9, 9), (1, 1), (1, 1)),
    ],
)
def test_equals_scikit_image_for_any_layout(kind, shape, cell, block):
    images = _images(kind, shape=shape)
    parameters = {"pixels_per_cell": cell, "cells_per_block": block}
    features = HOGExtractor(**parameters).fit_transform(images)
    assert_allclose(features, _reference(images, **parameters), rtol=0, atol=1e-5)


def test_batches_longer_than_a_chunk_are_the_same_as_their_parts():
    images = _images("uint8", n=150)
    parts = [hog_batch(images[start : start + 11]) for start in range(0, 150, 11)]
    assert_array_equal(hog_batch(images), np.concatenate(parts))


def test_a_faint_image_keeps_its_own_scale():
    # Because of the small constant in the norms, HOG depends on the scale of faint gradients.
    images = np.full((1, 16, 16), 100, np.uint8)
    images[0, 5, 5] = 101
    for scaled in (images, images / 255.0):
        assert_allclose(hog_batch(scaled), _reference(scaled), rtol=0, atol=1e-5)


@pytest.mark.parametrize("form", ["flat", "channel", "list"])
def test_forms_of_the_same_images_give_the_same_features(form):
    images = _images("uint8")
    forms = {"flat": images.reshape(7, -1), "channel": images[..., None], "list": list(images)}
    assert_array_equal(HOGExtractor().fit_transform(forms[form]), hog_batch(images))


def test_int_sizes_mean_squares():
    images = _images("uint8")
    squares = HOGExtractor(pixels_per_cell=6, cells_per_block=3).fit_transform(images)
    pairs = HOGExtractor(pixels_per_cell=[6, 6], cells_per_block=(3, 3)).fit_transform(images)
    assert_array_equal(squares, pairs)


def test_transform_needs_no_fit_and_leaves_the_input_alone():
    images = _images("float32")
    before = images.copy()
    assert_array_equal(HOGExtractor().transform(images), hog_batch(images))
    assert_array_equal(images, before)


def test_clones_and_pickles():
    extractor = clone(HOGExtractor(orientations=6, pixels_per_cell=(6, 6))).fit(_images("uint8"))
    copy = pickle.loads(pickle.dumps(extractor))
    images = _images("uint8", seed=1)
    assert_array_equal(copy.transform(images), extractor.transform(images))


def test_names_have_the_row_and_column_of_the_cell_the_bin_and_the_block():
    extractor = HOGExtractor(pixels_per_cell=16).set_output(transform="pandas")
    table = extractor.fit_transform(_images("uint8"))
    assert table.shape == (7, 2 * 2 * 2 * 2 * 9)
    assert list(table.columns[[0, 1, 9, -1]]) == [
        "hog_r0c0_o0_block0_0",
        "hog_r0c0_o1_block0_0",
        "hog_r0c1_o0_block0_0",
        "hog_r2c2_o8_block1_1",
    ]


def test_names_of_blocks_of_one_cell_omit_the_block():
    extractor = HOGExtractor(pixels_per_cell=16, cells_per_block=1).fit(_images("uint8"))
    names = extractor.get_feature_names_out().tolist()
    assert names[0] == "hog_r0c0_o0"
    assert names[9] == "hog_r0c1_o0"
    assert names[-1] == "hog_r2c2_o8"


def test_images_smaller_than_a_block_are_an_error_with_sizes():
    with pytest.raises(
        ValueError,
        match=r"X has images of 12×40 pixels, smaller than one HOG block of 16×16 "
        r"\(pixels_per_cell=\(8, 8\) times cells_per_block=\(2, 2\)\)\. .*GrayscaleResizer\(16\)",
    ):
        HOGExtractor().fit(np.zeros((3, 12, 40), np.uint8))


def test_an_image_size_other_than_in_fit_is_rejected():
    extractor = HOGExtractor().fit(_images("uint8"))
    with pytest.raises(ValueError, match="X has images of 64×64 pixels, but HOGExtractor was"):
        extractor.transform(np.zeros((2, 64, 64), np.uint8))


def test_nan_is_rejected():
    images = _images("float32")
    images[3, 2, 1] = np.nan
    with pytest.raises(ValueError, match=r"X\[3\] contains NaN; 1 of 7 images"):
        HOGExtractor().fit(images)


def test_colour_is_an_error_with_a_remedy():
    with pytest.raises(ValueError, match=r"3 channels; expected grey images .*GrayscaleResizer"):
        HOGExtractor().fit(np.zeros((2, 48, 48, 3), np.uint8))


def test_square_root_of_negative_pixels_is_rejected():
    with pytest.raises(ValueError, match=r"transform_sqrt=True needs non-negative pixels, but X"):
        HOGExtractor(transform_sqrt=True).fit_transform(_images("signed float64"))


@pytest.mark.parametrize("value", [0, (8,), (8, 0), "8", 8.0])
def test_an_invalid_cell_size_is_named(value):
    with pytest.raises(ValueError, match=r"pixels_per_cell=.* must be a positive int, or a pair"):
        HOGExtractor(pixels_per_cell=value).fit(_images("uint8"))


def test_an_unknown_norm_is_named():
    with pytest.raises(ValueError, match="The 'block_norm' parameter of HOGExtractor must be a st"):
        HOGExtractor(block_norm="l2").fit(_images("uint8"))
