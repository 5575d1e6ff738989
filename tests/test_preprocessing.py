"""GrayscaleResizer and PixelNormalizer: values, shapes and copies."""

import pickle

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.base import clone

from fer_sklearn import FaceEmbedder
from fer_sklearn._utils.pixels import pixel_names
from fer_sklearn.datasets import load_image_folder
from fer_sklearn.exceptions import ImageReadError
from fer_sklearn.images import read_image, write_image
from fer_sklearn.preprocessing import GrayscaleResizer, PixelNormalizer

METHODS = ["unit", "standard", "equalize", "clahe"]


@pytest.fixture
def colours():
    return np.random.default_rng(0).integers(0, 256, (5, 60, 80, 3), dtype=np.uint8)


def test_gray_is_the_luma_of_rgb():
    photo = np.zeros((2, 2, 3), np.uint8)
    photo[0, 0], photo[0, 1], photo[1, 0] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    gray = GrayscaleResizer(size=2).transform([photo])[0]
    assert gray.tolist() == [[76, 150], [29, 0]]  # 0.299, 0.587 and 0.114 of 255


def test_shrinking_averages_areas():
    photo = np.array([[0, 100], [100, 200]], np.uint8).repeat(24, 0).repeat(24, 1)
    noisy = photo + (np.indices((48, 48)).sum(0) % 2 * 10).astype(np.uint8)
    assert GrayscaleResizer(size=2).transform([noisy])[0].tolist() == [[5, 105], [105, 205]]


def test_a_side_that_shrinks_is_averaged_even_if_the_other_grows():
    stripes = np.zeros((30, 200), np.uint8)
    stripes[:, ::2] = 200
    for photo in (stripes, stripes.T):
        resized = GrayscaleResizer(size=50).transform([photo])[0]
        assert_array_equal(resized, np.full((50, 50), 100))


def test_a_side_that_stays_is_not_changed(colours):
    gray = cv2.cvtColor(colours[0], cv2.COLOR_RGB2GRAY)  # 60 × 80
    for size, how in (((60, 90), cv2.INTER_CUBIC), ((60, 40), cv2.INTER_AREA)):
        expected = cv2.resize(gray, size[::-1], interpolation=how)
        assert_array_equal(GrayscaleResizer(size=size).transform([gray])[0], expected)


@pytest.mark.parametrize("shape", [(24, 24), (60, 60), (48, 30), (30, 80), (48, 48), (200, 100)])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("channels", [1, 3])
def test_loader_and_resizer_give_the_same_pixels(tmp_path, shape, suffix, channels):
    noise = np.random.default_rng(0).integers(0, 256, (*shape, channels), dtype=np.uint8)
    smooth = cv2.GaussianBlur(noise, (5, 5), 2).reshape(*shape, channels)
    path = tmp_path / "happy" / f"face.{suffix}"
    path.parent.mkdir()
    Image.fromarray(smooth.squeeze()).save(path)
    expected = GrayscaleResizer(48).transform([path])
    assert_array_equal(load_image_folder(tmp_path, size=48).images, expected)
    assert_array_equal(GrayscaleResizer(48).transform([read_image(path)]), expected)
    photo = load_image_folder(tmp_path, size=None).images
    assert_array_equal(GrayscaleResizer(48).transform(photo), expected)


def test_enlarging_interpolates_by_cubics(colours):
    gray = cv2.cvtColor(colours[0], cv2.COLOR_RGB2GRAY)
    expected = cv2.resize(gray, (100, 90), interpolation=cv2.INTER_CUBIC)
    assert_array_equal(GrayscaleResizer(size=(90, 100)).transform(colours[:1])[0], expected)


def test_mixed_photos_make_one_stack(colours, tmp_path):
    path = tmp_path / "face.png"
    Image.fromarray(colours[0]).save(path)
    photos = [path, str(path), colours[0], colours[0].astype(np.int64), colours[0] / 255]
    faces = GrayscaleResizer(size=32).fit_transform(photos)
    assert faces.shape == (5, 32, 32)
    assert faces.dtype == np.uint8
    for face in faces:
        assert_array_equal(face, faces[0])


def test_transparent_pixels_are_white():
    photo = np.zeros((1, 4, 4, 4), np.uint8)
    photo[0, :2, :, 3] = 255
    assert GrayscaleResizer(size=4).transform(photo)[0, :, 0].tolist() == [0, 0, 255, 255]


@pytest.mark.parametrize("shape", [(3, 48, 48), (3, 48, 48, 1), (3, 48 * 48)])
def test_finished_images_are_not_copied(shape):
    faces = np.zeros(shape, np.uint8)
    resized = GrayscaleResizer(size=48).fit_transform(faces)
    assert resized.shape == (3, 48, 48)
    assert np.shares_memory(resized, faces)


def test_the_resizer_takes_pandas_columns_of_paths(colours, tmp_path):
    pd = pytest.importorskip("pandas")
    path = tmp_path / "face.png"
    Image.fromarray(colours[0]).save(path)
    table = pd.DataFrame({"photo": [str(path)] * 2})
    expected = GrayscaleResizer().transform([path, path])
    assert_array_equal(GrayscaleResizer().transform(table), expected)
    assert_array_equal(GrayscaleResizer().transform(table["photo"]), expected)


def test_an_unreadable_file_is_named(tmp_path):
    path = tmp_path / "broken.png"
    path.write_bytes(b"no image")
    good = np.zeros((9, 9), np.uint8)
    with pytest.raises(ImageReadError, match=r"broken\.png: not an image in a known format"):
        GrayscaleResizer().transform([good, path])


@pytest.mark.parametrize(
    ("photo", "error", "message"),
    [
        (np.zeros((2, 9, 9, 3)), ValueError, r"X\[1\] has shape \(2, 9, 9, 3\); expected one ph"),
        (np.zeros((9, 9, 2)), ValueError, r"X\[1\] has shape \(9, 9, 2\); expected one photo"),
        (np.zeros((0, 9)), ValueError, r"X\[1\] has shape \(0, 9\): a photo without pixels"),
        (np.full((9, 9), np.nan), ValueError, r"X\[1\] has 81 pixel\(s\) that are NaN"),
        (np.full((9, 9), -1), ValueError, r"X\[1\] has int64 pixels from -1 to -1"),
        (9, TypeError, r"X\[1\] is a int; expected a path or an array"),
    ],
)
def test_an_item_that_is_not_a_photo_is_named_by_position(photo, error, message):
    with pytest.raises(error, match=message):
        GrayscaleResizer().transform([np.zeros((9, 9), np.uint8), photo])


def test_an_empty_list_is_rejected():
    with pytest.raises(ValueError, match="X is empty: found 0 photo"):
        GrayscaleResizer().fit_transform([])


def test_negative_pixels_are_rejected():
    # Replaces scikit-learn's check, which expects this of fit; fit does not read photos.
    with pytest.raises(ValueError, match="X has float pixels from -1 to 1"):
        GrayscaleResizer(size=2).fit_transform(np.array([[-1.0, 0, 0, 1]]))


@pytest.mark.parametrize("size", [0, (48,), "48", (48, -1), 4.8])
def test_a_wrong_size_is_named(size, colours):
    with pytest.raises(ValueError, match=r"size=.* must be a positive int, or a pair of them"):
        GrayscaleResizer(size=size).fit(colours)


def test_unit_divides_bytes_and_leaves_floats():
    codes = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    unit = PixelNormalizer().fit_transform(codes)
    assert unit.dtype == np.float32
    assert_array_equal(unit, codes / np.float32(255))
    assert np.shares_memory(PixelNormalizer().fit_transform(unit), unit)


def test_standard_gives_zero_mean_and_unit_variance_to_each_image(colours):
    gray = GrayscaleResizer().transform(colours)
    gray[0] = 77  # flat
    standard = PixelNormalizer("standard").fit_transform(gray)
    assert_array_equal(standard[0], np.zeros((48, 48)))
    assert_allclose(standard[1:].mean((1, 2)), 0, atol=1e-5)
    assert_allclose(standard[1:].std((1, 2)), 1, atol=1e-5)


def test_equalize_agrees_with_opencv(colours):
    gray = GrayscaleResizer().transform(colours)
    gray[1] = gray[1] // 4 + 90  # low contrast
    gray[2] = 33  # flat: keeps its brightness
    equalized = PixelNormalizer("equalize").fit_transform(gray)
    expected = np.stack([cv2.equalizeHist(image) for image in gray]) / 255
    assert_allclose(equalized, expected, atol=0.5 / 255 + 1e-6)
    assert equalized[1].min() == 0
    assert equalized[1].max() == 1


def test_clahe_raises_local_contrast_within_the_unit_range(colours):
    gray = GrayscaleResizer().transform(colours) // 8 + 100
    clahe = PixelNormalizer("clahe").fit_transform(gray)
    assert clahe.min() >= 0
    assert clahe.max() <= 1
    assert (clahe.std((1, 2)) > 1.5 * (gray / 255).std((1, 2))).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(6, 8, 8), (6, 8, 8, 1), (6, 64)])
def test_the_shape_stays(method, shape):
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    normalized = PixelNormalizer(method).fit_transform(images)
    assert normalized.shape == shape
    assert normalized.dtype == np.float32


@pytest.mark.parametrize("method", METHODS)
def test_every_method_treats_each_image_by_itself(method):
    # Replaces scikit-learn's checks of "unit" and similar methods, which use pixels beyond 1.
    images = np.random.default_rng(0).random((6, 64))
    before = images.copy()
    normalizer = clone(PixelNormalizer(method)).fit(images)
    state = dict(vars(normalizer))
    whole = normalizer.transform(images)
    singly = np.concatenate([normalizer.transform(images[i : i + 1]) for i in range(6)])
    assert_array_equal(singly, whole)
    assert_array_equal(normalizer.transform(images[::-1])[::-1], whole)
    assert_array_equal(normalizer.transform(np.asfortranarray(images)), whole)
    assert_array_equal(normalizer.fit_transform(images), whole)
    assert_array_equal(PixelNormalizer(method).transform(images), whole)
    assert_array_equal(pickle.loads(pickle.dumps(normalizer)).transform(images), whole)
    assert vars(normalizer) == state
    assert_array_equal(images, before)


@pytest.mark.parametrize("method", ["unit", "equalize", "clahe"])
def test_floats_beyond_one_are_an_error_with_a_remedy(method):
    with pytest.raises(
        ValueError, match=r"X has float pixels from 0 to 200; expected \[0, 1\]\. Divide pixels"
    ):
        PixelNormalizer(method).fit_transform(np.array([[0.0, 50, 100, 200]]))


def test_an_unknown_method_gets_a_hint():
    with pytest.raises(ValueError, match=r"method='equalise' is unknown; .*mean 'equalize'\?"):
        PixelNormalizer("equalise").fit(np.zeros((1, 4, 4)))


def test_integers_beyond_a_byte_are_rejected():
    with pytest.raises(
        ValueError, match=r"X\[0\] has int64 pixels from 0 to 300; expected 0\.\.255"
    ):
        PixelNormalizer().fit(np.array([[0, 1, 2, 300]]))


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_columns_in_another_order_keep_their_pixels(container):
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)
    names = list(pixel_names((4, 5)))
    table = pd.DataFrame(images.reshape(3, -1), columns=names)[names[::-1]]
    normalizer = PixelNormalizer().set_output(transform=container)
    assert_allclose(normalizer.fit_transform(table)[names].to_numpy() * 255, table[names], 1e-6)
    # As in a ColumnTransformer, whose output is an array in the order of the pixels.
    assert normalizer.get_feature_names_out(names[::-1]).tolist() == names


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_flattened_images_have_the_fitted_shape_even_if_another_has_as_many_pixels(dtype):
    images = np.random.default_rng(0).integers(0, 256, (3, 36, 64)).astype(dtype)
    for transformer in (GrayscaleResizer(48), FaceEmbedder("tiny")):
        transformer.fit(images)
        flat = transformer.transform(images.reshape(3, -1))
        assert_array_equal(flat, transformer.transform(images))


@pytest.mark.parametrize("dtype", ["UInt8", "Int64", "Float32", "uint8[pyarrow]", "boolean"])
def test_tables_of_nullable_numbers(dtype):
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow")
    images = np.random.default_rng(0).integers(0, 2, (3, 16), dtype=np.uint8)
    table = pd.DataFrame(images).astype(dtype)
    plain = pd.DataFrame(images).astype(table.dtypes[0].numpy_dtype)
    for transformer in (GrayscaleResizer(4), PixelNormalizer()):
        found = transformer.fit_transform(table)
        assert_array_equal(found, clone(transformer).fit_transform(plain.to_numpy()))
    table.iloc[1, 2] = pd.NA
    for transformer in (GrayscaleResizer(4), PixelNormalizer()):
        with pytest.raises(ValueError, match=r"dtype object|NaN|NA"):
            transformer.fit_transform(table)


def test_missing_paths_in_a_table_stay_missing(tmp_path):
    pa = pytest.importorskip("pyarrow")
    write_image(tmp_path / "1.png", np.zeros((4, 4), np.uint8))
    paths = pd.Series([str(tmp_path / "1.png"), None], dtype=pd.ArrowDtype(pa.string()))
    table = pd.DataFrame({"path": paths})
    assert GrayscaleResizer(4).fit_transform(table[:1]).shape == (1, 4, 4)
    with pytest.raises(TypeError, match=r"X\[1\] is a N"):
        GrayscaleResizer(4).fit_transform(table)
