"""Importance of face regions: compared with a plain loop, for any classifier, bad input."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline

from fer_sklearn import GrayscaleResizer, HOGExtractor, load_fer2013, load_pretrained
from fer_sklearn.explain import FACE_REGIONS, face_regions, region_importance


class BrightCorner(ClassifierMixin, BaseEstimator):
    """Predicts "bright" from the top left pixel alone."""

    classes_ = np.array(["bright", "dark"])

    def fit(self, X, y=None):
        return self

    def predict_proba(self, X):
        bright = np.asarray(X).reshape(len(X), -1)[:, 0] / 255
        return np.stack([bright, 1 - bright], axis=1)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def __sklearn_is_fitted__(self):
        return True


CORNER = {"corner": (0, 0.25, 0, 0.25), "rest": (0.5, 1, 0.5, 1)}


@pytest.fixture
def corners():
    """Forty images, uint8 (40, 4, 4), half of them with a bright corner."""
    X = np.random.default_rng(0).integers(0, 256, (40, 4, 4)).astype(np.uint8)
    X[:, 0, 0] = np.resize([230, 20], 40)
    return X, np.resize(["bright", "dark"], 40)


def test_importances_match_a_plain_loop(corners):
    X, y = corners
    result = region_importance(BrightCorner(), X, y, regions=CORNER, n_repeats=3, random_state=5)
    random_state = np.random.RandomState(5)
    for repeat in range(3):
        order = random_state.permutation(40)
        kept = X[order, 0, 0] > 127
        right = kept == (y == "bright")
        assert result.importances[repeat, 0] == pytest.approx(1 - right.mean())
        for i, emotion in enumerate(["bright", "dark"]):
            of_emotion = y == emotion
            assert result.importances_per_class[repeat, 0, i] == pytest.approx(
                1 - right[of_emotion].mean()
            )
    assert (result.importances[:, 1] == 0).all()
    assert result.baseline == 1
    np.testing.assert_array_equal(result.baseline_per_class, [1, 1])


def test_probability_is_that_of_the_true_label(corners):
    X, y = corners
    result = region_importance(
        BrightCorner(), X, y, regions=CORNER, n_repeats=1, scoring="probability", random_state=5
    )
    order = np.random.RandomState(5).permutation(40)
    bright = X[order, 0, 0] / 255
    left = np.where(y == "bright", bright, 1 - bright)
    before = np.where(y == "bright", 230 / 255, 235 / 255)
    assert result.baseline == pytest.approx(before.mean())
    assert result.importances[0, 0] == pytest.approx((before - left).mean())


def test_table_and_map_have_the_mean_over_repeats(corners):
    X, y = corners
    result = region_importance(BrightCorner(), X, y, regions=CORNER, n_repeats=4, random_state=0)
    frame = result.to_frame().set_index(["region", "emotion"])
    assert len(frame) == 2 * 3
    assert frame.loc[("corner", "all"), "mean"] == pytest.approx(result.importances[:, 0].mean())
    assert frame.loc[("corner", "all"), "std"] == pytest.approx(result.importances[:, 0].std())
    dark = result.importances_per_class[:, 0, 1]
    assert frame.loc[("corner", "dark"), "mean"] == pytest.approx(dark.mean())
    expected = np.zeros((4, 4))
    expected[0, 0] = result.mean[0]
    np.testing.assert_allclose(result.heatmap, expected, atol=1e-7)
    assert result.heatmaps[1, 0, 0] == pytest.approx(dark.mean())
    np.testing.assert_allclose(result.mean_face, X.mean(axis=0), rtol=1e-6)
    assert f"corner  {result.mean[0]:+.3f} ± {result.std[0]:.3f}" in repr(result)


def test_overlapping_regions_share_the_map(corners):
    X, y = corners
    overlapping = {"all": np.ones((4, 4), bool), "corner": (0, 0.25, 0, 0.25)}
    result = region_importance(BrightCorner(), X, y, regions=overlapping, random_state=0)
    assert result.heatmap[0, 0] == pytest.approx(result.mean.mean())
    assert result.heatmap[3, 3] == pytest.approx(result.mean[0])


def test_the_same_seed_gives_the_same_importances_and_keeps_the_images(corners):
    X, y = corners
    before = X.copy()
    first, again = (
        region_importance(BrightCorner(), X, y, regions=CORNER, random_state=3) for _ in range(2)
    )
    np.testing.assert_array_equal(first.importances, again.importances)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("form", ["flattened", "with channel", "list"])
def test_every_form_of_images_gives_the_same(corners, form):
    X, y = corners
    forms = {"flattened": X.reshape(40, -1), "with channel": X[..., np.newaxis], "list": list(X)}
    arguments = {"regions": CORNER, "n_repeats": 1, "random_state": 0}
    expected = region_importance(BrightCorner(), X, y, **arguments)
    found = region_importance(BrightCorner(), forms[form], y, **arguments)
    np.testing.assert_array_equal(found.importances, expected.importances)


def test_any_classifier_of_colour_photos(faces):
    X, y = faces
    photos = [np.repeat(np.kron(x, np.ones((2, 2), np.uint8))[..., np.newaxis], 3, 2) for x in X]
    model = make_pipeline(GrayscaleResizer(48), HOGExtractor(), LogisticRegression(C=10))
    model.fit(photos, y)
    result = region_importance(model, photos, y, n_repeats=1, random_state=0)
    assert list(result.regions) == [*FACE_REGIONS, "surroundings"]
    assert result.mean_face.shape == (48, 48)
    assert result.mean[list(result.regions).index("mouth")] > 0.1


def test_flat_pixels_of_a_plain_classifier(faces):
    X, y = faces
    model = NearestCentroid().fit(X.reshape(70, -1), y)
    result = region_importance(model, X.reshape(70, -1), y, n_repeats=1, random_state=0)
    assert result.baseline == model.score(X.reshape(70, -1), y)
    assert result.mean_face.shape == (48, 48)


def test_regions_cover_each_pixel_once():
    for shape in ((48, 48), (24, 24), (96, 80)):
        masks = np.array(list(face_regions(shape).values()))
        np.testing.assert_array_equal(masks.sum(axis=0), 1)


def test_left_and_right_are_symmetric():
    masks = face_regions((48, 48))
    for part in ("eye", "cheek"):
        np.testing.assert_array_equal(masks[f"left {part}"], masks[f"right {part}"][:, ::-1])
        assert np.flatnonzero(masks[f"left {part}"].any(axis=0)).max() < 24


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        ({}, "with at least one region"),
        ({"mouth": (0.7, 0.2, 0, 1)}, r"regions\['mouth'\].*0 <= top < bottom <= 1"),
        ({"mouth": (8, 20, 4, 12)}, r"regions\['mouth'\].*fractions of the"),
        ({"mouth": np.ones((3, 3), bool)}, r"shape \(3, 3\).*mask of shape \(4, 4\)"),
        ({"mouth": np.zeros((4, 4), bool)}, r"regions\['mouth'\] has no pixel"),
        ({"mouth": (0, 0.1, 0, 0.1)}, r"has no pixel in images of 4×4"),
    ],
)
def test_an_invalid_region_is_rejected(corners, regions, message):
    X, y = corners
    with pytest.raises(ValueError, match=message):
        region_importance(BrightCorner(), X, y, regions=regions)


def test_labels_the_classifier_has_not_seen_are_rejected(corners):
    X, y = corners
    y = np.where(y == "dark", "happy", y)
    with pytest.raises(
        ValueError,
        match=r"^y has 20 label\(s\) that are not among the classes of the estimator: 'happy'",
    ):
        region_importance(BrightCorner(), X, y, regions=CORNER)


def test_a_different_number_of_labels_is_rejected(corners):
    X, y = corners
    with pytest.raises(ValueError, match=r"y has shape \(39,\) for 40 image\(s\)"):
        region_importance(BrightCorner(), X, y[1:])


def test_one_image_has_nothing_to_swap_with(corners):
    X, y = corners
    with pytest.raises(ValueError, match="expected at least two"):
        region_importance(BrightCorner(), X[:1], y[:1])


def test_photos_of_several_sizes_are_an_error_with_a_remedy():
    photos = [np.zeros((4, 4), np.uint8), np.zeros((5, 5), np.uint8)]
    with pytest.raises(ValueError, match=r"2 different sizes.*begins with FaceCropper\(\)"):
        region_importance(BrightCorner(), photos, ["bright", "dark"])


def test_probability_needs_predict_proba(corners):
    class OnlyLabels(BrightCorner):
        predict_proba = property()

        def predict(self, X):
            return np.resize(["bright"], len(X))

    X, y = corners
    assert region_importance(OnlyLabels(), X, y, regions=CORNER, n_repeats=1).baseline == 0.5
    with pytest.raises(TypeError, match="OnlyLabels, which has no predict_proba"):
        region_importance(OnlyLabels(), X, y, regions=CORNER, scoring="probability")


def test_a_constant_classifier_loses_nothing(faces):
    X, y = faces
    model = DummyClassifier().fit(X, y)
    assert not region_importance(model, X, y, n_repeats=2).importances.any()


def test_the_pretrained_model_recognises_happy_by_the_mouth(fer2013_path):
    X, y = load_fer2013(fer2013_path, subset="public", return_X_y=True)
    model = load_pretrained("tiny", runtime="litert")
    # Sorted by label.
    result = region_importance(model, X[::10], y[::10], n_repeats=1, random_state=0)
    drops = result.to_frame().pivot(index="region", columns="emotion", values="mean")
    assert drops["happy"].idxmax() == "mouth"
    assert drops.loc["mouth", "happy"] > 0.15
    assert drops.loc["surroundings", "all"] < drops.loc["mouth", "all"]


def test_the_shape_of_regions():
    assert face_regions(np.array([48, 48]))["mouth"].shape == (48, 48)
    with pytest.raises(ValueError, match=r"shape=\(48,\) must be .* \(height, width\)"):
        face_regions((48,))
