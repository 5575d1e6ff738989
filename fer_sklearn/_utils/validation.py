"""Choices, labels and probabilities that are to be learnt, checked where they come in."""

import difflib
from numbers import Integral, Real
from typing import Any

import numpy as np

__all__ = [
    "check_choice",
    "check_known_keys",
    "check_labels",
    "check_pair",
    "check_soft_targets",
    "check_unit_fraction",
    "count_samples",
    "suggestion",
]


def suggestion(name, choices):
    """Return ``" Did you mean 'x'?"`` where `name` looks like one of `choices`, else ``""``."""
    close = difflib.get_close_matches(str(name), [str(choice) for choice in choices], n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def check_choice(parameter, value, choices):
    """Return `value` if it is one of `choices`, else say which there are."""
    if isinstance(value, str) and value in choices:
        return value
    raise ValueError(
        f"{parameter}={value!r} is unknown; expected one of "
        f"{', '.join(map(repr, choices))}.{suggestion(value, choices)}"
    )


def check_known_keys(parameter, mapping, choices):
    """Raise if `mapping` has a key that is none of `choices`; name all of them at once."""
    unknown = [key for key in mapping if key not in choices]
    if unknown:
        hints = "".join(suggestion(key, choices) for key in unknown)
        raise ValueError(
            f"{parameter} has the unknown key(s) {', '.join(map(repr, unknown))}; "
            f"expected some of {', '.join(map(repr, choices))}.{hints}"
        )


def check_pair(parameter, value, meaning):
    """Return a size, given as a positive int or a pair of them, as a pair."""
    pair = (value, value) if isinstance(value, Integral) else value
    if (
        isinstance(pair, (tuple, list))
        and len(pair) == 2
        and all(isinstance(side, Integral) and side >= 1 for side in pair)
    ):
        return int(pair[0]), int(pair[1])
    raise ValueError(f"{parameter}={value!r} must be a positive int, or a pair of them, {meaning}.")


def check_unit_fraction(parameter, value, *, low=0.0, high=1.0):
    """Return `value` if it is a real number in ``[low, high)``."""
    if isinstance(value, Real) and not isinstance(value, bool) and low <= value < high:
        return float(value)
    raise ValueError(f"{parameter}={value!r} must be a number in [{low}, {high}).")


def check_labels(y, classes, *, origin="the first fit"):
    """Return the positions of the labels `y` in the sorted array `classes`.

    `origin` says in an error where `classes` come from.

    Raises
    ------
    ValueError
        If there is only one class, or a label that is none of `classes`.
    """
    if len(classes) < 2:
        raise ValueError(
            f"y has only one class, {classes[:1].tolist()[0]!r}; expected at least two classes."
        )
    codes = np.searchsorted(classes, y).clip(max=len(classes) - 1)
    unknown = np.unique(np.asarray(y)[classes[codes] != y])
    if len(unknown):
        raise ValueError(
            f"y has the label(s) {', '.join(map(repr, unknown.tolist()))}, which were not among "
            f"the classes of {origin}, {classes.tolist()}. Rename or leave them out, fit a new "
            f"estimator, or name all classes in the first partial_fit."
        )
    return codes


def check_soft_targets(soft_targets, n_samples, classes):
    """Return the probabilities that are to be learnt as float32, checked.

    Raises
    ------
    ValueError
        For another shape than ``(n_samples, len(classes))``, or rows that are no
        probabilities.
    """
    targets = np.asarray(soft_targets, dtype=np.float32)
    expected = (n_samples, len(classes))
    if targets.shape != expected:
        raise ValueError(
            f"soft_targets has shape {targets.shape}; expected {expected}, a row an image and "
            f"a column for each of {classes.tolist()}."
        )
    wrong = ~((targets >= 0).all(axis=1) & (np.abs(targets.sum(axis=1) - 1) < 1e-3))
    if wrong.any():
        raise ValueError(
            f"soft_targets has {wrong.sum()} row(s), the first {np.flatnonzero(wrong)[0]}, that "
            f"are not probabilities; expected numbers from 0 to 1 that sum to 1."
        )
    return targets


def count_samples(X: Any) -> int:
    """Return the number of samples in a list, an array, a sparse matrix or a table.

    Raises
    ------
    TypeError
        If `X` holds no samples, as a number or an estimator does.
    """
    from sklearn.utils import check_consistent_length

    check_consistent_length(X)
    return int(X.shape[0]) if hasattr(X, "shape") else len(X)
