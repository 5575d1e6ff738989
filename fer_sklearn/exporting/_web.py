"""The web app, a folder with a page that recognises emotions, and the packages that it runs.

npm installs these JavaScript packages at pinned versions; with them, Node.js runs what was exported
for browsers.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.files import data_home, write_json
from .._utils.tables import row_columns
from .._utils.typing import FloatArray
from ..emotions import label_colors
from ..faces._blazeface import FILE, read_network
from ..inference import METADATA_FILENAME
from ._tfjs import write_tfjs

if TYPE_CHECKING:
    import keras

__all__ = [
    "MissingNodeError",
    "check_requirements",
    "find_node",
    "find_npm",
    "hash_packages",
    "install_packages",
    "read_hashes",
    "run_tfjs",
    "write_web",
]

_PAGE = Path(__file__).parent / "web"
_PAGE_SUFFIXES = (".html", ".css", ".js", ".svg", ".jpg", ".txt")
_HASHES = _PAGE / "hashes.json"

# In the order in which the browser runs them: tf-core first, which the others extend.
_SCRIPTS = (
    ("@tensorflow/tfjs-core", "dist/tf-core.min.js"),
    ("@tensorflow/tfjs-converter", "dist/tf-converter.min.js"),
    ("@tensorflow/tfjs-backend-wasm", "dist/tf-backend-wasm.min.js"),
)
# The build with vector instructions; browsers without them cannot run the page anyway.
_BINARY = ("@tensorflow/tfjs-backend-wasm", "dist/tfjs-backend-wasm-simd.wasm")
_CDN = "https://cdn.jsdelivr.net/npm/"
_CONNECT = "connect-src 'self' blob:"
_NOTICE = """\
This folder contains, or the page loads, these unmodified third-party files:

- TensorFlow.js, by its authors at Google LLC, under the Apache License 2.0:
{packages}
- {detector}: BlazeFace (short range), the network of
  MediaPipe that finds faces, copyright 2019-2021 The MediaPipe Authors (Google), under the Apache
  License 2.0.
- sample.jpg: a portrait of the astronaut Eileen Collins, by NASA, in the public domain.

The text of that licence is in APACHE-2.0.txt.
"""

# The file of the packages that npm installs, and its options.
_PINNED = ("package.json", "package-lock.json")
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


def check_requirements(bundle_packages: bool) -> None:
    """Check that a page can be written, before any work is done.

    Parameters
    ----------
    bundle_packages : bool
        As in :func:`write_web`.

    Raises
    ------
    MissingNodeError
        If the packages must be bundled, and npm is missing or fails.
    MissingExtraError
        If the package that has the detector's file is not installed.
    """
    read_network()
    if bundle_packages:
        _find_packages()


def write_web(
    model: keras.Model,
    metadata: dict[str, Any],
    folder: Path,
    *,
    bundle_packages: bool = True,
) -> None:
    """Write a page that detects faces and recognises their emotions, for any static server.

    Parameters
    ----------
    model : keras.Model
        From ``(batch, height, width, 3)`` float32, RGB in 0..255, to probabilities.
    metadata : dict
        The contents of ``fer_sklearn.json``. The page reads ``labels``, ``crop``,
        ``input.model_size``, ``accuracy`` and ``licence``.
    folder : Path
        An existing, empty folder, to which ``index.html`` and all that it needs are written:
        the page's own files, the network in ``model``, the detector's file in ``detector``, the
        metadata file, ``page.json`` and, with `bundle_packages`, ``vendor``.
    bundle_packages : bool, default=True
        Whether to copy the JavaScript packages into ``vendor``, so that the page loads nothing
        from other servers. If False, it loads them from a public CDN and verifies their
        hashes.

    Raises
    ------
    ValueError
        If the network does not take faces in colour, and as in :func:`write_tfjs`.
    MissingNodeError, MissingExtraError
        As in :func:`check_requirements`.
    """
    _check_input(model)
    columns = row_columns(metadata["labels"])
    detector = read_network()
    packages = _find_packages() if bundle_packages else None
    for file in sorted(_PAGE.iterdir()):
        if file.suffix in _PAGE_SUFFIXES:
            shutil.copyfile(file, folder / file.name)
    (folder / "model").mkdir()
    write_tfjs(model, folder / "model")
    runtime = _name_on_cdn(folder) if packages is None else _copy_packages(packages, folder)
    (folder / "detector").mkdir()
    (folder / "detector" / FILE).write_bytes(detector)
    runtime["detector"] = {"url": f"detector/{FILE}", **_hashed(detector)}
    runtime["model"] = _list_model(folder)
    page = {
        "colors": label_colors(metadata["labels"]),
        # Those of the page's CSV files, each with the digits that are kept. In pairs, since objects
        # in JavaScript list names that are whole numbers first, as labels may be.
        "columns": [[name, column.digits] for name, column in columns.items()],
        "runtime": runtime,
    }
    write_json(folder / "page.json", page)
    write_json(folder / METADATA_FILENAME, metadata)
    _write_notice(folder)


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
    pinned = b"".join((_PAGE / name).read_bytes() for name in _PINNED)
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


def hash_packages(packages: Path) -> dict[str, dict[str, Any]]:
    """Return the size and hash of each file of the packages that the page runs.

    Parameters
    ----------
    packages : Path
        The folder ``node_modules``.

    Returns
    -------
    dict
        ``{"bytes": int, "integrity": "sha384-…"}`` by ``"name@version/file"``. Browsers verify
        the latter (Subresource Integrity). ``web/hashes.json`` stores the result, so that an
        export does not need npm.
    """
    return {
        f"{package}@{_version(packages, package)}/{file}": _hash_file(packages / package / file)
        for package, file in (*_SCRIPTS, _BINARY)
    }


def read_hashes() -> dict[str, dict[str, Any]]:
    """Return the stored result of :func:`hash_packages` for the pinned versions."""
    return json.loads(_HASHES.read_text(encoding="utf-8"))


def _check_input(model: keras.Model) -> None:
    shape = model.input_shape
    if len(shape) != 4 or shape[-1] != 3:
        raise ValueError(
            f"model takes arrays of shape {shape}; expected (n, height, width, 3), since the page "
            f"passes faces in colour. Export a pipeline with a GrayscaleResizer, such as "
            f"that of make_cnn_pipeline()."
        )


def _find_packages() -> Path:
    """Return the folder of the packages to copy."""
    try:
        return install_packages()
    except MissingNodeError as error:
        raise MissingNodeError(
            f"npm is needed to include TensorFlow.js in the page, so that it works offline. "
            f"{error} Or pass bundle_packages=False (on the command line, --cdn): browsers then "
            f"load it from a public CDN."
        ) from None


def _copy_packages(packages: Path, folder: Path) -> dict[str, Any]:
    """Copy the files that the page runs; return the page's runtime."""
    target = folder / "vendor"
    target.mkdir()

    def entry(package: str, file: str) -> dict[str, Any]:
        source = packages / package / file
        shutil.copyfile(source, target / source.name)
        return {"url": f"vendor/{source.name}", **_hash_file(source)}

    return _runtime(entry)


def _name_on_cdn(folder: Path) -> dict[str, Any]:
    """Return a runtime on the CDN, and allow exactly its files in the page's security policy."""
    hashes = read_hashes()

    def entry(package: str, file: str) -> dict[str, Any]:
        (key,) = (
            key for key in hashes if key.startswith(f"{package}@") and key.endswith(f"/{file}")
        )
        return {"url": _CDN + key, **hashes[key]}

    runtime = _runtime(entry)
    urls = [file["url"] for file in (*runtime["scripts"], runtime["wasm"])]
    index = folder / "index.html"
    text = index.read_text(encoding="utf-8")
    index.write_text(text.replace(_CONNECT, " ".join([_CONNECT, *urls])), encoding="utf-8")
    return runtime


def _runtime(entry: Callable[[str, str], dict[str, Any]]) -> dict[str, Any]:
    """Return the files that the page loads, each described by `entry`."""
    return {"scripts": [entry(*file) for file in _SCRIPTS], "wasm": entry(*_BINARY)}


def _write_notice(folder: Path) -> None:
    """Write the authors and licences of the third-party files that the page runs."""
    versions = sorted({key.rsplit("/dist/", 1)[0] for key in read_hashes()})
    packages = "\n".join(f"  https://www.npmjs.com/package/{_page_of(key)}" for key in versions)
    notice = _NOTICE.format(packages=packages, detector=f"detector/{FILE}")
    (folder / "NOTICE.txt").write_text(notice, encoding="utf-8")


def _page_of(package: str) -> str:
    """Return the address of npm's page on a package with its version, ``@scope/name@1.0.0``."""
    name, version = package.rsplit("@", 1)
    return f"{name}/v/{version}"


def _list_model(folder: Path) -> list[dict[str, Any]]:
    """Return the files of the network: the graph, then the weights in order."""
    graph = json.loads((folder / "model" / "model.json").read_text(encoding="utf-8"))
    shards = [path for group in graph["weightsManifest"] for path in group["paths"]]
    return [
        {"url": f"model/{name}", "bytes": (folder / "model" / name).stat().st_size}
        for name in ("model.json", *shards)
    ]


def _version(packages: Path, package: str) -> str:
    text = (packages / package / "package.json").read_text(encoding="utf-8")
    return json.loads(text)["version"]


def _hash_file(file: Path) -> dict[str, Any]:
    return _hashed(file.read_bytes())


def _hashed(data: bytes) -> dict[str, Any]:
    digest = base64.b64encode(hashlib.sha384(data).digest()).decode("ascii")
    return {"bytes": len(data), "integrity": f"sha384-{digest}"}


def _install(npm: str, folder: Path) -> None:
    """Install into a temporary folder that is renamed once it is complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name in _PINNED:
            shutil.copyfile(_PAGE / name, unfinished / name)
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
