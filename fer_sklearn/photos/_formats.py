"""Rows as lines of text that can be appended to and read back: CSV and JSON lines."""

import csv
import io
import json

__all__ = ["CSVLines", "DamagedFileError", "JSONLines", "rounded"]

# More digits than these are noise; they would triple the file.
_DIGITS = {"left": 2, "top": 2, "width": 2, "height": 2, "score": 4}
_DIGITS_OF_PROBABILITIES = 6
_TEXT = ("source", "emotion", "status")


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
