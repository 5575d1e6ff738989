"""Tables, read in batches of rows: CSV files and everything else that `load_image_table` takes."""

from __future__ import annotations

import glob
import json
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import IO, TYPE_CHECKING, Any

from .._utils.compat import import_optional
from .._utils.typing import PathLike
from .._utils.validation import suggestion
from ..exceptions import DatasetFormatError, ImageReadError
from ._archives import (
    BYTES_OF_HEADER,
    UTF16_MARKS,
    FolderSource,
    TarSource,
    ZipSource,
    check_exists,
    open_data,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PARQUET", "Table", "column_of", "open_table", "row_name", "table_chunks"]

# Rows in memory at a time, with their images still encoded, if the table itself is not.
_ROWS_AT_ONCE = 256
# The same for CSV files, whose rows contain no encoded images.
_ROWS_OF_TEXT = 4096
#: Suffixes of Parquet files.
PARQUET = (".parquet", ".pq")


@dataclass
class Table:
    """A table whose rows are read in batches.

    Parameters
    ----------
    name : str
        Its name in messages.
    columns : list of str
        Those of pandas may also be numbers or tuples.
    batches : callable
        Takes the names of columns and yields lists of their values.
    select : callable
        Returns the rows at these positions, once all batches are read.
    where : callable
        Returns the name of a row in messages.
    class_names : callable
        Returns the names of the classes of a column, or None.
    root : path-like or None
        The folder of its file.
    """

    name: str
    columns: list[Any]
    batches: Callable[[list[Any]], Iterator[list[Iterable[Any]]]]
    select: Callable[[list[int]], Any]
    where: Callable[[int], str] = field(default=lambda index: f"table[{index}]")
    class_names: Callable[[str], Sequence[str] | None] = field(default=lambda column: None)
    root: PathLike | None = None


def open_table(table: Any, stack: ExitStack) -> Table:
    if isinstance(table, (str, os.PathLike)):
        return _of_path(os.path.expanduser(os.fspath(table)), stack)
    if isinstance(table, Mapping) and all(hasattr(part, "features") for part in table.values()):
        raise TypeError(
            f"table is a {type(table).__name__} with the parts {', '.join(map(repr, table))}; "
            f"expected one of them. Pass table[{next(iter(table), 'train')!r}]."
        )
    if hasattr(table, "features") and hasattr(table, "cast_column"):
        return _of_data_set(table)
    if hasattr(table, "collect_schema") and hasattr(table, "collect"):
        return _of_lazy_frame(table)
    if hasattr(table, "iloc") and hasattr(table, "columns"):
        return Table(
            "table",
            list(table.columns),
            lambda columns: iter([[table[column] for column in columns]]),
            lambda rows: table.iloc[rows],
            where=lambda index: f"table.iloc[{index}]",
        )
    is_arrow = hasattr(table, "column_names")  # its `columns` are arrays, not names
    if hasattr(table, "columns") and hasattr(table, "to_pandas") and not is_arrow:
        return Table(
            "table",
            list(table.columns),
            lambda columns: iter([[table[column] for column in columns]]),
            lambda rows: table[rows],
        )
    remedy = "table.to_pandas()" if hasattr(table, "to_pandas") else "pandas.DataFrame(table)"
    raise TypeError(
        f"table is a {type(table).__name__}; expected a DataFrame of pandas or polars, a Dataset "
        f"of Hugging Face, or the path of a CSV or Parquet file. Convert it with {remedy}."
    )


def column_of(source: Table, wanted: Any, parameter: str) -> Any:
    """Return the name of a column as the table spells it: text, or a number if it has no header."""
    columns = source.columns
    found = [c for c in columns if c == wanted] or [
        c for c in columns if str(c).strip().lower() == str(wanted).lower()
    ]
    if len(found) != 1:
        kind = "several columns" if found else "no column"
        raise DatasetFormatError(
            f"{source.name} has {kind} {wanted!r}; its columns are "
            f"{', '.join(map(repr, columns[:30]))}. Pass {parameter}=… with one of these."
            f"{suggestion(wanted, columns)}"
        )
    return found[0]


def _of_lazy_frame(table):
    """Read a LazyFrame in batches, as polars computes it."""
    import polars

    rest: list[Any] = []

    def batches(columns):
        if hasattr(table, "collect_batches"):
            frames = table.collect_batches(chunk_size=_ROWS_AT_ONCE)
        else:
            frames = table.collect().iter_slices(_ROWS_AT_ONCE)
        for frame in frames:
            rest.append(
                frame if frame[columns[0]].dtype == polars.String else frame.drop(columns[0])
            )
            yield [frame[column] for column in columns]

    return Table(
        "table",
        table.collect_schema().names(),
        batches,
        lambda rows: polars.concat(rest)[rows],
    )


def _of_data_set(table):
    """Read a data set of Hugging Face, with its images as they are stored."""
    features: Any = table.features or {}
    columns = list(features) or list(table.column_names or ())
    rest: list[Any] = []
    is_stream = not hasattr(table, "__len__")

    def batches(wanted):
        stored = table if is_stream else table.select_columns(wanted)
        image = wanted[0]
        if type(kind := features.get(image)).__name__ == "Image":
            stored = stored.cast_column(image, type(kind)(decode=False))
        for batch in stored.with_format(None).iter(batch_size=_ROWS_AT_ONCE):
            if is_stream:
                texts = isinstance(batch[image][0], str)
                rest.append({k: v for k, v in batch.items() if texts or k != image})
            yield [batch[column] for column in wanted]

    def select(rows):
        if not is_stream:
            return table if len(rows) == len(table) else table.select(rows)
        import pandas as pd

        return pd.concat(map(pd.DataFrame, rest), ignore_index=True).iloc[rows]

    return Table(
        "table",
        columns,
        batches,
        select,
        class_names=lambda column: getattr(features.get(column), "names", None),
    )


def _of_path(path, stack):
    if glob.has_magic(path) and not os.path.exists(path):
        files = sorted(glob.glob(path, recursive=True))
        if not files:
            raise FileNotFoundError(f"table={path!r}: no file matches this pattern.")
        return _of_parquet(path, files)
    existing = check_exists(path)
    if existing.is_dir():
        files = sorted(str(p) for p in existing.rglob("*") if p.suffix.lower() in PARQUET)
        if not files:
            raise DatasetFormatError(
                f"table={path!r} is a folder without Parquet files. Pass the table in it, or use "
                f"load_image_folder for folders of images."
            )
        return _of_parquet(path, files)
    if existing.suffix.lower() in PARQUET:
        return _of_parquet(path, [path])
    file = stack.enter_context(open_data(existing))
    if isinstance(file, (FolderSource, ZipSource, TarSource)):
        raise DatasetFormatError(
            f"table={path!r} is an archive; expected a CSV or Parquet file. Unpack the table, and "
            f"pass the archive as root=… if it contains the images."
        )
    return _of_csv(path, file)


def _of_csv(path, file):
    import pandas as pd

    chunks = table_chunks(file, path, keep_case=True)
    frame = pd.concat(chunks, ignore_index=True)

    def select(rows):
        kept = frame.iloc[rows]
        return kept.apply(_as_numbers)

    return Table(
        path,
        list(frame.columns),
        lambda columns: iter([[frame[column] for column in columns]]),
        select,
        where=lambda index: f"{path}, row {index + 1} below the header",
        root=os.path.dirname(path) or None,
    )


def _as_numbers(column):
    """Return a column of text as numbers if it contains nothing else."""
    import pandas as pd

    try:
        return pd.to_numeric(column)
    except (ValueError, TypeError):
        return column


def _of_parquet(path, files):
    """Read Parquet files one after the other, a few rows at a time."""
    parquet = import_optional("pyarrow.parquet", extra="parquet", purpose="reading Parquet files")
    schema = _opened(parquet, files[0]).schema_arrow
    rest: list[Any] = []
    starts: list[tuple[int, str]] = []

    def batches(columns):
        n_rows = 0
        for file in files:
            starts.append((n_rows, file))
            opened = _opened(parquet, file)
            missing = [name for name in columns if name not in opened.schema_arrow.names]
            if missing:
                raise DatasetFormatError(
                    f"{file} has no column {missing[0]!r}, unlike {files[0]}. Pass files of one "
                    f"table."
                )
            try:
                for batch in opened.iter_batches(batch_size=_ROWS_AT_ONCE):
                    lists = [batch.column(name).to_pylist() for name in columns]
                    is_path = bool(lists[0]) and isinstance(lists[0][0], str)
                    kept = batch if is_path else batch.drop_columns([columns[0]])
                    rest.append(kept.to_pandas())
                    n_rows += len(batch)
                    yield lists
            except (OSError, ValueError) as error:
                if isinstance(error, (DatasetFormatError, ImageReadError)):
                    raise
                raise _damaged(file, error) from error

    def select(rows):
        import pandas as pd

        return pd.concat(rest, ignore_index=True).iloc[rows]

    def where(index):
        start, file = next(start for start in reversed(starts) if start[0] <= index)
        return f"{file}, row {index - start + 1}"

    return Table(
        path,
        schema.names,
        batches,
        select,
        where=where,
        class_names=partial(_names_in_schema, schema.metadata or {}),
        root=os.path.dirname(files[0]) or None,
    )


def _opened(parquet, file):
    try:
        # Otherwise the whole file would be in memory.
        return parquet.ParquetFile(file, pre_buffer=False)
    except (OSError, ValueError) as error:  # pyarrow's errors are among them
        raise _damaged(file, error) from error


def _damaged(file, error):
    reason = " ".join(str(error).split())
    return DatasetFormatError(f"{file}: not an intact Parquet file ({reason}). Download it again.")


def _names_in_schema(metadata, column):
    """Return the class names that Hugging Face writes to Parquet files."""
    try:
        info = json.loads(metadata.get(b"huggingface", b"{}"))
        return info["info"]["features"][column].get("names")
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def table_chunks(file: IO[bytes], name: str, *, keep_case: bool = False) -> Iterator[pd.DataFrame]:
    """Yield the rows of a CSV file as data frames of strings.

    Parameters
    ----------
    file : file opened for reading bytes
        A seekable file, at its start. Text in UTF-8 or, with a byte order mark, UTF-16, separated
        by commas, semicolons or tabs.
    name : str
        Name of the file in error messages.
    keep_case : bool, default=False
        Keep the case of column names, instead of converting them to lower case.

    Yields
    ------
    pandas.DataFrame
        At least one. The index counts all rows. Column names are stripped, and missing fields are
        empty strings.

    Raises
    ------
    DatasetFormatError
        If it is not a table, or two columns have the same name.
    """
    import pandas as pd

    n_read = 0
    try:
        encoding, separator = _dialect(file)
        with pd.read_csv(
            file,
            sep=separator,
            encoding=encoding,
            dtype=str,
            keep_default_na=False,
            chunksize=_ROWS_OF_TEXT,
            skipinitialspace=True,
        ) as chunks:
            while True:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # pandas comments on damaged tables
                    frame = next(chunks, None)
                if frame is None:
                    return
                yield _checked_table(frame, name, keep_case)
                n_read += len(frame)
    except DatasetFormatError:
        raise
    except Exception as error:  # pandas, codecs and archives raise many types
        reason = " ".join(str(error).split()) or type(error).__name__
        place = f", after row {n_read} below the header" if n_read else ""
        is_text = isinstance(error, UnicodeDecodeError)  # in another encoding
        remedy = "Save it in UTF-8." if is_text else "Download it again."
        raise DatasetFormatError(
            f"{name}{place}: not a valid CSV file ({reason}). {remedy}"
        ) from error


def row_name(index: int) -> str:
    """Return the name of an image that has none, by its row, counted from 0."""
    return f"[{index}]"


def _dialect(file):
    """Return the encoding and the separator of a table, judging by its first bytes."""
    head = file.read(BYTES_OF_HEADER)
    file.seek(0)
    encoding = "utf-16" if head.startswith(UTF16_MARKS) else "utf-8-sig"
    header = head.decode(encoding, errors="replace").lstrip().partition("\n")[0]
    # Not csv.Sniffer: it mistakes the blanks between pixels for separators.
    return encoding, max(",;\t", key=header.count)


def _checked_table(frame, name, keep_case):
    if frame.index.dtype.kind != "i":  # pandas uses a first column without a name as the index
        raise DatasetFormatError(
            f"{name}: the rows have more fields than the header. Download the file again."
        )
    columns = [str(column).strip() for column in frame.columns]
    columns = columns if keep_case else [column.lower() for column in columns]
    # pandas numbers columns that have the same name: "emotion.1".
    twice = sorted({column for column in columns if columns.count(column) > 1})
    twice += sorted(
        column
        for column in columns
        if (match := re.fullmatch(r"(.+)\.\d+", column)) and match[1] in columns
    )
    if twice:
        note = "" if keep_case else ", and their case is ignored"
        raise DatasetFormatError(
            f"{name}: there are several columns {', '.join(map(repr, twice))}{note}. Keep one of "
            f"them."
        )
    frame.columns = columns
    # The last fields of a truncated line are missing.
    return frame.fillna("")
