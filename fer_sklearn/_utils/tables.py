"""Result rows, as lines of CSV and JSON files, and tables as text, Markdown, HTML and JSON.

A table is a caption, a header and rows of text; its first column names the row.
"""

import csv
import html
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any, NamedTuple, Protocol

import numpy as np

from .files import printable

__all__ = [
    "PHOTO_COLUMNS",
    "VIDEO_COLUMNS",
    "CSVLines",
    "Column",
    "DamagedFileError",
    "JSONLines",
    "TabularReport",
    "align",
    "heading",
    "html_page",
    "html_table",
    "interval",
    "markdown_table",
    "number",
    "other_columns",
    "p_text",
    "rounded",
    "row_columns",
    "shaded_table",
    "text_table",
    "to_json_value",
    "with_interval",
]


class HasInterval(Protocol):
    """An estimate with the ends of its confidence interval."""

    @property
    def value(self) -> float: ...

    @property
    def low(self) -> float: ...

    @property
    def high(self) -> float: ...


class Column(NamedTuple):
    """The type of a column of faces, and the number of decimals that are kept."""

    type: type
    digits: int | None = None


_FACE = {
    "face": Column(int),
    **dict.fromkeys(("left", "top", "width", "height"), Column(float, 2)),
    **dict.fromkeys(("score", "quality"), Column(float, 4)),
}
_EMOTION = {"emotion": Column(str)}
#: The columns of a face in a photo, before the probabilities. ``status`` comes after them.
PHOTO_COLUMNS = {"source": Column(str), **_FACE, **_EMOTION}
#: The columns of a face in a video, before the probabilities.
VIDEO_COLUMNS = {"frame": Column(int), "seconds": Column(float, 3), **_FACE, **_EMOTION}

# More digits than these are noise, and would triple the size of a file.
_PROBABILITY = Column(float, 6)
_STATUS = {"status": Column(str)}
_PHOTO_DIGITS, _VIDEO_DIGITS = (
    {name: column.digits for name, column in columns.items() if column.type is float}
    for columns in (PHOTO_COLUMNS, VIDEO_COLUMNS)
)
# What photos get in addition on request, and the summary of a video.
_PROVENANCE, _SUMMARY = ("provenance",), ("first", "last", "n_changes")
# Characters that JSON need not escape, but at which many programs end a line.
_LINE_BREAKS = {ord(character): rf"\u{ord(character):04x}" for character in "\x85\u2028\u2029"}
# The first column of a text table is not cut below this width.
_SHORTEST = 16


def row_columns(classes: Iterable, *, video: bool = False) -> dict[str, Column]:
    """Return the columns of a row: where the face is, its emotion, and its probabilities.

    Parameters
    ----------
    classes : iterable of str
        The labels of the classifier; one column of probabilities each.
    video : bool, default=False
        Whether the row belongs to a video (``frame``, ``seconds``) or to a photo (``source``
        and ``status``).

    Returns
    -------
    dict of str to Column
        In order.

    Raises
    ------
    ValueError
        If a class has the name of another column.
    """
    before, after = (VIDEO_COLUMNS, {}) if video else (PHOTO_COLUMNS, _STATUS)
    classes = [str(label) for label in classes]
    others = (*_SUMMARY, *(f"mean_{name}" for name in classes)) if video else _PROVENANCE
    taken = sorted({*before, *after, *others}.intersection(classes))
    if taken:
        raise ValueError(
            f"estimator has the class(es) {', '.join(map(repr, taken))}, which are names of other "
            f"columns of the result; expected other names. Train it with other labels."
        )
    return {**before, **dict.fromkeys(classes, _PROBABILITY), **after}


def rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of :func:`row_columns` with the digits that are kept, and None for NaN."""
    # A label may have the name of a column of the other kind of row.
    digits = _PHOTO_DIGITS if next(iter(row), None) == "source" else _VIDEO_DIGITS
    return {
        name: _rounded(float(value), digits.get(name, _PROBABILITY.digits))
        if isinstance(value, (float, np.floating))
        else value
        for name, value in row.items()
    }


def _rounded(value, digits):
    return None if math.isnan(value) else round(value, digits)


class DamagedFileError(ValueError):
    """A file contains unexpected rows; the message describes them, but does not name the file."""


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
                raise DamagedFileError("is not text in UTF-8") from None


class CSVLines:
    """Rows as comma-separated values below a header. Missing values are empty fields.

    Parameters
    ----------
    columns : dict of str to Column
    """

    def __init__(self, columns: Mapping[str, Column]):
        self.columns = columns
        self.header = self._line(columns)

    def encode(self, row: Mapping[str, Any]) -> bytes:
        """Return a row as bytes."""
        return self._line(rounded(row).values())

    def read(self, file: IO[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the byte offset and the content of every complete row."""
        lines = _WholeLines(file)
        records = csv.reader(iter(lines), strict=True)
        header = next(records, None)
        if header is None:
            if not self.header.startswith(lines.rest):
                raise DamagedFileError("lacks the header of this table")
            return
        if header != list(self.columns):
            raise DamagedFileError(other_columns(header, self.columns))
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
                raise DamagedFileError(f"has an invalid row {number}") from None
            if len(record) != len(self.columns):
                raise DamagedFileError(f"has an invalid row {number}")
            yield start, self._typed(record, number)

    def _line(self, values):
        buffer = io.StringIO()
        # Only characters of the line terminator are quoted, and names may contain both.
        csv.writer(buffer, lineterminator="\r\n").writerow(values)
        return buffer.getvalue().removesuffix("\r\n").encode("utf-8") + b"\n"

    def _typed(self, record, number):
        """Convert the fields of a line to the types of their columns."""
        try:
            return {
                # A path may be empty, but is never missing.
                name: None if text == "" and name != "source" else column.type(text)
                for (name, column), text in zip(self.columns.items(), record, strict=True)
            }
        except ValueError:
            raise DamagedFileError(f"has an invalid row {number}") from None


class JSONLines:
    """Rows as one JSON object per line. Missing values are null.

    Parameters
    ----------
    columns : dict of str to Column
    provenance : dict or None, default=None
        The first line describes how the rows were made.
    """

    def __init__(
        self, columns: Mapping[str, Column], provenance: Mapping[str, str] | None = None
    ) -> None:
        self.columns = columns
        self.header = b"" if provenance is None else _json_line({"provenance": dict(provenance)})

    def encode(self, row: Mapping[str, Any]) -> bytes:
        """Return a row as bytes."""
        return _json_line(rounded(row))

    def read(self, file: IO[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the byte offset and the content of every complete row."""
        lines = _WholeLines(file)
        start = 0
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                raise DamagedFileError(f"has an invalid row in line {number}")
            if number == 1 and list(row) == ["provenance"]:
                start = lines.end
                continue
            if list(row) != list(self.columns):
                raise DamagedFileError(other_columns(row, self.columns))
            yield start, row
            start = lines.end
        starts = (b'{"source": ', b'{"provenance": ')
        rest = lines.rest.rstrip(b"\0")  # a power cut may leave zeros
        if not any(rest.startswith(first) or first.startswith(rest) for first in starts):
            raise DamagedFileError("ends in a line that is not a row of this table")


def _json_line(content):
    text = json.dumps(content, ensure_ascii=False).translate(_LINE_BREAKS)
    return text.encode("utf-8") + b"\n"


def other_columns(found: Iterable[str], expected: Iterable[str]) -> str:
    """Say that a file has other columns than expected, for a :class:`DamagedFileError`."""
    return f"has the columns {', '.join(found)}; expected {', '.join(expected)}"


def to_json_value(value: Any) -> Any:
    """Convert a value to what strict JSON can represent.

    NumPy scalars and arrays become Python's, tuples become lists, paths and other objects
    stay, and NaN and infinity become None, in dictionaries and lists too.
    """
    if isinstance(value, Mapping):
        return {key: to_json_value(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [to_json_value(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def heading(metric: str) -> str:
    """Return the name of a metric as a heading."""
    name = metric.replace("_", " ").replace("f1", "F1")
    return name.replace("cohen", "Cohen's").replace("top 2", "top-2")


def number(value: float, *, signed: bool = False) -> str:
    """Return a number with three decimals and a true minus sign; a dash for NaN."""
    if math.isnan(value):
        return "–"
    return f"{value:{'+' if signed else ''}.3f}".replace("-", "−")


def interval(estimate: HasInterval, *, signed: bool = False) -> str:
    """Return the ends of the confidence interval of an estimate."""
    if math.isnan(estimate.low):
        return "–"
    between = " to " if signed else "–"
    return between.join(number(end, signed=signed) for end in (estimate.low, estimate.high))


def with_interval(estimate: HasInterval) -> str:
    """Return an estimate with its confidence interval in brackets."""
    defined = not math.isnan(estimate.value)
    return f"{number(estimate.value)} ({interval(estimate)})" if defined else "–"


def p_text(p_value: float) -> str:
    """Return a p-value as text; it is never 0. A dash for NaN."""
    if math.isnan(p_value):
        return "–"
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def text_table(
    caption: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numeric: Sequence[bool] | None = None,
    ruled: bool = False,
    max_width: int | None = None,
) -> str:
    """Align a table as plain text.

    Parameters
    ----------
    caption : str
        The first line; empty for none.
    header : sequence of str
    rows : sequence of sequences of str
    numeric : sequence of bool or None, default=None
        Which columns are aligned to the right. If None, all but the first.
    ruled : bool, default=False
        Whether a rule separates the header from the rows.
    max_width : int or None, default=None
        Characters per line. The first column, in which paths are long, is cut at its left
        end to fit, but not below 16 characters.

    Returns
    -------
    str
        Without a line break at the end.
    """
    numeric = [i > 0 for i in range(len(header))] if numeric is None else numeric
    # Labels come from files, and must neither break lines nor control a terminal.
    header, *rows = [list(map(printable, line)) for line in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    if max_width is not None:
        room = max_width - sum(width + 2 for width in widths[1:])
        if _SHORTEST <= room < widths[0]:
            widths[0] = room
    rule = [["-" * width for width in widths]] if ruled else []
    lines = [align(line, widths, numeric) for line in (header, *rule, *rows)]
    return "\n".join([caption, *lines] if caption else lines)


def align(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    """Return one line of a table; a first cell that is too wide loses its beginning."""
    first, *others = cells
    if len(first) > widths[0]:
        first = "…" + first[1 - widths[0] :]
    return "  ".join(
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip((first, *others), widths, numeric, strict=True)
    ).rstrip()


def markdown_table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table under its caption in bold."""
    rule = ("---", *["---:"] * (len(header) - 1))
    cells = [[cell.replace("|", "\\|") for cell in line] for line in (header, rule, *rows)]
    return "\n".join([f"**{caption}**", "", *(f"| {' | '.join(line)} |" for line in cells)])


def html_table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a ``<table>`` with its caption; all text is escaped."""

    def line(cells, tag):
        return "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)

    body = "".join(f"<tr>{line(row[:1], 'th')}{line(row[1:], 'td')}</tr>" for row in rows)
    return _table(caption, line(header, "th"), body)


def shaded_table(
    caption: str, header: Sequence[str], names: Sequence[str], counts: np.ndarray
) -> str:
    """Return a ``<table>`` of counts with their percentage of the row, shaded by it.

    Parameters
    ----------
    caption : str
    header : sequence of str
        Names of all columns, including that of the row names.
    names : sequence of str
        The name of each row.
    counts : ndarray of shape (n_rows, n_columns), int
    """
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join(
        f"<tr><th>{html.escape(name)}</th>{''.join(map(_shaded_cell, row, row_fractions))}</tr>"
        for name, row, row_fractions in zip(names, counts.tolist(), fractions.tolist(), strict=True)
    )
    return _table(caption, head, body)


def html_page(paragraphs: Sequence[str], *tables: str | tuple) -> str:
    """Return paragraphs followed by tables, readable on light and on dark pages.

    Parameters
    ----------
    paragraphs : list of str
        Plain text.
    *tables : str or tuple (caption, header, rows)
        HTML of :func:`shaded_table`, or the arguments of :func:`html_table`.
    """
    text = "".join(f"<p>{html.escape(paragraph)}</p>" for paragraph in paragraphs)
    parts = (table if isinstance(table, str) else html_table(*table) for table in tables)
    return f'{_STYLE}<div class="fer-tables">{text}{"".join(parts)}</div>'


class TabularReport:
    """A result that prints as tables: base class of reports.

    A subclass defines ``_headline`` and ``_tables``, and ``to_dict`` for JSON.
    """

    def _headline(self) -> str:
        """Return the first line."""
        raise NotImplementedError

    def _tables(self) -> list[tuple]:
        """Return (caption, header, rows) of each table."""
        raise NotImplementedError

    def _sentences(self) -> list[str]:
        """Return the text between the headline and the tables."""
        return []

    def _html_tables(self) -> list[str | tuple]:
        """Return the tables of a notebook, as :func:`html_page` takes them."""
        return list(self._tables())

    def to_dict(self) -> dict[str, Any]:
        """Return everything as nested dictionaries and lists of plain Python values.

        Returns
        -------
        dict
        """
        raise NotImplementedError

    def to_json(self, *, indent: int | None = 2) -> str:
        """Return :meth:`to_dict` as strict JSON, with ``null`` for NaN.

        Parameters
        ----------
        indent : int or None, default=2
            As in :func:`json.dumps`.

        Returns
        -------
        str
        """
        return json.dumps(to_json_value(self.to_dict()), indent=indent, allow_nan=False)

    def to_markdown(self) -> str:
        """Return the printed text in Markdown.

        Returns
        -------
        str
        """
        sentences = "\n".join(f"- {sentence}" for sentence in self._sentences())
        tables = (markdown_table(*table) for table in self._tables())
        return "\n\n".join(filter(None, [self._headline(), sentences, *tables]))

    def __repr__(self) -> str:
        tables = (text_table(*table) for table in self._tables())
        return "\n\n".join(filter(None, [self._headline(), "\n".join(self._sentences()), *tables]))

    def _repr_html_(self) -> str:
        return html_page([self._headline(), *self._sentences()], *self._html_tables())


def _table(caption, head, body):
    return (
        f"<table><caption>{html.escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _shaded_cell(count, fraction):
    shade = f"rgba({_BLUE}, {_DEEPEST * fraction:.2f})"
    return f'<td style="background: {shade}">{count}<br><small>{100 * fraction:.0f} %</small></td>'


# Text has the page's own colours; lines and shades let its background through.
_STYLE = """<style>
.fer-tables {overflow-x: auto; font-variant-numeric: tabular-nums; line-height: 1.35}
.fer-tables table {border-collapse: collapse; margin: 1em 0; width: auto; color: inherit}
.fer-tables caption {caption-side: top; text-align: left; color: inherit; font-weight: 600;
  padding: 0.3em 0.6em; white-space: nowrap}
.fer-tables tr {background: none !important}
.fer-tables th, .fer-tables td {padding: 0.25em 0.6em; border: 0; text-align: right;
  vertical-align: middle; white-space: nowrap; color: inherit; background: none}
.fer-tables th:first-child {text-align: left}
.fer-tables thead th {border-bottom: 1px solid rgba(128, 128, 128, 0.8)}
.fer-tables tbody tr + tr > * {border-top: 1px solid rgba(128, 128, 128, 0.25)}
.fer-tables small {opacity: 0.8}
</style>"""
# Black on white and white on black are both legible over a middle blue of this opacity.
_BLUE, _DEEPEST = "0, 114, 178", 0.6
