"""The web app: a folder with a page that recognises emotions in the browser."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._utils.tables import row_columns
from ..emotions import label_colors
from ..faces._blazeface import FILE, read_network
from ..inference import METADATA_FILENAME
from ._metadata import write_json
from ._node import MissingNodeError, install_packages
from ._tfjs import write_tfjs

if TYPE_CHECKING:
    import keras

__all__ = ["check_requirements", "hash_packages", "read_hashes", "write_web"]

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
This folder contains, or the page loads, unmodified files of others:

- TensorFlow.js, by its authors at Google LLC, under the Apache License 2.0:
{packages}
- {detector}: BlazeFace (short range), the network of
  MediaPipe that finds faces, copyright 2019-2021 The MediaPipe Authors (Google), under the Apache
  License 2.0.
- sample.jpg: a portrait of the astronaut Eileen Collins, by NASA, in the public domain.

The text of that licence is in APACHE-2.0.txt.
"""


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
        # Those of the page's CSV files, each with the digits that are kept.
        "columns": {name: column.digits for name, column in columns.items()},
        "runtime": runtime,
    }
    write_json(folder / "page.json", page)
    write_json(folder / METADATA_FILENAME, metadata)
    _write_notice(folder)


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
            f"passes faces in colour. Export a pipeline with a GrayscaleResizer, as from "
            f"make_cnn_pipeline()."
        )


def _find_packages() -> Path:
    """Return the folder of the packages to copy."""
    try:
        return install_packages()
    except MissingNodeError as error:
        raise MissingNodeError(
            f"The page is to contain TensorFlow.js, so that it works offline, and npm provides it. "
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
    """Write whose files the page runs, and under which licence."""
    versions = sorted({key.rsplit("/dist/", 1)[0] for key in read_hashes()})
    packages = "\n".join(f"  https://www.npmjs.com/package/{_page_of(key)}" for key in versions)
    notice = _NOTICE.format(packages=packages, detector=f"detector/{FILE}")
    (folder / "NOTICE.txt").write_text(notice, encoding="utf-8")


def _page_of(package: str) -> str:
    """Return where npm describes a package with its version, ``@scope/name@1.0.0``."""
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
