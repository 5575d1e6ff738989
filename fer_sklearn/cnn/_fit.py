"""How one `fit` of a CNN estimator runs: first weights, phases, checkpoints.

The functions read the estimator's parameters and what it has learned of its data,
``classes_``, ``image_shape_`` and the like; they set nothing on it.
"""

import copy
from numbers import Integral

from ..weights import is_weights_file, read_weights
from ._callbacks import EarlyStopping, EpochLines
from ._checkpoints import Checkpoint, fingerprint
from ._compiled import NetworkSpec, TrainingState, describe_optimizer
from ._training import train
from .augmentation import resolve_augmentation

__all__ = ["initial_state", "network_spec", "train_one_epoch", "train_through"]

# What a fit does beside its outcome: a checkpoint does not depend on it.
_WITHOUT_EFFECT = {
    *("callbacks", "checkpoint_dir", "optimizer", "save_optimizer"),
    *("test_time_flip", "verbose", "warm_start"),
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
    frozen, thaw, epochs = estimator.frozen_stages, estimator.thaw_after, estimator.epochs
    if thaw is None:
        return [(frozen, 0, epochs)]
    if not frozen:
        raise ValueError(
            f"thaw_after={thaw} was given, but frozen_stages=0 leaves nothing to thaw. "
            f"Set frozen_stages to at least 1, or leave thaw_after=None."
        )
    if thaw >= epochs:
        raise ValueError(
            f"thaw_after={thaw} must be less than epochs={epochs}, or None to keep the "
            f"stages frozen."
        )
    return [(frozen, 0, thaw), (0, thaw, epochs)]


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
