"""Plotting: what stands in the pictures, and that all of it can be read."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from skimage.color import rgb2lab
from sklearn.dummy import DummyClassifier

from fer_sklearn import EMOTIONS
from fer_sklearn.exceptions import ImageReadError
from fer_sklearn.plotting import (
    EMOTION_COLORS,
    ConfusionMatrixDisplay,
    LearningCurvesDisplay,
    plot_faces,
)

Y_TRUE = ["happy", "happy", "happy", "happy", "sad", "sad"]
Y_PRED = ["happy", "happy", "happy", "sad", "sad", "happy"]
HISTORY = {
    "loss": [1.9, 1.5, 1.3],
    "accuracy": [0.2, 0.4, 0.5],
    "val_loss": [1.8, 1.6, 1.6],
    "val_accuracy": [0.3, 0.4, 0.4],
}

# Severe protanopia, deuteranopia and tritanopia in linear RGB (Machado et al. 2009).
COLOR_BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def _assert_nothing_clipped(figure):
    """Every text of the figure lies within it."""
    figure.canvas.draw()
    width, height = figure.canvas.get_width_height()
    texts = []
    for ax in figure.axes:
        texts += [*ax.texts, ax.title, ax.xaxis.label, ax.yaxis.label]
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            # Ticks beyond the axis exist, but are not drawn.
            texts += [t.label1 for t in axis.get_major_ticks() if low <= t.get_loc() <= high]
    shown = [text for text in texts if text.get_text() and text.get_visible()]
    assert shown
    for text in shown:
        box = text.get_window_extent()
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
        assert inside, text.get_text()


@pytest.mark.parametrize("kind", list(COLOR_BLINDNESS))
def test_emotion_colors_can_be_told_apart(kind):
    assert tuple(EMOTION_COLORS) == EMOTIONS
    rgb = np.array([to_rgb(color) for color in EMOTION_COLORS.values()])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(COLOR_BLINDNESS[kind]), 0, 1)
    seen = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = rgb2lab(seen)
    distances = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    # Neighbouring colours are told apart from 2.3 on; 15 is easy at a glance.
    assert distances[np.triu_indices(7, k=1)].min() > 15


def test_confusion_cells_tell_share_of_row_and_count():
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


def test_a_row_without_support_has_no_shares():
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


@pytest.mark.parametrize("labels", [EMOTIONS, ["a", "a label with a rather long name"]])
def test_no_label_of_a_confusion_matrix_is_clipped(labels):
    k = len(labels)
    display = ConfusionMatrixDisplay(np.full((k, k), 12345), display_labels=labels)
    _assert_nothing_clipped(display.plot(title="A title").figure_)


def test_confusion_counts_fit_into_their_cells():
    display = ConfusionMatrixDisplay(np.full((7, 7), 12345), display_labels=EMOTIONS).plot()
    display.figure_.canvas.draw()
    cell = display.ax_.get_window_extent().width / 7
    assert max(text.get_window_extent().width for text in display.text_.ravel()) < cell


def test_confusion_matrix_must_be_square():
    with pytest.raises(
        ValueError,
        match=r"^confusion_matrix has shape \(2, 3\); expected a square one, \(k, k\)\.$",
    ):
        ConfusionMatrixDisplay(np.ones((2, 3))).plot()


def test_display_labels_must_be_as_many():
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
    _assert_nothing_clipped(display.figure_)


def test_learning_curves_without_validation_or_accuracy():
    display = LearningCurvesDisplay.from_history({"loss": [1.0, 0.5]})
    assert [len(ax.lines) for ax in display.axes_] == [1]


def test_learning_curves_of_what_keras_returns():
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


def test_learning_curves_need_loss_or_accuracy():
    with pytest.raises(
        ValueError,
        match=r"^history has the entries \['lr'\]; expected 'loss' or 'accuracy' with a number "
        r"an epoch\. Pass the history_ of a fitted FERCNNClassifier\.$",
    ):
        LearningCurvesDisplay.from_history({"lr": [0.1]})


def test_learning_curves_need_a_mapping():
    with pytest.raises(TypeError, match=r"^history must be a mapping of names to numbers"):
        LearningCurvesDisplay.from_history([1.9, 1.5])


def test_learning_curves_need_enough_axes():
    _, ax = plt.subplots()
    with pytest.raises(
        ValueError, match=r"^axes has 1 item\(s\); expected 2, for loss and accuracy\.$"
    ):
        LearningCurvesDisplay.from_history(HISTORY, axes=ax)


def test_faces_are_drawn_with_titles_and_frames():
    images = np.arange(3 * 36, dtype=np.uint8).reshape(3, 6, 6)
    figure = plot_faces(images, ["happy", "sad", "Mary"], n_cols=2)
    assert [ax.get_title() for ax in figure.axes] == ["happy", "sad", "Mary"]
    assert figure.axes[0].get_gridspec().get_geometry() == (2, 2)
    assert to_rgb(figure.axes[0].spines["top"].get_edgecolor()) == to_rgb(EMOTION_COLORS["happy"])
    assert not figure.axes[2].spines["top"].get_visible()
    for ax, image in zip(figure.axes, images, strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), image)
        assert ax.images[0].get_clim() == (0, 255)
    _assert_nothing_clipped(figure)


@pytest.mark.parametrize("shape", [(2, 36), (2, 6, 6), (2, 6, 6, 1), (2, 6, 6, 3)])
def test_faces_in_every_form(shape):
    figure = plot_faces(np.full(shape, 0.5))
    assert len(figure.axes) == 2
    assert figure.axes[0].images[0].get_array().shape[:2] == (6, 6)


def test_standardised_faces_are_stretched():
    face = np.array([[-2.0, 0.0], [1.0, 2.0]])
    (ax,) = plot_faces([face]).axes
    np.testing.assert_allclose(ax.images[0].get_array(), [[0, 0.5], [0.75, 1]])


def test_a_flat_standardised_face_is_black():
    (ax,) = plot_faces([np.full((2, 2), -3.0)]).axes
    np.testing.assert_array_equal(ax.images[0].get_array(), np.zeros((2, 2)))


def test_a_missing_file_is_told_by_name(tmp_path):
    with pytest.raises(ImageReadError, match=r"nobody\.png"):
        plot_faces([tmp_path / "nobody.png"])


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (
            np.zeros((2, 4, 4)),
            {"titles": ["sad"]},
            "titles has 1 item(s) for 2 image(s); expected one each.",
        ),
        (np.zeros((2, 4, 4)), {"n_cols": 0}, "n_cols=0 must be at least 1."),
        ([], {}, "images is empty: found 0 photo(s), expected at least one."),
        (
            [np.zeros((4, 4)), np.zeros((4, 4, 2))],
            {},
            "images[1] has shape (4, 4, 2); expected a grey image (h, w) or a colour image "
            "(h, w, 3).",
        ),
    ],
)
def test_bad_faces_are_told(images, options, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        plot_faces(images, **options)
    assert str(caught.value) == message
