"""True and predicted labels, checked and numbered before anything counts them."""

from numbers import Real

import numpy as np

from .validation import suggestion

__all__ = ["encode_labels"]


def encode_labels(y_true, y_pred, labels=None, *, names=("y_true", "y_pred"), known_as="labels"):
    """Check true and predicted labels, and number them as positions in one list.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,)
        Text or numbers, both the same, none missing.
    labels : array-like of shape (k,), default=None
        The list; all labels must be in it. None takes the sorted labels that occur.
    names : tuple of two str
        What error messages call `y_true` and `y_pred`.
    known_as : str
        What error messages call `labels`.

    Returns
    -------
    labels : ndarray of shape (k,)
    true_positions, predicted_positions : ndarray of shape (n,), int

    Raises
    ------
    ValueError
        For empty, missing, mixed or unlisted labels, or two lengths.
    """
    arrays = {name: _label_array(y, name) for name, y in zip(names, (y_true, y_pred), strict=True)}
    true, predicted = arrays.values()
    if len(true) != len(predicted):
        raise ValueError(
            f"{names[0]} has {len(true)} label(s) and {names[1]} {len(predicted)}; "
            f"expected one of each for every image."
        )
    if labels is not None:
        arrays[known_as] = labels = _label_array(labels, known_as)
    if len({array.dtype.kind == "U" for array in arrays.values()}) > 1:
        examples = ", ".join(f"{name} {array[0].item()!r}" for name, array in arrays.items())
        raise ValueError(
            f"Text and numbers cannot be compared as labels: {examples}, for example. Use "
            f"one kind; fer_sklearn.emotions.FER2013_CODES[code] is the name of a code."
        )
    if labels is None:
        labels = np.unique(np.concatenate([true, predicted]))
    if len(np.unique(labels)) < len(labels):
        raise ValueError(f"{known_as} names a label twice: {labels.tolist()}.")
    positions = [_positions(arrays[name], labels, name, known_as) for name in names]
    return labels, *positions


def _label_array(y, name):
    """Return labels as a 1-D array of text or numbers; tell the row of a missing one."""
    # A list goes through object, for numpy would turn NaN among text into "nan".
    y = np.asarray(y, dtype=object) if isinstance(y, (list, tuple)) else np.asarray(y)
    if y.ndim != 1:
        raise ValueError(f"{name} has shape {y.shape}; expected one label an image, (n_samples,).")
    if len(y) == 0:
        raise ValueError(f"{name} is empty: found 0 label(s), expected at least one.")
    values = y.tolist()
    if all(isinstance(value, str) for value in values):
        return np.asarray(values, dtype=str)
    for row, value in enumerate(values):
        if not isinstance(value, (str, Real)) or value != value:
            raise ValueError(
                f"{name}[{row}] is {value!r}, which is no label; expected text or a number. "
                f"Mend the label, or leave the image out."
            )
        if isinstance(value, str) != isinstance(values[0], str):
            raise ValueError(
                f"{name} mixes text and numbers: {name}[0] is {values[0]!r} and {name}[{row}] "
                f"is {value!r}; expected one kind."
            )
    return np.asarray(values)


def _positions(y, labels, name, known_as):
    order = np.argsort(labels)
    positions = order[np.searchsorted(labels, y, sorter=order).clip(max=len(labels) - 1)]
    unlisted = labels[positions] != y
    if unlisted.any():
        unknown = np.unique(y[unlisted]).tolist()
        hints = "".join(suggestion(value, labels.tolist()) for value in unknown)
        raise ValueError(
            f"{name} has {unlisted.sum()} label(s) that are not among {known_as}: "
            f"{', '.join(map(repr, unknown))}; expected some of "
            f"{', '.join(map(repr, labels.tolist()))}.{hints} Leave those images out, or "
            f"name every label in labels=."
        )
    return positions
