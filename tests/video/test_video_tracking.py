"""Faces keep their number, and probabilities are smoothed."""

import math

import numpy as np
import pytest

from fer_sklearn.video import FaceTracker

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
    with pytest.raises(ValueError, match=f"{name}=.*; expected a number of seconds of at least 0"):
        FaceTracker(CLASSES, **{name: value})


def test_the_number_of_tracks_is_bounded():
    tracker = FaceTracker(CLASSES)
    for frame in range(2000):
        _update(tracker, frame / 25, [_box(100 + 60 * (frame // 3 % 40))])
    assert len(tracker._tracks) < 30
