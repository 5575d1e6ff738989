"""Image files of every format, damaged files, and paths that are not files."""

import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps
from running import limited_memory

from fer_sklearn._utils.image_files import as_photo, decode_image, image_format
from fer_sklearn.exceptions import ImageReadError
from fer_sklearn.images import IMAGE_SUFFIXES, decode_gray, is_image_file, read_image

SMOOTH = np.add.outer(np.arange(60), 2 * np.arange(90)).astype(np.uint8)
COLOURS = np.dstack([SMOOTH, SMOOTH.T[:60, :60].repeat(2, axis=1)[:, :90], 255 - SMOOTH])


def encoded(array, format="PNG", **options):
    file = io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(file, format=format, **options)
    return file.getvalue()


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


# Formats


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "PPM"])
@pytest.mark.parametrize("pixels", [SMOOTH, COLOURS], ids=["grey", "colours"])
def test_formats_are_known_by_their_content(format, pixels, tmp_path):
    data = encoded(pixels, format)
    assert image_format(data[:64]) == format
    path = tmp_path / "photo"  # without a suffix
    path.write_bytes(data)
    expected = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
    found = read_image(path)
    found = found if found.ndim == 3 else np.repeat(found[..., None], 3, axis=2)
    assert np.abs(found.astype(int) - expected).mean() < 6


def test_jpeg_2000_and_photos_in_pairs():
    assert read_image(encoded(COLOURS, "JPEG2000")).shape == COLOURS.shape
    pair = encoded(COLOURS, "MPO", save_all=True, append_images=[Image.fromarray(255 - COLOURS)])
    assert np.abs(read_image(pair).astype(int) - COLOURS).mean() < 6


def test_only_the_first_page_is_read():
    pages = encoded(SMOOTH, "TIFF", save_all=True, append_images=[Image.fromarray(255 - SMOOTH)])
    np.testing.assert_array_equal(read_image(pages), SMOOTH)


def test_no_external_program_is_run(tmp_path, monkeypatch):
    """Pillow runs Ghostscript for EPS, regardless of the name of a file."""
    mark = tmp_path / "was started"
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch '{mark}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(COLOURS, "EPS"))
    with pytest.raises(ImageReadError, match="not an image in a known format"):
        read_image(path)
    assert not mark.exists()


def test_a_missing_codec_is_named(monkeypatch):
    monkeypatch.setattr("PIL.features.check", lambda name: False)
    with pytest.raises(ImageReadError, match=r"without AVIF\. Type: pip install --upgrade pillow"):
        read_image(encoded(SMOOTH, "AVIF"))


def test_heic_needs_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    data = b"\0\0\0\x24ftypheic\0\0\0\0mif1heic" + bytes(100)
    assert image_format(data) == "HEIF"
    with pytest.raises(ImageReadError, match=r"HEIC needs .*pip install 'fer_sklearn\[heic\]'"):
        read_image(data)


def test_heic_is_read():
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(COLOURS)).save(file, quality=95)
    assert np.abs(read_image(file.getvalue()).astype(int) - COLOURS).mean() < 6


def test_avif_that_states_its_base_brands():
    assert image_format(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf") == "AVIF"
    assert image_format(b"\0\0\0\x1cftypisom\0\0\0\0isomavc1mp41") is None  # a video


def test_files_of_folders_are_chosen_by_their_names():
    assert all(is_image_file(f"a/b{suffix.upper()}") for suffix in IMAGE_SUFFIXES)
    assert not any(map(is_image_file, ("a.txt", ".hidden.jpg", "._photo.jpg", "jpg", "a.jpg.part")))


# Depth and colours


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
@pytest.mark.parametrize("white", [255, 1023, 4095, 65535])
def test_grey_of_any_depth_has_the_intended_brightness(dtype, white):
    deep = (SMOOTH.astype(np.float64) / 255 * white).round().astype(dtype)
    deep[0, 0] = white
    seen = read_image(encoded(deep, "TIFF"))
    np.testing.assert_allclose(seen[1:].astype(int), SMOOTH[1:], atol=1)


def test_white_may_be_zero():
    deep = (SMOOTH.astype(np.uint16) * 257)[1:]
    deep[0, 0] = 65535
    data = encoded(deep, "TIFF", tiffinfo={262: 0})
    np.testing.assert_array_equal(read_image(data)[1:], 255 - SMOOTH[2:])


def png_chunk(kind, content):
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png_16(colours, orientation=1):
    """Write 16-bit colours, which Pillow cannot."""
    height, width, n_channels = colours.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in colours)
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 3: 2, 4: 6}[n_channels], 0, 0, 0)
    turned = b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0" + bytes([orientation]) + bytes(6)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + (png_chunk(b"eXIf", turned) if orientation != 1 else b"")
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("white", [1023, 4095, 65535])
def test_16_bit_colours_that_use_few_bits(white):
    deep = (COLOURS.astype(np.float64) / 255 * white).round().astype(np.uint16)
    np.testing.assert_allclose(read_image(png_16(deep)).astype(int), COLOURS, atol=1)


@pytest.mark.parametrize("white", [4095, 65535])
@pytest.mark.parametrize("n_channels", [1, 3])
def test_the_transparent_colour_of_16_bits_is_white(n_channels, white):
    deep = np.full((4, 5, n_channels), white, np.uint16)
    deep[2:] = white // 2
    data = png_16(deep)
    colour = struct.pack(f">{n_channels}H", *[white // 2] * n_channels)
    transparent = data[:33] + png_chunk(b"tRNS", colour) + data[33:]
    assert read_image(data)[-1].max() == 127
    assert read_image(transparent).min() == 255


@pytest.mark.parametrize("white", [1023, 4095, 65535])
def test_colours_of_16_bits_of_a_jpeg_2000_file(white):
    cv2 = pytest.importorskip("cv2")
    deep = (COLOURS.astype(np.float64) / 255 * white).round().astype(np.uint16)
    lossless = [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000]
    data = cv2.imencode(".jp2", deep[..., ::-1], lossless)[1].tobytes()
    np.testing.assert_allclose(read_image(data).astype(int), COLOURS, atol=1)


@pytest.mark.parametrize("n_channels", [3, 4])
@pytest.mark.parametrize("white", [1023, 4095, 65535])
def test_16_bit_colours_are_rotated_upright(white, n_channels):
    deep = (COLOURS.astype(np.float64) / 255 * white).round().astype(np.uint16)
    opaque = np.full((*deep.shape[:2], n_channels - 3), 65535, np.uint16)
    data = png_16(np.concatenate([deep, opaque], axis=2), orientation=6)
    np.testing.assert_allclose(read_image(data).astype(int), np.rot90(COLOURS, -1), atol=1)


def tiff_of_planes(deep, order, orientation=1):
    """Write planar 16-bit colours, which Pillow cannot."""
    height, width, n_planes = deep.shape
    contents = np.moveaxis(deep, -1, 0).astype(np.dtype(np.uint16).newbyteorder(order)).tobytes()
    size, extra = height * width * 2, 8 + 2 + 10 * 12 + 4
    bits, starts, sizes = extra, extra + 2 * n_planes, extra + 6 * n_planes
    end = extra + 10 * n_planes
    tags = [
        *((256, 4, 1, width), (257, 4, 1, height), (258, 3, n_planes, bits), (259, 3, 1, 1)),
        *((262, 3, 1, 2), (273, 4, n_planes, starts), (274, 3, 1, orientation)),
        *((277, 3, 1, n_planes), (279, 4, n_planes, sizes), (284, 3, 1, 2)),
    ]
    entries = [
        struct.pack(order + "HHIHH", *tag, 0)
        if tag[1:3] == (3, 1)
        else struct.pack(order + "HHII", *tag)
        for tag in tags
    ]
    values = struct.pack(
        f"{order}{n_planes}H{2 * n_planes}I",
        *[16] * n_planes,
        *(end + i * size for i in range(n_planes)),
        *[size] * n_planes,
    )
    header = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8)
    count, following = struct.pack(order + "H", len(tags)), struct.pack(order + "I", 0)
    return header + count + b"".join(entries) + following + values + contents


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("white", [4095, 65535])
def test_planar_16_bit_colours(order, white):
    deep = (COLOURS.astype(np.float64) / 255 * white).round().astype(np.uint16)
    given = read_image(tiff_of_planes(deep, order))
    np.testing.assert_allclose(given.astype(int), COLOURS, atol=1)
    turned = read_image(tiff_of_planes(deep, order, orientation=6))
    np.testing.assert_array_equal(turned, np.rot90(given, -1))
    damaged = tiff_of_planes(deep, order).replace(
        struct.pack(order + "I", deep[..., 0].nbytes), struct.pack(order + "I", 99)
    )
    with pytest.raises(ImageReadError, match="truncated or damaged"):
        read_image(damaged)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", [1, 5])
def test_12_bits_of_a_tiff_with_transparency_are_turned_upright_once(compression, orientation):
    cv2 = pytest.importorskip("cv2")
    deep = (COLOURS.astype(np.float64) / 255 * 4095).round().astype(np.uint16)
    deep = np.dstack([deep[..., ::-1], np.full(deep.shape[:2], 65535, np.uint16)])
    options = [cv2.IMWRITE_TIFF_COMPRESSION, compression]
    data = cv2.imencode(".tiff", deep, options)[1].tobytes()
    start = struct.unpack("<I", data[4:8])[0]
    n_tags = struct.unpack_from("<H", data, start)[0]
    tags = [data[start + 2 + 12 * i : start + 14 + 12 * i] for i in range(n_tags)]
    tags = [tag for tag in tags if struct.unpack_from("<H", tag)[0] not in (274, 338)]
    tags += [struct.pack("<HHIHH", *tag, 0) for tag in ((274, 3, 1, orientation), (338, 3, 1, 2))]
    tags.sort(key=lambda tag: struct.unpack_from("<H", tag)[0])
    header = struct.pack("<H", len(tags)) + b"".join(tags) + bytes(4)
    data = data[:4] + struct.pack("<I", len(data)) + data[8:] + header
    np.testing.assert_allclose(read_image(data).astype(int), upright(COLOURS, orientation), atol=1)


@pytest.mark.parametrize("pixels", [SMOOTH, COLOURS], ids=["grey", "colours"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiff_files_of_floats(pixels, dtype):
    cv2 = pytest.importorskip("cv2")
    numbers = (pixels / 255).astype(dtype)
    data = cv2.imencode(".tiff", numbers[..., ::-1] if pixels.ndim == 3 else numbers)[1].tobytes()
    np.testing.assert_array_equal(read_image(data), pixels)
    with pytest.raises(ImageReadError, match=r"more than max_pixels=9"):
        read_image(data, max_pixels=9)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_floats_of_either_byte_order(order, compression, dtype, photometric):
    tifffile = pytest.importorskip("tifffile")
    file, options = io.BytesIO(), {"photometric": photometric, "compression": compression}
    tifffile.imwrite(file, (SMOOTH / 255).astype(dtype), byteorder=order, **options)
    expected = SMOOTH if photometric == "minisblack" else 255 - SMOOTH
    np.testing.assert_array_equal(read_image(file.getvalue()), expected)


@pytest.mark.parametrize("white", [4095, 65535])
@pytest.mark.parametrize("photometric", ["rgb", "separated"])
def test_planar_16_bit_colours_that_would_be_mixed_up_are_refused(white, photometric):
    tifffile = pytest.importorskip("tifffile")
    deep = (np.moveaxis(COLOURS, -1, 0) / 255 * white).astype(np.uint16)
    options = {"tile": (16, 16)} if photometric == "rgb" else {}
    deep = deep if options else np.concatenate([deep, deep[:1]])
    file = io.BytesIO()
    tifffile.imwrite(file, deep, photometric=photometric, planarconfig="separate", **options)
    with pytest.raises(ImageReadError, match=r"16-bit colours in separate planes.*Save it with"):
        read_image(file.getvalue())


def test_floats_of_16_bits_are_refused():
    data = encoded(Image.fromarray(SMOOTH.astype(np.int32)), "TIFF")
    start = struct.unpack("<I", data[4:8])[0]
    tags = data[start:]
    for tag, value in ((258, 16), (339, 3)):
        entry = tags.index(struct.pack("<HH", tag, 3))
        tags = tags[: entry + 8] + struct.pack("<H", value) + tags[entry + 10 :]
    with pytest.raises(ImageReadError, match=r"not supported: .*16.* bits per colour.*Save it"):
        read_image(data[:start] + tags)


def test_a_pillow_image_is_read_as_its_file_is():
    deep = (SMOOTH.astype(np.uint16) * 257)[1:]
    for data in (encoded(deep, "TIFF", tiffinfo={262: 0}), encoded(SMOOTH, "TIFF")):
        np.testing.assert_array_equal(as_photo(Image.open(io.BytesIO(data))), read_image(data))
    # A tag that cannot be written again must not hide the orientation.
    exif = Image.Exif()
    exif[274], exif[306] = 6, "2026:01:01 00:00:00"
    data = encoded(COLOURS, "JPEG", exif=exif.tobytes().replace(b"\x01\x32", b"\x01\x29"))
    np.testing.assert_array_equal(as_photo(Image.open(io.BytesIO(data))), read_image(data))
    cut = encoded(noise(200, 300, 3), "JPEG2000")[:-9000]
    with pytest.raises(ImageReadError, match=r"^photo: .*damaged.*Copy or download it again"):
        as_photo(Image.open(io.BytesIO(cut)))
    faint = Image.fromarray(np.dstack([SMOOTH, SMOOTH]), "LA").convert("La")
    np.testing.assert_array_equal(as_photo(faint), as_photo(faint.convert("LA")))
    with pytest.raises(ImageReadError, match=r"^photo: array has int32 pixels from -5 to 0; exp"):
        as_photo(Image.fromarray(np.array([[-5, 0]], np.int32)))


@pytest.mark.parametrize("kind", [2, 7, 5])
@pytest.mark.parametrize("tag", [256, 258, 339])
def test_tags_of_a_wrong_type_are_damage(tag, kind):
    cv2 = pytest.importorskip("cv2")
    data = cv2.imencode(".tiff", COLOURS / 255)[1].tobytes()
    start = struct.unpack("<I", data[4:8])[0]
    entry = data.index(struct.pack("<H", tag), start)
    changed = data[: entry + 2] + struct.pack("<H", kind) + data[entry + 4 :]
    with pytest.raises(ImageReadError):
        read_image(changed)


def test_signed_bytes_below_zero_are_refused():
    data = encoded(SMOOTH, "TIFF", tiffinfo={339: 2})
    with pytest.raises(ImageReadError, match=r"int8 pixels below 0; expected 0\.\.255\. Add 128"):
        read_image(data)
    np.testing.assert_array_equal(
        read_image(encoded(SMOOTH // 2, "TIFF", tiffinfo={339: 2})), SMOOTH // 2
    )


def oriented(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    return exif.tobytes()


def upright(pixels, orientation):
    turned = Image.fromarray(pixels)
    turned.getexif()[274] = orientation
    return np.array(ImageOps.exif_transpose(turned))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("format", "options"),
    [
        *(("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {"lossless": True})),
        *(("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("AVIF", {"quality": 99})),
        ("MPO", {"save_all": True, "append_images": [Image.fromarray(255 - COLOURS)]}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_photos_are_turned_upright(format, options, orientation):
    data = encoded(COLOURS, format, exif=oriented(orientation), **options)
    expected = upright(read_image(encoded(COLOURS, format, **options)), orientation)
    for item in (data, Image.open(io.BytesIO(data))):
        found = as_photo(item)
        assert found.shape == expected.shape
        assert np.abs(found.astype(int) - expected).mean() < 3


RAW = oriented(6).hex()
XMP = b'<rdf:Description tiff:Orientation="6" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"/>'


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (b"eXIf", oriented(6)[6:]),
        (b"tEXt", f"Raw profile type exif\0\nexif\n{len(RAW) // 2:8}\n{RAW}\n".encode()),
        (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(f"\nexif\n26\n{RAW}".encode())),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(XMP)),
    ],
    ids=["EXIF", "profile", "compressed profile", "XMP", "compressed XMP"],
)
@pytest.mark.parametrize(
    "data",
    [encoded(SMOOTH), encoded(COLOURS), png_16(COLOURS.astype(np.uint16) * 16 + 15)],
    ids=["grey", "colours", "12 bits"],
)
def test_metadata_of_a_png_turn_it_upright(kind, content, data):
    long = png_chunk(b"zTXt", b"Description\0\0" + zlib.compress(bytes(3_000_000)))
    stated, end = png_chunk(kind, content), len(data) - 12
    damaged = stated[:-1] + bytes([stated[-1] ^ 1])
    for read in (read_image, lambda data: decode_gray(data, "x")):
        plain = read(data)
        for start, others in ((33, b""), (end, b""), (33, long), (end, long)):
            added = data[:start] + others + stated + data[start:]
            np.testing.assert_array_equal(read(added), np.rot90(plain, -1))
        np.testing.assert_array_equal(read(data[:33] + damaged + data[33:]), plain)


def test_a_dark_photo_stays_dark():
    np.testing.assert_array_equal(read_image(encoded(COLOURS // 32)), COLOURS // 32)


@pytest.mark.parametrize("value", [b"\xff" * 40, b"Exif\0\0MM\0*\xff\xff\xff\xff"])
def test_damaged_exif_data_does_not_hide_the_photo(value):
    data = encoded(COLOURS, "JPEG", exif=value)
    np.testing.assert_array_equal(read_image(data), read_image(encoded(COLOURS, "JPEG")))


# Damage


@pytest.mark.parametrize(
    "error",
    [
        *(MemoryError(), AssertionError(), RecursionError("deep"), struct.error("unpack")),
        *(KeyError("x"), RuntimeError("no item"), ZeroDivisionError(), SyntaxError("not a TIFF")),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("step", ["open", "convert"])
def test_any_error_of_a_decoder_means_a_damaged_image(error, step, monkeypatch):
    def fail(*args, **kwargs):
        raise error

    where = {"open": "PIL.Image.open", "convert": "fer_sklearn._utils.image_files._to_array"}
    monkeypatch.setattr(where[step], fail)
    said = str(error) or type(error).__name__
    message = rf"^photo: the image is truncated or damaged \({said}\)\. Copy or download"
    with pytest.raises(ImageReadError, match=message):
        decode_image(encoded(SMOOTH), "photo", 10**6)


@pytest.mark.parametrize("read", [read_image, lambda data: decode_gray(data, "x")])
@pytest.mark.parametrize("pixels", [SMOOTH.repeat(4, 0).repeat(4, 1), noise(200, 300, 3)])
def test_a_jpeg_that_was_changed_in_the_middle_is_refused(read, pixels):
    data = bytearray(encoded(pixels, "JPEG", quality=90))
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    with pytest.raises(ImageReadError, match="damaged"):
        read(bytes(data))


def test_most_changes_of_a_jpeg_are_found():
    data, rng, found = encoded(noise(200, 300, 3), "JPEG"), np.random.default_rng(0), 0
    for _ in range(60):
        changed = bytearray(data)
        start, length = rng.integers(len(data) // 4, len(data) - 100), rng.integers(2, 80)
        changed[start : start + length] = rng.integers(0, 255, length, np.uint8).tobytes()
        try:
            read_image(bytes(changed))
        except ImageReadError:
            found += 1
    assert found > 45


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (48, 48), (333, 251), (200, 300, 3)])
@pytest.mark.parametrize(
    "options",
    [
        *({"quality": quality} for quality in (1, 50, 100)),
        *({"subsampling": name} for name in ("4:4:4", "4:2:2", "4:2:0")),
        *({"progressive": True}, {"optimize": True}, {"restart_marker_rows": 1}),
        *({"keep_rgb": True}, {"restart_marker_blocks": 3}, {"comment": b"\xff\xd9\xff\xda"}),
    ],
    ids=str,
)
def test_every_intact_jpeg_is_read(shape, options):
    for pixels in (noise(*shape), np.full(shape, 7, np.uint8)):
        assert read_image(encoded(pixels, "JPEG", **options)).shape == shape


def test_extra_bytes_around_the_data_of_a_jpeg_are_not_damage():
    data = encoded(SMOOTH, "JPEG")
    expected = read_image(data)
    filled = data[:-2] + b"\0" * 300 + data[-2:]
    for changed in (data + b"more", data + data, filled, b"\xff\xd8\xff\xff" + data[3:]):
        np.testing.assert_array_equal(read_image(changed), expected)


@pytest.mark.parametrize(
    ("format", "options"),
    [
        *(
            ("PNG", {"compress_level": 0}),
            ("AVIF", {}),
            ("AVIF", {"exif": Image.Exif().tobytes()}),
            ("GIF", {}),
        ),
        *(("JPEG", {}), ("JPEG", {"restart_marker_rows": 1}), ("JPEG", {"progressive": True})),
        ("MPO", {"save_all": True}),
    ],
    ids=str,
)
@pytest.mark.parametrize("part", [0.3, 0.6, 0.8])
def test_data_that_was_never_written_is_noticed(format, options, part):
    """A copy that was interrupted may have its full length, and zeros in place of the rest."""
    pixels = np.kron(noise(25, 40, 3), np.ones((8, 8, 1), np.uint8))
    if "exif" in options:
        pixels = noise(600, 800, 3)  # more than EXIF data, which may end in zeros
    more = {"append_images": [Image.fromarray(pixels)]} if format == "MPO" else {}
    data = encoded(pixels, format, **options, **more)
    length = len(data) // 2 if more else len(data)
    start = round(part * length)
    with pytest.raises(ImageReadError, match="truncated or damaged"):
        read_image(data[:start] + bytes(len(data) - start))
    if format == "PNG" or (format == "JPEG" and "progressive" not in options):
        # And so it is if the very end is there.
        with pytest.raises(ImageReadError, match="truncated or damaged"):
            read_image(data[:start] + bytes(len(data) - start - 12) + data[-12:])


@pytest.mark.parametrize("n_more", [0, 100_000])
@pytest.mark.parametrize(
    ("format", "options"),
    [
        *(("WEBP", {"method": 0}), ("WEBP", {"lossless": True, "method": 0, "quality": 0})),
        *(("AVIF", {"speed": 10}), ("JPEG", {"progressive": True, "quality": 50})),
    ],
    ids=str,
)
def test_zeros_in_an_intact_file_are_not_damage(format, options, n_more):
    """Long parts without details may be stored as zeros, and padding may follow the image."""
    pixels = np.dstack([noise(1000, 1000)] * 3)
    pixels[300:] = 0
    waves = 128 - 53 * np.cos((np.arange(1000) + 0.5) * np.pi / 4)
    waves = np.tile(waves.round().astype(np.uint8), (1000, 1))
    for image in (pixels, waves):
        assert read_image(encoded(image, format, **options) + bytes(n_more)).size >= image.size
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\0" + bytes(40_000)
    assert read_image(encoded(pixels, format, exif=exif, **options)).shape == pixels.shape


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("more", [b"\0" * 70_000, b"more" * 999, b"\x89PNG\r\n\x1a\n"], ids=len)
def test_bytes_after_an_animation_are_not_damage(format, more):
    frames = [Image.fromarray(255 - COLOURS), Image.fromarray(COLOURS)]
    data = encoded(COLOURS, format, save_all=True, append_images=frames)
    np.testing.assert_array_equal(read_image(data + more), read_image(data))


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize(
    ("format", "options"),
    [
        *(("WEBP", {}), ("WEBP", {"quality": 1}), ("WEBP", {"lossless": True}), ("AVIF", {})),
        *(("JPEG", {"progressive": True}), ("JPEG", {"restart_marker_blocks": 1})),
    ],
    ids=str,
)
def test_zeros_of_an_empty_image_are_not_damage(format, options, value):
    for shape in ((1500, 2000, 3), (1, 1, 3), (7, 33, 3)):
        pixels = np.full(shape, value, np.uint8)
        assert abs(int(read_image(encoded(pixels, format, **options)).mean()) - value) <= 2


def test_restarts_of_a_jpeg_that_are_missing_are_damage():
    data = encoded(noise(200, 300), "JPEG", restart_marker_rows=1)
    assert read_image(data).shape == (200, 300)
    start = data.index(b"\xff\xd3")
    for changed in (data[:start] + data[start + 2 :], data.replace(b"\xff\xd3", b"\xff\xd4")):
        with pytest.raises(ImageReadError, match="some of its data was changed, or is missing"):
            read_image(changed)


@pytest.mark.parametrize("options", [{}, {"compress_level": 0}], ids=str)
@pytest.mark.parametrize("pixels", [SMOOTH, COLOURS], ids=["grey", "colours"])
def test_one_changed_bit_of_a_png_is_found(options, pixels):
    data = bytearray(encoded(pixels, **options))
    data[len(data) // 2] ^= 16
    with pytest.raises(ImageReadError, match="some of its data was changed, or is missing"):
        read_image(bytes(data))


@pytest.mark.parametrize(
    "chunk",
    [
        (b"iCCP", b"profile\0\0" + zlib.compress(bytes(3_000_000))),
        (b"zTXt", b"Description\0\0" + zlib.compress(bytes(3_000_000))),
        *((b"iCCP", b"profile\0\0?"), (b"gAMA", b""), (b"pHYs", b"?"), (b"tEXt", b"?")),
    ],
    ids=["large profile", "long text", "profile", "gamma", "size", "checksum"],
)
def test_metadata_of_a_png_does_not_hide_the_image(chunk):
    kind, content = chunk
    checksum = zlib.crc32(kind + content) ^ (kind == b"tEXt")
    added = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
    data = encoded(COLOURS)
    for start in (33, len(data) - 12):  # before and after the pixels
        np.testing.assert_array_equal(read_image(data[:start] + added + data[start:]), COLOURS)


@pytest.mark.parametrize("n_cut", [1, 8, 12])
@pytest.mark.parametrize("white", [255, 4095, 65535])
def test_a_png_may_lack_its_last_chunk(white, n_cut):
    deep = (COLOURS.astype(np.float64) / 255 * white).round().astype(np.uint16)
    np.testing.assert_array_equal(read_image(png_16(deep)[:-n_cut]), read_image(png_16(deep)))


def test_a_jpeg_without_its_end_is_truncated():
    with pytest.raises(ImageReadError, match="truncated"):
        read_image(encoded(SMOOTH, "JPEG")[:-60])


# Paths that are not files


@pytest.mark.timeout(30)
def test_pipes_devices_and_huge_files_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    os.symlink("/dev/zero", tmp_path / "zero.png")
    os.symlink("loop.png", tmp_path / "loop.png")
    with open(tmp_path / "sparse.png", "wb") as file:
        file.truncate(20 << 30)
    with open(tmp_path / "zeros.png", "wb") as file:
        file.truncate(1 << 28)
    reasons = {
        "pipe.png": "this is a pipe, which may never end, not an image file",
        "zero.png": "this is a device, not an image file",
        "loop.png": "cannot be read",
        "sparse.png": r"it has 21,474,836,480 bytes, more than 536,870,912, not an image file",
        "zeros.png": "not an image in a known format",
    }
    with limited_memory(6):
        for name, reason in reasons.items():
            with pytest.raises(ImageReadError, match=rf"{name}: {reason}"):
                read_image(tmp_path / name)
        with open("/dev/zero", "rb") as file, pytest.raises(ImageReadError, match="known format"):
            read_image(file)


def test_a_file_that_is_not_an_image_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "zeros.png"
    with open(path, "wb") as file:
        file.truncate(1 << 28)
    code = (
        "import resource\nfrom fer_sklearn.images import read_image\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"try:\n    read_image({str(path)!r})\nexcept ValueError:\n    pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 50_000
