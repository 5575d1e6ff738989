"""Keras models: built, compiled once, seeded, and reset between fits."""

from __future__ import annotations

import gc
import itertools
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

import keras
import numpy as np

from .._utils.compat import get_global_attribute, set_global_attribute
from .._utils.typing import PathLike
from ._description import computes_the_same, describe_network, is_library
from ._heads import JointLoss, add_head, joint_metrics, split_head
from .architectures import architecture_key, build_model, freeze_stages
from .architectures._build import (
    KERAS_GENERATOR,
    check_probabilities,
    check_process,
    is_named,
    isolated,
)

__all__ = [
    "FusedBatchNormalization",
    "NetworkSpec",
    "TrainingState",
    "acquire_model",
    "copied_weights",
    "derive_seeds",
    "describe_optimizer",
    "draw_weights",
    "fuse",
    "optimizer_classes",
    "optimizer_values",
]

# TensorFlow never frees a compiled training function (9 to 33 MB each), so compiled models are
# reused from one fit to the next. At most this many are kept while no fit uses them.
_MAX_IDLE = 16
_FITS_PER_COLLECTION = 8
_WARM_UP = 0.05  # fraction of all steps over which the cosine schedule rises
_FOCAL_GAMMA = 2.0  # as recommended by the authors of the focal loss


@dataclass(frozen=True)
class NetworkSpec:
    """Everything that distinguishes one compiled model from another."""

    architecture: str | Callable
    dropout: float | None
    input_shape: tuple  # (height, width, 1 | 3)
    n_classes: int
    optimizer: str  # as returned by `describe_optimizer`
    label_smoothing: float
    dtype_policy: str
    trainable: str = "all"  # or "last_stage" or "head"
    loss: str = "crossentropy"  # or "focal"
    n_auxiliary: int = 0  # outputs of the second head; 0 if there is none
    auxiliary_weight: float = 1.0
    optimizer_classes: tuple = ()  # as returned by `optimizer_classes`

    def build(self, weights: PathLike | None = None) -> keras.Model:
        """Build the network, uncompiled. Without `weights`, its weights are placeholders."""
        meta = {"input_shape": self.input_shape, "n_classes": self.n_classes}
        # Keras keeps one policy per thread; the caller's is restored.
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.dtype_policy)
        try:
            model = build_model(self.architecture, meta, self.dropout, weights)
        finally:
            keras.config.set_dtype_policy(before)
        freeze_stages(model, self.trainable)
        return model

    def build_for_training(self, seed: int | None = None) -> keras.Model:
        """Build the network as it is trained: with both heads, if there are two.

        Its weights are drawn from `seed`, unless the function that builds it sets them.
        """
        with isolated(seed):
            model = self.build()
            return add_head(model, self.n_auxiliary) if self.n_auxiliary else model

    @property
    def n_outputs(self) -> int:
        """Number of outputs while training."""
        return self.n_classes + self.n_auxiliary

    def make_metrics(self) -> list[Any]:
        """Return the metrics to compile with."""
        return joint_metrics(self.n_classes) if self.n_auxiliary else ["accuracy"]

    def make_loss(self) -> keras.losses.Loss:
        """Return the loss to compile with."""
        loss = self._make_loss_of_labels()
        if not self.n_auxiliary:
            return loss
        return JointLoss(loss, self.n_classes, self.auxiliary_weight)

    def _make_loss_of_labels(self):
        if self.loss == "crossentropy":
            return keras.losses.CategoricalCrossentropy(label_smoothing=self.label_smoothing)
        # Keras's default alpha of 0.25 is meant for object detection, where the background
        # dominates; 1 keeps the scale of the cross-entropy.
        return keras.losses.CategoricalFocalCrossentropy(
            alpha=1.0, gamma=_FOCAL_GAMMA, label_smoothing=self.label_smoothing
        )

    def key(self, model: keras.Model | None = None) -> tuple:
        """Return a hashable key that is equal for equal specifications.

        Parameters
        ----------
        model : keras.Model or None, default=None
            What a user's function built, which may depend on more than its arguments; None for
            one of the package's own.

        Raises
        ------
        TypeError
            If the model cannot be described.
        """
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["architecture"] = (
            architecture_key(self.architecture) if model is None else describe_network(model)
        )
        return tuple(values.values())


@dataclass
class TrainingState:
    """Everything needed to resume training.

    Parameters
    ----------
    weights : list of ndarray
    optimizer : list of ndarray or None
        If None, training starts with a fresh optimizer.
    epoch : int
        Number of epochs trained.
    history : dict of str to list of float
        One value per epoch trained.
    finished : bool
        Whether nothing is left to train.
    callbacks : list of dict or None
        The attributes of each callback; None if they start afresh.
    """

    weights: list
    optimizer: list | None = None
    epoch: int = 0
    history: dict = field(default_factory=dict)
    finished: bool = False
    callbacks: list | None = None


def describe_optimizer(
    optimizer: str | keras.optimizers.Optimizer,
    learning_rate: float,
    *,
    weight_decay: float,
    cosine_steps: int | None,
) -> tuple[str, float | None]:
    """Describe an optimizer so that equal settings yield equal text.

    Parameters
    ----------
    optimizer : str or keras.optimizers.Optimizer
        A name is configured with `learning_rate` and `weight_decay`, ``"sgd"`` also with
        Nesterov momentum of 0.9. An instance keeps its own configuration; its state is not
        used.
    learning_rate : float
        The constant learning rate or, with a schedule, the peak.
    weight_decay : float
        Decoupled weight decay, relative to the learning rate; 0 for none.
    cosine_steps : int or None
        Number of steps of a cosine schedule: a linear rise over the first twentieth, then a
        cosine decay to zero (Loshchilov & Hutter 2017, arXiv:1608.03983). If None, the rate is
        constant.

    Returns
    -------
    description : str
        JSON from which Keras can build the optimizer.
    learning_rate : float or None
        The rate that :func:`train` has to set; None if the description determines it.

    Raises
    ------
    ValueError
        If Keras has no such optimizer, or an instance comes with a schedule.
    """
    if not isinstance(optimizer, str):
        if cosine_steps is not None:
            raise ValueError(
                "learning_rate_schedule='cosine' needs an optimizer's name, such as 'sgd'; got "
                "an instance. Pass the name, or give the instance its own schedule."
            )
        return _optimizer_json(optimizer), None
    none = 0.0 if optimizer.lower() == "adamw" else None  # AdamW requires a number
    config: dict[str, Any] = {"weight_decay": weight_decay or none}
    if optimizer.lower() == "sgd":
        config |= {"momentum": 0.9, "nesterov": True}
    constant_rate: float | None = learning_rate
    if cosine_steps is not None:
        rise = max(1, round(_WARM_UP * cosine_steps))
        schedule = keras.optimizers.schedules.CosineDecay(
            learning_rate / rise, max(1, cosine_steps - rise), 0.0, "cosine", learning_rate, rise
        )
        config["learning_rate"] = keras.optimizers.schedules.serialize(schedule)
        constant_rate = None
    try:
        built = keras.optimizers.get({"class_name": optimizer, "config": config})
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"optimizer={optimizer!r} is not a Keras optimizer; expected a name such as "
            f"'adam', 'adamw', 'sgd', 'rmsprop', or an instance."
        ) from error
    return _optimizer_json(built), constant_rate


def optimizer_classes(optimizer: str | keras.optimizers.Optimizer) -> tuple:
    """Return the classes that Keras needs to rebuild an optimizer.

    Parameters
    ----------
    optimizer : str or keras.optimizers.Optimizer

    Returns
    -------
    tuple of (str, type)
        The classes of users, of the optimizer and of its schedule, by their names.
    """
    if isinstance(optimizer, str):
        return ()
    schedules = keras.optimizers.schedules.LearningRateSchedule
    parts = [optimizer, *(v for v in vars(optimizer).values() if isinstance(v, schedules))]
    kinds = [type(part) for part in parts if not is_library(type(part))]
    names = [(kind.__name__, keras.saving.get_registered_name(kind)) for kind in kinds]
    return tuple((name, kind) for kind, both in zip(kinds, names, strict=True) for name in both)


def _optimizer_json(optimizer):
    description = keras.optimizers.serialize(optimizer)
    description["config"]["name"] = "optimizer"  # Keras numbers the names that it generates
    return json.dumps(description, sort_keys=True)


def copied_weights(model: keras.Model) -> list[np.ndarray]:
    """Return copies of a model's weights, since PyTorch's are views that training changes."""
    return [weight.copy() for weight in model.get_weights()]


def optimizer_values(optimizer: keras.optimizers.Optimizer) -> list[np.ndarray]:
    """Return copies of an optimizer's state."""
    return [keras.ops.convert_to_numpy(v).copy() for v in optimizer.variables]


class _CompiledModel:
    """A model with its compiled functions, which is reset before each fit."""

    def __init__(self, spec, built):
        self._spec, self._uncompiled = spec, built
        self._datasets, self._batches = {}, None
        # Whether a clone is the same network, which the code of custom layers may prevent.
        self._can_clone = is_named(spec.architecture) or _is_cloned(built)
        self.model = self._copy(0, fuse)
        with isolated(0):
            # For random functions that get no seed, in custom layers.
            self.generator = keras.random.SeedGenerator(0)
            optimizer = keras.optimizers.deserialize(
                json.loads(spec.optimizer), custom_objects=dict(spec.optimizer_classes)
            )
        self.model.compile(
            optimizer=optimizer,
            loss=spec.make_loss(),
            metrics=spec.make_metrics(),
            # XLA is slower than plain graphs in TensorFlow on a CPU; JAX needs it.
            jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
        )
        self.model.optimizer.build(self.model.trainable_variables)
        self._built_optimizer = optimizer_values(self.model.optimizer)

    def reset(self, seed, learning_rate, start, built=None):
        """Set weights and optimizer to `start`; if that is None, to what `seed` generates.

        Frozen layers keep the weights of `built`, the network as a user's function built it.
        """
        self._uncompiled = built or self._uncompiled
        self._plain = self._copy(seed)
        if start is None:
            self.model.set_weights(_unless_frozen(self._plain, self._uncompiled))
        else:
            self.model.set_weights(start.weights)
        is_resuming = start is not None and start.optimizer is not None
        values = start.optimizer if is_resuming else self._built_optimizer
        optimizer = self.model.optimizer
        for variable, value in zip(optimizer.variables, values, strict=True):
            variable.assign(value)
        if learning_rate is not None:
            optimizer.learning_rate = learning_rate

    @contextmanager
    def batches_dataset(self, batches, *, weighted):
        """Turn a generator of batches into a dataset that `model.fit` reads without leaking memory.

        TensorFlow never frees a dataset that was made from a generator, over 1 MB each, so all
        fits share one, which reads from the current generator.
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

        shapes = [(None, *self._spec.input_shape), (None, self._spec.n_outputs), (None,)]
        signature = tuple(tf.TensorSpec(s, tf.float32) for s in shapes[: 3 if weighted else 2])
        dataset = tf.data.Dataset.from_generator(lambda: self._batches, output_signature=signature)
        return dataset.prefetch(2)

    @contextmanager
    def random_numbers(self):
        """Let random functions without a seed draw from a generator of this model."""
        before = get_global_attribute(KERAS_GENERATOR)
        set_global_attribute(KERAS_GENERATOR, self.generator)
        try:
            yield
        finally:
            set_global_attribute(KERAS_GENERATOR, before)

    def plain_copy(self):
        """Return an uncompiled copy of the model, with its weights, and the second head's."""
        copy = self._plain
        del self._plain
        copy.set_weights(self.model.get_weights())
        return split_head(copy) if self._spec.n_auxiliary else (copy, None)

    def _copy(self, seed, clone_function=None):
        # A clone leaks 0.4 MB, building again 5 MB. The clone of a compiled model is compiled.
        if self._can_clone:
            return _clone(self._uncompiled, seed, clone_function)
        return self._spec.build_for_training(seed)


def _clone(model, seed, clone_function=None):
    """Return a copy of a network; its weights are drawn from `seed`."""
    seeds = iter(derive_seeds(seed, 2, 100_000))
    with isolated(seed):
        return keras.models.clone_model(
            model, clone_function=clone_function or partial(_reseeded, seeds=seeds), recursive=True
        )


def _is_cloned(model):
    """Whether Keras can clone a network; it cannot clone subclassed models and Lambda layers."""
    try:
        copy = _clone(model, 0)
        copy.set_weights(model.get_weights())
    except Exception:  # from the code of custom layers
        return False
    return computes_the_same(copy, model)


def _reseeded(layer, seeds):
    """Return a copy of a layer; initialisers that have a seed get a new one."""
    return type(layer).from_config(_with_seeds(layer.get_config(), seeds))


def _with_seeds(config, seeds):
    if isinstance(config, (list, tuple)):
        return type(config)(_with_seeds(item, seeds) for item in config)
    if not isinstance(config, dict):
        return config
    is_initializer = config.get("module") == "keras.initializers"
    if is_initializer and isinstance(config["config"].get("seed"), int):
        return config | {"config": config["config"] | {"seed": int(next(seeds))}}
    return {key: _with_seeds(item, seeds) for key, item in config.items()}


def _unless_frozen(drawn, built):
    """Return the weights of `drawn`, but those of `built` in frozen layers."""
    pairs = zip(drawn.weights, built.weights, strict=True)
    return [
        keras.ops.convert_to_numpy(drawn if built.trainable else built) for drawn, built in pairs
    ]


def draw_weights(model: keras.Model, seed: int) -> list[np.ndarray]:
    """Draw initial weights for all layers that are not frozen, from `seed` alone.

    Parameters
    ----------
    model : keras.Model
        A network that Keras can clone.
    seed : int

    Returns
    -------
    list of ndarray
        In the order of ``model.get_weights()``; frozen layers keep theirs.
    """
    return _unless_frozen(_clone(model, seed), model)


_fits = itertools.count(1)
_idle: OrderedDict[tuple | None, list[_CompiledModel]] = OrderedDict()  # least recently used first
_idle_lock = threading.Lock()


@contextmanager
def acquire_model(
    spec: NetworkSpec,
    seed: int,
    learning_rate: float | None = None,
    start: TrainingState | None = None,
) -> Iterator[_CompiledModel]:
    """Take a compiled model from the pool for one fit, compiling it if there is none.

    It returns to the pool at the end, unless the fit failed.

    Parameters
    ----------
    spec : NetworkSpec
    seed : int
        Determines the initial weights, if there is no `start`.
    learning_rate : float or None, default=None
        A constant rate; None if `spec.optimizer` has a schedule.
    start : TrainingState or None, default=None
    """
    check_process()
    built = None if is_named(spec.architecture) else spec.build_for_training(seed)
    try:
        key = spec.key(built)
    except TypeError:  # the next network cannot be compared with this one
        key = None
    with _idle_lock:
        compiled = _idle[key].pop() if _idle.get(key) else None
    if compiled is None:
        if built is not None:
            check_probabilities(built, spec.n_classes, spec.architecture)
        compiled = _CompiledModel(spec, built or spec.build_for_training(seed))
    compiled.reset(seed, learning_rate, start, built)
    yield compiled
    # Keras's models contain reference cycles: few objects of many megabytes each. Python's garbage
    # collector counts objects, so it would keep them for a long time.
    if next(_fits) % _FITS_PER_COLLECTION == 0:
        gc.collect()
    if key is None:
        return
    with _idle_lock:
        _idle.setdefault(key, []).append(compiled)
        _idle.move_to_end(key)
        while sum(map(len, _idle.values())) > _MAX_IDLE:
            oldest = next(iter(_idle))
            _idle[oldest] = _idle[oldest][1:]
            if not _idle[oldest]:
                del _idle[oldest]


def derive_seeds(seed: int, stream: int, count: int) -> np.ndarray:
    """Return `count` seeds for one purpose, numbered `stream`, that depend on `seed` alone."""
    return np.random.default_rng([seed, stream]).integers(1, 2**31 - 1, count)


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation that trains with TensorFlow's fused operation.

    Keras normalises a training batch in about ten passes over it, which on a CPU take longer than
    the convolutions of a small network. TensorFlow has one operation for all of them. The results
    are equal up to rounding, and the variables are the same in the same order, so that weights can
    be copied between both kinds of layers.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not (training and self.trainable and mask is None and len(inputs.shape) == 4):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        normalized, mean, variance, *_ = tf.compat.v1.nn.fused_batch_norm(
            inputs, self.gamma.value, self.beta.value, epsilon=self.epsilon, is_training=True
        )
        # The operation returns the unbiased variance; Keras keeps the biased one.
        count = tf.cast(tf.size(inputs) // inputs.shape[-1], variance.dtype)
        variance *= (count - 1) / count
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + value * (1 - self.momentum))
        return normalized


def fuse(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Return a copy of a layer for training: fused, if it is a plain batch normalisation."""
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
