"""Describe networks, functions and callbacks as plain data, to compare and to store them.

Keras's own description of a network, in JSON, does not contain the code of custom layers and
functions, and its names differ between two builds. Here both are corrected, so that descriptions
are equal if and only if the described objects compute the same.
"""

from __future__ import annotations

import builtins
import dis
import hashlib
import json
import random
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import PurePath
from typing import Any

import joblib
import keras
import numpy as np

from .architectures import leaf_layers
from .architectures._build import isolated

__all__ = [
    "callback_state",
    "computes_the_same",
    "custom_objects",
    "describe",
    "describe_layers",
    "describe_network",
    "is_library",
    "network_from_state",
    "network_to_state",
]

# Code of Python, of this package and of installed ones is described by its name, all other code by
# what it does.
_LIBRARIES = {"fer_sklearn", *sys.stdlib_module_names}
_INSTALLED = {"dist-packages", "site-packages"}
# Settings that may differ between two networks of one architecture.
_SETTINGS = {"dtype", "dropout", "name", "rate", "recurrent_dropout", "seed", "trainable"}
_NOT_CODE = {
    *("__annotations__", "__dict__", "__doc__", "__firstlineno__", "__module__", "__qualname__"),
    *("__static_attributes__", "__weakref__", "__abstractmethods__", "_abc_impl"),
}


def describe(value: Any) -> Any:
    """Describe a value by its contents.

    Parameters
    ----------
    value : object
        Numbers, text, arrays, paths, generators of random numbers, functions, classes, Keras's
        objects, instances of classes outside libraries, and containers of these.

    Returns
    -------
    object
        Plain data for JSON, equal for equal values in any process.

    Raises
    ------
    TypeError
        If a value cannot be compared, such as an open file.
    """
    return _Describer().describe(value)


class _Describer:
    """One description; objects may refer to each other in circles."""

    def __init__(self) -> None:
        self._open: dict[int, int] = {}  # numbers of the objects that are being described, by id
        self._done: dict[int, tuple[Any, Any]] = {}  # objects, which stay alive, and descriptions

    def describe(self, value: Any) -> Any:
        if value is None or isinstance(value, (bool, int, str)):
            return value
        if isinstance(value, (float, complex)) or value is Ellipsis:
            return [type(value).__name__, repr(value)]
        if isinstance(value, bytes):
            return ["bytes", hashlib.sha256(value).hexdigest()]
        if isinstance(value, np.generic):
            return [value.dtype.str, repr(value.item())]
        if isinstance(value, PurePath):
            return ["path", str(value)]
        key = id(value)
        if key in self._open:
            return ["circle", self._open[key]]
        if key not in self._done:
            self._open[key] = len(self._open)
            self._done[key] = value, self._describe_object(value)
            del self._open[key]
        return self._done[key][1]

    def _describe_object(self, value):
        if isinstance(value, np.ndarray):
            return self._array(value)
        if isinstance(value, (list, tuple)):
            return [type(value).__name__, *map(self.describe, value)]
        if isinstance(value, (set, frozenset)):
            return ["set", *sorted(map(json.dumps, map(self.describe, value)))]
        if isinstance(value, Mapping):
            pairs = [[self.describe(key), self.describe(item)] for key, item in value.items()]
            return ["mapping", *sorted(pairs, key=json.dumps)]
        if isinstance(value, np.random.Generator):
            return ["generator", self.describe(value.bit_generator.state)]
        if isinstance(value, (np.random.RandomState, random.Random)):
            state = value.getstate() if isinstance(value, random.Random) else value.get_state()
            return ["generator", self.describe(state)]
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, types.ModuleType):
            return ["module", value.__name__]
        if callable(value) and (described := self._callable(value)) is not None:
            return described
        return self._instance(value)

    def _array(self, array):
        if array.dtype == object:
            return ["array", list(array.shape), self.describe(array.ravel().tolist())]
        data = hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
        return ["array", array.dtype.str, list(array.shape), data]

    def _callable(self, value):
        if isinstance(value, partial):
            parts = value.func, value.args, value.keywords
            return ["partial", *map(self.describe, parts)]
        if isinstance(value, types.MethodType):
            return ["method", self.describe(value.__func__), self.describe(value.__self__)]
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.BuiltinFunctionType):
            owner = value.__self__
            owner = None if isinstance(owner, types.ModuleType) else self.describe(owner)
            return ["builtin", value.__module__, value.__qualname__, owner]
        if isinstance(value, np.ufunc):
            return ["ufunc", value.__name__]
        return None

    def _function(self, function):
        cells = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
        given = [function.__defaults__, function.__kwdefaults__, cells]
        if is_library(function):
            return ["function", _name(function), *map(self.describe, given)]
        return ["code", self._code(function.__code__, function.__globals__), self.describe(given)]

    def _code(self, code, names):
        constants = [
            self._code(constant, names)
            if isinstance(constant, types.CodeType)
            else self.describe(constant)
            for constant in code.co_consts
        ]
        loaded = [
            instruction.argval
            for instruction in dis.get_instructions(code)
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME")
        ]
        globals_ = [[name, self._global(names[name])] for name in loaded if name in names]
        return [code.co_code.hex(), constants, list(code.co_names), globals_]

    def _global(self, value):
        try:
            return self.describe(value)
        except TypeError:  # an open file, for example, which few functions depend on
            return ["global", type(value).__qualname__]

    def _class(self, kind):
        if is_library(kind):
            return ["class", _name(kind)]
        parts = {name: part for name, part in vars(kind).items() if name not in _NOT_CODE}
        return [
            "class",
            kind.__qualname__,
            [self.describe(base) for base in kind.__bases__],
            [[name, self._member(part)] for name, part in sorted(parts.items())],
        ]

    def _member(self, part):
        if isinstance(part, (staticmethod, classmethod)):
            part = part.__func__
        if isinstance(part, property):
            part = [part.fget, part.fset]
        return self._global(part)

    def _instance(self, value):
        if isinstance(value, keras.Model):
            return ["network", describe_network(value), self.describe(value.get_weights())]
        kind = self.describe(type(value))
        if isinstance(value, keras.Variable):
            return [kind, self.describe(np.asarray(value))]
        if isinstance(value, keras.callbacks.Callback):
            return [kind, self.describe(callback_state(value))]
        if hasattr(value, "get_config"):
            return [kind, self.describe(value.get_config())]
        if hasattr(value, "get_params"):
            return [kind, self.describe(value.get_params(deep=False))]
        if not is_library(type(value)) and hasattr(value, "__dict__"):
            return [kind, self.describe(vars(value))]
        try:
            return [kind, joblib.hash(value)]
        except Exception as error:  # pickling may raise anything
            raise TypeError(
                f"a {type(value).__name__}, which cannot be compared with another one"
            ) from error


def callback_state(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """Return the attributes of a callback, without those that Keras sets in every training."""
    set_by_keras = ("_model", "model", "params", "validation_data")
    return {name: value for name, value in vars(callback).items() if name not in set_by_keras}


def _is_filled(cell):
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def is_library(value: Any) -> bool:
    """Return whether a class or function is Python's, this package's or an installed one's."""
    root = (getattr(value, "__module__", None) or "builtins").partition(".")[0]
    if root == "builtins" and isinstance(value, (type, types.FunctionType)):
        return value in vars(builtins).values()  # what `exec` defines is not Python's own
    file = getattr(sys.modules.get(root), "__file__", None) or ""
    return root in _LIBRARIES or not _INSTALLED.isdisjoint(PurePath(file).parts)


def _name(value):
    return f"{value.__module__}.{value.__qualname__}"


# Networks


def describe_network(model: keras.Model) -> str:
    """Describe a network without its weights.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    str
        Equal for equal networks: their layers, how they are connected, and the code of custom
        layers and functions.

    Raises
    ------
    TypeError
        If a layer does not describe its configuration.
    """
    shapes = [[list(weight.shape), weight.dtype] for weight in model.weights]
    code = [describe(part) for part in _custom_parts(model)]
    code += [describe(_plain_attributes(layer)) for layer in model._flatten_layers()]
    config = _without_names(json.loads(_network_json(model)), {})
    return json.dumps([config, shapes, code], sort_keys=True)


def describe_layers(model: keras.Model) -> str:
    """Describe the layers of a network, without what may change while its weights are kept.

    Networks that differ only in dropout, precision or frozen layers have the same text.
    """
    layers = [
        [_name(type(layer)), _without(_without_names(_layer_config(layer), {}))]
        for layer in leaf_layers(model)
        if not isinstance(layer, keras.layers.InputLayer) and "Dropout" not in type(layer).__name__
    ]
    shapes = [list(weight.shape) for weight in model.weights]
    return json.dumps([layers, shapes], sort_keys=True)


def _layer_config(layer):
    try:
        return json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    except Exception:  # from the code of custom layers
        return {}


def _network_json(model):
    try:
        return json.dumps(_as_unregistered(json.loads(model.to_json())))
    except Exception as error:  # from the code of custom layers
        reason = str(error).strip().partition("\n")[0]
        raise TypeError(
            f"The network has a part that does not describe its configuration ({reason}). Add a "
            f"method get_config to custom layers."
        ) from error


def _as_unregistered(config: Any) -> Any:
    """Remove the registered name that a class gets when scikeras copies a Keras model."""
    if isinstance(config, list):
        return [_as_unregistered(item) for item in config]
    if not isinstance(config, dict):
        return config
    config = {key: _as_unregistered(value) for key, value in config.items()}
    kind, module = config.get("class_name"), str(config.get("module"))
    if config.get("registered_name") == f">{kind}" and module.startswith("keras."):
        config["registered_name"] = kind
    return config


def _without_names(config: Any, names: dict[str, str]) -> Any:
    """Renumber the names of layers, which Keras numbers across all networks of a process."""
    if isinstance(config, list):
        if _is_reference(config):
            return [names.setdefault(config[0], f"#{len(names)}"), *config[1:]]
        return [_without_names(item, names) for item in config]
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "__lambda__":  # compiled code with the name of its file
        return "lambda"
    is_policy = "Policy" in str(config.get("class_name"))
    return {
        key: names.setdefault(value, f"#{len(names)}")
        if key == "name" and isinstance(value, str)
        else (value if is_policy else _without_names(value, names))
        for key, value in config.items()
        if key != "registered_name"  # pickling a model registers its class
    }


def _is_reference(items):
    """Whether a list is the name of a layer, and which of its nodes and outputs is meant."""
    return (
        len(items) == 3
        and isinstance(items[0], str)
        and all(isinstance(item, int) for item in items[1:])
    )


def _without(config: Any) -> Any:
    if isinstance(config, list):
        return [_without(item) for item in config]
    if not isinstance(config, dict):
        return config
    return {key: _without(item) for key, item in config.items() if key not in _SETTINGS}


def _custom_parts(model: keras.Model) -> Iterator[Any]:
    """Yield the classes and functions in a network that no library contains."""
    for layer in model._flatten_layers():
        if not is_library(type(layer)):
            yield type(layer)
        for name, value in vars(layer).items():
            if name == "build":  # Keras wraps it in each layer
                continue
            if isinstance(value, (types.FunctionType, types.MethodType, partial)):
                if not is_library(getattr(value, "func", value)):
                    yield value
            elif hasattr(value, "get_config") and not is_library(type(value)):
                yield type(value)


def _plain_attributes(layer):
    """Return the numbers, text and arrays that a custom layer keeps without Keras knowing."""
    if is_library(type(layer)):
        return None
    known = vars(keras.layers.Layer())
    return {
        name: value
        for name, value in vars(layer).items()
        if name not in known and isinstance(value, (bool, int, float, str, tuple, np.ndarray))
    }


def custom_objects(model: keras.Model) -> dict[str, Callable[..., Any]]:
    """Return the classes and functions that Keras needs to rebuild a network.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    dict of str to class or function
        By the names that the network's configuration contains.
    """
    found: dict[str, Callable[..., Any]] = {}
    for part in _custom_parts(model):
        if isinstance(part, (type, types.FunctionType)) and part.__name__ != "<lambda>":
            found[part.__name__] = part
            found[keras.saving.get_registered_name(part)] = part
    return found


def network_to_state(model: keras.Model) -> dict[str, Any]:
    """Return a network as text and arrays.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    dict
        ``config``, text, or None for a network that does not describe its configuration;
        ``objects``, its custom classes and functions; and ``weights``, arrays.
    """
    try:
        config = _network_json(model)
    except TypeError:
        config = None
    state = {"config": config, "objects": custom_objects(model), "weights": model.get_weights()}
    if config and (state["objects"] or not _is_plain(model)):
        built = _from_config(state)
        if built is None or not computes_the_same(built, model):
            state["config"] = None
    return state


def network_from_state(state: Mapping[str, Any], build: Callable[[], keras.Model]) -> keras.Model:
    """Undo :func:`network_to_state`.

    Parameters
    ----------
    state : dict
    build : callable
        Builds the network if its state does not say how.
    """
    model = None if state["config"] is None else _from_config(state)
    if model is None:
        model = build()
        model.set_weights(state["weights"])
    return model


def _from_config(state):
    """Build a network from its configuration; return None if that does not work."""
    try:
        with isolated():
            model = keras.saving.deserialize_keras_object(
                json.loads(state["config"]), custom_objects=state["objects"], safe_mode=False
            )
        model.set_weights(state["weights"])
    except Exception:  # from the code of custom layers
        return None
    return model


def _is_plain(model):
    """Whether a network consists of Keras's layers and functions only."""
    return next(_custom_parts(model), None) is None


def computes_the_same(first: keras.Model, second: keras.Model) -> bool:
    """Return whether two networks have the same outputs for a few random images.

    A custom layer whose ``get_config`` leaves something out cannot be rebuilt as it was.

    Parameters
    ----------
    first, second : keras.Model
        With the same weights.
    """
    images = np.random.default_rng(0).normal(0.5, 1.0, (4, *second.input_shape[1:]))
    one, other = (
        np.asarray(keras.ops.convert_to_numpy(model(images.astype(np.float32), training=False)))
        for model in (first, second)
    )
    return np.allclose(one.astype(float), other.astype(float), atol=1e-3, equal_nan=True)
