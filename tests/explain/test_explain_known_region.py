"""Explanations of a network that depends only on the mouth, since nothing else differs."""

import pickle

import numpy as np
import pytest

from fer_sklearn import FERCNNClassifier, make_faces
from fer_sklearn.explain import (
    grad_cam,
    mask_pixels,
    occlusion_map,
    region_importance,
    top_pixels,
)

_SIZE, _MOUTH_FROM = 24, 15


@pytest.fixture(scope="module")
def mouths():
    """Neutral faces, uint8 (200, 24, 24), with a happy or a surprised lower part."""
    X, y = make_faces(1400, size=_SIZE, noise=3, random_state=0, return_X_y=True)
    X_mouth, y_mouth = X[:, _MOUTH_FROM:], y
    faces = X[y == "neutral"][:200].copy()
    labels = np.resize(["happy", "surprise"], 200)
    for label in ("happy", "surprise"):
        faces[labels == label, _MOUTH_FROM:] = X_mouth[y_mouth == label][:100]
    return faces, labels


@pytest.fixture(scope="module")
def network(mouths):
    X, y = mouths
    classifier = FERCNNClassifier(epochs=12, batch_size=16, learning_rate=3e-3, random_state=3)
    classifier.fit(X[:150], y[:150])
    assert classifier.score(X[150:], y[150:]) > 0.95
    return classifier


def _shuffled(network):
    """Return a copy in which the weights of each array are in another order."""
    copy = pickle.loads(pickle.dumps(network))
    rng = np.random.default_rng(0)
    arrays = copy.model_.get_weights()
    copy.model_.set_weights([rng.permutation(a.ravel()).reshape(a.shape) for a in arrays])
    return copy


def _fraction_on_mouth(heatmaps):
    """Return the fraction of all relevance on the lower part, 0.375 of the image."""
    total = np.maximum(heatmaps, 0).sum(axis=(0, 2))
    return float(total[_MOUTH_FROM:].sum() / total.sum())


@pytest.mark.parametrize("method", ["hires_cam", "grad_cam"])
def test_grad_cam_finds_the_mouth(network, mouths, method):
    heatmaps = grad_cam(network, mouths[0][150:], method=method).heatmaps
    assert _fraction_on_mouth(heatmaps) > {"hires_cam": 0.7, "grad_cam": 0.45}[method]


def test_shuffled_weights_change_grad_cam(network, mouths):
    X = mouths[0][150:]
    trained = grad_cam(network, X)
    shuffled = grad_cam(_shuffled(network), X, target=trained.targets)
    pairs = zip(
        trained.heatmaps.reshape(len(X), -1), shuffled.heatmaps.reshape(len(X), -1), strict=True
    )
    correlation = np.mean([np.corrcoef(pair)[0, 1] for pair in pairs])
    again = grad_cam(pickle.loads(pickle.dumps(network)), X)
    np.testing.assert_allclose(again.heatmaps, trained.heatmaps, atol=1e-5)
    assert correlation < 0.3
    assert _fraction_on_mouth(shuffled.heatmaps) < _fraction_on_mouth(trained.heatmaps) - 0.1


def test_occlusion_finds_the_mouth(network, mouths):
    heatmaps = occlusion_map(network, mouths[0][150:], window=8, stride=4).heatmaps
    assert _fraction_on_mouth(heatmaps) > 0.7


def test_swapping_the_mouth_costs_what_other_parts_do_not(network, mouths):
    X, y = mouths
    regions = {
        "upper": (0, _MOUTH_FROM / _SIZE, 0, 1),
        "lower": (_MOUTH_FROM / _SIZE, 1, 0, 1),
    }
    result = region_importance(network, X[150:], y[150:], regions=regions, random_state=0)
    upper, lower = result.mean
    assert abs(upper) < 0.05
    # A donor has the other label half of the time.
    assert lower == pytest.approx(0.5, abs=0.12)
    assert (result.importances_per_class[:, 1].mean(axis=0) > 0.3).all()


def test_hiding_relevant_pixels_costs_more_than_hiding_random_ones(network, mouths):
    X = mouths[0][150:]
    explanation = grad_cam(network, X)
    rng = np.random.default_rng(0)
    columns = (explanation.targets == "surprise").astype(int)

    def probability_left(masks):
        hidden = network.predict_proba(mask_pixels(X, masks, fill="blur"))
        return hidden[np.arange(len(X)), columns].mean()

    relevant = probability_left(top_pixels(explanation.heatmaps))
    scattered = probability_left(top_pixels(rng.random(X.shape)))
    assert relevant < scattered - 0.05
