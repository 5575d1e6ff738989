"""Temperature scaling (Guo et al. 2017, arXiv:1706.04599), put into the network itself."""

import keras
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from fer_sklearn.cnn.architectures import leaf_layers

__all__ = ["fit_temperature", "scale_logits"]


def fit_temperature(pipeline, X, y):
    """Return by what the logits of a fitted pipeline are to be divided.

    Parameters
    ----------
    pipeline : fitted classifier
    X, y : images that it was not trained on, and their labels

    Returns
    -------
    float
        Over 1 for a network that is too sure of itself, under 1 for one that is too modest.
    """
    calibrated = CalibratedClassifierCV(FrozenEstimator(pipeline), method="temperature").fit(X, y)
    (temperature_scaling,) = calibrated.calibrated_classifiers_[0].calibrators
    return float(1 / temperature_scaling.beta_)


def scale_logits(model, temperature):
    """Divide the last layer's weights by a temperature, in place.

    Whatever the network becomes, a LiteRT model or a page, then has the temperature in it.
    """
    *_, last = leaf_layers(model)
    if not (isinstance(last, keras.layers.Dense) and last.activation is keras.activations.softmax):
        raise TypeError(f"The last layer is {last!r}; expected a Dense layer with softmax.")
    last.set_weights([weights / temperature for weights in last.get_weights()])
