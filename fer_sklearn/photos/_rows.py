"""Files to which rows are written photo by photo, so that an interrupted run can resume."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from .._utils.compat import import_optional
from .._utils.files import (
    atomic_write,
    check_writable,
    is_stream,
    locked,
    provenance_path,
    write_provenance,
)
from .._utils.tables import Column, CSVLines, DamagedFileError, JSONLines, other_columns
from .._utils.typing import PathLike
from ._sources import PhotoSource

__all__ = [
    "NO_FACE",
    "OK",
    "OUTPUT_SUFFIXES",
    "UNREADABLE",
    "PhotoSummary",
    "RowFile",
    "check_output",
]

#: The status of a photo. A colon and the reason follow the last one.
OK, NO_FACE, UNREADABLE = "ok", "no face", "unreadable"
OUTPUT_SUFFIXES = (".csv", ".jsonl", ".parquet")
# Probabilities of one model for one photo may differ by this much between runs, and by this much
# from those that are written.
_NOISE, _ROUNDING = 0.02, 1e-6
_OF_DETECTION = ("left", "top", "width", "height", "score", "quality")
# Rows of a Parquet row group: a few megabytes.
_ROWS_AT_ONCE = 16_384
_PARQUET_TYPES = {str: "string", int: "int32", float: "float64"}


@dataclass
class PhotoSummary:
    """Numbers of photos and faces.

    Attributes
    ----------
    output : Path or None, default=None
        The file that contains their rows.
    photos : int, default=0
        All photos, including those that an earlier run wrote.
    faces : int, default=0
        Faces in all photos.
    no_face : int, default=0
        Photos in which no face was detected.
    unreadable : int, default=0
        Photos that could not be read.
    n_resumed : int, default=0
        Photos that an earlier run wrote.
    seconds : float, default=0.0
        Time that this run took.
    """

    output: Path | None = None
    photos: int = 0
    faces: int = 0
    no_face: int = 0
    unreadable: int = 0
    n_resumed: int = 0
    seconds: float = field(default=0.0, compare=False)

    def __str__(self) -> str:
        """Return the numbers as a line."""
        resumed = f", {self.n_resumed:,} of them by an earlier run" if self.n_resumed else ""
        return (
            f"{self.photos:,} photo(s){resumed}; {self.faces:,} face(s); {self.no_face:,} photo(s) "
            f"without a face, {self.unreadable:,} unreadable; {self.seconds:.1f} s"
        )

    def count(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add one photo.

        Parameters
        ----------
        rows : list of dict
            The rows of the photo.
        """
        self.photos += 1
        if rows[0]["face"] is not None:
            self.faces += len(rows)
        self.no_face += rows[0]["status"] == NO_FACE
        self.unreadable += rows[0]["status"].startswith(UNREADABLE)


class RowFile:
    """A CSV, JSON Lines or Parquet file to which rows of photos are appended.

    Use it as a context manager. Even if the process is killed, all rows in the file are complete,
    except possibly the last, and the next `RowFile` with the same path resumes from there. Parquet
    files are written at the end; until then, the rows are JSON Lines in a file next to it,
    ``*.partial``.

    Parameters
    ----------
    path : path-like
        Ends in ``.csv``, ``.jsonl`` or ``.parquet``; its folder must exist.
    columns : dict of str to Column
        The columns of the rows.
    overwrite : bool, default=False
        Whether to start over if the file exists.
    made_by : callable or None, default=None
        Returns a description of how the rows are made, a dictionary of text. When a file is
        resumed, it is compared with the description in the file.
    provenance : bool, default=False
        Whether to store the description in the file or next to it.

    Attributes
    ----------
    path : Path
    lines_path : Path
        The file that contains the rows until all are there.
    summary : PhotoSummary

    Raises
    ------
    ValueError
        If the suffix is unknown.
    OSError
        If the file cannot be written, or another process is writing it.
    MissingExtraError
        For Parquet without pyarrow.
    """

    def __init__(
        self,
        path: PathLike,
        columns: Mapping[str, Column],
        *,
        overwrite: bool = False,
        made_by: Callable[[], Mapping[str, str]] | None = None,
        provenance: bool = False,
    ):
        self.path = check_output(path)
        self.summary = PhotoSummary(self.path)
        self._start = time.monotonic()
        suffix = self.path.suffix.lower()
        self._columns, self._made_by = columns, made_by
        self._provenance = dict(made_by()) if provenance and made_by is not None else None
        self._lines: CSVLines | JSONLines
        if suffix == ".csv":
            self._lines = CSVLines(columns)
        else:
            self._lines = JSONLines(columns, self._provenance)
        self._is_parquet = suffix == ".parquet"
        self.lines_path = (
            self.path.with_name(f"{self.path.name}.partial") if self._is_parquet else self.path
        )
        # Where the photo that is processed again starts, and its rows.
        self._end = 0
        self._last_rows: list[dict[str, Any]] = []
        self._has_begun = False
        self._stack = ExitStack()
        with self._stack:
            self._stack.enter_context(locked(self.path))
            self._file = self._open(overwrite)
            self._stack = self._stack.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        with self._stack:
            self._close(kind, error)
        self.summary.seconds = time.monotonic() - self._start

    def _close(self, kind, error):
        with self._file:
            if kind is None:
                self._begin()
        if kind is not None:
            if self._has_begun:
                error.add_note(
                    f"{self.lines_path} keeps {self.summary.photos:,} photo(s); the same call "
                    f"resumes after them."
                )
        elif self._is_parquet:
            lines_to_parquet(self.lines_path, self.path, self._columns)
            self.lines_path.unlink()

    def resume(self, sources: Iterable[PhotoSource]) -> Iterator[PhotoSource]:
        """Skip the photos that the file contains already.

        The last photo in the file is not skipped, since some of its rows may be missing.

        Parameters
        ----------
        sources : iterable of PhotoSource

        Returns
        -------
        iterator of PhotoSource
            The photos that remain.

        Raises
        ------
        ValueError
            If the file contains other photos, or other columns.
        """
        sources = iter(sources)
        last = None
        self._check_provenance()
        try:
            for start, rows in self._photos():
                if last:
                    self.summary.count(self._last_rows)
                last = next(sources, None)
                self._check_source(last, rows[0]["source"])
                self._end, self._last_rows = start, rows
        except DamagedFileError as error:
            raise self._mismatch(str(error)) from None
        self.summary.n_resumed = self.summary.photos
        return sources if last is None else chain([last], sources)

    def write(self, photos: Sequence[Sequence[Mapping[str, Any]]]) -> None:
        """Append the rows of photos, and flush them.

        Parameters
        ----------
        photos : list of list of dict
            The rows of each photo.
        """
        if self._last_rows:
            self._check_same(self._last_rows, photos[0])
        self._begin()
        self._file.write(b"".join(self._lines.encode(row) for rows in photos for row in rows))
        # Data that the operating system has received survives the end of this process.
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
        # Neither "a" nor "w": the file is read first, then cut off after its last complete photo.
        return open(path, "r+b" if path.exists() else "x+b")

    def _photos(self):
        """Yield where each photo of the file starts, and its rows."""
        self._file.seek(0)
        start = 0
        rows: list[dict[str, Any]] = []
        for row_start, row in self._lines.read(self._file):
            if not row["face"]:  # None or 0: the first row of a photo
                if rows:
                    yield start, rows
                start, rows = row_start, []
            rows.append(row)
        if rows:
            yield start, rows

    def _check_provenance(self):
        """Raise if other networks, detectors or versions made the rows that are there."""
        if self._made_by is None or not self.lines_path.stat().st_size:
            return
        if isinstance(self._lines, JSONLines):
            self._file.seek(0)
            line = self._file.readline()
            if not line.endswith(b"\n"):
                return  # nothing was written but a part of this line
            known = _provenance_line(line)
        else:
            known = _read_json(provenance_path(self.path))
        if known is None and self._provenance is None:
            return  # neither this call nor the file says how its rows are made
        now = self._provenance or dict(self._made_by())
        if known != now:
            known = known or {}
            changed = [name for name in {**now, **known} if known.get(name) != now.get(name)]
            raise self._mismatch(
                f"was made differently, or does not record how: {', '.join(changed)} differ"
            )

    def _begin(self):
        """Cut off the rows that are written again, and write the header of a new file."""
        if self._has_begun:
            return
        self._has_begun = True
        is_new = self._end == 0
        if isinstance(self._lines, CSVLines) and (is_new or self._provenance is not None):
            write_provenance(self.path, self._provenance)
        self._last_rows = []
        self._file.seek(self._end)
        self._file.truncate()
        if is_new:
            self._file.write(self._lines.header)

    def _check_source(self, source, name):
        if source is None:
            raise self._mismatch(
                f"contains {self.summary.photos + 1:,} photo(s) or more, the last of them "
                f"{name!r}; fewer were passed"
            )
        if source.name != name:
            raise self._mismatch(
                f"contains {name!r} as photo {self.summary.photos + 1:,}, but {source.name!r} "
                f"was passed there"
            )

    def _check_same(self, before, now):
        """Raise if the rows of the last photo differ because of another model or other settings."""
        if any(rows[0]["status"].startswith(UNREADABLE) for rows in (before, now)):
            return  # the photo itself may have changed
        same = len(before) <= len(now) and all(
            _alike(old, new) for old, new in zip(before, now, strict=False)
        )
        if not same:
            raise self._mismatch(
                f"contains faces or emotions of {now[0]['source']!r} that differ from those found "
                f"now: it was written by another model or with other settings, or the photo has "
                f"changed"
            )

    def _mismatch(self, what):
        return ValueError(
            f"output={str(self.path)!r} {what}. Repeat the original call, choose another output "
            f"file, or pass overwrite=True to start over."
        )


def check_output(path: PathLike) -> Path:
    """Check that an output file can be written.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    Path

    Raises
    ------
    ValueError, OSError
        As :func:`~fer_sklearn._utils.files.check_writable`; the suffixes are those of
        :class:`RowFile`.
    MissingExtraError
        For Parquet without pyarrow.
    """
    path = check_writable(path, suffixes=OUTPUT_SUFFIXES, name="output")
    if is_stream(path):
        raise ValueError(
            f"output={str(path)!r} is a pipe or a device, which a run cannot resume. Choose a "
            f"file, or print the rows: iter_photo_rows yields them, and fer-sklearn predict has "
            f"--format."
        )
    if path.suffix.lower() == ".parquet":
        _import_parquet()
    return path


def _alike(old, new):
    """Return whether two rows may be predictions of one model for the same face."""
    if any(old[name] != new[name] for name in ("source", "face", "status")):
        return False
    if any((old[name] is None) != (value is None) for name, value in new.items()):
        return False
    numbers = [name for name, value in new.items() if isinstance(value, float)]
    gaps = {name: abs(old[name] - new[name]) for name in numbers}
    boxes = [gaps.pop(name) for name in _OF_DETECTION if name in gaps]
    # Noise changes the label only with the probabilities.
    is_noise = old["emotion"] == new["emotion"] or any(gap > _ROUNDING for gap in gaps.values())
    return is_noise and max(boxes, default=0) <= 1 and max(gaps.values(), default=0) <= _NOISE


def _provenance_line(line):
    """Return how the rows of a JSON Lines file were made, if its first line says so."""
    try:
        content = json.loads(line)
    except ValueError:
        return None
    return content.get("provenance") if isinstance(content, dict) else None


def _read_json(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _import_parquet():
    return import_optional("pyarrow.parquet", extra="parquet", purpose="Writing Parquet")


def lines_to_parquet(lines_path: Path, path: Path, columns: Mapping[str, Column]) -> None:
    """Convert JSON Lines to a Parquet file, which is written whole or not at all.

    Parameters
    ----------
    lines_path, path : Path
    columns : dict of str to Column
    """
    parquet = _import_parquet()
    import pyarrow as pa

    schema = pa.schema([(name, _PARQUET_TYPES[column.type]) for name, column in columns.items()])
    with open(lines_path, "rb") as lines, atomic_write(path) as file:
        if made_by := _provenance_line(lines.readline()):
            schema = schema.with_metadata({"provenance": json.dumps(made_by, ensure_ascii=False)})
        lines.seek(0)
        rows = (row for _, row in JSONLines(columns).read(lines))
        with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
            while batch := list(islice(rows, _ROWS_AT_ONCE)):
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))


def parquet_to_lines(path: Path, lines_path: Path, columns: Mapping[str, Column]) -> None:
    """Convert a Parquet file back to JSON Lines, so that it can be resumed.

    Parameters
    ----------
    path, lines_path : Path
    columns : dict of str to Column

    Raises
    ------
    DamagedFileError
        If it is not a Parquet file with these columns.
    """
    parquet = _import_parquet()
    import pyarrow as pa

    try:
        table = parquet.ParquetFile(path)
    except pa.ArrowInvalid:
        raise DamagedFileError("is not a Parquet file") from None
    with table:
        if table.schema_arrow.names != list(columns):
            raise DamagedFileError(other_columns(table.schema_arrow.names, columns))
        made_by = (table.schema_arrow.metadata or {}).get(b"provenance")
        written = JSONLines(columns, None if made_by is None else json.loads(made_by))
        encode = written.encode
        with atomic_write(lines_path) as file:
            file.write(written.header)
            for batch in table.iter_batches(_ROWS_AT_ONCE):
                file.writelines(map(encode, batch.to_pylist()))
