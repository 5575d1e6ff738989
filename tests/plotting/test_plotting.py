"""Confusion matrices, learning curves and colours: correct, and easy to read."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from figures import COLOR_BLINDNESS, assert_readable, color_distance
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from fer_sklearn import EMOTIONS
from fer_sklearn.plotting import (
    EMOTION_COLORS,
    ConfusionMatrixDisplay,
    LearningCurvesDisplay,
)

Y_TRUE = ["happy", "happy", "happy", "happy", "sad", "sad"]
Y_PRED = ["happy", "happy", "happy", "sad", "sad", "happy"]
HISTORY = {
    "loss": [1.9, 1.5, 1.3],
    "accuracy": [0.2, 0.4, 0.5],
    "val_loss": [1.8, 1.6, 1.6],
    "val_accuracy": [0.3, 0.4, 0.4],
}


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.mark.parametrize("kind", list(COLOR_BLINDNESS))
def test_emotion_colors_are_distinguishable(kind):
    assert tuple(EMOTION_COLORS) == EMOTIONS
    # A difference of 2.3 is just noticeable; 15 is obvious at a glance.
    assert color_distance(EMOTION_COLORS.values(), kind) > 15


def test_the_check_of_colors_sees_red_and_green():
    red_and_green = ["#a04000", "#5a5a00"]
    assert color_distance(red_and_green, "none") > 30
    assert color_distance(red_and_green, "deuteranopia") < 10


@pytest.mark.parametrize(
    ("x", "y", "text", "fault"),
    [
        (0.9, 0.5, "far too long to stand here", "clipped: 'far too long"),
        (0.5, 0.52, "over it", "on each other: 'in the middle' and 'over it'"),
        (0.5, 0.8, "tiny", None),
    ],
)
def test_the_check_of_text_finds_unreadable_text(x, y, text, fault):
    figure = plt.figure(figsize=(3, 2))
    figure.text(0.3, 0.5, "in the middle")
    figure.text(x, y, text, fontsize=10 if fault else 3)
    with pytest.raises(AssertionError, match=fault or "too small: 'tiny'"):
        assert_readable(figure)


def test_confusion_cells_show_row_fraction_and_count():
    display = ConfusionMatrixDisplay.from_predictions(Y_TRUE, Y_PRED)
    cells = [[text.get_text() for text in row] for row in display.text_]
    assert cells == [["75 %\n3", "25 %\n1"], ["50 %\n1", "50 %\n1"]]
    np.testing.assert_allclose(display.im_.get_array(), [[0.75, 0.25], [0.5, 0.5]])
    np.testing.assert_array_equal(display.confusion_matrix, [[3, 1], [1, 1]])


def test_confusion_axes_name_the_labels():
    ax = ConfusionMatrixDisplay.from_predictions(Y_TRUE, Y_PRED, title="both").ax_
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["happy", "sad"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["happy", "sad"]
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("True", "Predicted")
    assert ax.get_title() == "both"


def test_confusion_from_estimator_equals_from_predictions():
    model = DummyClassifier(strategy="constant", constant="sad").fit([[0]] * 6, Y_TRUE)
    display = ConfusionMatrixDisplay.from_estimator(model, [[0]] * 6, Y_TRUE)
    np.testing.assert_array_equal(display.confusion_matrix, [[0, 4], [0, 2]])


def test_a_row_without_support_has_no_fractions():
    display = ConfusionMatrixDisplay.from_predictions(["sad"], ["sad"], labels=["happy", "sad"])
    assert [text.get_text() for text in display.text_[0]] == ["0", "0"]


def test_confusion_draws_on_the_axes_it_is_given():
    figure, ax = plt.subplots()
    display = ConfusionMatrixDisplay.from_predictions(Y_TRUE, Y_PRED, ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert plt.get_fignums() == [figure.number]


def test_confusion_text_contrasts_with_its_cell():
    display = ConfusionMatrixDisplay([[9, 1], [5, 5]]).plot()
    light_on_dark, dark_on_light = display.text_[0, 0], display.text_[0, 1]
    assert light_on_dark.get_color() == "white"
    assert dark_on_light.get_color() == "#222222"


LONG_NAMES = [f"a rather long name of {name}" for name in EMOTIONS]


@pytest.mark.parametrize("labels", [EMOTIONS, LONG_NAMES, ["a", LONG_NAMES[0]], range(12)])
def test_a_confusion_matrix_is_readable(labels):
    k = len(labels)
    display = ConfusionMatrixDisplay(np.full((k, k), 1234), display_labels=labels)
    assert_readable(display.plot(title="A title").figure_)


@pytest.mark.parametrize("size", [(3.5, 3.5), (6.4, 4.8), (3.5, 5)])
def test_a_confusion_matrix_is_readable_in_a_column(size):
    _, ax = plt.subplots(figsize=size, layout="constrained")
    display = ConfusionMatrixDisplay(np.diag([895] * 7), display_labels=EMOTIONS).plot(ax=ax)
    assert_readable(display.figure_)
    cell = display.ax_.get_window_extent().width / 7
    assert max(text.get_window_extent().width for text in display.text_.ravel()) < cell


def test_counts_are_never_truncated():
    _, ax = plt.subplots(figsize=(2, 2))
    display = ConfusionMatrixDisplay(np.full((9, 9), 123_456_789)).plot(ax=ax)
    assert {text.get_text() for text in display.text_.ravel()} == {"11 %\n123456789"}
    cell = ax.get_window_extent().width / 9
    assert max(text.get_window_extent().width for text in display.text_.ravel()) < cell


def test_column_names_are_rotated_only_if_too_wide():
    def rotation(names):
        display = ConfusionMatrixDisplay(np.eye(7, dtype=int), display_labels=names).plot()
        return {tick.get_rotation() for tick in display.ax_.get_xticklabels()}

    assert rotation(EMOTIONS) == {0}
    assert rotation(LONG_NAMES) == {45}


def test_a_confusion_matrix_is_readable_in_plain_axes():
    _, ax = plt.subplots()
    display = ConfusionMatrixDisplay(np.diag([895] * 7), display_labels=EMOTIONS).plot(ax=ax)
    assert_readable(display.figure_)


def test_confusion_matrix_must_be_square():
    with pytest.raises(
        ValueError,
        match=r"^confusion_matrix has shape \(2, 3\); expected a square one, \(k, k\)\.$",
    ):
        ConfusionMatrixDisplay(np.ones((2, 3))).plot()


def test_display_labels_must_match_in_number():
    with pytest.raises(
        ValueError,
        match=r"^display_labels has 1 name\(s\) for a 2×2 confusion_matrix; expected 2\.$",
    ):
        ConfusionMatrixDisplay(np.ones((2, 2)), display_labels=["sad"]).plot()


def test_confusion_refuses_labels_that_are_not_listed():
    with pytest.raises(ValueError, match=r"^y_true has 2 label\(s\) that are not among labels: "):
        ConfusionMatrixDisplay.from_predictions(Y_TRUE, Y_PRED, labels=["happy", "fear"])


def test_learning_curves_draw_every_epoch():
    display = LearningCurvesDisplay.from_history(HISTORY)
    assert [ax.get_ylabel() for ax in display.axes_] == ["Loss", "Accuracy"]
    for ax, name in zip(display.axes_, ("loss", "accuracy"), strict=True):
        training, validation = ax.lines
        assert training.get_xdata().tolist() == [1, 2, 3]
        assert list(training.get_ydata()) == HISTORY[name]
        assert list(validation.get_ydata()) == HISTORY[f"val_{name}"]
        assert training.get_linestyle() != validation.get_linestyle()
    assert_readable(display.figure_)


def test_learning_curves_without_validation_or_accuracy():
    display = LearningCurvesDisplay.from_history({"loss": [1.0, 0.5]})
    assert [len(ax.lines) for ax in display.axes_] == [1]


def test_learning_curves_of_a_keras_history():
    display = LearningCurvesDisplay.from_history(SimpleNamespace(history=HISTORY))
    assert len(display.axes_) == 2


def test_a_single_epoch_is_visible():
    display = LearningCurvesDisplay.from_history({"loss": [1.0]})
    assert display.axes_[0].lines[0].get_marker() == "o"


def test_learning_curves_draw_on_the_axes_they_are_given():
    figure, axes = plt.subplots(2)
    display = LearningCurvesDisplay.from_history(HISTORY, axes=axes)
    assert display.figure_ is figure
    assert list(display.axes_) == list(axes)


def test_learning_curves_are_readable_in_a_column():
    figure, axes = plt.subplots(1, 2, figsize=(3.5, 2.2), layout="constrained")
    falling = np.linspace(2, 1, 200)
    history = {"loss": falling, "val_loss": falling, "accuracy": 2 - falling}
    LearningCurvesDisplay.from_history(history, axes=axes)
    assert_readable(figure)


class _Learner(DummyClassifier):
    def fit(self, X, y):
        self.history_ = HISTORY
        return super().fit(X, y)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: model,
        lambda model: make_pipeline("passthrough", model),
        lambda model: GridSearchCV(make_pipeline(model), {}, cv=2),
    ],
    ids=["classifier", "pipeline", "search"],
)
def test_learning_curves_of_a_fitted_estimator(wrap):
    model = wrap(_Learner())
    with pytest.raises(NotFittedError):
        LearningCurvesDisplay.from_estimator(model)
    _, axes = plt.subplots(1, 2)
    model.fit([[0]] * 6, Y_TRUE)
    display = LearningCurvesDisplay.from_estimator(model, axes=axes)
    assert display.history is HISTORY
    assert list(display.axes_) == list(axes)


def test_learning_curves_need_an_estimator_that_learns_by_epochs():
    model = make_pipeline(DummyClassifier()).fit([[0]] * 6, Y_TRUE)
    with pytest.raises(
        TypeError, match=r"^estimator is a DummyClassifier, which has no history_; expected a "
    ):
        LearningCurvesDisplay.from_estimator(model)


def test_learning_curves_need_loss_or_accuracy():
    with pytest.raises(
        ValueError,
        match=r"^history has the entries \['lr'\]; expected 'loss' or 'accuracy' with one "
        r"number per epoch\. Pass the history_ of a fitted FERCNNClassifier\.$",
    ):
        LearningCurvesDisplay.from_history({"lr": [0.1]})


def test_learning_curves_need_a_mapping():
    with pytest.raises(TypeError, match=r"^history must be a mapping of names to one number per"):
        LearningCurvesDisplay.from_history([1.9, 1.5])


def test_learning_curves_need_enough_axes():
    _, ax = plt.subplots()
    with pytest.raises(
        ValueError, match=r"^axes has 1 item\(s\); expected 2, for loss and accuracy\.$"
    ):
        LearningCurvesDisplay.from_history(HISTORY, axes=ax)
