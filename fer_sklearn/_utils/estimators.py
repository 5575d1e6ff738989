"""Shared parts of estimators on images: output, prediction, and unwrapping.

Mixins and base classes come first: tags, tables of pixels, transformers of photos, descriptors of
grey images, and the batch loop of all networks. What keeps an earlier fit, and functions that
unwrap estimators, follow.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, ClassVar, Literal, Self, TypeVar, cast

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .compat import fit_context, output_config
from .litert import average_mirror_images
from .pixel_values import check_pixel_range, to_unit_floats
from .pixels import check_pixels, pixel_names, split_batch
from .typing import ArrayLike, FloatArray, ImagesLike, LabelArray, NDArray, PixelArray
from .validation import check_column_order, check_probabilities, columns_by_class

__all__ = [
    "FeatureNamesMixin",
    "ImageDescriptor",
    "ImageOutputMixin",
    "ImageTagsMixin",
    "PhotoTransformer",
    "PredictionMixin",
    "inner_steps",
    "keeps_fit_on_failure",
    "predicted_probabilities",
    "set_network_attributes",
    "split_pipeline",
    "unwrap",
    "without_steps",
]

_Method = TypeVar("_Method", bound=Callable[..., Any])


class ImageTagsMixin:
    """Tags of an estimator that takes stacks of images and flattened images alike."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.two_d_array = True
        tags.input_tags.three_d_array = True
        return tags


class ImageOutputMixin:
    """`set_output` of a transformer whose output is images.

    A table has one row per image and one column per pixel, named by :func:`pixel_names`.
    ``split_batch`` and ``check_pixels`` recognise these names, so that the next step gets images of
    any shape back. `transform` of a subclass returns the result of :meth:`_as_output`.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # scikit-learn's own tables cannot have more than two dimensions.
        super().__init_subclass__(auto_wrap_output_keys=None, **kwargs)  # type: ignore[call-arg]

    def set_output(self, *, transform: Literal["default", "pandas", "polars"] | None = None) -> Any:
        """Set the container of the output.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"} or None, default=None
            ``"default"``: an array of images. ``"pandas"`` or ``"polars"``: a table with a column
            for each pixel, such as ``pixel_12_40`` for row 12 and column 40; a pandas table has
            the index of the input, if that has one. None changes nothing.

        Returns
        -------
        self
        """
        if transform is not None:
            # The attribute that scikit-learn reads and clone copies.
            self._sklearn_output_config = {"transform": transform}
        return self

    def _as_output(self, X: Any, images: PixelArray, names: Any = None) -> Any:
        """Return images as an array, or as a table with the index of `X`."""
        container = output_config("transform", self)["dense"]
        if container == "default":
            return images
        rows = images.reshape(len(images), -1)
        names = pixel_names(images.shape[1:]) if names is None else names
        if container == "polars":
            import polars

            return polars.DataFrame(rows, schema=list(names), orient="row")
        import pandas as pd

        index = X.index if isinstance(X, (pd.DataFrame, pd.Series)) else None
        return pd.DataFrame(rows, index=index, columns=list(names))


class FeatureNamesMixin:
    """`get_feature_names_out` of a transformer whose ``_feature_names()`` returns the names."""

    @abstractmethod
    def _feature_names(self) -> Sequence[str]: ...

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[Any]:
        """Return the names of the features: the columns of a table of the output.

        Parameters
        ----------
        input_features : ignored
            Present for consistency; feature names do not depend on it.

        Returns
        -------
        ndarray of shape (n_features,), object
            Names, in the order of the columns.
        """
        return np.array(self._feature_names(), dtype=object)


class PhotoTransformer(FeatureNamesMixin, ImageTagsMixin, TransformerMixin, BaseEstimator):
    """Base class of transformers of photos of any kind and size.

    Only the size of arrays is learned, so `transform` works without `fit`. A subclass has
    ``_check_parameters()``, which raises if they are wrong, `transform` and ``_feature_names()``.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {}

    @abstractmethod
    def _check_parameters(self) -> Any: ...

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ImagesLike, y: Any = None) -> Self:
        """Check the parameters and record the size of arrays.

        Parameters
        ----------
        X : batch of photos
            Files are counted, but not read. Rows of pixels are flattened squares.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is wrong, or `X` is one photo without the batch axis.
        """
        self._check_parameters()
        photos = split_batch(X, labelled=y is not None)
        shapes = {photo.shape[:2] if isinstance(photo, np.ndarray) else None for photo in photos}
        self.image_shape_ = shapes.pop() if len(shapes) == 1 else None
        check_column_order(self, X, reset=True)
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True
        tags.input_tags.positive_only = True
        tags.transformer_tags.preserves_dtype = []
        return tags


class ImageDescriptor(FeatureNamesMixin, ImageTagsMixin, TransformerMixin, BaseEstimator):
    """A transformer from grey images to features, stateless unless `fit` learns from the images.

    A subclass has ``_check_size()``, which raises if ``image_shape_`` is too small for its
    parameters; ``_describe(images)``, from images of shape (n, h, w) to float32 features of shape
    (n, n_features); and ``_feature_names()``, which returns their names in order. It may have
    ``_mirrored(features)``, if features of images determine those of their mirror images, and
    ``_learn(images)``, with the tag ``requires_fit``.
    """

    @abstractmethod
    def _check_size(self) -> None: ...

    @abstractmethod
    def _describe(self, images: PixelArray) -> FloatArray: ...

    def _learn(self, images: PixelArray) -> None:
        """Learn what `_describe` needs from images of shape (n, h, w)."""

    def _mirrored(self, features: FloatArray) -> FloatArray | None:
        """Return the features of the mirror images, or None if `features` do not determine them."""
        return None

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Check the parameters and record the image size.

        Parameters
        ----------
        X : array-like of shape (n_samples, h, w), (n_samples, h, w, 1) or (n_samples, h * w)
            Grey images, uint8 or float.
        y : ignored
            Present for consistency.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the images are too small for the parameters, or `X` is not a stack of grey images.
        """
        images = check_pixels(self, X, reset=True, keep_float64=True, labelled=y is not None)
        self._check_size()
        self._learn(images)
        return self

    def transform(self, X: ArrayLike) -> FloatArray:
        """Extract the features.

        Parameters
        ----------
        X : array-like of shape (n_samples, h, w), (n_samples, h, w, 1) or (n_samples, h * w)
            Grey images, uint8 or float; if `fit` learns from images, of their size and range.

        Returns
        -------
        ndarray of shape (n_samples, n_features), float32
            Features.
        """
        check_is_fitted(self)
        self._validate_params()
        return self._describe(check_pixels(self, X, reset=False, keep_float64=True))

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[Any]:
        check_is_fitted(self, "image_shape_")
        return super().get_feature_names_out(input_features)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.transformer_tags.preserves_dtype = []
        return tags


class PredictionMixin:
    """`predict` and `predict_proba` of a classifier whose ``_predict_batch`` computes a batch.

    That method takes ``(n, h, w, 1)`` float32, or ``(n, h, w, 3)`` if the network was fitted on
    colour, and returns ``(n, n_classes)`` probabilities. The class has the attributes that
    :func:`set_network_attributes` sets, `test_time_augmentation`, and ``_images_at_a_time``, the
    batch size.
    """

    classes_: LabelArray
    image_shape_: tuple[int, int]
    pixel_range_: tuple[float, float]
    test_time_augmentation: bool | None
    _images_at_a_time: int
    _predict_batch: Callable[[FloatArray], FloatArray]

    def predict(self, X: ImagesLike) -> LabelArray:
        """Predict the label of each image.

        Parameters
        ----------
        X : batch of n images
            As in :meth:`predict_proba`.

        Returns
        -------
        ndarray of shape (n,)
        """
        return self.predict_from_proba(self.predict_proba(X))

    def predict_from_proba(self, y_proba: ArrayLike) -> LabelArray:
        """Return the labels that `predict` derives from probabilities.

        Parameters
        ----------
        y_proba : array-like of shape (n, n_classes)
            As `predict_proba` returns them, or a DataFrame with a column named after each class.

        Returns
        -------
        ndarray of shape (n,)
            The most probable label of each row.
        """
        y_proba = columns_by_class(y_proba, self.classes_, "y_proba")
        return self.classes_[np.argmax(np.asarray(y_proba), axis=1)]

    def predict_proba(self, X: ArrayLike) -> FloatArray:
        """Predict the probability of each label.

        Parameters
        ----------
        X : array-like of shape (n, h, w), (n, h, w, 1 | 3) or (n, h * w), or list of photos
            Images of the fitted size. Paths, bytes and Pillow images are converted to grey, or to
            RGB for a network that was fitted on colour.

        Returns
        -------
        ndarray of shape (n, n_classes), float32
            In the order of ``classes_``; each row sums to one.
        """
        check_is_fitted(self)
        return self._checked_proba(self._check_images(X))

    def _check_images(self, X):
        """Check the images in `X`, once per prediction."""
        pixels = check_pixels(self, X, reset=False)
        check_pixel_range(pixels, self.pixel_range_, type(self).__name__)
        return pixels

    def _checked_proba(self, pixels):
        """Predict probabilities for images that :meth:`_check_images` returned."""
        step = self._images_at_a_time
        batches = [self._batch_proba(pixels[i : i + step]) for i in range(0, len(pixels), step)]
        y_proba = np.concatenate(batches)
        if not np.isfinite(y_proba).all():
            rows = np.flatnonzero(~np.isfinite(y_proba).all(axis=1))
            raise ValueError(
                f"The network of {type(self).__name__} returned NaN for {len(rows)} of "
                f"{len(pixels)} image(s), the first X[{rows[0]}]; expected probabilities. Its "
                f"training diverged, or its file is damaged: fit it with a lower learning rate, or "
                f"load it again."
            )
        return y_proba

    def _batch_proba(self, pixels):
        """Return the probabilities of one batch."""
        images = self._network_input(pixels)
        if self._averages_mirror_images():
            return average_mirror_images(self._predict_batch, images)
        return self._predict_batch(images)

    def _averages_mirror_images(self):
        return self.test_time_augmentation

    def _network_input(self, pixels):
        """Return one batch of checked images as the network takes it."""
        return to_unit_floats(pixels)


def keeps_fit_on_failure(method: _Method) -> _Method:
    """Let a method that trains leave the estimator as it was if it fails or is interrupted.

    The model of an earlier fit would otherwise predict with the labels of the new data.
    """

    @wraps(method)
    def train(estimator, *args, **kwargs):
        before = dict(vars(estimator))
        try:
            return method(estimator, *args, **kwargs)
        except BaseException:
            vars(estimator).clear()
            vars(estimator).update(before)
            raise

    return cast(_Method, train)


def set_network_attributes(
    estimator: Any,
    *,
    classes: ArrayLike,
    image_shape: Iterable[int],
    pixel_range: Iterable[float],
) -> None:
    """Set the fitted attributes that every classifier with a network has.

    Sets ``classes_``, ``image_shape_`` (height and width), ``n_features_in_`` (their product),
    ``n_channels_`` (1, since such networks take grey images) and ``pixel_range_`` (the lowest and
    highest pixel in training).

    Parameters
    ----------
    estimator : estimator object
    classes : array-like of shape (n_classes,)
        The labels, sorted.
    image_shape : iterable of two int
    pixel_range : iterable of two float
    """
    height, width = image_shape
    low, high = pixel_range
    estimator.classes_ = np.asarray(classes)
    estimator.image_shape_ = (int(height), int(width))
    estimator.n_channels_ = 1
    estimator.n_features_in_ = int(height) * int(width)
    estimator.pixel_range_ = (float(low), float(high))


def predicted_probabilities(estimator: Any, X: Any) -> tuple[FloatArray, LabelArray]:
    """Return the checked probabilities that a fitted classifier predicts, and its classes.

    Parameters
    ----------
    estimator : fitted classifier
    X : batch of images
        Anything that `estimator` accepts.

    Returns
    -------
    proba : ndarray of shape (n_samples, n_classes), float64
    classes : ndarray of shape (n_classes,)

    Raises
    ------
    TypeError
        If the classifier has no ``predict_proba``.
    ValueError
        If its output is not probabilities.
    """
    if not hasattr(estimator, "predict_proba"):
        raise TypeError(
            f"estimator is {type(estimator).__name__}, which has no predict_proba; expected a "
            f"classifier that predicts probabilities. Wrap it in "
            f"sklearn.calibration.CalibratedClassifierCV, or set its probability=True."
        )
    classes = np.asarray(estimator.classes_)
    proba = check_probabilities(
        estimator.predict_proba(X), classes=classes, name="predict_proba(X)"
    )
    return proba, classes


def unwrap(estimator: Any) -> Any | None:
    """Return the fitted estimator inside a wrapper, one level deep.

    Wrappers are searches, FrozenEstimator, CalibratedClassifierCV of one fitted estimator, and
    those that keep one as ``estimator_``, such as AbstainingClassifier. A Pipeline is not a
    wrapper; see :func:`split_pipeline`.

    Parameters
    ----------
    estimator : estimator object

    Returns
    -------
    estimator object or None
        None if `estimator` is not a wrapper, is not fitted, or contains several estimators.
    """
    if isinstance(estimator, FrozenEstimator):
        return estimator.estimator
    if hasattr(estimator, "calibrated_classifiers_"):
        inner = [fitted.estimator for fitted in estimator.calibrated_classifiers_]
        return inner[0] if len(inner) == 1 else None
    for name in ("best_estimator_", "estimator_"):
        # Ensembles keep the template that they clone as estimator_, along with estimators_.
        if hasattr(estimator, name) and not hasattr(estimator, "estimators_"):
            return getattr(estimator, name)
    return None


def split_pipeline(
    estimator: Any, types: type | tuple[type, ...] | None = None
) -> tuple[list, Any]:
    """Split an estimator into its transformers and its final predictor.

    Parameters
    ----------
    estimator : estimator object
        A Pipeline, a search or FrozenEstimator around one, or any other estimator.
    types : type, tuple of type or None, default=None
        Only leading steps of these types are split off. If None, all steps but the last are split
        off, and pipelines and wrappers are opened at any depth, as by :func:`unwrap`.

    Returns
    -------
    transformers : list of estimator
        In order, without ``"passthrough"``.
    classifier : estimator object
        The last step or, with `types`, the Pipeline of the remaining steps; the last step always
        remains. `estimator` itself if it is not a Pipeline.
    """
    if types is None:
        return _open_all(estimator)
    while isinstance(estimator, FrozenEstimator) or hasattr(estimator, "best_estimator_"):
        estimator = unwrap(estimator)
    if not isinstance(estimator, Pipeline):
        return [], estimator
    steps = [step for _, step in estimator.steps]
    n_split = 0
    while n_split < len(steps) - 1 and (
        _is_passthrough(steps[n_split]) or isinstance(steps[n_split], types)
    ):
        n_split += 1
    split = [step for step in steps[:n_split] if not _is_passthrough(step)]
    return split, estimator[n_split:]


def inner_steps(estimator: Any, types: type | tuple[type, ...]) -> list[Any]:
    """Return the estimators of some types inside another one, at any depth.

    Parameters
    ----------
    estimator : estimator object
        Such as a CalibratedClassifierCV or an ensemble of pipelines.
    types : type or tuple of type
    """
    found: list[Any] = []
    seen: set[int] = set()
    pending = deque([estimator])
    while pending:
        value = pending.popleft()
        if isinstance(value, types):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            pending.extend(value)
        elif id(value) not in seen and _has_steps(value):
            seen.add(id(value))
            pending.extend(vars(value).values())
    return found


def _has_steps(value):
    # The parts of a CalibratedClassifierCV have predict_proba alone.
    is_estimator = hasattr(value, "predict") or hasattr(value, "predict_proba")
    return isinstance(value, Pipeline) or (is_estimator and hasattr(value, "__dict__"))


def without_steps(estimator: Any, steps: Iterable[Any]) -> Any:
    """Return a copy of an estimator in which some steps of its pipelines are passed through."""
    replaced: dict[int, Any] = {id(step): "passthrough" for step in steps}
    return copy.deepcopy(estimator, replaced) if replaced else estimator


def _open_all(estimator):
    transformers = []
    while True:
        if isinstance(estimator, Pipeline):
            *before, estimator = [step for _, step in estimator.steps]
            transformers += [step for step in before if not _is_passthrough(step)]
        elif (inner := unwrap(estimator)) is not None:
            if hasattr(estimator, "get_support"):  # RFE fits its estimator on some of the features
                transformers.append(estimator)
            estimator = inner
        else:
            return transformers, estimator


def _is_passthrough(step):
    return step is None or (isinstance(step, str) and step == "passthrough")
