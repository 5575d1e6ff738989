"""Folders and zip archives of labelled images."""

import os
import warnings
import zipfile
import zlib
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from .._utils.validation import check_choice
from ..emotions import EMOTIONS, canonical_emotion
from ..exceptions import DatasetFormatError, ImageReadError
from ..images import IMAGE_SUFFIXES, decode_color, decode_gray, resize

__all__ = [
    "FolderSource",
    "ZipSource",
    "check_exists",
    "decode_members",
    "is_image",
    "load_image_folder",
    "open_source",
]

_SUBSET_FOLDERS = (
    *("train", "training", "test", "testing", "val", "valid", "validation", "dev"),
    *("public", "private", "publictest", "privatetest"),
)


def load_image_folder(path, *, size=None, grayscale=True, on_error="raise", return_X_y=False):
    """Load images that lie in one folder a label.

    The label of ``anger/S010/1.png`` is the first folder, ``anger``, translated by
    :func:`~fer_sklearn.canonical_emotion` to ``angry``; labels that are no synonym of an
    emotion stay as they are. Where the first folders are all named like subsets (``train``,
    ``test``, ``val``, …), the label is the folder below. A single folder around all others,
    as archives have it, is passed over unless it names an emotion. Images outside of label
    folders, hidden files and files that are no images by their suffix are left out.

    Parameters
    ----------
    path : str or path-like
        The folder, or a zip archive of it.
    size : int, (int, int) or None, default=None
        Side, or height and width, to which every image is resized, whatever its
        proportions. None keeps the sizes.
    grayscale : bool, default=True
        False loads RGB.
    on_error : {"raise", "warn"}, default="raise"
        What follows from images that cannot be read: an error at the first, or one
        warning at the end that names them; they are then left out.
    return_X_y : bool, default=False
        If True, return ``(images, target)``.

    Returns
    -------
    Bunch
        - images : ndarray of shape (n, h, w) or (n, h, w, 3), uint8. With ``size=None`` and
          images of several sizes, an object array of shape (n,) of such images, which
          ``FaceCropper`` and ``GrayscaleResizer`` take
        - data : ndarray of shape (n, n_features), uint8; a view of `images`. Absent where
          the sizes differ
        - target : ndarray of shape (n,), str
        - target_names : ndarray of str; the labels that occur, sorted
        - subset : ndarray of shape (n,), str; the folder's name, or ``"all"`` where there
          are no folders of subsets
        - filenames : ndarray of shape (n,), str; names within `path`
        - DESCR : str

        Rows are sorted by file name.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    DatasetFormatError
        If no image lies in a label folder.
    ImageReadError
        For a missing, truncated or damaged image; with ``on_error="warn"`` only if no
        image can be read.
    ValueError
        For parameters outside of these choices.

    Warns
    -----
    UserWarning
        For label folders without an image, and as `on_error` says.

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
    images = _stack(images)
    if return_X_y:
        return images, target
    bunch = Bunch(
        images=images,
        target=target,
        target_names=np.unique(target),
        subset=np.array([labelled[name][0] for name in names]),
        filenames=np.array(names),
        DESCR=f"{len(names)} labelled images from {path}.",
    )
    if images.dtype != object:
        bunch.data = images.reshape(len(images), -1)
    return bunch


def _check_size(size):
    """Return ``(height, width)``, or None."""
    if size is None:
        return None
    sides = (size, size) if isinstance(size, Integral) else tuple(np.atleast_1d(size))
    if len(sides) == 2 and all(
        isinstance(side, Integral) and not isinstance(side, bool) and side >= 1 for side in sides
    ):
        return int(sides[0]), int(sides[1])
    raise ValueError(
        f"size={size!r} must be None, a positive integer, or two of them, (height, width)."
    )


def _find_labels(source):
    """Map the name of every labelled image to its subset and label."""
    names = [name.split("/") for name in source.names if is_image(name)]
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


def _depth_of_labels(names):
    """Count the folders around everything else."""
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


def _all_subset_folders(names, depth):
    tops = {parts[depth].lower() for parts in names if len(parts) > depth + 1}
    return bool(tops) and tops <= set(_SUBSET_FOLDERS)


def _warn_of_empty_folders(source, folders, depth, labelled):
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


def _read(source, names, shape, grayscale, on_error):
    """Read images; return them with the names of those that could be read."""
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


def _read_one(source, name, grayscale):
    data, described = source.read(name), source.describe(name)
    if grayscale:
        return decode_gray(data, described)
    return decode_color(data, described)


def _stack(images):
    if len({image.shape for image in images}) == 1:
        return np.stack(images)
    stacked = np.empty(len(images), dtype=object)
    # Not by slice: NumPy would try to make one array of images that are alike in height.
    for i, image in enumerate(images):
        stacked[i] = image
    return stacked


# -- members of folders and archives ----------------------------------------------------


class FolderSource:
    """A folder; names are relative to it and use ``/``."""

    def __init__(self, path):
        self.path = Path(path)
        self.names, self.folders = [], []
        for folder, subfolders, files in os.walk(self.path):
            # Links and hidden folders are not followed; sorting makes the order the same
            # on every file system.
            subfolders[:] = [name for name in subfolders if not _is_hidden(name)]
            prefix = Path(folder).relative_to(self.path).as_posix()
            prefix = "" if prefix == "." else prefix + "/"
            self.folders.extend(prefix + name for name in subfolders)
            self.names.extend(prefix + name for name in files if not _is_hidden(name))
        self.names.sort()
        self.folders.sort()

    def read(self, name):
        """Return the contents of a member."""
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise ImageReadError(
                f"{self.describe(name)}: cannot be read ({error.strerror})."
            ) from error

    def open(self, name):
        """Open a member as a binary file."""
        return (self.path / name).open("rb")

    def describe(self, name):
        """Name a member in a message."""
        return str(self.path / name)


class ZipSource:
    """A zip archive, read without unpacking it to disk."""

    def __init__(self, path, archive):
        self.path = Path(path)
        self._archive = archive
        self._infos, self.folders = {}, []
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

    def read(self, name):
        """Return the contents of a member; its checksum is verified."""
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

    def open(self, name):
        """Open a member as a binary file."""
        return self._archive.open(self._infos[name])

    def describe(self, name):
        """Name a member in a message."""
        return f"{name} in {self.path}"


@contextmanager
def open_source(path):
    """Open a folder or a zip archive as a source of members.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    DatasetFormatError
        If it is neither a folder nor an intact zip archive.
    """
    path = check_exists(path)
    if path.is_dir():
        yield FolderSource(path)
        return
    if not zipfile.is_zipfile(path):
        raise DatasetFormatError(
            f"path={str(path)!r} is neither a folder nor an intact zip archive. Download it "
            f"again if it should be a zip; unpack it if it is another kind of archive."
        )
    with zipfile.ZipFile(path) as archive:
        yield ZipSource(path, archive)


def check_exists(path):
    """Return `path` as a ``Path``, with ``~`` expanded, if there is something there."""
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(
            f"path={str(path)!r} does not exist. Check the spelling (the current folder is "
            f"{os.getcwd()!r})."
        )
    return path


def is_image(name):
    """Tell by its suffix whether a member is an image."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def decode_members(source, names):
    """Yield the images of members, grey ``uint8 (h, w)``, one after the other."""
    for name in names:
        yield decode_gray(source.read(name), source.describe(name))


def _is_hidden(name):
    # "__MACOSX" holds what macOS adds to archives.
    return name.startswith(".") or name == "__MACOSX"
