"""What of an estimator leaves Python: the steps of a fitted CNN pipeline."""

from dataclasses import dataclass

import keras
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ..cnn import FERCNNClassifier
from ..cnn._fit import network_spec
from ..cnn.architectures import leaf_layers
from ..faces import FaceCropper
from ..inference import LiteRTClassifier
from ..preprocessing import GrayscaleResizer, PixelNormalizer

__all__ = ["Parts", "take_apart"]

_EXPECTED = (
    "a fitted FERCNNClassifier, or a pipeline of FaceCropper, GrayscaleResizer, PixelNormalizer "
    "(each optional, in this order) and one, as make_cnn_pipeline() and load_pretrained() give"
)
_ORDER = (FaceCropper, GrayscaleResizer, PixelNormalizer, FERCNNClassifier)


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
