"""Everything that Keras trains. Keras is imported when one of these names is first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._classifier import FERCNNClassifier
    from ._fit import EpochBar, EpochLines

__all__ = ["EpochBar", "EpochLines", "FERCNNClassifier"]

_EXPORTS = {"FERCNNClassifier": "_classifier", "EpochBar": "_fit", "EpochLines": "_fit"}


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    globals()[name] = value
    return value
