"""Change a network outside of training: second heads, temperature, batch statistics.

While a second head is trained, the network has one output, the probabilities of both heads side by
side, and so do its targets. Afterwards it is split: ``model_`` predicts the first label set like
any other network, and the second head is stored as two arrays, the kernel and the bias of a dense
layer on the same embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from sklearn.utils.validation import check_is_fitted

from .._utils.cross_validation import best_temperature
from .._utils.estimators import predicted_probabilities
from .._utils.pixel_values import to_unit_floats
from .._utils.pixels import check_pixels
from .._utils.typing import ArrayLike, Estimator, FloatArray, PathLike
from .._utils.validation import check_known_keys, encode_labels
from ..weights import write_weights
from .architectures import ARCHITECTURES, leaf_layers

__all__ = [
    "JointLoss",
    "add_head",
    "embed_with",
    "fit_temperature",
    "joint_metrics",
    "replace_head",
    "save_network",
    "scale_logits",
    "softmax_layer",
    "split_head",
    "update_batch_norm",
]

_NAME = "auxiliary_head"


class JointLoss(keras.losses.Loss):
    """The loss of the first head, plus the cross-entropy of the second times a weight.

    Parameters
    ----------
    loss : keras.losses.Loss
        Loss of the first head.
    n_classes : int
        Number of its outputs; the columns after them are the second head's.
    weight : float
    """

    def __init__(self, loss: keras.losses.Loss, n_classes: int, weight: float) -> None:
        super().__init__()
        self._loss, self._n_classes, self._weight = loss, n_classes, weight

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each image; for the second head, rows of zeros have none."""
        n = self._n_classes
        first = self._loss.call(y_true[:, :n], y_pred[:, :n])
        return first + self._weight * _cross_entropy(y_true[:, n:], y_pred[:, n:])


def joint_metrics(n_classes: int) -> list[Callable[[Any, Any], Any]]:
    """Return the metrics of two heads: the first one's accuracy, and the second one's loss."""

    def accuracy(y_true, y_pred):
        return keras.metrics.categorical_accuracy(y_true[:, :n_classes], y_pred[:, :n_classes])

    def auxiliary_loss(y_true, y_pred):
        return _cross_entropy(y_true[:, n_classes:], y_pred[:, n_classes:])

    return [accuracy, auxiliary_loss]


def _cross_entropy(y_true, y_pred):
    return -ops.sum(y_true * ops.log(ops.maximum(y_pred, keras.config.epsilon())), axis=-1)


def softmax_layer(model: keras.Model) -> keras.layers.Dense:
    """Return the dense layer with a softmax at the end of a network.

    Raises
    ------
    TypeError
        If the network ends in another layer.
    """
    last: Any = model
    while isinstance(last, keras.Model):
        last = last.layers[-1]
    if not (isinstance(last, keras.layers.Dense) and last.activation is keras.activations.softmax):
        raise TypeError(
            f"The network ends in the layer {last.name!r} ({type(last).__name__}); expected a "
            f"Dense layer with activation='softmax'."
        )
    return last


def add_head(model: keras.Model, n_outputs: int) -> keras.Model:
    """Add a second head to a network, on the input of its last layer.

    Parameters
    ----------
    model : keras.Model
        Ends in a dense layer with a softmax. Its layers are used, not copied.
    n_outputs : int
        Number of classes of the second head.

    Returns
    -------
    keras.Model
        Its output is that of both heads side by side; its last two weights are the kernel and
        the bias of the second head.
    """
    embedding, output = _ends(model)
    layer = keras.layers.Dense(n_outputs, activation="softmax", dtype="float32", name=_NAME)
    both = keras.layers.Concatenate(dtype="float32")([output, layer(embedding)])
    return keras.Model(model.inputs[0], both)


def _ends(model):
    """Return the embedding and the output of a network as symbolic tensors."""
    last = softmax_layer(model)
    if last is not model.layers[-1]:
        raise TypeError(
            "The last layer of the network is nested in another model, so it can neither be "
            "trained alone (trainable='head') nor get a second head next to it "
            "(auxiliary_targets). End the outer network in Dense(meta['n_classes'], "
            "activation='softmax')."
        )
    return last.input, model.outputs[0]


def embed_with(model: keras.Model) -> Callable[[FloatArray], FloatArray]:
    """Return a function from images to the input of a network's last layer.

    Parameters
    ----------
    model : keras.Model
        Ends in a dense layer with a softmax.

    Returns
    -------
    callable
        From (n, h, w, 1) to (n, n_features), float32.
    """
    (images,) = model.inputs
    body = keras.Model(images, _ends(model)[0])
    # Called directly, since TensorFlow never frees the function that `predict` would compile.
    return lambda images: ops.convert_to_numpy(body(images, training=False)).astype(np.float32)


def split_head(model: keras.Model) -> tuple[keras.Model, list[np.ndarray]]:
    """Undo :func:`add_head`.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    model : keras.Model
        With the first head alone; its layers are those of `model`.
    head : list of ndarray
        Kernel and bias of the second head.
    """
    first, _ = model.layers[-1].input
    return keras.Model(model.inputs[0], first), model.get_layer(_NAME).get_weights()


def replace_head(model: keras.Model, head: Sequence[np.ndarray]) -> keras.Model:
    """Return a copy of a network with another head.

    Parameters
    ----------
    model : keras.Model
    head : list of ndarray
        Kernel and bias.
    """
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    embedding, _ = _ends(copy)
    layer = keras.layers.Dense(len(head[1]), activation="softmax", dtype="float32", name=_NAME)
    other = keras.Model(copy.inputs[0], layer(embedding))
    layer.set_weights(head)
    return other


def save_network(
    classifier: Estimator,
    path: PathLike,
    *,
    heads: tuple[str, str] = ("labels", "auxiliary"),
    blends: Mapping[str, Mapping[str, float]] | None = None,
) -> None:
    """Write a trained network as an ``.npz`` file, which contains no code.

    :func:`~fer_sklearn.load_pretrained` and ``initial_weights`` take such a file. Its weights are
    rounded to half precision. With two heads, each is a label set, as in the bundled files:
    ``load_pretrained(path, labels="auxiliary")`` predicts the second one.

    Parameters
    ----------
    classifier : FERCNNClassifier
        Fitted, with the name of an architecture.
    path : str or path-like
        Ends in ``.npz``.
    heads : (str, str), default=("labels", "auxiliary")
        Names of the two heads, and of the label set that each predicts. Ignored without a second
        head.
    blends : mapping of str to mapping, or None, default=None
        Further label sets, each by its name: the weight of each head, by which its logits are
        multiplied before they are added. Such a set has the labels that both heads have in common.
        The first is what ``load_pretrained(path)`` predicts; without any, the first head's.

    Raises
    ------
    NotFittedError
        If the classifier is not fitted.
    ValueError
        If its architecture is a function, its images are in colour, a blend names another head, or
        there is only one.

    See Also
    --------
    fer_sklearn.weights.write_weights : The format.
    fer_sklearn.export : LiteRT, ONNX and other formats, of one label set.
    """
    check_is_fitted(classifier)
    if classifier.architecture_ not in ARCHITECTURES:
        raise ValueError(
            f"architecture={classifier.architecture_!r} is a function, which a file without code "
            f"cannot contain; expected a name. Use fer_sklearn.save."
        )
    if classifier.n_channels_ != 1:
        raise ValueError(
            "classifier was fitted on images in colour, and these files support only grey images. "
            "Use fer_sklearn.save, or fit it on grey images."
        )
    arrays = classifier.model_.get_weights()
    description: dict[str, Any] = {
        "architecture": classifier.architecture_,
        "image_shape": list(classifier.image_shape_),
        "classes": classifier.classes_.tolist(),
        "pixel_range": list(classifier.pixel_range_),
    }
    if classifier.auxiliary_classes_ is not None:
        # Kernels and biases of both heads, in turn, as `read_weights` expects them.
        arrays += classifier._auxiliary_head
        classes = (classifier.classes_.tolist(), classifier.auxiliary_classes_.tolist())
        description |= _label_sets(dict(zip(heads, classes, strict=True)), blends or {})
    elif blends:
        raise ValueError(
            f"blends={dict(blends)!r} was given, but the network has one head. Fit it with "
            f"auxiliary_targets."
        )
    write_weights(path, arrays, description)


def _label_sets(heads, blends):
    label_sets = {}
    for name, blend in [*blends.items(), *((name, {name: 1.0}) for name in heads)]:
        check_known_keys(f"blends[{name!r}]", blend, heads)
        common = set.intersection(*(set(heads[head]) for head in blend))
        if len(common) < 2:
            raise ValueError(
                f"blends[{name!r}] has the label(s) {sorted(common)} of both heads; expected at "
                f"least two."
            )
        label_sets[name] = {"classes": sorted(common), "blend": dict(blend), "temperature": 1.0}
    return {"heads": heads, "label_sets": label_sets}


def update_batch_norm(classifier: Estimator, X: ArrayLike, *, batch_size: int = 256) -> None:
    """Re-estimate the statistics of batch normalisation, in place.

    A network whose weights are an average of several networks' (see
    :func:`fer_sklearn.weights.average_weights`) needs this, since the means and variances of its
    activations are different. It can also help after training with strong augmentation, because
    those statistics describe augmented images.

    Parameters
    ----------
    classifier : FERCNNClassifier
        A fitted classifier.
    X : array-like of shape (n, h, w), (n, h, w, 1) or (n, h * w)
        A few thousand training images, as `classifier` takes them. A last batch with fewer than
        `batch_size` images is left out.
    batch_size : int, default=256
        Number of images per batch, over which means and variances are computed.

    Raises
    ------
    NotFittedError
        If the classifier is not fitted.
    ValueError
        If `X` has fewer than `batch_size` images.

    References
    ----------
    Izmailov et al. 2018, "Averaging weights leads to wider optima and better generalization",
    arXiv:1803.05407.
    """
    check_is_fitted(classifier)
    pixels = check_pixels(classifier, X, reset=False)
    n_batches = len(pixels) // batch_size
    if n_batches == 0:
        raise ValueError(
            f"X has {len(pixels)} images; expected at least batch_size={batch_size}. Pass more "
            f"images, or a smaller batch_size."
        )
    layers = [
        layer
        for layer in leaf_layers(classifier.model_)
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    momenta = [layer.momentum for layer in layers]
    means: list[Any] = [0.0] * len(layers)
    variances: list[Any] = [0.0] * len(layers)
    for layer in layers:
        layer.momentum = 0.0  # so that each batch leaves its own statistics
    try:
        for start in range(0, n_batches * batch_size, batch_size):
            classifier.model_(to_unit_floats(pixels[start : start + batch_size]), training=True)
            for i, layer in enumerate(layers):
                means[i] = means[i] + np.asarray(layer.moving_mean) / n_batches
                variances[i] = variances[i] + np.asarray(layer.moving_variance) / n_batches
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
    for layer, mean, variance in zip(layers, means, variances, strict=True):
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(variance)


def fit_temperature(estimator: Estimator, X: ArrayLike, y: ArrayLike) -> float:
    """Find the temperature that calibrates a classifier's probabilities.

    Parameters
    ----------
    estimator : fitted classifier with `predict_proba`
    X : batch of images
        Images that it was not trained on, as `estimator` takes them.
    y : array-like of shape (n,)
        Their labels.

    Returns
    -------
    float
        The divisor of the logits that minimises the log loss: above 1 for an overconfident
        classifier, below 1 for an underconfident one. Pass it to :func:`scale_logits`.

    Raises
    ------
    ValueError
        If `X` and `y` differ in length, or `estimator` was not fitted on a label in `y`.

    See Also
    --------
    sklearn.calibration.CalibratedClassifierCV : Wraps a classifier of any kind, also with
        ``method="temperature"``, and leaves the network as it is.

    References
    ----------
    Guo et al. 2017, "On calibration of modern neural networks", arXiv:1706.04599.
    """
    proba, classes = predicted_probabilities(estimator, X)
    _, codes = encode_labels(y, classes, labels_name="the classes of the estimator")
    if len(codes) != len(proba):
        raise ValueError(
            f"X has {len(proba)} image(s) and y {len(codes)} label(s); expected one label per "
            f"image."
        )
    # Not by CalibratedClassifierCV, which takes numeric labels for positions of columns.
    logits = np.log(proba.clip(np.finfo(np.float32).tiny))
    return best_temperature(logits, np.eye(len(classes))[codes], log_bounds=(-10, 10))


def scale_logits(classifier: Estimator, temperature: float) -> None:
    """Divide a network's logits by a temperature, by scaling its last weights in place.

    The network then has calibrated probabilities in every format that it is exported to.

    Parameters
    ----------
    classifier : FERCNNClassifier
        A fitted classifier whose network ends in a dense layer with a softmax.
    temperature : float
        As from :func:`fit_temperature`.

    Raises
    ------
    NotFittedError
        If the classifier is not fitted.
    ValueError
        If the temperature is not positive.
    TypeError
        If the network ends in another layer.

    Examples
    --------
    >>> from fer_sklearn import load_pretrained, make_faces
    >>> from fer_sklearn.cnn import fit_temperature, scale_logits
    >>> X, y = make_faces(140, random_state=0, return_X_y=True)
    >>> model = load_pretrained("tiny", runtime="keras")
    >>> _ = model.set_params(classifier__test_time_augmentation=False)
    >>> scale_logits(model[-1], fit_temperature(model, X, y))
    >>> round(fit_temperature(model, X, y), 2)
    1.0
    """
    check_is_fitted(classifier)
    if not temperature > 0:
        raise ValueError(f"temperature={temperature!r} must be a number above 0.")
    last = softmax_layer(classifier.model_)
    last.set_weights([array / temperature for array in last.get_weights()])
