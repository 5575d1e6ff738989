"""Maps of relevance with the images and labels that they are for."""

from typing import NamedTuple

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from .._utils.validation import suggestion
from ..faces import FaceCropper
from ..images import as_photo_list
from ..inference import InferenceClassifier
from ..preprocessing import GrayscaleResizer

__all__ = [
    "Explanation",
    "ImageBatch",
    "find_network",
    "label_positions",
    "make_images",
    "target_positions",
    "unwrapped",
]


class Explanation(NamedTuple):
    """What :func:`grad_cam` and :func:`occlusion_map` return.

    Attributes
    ----------
    images : ndarray of shape (n, h, w) or (n, h, w, 3)
        The pixels that the maps lie on.
    heatmaps : ndarray of shape (n, h, w), float32
        How much each pixel matters to the target.
    targets : ndarray of shape (n,)
        The label that each map explains.
    """

    images: np.ndarray
    heatmaps: np.ndarray
    targets: np.ndarray


def target_positions(target, probabilities, classes):
    """Return the column of each image's target among the classes.

    Parameters
    ----------
    target : None, label, or array-like of shape (n,)
        None is the most probable class of each image.
    probabilities : ndarray of shape (n, n_classes)
    classes : ndarray of shape (n_classes,)

    Returns
    -------
    ndarray of shape (n,), int
    """
    if target is None:
        return probabilities.argmax(axis=1)
    labels = np.full(len(probabilities), target) if np.ndim(target) == 0 else target
    return label_positions("target", labels, classes, len(probabilities))


def label_positions(name, labels, classes, n_images):
    """Return the column of each label among the classes: ndarray of shape (n_images,), int.

    Raises
    ------
    ValueError
        For a label that is no class, or another number of labels than images.
    """
    labels = np.asarray(labels)
    if labels.shape != (n_images,):
        raise ValueError(
            f"{name} has shape {labels.shape} for {n_images} image(s); expected one label an image."
        )
    known = np.asarray(classes).tolist()
    columns = {label: column for column, label in enumerate(known)}
    unknown = sorted({label for label in labels.tolist() if label not in columns}, key=str)
    if unknown:
        hints = "".join(suggestion(label, known) for label in unknown)
        raise ValueError(
            f"{name} has the label(s) {', '.join(map(repr, unknown))}; expected some of "
            f"{', '.join(map(repr, known))}, the classes of the estimator.{hints}"
        )
    return np.array([columns[label] for label in labels.tolist()], dtype=int)


_EXPECTED = (
    "a fitted FERCNNClassifier, or a Pipeline, a search, a CalibratedClassifierCV of a "
    "FrozenEstimator or an AbstainingClassifier with one inside"
)


def find_network(estimator, X):
    """Open what is wrapped around a network, and let the steps before it transform `X`.

    Parameters
    ----------
    estimator : fitted estimator
    X : batch of images or photos
        Whatever `estimator` takes.

    Returns
    -------
    classifier : FERCNNClassifier
    X : batch of images
        What `classifier` takes.

    Raises
    ------
    TypeError
        If there is no network of Keras's inside, or several.
    """
    while True:
        if isinstance(estimator, Pipeline):
            for _, step in estimator.steps[:-1]:
                X = X if step in (None, "passthrough") else step.transform(X)
            estimator = estimator.steps[-1][1]
            continue
        inner = unwrapped(estimator)
        if inner is None:
            return _checked(estimator), X
        estimator = inner


def unwrapped(estimator):
    """Return the fitted estimator that this one is wrapped around, None if it is none such.

    Raises
    ------
    TypeError
        For a CalibratedClassifierCV of several fitted estimators.
    """
    if isinstance(estimator, FrozenEstimator):
        return estimator.estimator
    if isinstance(estimator, CalibratedClassifierCV):
        return _calibrated(estimator)
    for name in ("best_estimator_", "estimator_"):
        if hasattr(estimator, name):
            return getattr(estimator, name)
    return None


def _calibrated(estimator):
    inner = [fitted.estimator for fitted in getattr(estimator, "calibrated_classifiers_", [])]
    if len(inner) == 1:
        return inner[0]
    raise TypeError(
        f"estimator is a CalibratedClassifierCV of {len(inner)} fitted estimators, of which one "
        f"alone can be explained. Calibrate with ensemble=False, or around a fitted one: "
        f"CalibratedClassifierCV(FrozenEstimator(fitted)); or use occlusion_map, which asks for "
        f"probabilities alone."
    )


def _checked(classifier):
    name = type(classifier).__name__
    if isinstance(classifier, InferenceClassifier):
        raise TypeError(
            f"estimator computes with a {name}, whose runtime gives no gradients. Use the same "
            f"network in Keras, such as load_pretrained(runtime='keras'), or occlusion_map, "
            f"which asks for probabilities alone."
        )
    from ..cnn import FERCNNClassifier  # loads Keras, which the refusals above do without

    if not isinstance(classifier, FERCNNClassifier):
        raise TypeError(
            f"estimator ends in a {name}; expected {_EXPECTED}. For any other classifier use "
            f"occlusion_map or region_importance, which ask for probabilities alone."
        )
    return classifier


class ImageBatch(NamedTuple):
    """Images of one size and the estimator that takes them.

    Attributes
    ----------
    estimator : estimator object
        The given one, or a pipeline's steps after those that make images.
    images : ndarray of shape (n, h, w) or (n, h, w, c)
    form : tuple of int
        Shape of one image as `estimator` takes it: flattened images stay flattened.
    """

    estimator: object
    images: np.ndarray
    form: tuple

    def as_given(self, images):
        """Return changed images in the form that the estimator takes."""
        return images.reshape(len(images), *self.form)


def make_images(estimator, X):
    """Get the images that are to be changed, and the estimator that will judge them.

    Where a pipeline begins with FaceCropper or GrayscaleResizer, these run now, once, so that
    what is changed is the face, not the photo in which it is yet to be found.

    Parameters
    ----------
    estimator : fitted estimator or Pipeline
    X : batch of photos or images
        Whatever `estimator` takes.

    Returns
    -------
    ImageBatch

    Raises
    ------
    ValueError
        If photos of several sizes, or paths, are left.
    """
    estimator = getattr(estimator, "best_estimator_", estimator)
    if isinstance(estimator, Pipeline):
        estimator, X = _run_image_steps(estimator, X)
    images = _stacked(X)
    form = X.shape[1:] if isinstance(X, np.ndarray) and X.dtype != object else images.shape[1:]
    return ImageBatch(estimator, images, form)


def _run_image_steps(pipeline, X):
    steps = pipeline.steps
    # The last step predicts, whatever it is.
    while len(steps) > 1 and isinstance(steps[0][1], (FaceCropper, GrayscaleResizer)):
        X = steps[0][1].transform(X)
        steps = steps[1:]
    return pipeline[len(pipeline.steps) - len(steps) :], X


def _stacked(X):
    photos = as_photo_list(X)
    shapes = {np.shape(photo) for photo in photos}
    if any(isinstance(photo, (str, bytes)) or np.ndim(photo) < 2 for photo in photos):
        found = "paths"
    elif len(shapes) > 1:
        found = f"images of {len(shapes)} different sizes"
    else:
        images = np.stack(photos)
        return images[..., 0] if images.shape[3:] == (1,) else images
    raise ValueError(
        f"X holds {found}; expected images of one size, whose pixels can be changed. Make the "
        f"estimator a Pipeline that begins with FaceCropper() or GrayscaleResizer(), which then "
        f"run first, or call their transform."
    )
