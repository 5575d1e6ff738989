"""Descriptors, which turn grey images into features for classical classifiers."""

from ._codebook import CodebookExtractor
from ._combine import BalancedPCA, CappedPCA, MirroredFeatures
from ._combine import make_pca as make_pca  # for the SVMs
from ._hog import HOGExtractor, hog_batch
from ._lbp import LBPExtractor, lbp_batch

__all__ = [
    "BalancedPCA",
    "CappedPCA",
    "CodebookExtractor",
    "HOGExtractor",
    "LBPExtractor",
    "MirroredFeatures",
    "hog_batch",
    "lbp_batch",
]
