"""Export of fitted networks to the formats of phones, browsers and servers."""

from ._export import export
from ._formats import to_litert
from ._web import run_tfjs

__all__ = ["export", "run_tfjs", "to_litert"]
