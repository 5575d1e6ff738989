"""Probabilities of each image from a classifier that has seen neither it nor a copy of it."""

from numbers import Integral

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.model_selection import StratifiedGroupKFold

from .._utils._probabilities import predicted_probabilities
from .._utils.compat import safe_indexing
from ..pipelines import make_hog_svm_pipeline
from ..svm import LSSVMClassifier

__all__ = ["out_of_sample_probabilities"]

# Of the HOG features, before the kernel.
_COMPONENTS = 250


def out_of_sample_probabilities(X, codes, labels, groups, *, estimator, cv, random_state, n_jobs):
    """Cross-validate a classifier's probabilities, with all copies of an image in one fold.

    A copy in another fold would vouch for its own wrong label.

    Parameters
    ----------
    X : batch of n images
    codes : ndarray of shape (n,), int
        The label of each image, as a position in `labels`.
    labels : ndarray of shape (n_labels,)
    groups : ndarray of shape (n,), int
        Copies have the same number.
    estimator : classifier or None
        Cloned for each fold. None is the classifier of :func:`audit_dataset`.
    cv : int or splitter
    random_state : int, RandomState instance or None
    n_jobs : int or None

    Returns
    -------
    ndarray of shape (n, n_labels), float64

    Raises
    ------
    ValueError
        If a label has too few images for it to occur in each training part.
    TypeError
        If the classifier has no ``predict_proba``.
    """
    folds = _folds(X, codes, labels, groups, cv, random_state)
    if estimator is None:
        estimator = _default_estimator()
    elif not hasattr(estimator, "predict_proba"):
        # Before the folds, not after the first.
        predicted_probabilities(estimator, X)
    answers = Parallel(n_jobs=n_jobs)(
        delayed(_fit_and_answer)(clone(estimator), X, labels, codes, train, test)
        for train, test in folds
    )
    proba = np.empty((len(codes), len(labels)))
    for (_, test), answer in zip(folds, answers, strict=True):
        proba[test] = answer
    return proba


def _default_estimator():
    return make_hog_svm_pipeline(
        LSSVMClassifier(n_components=_COMPONENTS, probability=True, random_state=0)
    )


def _folds(X, codes, labels, groups, cv, random_state):
    """Return (train, test) of all folds; each image is in one test part."""
    if isinstance(cv, Integral):
        _check_enough(codes, labels, groups, cv)
        splitter = StratifiedGroupKFold(cv, shuffle=True, random_state=random_state)
    else:
        splitter = cv
    folds = list(splitter.split(np.zeros(len(codes)), codes, groups))
    tested = np.bincount(np.concatenate([test for _, test in folds]), minlength=len(codes))
    if (tested != 1).any():
        raise ValueError(
            f"cv={cv!r} tests {(tested != 1).sum()} image(s) never or several times; expected "
            f"folds that test each image once, such as StratifiedGroupKFold makes."
        )
    for number, (train, test) in enumerate(folds):
        _check_fold(number, codes[train], labels)
        shared = np.isin(groups[test], groups[train]).sum()
        if shared:
            raise ValueError(
                f"cv={cv!r} trains fold {number} on copies of {shared} image(s) that it is to "
                f"judge. Pass a splitter that keeps groups together, or an integer."
            )
    return folds


def _check_enough(codes, labels, groups, cv):
    different = np.unique(np.stack([codes, groups]), axis=1)[0]
    counts = np.bincount(different, minlength=len(labels))
    rare = counts < cv
    if rare.any():
        few = ", ".join(
            f"{label!r} {count}"
            for label, count in zip(labels[rare].tolist(), counts[rare], strict=True)
        )
        raise ValueError(
            f"cv={cv} needs at least {cv} different images of each label; there are of {few}. "
            f"Lower cv, leave those labels out, pass pred_probs, or set label_errors=False."
        )


def _check_fold(number, codes, labels):
    missing = np.setdiff1d(np.arange(len(labels)), codes)
    if len(missing):
        raise ValueError(
            f"The training part of fold {number} has no image of "
            f"{', '.join(map(repr, labels[missing].tolist()))}, so that nothing could be learnt "
            f"of it. Use another cv or random_state, or add images of that label."
        )


def _fit_and_answer(estimator, X, labels, codes, train, test):
    estimator.fit(safe_indexing(X, train), labels[codes[train]])
    proba, classes = predicted_probabilities(estimator, safe_indexing(X, test))
    if sorted(classes.tolist()) != sorted(labels.tolist()):
        raise ValueError(
            f"estimator answers for {classes.tolist()}; expected the labels of y, "
            f"{labels.tolist()}."
        )
    order = np.argsort(classes)[np.argsort(np.argsort(labels))]
    return proba[:, order]
