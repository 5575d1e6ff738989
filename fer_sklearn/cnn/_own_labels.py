"""Learn your own labels on a trained body: a head alone, on its embedding.

The head is a multinomial logistic regression, whose unique solution is found in seconds. Keras is
not needed if the weights come with a LiteRT model that returns the embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from .._utils.litert import is_litert_installed
from .._utils.pixel_values import to_unit_floats
from .._utils.typing import Estimator, FloatArray
from ..weights import NetworkWeights, check_embedding, is_weights_file, read_description
from ._data import TrainingData
from .augmentation import resolve_augmentation

__all__ = [
    "LearnedHeads",
    "draw_head",
    "has_embedding",
    "known_head",
    "learn_head",
    "learn_heads",
    "learns_head_alone",
]

#: Kernel (n_features, n_classes) and bias (n_classes,) of a dense layer, float32.
Head = list[np.ndarray]

_IMAGES_AT_A_TIME = 256


class LearnedHeads(NamedTuple):
    """Result of :func:`learn_heads`.

    Parameters
    ----------
    head : [ndarray of shape (n_features, n_classes), ndarray of shape (n_classes,)]
        Kernel and bias.
    auxiliary : list of ndarray or None
        Those of the second head, if there is one.
    history : dict of str to list of float
        One value each: ``loss`` and ``accuracy`` on the training images and, with a second head,
        ``auxiliary_loss``.
    """

    head: Head
    auxiliary: Head | None
    history: dict[str, list[float]]


def learns_head_alone(estimator: Estimator) -> bool:
    """Return whether `fit` learns a head and nothing else, which needs no epochs."""
    return estimator.trainable == "head" and estimator.unfreeze_after is None


def has_embedding(source: object) -> bool:
    """Return whether LiteRT computes the embedding of these `initial_weights`."""
    if not is_weights_file(source) or not is_litert_installed():  # type: ignore[arg-type]
        return False
    try:
        check_embedding(read_description(source))  # type: ignore[arg-type]
    except ValueError:
        return False
    return True


def draw_head(weights: list[np.ndarray], n_outputs: int, seed: int) -> Head:
    """Draw the kernel and the bias of a new head for a network with trained weights.

    Parameters
    ----------
    weights : list of ndarray
        Weights of the network, which ends in a dense layer.
    n_outputs : int
    seed : int

    Returns
    -------
    list of ndarray
        Drawn like Keras's default (Glorot & Bengio 2010), and zeros.
    """
    n_inputs = next(array.shape[0] for array in reversed(weights) if array.ndim == 2)
    limit = np.sqrt(6 / (n_inputs + n_outputs))
    kernel = np.random.default_rng([seed, 2, 1]).uniform(-limit, limit, (n_inputs, n_outputs))
    return [kernel.astype(np.float32), np.zeros(n_outputs, np.float32)]


def known_head(weights: NetworkWeights, classes: np.ndarray) -> Head | None:
    """Return the head of weights, reduced to `classes`; None if it lacks any of them."""
    known = list(weights.description["classes"])
    if not set(classes.tolist()) <= set(known):
        return None
    columns = [known.index(label) for label in classes.tolist()]
    return [array[..., columns] for array in weights.arrays[-2:]]


def learn_heads(
    estimator: Estimator,
    data: TrainingData,
    embed: Callable[[FloatArray], FloatArray],
    prior: Head | None = None,
) -> LearnedHeads:
    """Learn the head of a network, and the second one if there are auxiliary targets.

    Parameters
    ----------
    estimator : FERCNNClassifier
    data : TrainingData
    embed : callable
        From images of shape (n, h, w, 1), float32, to their embeddings (n, n_features).
    prior : list of ndarray or None, default=None
        A head that the first one stays close to.
    """
    images = to_unit_floats(data.pixels)
    n_classes = len(estimator.classes_)
    weights = np.ones(len(images)) if data.weights is None else data.weights.astype(np.float64)
    targets = data.targets(n_classes)
    embedded = _in_batches(embed, images)
    rows, repeats = embedded, 1
    if _learns_mirror_images(estimator):
        rows = np.concatenate([embedded, _in_batches(embed, images[:, :, ::-1])])
        repeats = 2
    targets, weights = np.tile(targets, (repeats, 1)), np.tile(weights / repeats, repeats)

    head = learn_head(rows, targets[:, :n_classes], weights, C=estimator.head_C, prior=prior)
    loss, accuracy = _scores(rows, targets[:, :n_classes], weights, head)
    history = {"loss": [loss], "accuracy": [accuracy]}
    auxiliary = None
    if data.auxiliary_targets is not None:
        targets = targets[:, n_classes:]
        known = weights * targets.any(axis=1)  # nothing is known about rows of zeros
        auxiliary = learn_head(rows, targets, known, C=estimator.head_C)
        history["auxiliary_loss"] = [_scores(rows, targets, known, auxiliary)[0]]
    return LearnedHeads(head, auxiliary, history)


def _learns_mirror_images(estimator):
    augmentation = resolve_augmentation(estimator.augmentation)
    return estimator.test_time_augmentation or bool(augmentation and augmentation["flip"])


def _in_batches(embed, images):
    starts = range(0, len(images), _IMAGES_AT_A_TIME)
    return np.concatenate([embed(images[i : i + _IMAGES_AT_A_TIME]) for i in starts])


def learn_head(
    embedded: FloatArray,
    targets: FloatArray,
    weights: FloatArray,
    *,
    C: float,
    prior: Head | None = None,
) -> Head:
    """Learn a dense layer with a softmax: multinomial logistic regression.

    Minimises `C` times the weighted sum of cross-entropies, plus half the squared distance of the
    kernel from that of the prior, as scikit-learn's ``LogisticRegression`` does, on features whose
    mean is 0 and whose mean variance is 1. The bias is free.

    Parameters
    ----------
    embedded : ndarray of shape (n, n_features)
    targets : ndarray of shape (n, n_classes)
        Probabilities, of which each row sums to one unless its weight is 0.
    weights : ndarray of shape (n,)
        Not negative; some are positive.
    C : float
        Inverse of the strength of regularisation.
    prior : list of ndarray or None, default=None
        Kernel and bias to stay close to. If None, zeros.

    Returns
    -------
    list of ndarray, float32
        Kernel and bias.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[-1.0], [1.0]])
    >>> kernel, bias = learn_head(X, np.eye(2), np.ones(2), C=10.0)
    >>> (X @ kernel + bias).argmax(axis=1).tolist()
    [0, 1]
    """
    used = weights > 0
    X, targets, weights = embedded[used].astype(np.float64), targets[used], weights[used]
    mean = np.average(X, axis=0, weights=weights)
    X -= mean
    scale = float(np.sqrt(np.average((X**2).mean(axis=1), weights=weights))) or 1.0
    X /= scale
    shape = X.shape[1], targets.shape[1]
    start_kernel, start_bias = np.zeros(shape), np.zeros(shape[1])
    if prior is not None:
        start_kernel, start_bias = prior[0] * scale, prior[1] + mean @ prior[0]
    total = C * weights.sum()  # so that the tolerance does not depend on the number of images

    def objective(parameters):
        kernel, bias = parameters[: -shape[1]].reshape(shape), parameters[-shape[1] :]
        log_proba = log_softmax(X @ kernel + bias, axis=1)
        error = (np.exp(log_proba) - targets) * weights[:, np.newaxis]
        away = kernel - start_kernel
        loss = -C * weights @ (targets * log_proba).sum(axis=1) + 0.5 * (away**2).sum()
        gradient = np.concatenate([(C * X.T @ error + away).ravel(), C * error.sum(axis=0)])
        return loss / total, gradient / total

    start = np.concatenate([start_kernel.ravel(), start_bias])
    found = minimize(
        objective, start, jac=True, method="L-BFGS-B", options={"gtol": 1e-6, "maxiter": 1000}
    ).x
    kernel = found[: -shape[1]].reshape(shape) / scale
    bias = found[-shape[1] :] - mean @ kernel
    return [kernel.astype(np.float32), bias.astype(np.float32)]


def _scores(embedded, targets, weights, head):
    """Return cross-entropy and accuracy of a head, weighted."""
    log_proba = log_softmax(embedded @ head[0] + head[1], axis=1)
    losses = -(targets * log_proba).sum(axis=1)
    is_right = log_proba.argmax(axis=1) == targets.argmax(axis=1)
    averages = np.average([losses, is_right], axis=1, weights=weights)
    return float(averages[0]), float(averages[1])
