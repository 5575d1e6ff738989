"""Reliability, precision-recall and coverage plots, compared with scikit-learn or counts."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from figures import assert_readable, drawn_texts
from matplotlib.colors import to_hex
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.calibration import calibration_curve
from sklearn.dummy import DummyClassifier
from sklearn.metrics import accuracy_score, average_precision_score, precision_recall_curve
from sklearn.svm import LinearSVC

from fer_sklearn.emotions import EMOTIONS
from fer_sklearn.plotting import (
    EMOTION_COLORS,
    CoverageAccuracyDisplay,
    PrecisionRecallDisplay,
    ReliabilityDisplay,
)

DISPLAYS = [ReliabilityDisplay, PrecisionRecallDisplay, CoverageAccuracyDisplay]


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def predictions():
    """True labels, and probabilities of an overconfident model."""
    rng = np.random.default_rng(0)
    true = rng.integers(7, size=600)
    proba = rng.dirichlet([0.4] * 7, 600)
    proba[np.arange(600), true] += rng.random(600)
    return np.array(EMOTIONS)[true], proba / proba.sum(axis=1, keepdims=True)


def _texts(artist):
    return [text.get_text() for text in artist.get_texts()]


def test_reliability_matches_scikit_learn(predictions):
    y, proba = predictions
    display = ReliabilityDisplay.from_predictions(y, proba, labels=EMOTIONS)
    correct = np.array(EMOTIONS)[proba.argmax(axis=1)] == y
    shares, means = calibration_curve(correct, proba.max(axis=1), n_bins=15)
    assert_allclose(display.line_.get_xydata(), np.transpose([means, shares]))
    assert_allclose(
        [bar[:, 1] for bar in display.gaps_.get_segments()], np.transpose([means, shares])
    )
    heights, edges, _ = display.histogram_.get_data()
    expected, _ = np.histogram(proba.max(axis=1), np.linspace(0, 1, 16))
    assert_allclose(heights, expected / 600)
    assert_allclose(edges, np.linspace(0, 1, 16))
    error = np.average(np.abs(shares - means), weights=expected[expected > 0])
    assert display.expected_calibration_error_ == pytest.approx(error)
    assert _texts(display.ax_.get_legend()) == [f"ECE {error:.3f}"]


def test_histogram_bars_are_aligned_with_the_points():
    display = ReliabilityDisplay([True, False, True], [0.2, 0.2, 1.0], n_bins=5).plot()
    heights, _, _ = display.histogram_.get_data()
    assert_allclose(heights, [2 / 3, 0, 0, 0, 1 / 3])
    assert_array_equal(display.bins_.n_predictions, [2, 1])


def test_models_share_the_axes_of_reliability(predictions):
    y, proba = predictions
    _, ax = plt.subplots()
    flat = np.sqrt(proba) / np.sqrt(proba).sum(axis=1, keepdims=True)
    one, other = (
        ReliabilityDisplay.from_predictions(y, p, labels=EMOTIONS, name=name, ax=ax)
        for name, p in (("sharp", proba), ("flat", flat))
    )
    assert one.ax_ is other.ax_ is ax
    assert len(ax.child_axes) == 1
    errors = [display.expected_calibration_error_ for display in (one, other)]
    labels = [f"{name}: ECE {e:.3f}" for name, e in zip(("sharp", "flat"), errors, strict=True)]
    assert _texts(ax.get_legend()) == labels
    for look in ("color", "marker", "linestyle"):
        assert getattr(one.line_, f"get_{look}")() != getattr(other.line_, f"get_{look}")()
    assert [text.get_text() for text in drawn_texts(ax.figure)].count("frequency") == 1


def test_precision_and_recall_match_scikit_learn(predictions):
    y, proba = predictions
    display = PrecisionRecallDisplay.from_predictions(y, proba, labels=EMOTIONS)
    assert set(display.lines_) == set(EMOTIONS)
    for column, name in enumerate(EMOTIONS):
        precision, recall, _ = precision_recall_curve(y == name, proba[:, column])
        line = display.lines_[name]
        assert_allclose(line.get_xydata(), np.transpose([recall, precision]))
        assert line.get_color() == EMOTION_COLORS[name]
        average = average_precision_score(y == name, proba[:, column])
        assert display.average_precision[name] == pytest.approx(average)
        assert line.get_label() == f"{name}  {average:.2f}"


def test_the_legend_starts_with_the_best(predictions):
    y, proba = predictions
    figure = PrecisionRecallDisplay.from_predictions(y, proba, labels=EMOTIONS).figure_
    numbers = [float(text.split()[-1]) for text in _texts(figure.legends[0])]
    assert numbers == sorted(numbers, reverse=True)
    assert len(numbers) == 7


@pytest.mark.filterwarnings("error")
def test_an_emotion_that_does_not_occur_is_left_out_with_a_warning(predictions):
    y, proba = predictions
    there = y != "disgust"
    _, ax = plt.subplots()
    display = PrecisionRecallDisplay.from_predictions(
        y[there], proba[there], labels=EMOTIONS, ax=ax
    )
    assert "disgust" not in display.lines_
    assert np.isnan(display.average_precision["disgust"])
    assert _texts(ax.get_legend())[-1] == "disgust: no image"


def test_contour_lines_have_constant_f1(predictions):
    display = PrecisionRecallDisplay.from_predictions(*predictions, labels=EMOTIONS)
    faint = [line for line in display.ax_.lines if line not in display.lines_.values()]
    for line, level in zip(faint, (0.2, 0.4, 0.6, 0.8), strict=True):
        recall, precision = line.get_data()
        assert_allclose(2 * precision * recall / (precision + recall), level)


def test_coverage_and_accuracy_are_counted(predictions):
    y, proba = predictions
    display = CoverageAccuracyDisplay.from_predictions(y, proba, labels=EMOTIONS)
    confidence, predicted = proba.max(axis=1), np.array(EMOTIONS)[proba.argmax(axis=1)]
    drawn = display.line_.get_xydata()
    for threshold, mark in display.marks_.items():
        kept = confidence >= threshold
        expected = kept.mean(), accuracy_score(y[kept], predicted[kept])
        assert_allclose(mark.get_xydata(), [expected])
        assert np.isclose(drawn, expected).all(axis=1).any()
    assert list(display.marks_) == [0.5, 0.7, 0.9]
    assert_allclose(drawn[0], [1, accuracy_score(y, predicted)])
    assert _texts(display.ax_.get_legend()) == [f"{100 * drawn[0, 1]:.1f} % on all images"]
    assert [text.get_text() for text in display.ax_.texts] == ["≥ 50 %", "≥ 70 %", "≥ 90 %"]


def test_thresholds_that_no_image_or_every_image_reaches_are_not_marked():
    display = CoverageAccuracyDisplay.from_predictions(
        ["a", "b", "a"], [[0.6, 0.4], [0.65, 0.35], [0.75, 0.25]]
    )
    assert list(display.marks_) == [0.7]


def test_models_share_the_axes_of_coverage(predictions):
    y, proba = predictions
    _, ax = plt.subplots(figsize=(3.5, 3), layout="constrained")
    worse = np.concatenate([np.roll(proba[:100], 1, axis=1), proba[100:]])
    for name, p in (("one", proba), ("other", worse)):
        display = CoverageAccuracyDisplay.from_predictions(y, p, labels=EMOTIONS, name=name, ax=ax)
    # Marks are labelled once; the second model has the same ones.
    assert len(ax.texts) == 3
    assert {mark: line.get_marker() for mark, line in display.marks_.items()} == {
        0.5: "o",
        0.7: "s",
        0.9: "^",
    }
    low, high = ax.get_ylim()
    assert low < display.line_.get_ydata()[0] < high
    assert_readable(ax.figure)


def test_outliers_do_not_set_the_axis_limits():
    correct = np.arange(1000) < 800
    confidence = np.where(correct, 0.6, 0.5) + np.linspace(0, 0.01, 1000)
    confidence[-1] = 0.99  # the most confident one is wrong
    proba = np.transpose([confidence, 1 - confidence])
    display = CoverageAccuracyDisplay.from_predictions(
        np.where(correct, "a", "b"), proba, labels=["a", "b"]
    )
    assert display.line_.get_ydata()[-1] == 0
    assert display.ax_.get_ylim()[0] == pytest.approx(0.7, abs=0.01)


@pytest.mark.parametrize("display", DISPLAYS)
def test_from_estimator_equals_from_predictions(display, predictions):
    y, _ = predictions
    model = DummyClassifier(strategy="stratified", random_state=0).fit(y, y)
    drawn = [
        display.from_estimator(model, y, y).ax_,
        display.from_predictions(y, model.predict_proba(y), labels=model.classes_).ax_,
    ]
    one, other = ([line.get_xydata() for line in ax.lines] for ax in drawn)
    assert len(one) == len(other) > 0
    for a, b in zip(one, other, strict=True):
        assert_array_equal(a, b)


@pytest.mark.parametrize("display", [ReliabilityDisplay, CoverageAccuracyDisplay])
def test_a_model_has_the_name_of_its_class_or_another(display):
    model = DummyClassifier().fit([[0], [0]], ["a", "b"])
    for name, expected in ((None, "DummyClassifier: "), ("prior", "prior: ")):
        drawn = display.from_estimator(model, [[0], [0]], ["a", "b"], name=name)
        assert drawn.line_.get_label().startswith(expected)


@pytest.mark.parametrize("display", DISPLAYS)
@pytest.mark.parametrize("size", [None, (3.5, 3.0), (3.5, 3.5), (6.4, 4.8)])
def test_plots_are_readable(display, size, predictions):
    # On axes of common sizes, or on its own figure.
    ax = size and plt.subplots(figsize=size, layout="constrained")[1]
    drawn = display.from_predictions(*predictions, labels=EMOTIONS, ax=ax)
    assert drawn.figure_ is drawn.ax_.figure
    assert_readable(drawn.figure_)
    assert to_hex(drawn.ax_.xaxis.label.get_color()) == "#000000"


@pytest.mark.parametrize("display", DISPLAYS)
def test_plots_are_readable_in_plain_and_tight_axes(display, predictions):
    figure, ax = plt.subplots()
    display.from_predictions(*predictions, labels=EMOTIONS, ax=ax)
    assert_readable(figure)
    figure.tight_layout()
    assert_readable(figure)


@pytest.mark.parametrize("display", DISPLAYS)
def test_long_labels_and_names_are_readable(display, predictions):
    y, proba = predictions
    labels = [f"a rather long name of {name}" for name in EMOTIONS]
    y = np.array(labels)[np.searchsorted(EMOTIONS, y)]
    assert_readable(display.from_predictions(y, proba, labels=labels).figure_)


@pytest.mark.parametrize("display", DISPLAYS)
@pytest.mark.parametrize(
    ("y", "proba", "labels", "message"),
    [
        ([], np.ones((0, 2)), None, r"^y_true is empty: found 0 label\(s\)"),
        (["a", "b"], [[0.5, 0.5]], None, r"^y_proba has shape \(1, 2\); expected \(2, 2\)"),
        (
            ["a", "b"],
            [[0.5, 0.5], [3.0, -2.0]],
            None,
            r"^y_proba\[1\] is .*; expected numbers from 0 to 1",
        ),
        (["a", "b"], [[0.5, 0.5], [0.7, 0.7]], None, r"^y_proba\[1\] is .* a sum of 1"),
        (
            ["a", "a"],
            [[0.5, 0.5]] * 2,
            None,
            r"^y_proba has 2 column\(s\) for 1 label\(s\), 'a'; expected a label for each column\. "
            r"Pass labels=, in the order of the columns, such as ",
        ),
        (
            ["a", "a"],
            [[0.5, 0.5]] * 2,
            ["a", "b", "c"],
            r"^y_proba has 2 column\(s\) for 3 label\(s\), 'a', 'b', 'c'; expected a label for ",
        ),
        (
            ["a", "c"],
            [[0.5, 0.5]] * 2,
            ["a", "b"],
            r"^y_true has 1 label\(s\) that are not among labels: 'c'",
        ),
    ],
)
def test_an_invalid_prediction_is_an_error(display, y, proba, labels, message):
    with pytest.raises(ValueError, match=message):
        display.from_predictions(y, proba, labels=labels)


@pytest.mark.parametrize("display", DISPLAYS)
def test_a_missing_method_of_an_estimator_is_an_error(display):
    X, y = [[0.0], [1.0]], ["a", "b"]
    with pytest.raises(TypeError, match=r"^estimator is LinearSVC, which has no predict_proba"):
        display.from_estimator(LinearSVC().fit(X, y), X, y)
    model = DummyClassifier().fit(X, y)
    with pytest.raises(
        ValueError, match=r"^y has 1 label\(s\) that are not among the estimator's classes_: 'c'"
    ):
        display.from_estimator(model, X, ["a", "c"])
    with pytest.raises(
        ValueError, match=r"^y has 1 label\(s\) and predict_proba\(X\) 2; expected one of each"
    ):
        display.from_estimator(model, X, ["a"])


@pytest.mark.parametrize(
    ("display", "message"),
    [
        (ReliabilityDisplay([], []), "correct has shape (0,) and confidence (0,); expected one"),
        (ReliabilityDisplay([True], [0.5, 0.5]), "correct has shape (1,) and confidence (2,);"),
        (ReliabilityDisplay([True], [np.nan]), "confidence[0] is nan; expected probabilities,"),
        (ReliabilityDisplay([True], [0.5], n_bins=0), "n_bins=0 must be an int, at least 1."),
        (ReliabilityDisplay([True], [0.5], n_bins=1.5), "n_bins=1.5 must be an int, at least 1."),
        (
            CoverageAccuracyDisplay(([], [], [])),
            "curve has parts of the shapes (0,), (0,), (0,); expected threshold,",
        ),
        (
            CoverageAccuracyDisplay(([0.5], [1.0], [1.0, 0.5])),
            "curve has parts of the shapes (1,), (1,), (2,); expected threshold,",
        ),
    ],
)
def test_data_that_cannot_be_plotted_is_an_error(display, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        display.plot()
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("wrong", [5, np.nan, "happy"])
def test_correct_is_true_or_false(wrong):
    with pytest.raises(ValueError, match=rf"correct\[1\] is '?{wrong}'?; expected True or False"):
        ReliabilityDisplay(np.array([1, wrong], dtype=object), [0.9, 0.8]).plot()
    assert ReliabilityDisplay([1, 0], [0.9, 0.8]).plot().bins_.accuracy.tolist() == [0, 1]
