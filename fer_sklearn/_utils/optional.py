"""Import what only some users need, or say which line installs it."""

from importlib import import_module

from ..exceptions import MissingExtraError


def import_optional(module, *, extra, purpose):
    """Import an optional dependency at its first use.

    Parameters
    ----------
    module : str
        Dotted name of the module, such as ``"pooch"``.
    extra : str
        The extra of this package that brings it, as in ``fer_sklearn[extra]``.
    purpose : str
        What it is needed for, as the start of a sentence.

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    MissingExtraError
        If the module is not installed; the message has the line to type.
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
