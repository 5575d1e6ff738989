"""Which photos there are, one by one: of lists, folders, patterns and arrays of any length."""

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..images import IMAGE_SUFFIXES, to_uint8

__all__ = ["PhotoSource", "count_sources", "fixed_root", "is_pattern", "iter_sources"]

_EMPTY_FOLDER = "there is no photo in this folder"
_NO_MATCH = "there is no such file, and no photo matches it as a pattern"


@dataclass(frozen=True, slots=True, eq=False)
class PhotoSource:
    """One photo that is to be read.

    Attributes
    ----------
    name : str
        What its rows call it: the path, or ``"[3]"`` for the fourth item of a list.
    item : str, bytes or array
        A path, the contents of a file, or pixels. None if there is nothing to read.
    folder : str
        The folder that was named, or from which a pattern starts; the path lies in it.
        Empty for all else.
    problem : str
        Why there is nothing to read; empty otherwise.
    """

    name: str
    item: object = None
    folder: str = ""
    problem: str = ""


def iter_sources(images):
    """Yield the photos that `images` stands for, in its order.

    Parameters
    ----------
    images : path, bytes, file object, array, or iterable of these
        The path of a folder stands for its photos of any depth, those of a folder sorted by
        name, hidden ones left out; a pattern such as ``"photos/**/*.jpg"`` for the
        photos that it matches. What stands for no photo is one source with a `problem`. An
        array is one photo, ``(h, w)`` or ``(h, w, 3 | 4)``, or a stack, ``(n, h, w)`` or
        ``(n, h, w, c)``; the pixels of a stack are judged together.

    Yields
    ------
    PhotoSource
        Only the names of the folders on the way to it are in memory.

    Raises
    ------
    TypeError
        If `images` is nothing of these.
    """
    # What an iterator hands out may be overwritten by the next, as frames of a film are.
    copies = isinstance(images, Iterator)
    for position, item in enumerate(_items(images)):
        if _is_path(item):
            yield from _of_path(os.fsdecode(item))
        elif hasattr(item, "read"):
            yield _of_file(item, position)
        else:
            copied = copies and isinstance(item, np.ndarray)
            yield PhotoSource(f"[{position}]", item.copy() if copied else item)


def count_sources(images):
    """Return how many photos `images` stands for, or None if to count them uses them up."""
    if isinstance(images, Iterator):
        return None
    return sum(
        sum(1 for _ in _of_path(os.fsdecode(item))) if _is_path(item) else 1
        for item in _items(images)
    )


def is_pattern(path):
    """Tell whether a path is a pattern: it has wildcards, and is no file or folder itself."""
    return glob.has_magic(path) and not os.path.lexists(path)


def fixed_root(pattern):
    """Return the folder from which a pattern starts, ``"photos"`` of ``"photos/**/*.jpg"``."""
    root = os.path.dirname(pattern)
    while glob.has_magic(root):
        root = os.path.dirname(root)
    return root or os.curdir


def _is_path(item):
    return isinstance(item, (str, os.PathLike))


def _items(images):
    """Return the items of a batch; a single photo, path or folder is a batch of one."""
    if _is_path(images) or isinstance(images, (bytes, bytearray, memoryview)):
        return [images]
    if hasattr(images, "read"):
        return [images]
    if isinstance(images, np.ndarray) and images.dtype.kind not in "OUS":
        return _of_array(images)
    # A mapping and a table would give the names of their columns.
    if not hasattr(images, "__iter__") or hasattr(images, "keys"):
        raise TypeError(
            f"images is a {type(images).__name__}; expected a path, a folder, a pattern, an "
            f"array, or an iterable of these. Of a table pass the column of paths; a Pillow "
            f"image as np.asarray(image.convert('RGB'))."
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
    # "**" matches what is inside a folder too, once is enough.
    folders = "**" not in pattern
    yield from _or_problem(_of_matches(found, root, folders), pattern, _NO_MATCH)


def _of_matches(found, root, folders):
    for path in found:
        if os.path.isdir(path):
            yield from _walk(path, root, ()) if folders else ()
        elif _is_image(path):
            yield PhotoSource(_printable(path), path, root)


def _or_problem(sources, path, problem):
    first = next(sources, None)
    yield PhotoSource(_printable(path), problem=problem) if first is None else first
    yield from sources


def _walk(folder, root, around):
    """Yield the photos of a folder and of those in it; `around` keeps links from circling."""
    try:
        inode = os.stat(folder)
        with os.scandir(folder) as entries:
            names = [
                (entry.name, entry.is_dir())
                for entry in entries
                if not entry.name.startswith(".") and (entry.is_dir() or _is_image(entry.name))
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


def _is_image(name):
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def _printable(path):
    """Return a path as text that every file format can hold, whatever bytes it is made of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
