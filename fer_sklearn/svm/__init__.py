"""Support vector machines: an ordinary one for HOG features, and a least-squares one."""

from ._hog_svm import HOGSVMClassifier
from ._least_squares import LSSVMClassifier

__all__ = ["HOGSVMClassifier", "LSSVMClassifier"]
