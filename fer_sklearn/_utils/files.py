"""Files that are whole or are not there, and where downloaded ones are kept."""

import os
import uuid
from contextlib import contextmanager
from pathlib import Path

__all__ = ["data_home", "replacing"]


@contextmanager
def replacing(path):
    """Open a file to write, beside `path`, that takes its place once it is on the disk.

    Whatever happens, `path` holds what it held or all that was written, never half of it.
    """
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(unfinished, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def data_home(folder=None):
    """Return the data folder.

    Parameters
    ----------
    folder : str, path-like or None, default=None
        None means the environment variable ``FER_SKLEARN_DATA``, or ``~/fer_sklearn_data``
        where that is not set.

    Returns
    -------
    Path
        It need not exist.
    """
    if folder is None:
        folder = os.environ.get("FER_SKLEARN_DATA") or "~/fer_sklearn_data"
    return Path(folder).expanduser()
