"""Read one photo, from a file, its contents or pixels, and detect damage.

Pillow decodes files. It is told the format, which is determined from the first bytes, because it
would otherwise run Ghostscript on an EPS file of any name.
"""

from __future__ import annotations

import io
import math
import os
import re
import struct
import zlib
from contextlib import suppress
from importlib import import_module
from itertools import islice

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features

from ..exceptions import ImageReadError
from .compat import cv2
from .files import read_source
from .pixel_values import on_white, to_uint8
from .typing import ArrayLike, ImageLike, PathLike, PixelArray, Readable

__all__ = [
    "MAX_PIXELS",
    "PixelLimitError",
    "as_photo",
    "decode_image",
    "image_format",
    "read_contents",
    "read_image",
]

#: Larger images are rejected before they are decoded: they are rarely photos, and may be an attack.
MAX_PIXELS = 80_000_000
# Pillow's name of a format, by the first bytes of a file.
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    *((start, "TIFF") for start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    *((start, "JPEG2000") for start in (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")),
)
_PNM = re.compile(rb"P[1-6]\s")
# The brands of files in boxes (MP4 is of this kind too): HEIC, as from iPhones, and AVIF.
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "HEIF"),
    **dict.fromkeys((b"mif1", b"msf1"), "HEIF"),
}
# Pillow's names of modules, where they differ.
_MODULES = {"WEBP": "WebP", "JPEG2000": "Jpeg2K"}
# Formats that Pillow may have been built without.
_CODECS = {"WEBP": "webp", "AVIF": "avif", "JPEG2000": "jpg_2000"}
_EXPECTED = "PNG, JPEG, WebP, AVIF, HEIC, TIFF, BMP, GIF, JPEG 2000 or PNM"

# Tags of TIFF: which end of the range is black, and the bits of each channel.
_PHOTOMETRIC, _WHITE_IS_ZERO, _RGB, _BITS_PER_SAMPLE, _WIDTH, _HEIGHT = 262, 0, 2, 258, 256, 257
_COMPRESSION, _STRIPS, _STRIP_BYTES, _ORIENTATION = 259, 273, 279, 274
# Whether one colour is stored after the other, and what kind of numbers they are.
_PLANAR, _ONE_BY_ONE, _SAMPLE_FORMAT, _SIGNED, _FLOATS = 284, 2, 339, 2, 3
# If all bytes of colours are below this, they may be the upper bytes of 10 or 12 bits.
_DARK = 16

# The end of the entropy-coded data of a JPEG file: a marker other than stuffing and restarts.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_END, _SCAN, _RESTARTS = 0xD9, 0xDA, 0xDD
_FRAMES, _OTHER_FRAMES = (0xC0, 0xC1), {*range(0xC2, 0xD0)} - {0xC4, 0xC8, 0xCC}
# Tables come between scans; anything else is not a marker, but damage.
_BETWEEN_SCANS = (_SCAN, 0xC4, 0xDB, 0xDC, _RESTARTS, *range(0xE0, 0xF0), 0xFE)
# The data is followed by padding of this length. Near its end, half of the rest is read at a time,
# down to small pieces, to see where libjpeg stops: for intact data, at most this far from the end.
_PADDING, _NEAR, _PIECE, _SLACK = 8192, 512, 4, 12
_CHANGED = "some of its data was changed, or is missing"
# Neither AV1 nor HEVC ends in more zeros than the first, but metadata of the other size may follow.
_MOST_ZEROS, _MOST_METADATA = 64, 2**16
# Metadata of a PNG file that may state its orientation.
_PNG_ORIENTED = re.compile(rb"eXIf|(?:tEXt|zTXt)Raw profile type exif\0|iTXtXML:com.adobe.xmp\0")
_PNG_END = bytes.fromhex("0000000049454e44ae426082")


def image_format(data: bytes) -> str | None:
    """Return Pillow's name of the format of an image file, by its content; None if it is unknown.

    Parameters
    ----------
    data : bytes
        At least the first 64 bytes.
    """
    for start, name in _SIGNATURES:
        if data.startswith(start):
            return name
    if _PNM.match(data):
        return "PPM"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        end = min(int.from_bytes(data[:4], "big"), 64)
        brands = {data[8:12], *(data[i : i + 4] for i in range(16, end, 4))}
        found = {_BRANDS[brand] for brand in brands if brand in _BRANDS}
        # AVIF files state the brand that both are based on, too.
        return min(found, default=None)
    return None


def decode_image(data: bytes, name: str, max_pixels: int) -> PixelArray:
    """Decode the contents of an image file as :func:`~fer_sklearn.read_image` describes.

    Parameters
    ----------
    data : bytes
    name : str
        Its name in error messages.
    max_pixels : int
        Larger images are refused once their header has been read.

    Returns
    -------
    ndarray of shape (h, w) or (h, w, 3), uint8
        Grey or RGB.
    """
    form = image_format(data)
    if form is None:
        if not data:
            raise _damaged(name, "0 bytes")
        raise ImageReadError(
            f"{name}: not an image in a known format; its first bytes are {data[:8]!r}. "
            f"Expected {_EXPECTED}."
        )
    # Decoders raise many kinds of errors for damaged data, MemoryError among them.
    try:
        scan = _whole_scan(data, name) if form == "JPEG" else None
        data, is_intact = _bare_png(data) if form == "PNG" else (data, True)
        try:
            image = _open(data if scan is None else scan, form, name)
            is_swapped = image.mode == "F" and data.startswith(b"MM")
            if is_swapped and image.tag_v2.get(_COMPRESSION, 1) != 1:
                raise UnidentifiedImageError  # Pillow would swap the bytes of these floats twice
        except UnidentifiedImageError:
            if form != "TIFF":
                raise
            return _numbers_of_tiff(data, name, max_pixels)
        if image.width * image.height > max_pixels:
            raise _too_large(image.size, name, max_pixels)
        if not is_intact:
            raise _damaged(name, _CHANGED)
        if form in ("AVIF", "HEIF") and _ends_in_zeros(data):
            raise _damaged(name, "its end is empty")
        pixels = _to_array(image, in_place=True)
        if scan is not None and not scan.ends_well():
            raise _damaged(name, _CHANGED)
        if form in ("PNG", "TIFF", "JPEG2000") and pixels.ndim == 3:
            return _deep_colors(image, pixels, data, name)
        return pixels
    except ImageReadError:
        raise
    except (PixelRangeError, Image.DecompressionBombError) as error:  # an image that is too large
        raise ImageReadError(f"{name}: {error}") from error
    except UnidentifiedImageError as error:
        raise _damaged(name, "its header cannot be read") from error
    except Exception as error:
        raise _damaged(name, error) from error


class PixelLimitError(ImageReadError):
    """An image with more pixels than are allowed, which was not decoded."""


class PixelRangeError(ValueError):
    """An intact image, whose pixels lie outside every known range."""


def _to_array(image, *, in_place=False):
    """Return the pixels of a Pillow image of any mode, turned upright, as 8-bit grey or RGB.

    With `in_place`, `image` itself may be rotated, which takes less memory. Pixels outside every
    known range raise a PixelRangeError.
    """
    image.load()
    image, tags = _upright(image, in_place), getattr(image, "tag_v2", {})  # of a TIFF file
    if image.mode.startswith("I") or image.mode == "F":
        return _from_numbers(image, tags)
    if image.has_transparency_data:
        grey = image.mode in ("L", "LA", "La")
        image = image.convert("LA") if image.mode == "La" else image
        pixels = on_white(image.convert("RGBA"))
        return pixels[..., 0].copy() if grey else pixels
    if image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    pixels = np.array(image)
    if tags.get(_SAMPLE_FORMAT, (1,))[0] == _SIGNED and pixels.max() > 127:
        raise PixelRangeError(
            "the image has int8 pixels below 0; expected 0..255. Add 128, or save it as uint8."
        )
    return pixels


def _open(data, form, name):
    """Read only the header."""
    if form == "HEIF":
        return _open_heif(data, name)
    codec = _CODECS.get(form)
    if codec is not None and not features.check(codec):
        raise ImageReadError(
            f"{name}: this Pillow was built without {form}. Type: pip install --upgrade pillow"
        )
    import_module(f"PIL.{_MODULES.get(form, form.title())}ImagePlugin")
    return Image.open(io.BytesIO(data) if isinstance(data, bytes) else data, formats=[form])


def _open_heif(data, name):
    try:
        import pillow_heif
    except ModuleNotFoundError:
        raise ImageReadError(
            f"{name}: HEIC needs the package 'pillow-heif', which is not installed. "
            f"Type: pip install 'fer_sklearn[heic]', or convert the photo to JPEG."
        ) from None
    return pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True).to_pillow()


def _too_large(size, name, max_pixels):
    return PixelLimitError(
        f"{name}: the image has {size[0]}×{size[1]} = {math.prod(size)} pixels, more than "
        f"max_pixels={max_pixels}. Shrink it, or pass a larger max_pixels to read_image."
    )


def _damaged(name, reason):
    reason = reason if isinstance(reason, str) else str(reason) or type(reason).__name__
    return ImageReadError(
        f"{name}: the image is truncated or damaged ({reason}). Copy or download it again."
    )


def _upright(image, in_place):
    with suppress(Exception):  # damaged EXIF data; other programs show such a photo as it is
        if (orientation := image.getexif().get(_ORIENTATION, 1)) != 1:
            image = image if in_place else image.copy()
            image.getexif()[_ORIENTATION] = orientation
            ImageOps.exif_transpose(image, in_place=True)
    return image


def _from_numbers(image, tags):
    """Convert 16-bit, 32-bit and float images, in which white has no fixed value."""
    numbers = np.asarray(image)
    if numbers.dtype.kind in "iu" and numbers.min() >= 0 and numbers.max() < 2**16:
        # Pillow reads some 16-bit files into 32 bits.
        numbers = numbers.astype(np.uint16)
    pixels = _scaled(numbers, tags)
    if (transparent := image.info.get("transparency")) is not None:
        return np.where(numbers == transparent, np.uint8(255), pixels)
    return pixels


def _scaled(numbers, tags):
    """Convert pixels of any range to 8 bits; in a TIFF file, white may be 0."""
    try:
        pixels = to_uint8(numbers)
    except ValueError as error:
        raise PixelRangeError(error) from None
    return 255 - pixels if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else pixels


def _numbers_of_tiff(data, name, max_pixels):
    """Decode floats, of which Pillow supports only some."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    try:
        tags = ImageFileDirectory_v2(data[:8])
        file = io.BytesIO(data)
        file.seek(tags.next)
        tags.load(file)
        size = int(tags[_WIDTH]), int(tags[_HEIGHT])
        are_floats = tags.get(_SAMPLE_FORMAT, (1,))[0] == _FLOATS
        is_short = np.min(tags.get(_BITS_PER_SAMPLE, 1)) < 32  # OpenCV does not support it either
    except Exception:
        raise UnidentifiedImageError from None
    if math.prod(size) > max_pixels:
        raise _too_large(size, name, max_pixels)
    if not are_floats or is_short or tags.get(_PLANAR) == _ONE_BY_ONE:
        raise ImageReadError(
            f"{name}: this kind of TIFF file is not supported: {tags.get(_BITS_PER_SAMPLE)} bits "
            f"per colour, or colours in separate planes. Save it with 8 or 16 bits."
        )
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise UnidentifiedImageError
    return _scaled(decoded if decoded.ndim == 2 else decoded[..., 2::-1].copy(), tags)


def _deep_colors(image, pixels, data, name):
    """Decode 16-bit colours again where Pillow drops all but 4 of 12 bits, or is wrong."""
    tags = getattr(image, "tag_v2", {})
    n_bits = tags.get(_BITS_PER_SAMPLE, (8,))[0]
    if image.format == "PNG":
        n_bits = data[24]
    elif image.format == "JPEG2000":
        n_bits = data[data.find(b"\xff\x51") + 40] % 128 + 1
    if n_bits != 16:
        return pixels
    is_dark = np.asarray(image)[..., :3].max() < _DARK
    is_rgb, are_planes = tags.get(_PHOTOMETRIC, _RGB) == _RGB, tags.get(_PLANAR) == _ONE_BY_ONE
    # Pillow mixes up planes unless they are compressed; OpenCV mixes up all.
    are_mixed = are_planes and tags.get(_COMPRESSION, 1) == 1
    if are_mixed and is_rgb and _STRIPS in tags:
        return _planes(data, name)
    # Pillow overlooks a transparent 16-bit colour, and turns white in JPEG 2000 into black.
    is_wrong = are_mixed or "transparency" in image.info or image.format == "JPEG2000"
    if not is_wrong and not (is_dark and is_rgb):
        return pixels
    decoded = None
    if is_rgb and not are_planes:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise ImageReadError(
            f"{name}: the image has 16-bit colours in separate planes or with a compression that "
            f"cannot be read. Save it with interleaved RGB, uncompressed."
        )
    if decoded.ndim != 3:
        return pixels
    order = [2, 1, 0, 3] if image.has_transparency_data else [2, 1, 0]
    pixels = _colors_on_white(decoded[..., order[: decoded.shape[2]]])
    if image.format != "PNG":  # OpenCV turns TIFF files upright
        return pixels
    return _turned(pixels, _open(data, "PNG", name).getexif().get(_ORIENTATION, 1))


def _planes(data, name):
    """Decode the 16-bit colours of a TIFF file that are stored in separate planes."""
    tags = _open(data, "TIFF", name).tag_v2
    shape = (len(tags[_BITS_PER_SAMPLE]), tags[_HEIGHT], tags[_WIDTH])
    starts, sizes = tags[_STRIPS], tags.get(_STRIP_BYTES, ())
    contents = b""
    if len(starts) == len(sizes) and sum(sizes) == 2 * math.prod(shape):
        contents = b"".join(data[i : i + n] for i, n in zip(starts, sizes, strict=True))
    if len(contents) != 2 * math.prod(shape):
        raise _damaged(name, "its strips do not have the size of the image")
    planes = np.frombuffer(contents, "<u2" if data.startswith(b"I") else ">u2").reshape(shape)
    return _turned(_colors_on_white(np.moveaxis(planes, 0, -1)), tags.get(_ORIENTATION, 1))


def _turned(pixels, orientation):
    image = Image.fromarray(pixels)
    image.getexif()[_ORIENTATION] = orientation
    return np.array(_upright(image, in_place=True))


def _colors_on_white(colors):
    """Convert 16-bit RGB or RGBA to 8-bit RGB."""
    pixels = to_uint8(np.ascontiguousarray(colors[..., :3]))
    if colors.shape[2] < 4:
        return pixels
    alpha = to_uint8(np.ascontiguousarray(colors[..., 3]))
    return on_white(Image.fromarray(np.dstack([pixels, alpha])))


class _Scan(io.BytesIO):
    """A JPEG file with one scan, to be read by Pillow, which shows where its decoder stops.

    libjpeg decodes data that was damaged in the middle without an error. But from there on it is
    out of step, and needs more or less data for the whole image than there is.
    """

    def __init__(self, data: bytes, start: int, end: int) -> None:
        # If the file has no end, Pillow notices by itself that data is missing.
        ending = bytes(_PADDING) + bytes((0xFF, _END)) if end < len(data) else b""
        super().__init__(data[:end] + ending)
        # Some cameras pad their files, and parts that were never written look like padding.
        filled = len(data[:end].rstrip(data[end - 1 : end]))
        self._ends = [(max(start, stop - _NEAR), stop) for stop in (max(start, filled), end)]

    def read(self, size: int | None = -1, /) -> bytes:
        position = self.tell()
        for near, stop in self._ends:
            if position < stop + _NEAR:
                left = near - position
                if left <= 0:
                    left = max(_PIECE, (stop - position) // 2)
                if size is None or not 0 <= size < left:
                    size = left
                break
        return super().read(size)

    def ends_well(self) -> bool:
        """Return whether the decoder needed about as much data as there is."""
        return any(abs(stop - self.tell()) <= _SLACK for _, stop in self._ends)


def _segments(data):
    """Yield marker, start and end of the segments of a JPEG file, up to its first scan."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # padding
            position += 1
            continue
        start = position + 2
        position = start + int.from_bytes(data[start : start + 2], "big")
        yield marker, start + 2, position
        if marker == _SCAN:
            return


def _whole_scan(data, name):
    """Return a JPEG file if the end of its data can be checked; None if it has several scans."""
    frame, interval = b"", 0
    for marker, start, end in _segments(data):
        if marker == _RESTARTS:
            interval = int.from_bytes(data[start : start + 2], "big")
        elif marker in _OTHER_FRAMES:
            return None
        elif marker in _FRAMES:
            frame = data[start:end]
        elif marker == _SCAN:
            found = _MARKER.search(data, end)
            stop = len(data) if found is None else found.start()
            following = _END if found is None else data[stop + 1]
            if following in _BETWEEN_SCANS:
                return None
            has_all = not interval or _has_restarts(data[end:stop], frame, interval)
            if following != _END or not has_all:
                raise _damaged(name, _CHANGED)
            return _Scan(data, end, stop)
    return None


def _has_restarts(scan, frame, interval):
    """Return whether a JPEG file has all its restart markers, where the decoder starts afresh."""
    height, width, n_colors = *struct.unpack_from(">HH", frame, 1), frame[5]
    factors = [(side >> 4, side & 15) for side in frame[7 : 7 + 3 * n_colors : 3]]
    across, down = map(max, zip(*factors, strict=True)) if n_colors > 1 else (1, 1)
    n_blocks = -(-width // (8 * across)) * -(-height // (8 * down))
    n_marks = (n_blocks - 1) // interval
    marks = [mark.group()[1] for mark in islice(re.finditer(rb"\xff[\xd0-\xd7]", scan), n_marks)]
    return marks == [0xD0 + i % 8 for i in range(n_marks)]


def _ends_in_zeros(data):
    """Return whether the media data of a file in boxes end in zeros: they were never written."""
    start = end = 0
    while start + 16 <= len(data):
        size, kind, large_size = struct.unpack_from(">I4sQ", data, start)
        start += max(8, large_size if size == 1 else size or len(data) - start)
        end = start if kind == b"mdat" else end
    most = _MOST_METADATA if b"Exif" in data or b"mime" in data else _MOST_ZEROS
    return 0 < end <= len(data) and not any(data[max(0, end - most) : end])


def _bare_png(data):
    """Return a PNG file without its metadata but its orientation, and whether checksums match.

    Pillow ignores those of pixels, but refuses photos whose profile or description is damaged or
    large.
    """
    view, parts, oriented, start, is_intact = memoryview(data), [data[:8]], {}, 8, True
    while (kind := data[start + 4 : start + 8]).isalpha() and kind != b"IEND":
        end = start + 8 + int.from_bytes(data[start : start + 4], "big")
        if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT"):
            parts.append(view[start : end + 4])
        if kind == b"IDAT":
            checksum = int.from_bytes(data[end : end + 4], "big")
            is_intact &= zlib.crc32(view[start + 4 : end]) == checksum
        elif found := _PNG_ORIENTED.match(data, start + 4):
            oriented[found.group()] = view[start : end + 4]
        start = end + 4
    if oriented:
        parts.insert(2, _png_orientation(b"".join((*parts[:2], *oriented.values(), _PNG_END))))
    return b"".join((*parts, _PNG_END)), is_intact


def _png_orientation(data):
    """Return an EXIF chunk with nothing but the orientation that is stated in a PNG file."""
    exif = Image.Exif()
    try:
        exif[_ORIENTATION] = Image.Image.getexif(_open(data, "PNG", "")).get(_ORIENTATION, 1)
        chunk = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    except Exception:  # damaged; other programs show such a photo as it is
        return b""
    return struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))


# -- one photo, in any form ---------------------------------------------------------------


def as_photo(item: ImageLike | ArrayLike, *, name: str = "photo") -> PixelArray:
    """Read one photo, or convert its pixels, to 8-bit grey or RGB.

    Parameters
    ----------
    item : str, path-like, bytes, file object, Pillow image, or array-like
        A file, its contents, or pixels of shape (h, w), (h, w, 1), (h, w, 3) or (h, w, 4) and
        any dtype that :func:`to_uint8` takes. Transparency is composited on white.
    name : str
        Name of anything but a file with a path in error messages.

    Returns
    -------
    ndarray of shape (h, w) or (h, w, 3), uint8
        A view of `item` if nothing had to be changed.

    Raises
    ------
    ImageReadError
        As :func:`read_image`.
    TypeError
        If `item` is not a photo at all.
    ValueError
        For another shape, no pixels, or pixels outside the range of their dtype.
    """
    if isinstance(item, (str, os.PathLike, bytes, bytearray, memoryview)) or hasattr(item, "read"):
        data, found = read_source(item, is_wanted=image_format)  # type: ignore[arg-type]
        return decode_image(data, name if found == "the image" else found, MAX_PIXELS)
    if isinstance(item, Image.Image) and item.width * item.height:
        return _from_pillow(item, name)
    if not isinstance(item, (np.ndarray, list, tuple, Image.Image)):
        raise TypeError(
            f"{name} is a {type(item).__name__}; expected a path or an array (h, w), "
            f"(h, w, 3) or (h, w, 4), or the bytes of a file, a file object or a Pillow image."
        )
    pixels = np.asarray(item)
    if pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (1,), (3,), (4,)):
        raise ValueError(
            f"{name} has shape {pixels.shape}; expected one photo, (h, w), (h, w, 3) or "
            f"(h, w, 4), channels last."
        )
    if pixels.size == 0:
        raise ValueError(f"{name} has shape {pixels.shape}: a photo without pixels.")
    if pixels.dtype != np.uint8:
        pixels = to_uint8(pixels, name=name)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        return pixels[:, :, 0]
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        return on_white(Image.fromarray(pixels))
    return pixels


def _from_pillow(image, name):
    """Convert a Pillow image, which may not have been decoded yet."""
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(image.size, name, MAX_PIXELS)
    try:
        return _to_array(image)
    except PixelRangeError as error:
        raise ImageReadError(f"{name}: {error}") from error
    except Exception as error:
        raise _damaged(name, error) from error


def read_image(source: PathLike | bytes | Readable, *, max_pixels: int = MAX_PIXELS) -> PixelArray:
    """Read a photo as it is meant to be seen.

    The orientation in the file's EXIF data is applied, transparency is composited on white,
    16-bit and float files are scaled to 8 bits, and palettes and CMYK become RGB. Only
    the first frame of an animation is read.

    Parameters
    ----------
    source : str, path-like, bytes or file object
        A path; the contents of a file, as bytes, a data URI or base64 text; or a file object, which
        is read from its start if possible.
    max_pixels : int, default=80_000_000
        Larger images are rejected after reading the header, before anything is decoded.

    Returns
    -------
    ndarray of shape (h, w) or (h, w, 3), uint8
        Grey or RGB.

    Raises
    ------
    ImageReadError
        If the file is missing, damaged, not an image, or too large; the message says which.
    TypeError
        If `source` is something else, such as an array.

    Examples
    --------
    >>> import io
    >>> from PIL import Image
    >>> file = io.BytesIO()
    >>> Image.new("RGBA", (3, 2), (255, 0, 0, 0)).save(file, format="PNG")
    >>> read_image(file.getvalue()).shape
    (2, 3, 3)
    >>> read_image(file.getvalue()).min()  # fully transparent, and therefore white
    np.uint8(255)
    """
    data, name = read_source(source, is_wanted=image_format)
    return decode_image(data, name, max_pixels)


def read_contents(source: PathLike | bytes | Readable) -> bytes:
    """Return the undecoded contents of a photo; takes and raises the same as :func:`read_image`."""
    return read_source(source, is_wanted=image_format)[0]
