"""Maps over faces: correctly placed, on one scale, and transparent where irrelevant."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from figures import COLOR_BLINDNESS, assert_readable, color_distance
from numpy.testing import assert_allclose

from fer_sklearn.emotions import EMOTIONS
from fer_sklearn.plotting import plot_heatmaps

FACES = np.full((2, 12, 8), 128, dtype=np.uint8)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def _maps(figure):
    """The maps that lie over the faces of a figure."""
    *axes, _bar = figure.axes
    return [ax.images[1] for ax in axes]


def _seen(figure, i=0):
    """The rendered map over face `i`, RGBA, (h, w, 4)."""
    drawn = _maps(figure)[i]
    return drawn.cmap(drawn.norm(drawn.get_array()))


def test_a_map_of_any_size_covers_its_face():
    figure = plot_heatmaps(FACES, [np.eye(3), np.ones((5, 40))], ["happy", "sad"])
    for ax, drawn in zip(figure.axes[:2], _maps(figure), strict=True):
        assert_allclose(drawn.get_extent(), (-0.5, 7.5, 11.5, -0.5))
        assert_allclose(ax.images[0].get_extent(), drawn.get_extent())
    assert [ax.get_title() for ax in figure.axes[:2]] == ["happy", "sad"]


def test_the_top_row_of_a_map_lies_over_the_top_of_the_face():
    heatmap = np.zeros((4, 4))
    heatmap[0] = 1
    figure = plot_heatmaps(FACES[:1], [heatmap], n_cols=1)
    figure.canvas.draw()
    picture = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)
    box = figure.axes[0].get_window_extent()
    height, column = len(picture), int((box.x0 + box.x1) / 2)
    top, bottom = (picture[height - int(y), column] for y in (box.y1 - 4, box.y0 + 4))
    assert np.ptp(top) > 60  # a colour
    assert_allclose(bottom, [128] * 3, atol=2)  # the grey of the face


def test_all_maps_share_one_scale_with_a_colorbar():
    figure = plot_heatmaps(FACES, [np.full((2, 2), 0.5), np.full((3, 3), 4.0)], label="loss of p")
    assert [drawn.get_clim() for drawn in _maps(figure)] == [(0, 4)] * 2
    bar = figure.axes[-1]
    assert bar.get_ylabel() == "loss of p"
    assert_allclose(bar.get_ylim(), (0, 4))


def test_signed_maps_are_centred_on_zero():
    figure = plot_heatmaps(FACES, [[[-3.0, 0.0]], [[1.0, 2.0]]])
    assert [drawn.get_clim() for drawn in _maps(figure)] == [(-3, 3)] * 2
    (against, nothing), (little, some) = _seen(figure, 0)[0], _seen(figure, 1)[0]
    assert against[2] > against[0]  # blue
    assert some[0] > some[2]  # orange
    assert nothing[3] == pytest.approx(0, abs=0.01)
    assert 0 < little[3] < some[3] < against[3]


@pytest.mark.parametrize(("signed", "limits"), [(True, (-2, 2)), (False, (0, 2)), (None, (0, 2))])
def test_maps_can_be_declared_signed(signed, limits):
    figure = plot_heatmaps(FACES[:1], [[[1.0, 2.0]]], signed=signed)
    assert _maps(figure)[0].get_clim() == limits


def test_negative_values_are_transparent_in_unsigned_maps():
    figure = plot_heatmaps(FACES[:1], [[[-5.0, 2.0]]], signed=False)
    assert _maps(figure)[0].get_clim() == (0, 2)
    assert _seen(figure)[0, 0, 3] == 0


def test_more_relevance_hides_more_of_the_face():
    opacity = _seen(plot_heatmaps(FACES[:1], [np.linspace(0, 1, 9)[None]]))[0, :, 3]
    assert opacity[0] == 0
    assert (np.diff(opacity) > 0).all()
    assert opacity[-1] == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("signed", [True, False])
def test_nan_is_transparent(signed):
    figure = plot_heatmaps(FACES[:1], [[[np.nan, 1.0]]], signed=signed)
    assert (_seen(figure)[0, :, 3] > 0).tolist() == [False, True]


@pytest.mark.parametrize("value", [0.0, np.nan, -0.0])
def test_constant_maps_have_a_scale_too(value):
    figure = plot_heatmaps(FACES, np.full((2, 3, 3), value))
    assert _maps(figure)[0].get_clim() == (0, 1)
    assert (_seen(figure)[..., 3] == 0).all()


def test_colour_is_left_to_the_maps():
    red = np.zeros((1, 6, 6, 3), dtype=np.uint8)
    red[..., 0] = 200
    ax = plot_heatmaps(red, np.zeros((1, 6, 6))).axes[0]
    assert ax.images[0].get_array().shape == (6, 6)
    assert (ax.images[0].get_array() == 60).all()  # 0.299 · 200
    assert ax.images[0].get_clim() == (0, 255)


@pytest.mark.parametrize("kind", list(COLOR_BLINDNESS))
def test_positive_and_negative_are_distinguished(kind):
    for_it, against = _seen(plot_heatmaps(FACES[:1], [[[1.0, -1.0]]]))[0, :, :3]
    assert color_distance([for_it, against, (0.5, 0.5, 0.5)], kind) > 25


@pytest.mark.parametrize("n_cols", [1, 3, 7])
@pytest.mark.parametrize("scale", [1, 1e-5, 12345])
def test_maps_are_readable(n_cols, scale):
    maps = scale * np.random.default_rng(0).normal(size=(7, 5, 5))
    faces = np.repeat(FACES, 4, axis=0)[:7]
    assert_readable(plot_heatmaps(faces, maps, EMOTIONS, n_cols=n_cols, label="relevance"))


@pytest.mark.parametrize(
    ("maps", "titles", "message"),
    [
        (np.ones((3, 2, 2)), None, "heatmaps has 3 map(s) for 2 image(s); expected one each."),
        (
            [np.ones((2, 2)), np.ones((2, 0))],
            None,
            "heatmaps[1] has shape (2, 0); expected (h, w), at least one pixel each.",
        ),
        (
            np.ones((2, 4, 4, 3)),
            None,
            "heatmaps[0] has shape (4, 4, 3); expected (h, w), at least one pixel each.",
        ),
        (
            [np.ones((2, 2)), [[np.inf, 1], [-np.inf, np.nan]]],
            None,
            "heatmaps[1] has 2 infinite number(s); expected finite ones, or NaN for pixels that "
            "should not be drawn.",
        ),
        (np.ones((2, 2, 2)), ["sad"], "titles has 1 item(s) for 2 image(s); expected one each."),
    ],
)
def test_an_invalid_map_is_an_error(maps, titles, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        plot_heatmaps(FACES, maps, titles)
    assert str(caught.value) == message
