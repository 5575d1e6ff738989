"""Arrays of pixels mean the same in every step, or raise an error with a remedy."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from fer_sklearn import (
    FaceCropper,
    GrayscaleResizer,
    HOGExtractor,
    LBPExtractor,
    MirroredFeatures,
    PixelNormalizer,
    RGBResizer,
    audit_dataset,
    duplicate_groups,
    load_pretrained,
    make_hog_svm_pipeline,
    predict_photos,
)
from fer_sklearn._utils.pixel_values import to_pixels
from fer_sklearn._utils.pixels import pixel_names

TRANSFORMERS = [
    GrayscaleResizer(),
    PixelNormalizer(),
    PixelNormalizer("standard"),
    HOGExtractor(),
    LBPExtractor(),
    MirroredFeatures(),
]
ids = [repr(transformer) for transformer in TRANSFORMERS]


@pytest.fixture(scope="module")
def images():
    """Five seeded images, uint8 (5, 48, 48), with values from 0 to 255."""
    images = np.random.default_rng(0).integers(0, 256, (5, 48, 48), dtype=np.uint8)
    images[:, 0, :2] = 0, 255
    return images


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=ids)
@pytest.mark.parametrize(
    "dtype", ["int8", "uint16", "int32", "uint64", ">u2", ">i2", ">i8", "bool", "object"]
)
def test_every_step_takes_a_dtype_for_the_same_pixels(images, transformer, dtype):
    given = expected = images
    if dtype == "bool":
        given, expected = images > 127, (images > 127) * np.uint8(255)
    elif dtype == "int8":
        given, expected = (images // 2).astype(np.int8), images // 2
    elif dtype == "object":
        given = np.empty(len(images), object)
        given[:] = list(images)
    else:
        given = images.astype(dtype)
    assert_array_equal(transformer.fit_transform(given), transformer.fit_transform(expected))


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=ids)
@pytest.mark.parametrize("white", [1023, 4095, 65535])
def test_uint16_of_fewer_bits_is_as_bright_as_of_sixteen(images, transformer, white):
    scaled = np.round(images / 255 * white).astype(np.uint16)
    assert_array_equal(transformer.fit_transform(scaled), transformer.fit_transform(images))


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=ids)
def test_floats_of_either_byte_order_give_the_same_result(images, transformer):
    unit = (images / 255).astype(np.float32)
    expected = transformer.fit_transform(unit)
    assert_array_equal(transformer.fit_transform(unit.astype(">f4")), expected)
    assert_allclose(transformer.fit_transform(unit.astype(">f8")), expected, atol=1e-6)


def test_uint8_and_floats_are_returned_as_they_are(images):
    assert to_pixels(images) is images
    floats = images.astype(np.float32)
    assert to_pixels(floats) is floats


@pytest.mark.parametrize("transformer", [*TRANSFORMERS, FaceCropper(detector=lambda image: [])])
@pytest.mark.parametrize(("value", "found"), [(np.nan, "NaN"), (-np.inf, "infinity")])
@pytest.mark.parametrize("form", [lambda X: X, lambda X: X.reshape(5, -1)], ids=["3-D", "2-D"])
def test_nan_and_infinity_are_refused_by_row(images, transformer, value, found, form):
    unit = images / 255
    unit[3, 5, 7] = unit[4, 1, 1] = value
    message = rf"X\[3\] contains {found}; 2 of 5 images contain NaN or infinity"
    with pytest.raises(ValueError, match=message):
        transformer.fit(form(images)).transform(form(unit))


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=ids)
def test_integers_beyond_a_byte_are_refused_by_row(images, transformer):
    given = images.astype(np.int32)
    given[2, 4, 4] = 300
    with pytest.raises(ValueError, match=r"X\[2\] has int32 pixels from 0 to 300; expected 0..255"):
        transformer.fit(images).transform(given)


# -- one image without the batch axis -----------------------------------------------------

ONE_IMAGE = {
    "grey": (48, 48),
    "other size": (110, 115),
    "rows that are squares": (300, 256),
    "square of squares": (64, 64),
    "RGB": (110, 115, 3),
    "RGBA": (110, 115, 4),
    "grey with alpha": (110, 115, 2),
    "channel": (48, 48, 1),
    "other size, channel": (110, 115, 1),
    "nested list": (48, 48),
    "list of rows": (48, 48),
    "list of rows of colour": (110, 115, 3),
}


def _one_image(kind):
    image = np.random.default_rng(0).integers(0, 256, ONE_IMAGE[kind], dtype=np.uint8)
    if kind == "nested list":
        return image.tolist()
    return list(image) if kind.startswith("list") else image


def test_photos_with_nan_are_refused_by_row(images):
    floats = images / 255
    floats[3, 2] = np.nan
    with pytest.raises(ValueError, match=r"images\[3\] contains NaN; 1 of 5 images"):
        predict_photos(floats, progress=False)


def test_floats_slightly_beyond_their_range_are_clipped(images):
    floats = images / 255
    beyond = floats.copy()
    beyond[0, 0, :2] = -0.05, 1.05
    for step in (GrayscaleResizer(), RGBResizer(48)):
        assert_array_equal(step.transform(beyond), step.transform(floats))


@pytest.mark.parametrize("white", [1.2, 2.0])
def test_floats_between_two_ranges_are_refused(images, white):
    # In 0..255 they would be black.
    for step in (GrayscaleResizer(), RGBResizer()):
        with pytest.raises(ValueError, match=rf"from 0 to {white:g}; expected \[0, 1\] or"):
            step.transform(images / 255 * white)


def test_channels_first_are_refused_with_the_remedy(images):
    channels_first = np.stack([images] * 3, axis=1)
    with pytest.raises(ValueError, match=r"pass np\.moveaxis\(X, 1, -1\)"):
        HOGExtractor().fit(channels_first)
    with pytest.raises(ValueError, match="channels last"):
        GrayscaleResizer().fit_transform(channels_first)
    assert GrayscaleResizer().transform(np.moveaxis(channels_first, 1, -1)).shape == (5, 48, 48)


@pytest.fixture(scope="module")
def estimators(faces):
    X, y = faces
    fitted = [transformer.fit(X) for transformer in [*TRANSFORMERS, FaceCropper()]]
    return [
        *fitted,
        GrayscaleResizer(),
        FaceCropper(),
        make_hog_svm_pipeline().fit(X, y),
        load_pretrained("tiny", runtime="litert"),
        load_pretrained("tiny", runtime="litert", crop_faces=True),
    ]


@pytest.mark.parametrize("kind", ONE_IMAGE)
def test_one_image_is_refused_with_the_remedy(estimators, kind):
    for estimator in estimators:
        method = "predict" if hasattr(estimator, "predict") else "transform"
        with pytest.raises(ValueError, match=r"\[X\] or X\[np\.newaxis\]"):
            getattr(estimator, method)(_one_image(kind))


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ("a.png", ValueError, r"X is a single path, 'a\.png'.*Pass a list: \[X\]"),
        (b"GIF89a", ValueError, r"X is a single photo, of type bytes; expected a batch"),
        (Image.new("L", (24, 24)), ValueError, r"X is a single photo, of type Image"),
        ({"b.png", "a.png"}, TypeError, r"X is a set, whose items have no positions"),
    ],
)
def test_what_is_not_a_batch_is_refused(estimators, X, error, message):
    for estimator in estimators:
        method = "predict" if hasattr(estimator, "predict") else "transform"
        with pytest.raises(error, match=message):
            getattr(estimator, method)(X)


@pytest.mark.filterwarnings("ignore::fer_sklearn.exceptions.NoFaceWarning")
@pytest.mark.parametrize("kind", ["grey", "rows that are squares", "RGB", "channel"])
def test_the_remedy_works(estimators, kind):
    image = _one_image(kind)
    for estimator in estimators:
        if isinstance(estimator, (GrayscaleResizer, FaceCropper)) or hasattr(estimator, "predict"):
            method = "predict" if hasattr(estimator, "predict") else "transform"
            assert len(getattr(estimator, method)([image])) == 1
            assert len(getattr(estimator, method)(image[np.newaxis])) == 1


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=ids)
def test_flattened_images_of_another_size_are_refused_with_both_lengths(images, transformer):
    with pytest.raises(
        ValueError, match=r"X has 1024 features, but \w+ is expecting 2304 features"
    ):
        transformer.fit(images).transform(np.zeros((5, 1024), np.uint8))


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=ids)
def test_flattened_images_have_the_shape_that_was_fitted(transformer):
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 50), dtype=np.uint8)
    fitted = transformer.fit(images)
    expected = fitted.transform(images)
    found = fitted.transform(images.reshape(5, -1))
    assert_array_equal(found.reshape(expected.shape), expected)


def test_the_size_of_flattened_images_is_learned_in_fit():
    rows = np.random.default_rng(0).integers(0, 256, (40, 64), dtype=np.uint8)
    resizer = GrayscaleResizer(16).fit(rows)
    assert resizer.image_shape_ == (8, 8)
    expected = GrayscaleResizer(16).transform(rows.reshape(-1, 8, 8))
    assert_array_equal(resizer.transform(rows), expected)
    assert resizer.transform(np.zeros((3, 256))).shape == (3, 16, 16)
    assert GrayscaleResizer().fit(["a.png", "b.png"]).image_shape_ is None


@pytest.mark.parametrize("transformer", [GrayscaleResizer(), PixelNormalizer()])
def test_as_many_rows_as_pixels_are_images_if_they_have_labels(transformer):
    rows = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    with pytest.raises(ValueError, match="one image, or 64 flattened images of 8×8 pixels"):
        transformer.fit_transform(rows)
    assert len(transformer.fit_transform(rows, np.arange(64) % 2)) == 64


@pytest.mark.parametrize("function", [duplicate_groups, audit_dataset])
def test_functions_refuse_one_photo_too(function):
    photo = np.zeros((110, 115, 3), np.uint8)
    arguments = (photo, ["sad"] * 110) if function is audit_dataset else (photo,)
    with pytest.raises(ValueError, match="which is one photo"):
        function(*arguments)


def test_rows_of_any_length_can_be_compared():
    rows = np.zeros((3, 50), np.uint8)
    rows[1] = 1
    assert duplicate_groups(rows).tolist() == [0, 1, 0]


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3)])
def test_columns_of_pixels_are_found_by_their_names(library, shape):
    library = pytest.importorskip(library)
    images = np.random.default_rng(0).integers(0, 256, (5, *shape), dtype=np.uint8)
    names = [f"photo__{name}" for name in pixel_names(shape)]
    columns = dict(zip(names, images.reshape(5, -1).T, strict=True))
    for order in (names, names[::-1], sorted(names)):
        table = library.DataFrame({name: columns[name] for name in order})
        resizer = GrayscaleResizer((4, 6)) if len(shape) == 2 else RGBResizer((4, 6))
        np.testing.assert_array_equal(resizer.transform(table), images)


def test_a_table_of_several_columns_of_text_is_refused():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame({"path": ["a.png", "b.png"], "label": ["sad", "happy"]})
    with pytest.raises(ValueError, match="X has 2 columns; expected one column of paths"):
        GrayscaleResizer().fit(table)


def test_short_rows_are_images_one_pixel_high():
    rows = np.arange(4 * 15, dtype=np.uint8).reshape(4, 15)
    assert PixelNormalizer().fit(rows).image_shape_ == (1, 15)
    assert GrayscaleResizer(8).transform(rows).shape == (4, 8, 8)
    longer = np.zeros((4, 30), np.uint8)
    with pytest.raises(ValueError, match="rows of 30 pixels are not square images"):
        PixelNormalizer().fit(longer)
    assert PixelNormalizer().fit(longer, y=[0, 1, 0, 1]).image_shape_ == (1, 30)
    with pytest.raises(ValueError, match="rows of 1920 pixels are not square images"):
        PixelNormalizer().fit(np.zeros((4, 1920), np.uint8), y=[0, 1, 0, 1])
