"""Recognise emotions in many photos: find faces in threads, and classify them in batches."""

from ._predict import check_photo_outputs, iter_photo_rows, predict_photos
from ._recognize import PhotoResult, RecognizedFace, RecognizedFaces, recognize
from ._rows import PhotoSummary
from ._sources import PhotoSource, iter_sources

__all__ = [
    "PhotoResult",
    "PhotoSource",
    "PhotoSummary",
    "RecognizedFace",
    "RecognizedFaces",
    "check_photo_outputs",
    "iter_photo_rows",
    "iter_sources",
    "predict_photos",
    "recognize",
]
