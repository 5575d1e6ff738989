"""The parts of a face that FER2013's images show, by their place in the image."""

from numbers import Integral, Real

import numpy as np

__all__ = ["FACE_REGIONS", "face_regions", "region_masks"]

#: Top, bottom, left and right of each part of a face, as shares of the image's height and
#: width, for faces cropped as tightly as FER2013's. Left and right are the viewer's.
FACE_REGIONS = {
    "forehead": (0 / 48, 11 / 48, 9 / 48, 39 / 48),
    "left eye": (11 / 48, 22 / 48, 6 / 48, 24 / 48),
    "right eye": (11 / 48, 22 / 48, 24 / 48, 42 / 48),
    "nose": (22 / 48, 33 / 48, 18 / 48, 30 / 48),
    "left cheek": (22 / 48, 33 / 48, 6 / 48, 18 / 48),
    "right cheek": (22 / 48, 33 / 48, 30 / 48, 42 / 48),
    "mouth": (33 / 48, 44 / 48, 12 / 48, 36 / 48),
    "chin": (44 / 48, 48 / 48, 12 / 48, 36 / 48),
}
_REST = "surroundings"


def face_regions(shape=(48, 48)):
    """Return the parts of a face as masks.

    Their places are those of the mean of FER2013's images: brows and eyes (a row together, so
    that a frown between the brows is in them), nose, cheeks, mouth with its corners, chin and
    forehead. All other pixels, hair and background, are the ``"surroundings"``.

    Parameters
    ----------
    shape : (int, int), default=(48, 48)
        Height and width of the images.

    Returns
    -------
    dict of str to ndarray of shape (height, width), bool
        Every pixel is in one of them.

    Examples
    --------
    >>> {name: int(mask.sum()) for name, mask in face_regions((12, 12)).items()}["mouth"]
    18
    """
    masks = region_masks(FACE_REGIONS, shape)
    rest = ~np.any(list(masks.values()), axis=0)
    return {**masks, _REST: rest} if rest.any() else masks


def region_masks(regions, shape):
    """Turn regions, as masks or as boxes, into masks.

    Parameters
    ----------
    regions : mapping of str to ndarray of shape `shape`, bool, or (top, bottom, left, right)
        Boxes are shares of height and width, from 0 to 1.
    shape : (int, int)
        Height and width of the images.

    Returns
    -------
    dict of str to ndarray of shape `shape`, bool

    Raises
    ------
    ValueError
        For a region that is neither, or without a pixel, or if there is none.
    """
    if not hasattr(regions, "items") or not regions:
        raise ValueError(
            f"regions={regions!r} must be a mapping of names to masks or boxes, with one region "
            f"or more."
        )
    return {name: _mask(name, region, shape) for name, region in regions.items()}


def _mask(name, region, shape):
    mask = np.asarray(region)
    if mask.dtype == bool and mask.shape == tuple(shape):
        mask = mask.copy()
    elif _is_box(region):
        top, bottom, left, right = region
        rows, columns = (
            _covered(start, stop, side)
            for (start, stop), side in zip(((top, bottom), (left, right)), shape, strict=True)
        )
        mask = rows[:, np.newaxis] & columns
    else:
        raise ValueError(
            f"regions[{name!r}] is of shape {mask.shape} and dtype {mask.dtype}; expected a bool "
            f"mask of shape {tuple(shape)}, or (top, bottom, left, right) as shares of the "
            f"image, 0 <= top < bottom <= 1 and 0 <= left < right <= 1."
        )
    if not mask.any():
        raise ValueError(f"regions[{name!r}] has no pixel in images of {shape[0]}×{shape[1]}.")
    return mask


def _is_box(region):
    if np.shape(region) != (4,) or not all(isinstance(edge, (Real, Integral)) for edge in region):
        return False
    top, bottom, left, right = region
    return 0 <= top < bottom <= 1 and 0 <= left < right <= 1


def _covered(start, stop, side):
    """Return which pixels of a side have their centre between two shares of it."""
    centres = (np.arange(side) + 0.5) / side
    return (centres >= start) & (centres < stop)
