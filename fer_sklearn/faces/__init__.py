"""Find the faces in photos and cut them out."""

from ._crop import crop_face
from ._cropper import FaceCropper
from ._detect import detect_faces
from ._faces import Faces
from ._fetch import fetch_yunet
from ._haar import HaarDetector
from ._yunet import YuNetDetector

__all__ = [
    "FaceCropper",
    "Faces",
    "HaarDetector",
    "YuNetDetector",
    "crop_face",
    "detect_faces",
    "fetch_yunet",
]
