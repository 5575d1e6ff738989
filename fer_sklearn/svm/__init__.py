"""Support vector machines: the classical one on HOG, and a least-squares one."""

from ._hog_svm import HOGSVMClassifier
from ._least_squares import LSSVMClassifier

__all__ = ["HOGSVMClassifier", "LSSVMClassifier"]
