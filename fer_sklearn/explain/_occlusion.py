"""What it costs a prediction to hide one part of the face after another."""

from numbers import Integral, Real

import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.utils import gen_batches

from .._utils.prediction import predicted_probabilities
from .._utils.validation import check_choice
from ._explanation import Explanation, make_images, target_positions

__all__ = ["filling", "mask_pixels", "most_relevant", "occlusion_map"]

# Changed images that are in memory at once: 10 MB of 48×48 pixels in float32.
_AT_A_TIME = 1024


def occlusion_map(estimator, X, *, target=None, window=None, stride=None, fill="blur"):
    """Map what each part of an image is worth to a prediction, by hiding it.

    A square window moves over each image, and the estimator judges what is left (Zeiler &
    Fergus 2014, arXiv:1311.2901). A pixel's relevance is the mean, over the windows that hide
    it, of how much the target's probability falls. Any classifier with `predict_proba` will
    do: an SVM on HOG features as well as a network on any runtime.

    Parameters
    ----------
    estimator : fitted classifier or Pipeline
        Its `predict_proba` is called on every image once for every window.
    X : batch of n_samples images or photos
        Whatever `estimator` takes, if it is of one size, or a Pipeline that begins with
        FaceCropper or GrayscaleResizer: then their images are mapped.
    target : None, label, or array-like of shape (n_samples,), default=None
        The label to explain, or one for each image. None is the most probable one of each.
    window : int or None, default=None
        Side of the window in pixels. None is a quarter of the shorter side of the images.
    stride : int or None, default=None
        Pixels from one window to the next. None is half the `window`. Halving it makes the
        map finer and takes four times as long. Where it divides `window`, every pixel is
        hidden equally often, those at the border too: windows reach beyond it.
    fill : {"blur", "mean"} or float, default="blur"
        What is seen in the window: the image blurred until no feature of the face is left,
        the mean of the image, or a grey level on the scale of the images.

    Returns
    -------
    Explanation
        Its heat maps are on the scale of probabilities, from -1 to 1: where they are
        negative, hiding the pixels makes the target more probable.

    Raises
    ------
    TypeError
        If the estimator has no `predict_proba`.
    ValueError
        For a parameter out of range, a target that is no class, or images of several sizes.

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
    fills = filling(batch.images, fill)
    before, classes = predicted_probabilities(batch.estimator, batch.as_given(batch.images))
    positions = target_positions(target, before, classes)
    drops = _drops(batch, windows, fills, before, positions)
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
    """Return which pixels of one side each position of the window hides."""
    starts = np.arange(stride - window, side, stride)[:, np.newaxis]
    pixels = np.arange(side)
    return (pixels >= starts) & (pixels < starts + window)


def _check_pixels(name, value, most, meaning):
    if not isinstance(value, Integral) or isinstance(value, bool) or not 1 <= value <= most:
        raise ValueError(f"{name}={value!r} must be an integer from 1 to {most}, {meaning}.")


def _drops(batch, windows, fills, before, positions):
    """Return how much each window costs the target of each image: (n, n_windows)."""
    n_images, n_windows = len(batch.images), len(windows)
    drops = np.empty(n_images * n_windows)
    for pairs in gen_batches(len(drops), _AT_A_TIME):
        image, place = np.divmod(np.arange(pairs.start, pairs.stop), n_windows)
        masks = windows[place]
        if batch.images.ndim == 4:
            masks = masks[..., np.newaxis]
        changed = np.where(masks, fills[image], batch.images[image])
        after, _ = predicted_probabilities(batch.estimator, batch.as_given(changed))
        target = positions[image]
        drops[pairs] = before[image, target] - after[np.arange(len(after)), target]
    return drops.reshape(n_images, n_windows)


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
