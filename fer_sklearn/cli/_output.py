"""Shared by all commands: their description, and their output.

Results go to stdout; notes, warnings and progress to stderr.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import re
import shutil
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .._utils.compat import hidden_lines
from .._utils.files import is_terminal, printable

if TYPE_CHECKING:
    from .._utils.typing import PathLike

__all__ = [
    "FORMATS",
    "PRINTERS",
    "Command",
    "CommandError",
    "add_format",
    "check_distinct",
    "check_output",
    "choose_format",
    "emit",
    "note",
    "one_line",
    "progress",
    "quiet_start_up",
    "render",
    "safe_streams",
    "warnings_as_lines",
    "write_text",
]

FORMATS = ("table", "csv", "json", "markdown")
_BY_SUFFIX = {".csv": "csv", ".json": "json", ".md": "markdown"}
# Lines that LiteRT and, before they read TF_CPP_MIN_LOG_LEVEL, TensorFlow's libraries print.
_START_UP = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog|[IW]\d{4} \d\d:\d\d:\S+ +\d+ \S+\.cc:"
    rb"|INFO: Created TensorFlow Lite|fully_quantize: "
)
# The columns of a printed table of faces, and which are aligned to the right.
_SHOWN = {
    "source": False,
    "face": True,
    "emotion": False,
    "probability": True,
    "status": False,
}
# Paths are not cut below this many characters.
_SHORTEST_PATH = 16


class Command(NamedTuple):
    """A command, as its file describes it.

    Attributes
    ----------
    name : str
    help : str
        Three parts with an empty line after each: the line in the list of commands, a description,
        which is wrapped, and examples and notes, which are printed as they are.
    add_options : callable
        Adds the options to a parser.
    run : callable
        Runs the command with the parsed arguments; returns the exit code.
    usage : str or None, default=None
        If None, argparse lists the options.
    """

    name: str
    help: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    usage: str | None = None

    def add_to(self, commands: Any) -> None:
        """Add the command to the subparsers of a program."""
        summary, description, examples = self.help.split("\n\n", 2)
        width = shutil.get_terminal_size().columns - 2
        parser = commands.add_parser(
            self.name,
            help=summary,
            description=textwrap.fill(description, width),
            usage=self.usage,
            epilog=examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.add_options(parser)
        parser.add_argument(
            "--debug", action="store_true", help="show the traceback of an error, and all logs"
        )
        parser.set_defaults(run=self.run, parser=parser)


class CommandError(Exception):
    """A command cannot do its work; the message says why and what to do."""


def add_format(
    parser: argparse.ArgumentParser, *, choices: Sequence[str] = FORMATS, file: bool = True
) -> None:
    """Add ``--format`` and, with `file`, ``--output`` to a command."""
    parser.add_argument(
        "--format",
        choices=choices,
        help="how to print the result (default: "
        + ("determined by the suffix of --output, else table)" if file else "table)"),
    )
    if file:
        parser.add_argument(
            "--output", "-o", metavar="FILE", help="write to this file instead of stdout"
        )


def choose_format(args: argparse.Namespace, choices: Sequence[str] = FORMATS) -> str:
    """Return the requested format, by its name or by the suffix of the file."""
    suffix = Path(getattr(args, "output", None) or "").suffix.lower()
    by_suffix = _BY_SUFFIX.get(suffix, "table")
    return args.format or (by_suffix if by_suffix in choices else "table")


def render(rows: Sequence[Mapping[str, Any]], form: str, *, caption: str = "") -> str:
    """Convert rows, dictionaries with the same keys, to text.

    A table and Markdown round floats to 3 digits; CSV and JSON do not.
    """
    from .._utils.tables import markdown_table, text_table, to_json_value

    header = list(rows[0])
    if form == "json":
        return json.dumps(to_json_value(rows), indent=2, ensure_ascii=False)
    if form == "csv":
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, header, lineterminator="\n")
        writer.writeheader()
        writer.writerows(to_json_value(rows))
        return buffer.getvalue().rstrip("\n")
    cells = [[_cell(value) for value in to_json_value(row).values()] for row in rows]
    if form == "markdown":
        return markdown_table(caption, header, cells)
    numeric = [any(isinstance(row[name], (int, float)) for row in rows) for name in header]
    return text_table("", header, cells, numeric=numeric, ruled=True, max_width=_max_width())


def _cell(value):
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _max_width():
    """Return the width of the terminal, or None if the output is not one."""
    return shutil.get_terminal_size().columns if is_terminal(sys.stdout) else None


def emit(text: str, output: PathLike | None = None) -> None:
    """Print a result, or write it to a file and report that."""
    if output is None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
        return
    write_text(output, text)
    note(f"Written to {output}")


def write_text(path: PathLike, text: str) -> None:
    """Write a text file, whole or not at all."""
    from .._utils.files import atomic_write

    with atomic_write(path, encoding="utf-8") as file:
        file.write(text + "\n")


def check_output(
    path: PathLike,
    *,
    force: bool,
    option: str = "--output",
    suffixes: Sequence[str] | None = None,
) -> Path:
    """Check before any work is done that a file can and may be written."""
    from .._utils.files import check_writable

    remedy = "add --force to replace it"
    return check_writable(path, suffixes=suffixes, overwrite=force, name=option, remedy=remedy)


def check_distinct(
    outputs: Mapping[str, PathLike | None], inputs: Iterable[PathLike | None]
) -> None:
    """Check before any work is done that no file to write is another one, or one that is read.

    Parameters
    ----------
    outputs : dict of str to path or None
        The files to write, by option.
    inputs : iterable of path or None
        The files that are read. A name without a file, as of a bundled model, is ignored.
    """
    taken = {os.path.realpath(path): "is read" for path in inputs if path and Path(path).exists()}
    for option, path in outputs.items():
        if path is None:
            continue
        real = os.path.realpath(path)
        if real in taken:
            raise CommandError(f"{option} {path}: this file {taken[real]}. Choose another one.")
        taken[real] = f"is that of {option}"


class _Printer:
    """Print rows of faces to stdout as they are computed.

    Parameters
    ----------
    classes : list of str
        The labels.
    longest : int
        Length of the longest source.
    """

    def __init__(self, classes, longest):
        pass

    def write(self, row):
        """Print one row."""
        raise NotImplementedError

    def close(self):
        """Print what follows the last row."""


class _TablePrinter(_Printer):
    """Print an aligned table of a few columns."""

    def __init__(self, classes, longest):
        emotion = max(map(len, (*classes, "emotion")))
        # Long reasons in the last column may exceed the terminal.
        self._widths = [
            max(longest, len("source")),
            len("face"),
            emotion,
            len("probability"),
            len("no face"),
        ]
        if (max_width := _max_width()) is not None:
            room = max_width - sum(width + 2 for width in self._widths[1:])
            self._widths[0] = min(self._widths[0], max(room, _SHORTEST_PATH))
        self._is_cut = max_width is not None
        self._has_header = False
        self._made_by = None

    def write(self, row):
        """Print one row."""
        emotion = row["emotion"]
        probability = None if emotion is None else row.get(emotion)
        values = (row["source"], row["face"], emotion, probability, row["status"])
        cells = [printable(_cell(value)) for value in values]
        if not self._is_cut:
            self._widths[0] = max(self._widths[0], len(cells[0]))
        if not self._has_header:
            self._has_header = True
            self._print(_SHOWN)
            self._print(["-" * width for width in (*self._widths[:-1], len("status"))])
        self._print(cells)
        sys.stdout.flush()
        self._made_by = row.get("provenance")

    def close(self):
        """Print how the rows were made below the table; it is the same for all."""
        if self._made_by is not None:
            made_by = json.loads(self._made_by)
            sys.stdout.write("\n" + "".join(f"{name}: {made_by[name]}\n" for name in made_by))

    def _print(self, cells):
        from .._utils.tables import align

        sys.stdout.write(align(cells, self._widths, tuple(_SHOWN.values())) + "\n")


class _CSVPrinter(_Printer):
    """Print comma-separated values below a header."""

    def __init__(self, classes, longest):
        self._has_header = False

    def write(self, row):
        """Print one row."""
        from .._utils.tables import rounded

        if not self._has_header:
            self._has_header = True
            self._print(row)
        self._print(rounded(row).values())
        sys.stdout.flush()

    def _print(self, values):
        buffer = io.StringIO()
        # Only characters of the line terminator are quoted, and names may contain both.
        csv.writer(buffer, lineterminator="\r\n").writerow(values)
        sys.stdout.write(buffer.getvalue().removesuffix("\r\n") + "\n")


class _JSONPrinter(_Printer):
    """Print one JSON array of all rows."""

    def __init__(self, classes, longest):
        self._separator = "["

    def write(self, row):
        """Print one row."""
        sys.stdout.write(f"{self._separator}\n  {_json(row)}")
        self._separator = ","
        sys.stdout.flush()

    def close(self):
        """Print the end of the array."""
        sys.stdout.write("[]\n" if self._separator == "[" else "\n]\n")


class _JSONLinesPrinter(_Printer):
    """Print one JSON object per line."""

    def write(self, row):
        """Print one row."""
        sys.stdout.write(_json(row) + "\n")
        sys.stdout.flush()


def _json(row):
    from .._utils.tables import rounded

    return json.dumps(rounded(row), ensure_ascii=False)


#: Printers by the name of the format.
PRINTERS: dict[str, type[_Printer]] = {
    "table": _TablePrinter,
    "csv": _CSVPrinter,
    "json": _JSONPrinter,
    "jsonl": _JSONLinesPrinter,
}


def note(message: object) -> None:
    """Print something that is not a result."""
    print(message, file=sys.stderr, flush=True)


def one_line(message: object) -> str:
    """Return a message, or that of an error, without line breaks."""
    return " ".join(str(message).split())


def progress(iterable: Iterable[Any] | None, **options: Any) -> Any:
    """Show a progress bar on stderr while `iterable` is read, if that is a terminal."""
    from tqdm import tqdm

    hidden = not is_terminal(sys.stderr)
    return tqdm(iterable, file=sys.stderr, disable=hidden, dynamic_ncols=True, **options)


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Show warnings as single lines, without the code that raised them."""

    def show(message, category, filename, lineno, file=None, line=None):
        note(f"fer-sklearn: warning: {one_line(message)}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


@contextmanager
def safe_streams() -> Iterator[None]:
    """Make printing never end a command, regardless of the state of stdout and stderr.

    Without a console, or if the shell closed them, they are None and what is printed is dropped.
    Characters that the encoding of a terminal or file cannot represent are escaped.
    """
    with ExitStack() as stack:
        for name, redirect in (("stdout", redirect_stdout), ("stderr", redirect_stderr)):
            stream = getattr(sys, name)
            if stream is None:
                nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
                stack.enter_context(redirect(nowhere))
            elif isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
                stream.reconfigure(errors="backslashreplace")
                stack.callback(stream.reconfigure, errors="strict")
        yield


@contextmanager
def quiet_start_up(*, enabled: bool) -> Iterator[None]:
    """Hide the lines that TensorFlow prints at import, here and in workers.

    They bypass Python, so the file descriptor itself is redirected, while Python's own stderr
    keeps the terminal. Any other line that was printed is shown at the end.
    """
    if not enabled or os.environ["TF_CPP_MIN_LOG_LEVEL"] != "3":
        yield
        return
    sys.stderr.flush()
    with hidden_lines(_START_UP) as terminal:
        if terminal is None:
            yield
            return
        with _reopened(terminal) as stream:
            stderr = stream if _is_descriptor_2(sys.stderr) else sys.stderr
            with redirect_stderr(stderr):
                yield


def _reopened(descriptor):
    """Return a stream on a descriptor that encodes like stderr, and escapes other characters."""
    encoding = getattr(sys.stderr, "encoding", None)
    how: dict[str, Any] = {"encoding": encoding, "errors": "backslashreplace"}
    return open(descriptor, "w", buffering=1, closefd=False, **how)


def _is_descriptor_2(stream):
    try:
        return stream.fileno() == 2
    except (OSError, AttributeError):  # replaced by something in memory
        return False
