"""The packages for browsers, at pinned versions, as npm installs them."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from .._utils.files import data_home

__all__ = ["MissingNodeError", "find_node", "find_npm", "install_packages"]

_PINNED = Path(__file__).parent / "web"
_FILES = ("package.json", "package-lock.json")
_OPTIONS = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
_TIME_LIMIT = 600  # seconds; 100 MB are fetched
_REMEDY = (
    "Install Node.js 18 or later, which brings npm, from https://nodejs.org or with the system's "
    "packages (Debian: apt install nodejs npm), and see that it is on the PATH."
)


class MissingNodeError(ImportError):
    """Node.js or npm is missing, or npm could not fetch the pinned packages."""


def find_node():
    """Return the path of ``node``, None where it is not on the PATH."""
    return shutil.which("node")


def find_npm():
    """Return the path of ``npm``, None where it, or the ``node`` it needs, is not on the PATH."""
    return shutil.which("npm") if find_node() else None


def install_packages():
    """Install the pinned npm packages, or find them installed.

    They are fetched once, in the versions and with the checksums of ``package-lock.json``, none
    of their scripts being run, and kept in the folder of downloaded files, as ``npm-`` and a
    hash of that file.

    Returns
    -------
    Path
        Of the folder ``node_modules``.

    Raises
    ------
    MissingNodeError
        If Node.js or npm is missing where it is needed, or npm fails, which it does without a
        connection.
    """
    pinned = b"".join((_PINNED / name).read_bytes() for name in _FILES)
    folder = data_home() / f"npm-{hashlib.sha256(pinned).hexdigest()[:16]}"
    if not folder.is_dir():
        npm = find_npm()
        if npm is None:
            raise MissingNodeError(f"npm, or the node it needs, was not found. {_REMEDY}")
        _install(npm, folder)
    return folder / "node_modules"


def _install(npm, folder):
    """Install into a folder that appears under its name when it is whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name in _FILES:
            shutil.copyfile(_PINNED / name, unfinished / name)
        _run([npm, "ci", *_OPTIONS], unfinished)
        try:
            os.rename(unfinished, folder)
        except OSError:  # another process was first
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _run(command, folder):
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_TIME_LIMIT
        )
    except subprocess.TimeoutExpired:
        problem = f"was not done after {_TIME_LIMIT} seconds"
    except OSError as error:
        problem = f"could not be started ({error})"
    else:
        if done.returncode == 0:
            return
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-10:])
        problem = f"ended with status {done.returncode} and said:\n{said}\n"
    raise MissingNodeError(
        f"The packages for browsers could not be installed: {' '.join(command)} {problem}. See "
        f"that this machine reaches npm's registry (npm ping), and try again."
    )
