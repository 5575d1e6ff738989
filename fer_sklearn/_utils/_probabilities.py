"""Probabilities of classes: checked where they come in, and how well they are kept."""

import numpy as np

__all__ = [
    "check_probabilities",
    "predicted_probabilities",
]

# Rows that were rounded, or summed in half precision, are still probabilities.
_SUM_TOLERANCE = 1e-3


def check_probabilities(proba, n_samples=None, n_classes=None, *, name="y_proba"):
    """Return class probabilities as float64, or say what is wrong with them.

    Parameters
    ----------
    proba : array-like of shape (n_samples, n_classes)
        Each row in [0, 1] and, to a thousandth, of the sum 1.
    n_samples, n_classes : int or None, default=None
        What the shape must be; None leaves it open.
    name : str, default="y_proba"
        What errors call it.

    Returns
    -------
    ndarray of shape (n_samples, n_classes), float64

    Raises
    ------
    ValueError
        If the shape is another one, or a row holds NaN, a number outside [0, 1], or does
        not sum to one.
    """
    proba = np.asarray(proba, dtype=np.float64)
    expected = tuple("n" if n is None else n for n in (n_samples, n_classes))
    if proba.ndim != 2 or any(
        wanted not in ("n", found) for wanted, found in zip(expected, proba.shape, strict=True)
    ):
        raise ValueError(
            f"{name} has shape {proba.shape}; expected ({expected[0]}, {expected[1]}): a row an "
            f"image and a column a class, as predict_proba returns them."
        )
    outside = ~((proba >= 0) & (proba <= 1 + _SUM_TOLERANCE)).all(axis=1)  # NaN is outside too
    _refuse_rows(outside, proba, name, "numbers from 0 to 1")
    _refuse_rows(
        np.abs(proba.sum(axis=1) - 1) > _SUM_TOLERANCE,
        proba,
        name,
        "a sum of 1; scores of a decision_function are no probabilities",
    )
    return proba


def _refuse_rows(bad, proba, name, expected):
    if bad.any():
        first = int(bad.argmax())
        raise ValueError(
            f"{name}[{first}] is {np.array2string(proba[first], precision=4)}; expected "
            f"{expected}. {bad.sum()} of {len(bad)} row(s) are wrong."
        )


def predicted_probabilities(estimator, X):
    """Return what a fitted classifier answers, checked, and its classes.

    Returns
    -------
    proba : ndarray of shape (n_samples, n_classes), float64
    classes : ndarray of shape (n_classes,)

    Raises
    ------
    TypeError
        If the classifier has no ``predict_proba``.
    ValueError
        If what it answers are no probabilities.
    """
    if not hasattr(estimator, "predict_proba"):
        raise TypeError(
            f"estimator is {type(estimator).__name__}, which has no predict_proba; expected a "
            f"classifier that gives probabilities. Wrap it in "
            f"sklearn.calibration.CalibratedClassifierCV, or set its probability=True."
        )
    classes = np.asarray(estimator.classes_)
    proba = check_probabilities(
        estimator.predict_proba(X), n_classes=len(classes), name="predict_proba(X)"
    )
    return proba, classes
