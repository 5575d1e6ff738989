"""The photos that a folder, a pattern, an array or any iterable of photos stands for."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._utils.typing import ImageLike, ImagesLike
from ..images import is_image_file, to_uint8

__all__ = [
    "PhotoSource",
    "batch_items",
    "count_sources",
    "fixed_root",
    "is_path",
    "is_pattern",
    "iter_sources",
]

_EMPTY_FOLDER = "there is no photo in this folder"
_NO_MATCH = "there is no such file, and no photo matches it as a pattern"


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
    """

    name: str
    item: Any = None
    folder: str = ""
    problem: str = ""


def iter_sources(
    images: ImageLike | ImagesLike | Iterable[ImageLike],
) -> Iterator[PhotoSource]:
    """Yield the photos that `images` stands for, in order.

    Parameters
    ----------
    images : path, bytes, file object, array, or iterable of these
        The path of a folder stands for the photos in it and in its subfolders, sorted by name
        and without hidden ones; a pattern such as ``"photos/**/*.jpg"`` stands for the photos
        that match it. A path that stands for no photo is one source with a `problem`. An array
        is one photo, of shape (h, w) or (h, w, 3 | 4), or a stack of shape (n, h, w) or
        (n, h, w, c); the pixel range of a stack is checked as a whole.

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
    # An iterator may reuse the array that it yields, as video readers do.
    copies = isinstance(images, Iterator)
    for position, item in enumerate(batch_items(images)):
        if is_path(item):
            yield from _of_path(os.fsdecode(item))
        elif hasattr(item, "read"):
            yield _of_file(item, position)
        else:
            copied = copies and isinstance(item, np.ndarray)
            yield PhotoSource(f"[{position}]", item.copy() if copied else item)


def count_sources(images: ImageLike | ImagesLike | Iterable[ImageLike]) -> int | None:
    """Return how many photos `images` stands for; None if counting would exhaust it."""
    if isinstance(images, Iterator):
        return None
    return sum(
        sum(1 for _ in _of_path(os.fsdecode(item))) if is_path(item) else 1
        for item in batch_items(images)
    )


def is_pattern(path: str) -> bool:
    """Return whether a path is a pattern: it has wildcards, and no file or folder has its name."""
    return glob.has_magic(path) and not os.path.lexists(path)


def fixed_root(pattern: str) -> str:
    """Return the folder in which a pattern starts, ``"photos"`` for ``"photos/**/*.jpg"``."""
    root = os.path.dirname(pattern)
    while glob.has_magic(root):
        root = os.path.dirname(root)
    return root or os.curdir


def is_path(item: Any) -> bool:
    """Return whether an item of a batch is a path."""
    return isinstance(item, (str, os.PathLike))


def batch_items(images: Any) -> Any:
    """Return the items of a batch; a single photo, path or folder is a batch of one."""
    if is_path(images) or isinstance(images, (bytes, bytearray, memoryview)):
        return [images]
    if hasattr(images, "read"):
        return [images]
    if isinstance(images, np.ndarray) and images.dtype.kind not in "OUS":
        return _of_array(images)
    # Iterating over a mapping or a table yields the names of its columns.
    if not hasattr(images, "__iter__") or hasattr(images, "keys"):
        raise TypeError(
            f"images is a {type(images).__name__}; expected a path, a folder, a pattern, an "
            f"array, or an iterable of these. Pass the column of paths of a table as a list, and a "
            f"Pillow image as np.asarray(image.convert('RGB'))."
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
    return to_uint8(images)


def _of_file(file, position):
    name = getattr(file, "name", None)
    name = _printable(name) if isinstance(name, str) else f"[{position}]"
    try:
        return PhotoSource(name, file.read())
    except OSError as error:
        return PhotoSource(name, problem=f"cannot be read ({error.strerror})")


def _of_path(path):
    if os.path.isdir(path):
        return _of_folder(path)
    if is_pattern(path):
        return _of_pattern(path)
    return iter([PhotoSource(_printable(path), path)])


def _of_folder(folder):
    yield from _or_problem(_walk(folder, folder, ()), folder, _EMPTY_FOLDER)


def _of_pattern(pattern):
    root = fixed_root(pattern)
    found = sorted(glob.iglob(pattern, recursive=True), key=lambda path: path.split(os.sep))
    # "**" matches the contents of folders too; each photo is read once.
    folders = "**" not in pattern
    yield from _or_problem(_of_matches(found, root, folders), pattern, _NO_MATCH)


def _of_matches(found, root, folders):
    for path in found:
        if os.path.isdir(path):
            yield from _walk(path, root, ()) if folders else ()
        elif is_image_file(path):
            yield PhotoSource(_printable(path), path, root)


def _or_problem(sources, path, problem):
    first = next(sources, None)
    yield PhotoSource(_printable(path), problem=problem) if first is None else first
    yield from sources


def _walk(folder, root, around):
    """Yield the photos of a folder and its subfolders; `around` breaks cycles of links."""
    try:
        inode = os.stat(folder)
        with os.scandir(folder) as entries:
            names = [
                (entry.name, entry.is_dir())
                for entry in entries
                if not entry.name.startswith(".") and (entry.is_dir() or is_image_file(entry.name))
            ]
    except OSError as error:
        problem = f"the folder cannot be read ({error.strerror})"
        yield PhotoSource(_printable(folder), problem=problem)
        return
    identity = (inode.st_dev, inode.st_ino)
    if identity in around:
        return
    for name, is_folder in sorted(names):
        path = os.path.join(folder, name)
        if is_folder:
            yield from _walk(path, root, (*around, identity))
        else:
            yield PhotoSource(_printable(path), path, root)


def _printable(path):
    """Return a path as text that every file format can store, even if its bytes are not text."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
