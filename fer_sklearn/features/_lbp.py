"""Histograms of local binary patterns (LBP) of a whole batch of faces at once."""

import math
from functools import cache
from numbers import Integral, Real
from typing import ClassVar

import numpy as np

from .._utils.compat import Interval
from .._utils.validation import check_pair
from ._base import ImageDescriptor

__all__ = ["LBPExtractor", "lbp_batch", "lbp_codes"]

# Images worked on at a time: the intermediate arrays then stay in the processor's cache.
_CHUNK = 64
_N_POINTS = 8
# The 58 patterns of at most two changes around the circle, and one for all others.
_N_PATTERNS = 59


def lbp_codes(images, radius=1.0):
    """Compare each pixel with eight points on a circle around it.

    The numbers that ``skimage.feature.local_binary_pattern(image, 8, radius)`` gives one
    image at a time: points between pixels are interpolated bilinearly, points outside the
    image are 0. Method of Ojala, Pietikäinen & Mäenpää 2002.

    Parameters
    ----------
    images : ndarray of shape (n, h, w), uint8, float32 or float64
    radius : float, default=1.0
        Of the circle, in pixels.

    Returns
    -------
    ndarray of shape (n, h, w), uint8
        Bit ``i`` is set where the point at ``i`` eighths of a turn is as bright or brighter.
    """
    n_rows, n_columns = images.shape[1:]
    margin = math.ceil(radius) + 1
    padded = np.pad(
        images.astype(np.float64), ((0, 0), (margin, margin), (margin, margin)), mode="constant"
    )

    def moved(down, across):
        rows = slice(margin + down, margin + down + n_rows)
        return padded[:, rows, margin + across : margin + across + n_columns]

    centre = moved(0, 0)
    codes = np.zeros(images.shape, np.uint8)
    for bit in range(_N_POINTS):
        angle = 2 * np.pi * bit / _N_POINTS
        # Five digits, as in scikit-image: points on the axes then fall on pixels.
        down, across = round(-radius * math.sin(angle), 5), round(radius * math.cos(angle), 5)
        row, column = math.floor(down), math.floor(across)
        point = _between(moved, row, column, down - row, across - column)
        codes |= (point >= centre).astype(np.uint8) << bit
    return codes


def lbp_batch(images, *, radius=1.0, grid=(8, 8)):
    """Compute histograms of uniform local binary patterns over a grid of cells.

    Each pixel is one of 59 patterns: the 58 with at most two changes between darker and
    brighter around the circle, and one for all others. Each cell counts them, and the
    square root of the shares makes Euclidean distances those of Hellinger. After Ahonen,
    Hadid & Pietikäinen 2006, who describe faces so.

    Parameters
    ----------
    images : ndarray of shape (n, h, w), uint8, float32 or float64
        Grey images.
    radius : float, default=1.0
        Of the circle around each pixel, in pixels.
    grid : (int, int), default=(8, 8)
        Rows and columns of cells. Pixels left over at the right and below are not counted.

    Returns
    -------
    ndarray of shape (n, n_features), float32
        ``n_features`` is rows × columns × 59; each cell has Euclidean length 1.

    Raises
    ------
    ValueError
        If the images have fewer pixels than the grid has cells, down or across.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.arange(2 * 48 * 48, dtype=np.uint8).reshape(2, 48, 48)
    >>> lbp_batch(images).shape
    (2, 3776)
    """
    rows, columns = _cell_size(images.shape[1:], grid)
    covered = np.s_[:, : rows * grid[0], : columns * grid[1]]
    n_bins = math.prod(grid) * _N_PATTERNS
    cell_of_row = np.arange(grid[0]).repeat(rows)[:, np.newaxis] * grid[1]
    first_bins = (cell_of_row + np.arange(grid[1]).repeat(columns)) * _N_PATTERNS
    features = np.empty((len(images), n_bins), np.float32)
    for start in range(0, len(images), _CHUNK):
        codes = lbp_codes(images[start : start + _CHUNK], radius)[covered]
        index = _uniform_patterns()[codes] + first_bins
        index += np.arange(len(codes))[:, np.newaxis, np.newaxis] * n_bins
        counts = np.bincount(index.ravel(), minlength=len(codes) * n_bins)
        features[start : start + _CHUNK] = counts.reshape(len(codes), n_bins)
    features /= rows * columns
    return np.sqrt(features, out=features)


class LBPExtractor(ImageDescriptor):
    """Describe faces by local binary patterns (LBP), counted in a grid of cells.

    Patterns do not change with brightness and contrast, and tell texture where HOG tells
    edges: best beside :class:`HOGExtractor` in a ``FeatureUnion``. Stateless: `transform`
    works without `fit`, which only records the image size. Methods of Ojala et al. 2002
    and, for faces, Ahonen et al. 2006.

    Parameters
    ----------
    radius : float, default=1.0
        Of the circle of eight points around each pixel, in pixels.
    grid : int or (int, int), default=(8, 8)
        Rows and columns of cells. An int means as many of both.

    Attributes
    ----------
    n_features_in_ : int
        Pixels an image, seen in `fit`.
    image_shape_ : (int, int)
        Height and width of the images seen in `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> faces = np.random.default_rng(0).integers(0, 256, (3, 48, 48), dtype=np.uint8)
    >>> LBPExtractor().fit_transform(faces).shape
    (3, 3776)
    >>> table = LBPExtractor(grid=2).set_output(transform="pandas")
    >>> table.fit_transform(faces).columns[0]
    'cell0_0_pattern0'
    """

    _parameter_constraints: ClassVar[dict] = {
        "radius": [Interval(Real, 1, None, closed="left")],
        "grid": [Interval(Integral, 1, None, closed="left"), tuple, list],
    }

    def __init__(self, *, radius=1.0, grid=(8, 8)):
        self.radius = radius
        self.grid = grid

    def _check_size(self):
        _cell_size(self.image_shape_, self._grid())

    def _describe(self, images):
        return lbp_batch(images, radius=self.radius, grid=self._grid())

    def _feature_names(self):
        """Name each feature after its cell, row and column, and its pattern."""
        sizes = (*self._grid(), _N_PATTERNS)
        return ["cell{}_{}_pattern{}".format(*position) for position in np.ndindex(*sizes)]

    def _grid(self):
        return check_pair("grid", self.grid, "(rows, columns)")


def _between(moved, row, column, down, across):
    """Interpolate `moved` bilinearly, in the order of scikit-image, whose rounding counts."""
    if not (down or across):
        return moved(row, column)
    above = (1 - across) * moved(row, column) + across * moved(row, column + 1)
    below = (1 - across) * moved(row + 1, column) + across * moved(row + 1, column + 1)
    return (1 - down) * above + down * below


def _cell_size(image_shape, grid):
    """Return the rows and columns of a cell, in pixels."""
    size = tuple(side // cells for side, cells in zip(image_shape, grid, strict=True))
    if min(size) >= 1:
        return size
    raise ValueError(
        f"X has images of {image_shape[0]}×{image_shape[1]} pixels, too small for grid={grid}. "
        f"Choose fewer cells, or enlarge the images with GrayscaleResizer({max(grid)})."
    )


@cache
def _uniform_patterns():
    """Number of the pattern of each of the 256 codes; 58 is "changes more than twice"."""
    bits = (np.arange(256)[:, np.newaxis] >> np.arange(_N_POINTS)) & 1
    uniform = (bits != np.roll(bits, 1, axis=1)).sum(1) <= 2
    patterns = np.full(256, _N_PATTERNS - 1)
    patterns[uniform] = np.arange(uniform.sum())
    return patterns
