"""Hide the pixels that a map calls relevant: what a map is worth shows in what that costs."""

from numbers import Real

import numpy as np
from scipy.ndimage import gaussian_filter

from .._utils.validation import check_choice

__all__ = ["filling", "mask_pixels", "most_relevant"]

# Standard deviation of the blur, as a share of the longer side: features of a face are gone.
_BLUR = 0.1
_FILLS = ("blur", "mean")


def filling(images, fill):
    """Return what hidden pixels show, in the shape and dtype of the images.

    `fill` is as in :func:`mask_pixels`, and is checked here.
    """
    if not isinstance(fill, str):
        levels = np.asarray(_check_level(fill, images.dtype))
    elif check_choice("fill", fill, _FILLS) == "mean":
        levels = images.mean(axis=(1, 2), keepdims=True)
    else:
        sigma = _BLUR * max(images.shape[1:3])
        sigmas = (0, sigma, sigma) + (0,) * (images.ndim - 3)
        levels = gaussian_filter(images.astype(np.float32), sigmas, mode="nearest")
    if images.dtype.kind in "iu":
        levels = np.rint(levels)
    return np.broadcast_to(levels.astype(images.dtype), images.shape)


def _check_level(fill, dtype):
    low, high = (0, np.iinfo(dtype).max) if dtype.kind in "iu" else (-np.inf, np.inf)
    if isinstance(fill, Real) and np.isfinite(fill) and low <= fill <= high:
        return fill
    raise ValueError(
        f"fill={fill!r} must be 'blur', 'mean', or a grey level that {dtype} images can have"
        f"{f', from {low} to {high}' if dtype.kind in 'iu' else ''}."
    )


def most_relevant(heatmaps, *, share=0.1):
    """Find the pixels of each image that matter most.

    Parameters
    ----------
    heatmaps : array-like of shape (n, h, w)
        As :func:`grad_cam` and :func:`occlusion_map` return them.
    share : float, default=0.1
        Share of the pixels, in (0, 1).

    Returns
    -------
    ndarray of shape (n, h, w), bool
        Equally many in each image: where several pixels matter alike, as the many zeros of
        a map do, the first in reading order.

    Examples
    --------
    >>> import numpy as np
    >>> most_relevant(np.array([[[0.1, 0.9], [0.3, 0.2]]]), share=0.25)
    array([[[False,  True],
            [False, False]]])
    """
    heatmaps = np.asarray(heatmaps)
    if heatmaps.ndim != 3:
        raise ValueError(
            f"heatmaps has shape {heatmaps.shape}; expected (n, h, w), a map an image."
        )
    if not isinstance(share, Real) or not 0 < share < 1:
        raise ValueError(f"share={share!r} must be a number between 0 and 1.")
    flat = heatmaps.reshape(len(heatmaps), -1)
    count = max(1, round(share * flat.shape[1]))
    order = np.argsort(-flat, axis=1, kind="stable")
    masks = np.zeros(flat.shape, bool)
    np.put_along_axis(masks, order[:, :count], True, axis=1)
    return masks.reshape(heatmaps.shape)


def mask_pixels(images, masks, *, fill="blur"):
    """Hide pixels of each image.

    Parameters
    ----------
    images : ndarray of shape (n, h, w) or (n, h, w, c)
    masks : ndarray of shape (n, h, w) or (h, w), bool
        True where a pixel is hidden.
    fill : {"blur", "mean"} or float, default="blur"
        What is seen there: the image blurred until no feature of the face is left, the mean
        of the image, or a grey level.

    Returns
    -------
    ndarray of the shape and dtype of `images`

    Examples
    --------
    >>> import numpy as np
    >>> images = np.array([[[0, 100], [100, 200]]], dtype=np.uint8)
    >>> mask_pixels(images, np.array([[True, False], [False, False]]), fill="mean")
    array([[[100, 100],
            [100, 200]]], dtype=uint8)
    """
    images, masks = np.asarray(images), np.asarray(masks)
    height_and_width = images.shape[1:3]
    if masks.dtype != bool or masks.shape not in (height_and_width, images.shape[:3]):
        raise ValueError(
            f"masks is {masks.dtype} of shape {masks.shape}; expected bool of shape "
            f"{images.shape[:3]} or {height_and_width}, as the images have it."
        )
    if images.ndim == 4:
        masks = masks[..., np.newaxis]
    return np.where(masks, filling(images, fill), images)
