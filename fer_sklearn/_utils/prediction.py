"""What networks on any runtime do with new images: check, batch, mirror, and average."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .pixels import check_pixel_range, check_pixels, to_unit_floats

__all__ = ["PredictionMixin"]


class PredictionMixin:
    """`predict` and `predict_proba` of a classifier whose ``_predict_batch`` computes a batch.

    That takes ``(n, h, w, 1)`` float32 and returns ``(n, n_classes)`` probabilities. The class
    has ``classes_``, ``pixel_range_``, ``image_shape_`` and the parameter `test_time_flip`, and
    tells ``_images_at_a_time``.
    """

    def predict(self, X):
        """Predict the label of each image.

        Parameters
        ----------
        X : array-like of shape (n, h, w), (n, h, w, 1) or (n, h * w)

        Returns
        -------
        ndarray of shape (n,)
        """
        positions = self.predict_proba(X).argmax(axis=1)
        return self.classes_[positions]

    def predict_proba(self, X):
        """Predict the probability of each label.

        Parameters
        ----------
        X : array-like of shape (n, h, w), (n, h, w, 1) or (n, h * w)

        Returns
        -------
        ndarray of shape (n, n_classes), float32
            In the order of ``classes_``; each row sums to one.
        """
        check_is_fitted(self)
        pixels = check_pixels(self, X, reset=False)
        check_pixel_range(pixels, self.pixel_range_, type(self).__name__)
        step = self._images_at_a_time
        batches = [self._answers(pixels[i : i + step]) for i in range(0, len(pixels), step)]
        return np.concatenate(batches)

    def _answers(self, pixels):
        """Return the probabilities of one batch."""
        images = to_unit_floats(pixels)
        if not self.test_time_flip:
            return self._predict_batch(images)
        both = self._predict_batch(np.concatenate([images, images[:, :, ::-1]]))
        return (both[: len(images)] + both[len(images) :]) / 2
