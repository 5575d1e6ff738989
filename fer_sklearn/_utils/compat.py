"""Optional dependencies, and private names of other packages, which only this file may import.

A table lists each private name with the versions in which it exists and the reason why there is no
public alternative. Names are imported when they are first used, so that a file which imports this
module loads neither scikit-learn nor joblib before it needs them::

    from ._utils.compat import Interval, fit_context
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from re import Pattern
from types import BuiltinFunctionType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from ..exceptions import MissingExtraError

if TYPE_CHECKING:
    from joblib._dask import DaskDistributedBackend
    from keras.src.backend.common.global_state import get_global_attribute, set_global_attribute
    from keras.src.random import seed_generator
    from sklearn.base import _fit_context as fit_context
    from sklearn.utils import _safe_indexing as safe_indexing
    from sklearn.utils._param_validation import (
        HasMethods,
        Interval,
        Options,
        StrOptions,
        validate_params,
    )
    from sklearn.utils._set_output import _get_output_config as output_config
    from sklearn.utils.multiclass import _ovr_decision_function as ovr_decision_function
    from sklearn.utils.validation import _check_method_params as check_method_params
    from sklearn.utils.validation import _check_sample_weight as check_sample_weight

__all__ = [
    "PRIVATE_ATTRIBUTES",
    "PRIVATE_NAMES",
    "DaskDistributedBackend",
    "HasMethods",
    "Interval",
    "Options",
    "PrivatePart",
    "StrOptions",
    "check_method_params",
    "check_sample_weight",
    "cv2",
    "fit_context",
    "get_global_attribute",
    "hidden_lines",
    "import_opencv",
    "import_optional",
    "output_config",
    "ovr_decision_function",
    "safe_indexing",
    "seed_generator",
    "set_global_attribute",
    "validate_params",
]

_OPENCV = threading.Lock()


def import_opencv() -> ModuleType:
    """Import OpenCV, from any thread.

    Its loader puts another module in its place for a moment, so that a second thread that imports
    it meanwhile would get half of it.

    Returns
    -------
    module
        ``cv2``.
    """
    with _OPENCV:
        import cv2
    return cv2


class _OpenCV(ModuleType):
    """OpenCV, which is imported when one of its names is first used."""

    def __getattr__(self, name: str) -> Any:
        value = getattr(import_opencv(), name)
        # Cached, so that the next use needs no call. Classes are not cached: tests replace cameras.
        if isinstance(value, (BuiltinFunctionType, int)):
            setattr(self, name, value)
        return value


cv2: Any = _OpenCV("cv2")


@contextmanager
def hidden_lines(pattern: Pattern[bytes]) -> Iterator[int | None]:
    """Hide lines that libraries write directly to the file descriptor of stderr.

    Everything that is written to it is held back, and the other lines are shown at the end.

    Parameters
    ----------
    pattern : compiled pattern of bytes
        Matches the start of the lines to hide.

    Yields
    ------
    int or None
        A descriptor of the original stderr. None if it is closed, or if no temporary file can be
        written, as in a container with a read-only file system; nothing is hidden then.
    """
    try:
        terminal = os.dup(2)
    except OSError:
        yield None
        return
    try:
        aside = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
    except OSError:
        os.close(terminal)
        yield None
        return
    try:
        with aside:
            os.dup2(aside.fileno(), 2)
            try:
                yield terminal
            finally:
                os.dup2(terminal, 2)
                aside.seek(0)
                for line in aside:
                    if not pattern.match(line):
                        os.write(terminal, line)
    finally:
        os.close(terminal)


def import_optional(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional dependency when it is first needed.

    Parameters
    ----------
    module : str
        Dotted name of the module, such as ``"pooch"``.
    extra : str
        The extra of this package that installs it, as in ``fer_sklearn[extra]``.
    purpose : str
        What needs it, as the start of a sentence.

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    MissingExtraError
        If the module is not installed; the message contains the command that installs it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise MissingExtraError(
            f"{purpose} needs the package {module.split('.')[0]!r}, which is not "
            f"installed. Type: pip install 'fer_sklearn[{extra}]'"
        ) from None


class PrivatePart(NamedTuple):
    """A private part of another package.

    Parameters
    ----------
    where : str
        ``"module:name"``, or ``"module:class.attribute"``.
    requirement : str
        The package, with the versions in which the part was found.
    reason : str
        Why there is no public alternative.
    """

    where: str
    requirement: str
    reason: str

    def load(self) -> Any:
        """Return the part.

        Raises
        ------
        ImportError
            If the installed version of the package no longer has it.
        """
        module, _, path = self.where.partition(":")
        try:
            part = import_module(module)
            for name in path.split("."):
                part = getattr(part, name)
        except (ImportError, AttributeError) as error:
            raise ImportError(
                f"fer_sklearn uses {self.where}, a private part of another package, and the "
                f"installed version no longer has it: {error}. "
                f"Type: pip install '{self.requirement}'"
            ) from error
        return part


_SKLEARN = "scikit-learn>=1.8,<1.10"
_KERAS = "tensorflow>=2.18,<3"  # installs Keras, too
_GENERATOR = "Keras's global generator cannot be saved and restored by public functions"
_DEFAULT_SEEDS = "no public function sets the generator from which Keras draws seeds by default"
_CONSTRAINTS = "the vocabulary of _parameter_constraints has no public name"

# Names to import from here.
PRIVATE_NAMES = {
    "HasMethods": PrivatePart("sklearn.utils._param_validation:HasMethods", _SKLEARN, _CONSTRAINTS),
    "Interval": PrivatePart("sklearn.utils._param_validation:Interval", _SKLEARN, _CONSTRAINTS),
    "Options": PrivatePart("sklearn.utils._param_validation:Options", _SKLEARN, _CONSTRAINTS),
    "StrOptions": PrivatePart("sklearn.utils._param_validation:StrOptions", _SKLEARN, _CONSTRAINTS),
    "validate_params": PrivatePart(
        "sklearn.utils._param_validation:validate_params",
        _SKLEARN,
        "no public function checks the parameters of a function against such constraints",
    ),
    "fit_context": PrivatePart(
        "sklearn.base:_fit_context",
        _SKLEARN,
        "no public function checks _parameter_constraints before fit",
    ),
    "ovr_decision_function": PrivatePart(
        "sklearn.utils.multiclass:_ovr_decision_function",
        _SKLEARN,
        "no public function combines the decisions of pairs of classes as SVC does",
    ),
    "output_config": PrivatePart(
        "sklearn.utils._set_output:_get_output_config",
        _SKLEARN,
        "no public function says which container set_output and the configuration ask for",
    ),
    "safe_indexing": PrivatePart(
        "sklearn.utils:_safe_indexing",
        _SKLEARN,
        "no public function selects rows of lists, arrays, sparse matrices and tables alike",
    ),
    "check_sample_weight": PrivatePart(
        "sklearn.utils.validation:_check_sample_weight",
        _SKLEARN,
        "no public function checks sample weights",
    ),
    "check_method_params": PrivatePart(
        "sklearn.utils.validation:_check_method_params",
        _SKLEARN,
        "no public function selects the rows of fit parameters that are one per sample",
    ),
    "get_global_attribute": PrivatePart(
        "keras.src.backend.common.global_state:get_global_attribute", _KERAS, _GENERATOR
    ),
    "set_global_attribute": PrivatePart(
        "keras.src.backend.common.global_state:set_global_attribute", _KERAS, _GENERATOR
    ),
    "seed_generator": PrivatePart("keras.src.random:seed_generator", _KERAS, _DEFAULT_SEEDS),
    "DaskDistributedBackend": PrivatePart(
        "joblib._dask:DaskDistributedBackend",
        "joblib>=1.4,<2",
        "joblib's public base class is not a backend for dask, and this one has no public name",
    ),
}

# Methods that are called or overridden on objects of other packages.
PRIVATE_ATTRIBUTES = {
    "_validate_params": PrivatePart(
        "sklearn.base:BaseEstimator._validate_params",
        _SKLEARN,
        "no public function checks _parameter_constraints in a transform without fit",
    ),
    "_flatten_layers": PrivatePart(
        "keras.src.layers.layer:Layer._flatten_layers",
        _KERAS,
        "no public method lists the layers within layers, such as the cells of an LSTM",
    ),
    "python_random": PrivatePart(
        "keras.src.random.seed_generator:python_random", _KERAS, _DEFAULT_SEEDS
    ),
    "_run_search": PrivatePart(
        "sklearn.model_selection:GridSearchCV._run_search",
        _SKLEARN,
        "documented as the hook for subclasses, and still private by its name",
    ),
}


def __getattr__(name: str) -> Any:
    if name not in PRIVATE_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    part = PRIVATE_NAMES[name].load()
    globals()[name] = part
    return part
