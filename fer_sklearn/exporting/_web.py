"""A folder with a page that finds faces and tells their emotions in the browser."""

import base64
import hashlib
import json
import shutil
from pathlib import Path

from ..emotions import label_colors
from ..exceptions import MissingExtraError
from ..inference import SIDECAR
from ._metadata import write_json
from ._node import MissingNodeError, install_packages
from ._tfjs import write_tfjs

__all__ = ["hash_packages", "read_hashes", "write_web"]

_PAGE = Path(__file__).parent / "web"
_PAGE_SUFFIXES = (".html", ".css", ".js", ".svg")
_HASHES = _PAGE / "hashes.json"
_CASCADES = ("frontalface_alt2", "frontalface_alt", "eye")

# In the order in which the browser runs them: the later ones of TensorFlow.js extend the first.
_SCRIPTS = (
    ("@tensorflow/tfjs-core", "dist/tf-core.min.js"),
    ("@tensorflow/tfjs-converter", "dist/tf-converter.min.js"),
    ("@tensorflow/tfjs-backend-wasm", "dist/tf-backend-wasm.min.js"),
    ("@techstark/opencv-js", "dist/opencv.js"),
)
# Browsers that cannot run this one, with vector instructions, lack what else the page needs too.
_BINARY = ("@tensorflow/tfjs-backend-wasm", "dist/tfjs-backend-wasm-simd.wasm")
# The packages of TensorFlow.js name their licence, and bring no text of it; this one's is the same.
_APACHE = ("@techstark/opencv-js", "LICENSE")

_CDN = "https://cdn.jsdelivr.net/npm/"
_CONNECT = "connect-src 'self' blob:"
_VENDOR_NOTE = """\
What the page runs, unchanged, as the npm packages bring it:

{packages}

All of them are under the Apache License 2.0, whose text is in LICENSE. TensorFlow.js is by its
authors at Google LLC, OpenCV by the OpenCV team and its contributors. The cascades that find
faces are OpenCV's; each file in ../cascades begins with its licence.
"""


def write_web(model, description, folder, *, vendor="auto"):
    """Write a page that finds faces and tells their emotions, for any static server.

    Parameters
    ----------
    model : keras.Model
        From ``(batch, height, width, 3)`` float32, RGB in 0..255, to probabilities.
    description : dict
        What ``fer_sklearn.json`` says of it. The page reads ``labels``, ``crop``,
        ``input.model_size``, ``accuracy`` and ``licence``.
    folder : Path
        Exists and is empty. Gets ``index.html`` and what it needs: the page's own files, the
        network in ``model``, OpenCV's cascades in ``cascades``, the side-car, ``page.json``, and
        perhaps ``vendor``.
    vendor : {"auto", True, False}, default="auto"
        Whether the JavaScript packages are copied into ``vendor``, so that the page fetches
        nothing from elsewhere. False names them on a public CDN by their hashes; ``"auto"``
        does so only where npm is missing or does not reach its registry.

    Raises
    ------
    ValueError
        For a network that takes no colour faces, and as in :func:`write_tfjs`.
    MissingNodeError
        If ``vendor=True`` and npm is missing, or fails.
    MissingExtraError
        If the installed OpenCV has no cascades.
    """
    if vendor not in ("auto", True, False):
        raise ValueError(f"vendor={vendor!r} is unknown; expected 'auto', True or False.")
    _check_input(model)
    packages = _find_packages(vendor)
    for file in sorted(_PAGE.iterdir()):
        if file.suffix in _PAGE_SUFFIXES:
            shutil.copyfile(file, folder / file.name)
    (folder / "model").mkdir()
    write_tfjs(model, folder / "model")
    runtime = _name_on_cdn(folder) if packages is None else _copy_packages(packages, folder)
    runtime |= {"cascades": _copy_cascades(folder), "model": _list_model(folder)}
    page = {"colors": label_colors(description["labels"]), "runtime": runtime}
    write_json(folder / "page.json", page)
    write_json(folder / SIDECAR, description)


def hash_packages(packages):
    """Return size and hash of each file of the packages that the page runs.

    Parameters
    ----------
    packages : Path
        A folder ``node_modules``.

    Returns
    -------
    dict
        ``"name@version/file"`` to ``{"bytes": int, "integrity": "sha384-…"}``, what browsers
        compare (Subresource Integrity). It is kept in ``web/hashes.json``, for computers
        without npm.
    """
    return {
        f"{package}@{_version(packages, package)}/{file}": _hashed(packages / package / file)
        for package, file in (*_SCRIPTS, _BINARY)
    }


def read_hashes():
    """Return what :func:`hash_packages` found for the pinned versions."""
    return json.loads(_HASHES.read_text(encoding="utf-8"))


def _check_input(model):
    shape = model.input_shape
    if len(shape) != 4 or shape[-1] != 3:
        raise ValueError(
            f"model takes arrays of shape {shape}; the page gives faces in colour, (n, height, "
            f"width, 3). Export a pipeline that has a GrayscaleResizer, such as "
            f"make_cnn_pipeline() makes."
        )


def _find_packages(vendor):
    """Return the folder of the packages to copy, None where they are named on the CDN."""
    if vendor is False:
        return None
    try:
        return install_packages()
    except MissingNodeError:
        if vendor is True:
            raise
        return None


def _copy_packages(packages, folder):
    """Copy what the page runs, and its licence; return where it is."""
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

    def entry(package, file):
        return {"url": f"vendor/{Path(file).name}", **_hashed(packages / package / file)}

    return _runtime(entry)


def _name_on_cdn(folder):
    """Name what the page runs on the CDN, and allow just these files in the page's policy."""
    hashes = read_hashes()

    def entry(package, file):
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


def _runtime(entry):
    """Return what the page loads, each file as `entry` tells it."""
    return {"scripts": [entry(*file) for file in _SCRIPTS], "wasm": entry(*_BINARY)}


def _copy_cascades(folder):
    import cv2

    (folder / "cascades").mkdir()
    entries = []
    for name in _CASCADES:
        file = f"haarcascade_{name}.xml"
        source = Path(cv2.data.haarcascades) / file
        if not source.is_file():
            raise MissingExtraError(
                f"OpenCV {cv2.__version__} has no {file}, which the page finds faces with. "
                f"Type: pip install 'opencv-python-headless>=4.10,<5'"
            )
        shutil.copyfile(source, folder / "cascades" / file)
        entries.append({"url": f"cascades/{file}", "bytes": source.stat().st_size})
    return entries


def _list_model(folder):
    """Return the files of the network, the graph first, then the weights in their order."""
    graph = json.loads((folder / "model" / "model.json").read_text(encoding="utf-8"))
    shards = [path for group in graph["weightsManifest"] for path in group["paths"]]
    return [
        {"url": f"model/{name}", "bytes": (folder / "model" / name).stat().st_size}
        for name in ("model.json", *shards)
    ]


def _version(packages, package):
    text = (packages / package / "package.json").read_text(encoding="utf-8")
    return json.loads(text)["version"]


def _hashed(file):
    data = file.read_bytes()
    digest = base64.b64encode(hashlib.sha384(data).digest()).decode("ascii")
    return {"bytes": len(data), "integrity": f"sha384-{digest}"}
