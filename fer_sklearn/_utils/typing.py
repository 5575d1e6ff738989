"""Type aliases for signatures. Importing this module loads only NumPy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image
    from sklearn.base import BaseEstimator
    from sklearn.model_selection import BaseCrossValidator

__all__ = [
    "ArrayLike",
    "BoolArray",
    "CrossValidator",
    "Emotion",
    "Estimator",
    "FloatArray",
    "ImageLike",
    "ImagesLike",
    "IntArray",
    "LabelArray",
    "NDArray",
    "PathLike",
    "PixelArray",
    "RandomState",
    "Readable",
    "Scorer",
    "Size",
]


class Readable(Protocol):
    """A file opened for reading bytes."""

    def read(self, size: int = -1, /) -> bytes: ...


#: The emotions of :data:`fer_sklearn.EMOTIONS`. A model may be trained on other labels too, so
#: what a model returns is a ``str``.
Emotion: TypeAlias = Literal["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]

PathLike: TypeAlias = str | os.PathLike[str]

#: Arrays of bool, of signed integers, of float32 or float64, and of pixels: uint8, or float in
#: [0, 1].
BoolArray: TypeAlias = NDArray[np.bool_]
IntArray: TypeAlias = NDArray[np.integer[Any]]
FloatArray: TypeAlias = NDArray[np.floating[Any]]
PixelArray: TypeAlias = NDArray[Any]
#: Labels as estimators return them: strings, or the type of ``y``.
LabelArray: TypeAlias = NDArray[Any]

#: One photo: a path, the bytes of a file, an open file, a PIL image or an array of shape (h, w),
#: (h, w, 3) or (h, w, 4).
ImageLike: TypeAlias = "PathLike | bytes | Readable | Image | NDArray[Any]"

#: Photos in bulk: a sequence, a Series, an object array or one stacked array.
ImagesLike: TypeAlias = "Sequence[Any] | pd.Series | NDArray[Any]"

#: Pixels of one side of a square, or (height, width).
Size: TypeAlias = int | tuple[int, int]

# As text, since NumPy loads its random generators when they are first used.
RandomState: TypeAlias = "int | np.random.RandomState | None"

#: Anything with ``get_params`` and ``fit``: an estimator, a pipeline, a search.
Estimator: TypeAlias = "BaseEstimator"
#: Values of ``cv`` parameters.
CrossValidator: TypeAlias = "int | BaseCrossValidator | Iterable[tuple[IntArray, IntArray]] | None"
#: Values of ``scoring`` parameters for one metric.
Scorer: TypeAlias = str | Callable[..., float]
