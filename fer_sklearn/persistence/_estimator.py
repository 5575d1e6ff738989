"""Estimators as JSON and arrays, in the format of skops, and the types that a file may build.

skops builds only the types that it is told to trust. These are the types of this package, and those
of scikit-learn and NumPy that skops trusts by default. The rules here are stricter for types of
this package that would do more with a malicious state than store it.
"""

from __future__ import annotations

import io
import json
import re
import sys
import types
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from .._utils.typing import Estimator
from ..exceptions import ModelFileError
from ._archive import check_built_size, parse_json, walk

__all__ = ["OWN_FUNCTIONS", "OWN_TYPES", "check_network", "pack", "unpack"]

#: The types of this package that a file may contain, and of scikit-learn those in them.
OWN_TYPES = frozenset(
    {
        "fer_sklearn._utils.litert.LiteRTNetwork",
        "fer_sklearn.cnn._classifier.FERCNNClassifier",
        "fer_sklearn.embedding.FaceEmbedder",
        "fer_sklearn.faces._blazeface.BlazeFaceDetector",
        "fer_sklearn.faces._cropper.FaceCropper",
        "fer_sklearn.faces._opencv.HaarDetector",
        "fer_sklearn.faces._opencv.YuNetDetector",
        "fer_sklearn.features._codebook.CodebookExtractor",
        "fer_sklearn.features._combine.BalancedPCA",
        "fer_sklearn.features._combine.CappedPCA",
        "fer_sklearn.features._combine.ContiguousPCA",
        "fer_sklearn.features._combine.LeadingPCA",
        "fer_sklearn.features._combine.MirroredFeatures",
        "fer_sklearn.features._hog.HOGExtractor",
        "fer_sklearn.features._lbp.LBPExtractor",
        "fer_sklearn.inference.InferenceClassifier",
        "fer_sklearn.inference.ONNXNetwork",
        "fer_sklearn.preprocessing.GrayscaleResizer",
        "fer_sklearn.preprocessing.PixelNormalizer",
        "fer_sklearn.preprocessing.RGBResizer",
        "fer_sklearn.svm._hog_svm.GaussianSVC",
        "fer_sklearn.svm._hog_svm.HOGSVMClassifier",
        "fer_sklearn.svm._least_squares.LSSVMClassifier",
        "fer_sklearn.uncertainty.AbstainingClassifier",
        "fer_sklearn.weights.WeightsNetwork",
        # In a HOGSVMClassifier with probabilities, and in calibrated pipelines.
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.calibration._TemperatureScaling",
        "sklearn.model_selection._split.StratifiedKFold",
    }
)
# The functions of this package that a file may name: architectures, also in a partial.
OWN_FUNCTIONS = frozenset(
    {
        "fer_sklearn.cnn.architectures._backbones.efficientnet_b0",
        "fer_sklearn.cnn.architectures._backbones.mobilenet_v3_small",
        "fer_sklearn.cnn.architectures._named.conv3",
        "fer_sklearn.cnn.architectures._named.conv4_dense3",
        "fer_sklearn.cnn.architectures._named.conv4_wide",
        "fer_sklearn.cnn.architectures._named.mini_xception",
        "fer_sklearn.cnn.architectures._named.resnet_se",
        "fer_sklearn.cnn.architectures._named.resnet_se_tiny",
        "fer_sklearn.cnn.architectures._named.resnet_se_v2",
        "fer_sklearn.cnn.architectures._named.resnet_se_v2_tiny",
        "fer_sklearn.cnn.architectures._named.resnet_se_wide",
        "fer_sklearn.cnn.architectures._named.vgg_elu",
    }
)
_PARTIAL = "functools.partial"
# A dictionary: the estimators of a VotingClassifier or StackingClassifier by name.
_BUNCH = "sklearn.utils._bunch.Bunch"
# Their descriptions by skops.
_LOADERS = {
    **dict.fromkeys(OWN_TYPES, "ObjectNode"),
    **dict.fromkeys(OWN_FUNCTIONS, "FunctionNode"),
    _PARTIAL: "PartialNode",
    _BUNCH: "DictNode",
}
_CNN = "fer_sklearn.cnn._classifier.FERCNNClassifier"
# Folders that belong to the computer on which a model was trained. joblib reads pickles from the
# first one.
_FOLDERS = ("memory", "checkpoint_dir")
_WITH_FOLDERS = ("fer_sklearn.", "sklearn.")
# JSON keys are always text; these keys get their type back.
_KEYS = {
    *("builtins.str", "builtins.int", "builtins.float", "numpy.str_", "numpy.float32"),
    *("numpy.float64", *(f"numpy.{sign}int{n}" for sign in ("", "u") for n in (8, 16, 32, 64))),
}
_SCHEMA = "schema.json"
# The first protocol of skops that this format was written with.
_FIRST_PROTOCOL = 2
# The description of None by skops.
_NULL = {
    **{"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode"},
    **{"content": "null", "is_json": True},
}
_MAX_SHOWN = 80
_MAX_WHERE = 200
# Layers that compute with tensors, and do nothing else. Missing are, among others, Lambda, which is
# code; TFSMLayer, TorchModuleWrapper, JaxLayer and FlaxLayer, which read models from files; and
# the layers for text, which read vocabularies.
_LAYERS = frozenset(
    {
        *("Activation", "ActivityRegularization", "Add", "AdditiveAttention", "AlphaDropout"),
        *("Attention", "Average", "AveragePooling1D", "AveragePooling2D", "AveragePooling3D"),
        *("AvgPool1D", "AvgPool2D", "AvgPool3D", "BatchNormalization", "Bidirectional"),
        *("CategoryEncoding", "CenterCrop", "Concatenate", "Conv1D", "Conv1DTranspose"),
        *("Conv2D", "Conv2DTranspose", "Conv3D", "Conv3DTranspose", "ConvLSTM1D", "ConvLSTM2D"),
        *("ConvLSTM3D", "Cropping1D", "Cropping2D", "Cropping3D", "Dense", "DepthwiseConv1D"),
        *("DepthwiseConv2D", "Discretization", "Dot", "Dropout", "ELU", "EinsumDense"),
        *("Embedding", "Flatten", "GRU", "GRUCell", "GaussianDropout", "GaussianNoise"),
        *("GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D"),
        *("GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D"),
        *("GroupNormalization", "GroupQueryAttention", "Identity", "InputLayer", "LSTM"),
        *("LSTMCell", "LayerNormalization", "LeakyReLU", "Masking", "MaxPool1D", "MaxPool2D"),
        *("MaxPool3D", "MaxPooling1D", "MaxPooling2D", "MaxPooling3D", "Maximum", "Minimum"),
        *("MultiHeadAttention", "Multiply", "Normalization", "PReLU", "Permute"),
        *("RMSNormalization", "RNN", "RandomBrightness", "RandomContrast", "RandomCrop"),
        *("RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom", "ReLU"),
        *("RepeatVector", "Rescaling", "Reshape", "Resizing", "SeparableConv1D"),
        *("SeparableConv2D", "SimpleRNN", "SimpleRNNCell", "Softmax", "SpatialDropout1D"),
        *("SpatialDropout2D", "SpatialDropout3D", "SpectralNormalization", "StackedRNNCells"),
        *("Subtract", "TimeDistributed", "UnitNormalization", "UpSampling1D", "UpSampling2D"),
        *("UpSampling3D", "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D"),
    }
)
# Parts of networks, by their modules. Of these modules, all classes describe numbers only.
_NUMERIC_MODULES = {
    "keras.constraints",
    "keras.initializers",
    "keras.losses",
    "keras.metrics",
    "keras.optimizers",
    "keras.optimizers.schedules",
    "keras.regularizers",
    "keras.src.ops.image",
    "keras.src.ops.linalg",
    "keras.src.ops.math",
    "keras.src.ops.nn",
    "keras.src.ops.numpy",
}
_NETWORKS = {
    "keras": {"DTypePolicy", "Functional", "Model", "Sequential"},
    "keras.dtype_policies": {"DTypePolicy", "FloatDTypePolicy"},
    "keras.layers": _LAYERS,
    "keras.models": {"Functional", "Model", "Sequential"},
    "keras.src.models.functional": {"Functional"},
    "keras.src.models.sequential": {"Sequential"},
}
_FUNCTION_MODULES = {"builtins", "keras.activations", "keras.ops"}
# Values: tensors, arrays and slices, given as numbers.
_VALUES = {"__bytes__", "__ellipsis__", "__keras_tensor__", "__numpy__", "__slice__", "__tensor__"}
_CLASS = re.compile(r"[A-Z][A-Za-z0-9]*")
_FUNCTION = re.compile(r"[a-z][a-z0-9_]*")


def pack(estimator: Estimator) -> dict[str, bytes]:
    """Convert an estimator to the parts of a model file.

    Parameters
    ----------
    estimator : estimator object

    Returns
    -------
    dict of str to bytes
        ``estimator.json`` and arrays. Building the estimator from them was tried.

    Raises
    ------
    TypeError
        If a part of the estimator cannot be written without pickle; the message names it.
    """
    for function, where, owner in _functions(estimator, "", {}):
        if not _is_found_by_name(function):
            raise _refusal(where, owner, f"{function.__qualname__} has no name to import it by")
    try:
        parts = _dumped(estimator)
        unpack(parts, trusted=None)
    except Exception as error:  # from the code of any object in the estimator
        where, value, reason = _culprit(estimator, error)
        raise _refusal(where, value, reason) from error
    return parts


def _refusal(where, value, reason):
    shown = repr(value)
    shown = shown if len(shown) <= _MAX_SHOWN else f"{shown[: _MAX_SHOWN - 1]}…"
    part = f"{where.removeprefix('.')}={shown}" if where else f"estimator={shown}"
    return TypeError(
        f"{part} cannot be saved without pickle ({reason}). Set it to something else before you "
        f"save, or use joblib.dump, and load its files only if you trust them."
    )


def _dumped(value):
    import skops.io

    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(value))) as archive:
        files = {info.filename: archive.read(info) for info in archive.infolist()}
    schema = json.loads(files.pop(_SCHEMA))
    arrays = _tidy(schema, files)
    return {"estimator.json": json.dumps(schema).encode(), **arrays}


def _tidy(schema, files):
    """Make a schema independent of this process, and leave out folders of this computer.

    Return the files that it refers to by their new names; equal ones are one.
    """
    names: dict[bytes, str] = {}
    for node in walk(schema):
        if not isinstance(node, dict):
            continue
        node.pop("__id__", None)
        if isinstance(node.get("file"), str):
            suffix = node["file"].rpartition(".")[2]
            node["file"] = names.setdefault(files[node["file"]], f"arrays/{len(names)}.{suffix}")
        loader = node.get("__loader__")
        if loader == "ObjectNode" and node["__module__"].startswith(_WITH_FOLDERS):
            for name in set(_FOLDERS).intersection(_attributes(node)):
                _attributes(node)[name] = dict(_NULL)
        elif loader == "DictNode":
            _check_keys(node, _KEYS)
        elif loader == "ConstructorFromReduceNode" and node["__module__"].startswith("pathlib"):
            path = PureWindowsPath if "Windows" in node["__class__"] else PurePosixPath
            named = [json.loads(part["content"]) for part in node["content"]["content"]]
            node.clear()
            node.update(_NULL, content=json.dumps(str(path(*named))))
    return {name: content for content, name in names.items()}


def _attributes(node):
    content = node.get("content")
    if isinstance(content, dict) and content.get("__loader__") == "DictNode":
        return content["content"]
    return {}


def _check_keys(node, allowed):
    """Check that the keys of a dictionary survive as text in JSON."""
    listed = node["key_types"]["content"]
    kinds = {f"{kind['__module__']}.{kind['__class__']}" for kind in listed}
    if others := sorted(kinds - allowed):
        raise TypeError(f"a dictionary has keys of type {others[0]}")
    if len(listed) != len(node["content"]):
        raise TypeError("a dictionary has two keys with the same text")


# Finding the part to blame, for error messages


def _members(value):
    """Return the parts of an object, each with the text to append to the object's name.

    Parts of an object that is neither an estimator nor a container have no name that users know.
    """
    if isinstance(value, Mapping):
        return [(f"[{key!r}]", item) for key, item in value.items()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return [(f"[{i}]", item) for i, item in enumerate(value)]
    if isinstance(value, np.ndarray):
        return _members(value.ravel().tolist()) if value.dtype == object else []
    if isinstance(value, partial):
        return [("", value.func), ("", value.args), ("", value.keywords)]
    is_estimator = hasattr(value, "get_params")
    if type(value).__module__ == "builtins" or (callable(value) and not is_estimator):
        return []
    state = value.__getstate__()
    if not isinstance(state, dict):
        return []
    steps = state.get("steps") if is_estimator else None
    named = [(f".{name}", step) for name, step in steps] if isinstance(steps, list) else []
    return named + [
        (f".{name}" if is_estimator else "", item)
        for name, item in state.items()
        if name not in _FOLDERS and not (named and name == "steps")
    ]


def _functions(value: Any, where: str, seen: dict[int, Any], owner: Any = None) -> Iterator[tuple]:
    """Yield functions and classes in an object, which files contain by name only.

    With where they are, and the innermost object that has a name.
    """
    if isinstance(value, (types.FunctionType, type)):
        yield value, where, value if owner is None else owner
    elif id(value) not in seen:
        seen[id(value)] = value  # keeps it alive, so that its id is not reused
        try:
            members = _members(value)
        except Exception:  # from the code of any object; skops calls it again, and reports it
            return
        for name, item in members:
            named = value if owner is None and not name else owner
            yield from _functions(item, where + name if named is None else where, seen, named)


def _is_found_by_name(value):
    module = sys.modules.get(value.__module__)
    return getattr(module, value.__name__, None) is value


def _culprit(value, error, where=""):
    """Return the innermost named part that cannot be saved: where it is, the part, and why."""
    for name, item in _members(value):
        if not name or len(where) > _MAX_WHERE:  # objects that refer to each other
            break
        try:
            unpack(_dumped(item), trusted=None)
        except Exception as inner:
            return _culprit(item, inner, where + name)
    reason = str(error).strip().partition("\n")[0].rstrip(".")
    return where, value, f"{type(error).__name__}: {reason}"


# Loading


def unpack(parts: Mapping[str, bytes], *, trusted: Iterable[str] | None) -> Any:
    """Build an estimator from the parts of a model file.

    Parameters
    ----------
    parts : dict of str to bytes
    trusted : iterable of str, or None
        Names of types, classes and functions to build besides :data:`OWN_TYPES`. If None, all in
        the file: for estimators of this process itself.

    Raises
    ------
    ModelFileError
        If the file contains a type that is not trusted, or anything that no model contains.
    """
    import skops.io

    schema = parse_json(parts["estimator.json"], "estimator.json")
    names, known = _check_schema(schema, parts, None if trusted is None else set(trusted))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(_SCHEMA, json.dumps(schema))
        for name in names:
            archive.writestr(name, parts[name])
    content = buffer.getvalue()
    untrusted = set(skops.io.get_untrusted_types(data=content))
    accepted = untrusted if trusted is None else known.union(trusted)
    if refused := sorted(untrusted - accepted):
        listed = ", ".join(map(repr, refused))
        raise ModelFileError(
            f"contains types that are neither part of fer_sklearn nor trusted by skops: {listed}. "
            f"Loading them could run code. Only if you know each of them and trust the file, pass "
            f"trusted=[{listed}]."
        )
    return skops.io.loads(content, trusted=sorted(untrusted))


def _check_schema(schema, parts, trusted):
    """Check a schema by the rules of this package, where skops does not look.

    Return the names of the files in it, and those of the types and functions that it may contain.
    """
    known = OWN_TYPES | OWN_FUNCTIONS | {_PARTIAL, _BUNCH}
    if not isinstance(schema, dict) or type(schema.get("protocol")) is not int:
        raise ModelFileError("has an estimator that is not in the format of skops.")
    if schema["protocol"] < _FIRST_PROTOCOL:
        raise ModelFileError(f"claims the unknown protocol {schema['protocol']} of skops.")
    files = []
    for node in walk(schema):
        if not isinstance(node, dict):
            continue
        # A reference to another node would be followed again wherever it occurs, without end.
        if "__id__" in node or node.get("__loader__") == "CachedNode":
            raise ModelFileError("has an estimator whose parts refer to each other.")
        if "file" in node and not isinstance(node["file"], dict):
            if node["file"] not in parts or not node["file"].startswith("arrays/"):
                raise ModelFileError(f"lacks the part {str(node['file'])!r}, which it refers to.")
            files.append(node["file"])
        if "__loader__" in node and not isinstance(node["__loader__"], dict):
            _check_node(node, trusted)
            if node["__loader__"] == "PartialNode" and not _is_architecture(node):
                known -= {_PARTIAL}
    check_built_size(files, parts)
    return dict.fromkeys(files), known


def _is_architecture(partial_node):
    content = partial_node.get("content")
    function = content.get("func") if isinstance(content, dict) else None
    return (
        isinstance(function, dict)
        and function.get("__loader__") == "FunctionNode"
        and f"{function.get('__module__')}.{function.get('__class__')}" in OWN_FUNCTIONS
    )


def _check_node(node, trusted):
    name = f"{node.get('__module__')}.{node.get('__class__')}"
    is_object = node["__loader__"] == "ObjectNode"
    if node["__loader__"] != _LOADERS.get(name, node["__loader__"]):
        # skops would call the class with what the file says, or return the class itself.
        raise ModelFileError(f"uses {name} as a {node['__loader__']}, which no model does.")
    if not is_object or (trusted and name in trusted) or node.get("content") in (None, _NULL):
        return
    attributes = _checked_attributes(node["content"], name)
    for folder in _FOLDERS:
        if folder in attributes and attributes[folder] != _NULL:
            raise ModelFileError(
                f"names a folder for {folder} of {name}, which no model file does."
            )
    if name == _CNN and "_stored" in attributes:
        _check_stored(attributes["_stored"], set() if trusted is None else trusted, trusted is None)


def _checked_attributes(content, name):
    """Return the nodes of attributes by their names, which the file states as they are."""
    if not (
        isinstance(content, dict)
        and content.get("__loader__") == "DictNode"
        and content.get("__module__") == "builtins"
        and content.get("__class__") == "dict"
        and isinstance(content.get("content"), dict)
    ):
        raise ModelFileError(f"has a {name} whose attributes are not a dictionary.")
    try:
        _check_keys(content, {"builtins.str"})
    except (KeyError, TypeError):
        raise ModelFileError(f"has a {name} with attributes that are not names.") from None
    return content["content"]


def _check_stored(node, trusted, is_own):
    """Check the description of a network, which Keras would otherwise build from anything."""
    stored = _checked_attributes(node, "network")
    config, objects = stored.get("config"), stored.get("objects")
    if not isinstance(config, dict) or config.get("__loader__") != "JsonNode":
        raise ModelFileError("has a network without a description.")
    described = parse_json(config["content"], "network")
    if described is None or is_own:
        return
    known = _checked_attributes(objects, "network")
    check_network(parse_json(described, "network"), trusted, known)


# Networks


def check_network(config: Any, trusted: Collection[str], known: Collection[str]) -> None:
    """Check that Keras can build a network without running code from elsewhere.

    Parameters
    ----------
    config : object
        As ``keras.Model.to_json`` describes it, parsed.
    trusted : collection of str
        Names of layers and functions to accept besides Keras's.
    known : collection of str
        Names under which the file itself contains classes and functions.

    Raises
    ------
    ModelFileError
        If a part is not accepted; the message names it.
    """
    refused = set()
    for item in walk(config):
        if isinstance(item, dict) and "class_name" in item:
            name = _name(item)
            if not (_is_accepted(item) or name in trusted or _is_known(item, known)):
                refused.add(name)
    if refused:
        listed = ", ".join(map(repr, sorted(refused)))
        raise ModelFileError(
            f"contains a network with parts that could run code: {listed}. Only if you know each "
            f"of them and trust the file, pass trusted=[{listed}]."
        )


def _name(item):
    what = item.get("config") if item["class_name"] == "function" else item["class_name"]
    return f"{item.get('module') or item.get('registered_name')}.{what}"


def _is_known(item, known):
    """Whether Keras looks for a part only in the file itself."""
    if str(item.get("module")).partition(".")[0] == "keras":
        return False
    name = item.get("config" if item["class_name"] == "function" else "registered_name")
    return isinstance(name, str) and name in known


def _is_accepted(item):
    kind, module, inner = item["class_name"], item.get("module"), item.get("config")
    registered = item.get("registered_name")
    if not isinstance(kind, str):
        return False
    if kind in _VALUES:
        return True
    if kind == "function":
        return (
            module in _FUNCTION_MODULES
            and isinstance(inner, str)
            and _FUNCTION.fullmatch(inner) is not None
            and registered in (None, "function", inner)
        )
    # Keras first looks for objects that are registered under this name.
    if registered not in (None, kind) or not isinstance(module, str):
        return False
    if module in _NUMERIC_MODULES:
        return _CLASS.fullmatch(kind) is not None
    return kind in _NETWORKS.get(module, ())
