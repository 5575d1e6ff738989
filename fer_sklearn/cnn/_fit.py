"""How one `fit` of a CNN estimator runs: initial weights, phases, batches, the seam to scikeras.

The functions read the estimator's parameters and what it has learned of its data,
``classes_``, ``image_shape_`` and the like; they set nothing on it. The seam to scikeras is
:class:`_StreamTrained` alone.
"""

import copy
import itertools
import sys
import time
from numbers import Integral

import keras
import numpy as np
from scikeras.wrappers import KerasClassifier

from .._utils.pixels import to_unit_floats
from ..weights import is_weights_file, read_weights
from ._checkpoints import (
    Checkpoint,
    CheckpointEachEpoch,
    EarlyStopping,
    ReseedEachEpoch,
    fingerprint,
)
from ._compiled import NetworkSpec, TrainingState, borrow, describe_optimizer, optimizer_values
from .augmentation import augment, mix_up, resolve_augmentation

__all__ = [
    "EpochBar",
    "EpochLines",
    "initial_state",
    "network_spec",
    "train",
    "train_one_epoch",
    "train_through",
]

_VALIDATION_BATCH = 256
# Without tqdm's counts of steps, so that the scores stay in sight on a narrow terminal.
_BAR = "{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
# What a fit does beside its outcome: a checkpoint does not depend on it.
_WITHOUT_EFFECT = {
    *("callbacks", "checkpoint_dir", "optimizer", "save_optimizer"),
    *("test_time_augmentation", "verbose", "warm_start"),
}


def network_spec(estimator, *, frozen_stages=0, cosine_steps=None):
    """Describe the estimator's network; return it with a constant learning rate or None."""
    optimizer, learning_rate = describe_optimizer(
        estimator.optimizer,
        estimator.learning_rate,
        weight_decay=estimator.weight_decay,
        cosine_steps=cosine_steps,
    )
    spec = NetworkSpec(
        estimator.architecture,
        estimator.dropout,
        (*estimator.image_shape_, 1),
        len(estimator.classes_),
        optimizer,
        estimator.label_smoothing,
        estimator.dtype_policy,
        frozen_stages,
        estimator.loss,
    )
    return spec, learning_rate


def initial_state(estimator):
    """Return the state with `initial_weights` that training starts from, None to draw weights."""
    source = estimator.initial_weights
    if source is None:
        if estimator.frozen_stages:
            raise ValueError(
                f"frozen_stages={estimator.frozen_stages} would keep weights that were never "
                f"trained. Set initial_weights, or warm_start on a fitted estimator."
            )
        return None
    if is_weights_file(source):
        arrays = read_weights(source).arrays
    else:
        spec, _ = network_spec(estimator)
        arrays = spec.build(source).get_weights()
    return TrainingState(arrays, None, 0)


def train_through(estimator, data, validation, seed, start=None):
    """Train for all epochs, in one phase or frozen and thawed, from a checkpoint if there is one.

    Parameters
    ----------
    estimator : FERCNNClassifier
    data, validation : TrainingData
        `validation` may be None.
    seed : int
    start : TrainingState or None
        Weights to start from.

    Returns
    -------
    model : keras.Model
    optimizer : list of ndarray or None
    history : dict of str to list of float
    """
    checkpoint = _checkpoint(estimator, data, validation, start)
    state = checkpoint.read() if checkpoint else None
    if state is not None and state.finished:
        model = network_spec(estimator)[0].build()
        model.set_weights(state.weights)
        return model, None, state.history
    state = state or start
    steps_an_epoch = -(-len(data.codes) // min(estimator.batch_size, len(data.codes)))
    for frozen_stages, first, last in _phases(estimator):
        if state is not None and state.epoch >= last:
            continue
        going_on = state is not None and first < state.epoch
        if state is not None and not going_on:  # each phase starts with a fresh optimizer
            state = TrainingState(state.weights, None, first, state.history)
        scheduled = estimator.learning_rate_schedule == "cosine"
        spec, learning_rate = network_spec(
            estimator,
            frozen_stages=frozen_stages,
            cosine_steps=steps_an_epoch * (last - first) if scheduled else None,
        )
        model, optimizer, history = train(
            spec,
            data,
            epochs=last - (state.epoch if state else 0),
            seed=seed,
            learning_rate=None if going_on else learning_rate,
            validation=validation,
            start=state,
            stopper=_stopper(estimator, validation),
            # A scheduled optimizer has come to rest, and none goes on from there.
            keep_optimizer=estimator.save_optimizer and not scheduled,
            checkpoint=checkpoint,
            **_settings(estimator),
        )
        state = TrainingState(model.get_weights(), None, last, history)
    if checkpoint:
        state.finished = True
        checkpoint.write(state)
    return model, optimizer, history


def train_one_epoch(estimator, data, seed, start=None):
    """Train for one epoch at a constant rate, nothing held out; return as `train_through`."""
    spec, learning_rate = network_spec(estimator, frozen_stages=estimator.frozen_stages)
    return train(
        spec,
        data,
        epochs=1,
        seed=seed,
        learning_rate=learning_rate,
        start=start,
        keep_optimizer=True,
        **_settings(estimator),
    )


def _phases(estimator):
    """Return (frozen stages, first epoch, epoch after the last) of each phase."""
    frozen, epochs = estimator.frozen_stages, estimator.epochs
    unfreeze_after = estimator.unfreeze_after
    if unfreeze_after is None:
        return [(frozen, 0, epochs)]
    if not frozen:
        raise ValueError(
            f"unfreeze_after={unfreeze_after} was given, but frozen_stages=0 leaves nothing to "
            f"unfreeze. Set frozen_stages to at least 1, or leave unfreeze_after=None."
        )
    if unfreeze_after >= epochs:
        raise ValueError(
            f"unfreeze_after={unfreeze_after} must be less than epochs={epochs}, or None to keep "
            f"the stages frozen."
        )
    return [(frozen, 0, unfreeze_after), (0, unfreeze_after, epochs)]


def _settings(estimator):
    # Copies of callbacks, since Keras writes the model into them, and fit changes no parameter.
    callbacks = [copy.copy(callback) for callback in estimator.callbacks or ()]
    if estimator.verbose:
        callbacks.append(EpochLines())
    return {
        "batch_size": estimator.batch_size,
        "augmentation": resolve_augmentation(estimator.augmentation),
        "callbacks": callbacks,
    }


def _stopper(estimator, validation):
    if estimator.early_stopping and validation is not None:
        return EarlyStopping(estimator.patience)
    return None


def _checkpoint(estimator, data, validation, start):
    if estimator.checkpoint_dir is None:
        return None
    if not isinstance(estimator.random_state, Integral):
        raise ValueError(
            f"random_state={estimator.random_state!r} with checkpoint_dir="
            f"{str(estimator.checkpoint_dir)!r}: expected an integer, by which a training that "
            f"was cut off is known again. Set random_state=0, say."
        )
    parameters = estimator.get_params(deep=False)
    settings = {k: v for k, v in parameters.items() if k not in _WITHOUT_EFFECT}
    settings["optimizer"], _ = describe_optimizer(
        estimator.optimizer,
        estimator.learning_rate,
        weight_decay=estimator.weight_decay,
        cosine_steps=None,
    )
    settings["classes"] = [str(label) for label in estimator.classes_]
    parts = [*vars(data).values(), *(vars(validation).values() if validation else ())]
    return Checkpoint(
        estimator.checkpoint_dir,
        fingerprint(settings, [*parts, *(start.weights if start else ())]),
    )


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


class EpochBar(EpochLines):
    """Show epochs as a bar on stderr, where :class:`EpochLines` prints a line each."""

    def on_train_begin(self, logs=None):
        from tqdm import tqdm

        steps = self.params.get("steps")
        self._bar = tqdm(
            total=steps and steps * self.params["epochs"],
            file=sys.stderr,
            bar_format=_BAR,
            dynamic_ncols=True,
        )

    def on_epoch_begin(self, epoch, logs=None):
        self._bar.set_description(f"epoch {epoch + 1}/{self.params['epochs']}")

    def on_train_batch_end(self, batch, logs=None):
        self._bar.update()

    def on_epoch_end(self, epoch, logs=None):
        shown = {"accuracy": "accuracy", "val_accuracy": "held out"}
        scores = {name: f"{logs[key]:.1%}" for key, name in shown.items() if key in logs}
        self._bar.set_postfix(scores)

    def on_train_end(self, logs=None):
        self._bar.close()
