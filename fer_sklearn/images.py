"""Read, write, convert and resize photos.

Photos are read as RGB or grey uint8 arrays, regardless of the format of the file.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import numpy as np
from PIL import Image

from ._utils.files import (
    NotAFileError,
    atomic_write,
    check_writable,
    read_regular_file,
    read_stream,
)
from ._utils.image_files import decode_image, image_format, image_to_array, is_gray_png, on_white
from ._utils.optional import import_opencv
from ._utils.pixel_values import to_uint8
from ._utils.pixels import KnownShapes, split_batch
from ._utils.typing import ArrayLike, ImageLike, ImagesLike, PathLike, PixelArray, Readable
from .exceptions import ImageReadError

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "decode_color",
    "decode_gray",
    "read_image",
    "to_gray",
    "to_uint8",
    "write_image",
]

#: Suffixes of the files in a folder or an archive that are read as images.
IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jfif", ".jpe", ".mpo", ".webp", ".avif", ".heic", ".heif"),
    *(".tif", ".tiff", ".bmp", ".gif", ".jp2", ".j2k", ".jpf", ".jpx", ".apng"),
    *(".pgm", ".ppm", ".pbm", ".pnm"),
)

# Suffixes of photos in formats that are not read, to say so where they are found.
OTHER_SUFFIXES = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".dng", ".erf", ".iiq", ".kdc", ".mrw", ".nef", ".nrw"),
    *(".orf", ".pef", ".raf", ".raw", ".rw2", ".sr2", ".srf", ".srw", ".x3f"),
    *(".jxl", ".jxr", ".psd", ".tga"),
)

#: Larger images are rejected before they are decoded: they are hardly photos, and may be an attack.
MAX_PIXELS = 80_000_000

# Suffixes that can be written, and Pillow's names of their formats.
_FORMATS = {
    **{".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP"},
    **{".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP"},
}
_OPAQUE_FORMATS = ("JPEG", "BMP")
# Of a longer name, error messages show the beginning.
_LONGEST_NAME = 200
# Text that is no path: the address of a file, and the contents of one. The latter start as each
# format does in base64, and are longer than most paths.
_ADDRESS = re.compile(r"(?!data:)[A-Za-z][A-Za-z0-9+.-]+:/")
_DATA_URI = re.compile(r"data:[^,]*;base64,", re.IGNORECASE)
_BASE64 = re.compile(
    r"(/9j/|iVBORw0KGgo|R0lGOD|UklGR|SUkqA|TU0AK|AAAA.[GWm2]Z0eX|Qk[0-3])[\w+/=\s-]{90,}"
)


def as_photo(item: ImageLike | ArrayLike, *, name: str = "photo") -> PixelArray:
    """Read one photo, or convert its pixels, to 8-bit grey or RGB.

    Parameters
    ----------
    item : str, path-like, bytes, file object, Pillow image, or array-like
        A file, its contents, or pixels of shape (h, w), (h, w, 1), (h, w, 3) or (h, w, 4) and
        any dtype that :func:`to_uint8` takes. Transparency is composited on white.
    name : str
        Name of an array in error messages; files are identified by their path.

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
        return read_image(item)  # type: ignore[arg-type]
    if isinstance(item, Image.Image):
        return _from_pillow(item, name)
    if not isinstance(item, (np.ndarray, list, tuple)):
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
    pixels = to_uint8(pixels, name=name)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        return pixels[:, :, 0]
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        return on_white(Image.fromarray(pixels))
    return pixels


def _from_pillow(image, name):
    """Convert a Pillow image, which may not have been decoded yet."""
    if image.width * image.height > MAX_PIXELS:
        raise ImageReadError(
            f"{name}: the image has {image.width}×{image.height} pixels, more than {MAX_PIXELS}. "
            f"Shrink it."
        )
    try:
        return image_to_array(image)
    except Exception as error:
        raise ImageReadError(f"{name}: the image is truncated or damaged ({error}).") from error


class Photos:
    """A batch of photos that are read one at a time while you iterate.

    Made by :func:`iter_photos`.

    Attributes
    ----------
    items : list
        The photos as they were passed: paths, or pixels.
    """

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[PixelArray]:
        for index, item in enumerate(self.items):
            yield as_photo(item, name=f"X[{index}]")

    def name(self, index: int) -> str:
        """Return the name of a photo in messages: its path or its position."""
        item = self.items[index]
        return os.fspath(item) if isinstance(item, (str, os.PathLike)) else f"X[{index}]"


def iter_photos(X: ImagesLike, *, known: KnownShapes = None, owner: str = "") -> Photos:
    """Check a batch of photos, which are then read one at a time to save memory.

    Parameters
    ----------
    X : list, object array, Series, or ndarray
        Photos as :func:`as_photo_list` takes them. The dtype range of one numeric array is
        decided for the whole array, that of a list photo by photo.
    known, owner
        As in :func:`as_photo_list`.

    Returns
    -------
    Photos
        An iterable with a length, of ndarray of shape (h, w) or (h, w, 3), uint8. Iterating
        raises what :func:`as_photo` raises, with the position or the file in the message.

    Raises
    ------
    ValueError, TypeError
        If `X` is not a batch.
    """
    batch = split_batch(X, known=known, owner=owner)
    if isinstance(batch, np.ndarray):
        batch = list(to_uint8(batch, name="X", is_batch=True))
    return Photos(batch)


def as_photo_list(
    X: ImagesLike,
    *,
    name: str = "X",
    known: KnownShapes = None,
    owner: str = "",
    labelled: bool = False,
) -> list[Any]:
    """Split a batch of photos into a list with one item per photo, without reading or copying.

    Parameters
    ----------
    X : list, object array, Series, or ndarray
        Each item a path, bytes or an array ``(h, w)``, ``(h, w, 3)`` or ``(h, w, 4)``; or one
        array of shape (n, h, w), (n, h, w, 1 | 3 | 4) or (n, h * w). A single path or photo is
        refused, because it is not a batch.
    name : str
        Name of `X` in error messages.
    known, owner, labelled
        What flattened images are, as in :func:`~fer_sklearn._utils.pixels.split_batch`.

    Returns
    -------
    list
        The photos in order: arrays as views, everything else as it was passed.

    Raises
    ------
    ValueError
        If `X` is empty, a single path, or an array of another shape.
    TypeError
        If it is not a list or an array.
    """
    return list(split_batch(X, name=name, known=known, owner=owner, labelled=labelled))


def common_shape(photos: list[Any]) -> tuple[int, int] | None:
    """Return height and width of photos that are arrays of one size; None for others."""
    shapes = {photo.shape[:2] if isinstance(photo, np.ndarray) else None for photo in photos}
    return shapes.pop() if len(shapes) == 1 else None


def read_image(source: PathLike | bytes | Readable, *, max_pixels: int = MAX_PIXELS) -> PixelArray:
    """Read a photo as it is meant to be seen.

    The orientation in the file's EXIF data is applied, transparency is composited on white,
    16-bit and float files are scaled to 8 bits, and palettes and CMYK become RGB. Only
    the first frame of an animation is read.

    Parameters
    ----------
    source : str, path-like, bytes or file object
        The name of a file, its contents, also as a data URI or as text in base64, or an object
        whose ``read`` returns them, which is read from its start if it can be.
    max_pixels : int, default=80_000_000
        Larger images are rejected after reading the header, before anything is decoded.

    Returns
    -------
    ndarray of shape (h, w) or (h, w, 3), uint8
        Grey or RGB.

    Raises
    ------
    ImageReadError
        If the file is missing, truncated, damaged, not an image, or too large; the message
        says which and names the file.
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
    data, name = _read_bytes(source)
    return decode_image(data, name, max_pixels)


def decode_gray(data: bytes, name: str, *, max_pixels: int = MAX_PIXELS) -> PixelArray:
    """Decode one image of a data set to grey, fast if its format allows it.

    8-bit grey PNG and JPEG files are read by OpenCV, tens of thousands of small images per
    second; all others, and what OpenCV refuses, by :func:`read_image`.

    Parameters
    ----------
    data : bytes
        Contents of an image file.
    name : str
        Its name in error messages.
    max_pixels : int, default=80_000_000
        Larger images are refused before they are decoded.

    Returns
    -------
    ndarray of shape (h, w), uint8

    Raises
    ------
    ImageReadError
        As in :func:`read_image`.
    """
    cv2 = import_opencv()

    if is_gray_png(data, max_pixels):
        gray = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        if gray is not None:
            return gray
    return to_gray(decode_image(data, name, max_pixels))


def decode_color(data: bytes, name: str, *, max_pixels: int = MAX_PIXELS) -> PixelArray:
    """Decode one image of a data set to RGB; parameters and errors as in :func:`decode_gray`.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8
        Three equal channels if the image is grey.
    """
    image = decode_image(data, name, max_pixels)
    return image if image.ndim == 3 else np.repeat(image[..., np.newaxis], 3, axis=2)


def is_image_file(name: str) -> bool:
    """Return whether a file of a folder or an archive is read as an image.

    Parameters
    ----------
    name : str
        Its name or path. Hidden files, such as the ``._photo.jpg`` of macOS, are not images.

    Returns
    -------
    bool
        Whether it ends in one of :data:`IMAGE_SUFFIXES`.
    """
    name = os.path.basename(name)
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


def to_gray(image: PixelArray) -> PixelArray:
    """Convert RGB to grey with the luma weights of ITU-R BT.601, as JPEG does.

    Parameters
    ----------
    image : ndarray of shape (h, w) or (h, w, 3), uint8

    Returns
    -------
    ndarray of shape (h, w), uint8
        `image` itself if it is grey.
    """
    cv2 = import_opencv()

    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def resize(image: PixelArray, size: tuple[int, int]) -> PixelArray:
    """Scale an image, averaging areas to shrink it and interpolating (cubic) to enlarge it.

    A side that shrinks is averaged even if the other one grows, which would otherwise leave
    stripes (aliases) of fine patterns. The loaders, the transformers, the graphs of exported
    models and the web page scale in this way.

    Parameters
    ----------
    image : ndarray of shape (h, w) or (h, w, 3), uint8
    size : (int, int)
        The new height and width.

    Returns
    -------
    ndarray of shape (height, width) or (height, width, 3), uint8
        `image` itself if it is grey and has that size.
    """
    cv2 = import_opencv()

    height, width = size
    if image.shape == size:
        return image
    least = min(height, image.shape[0]), min(width, image.shape[1])
    if least == size:
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    if least == image.shape[:2]:
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    # One side shrinks and the other grows. Floats are rounded once, at the end.
    averaged = cv2.resize(image.astype(np.float32), least[::-1], interpolation=cv2.INTER_AREA)
    scaled = cv2.resize(averaged, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def subsample(image: PixelArray, scale: float) -> PixelArray:
    """Drop rows and columns of an image that will be scaled by `scale`, far below 1.

    It keeps at least twice as many as are needed, so that averaging them still gives a good image.
    For a photo of 24 megapixels, it reads one pixel in nine; averaging all of them would take
    longer than everything that follows.
    """
    step = max(1, int(0.5 / scale))
    return np.ascontiguousarray(image[::step, ::step])


def resize_gray(
    images: ImagesLike, size: tuple[int, int], *, known: KnownShapes = None, owner: str = ""
) -> PixelArray:
    """Convert photos of any kind and size to grey images of one size.

    Colour becomes grey with the luma weights of ITU-R BT.601. Shrinking averages areas,
    enlarging uses cubic interpolation.

    Parameters
    ----------
    images : list, object array, or ndarray of shape (n, h, w), (n, h, w, 1 | 3 | 4) or (n, h * w)
        Paths or pixels.
    size : (int, int)
        Height and width of the result.
    known : tuple of (int, int) or None, default=None
        Possible heights and widths of flattened images. If None, those of the result, or squares.
    owner : str, default=""
        The estimator that knows these, for error messages.

    Returns
    -------
    ndarray of shape (n, height, width), uint8
        A view of `images` if they are already such images.

    Raises
    ------
    ValueError, TypeError, ImageReadError
        As `iter_photos` and `as_photo`.

    Examples
    --------
    >>> import numpy as np
    >>> resize_gray([np.zeros((90, 80, 3)), np.ones((20, 20))], (48, 48)).shape
    (2, 48, 48)
    """
    finished = _already_gray(images, size)
    if finished is not None:
        return finished
    photos = iter_photos(images, known=known, owner=owner)
    resized = np.empty((len(photos), *size), np.uint8)
    for index, photo in enumerate(photos):
        resized[index] = resize(to_gray(photo), size)
    return resized


def _already_gray(images, size):
    """View `images` as grey uint8 images of the right size, or return None if they are not."""
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or len(images) == 0:
        return None
    height, width = size
    is_flat = images.ndim == 2 and height == width and images.shape[1] == height * width
    if is_flat or images.shape[1:] in ((height, width), (height, width, 1)):
        return images.reshape(-1, height, width)
    return None


def write_image(path: PathLike, array: ArrayLike) -> None:
    """Write an image to a file, in the format that its suffix names.

    Parameters
    ----------
    path : str or path-like
        Ends in ``.png``, ``.jpg``, ``.jpeg``, ``.bmp``, ``.tif``, ``.tiff`` or ``.webp``;
        its folder must exist. An existing file is replaced once the new one is complete.
    array : array-like of shape (h, w), (h, w, 1), (h, w, 3) or (h, w, 4)
        Grey, RGB or RGBA, of any dtype that :func:`to_uint8` takes. For formats without
        transparency it is composited on white.

    Raises
    ------
    ValueError
        For another suffix or shape.
    FileNotFoundError
        If the folder does not exist.
    """
    path = check_writable(path, suffixes=tuple(_FORMATS))
    pixels = to_uint8(array)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    is_image = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))
    if not is_image or pixels.size == 0:
        raise ValueError(
            f"array has shape {pixels.shape}; expected one image, (h, w), (h, w, 3) or (h, w, 4)."
        )
    image = Image.fromarray(np.ascontiguousarray(pixels))
    form = _FORMATS[path.suffix.lower()]
    if image.mode == "RGBA" and form in _OPAQUE_FORMATS:
        image = Image.fromarray(on_white(image))
    # Folders of annotated photos have thousands of files, which need not survive a power cut.
    with atomic_write(path, sync=False) as file:
        image.save(file, format=form, quality=95)


def is_text_contents(text: str) -> bool:
    """Return whether text is no path, but the contents of an image: a data URI, or base64."""
    return bool(_DATA_URI.match(text) or _BASE64.match(text))


def is_address(path: str) -> bool:
    """Return whether text is no path, but an address, such as ``"https://…"``."""
    return bool(_ADDRESS.match(path))


def read_contents(source: PathLike | bytes | Readable) -> bytes:
    """Return the undecoded contents of what :func:`read_image` takes; errors are the same."""
    return _read_bytes(source)[0]


def decode_text(text: str) -> bytes:
    """Return the contents of an image from text in base64, also as a data URI."""
    uri = _DATA_URI.match(text)
    encoded = re.sub(r"\s", "", unquote(text[uri.end() :]) if uri else text)
    encoded = encoded.rstrip("=").translate({ord("-"): "+", ord("_"): "/"})
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError as error:
        raise ImageReadError(
            f"the image: the text {text[:30]!r}… is no valid base64 ({error})."
        ) from None


def _read_bytes(source):
    """Return the contents of `source`, and what to call it."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source), "the image"
    if hasattr(source, "read"):
        name = getattr(source, "name", None)
        name = name if isinstance(name, str) else "the image"
        return _read_file_object(source, name), name
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            f"source is a {type(source).__name__}; expected a path, bytes or a file object."
        )
    name = os.fsdecode(source)
    if isinstance(source, str) and is_text_contents(source):
        return decode_text(source), "the image"
    if is_address(name):
        raise ImageReadError(
            f"{_shortened(name)}: this is an address, and nothing is downloaded. Download the "
            f"photo and pass its path, or its contents: urllib.request.urlopen(address).read()."
        )
    return _read_path(source, name)


def _read_path(path, name):
    try:
        return read_regular_file(path, is_wanted=image_format), name
    except FileNotFoundError:
        raise ImageReadError(
            f"{name}: there is no such file. Check the path (the current folder is {os.getcwd()})."
        ) from None
    except NotAFileError as error:
        remedy = " load_image_folder reads folders." if os.path.isdir(path) else ""
        raise ImageReadError(f"{name}: {error}, not an image file.{remedy}") from None
    except (OSError, ValueError) as error:  # such as a name that is too long, or contains NUL
        reason = error.strerror if isinstance(error, OSError) else error
        raise ImageReadError(f"{_shortened(name)}: cannot be read ({reason}).") from error


def _read_file_object(file, name):
    """Read a file object from its start, wherever it stands."""
    try:
        if hasattr(file, "seek") and getattr(file, "seekable", lambda: True)():
            file.seek(0)
        data = read_stream(file, is_wanted=image_format)
    except NotAFileError as error:
        raise ImageReadError(f"{name}: {error}, not an image file.") from None
    except (OSError, ValueError) as error:
        raise ImageReadError(f"{name}: the file object cannot be read ({error}).") from error
    if not data:
        raise ImageReadError(
            f"{name}: the file object is empty, or was read to its end and cannot be read again. "
            f"Open it anew."
        )
    return data


def _shortened(name):
    """Return a name that is not too long for a message."""
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"
