"""npm and Node.js: install the browser packages at pinned versions, and run models in them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .._utils.files import data_home
from .._utils.typing import FloatArray

__all__ = ["MissingNodeError", "find_node", "find_npm", "install_packages", "run_tfjs"]

_PINNED = Path(__file__).parent / "web"
_FILES = ("package.json", "package-lock.json")
_OPTIONS = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
_INSTALL_TIME_LIMIT = 600  # seconds, to download 100 MB
_RUNNER = Path(__file__).parent / "run_tfjs.mjs"
_RUN_TIME_LIMIT = 300  # seconds
_REMEDY = (
    "Install Node.js 18 or later, which includes npm, from https://nodejs.org or with your package "
    "manager (Debian: apt install nodejs npm), and make sure that it is on the PATH."
)


class MissingNodeError(ImportError):
    """Node.js or npm is missing, or npm could not download the pinned packages."""


def find_node() -> str | None:
    """Return the path of ``node``, or None if it is not on the PATH."""
    return shutil.which("node")


def find_npm() -> str | None:
    """Return the path of ``npm``, or None if npm or the node it needs is not on the PATH."""
    return shutil.which("npm") if find_node() else None


def install_packages() -> Path:
    """Install the pinned npm packages, unless they are installed already.

    They are downloaded once, in the versions and with the checksums of ``package-lock.json``,
    without running their scripts, and kept in the data folder as ``npm-<hash of that file>``.

    Returns
    -------
    Path
        The folder ``node_modules``.

    Raises
    ------
    MissingNodeError
        If Node.js or npm is needed and missing, or npm fails, for example without a network
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


def run_tfjs(folder: Path, images: FloatArray) -> FloatArray:
    """Run an exported model with TensorFlow.js on WebAssembly, in Node.js.

    Parameters
    ----------
    folder : Path
        As written by ``export(…, format="tfjs")``.
    images : ndarray of shape (n, h, w, channels), float32
        Input of the model.

    Returns
    -------
    ndarray of shape (n, n_classes), float32
        Predicted probabilities.

    Raises
    ------
    MissingNodeError
        If Node.js is missing, or the packages cannot be installed.
    RuntimeError
        If TensorFlow.js cannot read or run the model; the message contains its output.
    """
    images = np.ascontiguousarray(images, "<f4")
    packages = install_packages()
    node = find_node()
    if node is None:
        raise MissingNodeError(
            "node, which runs the exported model, was not found. Install Node.js from "
            "https://nodejs.org, and make sure that it is on the PATH."
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
            f"TensorFlow.js did not finish {len(images)} images within {_RUN_TIME_LIMIT} seconds. "
            f"Pass fewer or smaller ones."
        ) from None
    return _parse_output(done, folder)


def _install(npm: str, folder: Path) -> None:
    """Install into a temporary folder that is renamed once it is complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name in _FILES:
            shutil.copyfile(_PINNED / name, unfinished / name)
        _run([npm, "ci", *_OPTIONS], unfinished)
        try:
            os.rename(unfinished, folder)
        except OSError:  # another process finished first
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _run(command: Sequence[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_INSTALL_TIME_LIMIT
        )
    except subprocess.TimeoutExpired:
        problem = f"did not finish within {_INSTALL_TIME_LIMIT} seconds"
    except OSError as error:
        problem = f"could not be started ({error})"
    else:
        if done.returncode == 0:
            return
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-10:])
        problem = f"failed with exit status {done.returncode} and printed:\n{said}\n"
    raise MissingNodeError(
        f"The browser packages could not be installed: {' '.join(command)} {problem}. Check that "
        f"npm can reach its registry (npm ping), and try again."
    )


def _parse_output(done: subprocess.CompletedProcess[bytes], folder: Path) -> FloatArray:
    """Return the probabilities that the process wrote."""
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise RuntimeError(
            f"TensorFlow.js cannot run the model in {str(folder)!r}; it printed:\n{said}\n"
            f"Export again; if that does not help, export in another format."
        )
    header, _, data = done.stdout.partition(b"\n")
    return np.frombuffer(data, "<f4").reshape(json.loads(header)["shape"]).copy()
