"""Output files for rows of photos, written photo by photo and resumable."""

import csv
import io
import json
import os
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from .._utils.files import atomic_write
from .._utils.optional import import_optional

__all__ = [
    "NO_FACE",
    "OK",
    "OUTPUT_SUFFIXES",
    "UNREADABLE",
    "CSVLines",
    "DamagedFileError",
    "JSONLines",
    "PhotoSummary",
    "RowFile",
    "check_output",
    "rounded",
]

#: What a row says of its photo; the third is followed by a colon and the reason.
OK, NO_FACE, UNREADABLE = "ok", "no face", "unreadable"
OUTPUT_SUFFIXES = (".csv", ".jsonl", ".parquet")
# By how much probabilities of one model on one photo may differ from run to run.
_NOISE = 0.02
# More digits than these are noise; they would triple the file.
_DIGITS = {"left": 2, "top": 2, "width": 2, "height": 2, "score": 4}
_DIGITS_OF_PROBABILITIES = 6
_TEXT = ("source", "emotion", "status")
# Rows of a row group: some megabytes.
_ROWS_AT_ONCE = 16_384
_TYPES = {"source": "string", "face": "int32", "emotion": "string", "status": "string"}


@dataclass
class PhotoSummary:
    """How many photos and faces there are in an output file.

    Attributes
    ----------
    output : Path or None
    photos : int
        All that were given, also those that an earlier run wrote.
    faces : int
    no_face : int
        Photos without a face.
    unreadable : int
        Photos that cannot be read.
    resumed : int
        Photos that an earlier run wrote.
    """

    output: Path | None
    photos: int = 0
    faces: int = 0
    no_face: int = 0
    unreadable: int = 0
    resumed: int = 0

    def count(self, rows):
        """Add one photo by its rows."""
        self.photos += 1
        if rows[0]["face"] is not None:
            self.faces += len(rows)
        self.no_face += rows[0]["status"] == NO_FACE
        self.unreadable += rows[0]["status"].startswith(UNREADABLE)


class RowFile:
    """A CSV, JSON-lines or Parquet file that rows of photos are appended to.

    A context manager. Whatever ends the process, the file holds whole rows but for the last,
    and the next `RowFile` of the same path goes on with it. Parquet is written when
    all is done; until then its rows are JSON lines in a file beside it, ``*.partial``.

    Parameters
    ----------
    path : str or path-like
        Ends in ``.csv``, ``.jsonl`` or ``.parquet``; its folder must exist.
    columns : list of str
        The keys of the rows.
    overwrite : bool, default=False
        Whether to begin anew where the file exists.
    remedy : str, default="pass overwrite=True"
        What error messages recommend for that.

    Raises
    ------
    ValueError
        For another suffix.
    OSError
        If the file cannot be written.
    MissingExtraError
        For Parquet without pyarrow.
    """

    def __init__(self, path, columns, *, overwrite=False, remedy="pass overwrite=True"):
        self.path = check_output(path)
        self.summary = PhotoSummary(self.path)
        suffix = self.path.suffix.lower()
        self._columns = columns
        self._remedy = remedy
        self._lines = CSVLines(columns) if suffix == ".csv" else JSONLines(columns)
        self._is_parquet = suffix == ".parquet"
        # Where the rows are until all are there.
        self.lines_path = (
            self.path.with_name(f"{self.path.name}.partial") if self._is_parquet else self.path
        )
        # Where to go on, and the rows that stand there.
        self._end, self._redone = 0, []
        self._began = False
        self._file = self._open(overwrite)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        with self._file:
            if kind is None:
                self._begin()
        if kind is None and self._is_parquet:
            lines_to_parquet(self.lines_path, self.path, self._columns)
            self.lines_path.unlink()

    def resume(self, sources):
        """Take from `sources` the photos that the file holds, and return the others.

        The last photo of the file is among the others, since some of its rows may be missing.

        Parameters
        ----------
        sources : iterable of PhotoSource

        Returns
        -------
        iterator of PhotoSource

        Raises
        ------
        ValueError
            If the file holds other photos, or is no file of these columns.
        """
        sources = iter(sources)
        last = None
        try:
            for start, rows in self._photos():
                if last:
                    self.summary.count(self._redone)
                last = next(sources, None)
                self._check_source(last, rows[0]["source"])
                self._end, self._redone = start, rows
        except DamagedFileError as error:
            raise self._mismatch(str(error)) from None
        self.summary.resumed = self.summary.photos
        return sources if last is None else chain([last], sources)

    def write(self, photos):
        """Append the rows of photos, and hand them to the system.

        Parameters
        ----------
        photos : list of list of dict
            The rows of each photo.
        """
        if self._redone:
            self._check_same(self._redone, photos[0])
        self._begin()
        self._file.write(b"".join(self._lines.encode(row) for rows in photos for row in rows))
        # The end of this process, whatever the way, cannot harm what the system has.
        self._file.flush()
        for rows in photos:
            self.summary.count(rows)

    def _open(self, overwrite):
        path = self.lines_path
        if overwrite:
            path.unlink(missing_ok=True)
        elif self._is_parquet and self.path.exists() and not path.exists():
            try:
                parquet_to_lines(self.path, path, self._columns)
            except DamagedFileError as error:
                raise self._mismatch(str(error)) from None
        # Neither "a" nor "w": what is there is read, then cut off behind its last whole photo.
        return open(path, "r+b" if path.exists() else "x+b")

    def _photos(self):
        """Yield where each photo of the file starts, and its rows."""
        self._file.seek(0)
        start, rows = 0, []
        for row_start, row in self._lines.read(self._file):
            if not row["face"]:  # None or 0: the first row of a photo
                if rows:
                    yield start, rows
                start, rows = row_start, []
            rows.append(row)
        if rows:
            yield start, rows

    def _begin(self):
        """Cut off what is to be redone, and write the header of a new file."""
        if self._began:
            return
        self._began = True
        self._redone = []
        self._file.seek(self._end)
        self._file.truncate()
        if self._end == 0:
            self._file.write(self._lines.header)

    def _check_source(self, source, name):
        if source is None:
            raise self._mismatch(
                f"holds {self.summary.photos + 1:,} photo(s) or more, the last {name!r}, which is "
                f"more than were given"
            )
        if source.name != name:
            raise self._mismatch(
                f"holds {name!r} as photo {self.summary.photos + 1:,}, which is "
                f"{source.name!r} here"
            )

    def _check_same(self, before, now):
        """Raise where another model, or other settings, gave other rows for the last photo."""
        if any(rows[0]["status"].startswith(UNREADABLE) for rows in (before, now)):
            return  # the photo itself may have changed
        same = len(before) <= len(now) and all(
            _alike(old, new) for old, new in zip(before, now, strict=False)
        )
        if not same:
            raise self._mismatch(
                f"has other faces or emotions for {now[0]['source']!r} than are found now: it was "
                f"written by another model, with other settings, or the photo was changed"
            )

    def _mismatch(self, what):
        return ValueError(
            f"output={str(self.path)!r} {what}. Call it as before, choose another "
            f"output, or {self._remedy} to begin anew."
        )


def check_output(path):
    """Return the path of an output file, once it is sure that it can be written.

    Raises
    ------
    ValueError
        For another suffix than those of :class:`RowFile`.
    OSError
        If the file cannot be written.
    MissingExtraError
        For Parquet without pyarrow.
    """
    path, name = Path(path), f"output={str(path)!r}"
    suffix = path.suffix.lower()
    if suffix not in OUTPUT_SUFFIXES:
        raise ValueError(
            f"{name} ends in {suffix!r}; expected one of {', '.join(OUTPUT_SUFFIXES)}."
        )
    if path.is_dir():
        raise IsADirectoryError(f"{name} is a folder; expected a file in it.")
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"{name}: there is no folder {str(path.parent)!r}. Create it first."
        )
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise PermissionError(f"{name} cannot be written: permission denied. Choose another file.")
    if suffix == ".parquet":
        import_parquet()
    return path


def _alike(old, new):
    """Tell whether two rows may be one face and one model's answer."""
    if any(old[name] != new[name] for name in ("source", "face", "status")):
        return False
    numbers = [name for name, value in new.items() if isinstance(value, float)]
    boxes = ("left", "top", "width", "height", "score")
    return all(
        old[name] is not None and abs(old[name] - new[name]) <= (1 if name in boxes else _NOISE)
        for name in numbers
    )


class DamagedFileError(ValueError):
    """A file has other rows than were expected; the message says which, not where."""


class _WholeLines:
    """The lines of a binary file up to the last line break; `end` is the byte after them."""

    def __init__(self, file):
        self._file = file
        self.end = 0
        self.rest = b""

    def __iter__(self):
        for line in self._file:
            if not line.endswith(b"\n"):
                self.rest = line
                return
            self.end += len(line)
            try:
                yield line.decode("utf-8")
            except UnicodeDecodeError:
                raise DamagedFileError("is not a text in UTF-8") from None


class CSVLines:
    """Comma-separated values under a header, an empty field where there is nothing to tell.

    Parameters
    ----------
    columns : list of str
    """

    def __init__(self, columns):
        self.columns = columns
        self.header = self._line(columns)

    def encode(self, row):
        """Return a row as bytes."""
        return self._line(rounded(row).values())

    def read(self, file):
        """Yield the byte offset and the content of every whole row."""
        lines = _WholeLines(file)
        records = csv.reader(iter(lines), strict=True)
        header = next(records, None)
        if header is None:
            if not self.header.startswith(lines.rest):
                raise DamagedFileError("has no header of this table")
            return
        if header != self.columns:
            raise DamagedFileError(_other_columns(header, self.columns))
        number = 1
        while True:
            number, start = number + 1, lines.end
            try:
                record = next(records)
            except StopIteration:
                return
            except csv.Error as error:
                if "unexpected end of data" in str(error):
                    return  # cut inside quotes, around a line break of a name
                raise DamagedFileError(f"has no row of this table as number {number}") from None
            if len(record) != len(self.columns):
                raise DamagedFileError(f"has no row of this table as number {number}")
            yield start, _typed(dict(zip(self.columns, record, strict=True)), number)

    def _line(self, values):
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerow(values)
        return buffer.getvalue().encode("utf-8")


class JSONLines:
    """One JSON object a line, null where there is nothing to tell.

    Parameters
    ----------
    columns : list of str
    """

    header = b""

    def __init__(self, columns):
        self.columns = columns

    def encode(self, row):
        """Return a row as bytes."""
        return json.dumps(rounded(row), ensure_ascii=False).encode("utf-8") + b"\n"

    def read(self, file):
        """Yield the byte offset and the content of every whole row."""
        lines = _WholeLines(file)
        start = 0
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                raise DamagedFileError(f"has no row of this table in line {number}")
            if list(row) != self.columns:
                raise DamagedFileError(_other_columns(list(row), self.columns))
            yield start, row
            start = lines.end
        first = b'{"source": '
        if not lines.rest.startswith(first) and not first.startswith(lines.rest):
            raise DamagedFileError("ends in a line that is no row of this table")


def rounded(row):
    """Return a row with the digits that mean something."""
    return {
        name: round(value, _DIGITS.get(name, _DIGITS_OF_PROBABILITIES))
        if isinstance(value, float)
        else value
        for name, value in row.items()
    }


def _typed(record, number):
    """Turn the fields of a CSV file into what they were."""
    try:
        return {name: None if text == "" else _value(name, text) for name, text in record.items()}
    except ValueError:
        raise DamagedFileError(f"has no row of this table as number {number}") from None


def _value(name, text):
    if name in _TEXT:
        return text
    return int(text) if name == "face" else float(text)


def _other_columns(found, expected):
    return f"has the columns {', '.join(found)}; expected {', '.join(expected)}"


def import_parquet():
    """Import ``pyarrow.parquet``, or say what to type."""
    return import_optional("pyarrow.parquet", extra="parquet", purpose="Writing Parquet")


def lines_to_parquet(lines_path, path, columns):
    """Write JSON lines to a Parquet file, which is whole or is not there.

    Parameters
    ----------
    lines_path, path : Path
    columns : list of str
    """
    parquet = import_parquet()
    import pyarrow as pa

    schema = pa.schema([(name, _TYPES.get(name, "float64")) for name in columns])
    with open(lines_path, "rb") as lines, atomic_write(path) as file:
        rows = (row for _, row in JSONLines(columns).read(lines))
        with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
            while some := list(islice(rows, _ROWS_AT_ONCE)):
                writer.write_table(pa.Table.from_pylist(some, schema=schema))


def parquet_to_lines(path, lines_path, columns):
    """Write a Parquet file back to JSON lines, to be gone on with.

    Raises
    ------
    DamagedFileError
        If it is not a Parquet file of these columns.
    """
    parquet = import_parquet()
    import pyarrow as pa

    try:
        table = parquet.ParquetFile(path)
    except pa.ArrowInvalid:
        raise DamagedFileError("is not a Parquet file") from None
    with table:
        if table.schema_arrow.names != columns:
            found = ", ".join(table.schema_arrow.names)
            raise DamagedFileError(f"has the columns {found}; expected {', '.join(columns)}")
        encode = JSONLines(columns).encode
        with atomic_write(lines_path) as file:
            for batch in table.iter_batches(_ROWS_AT_ONCE):
                file.writelines(map(encode, batch.to_pylist()))
