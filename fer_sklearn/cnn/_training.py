"""How a network is trained: batches, callbacks, and the seam to scikeras.

Everything here is about Keras and nothing about scikit-learn's conventions, which are the
business of :mod:`fer_sklearn.cnn`. The seam to scikeras is :class:`_StreamTrained` alone.
"""

import itertools

import numpy as np
from scikeras.wrappers import KerasClassifier

from .._utils.pixels import to_unit_floats
from ._callbacks import CheckpointEachEpoch, ReseedEachEpoch
from ._compiled import borrow, optimizer_values
from .augmentation import augment, mix_up

__all__ = ["train"]

_VALIDATION_BATCH = 256


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
    stopper=None,
    start=None,
    keep_optimizer=False,
    checkpoint=None,
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
    stopper : EarlyStopping or None
    start : TrainingState or None
        An optimizer in it keeps its learning rate.
    keep_optimizer : bool
    checkpoint : Checkpoint or None
        Written after each epoch but one that stops training early.

    Returns
    -------
    model : keras.Model
        Uncompiled, the caller's own.
    optimizer : list of ndarray or None
        The optimizer's memory, if `keep_optimizer`.
    history : dict of str to list of float
        One value an epoch, those of `start` included.
    """
    first_epoch = start.epoch if start else 0
    history = {name: list(values) for name, values in (start.history if start else {}).items()}
    callbacks = [ReseedEachEpoch(seed), *callbacks]
    if stopper is not None:
        stopper.resume(start and start.stopper)
        callbacks.append(stopper)
    if checkpoint is not None:
        callbacks.append(CheckpointEachEpoch(checkpoint, history, stopper))
    batch_size = min(batch_size, len(data.codes))
    steps = -(-len(data.codes) // batch_size)
    stream = _batch_stream(data, spec.n_classes, batch_size, seed, augmentation, first_epoch)
    with borrow(spec) as compiled:
        compiled.reset(seed, learning_rate, start)
        wrapper = _StreamTrained(model=lambda: compiled.model, epochs=epochs, callbacks=callbacks)
        with compiled.feed(stream, weighted=data.weights is not None) as batches:
            wrapper.fit(
                data.pixels,
                data.codes,
                initial_epoch=first_epoch,
                batches=batches,
                steps_per_epoch=steps,
                validation_data=validation and _as_arrays(validation, spec.n_classes),
            )
        for name, values in wrapper.history_.items():
            history.setdefault(name, []).extend(map(float, values))
        optimizer = optimizer_values(compiled.model.optimizer) if keep_optimizer else None
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


def _batch_stream(data, n_classes, batch_size, seed, augmentation, first_epoch):
    """Yield batches without end: one shuffled pass after another, cut into equal pieces.

    Equal batches need one compiled function, whatever the number of images. Each batch is a
    function of the seed and its number, so that prefetching threads change nothing.
    """
    n = len(data.codes)
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
        inputs, targets = to_unit_floats(batch.pixels), batch.targets(n_classes)
        if augmentation is not None and augmentation["mixup"]:
            inputs, targets = mix_up(inputs, targets, augmentation["mixup"], rng)
        yield (inputs, targets) if batch.weights is None else (inputs, targets, batch.weights)


def _shuffled(n, seed, number):
    return np.random.default_rng([seed, 0, number]).permutation(n)


def _as_arrays(data, n_classes):
    arrays = to_unit_floats(data.pixels), data.targets(n_classes)
    return arrays if data.weights is None else (*arrays, data.weights)
