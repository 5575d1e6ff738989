"""Out-of-fold probabilities: each image scored by a classifier that was fitted without it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import BaseCrossValidator, StratifiedGroupKFold
from sklearn.utils.parallel import Parallel, delayed

from .compat import check_method_params, safe_indexing
from .prediction import predicted_probabilities
from .typing import Estimator, FloatArray, IntArray, LabelArray, RandomState

__all__ = ["Fold", "check_training_parts", "fold_probabilities", "grouped_folds"]

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
