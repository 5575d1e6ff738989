"""Folders and zip archives of labelled images."""

from __future__ import annotations

import os
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias, overload

import numpy as np
from sklearn.utils import Bunch

from .._utils.files import NotAFileError, read_regular_file
from .._utils.image_files import image_format
from .._utils.typing import LabelArray, PathLike, PixelArray, Size
from .._utils.validation import check_choice
from ..emotions import EMOTIONS, canonical_emotion
from ..exceptions import DatasetFormatError, ImageReadError
from ..images import decode_color, decode_gray, is_image_file, resize

__all__ = [
    "FolderSource",
    "ZipSource",
    "check_exists",
    "decode_members",
    "load_image_folder",
    "open_source",
]

_SUBSET_FOLDERS = (
    *("train", "training", "test", "testing", "val", "valid", "validation", "dev"),
    *("public", "private", "publictest", "privatetest"),
)


@overload
def load_image_folder(
    path: PathLike,
    *,
    size: Size | None = None,
    grayscale: bool = True,
    on_error: str = "raise",
    return_X_y: Literal[False] = False,
) -> Bunch: ...
@overload
def load_image_folder(
    path: PathLike,
    *,
    size: Size | None = None,
    grayscale: bool = True,
    on_error: str = "raise",
    return_X_y: Literal[True],
) -> tuple[PixelArray, LabelArray]: ...
def load_image_folder(
    path: PathLike,
    *,
    size: Size | None = None,
    grayscale: bool = True,
    on_error: str = "raise",
    return_X_y: bool = False,
) -> Bunch | tuple[PixelArray, LabelArray]:
    """Load images from a folder or zip archive with one folder per label.

    The label of ``anger/S010/1.png`` is the name of the first folder, ``anger``, translated by
    :func:`~fer_sklearn.canonical_emotion` to ``angry``; labels that are not synonyms of an emotion
    are kept. If all first folders have names of subsets (``train``, ``test``, ``val``, …), the
    label is the name of the folder below. A single folder around all others, as archives often
    have it, is skipped unless it is named like an emotion. Images outside label folders, hidden
    files and files without the suffix of an image are ignored.

    Parameters
    ----------
    path : str or path-like
        The folder, or a zip archive of it.
    size : int, (int, int) or None, default=None
        Side, or height and width, in pixels, that all images are resized to, regardless of their
        proportions. If None, images keep their sizes.
    grayscale : bool, default=True
        Whether to convert images to grey; otherwise they are loaded as RGB.
    on_error : {"raise", "warn"}, default="raise"
        What to do with unreadable images: raise an error at the first, or leave them out and list
        them in one warning at the end.
    return_X_y : bool, default=False
        If True, return ``(images, target)``.

    Returns
    -------
    Bunch
        - images : ndarray of shape (n, h, w) or (n, h, w, 3), uint8. With ``size=None`` and
          images of different sizes, an object array of shape (n,) of such images, which
          ``FaceCropper`` and ``GrayscaleResizer`` accept
        - data : ndarray of shape (n, n_features), uint8; a view of `images`. Absent if the sizes
          differ
        - target : ndarray of shape (n,), str; labels
        - target_names : ndarray of str; the labels that occur, sorted
        - subset : ndarray of shape (n,), str; the name of the subset folder, or ``"all"`` if there
          are none
        - filenames : ndarray of shape (n,), str; names relative to `path`
        - DESCR : str

        Rows are sorted by file name.

    Raises
    ------
    FileNotFoundError
        If `path` does not exist.
    DatasetFormatError
        If no label folder contains an image.
    ImageReadError
        If an image is missing, truncated or damaged; with ``on_error="warn"``, only if no image
        can be read.
    ValueError
        If a parameter is invalid.

    Warns
    -----
    UserWarning
        About label folders without an image, and as `on_error` says.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fer_sklearn import load_image_folder, make_faces
    >>> from fer_sklearn.images import write_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for label in ("happiness", "contempt"):
    ...         pathlib.Path(folder, label).mkdir()
    ...         write_image(f"{folder}/{label}/1.png", make_faces(1, random_state=0).images[0])
    ...     faces = load_image_folder(folder, size=32)
    >>> faces.images.shape, faces.target.tolist()
    ((2, 32, 32), ['contempt', 'happy'])
    """
    check_choice("on_error", on_error, ("raise", "warn"))
    shape = _check_size(size)
    with open_source(path) as source:
        labelled = _find_labels(source)
        images, names = _read(source, sorted(labelled), shape, grayscale, on_error)
    target = np.array([labelled[name][1] for name in names])
    stacked = _stack(images)
    if return_X_y:
        return stacked, target
    bunch = Bunch(
        images=stacked,
        target=target,
        target_names=np.unique(target),
        subset=np.array([labelled[name][0] for name in names]),
        filenames=np.array(names),
        DESCR=f"{len(names)} labelled images from {path}.",
    )
    if stacked.dtype != object:
        bunch.data = stacked.reshape(len(stacked), -1)
    return bunch


def _check_size(size: Any) -> tuple[int, int] | None:
    """Return ``(height, width)``, or None."""
    if size is None:
        return None
    sides = (size, size) if isinstance(size, Integral) else tuple(np.atleast_1d(size))
    if len(sides) == 2 and all(
        isinstance(side, Integral) and not isinstance(side, bool) and int(side) >= 1
        for side in sides
    ):
        return int(sides[0]), int(sides[1])
    raise ValueError(
        f"size={size!r} must be None, a positive integer, or a pair of them, (height, width)."
    )


def _find_labels(source: Source) -> dict[str, tuple[str, str]]:
    """Map the name of each labelled image to its subset and label."""
    names = [name.split("/") for name in source.names if is_image_file(name)]
    folders = [folder.split("/") for folder in source.folders]
    depth = _depth_of_labels(names)
    has_subsets = bool(names) and _all_subset_folders(names, depth)
    labelled = {}
    for parts in names:
        if len(parts) > depth + 1 + has_subsets:
            subset = parts[depth] if has_subsets else "all"
            label = str(canonical_emotion(parts[depth + has_subsets]))
            labelled["/".join(parts)] = (subset, label)
    if not labelled:
        raise DatasetFormatError(
            f"{source.path} has no images in label folders: found {len(names)} image(s) and "
            f"{len(folders)} folder(s). Expected <label>/<image>, such as happy/1.png."
        )
    _warn_of_empty_folders(source, folders, depth + has_subsets, labelled)
    return labelled


def _depth_of_labels(names: list[list[str]]) -> int:
    """Count the folders that contain everything else."""
    depth = 0
    while True:
        tops = {parts[depth] for parts in names if len(parts) > depth + 1}
        nested = any(len(parts) > depth + 2 for parts in names)
        if len(tops) != 1 or not nested:
            return depth
        top = min(tops)
        if canonical_emotion(top) in EMOTIONS or top.lower() in _SUBSET_FOLDERS:
            return depth
        depth += 1


def _all_subset_folders(names: list[list[str]], depth: int) -> bool:
    tops = {parts[depth].lower() for parts in names if len(parts) > depth + 1}
    return bool(tops) and tops <= set(_SUBSET_FOLDERS)


def _warn_of_empty_folders(
    source: Source, folders: list[list[str]], depth: int, labelled: Iterable[str]
) -> None:
    filled = {name.rpartition("/")[0] + "/" for name in labelled}
    empty = [
        "/".join(parts)
        for parts in folders
        if len(parts) == depth + 1
        and not any(folder.startswith("/".join(parts) + "/") for folder in filled)
    ]
    if empty:
        warnings.warn(
            f"{source.path}: no image in the label folder(s) {', '.join(map(repr, empty))}; "
            f"these labels are missing from the data.",
            UserWarning,
            stacklevel=4,
        )


def _read(
    source: Source,
    names: list[str],
    shape: tuple[int, int] | None,
    grayscale: bool,
    on_error: str,
) -> tuple[list[PixelArray], list[str]]:
    """Return the images that can be read, and their names."""
    images, read, errors = [], [], []
    for name in names:
        try:
            image = _read_one(source, name, grayscale)
        except ImageReadError as error:
            if on_error == "raise":
                raise
            errors.append(error)
            continue
        images.append(image if shape is None else resize(image, shape))
        read.append(name)
    if errors and not images:
        raise ImageReadError(f"None of {len(errors)} image(s) can be read. First: {errors[0]}")
    if errors:
        warnings.warn(
            f"Left out {len(errors)} of {len(names)} image(s) that cannot be read:\n"
            + "\n".join(map(str, errors)),
            UserWarning,
            stacklevel=3,
        )
    return images, read


def _read_one(source: Source, name: str, grayscale: bool) -> PixelArray:
    data, described = source.read(name), source.describe(name)
    if grayscale:
        return decode_gray(data, described)
    return decode_color(data, described)


def _stack(images: list[PixelArray]) -> PixelArray:
    if len({image.shape for image in images}) == 1:
        return np.stack(images)
    stacked = np.empty(len(images), dtype=object)
    # Not by slice: NumPy would try to make one array of images of equal height.
    for i, image in enumerate(images):
        stacked[i] = image
    return stacked


# -- files in folders and archives -------------------------------------------------------


class FolderSource:
    """The files and folders inside a folder.

    Parameters
    ----------
    path : path-like
        The folder.

    Attributes
    ----------
    path : Path
        The folder.
    names, folders : list of str
        Files and folders, sorted; relative to `path`, with ``/`` as the separator. Hidden ones are
        left out, and links to folders are not followed.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = Path(path)
        self.names: list[str] = []
        self.folders: list[str] = []
        for folder, subfolders, files in os.walk(self.path):
            subfolders[:] = [name for name in subfolders if not _is_hidden(name)]
            prefix = Path(folder).relative_to(self.path).as_posix()
            prefix = "" if prefix == "." else prefix + "/"
            self.folders.extend(prefix + name for name in subfolders)
            self.names.extend(prefix + name for name in files if not _is_hidden(name))
        self.names.sort()
        self.folders.sort()

    def read(self, name: str) -> bytes:
        """Return the contents of a file."""
        try:
            return read_regular_file(self.path / name, is_wanted=image_format)
        except NotAFileError as error:
            raise ImageReadError(f"{self.describe(name)}: {error}, not an image file.") from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ImageReadError(f"{self.describe(name)}: cannot be read ({reason}).") from error

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading bytes."""
        return (self.path / name).open("rb")

    def describe(self, name: str) -> str:
        """Return how error messages name a file."""
        return str(self.path / name)


class ZipSource:
    """The files and folders inside a zip archive, which is not unpacked to disk.

    Parameters
    ----------
    path : path-like
        The archive.
    archive : zipfile.ZipFile
        The same, opened.

    Attributes
    ----------
    path : Path
        The archive.
    names, folders : list of str
        As in :class:`FolderSource`.
    """

    def __init__(self, path: PathLike, archive: zipfile.ZipFile) -> None:
        self.path = Path(path)
        self._archive = archive
        self._infos: dict[str, zipfile.ZipInfo] = {}
        self.folders: list[str] = []
        for info in archive.infolist():
            name = info.filename.replace("\\", "/")
            if any(map(_is_hidden, name.split("/"))):
                continue
            if info.is_dir():
                self.folders.append(name.rstrip("/"))
            else:
                self._infos[name] = info
        self.names = sorted(self._infos)
        self.folders.sort()

    def read(self, name: str) -> bytes:
        """Return the contents of a file, whose checksum is verified."""
        try:
            return self._archive.read(self._infos[name])
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise ImageReadError(
                f"{self.describe(name)}: the archive is damaged there ({error}). Download it again."
            ) from error
        except (RuntimeError, NotImplementedError) as error:
            raise ImageReadError(
                f"{self.describe(name)}: cannot be unpacked ({error}). Unpack the archive "
                f"and pass the folder."
            ) from error

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading bytes."""
        return self._archive.open(self._infos[name])

    def describe(self, name: str) -> str:
        """Return how error messages name a file."""
        return f"{name} in {self.path}"


Source: TypeAlias = FolderSource | ZipSource


@contextmanager
def open_source(path: PathLike) -> Iterator[Source]:
    """Open a folder or a zip archive, and close it at the end of the ``with`` block.

    Parameters
    ----------
    path : str or path-like
        The folder or archive; ``~`` is expanded.

    Yields
    ------
    FolderSource or ZipSource
        What is inside.

    Raises
    ------
    FileNotFoundError
        If `path` does not exist.
    DatasetFormatError
        If it is neither a folder nor an intact zip archive.
    """
    existing = check_exists(path)
    if existing.is_dir():
        yield FolderSource(existing)
        return
    if not zipfile.is_zipfile(existing):
        raise DatasetFormatError(
            f"path={str(existing)!r} is neither a folder nor an intact zip archive. Download it "
            f"again if it should be a zip; unpack it if it is another kind of archive."
        )
    with zipfile.ZipFile(existing) as archive:
        yield ZipSource(existing, archive)


def check_exists(path: PathLike) -> Path:
    """Return `path` as a ``Path`` with ``~`` expanded; raise if it does not exist."""
    expanded = Path(path).expanduser()
    if not expanded.exists():
        raise FileNotFoundError(
            f"path={str(expanded)!r} does not exist. Check the spelling (the current folder is "
            f"{os.getcwd()!r})."
        )
    return expanded


def decode_members(source: Source, names: Iterable[str]) -> Iterator[PixelArray]:
    """Yield images of a source one by one, grey, of shape (h, w) and uint8."""
    for name in names:
        yield decode_gray(source.read(name), source.describe(name))


def _is_hidden(name: str) -> bool:
    # macOS adds the folder "__MACOSX" to archives.
    return name.startswith(".") or name == "__MACOSX"
