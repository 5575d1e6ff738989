"""List the photos in a folder, a pattern, an array or any iterable of photos."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import stat
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from .._utils.files import is_address, is_text_contents, shortened
from .._utils.image_files import image_format, read_contents
from .._utils.pixel_values import contains_items
from .._utils.typing import ImageLike, ImagesLike
from ..images import OTHER_SUFFIXES, as_photo, is_image_file, to_uint8

__all__ = [
    "PathTable",
    "PhotoSource",
    "as_path_table",
    "batch_items",
    "count_sources",
    "fixed_root",
    "is_path",
    "is_pattern",
    "iter_sources",
    "reason_of",
]

#: Names of the column with the paths of photos in a table.
PATH_COLUMNS = ("path", "file", "filename", "image", "photo", "source")
_EMPTY_FOLDER = "there is no photo in this folder"
_NO_MATCH = "there is no such file, and no photo matches it as a pattern"
# No system has longer paths, and no reader of CSV files takes much longer fields.
_LONGEST_PATH = 32_767


@dataclass(frozen=True, slots=True, eq=False)
class PhotoSource:
    """One photo to read.

    Attributes
    ----------
    name : str
        The name in its rows: the path, or ``"[3]"`` for the fourth item of a list.
    item : str, bytes, array or None, default=None
        A path, the contents of a file, or pixels. None if there is nothing to read.
    folder : str, default=""
        The folder that was passed, or the one in which a pattern starts; it contains the path.
        Empty otherwise.
    problem : str, default=""
        Why there is nothing to read. Empty otherwise.
    position : int, default=0
        Position of the item, such as a folder, that stands for this photo.
    """

    name: str
    item: Any = None
    folder: str = ""
    problem: str = ""
    position: int = 0


def iter_sources(
    images: ImageLike | ImagesLike | Iterable[ImageLike],
) -> Iterator[PhotoSource]:
    """Yield the photos that `images` stands for, in order.

    Parameters
    ----------
    images : path, bytes, file object, Pillow image, array, or iterable of these
        The path of a folder stands for the photos in it and in its subfolders, sorted by name
        and without hidden ones; each folder is read once, even if several links lead to it. A
        pattern such as ``"photos/**/*.jpg"`` stands for the photos that match it. A path that
        stands for no photo is one source with a `problem`. Text may also be the contents of a
        photo, as a data URI or in base64. An array is one photo, of shape (h, w) or
        (h, w, 3 | 4), or a stack of shape (n, h, w) or (n, h, w, c); the pixel range of a stack
        is checked as a whole.

    Yields
    ------
    PhotoSource

    Raises
    ------
    TypeError
        If `images` has another type.
    ValueError
        If `images` is an array of another shape.

    Examples
    --------
    >>> from fer_sklearn.photos import iter_sources
    >>> [source.name for source in iter_sources(["a.jpg", np.zeros((48, 48))])]
    ['a.jpg', '[1]']
    """
    # An iterator may reuse what it yields, as readers of videos and of Pillow's pages do.
    copies = isinstance(images, Iterator)
    for position, item in enumerate(batch_items(images)):
        for source in _of_item(item, f"[{position}]", copies):
            yield replace(source, position=position)


def count_sources(images: ImageLike | ImagesLike | Iterable[ImageLike]) -> int | None:
    """Return how many photos `images` stands for; None if counting would exhaust it."""
    if isinstance(images, Iterator):
        return None
    return sum(
        sum(1 for _ in _of_path(os.fsdecode(item))) if is_path(item) else 1
        for item in batch_items(images)
    )


class PathTable(NamedTuple):
    """A table with a column of paths."""

    paths: list[Any]
    table: Any
    column: str

    @property
    def other_columns(self) -> list[Any]:
        """The names of its other columns."""
        return [name for name in self.table.columns if name != self.column]

    def check_names(self, columns: Container[str]) -> None:
        """Raise if other columns have the same names as columns of the result."""
        clashes = [name for name in self.other_columns if name in columns]
        if clashes:
            raise ValueError(
                f"images has the column(s) {', '.join(map(repr, clashes))}, which the result has "
                f"too; expected other names. Rename them."
            )


def as_path_table(images: Any) -> PathTable | None:
    """Return a pandas or polars DataFrame as paths and the table; None for anything else.

    Raises
    ------
    ValueError
        If it has no column with one of :data:`PATH_COLUMNS` as its name, or several.
    TypeError
        If it is a LazyFrame of polars.
    """
    if hasattr(images, "collect_schema") and not hasattr(images, "iter_rows"):
        raise TypeError("images is a LazyFrame; expected a DataFrame. Call its method collect.")
    if not hasattr(images, "columns") or not hasattr(images, "__getitem__"):
        return None
    names = list(images.columns)
    found = [name for name in PATH_COLUMNS if name in names]
    if (len(found) != 1 and "path" not in found) or names.count(found[0]) > 1:
        expected = ", ".join(map(repr, PATH_COLUMNS))
        raise ValueError(
            f"images is a table with the columns {', '.join(map(repr, names))}; expected "
            f"one column of paths named {expected}. Rename it, or pass that column alone."
        )
    return PathTable(list(images[found[0]]), images, found[0])


def is_pattern(path: str) -> bool:
    """Return whether a path is a pattern: it has wildcards, and no file or folder has its name."""
    return glob.has_magic(path) and not os.path.lexists(path) and not is_address(path)


def fixed_root(pattern: str) -> str:
    """Return the folder in which a pattern starts, ``"photos"`` for ``"photos/**/*.jpg"``."""
    root = os.path.dirname(pattern)
    while glob.has_magic(root):
        root = os.path.dirname(root)
    return root or os.curdir


def is_path(item: Any) -> bool:
    """Return whether an item of a batch is a path, and not the contents of a photo as text."""
    if isinstance(item, str):
        return not is_text_contents(item)
    return isinstance(item, os.PathLike)


def batch_items(images: Any) -> Any:
    """Return the items of a batch; a single photo, path or folder is a batch of one."""
    if isinstance(images, (str, os.PathLike, bytes, bytearray, memoryview, Image.Image)):
        return [images]
    if hasattr(images, "read"):
        return [images]
    if isinstance(images, np.ndarray) and images.ndim == 0:
        return [images.item()]
    if isinstance(images, np.ndarray) and not contains_items(images):
        return _of_array(images)
    is_series = hasattr(images, "to_numpy") and getattr(images, "ndim", 1) == 1
    # Iterating over a mapping or a table yields the names of its columns.
    if not hasattr(images, "__iter__") or (
        not is_series and (hasattr(images, "keys") or hasattr(images, "columns"))
    ):
        raise TypeError(
            f"images is a {type(images).__name__}; expected a path, a folder, a pattern, an "
            f"array, a Pillow image, a table with a column of paths, or an iterable of these."
        )
    return images


def _of_array(images):
    is_color = images.ndim == 3 and images.shape[2] in (1, 3, 4)
    if images.ndim == 2 or is_color:
        return [images]
    if images.ndim not in (3, 4):
        raise ValueError(
            f"images has shape {images.shape}; expected one photo, (h, w) or (h, w, 3), or a "
            f"stack, (n, h, w) or (n, h, w, 3)."
        )
    return to_uint8(images, name="images", is_batch=True)


def reason_of(error: BaseException, *names: str) -> str:
    """Return the first sentence of an error without the names of its photo, which rows have."""
    known = {name for given in names for name in (given, shortened(given))}
    prefixes = ("the image:", *(f"{name}{end}" for name in known for end in (":", " ")))
    # Only one is removed: a file may have the name of a word, such as "the".
    prefix = max(filter(str(error).startswith, prefixes), key=len, default="")
    text = " ".join(str(error)[len(prefix) :].split())
    return re.split(r"\. (?=[A-Z])", text)[0].rstrip(".") or type(error).__name__


def _of_item(item, name, copies):
    if is_path(item):
        path = os.fsdecode(item)
        if len(path) > _LONGEST_PATH:
            problem = f"text of {len(path):,} characters, neither a path nor an image in base64"
            return [PhotoSource(name, problem=problem)]
        return _of_path(path)
    known = getattr(item, "name", None) if hasattr(item, "read") else None
    known = known if isinstance(known, str) else name  # it may be a number
    name = _printable(known)
    try:
        # Files are read here, since threads would disturb each other if one is passed twice.
        if hasattr(item, "read") or isinstance(item, str):
            return [PhotoSource(name, read_contents(item))]
        if copies and isinstance(item, np.ndarray):
            item = item.copy()
        elif copies and getattr(item, "is_animated", False):
            item = as_photo(item, name=name)
        return [PhotoSource(name, item)]
    except Exception as error:  # a user's own file object may raise anything
        return [PhotoSource(name, problem=reason_of(error, name, known))]


def _of_path(path):
    if os.path.isdir(path):
        return _or_problem(_walk(path, path, set()), path, _EMPTY_FOLDER)
    if is_pattern(path):
        return _or_problem(_of_pattern(path), path, _NO_MATCH)
    return iter([PhotoSource(_printable(path), path)])


def _or_problem(sources, path, problem):
    first = next(sources, None)
    yield PhotoSource(_printable(path), problem=problem) if first is None else first
    yield from sources


def _of_pattern(pattern):
    """Yield the photos that match a pattern, and those in matching folders, each once."""
    parts = pattern.split(os.sep)
    root = fixed_root(pattern)
    if "**" not in parts:
        for path in sorted(glob.iglob(pattern), key=lambda path: path.split(os.sep)):
            if os.path.isdir(path):
                yield from _walk(path, root, set())
            elif _is_photo(path):
                yield _of_file(path, root)
        return
    # glob would follow circular links dozens of times.
    n_before = parts.index("**")
    before = os.sep.join(parts[:n_before])
    visited: set[tuple[int, int]] = set()
    if pattern.startswith(os.sep) and not before:
        before = os.sep
    for folder in sorted(glob.iglob(before)) if glob.has_magic(before) else [before]:
        if not os.path.isdir(folder or os.curdir):
            continue
        for source in _walk(folder, root, visited):
            below = (source.item or folder)[len(folder) :].strip(os.sep).split(os.sep)
            if not source.item or _matches(below, parts[n_before:]):
                yield source


def _matches(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    """Return whether a path matches a pattern; ``**`` stands for any number of folders."""
    if not patterns:
        return not parts
    if patterns[0] != "**":
        matches = bool(parts) and fnmatch.fnmatch(parts[0], patterns[0])
        return matches and _matches(parts[1:], patterns[1:])
    if len(patterns) == 1:
        return True
    return any(_matches(parts[start:], patterns[1:]) for start in range(len(parts)))


def _walk(folder, root, visited):
    """Yield the photos of a folder and its subfolders; each folder is `visited` once.

    Links may be circular, and folders may be nested more deeply than recursion allows.
    """
    pending = [(folder, True)]
    while pending:
        path, is_folder = pending.pop()
        if not is_folder:
            yield _of_file(path, root)
            continue
        try:
            names = _entries(path or os.curdir, visited)
        except OSError as error:
            problem = f"the folder cannot be read ({error.strerror})"
            yield PhotoSource(_printable(path), problem=problem)
            continue
        pending += [(os.path.join(path, name), nested) for name, nested in reversed(names)]


def _entries(folder, visited):
    """Return the names of photos and folders in a folder, and which of them are folders."""
    status = os.stat(folder)
    identity = (status.st_dev, status.st_ino)
    if identity in visited:
        return []
    visited.add(identity)
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                is_folder = entry.is_dir()
            except OSError:  # a link that leads to itself
                is_folder = False
            if not entry.name.startswith(".") and (is_folder or _is_photo(entry.path)):
                found.append((entry.name, is_folder))
    return sorted(found)


def _is_photo(path):
    """Return whether a file of a folder gets a row: by its suffix or, without one, its content."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix:
        return is_image_file(path) or suffix in OTHER_SUFFIXES
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb") as file:
            return image_format(file.read(64)) is not None
    except OSError:
        return False


def _of_file(path, root):
    suffix = os.path.splitext(path)[1].lower()
    problem = f"{suffix} files are not read; convert it to JPEG" if suffix in OTHER_SUFFIXES else ""
    return PhotoSource(_printable(path), path, root, problem)


def _printable(path):
    """Return a path as text that every file format can store, even if its bytes are not text."""
    try:
        data = os.fsencode(path)
    except UnicodeEncodeError:  # a lone surrogate that does not come from the file system
        data = path.encode("utf-8", "backslashreplace")
    return data.decode("utf-8", "backslashreplace")
