"""HOG images compared with scikit-image, and weights with scores, through linear steps."""

import numpy as np
import pytest
from skimage.feature import hog as skimage_hog
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.feature_selection import RFE, SelectKBest
from sklearn.frozen import FrozenEstimator
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from fer_sklearn import (
    BalancedPCA,
    GrayscaleResizer,
    HOGExtractor,
    HOGSVMClassifier,
    PixelNormalizer,
    make_hog_svm_pipeline,
)
from fer_sklearn.explain import hog_image, hog_weights
from fer_sklearn.explain._hog import draw_strokes, feature_weights

ONE_CELL = {"pixels_per_cell": 8, "cells_per_block": 1}


def _stripes(degrees, size=48):
    """Return an image whose gradient points in one direction, counted from across to down."""
    down, across = np.mgrid[:size, :size]
    angle = np.deg2rad(degrees)
    return (127 + 100 * np.sin((across * np.cos(angle) + down * np.sin(angle)) / 3)).astype("uint8")


@pytest.mark.parametrize("degrees", [10, 50, 90, 130, 170])
def test_strokes_run_along_the_edges(degrees):
    picture = hog_image(_stripes(degrees)[np.newaxis], hog=HOGExtractor(**ONE_CELL), scale=4)[0]
    star = picture[96:128, 96:128]  # of an inner cell
    down, across = np.mgrid[:32, :32] - 15.5
    bright = star > 0.7 * star.max()
    main = np.linalg.eigh(np.cov(across[bright], down[bright]))[1][:, -1]
    edge = np.rad2deg(np.arctan2(main[1], main[0])) - 90
    assert abs((edge - degrees + 90) % 180 - 90) < 12


def test_strokes_match_scikit_image(faces):
    X = faces[0][:5]
    hog = HOGExtractor(pixels_per_cell=16, cells_per_block=1, block_norm="L1")
    found = hog_image(X, hog=hog, scale=1)
    for image, picture in zip(X, found, strict=True):
        _, expected = skimage_hog(image, 9, (16, 16), (1, 1), visualize=True)
        # Theirs is before normalisation, so compare cell by cell.
        ours, theirs = (
            drawn.reshape(3, 16, 3, 16).swapaxes(1, 2).reshape(9, 16, 16)
            for drawn in (picture, expected)
        )
        alike, mirrored = (
            np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(*pair, strict=True)])
            for pair in ((ours, theirs), (ours[:, :, ::-1], theirs))
        )
        assert alike > max(0.55, mirrored + 0.1)


def test_a_hog_image_is_the_mean_of_the_blocks_of_each_cell(faces):
    hog = HOGExtractor(pixels_per_cell=12)
    features = hog.fit_transform(faces[0][:1]).reshape(3, 3, 2, 2, 9)
    picture = hog_image(faces[0][:1], hog=hog, scale=2)[0]
    inner = [features[1, 1, 0, 0], features[0, 0, 1, 1], features[0, 1, 1, 0], features[1, 0, 0, 1]]
    corner = features[0, 0, 0, 0]
    ratio = np.mean(inner, axis=0).max() / corner.max()
    assert picture[24:48, 24:48].max() / picture[:24, :24].max() == pytest.approx(ratio, rel=1e-5)
    assert picture.max() == 1


def test_hog_images_of_images_with_leftover_pixels(faces):
    X = faces[0][:1, :30, :27]
    picture = hog_image(X, hog=HOGExtractor(pixels_per_cell=(8, 6)), scale=3)[0]
    assert picture.shape == (90, 81)
    assert picture[:72, :72].max() == 1
    assert not picture[72:].any()
    assert not picture[:, 72:].any()


def test_crossing_strokes_show_the_maximum():
    cells = np.array([1.0, 0.5]).reshape(1, 1, 1, 2)
    both, first, second = (
        draw_strokes(cells * kept, (8, 8), (8, 8), 2) for kept in ([1, 1], [1, 0], [0, 1])
    )
    np.testing.assert_array_equal(both, np.maximum(first, second))
    assert (first.max(), second.max()) == (1, 0.5)


@pytest.mark.parametrize("bins", [4, 9])
def test_strokes_stay_inside_their_cell_and_are_equally_long(bins):
    stars = draw_strokes(np.eye(bins).reshape(bins, 1, 1, bins), (40, 40), (40, 40), 1)
    down, across = np.mgrid[:40, :40] - 19.5
    reach = [np.hypot(down, across)[star > 0.5].max() for star in stars]
    np.testing.assert_allclose(reach, 0.48 * 40, atol=1)


def test_a_pipeline_shows_the_input_of_its_extractor(faces):
    X, y = faces
    hog = HOGExtractor(pixels_per_cell=6, orientations=12)
    model = make_pipeline(
        GrayscaleResizer(24), PixelNormalizer("equalize"), hog, LogisticRegression()
    ).fit(X[:14], y[:14])
    seen = PixelNormalizer("equalize").transform(GrayscaleResizer(24).transform(X[:2]))
    np.testing.assert_array_equal(hog_image(X[:2], hog=model), hog_image(seen, hog=hog))


def test_a_descriptor_other_than_hog_is_rejected(faces):
    X, y = faces
    model = make_pipeline(GrayscaleResizer(24), DummyClassifier()).fit(X, y)
    with pytest.raises(TypeError, match="no HOGExtractor among its steps"):
        hog_image(X, hog=model)


def _scores_from_weights(model, X):
    hog, weights = feature_weights(model)
    return hog.transform(X) @ weights.T


@pytest.mark.parametrize(
    "between",
    [
        [],
        [StandardScaler(), PCA(20, whiten=True)],
        [PCA(20)],
        [BalancedPCA(n_components=20)],
        [SelectKBest(k=100), "passthrough"],
    ],
    ids=str,
)
def test_backprojected_weights_give_the_scores_up_to_a_constant(faces, between):
    X, y = faces
    model = make_pipeline(HOGExtractor(), *between, LogisticRegression(C=10, max_iter=5000)).fit(
        X, y
    )
    rest = model.decision_function(X) - _scores_from_weights(model, X)
    assert np.ptp(rest, axis=0).max() < 1e-3
    assert np.ptp(model.decision_function(X), axis=0).min() > 0.5


def test_the_linear_svm_of_hog_svm_classifier(faces):
    X, y = faces
    reducing = HOGSVMClassifier(kernel="linear", n_components=20, random_state=0)
    for pipeline in (
        make_pipeline(HOGExtractor(), reducing),
        make_hog_svm_pipeline(clone(reducing).set_params(n_components=None), n_components=20),
    ):
        model = pipeline.fit(X, y)
        rest = model.decision_function(X) - _scores_from_weights(model, X)
        assert np.ptp(rest, axis=0).max() < 1e-3
        assert hog_weights(model, scale=1).relevance.shape == (7, 48, 48)


def test_a_calibrated_classifier_is_unwrapped(faces):
    X, y = faces
    model = make_hog_svm_pipeline(LinearSVC()).fit(X, y)
    calibrated = CalibratedClassifierCV(FrozenEstimator(model)).fit(X, y)
    np.testing.assert_array_equal(
        hog_weights(calibrated, scale=1).positive_weights,
        hog_weights(model, scale=1).positive_weights,
    )


def test_hog_images_show_sign_and_size_of_the_weights():
    """Two labels distinguished by horizontal edges at the top: the only large weights."""
    rng = np.random.default_rng(0)
    X = rng.integers(100, 110, (60, 32, 32)).astype(np.uint8)
    y = np.resize(["lined", "plain"], 60)
    X[y == "lined", 4] = 200
    model = make_pipeline(HOGExtractor(**ONE_CELL), LinearSVC()).fit(X, y)
    weights = hog_weights(model, scale=2)
    assert weights.classes.tolist() == ["lined", "plain"]
    np.testing.assert_allclose(weights.positive_weights[0], weights.negative_weights[1], atol=1e-6)
    row = weights.positive_weights[0][:16].max(axis=0)
    assert row.max() == 1
    assert weights.positive_weights[0][16:].max() < 0.5
    middle_row = weights.positive_weights[0][7:9].mean()
    middle_column = weights.positive_weights[0][:16, 7::16].mean()
    assert middle_row > 1.5 * middle_column
    assert weights.relevance[0][:8].min() > 2 * weights.relevance[0][8:].max()


@pytest.mark.parametrize("classifier", [SVC(), HOGSVMClassifier()], ids=str)
def test_a_kernel_has_no_feature_weights(faces, classifier):
    X, y = faces
    model = make_hog_svm_pipeline(classifier).fit(X, y)
    with pytest.raises(TypeError, match=r"SVC, which has no weights.*LinearSVC\(\)"):
        hog_weights(model)


def test_pairwise_weights_are_rejected(faces):
    X, y = faces
    few = np.isin(y, ["happy", "sad", "fear"])  # three labels make three pairs
    model = make_hog_svm_pipeline(SVC(kernel="linear")).fit(X[few], y[few])
    with pytest.raises(ValueError, match=r"3 rows of weights for pairs of its 3 labels"):
        hog_weights(model)


def test_a_nonlinear_step_is_rejected(faces):
    X, y = faces
    model = make_pipeline(HOGExtractor(), Nystroem(n_components=30), LogisticRegression())
    with pytest.raises(ValueError, match="the step Nystroem after HOG, which is not linear"):
        hog_weights(model.fit(X, y))


@pytest.mark.parametrize("scale", [0, 1.5])
def test_a_scale_is_a_positive_int(faces, scale):
    with pytest.raises(ValueError, match=r"scale=.* must be a positive int"):
        hog_image(faces[0][:1], scale=scale)


def test_weights_of_features_that_were_eliminated_are_zero(faces):
    X, y = faces
    selector = RFE(LinearSVC(), n_features_to_select=20, step=0.5)
    model = make_pipeline(HOGExtractor(), selector).fit(X, y)
    hog, weights = feature_weights(model)
    offsets = model.decision_function(X) - hog.transform(X) @ weights.T
    np.testing.assert_allclose(offsets, offsets[[0] * len(X)], atol=1e-6)
    assert not weights[:, ~selector.get_support()].any()


@pytest.mark.filterwarnings("error")
def test_weights_through_steps_that_were_fitted_on_tables(faces):
    X, y = faces
    model = make_pipeline(HOGExtractor(), StandardScaler(), LogisticRegression(max_iter=1000))
    expected = feature_weights(clone(model).fit(X, y))[1]
    found = feature_weights(model.set_output(transform="pandas").fit(X, y))[1]
    np.testing.assert_allclose(found, expected, atol=1e-6)
