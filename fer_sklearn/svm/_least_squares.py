"""A least-squares support vector machine that knows faces from their mirror images."""

import math
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import gen_batches
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from .._utils.compat import Interval, StrOptions, check_sample_weight, fit_context
from ..features import make_pca
from ._base import check_several_classes, is_probabilistic, kernel_coefficient

__all__ = ["Cholesky", "LSSVMClassifier"]

# Rows of the kernel matrix worked on at a time, which bounds the memory beside it.
_CHUNK = 1024
# Columns of the matrix that the Cholesky factor works on at a time.
_BLOCK = 1024


class LSSVMClassifier(ClassifierMixin, BaseEstimator):
    """Classify features by a least-squares support vector machine with a Gaussian kernel.

    Squared errors in place of hinges turn training into one system of linear equations
    (Suykens & Vandewalle 1999), one Cholesky factor for all classes. With `flip_invariant`, the
    kernel is averaged over both sides of both faces (Haasdonk & Burkhardt 2007), which
    amounts to training on a mirrored copy of each image and to averaging over both in
    `predict`, where an SVM would have to be trained on twice the images.

    Training takes ``4 * n_samples ** 2`` bytes of memory for float32 features, 3.3 GB for
    FER2013, and time that grows with ``n_samples ** 3``.

    Parameters
    ----------
    C : float, default=10.0
        Inverse strength of regularisation.
    gamma : {"scale", "2*scale"} or float, default="2*scale"
        Coefficient of the Gaussian kernel. ``"scale"`` is one over the total variance of
        the (reduced) features; ``"2*scale"`` is twice that.
    n_components : int or None, default=None
        Principal components kept. None, or as many as there are features or samples,
        keeps the features as they are.
    flip_invariant : bool, default=False
        Whether the second half of the columns describes the mirror images of what the
        first half describes, as :class:`MirroredFeatures` makes them.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes; ``"balanced"`` makes rare ones count as much as others.
    probability : bool, default=False
        Whether to learn `predict_proba`, from what the machine says of each training
        sample when it is left out, for which there is a formula (Cawley & Talbot 2004).
        About doubles the training time; `predict` stays as it is.
    random_state : int, RandomState instance or None, default=None
        Seed of the principal components, where they are approximate.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    pca_ : PCA or None
        None where nothing was to be reduced.
    gamma_ : float
        The coefficient that `gamma` stood for.
    X_fit_ : list of ndarray of shape (n_samples, n_reduced)
        The (reduced) training features; of the mirror images too where `flip_invariant` is set.
    dual_coef_ : ndarray of shape (n_samples, n_classes)
        Weight of each training sample.
    intercept_ : ndarray of shape (n_classes,)
        Share of each class in the training data.
    temperature_ : float or None
        What scores are divided by before the softmax; None without `probability`.
    n_features_in_ : int
        Columns of `X` seen in `fit`.

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

    _parameter_constraints: ClassVar[dict] = {
        "C": [Interval(Real, 0, None, closed="neither")],
        "gamma": [
            StrOptions({"scale", "2*scale"}),
            Interval(Real, 0, None, closed="neither"),
        ],
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "flip_invariant": ["boolean"],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "probability": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        C=10.0,
        gamma="2*scale",
        n_components=None,
        flip_invariant=False,
        class_weight=None,
        probability=False,
        random_state=None,
    ):
        self.C = C
        self.gamma = gamma
        self.n_components = n_components
        self.flip_invariant = flip_invariant
        self.class_weight = class_weight
        self.probability = probability
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fit the machine.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Features, float32 or float64, whichever the equations are to be solved in.
        y : array-like of shape (n,)
            Labels, strings or numbers, of two classes or more.
        sample_weight : array-like of shape (n,), default=None
            How much each sample counts, in all but the principal components.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If `flip_invariant` is set and the columns are odd in number, or if the equations
            cannot be solved at this `C`.
        """
        X, y = validate_data(self, X, y, dtype=[np.float32, np.float64])
        check_classification_targets(y)
        weight = check_sample_weight(sample_weight, X, ensure_non_negative=True)
        counted = weight > 0
        X, y, weight = X[counted], y[counted], weight[counted]
        self.classes_, codes = np.unique(y, return_inverse=True)
        check_several_classes(self.classes_)
        sides = self._fit_sides(X)
        self.gamma_ = kernel_coefficient(self.gamma, np.vstack(sides), np.tile(weight, len(sides)))
        weight = weight * compute_class_weight(
            self.class_weight, classes=self.classes_, y=y, sample_weight=weight
        ).take(codes)
        targets = np.eye(len(self.classes_), dtype=X.dtype)[codes]
        self.intercept_ = np.average(targets, axis=0, weights=weight).astype(X.dtype)
        targets -= self.intercept_
        factor = self._factor(sides, weight)
        self.dual_coef_ = factor.solve(targets)
        self.temperature_ = None
        if self.probability:
            left_out = targets - self.dual_coef_ / factor.inverse_diagonal()[:, np.newaxis]
            self.temperature_ = _temperature(left_out + self.intercept_, codes, weight)
        self.X_fit_ = sides
        return self

    def predict(self, X):
        """Predict labels.

        Parameters
        ----------
        X : array-like of shape (n, n_features)

        Returns
        -------
        ndarray of shape (n,)
        """
        best = self._scores(X).argmax(1)
        return self.classes_[best]

    def decision_function(self, X):
        """Return the score of each class; `predict` takes the largest.

        Parameters
        ----------
        X : array-like of shape (n, n_features)

        Returns
        -------
        ndarray of shape (n, n_classes), or (n,) for two classes
            Near 1 for the class and 0 for others; of two classes, the difference.
        """
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    @available_if(is_probabilistic)
    def predict_proba(self, X):
        """Predict calibrated probabilities; only with ``probability=True``.

        Parameters
        ----------
        X : array-like of shape (n, n_features)

        Returns
        -------
        ndarray of shape (n, n_classes)
            In the order of `classes_`.
        """
        scores = self._scores(X)
        if self.temperature_ is None:
            raise AttributeError(
                "probability was set to True after fit. Call fit again to calibrate."
            )
        return softmax(scores / self.temperature_, axis=1)

    def _fit_sides(self, X):
        """Return the (reduced) features of the images, and those of the mirror images."""
        if self.flip_invariant and X.shape[1] % 2:
            raise ValueError(
                f"X has {X.shape[1]} features, an odd number, but flip_invariant=True expects those "
                f"of the images and as many of their mirror images. Put MirroredFeatures "
                f"before this step, or set flip_invariant=False."
            )
        sides = self._split(X)
        shape = (len(X) * len(sides), sides[0].shape[1])
        self.pca_ = make_pca(shape, self.n_components, self.random_state)
        if self.pca_ is None:
            return sides
        self.pca_.fit(np.vstack(sides))
        return [self.pca_.transform(side) for side in sides]

    def _split(self, X):
        return np.split(X, 2, axis=1) if self.flip_invariant else [X]

    def _factor(self, sides, weight):
        """Return the Cholesky factor of the kernel matrix plus the regularisation."""
        n_samples = len(weight)
        matrix = np.empty((n_samples, n_samples), sides[0].dtype)
        for part in gen_batches(n_samples, _CHUNK):
            # Symmetric, so that what stands right of the diagonal is not needed.
            rows, columns = ([side[s] for side in sides] for s in (part, slice(part.stop)))
            matrix[part, : part.stop] = _gaussian(rows, columns, self.gamma_)
        matrix[np.diag_indices(n_samples)] += 1 / (self.C * weight)
        try:
            return Cholesky(matrix)
        except np.linalg.LinAlgError:
            raise ValueError(
                f"C={self.C:g} regularises too little for the equations to be solved in "
                f"{matrix.dtype}. Choose a smaller C."
            ) from None

    def _scores(self, X):
        check_is_fitted(self, "dual_coef_")
        X = validate_data(self, X, reset=False, dtype=[np.float32, np.float64])
        sides = self._split(X)
        if self.pca_ is not None:
            sides = [self.pca_.transform(side) for side in sides]
        scores = np.tile(self.intercept_, (len(X), 1))
        for part in gen_batches(len(X), _CHUNK):
            rows = [side[part] for side in sides]
            scores[part] += _gaussian(rows, self.X_fit_, self.gamma_) @ self.dual_coef_
        return scores


def _gaussian(rows, columns, gamma):
    """Return the Gaussian kernel of two lists of sides, averaged over all pairs of sides."""
    total = 0
    for row in rows:
        for column in columns:
            values = row @ column.T
            values *= 2 * gamma
            values -= gamma * np.einsum("ij,ij->i", row, row)[:, np.newaxis]
            values -= gamma * np.einsum("ij,ij->i", column, column)
            # Rounding can make the distance to oneself negative.
            np.minimum(values, 0, out=values)
            total = total + np.exp(values, out=values)
    return total / (len(rows) * len(columns))


def _temperature(scores, codes, weight):
    """Return what scores are to be divided by for the most likely labels, in logarithms."""

    def loss(log_temperature):
        likelihood = log_softmax(scores / math.exp(log_temperature), axis=1)
        return -np.average(likelihood[np.arange(len(codes)), codes], weights=weight)

    return math.exp(minimize_scalar(loss, bounds=(-7, 3), method="bounded").x)


class Cholesky:
    """The factor ``L`` of a symmetric positive definite matrix ``L @ L.T``.

    Works in place and block by block: given the 28,709 × 28,709 float32 matrix of FER2013,
    SciPy's routine (1.17, with OpenBLAS) ended the process, for reasons that were not found.
    Here nothing larger than a block goes to LAPACK, and products of blocks do nearly all the
    work.

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
