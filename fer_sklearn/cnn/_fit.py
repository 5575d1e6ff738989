"""The steps of a fit: initial state, phases and batches.

The functions read the parameters and fitted attributes of an estimator, but do not change it. Only
:class:`_StreamClassifier` uses scikeras.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import keras
import numpy as np
from scikeras.wrappers import KerasClassifier

from .._utils.typing import Estimator
from ..weights import WeightsNetwork, is_weights_file, read_weights
from ._checkpoints import (
    Checkpoint,
    CheckpointEachEpoch,
    EpochLines,
    ReseedEachEpoch,
    restore_callbacks,
    save_callbacks,
)
from ._compiled import (
    NetworkSpec,
    TrainingState,
    acquire_model,
    describe_optimizer,
    optimizer_classes,
    optimizer_values,
)
from ._data import TrainingData, batch_stream
from ._heads import embed_with
from ._own_labels import draw_head, has_embedding, known_head, learn_heads
from .augmentation import resolve_augmentation

__all__ = [
    "TrainedNetwork",
    "copy_callbacks",
    "initial_network",
    "initial_state",
    "network_spec",
    "train",
    "train_all_epochs",
    "train_one_epoch",
]

_VALIDATION_BATCH = 256


class TrainedNetwork(NamedTuple):
    """The result of training.

    Parameters
    ----------
    model : keras.Model
        Uncompiled, and owned by the caller.
    optimizer : list of ndarray or None
        The state of the optimizer, if it was to be kept.
    history : dict of str to list of float
        One value per epoch, including those trained earlier.
    head : list of ndarray or None
        Kernel and bias of the second head, if there is one.
    """

    model: keras.Model
    optimizer: list[np.ndarray] | None
    history: dict[str, list[float]]
    head: list[np.ndarray] | None = None

    def weights(self) -> list[np.ndarray]:
        """Return all weights, in the order in which they are trained."""
        return [*self.model.get_weights(), *(self.head or ())]


def network_spec(
    estimator: Estimator, *, trainable: str = "all", cosine_steps: int | None = None
) -> tuple[NetworkSpec, float | None]:
    """Describe the estimator's network.

    Parameters
    ----------
    estimator : FERCNNClassifier
    trainable : {"head", "last_stage", "all"}, default="all"
    cosine_steps : int or None, default=None
        Number of steps of a cosine schedule. If None, the learning rate is constant.

    Returns
    -------
    spec : NetworkSpec
    learning_rate : float or None
        The rate to set for training; None if `spec` determines it.
    """
    optimizer, learning_rate = describe_optimizer(
        estimator.optimizer,
        estimator.learning_rate,
        weight_decay=estimator.weight_decay,
        cosine_steps=cosine_steps,
    )
    spec = NetworkSpec(
        estimator.architecture_,
        estimator.dropout,
        (*estimator.image_shape_, estimator.n_channels_),
        len(estimator.classes_),
        optimizer,
        estimator.label_smoothing,
        estimator.dtype_policy,
        trainable,
        estimator.loss,
        0 if estimator.auxiliary_classes_ is None else len(estimator.auxiliary_classes_),
        estimator.auxiliary_weight,
        optimizer_classes(estimator.optimizer),
    )
    return spec, learning_rate


def initial_state(
    estimator: Estimator, seed: int, data: TrainingData | None = None
) -> TrainingState | None:
    """Return `initial_weights` as the state to start from; None if weights are to be drawn.

    They include one head; a second one is drawn from `seed`. If a weights file does not contain the
    labels, its head is replaced by one that is learned from `data`, or drawn without data.

    Raises
    ------
    ValueError
        If stages are frozen without initial weights, or the weights do not fit.
    """
    source = estimator.initial_weights
    if source is None:
        if estimator.trainable != "all":
            raise ValueError(
                f"trainable={estimator.trainable!r} would keep weights that were never trained. "
                f"Set initial_weights, or warm_start on a fitted estimator."
            )
        return None
    spec, _ = network_spec(estimator)
    if is_weights_file(source):
        weights = _weights_for_labels(estimator, data, seed)
    else:
        weights = spec.build(source).get_weights()
    if spec.n_auxiliary:
        weights += draw_head(weights, spec.n_auxiliary, seed)
    return TrainingState(weights)


def _weights_for_labels(estimator, data, seed):
    """Return the weights of a file, with a head for the labels of an estimator.

    If the file contains all labels, its own head is used, reduced to these. Otherwise it is learned
    on the embedding of `data`, so that further training does not start from a random head, which
    would damage the body (Kumar et al. 2022, arXiv:2202.10054). Without data, it is drawn from
    `seed`.
    """
    source = estimator.initial_weights
    weights = read_weights(source)
    head = known_head(weights, estimator.classes_)
    if head is None:
        head = draw_head(weights.arrays, len(estimator.classes_), seed)
        if data is not None:
            embed = _embedding(estimator, [*weights.arrays[:-2], *head])
            head = learn_heads(estimator, data, embed).head
    return [*weights.arrays[:-2], *head]


def _embedding(estimator, weights):
    """Return a function from images to the embedding of a network; uses Keras only if necessary."""
    if has_embedding(estimator.initial_weights):
        return WeightsNetwork(estimator.initial_weights).embed
    model = network_spec(estimator)[0].build()
    model.set_weights(weights)
    return embed_with(model)


def initial_network(estimator: Estimator) -> keras.Model:
    """Build the network that a head is learned on: that of an earlier fit, or of initial weights.

    Parameters
    ----------
    estimator : FERCNNClassifier
        With ``warm_start``, to continue from its network.

    Returns
    -------
    keras.Model
        Owned by the caller.

    Raises
    ------
    ValueError
        As in :func:`initial_state`.
    """
    if estimator.warm_start and estimator.__sklearn_is_fitted__():
        weights = estimator.model_.get_weights()
    else:
        start = initial_state(estimator, seed=0)  # of a head that will be replaced
        assert start is not None  # stages are frozen, which needs initial weights
        weights = start.weights
    model = network_spec(estimator)[0].build()
    model.set_weights(weights[: len(model.weights)])
    return model


def copy_callbacks(
    callbacks: Sequence[keras.callbacks.Callback] | None,
) -> list[keras.callbacks.Callback]:
    """Return copies of callbacks for one fit, since training changes them.

    Parameters
    ----------
    callbacks : sequence of keras.callbacks.Callback or None

    Raises
    ------
    TypeError
        If one of them is not a callback, such as the class of one, which Keras would ignore.
    ValueError
        If one of them cannot be copied.
    """
    for place, callback in enumerate(callbacks or ()):
        if not isinstance(callback, keras.callbacks.Callback):
            raise TypeError(
                f"callbacks[{place}]={callback!r} is not an instance of "
                f"keras.callbacks.Callback. Pass one, such as keras.callbacks.TerminateOnNaN()."
            )
    copies = [copy.copy(callback) for callback in callbacks or ()]
    for callback in copies:
        keras.callbacks.Callback.set_model(callback, None)  # of an earlier training
    try:
        return copy.deepcopy(copies)
    except Exception as error:  # from the code of callbacks
        raise ValueError(
            f"callbacks={list(callbacks or ())!r} cannot be copied ({error}), which each fit does "
            f"so that fits do not share them. Open files and the like in on_train_begin."
        ) from error


def train_all_epochs(
    estimator: Estimator,
    data: TrainingData,
    validation: TrainingData | None,
    seed: int,
    start: TrainingState | None = None,
    checkpoint: Checkpoint | None = None,
) -> TrainedNetwork:
    """Train for `epochs`, with stages frozen first and then without if `unfreeze_after` is set.

    Training starts from the weights of `start`, or resumes from `checkpoint`, and writes to it.
    """
    state = checkpoint.read() if checkpoint else None
    if state is not None and state.finished:
        restore_callbacks(estimator.callbacks_, state.callbacks or ())
        return _loaded(network_spec(estimator)[0], state)
    state = state or start
    is_scheduled = estimator.learning_rate_schedule == "cosine"
    steps_per_epoch = data.steps_per_epoch(estimator.batch_size)
    for trainable, first, last in _phases(estimator):
        if state is not None and state.epoch >= last:
            continue
        is_resuming = state is not None and first < state.epoch
        if state is not None and not is_resuming:  # each phase starts with a fresh optimizer
            restore_callbacks(estimator.callbacks_, state.callbacks or ())
            state = TrainingState(state.weights, None, first, state.history)
        spec, learning_rate = network_spec(
            estimator,
            trainable=trainable,
            cosine_steps=steps_per_epoch * (last - first) if is_scheduled else None,
        )
        trained = train(
            spec,
            data,
            epochs=last - (state.epoch if state else 0),
            seed=seed,
            learning_rate=None if is_resuming else learning_rate,
            validation=validation,
            start=state,
            patience=estimator.patience if estimator.early_stopping else None,
            # After a schedule the learning rate is zero, and nothing can resume from there.
            keep_optimizer=estimator.save_optimizer and not is_scheduled,
            checkpoint=checkpoint,
            **_training_options(estimator),
        )
        state = TrainingState(
            trained.weights(),
            trained.optimizer,
            last,
            trained.history,
            finished=last == estimator.epochs,
            callbacks=save_callbacks(estimator.callbacks_) if checkpoint else None,
        )
        if checkpoint:
            checkpoint.write(state)
    return trained


def _loaded(spec, state):
    """Return the network of a finished training run."""
    weights, head = state.weights, None
    if spec.n_auxiliary:
        weights, head = weights[:-2], weights[-2:]
    model = spec.build()
    model.set_weights(weights)
    return TrainedNetwork(model, state.optimizer, state.history, head)


def train_one_epoch(
    estimator: Estimator, data: TrainingData, seed: int, start: TrainingState | None = None
) -> TrainedNetwork:
    """Train for one epoch at a constant learning rate, without validation.

    It starts where the previous epoch ended, and returns the state of the optimizer too.
    """
    trainable, unfreeze_after = estimator.trainable, estimator.unfreeze_after
    if start is not None and unfreeze_after is not None and start.epoch >= unfreeze_after:
        trainable = "all"
        if start.epoch == unfreeze_after:  # as in `fit`, with a fresh optimizer
            start = replace(start, optimizer=None)
    spec, learning_rate = network_spec(estimator, trainable=trainable)
    return train(
        spec,
        data,
        epochs=1,
        seed=seed,
        learning_rate=learning_rate,
        start=start,
        keep_optimizer=True,
        **_training_options(estimator),
    )


def _phases(estimator):
    """Return (what is trained, first epoch, epoch after the last) of each phase."""
    trainable, epochs = estimator.trainable, estimator.epochs
    unfreeze_after = estimator.unfreeze_after
    if unfreeze_after is None:
        return [(trainable, 0, epochs)]
    if trainable == "all":
        raise ValueError(
            f"unfreeze_after={unfreeze_after} was given, but trainable='all' leaves nothing to "
            f"unfreeze. Set trainable='head' or 'last_stage', or leave unfreeze_after=None."
        )
    if unfreeze_after >= epochs:
        raise ValueError(
            f"unfreeze_after={unfreeze_after} must be less than epochs={epochs}, or None to keep "
            f"the stages frozen."
        )
    return [(trainable, 0, unfreeze_after), ("all", unfreeze_after, epochs)]


def _training_options(estimator):
    return {
        "batch_size": estimator.batch_size,
        "augmentation": resolve_augmentation(estimator.augmentation),
        "callbacks": estimator.callbacks_,
        "verbose": bool(estimator.verbose),
    }


def train(
    spec: NetworkSpec,
    data: TrainingData,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    learning_rate: float | None = None,
    validation: TrainingData | None = None,
    augmentation: dict | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: bool = False,
    patience: int | None = None,
    start: TrainingState | None = None,
    keep_optimizer: bool = False,
    checkpoint: Checkpoint | None = None,
) -> TrainedNetwork:
    """Train a network, from scratch or from where an earlier training ended.

    Parameters
    ----------
    spec : NetworkSpec
    data : TrainingData
    epochs : int
        Number of epochs to train now.
    batch_size : int
    seed : int
        Determines the initial weights, the order of the images, augmentation and dropout.
    learning_rate : float or None
        A constant rate; None if `spec.optimizer` has a schedule.
    validation : TrainingData or None
        Scored after each epoch, and never augmented.
    augmentation : dict or None
        As returned by ``resolve_augmentation``.
    callbacks : sequence of keras.callbacks.Callback
    verbose : bool
        Whether to print one line per epoch.
    patience : int or None
        Number of epochs without a better validation accuracy after which training stops and
        returns to the best weights. If None, it does not stop early.
    start : TrainingState or None
        If it has an optimizer, its learning rate is kept.
    keep_optimizer : bool
        Whether to return the state of the optimizer.
    checkpoint : Checkpoint or None
        Written after each epoch but the last one.
    """
    first_epoch = start.epoch if start else 0
    history = {name: list(values) for name, values in (start.history if start else {}).items()}
    callbacks = list(callbacks)
    if patience is not None:
        callbacks.append(
            keras.callbacks.EarlyStopping(
                "val_accuracy", mode="max", patience=patience, restore_best_weights=True
            )
        )
    all_callbacks = [*callbacks, EpochLines()] if verbose else list(callbacks)
    if checkpoint is not None:
        states = start.callbacks if start else None
        all_callbacks.append(
            CheckpointEachEpoch(checkpoint, history, first_epoch + epochs, callbacks, states)
        )
    stream = batch_stream(data, spec.n_classes, batch_size, seed, augmentation, first_epoch)
    with acquire_model(spec, seed, learning_rate, start) as compiled:
        all_callbacks.insert(0, ReseedEachEpoch(seed, compiled.generator))
        with (
            compiled.batches_dataset(stream, weighted=data.weights is not None) as batches,
            compiled.random_numbers(),
        ):
            new_history = _StreamClassifier.train(
                compiled.model,
                batches,
                spec.n_classes,
                epochs=epochs,
                callbacks=all_callbacks,
                initial_epoch=first_epoch,
                steps_per_epoch=data.steps_per_epoch(batch_size),
                validation_data=validation and validation.as_arrays(spec.n_classes),
            )
        for name, values in new_history.items():
            history.setdefault(name, []).extend(map(float, values))
        optimizer = optimizer_values(compiled.model.optimizer) if keep_optimizer else None
        model, head = compiled.plain_copy()
    for callback in callbacks:
        keras.callbacks.Callback.set_model(callback, None)
    trained = TrainedNetwork(model, optimizer, history, head)
    _check_converged(trained, learning_rate)
    return trained


def _check_converged(trained, learning_rate):
    """Reject weights that are not finite: the network would always predict the same class."""
    if all(np.isfinite(weights).all() for weights in trained.weights()):
        return
    loss = trained.history["loss"]
    first = next((i for i, value in enumerate(loss, 1) if not np.isfinite(value)), len(loss))
    rate = "" if learning_rate is None else f"; learning_rate={learning_rate:g}"
    raise ValueError(
        f"Training diverged in epoch {first} of {len(loss)}: weights of the network are NaN or "
        f"infinite{rate}. Lower the learning rate, or clip gradients in the optimizer."
    )


class _StreamClassifier(KerasClassifier):
    """The classifier of scikeras, trained on a stream of batches instead of arrays.

    scikeras passes what its two encoders return to ``model.fit``, and documents them as the
    place to handle other data. Here they return the stream. The images are already checked and
    encoded, so scikeras gets only one row per class to validate.
    """

    @classmethod
    def train(cls, model, batches, n_classes, *, epochs, callbacks, **fit_options):
        """Train a compiled model; return its history by metric, one value per epoch."""
        classifier = cls(
            model=lambda: model,
            epochs=epochs,
            callbacks=callbacks,
            validation_batch_size=_VALIDATION_BATCH,
            shuffle=False,
            verbose=0,
        )
        classifier.batches = batches
        classifier.fit(np.zeros((n_classes, 1)), np.arange(n_classes), **fit_options)
        return classifier.history_

    @property
    def feature_encoder(self):
        return _Replace(self.batches)

    @property
    def target_encoder(self):
        return _Replace(None)  # The batches contain the targets.


class _Replace:
    """An encoder that replaces its input."""

    def __init__(self, value):
        self._value = value

    def fit(self, data):
        return self

    def transform(self, data):
        return self._value
