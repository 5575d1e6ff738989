"""CodebookExtractor: codewords, responses, mirror images and errors."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError

from fer_sklearn.features import CodebookExtractor, MirroredFeatures


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    smooth = rng.integers(0, 256, (30, 9, 8)).repeat(3, axis=1).repeat(3, axis=2)
    return (smooth // 2 + rng.integers(0, 120, smooth.shape)).astype(np.uint8)


@pytest.fixture(scope="module")
def codebook(images):
    return CodebookExtractor(patch_size=5, n_codewords=8, grid=(3, 2), n_patches=3000).fit(images)


def _expected(codebook, image):
    """Compute the features of one image in loops, in double precision."""
    size = codebook.patch_size
    n_down, n_across = (side - size + 1 for side in image.shape)
    sums = np.zeros((*codebook.grid, codebook.n_codewords))
    weights = np.zeros((*codebook.grid, 1))
    for row, column in np.ndindex(n_down, n_across):
        patch = image[row : row + size, column : column + size].astype(float).ravel()
        white = (patch - patch.mean()) @ codebook.whitening_.astype(float)
        cosines = codebook.codewords_.reshape(-1, size**2) @ white / np.linalg.norm(white)
        for cell in np.ndindex(*codebook.grid):
            steps = np.array([n_down, n_across]) / codebook.grid
            centre = (np.array(cell) + 0.5) * steps - 0.5
            weight = np.maximum(0, 1 - np.abs([row, column] - centre) / steps).prod()
            weights[cell] += weight
            sums[cell] += weight * np.maximum(cosines - codebook.threshold, 0)
    return np.sqrt(sums / weights)


def test_cells_average_the_responses_of_patches(codebook, images):
    features = codebook.transform(images[:2]).reshape(2, 3, 2, 8)
    for image, found in zip(images[:2], features, strict=True):
        expected = _expected(codebook, image)
        assert_allclose(found**2, expected**2, atol=1e-6)
        assert (expected > 0).any()


def test_codewords_have_norm_one_and_mirror_images(codebook):
    words = codebook.codewords_
    assert words.shape == (8, 5, 5)
    assert_allclose(np.linalg.norm(words.reshape(8, -1), axis=1), 1, atol=1e-5)
    assert_array_equal(words[4:], words[:4, :, ::-1])


def test_codewords_are_closer_to_patches_than_the_first_ones(images, monkeypatch):
    def closeness(codebook):
        return (codebook.fit_transform(images) ** 2).reshape(-1, 8).max(axis=1).mean()

    settings = {"patch_size": 5, "n_codewords": 8, "grid": 9, "threshold": 0.0, "n_patches": 10_000}
    learned = closeness(CodebookExtractor(**settings))
    monkeypatch.setattr("fer_sklearn.features._codebook._N_ITERATIONS", 0)
    assert learned > 1.05 * closeness(CodebookExtractor(**settings))


def test_whitening_makes_components_equally_strong(codebook, images):
    windows = np.lib.stride_tricks.sliding_window_view(images, (5, 5), axis=(1, 2))
    patches = windows.reshape(-1, 25).astype(float)
    patches -= patches.mean(axis=1, keepdims=True)
    patches /= patches.std(axis=1, keepdims=True)
    variances = np.linalg.eigvalsh(np.cov((patches @ codebook.whitening_).T))
    assert variances[0] < 0.01, "brightness was removed"
    assert variances[1] > 0.5
    assert variances[-1] < 1.2


@pytest.mark.parametrize("shape", [(3, 2), (3, 5), (1, 1)])
def test_features_of_mirror_images_are_rearranged(images, shape):
    codebook = CodebookExtractor(patch_size=4, n_codewords=6, grid=shape, n_patches=500).fit(images)
    features = codebook.transform(images)
    mirrored = codebook.transform(images[:, :, ::-1])
    assert_allclose(codebook._mirrored(features) ** 2, mirrored**2, atol=1e-6)
    assert np.abs(features**2 - mirrored**2).max() > 1e-3
    both = MirroredFeatures(CodebookExtractor(**codebook.get_params())).fit(images)
    assert_allclose(both.transform(images), np.hstack([features, mirrored]), atol=2e-3)


def test_brightness_and_range_do_not_matter(codebook, images):
    settings = codebook.get_params()
    halved = CodebookExtractor(**settings).fit_transform(images / 255 / 2 + 0.25)
    assert_allclose(halved**2, codebook.transform(images) ** 2, atol=1e-4)


def test_a_flat_image_has_no_response(codebook, images):
    assert_array_equal(codebook.transform(np.full_like(images[:2], 77)), 0)
    flat = CodebookExtractor(patch_size=3, n_codewords=4, grid=2, n_patches=50)
    assert np.isfinite(flat.fit_transform(np.full((4, 12, 12), 9, np.uint8))).all()


def test_features_of_an_image_do_not_depend_on_others(codebook, images):
    together = codebook.transform(images)
    assert_array_equal(codebook.transform(images[7:8])[0], together[7])


def test_the_seed_determines_the_codebook(images):
    settings = {"patch_size": 4, "n_codewords": 6, "grid": 2, "n_patches": 200}
    first, again, other = (
        CodebookExtractor(random_state=seed, **settings).fit(images).codewords_
        for seed in (1, 1, 2)
    )
    assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_names_follow_the_columns(codebook):
    names = codebook.get_feature_names_out()
    assert names.shape == (3 * 2 * 8,)
    assert names[8] == "cell0_1_codeword0"
    assert names[-1] == "cell2_1_codeword7"


def test_wrong_parameters_are_named(images):
    with pytest.raises(ValueError, match=r"n_codewords=7 is odd, .* such as 8"):
        CodebookExtractor(n_codewords=7).fit(images)
    with pytest.raises(ValueError, match=r"27×24 pixels, too small for patch_size=20 .*izer\(25\)"):
        CodebookExtractor(patch_size=20).fit(images)
    with pytest.raises(ValueError, match="The 'threshold' parameter of CodebookExtractor must be"):
        CodebookExtractor(threshold=1.0).fit(images)


def test_it_must_be_fitted(images):
    with pytest.raises(NotFittedError):
        CodebookExtractor().transform(images)
