"""Histograms of local binary patterns (LBP), extracted for a whole batch of faces at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np

from .._utils.compat import Interval
from .._utils.estimators import ImageDescriptor
from .._utils.typing import FloatArray, NDArray, PixelArray, Size
from .._utils.validation import check_pair

__all__ = ["LBPExtractor", "lbp_batch", "lbp_codes"]

# Images processed at a time, so that the intermediate arrays stay in the processor's cache.
_CHUNK = 64
_N_POINTS = 8
# 58 patterns with at most two changes around the circle, and one for all others.
_N_PATTERNS = 59


def lbp_codes(images: PixelArray, radius: float = 1.0) -> NDArray[np.uint8]:
    """Compare each pixel with eight points on a circle around it.

    Returns the same codes as ``skimage.feature.local_binary_pattern(image, 8, radius)`` does for
    each image, unless rounding errors decide whether a point is as bright as the pixel: points
    between pixels are interpolated bilinearly, points outside the image are 0.

    Parameters
    ----------
    images : ndarray of shape (n, h, w), uint8, float32 or float64
        Grey images.
    radius : float, default=1.0
        Radius of the circle, in pixels.

    Returns
    -------
    ndarray of shape (n, h, w), uint8
        Bit ``i`` is set if the point at ``i`` eighths of a turn is at least as bright as the
        pixel.

    References
    ----------
    Ojala, Pietikäinen & Mäenpää (2002), Multiresolution Gray-Scale and Rotation Invariant Texture
    Classification with Local Binary Patterns.
    """
    n_rows, n_columns = images.shape[1:]
    margin = math.ceil(radius) + 1
    padded = np.pad(
        images.astype(np.float64), ((0, 0), (margin, margin), (margin, margin)), mode="constant"
    )

    def moved(down: int, across: int) -> NDArray[np.float64]:
        rows = slice(margin + down, margin + down + n_rows)
        return padded[:, rows, margin + across : margin + across + n_columns]

    centre = moved(0, 0)
    codes = np.zeros(images.shape, np.uint8)
    for bit in range(_N_POINTS):
        angle = 2 * np.pi * bit / _N_POINTS
        # Five digits, as in scikit-image, so that points on the axes fall on pixels.
        down, across = round(-radius * math.sin(angle), 5), round(radius * math.cos(angle), 5)
        row, column = math.floor(down), math.floor(across)
        point = _between(moved, row, column, down - row, across - column)
        codes |= (point >= centre).astype(np.uint8) << bit
    return codes


def lbp_batch(
    images: PixelArray, *, radius: float = 1.0, grid: tuple[int, int] = (8, 8)
) -> FloatArray:
    """Extract histograms of uniform local binary patterns in a grid of cells.

    Each pixel has one of 59 patterns: 58 with at most two changes between darker and brighter
    around the circle, and one for all others. Each cell counts them. Taking the square root of
    the frequencies makes Euclidean distances between histograms Hellinger distances.

    Parameters
    ----------
    images : ndarray of shape (n, h, w), uint8, float32 or float64
        Grey images.
    radius : float, default=1.0
        Radius of the circle around each pixel, in pixels.
    grid : (int, int), default=(8, 8)
        Rows and columns of cells. Remaining pixels at the right and bottom are not counted.

    Returns
    -------
    ndarray of shape (n, n_features), float32
        Features; ``n_features`` is rows × columns × 59. The histogram of each cell has Euclidean
        norm 1.

    Raises
    ------
    ValueError
        If the images have fewer pixels than the grid has cells, down or across.

    References
    ----------
    Ahonen, Hadid & Pietikäinen (2006), Face Description with Local Binary Patterns.

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
    """Extract histograms of local binary patterns (LBP) in a grid of cells.

    The patterns are invariant to brightness and contrast. They describe texture, where HOG
    describes edges, so combine them with :class:`HOGExtractor` in a ``FeatureUnion``. Stateless:
    `transform` works without `fit`, which only records the image size.

    Parameters
    ----------
    radius : float, default=1.0
        Radius of the circle of eight points around each pixel, in pixels.
    grid : int or (int, int), default=(8, 8)
        Rows and columns of cells. An int means as many rows as columns.

    Attributes
    ----------
    n_features_in_ : int
        Number of pixels per image seen in `fit`.
    image_shape_ : (int, int)
        Height and width of the images seen in `fit`, in pixels.

    References
    ----------
    Ojala, Pietikäinen & Mäenpää (2002), Multiresolution Gray-Scale and Rotation Invariant Texture
    Classification with Local Binary Patterns. Ahonen, Hadid & Pietikäinen (2006), Face Description
    with Local Binary Patterns.

    Examples
    --------
    >>> import numpy as np
    >>> faces = np.random.default_rng(0).integers(0, 256, (3, 48, 48), dtype=np.uint8)
    >>> LBPExtractor().fit_transform(faces).shape
    (3, 3776)
    >>> table = LBPExtractor(grid=2).set_output(transform="pandas")
    >>> table.fit_transform(faces).columns[0]
    'lbp_r0c0_p0'
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "radius": [Interval(Real, 1, None, closed="left")],
        "grid": [Interval(Integral, 1, None, closed="left"), tuple, list],
    }

    def __init__(self, *, radius: float = 1.0, grid: Size = (8, 8)) -> None:
        self.radius = radius
        self.grid = grid

    def _check_size(self) -> None:
        _cell_size(self.image_shape_, self._grid())

    def _describe(self, images: PixelArray) -> FloatArray:
        return lbp_batch(images, radius=self.radius, grid=self._grid())

    def _mirrored(self, features: FloatArray) -> FloatArray | None:
        """Return the features of the mirror images: the same counts, at other positions."""
        grid = self._grid()
        if self.image_shape_[1] % grid[1]:
            return None  # pixels at the right are not counted, nor those at the left of the mirror
        return features.take(_mirrored_positions(grid), axis=1)

    def _feature_names(self) -> list[str]:
        """Name each feature by the row and column of its cell, and its pattern."""
        sizes = (*self._grid(), _N_PATTERNS)
        return ["lbp_r{}c{}_p{}".format(*position) for position in np.ndindex(*sizes)]

    def _grid(self) -> tuple[int, int]:
        return check_pair("grid", self.grid, "(rows, columns)")


def _between(
    moved: Callable[[int, int], NDArray[np.float64]],
    row: int,
    column: int,
    down: float,
    across: float,
) -> NDArray[np.float64]:
    """Interpolate `moved` bilinearly, in the order of scikit-image to get the same rounding."""
    if not (down or across):
        return moved(row, column)
    above = (1 - across) * moved(row, column) + across * moved(row, column + 1)
    below = (1 - across) * moved(row + 1, column) + across * moved(row + 1, column + 1)
    return (1 - down) * above + down * below


def _cell_size(image_shape: tuple[int, int], grid: tuple[int, int]) -> tuple[int, int]:
    """Return the rows and columns of a cell, in pixels."""
    rows, columns = (side // cells for side, cells in zip(image_shape, grid, strict=True))
    if min(rows, columns) >= 1:
        return rows, columns
    raise ValueError(
        f"X has images of {image_shape[0]}×{image_shape[1]} pixels, too small for grid={grid}. "
        f"Choose fewer cells, or enlarge the images with GrayscaleResizer({max(grid)})."
    )


@cache
def _uniform_patterns() -> NDArray[np.int64]:
    """Return the pattern of each of the 256 codes; 58 stands for more than two changes."""
    bits = (np.arange(256)[:, np.newaxis] >> np.arange(_N_POINTS)) & 1
    uniform = (bits != np.roll(bits, 1, axis=1)).sum(1) <= 2
    patterns = np.full(256, _N_PATTERNS - 1)
    patterns[uniform] = np.arange(uniform.sum())
    return patterns


@cache
def _mirrored_positions(grid: tuple[int, int]) -> NDArray[np.int64]:
    """Return the position of each feature of a mirror image among the features of the image."""
    # In the mirror, the point at i eighths of a turn is the one at 4 - i.
    bits = (np.arange(256)[:, np.newaxis] >> np.arange(_N_POINTS)) & 1
    opposite = (_N_POINTS // 2 - np.arange(_N_POINTS)) % _N_POINTS
    mirrored_codes = bits[:, opposite] @ (1 << np.arange(_N_POINTS))
    patterns = np.empty(_N_PATTERNS, np.int64)
    patterns[_uniform_patterns()] = _uniform_patterns()[mirrored_codes]
    positions = np.arange(math.prod(grid) * _N_PATTERNS).reshape(*grid, _N_PATTERNS)
    return positions[:, ::-1, patterns].ravel()
