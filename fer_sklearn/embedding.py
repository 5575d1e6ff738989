"""Embed faces with the bundled networks, without TensorFlow."""

from __future__ import annotations

from functools import lru_cache, partial
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ._utils.compat import Interval
from ._utils.estimators import PhotoTransformer
from ._utils.files import file_version
from ._utils.litert import average_mirror_images
from ._utils.pixel_values import to_unit_floats
from ._utils.pixels import known_shapes
from ._utils.typing import FloatArray, ImagesLike, PathLike
from ._utils.validation import check_column_order
from .images import resize_gray
from .weights import WeightsNetwork, check_embedding, read_description, split_name

__all__ = ["FaceEmbedder"]

_IMAGES_AT_A_TIME = 256


class FaceEmbedder(PhotoTransformer):
    """Turn faces into the embeddings of a bundled network.

    The embedding is the last layer before the labels. Faces with similar expressions have similar
    embeddings, so simple models can learn your own labels from a few dozen faces. It is computed
    with LiteRT, without TensorFlow. Nothing is learned, so `transform` works without `fit`.
    Features are named after the weights or their file, such as ``default_000``.

    Parameters
    ----------
    weights : str or Path, default="default"
        ``"default"``, with 256 features; ``"tiny"``, with 128, which is faster; or
        an ``.npz`` file of :mod:`fer_sklearn.weights` whose LiteRT model returns embeddings.
    test_time_augmentation : bool, default=True
        Whether to average the embeddings of each image and its mirror image, which takes twice as
        long.
    cache : bool, default=True
        Whether to cache embeddings in memory, so that a cross-validation or a search embeds each
        image only once per process. All transformers and classifiers share 64 MiB, enough for
        32,768 faces and their mirror images; the least recently used embeddings are dropped.
    n_threads : int or None, default=None
        Threads per batch. If None, one per processor, at most four.

    Attributes
    ----------
    image_shape_ : (int, int) or None
        Height and width of the images seen in `fit`, if they were arrays of one size.

    See Also
    --------
    fer_sklearn.load_pretrained : The same network as a classifier, whose `fit` learns new labels.

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
        FileNotFoundError
            If there is no such file of weights.
        ValueError
            If an item is not a photo, or the weights are unknown, damaged, return no embeddings,
            or have changed since `fit`.
        """
        self._validate_params()
        check_column_order(self, X, reset=False)
        version = file_version(str(split_name(self.weights)[0]))
        network = _network(str(self.weights), self.n_threads, version)
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

    def _check_parameters(self) -> int:
        """Check the parameters; return the number of features."""
        return check_embedding(read_description(self.weights))

    def _feature_names(self) -> list[str]:
        prefix = Path(str(split_name(self.weights)[0])).stem
        return [f"{prefix}_{i:03}" for i in range(self._check_parameters())]


@lru_cache(maxsize=4)
def _network(
    name: str, n_threads: int | None, version: tuple[str, int, int] | None
) -> WeightsNetwork:
    """Return the network of a file, one for all transformers."""
    return WeightsNetwork(name, n_threads=n_threads)
