"""Everything that Keras trains. Keras loads when one of these names is first used."""

from importlib import import_module

_EXPORTS = {"FERCNNClassifier": "_classifier", "EpochBar": "_fit", "EpochLines": "_fit"}

__all__ = ["EpochBar", "EpochLines", "FERCNNClassifier"]


def __getattr__(name):
    if name in _EXPORTS:
        value = getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
