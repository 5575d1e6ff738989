"""LBP: patterns equal to scikit-image's, counted in the correct cells."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from skimage.feature import local_binary_pattern

from fer_sklearn.features import LBPExtractor, lbp_batch
from fer_sklearn.features._lbp import lbp_codes


def _images(n=3, shape=(20, 23), seed=0):
    images = np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)
    images[0, 4:12] = 100  # flat: all eight points are as bright as the centre
    return images


@pytest.mark.parametrize("radius", [1, 1.5, 2.0, 3.0])
@pytest.mark.filterwarnings("ignore:Applying `local_binary_pattern` to floating-point images")
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_equals_scikit_image(radius, dtype):
    images = _images().astype(dtype)
    expected = [local_binary_pattern(image, 8, radius) for image in images]
    assert_array_equal(lbp_codes(images, radius), expected)


def test_counts_the_uniform_patterns_of_each_cell():
    images = _images(shape=(24, 24))
    codes = lbp_codes(images[1:2])[0]
    uniform = sorted(
        code
        for code in range(256)
        if sum((code >> i & 1) != (code >> (i + 1) % 8 & 1) for i in range(8)) <= 2
    )
    features = lbp_batch(images, grid=(3, 2))[1].reshape(3, 2, 59)
    assert len(uniform) == 58
    for row in range(3):
        for column in range(2):
            cell = codes[8 * row : 8 * row + 8, 12 * column : 12 * column + 12]
            counts = [(cell == code).sum() for code in uniform]
            counts.append(cell.size - sum(counts))
            assert_allclose(features[row, column] ** 2, np.array(counts) / 96, atol=1e-6)


def test_remaining_pixels_are_not_counted():
    images = _images(shape=(25, 24))
    changed = images.copy()
    changed[:, 24] = 255 - changed[:, 24]
    squares = (lbp_batch(images, grid=(3, 3)) ** 2).reshape(3, 9, 59)
    assert_allclose(squares.sum(-1), 1, atol=1e-5)
    # Cells that do not border on the leftover row are the same.
    assert_array_equal(
        lbp_batch(images, grid=(3, 3))[:, :354], lbp_batch(changed, grid=(3, 3))[:, :354]
    )


def test_batches_longer_than_a_chunk_are_the_same_as_their_parts():
    images = _images(n=150)
    parts = [lbp_batch(images[start : start + 11]) for start in range(0, 150, 11)]
    assert_array_equal(lbp_batch(images), np.concatenate(parts))


def test_contrast_does_not_matter():
    images = _images(shape=(24, 24)) // 2
    assert_array_equal(lbp_codes(images), lbp_codes(images * 2))


@pytest.mark.parametrize("radius", [1, 1.5, 2.0, 3.3])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_features_of_mirror_images_are_rearranged(radius, dtype):
    images = _images(n=20, shape=(21, 24)) / (1 if dtype == np.uint8 else 255)
    images = images.astype(dtype)
    lbp = LBPExtractor(radius=radius, grid=(4, 3)).fit(images)
    expected = lbp.transform(images[:, :, ::-1])
    assert_array_equal(lbp._mirrored(lbp.transform(images)), expected)


def test_cells_that_leave_columns_out_cannot_be_mirrored():
    lbp = LBPExtractor(grid=(4, 5)).fit(_images(shape=(24, 24)))
    assert lbp._mirrored(lbp.transform(_images(shape=(24, 24)))) is None


def test_names_follow_the_columns():
    names = LBPExtractor(grid=(2, 3)).fit(_images()).get_feature_names_out()
    assert names.shape == (2 * 3 * 59,)
    assert names[59] == "lbp_r0c1_p0"
    assert names[-1] == "lbp_r1c2_p58"


def test_too_fine_a_grid_is_rejected():
    with pytest.raises(
        ValueError, match=r"X has images of 20×23 pixels, too small for grid=\(21, 2"
    ):
        LBPExtractor(grid=21).fit(_images())


@pytest.mark.parametrize("grid", [0, (8,), (8, 0)])
def test_a_wrong_grid_is_named(grid):
    with pytest.raises(ValueError, match="grid"):
        LBPExtractor(grid=grid).fit(_images())


def test_a_wrong_radius_is_named():
    with pytest.raises(ValueError, match="The 'radius' parameter of LBPExtractor must be a float"):
        LBPExtractor(radius=0.5).fit(_images())
