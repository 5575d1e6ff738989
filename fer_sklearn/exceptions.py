"""Errors and warnings of the package that a caller may want to catch."""

__all__ = [
    "DatasetFormatError",
    "ExportError",
    "ImageReadError",
    "MissingExtraError",
    "NoFaceError",
    "NoFaceWarning",
    "VideoReadError",
]


class ImageReadError(ValueError):
    """A photo is missing, truncated or not an image."""


class VideoReadError(ValueError):
    """A film, camera or stream cannot be opened, is truncated, or went away."""


class DatasetFormatError(ValueError):
    """A data file or folder does not have the layout that its loader expects."""


class NoFaceError(ValueError):
    """No face was found in a photo, and ``on_no_face="raise"`` was asked for."""


class NoFaceWarning(UserWarning):
    """No face was found in some photos of a batch; ``on_no_face`` was applied."""


class MissingExtraError(ImportError):
    """A function needs an optional dependency that is not installed."""


class ExportError(RuntimeError):
    """An exported file does not answer as the model does, and was not kept."""
