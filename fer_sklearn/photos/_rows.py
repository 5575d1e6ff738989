"""The output file: written photo by photo, and gone on with where a run ended."""

import os
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from ._formats import CSVLines, DamagedFileError, JSONLines
from ._parquet import import_parquet, lines_to_parquet, parquet_to_lines
from ._results import NO_FACE, UNREADABLE

__all__ = ["OUTPUT_SUFFIXES", "PhotoSummary", "RowFile", "check_output"]

OUTPUT_SUFFIXES = (".csv", ".jsonl", ".parquet")
# By how much probabilities of one model on one photo may differ from run to run.
_NOISE = 0.02


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
