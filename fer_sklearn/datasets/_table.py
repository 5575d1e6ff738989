"""Labelled images in tables, and data sets whose layout is detected."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from sklearn.utils import Bunch

from .._utils.files import is_text_contents
from .._utils.image_files import read_contents
from .._utils.typing import LabelArray, PathLike, PixelArray, Size
from .._utils.validation import check_choice, is_missing, suggestion
from ..emotions import canonical_emotion
from ..exceptions import DatasetFormatError, ImageReadError
from ..images import as_photo, decode_color, decode_gray, to_gray
from ._archives import (
    FolderSource,
    Source,
    TarSource,
    ZipSource,
    check_exists,
    open_data,
    open_source,
)
from ._fer2013 import SUBSETS, load_fer2013
from ._folder import (
    check_size,
    description,
    load_image_folder,
    read_images,
    subset_role,
    warn_of_stray_labels,
)
from ._table_kinds import PARQUET, Table, column_of, open_table, row_name, table_chunks

__all__ = ["load_dataset", "load_image_table"]

# Labels that are missing, as Python, pandas, R and databases write them.
_MISSING = {"", "nan", "NaN", "NA", "N/A", "<NA>", "NaT", "None", "NULL", "null"}
# Names of the column of subsets in a table.
_SUBSET_COLUMNS = ("split", "subset", "usage")
# The pixels of an image as text, as FER2013's first table has them.
_PIXELS = re.compile(r"\s*\d{1,3}(\s+\d{1,3}){15,}\s*")


@overload
def load_image_table(
    table: Any,
    *,
    image: str = "path",
    label: str = "label",
    subset: str | None = None,
    root: PathLike | None = None,
    codes: Sequence[str | None] | Mapping[Any, str | None] | None = None,
    size: Size | None = None,
    grayscale: bool = True,
    on_error: str = "raise",
    return_X_y: Literal[False] = False,
) -> Bunch: ...
@overload
def load_image_table(
    table: Any,
    *,
    image: str = "path",
    label: str = "label",
    subset: str | None = None,
    root: PathLike | None = None,
    codes: Sequence[str | None] | Mapping[Any, str | None] | None = None,
    size: Size | None = None,
    grayscale: bool = True,
    on_error: str = "raise",
    return_X_y: Literal[True],
) -> tuple[PixelArray, LabelArray]: ...
def load_image_table(
    table: Any,
    *,
    image: str = "path",
    label: str = "label",
    subset: str | None = None,
    root: PathLike | None = None,
    codes: Sequence[str | None] | Mapping[Any, str | None] | None = None,
    size: Size | None = None,
    grayscale: bool = True,
    on_error: str = "raise",
    return_X_y: bool = False,
) -> Bunch | tuple[PixelArray, LabelArray]:
    """Load the images and labels in the rows of a table.

    Labels are translated by :func:`~fer_sklearn.canonical_emotion`, after `codes` or the class
    names of the table have turned numbers into names. Numbers without names stay numbers.

    Parquet files, polars' ``LazyFrame`` and Hugging Face data sets, including streamed ones, are
    read a few hundred rows at a time, so that their encoded images are never all in memory.

    Parameters
    ----------
    table : DataFrame, LazyFrame, Dataset, str or path-like
        A table of pandas or polars; a ``Dataset`` or ``IterableDataset`` of Hugging Face's
        `datasets`; or the path of a CSV file, a Parquet file, a folder of Parquet files, or a
        pattern such as ``"data/train-*.parquet"``. CSV files may be separated by commas,
        semicolons or tabs, and compressed.
    image : str, default="path"
        The column of images. Each is a path, the bytes of a file, a dictionary with ``"bytes"`` or
        ``"path"``, a Pillow image, pixels of shape (h, w), (h, w, 3) or (h, w, 4), or the pixels
        of a square grey image, as numbers or as text.
    label : str, default="label"
        The column of labels: names or numbers. Case matters only if it is the only difference
        between several columns.
    subset : str or None, default=None
        The column of the subset of each row, such as ``"split"``. If None, all rows are in the
        subset ``"all"``.
    root : str, path-like or None, default=None
        The folder that paths are relative to, or a zip or tar archive that contains them. If None,
        the folder of the file that `table` names, otherwise the current folder.
    codes : sequence, mapping or None, default=None
        The name of each label: a sequence such as :data:`~fer_sklearn.emotions.FER2013_CODES`, in
        which the position is the code, or a mapping, such as a Series whose index is the codes.
        Rows whose name is None or NaN are left out. If None, the class names in the features of a
        Hugging Face data set or Parquet file are used.
    size, grayscale, return_X_y
        As in :func:`load_image_folder`.
    on_error : {"raise", "warn"}, default="raise"
        What to do with rows without a label or a readable image: raise an error at the first, or
        leave them out and list them in one warning at the end.

    Returns
    -------
    Bunch
        - images : ndarray of shape (n, h, w) or (n, h, w, 3), uint8. With ``size=None`` and images
          of different sizes, an object array of shape (n,) of such images. Above 2 GiB, or the
          limit in ``FER_SKLEARN_MAX_MEMORY``, a ``numpy.memmap`` of a temporary file
        - data : ndarray of shape (n, n_features), uint8; a view of `images`. Absent if the sizes
          differ
        - target : ndarray of shape (n,), str; labels. Integers if all are numbers without names
        - target_names : ndarray; the labels that occur, sorted
        - subset : ndarray of shape (n,), str; empty where it is missing
        - filenames : ndarray of shape (n,), str; paths as in the table, or ``"[3]"`` for the
          fourth row if its image has none
        - table : the rows of `table` that were loaded, in the order of `images`. A data set stays a
          data set; for files, a ``LazyFrame`` or an ``IterableDataset``, this is a DataFrame
          without the images that are not paths
        - DESCR : str

        Rows keep their order.

    Raises
    ------
    FileNotFoundError
        If `table` or `root` is a path that does not exist.
    DatasetFormatError
        If a column is missing, a file is damaged, there are no rows, or a label is missing or not
        among `codes`. The message names the table and the row.
    ImageReadError
        If an image is missing, truncated or damaged; with ``on_error="warn"``, only if no image
        can be read. The message names the row and the file.
    MissingExtraError
        If a Parquet file is read without pyarrow.
    TypeError
        If `table` is something else.
    ValueError
        If a parameter is invalid.

    Warns
    -----
    UserWarning
        About labels that are not emotions if most are, and, with ``on_error="warn"``, about
        unreadable images.

    Examples
    --------
    >>> import pandas as pd
    >>> from fer_sklearn import load_image_table, make_faces
    >>> faces = make_faces(4, random_state=0)
    >>> table = pd.DataFrame({"face": list(faces.images), "code": [1, 0, 0, 1], "age": range(4)})
    >>> data = load_image_table(table, image="face", label="code", codes=["happy", "sad"])
    >>> data.images.shape, data.target.tolist(), data.table["age"].tolist()
    ((4, 48, 48), ['sad', 'happy', 'happy', 'sad'], [0, 1, 2, 3])
    """
    check_choice("on_error", on_error, ("raise", "warn"))
    shape = check_size(size)
    names = None if codes is None else _checked_codes(codes)
    with ExitStack() as stack:
        source = open_table(table, stack)
        columns = [column_of(source, image, "image"), column_of(source, label, "label")]
        columns += [] if subset is None else [column_of(source, subset, "subset")]
        if names is None and (features := source.class_names(columns[1])) is not None:
            names = dict(enumerate(features))
        place = _open_root(source.root if root is None else root, stack)
        rows = _rows(source, columns, names)
        readers = ((row, partial(_read_row, row, place, grayscale)) for row in rows)
        images, read = read_images(readers, shape, on_error)
    if not read:
        raise DatasetFormatError(
            f"{source.name} has no rows to load. Expected at least one row with an image and a "
            f"label" + (" that codes gives a name." if codes is not None else ".")
        )
    target = _as_target([row.label for row in read])
    warn_of_stray_labels(target, source.name, "Correct or leave out those rows")
    if return_X_y:
        return images, target
    bunch = Bunch(
        images=images,
        target=target,
        target_names=np.unique(target),
        subset=np.array([row.subset for row in read]),
        filenames=np.array([row.name for row in read]),
        table=source.select([row.index for row in read]),
        DESCR=description(source.name, target),
    )
    if images.dtype != object:
        bunch.data = images.reshape(len(images), -1)
    return bunch


# -- rows -----------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class _Row:
    """One row, with a reference to its image, which is read later."""

    index: int
    where: str
    name: str
    image: Any
    label: Any = None
    subset: str = "all"
    error: str = ""


def _rows(source: Table, columns: list[str], names: dict[Any, str | None] | None):
    """Yield the rows of a table, except those whose label has the name None."""
    index = -1
    for batch in source.batches(columns):
        for image, label, *subset in zip(*batch, strict=True):
            index += 1
            row = _Row(index, source.where(index), _name(image, index), image)
            if subset:
                row.subset = "" if is_missing(subset[0]) else str(subset[0]).strip()
            try:
                row.label = _named(label, names)
            except ValueError as error:
                row.error = str(error)
            else:
                if row.label is None:
                    continue
            yield row


def _name(image, index):
    """Return the path of an image, or its position."""
    path = image.get("path") if isinstance(image, Mapping) else image
    is_path = isinstance(path, os.PathLike) or (
        isinstance(path, str) and not is_text_contents(path) and not _PIXELS.match(path)
    )
    return os.fspath(path) if is_path and path else row_name(index)


def _checked_codes(codes: Any) -> dict[Any, str | None]:
    is_series = hasattr(codes, "items") and hasattr(codes, "index")  # of pandas
    if isinstance(codes, Mapping) or is_series:
        named = codes.items()
    elif isinstance(codes, Iterable) and not isinstance(codes, str):
        named = enumerate(codes)
    else:
        raise ValueError(
            f"codes={codes!r} must be None, a sequence of names, whose position is the code, or a "
            f"mapping from codes to names."
        )
    return {_key(code): None if is_missing(name) else name for code, name in named}


def _key(code: Any) -> Any:
    """Return a code as an integer if it is one, in any form: 3, 3.0, "3" or "3.0e+00"."""
    text = str(code).strip()
    if "_" in text:  # a name; Python would read "1_2" as 12
        return text
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else text


def _named(label: Any, names: dict[Any, str | None] | None) -> Any:
    """Return the label of a row, or None for one to leave out."""
    key = _key(label)
    if names is not None and key in names:
        name = names[key]
        return None if name is None else str(canonical_emotion(name))
    if label is None or key in _MISSING or (key == -1 and names):
        raise ValueError("the label is missing")
    found: Any = key if isinstance(key, int) else str(canonical_emotion(key))
    # Labels may be names already.
    if names is not None and found not in map(canonical_emotion, filter(None, names.values())):
        expected = ", ".join(map(repr, list(names)[:20]))
        raise ValueError(f"the label {key!r} is not among the codes {expected}")
    return found


def _as_target(labels: list[Any]) -> LabelArray:
    if all(isinstance(label, int) for label in labels):
        return np.array(labels)
    return np.array([str(label) for label in labels])


# -- images ---------------------------------------------------------------------------


def _open_root(root: PathLike | None, stack: ExitStack) -> Path | Source:
    """Return the folder or archive that paths are relative to."""
    path = Path() if root is None else check_exists(root)
    return path if path.is_dir() else stack.enter_context(open_source(path))


def _read_row(row: _Row, root: Path | Source, grayscale: bool) -> PixelArray:
    if row.error:
        raise DatasetFormatError(f"{row.where}: {row.error}. Correct it, or leave the row out.")
    image, row.image = row.image, None  # frees its memory
    try:
        return _read_image(image, row.name, root, grayscale)
    except (ValueError, TypeError) as error:
        raise ImageReadError(f"{row.where}: {error}") from error


def _read_image(image: Any, name: str, root: Path | Source, grayscale: bool) -> PixelArray:
    if isinstance(image, Mapping):
        contents = image.get("bytes")
        image = image.get("path") if contents is None else contents
    if isinstance(image, str) and _PIXELS.match(image):
        image = [int(pixel) for pixel in image.split()]
    if isinstance(image, (str, os.PathLike)) and os.fspath(image).strip():
        image = _contents(image, root)
    if isinstance(image, (bytes, bytearray, memoryview)):
        decode = decode_gray if grayscale else decode_color
        return decode(bytes(image), name if not name.startswith("[") else "the image")
    if image is None or isinstance(image, (str, float)):
        raise ValueError("there is no image.")
    photo = as_photo(_as_pixels(image), name="the image")
    if grayscale:
        return to_gray(photo)
    return photo if photo.ndim == 3 else np.repeat(photo[..., np.newaxis], 3, axis=2)


def _contents(path: str | os.PathLike, root: Path | Source) -> bytes:
    if isinstance(path, str) and is_text_contents(path):
        return read_contents(path)
    if isinstance(root, Path):
        path = os.fspath(path)
        if "://" in path:
            return read_contents(path)  # refuses URLs
        found = root / path
        if "\\" in path and not found.exists():  # written on Windows
            other = root / path.replace("\\", "/")
            found = other if other.exists() else found
        return read_contents(found)
    name = Path(path).as_posix().removeprefix("./")
    if name not in root.names:
        name = name.replace("\\", "/").removeprefix("./")
    if name not in root.names:
        raise ImageReadError(f"{root.describe(name)}: there is no such file.")
    return root.read(name)


def _as_pixels(image: Any) -> Any:
    """Return numbers in nested lists as an array, and a row of them as a square image."""
    if hasattr(image, "to_list"):  # an item of a column of lists in polars
        image = image.to_list()
    if not isinstance(image, (list, tuple, np.ndarray)):
        return image
    pixels = np.array(_plain(image))
    side = int(np.sqrt(pixels.size))
    return pixels.reshape(side, side) if pixels.ndim == 1 and side**2 == pixels.size else pixels


def _plain(image: Any) -> Any:
    """Return arrays in arrays, as pandas reads nested lists from Parquet, as lists of lists."""
    is_nested = isinstance(image, np.ndarray) and image.dtype == object
    return [_plain(part) for part in image] if is_nested else image


# -- data sets whose layout is detected ------------------------------------------------


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

    The layout is detected. A Parquet file, or a CSV file with the columns ``path`` and ``label``,
    is read with :func:`load_image_table`, with the subsets in a column ``split``, ``subset`` or
    ``usage`` if there is one; FER2013 in any of its forms with :func:`load_fer2013`,
    and anything else with :func:`load_image_folder`.

    Parameters
    ----------
    path : str or path-like
        A CSV or Parquet file, a folder, or an archive.
    subset : str, sequence of str or None, default=None
        The part to load: ``"train"``, ``"public"``, ``"private"`` or ``"all"`` for FER2013, or the
        name of a folder around the label folders or of a subset in a table; case does not matter.
        Given several names, the first that the data has is loaded, or everything if it has none of
        them. If None, everything is loaded.
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
        If `path` has none of these layouts, or no subset of this name.
    ImageReadError
        If an image is missing, truncated or damaged.
    ValueError
        If `path` is a CSV file and `subset` is not one of FER2013's.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fer_sklearn import load_dataset
    >>> pixels = " ".join(["128"] * 48 * 48)
    >>> rows = ["emotion,pixels,Usage", f"3,{pixels},Training", f"4,{pixels},PublicTest"]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "fer2013.csv")
    ...     _ = path.write_text("\\n".join(rows))
    ...     faces = load_dataset(path, subset=["validation", "public"])
    >>> faces.layout, faces.part, faces.target.tolist()
    ('FER2013 layout', 'public', ['sad'])
    """
    check_choice("on_error", on_error, ("raise", "warn"))
    names = ["all"] if subset is None else [subset] if isinstance(subset, str) else list(subset)
    names = [name.lower() for name in names]
    is_optional = subset is not None and not isinstance(subset, str)
    data = _load(path, names, is_optional, on_error)
    return (data.images, data.target) if return_X_y else data


def _load(path: PathLike, names: list[str], is_optional: bool, on_error: str) -> Bunch:
    """Try FER2013, then label folders; if neither fits, report both errors."""
    if columns := _columns_of_image_table(path):
        subset = next((name for name in columns if name.lower() in _SUBSET_COLUMNS), None)
        data = load_image_table(path, subset=subset, on_error=on_error)
        return Bunch(layout="table of images", **_select_part(data, path, names, is_optional))
    not_fer2013 = None
    fer2013_name = next((name for name in names if name in (*SUBSETS, "all")), None)
    if fer2013_name is not None:
        try:
            data = load_fer2013(path, subset=fer2013_name)
            return Bunch(layout="FER2013 layout", part=fer2013_name, **data)
        except (DatasetFormatError, ImageReadError) as error:
            if on_error == "raise" and isinstance(error, ImageReadError):
                raise
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


def _columns_of_image_table(path: PathLike) -> list[str]:
    """Return the columns of a Parquet file, or of a CSV table of images; none of other files."""
    suffixes = list(map(str.lower, Path(path).suffixes))
    if suffixes[-1:] and suffixes[-1] in PARQUET:
        with ExitStack() as stack:
            return open_table(path, stack).columns
    if ".csv" not in suffixes:
        return []
    with open_data(path) as file:
        if isinstance(file, (FolderSource, ZipSource, TarSource)):
            return []
        try:
            columns = list(next(table_chunks(file, str(path))).columns)
        except DatasetFormatError:  # load_fer2013 will report it
            return []
    return columns if {"path", "label"} <= set(columns) else []


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
            if key in ("images", "target", "subset", "filenames", "table")
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
            f"{path} has no subset {name!r}; it has {', '.join(map(repr, found))}. Choose one of "
            f"these."
        )
    return found[0] if found else None
