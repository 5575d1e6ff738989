"""Where downloaded files are kept."""

import os
from pathlib import Path

__all__ = ["data_home"]


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
