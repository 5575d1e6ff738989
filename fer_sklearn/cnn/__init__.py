"""Convolutional networks. Keras is imported when one of these names is first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._checkpoints import EpochBar, EpochLines
    from ._classifier import FERCNNClassifier
    from ._heads import fit_temperature, save_network, scale_logits, update_batch_norm

__all__ = [
    "EpochBar",
    "EpochLines",
    "FERCNNClassifier",
    "fit_temperature",
    "save_network",
    "scale_logits",
    "update_batch_norm",
]

_EXPORTS = {
    "FERCNNClassifier": "_classifier",
    "EpochBar": "_checkpoints",
    "EpochLines": "_checkpoints",
    "fit_temperature": "_heads",
    "save_network": "_heads",
    "scale_logits": "_heads",
    "update_batch_norm": "_heads",
}


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name != "FERCNNClassifier":  # the others import Keras, which would not say what to install
        from ._network import load_keras

        load_keras()
    value = getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    globals()[name] = value
    return value
