"""Training data: checked, bundled and split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.utils import check_random_state, compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets

from .._utils.compat import check_sample_weight
from .._utils.cross_validation import digest_rows
from .._utils.pixel_values import check_pixel_range, unit_range
from .._utils.pixels import check_pixels
from .._utils.prediction import set_network_attributes
from .._utils.typing import ArrayLike, Estimator, RandomState
from .._utils.validation import check_labels, check_soft_targets
from ..weights import is_weights_file, read_description

__all__ = [
    "TrainingData",
    "apply_weights_metadata",
    "check_training_data",
    "draw_seed",
    "train_validation_split",
]


@dataclass
class TrainingData:
    """Images to train on, with what belongs to each of them.

    Parameters
    ----------
    pixels : ndarray of shape (n, h, w), uint8 or float32
    codes : ndarray of shape (n,), int
        The labels, as positions in ``classes_``.
    weights : ndarray of shape (n,), float32, or None
        Factors on the loss.
    soft_targets : ndarray of shape (n, n_classes), float32, or None
        Probabilities to learn in place of the labels.
    """

    pixels: np.ndarray
    codes: np.ndarray
    weights: np.ndarray | None = None
    soft_targets: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> TrainingData:
        """Return the images in these rows, with what belongs to them."""
        return TrainingData(
            self.pixels[rows],
            self.codes[rows],
            None if self.weights is None else self.weights[rows],
            None if self.soft_targets is None else self.soft_targets[rows],
        )

    def targets(self, n_classes: int) -> np.ndarray:
        """Return the probabilities to learn, ``(n, n_classes)``, float32."""
        if self.soft_targets is not None:
            return self.soft_targets
        return np.eye(n_classes, dtype=np.float32)[self.codes]


def check_training_data(
    estimator: Estimator,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    reset: bool,
    classes: ArrayLike | None = None,
    soft_targets: ArrayLike | None = None,
) -> TrainingData:
    """Check and encode what `fit` received: the only place where this happens.

    Parameters
    ----------
    estimator : FERCNNClassifier
        With `reset`, gets ``classes_``, ``pixel_range_``, ``image_shape_`` and
        ``n_features_in_``: from its initial weights if their file states them, otherwise from
        the data.
    X, y, sample_weight, soft_targets
        As in :meth:`FERCNNClassifier.fit`.
    reset : bool
        False to compare the data with what the estimator was fitted on.
    classes : array-like of shape (n_classes,) or None
        All labels, if `y` need not contain each of them.

    Returns
    -------
    TrainingData
    """
    from .architectures import resolve_architecture  # imports Keras

    resolve_architecture(estimator.architecture)
    origin = "the first fit"
    earlier = None if reset else getattr(estimator, "training_rows_", None)
    if reset and is_weights_file(estimator.initial_weights):
        apply_weights_metadata(estimator, read_description(estimator.initial_weights))
        origin = f"initial_weights={str(estimator.initial_weights)!r}"
        reset = False
    pixels, labels = check_pixels(estimator, X, y, reset=reset)
    check_classification_targets(labels)
    if reset:
        estimator.classes_ = np.unique(labels if classes is None else classes)
        estimator.pixel_range_ = unit_range(pixels)
    else:
        check_pixel_range(pixels, estimator.pixel_range_, type(estimator).__name__)
    codes = check_labels(labels, estimator.classes_, origin=origin)
    weights = None
    if sample_weight is not None or estimator.class_weight is not None:
        weights = check_sample_weight(sample_weight, pixels, dtype=np.float32)
    if estimator.class_weight is not None:
        factors = compute_sample_weight(estimator.class_weight, labels)
        weights = weights * factors.astype(np.float32)
    if soft_targets is not None:
        soft_targets = check_soft_targets(soft_targets, len(codes), estimator.classes_)
    estimator.training_rows_ = digest_rows(pixels, earlier)
    return TrainingData(pixels, codes, weights, soft_targets)


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
    if estimator.architecture != description["architecture"]:
        raise ValueError(
            f"initial_weights={str(estimator.initial_weights)!r} were trained with "
            f"architecture={description['architecture']!r}, but architecture="
            f"{estimator.architecture!r}. Set architecture={description['architecture']!r}."
        )
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
