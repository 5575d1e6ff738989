"""Improve a trained network without training: batch statistics and temperature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from .._utils.pixel_values import to_unit_floats
from .._utils.pixels import check_pixels
from .._utils.typing import ArrayLike, Estimator
from ._heads import softmax_layer
from .architectures import leaf_layers

if TYPE_CHECKING:
    from ._classifier import FERCNNClassifier

__all__ = ["fit_temperature", "scale_logits", "update_batch_norm"]


def update_batch_norm(classifier: FERCNNClassifier, X: ArrayLike, *, batch_size: int = 256) -> None:
    """Estimate the statistics of batch normalisation again, in place.

    A network whose weights are an average of several networks' (see
    :func:`fer_sklearn.weights.average_weights`) needs it, since its activations have other means
    and variances. It can also help after training with strong augmentation, because those
    statistics describe augmented images.

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
        What logits should be divided by, to minimise the log loss: above 1 for an overconfident
        classifier, below 1 for an underconfident one. Pass it to :func:`scale_logits`.

    See Also
    --------
    sklearn.calibration.CalibratedClassifierCV : Wraps a classifier of any kind, also with
        ``method="temperature"``, and leaves the network as it is.

    References
    ----------
    Guo et al. 2017, "On calibration of modern neural networks", arXiv:1706.04599.
    """
    calibrated = CalibratedClassifierCV(FrozenEstimator(estimator), method="temperature").fit(X, y)
    (calibrator,) = calibrated.calibrated_classifiers_[0].calibrators
    return float(1 / calibrator.beta_)


def scale_logits(classifier: FERCNNClassifier, temperature: float) -> None:
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
