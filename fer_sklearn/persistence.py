"""Save a fitted estimator to one file, and load it in another process.

The file is a header of plain JSON, which you can read without running anything
(``head -c 1024``), followed by what ``joblib.dump`` writes. Files written by plain
``joblib.dump`` load too.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy
import sklearn

from . import __version__
from ._utils.files import atomic_write, check_writable
from ._utils.typing import Estimator, PathLike

__all__ = ["load", "save"]

_MAGIC = b"fer_sklearn model\n"
_HEADER_BYTES = 1024
_FORMAT = 1


def save(
    estimator: Estimator, path: PathLike, *, compress: int | bool | str | tuple[str, int] = 3
) -> Path:
    """Save an estimator to a file.

    The file is written under another name next to `path` and then renamed, so that `path`
    always contains the old model or the new one, and never half of one.

    Parameters
    ----------
    estimator : estimator object
        Usually fitted; a pipeline, a search, or a single estimator.
    path : str or Path
        The file; an existing one is replaced. Its folder must exist.
    compress : int, bool, str or tuple, default=3
        As in :func:`joblib.dump`: 0 is fast and large, 9 is slow and small.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    TypeError
        If `estimator` is not an estimator.
    FileNotFoundError
        If the folder of `path` does not exist.
    IsADirectoryError
        If `path` is a folder.

    See Also
    --------
    load : Load it again. Load only files that you trust: they can run any code.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.dummy import DummyClassifier
    >>> model = DummyClassifier(strategy="constant", constant="happy").fit([[0]], ["happy"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save(model, f"{folder}/model.joblib")
    ...     load(path).predict([[1]]).tolist()
    ['happy']
    """
    if isinstance(estimator, type) or not hasattr(estimator, "get_params"):
        shown = estimator.__name__ if isinstance(estimator, type) else repr(estimator)
        raise TypeError(f"estimator={shown} is not an estimator instance; pass a fitted model.")
    path = check_writable(path)
    with atomic_write(path) as file:
        _write(file, estimator, compress)
    return path


def load(path: PathLike) -> Any:
    """Load an estimator that :func:`save` or ``joblib.dump`` wrote.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    estimator object

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, truncated, in a format that this version does not know,
        or does not contain an estimator.
    ImportError, AttributeError
        If the model uses code that cannot be imported here, such as a custom architecture.

    Warns
    -----
    UserWarning
        If the file was written with another minor version of scikit-learn or of this package.

    Warnings
    --------
    A model file is a pickle: loading it runs any code that its author put into it. Load only
    files from people you trust.

    See Also
    --------
    save : Write such a file.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"path={str(path)!r} is a folder; name a model file in it.")
    if not path.exists():
        raise FileNotFoundError(f"path={str(path)!r} does not exist; expected a model file.")
    with open(path, "rb") as file:
        header = _read_header(file, path)
        if header is not None:
            _warn_of_other_versions(header["versions"], path)
        estimator = _unpickle(file, path)
    if isinstance(estimator, type) or not hasattr(estimator, "get_params"):
        raise ValueError(
            f"path={str(path)!r} contains an object of type {type(estimator).__name__}; "
            f"expected an estimator that fer_sklearn.save or joblib.dump wrote."
        )
    return estimator


def _write(file, estimator, compress):
    # The header comes first but states the length of what follows, so it is written last.
    file.write(b" " * _HEADER_BYTES)
    joblib.dump(estimator, file, compress=compress)
    file.seek(0, os.SEEK_END)
    header = {
        "format": _FORMAT,
        "payload_bytes": file.tell() - _HEADER_BYTES,
        "versions": _versions(),
    }
    file.seek(0)
    file.write((_MAGIC + json.dumps(header).encode()).ljust(_HEADER_BYTES - 1) + b"\n")


def _versions():
    versions = {
        "fer_sklearn": __version__,
        "scikit-learn": sklearn.__version__,
        "numpy": numpy.__version__,
        "python": ".".join(map(str, sys.version_info[:3])),
    }
    keras = sys.modules.get("keras")
    if keras is not None:
        versions["keras"] = keras.__version__
    return versions


def _read_header(file, path):
    """Return the header with `file` after it, or None with `file` at its start."""
    head = file.read(_HEADER_BYTES)
    if not head.startswith(_MAGIC):
        file.seek(0)
        return None
    try:
        header = json.loads(head[len(_MAGIC) :])
        newer = header["format"] > _FORMAT
        expected = None if newer else _HEADER_BYTES + header["payload_bytes"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(
            f"path={str(path)!r} is a model file whose header is damaged or truncated. "
            f"Copy it again from where it was saved."
        ) from None
    if newer:
        saved_with = header.get("versions", {}).get("fer_sklearn", "a newer version")
        raise ValueError(
            f"path={str(path)!r} has the file format {header['format']}, of fer_sklearn "
            f"{saved_with}; this version, {__version__}, reads formats up to {_FORMAT}. "
            f"Type: pip install --upgrade fer_sklearn"
        )
    found = os.fstat(file.fileno()).st_size
    if found != expected:
        raise ValueError(
            f"path={str(path)!r} has {found} bytes where {expected} were saved: it is "
            f"truncated or damaged. Copy it again from where it was saved."
        )
    return header


def _warn_of_other_versions(saved, path):
    here = _versions()
    others = [
        f"{name} {saved[name]} (here {here[name]})"
        for name in ("fer_sklearn", "scikit-learn")
        if saved[name].split(".")[:2] != here[name].split(".")[:2]
    ]
    if others:
        warnings.warn(
            f"{str(path)!r} was saved with {' and '.join(others)}. It may fail to "
            f"load or give different predictions; install those versions or retrain it.",
            stacklevel=3,
        )


def _unpickle(file, path):
    try:
        return joblib.load(file)
    except (ImportError, AttributeError, MemoryError):
        # The file is fine: code or memory is missing here, and the error says which.
        raise
    except Exception as error:  # Errors from unpickling damaged bytes have no common type.
        raise ValueError(
            f"path={str(path)!r} cannot be read as a model file "
            f"({type(error).__name__}: {error}): it is damaged, or neither fer_sklearn.save "
            f"nor joblib.dump wrote it."
        ) from error
