"""Build a network from a name or a function, check it, and split it into stages."""

from __future__ import annotations

import inspect
import os
import random
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import partial

import keras
import numpy as np

from ..._utils.compat import get_global_attribute, seed_generator, set_global_attribute
from ..._utils.typing import PathLike
from ..._utils.validation import check_choice, suggestion
from ._backbones import check_path, load_file
from ._named import ARCHITECTURES, Meta, channels_last

#: The parts that :func:`freeze_stages` can leave trainable.
TRAINABLE = ("head", "last_stage", "all")
# A stage ends where the resolution falls to this fraction. Unpadded convolutions reduce it less.
_FALL = 0.6

# Probabilities that a network computes sum to 1 up to rounding, which is coarse in half precision.
_SUM_TOLERANCE, _SUM_TOLERANCE_IN_HALF = 1e-3, 2e-2

#: Keras's name of the generator that its random functions use unless they get a seed.
KERAS_GENERATOR = "global_seed_generator"

# Whether one thread has isolated itself, and in which process Keras was used.
_isolation: dict[str, int] = {"is_on": False, "process": 0}


def build_model(
    architecture: str | Callable[..., keras.Model],
    meta: Meta,
    dropout: float | None = None,
    weights: PathLike | None = None,
) -> keras.Model:
    """Build a network from a name or a builder function, and check it.

    Parameters
    ----------
    architecture : str or callable
        A key of :data:`ARCHITECTURES`, or a function ``(meta)`` that returns a
        ``keras.Model``, or ``functools.partial`` of one. The function may also take
        ``dropout`` and ``weights``.
    meta : mapping
        ``"input_shape"``, ``(height, width, 1 | 3)``, and ``"n_classes"``. It is passed to the
        builder as it is.
    dropout : float or None, default=None
        Dropout rate. If None, the builder's default.
    weights : None, str or path-like, default=None
        Passed to a builder that takes ``weights``. For any other, the path of a
        ``.weights.h5`` file of the whole network. If None, weights are drawn at
        random.

    Returns
    -------
    keras.Model
        Uncompiled, with the output shape ``(None, n_classes)``.

    Raises
    ------
    ValueError
        If the name is unknown, the builder takes no `dropout`, the model has another output
        shape, or `weights` do not fit.
    FileNotFoundError
        If the file `weights` does not exist.
    OSError
        If ImageNet's weights cannot be downloaded.
    TypeError
        If the builder does not return a ``keras.Model``.

    Examples
    --------
    >>> from functools import partial
    >>> from fer_sklearn.cnn.architectures import build_model, mobilenet_v3_small
    >>> meta = {"input_shape": (48, 48, 1), "n_classes": 7}
    >>> build_model("conv3", meta).output_shape
    (None, 7)
    >>> model = build_model(partial(mobilenet_v3_small, size=64), meta)
    >>> model.get_layer("backbone").input_shape
    (None, 64, 64, 3)
    """
    builder = resolve_architecture(architecture)
    name = _name(builder)
    loads = _takes(builder, "weights")
    if dropout is not None:
        if not _takes(builder, "dropout"):
            raise ValueError(
                f"dropout={dropout!r} was given, but architecture {name!r} takes no "
                f"dropout. Leave dropout=None, or add the parameter to the function."
            )
        builder = partial(builder, dropout=dropout)
    if weights is not None and loads:
        builder = partial(builder, weights=weights)
    elif weights is not None:
        _check_file(weights, name)
    with isolated():
        model = _checked(builder(meta), name, meta)
    if weights is not None and not loads:
        _load_network(model, weights, name, meta)
    return model


@contextmanager
def isolated(seed: int | None = None) -> Iterator[None]:
    """Build networks with separate random numbers, and with channels last.

    Keras draws the seeds of initialisers from Python's global generator, which other threads may
    use at the same time, so it gets a separate one here. Layers and functions of users may draw
    from the global generators of Python, NumPy or Keras; these get other states here, and their own
    ones back at the end.

    Parameters
    ----------
    seed : int or None, default=None
        Determines all random numbers. If None, they are unpredictable. Ignored within another
        isolation.

    Yields
    ------
    None
        For one thread at a time.

    Raises
    ------
    RuntimeError
        In a process that was forked after Keras was used.
    """
    check_process()
    with channels_last():
        if _isolation["is_on"]:
            yield
            return
        own, seeds = random.Random(seed), random.Random(seed)
        states = random.getstate(), np.random.get_state()  # noqa: NPY002 - others may use it
        generator = get_global_attribute(KERAS_GENERATOR)
        random.setstate(own.getstate())
        numpy_state = np.random.RandomState(own.getrandbits(32)).get_state()
        np.random.set_state(numpy_state)  # noqa: NPY002
        set_global_attribute(KERAS_GENERATOR, None)
        _isolation["is_on"] = True
        keras_random = seed_generator.python_random
        seed_generator.python_random = _Seeds(seeds, keras_random)
        try:
            yield
        finally:
            seed_generator.python_random = keras_random
            _isolation["is_on"] = False
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
            set_global_attribute(KERAS_GENERATOR, generator)


class _Seeds:
    """Source of Keras's seeds while one thread builds networks; other threads draw as before."""

    def __init__(self, own, others):
        self._own, self._others, self._thread = own, others, threading.get_ident()

    def randint(self, first: int, last: int) -> int:
        is_own = threading.get_ident() == self._thread
        return (self._own if is_own else self._others).randint(first, last)


def check_process() -> None:
    """Refuse to use Keras in a process that was forked after it was used.

    The threads of TensorFlow and JAX do not exist in the child, which would wait for them forever.

    Raises
    ------
    RuntimeError
    """
    process = os.getpid()
    parent = _isolation["process"] or process
    if parent != process and keras.backend.backend() != "torch":
        raise RuntimeError(
            f"Keras was used in process {parent} before this one was forked from it, and would "
            f"hang here. Start processes with multiprocessing.get_context('spawn') or joblib's "
            f"'loky', or predict with LiteRT, with load_pretrained(runtime='litert') or "
            f"load_exported."
        )
    _isolation["process"] = process


def resolve_architecture(
    architecture: str | Callable[..., keras.Model],
) -> Callable[..., keras.Model]:
    """Return the builder function of an architecture.

    Parameters
    ----------
    architecture : str or callable
        A key of :data:`ARCHITECTURES`, or a function, which is returned as it is.

    Returns
    -------
    callable

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is a network instead of a function that builds one.
    """
    if isinstance(architecture, keras.Model):
        raise TypeError(
            f"architecture is a {type(architecture).__name__}; expected a name, or a function that "
            f"builds a new network for each fit. Pass a function of meta, whose "
            f"meta['input_shape'] and meta['n_classes'] describe the data."
        )
    if callable(architecture):
        return architecture
    if architecture in ARCHITECTURES:
        return ARCHITECTURES[architecture]
    raise ValueError(
        f"architecture={architecture!r} is unknown; expected a function or one of "
        f"{', '.join(map(repr, ARCHITECTURES))}.{suggestion(architecture, ARCHITECTURES)}"
    )


def architecture_key(architecture: str | Callable[..., keras.Model]) -> Hashable:
    """Return a hashable key that is equal for equal architectures.

    Copies of a ``functools.partial``, as ``sklearn.clone`` makes them, do not compare equal, but
    their keys do.

    Parameters
    ----------
    architecture : str or callable
        As in :func:`build_model`.

    Returns
    -------
    hashable
    """
    builder = resolve_architecture(architecture)
    if not isinstance(builder, partial):
        return builder
    key = (builder.func, builder.args, tuple(sorted(builder.keywords.items())))
    try:
        hash(key)
    except TypeError:  # an argument is a list, for example
        return builder
    return key


def is_named(architecture: str | Callable[..., keras.Model]) -> bool:
    """Return whether an architecture is one of the package's own, with any arguments."""
    builder = resolve_architecture(architecture)
    while isinstance(builder, partial):
        builder = builder.func
    return builder in ARCHITECTURES.values()


def check_probabilities(
    model: keras.Model, n_classes: int, architecture: str | Callable[..., keras.Model]
) -> None:
    """Reject a network whose outputs are not probabilities.

    Parameters
    ----------
    model : keras.Model
        It predicts a few random images, also with other weights, and gets its own weights back.
    n_classes : int
        Number of its first outputs, which must sum to 1.
    architecture : str or callable
        The architecture that built it, for the error message.

    Raises
    ------
    ValueError
    """
    rng = np.random.default_rng(0)
    images = rng.normal(0.5, 1.0, (4, *model.input_shape[1:])).astype(np.float32)
    own = model.get_weights()
    # Away from zero: a sigmoid of zeros is one half, which is a probability of two classes.
    others = [w + np.abs(rng.normal(0, 0.1, w.shape)).astype(w.dtype) for w in own]
    # A softmax that computes in half precision rounds, even if its outputs are cast afterwards.
    is_full = all(layer.compute_dtype == "float32" for layer in model.layers)
    tolerance = _SUM_TOLERANCE if is_full else _SUM_TOLERANCE_IN_HALF
    for weights in (others, own):
        model.set_weights(weights)
        computed = model(images, training=False)
        outputs = keras.ops.convert_to_numpy(computed).astype(float)
        outputs = outputs[np.isfinite(outputs).all(axis=1), :n_classes]
        wrong = (outputs < 0).any(axis=1) | (np.abs(outputs.sum(axis=1) - 1) > tolerance)
        if wrong.any():
            model.set_weights(own)
            row = np.array2string(outputs[wrong][0], precision=2)
            raise ValueError(
                f"architecture {_name(architecture)!r} has outputs that are not probabilities: "
                f"{row} sums to {outputs[wrong][0].sum():.2f}. End it with "
                f"Dense(meta['n_classes'], activation='softmax')."
            )


def _name(builder):
    if isinstance(builder, partial):
        builder = builder.func
    return getattr(builder, "__name__", repr(builder))


def _takes(builder, parameter):
    return parameter in inspect.signature(builder).parameters


def _checked(model, name, meta):
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"architecture {name!r} returned {type(model).__name__}; expected a keras.Model."
        )
    # Networks that were not built from an Input have no shapes.
    given, shape = getattr(model, "input_shape", None), tuple(meta["input_shape"])
    if not _fits(given, (None, *shape)):
        raise ValueError(
            f"architecture {name!r} has the input shape {given}; expected {(None, *shape)}: start "
            f"it with keras.Input(meta['input_shape'])."
        )
    expected = (None, meta["n_classes"])
    if model.output_shape != expected:
        raise ValueError(
            f"architecture {name!r} has the output shape {model.output_shape}; expected "
            f"{expected}: end it with Dense(meta['n_classes'], activation='softmax')."
        )
    return model


def _fits(given, expected):
    """Return whether a network takes images of a shape; None stands for any size."""
    if not isinstance(given, tuple) or len(given) != len(expected):
        return False
    return all(size in (None, wanted) for size, wanted in zip(given, expected, strict=True))


def _check_file(weights, name):
    """Reject a path that cannot be the file of a whole network, before anything is built."""
    if weights == "imagenet":
        choices = [repr(n) for n, builder in ARCHITECTURES.items() if _takes(builder, "weights")]
        raise ValueError(
            f"initial_weights='imagenet' was given, but architecture {name!r} has no ImageNet "
            f"weights; choose {' or '.join(choices)}."
        )
    check_path(weights)


def _load_network(model, weights, name, meta):
    height, width, _ = meta["input_shape"]
    load_file(
        model,
        weights,
        owner=f"architecture {name!r} for {height}×{width} pixels and {meta['n_classes']} classes",
        expected=(
            "a file that model.save_weights('….weights.h5') wrote for the same architecture, image "
            "size and number of classes"
        ),
    )


def split_stages(model: keras.Model) -> list[list[keras.layers.Layer]]:
    """Split the layers of a network into stages, each the layers at one resolution.

    A new stage begins where height and width fall to at most 0.6 of the previous stage's, after
    pooling or a stride. The last stage is the head: flattening or global pooling, and every layer
    after it. Squeeze-and-excitation branches belong to the stage whose channels they weight.
    Every stage has weights: layers without weights before a stage, such as the scaling of the
    input, are part of it, and a head without weights begins at the last layer that has some.

    Parameters
    ----------
    model : keras.Model
        Any network. Networks nested in it, such as backbones, are split too. A subclassed model,
        whose graph Keras does not know, is one stage.

    Returns
    -------
    list of list of keras.layers.Layer
        From input to output. Each layer is in one stage.

    Examples
    --------
    >>> from fer_sklearn.cnn.architectures import build_model, split_stages
    >>> model = build_model("conv3", {"input_shape": (48, 48, 1), "n_classes": 7})
    >>> for stage in split_stages(model):
    ...     print([type(layer).__name__ for layer in stage])
    ['InputLayer', 'Conv2D']
    ['MaxPooling2D', 'Dropout', 'Conv2D']
    ['MaxPooling2D', 'Dropout', 'Conv2D']
    ['MaxPooling2D', 'Dropout', 'Flatten', 'Dense', 'Dropout', 'Dense']
    """
    leaves = list(leaf_layers(model))
    sides = [_side(layer) for layer in leaves]
    wide = [i for i, side in enumerate(sides) if side is not None and side > 1]
    narrow_from = wide[-1] + 1 if wide else 0
    end = _end_of_maps(leaves, sides, narrow_from)
    # Maps of one pixel before larger ones are those of squeeze-and-excitation branches.
    sides[:narrow_from] = [None if side == 1 else side for side in sides[:narrow_from]]
    return _with_weights([*_by_resolution(leaves[:end], sides), leaves[end:]])


def freeze_stages(model: keras.Model, trainable: str) -> None:
    """Freeze the first stages of a network, in place; the others stay as they are.

    Frozen layers keep their weights, and frozen batch normalisation also its statistics. Freeze
    stages before compiling the model.

    Parameters
    ----------
    model : keras.Model
    trainable : {"head", "last_stage", "all"}
        What is not frozen: the last of the stages that :func:`split_stages` returns, which is the
        head; the last two, so that the body's lowest resolution is trained too; or all of them.

    Raises
    ------
    ValueError
        For another value, or if there are no stages before these.

    Examples
    --------
    >>> from fer_sklearn.cnn.architectures import build_model, freeze_stages
    >>> model = build_model("conv3", {"input_shape": (48, 48, 1), "n_classes": 7})
    >>> freeze_stages(model, "last_stage")
    >>> [layer.trainable for layer in model.layers if layer.weights]
    [False, False, True, True, True]
    """
    check_choice("trainable", trainable, TRAINABLE)
    if trainable == "all":
        return
    stages = split_stages(model)
    n_trained = 1 + (trainable == "last_stage")
    if len(stages) <= n_trained:
        sizes = ", ".join([*map(_resolution, stages[:-1]), "head"])
        raise ValueError(
            f"trainable={trainable!r} freezes nothing of the architecture, which has "
            f"{len(stages)} stage(s): {sizes}. Choose trainable='all'."
        )
    for stage in stages[:-n_trained]:
        for layer in stage:
            layer.trainable = False


def leaf_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Iterate over the layers of a network and of networks nested in it.

    Parameters
    ----------
    model : keras.Model

    Yields
    ------
    keras.layers.Layer
        In topological order; nested networks themselves are left out.
    """
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaf_layers(layer)
        else:
            yield layer


def _end_of_maps(leaves, sides, narrow_from):
    """Return the position of the first layer of the head."""
    narrow = leaves[narrow_from:]
    pooled = (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)
    if not narrow or sides[narrow_from] is None or isinstance(narrow[0], pooled):
        return narrow_from
    # Convolution or pooling reduced maps to one pixel: a stage like others, up to its last map.
    return 1 + max(i for i, side in enumerate(sides) if side is not None)


def _by_resolution(leaves, sides):
    """Split layers by the longer side of their maps; none comes before a layer that feeds it."""
    stages: list[list] = [[]]
    heights = [0]
    origins: dict[int, int] = {}
    for layer, side in zip(leaves, sides, strict=False):
        known = (origins.get(id(tensor)) for tensor in _tensors(layer, "input"))
        # The input of a nested model, for example, is not the output of a layer.
        stage = max((s for s in known if s is not None), default=len(stages) - 1)
        if side is not None and side <= _FALL * heights[stage]:
            stage += 1
            if stage == len(stages):
                stages.append([])
                heights.append(side)
        elif side is not None and not any(other.weights for other in stages[stage]):
            heights[stage] = max(heights[stage], side)  # the input is enlarged
        stages[stage].append(layer)
        origins |= {id(tensor): stage for tensor in _tensors(layer, "output")}
    return stages


def _with_weights(stages):
    """Merge stages without weights into the next one, and make sure that the last one has some."""
    joined: list[list] = []
    waiting: list = []
    for stage in stages:
        waiting = waiting + stage
        if any(layer.weights for layer in waiting):
            joined.append(waiting)
            waiting = []
    if not waiting or not joined:
        return joined or [waiting]
    *before, last = joined
    start = max(i for i, layer in enumerate(last) if layer.weights)
    if not any(layer.weights for layer in last[:start]):
        return [*before, last + waiting]
    return [*before, last[:start], last[start:] + waiting]


def _resolution(stage):
    """Return the size of a stage's maps, as ``"48×48"``."""
    shapes = [t.shape for layer in stage if layer.weights for t in _tensors(layer, "output")]
    sizes = [shape[1:3] for shape in shapes if len(shape) == 4]
    return "×".join(map(str, sizes[0])) if sizes else "unknown size"


def _side(layer):
    """Return the longer side of a layer's map ``(n, h, w, c)``; None if it has no map."""
    maps = [t.shape[1:3] for t in _tensors(layer, "output") if len(t.shape) == 4]
    return max(maps[0]) if maps and None not in maps[0] else None


def _tensors(layer, side):
    try:
        return keras.tree.flatten(getattr(layer, side))
    except (AttributeError, ValueError):  # the layer was not part of a graph
        return []
