"""Data sets whose layout is detected: FER2013, folders of labelled images, tables of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, overload

import numpy as np
from sklearn.utils import Bunch

from .._utils.typing import LabelArray, PathLike, PixelArray
from .._utils.validation import check_choice, suggestion
from ..exceptions import DatasetFormatError
from ._archives import FolderSource, TarSource, ZipSource, open_data, table_chunks
from ._fer2013 import SUBSETS, load_fer2013
from ._folder import load_image_folder, subset_role
from ._table import load_image_table
from ._table_kinds import PARQUET

__all__ = ["load_dataset"]


@overload
def load_dataset(
    path: PathLike,
    *,
    subset: str | Sequence[str] | None = None,
    on_error: str = "raise",
    return_X_y: Literal[False] = False,
) -> Bunch: ...
@overload
def load_dataset(
    path: PathLike,
    *,
    subset: str | Sequence[str] | None = None,
    on_error: str = "raise",
    return_X_y: Literal[True],
) -> tuple[PixelArray, LabelArray]: ...
def load_dataset(
    path: PathLike,
    *,
    subset: str | Sequence[str] | None = None,
    on_error: str = "raise",
    return_X_y: bool = False,
) -> Bunch | tuple[PixelArray, LabelArray]:
    """Load labelled images: FER2013, a folder per label, or a table of images.

    The layout is detected: `path` is read with :func:`load_image_table` if it is a Parquet file, or
    a CSV file with the columns ``path`` and ``label``; with :func:`load_fer2013` if it is FER2013
    in any of its forms; otherwise with :func:`load_image_folder`.

    Parameters
    ----------
    path : str or path-like
        A CSV or Parquet file, a folder, or an archive.
    subset : str, sequence of str or None, default=None
        The part to load: ``"train"``, ``"public"``, ``"private"`` or ``"all"`` for FER2013, or the
        name of a folder around the label folders; case does not matter. Given several names, the
        first that the data has is loaded, or everything if it has none of them. If None,
        everything is loaded.
    on_error : {"raise", "warn"}, default="raise"
        What to do with unreadable images in label folders and tables, as in
        :func:`load_image_folder`.
    return_X_y : bool, default=False
        If True, return ``(images, target)``.

    Returns
    -------
    Bunch
        What the loader returned, and

        - layout : str; ``"FER2013 layout"``, ``"label folders"`` or ``"table of images"``
        - part : str; the name of the subset that was loaded, or ``"all"``

    Raises
    ------
    FileNotFoundError
        If `path` does not exist.
    DatasetFormatError
        If `path` has neither layout, or no subset of this name.
    ImageReadError
        If an image is missing, truncated or damaged.
    ValueError
        If `path` is a CSV file and `subset` is not one of FER2013's.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fer_sklearn import load_dataset, make_faces
    >>> from fer_sklearn.images import write_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for label in ("happy", "sad"):
    ...         pathlib.Path(folder, label).mkdir()
    ...         write_image(f"{folder}/{label}/1.png", make_faces(1, random_state=0).images[0])
    ...     faces = load_dataset(folder, subset=["train", "training"])
    >>> faces.layout, faces.part, faces.target.tolist()
    ('label folders', 'all', ['happy', 'sad'])
    """
    check_choice("on_error", on_error, ("raise", "warn"))
    names = ["all"] if subset is None else [subset] if isinstance(subset, str) else list(subset)
    names = [name.lower() for name in names]
    is_optional = subset is not None and not isinstance(subset, str)
    data = _load(path, names, is_optional, on_error)
    return (data.images, data.target) if return_X_y else data


def _load(path: PathLike, names: list[str], is_optional: bool, on_error: str) -> Bunch:
    """Try FER2013, then label folders; if neither fits, report both errors."""
    if _is_image_table(path):
        data = load_image_table(path, on_error=on_error)
        return Bunch(layout="table of images", **_select_part(data, path, names, is_optional))
    not_fer2013 = None
    fer2013_name = next((name for name in names if name in (*SUBSETS, "all")), None)
    if fer2013_name is not None:
        try:
            data = load_fer2013(path, subset=fer2013_name)
            return Bunch(layout="FER2013 layout", part=fer2013_name, **data)
        except DatasetFormatError as error:
            not_fer2013 = error
    if ".csv" in map(str.lower, Path(path).suffixes):
        raise not_fer2013 or ValueError(
            f"subset={names[0]!r} is not a subset of FER2013, the only data set in CSV files that "
            f"can be read; expected one of {', '.join((*SUBSETS, 'all'))}."
        )
    try:
        data = load_image_folder(path, on_error=on_error)
        return Bunch(layout="label folders", **_select_part(data, path, names, is_optional))
    except DatasetFormatError as error:
        if not_fer2013 is None:
            raise
        raise DatasetFormatError(
            f"{path} cannot be used. As FER2013: {not_fer2013} As label folders: {error}"
        ) from error


def _is_image_table(path: PathLike) -> bool:
    """Return whether a file is Parquet, or a CSV file with the columns of a table of images."""
    suffixes = list(map(str.lower, Path(path).suffixes))
    if suffixes[-1:] and suffixes[-1] in PARQUET:
        return True
    if ".csv" not in suffixes:
        return False
    with open_data(path) as file:
        if isinstance(file, (FolderSource, ZipSource, TarSource)):
            return False
        try:
            columns = next(table_chunks(file, str(path))).columns
        except DatasetFormatError:  # which load_fer2013 will explain
            return False
    return {"path", "label"} <= set(columns)


def _select_part(data: Bunch, path: PathLike, names: list[str], is_optional: bool) -> Bunch:
    """Keep the images of the first subset in `names` that a folder or table has."""
    existing = {name.lower(): name for name in np.unique(data.subset).tolist()}
    part = next((existing[name] for name in names if name in existing), None)
    if part is None and "all" not in names:
        part = next(filter(None, (_part_of_role(name, existing, path) for name in names)), None)
    if part is None and (is_optional or "all" in names):
        part = "all"
    if part is None:
        raise DatasetFormatError(
            f"{path} has no subset {names[0]!r}; it has {', '.join(existing.values())}. Choose one "
            f"of these, or 'all'.{suggestion(names[0], existing.values())}"
        )
    if part != "all":
        rows = data.subset == part
        selected = {
            key: value[rows]
            for key, value in data.items()
            if key in ("images", "target", "subset", "filenames")
        }
        data = Bunch(**{**data, **selected, "target_names": np.unique(selected["target"])})
        data.pop("data", None)
        if data.images.dtype != object:
            data.data = data.images.reshape(len(data.images), -1)
    return Bunch(part=part, **data)


def _part_of_role(name: str, existing: dict[str, str], path: PathLike) -> str | None:
    """Return the subset that is the same part under another name: "TrainingSet" for "train"."""
    role = subset_role(name)
    found = [other for other in existing.values() if role and subset_role(other) == role]
    if len(found) > 1:
        raise DatasetFormatError(
            f"{path} has no subset {name!r}, but {', '.join(map(repr, found))}. Choose one of "
            f"these."
        )
    return found[0] if found else None
