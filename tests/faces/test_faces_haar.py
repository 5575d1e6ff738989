"""HaarDetector on scikit-image's photos, with all kinds of faces and without any."""

import pickle

import cv2
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from running import in_threads
from skimage import data
from skimage.data import astronaut, lfw_subset
from sklearn.datasets import load_sample_image

from fer_sklearn.exceptions import MissingExtraError
from fer_sklearn.faces import HaarDetector, detect_faces

# Centre of the astronaut's face, marked by hand.
CENTRE = np.array([225, 115])


def _subset(kind, n):
    """The first of scikit-image's 100 faces of 25 pixels, or of its 100 other images."""
    first = {"faces": 0, "others": 100}[kind]
    return (lfw_subset()[first : first + n] * 255).astype(np.uint8)


def _turned(photo, angle):
    height, width = photo.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1)
    return cv2.warpAffine(photo, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE), matrix


def _with_heads(shape, places):
    """A photo of coffee with the astronaut's head at several sizes and positions."""
    photo = cv2.resize(data.coffee(), shape[::-1])
    head = astronaut()[40:200, 145:305]
    for side, left, top in places:
        photo[top : top + side, left : left + side] = cv2.resize(
            head, (side, side), interpolation=cv2.INTER_AREA
        )
    return photo


def test_the_astronaut_has_one_face_where_it_is():
    faces = detect_faces(astronaut(), "haar")
    assert len(faces) == 1
    left, top, width, height = faces.boxes[0]
    assert np.abs((left + width / 2, top + height / 2) - CENTRE).max() < 15
    assert 80 < width < 120
    assert faces.scores[0] > 54


def test_cascades_return_no_key_points():
    assert np.isnan(detect_faces(astronaut(), "haar").keypoints).all()


@pytest.mark.parametrize("scale", [0.25, 4])
def test_boxes_are_in_pixels_of_the_photo_at_any_size(scale):
    photo = cv2.resize(astronaut(), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    left, top, width, height = detect_faces(photo, "haar").boxes[0] / scale
    assert np.abs((left + width / 2, top + height / 2) - CENTRE).max() < 15


@pytest.mark.parametrize("scale", [1, 12])
def test_tight_crops_are_found_small_and_large(scale):
    crops = [cv2.resize(face, None, fx=scale, fy=scale) for face in _subset("faces", 40)]
    assert sum(len(detect_faces(crop, "haar")) > 0 for crop in crops) >= 38


def test_other_textures_are_not_faces():
    assert sum(len(detect_faces(other, "haar")) > 0 for other in _subset("others", 40)) == 0


@pytest.mark.parametrize("name", ["coins", "brick", "gravel", "rocket", "text", "cat"])
def test_photos_without_a_face_have_none(name):
    assert len(detect_faces(getattr(data, name)(), "haar")) == 0


def test_the_second_cascade_is_what_rejects():
    flower = load_sample_image("flower.jpg")
    assert len(HaarDetector(verify=False, min_neighbors=1)(flower)) > 0
    assert len(HaarDetector(min_neighbors=1)(flower)) == 0


def test_several_faces_of_one_photo_are_found():
    photo = _with_heads((600, 900), [(80, 30, 30), (120, 300, 200), (240, 600, 300)])
    boxes = detect_faces(photo, "haar").boxes
    centres = boxes[:, :2] + boxes[:, 2:] / 2
    expected = np.array([[70, 68], [360, 256], [720, 412]])
    assert len(boxes) == 3
    assert np.abs(centres[np.argsort(centres[:, 0])] - expected).max() < 12


def test_a_smaller_min_size_finds_smaller_faces():
    photo = _with_heads((600, 800), [(52, 500, 300)])
    assert len(HaarDetector(tilted=False)(photo)) == 0
    assert len(HaarDetector(tilted=False, min_size=24)(photo)) == 1


def test_a_larger_max_side_finds_smaller_faces():
    photo = _with_heads((2000, 3000), [(110, 900, 1200)])
    assert len(HaarDetector(tilted=False)(photo)) == 0
    assert len(HaarDetector(tilted=False, max_side=1600)(photo)) == 1


@pytest.mark.parametrize("angle", [-28, 28])
def test_tilted_faces_are_found(angle):
    photo, matrix = _turned(astronaut()[:400, 50:400], angle)
    assert len(HaarDetector(tilted=False)(photo)) == 0
    faces = HaarDetector()(photo)
    assert len(faces) == 1
    centre = matrix @ [*(CENTRE - (50, 0)), 1]
    left, top, width, height = faces.boxes[0]
    assert np.abs((left + width / 2, top + height / 2) - centre).max() < 15


def test_a_huge_photo_is_downscaled_for_detection():
    photo = np.repeat(np.repeat(astronaut(), 8, axis=0), 8, axis=1)
    views = HaarDetector()._views(photo)
    assert max(max(view.image.pixels.shape) for view in views) <= 720
    assert len(detect_faces(photo, "haar")) == 1


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (2, 20_000), (20_000, 2, 3)])
def test_photos_of_any_shape_are_processed_without_upscaling(shape):
    assert len(detect_faces(np.zeros(shape, np.uint8), "haar")) == 0


def test_a_detector_is_equal_to_its_pickled_copy():
    detector = HaarDetector(min_size=50, verify=False)
    copy = pickle.loads(pickle.dumps(detector))
    assert copy == detector
    assert hash(copy) == hash(detector)
    assert copy != HaarDetector()
    assert repr(copy) == (
        "HaarDetector(min_size=50, max_side=720, scale_factor=1.1, min_neighbors=2, "
        "verify=False, tilted=True)"
    )


def test_each_thread_has_its_own_cascade():
    detector = HaarDetector()
    expected = detector(astronaut())
    for faces in in_threads(lambda: detector(astronaut()), 4):
        assert_array_equal(faces.boxes, expected.boxes)
        assert_array_equal(faces.scores, expected.scores)


def test_opencv_without_cascades_is_an_error(monkeypatch):
    monkeypatch.delattr(cv2, "CascadeClassifier")
    with pytest.raises(MissingExtraError, match=r"no longer has Haar cascades\. Type: pip inst"):
        detect_faces(astronaut(), "haar")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"scale_factor": 1.0}, r"scale_factor=1\.0 must be a number above 1"),
        ({"min_neighbors": -1}, "min_neighbors=-1 must be an int of 0 or more"),
        ({"min_size": 0}, "min_size=0 must be an int of 1 or more"),
        ({"max_side": 10}, "max_side=10 must be an int of 64 or more"),
    ],
)
def test_a_wrong_parameter_of_the_detector_is_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        HaarDetector(**parameters)
