"""One network of several that were trained alike: the mean of their weights.

Networks that went on from the same weights, each in an order of its own, lie so near to each
other that their mean is a network too, and a better one (Wortsman et al. 2022,
arXiv:2203.05482).
"""

import keras
import numpy as np

from fer_sklearn.cnn.architectures import leaf_layers
from fer_sklearn.weights import read_weights

__all__ = ["estimate_statistics", "mean_weights"]


def mean_weights(paths):
    """Return the mean of the weights in several files, array by array."""
    several = [read_weights(path).arrays for path in paths]
    return [np.mean(arrays, axis=0) for arrays in zip(*several, strict=True)]


def estimate_statistics(model, images, *, batch_size=256):
    """Set what batch normalisation remembers to the averages over these images.

    The mean of several networks has none of its own. Those of training are of images that were
    turned and blended, which those that are predicted on are not.

    Parameters
    ----------
    model : keras.Model
    images : ndarray of shape (n, h, w, 1), float32
        Some thousand; those beyond a multiple of `batch_size` are left out.
    """
    layers = [
        layer for layer in leaf_layers(model) if isinstance(layer, keras.layers.BatchNormalization)
    ]
    momenta = [layer.momentum for layer in layers]
    totals = [[0.0, 0.0] for _ in layers]
    n_batches = len(images) // batch_size
    for layer in layers:
        layer.momentum = 0.0  # so that each batch leaves its own statistics
    for start in range(0, n_batches * batch_size, batch_size):
        model(images[start : start + batch_size], training=True)
        for total, layer in zip(totals, layers, strict=True):
            total[0] += np.asarray(layer.moving_mean) / n_batches
            total[1] += np.asarray(layer.moving_variance) / n_batches
    for layer, momentum, (mean, variance) in zip(layers, momenta, totals, strict=True):
        layer.momentum = momentum
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(variance)
