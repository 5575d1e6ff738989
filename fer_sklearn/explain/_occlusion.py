"""Compute occlusion maps, and hide the most relevant pixels."""

from __future__ import annotations

from numbers import Real
from typing import Any, Literal

import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.utils import gen_batches

from .._utils.estimators import predicted_probabilities
from .._utils.typing import ArrayLike, BoolArray, Estimator, ImagesLike, PixelArray
from .._utils.validation import check_choice
from ._explanation import Explanation, make_images, target_positions

__all__ = ["make_baseline", "mask_pixels", "occlusion_map", "top_pixels"]

# Number of changed images in memory at once: 10 MB of 48×48 pixels in float32.
_BATCH_SIZE = 1024
# Standard deviation of the blur, as a fraction of the longer side: facial features disappear.
_BLUR = 0.1
_FILLS = ("blur", "mean")


def occlusion_map(
    estimator: Estimator,
    X: ImagesLike,
    *,
    target: Any = None,
    window: int | None = None,
    stride: int | None = None,
    fill: Literal["blur", "mean"] | float = "blur",
) -> Explanation:
    """Map the relevance of each part of an image to a prediction, by hiding it.

    A square window moves over each image, and the estimator predicts what is left (Zeiler &
    Fergus 2014, arXiv:1311.2901). The relevance of a pixel is the mean drop in the target's
    probability over the windows that hide it. It works for any classifier with `predict_proba`:
    an SVM on HOG features as well as a network on any runtime.

    Parameters
    ----------
    estimator : fitted classifier or Pipeline
        Its `predict_proba` is called on every image once per window.
    X : batch of n_samples images or photos
        Any input that `estimator` accepts, of one size; or of any size for a Pipeline that begins
        with FaceCropper or GrayscaleResizer, whose output is then mapped.
    target : None, label, or array-like of shape (n_samples,), default=None
        The label to explain, or one per image. If None, the most probable one of each image.
    window : int or None, default=None
        Side of the window in pixels. If None, a quarter of the shorter side of the images.
    stride : int or None, default=None
        Pixels from one window to the next. If None, half the `window`. Half the stride makes the
        map finer and takes four times as long. If it divides `window`, every pixel is hidden
        equally often, including those at the border, because windows extend beyond it.
    fill : {"blur", "mean"} or float, default="blur"
        Content of the window: the image, blurred until no facial feature is left; the mean of the
        image; or a grey level on the scale of the images.

    Returns
    -------
    Explanation
        Its heatmaps are on the scale of probabilities, from -1 to 1: where they are negative,
        hiding the pixels makes the target more probable.

    Raises
    ------
    TypeError
        If the estimator has no `predict_proba`.
    ValueError
        For a parameter out of range, a target that is not a class, or images of several sizes.

    See Also
    --------
    grad_cam : Much faster, and coarser; for networks only.

    Examples
    --------
    >>> from fer_sklearn import load_pretrained, make_faces
    >>> from fer_sklearn.explain import occlusion_map
    >>> X, y = make_faces(2, random_state=0, return_X_y=True)
    >>> model = load_pretrained("tiny", runtime="litert")
    >>> occlusion_map(model, X, window=16).heatmaps.shape
    (2, 48, 48)
    """
    batch = make_images(estimator, X)
    windows = _windows(batch.images.shape[1:3], window, stride)
    baseline = make_baseline(batch.images, fill)
    before, classes = predicted_probabilities(batch.estimator, batch.as_given(batch.images))
    positions = target_positions(target, before, classes)
    drops = _drops(batch, windows, baseline, before, positions)
    maps = np.tensordot(drops, windows, axes=1) / windows.sum(axis=0)
    return Explanation(batch.images, maps.astype(np.float32), classes[positions])


def _windows(shape, window, stride):
    """Return every position of the window as a mask: (n_windows, h, w), bool."""
    shortest = min(shape)
    window = max(1, shortest // 4) if window is None else window
    _check_pixels("window", window, shortest, "the shorter side of the images")
    stride = max(1, window // 2) if stride is None else stride
    _check_pixels("stride", stride, window, "the window, so that no pixel is left out")
    rows, columns = (_positions(side, window, stride) for side in shape)
    masks = rows[:, np.newaxis, :, np.newaxis] & columns[np.newaxis, :, np.newaxis, :]
    return masks.reshape(-1, *shape)


def _positions(side, window, stride):
    """Return the pixels of one side that each position of the window hides."""
    starts = np.arange(stride - window, side, stride)[:, np.newaxis]
    pixels = np.arange(side)
    return (pixels >= starts) & (pixels < starts + window)


def _check_pixels(name, value, most, meaning):
    if (
        not isinstance(value, (int, np.integer))
        or isinstance(value, bool)
        or not 1 <= value <= most
    ):
        raise ValueError(f"{name}={value!r} must be an integer from 1 to {most}, {meaning}.")


def _drops(batch, windows, baseline, before, positions):
    """Return the drop in each image's target probability per window: (n, n_windows)."""
    n_images, n_windows = len(batch.images), len(windows)
    drops = np.empty(n_images * n_windows)
    for pairs in gen_batches(len(drops), _BATCH_SIZE):
        image, place = np.divmod(np.arange(pairs.start, pairs.stop), n_windows)
        masks = windows[place]
        if batch.images.ndim == 4:
            masks = masks[..., np.newaxis]
        changed = np.where(masks, baseline[image], batch.images[image])
        after, _ = predicted_probabilities(batch.estimator, batch.as_given(changed))
        target = positions[image]
        drops[pairs] = before[image, target] - after[np.arange(len(after)), target]
    return drops.reshape(n_images, n_windows)


def make_baseline(images: PixelArray, fill: str | float) -> PixelArray:
    """Return the content of hidden pixels, in the shape and dtype of the images.

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
    if isinstance(fill, Real) and np.isfinite(float(fill)) and low <= float(fill) <= high:
        return fill
    raise ValueError(
        f"fill={fill!r} must be 'blur', 'mean', or a grey level that {dtype} images can have"
        f"{f', from {low} to {high}' if dtype.kind in 'iu' else ''}."
    )


def top_pixels(heatmaps: ArrayLike, *, fraction: float = 0.1) -> BoolArray:
    """Return the most relevant pixels of each image.

    Parameters
    ----------
    heatmaps : array-like of shape (n, h, w)
        As returned by :func:`grad_cam` and :func:`occlusion_map`.
    fraction : float, default=0.1
        Fraction of the pixels, in (0, 1).

    Returns
    -------
    ndarray of shape (n, h, w), bool
        The same number in each image: of equally relevant pixels, such as the many zeros of a
        map, the first ones in reading order.

    Examples
    --------
    >>> import numpy as np
    >>> top_pixels(np.array([[[0.1, 0.9], [0.3, 0.2]]]), fraction=0.25)
    array([[[False,  True],
            [False, False]]])
    """
    heatmaps = np.asarray(heatmaps, dtype=np.float64)  # unsigned integers have no negatives
    if heatmaps.ndim != 3:
        raise ValueError(
            f"heatmaps has shape {heatmaps.shape}; expected (n, h, w), one map per image."
        )
    if not isinstance(fraction, Real) or not 0 < float(fraction) < 1:
        raise ValueError(f"fraction={fraction!r} must be a number between 0 and 1.")
    flat = heatmaps.reshape(len(heatmaps), -1)
    count = max(1, round(fraction * flat.shape[1]))
    order = np.argsort(-flat, axis=1, kind="stable")
    masks = np.zeros(flat.shape, bool)
    np.put_along_axis(masks, order[:, :count], True, axis=1)
    return masks.reshape(heatmaps.shape)


def mask_pixels(
    images: ArrayLike, masks: ArrayLike, *, fill: Literal["blur", "mean"] | float = "blur"
) -> PixelArray:
    """Hide pixels of each image.

    Parameters
    ----------
    images : ndarray of shape (n, h, w) or (n, h, w, c)
    masks : ndarray of shape (n, h, w) or (h, w), bool
        True where a pixel is hidden.
    fill : {"blur", "mean"} or float, default="blur"
        Content of hidden pixels: the image, blurred until no facial feature is left; the mean of
        the image; or a grey level.

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
            f"{images.shape[:3]} or {height_and_width}, like the images."
        )
    if images.ndim == 4:
        masks = masks[..., np.newaxis]
    return np.where(masks, make_baseline(images, fill), images)
