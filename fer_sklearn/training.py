"""How a network is trained: seeds, batches, compiled models that are used again, scikeras.

Everything here is about Keras and nothing about scikit-learn's conventions, which are the
business of :mod:`fer_sklearn.cnn`. The seam to scikeras is :class:`_StreamTrained` alone.
"""

import itertools
import json
import threading
import time
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass, fields

import keras
import numpy as np
from scikeras.wrappers import KerasClassifier

from .architectures import build_model, resolve_architecture
from .augmentation import augment

__all__ = [
    "EpochLines",
    "NetworkSpec",
    "TrainingData",
    "TrainingState",
    "describe_optimizer",
    "to_unit_floats",
    "train",
]

# A compiled training function stays in memory for good (9 to 33 MB each), so a compiled
# model is lent to one fit after another. This many may lie idle.
_MAX_IDLE = 16
_VALIDATION_BATCH = 256
_WARM_UP = 0.05  # the share of all steps over which a cosine schedule rises


@dataclass(frozen=True)
class NetworkSpec:
    """Whatever distinguishes one compiled model from another."""

    architecture: object  # a name or a builder function
    dropout: float | None
    input_shape: tuple  # (height, width, 1)
    n_classes: int
    optimizer: str  # as from `describe_optimizer`
    label_smoothing: float
    dtype_policy: str

    def build(self):
        """Build the network, uncompiled, with weights that mean nothing yet."""
        meta = {"input_shape": self.input_shape, "n_classes": self.n_classes}
        # Keras keeps the policy of each thread apart; this thread's is put back.
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.dtype_policy)
        try:
            return build_model(self.architecture, meta, self.dropout)
        finally:
            keras.config.set_dtype_policy(before)

    def key(self):
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["architecture"] = resolve_architecture(self.architecture)
        return tuple(values.values())


@dataclass
class TrainingData:
    """Images of one fit: pixels ``(n, h, w)``, positions in ``classes_``, weights or None."""

    pixels: np.ndarray
    codes: np.ndarray
    weights: np.ndarray | None = None

    def take(self, rows):
        weights = None if self.weights is None else self.weights[rows]
        return TrainingData(self.pixels[rows], self.codes[rows], weights)


@dataclass
class TrainingState:
    """What a later training needs to go on; `optimizer` None means a fresh one."""

    weights: list
    optimizer: list | None
    epoch: int


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

    Returns
    -------
    model : keras.Model
        Uncompiled, the caller's own.
    state : TrainingState
    history : dict of str to list of float
        One value an epoch.
    """
    first_epoch = start.epoch if start else 0
    batch_size = min(batch_size, len(data.codes))
    steps = -(-len(data.codes) // batch_size)
    stream = _batch_stream(data, spec.n_classes, batch_size, seed, augmentation, first_epoch)
    with _borrow(spec) as compiled:
        compiled.reset(seed, learning_rate, start)
        wrapper = _StreamTrained(
            model=lambda: compiled.model,
            epochs=epochs,
            callbacks=[_ReseedEachEpoch(seed), *callbacks],
        )
        wrapper.fit(
            data.pixels,
            data.codes,
            initial_epoch=first_epoch,
            stream=stream,
            steps_per_epoch=steps,
            validation_data=validation and _as_arrays(validation, spec.n_classes),
        )
        history = {name: list(map(float, v)) for name, v in wrapper.history_.items()}
        state = compiled.state(first_epoch + len(history["loss"]))
        model = _copy_network(compiled.model, spec)
    model.set_weights(state.weights)
    return model, state, history


def _copy_network(model, spec):
    # A clone leaves 0.4 MB behind, building anew 5 MB; but subclassed models and Lambda
    # layers cannot be cloned.
    try:
        return keras.models.clone_model(model)
    except (ValueError, TypeError):
        return spec.build()


class _StreamTrained(KerasClassifier):
    """scikeras's classifier, trained on a stream of batches in place of its arrays."""

    def _fit_keras_model(
        self, X, y, *, sample_weight, warm_start, epochs, initial_epoch, stream, **fit_args
    ):
        history = self.model_.fit(
            stream,
            epochs=initial_epoch + epochs,
            initial_epoch=initial_epoch,
            callbacks=self._fit_callbacks,
            shuffle=False,
            verbose=0,
            **fit_args,
        )
        self.history_ = history.history


def describe_optimizer(optimizer, learning_rate, *, weight_decay, cosine_steps):
    """Describe an optimizer so that equal settings give equal text.

    Parameters
    ----------
    optimizer : str or keras.optimizers.Optimizer
        A name is built with `learning_rate` and `weight_decay`, ``"sgd"`` with Nesterov
        momentum of 0.9; an instance is taken as it is, its state left aside.
    learning_rate : float
        The constant or, with a schedule, the highest rate.
    weight_decay : float
        Decoupled decay, relative to the learning rate; 0 for none.
    cosine_steps : int or None
        With a number: a linear rise over the first twentieth of these steps and a cosine
        fall to zero over the rest (Loshchilov & Hutter 2017, arXiv:1608.03983).

    Returns
    -------
    description : str
        JSON that Keras can build the optimizer from.
    learning_rate : float or None
        What :func:`train` is to set; None where the description already decides it.
    """
    if not isinstance(optimizer, str):
        return _optimizer_json(optimizer), None
    config = {"weight_decay": weight_decay or None}
    if optimizer.lower() == "sgd":
        config |= {"momentum": 0.9, "nesterov": True}
    if cosine_steps is not None:
        rise = max(1, round(_WARM_UP * cosine_steps))
        schedule = keras.optimizers.schedules.CosineDecay(
            learning_rate / rise, max(1, cosine_steps - rise), 0.0, "cosine", learning_rate, rise
        )
        config["learning_rate"] = keras.optimizers.schedules.serialize(schedule)
        learning_rate = None
    try:
        built = keras.optimizers.get({"class_name": optimizer, "config": config})
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"optimizer={optimizer!r} is not an optimizer of Keras; expected a name such as "
            f"'adam', 'adamw', 'sgd', 'rmsprop', or an instance."
        ) from error
    return _optimizer_json(built), learning_rate


def _optimizer_json(optimizer):
    description = keras.optimizers.serialize(optimizer)
    description["config"]["name"] = "optimizer"  # Keras numbers the names it makes up
    return json.dumps(description, sort_keys=True)


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


class _CompiledModel:
    """A model with its compiled functions, to be set back before each fit."""

    def __init__(self, spec):
        self.model = spec.build()
        self.model.compile(
            optimizer=keras.optimizers.deserialize(json.loads(spec.optimizer)),
            loss=keras.losses.CategoricalCrossentropy(label_smoothing=spec.label_smoothing),
            metrics=["accuracy"],
            # XLA is slower than plain graphs in TensorFlow on a CPU; JAX needs it.
            jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
        )
        self.model.optimizer.build(self.model.trainable_variables)
        self._first_weights = self.model.get_weights()
        self._first_optimizer = self._optimizer_values()

    def reset(self, seed, learning_rate, start):
        """Bring the model to the state that `start` or, without it, `seed` describes."""
        if start is None:
            self.model.set_weights(self._first_weights)
            draw_weights(self.model, seed)
        else:
            self.model.set_weights(start.weights)
        values = start.optimizer if start and start.optimizer else self._first_optimizer
        optimizer = self.model.optimizer
        for variable, value in zip(optimizer.variables, values, strict=True):
            variable.assign(value)
        if learning_rate is not None:
            optimizer.learning_rate = learning_rate

    def state(self, epoch):
        return TrainingState(self.model.get_weights(), self._optimizer_values(), epoch)

    def _optimizer_values(self):
        return [keras.ops.convert_to_numpy(v).copy() for v in self.model.optimizer.variables]


_idle = OrderedDict()  # key -> compiled models that no fit is using, least recent first
_idle_lock = threading.Lock()


@contextmanager
def _borrow(spec):
    """Lend a compiled model to one fit; a fit that fails does not give it back."""
    key = spec.key()
    with _idle_lock:
        compiled = _idle[key].pop() if _idle.get(key) else None
    compiled = compiled or _CompiledModel(spec)
    yield compiled
    with _idle_lock:
        _idle.setdefault(key, []).append(compiled)
        _idle.move_to_end(key)
        while sum(map(len, _idle.values())) > _MAX_IDLE:
            oldest = next(iter(_idle))
            _idle[oldest] = _idle[oldest][1:]
            if not _idle[oldest]:
                del _idle[oldest]


def draw_weights(model, seed):
    """Draw the weights of all layers that are not frozen anew, from `seed` alone.

    Keras's initialisers fall back on Python's global generator; each is called here with a
    seed of its own instead, so that no global seed has to be set.
    """
    seeds = iter(_seeds(seed, 2, 100_000))
    for layer in _leaf_layers(model):
        for name, initializer in sorted(vars(layer).items()):
            if not (name.endswith("_initializer") and layer.trainable):
                continue
            stem = name.removesuffix("_initializer")
            variable = getattr(layer, stem, None)
            if variable is None:
                variable = getattr(layer, f"{stem}_kernel", None)
            if not isinstance(initializer, keras.initializers.Initializer) or variable is None:
                continue
            config = initializer.get_config()
            if "seed" in config:
                initializer = type(initializer).from_config(config | {"seed": int(next(seeds))})
            variable.assign(initializer(tuple(variable.shape), dtype=variable.dtype))


class _ReseedEachEpoch(keras.callbacks.Callback):
    """Seed dropout and its kin anew at each epoch, so that training can be taken up there."""

    def __init__(self, seed):
        super().__init__()
        self._seed = seed

    def on_epoch_begin(self, epoch, logs=None):
        states = [v for v in self.model.variables if v.path.endswith("seed_generator_state")]
        for state, value in zip(states, _seeds(self._seed, 3 + epoch, len(states)), strict=True):
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


def _seeds(seed, stream, count):
    return np.random.default_rng([seed, stream]).integers(1, 2**31 - 1, count)


def _leaf_layers(model):
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _leaf_layers(layer)
        else:
            yield layer
