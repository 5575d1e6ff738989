"""What it costs a prediction to hide one part of the face after another."""

from numbers import Integral

import numpy as np
from sklearn.utils import gen_batches

from .._utils._probabilities import predicted_probabilities
from ._explanation import Explanation, target_positions
from ._images import make_images
from ._masking import filling

__all__ = ["occlusion_map"]

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
