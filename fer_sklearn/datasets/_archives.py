"""Open folders, archives and compressed tables for the loaders."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from .._utils.files import NotAFileError, read_regular_file
from .._utils.image_files import image_format
from .._utils.typing import PathLike, PixelArray
from ..exceptions import DatasetFormatError, ImageReadError
from ..images import decode_gray

if TYPE_CHECKING:
    pass

__all__ = [
    "FolderSource",
    "Source",
    "TarSource",
    "ZipSource",
    "check_exists",
    "decode_members",
    "open_data",
    "open_source",
]

# Errors that Python's readers of archives and compressed files raise for damaged ones.
_DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OSError, ValueError, RuntimeError, LookupError, OverflowError, MemoryError),
)
_COMPRESSED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
# Zip archives, of which the end may be missing; and kinds that are not read.
_ARCHIVES = (b"PK\3\4", b"7z\xbc\xaf", b"Rar!")
# Byte order marks of UTF-16.
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
# Data that unpack to more than this, and to this many times their own size, are a "zip bomb".
_MOST_UNPACKED, _MOST_TIMES = 64_000_000, 200
_COPIED_AT_ONCE = 1_000_000
BYTES_OF_HEADER = 65_536
# Folders and files that operating systems add; those that begin with a dot are hidden too.
_SYSTEM_NAMES = {
    *("__macosx", "@eadir", "#recycle", "$recycle.bin", "lost+found"),
    *("system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini"),
}


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
        Files and folders, sorted; relative to `path`, with ``/`` as the separator. Hidden ones and
        those that systems add, such as ``__MACOSX`` and ``@eaDir``, are left out, and links to
        folders are not followed.
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

    def head(self, name: str) -> bytes:
        """Return the first bytes of a file; none if it cannot be read."""
        try:
            if not (self.path / name).is_file():
                return b""
            with (self.path / name).open("rb") as file:
                return file.read(64)
        except OSError:
            return b""

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading bytes."""
        path = self.path / name
        if not path.is_file():
            raise DatasetFormatError(f"{path} is not a regular file; expected a table.")
        try:
            return path.open("rb")
        except OSError as error:
            raise DatasetFormatError(f"{path} cannot be read ({error.strerror}).") from error

    def describe(self, name: str) -> str:
        """Return how error messages name a file."""
        return str(self.path / name)


class _ArchiveSource:
    """The files and folders inside an archive, which is not unpacked to disk.

    A subclass has `_open_member`, which opens one of `_members`.

    Attributes
    ----------
    path : Path
        The archive.
    names, folders : list of str
        As in :class:`FolderSource`. Links are those to other files of the archive.

    Raises
    ------
    DatasetFormatError
        If a path leads out of the archive, or if its files are far larger than the archive.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = Path(path)
        self.names: list[str] = []
        self.folders: list[str] = []
        self._members: dict[str, Any] = {}

    def _add(self, name: str, member: Any, *, is_folder: bool) -> None:
        """Add the entry with this name; refuse names that lead out of the archive."""
        name = name.replace("\\", "/")
        while name.startswith("./"):
            name = name[2:]
        parts = name.rstrip("/").split("/")
        if name.startswith("/") or ".." in parts or re.match("[A-Za-z]:", name):
            raise DatasetFormatError(
                f"{self.path} contains {name!r}, a path that leads out of the archive; expected "
                f"relative paths. Do not use it: archives like this are made to attack computers."
            )
        if not name or any(map(_is_hidden, parts)):
            return
        if is_folder:
            self.folders.append(name.rstrip("/"))
        else:
            self._members[name] = member

    def _sort(self) -> None:
        self.names = sorted(self._members)
        self.folders.sort()

    def _open_member(self, member: Any) -> IO[bytes]:
        raise NotImplementedError

    def read(self, name: str) -> bytes:
        """Return the contents of a file."""
        try:
            with self._open_member(self._members[name]) as file:
                return file.read()
        except (NotImplementedError, *_DAMAGE) as error:
            raise ImageReadError(self._cannot_be_unpacked(name, error)) from error

    def head(self, name: str) -> bytes:
        """Return the first bytes of a file; none if it cannot be read."""
        try:
            with self._open_member(self._members[name]) as file:
                return file.read(64)
        except (NotImplementedError, *_DAMAGE):
            return b""

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading bytes."""
        try:
            return self._open_member(self._members[name])
        except (NotImplementedError, *_DAMAGE) as error:
            raise DatasetFormatError(self._cannot_be_unpacked(name, error)) from error

    def _cannot_be_unpacked(self, name: str, error: Exception) -> str:
        # Encrypted, or compressed in a way that Python does not know.
        if isinstance(error, (RuntimeError, NotImplementedError)):
            what, remedy = "cannot be unpacked", "Unpack the archive and pass the folder"
        else:
            what, remedy = "the archive is damaged there", "Download it again"
        reason = str(error) or type(error).__name__
        return f"{self.describe(name)}: {what} ({reason}). {remedy}."

    def describe(self, name: str) -> str:
        """Return how error messages name a file."""
        return f"{name} in {self.path}"


class ZipSource(_ArchiveSource):
    """The files and folders inside a zip archive.

    Parameters
    ----------
    path : path-like
        The archive.
    archive : zipfile.ZipFile
        The same, opened.
    """

    def __init__(self, path: PathLike, archive: zipfile.ZipFile) -> None:
        super().__init__(path)
        self._archive = archive
        infos = archive.infolist()
        _check_unpacked(self.path, sum(info.file_size for info in infos), _size_of(self.path))
        for info in infos:
            self._add(info.filename, info, is_folder=info.is_dir())
        self._sort()

    def _open_member(self, member: zipfile.ZipInfo) -> IO[bytes]:
        return self._archive.open(member)


class TarSource(_ArchiveSource):
    """The files and folders inside a tar archive.

    Parameters
    ----------
    path : path-like
        The archive.
    archive : tarfile.TarFile
        The same, opened, and not compressed.
    """

    def __init__(self, path: PathLike, archive: tarfile.TarFile) -> None:
        super().__init__(path)
        self._archive = archive
        members = archive.getmembers()
        _check_end(archive)
        # Sparse files may be larger than the archive.
        _check_unpacked(self.path, sum(member.size for member in members), _size_of(self.path))
        for member in members:
            if member.isdir() or member.isfile() or member.islnk() or member.issym():
                self._add(member.name, member, is_folder=member.isdir())
        self._sort()

    def _open_member(self, member: tarfile.TarInfo) -> IO[bytes]:
        file = self._archive.extractfile(member)
        if file is None:
            raise ValueError("not a file")
        return file


Source: TypeAlias = FolderSource | ZipSource | TarSource


@contextmanager
def open_data(path: PathLike) -> Iterator[Source | IO[bytes]]:
    """Open a folder, an archive or a single file, and close it at the end of the ``with`` block.

    The kind of a file is determined from its contents, not from its name.

    Parameters
    ----------
    path : str or path-like
        A folder; a zip or tar archive; or any other file. The latter two may be compressed with
        gzip, bzip2 or xz. ``~`` is expanded.

    Yields
    ------
    FolderSource, ZipSource, TarSource, or a file opened for reading bytes
        What is inside.

    Raises
    ------
    FileNotFoundError
        If `path` does not exist.
    DatasetFormatError
        If it is neither a folder nor a regular file, or if it is damaged.
    """
    existing = check_exists(path)
    if existing.is_dir():
        yield FolderSource(existing)
        return
    if not existing.is_file():
        raise DatasetFormatError(
            f"path={str(existing)!r} is neither a folder nor a regular file; expected one of them."
        )
    try:
        is_zip = zipfile.is_zipfile(existing)
        file: IO[bytes] = existing.open("rb")
    except OSError as error:
        raise DatasetFormatError(f"{existing} cannot be read ({error.strerror}).") from error
    with file:
        if is_zip:
            with _opened(existing, lambda: zipfile.ZipFile(file), "zip archive") as archive:
                yield _listed(existing, lambda: ZipSource(existing, archive))
            return
        head = file.read(8)
        file.seek(0)
        unpack = next((f for magic, f in _COMPRESSED.items() if head.startswith(magic)), None)
        with tempfile.TemporaryFile() as unpacked:
            plain = file
            if unpack is not None:
                _unpack(existing, unpack, file, unpacked)
                plain = unpacked
            if not _is_tar(plain):
                _check_text(plain, existing)
                yield plain
                return
            with _opened(
                existing, lambda: tarfile.open(fileobj=plain, mode="r:"), "tar archive"
            ) as archive:
                yield _listed(existing, lambda: TarSource(existing, archive))


@contextmanager
def open_source(path: PathLike) -> Iterator[Source]:
    """Open a folder or an archive, and close it at the end of the ``with`` block.

    Parameters
    ----------
    path : str or path-like
        The folder or archive; ``~`` is expanded.

    Yields
    ------
    FolderSource, ZipSource or TarSource
        What is inside.

    Raises
    ------
    FileNotFoundError, DatasetFormatError
        As :func:`open_data`; the latter also for a file that is not an archive.
    """
    with open_data(path) as opened:
        if not isinstance(opened, (FolderSource, ZipSource, TarSource)):
            raise _not_an_archive(path)
        yield opened


def _not_an_archive(path):
    return DatasetFormatError(
        f"path={str(path)!r} is neither a folder nor an intact zip or tar archive. Download it "
        f"again if it should be one; unpack it if it is another kind of archive."
    )


def _check_text(file, path):
    """Raise for archives, damaged or of other kinds, and for images, which are not tables."""
    head = file.read(BYTES_OF_HEADER)
    file.seek(0)
    is_text = b"\0" not in head or head.startswith(UTF16_MARKS)
    if head.startswith(_ARCHIVES) or not is_text:
        raise _not_an_archive(path)


def _opened(path, opener, kind):
    """Return the result of `opener`; raise a DatasetFormatError for a damaged archive."""
    try:
        return opener()
    except (NotImplementedError, *_DAMAGE) as error:
        raise DatasetFormatError(
            f"{path}: not an intact {kind} ({error}). Download it again."
        ) from error


def _listed(path, make_source):
    try:
        return make_source()
    except DatasetFormatError:
        raise
    except _DAMAGE as error:
        raise DatasetFormatError(
            f"{path}: the archive is damaged ({error}). Download it again."
        ) from error


def _check_end(archive):
    """Raise unless a tar archive ends with zeros: Python stops silently where it is damaged."""
    file = archive.fileobj
    file.seek(archive.offset)
    end = file.read(tarfile.BLOCKSIZE)
    if len(end) < tarfile.BLOCKSIZE or any(end):
        raise tarfile.ReadError("it ends, or is damaged, in the middle of its files")


def _is_tar(file):
    try:
        is_tar = tarfile.is_tarfile(file)
    except _DAMAGE:
        is_tar = False
    file.seek(0)
    return is_tar


def _unpack(path, opener, file, unpacked):
    """Copy what a compressed file contains to another one."""
    size = _size_of(path)
    try:
        with opener(file) as compressed:
            while block := compressed.read(_COPIED_AT_ONCE):
                unpacked.write(block)
                _check_unpacked(path, unpacked.tell(), size)
    except DatasetFormatError:
        raise
    except _DAMAGE as error:
        raise DatasetFormatError(
            f"{path}: the compressed file is damaged ({error}). Download it again."
        ) from error
    unpacked.seek(0)


def _check_unpacked(path, unpacked, size):
    if unpacked > max(_MOST_UNPACKED, _MOST_TIMES * size):
        raise DatasetFormatError(
            f"{path} of {size:,} bytes contains more than {unpacked:,} bytes; expected at most "
            f"{_MOST_TIMES} times its size. Do not use it: files like this are made to exhaust "
            f"memory and disks."
        )


def _size_of(path):
    return os.stat(path).st_size


def check_exists(path: PathLike) -> Path:
    """Return `path` as a ``Path`` with ``~`` expanded; raise if it does not exist."""
    expanded = Path(path).expanduser()
    try:
        exists = expanded.exists()
    except (OSError, ValueError):  # too long, or with a character that no name can have
        exists = False
    if not exists:
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
    return name.startswith(".") or name.lower() in _SYSTEM_NAMES
