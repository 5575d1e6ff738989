"""What is done to training batches, and never to validation or prediction."""

from collections.abc import Mapping

import numpy as np

from .._utils.validation import check_known_keys, check_unit_fraction

__all__ = ["DEFAULT_AUGMENTATION", "augment", "mix_up", "resolve_augmentation"]

#: What ``augmentation=True`` stands for.
DEFAULT_AUGMENTATION = {
    "flip": 0.5,
    "rotation": 12.0,
    "shift": 0.08,
    "zoom": 0.15,
    "crop": 0.0,
    "brightness": 0.15,
    "contrast": 0.25,
    "erasing": 0.25,
    "mixup": 0.0,
}

_LARGEST = {"flip": 1.0, "rotation": 180.0, "erasing": 1.0, "mixup": 10.0}
_ERASED_AREA = (0.02, 0.15)
_ERASED_ASPECT = (0.5, 2.0)


def resolve_augmentation(augmentation):
    """Turn the parameter `augmentation` into a full mapping of settings, or None.

    Parameters
    ----------
    augmentation : None, bool or mapping
        None or False: nothing is changed. True: :data:`DEFAULT_AUGMENTATION`. A mapping:
        only what it names, as described in :func:`augment` and, for ``mixup``,
        :func:`mix_up`.

    Returns
    -------
    dict or None

    Raises
    ------
    ValueError
        For an unknown key or a value out of its range.
    """
    if augmentation is None or augmentation is False:
        return None
    if augmentation is True:
        return dict(DEFAULT_AUGMENTATION)
    if not isinstance(augmentation, Mapping):
        raise ValueError(
            f"augmentation={augmentation!r} must be None, True or a mapping such as "
            f"{{'flip': 0.5, 'rotation': 12}}."
        )
    check_known_keys("augmentation", augmentation, DEFAULT_AUGMENTATION)
    settings = dict.fromkeys(DEFAULT_AUGMENTATION, 0.0)
    for name, value in augmentation.items():
        high = np.nextafter(_LARGEST[name], np.inf) if name in _LARGEST else 1.0
        # `flip=True` reads well and means the usual one half.
        value = 0.5 if name == "flip" and value is True else value
        settings[name] = check_unit_fraction(f"augmentation[{name!r}]", value, high=high)
    return settings


def augment(images, settings, rng):
    """Return randomly changed copies of a batch of grey images.

    Flips, turns, shifts, zooms and crops are one affine map an image, so that pixels are
    interpolated once; the border repeats the outermost pixels.

    Parameters
    ----------
    images : ndarray of shape (n, h, w), uint8 or float32
        Integer pixels in 0..255 or float pixels, best in [0, 1].
    settings : mapping
        ``flip``, the probability of a mirror image; ``rotation``, the largest angle in
        degrees to either side; ``shift``, the largest move to any side as a fraction of
        the side; ``zoom``, the largest relative change of size; ``crop``, the fraction of
        the side that a random crop leaves out, the rest being enlarged; ``brightness``,
        the largest offset, and ``contrast``, the largest relative change of the distance
        to the mean; ``erasing``, the probability that a rectangle of 2 to 15 % of the
        area is filled with one random grey (Zhong et al. 2017, arXiv:1708.04896).
    rng : numpy.random.Generator
        The only source of randomness.

    Returns
    -------
    ndarray of shape (n, h, w), float32
        In [0, 1] for integer input.
    """
    changed = _warp(images, _affine_maps(images.shape, settings, rng))
    if changed.dtype == np.uint8:
        changed = changed * np.float32(1 / 255)
    _change_tone(changed, settings, rng)
    _erase(changed, settings["erasing"], rng)
    return changed


def mix_up(images, targets, alpha, rng):
    """Blend each image and its target with another of the batch (Zhang et al. 2018).

    Parameters
    ----------
    images : ndarray of shape (n, h, w, 1), float32
    targets : ndarray of shape (n, n_classes), float32
    alpha : float
        Shares are drawn from the beta distribution with both parameters `alpha`: near 0
        almost all of one image, at 1 any share alike. The larger one is the image's own.
    rng : numpy.random.Generator
        The only source of randomness.

    Returns
    -------
    images, targets : ndarray
        Blended copies.
    """
    n = len(images)
    shares = rng.beta(alpha, alpha, n).astype(np.float32)
    shares = np.maximum(shares, 1 - shares)
    partners = rng.permutation(n)

    def blend(values):
        own = shares.reshape(n, *[1] * (values.ndim - 1))
        return own * values + (1 - own) * values[partners]

    return blend(images), blend(targets)


def _affine_maps(shape, settings, rng):
    """Draw one map from output to input coordinates for each image, (n, 2, 3)."""
    n, height, width = shape
    angle = np.deg2rad(_symmetric(rng, n, settings["rotation"]))
    kept = 1 - settings["crop"]
    scale = kept / (1 + _symmetric(rng, n, settings["zoom"]))
    mirror = np.where(rng.random(n) < settings["flip"], -1.0, 1.0)
    linear = np.empty((n, 2, 2))
    linear[:, 0, 0] = mirror * scale * np.cos(angle)
    linear[:, 0, 1] = -scale * np.sin(angle)
    linear[:, 1, 0] = mirror * scale * np.sin(angle)
    linear[:, 1, 1] = scale * np.cos(angle)
    center = np.array([(width - 1) / 2, (height - 1) / 2])
    reach = settings["shift"] + settings["crop"] / 2
    offset = _symmetric(rng, (n, 2), reach) * [width, height]
    maps = np.empty((n, 2, 3), np.float32)
    maps[:, :, :2] = linear
    maps[:, :, 2] = center - linear @ center + offset
    return maps


def _warp(images, maps):
    import cv2

    height, width = images.shape[1:]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = np.empty_like(images)
    for image, matrix, out in zip(images, maps, warped, strict=True):
        cv2.warpAffine(
            image, matrix, (width, height), out, flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
    return warped


def _change_tone(images, settings, rng):
    n = len(images)
    if not (settings["brightness"] or settings["contrast"]):
        return
    factor = 1 + _symmetric(rng, (n, 1, 1), settings["contrast"])
    offset = _symmetric(rng, (n, 1, 1), settings["brightness"])
    mean = images.mean(axis=(1, 2), keepdims=True)
    images *= factor.astype(np.float32)
    images += (mean * (1 - factor) + offset).astype(np.float32)


def _erase(images, probability, rng):
    n, height, width = images.shape
    for index in np.flatnonzero(rng.random(n) < probability):
        area = rng.uniform(*_ERASED_AREA) * height * width
        aspect = np.exp(rng.uniform(*np.log(_ERASED_ASPECT)))
        rows = int(np.clip(round(np.sqrt(area * aspect)), 1, height))
        columns = int(np.clip(round(np.sqrt(area / aspect)), 1, width))
        top = rng.integers(height - rows + 1)
        left = rng.integers(width - columns + 1)
        images[index, top : top + rows, left : left + columns] = rng.random()


def _symmetric(rng, size, reach):
    return rng.uniform(-reach, reach, size)
