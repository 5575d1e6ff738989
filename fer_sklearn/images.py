"""Read, write, convert and resize photos.

Photos are read as RGB or grey uint8 arrays, regardless of the format of the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from ._utils import image_files
from ._utils.compat import cv2
from ._utils.files import atomic_write, check_writable
from ._utils.image_files import as_photo, decode_image, image_format, read_image
from ._utils.pixel_values import empty_pixels, on_white, to_gray, to_uint8
from ._utils.pixels import KnownShapes, split_batch
from ._utils.typing import ArrayLike, ImagesLike, PathLike, PixelArray

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

# Suffixes of photos in unsupported formats, which are reported rather than skipped.
OTHER_SUFFIXES = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".dng", ".erf", ".iiq", ".kdc", ".mrw", ".nef", ".nrw"),
    *(".orf", ".pef", ".raf", ".raw", ".rw2", ".sr2", ".srf", ".srw", ".x3f"),
    *(".jxl", ".jxr", ".psd", ".tga"),
)

#: Larger images are rejected before they are decoded: they are rarely photos, and may be an attack.
MAX_PIXELS = image_files.MAX_PIXELS

# Suffixes that can be written, and Pillow's names of their formats.
_FORMATS = {
    **{".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP"},
    **{".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP"},
}
_OPAQUE_FORMATS = ("JPEG", "BMP")
# These two bytes of its first chunk mark an 8-bit grey PNG; the others, transparency and what may
# state an orientation.
_GRAY8 = b"\x08\x00"
_NOT_PLAIN = (b"tRNS", b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")


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
        Photos as :func:`~fer_sklearn._utils.pixels.split_batch` takes them. The range of pixels is
        determined for an array as a whole, and for each photo of a list separately.
    known, owner
        The shape of flattened images, as there.

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


def decode_gray(data: bytes, name: str, *, max_pixels: int = MAX_PIXELS) -> PixelArray:
    """Decode one image of a data set to grey, fast if its format allows it.

    8-bit grey PNG files are read by OpenCV, tens of thousands of small images per second; all
    others, and what OpenCV refuses, as by :func:`read_image`.

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
    if _is_gray_png(data, max_pixels):
        gray = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        if gray is not None:
            return gray
    return to_gray(decode_image(data, name, max_pixels))


def _is_gray_png(data, max_pixels):
    """Return whether OpenCV reads a file as decode_image would: 8-bit grey PNG."""
    if image_format(data) != "PNG" or data[24:26] != _GRAY8:
        return False
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    return width * height <= max_pixels and not any(mark in data for mark in _NOT_PLAIN)


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
        A view of `images` if they are already such images. A ``memmap`` of a temporary file if they
        would take more than 2 GiB, or what ``FER_SKLEARN_MAX_MEMORY`` says.

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
    finished = _already_gray(images, size, known or ())
    if finished is not None:
        return finished
    photos = iter_photos(images, known=known, owner=owner)
    resized = empty_pixels((len(photos), *size))
    for index, photo in enumerate(photos):
        resized[index] = resize(to_gray(photo), size)
    return resized


def resize_rgb(
    images: ImagesLike, size: tuple[int, int], *, known: KnownShapes = None, owner: str = ""
) -> PixelArray:
    """Convert photos of any kind and size to RGB images of one size.

    Parameters
    ----------
    images, size, known, owner
        As in :func:`resize_gray`.

    Returns
    -------
    ndarray of shape (n, height, width, 3), uint8
        `images` itself if it is such an array.

    Examples
    --------
    >>> import numpy as np
    >>> resize_rgb([np.zeros((90, 80, 3)), np.ones((20, 20))], (48, 48)).shape
    (2, 48, 48, 3)
    """
    is_done = isinstance(images, np.ndarray) and images.shape[1:] == (*size, 3)
    if isinstance(images, np.ndarray) and is_done and images.dtype == np.uint8 and len(images):
        return images
    photos = iter_photos(images, known=known, owner=owner)
    resized = empty_pixels((len(photos), *size, 3))
    for index, photo in enumerate(photos):
        scaled = resize(photo, size)
        resized[index] = scaled if scaled.ndim == 3 else scaled[..., np.newaxis]
    return resized


def _already_gray(images, size, known):
    """View `images` as grey uint8 images of the right size, or return None if they are not."""
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or len(images) == 0:
        return None
    height, width = size
    is_flat = images.ndim == 2 and height == width and images.shape[1] == height * width
    if is_flat:
        # Images of another shape can have as many pixels: 36×64 and 48×48.
        alike = [shape for shape in known if shape[0] * shape[1] == height * width]
        is_flat = (alike or [size])[0] == size
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
