"""Emotions in many photos: found ahead in threads, classified in batches, row by row."""

from ._predict import iter_photo_rows, predict_photos
from ._rows import PhotoSummary

__all__ = ["PhotoSummary", "iter_photo_rows", "predict_photos"]
