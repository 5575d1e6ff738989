"""Responses to a codebook of patches that is learned from the images, by cell."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from scipy.sparse import csr_array
from sklearn.utils import check_random_state

from .._utils.compat import Interval
from .._utils.estimators import ImageDescriptor
from .._utils.typing import FloatArray, IntArray, NDArray, PixelArray, RandomState, Size
from .._utils.validation import check_pair

__all__ = ["CodebookExtractor"]

_N_ITERATIONS = 10
# Added to variances before dividing by them: to the contrast of a patch, as a fraction of the
# average contrast, and to its components, whose average is at most 1.
_CONTRAST_FLOOR = 0.01
_VARIANCE_FLOOR = 0.02
# Added to squared norms, so that the rounding errors of a flat patch stay near 0.
_NORM_FLOOR = 1e-6


class CodebookExtractor(ImageDescriptor):
    """Compare each patch of an image with a codebook, and average the responses by cell.

    The codebook is learned from the images, without labels: k-means groups normalised, whitened
    patches, and finds edges, bars, corners and blobs (Coates & Ng 2012). A patch responds to each
    codeword whose cosine with it is above a threshold (Coates & Ng 2011). Slower than
    :class:`HOGExtractor` and :class:`LBPExtractor`, and best combined with them: on FER2013, two
    codebooks in addition to HOG and LBP gain three points of accuracy.

    Every codeword has its mirror image in the codebook, so the features of a mirrored image are
    those of the image in a different order.

    Parameters
    ----------
    patch_size : int, default=6
        Height and width of the patches, in pixels.
    n_codewords : int, default=112
        Number of codewords, even.
    grid : int or (int, int), default=(6, 6)
        Rows and columns of cells. An int means as many rows as columns. Cells overlap: a patch
        counts most in the cell whose centre is nearest, and less in its neighbours.
    threshold : float, default=0.4
        Cosine, from 0 to 1, below which a patch does not respond to a codeword.
    n_patches : int, default=100_000
        Number of patches to learn from, drawn from all images at random.
    random_state : int, RandomState instance or None, default=0
        Seed of the drawn patches and the first codewords.

    Attributes
    ----------
    codewords_ : ndarray of shape (n_codewords, patch_size, patch_size), float32
        Whitened patches of Euclidean norm 1; the second half are the mirror images of the first.
    whitening_ : ndarray of shape (patch_size ** 2, patch_size ** 2), float32
        Matrix that normalised patches are multiplied by.
    n_features_in_ : int
        Number of pixels per image seen in `fit`.
    image_shape_ : (int, int)
        Height and width of the images seen in `fit`, in pixels.

    References
    ----------
    Coates & Ng (2011), The Importance of Encoding versus Training with Sparse Coding and Vector
    Quantization. Coates & Ng (2012), Learning Feature Representations with K-Means.

    Examples
    --------
    >>> from fer_sklearn import CodebookExtractor, make_faces
    >>> X = make_faces(70, random_state=0).images
    >>> codebook = CodebookExtractor(n_codewords=16, grid=4, n_patches=2000)
    >>> codebook.fit_transform(X).shape
    (70, 256)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "patch_size": [Interval(Integral, 1, None, closed="left")],
        "n_codewords": [Interval(Integral, 2, None, closed="left")],
        "grid": [Interval(Integral, 1, None, closed="left"), tuple, list],
        "threshold": [Interval(Real, 0, 1, closed="left")],
        "n_patches": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        patch_size: int = 6,
        n_codewords: int = 112,
        grid: Size = (6, 6),
        threshold: float = 0.4,
        n_patches: int = 100_000,
        random_state: RandomState = 0,
    ) -> None:
        self.patch_size = patch_size
        self.n_codewords = n_codewords
        self.grid = grid
        self.threshold = threshold
        self.n_patches = n_patches
        self.random_state = random_state

    def _check_size(self) -> None:
        if self.n_codewords % 2:
            raise ValueError(
                f"n_codewords={self.n_codewords} is odd, but each codeword has its mirror image; "
                f"expected an even number, such as {self.n_codewords + 1}."
            )
        needed = [self.patch_size + cells - 1 for cells in self._grid()]
        if any(side < least for side, least in zip(self.image_shape_, needed, strict=True)):
            raise ValueError(
                f"X has images of {self.image_shape_[0]}×{self.image_shape_[1]} pixels, too small "
                f"for patch_size={self.patch_size} and grid={self._grid()}. Choose smaller patches "
                f"or fewer cells, or enlarge the images with GrayscaleResizer({max(needed)})."
            )

    def _learn(self, images: PixelArray) -> None:
        """Learn the codebook."""
        rng = check_random_state(self.random_state)
        windows = self._windows(images)
        where = [rng.randint(size, size=self.n_patches) for size in windows.shape[:3]]
        patches = windows[tuple(where)].reshape(self.n_patches, -1).astype(np.float32)
        self._contrast_floor = max(_CONTRAST_FLOOR * float(patches.var(axis=1).mean()), 1e-12)
        _normalise(patches, self._contrast_floor)
        mirrored = np.arange(self.patch_size**2).reshape(self.patch_size, -1)[:, ::-1].ravel()
        covariance = patches.T @ patches / len(patches)
        covariance = (covariance + covariance[np.ix_(mirrored, mirrored)]) / 2
        variances, axes = np.linalg.eigh(covariance)
        scale = 1 / np.sqrt(np.maximum(variances, 0) + _VARIANCE_FLOOR)
        self.whitening_ = ((axes * scale) @ axes.T).astype(np.float32)
        patches = patches @ self.whitening_
        _divide_by_norm(patches)
        first = patches[rng.randint(len(patches), size=self.n_codewords // 2)]
        first = _k_means(patches, first, mirrored)
        self.codewords_ = np.vstack([first, first[:, mirrored]]).reshape(
            -1, self.patch_size, self.patch_size
        )

    def _describe(self, images: PixelArray) -> FloatArray:
        n_codewords = len(self.codewords_)
        windows = self._windows(images)
        n_down, n_across = windows.shape[1:3]
        down, across = (
            _pooling(n, cells) for n, cells in zip((n_down, n_across), self._grid(), strict=True)
        )
        project = self.whitening_ @ self.codewords_.reshape(n_codewords, -1).T
        threshold = np.float32(self.threshold)
        features = np.empty((len(images), len(down) * len(across) * n_codewords), np.float32)
        # One image at a time: the responses stay in the processor's cache, and the features of an
        # image do not depend on the others.
        for row, image in zip(features, windows, strict=True):
            patches = image.reshape(n_down * n_across, -1).astype(np.float32)
            _normalise(patches, self._contrast_floor)
            _divide_by_norm(patches, patches @ self.whitening_)
            responses = patches @ project
            responses -= threshold
            np.maximum(responses, 0, out=responses)
            by_row = (down @ responses.reshape(n_down, -1)).reshape(len(down), n_across, -1)
            row[:] = (across @ by_row).ravel()
        return np.sqrt(features, out=features)

    def _mirrored(self, features: FloatArray) -> FloatArray | None:
        """Return the features of the mirror images: cells and codewords change places."""
        by_cell = features.reshape(len(features), *self._grid(), 2, len(self.codewords_) // 2)
        return by_cell[:, :, ::-1, ::-1].reshape(len(features), -1)

    def _feature_names(self) -> list[str]:
        """Name each feature by the row and column of its cell, and its codeword."""
        sizes = (*self._grid(), len(self.codewords_))
        return ["cell{}_{}_codeword{}".format(*position) for position in np.ndindex(*sizes)]

    def _windows(self, images: PixelArray) -> NDArray[Any]:
        """Return a view of all patches: (n, rows, columns, patch_size, patch_size)."""
        sides = (self.patch_size, self.patch_size)
        return np.lib.stride_tricks.sliding_window_view(images, sides, axis=(1, 2))

    def _grid(self) -> tuple[int, int]:
        return check_pair("grid", self.grid, "(rows, columns)")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        return tags


def _normalise(patches: FloatArray, floor: float) -> None:
    """Remove brightness and contrast from patches, in place."""
    patches -= patches.mean(axis=1, keepdims=True)
    mean_squares = np.einsum("ij,ij->i", patches, patches) / patches.shape[1]
    patches /= np.sqrt(mean_squares + np.float32(floor))[:, np.newaxis]


def _divide_by_norm(rows: FloatArray, of: FloatArray | None = None) -> None:
    """Divide rows by the norms of `of` or their own, in place."""
    of = rows if of is None else of
    rows /= np.sqrt(np.einsum("ij,ij->i", of, of) + np.float32(_NORM_FLOOR))[:, np.newaxis]


def _k_means(patches: FloatArray, first: FloatArray, mirrored: IntArray) -> FloatArray:
    """Return codewords of norm 1 so that each patch is close to one or its mirror image."""
    codewords, n = first, len(first)
    for _ in range(_N_ITERATIONS):
        nearest = (patches @ np.vstack([codewords, codewords[:, mirrored]]).T).argmax(axis=1)
        is_mirrored = nearest >= n
        turned = np.where(is_mirrored[:, np.newaxis], patches[:, mirrored], patches)
        ones = np.ones(len(patches), np.float32)
        members = csr_array((ones, nearest % n, np.arange(len(patches) + 1)), (len(patches), n))
        sums = members.T @ turned
        is_used = np.einsum("ij,ij->i", sums, sums) > 0
        _divide_by_norm(sums)
        codewords = np.where(is_used[:, np.newaxis], sums, codewords)
    return codewords


def _pooling(n_positions: int, n_cells: int) -> FloatArray:
    """Return the weight of each position in each cell, (n_cells, n_positions); rows sum to 1."""
    step = n_positions / n_cells
    centres = (np.arange(n_cells) + 0.5) * step - 0.5
    distances = np.abs(np.arange(n_positions) - centres[:, np.newaxis]) / step
    weights = np.maximum(0, 1 - distances)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
