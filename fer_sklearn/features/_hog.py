"""Histograms of oriented gradients (HOG), extracted for a whole batch of faces at once."""

from __future__ import annotations

import math
from functools import lru_cache
from numbers import Integral
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import numpy as np

from .._utils.compat import Interval, StrOptions
from .._utils.estimators import ImageDescriptor
from .._utils.typing import FloatArray, NDArray, PixelArray, Size
from .._utils.validation import check_pair

__all__ = ["HOGExtractor", "hog_batch"]

BlockNorm: TypeAlias = Literal["L1", "L1-sqrt", "L2", "L2-Hys"]
BLOCK_NORMS = get_args(BlockNorm)

# Images processed at a time, so that the intermediate arrays stay in the processor's cache.
_CHUNK = 64
_EPS = 1e-5
# A difference of two uint8 pixels lies in -255..255.
_MAX_GRADIENT = 255
_N_GRADIENTS = 2 * _MAX_GRADIENT + 1


def hog_batch(
    images: PixelArray,
    *,
    orientations: int = 9,
    pixels_per_cell: tuple[int, int] = (8, 8),
    cells_per_block: tuple[int, int] = (2, 2),
    block_norm: BlockNorm = "L2-Hys",
    transform_sqrt: bool = False,
) -> FloatArray:
    """Extract the HOG features of a stack of grey images.

    Returns the same features as ``skimage.feature.hog`` does for each image: central differences
    that are zero on the border, unsigned orientations, no interpolation between bins, overlapping
    blocks.

    Parameters
    ----------
    images : ndarray of shape (n, h, w), uint8, float32 or float64
        Grey images. For uint8, and for floats that are exactly such pixels divided by 255,
        magnitudes and bins are looked up in a table of all pairs of differences, which is four
        times as fast.
    orientations : int, default=9
        Number of bins between 0 and 180 degrees.
    pixels_per_cell : (int, int), default=(8, 8)
        Rows and columns of a cell, in pixels.
    cells_per_block : (int, int), default=(2, 2)
        Rows and columns of a block, in cells.
    block_norm : {"L1", "L1-sqrt", "L2", "L2-Hys"}, default="L2-Hys"
        Normalisation of the histograms of a block.
    transform_sqrt : bool, default=False
        Whether to take the square root of the pixels first (gamma compression).

    Returns
    -------
    ndarray of shape (n, n_features), float32
        Features; ``n_features`` is block rows × block columns × cells per block × orientations.

    Raises
    ------
    ValueError
        If the images are smaller than one block, or if pixels are negative and `transform_sqrt` is
        set.

    References
    ----------
    Dalal & Triggs (2005), Histograms of Oriented Gradients for Human Detection.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.arange(2 * 48 * 48, dtype=np.uint8).reshape(2, 48, 48)
    >>> hog_batch(images).shape
    (2, 900)
    """
    grid = _block_grid(images.shape[1:], pixels_per_cell, cells_per_block)
    if transform_sqrt:
        images = _square_root(images)
    block_values = math.prod(cells_per_block) * orientations
    features = np.empty((len(images), *grid, block_values), np.float32)
    for start in range(0, len(images), _CHUNK):
        part = slice(start, start + _CHUNK)
        cells = _cell_histograms(images[part], orientations, pixels_per_cell)
        features[part] = _normalised_blocks(cells, cells_per_block, block_norm)
    return features.reshape(len(images), -1)


class HOGExtractor(ImageDescriptor):
    """Extract histograms of oriented gradients (HOG).

    Equal to ``skimage.feature.hog`` within 1e-5, and about 20 times as fast as calling it in a
    loop on uint8 images, because it processes the whole batch at once. Stateless: `transform`
    works without `fit`, which only records the image size.

    Parameters
    ----------
    orientations : int, default=9
        Number of bins between 0 and 180 degrees.
    pixels_per_cell : int or (int, int), default=(8, 8)
        Rows and columns of a cell, in pixels. An int means a square.
    cells_per_block : int or (int, int), default=(2, 2)
        Rows and columns of a block, in cells. An int means a square.
    block_norm : {"L1", "L1-sqrt", "L2", "L2-Hys"}, default="L2-Hys"
        Normalisation of the histograms of a block.
    transform_sqrt : bool, default=False
        Whether to take the square root of the pixels first (gamma compression). Pixels must not be
        negative then.

    Attributes
    ----------
    n_features_in_ : int
        Number of pixels per image seen in `fit`.
    image_shape_ : (int, int)
        Height and width of the images seen in `fit`, in pixels.
    grid_shape_ : (int, int)
        Rows and columns of blocks in such an image.

    References
    ----------
    Dalal & Triggs (2005), Histograms of Oriented Gradients for Human Detection.

    Examples
    --------
    >>> import numpy as np
    >>> faces = np.random.default_rng(0).integers(0, 256, (3, 48, 48), dtype=np.uint8)
    >>> HOGExtractor().fit_transform(faces).shape
    (3, 900)
    >>> table = HOGExtractor(pixels_per_cell=16).set_output(transform="pandas")
    >>> table.fit_transform(faces).columns[0]
    'hog_r0c0_o0_block0_0'
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "orientations": [Interval(Integral, 1, None, closed="left")],
        "block_norm": [StrOptions(set(BLOCK_NORMS))],
        "transform_sqrt": ["boolean"],
    }

    def __init__(
        self,
        *,
        orientations: int = 9,
        pixels_per_cell: Size = (8, 8),
        cells_per_block: Size = (2, 2),
        block_norm: BlockNorm = "L2-Hys",
        transform_sqrt: bool = False,
    ) -> None:
        self.orientations = orientations
        self.pixels_per_cell = pixels_per_cell
        self.cells_per_block = cells_per_block
        self.block_norm = block_norm
        self.transform_sqrt = transform_sqrt

    @property
    def grid_shape_(self) -> tuple[int, int]:
        return _block_grid(self.image_shape_, *self._cell_and_block())

    def _check_size(self) -> None:
        _block_grid(self.image_shape_, *self._cell_and_block())

    def _describe(self, images: PixelArray) -> FloatArray:
        cell, block = self._cell_and_block()
        return hog_batch(
            images,
            orientations=self.orientations,
            pixels_per_cell=cell,
            cells_per_block=block,
            block_norm=self.block_norm,
            transform_sqrt=self.transform_sqrt,
        )

    def _feature_names(self) -> list[str]:
        """Name each feature by the row and column of its cell, and its bin.

        Blocks of several cells overlap, so a name then also includes the block.
        """
        _, block = self._cell_and_block()
        name = "hog_r{}c{}_o{}" if block == (1, 1) else "hog_r{}c{}_o{}_block{}_{}"
        sizes = (*self.grid_shape_, *block, self.orientations)
        return [
            name.format(down + row, across + column, orientation, down, across)
            for down, across, row, column, orientation in np.ndindex(*sizes)
        ]

    def _cell_and_block(self) -> tuple[tuple[int, int], tuple[int, int]]:
        return (
            check_pair("pixels_per_cell", self.pixels_per_cell, "(rows, columns)"),
            check_pair("cells_per_block", self.cells_per_block, "(rows, columns)"),
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = self.transform_sqrt
        return tags


def _block_grid(
    image_shape: tuple[int, int], cell: tuple[int, int], block: tuple[int, int]
) -> tuple[int, int]:
    """Return the number of blocks in an image, down and across."""
    rows, columns = (
        side // pixels - cells + 1
        for side, pixels, cells in zip(image_shape, cell, block, strict=True)
    )
    if min(rows, columns) >= 1:
        return rows, columns
    needed = (cell[0] * block[0], cell[1] * block[1])
    raise ValueError(
        f"X has images of {image_shape[0]}×{image_shape[1]} pixels, smaller than one HOG "
        f"block of {needed[0]}×{needed[1]} (pixels_per_cell={cell} times "
        f"cells_per_block={block}). Choose smaller cells or blocks, or enlarge the images "
        f"with GrayscaleResizer({max(needed)})."
    )


def _square_root(images: PixelArray) -> FloatArray:
    if images.min() < 0:
        raise ValueError(
            f"transform_sqrt=True needs non-negative pixels, but X goes down to "
            f"{images.min():g}. Set transform_sqrt=False, or normalise with "
            f"PixelNormalizer(method='unit')."
        )
    return np.sqrt(images, dtype=np.float64 if images.dtype == np.uint8 else images.dtype)


def _cell_histograms(
    images: PixelArray, orientations: int, cell: tuple[int, int]
) -> NDArray[np.float64]:
    """Sum gradient magnitudes by cell and orientation: (n, cell rows, cell columns, bins)."""
    n_rows, n_columns = images.shape[1] // cell[0], images.shape[2] // cell[1]
    codes, scale = _as_bytes(images, orientations)
    if codes is None:
        down, across = _gradients(images)
        magnitude, bins = _magnitude_and_bin(down, across, orientations)
    else:
        magnitude, bins = _looked_up(codes, orientations)
    covered = np.s_[:, : n_rows * cell[0], : n_columns * cell[1]]
    # An extra bin, dropped below, takes orientations that rounding puts at 180 degrees.
    shape = (len(images), n_rows, n_columns, orientations + 1)
    first_bins = np.arange(0, math.prod(shape), orientations + 1).reshape(shape[:3])
    index = bins[covered] + first_bins.repeat(cell[0], axis=1).repeat(cell[1], axis=2)
    weights = magnitude[covered].ravel()
    sums = np.bincount(index.ravel(), weights, math.prod(shape)).reshape(shape)
    return sums[..., :orientations] * (scale / (cell[0] * cell[1]))


def _as_bytes(images: PixelArray, orientations: int) -> tuple[NDArray[np.uint8] | None, float]:
    """Return the images as uint8 and their scale, or (None, 1.0) if they are not bytes."""
    if images.dtype == np.uint8:
        return images, 1.0
    # If 45 degrees is the edge of a bin, the rounding of float pixels decides on which side a
    # diagonal gradient falls; only the float computation reproduces that.
    if orientations % 4 and images.min() >= 0 and images.max() <= 1:
        codes = np.rint(images * 255).astype(np.uint8)
        if np.array_equal(codes.astype(images.dtype) / images.dtype.type(255), images):
            return codes, 1 / 255
    return None, 1.0


def _gradients(images: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return central differences down and across; 0 on the border."""
    down, across = np.zeros_like(images), np.zeros_like(images)
    np.subtract(images[:, 2:], images[:, :-2], out=down[:, 1:-1])
    np.subtract(images[:, :, 2:], images[:, :, :-2], out=across[:, :, 1:-1])
    return down, across


def _looked_up(
    images: NDArray[np.uint8], orientations: int
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Look up magnitude and bin of the gradients of uint8 images."""
    down, across = _gradients(images.astype(np.intp))
    down *= _N_GRADIENTS
    down += across
    magnitudes, bins = _gradient_table(orientations)
    # The table is arranged so that negative positions count from its end.
    return magnitudes[down], bins[down]


@lru_cache(maxsize=4)
def _gradient_table(orientations: int) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Return magnitude and bin of each pair of integer differences, flattened row by row."""
    values = np.arange(-_MAX_GRADIENT, _MAX_GRADIENT + 1, dtype=np.float64)
    down, across = np.meshgrid(values, values, indexing="ij")
    magnitude, bins = _magnitude_and_bin(down, across, orientations)
    middle = down.size // 2
    return np.roll(magnitude.ravel(), -middle), np.roll(bins.ravel(), -middle)


def _magnitude_and_bin(
    down: NDArray[Any], across: NDArray[Any], orientations: int
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Return magnitudes and the numbers of the orientation bins, counted from 0 degrees."""
    # As in scikit-image, differences have the precision of the image and angles double
    # precision, so that pixels on the edge of a bin fall on the same side.
    down, across = down.astype(np.float64), across.astype(np.float64)
    degrees = np.rad2deg(np.arctan2(down, across)) % 180
    bins = np.zeros(degrees.shape, np.min_scalar_type(orientations))
    for edge in np.arange(1, orientations + 1) * (180 / orientations):
        bins += degrees >= edge
    return np.hypot(down, across), bins


def _normalised_blocks(
    cells: NDArray[np.float64], block: tuple[int, int], norm: str
) -> NDArray[np.float64]:
    """Gather overlapping blocks of cells and normalise each: (n, rows, columns, values)."""
    windows = np.lib.stride_tricks.sliding_window_view(cells, block, axis=(1, 2))
    # From (n, rows, columns, bins, block rows, block columns) to bins last.
    blocks = np.moveaxis(windows, 3, -1).copy().reshape(*windows.shape[:3], -1)
    if norm in ("L1", "L1-sqrt"):
        blocks /= blocks.sum(-1, keepdims=True) + _EPS
        return np.sqrt(blocks, out=blocks) if norm == "L1-sqrt" else blocks
    _divide_by_l2(blocks)
    if norm == "L2-Hys":
        np.minimum(blocks, 0.2, out=blocks)
        _divide_by_l2(blocks)
    return blocks


def _divide_by_l2(blocks: NDArray[np.float64]) -> None:
    squares = np.einsum("...i,...i->...", blocks, blocks)
    blocks /= np.sqrt(squares + _EPS**2)[..., np.newaxis]
