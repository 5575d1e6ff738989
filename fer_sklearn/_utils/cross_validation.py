"""Predictions for images that a classifier was not fitted on.

Out-of-fold probabilities, the temperature that calibrates such predictions, and digests with which
training rows can be recognised later.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.model_selection import BaseCrossValidator, StratifiedGroupKFold
from sklearn.pipeline import Pipeline
from sklearn.utils.parallel import Parallel, delayed

from .compat import check_method_params, safe_indexing
from .estimators import predicted_probabilities, unwrap
from .typing import BoolArray, Estimator, FloatArray, IntArray, LabelArray, NDArray, RandomState

__all__ = [
    "Fold",
    "best_temperature",
    "check_training_parts",
    "count_training_rows",
    "digest_rows",
    "fold_probabilities",
    "grouped_folds",
]

#: The rows that a clone is fitted on, and those that it scores.
Fold = tuple[IntArray, IntArray]


def grouped_folds(n_folds: int, random_state: RandomState = None) -> BaseCrossValidator:
    """Return shuffled, stratified folds that keep groups, such as copies of an image, together.

    Parameters
    ----------
    n_folds : int
        At least 2.
    random_state : int, RandomState instance or None, default=None
        Shuffles the folds.

    Returns
    -------
    StratifiedGroupKFold
        Pass the numbers of :func:`~fer_sklearn.duplicate_groups` as ``groups`` to its `split`,
        or to the `fit` of a search.
    """
    return StratifiedGroupKFold(n_folds, shuffle=True, random_state=random_state)


def check_training_parts(
    folds: Sequence[Fold], y: LabelArray, classes: LabelArray, *, cv: Any, remedy: str
) -> None:
    """Check that every class occurs in the training part of every fold.

    Parameters
    ----------
    folds : sequence of (train, test)
    y : ndarray of shape (n_samples,)
    classes : ndarray of shape (n_classes,)
    cv : int, cross-validation generator, iterable or None
        What the folds came from, for the error message.
    remedy : str
        The last sentence of the error message.

    Raises
    ------
    ValueError
        If a class is missing from a training part.
    """
    for number, (train, _) in enumerate(folds):
        missing = np.setdiff1d(classes, y[train])
        if len(missing):
            raise ValueError(
                f"Fold {number} of cv={cv!r} trains without the class(es) "
                f"{', '.join(map(repr, missing.tolist()))}; expected all of "
                f"{classes.tolist()}. {remedy}"
            )


def fold_probabilities(
    estimator: Estimator,
    X: Any,
    y: Any,
    folds: Sequence[Fold],
    *,
    n_jobs: int | None = None,
    fit_params: dict[str, Any] | None = None,
) -> list[tuple[FloatArray, LabelArray]]:
    """Fit a clone on each fold and predict the probabilities of its test part.

    Unlike scikit-learn's ``cross_val_predict``, `fit` receives the labels themselves, not their
    codes, which would match neither a ``class_weight`` by name nor the labels of a pretrained
    model.

    Parameters
    ----------
    estimator : classifier with `predict_proba`
        Cloned for each fold.
    X : array-like or list of n_samples images
    y : ndarray of shape (n_samples,)
    folds : sequence of (train, test)
    n_jobs : int or None, default=None
        Number of folds to fit in parallel, as in scikit-learn.
    fit_params : dict or None, default=None
        Passed to `fit`. Entries with one value per sample are split with the folds.

    Returns
    -------
    list of (y_proba, classes)
        For each fold an ndarray of shape (n_test, n_classes), float64, and the labels of its
        columns.

    Raises
    ------
    TypeError
        If `estimator` has no `predict_proba`.
    ValueError
        If `predict_proba` does not return probabilities.
    """
    if not hasattr(estimator, "predict_proba"):
        predicted_probabilities(estimator, X)  # raises before the first fit, not after it
    return Parallel(n_jobs=n_jobs)(
        delayed(_fit_and_predict)(clone(estimator), X, y, train, test, fit_params or {})
        for train, test in folds
    )


def _fit_and_predict(estimator, X, y, train, test, fit_params):
    params = check_method_params(X, params=fit_params, indices=train)
    estimator.fit(safe_indexing(X, train), safe_indexing(y, train), **params)
    return predicted_probabilities(estimator, safe_indexing(X, test))


# A digest has six bytes per row, and no more rows than fit into 200 kB.
_BYTES = 6
_MAX_ROWS = 200_000 // _BYTES
# A row is reduced to its length and this many random projections of its direction.
_N_PROJECTIONS = 4
# They are rounded to twelve binary digits, coarse enough for features that were computed in another
# batch, whose last digits may differ. Rows of only a few numbers would then be too similar.
_DIGITS, _DIGITS_OF_SHORT_ROWS, _SHORT = 12, 24, 16
_ROWS_AT_A_TIME = 1024


def best_temperature(
    logits: FloatArray,
    targets: FloatArray,
    weight: FloatArray | None = None,
    *,
    log_bounds: tuple[float, float],
) -> float:
    """Return the divisor of the logits that maximises the likelihood of the targets.

    Parameters
    ----------
    logits : ndarray of shape (n_samples, n_classes)
        Of images that the classifier was not fitted on.
    targets : ndarray of shape (n_samples, n_classes)
        Probabilities.
    weight : ndarray of shape (n_samples,) or None, default=None
    log_bounds : tuple of two float
        Between which the logarithm of the divisor lies.
    """

    def loss(log_temperature: float) -> float:
        likelihood = log_softmax(logits / math.exp(log_temperature), axis=1)
        return -np.average((targets * likelihood).sum(axis=1), weights=weight)

    return math.exp(minimize_scalar(loss, bounds=log_bounds, method="bounded").x)


def digest_rows(X: NDArray[Any], earlier: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Return a digest of rows, with which :func:`count_training_rows` recognises them.

    Parameters
    ----------
    X : ndarray of shape (n_samples, ...)
        What a classifier is fitted on.
    earlier : ndarray of shape (n_rows, 6), default=None
        A digest that the rows are added to.

    Returns
    -------
    ndarray of shape (n_rows, 6), uint8
        A hash of each row, sorted, without duplicates. For more than 33,333 rows, only the
        smallest hashes are kept, which amounts to a random sample of the rows.
    """
    hashes = _mixed(np.rint(_signatures(X)).astype(np.int64))
    if earlier is not None:
        hashes = np.concatenate([hashes, _unpacked(earlier)])
    kept = np.unique(hashes)[:_MAX_ROWS]
    return kept.astype(">u8").view(np.uint8).reshape(-1, 8)[:, -_BYTES:].copy()


def _unpacked(digest: NDArray[np.uint8]) -> NDArray[np.uint64]:
    hashes = np.zeros((len(digest), 8), np.uint8)
    hashes[:, -_BYTES:] = digest
    return hashes.view(">u8").astype(np.uint64).ravel()


def _signatures(X: NDArray[Any]) -> FloatArray:
    """Return a few numbers for each row; rows that differ by rounding differ by less than 0.5."""
    rows = np.asarray(X).reshape(len(X), -1)
    # A generator whose numbers are the same in every version of NumPy.
    projections = np.random.RandomState(0).standard_normal((rows.shape[1], _N_PROJECTIONS))
    digits = _DIGITS if rows.shape[1] >= _SHORT else _DIGITS_OF_SHORT_ROWS
    signatures = np.zeros((len(rows), 1 + _N_PROJECTIONS))
    for start in range(0, len(rows), _ROWS_AT_A_TIME):
        chunk = rows[start : start + _ROWS_AT_A_TIME].astype(float)
        length = np.sqrt(np.einsum("ij,ij->i", chunk, chunk))
        part = signatures[start : start + _ROWS_AT_A_TIME]
        np.log2(length, out=part[:, 0], where=length > 0)
        length = length[:, np.newaxis]
        np.divide(chunk @ projections, length, out=part[:, 1:], where=length > 0)
    return np.ldexp(signatures, digits)


def _mixed(numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Hash each row of integers to 48 bits."""
    hashes = np.zeros(len(numbers), np.uint64)
    for column in numbers.T.astype(np.uint64):
        # The steps of SplitMix64 (Steele, Lea & Flood 2014).
        hashes = (hashes ^ column) * np.uint64(0x9E3779B97F4A7C15)
        hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        hashes ^= hashes >> np.uint64(27)
    return hashes & np.uint64(2 ** (8 * _BYTES) - 1)


def _found(digest: NDArray[np.uint8], X: NDArray[Any]) -> BoolArray:
    """Return which rows of `X` have a hash in the digest."""
    known = _unpacked(digest)
    below = np.floor(_signatures(X)).astype(np.int64)
    found = np.zeros(len(below), bool)
    # In fit, each number may have been rounded down or up.
    for steps in product((0, 1), repeat=below.shape[1]):
        found |= np.isin(_mixed(below + np.array(steps)), known)
    return found


def count_training_rows(estimator: Any, X: Any) -> int:
    """Return how many rows of `X` a fitted classifier was fitted on.

    Parameters
    ----------
    estimator : fitted classifier or pipeline
        Classifiers of this package keep the digest ``training_rows_``, which is looked up in steps
        of pipelines, in wrappers and in the members of ensembles.
    X : array-like of n_samples
        Rows as passed to `predict` of `estimator`.

    Returns
    -------
    int
        An estimate, if the digest is that of a sample. 0 if there is no digest.
    """
    masks = list(_training_masks(estimator, X))
    if not masks:
        return 0
    found = np.any([mask for mask, _ in masks], axis=0)
    return min(len(found), round(int(found.sum()) / min(fraction for _, fraction in masks)))


def _training_masks(estimator, X):
    """Yield, for each digest, which rows are in it, and what fraction of rows it covers."""
    if (digest := getattr(estimator, "training_rows_", None)) is not None:
        fraction = 1.0
        if len(digest) == _MAX_ROWS:
            fraction = float(_unpacked(digest[-1:])[0] / 2 ** (8 * _BYTES))
        yield _found(digest, X), fraction
    elif _keeps_rows(estimator):
        if isinstance(estimator, Pipeline):
            for _, step in estimator.steps[:-1]:
                if step not in (None, "passthrough"):
                    X = step.transform(X)
        for member in _members(estimator):
            yield from _training_masks(member, X)


def _keeps_rows(estimator):
    return hasattr(estimator, "training_rows_") or any(map(_keeps_rows, _members(estimator)))


def _members(estimator):
    """Return the classifiers inside a pipeline, a wrapper or an ensemble."""
    if isinstance(estimator, Pipeline):
        return [estimator.steps[-1][1]]
    if (inner := unwrap(estimator)) is not None:
        return [inner]
    if hasattr(estimator, "calibrated_classifiers_"):
        return [fitted.estimator for fitted in estimator.calibrated_classifiers_]
    members = getattr(estimator, "estimators_", [])
    # NumPy would take a list of pipelines for a table of their steps.
    members = members.ravel() if isinstance(members, np.ndarray) else members
    return [member for member in members if hasattr(member, "predict")]
