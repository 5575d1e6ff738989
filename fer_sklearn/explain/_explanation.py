"""Maps of relevance with the images and labels that they are for."""

from typing import NamedTuple

import numpy as np

from .._utils.validation import suggestion

__all__ = ["Explanation", "label_positions", "target_positions"]


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
