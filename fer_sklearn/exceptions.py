"""Errors and warnings that you may want to catch."""

__all__ = [
    "CameraWarning",
    "DatasetFormatError",
    "ExportError",
    "ImageReadError",
    "MissingExtraError",
    "ModelFileError",
    "NoFaceError",
    "NoFaceWarning",
    "VideoReadError",
]


class ImageReadError(ValueError):
    """A photo is missing, truncated or not an image."""


class VideoReadError(ValueError):
    """A video, camera or stream cannot be opened, is truncated, or was disconnected."""


class CameraWarning(UserWarning):
    """A camera or stream was lost, or is available again."""


class DatasetFormatError(ValueError):
    """A data file or folder does not have the layout that its loader expects."""


class NoFaceError(ValueError):
    """No face was found in a photo, and ``on_no_face="raise"`` is set."""


class NoFaceWarning(UserWarning):
    """No face was found in some photos of a batch; ``on_no_face`` was applied."""


class MissingExtraError(ImportError):
    """A function needs an optional dependency that is not installed."""


class ExportError(RuntimeError):
    """The predictions of an exported file differ from the model's, so it was not kept."""


class ModelFileError(ValueError):
    """A model file is damaged, has another format, or contains types that are not trusted."""
