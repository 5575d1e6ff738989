"""Check choices, labels and probabilities, without importing scikit-learn."""

import difflib
import warnings
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

__all__ = [
    "check_choice",
    "check_class_totals",
    "check_class_weight",
    "check_column_order",
    "check_complete_labels",
    "check_known_keys",
    "check_labels",
    "check_pair",
    "check_probabilities",
    "check_soft_targets",
    "check_unit_fraction",
    "columns_by_class",
    "count_samples",
    "encode_label_pair",
    "encode_labels",
    "is_missing",
    "suggestion",
]

# Probabilities that were rounded, or summed in half precision, still sum to about 1.
_SUM_TOLERANCE = 1e-3


def suggestion(name: object, choices: Iterable) -> str:
    """Return ``" Did you mean 'x'?"`` if `name` resembles one of `choices`, else ``""``."""
    close = difflib.get_close_matches(str(name), [str(choice) for choice in choices], n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def check_choice(parameter: str, value: Any, choices: Iterable[str]) -> str:
    """Return `value` if it is one of `choices`; raise a ValueError that lists them otherwise."""
    choices = tuple(choices)
    if isinstance(value, str) and value in choices:
        return value
    raise ValueError(
        f"{parameter}={value!r} is unknown; expected one of "
        f"{', '.join(map(repr, choices))}.{suggestion(value, choices)}"
    )


def check_known_keys(parameter: str, mapping: Mapping, choices: Iterable) -> None:
    """Raise a ValueError that names all keys of `mapping` that are not in `choices`."""
    choices = tuple(choices)
    unknown = [key for key in mapping if key not in choices]
    if unknown:
        hints = "".join(suggestion(key, choices) for key in unknown)
        raise ValueError(
            f"{parameter} has the unknown key(s) {', '.join(map(repr, unknown))}; "
            f"expected some of {', '.join(map(repr, choices))}.{hints}"
        )


def check_pair(parameter: str, value: Any, meaning: str) -> tuple[int, int]:
    """Return a size, given as a positive int or a pair of them, as a pair."""
    pair = (value, value) if isinstance(value, Integral) else value
    if (
        isinstance(pair, (tuple, list))
        and len(pair) == 2
        and all(isinstance(side, Integral) and int(side) >= 1 for side in pair)
    ):
        return int(pair[0]), int(pair[1])
    raise ValueError(f"{parameter}={value!r} must be a positive int, or a pair of them, {meaning}.")


def check_unit_fraction(
    parameter: str, value: Any, *, low: float = 0.0, high: float = 1.0, closed: bool = False
) -> float:
    """Return `value` if it is a real number in ``[low, high)`` or, if `closed`, ``[low, high]``."""
    if isinstance(value, Real) and not isinstance(value, bool):
        number = float(value)
        if low <= number < high or (closed and number == high):
            return number
    end = "]" if closed else ")"
    raise ValueError(f"{parameter}={value!r} must be a number in [{low}, {high}{end}.")


_UNLISTED = "Drop those images, or list every label in labels=."


def encode_labels(
    y: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    name: str = "y",
    labels_name: str = "labels",
    remedy: str = _UNLISTED,
) -> tuple[np.ndarray, np.ndarray]:
    """Check labels, and encode them as positions in a list of labels.

    Parameters
    ----------
    y : array-like of shape (n,)
        Text or numbers, not both, without missing values.
    labels : array-like of shape (k,), default=None
        The list, in which all labels must occur. If None, the sorted labels of `y`.
    name, labels_name : str
        The names of `y` and `labels` in error messages.
    remedy : str
        Advice at the end of the error message for labels that are not in the list.

    Returns
    -------
    labels : ndarray of shape (k,)
    positions : ndarray of shape (n,), int

    Raises
    ------
    ValueError
        If labels are empty, missing, mixed, or not in the list.
    """
    found, positions = _encode({name: y}, labels, labels_name, remedy)
    return found, positions


def encode_label_pair(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    input_names: tuple[str, str] = ("y_true", "y_pred"),
    labels_name: str = "labels",
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Check true and predicted labels, and encode both as positions in one list of labels.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,)
        Text or numbers, the same kind in both, without missing values.
    labels : array-like of shape (k,), default=None
        The list, in which all labels must occur. If None, the sorted labels of both.
    input_names : tuple of two str
        The names of `y_true` and `y_pred` in error messages.
    labels_name : str
        The name of `labels` in error messages.

    Returns
    -------
    labels : ndarray of shape (k,)
    true_positions, predicted_positions : ndarray of shape (n,), int

    Raises
    ------
    ValueError
        If labels are empty, missing, mixed or not in the list, or the lengths differ.
    """
    named = dict(zip(input_names, (y_true, y_pred), strict=True))
    found, true, predicted = _encode(named, labels, labels_name)
    return found, true, predicted


def _encode(named, labels, labels_name, remedy=_UNLISTED):
    """Encode several lists of labels, by name, as positions in one."""
    names = list(named)
    arrays = {name: _label_array(y, name) for name, y in named.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        first, second = names
        raise ValueError(
            f"{first} has {lengths[first]} label(s) and {second} {lengths[second]}; expected one "
            f"of each for every image."
        )
    if labels is not None:
        arrays[labels_name] = labels = _label_array(labels, labels_name)
    if len({array.dtype.kind == "U" for array in arrays.values()}) > 1:
        examples = ", ".join(f"{name} {array[0].item()!r}" for name, array in arrays.items())
        raise ValueError(
            f"Text and numbers cannot be compared as labels: {examples}, for example. Use "
            f"one kind; fer_sklearn.emotions.FER2013_CODES[code] is the name of a code."
        )
    if labels is None:
        labels = np.unique(np.concatenate(list(arrays.values())))
    if len(np.unique(labels)) < len(labels):
        raise ValueError(f"{labels_name} has a label twice: {labels.tolist()}.")
    return labels, *(_positions(arrays[name], labels, name, labels_name, remedy) for name in names)


def _label_array(y, name):
    """Return labels as a 1-D array of text or numbers; errors name the row."""
    # Lists go through dtype object, because NumPy would turn NaN among text into "nan".
    y = np.asarray(y, dtype=object) if isinstance(y, (list, tuple)) else np.asarray(y)
    if y.ndim != 1:
        raise ValueError(f"{name} has shape {y.shape}; expected one label per image, (n_samples,).")
    if len(y) == 0:
        raise ValueError(f"{name} is empty: found 0 label(s), expected at least one.")
    values = y.tolist()
    if all(isinstance(value, str) for value in values):
        return np.asarray(values, dtype=str)
    for row, value in enumerate(values):
        if not isinstance(value, (str, Real)) or value != value:
            raise ValueError(
                f"{name}[{row}] is {value!r}, which is not a label; expected text or a number. "
                f"Correct the label or drop the image."
            )
        if isinstance(value, str) != isinstance(values[0], str):
            raise ValueError(
                f"{name} mixes text and numbers: {name}[0] is {values[0]!r} and {name}[{row}] "
                f"is {value!r}; expected one kind."
            )
    return np.asarray(values)


def _positions(y, labels, name, labels_name, remedy):
    order = np.argsort(labels)
    positions = order[np.searchsorted(labels, y, sorter=order).clip(max=len(labels) - 1)]
    unlisted = labels[positions] != y
    if unlisted.any():
        unknown = np.unique(y[unlisted]).tolist()
        hints = "".join(suggestion(value, labels.tolist()) for value in unknown)
        raise ValueError(
            f"{name} has {unlisted.sum()} label(s) that are not among {labels_name}: "
            f"{', '.join(map(repr, unknown))}; expected some of "
            f"{', '.join(map(repr, labels.tolist()))}.{hints} {remedy}".rstrip()
        )
    return positions


def check_complete_labels(y: ArrayLike) -> None:
    """Reject training labels if some are missing, or if they mix text and numbers.

    NumPy cannot sort such labels, or turns them into text: NaN in a list would be the class "nan".

    Parameters
    ----------
    y : array-like of shape (n,) or (n, 1)
        Other shapes are left to scikit-learn's checks.

    Raises
    ------
    ValueError
        Names the first row.
    """
    y = np.asarray(y, dtype=object) if isinstance(y, (list, tuple)) else np.asarray(y)
    if y.dtype.kind == "T":
        raise ValueError(
            f"y has dtype {y.dtype}, which scikit-learn does not accept as labels; expected text "
            f"of fixed width, objects or numbers. Pass y.astype(str)."
        )
    if y.dtype.kind not in ("f", "O") or y.ndim not in (1, 2) or y.shape[1:] not in ((), (1,)):
        return
    values = y.ravel().tolist()
    missing = [row for row, value in enumerate(values) if is_missing(value)]
    if missing:
        raise ValueError(
            f"y[{missing[0]}] is {values[missing[0]]!r}; {len(missing)} of {len(values)} labels "
            f"are missing. Expected a label for each image. Leave those images out, or correct y."
        )
    is_text = [isinstance(value, str) for value in values]
    if len(set(is_text)) > 1:
        row = is_text.index(not is_text[0])
        raise ValueError(
            f"y mixes text and other labels: y[0] is {_plain(values[0])!r} and y[{row}] is "
            f"{_plain(values[row])!r}; expected one kind. Convert all of them to text, for example."
        )


def _plain(label):
    return label.item() if isinstance(label, np.generic) else label


def is_missing(label: Any) -> bool:
    """Return whether a label is None, NaN or the missing value of pandas."""
    if label is None:
        return True
    try:
        return bool(label != label)
    except (TypeError, ValueError):
        return type(label).__name__ == "NAType"


def check_column_order(estimator: Any, X: Any, *, reset: bool) -> None:
    """Compare the columns of a table of pixels with those seen in the `fit` of a transformer.

    Parameters
    ----------
    estimator : transformer
        With `reset`, gets ``feature_names_in_`` if `X` has such names, and loses it otherwise.
    X : batch of photos
        Only tables with several columns, all named by text, are pixels in columns.
    reset : bool
        True in `fit`.

    Raises
    ------
    ValueError
        If there are other columns than in `fit`, or the same ones in another order.
    """
    columns = list(X.columns) if hasattr(X, "columns") else []
    names = columns if len(columns) > 1 and all(isinstance(name, str) for name in columns) else None
    if reset:
        vars(estimator).pop("feature_names_in_", None)
        if names is not None:
            estimator.feature_names_in_ = np.array(names, dtype=object)
        return
    fitted = getattr(estimator, "feature_names_in_", None)
    if fitted is None or names is None or names == fitted.tolist() or len(names) != len(fitted):
        return
    place = next(i for i, name in enumerate(names) if name != fitted[i])
    raise ValueError(
        f"X has the column {names[place]!r} where {type(estimator).__name__} was fitted with "
        f"{fitted[place]!r}; expected the columns of fit, in the same order. Pass "
        f"X[list(estimator.feature_names_in_)]."
    )


def check_labels(
    y: np.ndarray, classes: np.ndarray, *, origin: str = "the first fit"
) -> np.ndarray:
    """Return the positions of training labels in the sorted array `classes`.

    Parameters
    ----------
    y : ndarray of shape (n,)
    classes : ndarray of shape (k,)
    origin : str
        Where `classes` come from, for error messages.

    Returns
    -------
    ndarray of shape (n,), int

    Raises
    ------
    ValueError
        If there is only one class, or a label is not one of `classes`.
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
            f"the classes of {origin}, {classes.tolist()}. Rename or drop them, fit a new "
            f"estimator, or name all classes in the first partial_fit."
        )
    return codes


def check_class_weight(class_weight: Mapping, classes: np.ndarray) -> np.ndarray:
    """Return the weight of each class.

    Parameters
    ----------
    class_weight : mapping of label to float
        Labels that it does not contain have the weight 1.
    classes : ndarray of shape (n_classes,)

    Returns
    -------
    ndarray of shape (n_classes,), float64

    Raises
    ------
    ValueError
        If it has a label that is not one of `classes`, or a weight that is negative or not finite.
    """
    labels = classes.tolist()
    check_known_keys("class_weight", class_weight, labels)
    for label, weight in class_weight.items():
        if not (isinstance(weight, Real) and 0 <= float(weight) < np.inf):
            raise ValueError(f"class_weight[{label!r}]={weight!r} must be a non-negative number.")
    return np.array([float(class_weight.get(label, 1.0)) for label in labels])


def check_class_totals(codes: np.ndarray, classes: np.ndarray, weights: np.ndarray) -> None:
    """Check that not all weights are zero, and warn about a class without any weight.

    Parameters
    ----------
    codes : ndarray of shape (n,), int
        The label of each image, as a position in `classes`.
    classes : ndarray of shape (n_classes,)
    weights : ndarray of shape (n,)
        At least 0.

    Raises
    ------
    ValueError
        If all weights are 0.

    Warns
    -----
    UserWarning
        If all images of a class have the weight 0. It is named.
    """
    if not weights.any():
        raise ValueError(
            "All images have the weight 0, so there is nothing to learn. Check sample_weight "
            "and class_weight."
        )
    totals = np.bincount(codes, weights, minlength=len(classes))
    ignored = np.flatnonzero((totals == 0) & (np.bincount(codes, minlength=len(classes)) > 0))
    if len(ignored):
        names = ", ".join(map(repr, classes[ignored].tolist()))
        warnings.warn(
            f"All images of {names} have the weight 0, so the model will not learn them. Drop "
            f"them, or check sample_weight and class_weight.",
            stacklevel=3,
        )


def check_soft_targets(
    soft_targets: ArrayLike,
    n_samples: int,
    classes: np.ndarray,
    *,
    name: str = "soft_targets",
    allow_unknown: bool = False,
) -> np.ndarray:
    """Return soft targets, the probabilities to be learned, as float32.

    Parameters
    ----------
    soft_targets : array-like of shape (n_samples, n_classes)
        Columns of a DataFrame that are named after the classes may be in any order.
    n_samples : int
    classes : ndarray of shape (n_classes,)
    name : str, default="soft_targets"
        Its name in error messages.
    allow_unknown : bool, default=False
        Whether some rows, but not all, may be zeros: nothing is known about these images.

    Returns
    -------
    ndarray of shape (n_samples, n_classes), float32

    Raises
    ------
    ValueError
        If the shape differs, columns are named after some of the classes only, or rows are not
        probabilities.
    """
    soft_targets = columns_by_class(soft_targets, classes, name)
    targets = np.asarray(soft_targets, dtype=np.float32)
    expected = (n_samples, len(classes))
    if targets.shape != expected:
        raise ValueError(
            f"{name} has shape {targets.shape}; expected {expected}, one row per image and "
            f"one column for each of {classes.tolist()}."
        )
    wrong = ~((targets >= 0).all(axis=1) & (np.abs(targets.sum(axis=1) - 1) < _SUM_TOLERANCE))
    unknown = (targets == 0).all(axis=1) if allow_unknown else np.zeros(len(targets), bool)
    wrong &= ~unknown
    if wrong.any():
        zeros = ", or are all 0" if allow_unknown else ""
        raise ValueError(
            f"{name} has {wrong.sum()} row(s), the first {np.flatnonzero(wrong)[0]}, that "
            f"are not probabilities; expected numbers from 0 to 1 that sum to 1{zeros}."
        )
    if unknown.all() and len(targets):
        raise ValueError(f"{name} has zeros in all rows; expected probabilities in some.")
    return targets


def columns_by_class(targets: Any, classes: np.ndarray, name: str) -> Any:
    """Return the columns of a table in the order of the classes, if they are named after them.

    Parameters
    ----------
    targets : array-like of shape (n_samples, n_classes)
    classes : ndarray of shape (n_classes,)
    name : str
        Name of `targets` in error messages.

    Raises
    ------
    ValueError
        If the columns are named after some of the classes only.
    """
    columns = list(getattr(targets, "columns", ()))
    labels = classes.tolist()
    if not all(isinstance(label, str) for label in labels):
        # Columns without names are numbered 0, 1, …; those numbers are not labels.
        is_named = list(map(str, columns)) != [str(i) for i in range(len(columns))]
        texts = list(map(str, labels))  # polars' and CSV files' names of columns are text
        for names, wanted in ((columns, labels), (list(map(str, columns)), texts)):
            if is_named and len(names) == len(wanted) and set(names) == set(wanted):
                return np.asarray(targets)[:, [names.index(label) for label in wanted]]
        return targets
    named = set(columns) & set(labels)
    if not named or columns == labels:
        return targets
    if len(columns) != len(labels) or named != set(labels):
        raise ValueError(
            f"{name} has the columns {columns}; expected one for each of {labels}. Rename, add or "
            f"drop columns."
        )
    return targets[labels]


def count_samples(X: Any) -> int:
    """Return the number of samples in a list, an array, a sparse matrix or a table.

    Parameters
    ----------
    X : list, ndarray, sparse matrix or DataFrame

    Raises
    ------
    TypeError
        If `X` does not contain samples, for example a number or an estimator.
    """
    if not hasattr(X, "fit"):
        if getattr(X, "shape", ()):
            return int(X.shape[0])
        if hasattr(X, "__len__") and not hasattr(X, "shape"):
            return len(X)
    raise TypeError(f"Expected sequence or array-like, got {type(X)}.")


def check_probabilities(
    proba: ArrayLike,
    n_samples: int | None = None,
    n_classes: int | None = None,
    *,
    classes: np.ndarray | None = None,
    name: str = "y_proba",
) -> np.ndarray:
    """Check class probabilities, and return them as float64.

    Parameters
    ----------
    proba : array-like of shape (n_samples, n_classes)
        Numbers in [0, 1]; each row sums to 1, within 0.001.
    n_samples, n_classes : int or None, default=None
        The expected shape. If None, any.
    classes : ndarray of shape (n_classes,) or None, default=None
        The label of each column, in place of `n_classes`. Columns of a DataFrame that are named
        after them may be in any order.
    name : str, default="y_proba"
        Its name in error messages.

    Returns
    -------
    ndarray of shape (n_samples, n_classes), float64

    Raises
    ------
    ValueError
        If the shape differs, columns are named after some of the classes only, or a row contains
        NaN or a number outside [0, 1], or does not sum to 1.
    """
    if classes is not None:
        proba, n_classes = columns_by_class(proba, classes, name), len(classes)
    proba = np.asarray(proba, dtype=np.float64)
    expected = tuple("n" if n is None else n for n in (n_samples, n_classes))
    if proba.ndim != 2 or any(
        wanted not in ("n", found) for wanted, found in zip(expected, proba.shape, strict=True)
    ):
        raise ValueError(
            f"{name} has shape {proba.shape}; expected ({expected[0]}, {expected[1]}): one row per "
            f"image and one column per class, as predict_proba returns them."
        )
    outside = ~((proba >= 0) & (proba <= 1 + _SUM_TOLERANCE)).all(axis=1)  # also NaN
    if outside.any():
        raise _wrong_rows(outside, proba, name, "numbers from 0 to 1")
    unequal = np.abs(proba.sum(axis=1) - 1) > _SUM_TOLERANCE
    if unequal.any():
        wanted = "a sum of 1; the scores of a decision_function are not probabilities"
        raise _wrong_rows(unequal, proba, name, wanted)
    return proba


def _wrong_rows(bad, proba, name, expected):
    first = int(bad.argmax())
    return ValueError(
        f"{name}[{first}] is {np.array2string(proba[first], precision=4)}; expected "
        f"{expected}. {bad.sum()} of {len(bad)} row(s) are wrong."
    )
