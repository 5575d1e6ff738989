"""Detector output, cropping, and FaceCropper."""

import itertools
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
    shapes = (faces.boxes.shape, faces.scores.shape, faces.keypoints.shape)
    assert shapes == ((0, 4), (0,), (0, 6, 2))


def test_boxes_of_four_numbers_have_neither_scores_nor_key_points():
    faces = detect_faces(BLANK, lambda photo: [(1, 2, 3, 4), (5, 6, 7, 8)])
    assert faces.boxes.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert np.isnan(faces.scores).all()
    assert np.isnan(faces.keypoints).all()


def test_the_fifth_number_is_the_score():
    faces = detect_faces(BLANK, _halves)
    assert faces.boxes.shape == (3, 4)
    assert faces.scores.tolist() == [1, 3, 9]


def test_faces_of_a_detector_are_passed_on():
    faces = Faces(np.ones((1, 4)), np.ones(1), np.ones((1, 6, 2)), (0.1, 0.2, 0.3, 0.4))
    passed = detect_faces(BLANK, lambda photo: faces)
    assert_array_equal(passed.keypoints, faces.keypoints)
    assert passed.box_in_crop == faces.box_in_crop


def test_an_object_that_detects_is_a_detector():
    class Own:
        def detect(self, photo):
            return [(1, 2, 3, 4, 0.5)]

    assert detect_faces(BLANK, Own()).boxes.tolist() == [[1, 2, 3, 4]]
    crops = FaceCropper(size=8, detector=Own()).fit_transform([BLANK])
    assert_array_equal(crops[0], crop_face(BLANK, (1, 2, 3, 4), (8, 8)))


def test_the_parts_of_faces_may_be_lists_or_missing():
    found = detect_faces(BLANK, lambda photo: Faces([[1, 2, 3, 4], [9, 2, 3, 4]], [1, 0], None))
    assert (found.boxes.dtype, found.scores.dtype) == (np.float64, np.float64)
    assert found.scores.tolist() == [1, 0]
    assert np.isnan(found.keypoints).all()
    assert np.isnan(detect_faces(BLANK, lambda photo: Faces([[1, 2, 3, 4]], None, None)).scores)
    with pytest.raises(ValueError, match=r"returned Faces\(boxes='left'.*expected a list of"):
        detect_faces(BLANK, lambda photo: Faces("left", None, None))


def test_a_detector_may_change_the_pixels_that_it_is_given():
    def draws(photo):
        photo[:] = 0
        return [(1, 2, 30, 40)]

    photo = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    before = photo.copy()
    (crop,) = FaceCropper(size=8, detector=draws).fit_transform([photo])
    assert_array_equal(photo, before)
    assert_array_equal(crop, crop_face(before, (1, 2, 30, 40), (8, 8)))


def test_the_class_of_a_detector_is_refused():
    for find in (detect_faces, lambda photo, detector: FaceCropper(detector=detector).fit([photo])):
        with pytest.raises(ValueError, match=r"detector=HaarDetector is a class.*HaarDetector\(\)"):
            find(BLANK, detector=HaarDetector)


# In the order in which they are numbered; the last two share a corner.
ORDERED = [(1, 50, 9, 9), (5, 2, 9, 9), (5, 30, 9, 9), (30, 7, 20, 20), (30, 7, 10, 10)]


@pytest.mark.parametrize("seed", range(5))
def test_faces_are_numbered_from_left_to_right_then_down_then_by_size(seed):
    rng = np.random.default_rng(seed)
    # Less than half a pixel does not change the order.
    shuffled = rng.permutation(np.array(ORDERED) + rng.uniform(-0.4, 0.4, (5, 1)) * [1, 1, 0, 0])
    found = detect_faces(BLANK, lambda photo: shuffled)
    assert np.rint(found.boxes).tolist() == [list(box) for box in ORDERED]


def test_the_largest_faces_are_kept_and_then_numbered():
    boxes = [(50, 0, 9, 9), (30, 0, 4, 4), (10, 0, 20, 20), (0, 0, 2, 2)]
    found = detect_faces(BLANK, lambda photo: boxes, max_faces=2)
    assert found.boxes.tolist() == [[10, 0, 20, 20], [50, 0, 9, 9]]
    # Known boxes keep the order in which they are passed.
    known = detect_faces(BLANK, boxes, max_faces=2)
    assert known.boxes.tolist() == [[50, 0, 9, 9], [10, 0, 20, 20]]


def test_equally_large_faces_are_kept_and_numbered_in_one_order():
    ties = [(10, 10, 9, 9, 0.9), (10, 10, 9, 9, 0.1), (40, 0, 9, 9, 0.5), (5, 50, 9, 9, 0.5)]
    expected = [[5, 50], [10, 10], [10, 10]]
    for boxes in itertools.permutations(ties):
        found = detect_faces(BLANK, lambda photo, boxes=boxes: boxes, max_faces=3)
        assert found.boxes[:, :2].tolist() == expected
        assert found.scores.tolist() == [0.5, 0.9, 0.1]


@pytest.mark.parametrize("max_faces", [0, 1.5, "2"])
def test_a_wrong_number_of_faces_is_an_error(max_faces):
    with pytest.raises(ValueError, match=f"max_faces={max_faces!r} must be a positive int, or"):
        detect_faces(BLANK, _halves, max_faces=max_faces)


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
            Faces(np.array([[1.0, 1, 5, 5]]), np.ones(1), np.full((1, 6, 2), np.nan)),
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
        (
            {"keypoints": np.ones((1, 2))},
            r"keypoints of shape \(1, 2\); expected \(1,\) and \(1, 6, 2",
        ),
        ({"boxes": np.ones((1, 3))}, r"returned boxes of shape \(1, 3\); expected a list of"),
    ],
)
def test_inconsistent_faces_are_errors(changes, message):
    parts = {"boxes": np.ones((1, 4)), "scores": np.ones(1), "keypoints": np.ones((1, 6, 2))}
    with pytest.raises(ValueError, match=message):
        detect_faces(BLANK, lambda photo: Faces(**(parts | changes)))


def test_faces_are_rgb_and_of_one_size():
    faces = FaceCropper(size=(60, 50)).fit_transform([astronaut(), astronaut()[:300, 50:400]])
    assert faces.shape == (2, 60, 50, 3)
    assert faces.dtype == np.uint8
    # Skin contains more red than blue; in BGR it would be the opposite.
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


EXACTLY = (0, 0, 1, 1)


def test_crop_takes_exactly_the_box_or_a_fraction_of_it():
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    box = (10, 5, 20, 20)
    crop = crop_face(photo, box, (20, 20), box_in_crop=EXACTLY)
    assert_array_equal(crop, photo[5:25, 10:30])
    # The box takes up five sixths of the crop, and touches its lower right corner.
    crop = crop_face(photo, box, (24, 24), box_in_crop=(1 / 6, 1 / 6, 5 / 6, 5 / 6))
    assert_array_equal(crop, photo[1:25, 6:30])


def test_shrinking_averages_the_pixels_of_the_photo():
    photo = np.random.default_rng(0).integers(0, 256, (90, 90), dtype=np.uint8)
    crop = crop_face(photo, (0, 0, 90, 90), (30, 30), box_in_crop=EXACTLY)
    expected = photo.reshape(30, 3, 30, 3).mean(axis=(1, 3))
    assert np.abs(crop - expected).max() <= 0.51
    # Stripes of a pixel become grey, wherever the crop begins.
    stripes = np.zeros((400, 400), np.uint8)
    stripes[:, ::2] = 255
    crop = crop_face(stripes, (50.3, 40.6, 250.7, 250.7), (48, 48), box_in_crop=EXACTLY)
    assert np.abs(crop.astype(int) - 127).max() < 30


# Where FER2013's images have the eyes and the mouth, in pixels of 48.
PLACES = np.array([[15.1, 18.9], [32.9, 18.7], [24.3, 37.2]])


def _marked(angle, scale, centre):
    """A photo with a mark at each eye and the mouth of a face, its box and its key points."""
    radians = np.radians(angle)
    turn = np.array([[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]])
    points = scale * (PLACES - 24) @ turn + centre
    rows, columns = np.mgrid[:300, :400]
    photo = np.zeros((300, 400))
    for x, y in points:
        distances = (columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2
        photo += 255 * np.exp(-distances / (8 * scale**2))
    keypoints = np.full((6, 2), np.nan)
    keypoints[[0, 1, 3]] = points
    side = 46 * scale
    box = (centre[0] - side / 2, centre[1] - side / 2, side, side)
    return photo.clip(0, 255).astype(np.uint8), box, keypoints


def _marks(crop):
    """Return where the three marks of a crop of 48 pixels are."""
    rows, columns = np.mgrid[:48, :48] + 0.5
    found = []
    for x, y in PLACES:
        weights = crop * (np.hypot(columns - x, rows - y) < 8)
        found.append([np.average(columns, weights=weights), np.average(rows, weights=weights)])
    return np.array(found)


@pytest.mark.parametrize("angle", [-100, -45, -10, 0, 30, 45, 90])
@pytest.mark.parametrize("scale", [0.6, 1.0, 3.7])
def test_eyes_and_mouth_come_to_where_fer2013_has_them(angle, scale):
    photo, box, keypoints = _marked(angle, scale, (201.3, 148.6))
    crop = crop_face(photo, box, (48, 48), keypoints)
    # They are scaled about the middle, by less than a tenth.
    assert np.abs(_marks(crop) - PLACES).max() < 1.5
    if abs(angle) > 20:
        assert np.abs(_marks(crop_face(photo, box, (48, 48))) - PLACES).max() > 1.6


@pytest.mark.parametrize(
    "keypoints",
    [
        None,
        np.full((6, 2), np.nan),
        # One eye is not enough, and points that contradict the box are ignored.
        [(50, 45), *[(np.nan, np.nan)] * 5],
        [(50, 45), (51, 45), (50, 46), (50, 47), (48, 45), (53, 45)],
        np.full((6, 2), 50.0),
    ],
)
def test_without_key_points_the_box_places_the_crop(keypoints):
    photo, _, _ = _marked(20, 1, (60, 50))
    box = (40, 30, 40, 40)
    expected = crop_face(photo, box, (20, 20))
    assert_array_equal(crop_face(photo, box, (20, 20), keypoints), expected)


def test_two_eyes_place_the_crop_too():
    photo, box, keypoints = _marked(-30, 2, (200, 150))
    keypoints[3] = np.nan
    assert np.abs(_marks(crop_face(photo, box, (48, 48), keypoints)) - PLACES).max() < 1.5


@pytest.mark.parametrize("box", [(-50, -60, 30, 30), (200, 300, 30, 30), (-30, 40, 300, 20)])
@pytest.mark.parametrize("keypoints", [None, [(0, 0), (10, 4), *[(np.nan, np.nan)] * 4]])
def test_boxes_beyond_the_photo_repeat_its_border(box, keypoints):
    photo = np.full((60, 80, 3), 7, np.uint8)
    assert_array_equal(crop_face(photo, box, (8, 9), keypoints), np.full((8, 9, 3), 7))


def test_framing_chooses_between_key_points_and_the_box():
    photo, box, keypoints = _marked(25, 2, (200, 150))
    boxes = np.array([[0.0, 0, 5, 5], box])
    both = np.array([np.full((6, 2), np.nan), keypoints])
    faces = Faces(boxes, np.ones(2), both, (0.1, 0.1, 0.8, 0.8))
    by_keypoints, by_box = (
        FaceCropper(size=40, detector=lambda photo: faces, framing=framing).transform([photo])[0]
        for framing in ("keypoints", "box")
    )
    assert_array_equal(by_keypoints, crop_face(photo, box, (40, 40), keypoints))
    assert_array_equal(by_box, crop_face(photo, box, (40, 40), box_in_crop=faces.box_in_crop))


def test_crop_face_takes_what_detect_faces_takes(tmp_path):
    box = (171, 73, 103, 103)
    expected = crop_face(astronaut(), box, (48, 48))
    Image.fromarray(astronaut()).save(tmp_path / "a.png")
    for image in (tmp_path / "a.png", astronaut() / 255, astronaut().astype(int)):
        assert_array_equal(crop_face(image, (*box, 0.9), 48), expected)
    unknown = np.full((6, 2), np.inf)
    assert_array_equal(crop_face(astronaut(), box, 48, unknown), expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": (0, 48)}, r"size=\(0, 48\) must be a positive int, or a pair"),
        ({"box": (np.nan, 1, 2, 3)}, r"crop_face received \[nan, 1\.0, 2\.0, 3\.0\] as number 0"),
        ({"box": (1, 1, 0, 5)}, r"crop_face received \[1\.0, 1\.0, 0\.0, 5\.0\] as number 0"),
        ({"box": (1, 1)}, r"crop_face received boxes of shape \(1, 2\)"),
        ({"keypoints": np.zeros((5, 2))}, r"keypoints of shape \(1, 5, 2\); expected .*6, 2\)"),
        ({"box_in_crop": (0, 0, 0, 1)}, r"box_in_crop=\(0, 0, 0, 1\); expected left, top"),
        ({"image": BLANK[:0]}, r"image has shape \(0, 200, 3\): a photo without pixels"),
    ],
)
def test_wrong_arguments_of_crop_face_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        crop_face(**({"image": BLANK, "box": (1, 2, 30, 40), "size": 48} | changes))


def test_crop_keeps_proportions():
    photo = np.random.default_rng(0).integers(0, 256, (40, 60), dtype=np.uint8)
    crop = crop_face(photo, (20, 10, 10, 20), (20, 20), box_in_crop=EXACTLY)
    assert_array_equal(crop, photo[10:30, 15:35])
    # A wide crop shows more to the sides of the face.
    crop = crop_face(photo, (20, 10, 10, 10), (10, 30), box_in_crop=EXACTLY)
    assert_array_equal(crop, photo[10:20, 10:40])


def test_crop_continues_the_border_beyond_the_photo():
    photo = np.arange(100, dtype=np.uint8).reshape(10, 10)
    crop = crop_face(photo, (-2, -1, 4, 4), (4, 4), box_in_crop=EXACTLY)
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
    cropper = FaceCropper(detector=HaarDetector(min_size=60), framing="box")
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
        ({"framing": "boxes"}, r"framing='boxes' is unknown; .* Did you mean 'box'\?"),
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
