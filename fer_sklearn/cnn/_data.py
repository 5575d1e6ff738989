"""What a network is trained on: checked, bundled, and split."""

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.utils import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets

from .._utils.compat import check_sample_weight
from .._utils.pixels import check_pixel_range, check_pixels, unit_range
from .._utils.validation import check_labels, check_soft_targets
from ..weights import is_weights_file, read_weights
from .architectures import resolve_architecture

__all__ = ["TrainingData", "check_training_data", "hold_out", "take_up"]


@dataclass
class TrainingData:
    """Images of one fit.

    Pixels ``(n, h, w)``; positions in ``classes_`` ``(n,)``; weights ``(n,)`` or None; and
    probabilities ``(n, n_classes)``, float32, to be learnt in place of labels, or None.
    """

    pixels: np.ndarray
    codes: np.ndarray
    weights: np.ndarray | None = None
    soft_targets: np.ndarray | None = None

    def take(self, rows):
        """Return some of the images with all that belongs to them."""
        return TrainingData(*(None if v is None else v[rows] for v in vars(self).values()))

    def targets(self, n_classes):
        """Return what the network is to answer, ``(n, n_classes)``, float32."""
        if self.soft_targets is not None:
            return self.soft_targets
        return np.eye(n_classes, dtype=np.float32)[self.codes]


def check_training_data(estimator, X, y, sample_weight, *, reset, classes=None, soft_targets=None):
    """Check what `fit` received, and bundle it.

    Sets ``classes_``, ``pixel_range_``, ``image_shape_`` and ``n_features_in_`` on the
    estimator if `reset`: from its initial weights where these say so, else from the data.
    """
    resolve_architecture(estimator.architecture)
    origin = "the first fit"
    if reset and is_weights_file(estimator.initial_weights):
        take_up(estimator, read_weights(estimator.initial_weights))
        origin = f"initial_weights={str(estimator.initial_weights)!r}"
        reset = False
    pixels, y = check_pixels(estimator, X, y, reset=reset)
    check_classification_targets(y)
    if reset:
        estimator.classes_ = np.unique(y if classes is None else classes)
        estimator.pixel_range_ = unit_range(pixels)
    else:
        check_pixel_range(pixels, estimator.pixel_range_, type(estimator).__name__)
    codes = check_labels(y, estimator.classes_, origin=origin)
    weights = None
    if sample_weight is not None or estimator.class_weight is not None:
        weights = check_sample_weight(sample_weight, pixels, dtype=np.float32)
    if estimator.class_weight is not None:
        factors = compute_sample_weight(estimator.class_weight, y)
        weights = weights * factors.astype(np.float32)
    if soft_targets is not None:
        soft_targets = check_soft_targets(soft_targets, len(y), estimator.classes_)
    return TrainingData(pixels, codes, weights, soft_targets)


def take_up(estimator, weights):
    """Set on the estimator what a weights file says it was trained on."""
    described = weights.description
    if estimator.architecture != described["architecture"]:
        raise ValueError(
            f"architecture={estimator.architecture!r} with initial_weights="
            f"{str(estimator.initial_weights)!r}, which belong to "
            f"{described['architecture']!r}. Set architecture to that."
        )
    estimator.classes_ = np.array(described["classes"])
    estimator.image_shape_ = tuple(described["image_shape"])
    estimator.n_features_in_ = int(np.prod(estimator.image_shape_))
    estimator.pixel_range_ = tuple(described["pixel_range"])


def hold_out(estimator, data, seed):
    """Split `data` into training and validation, the latter None if not asked for."""
    fraction = estimator.validation_fraction or (0.1 if estimator.early_stopping else None)
    if fraction is None:
        return data, None
    splitter = StratifiedShuffleSplit(1, test_size=fraction, random_state=seed)
    try:
        kept, held_out = next(splitter.split(data.pixels, data.codes))
    except ValueError as error:
        raise ValueError(
            f"validation_fraction={fraction} cannot split {len(data.codes)} images of "
            f"{len(estimator.classes_)} classes with some of each on both sides: {error} "
            f"Give more images or another fraction."
        ) from error
    return data.take(kept), data.take(held_out)
