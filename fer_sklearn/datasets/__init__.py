"""Data sets: FER2013, folders and tables of labelled images, and synthetic faces."""

from ._duplicates import DuplicateReport, duplicate_groups, duplicate_report
from ._fer2013 import fetch_fer2013, load_fer2013
from ._ferplus import load_ferplus, majority_vote, vote_distributions, votes_to_soft_targets
from ._folder import load_image_folder
from ._synthetic import make_faces
from ._table import load_dataset, load_image_table

__all__ = [
    "DuplicateReport",
    "duplicate_groups",
    "duplicate_report",
    "fetch_fer2013",
    "load_dataset",
    "load_fer2013",
    "load_ferplus",
    "load_image_folder",
    "load_image_table",
    "majority_vote",
    "make_faces",
    "vote_distributions",
    "votes_to_soft_targets",
]
