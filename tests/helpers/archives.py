"""Model files made by hand, with valid checksums, whatever else is wrong with them."""

import hashlib
import io
import json
import zipfile
from pathlib import Path

MANIFEST = "fer_sklearn.json"
LABEL = b"fer_sklearn sha256 "


def parts_of(path):
    """Return the parts of a model file by their names, JSON parsed."""
    with zipfile.ZipFile(path) as archive:
        return {
            name: json.loads(archive.read(name)) if name.endswith(".json") else archive.read(name)
            for name in archive.namelist()
        }


def as_bytes(part):
    return part if isinstance(part, bytes) else json.dumps(part).encode()


def manifest_of(contents, **changes):
    described = {
        name: {
            "bytes": len(as_bytes(part)),
            "sha256": hashlib.sha256(as_bytes(part)).hexdigest(),
        }
        for name, part in contents.items()
    }
    return {"format": 2, "versions": {}, "parts": described} | changes


def write(path, contents, *, extra=(), compression=zipfile.ZIP_STORED, **changes):
    """Write a model file of these parts, and `extra` pairs of names and parts."""
    parts = {name: part for name, part in contents.items() if name != MANIFEST}
    listed = [(MANIFEST, manifest_of(parts, **changes)), *parts.items(), *extra]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, part in listed:
            archive.writestr(name, as_bytes(part))
    return sign(path, buffer.getvalue())


def sign(path, archive):
    """Write an archive with the checksum of a model file at its end."""
    buffer = io.BytesIO(archive)
    with zipfile.ZipFile(buffer, "a") as file:
        file.comment = LABEL + b"0" * 64
    content = buffer.getvalue()[:-64]
    path = Path(path)
    path.write_bytes(content + hashlib.sha256(content).hexdigest().encode())
    return path


def edit(path, **changes):
    """Replace entries of the manifest of a model file."""
    return write(path, parts_of(path), **changes)
