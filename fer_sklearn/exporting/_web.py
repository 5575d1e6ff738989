"""The web app: a folder with a page that recognises emotions in the browser."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..emotions import label_colors
from ..exceptions import MissingExtraError
from ..inference import METADATA_FILENAME
from ._metadata import write_json
from ._node import MissingNodeError, install_packages
from ._tfjs import write_tfjs

if TYPE_CHECKING:
    import keras

__all__ = ["hash_packages", "read_hashes", "write_web"]

_PAGE = Path(__file__).parent / "web"
_PAGE_SUFFIXES = (".html", ".css", ".js", ".svg")
_HASHES = _PAGE / "hashes.json"
_CASCADES = ("frontalface_alt2", "frontalface_alt")

# In the order in which the browser runs them: tf-core first, which the others extend.
_SCRIPTS = (
    ("@tensorflow/tfjs-core", "dist/tf-core.min.js"),
    ("@tensorflow/tfjs-converter", "dist/tf-converter.min.js"),
    ("@tensorflow/tfjs-backend-wasm", "dist/tf-backend-wasm.min.js"),
    ("@techstark/opencv-js", "dist/opencv.js"),
)
# The build with vector instructions; browsers without them cannot run the page anyway.
_BINARY = ("@tensorflow/tfjs-backend-wasm", "dist/tfjs-backend-wasm-simd.wasm")
# The packages of TensorFlow.js do not include the text of their licence; this one's is the same.
_APACHE = ("@techstark/opencv-js", "LICENSE")

_CDN = "https://cdn.jsdelivr.net/npm/"
_CONNECT = "connect-src 'self' blob:"
_VENDOR_NOTE = """\
Unmodified files of these npm packages, which the page runs:

{packages}

All of them are under the Apache License 2.0, whose text is in LICENSE. TensorFlow.js is by its
authors at Google LLC, OpenCV by the OpenCV team and its contributors. The cascades that detect
faces are OpenCV's; each file in ../cascades begins with its licence.
"""


def write_web(
    model: keras.Model,
    metadata: dict[str, Any],
    folder: Path,
    *,
    bundle_packages: bool | Literal["auto"] = "auto",
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
        the page's own files, the network in ``model``, OpenCV's cascades in ``cascades``, the
        metadata file, ``page.json`` and, with `bundle_packages`, ``vendor``.
    bundle_packages : {"auto", True, False}, default="auto"
        Whether to copy the JavaScript packages into ``vendor``, so that the page loads nothing
        from other servers. If False, it loads them from a public CDN and verifies their
        hashes. If ``"auto"``, they are copied unless npm is missing or fails.

    Raises
    ------
    ValueError
        If the network does not take faces in colour, and as in :func:`write_tfjs`.
    MissingNodeError
        If ``bundle_packages=True`` and npm is missing or fails.
    MissingExtraError
        If the installed OpenCV does not include the cascades.
    """
    if bundle_packages not in ("auto", True, False):
        raise ValueError(
            f"bundle_packages={bundle_packages!r} is unknown; expected 'auto', True or False."
        )
    _check_input(model)
    packages = _find_packages(bundle_packages)
    for file in sorted(_PAGE.iterdir()):
        if file.suffix in _PAGE_SUFFIXES:
            shutil.copyfile(file, folder / file.name)
    (folder / "model").mkdir()
    write_tfjs(model, folder / "model")
    runtime = _name_on_cdn(folder) if packages is None else _copy_packages(packages, folder)
    runtime |= {"cascades": _copy_cascades(folder), "model": _list_model(folder)}
    page = {"colors": label_colors(metadata["labels"]), "runtime": runtime}
    write_json(folder / "page.json", page)
    write_json(folder / METADATA_FILENAME, metadata)


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
        f"{package}@{_version(packages, package)}/{file}": _hashed(packages / package / file)
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


def _find_packages(bundle_packages: bool | Literal["auto"]) -> Path | None:
    """Return the folder of the packages to copy, None if the page loads them from the CDN."""
    if bundle_packages is False:
        return None
    try:
        return install_packages()
    except MissingNodeError:
        if bundle_packages is True:
            raise
        return None


def _copy_packages(packages: Path, folder: Path) -> dict[str, Any]:
    """Copy the files that the page runs, and their licence; return the page's runtime."""
    target = folder / "vendor"
    target.mkdir()
    for package, file in (*_SCRIPTS, _BINARY, _APACHE):
        shutil.copyfile(packages / package / file, target / Path(file).name)
    names = list(dict.fromkeys(package for package, _ in (*_SCRIPTS, _BINARY)))
    lines = [
        f"- {name} {_version(packages, name)}, https://www.npmjs.com/package/{name}"
        for name in names
    ]
    note = _VENDOR_NOTE.format(packages="\n".join(lines))
    (target / "README.txt").write_text(note, encoding="utf-8")

    def entry(package: str, file: str) -> dict[str, Any]:
        return {"url": f"vendor/{Path(file).name}", **_hashed(packages / package / file)}

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


def _copy_cascades(folder: Path) -> list[dict[str, Any]]:
    import cv2.data

    (folder / "cascades").mkdir()
    entries = []
    for name in _CASCADES:
        file = f"haarcascade_{name}.xml"
        source = Path(cv2.data.haarcascades) / file
        if not source.is_file():
            raise MissingExtraError(
                f"OpenCV {cv2.__version__} does not include {file}, which the page needs to detect "
                f"faces. "
                f"Type: pip install 'opencv-python-headless>=4.10,<5'"
            )
        shutil.copyfile(source, folder / "cascades" / file)
        entries.append({"url": f"cascades/{file}", "bytes": source.stat().st_size})
    return entries


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


def _hashed(file: Path) -> dict[str, Any]:
    data = file.read_bytes()
    digest = base64.b64encode(hashlib.sha384(data).digest()).decode("ascii")
    return {"bytes": len(data), "integrity": f"sha384-{digest}"}
