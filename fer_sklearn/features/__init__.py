"""Descriptors: from grey images to numbers that a classical classifier can use."""

from ._combine import BalancedPCA, MirroredFeatures, make_pca
from ._hog import HOGExtractor, hog_batch
from ._lbp import LBPExtractor, lbp_batch

__all__ = [
    "BalancedPCA",
    "HOGExtractor",
    "LBPExtractor",
    "MirroredFeatures",
    "hog_batch",
    "lbp_batch",
    "make_pca",
]
