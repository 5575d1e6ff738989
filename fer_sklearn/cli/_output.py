"""Results as an aligned table, CSV, JSON or Markdown, on stdout or in a file."""

import csv
import glob
import io
import json
import math
import os
import re
import shutil
import sys
import tempfile
import warnings
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

from .._utils.tables import markdown_table

__all__ = [
    "FORMATS",
    "PRINTERS",
    "CommandError",
    "Pictures",
    "add_format",
    "check_output",
    "choose_format",
    "emit",
    "note",
    "one_line",
    "progress",
    "quiet_start_up",
    "render",
    "warnings_as_lines",
]

FORMATS = ("table", "csv", "json", "markdown")
_BY_SUFFIX = {".csv": "csv", ".json": "json", ".md": "markdown"}
# A first column is not cut below this.
_SHORTEST = 16
# What TensorFlow's libraries say at import before they read TF_CPP_MIN_LOG_LEVEL, and LiteRT.
_START_UP = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog|[IW]\d{4} \d\d:\d\d:\S+ +\d+ \S+\.cc:"
    rb"|INFO: Created TensorFlow Lite|fully_quantize: "
)
_SHOWN = ("source", "face", "emotion", "probability", "status")
# A path is not cut below this, nor for a reason longer than that.
_SHORTEST_PATH, _LONGEST_STATUS = 16, 20
# A smaller picture is enlarged to it, for its letters to be legible.
_MIN_SIDE = 320
# The formats that a picture keeps; others, which few programs show, become PNG.
_KEPT_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


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


class CommandError(Exception):
    """A command cannot do what it was asked; the message says why and what to do."""


def note(message):
    """Say something that is not a result."""
    print(message, file=sys.stderr, flush=True)


def one_line(message):
    """Return a message, or an error's, without line breaks."""
    return " ".join(str(message).split())


def progress(iterable, **options):
    """Show a bar on stderr while `iterable` is read, if that is a terminal."""
    from tqdm import tqdm

    hidden = not sys.stderr.isatty()
    return tqdm(iterable, file=sys.stderr, disable=hidden, dynamic_ncols=True, **options)


def check_output(path, *, force, option="--output"):
    """Refuse, before any work is done, a file that could not or should not be written."""
    path = Path(path)
    if path.is_dir():
        raise CommandError(f"{path} is a folder; name a file in it, such as {path / 'model.fer'}")
    if not path.parent.is_dir():
        raise CommandError(f"{path}: there is no folder {path.parent}. Create it first.")
    if path.exists() and not force:
        raise CommandError(
            f"{path} exists already. Choose another {option}, or add --force to replace it."
        )
    return path


@contextmanager
def warnings_as_lines():
    """Show warnings as single lines, without the code that raised them."""

    def show(message, category, filename, lineno, file=None, line=None):
        note(f"fer-sklearn: warning: {one_line(message)}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


@contextmanager
def quiet_start_up(*, enabled):
    """Keep the lines that TensorFlow prints at import, here and in workers, off the terminal.

    They bypass Python, so the file descriptor itself is led aside; Python's own stderr keeps
    the terminal. Whatever else was printed there is shown in the end.
    """
    if not enabled or os.environ["TF_CPP_MIN_LOG_LEVEL"] != "3":
        yield
        return
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as aside, os.fdopen(terminal, "w", buffering=1) as stderr:
        os.dup2(aside.fileno(), 2)
        try:
            with redirect_stderr(stderr if _is_descriptor_2(sys.stderr) else sys.stderr):
                yield
        finally:
            os.dup2(terminal, 2)
            aside.seek(0)
            for line in aside:
                if not _START_UP.match(line):
                    os.write(terminal, line)


def _is_descriptor_2(stream):
    try:
        return stream.fileno() == 2
    except (OSError, AttributeError):  # replaced by something in memory
        return False


class TablePrinter:
    """An aligned table of a few columns; that of paths grows where a batch needs it."""

    def __init__(self, classes, columns, longest):
        emotion = max(map(len, (*classes, _SHOWN[2])))
        self._widths = [0, len("face"), emotion, len("probability")]
        self._longest = max(longest, len("source"))
        self._headed = False

    def write(self, rows):
        """Print the rows of a batch."""
        lines = [self._cells(row) for row in rows]
        widest = max([self._longest, *(len(line[0]) for line in lines)])
        self._widths[0] = max(self._widths[0], min(widest, self._room(lines)))
        if not self._headed:
            self._headed = True
            self._print(_SHOWN)
            self._print(["-" * width for width in (*self._widths, len("status"))])
        for line in lines:
            self._print(line)
        sys.stdout.flush()

    def close(self):
        """Do nothing: all is printed."""

    def _cells(self, row):
        emotion = row["emotion"]
        probability = None if emotion is None else row.get(emotion)
        cells = (
            row["source"],
            row["face"],
            emotion,
            None if probability is None else f"{probability:.3f}",
            row["status"],
        )
        return ["–" if cell is None else str(cell) for cell in cells]

    def _room(self, lines):
        """Return how long a path may be on this terminal."""
        if not sys.stdout.isatty():
            return sys.maxsize
        status = min(max(len(line[-1]) for line in lines), _LONGEST_STATUS)
        others = sum(width + 2 for width in self._widths[1:]) + 2 + status
        return max(shutil.get_terminal_size().columns - others, _SHORTEST_PATH)

    def _print(self, cells):
        source, face, emotion, probability, status = cells
        w = self._widths
        if len(source) > w[0]:
            source = "…" + source[1 - w[0] :]
        line = f"{source:<{w[0]}}  {face:>{w[1]}}  {emotion:<{w[2]}}  {probability:>{w[3]}}  "
        sys.stdout.write(f"{line}{status}".rstrip() + "\n")


class LinePrinter:
    """CSV or JSON lines with all columns, as files have them."""

    def __init__(self, lines):
        self._lines = lines
        sys.stdout.write(lines.header.decode())

    def write(self, rows):
        """Print the rows of a batch."""
        sys.stdout.write(b"".join(map(self._lines.encode, rows)).decode())
        sys.stdout.flush()

    def close(self):
        """Do nothing: all is printed."""


class JSONPrinter:
    """One JSON array of all rows."""

    def __init__(self, classes, columns, longest):
        self._separator = "["

    def write(self, rows):
        """Print the rows of a batch."""
        from ..photos._rows import rounded

        for row in rows:
            text = json.dumps(rounded(row), ensure_ascii=False)
            sys.stdout.write(f"{self._separator}\n  {text}")
            self._separator = ","
        sys.stdout.flush()

    def close(self):
        """End the array."""
        sys.stdout.write("[]\n" if self._separator == "[" else "\n]\n")


def _csv_printer(classes, columns, longest):
    from ..photos._rows import CSVLines

    return LinePrinter(CSVLines(columns))


def _json_lines_printer(classes, columns, longest):
    from ..photos._rows import JSONLines

    return LinePrinter(JSONLines(columns))


#: What prints rows, by the name of its format: made of the classes, the columns, and the length
#: of the longest source.
PRINTERS = {
    "table": TablePrinter,
    "csv": _csv_printer,
    "json": JSONPrinter,
    "jsonl": _json_lines_printer,
}


class Pictures:
    """A folder for one picture a photo, with boxes, emotions and bars of probabilities.

    The picture of ``a/b.jpg`` in the folder ``a`` is ``b-faces.jpg``; of several folders, each
    has one of its own, and files of one name are numbered: no picture replaces another,
    nor a photo.

    Parameters
    ----------
    folder : str
        Is created if it is missing.
    paths : list of str
        The photos, folders and patterns of the call.
    """

    def __init__(self, folder, paths):
        self.folder = Path(folder)
        self._names = {}
        taken = set()
        for path in paths:
            root = self._root(path)
            if len(paths) > 1 or not root:
                self._names.setdefault(root or path, _free_name(root or path, taken))
        self._check()

    def draw(self, result, classes):
        """Write the picture of one photo; none of a photo that cannot be read."""
        from ..drawing import draw_faces
        from ..images import write_image

        if result.photo is None:
            return
        path = self._path(result.source)
        path.parent.mkdir(parents=True, exist_ok=True)
        found = result.boxes, result.labels, result.probabilities
        write_image(path, draw_faces(result.photo, *found, classes, min_side=_MIN_SIDE))

    def _root(self, path):
        """Return the folder whose tree the pictures of `path` have, empty for one file."""
        from ..photos._sources import fixed_root, is_pattern

        if is_pattern(path):
            root = fixed_root(path)
            is_read = "**" in path or any(self._is_in(match) for match in glob.glob(path))
        else:
            root = path if os.path.isdir(path) else ""
            is_read = bool(root)
        if is_read and self._is_in(root):
            raise CommandError(
                f"--annotate {self.folder} lies in {root}, whose photos are read: the pictures "
                f"would be taken for photos. Choose a folder elsewhere."
            )
        return root

    def _is_in(self, folder):
        return os.path.isdir(folder) and self.folder.resolve().is_relative_to(
            Path(folder).resolve()
        )

    def _check(self):
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.folder).close()
        except OSError as error:
            raise CommandError(
                f"--annotate {self.folder} cannot be written to ({error.strerror}). Choose another "
                f"folder."
            ) from error

    def _path(self, source):
        if source.folder:
            below = self._names.get(source.folder, "")
            name = Path(below, os.path.relpath(source.item, source.folder))
        else:
            is_path = isinstance(source.item, str)
            name = Path(self._names[source.item] if is_path else f"{source.name}.png")
        return self.folder / name.parent / _picture_name(name.name)


def _free_name(path, taken):
    """Return the last part of a path, numbered where it is taken."""
    path = Path(path).resolve()
    name, number = path.name, 1
    while name.lower() in taken:
        number += 1
        name = f"{path.stem}-{number}{path.suffix}"
    taken.add(name.lower())
    return name


def _picture_name(name):
    """Return the name of a picture; no two photos have the same."""
    stem, suffix = os.path.splitext(name)
    return f"{stem}-faces{suffix}" if suffix.lower() in _KEPT_SUFFIXES else f"{name}.faces.png"
