"""The audit of a data set."""

from numbers import Integral, Real
from typing import NamedTuple

import numpy as np

from .._utils.compat import HasMethods, Interval, validate_params
from .._utils.cross_validation import check_training_parts, fold_probabilities, grouped_folds
from .._utils.validation import check_probabilities, count_samples, encode_labels
from ..datasets import duplicate_groups
from ..pipelines import make_hog_svm_pipeline
from ..preprocessing import resize_gray
from ..svm import LSSVMClassifier
from ._report import AuditReport

__all__ = ["LabelErrors", "audit_dataset", "likely_label_errors", "out_of_sample_probabilities"]

# Images are compared with blank ones, and shown, at this size.
_SIDE = 48


@validate_params(
    {
        "estimator": [None, HasMethods(["fit", "predict"])],
        "cv": [Interval(Integral, 2, None, closed="left"), HasMethods(["split"])],
        "label_errors": ["boolean"],
        "blank_contrast": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "n_jobs": [None, Integral],
    },
    prefer_skip_nested_validation=True,
)
def audit_dataset(
    X,
    y,
    *,
    estimator=None,
    pred_probs=None,
    labels=None,
    cv=5,
    label_errors=True,
    blank_contrast=4.0,
    random_state=0,
    n_jobs=None,
):
    """Look for images that should not be learnt from as they are.

    Four problems: blank images; copies of others; copies that carry different labels; and
    likely label errors, where a classifier that has seen neither the image nor a copy of it
    contradicts the label with more than usual certainty (confident learning).

    Parameters
    ----------
    X : list of photos or array-like of shape (n, h, w), (n, h, w, 1 | 3 | 4) or (n, h * w)
        Paths or pixels: integers in 0..255 or floats in [0, 1] or [0, 255], before any
        normalisation.
    y : array-like of shape (n,)
        Labels, text or numbers, of two kinds or more.
    estimator : classifier or None, default=None
        Who judges the labels: a classifier of `X` with `predict_proba`, cloned and fitted
        anew for each fold. None is a least-squares SVM on HOG features, minutes and two
        gigabytes of memory for FER2013 on two cores; both grow fast with the number of images.
    pred_probs : array-like of shape (n, n_labels) or None, default=None
        Ready probabilities in place of `estimator`, from a model that has not seen the images,
        such as ``cross_val_predict(..., method="predict_proba")`` returns, or
        ``load_pretrained().predict_proba(X)`` of photos of your own.
    labels : array-like of shape (n_labels,) or None, default=None
        The label of each column of `pred_probs`. None takes the sorted labels of `y`.
    cv : int or splitter, default=5
        Folds. An integer keeps copies together (``StratifiedGroupKFold``); a splitter is given
        the groups of copies, and must too.
    label_errors : bool, default=True
        False looks for blank images and copies alone, which takes a second.
    blank_contrast : float, default=4.0
        An image is blank where its grey pixels' standard deviation is at most this, in grey
        levels of 0..255.
    random_state : int, RandomState instance or None, default=0
        Shuffles the folds.
    n_jobs : int or None, default=None
        Folds at a time, as everywhere in scikit-learn.

    Returns
    -------
    AuditReport
        Prints as tables; ``to_frame()``, ``to_markdown()``, ``plot()``, ``keep()``.

    Raises
    ------
    ValueError
        If `X` and `y` differ in length or are empty, a label is missing or not among `labels`,
        a label has fewer different images than there are folds or is missing from a training
        part, `pred_probs` are no probabilities, or both `pred_probs` and `estimator` are given.
    TypeError
        If `estimator` has no ``predict_proba``.
    ImageReadError
        If a file is missing or not an image.

    Notes
    -----
    Likely errors are suggestions: a weak classifier contradicts many good labels of rare looks.
    The first in order are the surest; look at them before you drop any. The method finds labels
    that look like other labels, not images that show nothing or two faces.

    See Also
    --------
    duplicate_report : Counts copies between the subsets of a data set as well.
    likely_label_errors : The method on its own.

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
            f"X holds {n_images} image(s) and y {n_labels} label(s); expected one label an image."
        )
    if pred_probs is not None and estimator is not None:
        raise ValueError(
            "estimator and pred_probs are both given; expected one. pred_probs are taken as they "
            "are, estimator is cross-validated to get them."
        )
    labels, codes = encode_labels(y, labels)
    images = resize_gray(X, (_SIDE, _SIDE))
    groups = duplicate_groups(X)
    proba, errors = None, LabelErrors(*np.empty((2, 0), dtype=int))
    if label_errors:
        _check_several(labels)
        if pred_probs is None:
            proba = out_of_sample_probabilities(
                X,
                codes,
                labels,
                groups,
                estimator=estimator,
                cv=cv,
                random_state=random_state,
                n_jobs=n_jobs,
            )
        else:
            proba = check_probabilities(pred_probs, n_images, len(labels), name="pred_probs")
        errors = likely_label_errors(codes, proba)
    return AuditReport(
        labels=labels,
        codes=codes,
        images=images,
        groups=groups,
        blank=np.flatnonzero(_contrast(images) <= blank_contrast),
        copies=_copies(groups),
        conflicts=_conflicts(groups, codes),
        label_errors=errors.indices,
        suggested=errors.suggested,
        pred_probs=proba,
    )


def _check_several(labels):
    if len(labels) < 2:
        raise ValueError(
            f"y has one label, {labels.tolist()[0]!r}, so that none can be mistaken for another; "
            f"expected two or more. Set label_errors=False to look for the rest."
        )


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


def _conflicts(groups, codes):
    """Return the members of each group of copies that carry different labels."""
    pairs = np.unique(np.stack([groups, codes]), axis=1)
    contradictory = np.flatnonzero(np.bincount(pairs[0]) > 1)
    return [np.flatnonzero(groups == number) for number in contradictory]


# Of the HOG features, before the kernel.
_COMPONENTS = 250
# Two probabilities closer than this are taken for equal, as cleanlab takes them.
_TOLERANCE = 1e-6


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
    folds = _folds(codes, labels, groups, cv, random_state)
    if estimator is None:
        estimator = _default_estimator()
    predicted = fold_probabilities(estimator, X, labels[codes], folds, n_jobs=n_jobs)
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


def _default_estimator():
    return make_hog_svm_pipeline(LSSVMClassifier(probability=True), n_components=_COMPONENTS)


def _folds(codes, labels, groups, cv, random_state):
    """Return (train, test) of all folds; each image is in one test part."""
    if isinstance(cv, Integral):
        _check_enough(codes, labels, groups, cv)
        splitter = grouped_folds(cv, random_state)
    else:
        splitter = cv
    folds = list(splitter.split(np.zeros(len(codes)), codes, groups))
    tested = np.bincount(np.concatenate([test for _, test in folds]), minlength=len(codes))
    if (tested != 1).any():
        raise ValueError(
            f"cv={cv!r} tests {(tested != 1).sum()} image(s) never or several times; expected "
            f"folds that test each image once, such as StratifiedGroupKFold makes."
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


class LabelErrors(NamedTuple):
    """The images that are likely to carry a wrong label, most likely first.

    Attributes
    ----------
    indices : ndarray of shape (n_errors,), int
    suggested : ndarray of shape (n_errors,), int
        The most probable class of each, as a column of the probabilities.
    """

    indices: np.ndarray
    suggested: np.ndarray


def likely_label_errors(codes, proba):
    """Find likely label errors by confident learning.

    A class's threshold is the mean probability that images of its label are given for it. An
    image counts for the class whose threshold it reaches, for the most probable one where it
    reaches several, and is a likely error where neither that nor the most probable class is
    its label. Thresholds make up for a classifier that is surer of some classes than of
    others. The same images as cleanlab's
    ``find_label_issues(filter_by="confident_learning")``, in the order of its
    ``"normalized_margin"``.

    Parameters
    ----------
    codes : ndarray of shape (n,), int
        The label of each image, as a column of `proba`.
    proba : ndarray of shape (n, n_classes), float
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
    >>> proba = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.1, 0.9]])
    >>> likely_label_errors(np.array([0, 0, 0, 1]), proba)
    LabelErrors(indices=array([2]), suggested=array([1]))
    """
    rows = np.arange(len(codes))
    own = proba[rows, codes]
    reached = proba >= _thresholds(own, codes, proba.shape[1]) - _TOLERANCE
    most_probable = proba.argmax(axis=1)
    counted_as = np.where(reached.sum(axis=1) > 1, most_probable, reached.argmax(axis=1))
    others = proba.copy()
    others[rows, codes] = -1
    margin = own - others.max(axis=1)
    contradicted = reached.any(axis=1) & (counted_as != codes)
    likely = np.flatnonzero(contradicted & (margin < -_TOLERANCE))
    likely = likely[np.argsort(margin[likely], kind="stable")]
    return LabelErrors(likely, others[likely].argmax(axis=1))


def _thresholds(own, codes, n_classes):
    """Return the mean of `own` by class; a class without images is out of reach."""
    counts = np.bincount(codes, minlength=n_classes)
    sums = np.bincount(codes, own, minlength=n_classes)
    means = np.divide(sums, counts, out=np.full(n_classes, np.inf), where=counts > 0)
    return means.clip(min=2 * _TOLERANCE)
