"""Import optional dependencies, or say how to install them; and OpenCV, once."""

from __future__ import annotations

import threading
from importlib import import_module
from types import ModuleType

from ..exceptions import MissingExtraError

_OPENCV = threading.Lock()


def import_opencv() -> ModuleType:
    """Import OpenCV, which functions do that need it.

    Its loader puts another module in its place for a moment, so that a second thread that imports
    it meanwhile would get half of it.

    Returns
    -------
    module
        ``cv2``.
    """
    with _OPENCV:
        import cv2
    return cv2


def import_optional(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional dependency when it is first needed.

    Parameters
    ----------
    module : str
        Dotted name of the module, such as ``"pooch"``.
    extra : str
        The extra of this package that installs it, as in ``fer_sklearn[extra]``.
    purpose : str
        What needs it, as the start of a sentence.

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    MissingExtraError
        If the module is not installed; the message contains the command that installs it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise MissingExtraError(
            f"{purpose} needs the package {module.split('.')[0]!r}, which is not "
            f"installed. Type: pip install 'fer_sklearn[{extra}]'"
        ) from None
