"""Fitted networks in the formats of phones, browsers and servers."""

from ._export import export
from ._litert import to_litert

__all__ = ["export", "to_litert"]
