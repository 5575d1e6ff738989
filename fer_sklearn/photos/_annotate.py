"""A folder of annotated photos, in which no file replaces another."""

from __future__ import annotations

import glob
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .._utils.typing import ImagesLike, PathLike
from ._sources import PhotoSource, batch_items, fixed_root, is_path, is_pattern, iter_sources

if TYPE_CHECKING:
    from ._recognize import PhotoResult

__all__ = ["AnnotatedFolder"]

# A smaller photo is enlarged to this side, so that its labels are legible.
_MIN_SIDE = 320
# Formats in which the annotated photo is written too; few programs show the others.
_KEPT_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


class AnnotatedFolder:
    """Write each photo to a folder with boxes, emotions and bars of probabilities.

    The annotated copy of ``a/b.jpg``, found in the folder ``a``, is ``b-faces.jpg``. If several
    folders are read, each gets a subfolder, and files of the same name are numbered: no file
    replaces another one, nor a photo.

    Parameters
    ----------
    folder : path-like
        Created if it is missing.
    images : path, array, bytes, file object, or iterable of these
        As passed to :func:`~fer_sklearn.predict_photos`.

    Raises
    ------
    OSError
        If the folder cannot be written to.
    ValueError
        If the folder lies in one whose photos are read.
    """

    def __init__(self, folder: PathLike, images: ImagesLike) -> None:
        self.folder = Path(folder)
        self._images = images
        # Names of folders and files by path, and of photos without one.
        self._names: dict[str, str] = {}
        self._unnamed: dict[PhotoSource, str] = {}
        self._taken: set[str] = set()
        self._is_iterator = isinstance(images, Iterator)
        are_paths = [] if self._is_iterator else [is_path(item) for item in batch_items(images)]
        self._is_single = len(are_paths) == 1
        if any(are_paths):
            for item in batch_items(images):
                self._reserve(item)
        self._check()

    def sources(self) -> Iterator[PhotoSource]:
        """Yield the photos that `images` stands for, once a name is reserved for each."""
        for source in iter_sources(self._reserved() if self._is_iterator else self._images):
            if not isinstance(source.item, str):
                name = f"{os.path.basename(source.name)}.png"
                self._unnamed[source] = _free_name(name, self._taken)
            yield source

    def write(self, result: PhotoResult) -> None:
        """Write the annotated copy of a photo, unless the photo could not be read."""
        from ..drawing import draw_faces
        from ..images import write_image

        path = self._path(result.source)
        if result.photo is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        faces = result.boxes, result.labels, result.y_proba, result.classes
        write_image(path, draw_faces(result.photo, *faces, min_side=_MIN_SIDE))

    def _reserved(self):
        for item in self._images:
            self._reserve(item)
            yield item

    def _reserve(self, item):
        if not is_path(item):
            return
        path = os.fsdecode(item)
        root = self._root(path)
        if not (self._is_single and root):
            key = root or path
            if key not in self._names:
                self._names[key] = _free_name(key, self._taken)

    def _root(self, path):
        """Return the folder whose structure is kept, or "" for a single file."""
        if is_pattern(path):
            root = fixed_root(path)
            is_read = "**" in path or any(self._is_in(match) for match in glob.glob(path))
        else:
            root = path if os.path.isdir(path) else ""
            is_read = bool(root)
        if is_read and self._is_in(root):
            raise ValueError(
                f"annotate={str(self.folder)!r} lies in {root!r}, whose photos are read: annotated "
                f"photos would be read as photos. Choose a folder elsewhere."
            )
        return root

    def _is_in(self, folder):
        return os.path.isdir(folder) and self.folder.resolve().is_relative_to(
            Path(folder).resolve()
        )

    def _check(self):
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.folder).close()
        except OSError as error:
            raise OSError(
                f"annotate={str(self.folder)!r} cannot be written to ({error.strerror}). Choose "
                f"another folder."
            ) from error

    def _path(self, source):
        if source.folder:
            below = self._names.get(source.folder, "")
            name = Path(below, os.path.relpath(source.item, source.folder))
        elif source in self._unnamed:
            name = Path(self._unnamed.pop(source))
        else:
            name = Path(self._names[source.item])
        return self.folder / name.parent / _annotated_name(name.name)


def _free_name(path, taken):
    """Return the last part of a path, numbered if it is taken already."""
    path = Path(path).resolve()
    name, number = path.name, 1
    while name.lower() in taken:
        number += 1
        name = f"{path.stem}-{number}{path.suffix}"
    taken.add(name.lower())
    return name


def _annotated_name(name):
    """Return the file name of an annotated photo; different photos have different ones."""
    stem, suffix = os.path.splitext(name)
    return f"{stem}-faces{suffix}" if suffix.lower() in _KEPT_SUFFIXES else f"{name}.faces.png"
