"""Results as an aligned table, CSV, JSON or Markdown, on stdout or in a file."""

import csv
import io
import json
import math
import shutil
import sys
from pathlib import Path

from .._utils.tables import markdown_table
from ._terminal import note

__all__ = ["FORMATS", "add_format", "choose_format", "emit", "render"]

FORMATS = ("table", "csv", "json", "markdown")
_BY_SUFFIX = {".csv": "csv", ".json": "json", ".md": "markdown"}
# A first column is not cut below this.
_SHORTEST = 16


def add_format(parser, *, choices=FORMATS, file=True):
    """Add ``--format`` and, with `file`, ``--output`` to a command."""
    parser.add_argument(
        "--format",
        choices=choices,
        help="how to print the result (default: table"
        + (", or what the suffix of --output says)" if file else ")"),
    )
    if file:
        parser.add_argument("--output", "-o", metavar="FILE", help="write to a file, not stdout")


def choose_format(args, choices=FORMATS):
    """Return the format that was asked for, by name or by the suffix of the file."""
    suffix = Path(getattr(args, "output", None) or "").suffix.lower()
    by_suffix = _BY_SUFFIX.get(suffix, "table")
    return args.format or (by_suffix if by_suffix in choices else "table")


def render(rows, form, *, caption=""):
    """Turn rows, dictionaries with the same keys, into text.

    A table and Markdown show numbers as `_cell` rounds them; CSV and JSON have them whole.
    """
    header = list(rows[0])
    if form == "json":
        return json.dumps([_plain(row) for row in rows], indent=2, ensure_ascii=False)
    if form == "csv":
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, header, lineterminator="\n")
        writer.writeheader()
        writer.writerows(_plain(row) for row in rows)
        return buffer.getvalue().rstrip("\n")
    cells = [[_cell(row[name]) for name in header] for row in rows]
    if form == "markdown":
        return markdown_table(caption, header, cells)
    numeric = [any(isinstance(row[name], (int, float)) for row in rows) for name in header]
    return _aligned(header, cells, numeric)


def emit(text, output=None):
    """Print a result, or write it to a file and say so."""
    if output is None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
        return
    Path(output).write_text(text + "\n", encoding="utf-8")
    note(f"Written to {output}")


def _plain(row):
    """Return a row without NaN, which JSON does not know and CSV leaves empty."""
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in row.items()
    }


def _cell(value):
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value)


def _aligned(header, cells, numeric):
    """Align numbers to the right and text to the left, under a ruled header."""
    cells = _fit_to_terminal(header, cells)
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in (header, rule, *cells)
    )


def _fit_to_terminal(header, cells):
    """Shorten the first column, as long paths need, if a terminal is too narrow."""
    if not sys.stdout.isatty():
        return cells
    first, *others = (max(map(len, column)) for column in zip(header, *cells, strict=True))
    room = shutil.get_terminal_size().columns - sum(width + 2 for width in others)
    if first <= room or room < _SHORTEST:
        return cells
    return [
        [line[0] if len(line[0]) <= room else "…" + line[0][1 - room :], *line[1:]]
        for line in cells
    ]
