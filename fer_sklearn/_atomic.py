"""Files that are whole or are not there."""

import os
import uuid
from contextlib import contextmanager

__all__ = ["replacing"]


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
