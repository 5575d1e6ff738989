"""The plot of emotions over time: what it shows, and where it has gaps."""

import csv

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from figures import assert_readable
from matplotlib.colors import to_hex
from numpy.testing import assert_allclose

from fer_sklearn.emotions import EMOTIONS, label_colors
from fer_sklearn.plotting import EMOTION_COLORS, EmotionTimelineDisplay


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def _rows(seconds, face=1, emotion="happy", share=0.7):
    """A timeline of one face with the same emotion throughout."""
    rest = (1 - share) / 6
    shares = {name: share if name == emotion else rest for name in EMOTIONS}
    return [
        {"frame": i, "seconds": t, "face": face, "left": 1, "score": 5, "emotion": emotion} | shares
        for i, t in enumerate(seconds)
    ]


def _band(ax):
    """The band of an axes: (start, end, colour) of each run."""
    (collection,) = ax.collections
    ends = [path.vertices[:, 0] for path in collection.get_paths()]
    colors = [to_hex(color) for color in collection.get_facecolors()]
    return [(x.min(), x.max(), color) for x, color in zip(ends, colors, strict=True)]


def test_a_curve_for_each_emotion_in_its_colour():
    ax = EmotionTimelineDisplay.from_rows(_rows([0.0, 0.5, 1.0])).axes_[0]
    assert {line.get_label(): line.get_color() for line in ax.lines} == EMOTION_COLORS
    (happy,) = [line for line in ax.lines if line.get_label() == "happy"]
    assert_allclose(happy.get_xydata(), [[0, 0.7], [0.5, 0.7], [1, 0.7]])
    assert ax.get_title(loc="left") == "face 1: happy 100 % of the time"


def test_all_panels_share_one_legend():
    rows = _rows([0, 1]) + _rows([0, 1], face=2)
    figure = EmotionTimelineDisplay.from_rows(rows).figure_
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(EMOTIONS)
    assert all(ax.get_legend() is None for ax in figure.axes)


def test_the_band_shows_when_each_emotion_starts_and_ends():
    rows = _rows([0.0, 0.5, 1.0]) + _rows([1.5, 2.0], emotion="sad")
    happy, sad = _band(EmotionTimelineDisplay.from_rows(rows).axes_[0])
    assert happy == (0.0, 1.5, EMOTION_COLORS["happy"].lower())
    # The last frame is assumed to last as long as the others.
    assert sad == (1.5, 2.5, EMOTION_COLORS["sad"].lower())


def test_curve_and_band_have_gaps_where_the_face_is_missing():
    rows = _rows([0.0, 0.1, 0.2, 5.0, 5.1])
    ax = EmotionTimelineDisplay.from_rows(rows).axes_[0]
    assert_allclose(ax.lines[0].get_xdata(), [0, 0.1, 0.2, np.nan, 5, 5.1])
    assert_allclose([run[:2] for run in _band(ax)], [(0, 0.3), (5, 5.2)])


def test_every_search_that_missed_the_face_is_a_gap():
    # Frames are searched every two seconds; nothing was found at 4, 6 and 12 seconds.
    ax = EmotionTimelineDisplay.from_rows(_rows([0.0, 2.0, 8.0, 10.0, 14.0])).axes_[0]
    x = ax.lines[0].get_xdata()
    assert_allclose(x, [0, 2, np.nan, 8, 10, np.nan, 14])
    assert_allclose([run[:2] for run in _band(ax)], [(0, 4), (8, 12), (14, 16)])
    line = ax.lines[0]
    assert line.get_marker() == "."
    assert line.get_markevery() == [6]  # the last point has no neighbour to be connected with


def test_a_face_that_comes_and_goes_has_gaps_while_another_is_there():
    rows = _rows(np.arange(0, 3, 0.1)) + _rows([0.0, 0.1, 0.2, 1.0, 1.1], face=2)
    other = EmotionTimelineDisplay.from_rows(rows).axes_[1]
    assert_allclose(other.lines[0].get_xdata(), [0, 0.1, 0.2, np.nan, 1, 1.1])


def test_rows_without_a_face_are_gaps():
    rows = _rows([0.0, 0.1, 0.5, 0.6])
    empty = [dict.fromkeys(rows[0]) | {"seconds": seconds} for seconds in (0.2, 0.3, 0.4)]
    display = EmotionTimelineDisplay.from_rows(pd.DataFrame(rows + empty))
    assert display.faces_ == [1]
    assert_allclose(display.axes_[0].lines[0].get_xdata(), [0, 0.1, np.nan, 0.5, 0.6])
    with pytest.raises(ValueError, match=r"^rows contains no face; there is nothing to plot\.$"):
        EmotionTimelineDisplay.from_rows(empty)


def test_irregular_times_of_a_camera_are_not_gaps():
    times = np.cumsum(np.random.default_rng(0).uniform(0.03, 0.2, 100))
    times[50:] += 3
    x = EmotionTimelineDisplay.from_rows(_rows(times)).axes_[0].lines[0].get_xdata()
    assert np.flatnonzero(np.isnan(x)).tolist() == [50]


def test_frames_that_are_far_apart_leave_no_gaps():
    ax = EmotionTimelineDisplay.from_rows(_rows([0.0, 5.0, 10.0])).axes_[0]
    assert not np.isnan(ax.lines[0].get_xdata()).any()


def test_the_axis_covers_the_whole_video_if_its_length_is_known():
    ax = EmotionTimelineDisplay.from_rows(_rows([20.0, 20.1]), duration=90).axes_[0]
    assert ax.get_xlim() == (0, 90)
    assert [label.get_text() for label in ax.get_xticklabels()][1:3] == ["0:00", "0:10"]


def test_the_title_counts_time_and_not_frames():
    # Irregular steps, as of a camera.
    rows = _rows([0.0, 1.53]) + _rows([3.0, 3.41, 4.0, 4.47], emotion="sad")
    ax = EmotionTimelineDisplay.from_rows(rows).axes_[0]
    assert ax.get_title(loc="left") == "face 1: happy 59 % of the time"


def test_a_single_frame_is_a_point():
    ax = EmotionTimelineDisplay.from_rows(_rows([3.0])).axes_[0]
    assert ax.lines[0].get_marker() == "."


@pytest.mark.parametrize(("n_faces", "said"), [(2, ""), (3, "1 more face, "), (5, "3 more faces,")])
def test_the_most_frequent_faces_are_shown_and_the_others_counted(n_faces, said):
    rows = []
    for face in range(1, n_faces + 1):
        rows += _rows(np.arange(2 * face), face)
    display = EmotionTimelineDisplay.from_rows(rows, max_faces=2)
    assert display.faces_ == [n_faces - 1, n_faces]
    assert len(display.axes_) == 2
    label = display.axes_[-1].get_xlabel()
    assert said in label
    assert ("Not shown" in label) == (n_faces > 2)


def test_csv_file_frame_and_rows_give_the_same_plot(tmp_path):
    rows = _rows([0.0, 0.5, 1.0])
    path = tmp_path / "timeline.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    with path.open(newline="") as file:
        text = list(csv.DictReader(file))
    drawn = [
        EmotionTimelineDisplay.from_rows(source).axes_[0].lines[3].get_xydata()
        for source in (rows, pd.DataFrame(rows), text, pl.DataFrame(rows))
    ]
    for other in drawn[1:]:
        assert_allclose(other, drawn[0])


@pytest.mark.parametrize("unknown", [np.nan, None, ""])
def test_without_probabilities_the_band_stays(unknown):
    rows = [row | dict.fromkeys(EMOTIONS, unknown) for row in _rows([0.0, 0.5])]
    ax = EmotionTimelineDisplay.from_rows(rows).axes_[0]
    assert len(ax.lines) == 0
    assert len(_band(ax)) == 1


def test_labels_of_other_models_have_their_own_colours():
    rows = [
        {"seconds": t, "face": 1, "emotion": "contempt", "contempt": 0.6, "happy": 0.4}
        for t in (0, 1)
    ]
    contempt, happy = EmotionTimelineDisplay.from_rows(rows).axes_[0].lines
    assert happy.get_color() == EMOTION_COLORS["happy"]
    assert contempt.get_color() not in EMOTION_COLORS.values()


def test_label_colors_keep_their_order_and_repeat_after_six():
    names = [*EMOTIONS, *"abcdefg"]
    colors = label_colors(names)
    assert list(colors) == names
    assert len(set(colors.values())) == 13
    assert colors["a"] == colors["g"]


@pytest.mark.parametrize(
    ("length", "marks"), [(20, "20 s"), (150, "1:30"), (7200, "1:45:00"), (40_000, "10:00:00")]
)
def test_time_ticks_are_round_numbers(length, marks):
    display = EmotionTimelineDisplay.from_rows(_rows(np.linspace(0, length, 50)))
    display.figure_.canvas.draw()
    texts = [text.get_text() for text in display.axes_[0].get_xticklabels()]
    assert marks in texts
    assert len(texts) < 14


def test_draws_on_the_axes_it_is_given():
    _, axes = plt.subplots(2)
    rows = _rows([0, 1]) + _rows([0, 1], face=2)
    display = EmotionTimelineDisplay.from_rows(rows, axes=axes)
    assert list(display.axes_) == list(axes)
    assert axes[0].get_legend() is not None
    with pytest.raises(ValueError, match=r"^axes has 1 item\(s\); expected 2, one per face\.$"):
        EmotionTimelineDisplay.from_rows(rows, axes=axes[:1])


def test_the_plot_is_readable():
    rows = _rows([0, 1, 2]) + _rows([0, 1], face=2) + _rows([0], face=3)
    figure = EmotionTimelineDisplay.from_rows(rows, max_faces=2).figure_
    assert_readable(figure)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], r"^rows is empty; expected a timeline with one row per face and frame\.$"),
        (
            [{"seconds": 0, "happy": 1}],
            r"^rows has no column 'face', 'emotion'; expected those of a timeline: seconds, "
            r"face, emotion, and one per class\. It has 'seconds', 'happy'\.$",
        ),
        (
            [{"seconds": 0, "face": 1, "emotion": "sad", "note": "late"}],
            r"^rows has note='late'; expected a number\. Remove columns that are not "
            r"probabilities\.$",
        ),
    ],
)
def test_an_invalid_timeline_is_rejected(rows, message):
    with pytest.raises(ValueError, match=message):
        EmotionTimelineDisplay.from_rows(rows)


def test_at_least_one_face_is_shown():
    with pytest.raises(ValueError, match=r"^max_faces=0 must be at least 1\.$"):
        EmotionTimelineDisplay.from_rows(_rows([0]), max_faces=0)
