"""Confident learning: hand-made cases, and a comparison with its authors' library."""

import numpy as np
import pytest

from fer_sklearn.audit import likely_label_errors


def confident(codes, n_classes=7):
    """Return probabilities of 0.9 for each label; the rest is divided evenly."""
    proba = np.full((len(codes), n_classes), 0.1 / (n_classes - 1))
    proba[np.arange(len(codes)), codes] = 0.9
    return proba


def noisy_probabilities(n, seed):
    """Labels and probabilities like FER2013's: imbalanced classes, an imperfect classifier."""
    rng = np.random.default_rng(seed)
    shares = np.array([0.139, 0.015, 0.143, 0.251, 0.173, 0.168, 0.111])
    true = rng.choice(7, n, p=shares)
    codes = np.where(rng.random(n) < 0.2, rng.choice(7, n, p=shares), true)
    codes[:7] = range(7)
    scores = rng.gumbel(size=(n, 7)) + np.log(shares) + 2.5 * np.eye(7)[true]
    proba = np.exp(scores)
    return codes, proba / proba.sum(axis=1, keepdims=True)


def test_an_image_that_another_class_claims():
    codes = np.array([0, 0, 0, 1, 1, 1])
    proba = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.3, 0.7], [0.1, 0.9], [0.95, 0.05]])
    found = likely_label_errors(codes, proba)
    assert found.indices.tolist() == [5, 2]  # 5 is contradicted by 0.9, 2 by 0.6
    assert found.suggested_labels.tolist() == [0, 1]


def test_thresholds_compensate_for_a_rare_class():
    # 0.4 is high for class 1, whose own images average 0.3, and low for class 0.
    codes = np.array([0] * 4 + [1] * 2 + [2] * 4)
    proba = np.array(
        [[0.9, 0.05, 0.05]] * 4
        + [[0.5, 0.3, 0.2]] * 2
        + [[0.05, 0.05, 0.9]] * 3
        + [[0.3, 0.4, 0.3]]
    )
    assert likely_label_errors(codes, proba).indices.tolist() == [9]
    proba[9] = 0.4, 0.25, 0.35  # most probable is class 0, far below its threshold
    assert likely_label_errors(codes, proba).indices.tolist() == []


def test_certain_labels_are_not_errors():
    codes = np.arange(70) % 7
    assert len(likely_label_errors(codes, confident(codes)).indices) == 0


def test_equal_probabilities_are_not_an_error():
    assert len(likely_label_errors(np.array([0, 1, 2]), np.full((3, 3), 1 / 3)).indices) == 0


def test_a_class_without_images_is_never_suggested():
    codes = np.array([0, 0, 1, 1])
    proba = np.array([[0.2, 0.1, 0.7], [0.6, 0.2, 0.2], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1]])
    assert len(likely_label_errors(codes, proba).indices) == 0


@pytest.mark.parametrize("seed", range(5))
def test_finds_the_same_images_as_cleanlab(seed):
    filters = pytest.importorskip("cleanlab.filter")
    codes, proba = noisy_probabilities(3000, seed)
    found = likely_label_errors(codes, proba)
    expected = filters.find_label_issues(
        codes,
        proba,
        filter_by="confident_learning",
        return_indices_ranked_by="normalized_margin",
        n_jobs=1,
    )
    assert len(expected) > 300
    np.testing.assert_array_equal(found.indices, expected)
