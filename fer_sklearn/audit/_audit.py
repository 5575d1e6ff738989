"""The audit of a data set, and confident learning."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import BaseCrossValidator

from .._utils.compat import HasMethods, Interval, validate_params
from .._utils.cross_validation import check_training_parts, fold_probabilities, grouped_folds
from .._utils.estimators import split_pipeline
from .._utils.pixels import split_batch
from .._utils.typing import (
    ArrayLike,
    Estimator,
    FloatArray,
    ImagesLike,
    IntArray,
    PixelArray,
    RandomState,
)
from .._utils.validation import check_probabilities, count_samples, encode_labels
from ..datasets import duplicate_groups
from ..datasets._duplicates import number_copies
from ..exceptions import ImageReadError
from ..faces import FaceCropper
from ..images import as_photo, resize, resize_gray, to_gray
from ..pipelines import make_hog_svm_pipeline
from ..preprocessing import GrayscaleResizer
from ..svm import LSSVMClassifier
from ._report import AuditReport

__all__ = ["LabelErrors", "audit_dataset", "likely_label_errors"]

# Side of the images that the contrast is measured on, the default estimator takes and the report
# shows.
_SIDE = 48
# Principal components of the HOG features.
_COMPONENTS = 250
# Probabilities closer than this count as equal, as in cleanlab.
_TOLERANCE = 1e-6


@validate_params(
    {
        "estimator": [None, HasMethods(["fit", "predict"])],
        "cv": [Interval(Integral, 2, None, closed="left"), HasMethods(["split"])],
        "label_errors": ["boolean"],
        "min_contrast": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "n_jobs": [None, Integral],
    },
    prefer_skip_nested_validation=True,
)
def audit_dataset(
    X: ImagesLike,
    y: ArrayLike,
    *,
    estimator: Estimator | None = None,
    y_proba: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    cv: int | BaseCrossValidator = 5,
    label_errors: bool = True,
    min_contrast: float = 4.0,
    random_state: RandomState = 0,
    n_jobs: int | None = None,
) -> AuditReport:
    """Find images that should be fixed or removed before training.

    The audit looks for five problems:

    - files that cannot be read,
    - blank images,
    - copies of other images,
    - copies with conflicting labels,
    - likely label errors: a classifier that was fitted on neither the image nor a copy of it
      contradicts the label with unusual confidence (confident learning).

    Parameters
    ----------
    X : list of photos or array-like of shape (n, h, w), (n, h, w, 1 | 3 | 4) or (n, h * w)
        Paths or pixels: integers in 0..255 or floats in [0, 1] or [0, 255], before any
        normalisation. Each file is read once, unless `estimator` reads files itself.
    y : array-like of shape (n,)
        Labels, text or numbers, of at least two kinds.
    estimator : classifier or None, default=None
        Classifier with `predict_proba` used to score the labels; cloned and refitted on each
        fold, except for a ``FrozenEstimator``. If None, a least-squares SVM on HOG features, which
        takes minutes and two gigabytes of memory for FER2013 on two cores; both grow fast with the
        number of images.
    y_proba : array-like of shape (n, n_labels) or None, default=None
        Probabilities to use instead of `estimator`, from a model that was not fitted on the
        images, as returned by ``cross_val_predict(..., method="predict_proba")`` or, for your
        own photos, by ``load_pretrained().predict_proba(X)``. Columns of a DataFrame that are
        named after the labels may be in any order.
    labels : array-like of shape (n_labels,) or None, default=None
        The label of each column of `y_proba`. If None, the sorted labels of `y`.
    cv : int or splitter, default=5
        Folds. An integer keeps copies together (``StratifiedGroupKFold``); a splitter receives
        the groups of copies and must do the same.
    label_errors : bool, default=True
        If False, labels are not checked for errors, and the audit takes about a second.
    min_contrast : float, default=4.0
        An image is blank if the standard deviation of its grey pixels is at most this, in grey
        levels of 0..255.
    random_state : int, RandomState instance or None, default=0
        Shuffles the folds.
    n_jobs : int or None, default=None
        Number of folds to fit in parallel, as in scikit-learn.

    Returns
    -------
    AuditReport
        Prints as tables; has ``to_frame()``, ``to_markdown()``, ``plot()`` and ``mask()``.

    Raises
    ------
    ValueError
        If `X` and `y` differ in length or are empty, a label is missing or not among `labels`,
        a label has fewer different images than there are folds or is missing from a training
        part, the rows of `y_proba` are not probabilities, or both `y_proba` and `estimator` are
        given.
    TypeError
        If `estimator` has no ``predict_proba``.
    ImageReadError
        If none of the files can be read. Otherwise those that are missing, damaged or not images
        are in the report, and left out of everything else.

    Notes
    -----
    Likely errors are suggestions: a weak classifier contradicts many good labels of unusual
    images. The first ones are the most confident; look at them before you drop any. The method
    finds labels that look like other labels, not images that show nothing or two faces.

    See Also
    --------
    duplicate_report : Also counts copies between the subsets of a data set.
    likely_label_errors : Only the method, for codes and probabilities.

    References
    ----------
    Northcutt, Jiang & Chuang (2021), Confident Learning: Estimating Uncertainty in Dataset
    Labels, Journal of Artificial Intelligence Research 70.

    Examples
    --------
    >>> from fer_sklearn import make_faces
    >>> X, y = make_faces(140, random_state=0, return_X_y=True)
    >>> X[3] = 0
    >>> y[5] = "happy" if y[5] != "happy" else "sad"
    >>> report = audit_dataset(X, y)
    >>> report.blank.tolist(), 5 in report.label_errors
    ([3], True)
    """
    n_images, n_labels = count_samples(X), count_samples(y)
    if n_images != n_labels:
        raise ValueError(
            f"X has {n_images} image(s) and y {n_labels} label(s); expected one label per image."
        )
    if y_proba is not None and estimator is not None:
        raise ValueError(
            "estimator and y_proba are both given; expected one. y_proba is used as it is, "
            "estimator is cross-validated to obtain it."
        )
    known, codes = encode_labels(y, labels)
    data = _read_once(X, estimator)
    read = data.read
    proba, errors = None, LabelErrors(*np.empty((2, 0), dtype=int))
    if label_errors:
        _check_several(known)
        if y_proba is None:
            proba = np.full((n_images, len(known)), np.nan)
            proba[read] = _out_of_fold_proba(data, codes[read], known, cv, random_state, n_jobs)
        else:
            proba = check_probabilities(y_proba, n_images, classes=known)
        errors = likely_label_errors(codes[read], proba[read])
    groups = np.full(n_images, -1)
    groups[read] = data.groups
    return AuditReport(
        labels=known,
        codes=codes,
        images=data.images,
        groups=groups,
        unreadable=np.setdiff1d(np.arange(n_images), read),
        reasons=data.reasons,
        blank=read[_contrast(data.images[read]) <= min_contrast],
        copies=read[_copies(data.groups)],
        label_conflicts=[read[members] for members in _label_conflicts(data.groups, codes[read])],
        label_errors=read[errors.indices],
        suggested_labels=errors.suggested_labels,
        y_proba=proba,
    )


def _check_several(labels):
    if len(labels) < 2:
        raise ValueError(
            f"y has only one label, {labels.tolist()[0]!r}, which cannot be mistaken for another; "
            f"expected at least two. Set label_errors=False to look for the other problems."
        )


# Reading


class _Data(NamedTuple):
    """Data derived from the photos.

    Attributes
    ----------
    images : ndarray of shape (n, 48, 48), uint8
        Small, grey; black where a file could not be read.
    read : ndarray of int
        Positions of the photos that could be read.
    reasons : list of str
        Why the others could not be read.
    groups : ndarray of int
        Groups of copies among those that could be read.
    X : batch of images
        The same as input of `estimator`.
    estimator : classifier
    """

    images: PixelArray
    read: IntArray
    reasons: list[str]
    groups: IntArray
    X: ImagesLike
    estimator: Any


def _read_once(X, estimator):
    """Read each file once, for the images, the copies, and the first steps of the estimator."""
    size = (_SIDE, _SIDE)
    if estimator is None:
        steps: list[Any] = []
        estimator = make_hog_svm_pipeline(
            LSSVMClassifier(probability=True), n_components=_COMPONENTS
        )
        given = None  # this estimator takes the small images
    else:
        steps, estimator = _image_steps(estimator)
        given = X
    if isinstance(X, np.ndarray) and X.dtype.kind in "biufc":
        images, groups = resize_gray(X, size), duplicate_groups(X)
        for step in steps:
            given = clone(step).fit(given).transform(given)
        every = np.arange(len(images))
        return _Data(images, every, [], groups, images if given is None else given, estimator)
    items = split_batch(X)
    images = np.zeros((len(items), *size), np.uint8)
    read: list[int] = []
    reasons: list[str] = []
    prepared: list[Any] = []
    fitted = [clone(step).fit(items) for step in steps]

    def photos() -> Iterator[Any]:
        for i, item in enumerate(items):
            try:
                photo = as_photo(item, name=f"X[{i}]")
            except ImageReadError as error:
                reasons.append(str(error))
                continue
            read.append(i)
            images[i] = resize(to_gray(photo), size)
            if fitted:
                faces: Any = [photo]
                for step in fitted:
                    faces = step.transform(faces)
                prepared.extend(split_batch(faces))  # from an array, or a table of pixels
            # Arrays are compared as they are, files by their pixels.
            yield item if isinstance(item, np.ndarray) else photo

    groups = number_copies(photos())
    if not read:
        raise ImageReadError(f"None of {len(items)} photos can be read; the first: {reasons[0]}")
    rows = np.array(read)
    if given is None:
        taken: Any = images[rows]
    else:
        taken = np.stack(prepared) if prepared else [items[i] for i in read]
    return _Data(images, rows, reasons, groups, taken, estimator)


def _image_steps(estimator):
    """Split off the stateless steps up to a GrayscaleResizer, after which all sizes are equal."""
    if hasattr(estimator, "best_estimator_"):  # a search, which is repeated on each fold
        return [], estimator
    steps, rest = split_pipeline(estimator, (FaceCropper, GrayscaleResizer))
    if steps and isinstance(steps[-1], GrayscaleResizer):
        return steps, FrozenEstimator(rest) if isinstance(estimator, FrozenEstimator) else rest
    return [], estimator


# Blank images and copies


def _contrast(images):
    """Return the standard deviation of each image's pixels, without a float copy of all."""
    pixels = images.reshape(len(images), -1)
    mean = pixels.mean(axis=1)
    # The sum of squares of a face, 48 * 48 * 255 ** 2, fits into 32 bits.
    squares = np.einsum("ij,ij->i", pixels, pixels, dtype=np.uint32, casting="unsafe")
    return np.sqrt(np.maximum(squares / pixels.shape[1] - mean**2, 0))


def _copies(groups):
    """Return the images that equal an earlier one."""
    first = np.unique(groups, return_index=True)[1]
    return np.setdiff1d(np.arange(len(groups)), first)


def _label_conflicts(groups, codes):
    """Return the members of each group of copies with different labels."""
    pairs = np.unique(np.stack([groups, codes]), axis=1)
    conflicting = np.flatnonzero(np.bincount(pairs[0]) > 1)
    return [np.flatnonzero(groups == number) for number in conflicting]


# Probabilities from a classifier that was fitted on neither the image nor a copy of it


def _out_of_fold_proba(data, codes, labels, cv, random_state, n_jobs):
    """Cross-validate the probabilities, with all copies of an image in one fold.

    A copy in the training part would confirm its own wrong label.
    """
    folds = _folds(codes, labels, data.groups, cv, random_state)
    predicted = fold_probabilities(data.estimator, data.X, labels[codes], folds, n_jobs=n_jobs)
    y_proba = np.empty((len(codes), len(labels)))
    for (_, test), (proba, classes) in zip(folds, predicted, strict=True):
        y_proba[test] = proba[:, _columns_of(labels, classes)]
    return y_proba


def _columns_of(labels, classes):
    """Return the column of each label among the classes of an estimator."""
    if sorted(classes.tolist()) != sorted(labels.tolist()):
        raise ValueError(
            f"estimator predicts {classes.tolist()}; expected the labels of y, {labels.tolist()}."
        )
    return np.argsort(classes)[np.argsort(np.argsort(labels))]


def _folds(codes, labels, groups, cv, random_state):
    """Return (train, test) of all folds; each image is in one test part."""
    splitter = cv
    if isinstance(cv, Integral):
        _check_enough(codes, labels, groups, cv)
        splitter = grouped_folds(int(cv), random_state)
    folds = list(splitter.split(np.zeros(len(codes)), codes, groups))
    tested = np.bincount(np.concatenate([test for _, test in folds]), minlength=len(codes))
    if (tested != 1).any():
        raise ValueError(
            f"cv={cv!r} tests {(tested != 1).sum()} image(s) never or several times; expected "
            f"folds that test each image once, such as those of StratifiedGroupKFold."
        )
    check_training_parts(
        folds,
        labels[codes],
        labels,
        cv=cv,
        remedy="Use another cv or random_state, or add images with that label.",
    )
    for number, (train, test) in enumerate(folds):
        shared = np.isin(groups[test], groups[train]).sum()
        if shared:
            raise ValueError(
                f"cv={cv!r} trains fold {number} on copies of {shared} image(s) that it tests. "
                f"Pass a splitter that keeps groups together, or an integer."
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
            f"cv={cv} needs at least {cv} different images of each label; found {few}. Lower cv, "
            f"drop those labels, pass y_proba, or set label_errors=False."
        )


# Confident learning


class LabelErrors(NamedTuple):
    """Images with a likely wrong label, most likely first.

    Attributes
    ----------
    indices : ndarray of shape (n_errors,), int
    suggested_labels : ndarray of shape (n_errors,), int
        The most probable class of each, as a column of the probabilities.
    """

    indices: IntArray
    suggested_labels: IntArray


def likely_label_errors(codes: IntArray, y_proba: FloatArray) -> LabelErrors:
    """Find likely label errors by confident learning.

    The threshold of a class is its mean predicted probability over the images with its label. An
    image counts as the class whose threshold it reaches, as the most probable one if it reaches
    several, and is a likely error if neither that nor the most probable class is its label.
    Thresholds compensate for a classifier that is more confident of some classes than of others.
    The images are the same as those of cleanlab's
    ``find_label_issues(filter_by="confident_learning")``, in the order of its
    ``"normalized_margin"``.

    Parameters
    ----------
    codes : ndarray of shape (n,), int
        The label of each image, as a column of `y_proba`.
    y_proba : ndarray of shape (n, n_classes), float
        Probabilities from a classifier that was not fitted on the image.

    Returns
    -------
    LabelErrors
        Sorted by how much more probable the suggested class is than the label.

    References
    ----------
    Northcutt, Jiang & Chuang (2021), Confident Learning: Estimating Uncertainty in Dataset
    Labels, Journal of Artificial Intelligence Research 70.

    Examples
    --------
    >>> import numpy as np
    >>> y_proba = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.1, 0.9]])
    >>> likely_label_errors(np.array([0, 0, 0, 1]), y_proba)
    LabelErrors(indices=array([2]), suggested_labels=array([1]))
    """
    rows = np.arange(len(codes))
    own = y_proba[rows, codes]
    reached = y_proba >= _thresholds(own, codes, y_proba.shape[1]) - _TOLERANCE
    most_probable = y_proba.argmax(axis=1)
    counted_as = np.where(reached.sum(axis=1) > 1, most_probable, reached.argmax(axis=1))
    others = y_proba.copy()
    others[rows, codes] = -1
    margin = own - others.max(axis=1)
    contradicted = reached.any(axis=1) & (counted_as != codes)
    likely = np.flatnonzero(contradicted & (margin < -_TOLERANCE))
    likely = likely[np.argsort(margin[likely], kind="stable")]
    return LabelErrors(likely, others[likely].argmax(axis=1))


def _thresholds(own: FloatArray, codes: IntArray, n_classes: int) -> FloatArray:
    """Return the mean of `own` by class; a class without images cannot be reached."""
    counts = np.bincount(codes, minlength=n_classes)
    sums = np.bincount(codes, own, minlength=n_classes)
    means = np.divide(sums, counts, out=np.full(n_classes, np.inf), where=counts > 0)
    return means.clip(min=2 * _TOLERANCE)
