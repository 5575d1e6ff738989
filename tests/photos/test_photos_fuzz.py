"""Thousands of damaged and hostile files, each of which gets its row."""

import io
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from fer_sklearn.photos import iter_photo_rows, predict_photos

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", "MPO", "EPS")
MODES = {
    "PNG": ("L", "RGB", "RGBA", "P", "LA", "1", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "TIFF": ("L", "RGB", "RGBA", "CMYK", "P", "1", "I;16", "I", "F", "LAB"),
    "BMP": ("L", "RGB", "P", "1"),
    "GIF": ("L", "P"),
    "PPM": ("L", "RGB", "1"),
}
# Values for a limit, an offset or a count.
EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


def _options(form, rng):
    if form == "JPEG":
        return {"quality": int(rng.integers(1, 101)), "progressive": bool(rng.random() < 0.3)}
    if form == "TIFF":
        return {"compression": rng.choice(["raw", "tiff_lzw", "tiff_deflate", "packbits"])}
    return {}


def _seeds(face, rng):
    """Return intact files of every format and mode, some with EXIF data."""
    seeds = []
    for form in FORMATS:
        for mode in MODES.get(form, ("L", "RGB")):
            image = Image.fromarray(face).convert(
                "RGB" if mode in ("I;16", "I", "F", "LAB") else mode
            )
            if mode in ("I;16", "I", "F"):
                grey = np.asarray(image.convert("L"))
                dtype = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
                image = Image.fromarray(grey.astype(dtype) * dtype(3))
            elif mode == "LAB":
                image = Image.merge("LAB", image.split())
            for _ in range(2):
                options = _options(form, rng)
                if form in ("PNG", "JPEG", "WEBP", "AVIF", "TIFF"):
                    exif = Image.Exif()
                    exif[0x0112] = int(rng.integers(0, 10))
                    options["exif"] = exif
                file = io.BytesIO()
                try:
                    image.save(file, form, **options)
                except (OSError, RuntimeError, ValueError):
                    continue  # not every format takes every mode
                seeds.append(file.getvalue())
    assert len(seeds) > 60
    return seeds


def _damaged(data, rng, others):
    """Return a file that was truncated, changed, spliced or whose header lies."""
    data = bytearray(data)
    kind = rng.integers(10)
    at = int(rng.integers(len(data)))
    head = int(rng.integers(min(len(data), 200)))
    if kind == 0:
        return bytes(data[:at])
    if kind == 1:
        for _ in range(int(rng.integers(1, 20))):
            data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    elif kind == 2:
        data[head : head + 4] = struct.pack(rng.choice(["<I", ">I"]), int(rng.choice(EXTREMES)))
    elif kind == 3:
        data[head : head + 2] = struct.pack("<H", int(rng.choice(EXTREMES)) & 0xFFFF)
    elif kind == 4:
        length = int(rng.integers(1, 300))
        data[at : at + length] = rng.integers(0, 256, length, np.uint8).tobytes()
    elif kind == 5:
        length = int(rng.integers(1, 3000))
        data[at : at + length] = bytes(length)
    elif kind == 6:
        del data[at : at + int(rng.integers(1, 200))]
    elif kind == 7:
        data[at:at] = data[: int(rng.integers(1, len(data)))]
    elif kind == 8:
        other = others[int(rng.integers(len(others)))]
        data[at:] = other[int(rng.integers(len(other))) :]
    else:
        start = int(rng.integers(4, 33))
        data = data[:start] + bytearray(rng.integers(0, 256, 500, np.uint8).tobytes())
    return bytes(data)


def _chunk(kind, content):
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def _png(width, height, depth, colour, content, *others):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *others, (b"IDAT", zlib.compress(content, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def _hostile():
    """Return files that are made to take much memory or time."""
    zeros = bytes(50_000_000)
    loop = struct.pack("<HHHIIHHII", 2, 256, 4, 1, 8, 257, 4, 1, 8) + struct.pack("<I", 8)
    return [
        _png(8000, 6000, 8, 0, zeros),
        _png(100_000, 100_000, 8, 2, zeros),
        _png(2**31 - 1, 2**31 - 1, 16, 6, b""),
        _png(0, 0, 8, 0, b""),
        _png(1, 79_000_000, 8, 0, zeros),
        _png(79_000_000, 1, 1, 0, zeros),
        _png(9, 9, 8, 3, bytes(90)),  # a palette is missing
        _png(9, 9, 8, 0, bytes(90), (b"zTXt", b"a\0\0" + zlib.compress(zeros, 9))),
        _png(9, 9, 8, 0, bytes(90), (b"iCCP", b"a\0\0" + zlib.compress(zeros, 9))),
        _png(9, 9, 8, 0, bytes(90), (b"eXIf", b"II*\0\x08\0\0\0" + loop)),
        b"II*\0\x08\0\0\0" + loop,  # a TIFF whose next page is itself
        b"II*\0\xff\xff\xff\xff",
        b"MM\0*\0\0\0\x08\xff\xff" + bytes(100),
        b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(500),
        b"P6 99999 99999 255\n" + bytes(100),
        b"P5 " + b"9" * 5000 + b" 1 255\n",
        b"P5\n#" + b"x" * 100_000,
        b"BM"
        + struct.pack("<IIIIiiHHIIiiII", 99, 0, 54, 40, 2**30, -(2**31), 1, 24, 0, 0, 0, 0, 0, 0),
        b"RIFF\xff\xff\xff\xffWEBPVP8X" + b"\xff" * 60,
        b"\xff\xd8\xff" + b"\xff" * 5000,
        b"\xff\xd8\xff\xe1\xff\xffExif\0\0" + b"II*\0\x08\0\0\0" + loop * 100,
        b"\xff\xd8" + b"\xff\xfe\0\x02" * 20_000 + b"\xff\xd9",
        b"\0\0\0\x0cjP  \r\n\x87\n" + struct.pack(">II", 0, 0x6A703268) + bytes(100),
        b"\0\0\0\x1cftypavif" + bytes(500),
        b"\0\0\0\x1cftypheic" + bytes(500),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99999 99999\n",
        b"",
        b"\0",
        b"\xff\xd8\xff",
    ]


@pytest.fixture(scope="module")
def files():
    from skimage.data import astronaut

    rng = np.random.default_rng(16)
    face = np.asarray(Image.fromarray(astronaut()[0:200, 130:330]).resize((64, 64)))
    seeds = _seeds(face, rng)
    damaged = [_damaged(seeds[int(rng.integers(len(seeds)))], rng, seeds) for _ in range(3000)]
    return [*_hostile(), *damaged]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_file_gets_its_row(files):
    table = predict_photos(files, "tiny", progress=False)
    assert table["source"].unique().tolist() == [f"[{i}]" for i in range(len(files))]
    kinds = table["status"].str.partition(":")[0].value_counts()
    assert set(kinds.index) <= {"ok", "no face", "unreadable"}
    assert kinds["unreadable"] > 1000
    assert kinds["ok"] > 100
    reasons = table["status"][table["status"].str.startswith("unreadable")]
    assert reasons.str.len().max() < 400
    assert not reasons[reasons.str.contains(re.compile(r"^unreadable: *$"))].size
    assert not reasons[reasons.str.contains("the image: |\n")].size


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_files_of_a_folder_get_their_rows_too(files, tmp_path):
    suffixes = (".jpg", ".png", ".tif", ".webp", ".gif", ".heic")
    for i, data in enumerate(files[:600]):
        (tmp_path / f"{i:04}{suffixes[i % len(suffixes)]}").write_bytes(data)
    rows = list(iter_photo_rows(tmp_path, "tiny", crop_faces=False))
    assert len(rows) == 600
