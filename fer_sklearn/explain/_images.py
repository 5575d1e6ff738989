"""The images inside what an estimator takes, to be changed and given back in the same form."""

from typing import NamedTuple

import numpy as np
from sklearn.pipeline import Pipeline

from .._utils.pixels import as_photo_list
from ..faces import FaceCropper
from ..preprocessing import GrayscaleResizer

__all__ = ["ImageBatch", "make_images"]


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
