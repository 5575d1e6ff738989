"""The exported graph, from faces to probabilities, and its description in the metadata file."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import keras
from keras import ops
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .. import __version__
from .._utils.typing import Estimator, FloatArray
from ..cnn import FERCNNClassifier
from ..cnn.architectures import leaf_layers
from ..faces import BlazeFaceDetector, FaceCropper
from ..faces._detect import described
from ..inference import METADATA_VERSION, InferenceClassifier
from ..preprocessing import GrayscaleResizer, PixelNormalizer, RGBResizer
from ..weights import SHIPPED, read_description, split_name

__all__ = ["FacesToPixels", "PipelineParts", "describe", "serving_model", "take_apart"]

_EXPECTED = (
    "a fitted FERCNNClassifier, alone or after FaceCropper, GrayscaleResizer and PixelNormalizer "
    "(each optional, in this order), such as make_cnn_pipeline() and load_pretrained() return"
)
_ORDER = (FaceCropper, GrayscaleResizer, PixelNormalizer, FERCNNClassifier)

# OpenCV's weights of red, green and blue, in units of 2^-15.
_LUMA, _LUMA_SHIFT = (9798.0, 19235.0, 3735.0), 2.0**15
# The slope of OpenCV's cubic where its inner pieces meet the outer ones (Keys 1981).
_CUBIC_SLOPE = -0.75
# Both, in words for the metadata file.
_STEPS = {
    "gray": "(9798 red + 19235 green + 3735 blue + 16384) / 32768, rounded down (ITU-R BT.601)",
    "resize": "areas averaged along sides that shrink, cubics (slope -0.75) along others, rounded",
}
_NORMALIZE = {
    "unit": "pixels / 255",
    "standard": "pixels / 255, then minus the image's mean, divided by its standard deviation",
}


@dataclass(frozen=True)
class PipelineParts:
    """The steps of a pipeline, None for a missing one."""

    cropper: FaceCropper | None
    resizer: GrayscaleResizer | None
    normalizer: PixelNormalizer | None
    classifier: FERCNNClassifier  # in full precision

    @property
    def takes_faces(self) -> bool:
        """Whether the input is faces of any size, rather than pixels for the classifier."""
        return self.resizer is not None

    @property
    def method(self) -> str:
        """How pixels are normalised."""
        return "unit" if self.normalizer is None else self.normalizer.method

    @property
    def pixel_range(self) -> tuple[float, float]:
        """Lowest and highest value of the input."""
        if self.takes_faces:
            return 0, 255
        # The range of the classifier is that of its own input, which is normalised already.
        return (0.0, 1.0) if self.normalizer is not None else self.classifier.pixel_range_

    def predict_proba(self, images: Any) -> FloatArray:
        """Return the output of the steps after the cropper, which an export must reproduce."""
        for step in (self.resizer, self.normalizer):
            images = images if step is None else step.transform(images)
        return self.classifier.predict_proba(images)


def take_apart(estimator: Estimator, *, allow_custom_layers: bool = False) -> PipelineParts:
    """Return the steps of an estimator that can be exported.

    Parameters
    ----------
    estimator : estimator object
        A fitted FERCNNClassifier, a pipeline that ends in one, or a search whose best
        estimator is one of these.
    allow_custom_layers : bool, default=False
        Whether the network may have layers that are not part of Keras.

    Raises
    ------
    TypeError
        If `estimator` is anything else.
    NotFittedError
        If it is not fitted.
    ValueError
        If other runtimes do not support a layer or the normalisation, or the network takes colour.
    """
    estimator = getattr(estimator, "best_estimator_", estimator)
    steps = (
        [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    )
    steps = [step for step in steps if step is not None and step != "passthrough"]
    by_type: dict[type, Any] = dict.fromkeys(_ORDER)
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
    if classifier.n_channels_ != 1:
        raise ValueError(
            "the network was fitted on images in colour, and exports take grey faces. Fit it on "
            "grey images, after a GrayscaleResizer; or save the pipeline with fer_sklearn.save, or "
            "the network alone with model_.export."
        )
    if not allow_custom_layers:
        _check_layers(classifier.model_)
    _check_method(normalizer)
    return PipelineParts(cropper, resizer, normalizer, classifier.to_float32())


def _refusal(step: Any) -> str:
    name = type(step).__name__
    if isinstance(step, InferenceClassifier):
        remedy = "Export load_pretrained(runtime='keras') instead."
    elif hasattr(step, "estimator") and not hasattr(step, "best_estimator_"):
        remedy = "Fit the search first; its best estimator is then exported."
    elif isinstance(step, RGBResizer):
        remedy = "Exports take grey faces: train the network after a GrayscaleResizer."
    else:
        remedy = (
            "Only networks can be exported. Use fer_sklearn.save to keep this model in Python, or "
            "train a small network: FERCNNClassifier(architecture='resnet_se_tiny')."
        )
    return f"estimator has a {name}, which cannot be exported; expected {_EXPECTED}. {remedy}"


def _check_fitted(classifier: FERCNNClassifier) -> None:
    try:
        check_is_fitted(classifier)
    except NotFittedError:
        raise NotFittedError(
            "estimator is not fitted, so it has no weights to export. Call fit first, or use "
            "load_pretrained()."
        ) from None


def _check_layers(model: keras.Model) -> None:
    """Raise for custom layers: other runtimes may not support what their code does."""
    custom = {
        f"{layer.name!r} ({type(layer).__module__}.{type(layer).__name__})"
        for layer in leaf_layers(model)
        if not type(layer).__module__.startswith(("keras.", "fer_sklearn."))
        or isinstance(layer, keras.layers.Lambda)
    }
    if custom:
        raise ValueError(
            f"The network has custom layers: {', '.join(sorted(custom))}. Build it from "
            f"keras.layers, or pass allow_custom_layers=True to convert their operations; the "
            f"comparison after the export shows whether that worked."
        )


def _check_method(normalizer: PixelNormalizer | None) -> None:
    if normalizer is not None and normalizer.method not in ("unit", "standard"):
        raise ValueError(
            f"normalize has method={normalizer.method!r}, which no exported format supports; "
            f"expected 'unit' or 'standard'. Train with one of these, or export only the last "
            f"step and normalise images yourself."
        )


def serving_model(
    parts: PipelineParts,
    *,
    channels: int = 3,
    size: tuple[int, int] | None = None,
    batch_size: int | None = None,
) -> keras.Model:
    """Build the network to export.

    Parameters
    ----------
    parts : PipelineParts
    channels : {3, 1}, default=3
        3: RGB in 0..255. 1: grey in 0..255, already of the network's size. Ignored if the
        input is pixels rather than faces.
    size : (int, int) or None, default=None
        Height and width of the input. If None, the model takes any size.
    batch_size : int or None, default=None
        If None, the model takes any batch size.

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


def describe(
    parts: PipelineParts,
    model: keras.Model,
    *,
    format: str,
    precision: str,
    accuracy: Any,
    license: Any,
) -> dict[str, Any]:
    """Describe an exported network.

    Parameters
    ----------
    parts : PipelineParts
    model : keras.Model
        From :func:`serving_model`.
    format, precision : str
    accuracy, license : JSON-serialisable object or None
        If None, those of the pretrained model, or nothing.

    Returns
    -------
    dict
        JSON-serialisable.
    """
    classifier = parts.classifier
    shipped = _shipped(classifier)
    batch, *sides, channels = model.input_shape
    is_numeric = classifier.classes_.dtype.kind in "biuf"
    kind = "pixels" if not parts.takes_faces else "rgb" if channels == 3 else "gray"
    return {
        "format": format,
        "precision": precision,
        "version": METADATA_VERSION,
        "written_with": {
            name: __version__ if name == "fer_sklearn" else version(name)
            for name in ("fer_sklearn", "tensorflow", "keras")
        },
        "labels": [str(label) for label in classifier.classes_],
        # For load_exported, so that predictions equal the labels that the model was fitted on.
        "numeric_labels": classifier.classes_.tolist() if is_numeric else None,
        "label_set": shipped.get("labels"),
        "input": {
            "kind": kind,
            "layout": "NHWC",
            "shape": [batch, *sides, channels],
            "dtype": "uint8" if precision == "int8" else "float32",
            "range": list(parts.pixel_range),
            "model_size": list(classifier.image_shape_),
        },
        "output": {
            "shape": [batch, len(classifier.classes_)],
            "dtype": "uint8" if precision == "int8" else "float32",
            "meaning": "probabilities, in the order of labels",
        },
        "preprocessing": _preprocessing(parts, kind, sides),
        "mirror_average": classifier.test_time_augmentation,
        "crop": _crop(parts, format),
        "accuracy": shipped.get("accuracy") if accuracy is None else accuracy,
        "licence": shipped.get("licence") if license is None else license,
    }


def _shipped(classifier: FERCNNClassifier) -> dict[str, Any]:
    """Return the description of a pretrained network, unless it was trained further."""
    name = classifier.initial_weights
    if isinstance(name, str) and split_name(name)[0] in SHIPPED and classifier.n_iter_ == 0:
        return read_description(name)
    return {}


def _preprocessing(parts: PipelineParts, kind: str, sides: Sequence[int | None]) -> dict[str, Any]:
    """Return which preprocessing steps are part of the graph, and which come before it."""
    steps = {"normalize": _NORMALIZE[parts.method]}
    if not parts.takes_faces:
        inside = ["normalize"] if parts.normalizer is not None else []
        return {"steps": steps if inside else {}, "in_the_graph": inside, "before_it": []}
    steps = {**_STEPS, **steps}
    inside = ["normalize"] if kind == "gray" else ["gray", "normalize"]
    if kind == "rgb" and tuple(sides) != tuple(parts.classifier.image_shape_):
        inside.insert(1, "resize")
    before = [name for name in steps if name not in inside]
    return {"steps": steps, "in_the_graph": inside, "before_it": before}


def _crop(parts: PipelineParts, format: str) -> dict[str, Any] | None:
    """Return how faces are cropped from a photo before they enter the graph."""
    if not parts.takes_faces:
        return None
    cropper = parts.cropper or FaceCropper()
    detector = cropper.detector
    if isinstance(detector, str):
        name = detector
    else:
        name = "blazeface" if detector == BlazeFaceDetector() else described(detector)
    if format == "web" and name != "blazeface":
        warnings.warn(
            f"The page detects faces with BlazeFace and its default settings, not with the model's "
            f"detector={name}, so it may find different faces, and frame them differently.",
            stacklevel=4,
        )
        name = "blazeface"
    return {"detector": name, "framing": cropper.framing}


@keras.saving.register_keras_serializable("fer_sklearn")
class FacesToPixels(keras.Layer):
    """GrayscaleResizer and PixelNormalizer, accurate to one level of grey in any runtime.

    Scaling is two products with matrices that are computed from the input size, so that it
    does not depend on how a runtime implements scaling.

    Parameters
    ----------
    size : (int, int)
        Height and width to scale to.
    method : {"unit", "standard"}
        As in :class:`~fer_sklearn.PixelNormalizer`.
    """

    def __init__(self, size: Sequence[int], method: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size, self.method = tuple(size), method

    def call(self, faces: Any) -> Any:
        images = _gray(faces) if faces.shape[-1] == 3 else faces[..., 0]
        if tuple(faces.shape[1:3]) != self.size:
            images = _scaled(images, self.size)
        return _normalized(images[..., None] / 255.0, self.method)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (input_shape[0], *self.size, 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size, "method": self.method}


@keras.saving.register_keras_serializable("fer_sklearn")
class Normalized(keras.Layer):
    """PixelNormalizer for floats."""

    def __init__(self, method: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.method = method

    def call(self, pixels: Any) -> Any:
        return _normalized(pixels, self.method)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "method": self.method}


@keras.saving.register_keras_serializable("fer_sklearn")
class WithMirrorImages(keras.Layer):
    """Append the mirror image of each image of a batch."""

    def call(self, images: Any) -> Any:
        return ops.concatenate([images, ops.flip(images, axis=2)], axis=0)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        n, *rest = input_shape
        return (n and 2 * n, *rest)


@keras.saving.register_keras_serializable("fer_sklearn")
class MeanOfPairs(keras.Layer):
    """Average the first half of a batch with the second."""

    def call(self, outputs: Any) -> Any:
        return ops.mean(ops.reshape(outputs, (2, -1, outputs.shape[-1])), axis=0)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
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
    # A uniform image has no spread, and becomes zero.
    return pixels / ops.where(spread > 1e-6, spread, ops.ones_like(spread))


def _scaled(images, size):
    """Scale (n, h, w) to whole levels of grey, by area or cubic interpolation like OpenCV."""
    known, width = images.shape[1:], size[1]
    now = [fixed or ops.shape(images)[1:][axis] for axis, fixed in enumerate(known)]
    # Sums of areas are integers, exact in float32, until they are divided by the whole area.
    divisor, matrices = 1.0, []
    for n, target, fixed in zip(now, size, known, strict=True):
        side = ops.cast(n, "float32")
        if fixed is None:
            shrinks = n >= target
            matrices.append(ops.where(shrinks, _areas(n, target), _cubics(n, target)))
            divisor = divisor * ops.where(shrinks, side, ops.ones_like(side))
        elif n >= target:
            matrices.append(_areas(n, target))
            divisor = divisor * side
        else:
            matrices.append(_cubics(n, target))
    rows, columns = matrices
    # Products of plain matrices, since not every runtime supports products of stacks.
    for n, target, matrix in zip(now[::-1], size[::-1], (columns, rows), strict=True):
        lines = ops.matmul(ops.reshape(images, (-1, n)), matrix)
        other = now[0] if matrix is columns else width
        images = ops.transpose(ops.reshape(lines, (-1, other, target)), (0, 2, 1))
    return ops.clip(ops.round(images / divisor + _half_up(now, size)), 0.0, 255.0)


def _half_up(now, size):
    """Return an offset that rounds halves up, as OpenCV does when it averages two by two."""
    halved = [ops.equal(n, 2 * target) for n, target in zip(now, size, strict=True)]
    return 1e-3 * ops.cast(ops.logical_and(*halved), "float32")


def _areas(n, target):
    """Return the (n, target) matrix of area interpolation: the overlap of each pair of pixels.

    The unit of length is a pixel of the result divided by n, or of the source by `target`.
    """
    n = ops.cast(n, "float32")
    source = _count(n)[:, None] * target
    result = _count(target)[None] * n
    overlap = ops.minimum(result + n, source + target) - ops.maximum(result, source)
    return ops.maximum(overlap, 0.0)


def _cubics(n, target):
    """Return the (n, target) matrix of cubic interpolation; border pixels are repeated."""
    n = ops.cast(n, "float32")
    # Centres of the result's pixels in source pixels, in units of 1 / (2 target): integers.
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
