"""Explanations of predictions: relevance maps, regions of the face, and HOG weights."""

from ._explanation import Explanation
from ._grad_cam import grad_cam
from ._hog import HOGWeights, hog_image, hog_weights
from ._occlusion import mask_pixels, occlusion_map, top_pixels
from ._permutation import FACE_REGIONS, RegionImportance, face_regions, region_importance

__all__ = [
    "FACE_REGIONS",
    "Explanation",
    "HOGWeights",
    "RegionImportance",
    "face_regions",
    "grad_cam",
    "hog_image",
    "hog_weights",
    "mask_pixels",
    "occlusion_map",
    "region_importance",
    "top_pixels",
]
