"""Get FER2013 from Kaggle, or say how to."""

import os
import zipfile
from pathlib import Path

from .._utils.files import data_home as data_folder
from .._utils.optional import import_optional
from .._utils.validation import check_choice
from ..exceptions import DatasetFormatError, MissingExtraError
from ._fer2013 import SUBSETS, load_fer2013

__all__ = ["fetch_fer2013"]

_HANDLE = "msambare/fer2013"
_PAGE = f"https://www.kaggle.com/datasets/{_HANDLE}"
_COUNTS = {"train": 28_709, "public": 3_589, "private": 3_589}
# What people may have put there: ours, Kaggle's own names of the download, the tables.
_CANDIDATES = ("fer2013.zip", "archive.zip", "fer2013.csv", "icml_face_data.csv", "fer2013")


def fetch_fer2013(data_home=None, *, subset="train", return_X_y=False):
    """Load FER2013 from the data folder, and download it there at the first call.

    Parameters
    ----------
    data_home : str, path-like or None, default=None
        The folder. None means the environment variable ``FER_SKLEARN_DATA``, or
        ``~/fer_sklearn_data`` where that is not set. What is looked for in it, in this
        order: ``fer2013.zip``, ``archive.zip``, ``fer2013.csv``, ``icml_face_data.csv``,
        a folder ``fer2013``, and the folder ``train`` of an archive unpacked there.
    subset : {"train", "public", "private", "all"}, default="train"
        As in :func:`load_fer2013`.
    return_X_y : bool, default=False
        If True, return ``(images, target)``.

    Returns
    -------
    Bunch or tuple
        As :func:`load_fer2013` returns it.

    Raises
    ------
    MissingExtraError
        If nothing is there and the package that downloads (kagglehub) is not installed.
    ConnectionError
        If the download fails, for want of a network or of credentials. Both messages say
        what to download by hand and where to put it.
    DatasetFormatError
        If what was downloaded is not the complete FER2013.
    """
    check_choice("subset", subset, (*SUBSETS, "all"))
    home = data_folder(data_home)
    path = _find(home) or _download(home)
    return load_fer2013(path, subset=subset, return_X_y=return_X_y)


def _find(home):
    """Return what there is of FER2013 in the data folder, or None."""
    if path := next((home / name for name in _CANDIDATES if (home / name).exists()), None):
        return path
    return home if (home / "train").is_dir() else None


def _download(home):
    """Download into kagglehub's cache, check, and keep as one zip archive in `home`."""
    by_hand = (
        f"Or by hand: open {_PAGE} , choose 'Download', and put the file (archive.zip, about "
        f"60 MB) into {home} , as it is; then call again."
    )
    try:
        kagglehub = import_optional("kagglehub", extra="fetch", purpose="Downloading FER2013")
    except MissingExtraError as error:
        raise MissingExtraError(f"{error} {by_hand}") from None
    # kagglehub and the libraries below it raise errors of many kinds, all to one effect.
    try:
        cached = kagglehub.dataset_download(_HANDLE)
    except Exception as error:
        raise ConnectionError(
            f"FER2013 could not be downloaded from Kaggle ({type(error).__name__}: {error}). "
            f"Check the network and Kaggle's credentials. {by_hand}"
        ) from error
    _check_complete(cached)
    return _pack(Path(cached), home / "fer2013.zip")


def _check_complete(path):
    found = load_fer2013(path, subset="all").subset.tolist()
    counts = {name: found.count(name) for name in _COUNTS}
    if counts != _COUNTS:
        raise DatasetFormatError(
            f"{path}: the download has {counts} images; expected {_COUNTS}. Delete that folder "
            f"and call again."
        )


def _pack(folder, path):
    """Store a folder in a zip archive, which appears under its name only when complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with zipfile.ZipFile(part, "w", strict_timestamps=False) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder).as_posix())
    part.replace(path)
    return path
