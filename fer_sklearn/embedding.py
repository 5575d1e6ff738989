"""Faces to vectors: the embeddings of the bundled networks, without TensorFlow."""

from __future__ import annotations

from functools import lru_cache, partial
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from ._utils.compat import Interval, fit_context
from ._utils.litert import average_mirror_images
from ._utils.pixel_values import to_unit_floats
from ._utils.pixels import ImageTagsMixin, known_shapes
from ._utils.typing import ArrayLike, FloatArray, ImagesLike, NDArray, PathLike
from ._utils.validation import check_column_order
from .images import as_photo_list, common_shape, resize_gray
from .weights import SHIPPED, WeightsNetwork, check_embedding, read_description, split_name

__all__ = ["FaceEmbedder"]

_IMAGES_AT_A_TIME = 256


class FaceEmbedder(ImageTagsMixin, TransformerMixin, BaseEstimator):
    """Describe faces by what a bundled network has learned: its embedding.

    The embedding is the last layer before the labels. Faces with similar expressions have similar
    embeddings, so simple models can learn your own labels from a few dozen faces. It is computed
    with LiteRT, without TensorFlow. Nothing is learned, so `transform` works without `fit`.

    Parameters
    ----------
    weights : str or Path, default="default"
        ``"default"``, with 256 features; ``"tiny"``, with 128, which is faster; or
        an ``.npz`` file of :mod:`fer_sklearn.weights` whose LiteRT model returns embeddings.
    test_time_augmentation : bool, default=True
        Whether to average the embeddings of each image and its mirror image, which takes twice as
        long.
    cache : bool, default=True
        Whether to keep embeddings in memory, so that a cross-validation or a search computes that
        of each image once per process. All transformers and classifiers share 64 MiB, enough for
        32,768 faces and their mirror images; those not used for longest are dropped.
    n_threads : int or None, default=None
        Threads per batch. If None, one per processor, at most four.

    Attributes
    ----------
    image_shape_ : (int, int) or None
        Height and width of the images seen in `fit`, if they were arrays of one size.

    See Also
    --------
    fer_sklearn.load_pretrained : The same network as a classifier, which `fit` gives new labels.

    Notes
    -----
    You can also use the `memory` of a ``Pipeline``, but it only caches what `fit_transform`
    returns, separately for each fold. `cache` recognises single images instead, in any fold, and in
    `transform` too.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from fer_sklearn import FaceEmbedder, make_faces
    >>> X, y = make_faces(70, random_state=0, return_X_y=True)
    >>> FaceEmbedder("tiny").transform(X).shape
    (70, 128)
    >>> model = make_pipeline(FaceEmbedder("tiny"), StandardScaler(), LogisticRegression(C=0.1))
    >>> model.fit(X, y).predict(X).shape
    (70,)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "weights": [str, Path],
        "test_time_augmentation": ["boolean"],
        "cache": ["boolean"],
        "n_threads": [None, Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        weights: PathLike = "default",
        *,
        test_time_augmentation: bool = True,
        cache: bool = True,
        n_threads: int | None = None,
    ) -> None:
        self.weights = weights
        self.test_time_augmentation = test_time_augmentation
        self.cache = cache
        self.n_threads = n_threads

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ImagesLike, y: Any = None) -> FaceEmbedder:
        """Check the parameters and record the size of arrays.

        Parameters
        ----------
        X : batch of faces
            Files are counted, but not read. Rows of pixels are flattened squares.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the weights are unknown, damaged, or return no embeddings.
        FileNotFoundError
            If there is no such file.
        """
        check_embedding(read_description(self.weights))
        self.image_shape_ = common_shape(as_photo_list(X, labelled=y is not None))
        check_column_order(self, X, reset=True)
        return self

    def transform(self, X: ImagesLike) -> FloatArray:
        """Compute the embeddings.

        Parameters
        ----------
        X : list, object array, or ndarray of shape (n, h, w), (n, h, w, 1 | 3 | 4) or (n, h * w)
            Faces of any size, as :class:`~fer_sklearn.GrayscaleResizer` takes them: paths or
            pixels. Put a :class:`~fer_sklearn.FaceCropper` before this step for photos that show
            more than a face.

        Returns
        -------
        ndarray of shape (n, n_features), float32

        Raises
        ------
        ImageReadError
            If a file is missing or damaged; the message names it.
        ValueError
            If an item is not a photo, or the weights are not as in `fit`.
        """
        self._validate_params()
        check_column_order(self, X, reset=False)
        network = _network(str(self.weights), self.n_threads, _modified(self.weights))
        height, width = network.description["image_shape"]
        known = known_shapes(self, (height, width))
        pixels = resize_gray(X, (height, width), known=known, owner=type(self).__name__)
        embed = partial(network.embed, cache=self.cache)
        parts = []
        for start in range(0, len(pixels), _IMAGES_AT_A_TIME):
            images = to_unit_floats(pixels[start : start + _IMAGES_AT_A_TIME])
            parts.append(
                average_mirror_images(embed, images)
                if self.test_time_augmentation
                else embed(images)
            )
        return np.concatenate(parts)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[Any]:
        """Return the names of the features, such as ``default_000``.

        Parameters
        ----------
        input_features : ignored
            Present for consistency; feature names do not depend on it.

        Returns
        -------
        ndarray of shape (n_features,), object
            The name of the weights, or of their file without its suffix, and a number.
        """
        prefix = Path(str(split_name(self.weights)[0])).stem
        n_features = check_embedding(read_description(self.weights))
        return np.array([f"{prefix}_{i:03}" for i in range(n_features)], dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True
        tags.input_tags.positive_only = True
        tags.transformer_tags.preserves_dtype = []
        return tags


@lru_cache(maxsize=4)
def _network(name: str, n_threads: int | None, modified: int) -> WeightsNetwork:
    """Return the network of a file, one for all transformers."""
    return WeightsNetwork(name, n_threads=n_threads)


def _modified(name):
    """Return when a file was modified, so that a new one is read; 0 for those of the package."""
    source = split_name(name)[0]
    path = Path(str(source))
    return 0 if source in SHIPPED or not path.exists() else path.stat().st_mtime_ns
