"""Annotated photos: what is drawn where, and that it is readable on any background and size."""

import cv2
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from running import in_threads
from skimage.data import astronaut

from fer_sklearn.drawing import draw_faces
from fer_sklearn.drawing._canvas import (
    Reading,
    fill,
    outline,
    plate_size,
    readable_on,
    text_width,
    write,
)
from fer_sklearn.drawing._faces import font_size, place_plates
from fer_sklearn.emotions import EMOTIONS
from fer_sklearn.plotting import EMOTION_COLORS

ASTRONAUT = [[170, 62, 112, 112]]
HAPPY = np.array([[0.02, 0.01, 0.01, 0.85, 0.08, 0.02, 0.01]])
NAN = np.full((1, 7), np.nan)


def _rgb(emotion):
    return tuple(bytes.fromhex(EMOTION_COLORS[emotion][1:]))


def _draw(photo, boxes=ASTRONAUT, emotions=("happy",), y_proba=HAPPY, **options):
    y_proba = np.repeat(y_proba, len(boxes), axis=0)
    labels = (list(emotions) * len(boxes))[: len(boxes)]
    return draw_faces(photo, boxes, labels, y_proba, EMOTIONS, **options)


def _count(image, color, tolerance=2):
    """Count the pixels of a colour."""
    return int((np.abs(image.astype(int) - color).max(axis=2) <= tolerance).sum())


def _changed(image, photo):
    return (image != photo).any(axis=2)


def _readings(n=1):
    names = tuple(EMOTIONS)
    colors = tuple(_rgb(name) for name in names)
    return [Reading("", "happy", _rgb("happy"), names, colors, tuple(HAPPY[0]))] * n


def _overlap(a, b):
    """Return the area of the intersection of two boxes."""
    (ax, ay, aw, ah), (bx, by, bw, bh) = a, b
    width = min(ax + aw, bx + bw) - max(ax, bx)
    height = min(ay + ah, by + bh) - max(ay, by)
    return max(0, width) * max(0, height)


def _plates(shape, boxes):
    """Place labels; return the layout, and the labels as boxes."""
    boxes = np.asarray(boxes, float)
    readings = _readings(len(boxes))
    layout = place_plates(shape, boxes, readings, font_size(shape, boxes))
    size = plate_size(readings[0], layout.level, layout.font)
    return layout, [(*corner, *size) for corner in layout.corners]


def test_the_photo_is_copied_and_keeps_its_size():
    photo = astronaut()
    before = photo.copy()
    image = _draw(photo)
    assert_array_equal(photo, before)
    assert image.shape == photo.shape
    assert image.dtype == np.uint8
    assert image.flags.writeable
    assert not np.shares_memory(image, photo)


def test_the_middle_of_the_face_is_not_covered():
    photo = astronaut()
    left, top, width, height = ASTRONAUT[0]
    inner = np.s_[top + 8 : top + height - 8, left + 8 : left + width - 8]
    assert_array_equal(_draw(photo)[inner], photo[inner])


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_box_and_headline_have_the_colour_of_the_emotion(emotion):
    # The other bars have different colours, so there are no probabilities here.
    image = _draw(np.full((300, 400, 3), 128, np.uint8), [[60, 60, 90, 90]], [emotion], NAN)
    assert _count(image, _rgb(emotion)) > 2 * 90 * 2
    others = [name for name in EMOTIONS if name != emotion]
    assert all(_count(image, _rgb(name)) < 10 for name in others)


def test_bars_are_as_long_as_the_probabilities():
    background = np.full((400, 600, 3), 128, np.uint8)
    y_proba = np.array([[0.5, 0.25, 0.0, 0.0, 0.0, 0.25, 0.0]])
    image = _draw(background, [[60, 60, 160, 160]], ["neutral"], y_proba)
    half, quarter, other = (_count(image, _rgb(name)) for name in ("angry", "disgust", "sad"))
    assert half == pytest.approx(2 * quarter, rel=0.15)
    assert quarter == pytest.approx(other, rel=0.05)


def test_without_probabilities_there_are_no_bars():
    background = np.full((300, 400, 3), 128, np.uint8)
    with_bars = _changed(_draw(background, [[60, 60, 90, 90]]), background).sum()
    for y_proba in (NAN, None):
        image = draw_faces(background, [[60, 60, 90, 90]], ["happy"], y_proba, EMOTIONS)
        assert _changed(image, background).sum() < with_bars / 2


def test_a_title_widens_the_headline():
    background = np.full((300, 400, 3), 128, np.uint8)
    plain = _count(_draw(background, [[60, 60, 90, 90]], y_proba=NAN), _rgb("happy"))
    titled = _draw(background, [[60, 60, 90, 90]], y_proba=NAN, titles=["face 12"])
    assert _count(titled, _rgb("happy")) > plain + 100
    assert_array_equal(
        _draw(background, [[60, 60, 90, 90]], titles=[None]), _draw(background, [[60, 60, 90, 90]])
    )


@pytest.mark.parametrize("background", [0, 255])
@pytest.mark.parametrize("emotion", EMOTIONS)
def test_everything_is_visible_on_black_and_on_white(background, emotion):
    photo = np.full((300, 400, 3), background, np.uint8)
    image = _draw(photo, [[60, 60, 90, 90]], [emotion]).astype(float)
    luminance = image @ [0.2126, 0.7152, 0.0722]
    # Across the left edge of the box there is a visible contrast.
    assert np.ptp(luminance[105, 50:70]) > 60
    # And in the headline, between letters and their background.
    _, plates = _plates(photo.shape, [[60, 60, 90, 90]])
    x, y, width, _ = map(int, plates[0])
    assert np.ptp(luminance[y + 2 : y + 14, x + 6 : x + width // 2]) > 80


@pytest.mark.parametrize("color", [*map(_rgb, EMOTIONS), (0, 0, 0), (255, 255, 255)])
def test_text_contrasts_with_its_background(color):
    def luminance(rgb):
        return np.dot([0.2126, 0.7152, 0.0722], (np.asarray(rgb) / 255) ** 2.2) + 0.05

    light, dark = sorted((luminance(color), luminance(readable_on(color))), reverse=True)
    # WCAG 2 requires 4.5 to 1.
    assert light / dark > 4.4


@pytest.mark.parametrize("shape", [(100, 100), (240, 320), (480, 640), (3000, 4000)])
@pytest.mark.parametrize("corner", [(0.0, 0.0), (0.7, 0.0), (0.0, 0.7), (0.7, 0.7)])
def test_plates_stay_inside_at_every_border(shape, corner):
    height, width = shape
    box = [corner[0] * width, corner[1] * height, 0.3 * width, 0.3 * height]
    layout, (plate,) = _plates(shape, [box])
    assert layout.covered == 0
    assert plate[0] >= 0
    assert plate[1] >= 0
    assert plate[0] + plate[2] <= width
    assert plate[1] + plate[3] <= height


def test_plates_of_a_crowd_cover_no_face_and_no_plate():
    boxes = [[50 + 200 * i, 42 + 200 * j, 112, 112] for j in range(3) for i in range(5)]
    layout, plates = _plates((600, 1000), boxes)
    assert layout.level == "strip"
    for i, plate in enumerate(plates):
        others = plates[:i] + plates[i + 1 :]
        assert not any(_overlap(plate, other) for other in [*others, *boxes])


def test_bars_shrink_if_there_is_no_space():
    assert _plates((480, 640), [[100, 100, 150, 150]])[0].level == "bars"
    layout, (plate,) = _plates((300, 300), [[5, 5, 290, 260]])
    assert layout.level in ("strip", "line")
    assert layout.covered == 0
    assert plate[1] > 260


def test_a_face_that_fills_the_image_stays_visible():
    layout, _ = _plates((320, 320), [[0, 0, 320, 320]])
    assert 0 < layout.covered < 0.25
    assert layout.legible


@pytest.mark.parametrize("size", [48, 100, 320, 1000, 4000])
def test_text_grows_with_the_image(size):
    boxes = np.array([[0.3, 0.1, 0.25, 0.25]]) * size
    font = font_size((size, size), boxes)
    assert font >= 12
    assert size / 45 < font < max(13, size / 15)


def test_text_grows_with_the_face():
    small, large = (font_size((1000, 1000), np.array([[0, 0, s, s]])) for s in (50, 450))
    assert small < large


@pytest.mark.parametrize("side", [1, 2, 7, 48])
def test_tiny_images_are_annotated_too(side):
    photo = np.full((side, side, 3), 128, np.uint8)
    assert _draw(photo, [[0, 0, side, side]]).shape == (side, side, 3)


def test_a_small_photo_is_enlarged_on_request():
    photo = cv2.resize(astronaut(), (120, 100))
    image = _draw(photo, [[40, 12, 26, 22]], min_side=320)
    assert image.shape == (320, 384, 3)
    assert_array_equal(image.shape, _draw(image, ASTRONAUT, min_side=320).shape)


def test_an_enlarged_crop_of_a_face_gets_a_margin_for_its_bars():
    crop = astronaut()[62:174, 170:282]
    image = _draw(crop, [[0, 0, 112, 112]], min_side=320)
    assert image.shape[0] == 320
    assert image.shape[1] > 420
    large = cv2.resize(crop, (320, 320), interpolation=cv2.INTER_CUBIC)
    assert_array_equal(image[40:280, 40:280], large[40:280, 40:280])
    assert (image[-5:, 330:] == 255).all()


def test_a_narrow_photo_is_enlarged_within_bounds():
    assert _draw(np.zeros((2, 2000, 3), np.uint8), [[0, 0, 2, 2]], min_side=320).shape[1] == 2000


@pytest.mark.parametrize("boxes", [[], np.empty((0, 4)), [[600, 20, 50, 50]], [[-60, 0, 50, 50]]])
def test_an_image_without_faces_is_unchanged(boxes):
    photo = astronaut()
    image = _draw(photo, boxes)
    assert_array_equal(image, photo)
    assert image is not photo


def test_a_box_is_clipped_to_the_image():
    photo = astronaut()
    assert _changed(_draw(photo, [[-40, 20, 100, 100]]), photo)[30:110, 0:8].any()


def test_gray_float_and_transparent_photos_become_rgb():
    photo = astronaut()
    gray = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    opaque = np.dstack([photo, np.full(photo.shape[:2], 255, np.uint8)])
    assert_array_equal(_draw(gray), _draw(np.dstack([gray] * 3)))
    assert_array_equal(_draw(photo / 255), _draw(photo))
    assert_array_equal(_draw(opaque), _draw(photo))
    assert_array_equal(_draw(photo[:, ::-1][:, ::-1]), _draw(photo))


def test_other_labels_than_emotions_are_drawn_too():
    background = np.full((300, 400, 3), 128, np.uint8)
    image = draw_faces(
        background, [[60, 60, 90, 90]], ["ὑγιής"], [[0.4, 0.6]], ["contempt", "ὑγιής"]
    )
    assert _changed(image, background).sum() > 1000
    # A label without a probability has no percentage.
    draw_faces(background, [[60, 60, 90, 90]], ["other"], [[0.4, 0.6]], ["contempt", "happy"])


def test_threads_draw_the_same_image():
    photo = astronaut()
    expected = _draw(photo)
    for images in in_threads(lambda: [_draw(photo) for _ in range(5)], 4):
        for image in images:
            assert_array_equal(image, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"boxes": [[1, 2, 3]]},
            r"^boxes has shape \(1, 3\); expected \(n, 4\): left, top, width, height\.$",
        ),
        (
            {"boxes": [[1, 2, np.nan, 4]]},
            r"^boxes has NaN or infinite values; expected pixels of the image\.$",
        ),
        ({"labels": []}, r"^labels has 0 item\(s\) for 1 box\(es\); expected one each\.$"),
        (
            {"titles": ["a", "b"]},
            r"^titles has 2 item\(s\) for 1 box\(es\); expected one each\.$",
        ),
        (
            {"y_proba": [[0.5, 0.5]]},
            r"^y_proba has shape \(1, 2\); expected \(1, 7\): one row per box, one column per "
            r"class\.$",
        ),
        ({"image": np.zeros((2, 2, 2))}, r"^image has shape \(2, 2, 2\); expected one photo"),
        ({"min_side": 0}, r"^min_side=0; expected an int of at least 1, or None\.$"),
    ],
)
def test_inconsistent_arguments_are_refused(change, message):
    arguments = {
        "image": astronaut(),
        "boxes": ASTRONAUT,
        "labels": ["happy"],
        "y_proba": HAPPY,
        "classes": EMOTIONS,
    }
    with pytest.raises(ValueError, match=message):
        draw_faces(**arguments | change)


def test_text_has_the_stated_width_and_is_clipped_at_the_border():
    canvas = np.zeros((40, 200, 3), np.uint8)
    end = write(canvas, "happy", 10, 5, 16, (255, 255, 255))
    columns = np.flatnonzero(canvas.any(axis=(0, 2)))
    assert end == 10 + text_width("happy", 16)
    assert 10 <= columns.min() < 14
    assert end - 4 < columns.max() <= end + 1
    for x, y in ((-20, -8), (190, 30), (500, 0), (-300, 0)):
        write(canvas, "happy", x, y, 16, (255, 255, 255))


@pytest.mark.parametrize(("opacity", "expected"), [(1, 200), (0.5, 150), (0, 100)])
def test_fill_covers_exactly_its_box(opacity, expected):
    canvas = np.full((40, 60, 3), 100, np.uint8)
    fill(canvas, (10, 5, 30, 20), (200, 200, 200), opacity=opacity)
    assert (np.abs(canvas[6:24, 11:39].astype(int) - expected) <= 1).all()
    outside = canvas.copy()
    outside[4:26, 9:41] = 100
    assert (outside == 100).all()


def test_corners_are_rounded():
    canvas = np.zeros((40, 60, 3), np.uint8)
    fill(canvas, (0, 0, 60, 40), (255, 255, 255), radius=12)
    assert canvas[0, 0, 0] == 0
    assert canvas[20, 0, 0] == canvas[0, 30, 0] == 255
    ring = np.zeros((40, 60, 3), np.uint8)
    outline(ring, (5, 5, 49, 29), (255, 255, 255), thickness=2, radius=6)
    assert ring[20, 30, 0] == 0
    assert ring[20, 5, 0] == ring[5, 30, 0] == 255
