"""Read and write files, open the sources of photos, and locate the download folder."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote, unquote_to_bytes

from ..exceptions import ImageReadError

if TYPE_CHECKING:
    from .typing import Readable

__all__ = [
    "MAX_BYTES",
    "NotAFileError",
    "atomic_replace_dir",
    "atomic_write",
    "check_writable",
    "data_home",
    "decode_text",
    "file_version",
    "is_address",
    "is_stream",
    "is_terminal",
    "is_text_contents",
    "locked",
    "open_output",
    "printable",
    "provenance_path",
    "read_regular_file",
    "read_source",
    "read_stream",
    "real_target",
    "shortened",
    "write_json",
    "write_provenance",
]

#: Larger files are refused before they are read: they are not photos. Eighty megapixels of raw
#: 16-bit colours take less.
MAX_BYTES = 2**29
_BLOCK = 2**20
# A file is identified by this many first bytes, which a stream may return in several parts.
_HEAD = 64
# This many bytes show that it is text.
_TEXT_HEAD = 512
# How often to read the owner of a new lock, and the pause between two attempts.
_N_LOOKS, _LOOK_SECONDS = 20, 0.05
# Bytes of the longest name to which the names of hidden files add.
_LONGEST_HIDDEN = 200
# Beyond the contents of a lock file.
_FAR = 2**16
# What this process has open, by number.
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d+)")
_STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}
# Error messages show only the beginning of a longer name.
_LONGEST_NAME = 200
# Text that is not a path: the address of a file, or its contents. The latter start with the
# signature of a format in base64, and are longer than most paths.
_ADDRESS = re.compile(r"(?!data:)[A-Za-z][A-Za-z0-9+.-]+:/")
_DATA_URI = re.compile(r"\s*data:(?:(?:image|application)/[^,]*|[^,]*;base64),", re.IGNORECASE)
_BASE64 = re.compile(
    r"\s*(/9j/|iVBORw0KGgo|R0lGOD|UklGR|SUk[qr]A|TU0AK|AAAA.[GWm2]Z0eX|AAAADGpQ|/0//UQ|Qk[0-3]"
    r"|UD[EIMQUY][KNg])[\w+/=\s-]{90,}"
)
_KINDS = (
    (stat.S_ISDIR, "this is a folder"),
    (stat.S_ISFIFO, "this is a pipe, which may never end"),
    (stat.S_ISSOCK, "this is a socket"),
    (stat.S_ISCHR, "this is a device"),
    (stat.S_ISBLK, "this is a device"),
)


class NotAFileError(OSError):
    """A path does not name a regular file that can be read whole; the message says why."""


def read_regular_file(
    path: str | os.PathLike,
    *,
    max_bytes: int = MAX_BYTES,
    is_wanted: Callable[[bytes], object] | None = None,
) -> bytes:
    """Read a complete file. Pipes, devices and huge files cannot make this hang.

    Parameters
    ----------
    path : str or path-like
        Links are followed.
    max_bytes : int, default=MAX_BYTES
    is_wanted : callable or None, default=None
        Called with the first bytes; if it returns something false, no more are read.

    Raises
    ------
    NotAFileError
        If it is not a regular file, or has more than `max_bytes`.
    OSError
        If it does not exist or cannot be read.
    """
    _check_kind(os.stat(path), max_bytes)  # opening some devices has side effects
    # A pipe that took the file's place meanwhile is opened without waiting for its writer.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    with open(descriptor, "rb", buffering=0) as file:
        _check_kind(os.fstat(descriptor), max_bytes)
        return read_stream(file, max_bytes=max_bytes, is_wanted=is_wanted)


def read_stream(
    file: Readable,
    *,
    max_bytes: int = MAX_BYTES,
    is_wanted: Callable[[bytes], object] | None = None,
) -> bytes:
    """Read the rest of a stream, whose ``read`` takes a size and may return less.

    The options are those of :func:`read_regular_file`.

    Raises
    ------
    NotAFileError
        If it has more than `max_bytes`.
    """
    blocks, n_bytes = [], 0
    while block := file.read(_BLOCK):
        if isinstance(block, str):
            raise NotAFileError("this is a file that was opened as text")
        blocks.append(block)
        n_bytes += len(block)
        if n_bytes > max_bytes:
            raise NotAFileError(f"it has more than {max_bytes:,} bytes")
        if is_wanted is not None and n_bytes >= _HEAD:
            if not is_wanted(b"".join(blocks)):
                break
            is_wanted = None
    return b"".join(blocks)


# Windows would translate line endings.
_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def _check_kind(status, max_bytes):
    for is_kind, what in _KINDS:
        if is_kind(status.st_mode):
            raise NotAFileError(what)
    if status.st_size > max_bytes:
        raise NotAFileError(f"it has {status.st_size:,} bytes, more than {max_bytes:,}")


def _hidden(path: Path, ending: str) -> Path:
    """Return the path of a hidden file next to another one, whose name may be long already."""
    name = os.fsencode(path.name)
    if len(name) > _LONGEST_HIDDEN:
        return path.with_name(f".{hashlib.sha256(name).hexdigest()[:16]}.{ending}")
    return path.with_name(f".{path.name}.{ending}")


@contextmanager
def atomic_write(
    path: str | os.PathLike, *, encoding: str | None = None, sync: bool = True
) -> Iterator[IO]:
    """Open a file for writing that replaces `path` only when it is complete.

    The contents go to a temporary file in the same folder, which is then renamed. If anything
    fails, `path` keeps its previous contents.

    Parameters
    ----------
    path : str or path-like
        A symbolic link is followed. A device or pipe, such as ``/dev/stdout``, and a file in a
        folder without permission cannot be replaced and are written to directly.
    encoding : str or None, default=None
        Encoding of a text file. If None, the file is binary.
    sync : bool, default=True
        Whether to wait until the contents are on the disk, so that they also survive a power cut.
        This takes milliseconds, which add up over many small files.

    Yields
    ------
    file object
    """
    kind, newline = ("", "") if encoding else ("b", None)
    folder = os.path.dirname(os.path.realpath(path))
    if is_stream(path) or (os.path.isfile(path) and not os.access(folder, os.W_OK)):
        with open_output(path, f"w{kind}", encoding=encoding, newline=newline) as file:
            yield file
        return
    path = Path(os.path.realpath(path))
    unfinished = _hidden(path, f"{uuid.uuid4().hex}.tmp")
    try:
        with open(unfinished, f"x{kind}", encoding=encoding, newline=newline) as file:
            yield file
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def is_stream(path: str | os.PathLike) -> bool:
    """Return whether a path is a pipe, a device, or what is open already, as ``/dev/stdout``."""
    is_other = os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)
    return is_other or _descriptor(path) is not None


def open_output(path: str | os.PathLike, mode: str = "wb", **options: Any) -> IO:
    """Open a file for writing; what is open already continues where it is."""
    number = _descriptor(path)
    return open(path if number is None else os.dup(number), mode, **options)


def _descriptor(path):
    path = os.path.abspath(path)
    number = _DESCRIPTOR.fullmatch(path)
    return _STANDARD.get(path) if number is None else int(number[1])


@contextmanager
def atomic_replace_dir(
    target: str | os.PathLike, *, names: Sequence[str] | None = None
) -> Iterator[Path]:
    """Write several files in a temporary folder, and move them into place once complete.

    Parameters
    ----------
    target : str or path-like
        The folder to create or replace, or, with `names`, the main file.
    names : sequence of str or None, default=None
        Names of the files to move to the folder of `target`, in this order. If None, the
        whole folder is moved to `target`.

    Yields
    ------
    Path
        An empty folder with the name of `target`, or, with `names`, a path with that name in
        an empty folder.
    """
    target = Path(target)
    work = _hidden(target, f"{uuid.uuid4().hex}.tmp")
    written = work / target.name
    (written if names is None else work).mkdir(parents=True)
    try:
        yield written
        if names is None and target.exists():
            os.replace(target, work / ".replaced")  # deleted with the rest of `work`
        for name in [target.name] if names is None else names:
            os.replace(work / name, target.with_name(name))
    except BaseException:
        with suppress(OSError):  # usually, nothing has been moved yet
            os.replace(work / ".replaced", target)
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def write_json(path: Path, content: Any) -> None:
    """Write an indented JSON file."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def printable(text: str) -> str:
    """Return text without line breaks and other characters that move what follows."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def file_version(path: str | os.PathLike) -> tuple[str, int, int] | None:
    """Return a cache key for the contents of a file, which changes if the file is replaced.

    It is the absolute path, the time of the last change, and the size; None if there is no file.
    """
    path = Path(path).absolute()
    if not path.is_file():
        return None
    found = path.stat()
    return str(path), found.st_mtime_ns, found.st_size


def provenance_path(path: str | os.PathLike) -> Path:
    """Return the path of a CSV file's provenance; most programs do not expect comments in CSV."""
    path = Path(path)
    return path.with_name(f"{path.name}.provenance.json")


def write_provenance(path: str | os.PathLike, made_by: Mapping[str, str] | None) -> None:
    """Write the provenance of a new CSV file next to it; without any, delete that of an old one."""
    if made_by is None:
        with suppress(OSError):  # with a name that is too long, there is none
            provenance_path(path).unlink()
        return
    with atomic_write(provenance_path(path), encoding="utf-8") as file:
        json.dump(dict(made_by), file, ensure_ascii=False, indent=2)


def check_writable(
    path: str | os.PathLike,
    *,
    suffixes: Sequence[str] | None = None,
    overwrite: bool = True,
    name: str = "path",
    remedy: str = "pass overwrite=True",
) -> Path:
    """Check that a file can be written, before the work that fills it begins.

    Parameters
    ----------
    path : str or path-like
    suffixes : sequence of str or None, default=None
        The suffixes allowed, in lower case, such as ``(".csv", ".json")``. If None, any.
    overwrite : bool, default=True
        Whether the file may exist already; devices and pipes always may.
    name : str, default="path"
        The parameter or option that named the file, for error messages.
    remedy : str, default="pass overwrite=True"
        How to allow overwriting, for error messages.

    Raises
    ------
    ValueError
        If the suffix is not among `suffixes`.
    IsADirectoryError
        If `path` is a folder.
    FileNotFoundError
        If its folder does not exist.
    FileExistsError
        If the file exists and `overwrite` is False.
    PermissionError
        If the file, or a file in its folder, cannot be written.
    """
    path = Path(path)
    said = f"{name}={str(path)!r}"
    if suffixes is not None and path.suffix.lower() not in suffixes:
        raise ValueError(f"{said} ends in {path.suffix!r}; expected one of {', '.join(suffixes)}.")
    if path.is_dir():
        raise IsADirectoryError(f"{said} is a folder; name a file in it.")
    folder = real_target(path, name).parent
    if path.exists() and not overwrite and not is_stream(path):
        raise FileExistsError(f"{said} exists already. Choose another file, or {remedy}.")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise PermissionError(f"{said} cannot be written: permission denied. Choose another file.")
    return path


def real_target(path: Path, name: str = "path") -> Path:
    """Return the real path of an output, whose folder must exist.

    Raises
    ------
    FileNotFoundError
        If it does not.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"{name}={str(path)!r} is in a folder that does not exist, {str(target.parent)!r}. "
            f"Create it first."
        )
    return target


def data_home(folder: str | os.PathLike | None = None) -> Path:
    """Return the folder in which downloads are kept, which need not exist.

    If None, it is the environment variable ``FER_SKLEARN_DATA``, or ``~/fer_sklearn_data`` if that
    is not set.
    """
    if folder is None:
        folder = os.environ.get("FER_SKLEARN_DATA") or "~/fer_sklearn_data"
    return Path(folder).expanduser()


def is_terminal(stream: IO | None) -> bool:
    """Return whether a stream is a terminal; without a console, it is None."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


@contextmanager
def locked(path: str | os.PathLike) -> Iterator[None]:
    """Keep other processes and threads from writing the same file.

    The operating system releases the lock when this process ends for any reason. ``.<name>.lock``
    next to the file names the process, and is left behind only by a process that was killed.
    Nothing is locked on file systems without locks, nor are devices and pipes.

    Raises
    ------
    BlockingIOError
        If another process or thread holds the lock.
    """
    if is_stream(path):
        yield
        return
    path = Path(os.path.realpath(path))
    name = _hidden(path, "lock")
    while True:
        descriptor = _open_lock(name)
        if descriptor is None:
            yield
            return
        try:
            if not _lock(descriptor):
                owner = _owner(descriptor)
                raise BlockingIOError(
                    f"{str(path)!r} is being written by process {owner}. Wait until it ends, or "
                    f"choose another file."
                )
            # The previous owner may have removed the file after it was opened here.
            if not os.path.exists(name) or not os.path.samestat(
                os.fstat(descriptor), os.stat(name)
            ):
                continue
            with suppress(OSError):  # left behind by another user
                os.truncate(descriptor, 0)
                os.write(descriptor, str(os.getpid()).encode("ascii"))
            try:
                yield
            finally:
                with suppress(OSError):  # Windows cannot remove open files
                    name.unlink()
            return
        finally:
            os.close(descriptor)


def _open_lock(name):
    """Open or create the file of a lock; return None if its folder cannot be written."""
    try:
        return os.open(name, os.O_RDWR | os.O_CREAT | _BINARY, 0o666)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
    # That of another user can be locked, too.
    return os.open(name, os.O_RDONLY | _BINARY) if name.exists() else None


def _owner(descriptor):
    """Return the process that holds a lock, which writes its number right after taking it."""
    for _ in range(_N_LOOKS):
        os.lseek(descriptor, 0, os.SEEK_SET)
        if owner := os.read(descriptor, 20).decode("ascii", "replace"):
            return owner
        time.sleep(_LOOK_SECONDS)
    return "unknown"


def _lock(descriptor):
    """Lock an open file; return False if it is locked already."""
    try:
        import fcntl
    except ModuleNotFoundError:
        return _lock_on_windows(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EACCES, errno.EAGAIN)
    return True


def _lock_on_windows(descriptor):
    import msvcrt

    try:
        os.lseek(descriptor, _FAR, os.SEEK_SET)  # a byte that is locked cannot be read
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError:
        return False
    finally:
        os.lseek(descriptor, 0, os.SEEK_SET)
    return True


# -- what a photo is read from -------------------------------------------------------------


def is_text_contents(text: str) -> bool:
    """Return whether text is the contents of an image, a data URI or base64, and not a path."""
    return bool(_DATA_URI.match(text) or _BASE64.match(text))


def is_address(path: str) -> bool:
    """Return whether text is a URL, such as ``"https://…"``, and not a path."""
    return bool(_ADDRESS.match(path))


def decode_text(text: str) -> bytes:
    """Return the contents of an image from text in base64, or from a data URI."""
    uri = _DATA_URI.match(text)
    if uri and not uri.group().lower().endswith(";base64,"):
        return unquote_to_bytes(text[uri.end() :])
    encoded = re.sub(r"\s", "", unquote(text[uri.end() :]) if uri else text)
    encoded = encoded.rstrip("=").translate({ord("-"): "+", ord("_"): "/"})
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError as error:
        raise ImageReadError(
            f"the image: the text {text[:30]!r}… is not valid base64 ({error})."
        ) from None


def read_source(
    source: str | os.PathLike | bytes | Readable, *, is_wanted: Callable[[bytes], object]
) -> tuple[bytes, str]:
    """Return the contents of a photo's file, and its name for messages.

    Parameters
    ----------
    source : str, path-like, bytes or file object
        As in :func:`fer_sklearn.read_image`.
    is_wanted : callable
        As in :func:`read_regular_file`.

    Raises
    ------
    ImageReadError, TypeError
        As :func:`fer_sklearn.read_image`.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
        if not is_wanted(data) and is_text_contents(data[:_TEXT_HEAD].decode("latin-1")):
            data = decode_text(data.decode("latin-1"))  # as base64.b64encode returns it
        return data, "the image"
    if hasattr(source, "read"):
        name = getattr(source, "name", None)
        name = name if isinstance(name, str) else "the image"
        return _read_file_object(source, name, is_wanted), name
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            f"source is a {type(source).__name__}; expected a path, bytes or a file object."
        )
    name = os.fsdecode(source)
    if isinstance(source, str) and is_text_contents(source):
        return decode_text(source), "the image"
    try:
        return read_regular_file(source, is_wanted=is_wanted), name
    except NotAFileError as error:
        remedy = " load_image_folder reads folders." if os.path.isdir(source) else ""
        raise ImageReadError(f"{name}: {error}, not an image file.{remedy}") from None
    except (OSError, ValueError) as error:  # such as a name that is too long, or contains NUL
        if is_address(name):
            raise ImageReadError(
                f"{shortened(name)}: this is a URL, and nothing is downloaded. Download the photo "
                f"and pass its path, or its contents: urllib.request.urlopen(url).read()."
            ) from None
        if isinstance(error, FileNotFoundError):
            raise ImageReadError(
                f"{name}: there is no such file. Check the path (the current folder is "
                f"{os.getcwd()})."
            ) from None
        reason = error.strerror if isinstance(error, OSError) else error
        raise ImageReadError(f"{shortened(name)}: cannot be read ({reason}).") from error


def _read_file_object(file, name, is_wanted):
    """Read a file object from its start, regardless of its position."""
    try:
        if hasattr(file, "seek") and getattr(file, "seekable", lambda: True)():
            file.seek(0)
        data = read_stream(file, is_wanted=is_wanted)
    except NotAFileError as error:
        raise ImageReadError(f"{name}: {error}, not an image file.") from None
    except (OSError, ValueError) as error:
        raise ImageReadError(f"{name}: the file object cannot be read ({error}).") from error
    if not data:
        raise ImageReadError(
            f"{name}: the file object is empty, or was read to its end and cannot be read again. "
            f"Open it again."
        )
    return data


def shortened(name: str) -> str:
    """Return a name that is not too long for a message."""
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"
