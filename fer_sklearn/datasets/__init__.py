"""Data sets: FER2013 in all its forms, folders of one's own, and drawn faces."""

from ._duplicates import DuplicateReport, duplicate_groups, duplicate_report
from ._fer2013 import fetch_fer2013, load_fer2013
from ._folder import load_image_folder
from ._synthetic import make_faces

__all__ = [
    "DuplicateReport",
    "duplicate_groups",
    "duplicate_report",
    "fetch_fer2013",
    "load_fer2013",
    "load_image_folder",
    "make_faces",
]
