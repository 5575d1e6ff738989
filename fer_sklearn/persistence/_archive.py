"""The archive around a saved model: a zip file that ends in a digest of all its bytes.

========================  ====================================================================
``fer_sklearn.json``      format, versions, and the size and SHA-256 of every other part
``card.json``             the model card
``estimator.json``        the estimator, in the format of skops
``arrays/0.npy``, …       NumPy arrays, among them the weights of networks; sparse matrices
                          (``.npz``); networks for LiteRT and ONNX Runtime (``.bin``)
comment of the archive    ``fer_sklearn sha256 `` and the digest of all bytes before it
========================  ====================================================================
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import sys
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import sklearn

from .. import __version__
from .._utils.files import NotAFileError, read_regular_file
from ..exceptions import ModelFileError

__all__ = [
    "FORMAT",
    "archive_bytes",
    "check_built_size",
    "current_versions",
    "parse_json",
    "read_archive",
    "walk",
]

#: Incremented when older versions can no longer read the file. Format 1 was a pickle.
FORMAT = 2

_MANIFEST = "fer_sklearn.json"
_PARTS = re.compile(r"(card|estimator)\.json|arrays/(0|[1-9][0-9]{0,8})\.(npy|npz|bin)")
_LABEL = b"fer_sklearn sha256 "
_DIGEST_LENGTH = 64
_END = len(_LABEL) + _DIGEST_LENGTH
_PICKLED_FORMAT = b"fer_sklearn model\n"
_MAX_FILE = 2**35
# A file may unpack to this multiple of its size, or to this many bytes: enough for any model, but
# not for a zip bomb. `archive_bytes` does not compress a file that would exceed both.
_MAX_RATIO = 20
_SMALL = 2**28
# An estimator may name a part more than once, since equal ones are stored once. What is built from
# all these names may take this multiple of the parts, or this many bytes.
_MAX_REPEATS = 4
_SMALL_BUILT = 2**30
# Parsed JSON takes about twenty times its size in memory. Models need a few kilobytes of it.
_MAX_JSON = 2**26
# Levels of nesting in JSON. Models have about thirty.
_MAX_DEPTH = 150
# Of zip archives: a fixed date, so that the same model gives the same file; and permissions.
_DATE = (1980, 1, 1, 0, 0, 0)
_PERMISSIONS = 0o644 << 16
_ENCRYPTED = 0x1
_REMEDY = "Copy it again from where it was saved."


def current_versions() -> dict[str, str]:
    """Return the versions of the packages here that predictions depend on."""
    versions = {
        "fer_sklearn": __version__,
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
        "python": ".".join(map(str, sys.version_info[:3])),
    }
    keras = sys.modules.get("keras")
    if keras is not None:
        versions["keras"] = keras.__version__
    return versions


def archive_bytes(
    parts: Mapping[str, bytes], versions: Mapping[str, str], *, compress: int
) -> bytes:
    """Return the bytes of a model file.

    Parameters
    ----------
    parts : dict of str to bytes
        By their names in the archive.
    versions : dict of str to str
        Versions of the packages that the model was made with.
    compress : int
        Level of compression, from 0 to 9.
    """
    manifest = {
        "format": FORMAT,
        "versions": dict(versions),
        "parts": {
            name: {"bytes": len(part), "sha256": hashlib.sha256(part).hexdigest()}
            for name, part in parts.items()
        },
    }
    complete = {_MANIFEST: json.dumps(manifest, indent=1).encode(), **parts}
    content = _zipped(complete, compress)
    if sum(map(len, complete.values())) > max(_SMALL, _MAX_RATIO * len(content)):
        content = _zipped(complete, 0)
    signed = content[:-_DIGEST_LENGTH]
    return signed + hashlib.sha256(signed).hexdigest().encode()


def _zipped(parts, compress):
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", method, compresslevel=compress) as archive:
        for name, part in parts.items():
            info = zipfile.ZipInfo(name, _DATE)
            info.compress_type, info.external_attr = method, _PERMISSIONS
            archive.writestr(info, part, compresslevel=compress)
        archive.comment = _LABEL + b"0" * _DIGEST_LENGTH
    return buffer.getvalue()


def read_archive(path: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Read a model file, and check everything that can be checked without building anything.

    Parameters
    ----------
    path : Path

    Returns
    -------
    parts : dict of str to bytes
        Without the manifest.
    manifest : dict

    Raises
    ------
    FileNotFoundError, IsADirectoryError, PermissionError
        If there is no file to read.
    ModelFileError
        If it is not a model file, has another format, is damaged, or is malicious.
    """
    said = f"path={str(path)!r}"
    if path.is_dir():
        raise IsADirectoryError(f"{said} is a folder; name a model file in it.")
    if not path.exists():
        raise FileNotFoundError(f"{said} does not exist; expected a model file.")
    try:
        content = read_regular_file(path, max_bytes=_MAX_FILE)
    except NotAFileError as error:
        raise ModelFileError(f"{said} is not a model file: {error}.") from None
    _check_kind(content, said)
    _check_digest(content, said)
    try:
        return _opened(content)
    except ModelFileError as error:
        raise ModelFileError(f"{said} {error}") from error.__cause__
    except Exception as error:  # zipfile's errors for damaged archives have no common type
        raise ModelFileError(
            f"{said} is a damaged archive ({type(error).__name__}: {error}). {_REMEDY}"
        ) from error


def _check_kind(content, said):
    if content.startswith(_PICKLED_FORMAT):
        raise ModelFileError(
            f"{said} was saved by an earlier fer_sklearn as a pickle, which load does not read: it "
            f"can run any code. Train the model again and save it, or, only if you trust the file, "
            f"load it with that version and save it with joblib.dump."
        )
    if not content.startswith(b"PK\x03\x04"):
        raise ModelFileError(
            f"{said} was not written by fer_sklearn.save, or its beginning is damaged. If joblib "
            f"or pickle wrote it, and only if you trust it, use joblib.load."
        )


def _check_digest(content, said):
    if content[-_END:-_DIGEST_LENGTH] != _LABEL:
        raise ModelFileError(
            f"{said} does not end in a checksum: it is truncated or damaged, or fer_sklearn.save "
            f"did not write it. {_REMEDY}"
        )
    found = hashlib.sha256(memoryview(content)[:-_DIGEST_LENGTH]).hexdigest().encode()
    if found != content[-_DIGEST_LENGTH:]:
        raise ModelFileError(
            f"{said} does not match its checksum: it is damaged or was changed. {_REMEDY}"
        )


# From here on, the digest is correct: anything wrong was put there on purpose.


def _opened(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        infos = archive.infolist()
        names = [info.filename for info in infos]
        for name in names:
            if name != _MANIFEST and not _PARTS.fullmatch(name):
                raise ModelFileError(f"contains {name!r}, which does not belong in a model file.")
        if len(set(names)) < len(names):
            raise ModelFileError("contains two parts with the same name.")
        _check_sizes(infos, len(content))
        parts = {info.filename: archive.read(info) for info in infos}
    manifest = parse_json(parts.pop(_MANIFEST, b"null"), _MANIFEST)
    _check_manifest(manifest, parts)
    check_built_size(parts, parts)
    for name, part in parts.items():
        if name.endswith(".npy"):
            _check_array(part, name)
        elif name.endswith(".npz"):
            _check_sparse(part, name)
    return parts, manifest


def _check_sizes(infos, n_bytes):
    for info in infos:
        if info.flag_bits & _ENCRYPTED:
            raise ModelFileError(f"contains {info.filename!r}, which is encrypted.")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ModelFileError(
                f"contains {info.filename!r}, which is compressed by method {info.compress_type}."
            )
    total = sum(info.file_size for info in infos)
    if total > max(_SMALL, _MAX_RATIO * n_bytes):
        raise ModelFileError(
            f"would unpack from {n_bytes:,} to {total:,} bytes, which no model file needs."
        )


def _check_manifest(manifest, parts):
    if not (
        isinstance(manifest, dict)
        and type(manifest.get("format")) is int
        and manifest["format"] >= FORMAT
        and isinstance(manifest.get("parts"), dict)
        and isinstance(manifest.get("versions"), dict)
        and all(isinstance(value, str) for value in manifest["versions"].values())
    ):
        raise ModelFileError(f"has no usable {_MANIFEST!r}, or fer_sklearn.save did not write it.")
    if manifest["format"] > FORMAT:
        saved_with = manifest["versions"].get("fer_sklearn", "a newer version")
        raise ModelFileError(
            f"has the file format {manifest['format']}, of fer_sklearn {saved_with}; this version "
            f"reads formats up to {FORMAT}. Type: pip install --upgrade fer_sklearn"
        )
    described = {
        name: {"bytes": len(part), "sha256": hashlib.sha256(part).hexdigest()}
        for name, part in parts.items()
    }
    if manifest["parts"] != described:
        raise ModelFileError(f"has parts that differ from their description in {_MANIFEST!r}.")
    for name in ("card.json", "estimator.json"):
        if name not in parts:
            raise ModelFileError(f"lacks the part {name!r}.")


def parse_json(content: bytes | str, name: str) -> Any:
    """Parse JSON from a stranger.

    Parameters
    ----------
    content : bytes or str
    name : str
        Name of the part, for errors.

    Raises
    ------
    ModelFileError
        If it is not JSON, too long, or nested too deeply.
    """
    if len(content) > _MAX_JSON:
        raise ModelFileError(
            f"has a part of {len(content):,} bytes, {name!r}; expected at most {_MAX_JSON:,}."
        )
    try:
        value = json.loads(content)
        for _ in walk(value):
            pass
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"has a part that cannot be read, {name!r}: {error}.") from error
    return value


def walk(value: Any) -> Iterator[Any]:
    """Yield a JSON value and everything in it, outermost first.

    Raises
    ------
    ModelFileError
        If it is nested too deeply.
    """
    pending = [(value, 0)]
    while pending:
        item, depth = pending.pop()
        if depth > _MAX_DEPTH:
            raise ModelFileError(f"has JSON with more than {_MAX_DEPTH} levels.")
        yield item
        if isinstance(item, dict):
            pending.extend((inner, depth + 1) for inner in item.values())
        elif isinstance(item, list):
            pending.extend((inner, depth + 1) for inner in item)


def _check_array(content, name):
    """Check that an array has the size that its header states, and no objects."""
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = read(file)
        n_items = math.prod([int(side) for side in shape])
    except Exception as error:  # from evaluating a literal, which may contain anything
        raise ModelFileError(
            f"contains the array {name!r} with an unreadable header ({error})."
        ) from error
    if dtype.hasobject:
        raise ModelFileError(f"contains the object array {name!r}, which would need pickle.")
    if n_items * dtype.itemsize != len(content) - file.tell() or (n_items and not dtype.itemsize):
        raise ModelFileError(
            f"contains the array {name!r} with {len(content) - file.tell():,} bytes, where its "
            f"header says shape={shape}, dtype={dtype}."
        )


def _check_sparse(content, name):
    """Check a sparse matrix, which is an archive of arrays itself."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        infos = archive.infolist()
        _check_sizes(infos, len(content))
        for info in infos:
            if not info.filename.endswith(".npy"):
                raise ModelFileError(f"contains {info.filename!r} in {name!r}.")
            _check_array(archive.read(info), f"{name}/{info.filename}")


def check_built_size(names: Iterable[str], parts: Mapping[str, bytes]) -> None:
    """Check that an estimator does not take much more memory than its file unpacks to.

    Parameters
    ----------
    names : iterable of str
        The part of each array in the estimator; it is built each time it is named.
    parts : dict of str to bytes

    Raises
    ------
    ModelFileError
        If it takes too much.
    """
    times = Counter(iter(names))
    sizes = {name: _unpacked_size(parts[name], name) for name in times}
    total = sum(sizes[name] * n for name, n in times.items())
    if total > max(_SMALL_BUILT, _MAX_REPEATS * sum(map(len, parts.values()))):
        raise ModelFileError(
            f"would take {total:,} bytes of memory, which no model file of its size needs."
        )


def _unpacked_size(part, name):
    if not name.endswith(".npz"):
        return len(part)
    with zipfile.ZipFile(io.BytesIO(part)) as archive:
        return sum(info.file_size for info in archive.infolist())
