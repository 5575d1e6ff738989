"""A least-squares SVM that can be invariant to mirroring."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from scipy.special import softmax
from sklearn.utils import gen_batches
from sklearn.utils.class_weight import compute_class_weight

from .._utils.cross_validation import best_temperature
from .._utils.typing import FloatArray, IntArray, RandomState
from ..features import make_pca
from ._base import BaseSVM, TrainingData, gaussian_kernel

__all__ = ["Cholesky", "LSSVMClassifier"]

# Rows of the kernel matrix that are computed at a time, which bounds the extra memory.
_CHUNK = 1024
# Columns of the matrix that are factorised at a time.
_BLOCK = 1024


class LSSVMClassifier(BaseSVM):
    """Classify features with a least-squares SVM with a Gaussian kernel.

    Squared errors instead of the hinge loss turn training into one system of linear equations,
    solved with a single Cholesky factorisation for all classes, in the precision of the features.
    It can learn labels or probabilities, such as fractions of people's votes. With
    `flip_invariant`, the kernel is averaged over both faces and their mirror images, which is
    equivalent to training on a mirrored copy of each image and averaging over both in `predict`. An
    ordinary SVM would have to be trained on twice as many images.

    Training takes ``4 * n_samples ** 2`` bytes of memory for float32 features, 3.3 GB for FER2013,
    and time that grows with ``n_samples ** 3``.

    Parameters
    ----------
    C : float, default=10.0
        Regularisation parameter; smaller values regularise more.
    gamma : {"scale", "2*scale"} or float, default="2*scale"
        Coefficient of the Gaussian kernel. ``"scale"`` is one over the total variance of the
        (reduced) features, as in scikit-learn's SVC; ``"2*scale"`` is twice that.
    n_components : int or None, default=None
        Number of principal components to reduce `X` to before training; with `flip_invariant`,
        to reduce each half of it to. If None, or if `X` has no more features or samples, it is not
        reduced.
    flip_invariant : bool, default=False
        Whether predictions are the same for an image and its mirror image. The second half of
        the columns of `X` must then describe the mirror images of what the first half describes,
        as :class:`MirroredFeatures` returns them.
    class_weight : dict, "balanced" or None, default=None
        Weight of each class, by label. ``"balanced"`` weights classes inversely to their
        frequency. If None, all classes have weight 1.
    probability : bool, default=False
        Whether to enable `predict_proba`, calibrated by temperature scaling on the leave-one-out
        decision values of the training samples, which have a closed form. About doubles the
        training time; `predict` is not affected.
    random_state : int, RandomState instance or None, default=None
        Seed of approximate principal components.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    pca_ : PCA or None
        Fitted principal components; None if `X` was not reduced.
    gamma_ : float
        Coefficient of the kernel.
    X_fit_ : list of ndarray of shape (n_samples, n_reduced)
        (Reduced) training features minus their mean; with `flip_invariant`, also those of the
        mirror images.
    dual_coef_ : ndarray of shape (n_samples, n_classes)
        Coefficient of each training sample.
    intercept_ : ndarray of shape (n_classes,)
        Fraction of each class in the training data, or mean of the soft targets.
    temperature_ : float or None
        Divisor of the decision values before the softmax; None if `probability` was False.
    n_features_in_ : int
        Number of features seen in `fit`.
    training_rows_ : ndarray of shape (n_rows, 6), uint8
        Digest of the rows seen in `fit`, which lets `evaluate` recognise them.

    See Also
    --------
    make_descriptor_svm_pipeline : The pipeline from photos to this classifier.
    HOGSVMClassifier : An ordinary SVM, which needs less memory.

    References
    ----------
    Suykens & Vandewalle (1999), Least Squares Support Vector Machine Classifiers. Haasdonk &
    Burkhardt (2007), Invariant kernel functions for pattern analysis and machine learning. Cawley
    & Talbot (2004), Fast exact leave-one-out cross-validation of sparse least-squares support
    vector machines.

    Examples
    --------
    >>> from fer_sklearn import HOGExtractor, LSSVMClassifier, MirroredFeatures, make_faces
    >>> from sklearn.pipeline import make_pipeline
    >>> X, y = make_faces(70, random_state=0, return_X_y=True)
    >>> classifier = LSSVMClassifier(flip_invariant=True)
    >>> pipeline = make_pipeline(MirroredFeatures(HOGExtractor()), classifier).fit(X, y)
    >>> pipeline.predict(X[:2]) == y[:2]
    array([ True,  True])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseSVM._parameter_constraints,
        "flip_invariant": ["boolean"],
    }

    def __init__(
        self,
        *,
        C: float = 10.0,
        gamma: Literal["scale", "2*scale"] | float = "2*scale",
        n_components: int | None = None,
        flip_invariant: bool = False,
        class_weight: dict[Any, float] | Literal["balanced"] | None = None,
        probability: bool = False,
        random_state: RandomState = None,
    ) -> None:
        self.C = C
        self.gamma = gamma
        self.n_components = n_components
        self.flip_invariant = flip_invariant
        self.class_weight = class_weight
        self.probability = probability
        self.random_state = random_state

    def _fit(self, data: TrainingData) -> None:
        X, codes, weight, soft = data
        weight = np.ones(len(X), X.dtype) if weight is None else weight
        sides = self._fit_sides(X)
        self.gamma_ = self._kernel_coefficient(np.vstack(sides), np.tile(weight, len(sides)))
        # The kernel depends on differences only, and those of small numbers are precise.
        self._centre = np.mean(sides, axis=(0, 1))
        sides = [side - self._centre for side in sides]
        weight = weight * self._class_factors(codes, weight)[codes]
        targets = np.eye(len(self.classes_))[codes] if soft is None else soft
        targets = targets.astype(X.dtype)
        self.intercept_ = np.average(targets, axis=0, weights=weight).astype(targets.dtype)
        centred = targets - self.intercept_
        factor = self._factor(sides, weight)
        self.dual_coef_ = factor.solve(centred)
        if not np.isfinite(self.dual_coef_).all():
            raise ValueError(
                f"X has values too large to be squared in {X.dtype}, up to {np.abs(X).max():g}. "
                f"Scale the features first."
            )
        self.temperature_: float | None = None
        if self.probability:
            left_out = centred - self.dual_coef_ / factor.inverse_diagonal()[:, np.newaxis]
            self.temperature_ = best_temperature(
                left_out + self.intercept_, targets, weight, log_bounds=(-7, 3)
            )
        self.X_fit_ = sides

    def _best(self, X: FloatArray) -> IntArray:
        return self._scores(X).argmax(axis=1)

    def _decide(self, X: FloatArray) -> FloatArray:
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    @property
    def _is_calibrated(self) -> bool:
        return self.temperature_ is not None

    def _calibrated_probabilities(self, X: FloatArray) -> FloatArray:
        assert self.temperature_ is not None
        return softmax(self._scores(X) / self.temperature_, axis=1)

    def _class_factors(self, codes, weight):
        """Return the factor on the weights of each class."""
        if isinstance(self.class_weight, dict):
            return self._weights_of_classes()
        return compute_class_weight(
            self.class_weight,
            classes=self.classes_,
            y=self.classes_[codes],
            sample_weight=weight,
        )

    def _fit_sides(self, X: FloatArray) -> list[FloatArray]:
        """Return the (reduced) features of the images, and those of their mirror images."""
        if self.flip_invariant and X.shape[1] % 2:
            raise ValueError(
                f"X has {X.shape[1]} features, an odd number, but flip_invariant=True expects "
                f"those of the images and as many of their mirror images. Put MirroredFeatures "
                f"before this step, or set flip_invariant=False."
            )
        sides = self._split(X)
        shape = (len(X) * len(sides), sides[0].shape[1])
        self.pca_ = make_pca(shape, self.n_components, self.random_state)
        if self.pca_ is not None:
            self.pca_.fit(np.vstack(sides))
        return [self._reduce(side) for side in sides]

    def _split(self, X: FloatArray) -> list[FloatArray]:
        return np.split(X, 2, axis=1) if self.flip_invariant else [X]

    def _factor(self, sides: list[FloatArray], weight: FloatArray) -> Cholesky:
        """Return the Cholesky factor of the kernel matrix plus the regularisation."""
        n_samples = len(weight)
        matrix = np.empty((n_samples, n_samples), sides[0].dtype)
        for part in gen_batches(n_samples, _CHUNK):
            # The matrix is symmetric; values right of the diagonal are not needed.
            rows, columns = ([side[s] for side in sides] for s in (part, slice(part.stop)))
            matrix[part, : part.stop] = gaussian_kernel(rows, columns, self.gamma_)
        matrix[np.diag_indices(n_samples)] += 1 / (self.C * weight)
        try:
            return Cholesky(matrix)
        except np.linalg.LinAlgError:
            raise ValueError(
                f"C={self.C:g} regularises too little for the equations to be solved in "
                f"{matrix.dtype}. Choose a smaller C."
            ) from None

    def _scores(self, X: FloatArray) -> FloatArray:
        """Return the decision value of each class for checked features."""
        sides = [self._reduce(side) - self._centre for side in self._split(X)]
        scores = np.tile(self.intercept_, (len(X), 1))
        for part in gen_batches(len(X), _CHUNK):
            rows = [side[part] for side in sides]
            scores[part] += gaussian_kernel(rows, self.X_fit_, self.gamma_) @ self.dual_coef_
        return scores


class Cholesky:
    """The factor ``L`` of a symmetric positive definite matrix ``L @ L.T``.

    Computed in place and block by block: SciPy's routine (1.17, with OpenBLAS) crashed on the
    28,709 × 28,709 float32 matrix of FER2013, for reasons that were not found. Here LAPACK gets
    nothing larger than a block, and products of blocks do nearly all the work.

    Parameters
    ----------
    matrix : ndarray of shape (n, n), float32 or float64
        Only the diagonal and what is below it is read; it is overwritten.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the matrix is not positive definite.
    """

    def __init__(self, matrix: FloatArray) -> None:
        self._lower = matrix
        self._blocks = list(gen_batches(len(matrix), _BLOCK))
        self._inverses = [self._factorise(block) for block in self._blocks]

    def _factorise(self, block: slice) -> FloatArray:
        """Replace one block of columns with the factor's; return its inverse diagonal block."""
        lower, before = self._lower, slice(block.start)
        columns = lower[block.start :, block]
        columns -= lower[block.start :, before] @ lower[block, before].T
        size = block.stop - block.start
        inverse = np.linalg.inv(np.linalg.cholesky(columns[:size]))
        columns[size:] = columns[size:] @ inverse.T
        return inverse

    def solve(self, right: FloatArray) -> FloatArray:
        """Return the solution ``x`` of ``L @ L.T @ x = right``.

        Parameters
        ----------
        right : ndarray of shape (n, k)
            Right-hand sides.

        Returns
        -------
        ndarray of shape (n, k)
        """
        lower, x = self._lower, right.copy()
        for block, inverse in zip(self._blocks, self._inverses, strict=True):
            x[block] = inverse @ (x[block] - lower[block, : block.start] @ x[: block.start])
        for block, inverse in zip(self._blocks[::-1], self._inverses[::-1], strict=True):
            rest = lower[block.stop :, block].T @ x[block.stop :]
            x[block] = inverse.T @ (x[block] - rest)
        return x

    def inverse_diagonal(self) -> FloatArray:
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
