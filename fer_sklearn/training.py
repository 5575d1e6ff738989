"""How a network is trained: batches, callbacks, and the seam to scikeras.

Everything here is about Keras and nothing about scikit-learn's conventions, which are the
business of :mod:`fer_sklearn.cnn`. The seam to scikeras is :class:`_StreamTrained` alone.
"""

import itertools
import time
from dataclasses import dataclass

import keras
import numpy as np
from scikeras.wrappers import KerasClassifier

from .augmentation import augment
from .networks import borrow, derive_seeds

__all__ = [
    "EpochLines",
    "TrainingData",
    "to_unit_floats",
    "train",
]

_VALIDATION_BATCH = 256


@dataclass
class TrainingData:
    """Images of one fit: pixels ``(n, h, w)``, positions in ``classes_``, weights or None."""

    pixels: np.ndarray
    codes: np.ndarray
    weights: np.ndarray | None = None

    def take(self, rows):
        weights = None if self.weights is None else self.weights[rows]
        return TrainingData(self.pixels[rows], self.codes[rows], weights)


def train(
    spec,
    data,
    *,
    epochs,
    batch_size,
    seed,
    learning_rate=None,
    validation=None,
    augmentation=None,
    callbacks=(),
    start=None,
    keep_optimizer=False,
):
    """Train a network, from the seed or from where an earlier training ended.

    Parameters
    ----------
    spec : NetworkSpec
    data, validation : TrainingData
        `validation` may be None; it is never augmented.
    epochs, batch_size : int
        Epochs to train now, and images a step.
    seed : int
        Draws the first weights, the order of the images, augmentation and dropout.
    learning_rate : float or None
        A constant rate; None where `spec.optimizer` has a schedule.
    augmentation : dict or None
        As from ``resolve_augmentation``.
    callbacks : sequence of keras.callbacks.Callback
    start : TrainingState or None
    keep_optimizer : bool

    Returns
    -------
    model : keras.Model
        Uncompiled, the caller's own.
    optimizer : list of ndarray or None
        The optimizer's memory, if `keep_optimizer`.
    history : dict of str to list of float
        One value an epoch.
    """
    first_epoch = start.epoch if start else 0
    batch_size = min(batch_size, len(data.codes))
    steps = -(-len(data.codes) // batch_size)
    stream = _batch_stream(data, spec.n_classes, batch_size, seed, augmentation, first_epoch)
    with borrow(spec) as compiled:
        compiled.reset(seed, learning_rate, start)
        wrapper = _StreamTrained(
            model=lambda: compiled.model,
            epochs=epochs,
            callbacks=[_ReseedEachEpoch(seed), *callbacks],
        )
        with compiled.feed(stream, weighted=data.weights is not None) as batches:
            wrapper.fit(
                data.pixels,
                data.codes,
                initial_epoch=first_epoch,
                batches=batches,
                steps_per_epoch=steps,
                validation_data=validation and _as_arrays(validation, spec.n_classes),
            )
        history = {name: list(map(float, v)) for name, v in wrapper.history_.items()}
        optimizer = compiled.optimizer_values() if keep_optimizer else None
        model = compiled.plain_copy()
    return model, optimizer, history


class _StreamTrained(KerasClassifier):
    """scikeras's classifier, trained on a stream of batches in place of its arrays."""

    def _fit_keras_model(
        self, X, y, *, sample_weight, warm_start, epochs, initial_epoch, batches, **fit_args
    ):
        history = self.model_.fit(
            batches,
            epochs=initial_epoch + epochs,
            initial_epoch=initial_epoch,
            callbacks=self._fit_callbacks,
            validation_batch_size=_VALIDATION_BATCH,
            shuffle=False,
            verbose=0,
            **fit_args,
        )
        self.history_ = history.history


def to_unit_floats(pixels):
    """Bring integer pixels to [0, 1]; leave float pixels; return ``(n, h, w, 1)`` float32."""
    if pixels.dtype == np.uint8:
        pixels = pixels * np.float32(1 / 255)
    return pixels.astype(np.float32, copy=False)[..., np.newaxis]


def _batch_stream(data, n_classes, batch_size, seed, augmentation, first_epoch):
    """Yield batches without end: one shuffled pass after another, cut into equal pieces.

    Equal batches need one compiled function, whatever the number of images. Each batch is a
    function of the seed and its number, so that prefetching threads change nothing.
    """
    n = len(data.codes)
    one_hot = np.eye(n_classes, dtype=np.float32)
    first_step = first_epoch * -(-n // batch_size)
    passes, skipped = divmod(first_step * batch_size, n)
    rows = _shuffled(n, seed, passes)[skipped:]
    for step in itertools.count(first_step):
        while len(rows) < batch_size:
            passes += 1
            rows = np.concatenate([rows, _shuffled(n, seed, passes)])
        batch, rows = data.take(rows[:batch_size]), rows[batch_size:]
        if augmentation is not None:
            rng = np.random.default_rng([seed, 1, step])
            batch.pixels = augment(batch.pixels, augmentation, rng)
        inputs, targets = to_unit_floats(batch.pixels), one_hot[batch.codes]
        yield (inputs, targets) if batch.weights is None else (inputs, targets, batch.weights)


def _shuffled(n, seed, number):
    return np.random.default_rng([seed, 0, number]).permutation(n)


def _as_arrays(data, n_classes):
    targets = np.eye(n_classes, dtype=np.float32)[data.codes]
    arrays = to_unit_floats(data.pixels), targets
    return arrays if data.weights is None else (*arrays, data.weights)


class _ReseedEachEpoch(keras.callbacks.Callback):
    """Seed dropout and its kin anew at each epoch, so that training can be taken up there."""

    def __init__(self, seed):
        super().__init__()
        self._seed = seed

    def on_epoch_begin(self, epoch, logs=None):
        states = [v for v in self.model.variables if v.path.endswith("seed_generator_state")]
        seeds = derive_seeds(self._seed, 3 + epoch, len(states))
        for state, value in zip(states, seeds, strict=True):
            state.assign(np.array([value, 0], np.uint32))


class EpochLines(keras.callbacks.Callback):
    """Print one line an epoch: loss and accuracy of both parts, and seconds."""

    def on_epoch_begin(self, epoch, logs=None):
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        parts = [f"epoch {epoch + 1:3d}/{self.params['epochs']}"]
        for prefix, name in (("", "training"), ("val_", "validation")):
            if f"{prefix}loss" in logs:
                loss, accuracy = logs[f"{prefix}loss"], logs[f"{prefix}accuracy"]
                parts.append(f"{name}: loss {loss:.4f}, accuracy {100 * accuracy:5.2f} %")
        parts.append(f"{time.perf_counter() - self._began:.1f} s")
        print(" | ".join(parts), flush=True)
