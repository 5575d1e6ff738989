"""Relevance maps, and the images and networks inside the estimators that they explain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._utils.estimators import split_pipeline
from .._utils.pixels import in_pixel_order, split_batch
from .._utils.typing import ArrayLike, FloatArray, ImagesLike, IntArray, LabelArray, PixelArray
from .._utils.validation import encode_labels
from ..faces import FaceCropper
from ..inference import InferenceClassifier
from ..preprocessing import GrayscaleResizer, RGBResizer

if TYPE_CHECKING:
    from ..cnn import FERCNNClassifier

__all__ = [
    "Explanation",
    "ImageBatch",
    "find_network",
    "label_positions",
    "make_images",
    "target_positions",
]

_EXPECTED = (
    "a fitted FERCNNClassifier, or a Pipeline, a search, a CalibratedClassifierCV of a "
    "FrozenEstimator or an AbstainingClassifier that contains one"
)


class Explanation(NamedTuple):
    """Result of :func:`grad_cam` and :func:`occlusion_map`.

    Attributes
    ----------
    images : ndarray of shape (n, h, w) or (n, h, w, 3)
        The pixels that the maps belong to.
    heatmaps : ndarray of shape (n, h, w), float32
        The relevance of each pixel to the target.
    targets : ndarray of shape (n,)
        The label that each map explains.
    """

    images: PixelArray
    heatmaps: FloatArray
    targets: LabelArray


def target_positions(target: Any, y_proba: FloatArray, classes: LabelArray) -> IntArray:
    """Return the column of each image's target among the classes.

    Parameters
    ----------
    target : None, label, or array-like of shape (n,)
        If None, the most probable class of each image.
    y_proba : ndarray of shape (n, n_classes)
    classes : ndarray of shape (n_classes,)

    Returns
    -------
    ndarray of shape (n,), int
    """
    if target is None:
        return y_proba.argmax(axis=1)
    labels = np.full(len(y_proba), target) if np.ndim(target) == 0 else target
    return label_positions("target", labels, classes, len(y_proba))


def label_positions(name: str, labels: ArrayLike, classes: LabelArray, n_images: int) -> IntArray:
    """Return the column of each label among the classes, (n_images,) int.

    Raises
    ------
    ValueError
        For a label that is not a class, or a different number of labels and images.
    """
    shape = np.shape(labels)
    if shape != (n_images,):
        raise ValueError(
            f"{name} has shape {shape} for {n_images} image(s); expected one label per image."
        )
    _, positions = encode_labels(
        labels, classes, name=name, labels_name="the classes of the estimator", remedy=""
    )
    return positions


def find_network(estimator: Any, X: ImagesLike) -> tuple[FERCNNClassifier, ImagesLike]:
    """Find the network inside an estimator, and transform `X` by the steps before it.

    Parameters
    ----------
    estimator : fitted estimator
    X : batch of images or photos
        Any input that `estimator` accepts.

    Returns
    -------
    classifier : FERCNNClassifier
    X : batch of images
        What `classifier` takes.

    Raises
    ------
    TypeError
        If there is no Keras network inside, or several.
    """
    transformers, classifier = split_pipeline(estimator)
    _check_network(classifier)
    for transformer in transformers:
        X = transformer.transform(X)
    return classifier, X


def _check_network(classifier):
    name = type(classifier).__name__
    if isinstance(classifier, InferenceClassifier):
        raise TypeError(
            f"estimator computes with a {name}, whose runtime has no gradients. Use the same "
            f"network in Keras, such as load_pretrained(runtime='keras'), or occlusion_map, "
            f"which only needs probabilities."
        )
    if hasattr(classifier, "calibrated_classifiers_"):
        raise TypeError(
            f"estimator is a {name} of {len(classifier.calibrated_classifiers_)} fitted "
            f"estimators, of which only one can be explained. Calibrate with ensemble=False, or "
            f"around a fitted one: {name}(FrozenEstimator(fitted)); or use occlusion_map, which "
            f"only needs probabilities."
        )
    from ..cnn import FERCNNClassifier  # loads Keras, which the checks above do not need

    if not isinstance(classifier, FERCNNClassifier):
        raise TypeError(
            f"estimator ends in a {name}; expected {_EXPECTED}. For any other classifier use "
            f"occlusion_map or region_importance, which only need probabilities."
        )


class ImageBatch(NamedTuple):
    """Images of one size and the estimator that takes them.

    Attributes
    ----------
    estimator : estimator object
        The original one, or the steps of a pipeline after those that make images.
    images : ndarray of shape (n, h, w) or (n, h, w, c)
    form : tuple of int
        Shape of one image as `estimator` takes it: flattened images stay flattened.
    columns : list or None
        Columns of the table that `estimator` takes.
    """

    estimator: Any
    images: PixelArray
    form: tuple[int, ...]
    columns: list[Any] | None = None

    def as_given(self, images: PixelArray) -> Any:
        """Return changed images in the form that the estimator takes."""
        rows = images.reshape(len(images), *self.form)
        if self.columns is None:
            return rows
        import pandas as pd

        names, _ = in_pixel_order(self.columns) or (self.columns, None)
        return pd.DataFrame(rows, columns=names)[self.columns]


def make_images(estimator: Any, X: ImagesLike) -> ImageBatch:
    """Return the images to change, and the estimator that predicts them.

    If a pipeline begins with FaceCropper or a resizer, these run now, once, so that the face is
    changed, and not the photo before its detection.

    Parameters
    ----------
    estimator : fitted estimator or Pipeline
    X : batch of photos or images
        Any input that `estimator` accepts.

    Raises
    ------
    ValueError
        If photos of several sizes, or paths, remain.
    """
    steps, rest = split_pipeline(estimator, (FaceCropper, GrayscaleResizer, RGBResizer))
    for step in steps:
        X = step.transform(X)
    fitted = getattr(rest, "image_shape_", None)
    images = _stacked(X, (fitted,) if fitted else None, type(rest).__name__)
    if len(columns := list(getattr(X, "columns", ()))) > 1:
        return ImageBatch(rest, images, (len(columns),), columns)  # a table of pixels
    form = X.shape[1:] if isinstance(X, np.ndarray) and X.dtype != object else images.shape[1:]
    return ImageBatch(rest, images, form)


def _stacked(X, known, owner):
    photos = list(split_batch(X, known=known, owner=owner))
    shapes = {np.shape(photo) for photo in photos}
    if any(isinstance(photo, (str, bytes)) or np.ndim(photo) < 2 for photo in photos):
        found = "paths"
    elif len(shapes) > 1:
        found = f"images of {len(shapes)} different sizes"
    else:
        images = np.stack(photos)
        return images[..., 0] if images.shape[3:] == (1,) else images
    raise ValueError(
        f"X contains {found}; expected images of one size, whose pixels can be changed. Make the "
        f"estimator a Pipeline that begins with FaceCropper() or GrayscaleResizer(), which then "
        f"run first, or call their transform."
    )
