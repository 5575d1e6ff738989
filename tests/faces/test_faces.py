"""Detector output, cropping, and FaceCropper."""

import pickle
import warnings

import cv2
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from skimage.data import astronaut
from sklearn.base import clone

from fer_sklearn.exceptions import ImageReadError, NoFaceError, NoFaceWarning
from fer_sklearn.faces import FaceCropper, Faces, HaarDetector, crop_face, detect_faces

BLANK = np.full((200, 200, 3), 128, np.uint8)


def _halves(photo):
    """A detector that finds a small face on the right and a larger one on the left."""
    return [(0, 0, 10, 10, 1.0), (14, 5, 4, 4, 9.0), (9, 9, 2, 2, 3.0)]


def _no_face(photo):
    return []


def test_kinds_of_sources_give_the_same_faces(tmp_path):
    path = tmp_path / "astronaut.png"
    Image.fromarray(astronaut()).save(path)
    expected = detect_faces(astronaut())
    with path.open("rb") as file:
        for source in (path, str(path), path.read_bytes(), file):
            assert_array_equal(detect_faces(source).boxes, expected.boxes)


@pytest.mark.parametrize("found", [[], (), None, np.empty((0, 4)), np.empty((0, 5)), Faces.none()])
def test_empty_results_mean_no_faces(found):
    faces = detect_faces(BLANK, lambda photo: found)
    assert (faces.boxes.shape, faces.scores.shape, faces.eyes.shape) == ((0, 4), (0,), (0, 2, 2))


def test_boxes_of_four_numbers_have_neither_scores_nor_eyes():
    faces = detect_faces(BLANK, lambda photo: [(1, 2, 3, 4), (5, 6, 7, 8)])
    assert faces.boxes.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert np.isnan(faces.scores).all()
    assert np.isnan(faces.eyes).all()


def test_the_fifth_number_is_the_score():
    faces = detect_faces(BLANK, _halves)
    assert faces.boxes.shape == (3, 4)
    assert faces.scores.tolist() == [1, 9, 3]


def test_faces_of_a_detector_are_passed_on():
    faces = Faces(np.ones((1, 4)), np.ones(1), np.ones((1, 2, 2)))
    assert detect_faces(BLANK, lambda photo: faces) is faces


@pytest.mark.parametrize("known", [[(1, 2, 3, 4)], [[1, 2, 3, 4, 9]], np.array([[1.0, 2, 3, 4]])])
def test_boxes_can_replace_a_detector(known):
    assert detect_faces(BLANK, known).boxes.tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize(
    "known",
    [
        [(1, 1, 5, 5), (2, 2, 6, 6, 0.5)],
        np.array([[1, 1, 5, 5], [2, 2, 6, 6]]),
        [[(1, 1, 5, 5), (0, 0, 2, 2)], [(2, 2, 6, 6)]],
        [
            Faces(np.array([[1.0, 1, 5, 5]]), np.ones(1), np.full((1, 2, 2), np.nan)),
            np.array([[2, 2, 6, 6]]),
        ],
    ],
)
def test_known_boxes_can_replace_the_detector_for_a_batch(known):
    rng = np.random.default_rng(0)
    photos = [rng.integers(0, 256, (20, 30), np.uint8), rng.integers(0, 256, (40, 20), np.uint8)]
    faces = FaceCropper(size=8, detector=known).fit_transform(photos)
    assert_array_equal(faces[0], crop_face(photos[0], (1, 1, 5, 5), (8, 8)))
    assert_array_equal(faces[1], crop_face(photos[1], (2, 2, 6, 6), (8, 8)))


@pytest.mark.parametrize("nothing", [None, [], Faces.none()])
def test_on_no_face_applies_to_known_boxes_too(nothing):
    cropper = FaceCropper(size=8, detector=[(1, 1, 5, 5), nothing], on_no_face="blank")
    with pytest.warns(NoFaceWarning, match=r"in 1 of 2 photos \(positions 1\)"):
        assert (cropper.transform([BLANK, BLANK])[1] == 0).all()


def test_known_boxes_for_another_number_of_photos_are_an_error():
    cropper = FaceCropper(detector=[(1, 1, 5, 5)])
    with pytest.raises(ValueError, match=r"has 1 entries for 2 photo\(s\); expected one per photo"):
        cropper.transform([BLANK, BLANK])


def test_a_wrong_entry_of_known_boxes_is_named_by_position():
    cropper = FaceCropper(detector=[(1, 1, 5, 5), (1, 1, 0, 5)])
    with pytest.raises(ValueError, match=r"detector\[1\], as the boxes of a photo, has \[1\.0, 1"):
        cropper.transform([BLANK, BLANK])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": np.ones(2)}, r"returned Faces with 1 boxes, scores of shape \(2,\)"),
        ({"eyes": np.ones((1, 2))}, r"and eyes of shape \(1, 2\); expected \(1,\) and \(1, 2, 2\)"),
        ({"boxes": np.ones((1, 3))}, r"returned boxes of shape \(1, 3\); expected a list of"),
    ],
)
def test_inconsistent_faces_are_errors(changes, message):
    parts = {"boxes": np.ones((1, 4)), "scores": np.ones(1), "eyes": np.ones((1, 2, 2))}
    with pytest.raises(ValueError, match=message):
        detect_faces(BLANK, lambda photo: Faces(**(parts | changes)))


def test_faces_are_rgb_and_of_one_size():
    faces = FaceCropper(size=(60, 50)).fit_transform([astronaut(), astronaut()[:300, 50:400]])
    assert faces.shape == (2, 60, 50, 3)
    assert faces.dtype == np.uint8
    # Skin has more red than blue. In BGR it would be the other way round.
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


def test_most_confident_needs_confidences():
    cropper = FaceCropper(detector=lambda photo: [(0, 0, 9, 9)], select="most_certain")
    with pytest.raises(ValueError, match="select='most_certain' needs a detector that gives a"):
        cropper.transform([BLANK])


def test_crop_takes_exactly_the_box_and_its_margin():
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    assert_array_equal(crop_face(photo, (10, 5, 20, 20), (20, 20)), photo[5:25, 10:30])
    assert_array_equal(crop_face(photo, (10, 5, 20, 20), (24, 24), 0.1), photo[3:27, 8:32])


def _marked(angle):
    """A face of four marks, rotated clockwise about (60, 50), and its eyes."""
    points = np.array([[-12.0, -8.0], [12.0, -8.0], [0.0, 2.0], [0.0, 14.0]])
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    points = points @ np.array([[cosine, sine], [-sine, cosine]]) + (60, 50)
    rows, columns = np.mgrid[:100, :120]
    photo = np.zeros((100, 120))
    for x, y in points:
        photo += 255 * np.exp(-((columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2) / 8)
    return photo.clip(0, 255).astype(np.uint8), points[:2]


@pytest.mark.parametrize("angle", [-40, -10, 5, 25])
@pytest.mark.parametrize("margin", [0.0, 0.2])
def test_eyes_are_levelled_and_nothing_else_changes(angle, margin):
    upright, _ = _marked(0)
    photo, eyes = _marked(angle)
    box = (40, 30, 40, 40)
    expected = crop_face(upright, box, (40, 40), margin).astype(int)
    aligned = crop_face(photo, box, (40, 40), margin, eyes=eyes)
    assert np.abs(aligned - expected).max() < 25
    assert np.abs(crop_face(photo, box, (40, 40), margin) - expected).max() > 60


@pytest.mark.parametrize("eyes", [None, np.full((2, 2), np.nan), [(50, 45), (70, 45)]])
def test_without_eyes_or_with_level_ones_nothing_is_rotated(eyes):
    photo, _ = _marked(20)
    box = (40, 30, 40, 40)
    assert_array_equal(crop_face(photo, box, (20, 20), eyes=eyes), crop_face(photo, box, (20, 20)))


@pytest.mark.parametrize("box", [(-50, -60, 30, 30), (200, 300, 30, 30), (-30, 40, 300, 20)])
@pytest.mark.parametrize("eyes", [None, [(0, 0), (10, 4)]])
def test_boxes_beyond_the_photo_repeat_its_border(box, eyes):
    photo = np.full((60, 80, 3), 7, np.uint8)
    assert_array_equal(crop_face(photo, box, (8, 9), eyes=eyes), np.full((8, 9, 3), 7))


def test_align_rotates_the_chosen_face():
    photo, eyes = _marked(25)
    boxes = np.array([[0.0, 0, 5, 5], [40, 30, 40, 40]])
    faces = Faces(boxes, np.ones(2), np.array([np.full((2, 2), np.nan), eyes]))
    plain, aligned = (
        FaceCropper(size=40, detector=lambda photo: faces, align=align).transform([photo])[0]
        for align in (False, True)
    )
    assert_array_equal(plain, crop_face(photo, boxes[1], (40, 40)))
    assert_array_equal(aligned, crop_face(photo, boxes[1], (40, 40), eyes=eyes))


def test_crop_keeps_proportions():
    photo = np.random.default_rng(0).integers(0, 256, (40, 60), dtype=np.uint8)
    assert_array_equal(crop_face(photo, (20, 10, 10, 20), (20, 20)), photo[10:30, 15:35])


def test_crop_continues_the_border_beyond_the_photo():
    photo = np.arange(100, dtype=np.uint8).reshape(10, 10)
    crop = crop_face(photo, (-2, -1, 4, 4), (4, 4))
    assert crop.tolist() == [[0, 0, 0, 1], [0, 0, 0, 1], [10, 10, 10, 11], [20, 20, 20, 21]]


def test_full_image_is_used_with_one_warning_per_batch():
    photos = [BLANK, astronaut(), BLANK // 2]
    with pytest.warns(NoFaceWarning) as warned:
        faces = FaceCropper().fit_transform(photos)
    assert [str(warning.message) for warning in warned] == [
        "No face was found in 2 of 3 photos (positions 0, 2); on_no_face='full_image' was applied."
    ]
    assert (faces[0] == 128).all()
    assert (faces[2] == 64).all()


def test_long_lists_of_photos_without_faces_are_abbreviated():
    with pytest.warns(NoFaceWarning, match=r"in 7 of 7 photos \(positions 0, 1, 2, 3, 4, …\)"):
        FaceCropper(detector=_no_face).transform([BLANK] * 7)


def test_a_blank_image_replaces_a_missing_face():
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


def test_found_faces_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FaceCropper().transform([astronaut()])


def test_a_used_cropper_clones_and_pickles():
    cropper = FaceCropper(detector=HaarDetector(min_size=60), margin=0.1, align=True)
    faces = cropper.fit_transform([astronaut()])
    for copy in (clone(cropper), pickle.loads(pickle.dumps(cropper))):
        assert_array_equal(copy.transform([astronaut()]), faces)


def test_raise_names_the_position_of_bytes(tmp_path):
    Image.fromarray(BLANK).save(tmp_path / "wall.png")
    data = (tmp_path / "wall.png").read_bytes()
    with pytest.raises(NoFaceError, match=r"No face was found in X\[0\], 200×200"):
        FaceCropper(on_no_face="raise").transform([data])


def test_an_unreadable_file_is_named(tmp_path):
    with pytest.raises(ImageReadError, match=r"missing\.jpg: there is no such file"):
        FaceCropper().transform([astronaut(), tmp_path / "missing.jpg"])


def test_negative_pixels_are_rejected():
    # Replaces scikit-learn's check, which expects this of fit; fit does not read photos.
    with pytest.raises(ValueError, match="X has float pixels from -1 to 1"):
        FaceCropper(size=2).fit_transform(np.array([[-1.0, 0, 0, 1]]))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"detector": "har"}, r"detector='har' is unknown; expected .* Did you mean 'haar'\?"),
        ({"select": "bigest"}, r"select='bigest' is unknown; .* Did you mean 'largest'\?"),
        ({"on_no_face": "drop"}, "on_no_face='drop' is unknown; expected one of 'full_image'"),
        ({"margin": -1}, "The 'margin' parameter of FaceCropper must be a float in the range"),
        ({"align": "yes"}, "The 'align' parameter of FaceCropper must be"),
        ({"size": 0}, "size=0 must be a positive int, or a pair of them"),
    ],
)
def test_a_wrong_parameter_is_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        FaceCropper(**parameters).fit([astronaut()])


@pytest.mark.parametrize(
    "boxes", [[(1, 2, 3)], [(0, 0, 0, 5)], [(0, 0, np.nan, 5)], [(1, 2), (3,)], "face", {"x": 1}]
)
def test_a_detector_that_does_not_return_boxes_is_an_error(boxes):
    with pytest.raises(ValueError, match=r"expected a list of \(left, top, width, height\)"):
        detect_faces(BLANK, detector=lambda photo: boxes)
