import base64
import io
import re
import zlib
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from fer_sklearn.exceptions import ImageReadError
from fer_sklearn.images import (
    as_photo,
    decode_color,
    decode_gray,
    read_image,
    resize_gray,
    to_gray,
    to_uint8,
    write_image,
)

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (6, 5), dtype=np.uint8)
RGB = RNG.integers(0, 256, (6, 5, 3), dtype=np.uint8)


def encoded(array, format="PNG", **options):
    file = io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(file, format=format, **options)
    return file.getvalue()


@pytest.mark.parametrize("pixels", [GRAY, RGB], ids=["grey", "rgb"])
@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF"])
def test_read_image_gives_back_lossless_pixels(pixels, format):
    np.testing.assert_array_equal(read_image(encoded(pixels, format)), pixels)


def test_read_image_takes_path_bytes_and_file(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(RGB))
    with path.open("rb") as file:
        for source in (path, str(path), path.read_bytes(), file):
            np.testing.assert_array_equal(read_image(source), RGB)


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, GRAY),
        (2, GRAY[:, ::-1]),
        (3, GRAY[::-1, ::-1]),
        (4, GRAY[::-1]),
        (5, GRAY.T),
        (6, np.rot90(GRAY, -1)),
        (7, np.rot90(GRAY, 2).T),
        (8, np.rot90(GRAY)),
    ],
)
@pytest.mark.parametrize("read", [read_image, lambda data: decode_gray(data, "x")])
def test_exif_orientation_is_honoured(read, orientation, expected):
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(read(encoded(GRAY, exif=exif)), expected)


def test_exif_orientation_of_jpeg_is_honoured_by_the_fast_path():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = np.repeat(np.repeat(GRAY, 8, axis=0), 8, axis=1)
    data = encoded(image, "JPEG", exif=exif, quality=100)
    fast, careful = decode_gray(data, "x"), read_image(data)
    assert fast.shape == (40, 48)
    np.testing.assert_allclose(fast.astype(int), careful, atol=2)


def test_transparency_is_composited_on_white():
    rgba = np.dstack([RGB, np.zeros((6, 5), np.uint8)])
    rgba[0, :, 3] = 255
    rgba[1, :, 3] = 51
    seen = read_image(encoded(rgba))
    np.testing.assert_array_equal(seen[0], RGB[0])
    np.testing.assert_allclose(seen[1], 0.2 * RGB[1] + 0.8 * 255, atol=1)
    assert (seen[2:] == 255).all()


@pytest.mark.parametrize("read", [read_image, lambda data: decode_gray(data, "x")])
def test_grey_with_alpha_stays_grey(read):
    alpha = np.full_like(GRAY, 255)
    alpha[0] = 0
    seen = read(encoded(np.dstack([GRAY, alpha])))
    assert (seen[0] == 255).all()
    np.testing.assert_array_equal(seen[1:], GRAY[1:])


def test_palette_transparency_is_composited():
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    seen = read_image(encoded(palette, transparency=0))
    np.testing.assert_array_equal(seen, [[[255, 255, 255], [40, 50, 60]]])


def test_16_bit_grey_is_scaled():
    deep = np.array([[0, 257, 65535, 32896]], np.uint16)
    np.testing.assert_array_equal(read_image(encoded(deep)), [[0, 1, 255, 128]])


def test_float_tiff_is_scaled():
    image = Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32))
    np.testing.assert_array_equal(read_image(encoded(image, "TIFF")), [[0, 128, 255]])


def test_float_tiff_with_nan_is_named(tmp_path):
    path = tmp_path / "nan.tif"
    path.write_bytes(encoded(Image.fromarray(np.array([[0.0, np.nan]], np.float32)), "TIFF"))
    with pytest.raises(ImageReadError, match=r"nan\.tif: array has 1 pixel\(s\) that are NaN"):
        read_image(path)


def test_cmyk_and_bilevel():
    assert read_image(encoded(Image.new("CMYK", (4, 3)), "JPEG")).shape == (3, 4, 3)
    bilevel = Image.fromarray(np.array([[True, False]]))
    np.testing.assert_array_equal(read_image(encoded(bilevel)), [[255, 0]])


def test_first_frame_of_an_animation():
    frames = [Image.new("L", (4, 3), level) for level in (10, 200)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (read_image(data) == 10).all()


def test_missing_file(tmp_path):
    with pytest.raises(ImageReadError, match=r"no\.png: there is no such file\. Check the path"):
        read_image(tmp_path / "no.png")


def test_folder_instead_of_file(tmp_path):
    with pytest.raises(ImageReadError, match="this is a folder, not an image file"):
        read_image(tmp_path)


@pytest.mark.parametrize("read", [read_image, lambda data: decode_gray(data, "the image")])
@pytest.mark.parametrize("format", ["PNG", "JPEG"])
@pytest.mark.parametrize("kept", [0, 20, 0.7])
def test_truncated_file(read, format, kept):
    data = encoded(np.resize(RGB, (40, 40, 3)), format)
    data = data[: kept if isinstance(kept, int) else int(kept * len(data))]
    with pytest.raises(ImageReadError, match=r"^the image: the image is truncated or damaged"):
        read(data)


def test_truncated_grey_png_is_not_half_an_image():
    data = encoded(np.resize(GRAY, (48, 48)))
    with pytest.raises(ImageReadError, match=r"^zip/1\.png: the image is truncated or damaged"):
        decode_gray(data[: len(data) // 2], "zip/1.png")


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,", "DATA:;base64,"])
def test_text_can_contain_a_photo(prefix):
    text = base64.b64encode(encoded(np.resize(RGB, (9, 9, 3)))).decode()
    expected = np.resize(RGB, (9, 9, 3))
    broken = f"{text[:30]}\n{text[30:]}"
    for each in (text, text.rstrip("="), broken, text.replace("+", "-").replace("/", "_")):
        np.testing.assert_array_equal(read_image(prefix + each), expected)
    np.testing.assert_array_equal(read_image(f"data:image/png;base64,{quote(text)}"), expected)


@pytest.mark.parametrize(
    "format", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM"]
)
def test_text_of_any_format_is_recognised(format):
    text = base64.b64encode(encoded(np.resize(RGB, (48, 48, 3)), format))
    for given in (text, text.decode(), f"\n  {text.decode()}", b"data:;base64," + text):
        assert read_image(given).shape == (48, 48, 3)


def test_a_data_uri_may_be_percent_encoded():
    data = encoded(np.resize(RGB, (9, 9, 3)))
    np.testing.assert_array_equal(read_image(f"data:image/png,{quote(data)}"), read_image(data))


def test_errors_about_damaged_text_are_short():
    with pytest.raises(ImageReadError, match=r"the text 'data:image/png;base64,iVBOR.*base64") as e:
        read_image("data:image/png;base64,iVBOR" + "ä" * 10_000)
    assert len(str(e.value)) < 200


@pytest.mark.parametrize(
    "address", ["https://example.org/a.jpg?x=[1]", "http:/a.org/b.png", "s3://b/a.jpg", "file:///a"]
)
def test_nothing_is_downloaded(address):
    with pytest.raises(ImageReadError, match=r"this is a URL.*urlopen\(url\)\.read\(\)"):
        read_image(address)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("a\0b.jpg", r"embedded null byte"),
        ("a" * 5000, r"File name too long"),
        ("\ud800.jpg", r"surrogates not allowed"),
    ],
)
def test_impossible_paths(path, reason):
    with pytest.raises(ImageReadError, match=rf"cannot be read \(.*{reason}") as e:
        read_image(path)
    assert len(str(e.value)) < 400


def test_file_objects_are_read_from_their_start():
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, "PNG")  # leaves it at its end
    for _ in range(2):
        np.testing.assert_array_equal(read_image(file), RGB)


class Pipe:
    """A file object that cannot be rewound, and returns a few bytes at a time."""

    def __init__(self, data):
        self._file = io.BytesIO(data)

    def read(self, size=-1):
        return self._file.read(min(size, 7))


def test_a_stream_is_read_once():
    pipe = Pipe(encoded(RGB))
    np.testing.assert_array_equal(read_image(pipe), RGB)
    with pytest.raises(ImageReadError, match="was read to its end and cannot be read again"):
        read_image(pipe)


def test_a_file_that_was_opened_as_text(tmp_path):
    (tmp_path / "a.png").write_text("text")
    with (
        open(tmp_path / "a.png") as file,
        pytest.raises(ImageReadError, match=r"a\.png: this is a file that was opened as text"),
    ):
        read_image(file)


def test_a_closed_file():
    file = io.BytesIO(encoded(RGB))
    file.close()
    with pytest.raises(ImageReadError, match="the file object cannot be read"):
        read_image(file)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "CMYK", "1", "I;16", "F", "HSV"])
def test_pillow_images_are_photos(mode):
    image = Image.fromarray(RGB)
    image = Image.fromarray(GRAY.astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    assert as_photo(image).shape[:2] == (6, 5)
    turned = Image.open(io.BytesIO(encoded(RGB, exif=_turned())))
    np.testing.assert_array_equal(as_photo(turned), np.rot90(RGB, -1))
    assert turned.size == (5, 6)  # as it was


def _turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def test_a_damaged_pillow_image():
    image = Image.open(io.BytesIO(encoded(np.resize(RGB, (90, 90, 3)))[:300]))
    with pytest.raises(ImageReadError, match="photo: the image is truncated or damaged"):
        as_photo(image)


def test_not_an_image():
    message = "the image: not an image in a known format; its first bytes are b'hello wo'"
    with pytest.raises(ImageReadError, match=re.escape(message)):
        read_image(b"hello world, this is text")


def test_an_array_is_not_a_source():
    with pytest.raises(TypeError, match="source is a ndarray; expected a path, bytes or a file"):
        read_image(GRAY)


@pytest.mark.parametrize(
    "read",
    [
        lambda data: read_image(data, max_pixels=29),
        lambda data: decode_gray(data, "the image", max_pixels=29),
    ],
)
@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_too_many_pixels(read, format):
    with pytest.raises(ImageReadError, match="5×6 = 30 pixels, more than max_pixels=29"):
        read(encoded(GRAY, format))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, io.BytesIO])
def test_the_contents_of_files_are_a_batch_of_photos(kind):
    padded = encoded(GRAY) + bytes(10_000 - len(encoded(GRAY)))  # as many as a square has pixels
    for data in (encoded(GRAY), padded):
        (resized,) = resize_gray([kind(data)], GRAY.shape)
        np.testing.assert_array_equal(resized, GRAY)
    cut = encoded(GRAY.repeat(30, axis=0), "JPEG")[:-60]
    for items in ([kind(cut)], [Image.open(io.BytesIO(cut))], [GRAY, kind(cut)]):
        with pytest.raises(
            ImageReadError, match=rf"^X\[{len(items) - 1}\]: .*truncated or damaged"
        ):
            resize_gray(items, GRAY.shape)


def test_size_is_rejected_by_the_header_alone():
    # The header claims a huge image, but there is no data after it.
    data = bytearray(encoded(GRAY))
    data[16:24] = (9000).to_bytes(4, "big") * 2
    chunk = bytes(data[12:29])
    data[29:33] = zlib.crc32(chunk).to_bytes(4, "big")
    with pytest.raises(ImageReadError, match="9000×9000 = 81000000 pixels"):
        decode_gray(bytes(data[:60]), "bomb.png")


def test_to_gray_weights():
    np.testing.assert_array_equal(to_gray(np.eye(3, dtype=np.uint8)[None] * 255), [[76, 150, 29]])
    assert to_gray(GRAY) is GRAY


def test_decode_color_repeats_grey():
    np.testing.assert_array_equal(decode_color(encoded(GRAY), "x"), np.dstack([GRAY] * 3))
    np.testing.assert_array_equal(decode_color(encoded(RGB), "x"), RGB)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([True, False]), [255, 0]),
        (np.array([0, 128, 129, 65535], np.uint16), [0, 0, 1, 255]),
        (np.array([0, 1, 128, 255], np.uint16), [0, 1, 128, 255]),
        (np.array([0, 256, 1023], np.uint16), [0, 64, 255]),
        (np.array([0, 1024, 4095], np.uint16), [0, 64, 255]),
        (np.array([0, 4096, 65535], ">u2"), [0, 16, 255]),
        (np.array([0, 255], ">i4"), [0, 255]),
        (np.array([0, 0.25, 1], ">f8"), [0, 64, 255]),
        (np.array([0, 255], np.int64), [0, 255]),
        (np.array([0, 0.25, 1]), [0, 64, 255]),
        (np.array([-1e-6, 1 + 1e-6], np.float32), [0, 255]),
        (np.array([0, 1.5, 255.0005]), [0, 2, 255]),
        (np.array([0.5, 1], np.float16), [128, 255]),
        (np.empty((0, 3)), np.empty((0, 3))),
    ],
)
def test_to_uint8(array, expected):
    result = to_uint8(array)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, expected)


def test_to_uint8_does_not_copy_uint8():
    assert to_uint8(GRAY) is GRAY


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ([0.1, np.nan], r"1 pixel\(s\) that are NaN or infinite; expected finite numbers"),
        ([np.inf, -np.inf], r"2 pixel\(s\) that are NaN or infinite"),
        ([-0.5, 0.5], r"float pixels from -0\.5 to 0\.5; expected \[0, 1\] or \[0, 255\]"),
        ([0.0, 300.0], "float pixels from 0 to 300"),
        ([0, 256], r"int64 pixels from 0 to 256; expected 0\.\.255"),
        (["a"], "array has dtype <U1; expected an image"),
        ([1j], "array has dtype complex128"),
    ],
)
def test_to_uint8_rejects_invalid_input(array, message):
    with pytest.raises(ValueError, match=message):
        to_uint8(array)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff"])
@pytest.mark.parametrize("pixels", [GRAY, RGB], ids=["grey", "rgb"])
def test_write_image_round_trip(tmp_path, suffix, pixels):
    write_image(tmp_path / f"a{suffix}", pixels)
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}"), pixels)


def test_write_image_scales_and_drops_the_channel_axis(tmp_path):
    write_image(tmp_path / "a.png", (GRAY > 100)[..., np.newaxis])
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), (GRAY > 100) * 255)


def test_write_image_composites_where_the_format_has_no_alpha(tmp_path):
    write_image(tmp_path / "a.jpg", np.zeros((8, 8, 4), np.uint8))
    assert (read_image(tmp_path / "a.jpg") >= 254).all()


def test_write_image_unknown_suffix(tmp_path):
    with pytest.raises(ValueError, match=r"ends in '\.pgn'; expected one of \.png, \.jpg"):
        write_image(tmp_path / "a.pgn", GRAY)


@pytest.mark.parametrize("shape", [(3,), (2, 4, 4, 3), (4, 4, 2), (0, 4)])
def test_write_image_wrong_shape(tmp_path, shape):
    with pytest.raises(ValueError, match=re.escape(f"array has shape {shape}; expected one image")):
        write_image(tmp_path / "a.png", np.zeros(shape, np.uint8))
