"""What the transformers of photos share: items of a batch to 8-bit pixels, and sizes."""

import os

import numpy as np

from ._validation import as_photo_list
from .images import read_image, to_uint8

__all__ = ["ImageOutputMixin", "as_photo", "iter_photos", "resize", "thin_out"]


class ImageOutputMixin:
    """A `set_output` for transformers whose output is images, hence never a table."""

    def set_output(self, *, transform=None):
        """Do nothing: images stay an array, also where a whole pipeline is configured.

        Parameters
        ----------
        transform : ignored

        Returns
        -------
        self
        """
        return self


def iter_photos(X):
    """Read a batch of photos one by one, so that only one is in memory at a time.

    Parameters
    ----------
    X : list, object array, or ndarray
        Photos as :func:`~fer_sklearn._validation.as_photo_list` takes them. The pixels of
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
    return _on_white(pixels) if pixels.ndim == 3 and pixels.shape[2] == 4 else pixels


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


def _on_white(rgba):
    """Composite RGBA pixels on white."""
    alpha = rgba[:, :, 3:].astype(np.float32) / 255
    return np.rint(rgba[:, :, :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
