"""Where an export goes: nothing of others is overwritten, and it is there whole or not at all."""

import os
import shutil
import uuid
from contextlib import contextmanager
from pathlib import Path

from ..inference import SIDECAR, sidecar_path

__all__ = ["check_target", "placing"]


def check_target(path, suffix, *, overwrite):
    """Return where an export is to be put, if it may be put there.

    Parameters
    ----------
    path : str or Path
    suffix : str or None
        What the name of a file must end in; None if the export is a folder.
    overwrite : bool
        Whether an earlier export may be there.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        For a file with another suffix.
    FileNotFoundError
        If the folder in which it is to lie does not exist.
    FileExistsError
        If something is there; with `overwrite`, something else than an export.
    """
    path = Path(path)
    if suffix is not None and path.suffix != suffix:
        raise ValueError(
            f"path={str(path)!r} has the suffix {path.suffix!r}; expected {suffix!r}, as in "
            f"{str(path.with_suffix(suffix))!r}."
        )
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"path={str(path)!r} is in a folder that does not exist, {str(target.parent)!r}. "
            f"Create it first."
        )
    occupied = [place for place in _places(target, suffix) if place.exists()]
    if occupied and not overwrite:
        raise FileExistsError(
            f"path={str(path)!r}: {str(occupied[0])!r} exists already. Choose another path, or "
            f"pass overwrite=True."
        )
    is_export = target.is_dir() == (suffix is None) and sidecar_path(target).is_file()
    if target.exists() and not is_export:
        raise FileExistsError(
            f"path={str(path)!r} exists and is no earlier export, since it has no "
            f"{sidecar_path(target).name!r}; it is not overwritten. Choose another path."
        )
    return target


@contextmanager
def placing(target, suffix):
    """Give a place to write an export to, and move it to `target` once it is whole.

    Yields
    ------
    Path
        A name for a file, or an empty folder.
    """
    work = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    written = work / target.name
    (work if suffix else written).mkdir(parents=True)
    try:
        yield written
        if suffix is None and target.exists():
            os.replace(target, work / SIDECAR)  # under any name but its own, to be deleted
        for place in _places(written, suffix):
            os.replace(place, target.with_name(place.name))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _places(path, suffix):
    """Return what an export consists of: a folder, or a file and the JSON file beside it."""
    return [path] if suffix is None else [sidecar_path(path), path]
