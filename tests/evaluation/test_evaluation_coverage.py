"""Accuracy by coverage, checked by hand and against a plain loop."""

import numpy as np
import pytest

from fer_sklearn import EMOTIONS
from fer_sklearn.evaluation import accuracy_coverage_curve
from fer_sklearn.evaluation._metrics import coverage_curve


def make_predictions():
    """Return 400 true labels, the most probable ones and probabilities."""
    rng = np.random.default_rng(0)
    true = rng.integers(7, size=400)
    proba = rng.random((400, 7))
    proba[np.arange(400), true] += 0.7
    proba /= proba.sum(axis=1, keepdims=True)
    names = np.array(EMOTIONS)
    return names[true], names[proba.argmax(axis=1)], proba


def test_coverage_curve_by_hand():
    correct, confidence = [True, False, True, False], [0.9, 0.8, 0.8, 0.3]
    curve = coverage_curve(correct, confidence)
    np.testing.assert_array_equal(curve.threshold, [0.3, 0.8, 0.9])
    np.testing.assert_allclose(curve.coverage, [1, 0.75, 0.25])
    np.testing.assert_allclose(curve.accuracy, [0.5, 2 / 3, 1])
    assert curve.aurc == pytest.approx(0.25 * 0 + 0.5 / 3 + 0.25 * 0.5)


def test_area_under_the_curve_where_the_most_confident_is_wrong():
    assert coverage_curve([False, True], [0.9, 0.5]).aurc == pytest.approx(0.75)


def test_coverage_curve_matches_a_plain_loop():
    y_true, y_pred, proba = make_predictions()
    curve = accuracy_coverage_curve(y_true, proba, labels=EMOTIONS)
    confidence = proba.max(axis=1)
    for threshold, coverage, accuracy in list(zip(*curve, strict=True))[::37]:
        kept = confidence >= threshold
        assert coverage == pytest.approx(kept.mean())
        assert accuracy == pytest.approx((y_true == y_pred)[kept].mean())
    risks = 1 - np.cumsum((y_true == y_pred)[np.argsort(-confidence)]) / np.arange(1, 401)
    assert curve.aurc == pytest.approx(risks.mean())


def test_coverage_curve_takes_the_order_of_labels():
    y_true, _, proba = make_predictions()
    turned = accuracy_coverage_curve(y_true, proba[:, ::-1], labels=EMOTIONS[::-1])
    np.testing.assert_array_equal(
        turned.accuracy, accuracy_coverage_curve(y_true, proba, labels=EMOTIONS).accuracy
    )


def test_coverage_curve_needs_an_image():
    with pytest.raises(ValueError, match=r"^y_true is empty"):
        accuracy_coverage_curve([], np.zeros((0, 2)))
