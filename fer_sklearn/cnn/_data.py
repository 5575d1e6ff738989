"""Check, bundle and split training data, and draw its batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.utils import check_random_state, compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets

from .._utils.compat import check_sample_weight
from .._utils.cross_validation import digest_rows
from .._utils.estimators import set_network_attributes
from .._utils.pixel_values import check_pixel_range, take_rows, to_unit_floats, unit_range
from .._utils.pixels import check_pixels
from .._utils.typing import ArrayLike, Estimator, FloatArray, LabelArray, RandomState
from .._utils.validation import (
    check_class_totals,
    check_class_weight,
    check_complete_labels,
    check_labels,
    check_soft_targets,
)
from ..weights import is_weights_file, read_description
from .augmentation import augment, mix_up

__all__ = [
    "TrainingData",
    "apply_weights_metadata",
    "batch_stream",
    "check_training_data",
    "draw_seed",
    "train_validation_split",
]


@dataclass
class TrainingData:
    """Images to train on, with what belongs to each of them.

    Parameters
    ----------
    pixels : ndarray of shape (n, h, w) or (n, h, w, 3), uint8 or float32
    codes : ndarray of shape (n,), int
        The labels, as positions in ``classes_``.
    weights : ndarray of shape (n,), float32, or None
        Factors on the loss.
    soft_targets : ndarray of shape (n, n_classes), float32, or None
        Probabilities to learn in place of the labels.
    auxiliary_targets : ndarray of shape (n, n_auxiliary), float32, or None
        Those of the second head.
    """

    pixels: np.ndarray
    codes: np.ndarray
    weights: np.ndarray | None = None
    soft_targets: np.ndarray | None = None
    auxiliary_targets: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> TrainingData:
        """Return the images in these rows, with what belongs to them."""
        parts = {
            name: take_rows(part, rows) for name, part in vars(self).items() if part is not None
        }
        return TrainingData(**parts)

    def targets(self, n_classes: int) -> np.ndarray:
        """Return the probabilities to learn, float32: those of the second head after the first."""
        targets = self.soft_targets
        if targets is None:
            targets = np.eye(n_classes, dtype=np.float32)[self.codes]
        if self.auxiliary_targets is None:
            return targets
        return np.concatenate([targets, self.auxiliary_targets], axis=1)

    def as_arrays(self, n_classes: int) -> tuple[np.ndarray, ...]:
        """Return all images as the network takes them, their targets and, if any, weights."""
        arrays = to_unit_floats(self.pixels), self.targets(n_classes)
        return arrays if self.weights is None else (*arrays, self.weights)

    def steps_per_epoch(self, batch_size: int) -> int:
        """Return the number of batches that together contain each image once."""
        return -(-len(self.codes) // min(batch_size, len(self.codes)))


def batch_stream(
    data: TrainingData,
    n_classes: int,
    batch_size: int,
    seed: int,
    augmentation: dict[str, Any] | None,
    first_epoch: int,
) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield batches without end: the shuffled images, again and again, in batches of one size.

    With batches of one size, one compiled function serves any number of images. Each batch
    depends only on the seed and its number, regardless of the threads that prefetch it.
    """
    n = len(data.codes)
    batch_size = min(batch_size, n)
    first_step = first_epoch * data.steps_per_epoch(batch_size)
    passes, skipped = divmod(first_step * batch_size, n)
    rows = _shuffled(n, seed, passes)[skipped:]
    for step in itertools.count(first_step):
        while len(rows) < batch_size:
            passes += 1
            rows = np.concatenate([rows, _shuffled(n, seed, passes)])
        batch, rows = data.take(rows[:batch_size]), rows[batch_size:]
        if augmentation is not None:
            rng = np.random.default_rng([seed, 1, step])
            batch.pixels = augment(batch.pixels, augmentation, rng)
        inputs, targets = to_unit_floats(batch.pixels), batch.targets(n_classes)
        if augmentation is not None and augmentation["mixup"]:
            inputs, targets = mix_up(inputs, targets, augmentation["mixup"], rng)
        yield (inputs, targets) if batch.weights is None else (inputs, targets, batch.weights)


def _shuffled(n, seed, number):
    return np.random.default_rng([seed, 0, number]).permutation(n)


def check_training_data(
    estimator: Estimator,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    reset: bool,
    is_partial: bool = False,
    classes: ArrayLike | None = None,
    soft_targets: ArrayLike | None = None,
    auxiliary_targets: ArrayLike | None = None,
) -> TrainingData:
    """Check and encode what `fit` received: the only place where this happens.

    Parameters
    ----------
    estimator : FERCNNClassifier
        Gets ``architecture_`` and, with `reset`, ``classes_``, ``auxiliary_classes_``,
        ``pixel_range_``, ``image_shape_``, ``n_channels_`` and ``n_features_in_``: the classes from
        the data, the others from its initial weights if their file states them, otherwise from the
        data too.
    X, y, sample_weight, soft_targets, auxiliary_targets
        As in :meth:`FERCNNClassifier.fit`.
    reset : bool
        False to compare the data with what the estimator was fitted on.
    is_partial : bool, default=False
        Whether these are the images of one of several calls, as for ``partial_fit``.
    classes : array-like of shape (n_classes,) or None
        All labels, if `y` need not contain each of them.
    """
    is_first_fit = reset
    earlier = None if reset else getattr(estimator, "training_rows_", None)
    if reset and is_weights_file(estimator.initial_weights):
        apply_weights_metadata(estimator, read_description(estimator.initial_weights))
        reset = False
    else:
        from .architectures import resolve_architecture  # imports Keras

        if estimator.architecture is not None:
            estimator.architecture_ = estimator.architecture
        elif reset:
            estimator.architecture_ = "conv3"
        resolve_architecture(estimator.architecture_)
    check_complete_labels(y)
    pixels, labels = check_pixels(estimator, X, y, reset=reset, color=True)
    check_classification_targets(labels)
    classes = list(classes) if isinstance(classes, Set) else classes
    if reset:
        estimator.pixel_range_ = unit_range(pixels)
    else:
        check_pixel_range(pixels, estimator.pixel_range_, type(estimator).__name__)
    if is_first_fit:
        found = np.unique(labels if classes is None else classes)
        # The first of several batches need not contain all labels that a file knows.
        is_part = is_partial and classes is None and not reset
        if not (is_part and set(found.tolist()) <= set(estimator.classes_.tolist())):
            estimator.classes_ = found
    else:
        _check_same_classes(labels, classes, estimator.classes_, is_partial=is_partial)
    codes = check_labels(labels, estimator.classes_)
    weights = None
    if sample_weight is not None or estimator.class_weight is not None:
        weights = check_sample_weight(
            sample_weight, pixels, dtype=np.float32, ensure_non_negative=True
        )
        weights = weights * _class_factors(estimator, labels, codes, is_partial=is_partial)
        check_class_totals(codes, estimator.classes_, weights)
    if soft_targets is not None:
        soft_targets = check_soft_targets(soft_targets, len(codes), estimator.classes_)
    auxiliary_targets = _check_auxiliary_targets(
        estimator, auxiliary_targets, len(codes), reset=is_first_fit
    )
    estimator.training_rows_ = digest_rows(pixels, earlier)
    return TrainingData(pixels, codes, weights, soft_targets, auxiliary_targets)


def _check_same_classes(labels, classes, fitted, *, is_partial):
    """Refuse to continue training with classes other than those of the first fit."""
    if classes is not None and not np.array_equal(np.unique(classes), fitted):
        raise ValueError(
            f"classes={np.unique(classes).tolist()} differ from those of the first call, "
            f"{fitted.tolist()}. Pass the same ones or None, or fit a new estimator."
        )
    lacking = sorted(set(fitted.tolist()) - set(labels.tolist()))
    if lacking and not is_partial and set(labels.tolist()) < set(fitted.tolist()):
        raise ValueError(
            f"y lacks the label(s) {', '.join(map(repr, lacking))} of the first fit, but "
            f"warm_start=True continues with the same classes. Pass images of all of them, call "
            f"partial_fit, which needs only some, or set warm_start=False."
        )


def _class_factors(estimator, labels, codes, *, is_partial):
    """Return the class weight of each image, float32; 1 if there are none."""
    if estimator.class_weight is None:
        return np.float32(1)
    if not isinstance(estimator.class_weight, str):
        factors = check_class_weight(estimator.class_weight, estimator.classes_)
        return factors.astype(np.float32)[codes]
    if is_partial:
        raise ValueError(
            "class_weight='balanced' needs the counts of all images, but partial_fit sees only "
            "those of one call. Pass numbers, such as "
            "sklearn.utils.compute_class_weight('balanced', classes=np.unique(y), y=y) for all "
            "labels."
        )
    return compute_sample_weight("balanced", labels).astype(np.float32)


def _check_auxiliary_targets(
    estimator: Estimator, targets: ArrayLike | None, n_samples: int, *, reset: bool
) -> FloatArray | None:
    """Check the targets of the second head.

    Parameters
    ----------
    estimator : FERCNNClassifier
        With `reset`, gets ``auxiliary_classes_``.
    targets : array-like of shape (n_samples, n_auxiliary) or None
        As in :meth:`FERCNNClassifier.fit`.
    n_samples : int
    reset : bool
        False to compare them with what the estimator was fitted on.

    Returns
    -------
    ndarray of shape (n_samples, n_auxiliary), float32, or None
        In the order of ``auxiliary_classes_``.

    Raises
    ------
    ValueError
        If rows are neither probabilities nor zeros, all are zeros, there is one column, columns do
        not have distinct names, or the second label set is not that of the first fit.
    """
    fitted = None if reset else estimator.auxiliary_classes_
    if targets is None:
        if fitted is not None:
            raise ValueError(
                f"auxiliary_targets=None, but the network also learned {fitted.tolist()}, and "
                f"would forget them. Pass auxiliary_targets, with rows of zeros where nothing is "
                f"known, or fit a new estimator."
            )
        if reset:
            estimator.auxiliary_classes_ = None
        return None
    classes, order = _columns(targets)
    if reset:
        estimator.auxiliary_classes_ = classes
    elif fitted is None or not np.array_equal(fitted, classes):
        known = "none" if fitted is None else fitted.tolist()
        raise ValueError(
            f"auxiliary_targets has the columns {classes.tolist()}, but the auxiliary classes of "
            f"the first fit are {known}. Pass the same ones, or fit a new estimator."
        )
    checked = check_soft_targets(
        np.asarray(targets), n_samples, classes, name="auxiliary_targets", allow_unknown=True
    )
    return np.ascontiguousarray(checked[:, order])


def _columns(targets: ArrayLike) -> tuple[LabelArray, np.ndarray]:
    """Return the sorted names of columns, and the order that sorts them."""
    names = getattr(targets, "columns", None)
    shape = np.shape(targets)
    if len(shape) != 2 or shape[1] < 2:
        raise ValueError(
            f"auxiliary_targets has shape {shape}; expected one row per image and at least two "
            f"columns, one per class."
        )
    classes = np.arange(shape[1]) if names is None else np.asarray(list(names))
    if len(np.unique(classes)) < len(classes):
        raise ValueError(
            f"auxiliary_targets has the columns {classes.tolist()}; expected a different name for "
            f"each. Rename them."
        )
    order = np.argsort(classes)
    return classes[order], order


def draw_seed(random_state: RandomState) -> int:
    """Return the seed of everything random in a fit."""
    return check_random_state(random_state).randint(2**31 - 1)


def apply_weights_metadata(estimator: Estimator, description: dict) -> None:
    """Set the fitted attributes that the description of a weights file states.

    Parameters
    ----------
    estimator : FERCNNClassifier
    description : dict
        As returned by :func:`fer_sklearn.weights.read_description`.

    Raises
    ------
    ValueError
        If the estimator has another architecture.
    """
    if estimator.architecture not in (None, description["architecture"]):
        raise ValueError(
            f"initial_weights={str(estimator.initial_weights)!r} were trained with "
            f"architecture={description['architecture']!r}, but architecture="
            f"{estimator.architecture!r}. Set architecture={description['architecture']!r}."
        )
    estimator.architecture_ = description["architecture"]
    set_network_attributes(
        estimator,
        classes=description["classes"],
        image_shape=description["image_shape"],
        pixel_range=description["pixel_range"],
    )


def train_validation_split(
    estimator: Estimator, data: TrainingData, seed: int
) -> tuple[TrainingData, TrainingData | None]:
    """Split the data, stratified by label, if the estimator's parameters require it.

    Parameters
    ----------
    estimator : FERCNNClassifier
    data : TrainingData
    seed : int
        Shuffles the images.

    Returns
    -------
    training : TrainingData
    validation : TrainingData or None

    Raises
    ------
    ValueError
        If a class has too few images for both parts.
    """
    fraction = estimator.validation_fraction or (0.1 if estimator.early_stopping else None)
    if fraction is None:
        return data, None
    splitter = StratifiedShuffleSplit(1, test_size=fraction, random_state=seed)
    try:
        training, validation = next(splitter.split(data.pixels, data.codes))
    except ValueError as error:
        raise ValueError(
            f"validation_fraction={fraction} cannot split {len(data.codes)} images of "
            f"{len(estimator.classes_)} classes so that both parts have images of each: {error} "
            f"Pass more images, or change validation_fraction."
        ) from error
    return data.take(training), data.take(validation)
