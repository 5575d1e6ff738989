"""Load FER2013 from any of its common distributions, or download it."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, overload

import numpy as np
from sklearn.utils import Bunch

from .._utils.files import data_home as data_folder
from .._utils.files import is_terminal
from .._utils.typing import LabelArray, NDArray, PathLike, PixelArray
from .._utils.validation import check_choice, suggestion
from ..emotions import EMOTIONS, FER2013_CODES, canonical_emotion
from ..exceptions import DatasetFormatError
from ..images import is_image_file
from ._archives import (
    FolderSource,
    Source,
    TarSource,
    ZipSource,
    check_exists,
    decode_members,
    open_data,
)
from ._ferplus import load_ferplus
from ._table_kinds import row_name, table_chunks

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SIDE", "SUBSETS", "fetch_fer2013", "load_fer2013"]

SUBSETS = ("train", "public", "private")
SIDE = 48

_USAGE = {"training": "train", "publictest": "public", "privatetest": "private"}
_FOLDERS = {"train": "train", "training": "train"} | {
    f"{half}{test}": half for half in ("public", "private") for test in ("", "test")
}
_NAME_PREFIX = re.compile(r"(training|publictest|privatetest)(?![a-z])", re.IGNORECASE)
# An official table is complete, so it takes precedence over images, unlike train.csv.
_WHOLE_TABLES = ("fer2013.csv", "icml_face_data.csv")
_EXPECTED_FORMS = (
    "Expected fer2013.csv, icml_face_data.csv or train.csv, or images in "
    "train/<emotion>/ and test/<emotion>/"
)
_HANDLE = "msambare/fer2013"
_PAGE = f"https://www.kaggle.com/datasets/{_HANDLE}"
_URL = f"https://www.kaggle.com/api/v1/datasets/download/{_HANDLE}"
_ARCHIVE = "fer2013.zip"
_TIMEOUT_SECONDS = 30
_COUNTS = {"train": 28_709, "public": 3_589, "private": 3_589}
# Names of this package's download, of Kaggle's, and of the official tables.
_CANDIDATES = (_ARCHIVE, "archive.zip", "fer2013.csv", "icml_face_data.csv", "fer2013")

DESCR = """\
FER2013, the facial expression recognition data set of the ICML 2013 challenge.

35,887 grey faces of 48×48 pixels, collected by image search and labelled with one of seven
emotions: 28,709 for training, 3,589 "public" test faces (used for validation during the
challenge) and 3,589 "private" ones (its final test). Human accuracy is about 65 ± 5 %.
About 8 % of each half of the test set are exact copies of training images: see
duplicate_report.

Goodfellow et al. (2013), Challenges in Representation Learning: A report on three machine
learning contests, arXiv:1307.0414.
"""


@overload
def load_fer2013(
    path: PathLike,
    *,
    subset: str = "train",
    votes: PathLike | None = None,
    return_X_y: Literal[False] = False,
) -> Bunch: ...
@overload
def load_fer2013(
    path: PathLike,
    *,
    subset: str = "train",
    votes: PathLike | None = None,
    return_X_y: Literal[True],
) -> tuple[PixelArray, LabelArray]: ...
def load_fer2013(
    path: PathLike,
    *,
    subset: str = "train",
    votes: PathLike | None = None,
    return_X_y: bool = False,
) -> Bunch | tuple[PixelArray, LabelArray]:
    """Load FER2013 from a CSV file, a folder or an archive.

    The subset of each image is read from:

    - ``fer2013.csv`` and ``icml_face_data.csv``: the column ``Usage``; case and blanks in column
      names do not matter, nor does their order. Fields may be separated by commas, semicolons or
      tabs. A table without that column, such as ``train.csv``, contains training images only.
    - a folder of images, ``.../<emotion>/*``: the start of the file name, ``Training_``,
      ``PublicTest_`` or ``PrivateTest_``; otherwise a parent folder, ``train``, ``PublicTest`` or
      ``PrivateTest``.
    - a zip or tar archive, such as the original ``fer2013.tar.gz``: as for the table or folder in
      it.

    Files may be compressed with gzip, bzip2 or xz.

    If a folder or archive contains several of these, ``fer2013.csv`` and ``icml_face_data.csv``
    take precedence over images, and images over ``train.csv``.

    Parameters
    ----------
    path : str or path-like
        The CSV file, the folder or the archive. In the latter two, the table or the images may be
        in subfolders.
    subset : {"train", "public", "private", "all"}, default="train"
        The rows to load: ``"public"`` and ``"private"`` are the halves of the test set.
    votes : str, path-like or None, default=None
        A CSV file of FER+'s votes, as :func:`load_ferplus` reads it. FER+'s own
        ``fer2013new.csv`` belongs to ``fer2013.csv``, row by row.
    return_X_y : bool, default=False
        If True, return ``(images, target)``.

    Returns
    -------
    Bunch
        - images : ndarray of shape (n, 48, 48), uint8
        - data : ndarray of shape (n, 2304), uint8; a view of `images`
        - target : ndarray of shape (n,), str; emotion names
        - target_names : ndarray of shape (7,), str; sorted
        - subset : ndarray of shape (n,), str; ``"train"``, ``"public"`` or ``"private"``
        - filenames : ndarray of shape (n,), str; names relative to `path`, or ``"[3]"`` for the
          fourth row of a table
        - votes : ndarray of shape (n, 10), int64; only with `votes`
        - DESCR : str

        Rows of a table keep their order. Images are sorted by subset, then by name, which groups
        them by emotion: shuffle them if order matters.

    Raises
    ------
    FileNotFoundError
        If `path` does not exist.
    DatasetFormatError
        If a layout, column, emotion, number of pixels or image size is not FER2013's, or if `path`
        contains no image of `subset`, is damaged, or is unsafe: names that lead out of an archive,
        or data that unpack to far more than their size. The message names the file and row.
    ImageReadError
        If an image is missing, truncated or damaged.

    References
    ----------
    Goodfellow et al. (2013), Challenges in Representation Learning: A report on three machine
    learning contests, arXiv:1307.0414.

    Examples
    --------
    >>> from fer_sklearn import load_fer2013
    >>> faces = load_fer2013("fer2013.csv", subset="public")  # doctest: +SKIP
    >>> faces.images.shape  # doctest: +SKIP
    (3589, 48, 48)
    """
    check_choice("subset", subset, (*SUBSETS, "all"))
    existing = check_exists(path)
    wanted = SUBSETS if subset == "all" else (subset,)
    with open_data(existing) as opened:
        if isinstance(opened, (FolderSource, ZipSource, TarSource)):
            data = _read_source(opened, wanted)
        else:
            data = _read_table(opened, str(existing), wanted)
    if not len(data["target"]):
        raise DatasetFormatError(
            f"{existing} contains no row or image of subset={subset!r}. Load another subset, or "
            f"use the complete fer2013.csv or archive."
        )
    if votes is not None:
        data["votes"] = load_ferplus(votes, data["filenames"].tolist(), data["target"])
    if return_X_y:
        return data["images"], data["target"]
    images = data["images"]
    return Bunch(
        data=images.reshape(len(images), -1),
        target_names=np.array(EMOTIONS),
        DESCR=DESCR,
        **data,
    )


def _read_source(source: Source, wanted: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Read the table or the images in a folder or archive."""
    tables: dict[str, str] = {}
    for name in source.names:
        tables.setdefault(_file(name).lower(), name)
    images = [name for name in source.names if is_image_file(name)]
    table = next((tables[name] for name in _WHOLE_TABLES if name in tables), None)
    if table is None and not images:
        table = tables.get("train.csv")
    if table is not None:
        with source.open(table) as file:
            return _read_table(file, source.describe(table), wanted)
    if not images:
        raise DatasetFormatError(
            f"{source.path} contains neither a table nor images of FER2013. {_EXPECTED_FORMS}."
        )
    return _read_images(source, images, wanted)


# -- images ---------------------------------------------------------------------------


def _read_images(
    source: Source, names: list[str], wanted: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """Read the images of the wanted subsets."""
    emotions = _emotions_of_folders(source, names)
    members = sorted(
        (wanted.index(subset), name)
        for name in names
        if (subset := _subset_of_name(source, name, wanted)) in wanted
    )
    images = np.empty((len(members), SIDE, SIDE), np.uint8)
    chosen = [name for _, name in members]
    for i, image in enumerate(decode_members(source, chosen)):
        if image.shape != (SIDE, SIDE):
            raise DatasetFormatError(
                f"{source.describe(chosen[i])}: the image is {image.shape[1]}×{image.shape[0]} "
                f"pixels; FER2013's are {SIDE}×{SIDE}. load_image_folder(size={SIDE}) reads "
                f"images of any size."
            )
        images[i] = image
    return {
        "images": images,
        "target": _names([emotions[_folder(name)] for name in chosen]),
        "subset": _names([wanted[i] for i, _ in members]),
        "filenames": _names(chosen),
    }


def _emotions_of_folders(source: Source, names: list[str]) -> dict[str, str]:
    """Map each folder of images to its emotion; raise if any are unknown."""
    folders = sorted({_folder(name) for name in names})
    emotions = {folder: canonical_emotion(_file(folder)) for folder in folders}
    unknown = [folder for folder in folders if emotions[folder] not in EMOTIONS]
    if unknown:
        hints = "".join(suggestion(emotions[folder], EMOTIONS) for folder in unknown[:5])
        raise DatasetFormatError(
            f"{source.path} has images in folders that are not named after an emotion of FER2013: "
            f"{', '.join(repr(folder or '.') for folder in unknown[:5])}"
            f"{' and more' if len(unknown) > 5 else ''}. Expected "
            f"{', '.join(EMOTIONS)}.{hints} load_image_folder reads folders of any names."
        )
    return emotions


def _subset_of_name(source: Source, name: str, wanted: Sequence[str]) -> str | None:
    """Return the subset of an image; None if it is not a training image and only those count."""
    parts = name.split("/")
    if match := _NAME_PREFIX.match(parts[-1]):
        return _USAGE[match[1].lower()]
    for folder in reversed(parts[:-1]):
        if folder.lower() in _FOLDERS:
            return _FOLDERS[folder.lower()]
    if wanted == ("train",) and "test" in map(str.lower, parts):
        return None
    raise DatasetFormatError(
        f"{source.describe(name)}: neither its name nor its folders say whether it is a training "
        f"image, or in which half of the test set it is. Expected a name that starts with "
        f"'Training_', 'PublicTest_' or 'PrivateTest_', or a folder 'train', 'PublicTest' or "
        f"'PrivateTest'. load_image_folder reads other folders."
    )


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _file(name: str) -> str:
    return name.rpartition("/")[2]


# -- tables ---------------------------------------------------------------------------


def _read_table(file: IO[bytes], name: str, wanted: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Read a CSV file in chunks of rows, so that its text is never in memory as a whole."""
    parts: dict[str, list[NDArray[Any]]] = {
        "images": [],
        "target": [],
        "subset": [],
        "filenames": [],
    }
    for frame in table_chunks(file, name):
        frame = _checked_columns(frame, name)
        subsets = _subsets_of_rows(frame, name)
        frame, subsets = frame[np.isin(subsets, wanted)], subsets[np.isin(subsets, wanted)]
        parts["images"].append(_parse_pixels(frame["pixels"], name))
        parts["target"].append(_emotions_of_rows(frame["emotion"], name))
        parts["subset"].append(subsets)
        parts["filenames"].append(_names([row_name(row) for row in frame.index]))
    return {key: np.concatenate(value) for key, value in parts.items()}


def _checked_columns(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    missing = [column for column in ("emotion", "pixels") if column not in frame]
    if missing:
        raise DatasetFormatError(
            f"{name}: there is no column {' and '.join(map(repr, missing))}; found "
            f"{', '.join(map(repr, frame.columns))}. Tables without emotions cannot be "
            f"loaded: use fer2013.csv, icml_face_data.csv or train.csv."
        )
    return frame


def _subsets_of_rows(frame: pd.DataFrame, name: str) -> NDArray[np.str_]:
    if "usage" not in frame:
        return np.full(len(frame), "train", dtype="<U7")
    usage = frame["usage"].str.strip()
    subsets = usage.str.lower().map(_USAGE)
    if subsets.isna().any():
        row = subsets.index[subsets.isna()][0]
        raise DatasetFormatError(
            f"{name}, {_row(row)}: Usage is {usage[row]!r}; expected 'Training', 'PublicTest' "
            f"or 'PrivateTest'.{suggestion(usage[row], ('Training', 'PublicTest', 'PrivateTest'))}"
        )
    return subsets.to_numpy(dtype="<U7")


def _emotions_of_rows(column: pd.Series, name: str) -> NDArray[np.str_]:
    """Translate a column of codes or names to emotions."""
    codes = {str(code): emotion for code, emotion in enumerate(FER2013_CODES)}
    emotions = []
    for row, text in column.items():
        text = text.strip()
        code = re.sub(r"\.0+$", "", text)  # tables that were saved with gaps have "3.0"
        emotion = codes.get(code, canonical_emotion(text))
        if emotion not in EMOTIONS:
            raise DatasetFormatError(
                f"{name}, {_row(row)}: emotion is {text!r}; expected a code from 0 to 6 or one "
                f"of {', '.join(EMOTIONS)}.{suggestion(text, EMOTIONS)}"
            )
        emotions.append(emotion)
    return _names(emotions)


def _parse_pixels(column: pd.Series, name: str) -> NDArray[np.uint8]:
    """Parse a column of strings of 2,304 numbers each."""
    images = np.empty((len(column), SIDE * SIDE), np.uint8)
    for i, (row, text) in enumerate(column.items()):
        # Deleting all digits at once is much faster than checking each number.
        strange = text.strip().encode().translate(None, b"0123456789 \t\r\n")
        if strange:
            found = strange[:10].decode(errors="replace")
            raise _bad_pixels(name, row, f"the pixels contain {found!r}; expected integers")
        values = np.fromstring(text, dtype=np.int64, sep=" ") if text.strip() else np.empty(0)
        if len(values) != SIDE * SIDE:
            raise _bad_pixels(
                name, row, f"{len(values)} pixels; expected {SIDE * SIDE} ({SIDE}×{SIDE})"
            )
        if values.max() > 255:
            raise _bad_pixels(name, row, f"a pixel is {values.max()}; expected 0..255")
        images[i] = values
    return images.reshape(-1, SIDE, SIDE)


def _bad_pixels(name: str, row: int, what: str) -> DatasetFormatError:
    return DatasetFormatError(
        f"{name}, {_row(row)}: {what}. Download the file again, or remove the row."
    )


def _row(index: int) -> str:
    return f"row {index + 1} below the header"


def _names(values: list[str]) -> NDArray[np.str_]:
    return np.array(values, dtype=None if len(values) else "<U1")


# -- download -------------------------------------------------------------------------


@overload
def fetch_fer2013(
    data_home: PathLike | None = None, *, subset: str = "train", return_X_y: Literal[False] = False
) -> Bunch: ...
@overload
def fetch_fer2013(
    data_home: PathLike | None = None, *, subset: str = "train", return_X_y: Literal[True]
) -> tuple[PixelArray, LabelArray]: ...
def fetch_fer2013(
    data_home: PathLike | None = None, *, subset: str = "train", return_X_y: bool = False
) -> Bunch | tuple[PixelArray, LabelArray]:
    """Load FER2013 from the data folder, and download it there on the first call.

    The archive of about 60 MB comes from Kaggle; you need neither an account nor a token. It is
    kept only if it contains all 35,887 images.

    Parameters
    ----------
    data_home : str, path-like or None, default=None
        The data folder. If None, the environment variable ``FER_SKLEARN_DATA``, or
        ``~/fer_sklearn_data`` if that is not set. The folder is searched for, in this order,
        ``fer2013.zip``, ``archive.zip``, ``fer2013.csv``, ``icml_face_data.csv``, a folder
        ``fer2013``, and the folder ``train`` of an archive that was unpacked there.
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
    ConnectionError
        If the data folder has no FER2013 and the download fails. The message says what to
        download by hand and where to put it.
    DatasetFormatError
        If the download is not the complete FER2013.
    """
    check_choice("subset", subset, (*SUBSETS, "all"))
    home = data_folder(data_home)
    path = _find(home) or _download(home)
    data = load_fer2013(path, subset=subset)
    return (data.images, data.target) if return_X_y else data


def _find(home: Path) -> Path | None:
    """Return the path of FER2013 in the data folder, or None."""
    if path := next((home / name for name in _CANDIDATES if (home / name).exists()), None):
        return path
    return home if (home / "train").is_dir() else None


def _download(home: Path) -> Path:
    """Download the archive, check it, and keep it in `home`."""
    import pooch

    home.mkdir(parents=True, exist_ok=True)
    # In a separate folder until it is checked: Kaggle publishes no hash.
    with tempfile.TemporaryDirectory(prefix=".fer2013-", dir=home) as folder:
        fetcher = pooch.create(
            folder, "", registry={_ARCHIVE: None}, urls={_ARCHIVE: _URL}, retry_if_failed=1
        )
        downloader = pooch.HTTPDownloader(
            progressbar=is_terminal(sys.stderr), chunk_size=2**16, timeout=_TIMEOUT_SECONDS
        )
        try:
            path = Path(fetcher.fetch(_ARCHIVE, downloader=downloader))
        except (OSError, ValueError) as error:
            raise _download_error(error, home) from error
        if not zipfile.is_zipfile(path):
            raise _download_error("Kaggle sent something that is not a zip archive", home)
        found = load_fer2013(path, subset="all").subset.tolist()
        counts = {name: found.count(name) for name in _COUNTS}
        if counts != _COUNTS:
            raise DatasetFormatError(
                f"The archive at {_URL} has {counts} images; expected {_COUNTS}. {_by_hand(home)}"
            )
        os.replace(path, home / _ARCHIVE)
    return home / _ARCHIVE


def _download_error(reason: object, home: Path) -> ConnectionError:
    return ConnectionError(
        f"FER2013 could not be downloaded from Kaggle ({reason}). Check the network. "
        f"{_by_hand(home)}"
    )


def _by_hand(home: Path) -> str:
    return (
        f"Or download it by hand: open {_PAGE} , choose 'Download', put the file (archive.zip, "
        f"about 60 MB) into {home} without unpacking it, and call again."
    )
