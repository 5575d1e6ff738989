"""npm and Node.js: the packages for browsers, at pinned versions, and models run in them."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from .._utils.files import data_home

__all__ = ["MissingNodeError", "find_node", "find_npm", "install_packages", "run_tfjs"]

_PINNED = Path(__file__).parent / "web"
_FILES = ("package.json", "package-lock.json")
_OPTIONS = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
_INSTALL_TIME_LIMIT = 600  # seconds; 100 MB are fetched
_RUNNER = Path(__file__).parent / "run_tfjs.mjs"
_RUN_TIME_LIMIT = 300  # seconds
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


def run_tfjs(folder, images):
    """Answer images with a written model, in TensorFlow.js on WebAssembly, in Node.js.

    Parameters
    ----------
    folder : Path
        As ``export(…, format="tfjs")`` fills it.
    images : ndarray of float32, shape (n, h, w, channels)
        What the model takes.

    Returns
    -------
    ndarray of float32, shape (n, n_classes)

    Raises
    ------
    MissingNodeError
        If Node.js is missing, or the packages it needs cannot be had.
    RuntimeError
        If TensorFlow.js cannot read or run the model; the message has what it said.
    """
    images = np.ascontiguousarray(images, "<f4")
    packages = install_packages()
    node = find_node()
    if node is None:
        raise MissingNodeError(
            "node was not found, which runs what was written. Install Node.js from "
            "https://nodejs.org, and see that it is on the PATH."
        )
    command = [node, _RUNNER, packages, folder, *images.shape]
    try:
        done = subprocess.run(
            list(map(str, command)),
            input=images.tobytes(),
            capture_output=True,
            timeout=_RUN_TIME_LIMIT,
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(
            f"TensorFlow.js was not done with {len(images)} images after {_RUN_TIME_LIMIT} "
            f"seconds. Pass fewer or smaller ones."
        ) from None
    return _answers(done, folder)


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
            command, cwd=folder, capture_output=True, text=True, timeout=_INSTALL_TIME_LIMIT
        )
    except subprocess.TimeoutExpired:
        problem = f"was not done after {_INSTALL_TIME_LIMIT} seconds"
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


def _answers(done, folder):
    """Return what the process answered."""
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise RuntimeError(
            f"TensorFlow.js cannot run the model in {str(folder)!r}; it said:\n{said}\n"
            f"If the files are whole, export in another format; else export again."
        )
    header, _, data = done.stdout.partition(b"\n")
    return np.frombuffer(data, "<f4").reshape(json.loads(header)["shape"]).copy()
