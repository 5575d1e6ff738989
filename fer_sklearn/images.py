"""Read and write photos: orientation, transparency, bit depth, size bound.

Arrays are RGB or grey and uint8 on this side of the module, whatever the file was.
"""

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ._utils.pixels import as_photo_list
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

#: Suffixes by which files of a folder or an archive are taken for images.
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".pgm", ".ppm")

#: Images of more pixels are refused unread: they are not photos of people, or are an attack.
MAX_PIXELS = 80_000_000

_WRITABLE = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*")
# An 8-bit grey PNG tells so in these two bytes of its first chunk.
_PNG_SIGNATURE, _PNG_GRAY8 = b"\x89PNG\r\n\x1a\n", b"\x08\x00"
# Interpolation leaves values this far outside [0, 1] and [0, 255].
_FLOAT_SLACK = 1e-3


def read_image(source, *, max_pixels=MAX_PIXELS):
    """Read a photo as it is meant to be seen.

    The orientation that a camera noted (EXIF) is applied, transparency is composited on
    white, 16-bit and float files are scaled to 8 bits, palettes and CMYK become RGB. Of
    an animation the first frame is read.

    Parameters
    ----------
    source : str, path-like, bytes or file object
        A file's name, its contents, or an object with ``read`` that gives them.
    max_pixels : int, default=80_000_000
        A larger image is refused once its header is read, before anything is decoded.

    Returns
    -------
    ndarray of shape (h, w) or (h, w, 3), uint8
        Grey or RGB.

    Raises
    ------
    ImageReadError
        If the file is missing, is truncated or damaged, is not an image, or is too large;
        the message says which and names the file.
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
    >>> read_image(file.getvalue()).min()  # wholly transparent, hence white
    np.uint8(255)
    """
    return _decode(*_read_bytes(source), max_pixels)


def decode_gray(data, name, *, max_pixels=MAX_PIXELS):
    """Decode one image of a data set to grey, fast where its format allows it.

    8-bit grey PNG and JPEG files go through OpenCV, which reads tens of thousands of
    small images a second; all others, and whatever OpenCV refuses, through
    :func:`read_image`.

    Parameters
    ----------
    data : bytes
        Contents of an image file.
    name : str
        What error messages call it.
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
    import cv2

    if _is_plain(data, name, max_pixels):
        gray = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        if gray is not None:
            return gray
    return to_gray(_decode(data, name, max_pixels))


def decode_color(data, name, *, max_pixels=MAX_PIXELS):
    """Decode one image of a data set to RGB; parameters and errors as in `decode_gray`.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8
        Three equal channels where the image is grey.
    """
    image = _decode(data, name, max_pixels)
    return image if image.ndim == 3 else np.repeat(image[..., np.newaxis], 3, axis=2)


def to_gray(image):
    """Turn an RGB image into grey by the luma weights of ITU-R BT.601, as JPEG does.

    Parameters
    ----------
    image : ndarray of shape (h, w) or (h, w, 3), uint8

    Returns
    -------
    ndarray of shape (h, w), uint8
        `image` itself where it is grey.
    """
    import cv2

    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def to_uint8(array):
    """Bring an image, or a stack of images, of any dtype to 8 bits.

    ===============  =================================================================
    dtype            meaning
    ===============  =================================================================
    uint8            returned as it is, not copied
    bool             False is black (0), True is white (255)
    uint16           the full range 0..65535 is scaled to 0..255
    other integers   must lie in 0..255
    float            [0, 1] if no value is above 1, and is scaled; else [0, 255].
                     Rounding errors of 0.001 are clipped
    ===============  =================================================================

    The whole array is judged at once: a float stack in 0..255 whose every pixel is 1 or
    less would be taken for [0, 1].

    Parameters
    ----------
    array : array-like of any shape

    Returns
    -------
    ndarray of the same shape, uint8
        Values are rounded to the nearest.

    Raises
    ------
    ValueError
        For NaN, infinity, values outside of these ranges, and dtypes that are no numbers.

    Examples
    --------
    >>> to_uint8([[0.0, 0.5, 1.0]])
    array([[  0, 128, 255]], dtype=uint8)
    """
    array = np.asarray(array)
    if array.dtype == np.uint8 or array.size == 0:
        return array.astype(np.uint8, copy=False)
    if array.dtype == bool:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        # The nearest of v / 257, in integers.
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if array.dtype.kind in "iu":
        return _small_integers(array)
    if array.dtype.kind == "f":
        return _scaled_floats(array)
    raise ValueError(
        f"array has dtype {array.dtype}; expected an image of bool, integer or float pixels."
    )


def write_image(path, array):
    """Write an image to a file whose suffix names the format.

    Parameters
    ----------
    path : str or path-like
        Ends in ``.png``, ``.jpg``, ``.jpeg``, ``.bmp``, ``.tif``, ``.tiff`` or ``.webp``;
        its folder must exist.
    array : array-like of shape (h, w), (h, w, 1), (h, w, 3) or (h, w, 4)
        Grey, RGB or RGBA, of any dtype that :func:`to_uint8` takes. Formats without
        transparency get it composited on white.

    Raises
    ------
    ValueError
        For another suffix or shape.
    FileNotFoundError
        If the folder does not exist.
    """
    path = Path(path)
    if path.suffix.lower() not in _WRITABLE:
        raise ValueError(
            f"path={str(path)!r} ends in {path.suffix!r}; expected one of {', '.join(_WRITABLE)}."
        )
    pixels = to_uint8(array)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    is_image = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))
    if not is_image or pixels.size == 0:
        raise ValueError(
            f"array has shape {pixels.shape}; expected one image, (h, w), (h, w, 3) or (h, w, 4)."
        )
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if image.mode == "RGBA" and path.suffix.lower() in (".jpg", ".jpeg", ".bmp"):
        image = Image.fromarray(_on_white(image))
    image.save(path, quality=95)


def iter_photos(X):
    """Read a batch of photos one by one, so that only one is in memory at a time.

    Parameters
    ----------
    X : list, object array, or ndarray
        Photos as :func:`~fer_sklearn._utils.pixels.as_photo_list` takes them. The pixels of
        one numeric array are judged together, those of a list photo by photo.

    Yields
    ------
    ndarray of shape (h, w) or (h, w, 3), uint8
        Grey or RGB.

    Raises
    ------
    ValueError
        For an item that is no photo; the message has its position or its file.
    """
    if isinstance(X, np.ndarray) and X.dtype.kind in "biufc" and X.ndim >= 2:
        X = to_uint8(X)
    for index, item in enumerate(as_photo_list(X)):
        yield as_photo(item, name=f"X[{index}]")


def as_photo(item, *, name="photo"):
    """Turn one photo into 8-bit grey or RGB pixels.

    Parameters
    ----------
    item : str, path-like, bytes, file object, or array-like
        A file, its contents, or pixels of shape (h, w), (h, w, 1), (h, w, 3) or (h, w, 4) and
        any dtype; transparency is composited on white.
    name : str
        What error messages call an array. Files are called by their name.

    Returns
    -------
    ndarray of shape (h, w) or (h, w, 3), uint8
        A view of `item` where nothing had to be changed.
    """
    if isinstance(item, (str, os.PathLike, bytes, bytearray, memoryview)) or hasattr(item, "read"):
        return read_image(item)
    if not isinstance(item, (np.ndarray, list, tuple)):
        raise TypeError(
            f"{name} is a {type(item).__name__}; expected a path or an array (h, w), "
            f"(h, w, 3) or (h, w, 4), or the bytes of a file, or a file object. Pass a Pillow "
            f"image as np.asarray(image.convert('RGB'))."
        )
    pixels = np.asarray(item)
    if pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (1,), (3,), (4,)):
        raise ValueError(
            f"{name} has shape {pixels.shape}; expected one photo, (h, w), (h, w, 3) or "
            f"(h, w, 4), channels last."
        )
    if pixels.size == 0:
        raise ValueError(f"{name} has shape {pixels.shape}: a photo without pixels.")
    try:
        pixels = to_uint8(pixels)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        return pixels[:, :, 0]
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        return _on_white(Image.fromarray(pixels))
    return pixels


def resize(image, size):
    """Scale an image to (height, width): areas are averaged, or cubics interpolated."""
    import cv2

    height, width = size
    if image.shape == size:
        return image
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(image, (width, height), interpolation=how)


def thin_out(image, scale):
    """Leave out rows and columns of an image that is to be scaled by `scale`, far below 1.

    Twice as many are left as are needed, so that averaging them still gives a good image.
    Of 24 megapixels this reads a ninth, where averaging them all would take longer than
    whatever is done with the small image.
    """
    step = max(1, int(0.5 / scale))
    return np.ascontiguousarray(image[::step, ::step])


def _read_bytes(source):
    """Return the contents of `source`, and what to call it."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source), "the image"
    if hasattr(source, "read"):
        name = getattr(source, "name", None)
        return source.read(), name if isinstance(name, str) else "the image"
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            f"source is a {type(source).__name__}; expected a path, bytes or a file object."
        )
    name = os.fspath(source)
    try:
        return Path(source).read_bytes(), name
    except FileNotFoundError:
        raise ImageReadError(
            f"{name}: there is no such file. Check the path (the current folder is {os.getcwd()})."
        ) from None
    except IsADirectoryError:
        raise ImageReadError(
            f"{name}: this is a folder, not an image file. load_image_folder reads folders."
        ) from None
    except OSError as error:
        raise ImageReadError(f"{name}: cannot be read ({error.strerror}).") from error


def _decode(data, name, max_pixels):
    image = _open(data, name, max_pixels)
    # Pillow's decoders raise many kinds of errors on damaged data; all mean the same.
    try:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
    except MemoryError:
        raise
    except Exception as error:
        raise _damaged(name, error) from error
    try:
        return _to_array(image)
    except ValueError as error:
        raise ImageReadError(f"{name}: {error}") from error


def _open(data, name, max_pixels):
    """Read the header only, and refuse what is too large."""
    try:
        image = Image.open(io.BytesIO(data))
    except Image.DecompressionBombError as error:
        raise ImageReadError(f"{name}: the image is too large to be read ({error}).") from error
    except UnidentifiedImageError:
        if not data or data.startswith(_SIGNATURES):
            raise _damaged(name, f"{len(data)} bytes") from None
        raise ImageReadError(
            f"{name}: not an image in a known format; its first bytes are {data[:8]!r}. "
            f"Expected PNG, JPEG, BMP, TIFF, WebP or GIF."
        ) from None
    except OSError as error:
        raise _damaged(name, error) from error
    width, height = image.size
    if width * height > max_pixels:
        raise ImageReadError(
            f"{name}: the image has {width}×{height} = {width * height} pixels, more than "
            f"max_pixels={max_pixels}. Shrink it, or pass a larger max_pixels to read_image."
        )
    return image


def _damaged(name, reason):
    return ImageReadError(
        f"{name}: the image is truncated or damaged ({reason}). Copy or download it again."
    )


def _to_array(image):
    """Turn a loaded Pillow image of any mode into a grey or RGB array."""
    if image.mode.startswith("I"):
        pixels = np.asarray(image)
        # Pillow reads some 16-bit files into 32 bits.
        is_16_bit = pixels.min() >= 0 and pixels.max() < 2**16
        return to_uint8(pixels.astype(np.uint16) if is_16_bit else pixels)
    if image.mode == "F":
        return to_uint8(np.asarray(image))
    if image.has_transparency_data:
        grey = image.mode in ("L", "LA", "La")
        pixels = _on_white(image.convert("RGBA"))
        return pixels[..., 0].copy() if grey else pixels
    if image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return np.array(image)


def _on_white(image):
    """Composite an RGBA image on white; return RGB pixels."""
    background = Image.new("RGBA", image.size, (255, 255, 255, 255))
    background.alpha_composite(image)
    return np.array(background.convert("RGB"))


def _is_plain(data, name, max_pixels):
    """Tell whether OpenCV reads this image as read_image would, and check its size."""
    if data[:8] == _PNG_SIGNATURE and data[24:26] == _PNG_GRAY8:
        width = int.from_bytes(data[16:20], "big")
        height = int.from_bytes(data[20:24], "big")
        # Without these chunks there is neither transparency nor an orientation.
        return width * height <= max_pixels and b"tRNS" not in data and b"eXIf" not in data
    image = _open(data, name, max_pixels)
    return image.format == "JPEG" and image.mode in ("L", "RGB")


def _small_integers(array):
    low, high = array.min(), array.max()
    if low < 0 or high > 255:
        raise ValueError(
            f"array has {array.dtype} pixels from {low} to {high}; expected 0..255. "
            f"If it is a 16-bit image, pass array.astype('uint16')."
        )
    return array.astype(np.uint8)


def _scaled_floats(array):
    low, high = array.min(), array.max()
    if not np.isfinite(low) or not np.isfinite(high):
        raise ValueError(
            f"array has {np.count_nonzero(~np.isfinite(array))} pixel(s) that are NaN or "
            f"infinite; expected finite numbers. Replace them, with np.nan_to_num for instance."
        )
    if low < -_FLOAT_SLACK or high > 255 + _FLOAT_SLACK:
        raise ValueError(
            f"array has float pixels from {low:g} to {high:g}; expected [0, 1] or [0, 255]. "
            f"Rescale them first."
        )
    scale = 255 if high <= 1 + _FLOAT_SLACK else 1
    return np.clip(np.floor(array.astype(np.float32) * scale + 0.5), 0, 255).astype(np.uint8)
