"""Random changes to training images; validation and prediction use images as they are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .._utils.compat import cv2
from .._utils.typing import FloatArray, PixelArray
from .._utils.validation import check_known_keys, check_unit_fraction

__all__ = ["DEFAULT_AUGMENTATION", "augment", "mix_up", "resolve_augmentation"]

#: The settings of ``augmentation=True``.
DEFAULT_AUGMENTATION: dict[str, float] = {
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


def resolve_augmentation(
    augmentation: bool | Mapping[str, float] | None,
) -> dict[str, float] | None:
    """Return all settings that the parameter `augmentation` stands for.

    Parameters
    ----------
    augmentation : None, bool or mapping
        None and False stand for no augmentation, True for :data:`DEFAULT_AUGMENTATION`. With a
        mapping, settings that it does not contain are 0. :func:`augment` describes the
        settings, :func:`mix_up` the one for ``mixup``.

    Returns
    -------
    dict or None
        None for no augmentation.

    Raises
    ------
    ValueError
        If a key is unknown or a value is out of range.
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
        # `flip=True` means the usual probability.
        value = 0.5 if name == "flip" and value is True else value
        settings[name] = check_unit_fraction(
            f"augmentation[{name!r}]",
            value,
            high=_LARGEST.get(name, 1.0),
            closed=name in _LARGEST,
        )
    return settings


def augment(
    images: PixelArray, settings: Mapping[str, float], rng: np.random.Generator
) -> FloatArray:
    """Return randomly changed copies of a batch of images.

    Flips, rotations, shifts, zooms and crops are combined into one affine map per image, so that
    pixels are interpolated once. Beyond the border, the outermost pixels are repeated.

    Parameters
    ----------
    images : ndarray of shape (n, h, w) or (n, h, w, 3), uint8 or float32
        Integer pixels in 0..255 or float pixels, preferably in [0, 1].
    settings : mapping
        All keys of :data:`DEFAULT_AUGMENTATION`:

        - ``flip``: probability of mirroring the image;
        - ``rotation``: largest angle in either direction, in degrees;
        - ``shift``: largest shift in any direction, as a fraction of the side;
        - ``zoom``: largest relative change of size;
        - ``crop``: fraction of the side that a random crop removes before the rest is enlarged;
        - ``brightness``: largest offset, for pixels in [0, 1];
        - ``contrast``: largest relative change of the distance to the mean;
        - ``erasing``: probability of filling a rectangle of 2 to 15 % of the area with one
          random grey (Zhong et al. 2017, arXiv:1708.04896);
        - ``mixup``: ignored here; see :func:`mix_up`.
    rng : numpy.random.Generator
        The only source of randomness.

    Returns
    -------
    ndarray of the shape of `images`, float32
        In [0, 1] if `images` are integers and nothing changes their brightness.

    Examples
    --------
    >>> import numpy as np
    >>> from fer_sklearn import make_faces
    >>> from fer_sklearn.cnn.augmentation import augment, resolve_augmentation
    >>> X, _ = make_faces(10, size=24, random_state=0, return_X_y=True)
    >>> settings = resolve_augmentation({"flip": 0.5, "rotation": 10})
    >>> augment(X, settings, np.random.default_rng(0)).shape
    (10, 24, 24)
    """
    changed = _warp(images, _affine_maps(images.shape, settings, rng))
    if changed.dtype == np.uint8:
        changed = changed * np.float32(1 / 255)
    _change_tone(changed, settings, rng)
    _erase(changed, settings["erasing"], rng)
    return changed


def mix_up(
    images: FloatArray, targets: FloatArray, alpha: float, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Blend each image and its target with another one of the batch.

    This is mixup (Zhang et al. 2018, arXiv:1710.09412), except that each image keeps at least
    half of its own weight.

    Parameters
    ----------
    images : ndarray of shape (n, h, w, 1) or (n, h, w, 3), float32
    targets : ndarray of shape (n, n_classes), float32
    alpha : float
        Both parameters of the beta distribution of the weights. Near 0 images hardly change; at
        1 all weights are equally likely.
    rng : numpy.random.Generator
        The only source of randomness.

    Returns
    -------
    images, targets : ndarray
        Blended copies, of the same shapes.
    """
    n = len(images)
    weights = rng.beta(alpha, alpha, n).astype(np.float32)
    weights = np.maximum(weights, 1 - weights)
    partners = rng.permutation(n)

    def blend(values):
        own = weights.reshape(n, *[1] * (values.ndim - 1))
        return own * values + (1 - own) * values[partners]

    return blend(images), blend(targets)


def _affine_maps(shape, settings, rng):
    """Draw one map per image from output to input coordinates, (n, 2, 3)."""
    n, height, width = shape[:3]
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
    height, width = images.shape[1:3]
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
    one_each = (n, *[1] * (images.ndim - 1))
    factor = 1 + _symmetric(rng, one_each, settings["contrast"])
    offset = _symmetric(rng, one_each, settings["brightness"])
    mean = images.mean(axis=tuple(range(1, images.ndim)), keepdims=True)
    images *= factor.astype(np.float32)
    images += (mean * (1 - factor) + offset).astype(np.float32)


def _erase(images, probability, rng):
    n, height, width = images.shape[:3]
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
