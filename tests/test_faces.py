"""FaceCropper on scikit-image's astronaut and faces of 25 pixels, and the detector's seam."""

import pickle
import threading
import warnings

import cv2
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from skimage.data import astronaut, lfw_subset
from sklearn.base import clone

from fer_sklearn.exceptions import ImageReadError, MissingExtraError, NoFaceError, NoFaceWarning
from fer_sklearn.faces import FaceCropper, HaarDetector, crop_face, detect_faces

BLANK = np.full((200, 200, 3), 128, np.uint8)


def _halves(photo):
    """A detector that sees a small face on the right and a larger one on the left."""
    return [(0, 0, 10, 10, 1.0), (14, 5, 4, 4, 9.0), (9, 9, 2, 2, 3.0)]


def _nobody(photo):
    return []


def test_the_astronaut_has_one_face_where_it_is():
    left, top, width, height, _ = detect_faces(astronaut())[0]
    assert len(detect_faces(astronaut())) == 1
    assert abs(left + width / 2 - 225) < 15
    assert abs(top + height / 2 - 115) < 15


@pytest.mark.parametrize("scale", [0.25, 4])
def test_boxes_are_in_pixels_of_the_photo_at_any_size(scale):
    photo = cv2.resize(astronaut(), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    left, top, width, height, _ = detect_faces(photo)[0]
    assert abs((left + width / 2) / scale - 225) < 15
    assert abs((top + height / 2) / scale - 115) < 15


@pytest.mark.parametrize("scale", [1, 12])
def test_tight_crops_are_found_small_and_large(scale):
    faces = (lfw_subset()[:40] * 255).astype(np.uint8)
    crops = [cv2.resize(face, None, fx=scale, fy=scale) for face in faces]
    assert sum(len(detect_faces(crop)) > 0 for crop in crops) >= 38


def test_other_textures_are_no_faces():
    others = (lfw_subset()[100:140] * 255).astype(np.uint8)
    assert sum(len(detect_faces(other)) > 0 for other in others) == 0


def test_faces_are_rgb_and_of_one_size():
    faces = FaceCropper(size=(60, 50)).fit_transform([astronaut(), astronaut()[:300, 50:400]])
    assert faces.shape == (2, 60, 50, 3)
    assert faces.dtype == np.uint8
    # Skin: red above blue. In BGR it would be the other way round.
    red, _, blue = faces[0, 20:40, 15:35].reshape(-1, 3).mean(0)
    assert red > blue + 20


def test_all_kinds_of_a_photo_give_the_same_face(tmp_path):
    path = tmp_path / "astronaut.png"
    photo = astronaut()
    Image.fromarray(photo).save(path)
    opaque = np.dstack([photo, np.full(photo.shape[:2], 255, np.uint8)])
    faces = FaceCropper().fit_transform([path, str(path), photo, photo / 255, opaque])
    for face in faces:
        assert_array_equal(face, faces[0])


def test_gray_photos_give_gray_faces_and_mixed_ones_rgb():
    gray = cv2.cvtColor(astronaut(), cv2.COLOR_RGB2GRAY)
    assert FaceCropper().transform([gray]).shape == (1, 48, 48)
    assert FaceCropper().transform([gray, astronaut()]).shape == (2, 48, 48, 3)


@pytest.mark.parametrize(
    ("select", "box"),
    [
        ("largest", (0, 0, 10, 10)),
        ("most_certain", (14, 5, 4, 4)),
        ("center", (9, 9, 2, 2)),
    ],
)
def test_select_takes_the_face_it_names(select, box):
    photo = np.arange(400, dtype=np.uint16).reshape(20, 20).astype(np.uint8)
    cropper = FaceCropper(size=8, detector=_halves, select=select)
    assert_array_equal(cropper.transform([photo])[0], crop_face(photo, box, (8, 8)))


def test_most_certain_needs_a_certainty():
    cropper = FaceCropper(detector=lambda photo: [(0, 0, 9, 9)], select="most_certain")
    with pytest.raises(ValueError, match="select='most_certain' needs a detector that gives a"):
        cropper.transform([BLANK])


def test_crop_takes_exactly_the_box_and_its_margin():
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    assert_array_equal(crop_face(photo, (10, 5, 20, 20), (20, 20)), photo[5:25, 10:30])
    assert_array_equal(crop_face(photo, (10, 5, 20, 20), (24, 24), 0.1), photo[3:27, 8:32])


def test_crop_keeps_proportions():
    photo = np.random.default_rng(0).integers(0, 256, (40, 60), dtype=np.uint8)
    assert_array_equal(crop_face(photo, (20, 10, 10, 20), (20, 20)), photo[10:30, 15:35])


def test_crop_continues_the_border_beyond_the_photo():
    photo = np.arange(100, dtype=np.uint8).reshape(10, 10)
    crop = crop_face(photo, (-2, -1, 4, 4), (4, 4))
    assert crop.tolist() == [[0, 0, 0, 1], [0, 0, 0, 1], [10, 10, 10, 11], [20, 20, 20, 21]]


def test_full_image_stands_in_with_one_warning_a_batch():
    photos = [BLANK, astronaut(), BLANK // 2]
    with pytest.warns(NoFaceWarning) as warned:
        faces = FaceCropper().fit_transform(photos)
    assert [str(warning.message) for warning in warned] == [
        "No face was found in 2 of 3 photos (positions 0, 2); on_no_face='full_image' was applied."
    ]
    assert (faces[0] == 128).all()
    assert (faces[2] == 64).all()


def test_long_lists_of_faceless_photos_are_cut_short():
    with pytest.warns(NoFaceWarning, match=r"in 7 of 7 photos \(positions 0, 1, 2, 3, 4, …\)"):
        FaceCropper(detector=_nobody).transform([BLANK] * 7)


def test_blank_stands_in():
    with pytest.warns(NoFaceWarning, match="on_no_face='blank' was applied"):
        faces = FaceCropper(on_no_face="blank").transform([BLANK])
    assert_array_equal(faces, np.zeros((1, 48, 48, 3)))


def test_raise_names_the_position_of_an_array():
    cropper = FaceCropper(on_no_face="raise")
    with pytest.raises(NoFaceError, match=r"No face was found in X\[1\], 200×200 pixels\. Leave"):
        cropper.transform([astronaut(), BLANK])


def test_raise_names_the_file(tmp_path):
    path = tmp_path / "wall.png"
    Image.fromarray(BLANK).save(path)
    with pytest.raises(NoFaceError, match=r"No face was found in .*wall\.png, 200×200 pixels"):
        FaceCropper(on_no_face="raise").transform([path])


def test_found_faces_warn_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FaceCropper().transform([astronaut()])


def test_a_used_cropper_clones_and_pickles():
    cropper = FaceCropper(detector=HaarDetector(min_neighbors=5), margin=0.1)
    faces = cropper.fit_transform([astronaut()])
    for copy in (clone(cropper), pickle.loads(pickle.dumps(cropper))):
        assert_array_equal(copy.transform([astronaut()]), faces)


def test_each_thread_has_its_own_cascade():
    expected, found = detect_faces(astronaut()), []
    threads = [
        threading.Thread(target=lambda: found.append(detect_faces(astronaut()))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for boxes in found:
        assert_array_equal(boxes, expected)


def test_very_narrow_photos_are_searched_without_being_blown_up():
    with pytest.warns(NoFaceWarning, match="in 1 of 1 photos"):
        assert FaceCropper().transform([np.zeros((2, 20_000), np.uint8)]).shape == (1, 48, 48)


def test_opencv_without_cascades_is_told(monkeypatch):
    monkeypatch.delattr(cv2, "CascadeClassifier")
    with pytest.raises(MissingExtraError, match=r"has no Haar cascades any more\. Type: pip inst"):
        FaceCropper().transform([astronaut()])


def test_an_unreadable_file_is_told_by_name(tmp_path):
    with pytest.raises(ImageReadError, match=r"missing\.jpg: there is no such file"):
        FaceCropper().transform([astronaut(), tmp_path / "missing.jpg"])


def test_negative_pixels_are_refused():
    # In place of scikit-learn's check, which expects this of fit; fit reads no photos.
    with pytest.raises(ValueError, match="array has float pixels from -1 to 1"):
        FaceCropper(size=2).fit_transform(np.array([[-1.0, 0, 0, 1]]))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"detector": "har"}, "detector='har' is unknown; expected 'haar' or a function"),
        ({"select": "bigest"}, r"select='bigest' is unknown; .* Did you mean 'largest'\?"),
        ({"on_no_face": "drop"}, "on_no_face='drop' is unknown; expected one of 'full_image'"),
        ({"margin": -1}, "The 'margin' parameter of FaceCropper must be a float in the range"),
        ({"size": 0}, "size=0 must be a positive int, or a pair of them"),
    ],
)
def test_a_wrong_parameter_is_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        FaceCropper(**parameters).fit([astronaut()])


@pytest.mark.parametrize("boxes", [[(1, 2, 3)], [(0, 0, 0, 5)], [(0, 0, np.nan, 5)]])
def test_a_detector_that_returns_no_boxes_is_told(boxes):
    with pytest.raises(ValueError, match="expected left, top, width, height and perhaps a"):
        detect_faces(BLANK, detector=lambda photo: boxes)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"scale_factor": 1.0}, r"scale_factor=1\.0 must be a number above 1"),
        ({"min_neighbors": -1}, "min_neighbors=-1 must be an int of 0 or more"),
        ({"min_face": 2}, r"min_face=2 must be a number in \(0, 1\)"),
    ],
)
def test_a_wrong_parameter_of_the_detector_is_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        HaarDetector(**parameters)
