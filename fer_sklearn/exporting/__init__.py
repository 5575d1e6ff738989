"""Fitted networks in the formats of phones, browsers and servers."""

from ._export import export
from ._litert import to_litert
from ._tfjs import run_tfjs

__all__ = ["export", "run_tfjs", "to_litert"]
