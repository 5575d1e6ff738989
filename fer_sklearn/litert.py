"""Networks that predict without TensorFlow, hence from the first second of a process."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from ._prediction import PredictionMixin
from ._runtimes import LiteRTNetwork, is_litert_installed
from ._validation import ImageTagsMixin
from .weights import read_litert

__all__ = ["LiteRTClassifier", "is_litert_installed"]


class LiteRTClassifier(PredictionMixin, ImageTagsMixin, ClassifierMixin, BaseEstimator):
    """A trained network that the LiteRT runtime computes.

    It answers as the :class:`~fer_sklearn.FERCNNClassifier` that it came from, to two thousandths,
    starts without TensorFlow, and takes less time for an image; it cannot be trained.
    Several threads may predict at once.

    Parameters
    ----------
    source : str or Path, default="default"
        A shipped name, or an ``.npz`` file of :mod:`fer_sklearn.weights` with a LiteRT model.
    test_time_flip : bool, default=True
        Average the probabilities of each image and its mirror image; takes twice as long.
    n_threads : int or None, default=None
        Processor threads for one batch; None is one a processor, at most four.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    image_shape_ : tuple of int
        Height and width of the images.
    n_features_in_ : int
        Their product.
    pixel_range_ : tuple of float
        Lowest and highest pixel in training.

    Examples
    --------
    >>> from fer_sklearn import load_pretrained, make_faces
    >>> X, y = make_faces(7, random_state=0, return_X_y=True)
    >>> load_pretrained("tiny", runtime="litert").predict_proba(X).shape
    (7, 7)
    """

    _images_at_a_time = 32  # more are not faster

    def __init__(self, source="default", *, test_time_flip=True, n_threads=None):
        self.source = source
        self.test_time_flip = test_time_flip
        self.n_threads = n_threads

    def load(self):
        """Read the network, and so become fitted.

        Returns
        -------
        self : LiteRTClassifier

        Raises
        ------
        ValueError
            For an unknown name, a damaged file, or one without a LiteRT model.
        FileNotFoundError
            If there is no such file.
        """
        model, described = read_litert(self.source)
        self.classes_ = np.array(described["classes"])
        self.image_shape_ = tuple(described["image_shape"])
        self.n_features_in_ = self.image_shape_[0] * self.image_shape_[1]
        self.pixel_range_ = tuple(described["pixel_range"])
        self._predict_batch = LiteRTNetwork(model, n_threads=self.n_threads)
        return self

    def fit(self, X, y=None):
        """Refuse: this runtime only predicts.

        Raises
        ------
        NotImplementedError
            Always.
        """
        raise NotImplementedError(
            "LiteRTClassifier cannot be trained. Train a FERCNNClassifier, such as that of "
            "load_pretrained(runtime='keras')."
        )

    def __sklearn_is_fitted__(self):
        return hasattr(self, "classes_")
