"""Cholesky factors of matrices of gigabytes, in place and block by block.

SciPy's routine (1.17, with OpenBLAS) ended the process when it was given the 28,709 × 28,709
float32 matrix of FER2013; why was not found. Here nothing larger than a block goes to
LAPACK, and products of blocks do nearly all the work.
"""

import numpy as np
from sklearn.utils import gen_batches

__all__ = ["Cholesky"]

_BLOCK = 1024


class Cholesky:
    """The factor ``L`` of a symmetric positive definite matrix ``L @ L.T``.

    Parameters
    ----------
    matrix : ndarray of shape (n, n), float32 or float64
        Only what stands on and below the diagonal is read; it is overwritten.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the matrix is not positive definite.
    """

    def __init__(self, matrix):
        self._lower = matrix
        self._blocks = list(gen_batches(len(matrix), _BLOCK))
        self._inverses = [self._factorise(block) for block in self._blocks]

    def _factorise(self, block):
        """Replace one block of columns by the factor's, and invert its block of the diagonal."""
        lower, before = self._lower, slice(block.start)
        columns = lower[block.start :, block]
        columns -= lower[block.start :, before] @ lower[block, before].T
        size = block.stop - block.start
        inverse = np.linalg.inv(np.linalg.cholesky(columns[:size]))
        columns[size:] = columns[size:] @ inverse.T
        return inverse

    def solve(self, right):
        """Return ``x`` of ``L @ L.T @ x = right``, for `right` of shape (n, k)."""
        lower, x = self._lower, right.copy()
        for block, inverse in zip(self._blocks, self._inverses, strict=True):
            x[block] = inverse @ (x[block] - lower[block, : block.start] @ x[: block.start])
        for block, inverse in zip(self._blocks[::-1], self._inverses[::-1], strict=True):
            rest = lower[block.stop :, block].T @ x[block.stop :]
            x[block] = inverse.T @ (x[block] - rest)
        return x

    def inverse_diagonal(self):
        """Return the diagonal of the inverse of ``L @ L.T``, of shape (n,)."""
        diagonal = np.empty(len(self._lower), self._lower.dtype)
        for i, columns in enumerate(self._blocks):
            inverse = np.zeros((len(diagonal), columns.stop - columns.start), diagonal.dtype)
            inverse[columns] = self._inverses[i]
            for block, own in zip(self._blocks[i + 1 :], self._inverses[i + 1 :], strict=True):
                between = slice(columns.start, block.start)
                inverse[block] = -own @ (self._lower[block, between] @ inverse[between])
            diagonal[columns] = np.einsum("ij,ij->j", inverse, inverse)
        return diagonal
