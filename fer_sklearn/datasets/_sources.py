"""One view of folders and zip archives: names of members, and their contents."""

import os
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path

from ..exceptions import DatasetFormatError, ImageReadError
from ..images import IMAGE_SUFFIXES, decode_gray

__all__ = ["FolderSource", "ZipSource", "decode_members", "is_image", "open_source"]


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
