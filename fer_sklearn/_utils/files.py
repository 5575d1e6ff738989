"""Atomic writing of files, the folder of downloads, and whether output goes to a terminal."""

import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["atomic_replace_dir", "atomic_write", "check_writable", "data_home", "is_terminal"]


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
        A symbolic link is followed. A device or pipe, such as ``/dev/stdout``, cannot be
        replaced and is written to directly.
    encoding : str or None, default=None
        Encoding of a text file. If None, the file is binary.
    sync : bool, default=True
        Whether to wait until the contents are on the disk, so that they survive a power cut
        too. It takes milliseconds, which add up over many small files.

    Yields
    ------
    file object
    """
    path = Path(os.path.realpath(path))
    kind, newline = ("", "") if encoding else ("b", None)
    if path.exists() and not path.is_file() and not path.is_dir():
        with open(path, f"w{kind}", encoding=encoding, newline=newline) as file:
            yield file
        return
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(unfinished, f"x{kind}", encoding=encoding, newline=newline) as file:
            yield file
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


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
    work = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    written = work / target.name
    (written if names is None else work).mkdir(parents=True)
    try:
        yield written
        if names is None and target.exists():
            os.replace(target, work / ".replaced")  # deleted with the rest of `work`
        for name in [target.name] if names is None else names:
            os.replace(work / name, target.with_name(name))
    finally:
        shutil.rmtree(work, ignore_errors=True)


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
        Whether the file may exist already.
    name : str, default="path"
        The parameter or option that named the file, for error messages.
    remedy : str, default="pass overwrite=True"
        How to allow overwriting, for error messages.

    Returns
    -------
    Path

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
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{said} is in a folder that does not exist, {str(folder)!r}. Create it first."
        )
    if path.exists() and not overwrite:
        raise FileExistsError(f"{said} exists already. Choose another file, or {remedy}.")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise PermissionError(f"{said} cannot be written: permission denied. Choose another file.")
    return path


def data_home(folder: str | os.PathLike | None = None) -> Path:
    """Return the folder in which downloads are kept.

    Parameters
    ----------
    folder : str, path-like or None, default=None
        If None, the environment variable ``FER_SKLEARN_DATA``, or ``~/fer_sklearn_data`` if
        that is not set.

    Returns
    -------
    Path
        It need not exist.
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
