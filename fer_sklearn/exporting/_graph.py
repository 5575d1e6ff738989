"""The network with what comes before it: from RGB faces to probabilities, in one graph."""

from dataclasses import dataclass

import keras
from keras import ops
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ..cnn import FERCNNClassifier
from ..cnn._fit import network_spec
from ..cnn.architectures import leaf_layers
from ..faces import FaceCropper
from ..inference import LiteRTClassifier
from ..preprocessing import GrayscaleResizer, PixelNormalizer

__all__ = ["FacesToPixels", "Parts", "serving_model", "take_apart"]

_EXPECTED = (
    "a fitted FERCNNClassifier, or a pipeline of FaceCropper, GrayscaleResizer, PixelNormalizer "
    "(each optional, in this order) and one, as make_cnn_pipeline() and load_pretrained() give"
)
_ORDER = (FaceCropper, GrayscaleResizer, PixelNormalizer, FERCNNClassifier)


# OpenCV's weights of red, green and blue, in units of 2^-15.
_LUMA, _LUMA_SHIFT = (9798.0, 19235.0, 3735.0), 2.0**15
# The cubic of OpenCV, with this slope where the inner pieces meet the outer ones (Keys 1981).
_CUBIC_SLOPE = -0.75


@dataclass(frozen=True)
class Parts:
    """The steps of a pipeline; None for one that it does not have."""

    cropper: FaceCropper | None
    resizer: GrayscaleResizer | None
    normalizer: PixelNormalizer | None
    classifier: FERCNNClassifier  # in full precision

    @property
    def takes_faces(self):
        """Whether faces of any size come in, or pixels as the classifier wants them."""
        return self.resizer is not None

    @property
    def method(self):
        """How pixels are normalised."""
        return "unit" if self.normalizer is None else self.normalizer.method

    def predict_proba(self, images):
        """Return what the steps after the cropper answer: what an export must answer too."""
        steps = (self.resizer, self.normalizer)
        for step in steps:
            images = images if step is None else step.transform(images)
        return self.classifier.predict_proba(images)


def take_apart(estimator, *, allow_custom_layers=False):
    """Return the steps of an estimator that can be exported.

    Parameters
    ----------
    estimator : estimator object
        A fitted FERCNNClassifier, a pipeline that ends in one, or a search whose best
        estimator is one of these.
    allow_custom_layers : bool, default=False
        Whether the network may have layers that are not Keras's own.

    Returns
    -------
    Parts

    Raises
    ------
    TypeError
        For anything else; the message says what can be exported.
    NotFittedError
        If it is not fitted.
    ValueError
        For a layer or a normalisation that other runtimes do not know.
    """
    estimator = getattr(estimator, "best_estimator_", estimator)
    steps = (
        [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    )
    steps = [step for step in steps if step is not None and step != "passthrough"]
    by_type = dict.fromkeys(_ORDER)
    for step in steps:
        if type(step) not in by_type:
            raise TypeError(_refusal(step))
        by_type[type(step)] = step
    kinds = [type(step) for step in steps]
    if kinds != [kind for kind in _ORDER if kind in kinds] or kinds[-1:] != [FERCNNClassifier]:
        names = ", ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"estimator has the steps {names}; expected {_EXPECTED}.")
    cropper, resizer, normalizer, classifier = by_type.values()
    _check_fitted(classifier)
    if not allow_custom_layers:
        _check_layers(classifier.model_)
    _check_method(normalizer)
    return Parts(cropper, resizer, normalizer, _in_full_precision(classifier))


def _refusal(step):
    name = type(step).__name__
    if isinstance(step, LiteRTClassifier):
        remedy = "Export load_pretrained(runtime='keras') instead."
    elif hasattr(step, "estimator") and not hasattr(step, "best_estimator_"):
        remedy = "Fit the search first; its best estimator is then exported."
    else:
        remedy = (
            "Only networks can be exported; keep this one in Python with fer_sklearn.save, or "
            "train a small network: FERCNNClassifier(architecture='resnet_se_tiny')."
        )
    return f"estimator has a {name}, which cannot be exported; expected {_EXPECTED}. {remedy}"


def _check_fitted(classifier):
    try:
        check_is_fitted(classifier)
    except NotFittedError:
        raise NotFittedError(
            "estimator is not fitted, and has no weights to export. Call fit first, or take "
            "load_pretrained()."
        ) from None


def _check_layers(model):
    """Refuse layers whose code is not Keras's: a runtime elsewhere may not know what they do."""
    custom = {
        f"{layer.name!r} ({type(layer).__module__}.{type(layer).__name__})"
        for layer in leaf_layers(model)
        if not type(layer).__module__.startswith(("keras.", "fer_sklearn."))
        or isinstance(layer, keras.layers.Lambda)
    }
    if custom:
        raise ValueError(
            f"The network has layers that are not Keras's own: {', '.join(sorted(custom))}. Build "
            f"it of keras.layers, or pass allow_custom_layers=True to translate the operations in "
            f"them; the check after the export tells whether that went well."
        )


def _check_method(normalizer):
    if normalizer is not None and normalizer.method not in ("unit", "standard"):
        raise ValueError(
            f"normalize has method={normalizer.method!r}, which no exported format holds; expected "
            f"'unit' or 'standard'. Train with one of these, or export the last step alone and "
            f"normalise pixels where it is used."
        )


def _in_full_precision(classifier):
    """Return the classifier with a float32 network, which is what other runtimes compute in."""
    if classifier.dtype_policy == "float32":
        return classifier
    state = classifier.__getstate__()
    twin = FERCNNClassifier(**{**classifier.get_params(deep=False), "dtype_policy": "float32"})
    twin.classes_, twin.image_shape_ = classifier.classes_, classifier.image_shape_
    model = network_spec(twin)[0].build()
    model.set_weights(classifier.model_.get_weights())
    twin.__setstate__({**state, "dtype_policy": "float32", "model_": model})
    return twin


def serving_model(parts, *, channels=3, size=None, batch_size=None):
    """Make the network that is exported.

    Parameters
    ----------
    parts : Parts
    channels : {3, 1}, default=3
        3: RGB in 0..255. 1: grey in 0..255, already of the network's size. Ignored where
        `parts` take no faces but pixels.
    size : (int, int) or None, default=None
        Height and width of what comes in; None leaves them open.
    batch_size : int or None, default=None
        None leaves it open.

    Returns
    -------
    keras.Model
        From ``(batch_size, height, width, channels)`` float32 to probabilities.
    """
    classifier = parts.classifier
    if not parts.takes_faces:
        channels, size = 1, classifier.image_shape_
    faces = keras.Input((*(size or (None, None)), channels), batch_size=batch_size, name="faces")
    if parts.takes_faces:
        pixels = FacesToPixels(classifier.image_shape_, parts.method)(faces)
    else:
        pixels = Normalized(parts.method)(faces) if parts.normalizer is not None else faces
    network = classifier.model_
    if classifier.test_time_augmentation:
        probabilities = MeanOfPairs()(network(WithMirrorImages()(pixels)))
    else:
        probabilities = network(pixels)
    return keras.Model(faces, probabilities, name="faces_to_emotions")


@keras.saving.register_keras_serializable("fer_sklearn")
class FacesToPixels(keras.Layer):
    """What GrayscaleResizer and PixelNormalizer do, to a level of grey, in any runtime.

    Scaling is two products with matrices, made of the size that comes in, so that no
    runtime's own idea of scaling matters.

    Parameters
    ----------
    size : (int, int)
        Height and width to scale to.
    method : {"unit", "standard"}
        As in :class:`~fer_sklearn.PixelNormalizer`.
    """

    def __init__(self, size, method, **kwargs):
        super().__init__(**kwargs)
        self.size, self.method = tuple(size), method

    def call(self, faces):
        images = _gray(faces) if faces.shape[-1] == 3 else faces[..., 0]
        if tuple(faces.shape[1:3]) != self.size:
            images = _scaled(images, self.size)
        return _normalized(images[..., None] / 255.0, self.method)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.size, 1)

    def get_config(self):
        return {**super().get_config(), "size": self.size, "method": self.method}


@keras.saving.register_keras_serializable("fer_sklearn")
class Normalized(keras.Layer):
    """What PixelNormalizer does to floats."""

    def __init__(self, method, **kwargs):
        super().__init__(**kwargs)
        self.method = method

    def call(self, pixels):
        return _normalized(pixels, self.method)

    def get_config(self):
        return {**super().get_config(), "method": self.method}


@keras.saving.register_keras_serializable("fer_sklearn")
class WithMirrorImages(keras.Layer):
    """Append the mirror image of each image of a batch."""

    def call(self, images):
        return ops.concatenate([images, ops.flip(images, axis=2)], axis=0)

    def compute_output_shape(self, input_shape):
        n, *rest = input_shape
        return (n and 2 * n, *rest)


@keras.saving.register_keras_serializable("fer_sklearn")
class MeanOfPairs(keras.Layer):
    """Average the first half of a batch with the second."""

    def call(self, answers):
        return ops.mean(ops.reshape(answers, (2, -1, answers.shape[-1])), axis=0)

    def compute_output_shape(self, input_shape):
        n, *rest = input_shape
        return (n and n // 2, *rest)


def _gray(faces):
    """Turn RGB in 0..255 into grey with OpenCV's integer arithmetic, exact in float32."""
    red, green, blue = (faces[..., index] for index in range(3))
    weighted = _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue
    return ops.floor((weighted + _LUMA_SHIFT / 2) / _LUMA_SHIFT)


def _normalized(pixels, method):
    if method == "unit":
        return pixels
    axes = (1, 2, 3)
    pixels = pixels - ops.mean(pixels, axis=axes, keepdims=True)
    spread = ops.sqrt(ops.mean(ops.square(pixels), axis=axes, keepdims=True))
    # A flat image has no spread, and becomes zero.
    return pixels / ops.where(spread > 1e-6, spread, ops.ones_like(spread))


def _scaled(images, size):
    """Scale (n, h, w) to whole levels of grey, as OpenCV does by areas or by cubics."""
    known, (height, width) = images.shape[1:], size
    now = [fixed or ops.shape(images)[1:][axis] for axis, fixed in enumerate(known)]
    # Sums of areas are whole numbers, exact in float32, until they are divided by all of it.
    area = ops.cast(now[0], "float32") * ops.cast(now[1], "float32")
    if None in known:
        shrinks = ops.logical_and(now[0] >= height, now[1] >= width)
        rows, columns = (
            ops.where(shrinks, _areas(n, target), _cubics(n, target))
            for n, target in zip(now, size, strict=True)
        )
        divisor = ops.where(shrinks, area, ops.ones_like(area))
    else:
        shrinks = now[0] >= height and now[1] >= width
        how, divisor = (_areas, area) if shrinks else (_cubics, 1.0)
        rows, columns = (how(n, target) for n, target in zip(now, size, strict=True))
    # Plain products of matrices, since not every runtime has products of stacks.
    for n, target, matrix in zip(now[::-1], size[::-1], (columns, rows), strict=True):
        lines = ops.matmul(ops.reshape(images, (-1, n)), matrix)
        other = now[0] if matrix is columns else width
        images = ops.transpose(ops.reshape(lines, (-1, other, target)), (0, 2, 1))
    return ops.clip(ops.round(images / divisor + _half_up(now, size)), 0.0, 255.0)


def _half_up(now, size):
    """Return what makes halves round up, as OpenCV does where it averages two by two."""
    halved = [ops.equal(n, 2 * target) for n, target in zip(now, size, strict=True)]
    return 1e-3 * ops.cast(ops.logical_and(*halved), "float32")


def _areas(n, target):
    """Return the (n, target) matrix that sums areas: how much of each pixel is in each.

    In units of which n make a pixel of the result, and `target` one of the source.
    """
    n = ops.cast(n, "float32")
    source = _count(n)[:, None] * target
    result = _count(target)[None] * n
    overlap = ops.minimum(result + n, source + target) - ops.maximum(result, source)
    return ops.maximum(overlap, 0.0)


def _cubics(n, target):
    """Return the (n, target) matrix that interpolates by cubics, the border being continued."""
    n = ops.cast(n, "float32")
    # Centres of the result's pixels in those of the source, in units of 1 / (2 target): integers.
    centres = (2.0 * _count(target) + 1.0) * n - target
    first = ops.floor(centres / (2.0 * target)) - 1.0
    source = _count(n)[:, None]
    matrix = 0.0
    for tap in range(4):
        position = first + tap
        weight = _cubic(ops.abs(centres - 2.0 * target * position) / (2.0 * target))
        place = ops.minimum(ops.maximum(position, 0.0), n - 1.0)
        here = ops.cast(ops.abs(source - place[None]) < 0.5, "float32")
        matrix = matrix + here * weight[None]
    return matrix


def _count(n):
    return ops.cast(ops.arange(n), "float32")


def _cubic(distance):
    a, d = _CUBIC_SLOPE, distance
    inner = ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
    outer = ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a
    return ops.where(d <= 1.0, inner, outer)
