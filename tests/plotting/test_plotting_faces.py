"""Grids of faces: their order, their captions, and their readability."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from figures import assert_readable
from matplotlib.colors import to_rgb

from fer_sklearn.emotions import EMOTIONS
from fer_sklearn.exceptions import ImageReadError
from fer_sklearn.plotting import EMOTION_COLORS, plot_faces, plot_predictions, plot_samples

LONG = "a rather long name of an emotion that no one could read"


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def _faces(n):
    """Faces that are identified by their pixels: all pixels of face i are i."""
    return np.repeat(np.arange(n, dtype=np.uint8), 16).reshape(n, 4, 4)


def _which(figure):
    """The numbers of the `_faces` that a figure shows, in order."""
    return [int(ax.images[0].get_array()[0, 0]) for ax in figure.axes if ax.images]


def _frame(ax):
    return to_rgb(ax.spines["top"].get_edgecolor())


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
    assert_readable(figure)


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


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ImageReadError, match=r"missing\.png"):
        plot_faces([tmp_path / "missing.png"])


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
def test_bad_faces_are_errors(images, options, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        plot_faces(images, **options)
    assert str(caught.value) == message


@pytest.mark.parametrize("n_cols", [1, 3])
def test_long_titles_are_fitted(n_cols):
    figure = plot_faces(_faces(3), [LONG, "happy", f"sad\n{LONG}"], n_cols=n_cols)
    assert_readable(figure)
    long, short, _ = (ax.title for ax in figure.axes)
    assert long.get_fontsize() == 5
    assert long.get_text().endswith("…")
    assert long.get_text()[:-1] in LONG
    assert short.get_fontsize() == 8


# Correct, wrong, correct, wrong, correct.
Y_TRUE = ["happy", "happy", "sad", "sad", "sad"]
PROBA = [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.55, 0.45], [0.4, 0.6]]


@pytest.mark.parametrize(
    ("options", "expected", "heading"),
    [
        ({}, [1, 3], "2 most confident of 2 errors among 5 images"),
        ({"order": "uncertain"}, [3, 1], "2 least confident of 2 errors among 5 images"),
        ({"max_images": 1}, [1], "1 most confident of 2 errors among 5 images"),
        (
            {"which": "correct"},
            [4, 2, 0],
            "3 least confident of 3 correct predictions among 5 images",
        ),
        (
            {"which": "correct", "order": "confident", "max_images": 2},
            [0, 2],
            "2 most confident of 3 correct predictions among 5 images",
        ),
    ],
)
def test_the_most_informative_faces_come_first(options, expected, heading):
    figure = plot_predictions(_faces(5), Y_TRUE, PROBA, labels=["happy", "sad"], **options)
    assert _which(figure) == expected
    assert " ".join(figure.get_suptitle().split()) == heading


def test_each_face_shows_prediction_confidence_and_label():
    figure = plot_predictions(_faces(5), Y_TRUE, PROBA, labels=["happy", "sad"])
    assert [ax.get_title() for ax in figure.axes] == [
        "sad 80 %\ntrue: happy",
        "happy 55 %\ntrue: sad",
    ]
    assert [_frame(ax) for ax in figure.axes] == [
        to_rgb(EMOTION_COLORS[e]) for e in ("sad", "happy")
    ]


def test_columns_can_have_any_order():
    swapped = np.array(PROBA)[:, ::-1]
    figure = plot_predictions(_faces(5), Y_TRUE, swapped, labels=["sad", "happy"])
    assert _which(figure) == [1, 3]


def test_labels_may_be_numbers_or_other_emotions():
    figure = plot_predictions(_faces(2), [4, 7], [[0.1, 0.9], [0.2, 0.8]])
    assert figure.axes[0].get_title() == "7 90 %\ntrue: 4"
    assert _frame(figure.axes[0]) not in [to_rgb(color) for color in EMOTION_COLORS.values()]


def test_equally_certain_faces_stay_in_order():
    sure = np.random.default_rng(0).choice([0.6, 0.7, 0.8], 120)
    proba = np.transpose([sure, 1 - sure])
    figure = plot_predictions(
        _faces(120), ["a"] * 120, proba, labels=["a", "b"], which="correct", cell_size=0.3
    )
    assert _which(figure) == np.flatnonzero(sure == 0.6)[:20].tolist()


def test_only_files_that_are_shown_are_read(tmp_path):
    plt.imsave(tmp_path / "1.png", np.zeros((4, 4, 3)))
    files = [tmp_path / f"{i}.png" for i in range(5)]
    figure = plot_predictions(files, Y_TRUE, PROBA, max_images=1)
    assert len(figure.axes) == 1
    with pytest.raises(ImageReadError, match=r"3\.png"):
        plot_predictions(files, Y_TRUE, PROBA, max_images=2)


@pytest.mark.parametrize("n_cols", [1, 2, None])
def test_predicted_faces_are_readable(n_cols):
    rng = np.random.default_rng(0)
    labels = [*EMOTIONS[:-1], LONG]
    proba = rng.dirichlet([0.1] * 7, 40)
    figure = plot_predictions(
        _faces(40), rng.choice(labels, 40), proba, labels=labels, max_images=12, n_cols=n_cols
    )
    assert_readable(figure)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"which": "error"},
            "which='error' is unknown; expected one of 'errors', 'correct'. Did you mean 'errors'?",
        ),
        (
            {"order": "best"},
            "order='best' is unknown; expected one of 'confident', 'uncertain'.",
        ),
        ({"max_images": 0}, "max_images=0 must be at least 1."),
        (
            {"images": _faces(4)},
            "images has 4 item(s) and y_true 5 label(s); expected one label per image.",
        ),
        (
            {"y_true": ["happy", "sad", "sad", "happy", "sad"]},
            "There is no error among the 5 prediction(s), so there is nothing to draw.",
        ),
    ],
)
def test_invalid_predictions_are_errors(change, message):
    given = {"images": _faces(5), "y_true": Y_TRUE, "y_proba": PROBA} | change
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        plot_predictions(**given)
    assert str(caught.value) == message


def test_one_row_of_samples_per_emotion():
    target = np.array(["sad", "happy", "sad", "sad", "fear"])
    figure = plot_samples(_faces(5), target, samples_per_class=2, random_state=0)
    rows = np.reshape(figure.axes, (3, 2))
    assert [ax.get_ylabel() for ax in rows[:, 0]] == ["fear\n1", "happy\n1", "sad\n3"]
    assert [len(ax.images) for ax in rows.ravel()] == [1, 0, 1, 0, 1, 1]
    fear, happy, *sad = _which(figure)
    assert (fear, happy) == (4, 1)
    assert set(sad) < {0, 2, 3}
    assert sad[0] != sad[1]
    assert [_frame(ax) for ax in rows[:, 0]] == [
        to_rgb(EMOTION_COLORS[name]) for name in ("fear", "happy", "sad")
    ]


def test_samples_are_random_and_reproducible():
    def draw(random_state):
        faces = _faces(100)
        return _which(
            plot_samples(faces, ["sad"] * 100, samples_per_class=5, random_state=random_state)
        )

    assert draw(0) == draw(0)
    assert draw(0) != draw(1)


def test_no_sample_is_drawn_twice():
    figure = plot_samples(_faces(9), ["sad"] * 9, samples_per_class=12, random_state=0)
    assert _which(figure) == list(range(9))


def test_samples_follow_the_order_of_labels_and_show_what_is_missing():
    labels = ["surprise", "sad", "fear"]
    figure = plot_samples(_faces(2), ["sad", "surprise"], labels=labels)
    assert [ax.get_ylabel() for ax in figure.axes] == ["surprise\n1", "sad\n1", "fear\n0"]
    assert _which(figure) == [1, 0]


@pytest.mark.parametrize("labels", [EMOTIONS, [*EMOTIONS[:-1], LONG]])
@pytest.mark.parametrize("samples_per_class", [1, 8])
def test_samples_are_readable(labels, samples_per_class):
    target = np.resize(labels, 70)
    figure = plot_samples(
        _faces(70), target, samples_per_class=samples_per_class, random_state=0, cell_size=0.9
    )
    assert_readable(figure)
    # Names take no space from the faces.
    assert figure.axes[0].get_window_extent().width / figure.dpi == pytest.approx(0.82, abs=0.03)


@pytest.mark.parametrize(
    ("images", "target", "options", "message"),
    [
        (
            _faces(2),
            ["sad"],
            {},
            "images has 2 item(s) and y 1 label(s); expected one label per image.",
        ),
        (_faces(1), ["sad"], {"samples_per_class": 0}, "samples_per_class=0 must be at least 1."),
        ([], [], {}, "images is empty: found 0 photo(s), expected at least one."),
        (
            _faces(1),
            ["sda"],
            {"labels": ["happy", "sad"]},
            "y has 1 label(s) that are not among labels: 'sda'; expected some of 'happy', "
            "'sad'. Did you mean 'sad'? Drop those images, or list every label in labels=.",
        ),
    ],
)
def test_bad_samples_are_errors(images, target, options, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        plot_samples(images, target, **options)
    assert str(caught.value) == message


@pytest.mark.parametrize("form", ["stack", "list"])
def test_pixels_of_16_bits_are_not_clipped(form):
    images = np.array([[[0, 256], [32768, 65535]]] * 2, np.uint16)
    figure = plot_faces(images if form == "stack" else list(images))
    assert figure.axes[0].images[0].get_array().tolist() == [[0, 1], [128, 255]]
    with pytest.raises(ValueError, match=r"images\[0\] has int64 pixels from 0 to 65535"):
        plot_samples(images.astype(int), ["happy", "sad"])
