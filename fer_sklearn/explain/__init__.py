"""Why a classifier says what it says: maps of relevance, regions of the face, HOG strokes."""

from ._explanation import Explanation
from ._grad_cam import grad_cam
from ._hog import HOGWeights, hog_picture, hog_weights
from ._occlusion import mask_pixels, most_relevant, occlusion_map
from ._permutation import FACE_REGIONS, RegionImportance, face_regions, region_importance

__all__ = [
    "FACE_REGIONS",
    "Explanation",
    "HOGWeights",
    "RegionImportance",
    "face_regions",
    "grad_cam",
    "hog_picture",
    "hog_weights",
    "mask_pixels",
    "most_relevant",
    "occlusion_map",
    "region_importance",
]
