"""Faces keep their number, and probabilities are smoothed."""

import math

import numpy as np
import pytest
from videos import FollowingReader, SquareReader, moving, squares

from fer_sklearn.video import FaceTracker, iter_video
from fer_sklearn.video._tracking import FaceSearch

CLASSES = ["happy", "sad"]
HAPPY, SAD = [0.9, 0.1], [0.2, 0.8]


def _box(x, y=100, side=40):
    """A box by its centre."""
    return [x - side / 2, y - side / 2, side, side]


def _update(tracker, seconds, boxes, probabilities=None):
    probabilities = [HAPPY] * len(boxes) if probabilities is None else probabilities
    labels = [CLASSES[int(np.argmax(row))] for row in probabilities]
    return tracker.update(seconds, boxes, [5.0] * len(boxes), labels, probabilities)


def _numbers(faces):
    return {face.number: round(face.box[0] + face.box[2] / 2) for face in faces}


def test_faces_keep_their_numbers_in_any_order():
    tracker = FaceTracker(CLASSES)
    for frame in range(50):
        boxes = [_box(100 + 2 * frame), _box(400 - 2 * frame, 220)]
        faces = _update(tracker, frame / 25, boxes[:: 1 if frame % 2 else -1])
        assert [face.number for face in faces] == [0, 1]
    # Numbered from left to right, regardless of the detector's order.
    assert _numbers(faces) == {0: 198, 1: 302}


@pytest.mark.parametrize("rate", [5, 10, 25, 60])
def test_faces_that_cross_keep_their_numbers(rate):
    """Two faces cross within three seconds; the rear one is hidden meanwhile."""
    tracker = FaceTracker(CLASSES)
    for frame in range(3 * rate + 1):
        seconds = frame / rate
        left, right = 100 + 60 * seconds, 280 - 60 * seconds
        boxes = [_box(left), _box(right, 104)]
        faces = _update(tracker, seconds, boxes if abs(left - right) > 25 else boxes[:1])
        if frame == 0:
            first = _numbers(faces)
    assert first == {0: 100, 1: 280}
    assert _numbers(faces) == {0: 280, 1: 100}


def test_a_face_comes_back_after_a_gap():
    tracker = FaceTracker(CLASSES, max_lost_seconds=1)
    times = [i / 10 for i in range(10)]
    for seconds in times:
        _update(tracker, seconds, [_box(100)])
    assert _update(tracker, 1.0, []) == []
    assert _numbers(_update(tracker, 1.8, [_box(104)])) == {0: 104}
    for seconds in (1.9, 2.5, 3.0):
        _update(tracker, seconds, [])
    assert _update(tracker, 3.1, [_box(104)]) == []
    assert _numbers(_update(tracker, 3.2, [_box(104)])) == {1: 104}


def test_a_single_detection_is_not_a_face():
    tracker = FaceTracker(CLASSES)
    for frame in range(20):
        boxes = [_box(100)] + ([_box(300)] if frame == 7 else [])
        assert [face.number for face in _update(tracker, frame / 25, boxes)] == [0]


def test_a_face_in_the_first_frame_counts_at_once():
    assert _numbers(_update(FaceTracker(CLASSES), 0, [_box(100)])) == {0: 100}


def test_a_distant_or_differently_sized_box_is_another_face():
    for other in (_box(400), _box(100, side=130)):
        tracker = FaceTracker(CLASSES)
        _update(tracker, 0, [_box(100)])
        _update(tracker, 0.04, [other])
        assert [face.number for face in _update(tracker, 0.08, [other])] == [1]


def test_faces_are_tracked_across_distant_frames():
    tracker = FaceTracker(CLASSES, max_lost_seconds=1)
    for seconds in (0, 5, 10, 15):
        assert _numbers(_update(tracker, seconds, [_box(100 + seconds)])) == {0: 100 + seconds}
    assert [face.number for face in _update(tracker, 20, [_box(400)])] == [1]


def _step(rate, smoothing, seconds):
    """Return p(happy) some time after a face has changed from happy to sad."""
    tracker = FaceTracker(CLASSES, smoothing_seconds=smoothing)
    for frame in range(4 * rate):
        _update(tracker, frame / rate, [_box(100)], [HAPPY])
    for frame in range(4 * rate, round((4 + seconds) * rate)):
        (face,) = _update(tracker, frame / rate, [_box(100)], [SAD])
    return face.probabilities[0]


@pytest.mark.parametrize("rate", [10, 30, 120])
def test_smoothing_depends_on_time_not_on_the_frame_rate(rate):
    expected = 0.2 + 0.7 * math.exp(-1.0 / 0.5)
    assert _step(rate, 0.5, 1.0) == pytest.approx(expected, abs=0.01)


def test_no_smoothing():
    assert _step(25, 0, 0.04) == pytest.approx(0.2)


def test_the_first_detections_have_equal_weights():
    tracker = FaceTracker(CLASSES, smoothing_seconds=5)
    for frame, probabilities in enumerate([SAD, HAPPY, HAPPY, HAPPY]):
        (face,) = _update(tracker, frame / 25, [_box(100)], [probabilities])
    assert face.probabilities == pytest.approx([(0.2 + 3 * 0.9) / 4, (0.8 + 3 * 0.1) / 4])
    assert face.emotion == "happy"
    assert face.probability == face.probabilities[0]
    assert face.probabilities.sum() == pytest.approx(1)


def test_labels_without_probabilities_are_smoothed_too():
    tracker = FaceTracker(CLASSES)
    unknown = [[math.nan] * 2]
    for frame in range(25):
        label = "sad" if frame == 20 else "happy"
        (face,) = tracker.update(frame / 25, [_box(100)], [math.nan], [label], unknown)
        assert face.emotion == "happy"
    assert math.isnan(face.probability)
    assert math.isnan(face.score)
    assert np.isnan(face.probabilities).all()


def test_drawn_boxes_jitter_less():
    tracker, random = FaceTracker(CLASSES), np.random.default_rng(0)
    boxes, smooth = [], []
    for frame in range(100):
        box = np.array(_box(100 + frame)) + random.normal(0, 2, 4)
        (face,) = _update(tracker, frame / 25, [box])
        assert face.box == pytest.approx(box)
        boxes.append(face.box)
        smooth.append(face.smooth_box)
    assert np.diff(smooth, axis=0).std() < 0.5 * np.diff(boxes, axis=0).std()
    assert np.abs(np.array(smooth) - boxes).max() < 12


def test_a_lost_face_is_shown_a_moment_longer():
    tracker = FaceTracker(CLASSES)
    for seconds in (0, 0.1, 0.2):
        _update(tracker, seconds, [_box(100)])
    assert _update(tracker, 0.3, []) == []
    assert [face.number for face in tracker.shown(0.3)] == [0]
    _update(tracker, 0.6, [])
    assert tracker.shown(0.6) == []


@pytest.mark.parametrize("name", ["smoothing_seconds", "max_lost_seconds"])
@pytest.mark.parametrize("value", [-1, math.inf, math.nan, "1"])
def test_times_must_be_seconds(name, value):
    with pytest.raises(ValueError, match=f"{name}=.*; expected a non-negative number of seconds"):
        FaceTracker(CLASSES, **{name: value})


@pytest.mark.slow
def test_the_number_of_tracks_is_bounded():
    tracker = FaceTracker(CLASSES)
    for frame in range(2000):
        _update(tracker, frame / 25, [_box(100 + 60 * (frame // 3 % 40))])
    assert len(tracker._tracks) < 30


def _search(images, every, *, rate=25):
    """Return which frames were searched completely, the boxes found in each, and the reader."""
    reader, complete, boxes = FollowingReader(), [], []
    search = FaceSearch(reader, every)
    for index, image in enumerate(images):
        before = reader.n_searched
        boxes.append(search(image, index / rate).boxes[:, :2].tolist())
        if reader.n_searched > before:
            complete.append(index)
    return complete, boxes, reader


def test_frames_are_searched_completely_from_time_to_time():
    images = moving(36, step=2)
    complete, boxes, reader = _search(images, 10)
    assert complete == [0, 10, 20, 30]
    assert reader.n_followed == 35
    assert boxes == _search(images, 1)[1]
    assert [len(found) for found in boxes] == [1] * 36
    assert _search(images, "auto", rate=30)[0] == [0, 25]


def test_frames_are_searched_completely_every_second():
    assert _search(moving(8, step=2), 100, rate=2)[0] == [0, 2, 4, 6]


def test_a_lost_face_is_searched_for_at_once():
    images = moving(20, step=1)
    # It jumps too far to be followed, and later goes.
    images[7:] = moving(13, start=200, step=1)
    images[15:] = [squares()] * 5
    complete, boxes, _ = _search(images, 100)
    assert complete == [0, 7, 15]
    assert [len(found) for found in boxes] == [1] * 15 + [0] * 5


def test_a_new_face_is_found_with_the_next_complete_search():
    images = [
        squares((60, 60, "happy"), *([(200, 160, "sad")] if index >= 13 else []))
        for index in range(30)
    ]
    complete, boxes, _ = _search(images, 10)
    assert complete == [0, 10, 20]
    assert [len(found) for found in boxes] == [1] * 20 + [2] * 10


def test_a_cut_is_searched_at_once():
    light = [np.clip(image.astype(int) + 60, 0, 255).astype(np.uint8) for image in [squares()] * 8]
    dark = [squares((60, 60, "happy"))] * 8
    complete, boxes, _ = _search(light[:6] + dark, 100)
    assert complete == [0, 6]
    assert [len(found) for found in boxes] == [0] * 6 + [1] * 8


def test_a_moving_camera_is_not_a_cut():
    random = np.random.default_rng(0)
    scene = random.integers(0, 256, (240, 800, 3), dtype=np.uint8)
    images = [scene[:, 10 * index : 10 * index + 320] for index in range(40)]
    complete, _, _ = _search(images, 10**6, rate=10**6)
    # What happens in every frame is not a cut, after the first ones.
    assert len(complete) < 15


def test_a_detector_that_cannot_follow_faces_searches_every_frame():
    reader = SquareReader()
    search = FaceSearch(reader, "auto")
    for index, image in enumerate(moving(5)):
        assert len(search(image, index / 25).boxes) == 1
    assert len(reader.widths) == 5
    with pytest.raises(ValueError, match="detect_every=3, but the detector cannot follow faces"):
        FaceSearch(reader, 3)


@pytest.mark.parametrize("detect_every", [0, 1.5, "often", None])
def test_detect_every_is_checked(detect_every):
    with pytest.raises(ValueError, match=r"detect_every=.*; expected an int of at least 1, or"):
        iter_video("none.mp4", SquareReader(), detect_every=detect_every)
