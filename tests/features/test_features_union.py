"""Combining descriptors: mirror images, principal components and unions."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from fer_sklearn.features import (
    BalancedPCA,
    CappedPCA,
    HOGExtractor,
    LBPExtractor,
    MirroredFeatures,
)


def test_the_second_half_describes_the_mirror_image(faces):
    X, _ = faces
    both = MirroredFeatures(LBPExtractor(grid=2)).fit_transform(X)
    plain = LBPExtractor(grid=2)
    assert_array_equal(both, np.hstack([plain.transform(X), plain.transform(X[:, :, ::-1])]))


@pytest.mark.parametrize(
    "transformer",
    [
        LBPExtractor(radius=2, grid=(3, 8)),
        make_pipeline(LBPExtractor(), CappedPCA(n_components=5)),
        make_pipeline(LBPExtractor(grid=2)),
        make_pipeline(FunctionTransformer(), LBPExtractor(grid=2)),
        FeatureUnion(
            [
                ("lbp", make_pipeline(LBPExtractor(), CappedPCA(n_components=5))),
                ("hog", HOGExtractor()),
            ],
            transformer_weights={"lbp": 3.0},
        ),
        FeatureUnion([("lbp", LBPExtractor(grid=2)), ("hog", "drop")]),
        FeatureUnion([("lbp", LBPExtractor(grid=2)), ("hog", HOGExtractor())], n_jobs=1),
    ],
    ids=["lbp", "pipeline", "one step", "second step", "union", "dropped", "n_jobs"],
)
def test_a_descriptor_that_mirrors_its_features_changes_nothing(faces, transformer):
    X, _ = faces
    mirrored = MirroredFeatures(transformer).fit(X)
    plain = mirrored.transformer_
    expected = np.hstack([plain.transform(X[:9]), plain.transform(X[:9, :, ::-1])])
    assert_array_equal(mirrored.transform(X[:9]), expected)


def test_a_mirrored_descriptor_is_computed_once(faces, monkeypatch):
    X, _ = faces
    mirrored = MirroredFeatures(make_pipeline(LBPExtractor(), CappedPCA(n_components=5))).fit(X)
    calls = []
    describe = LBPExtractor._describe
    monkeypatch.setattr(
        LBPExtractor, "_describe", lambda self, X: calls.append(len(X)) or describe(self, X)
    )
    mirrored.transform(X[:9])
    assert calls == [9]


def test_the_transformer_is_cloned_and_fitted_on_the_images_only(faces):
    X, _ = faces
    inner = make_pipeline(LBPExtractor(grid=2), BalancedPCA(n_components=3))
    expected = clone(inner).fit(X).transform(X)
    mirrored = MirroredFeatures(inner).fit(X)
    assert not hasattr(inner[-1], "scale_")
    assert_allclose(mirrored.transform(X)[:, :3], expected, atol=1e-6)


def test_names_mark_the_mirror_image():
    X = np.zeros((2, 16, 16), np.uint8)
    names = MirroredFeatures(HOGExtractor()).fit(X).get_feature_names_out()
    assert names[0] == "hog_r0c0_o0_block0_0"
    assert names[len(names) // 2] == "mirrored_hog_r0c0_o0_block0_0"


class MeanOfWeighted(TransformerMixin, BaseEstimator):
    """Subtracts the weighted mean of the flattened images."""

    def fit(self, X, y=None, sample_weight=None):
        self.mean_ = np.average(X.reshape(len(X), -1), axis=0, weights=sample_weight)
        return self

    def transform(self, X):
        return X.reshape(len(X), -1) - self.mean_


@pytest.mark.parametrize("routing", [False, True])
def test_fit_parameters_reach_the_transformer(faces, routing):
    X, y = faces
    weight = np.arange(len(X)) + 1.0
    with config_context(enable_metadata_routing=routing):
        inner = MeanOfWeighted()
        if routing:
            inner.set_fit_request(sample_weight=True)
        pipeline = make_pipeline(MirroredFeatures(inner), BalancedPCA(n_components=3))
        params = {"sample_weight": weight}
        if not routing:
            params = {"mirroredfeatures__sample_weight": weight}
        pipeline.fit(X, y, **params)
    expected = MeanOfWeighted().fit(X, sample_weight=weight).mean_
    assert_allclose(pipeline[0].transformer_.mean_, expected)


def test_an_unrequested_fit_parameter_is_refused(faces):
    X, y = faces
    with (
        config_context(enable_metadata_routing=True),
        pytest.raises(UnsetMetadataPassedError, match="sample_weight"),
    ):
        MirroredFeatures(MeanOfWeighted()).fit(X, y, sample_weight=np.ones(len(X)))


def test_a_size_other_than_in_fit_is_rejected(faces):
    mirrored = MirroredFeatures(HOGExtractor()).fit(faces[0])
    with pytest.raises(ValueError, match="X has images of 32×32 pixels, but MirroredFeatures was"):
        mirrored.transform(np.zeros((1, 32, 32), np.uint8))


def test_an_object_without_transform_is_refused(faces):
    with pytest.raises(ValueError, match="The 'transformer' parameter of MirroredFeatures must be"):
        MirroredFeatures("hog").fit(faces[0])


def test_descriptors_in_a_union_have_equal_influence(faces):
    X, _ = faces
    union = FeatureUnion(
        [
            ("hog", make_pipeline(HOGExtractor(), BalancedPCA(n_components=20))),
            ("lbp", make_pipeline(LBPExtractor(), BalancedPCA(n_components=30))),
        ]
    )
    variance = union.fit_transform(X).var(axis=0)
    assert_allclose([variance[:20].sum(), variance[20:].sum()], 1, rtol=1e-4)


def test_components_match_scikit_learn():
    X = np.random.default_rng(0).normal(size=(60, 8)) * np.arange(1, 9)
    reduced = BalancedPCA(n_components=2).fit_transform(X)
    expected = PCA(2).fit_transform(X)
    expected /= np.sqrt(expected.var(axis=0).sum())
    assert_allclose(np.abs(reduced), np.abs(expected), atol=1e-8)


@pytest.mark.parametrize("n_components", [None, 8, 500])
def test_features_that_cannot_be_reduced_are_only_scaled(n_components):
    X = np.random.default_rng(0).normal(size=(30, 8))
    reduced = BalancedPCA(n_components=n_components).fit_transform(X)
    assert_allclose(reduced, X / np.sqrt(X.var(axis=0).sum()))


def test_constant_features_stay_finite():
    assert_array_equal(BalancedPCA().fit_transform(np.ones((5, 3))), np.ones((5, 3)))


def test_capped_pca_keeps_at_most_n_components():
    X = np.random.default_rng(0).normal(size=(30, 12)).astype(np.float32)
    pca = CappedPCA(n_components=4).fit(X)
    expected = PCA(4, svd_solver="covariance_eigh").fit(X)
    assert_allclose(pca.transform(X), expected.transform(X), atol=1e-5)
    assert pca.transform(X).dtype == np.float32
    assert pca.get_feature_names_out().tolist() == [f"cappedpca{i}" for i in range(4)]
    for n_components in (None, 12, 500):
        whole = CappedPCA(n_components=n_components)
        assert_array_equal(whole.fit_transform(X), X)
        assert whole.get_feature_names_out().tolist() == [f"x{i}" for i in range(12)]
        names = [f"hog_r0c{i}_o0" for i in range(12)]
        assert whole.get_feature_names_out(names).tolist() == names


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_leading_components_are_those_of_scikit_learn(dtype):
    X = np.random.default_rng(0).normal(0.3, 1, (200, 40)) * np.linspace(1, 4, 40)
    X = X.astype(dtype)
    ours = CappedPCA(n_components=6).fit(X).pca_
    theirs = PCA(6, svd_solver="covariance_eigh").fit(X)
    tolerance = 1e-4 if dtype == np.float32 else 1e-9
    # The cosines of the angles between the two subspaces.
    cosines = np.linalg.svd(ours.components_ @ theirs.components_.T, compute_uv=False)
    assert_allclose(cosines, 1, atol=tolerance)
    for name in ("mean_", "explained_variance_", "explained_variance_ratio_", "noise_variance_"):
        assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=tolerance)
    assert_allclose(ours.transform(X), theirs.transform(X), atol=20 * tolerance)
    assert_allclose(ours.singular_values_, theirs.singular_values_, rtol=tolerance)
    assert ours.components_.dtype == dtype


def test_components_of_constant_features_are_finite():
    pca = CappedPCA(n_components=2).fit(np.ones((9, 4))).pca_
    assert_allclose(pca.explained_variance_ratio_, 0)
    assert np.isfinite(pca.components_).all()


def test_components_of_features_far_from_zero_are_precise():
    X = np.random.default_rng(0).normal(size=(500, 8)) * np.arange(8, 0, -1)
    expected = PCA(3).fit(X)
    ours = CappedPCA(n_components=3).fit((X + 1000).astype(np.float32)).pca_
    assert_allclose(np.abs(ours.components_ @ expected.components_.T), np.eye(3), atol=1e-3)
    assert_allclose(ours.explained_variance_, expected.explained_variance_, rtol=1e-4)


@pytest.mark.parametrize("pca", [CappedPCA(n_components=4), BalancedPCA(n_components=4)])
def test_pca_works_with_any_configured_output(pca):
    X = np.random.default_rng(0).normal(size=(30, 12))
    expected = pca.fit_transform(X)
    with config_context(transform_output="pandas"):
        table = pca.fit_transform(X)
    assert table.columns.tolist() == pca.get_feature_names_out().tolist()
    assert_array_equal(table.to_numpy(), expected)
