"""Networks as training and prediction use them: built, compiled once, seeded, set back."""

import gc
import itertools
import json
import threading
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import partial

import keras
import numpy as np

from .architectures import architecture_key, build_model, freeze_stages, leaf_layers

__all__ = [
    "FusedBatchNormalization",
    "NetworkSpec",
    "TrainingState",
    "borrow",
    "compile_prediction",
    "copied_weights",
    "derive_seeds",
    "describe_optimizer",
    "draw_weights",
    "fuse",
    "optimizer_values",
]

# A compiled training function stays in memory for good (9 to 33 MB each), so a compiled
# model is lent to one fit after another. This many may lie idle.
_MAX_IDLE = 16
_LOANS_A_CLEANING = 8
_WARM_UP = 0.05  # the share of all steps over which a cosine schedule rises
_FOCUS = 2.0  # gamma of the focal loss, as its authors recommend


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
    frozen_stages: int = 0
    loss: str = "crossentropy"  # or "focal"

    def build(self, weights=None):
        """Build the network, uncompiled; without `weights`, its own mean nothing yet."""
        meta = {"input_shape": self.input_shape, "n_classes": self.n_classes}
        # Keras keeps the policy of each thread apart; this thread's is put back.
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.dtype_policy)
        try:
            model = build_model(self.architecture, meta, self.dropout, weights)
        finally:
            keras.config.set_dtype_policy(before)
        freeze_stages(model, self.frozen_stages)
        return model

    def make_loss(self):
        if self.loss == "crossentropy":
            return keras.losses.CategoricalCrossentropy(label_smoothing=self.label_smoothing)
        # Keras's alpha of 0.25 is for objects on a background; 1 keeps cross-entropy's scale.
        return keras.losses.CategoricalFocalCrossentropy(
            alpha=1.0, gamma=_FOCUS, label_smoothing=self.label_smoothing
        )

    def key(self):
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["architecture"] = architecture_key(self.architecture)
        return tuple(values.values())


@dataclass
class TrainingState:
    """What a later training needs to go on; `optimizer` None means a fresh one."""

    weights: list
    optimizer: list | None
    epoch: int
    history: dict = field(default_factory=dict)  # of all epochs so far
    stopper: dict | None = None  # what early stopping remembers
    finished: bool = False


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
        if cosine_steps is not None:
            raise ValueError(
                "learning_rate_schedule='cosine' needs an optimizer's name, such as 'sgd'; got "
                "an instance. Give the instance a schedule of its own, or pass its name."
            )
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


def compile_prediction(model):
    """Return a function from ``(n, h, w, 1)`` float32 to probabilities, for any n.

    Safe to call from several threads. `model` keeps its weights in it, so that it follows
    their changes.
    """
    if keras.backend.backend() != "tensorflow":
        return model.predict_on_batch
    import tensorflow as tf

    # One trace for all batch sizes; `predict_on_batch` would trace again for each new one.
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)]
    compiled = tf.function(
        partial(model, training=False), input_signature=signature, autograph=False
    )
    return lambda batch: compiled(batch).numpy()


def copied_weights(model):
    """Return a model's weights; copies, since PyTorch's are views that training changes."""
    return [weight.copy() for weight in model.get_weights()]


def optimizer_values(optimizer):
    """Return copies of what an optimizer remembers."""
    return [keras.ops.convert_to_numpy(v).copy() for v in optimizer.variables]


class _CompiledModel:
    """A model with its compiled functions, to be set back before each fit."""

    def __init__(self, spec):
        self._spec = spec
        self._datasets, self._batches = {}, None
        self._uncompiled = spec.build()
        self.model = self._copy(clone_function=fuse)
        self.model.set_weights(self._uncompiled.get_weights())  # frozen layers keep these
        self.model.compile(
            optimizer=keras.optimizers.deserialize(json.loads(spec.optimizer)),
            loss=spec.make_loss(),
            metrics=["accuracy"],
            # XLA is slower than plain graphs in TensorFlow on a CPU; JAX needs it.
            jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
        )
        self.model.optimizer.build(self.model.trainable_variables)
        self._first_weights = copied_weights(self.model)
        self._first_optimizer = optimizer_values(self.model.optimizer)

    def reset(self, seed, learning_rate, start):
        """Bring the model to the state that `start` or, without it, `seed` describes."""
        if start is None:
            self.model.set_weights(self._first_weights)
            draw_weights(self.model, seed)
        else:
            self.model.set_weights(start.weights)
        going_on = start is not None and start.optimizer is not None
        values = start.optimizer if going_on else self._first_optimizer
        optimizer = self.model.optimizer
        for variable, value in zip(optimizer.variables, values, strict=True):
            variable.assign(value)
        if learning_rate is not None:
            optimizer.learning_rate = learning_rate

    @contextmanager
    def feed(self, batches, *, weighted):
        """Lend a generator of batches to `model.fit`, in the form that leaves nothing behind.

        TensorFlow never frees a dataset that was made from a generator, over 1 MB each, so
        there is one for all fits, which reads whatever generator is its turn.
        """
        if keras.backend.backend() != "tensorflow":
            yield batches
            return
        if weighted not in self._datasets:
            self._datasets[weighted] = self._make_dataset(weighted)
        self._batches = batches
        try:
            yield self._datasets[weighted]
        finally:
            self._batches = None

    def _make_dataset(self, weighted):
        import tensorflow as tf

        shapes = [(None, *self._spec.input_shape), (None, self._spec.n_classes), (None,)]
        signature = tuple(tf.TensorSpec(s, tf.float32) for s in shapes[: 3 if weighted else 2])
        dataset = tf.data.Dataset.from_generator(lambda: self._batches, output_signature=signature)
        return dataset.prefetch(2)

    def plain_copy(self):
        """Return an uncompiled copy of the model, with its weights."""
        copy = self._copy()
        copy.set_weights(self.model.get_weights())
        return copy

    def _copy(self, clone_function=None):
        # A clone leaves 0.4 MB behind, building anew 5 MB; but subclassed models and Lambda
        # layers cannot be cloned, and the clone of a compiled model is compiled.
        try:
            return keras.models.clone_model(
                self._uncompiled, clone_function=clone_function, recursive=True
            )
        except (ValueError, TypeError):
            return self._spec.build()


_loans = itertools.count(1)
_idle = OrderedDict()  # key -> compiled models that no fit is using, least recent first
_idle_lock = threading.Lock()


@contextmanager
def borrow(spec):
    """Lend a compiled model to one fit; a fit that fails does not give it back."""
    key = spec.key()
    with _idle_lock:
        compiled = _idle[key].pop() if _idle.get(key) else None
    compiled = compiled or _CompiledModel(spec)
    yield compiled
    # Keras's models are cyclic garbage, few objects of many megabytes, which Python, counting
    # objects, would let lie for long.
    if next(_loans) % _LOANS_A_CLEANING == 0:
        gc.collect()
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
    seeds = iter(derive_seeds(seed, 2, 100_000))
    for layer in leaf_layers(model):
        for name, initializer in sorted(vars(layer).items()):
            if not (name.endswith("_initializer") and layer.trainable):
                continue
            stem = name.removesuffix("_initializer")
            variable = getattr(layer, stem, None)
            if variable is None:
                variable = getattr(layer, f"{stem}_kernel", None)
            if variable is None and isinstance(layer, keras.layers.DepthwiseConv2D):
                variable = layer.kernel  # its initialiser has another name
            if not isinstance(initializer, keras.initializers.Initializer) or variable is None:
                continue
            config = initializer.get_config()
            if "seed" in config:
                initializer = type(initializer).from_config(config | {"seed": int(next(seeds))})
            variable.assign(initializer(tuple(variable.shape), dtype=variable.dtype))


def derive_seeds(seed, stream, count):
    """Return `count` seeds of one purpose, `stream`, that `seed` alone decides."""
    return np.random.default_rng([seed, stream]).integers(1, 2**31 - 1, count)


# Keras normalises a training batch in some ten passes over it, which on a CPU take longer
# than the convolutions of a small network. TensorFlow has one operation for all of them.
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer, whose training step is TensorFlow's fused operation.

    The same numbers up to rounding, and the same variables in the same order, so that
    weights move freely between the two.
    """

    def call(self, inputs, training=None, mask=None):
        if not (training and self.trainable and mask is None and len(inputs.shape) == 4):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        normalized, mean, variance, *_ = tf.compat.v1.nn.fused_batch_norm(
            inputs, self.gamma.value, self.beta.value, epsilon=self.epsilon, is_training=True
        )
        # The operation tells the unbiased variance; Keras keeps the biased one.
        count = tf.cast(tf.size(inputs) // inputs.shape[-1], variance.dtype)
        variance *= (count - 1) / count
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + value * (1 - self.momentum))
        return normalized


def fuse(layer):
    """Return a copy of `layer` to train with, fused if it is a plain batch normalisation."""
    config = layer.get_config()
    fusible = (
        type(layer) is keras.layers.BatchNormalization
        and keras.backend.backend() == "tensorflow"
        and config["scale"]
        and config["center"]
        and not config.get("synchronized")
        and layer.axis in (-1, 3)
    )
    kind = FusedBatchNormalization if fusible else type(layer)
    return kind.from_config(config)
