"""What ``predict`` makes of photos: rows on stdout as they come, and pictures in a folder."""

import glob
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from ._terminal import CommandError

__all__ = ["PRINTERS", "Pictures"]

_SHOWN = ("source", "face", "emotion", "probability", "status")
# A path is not cut below this, nor for a reason longer than that.
_SHORTEST_PATH, _LONGEST_STATUS = 16, 20
# A smaller picture is enlarged to it, for its letters to be legible.
_MIN_SIDE = 320
# The formats that a picture keeps; others, which few programs show, become PNG.
_KEPT_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


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
        from ..photos._formats import rounded

        for row in rows:
            text = json.dumps(rounded(row), ensure_ascii=False)
            sys.stdout.write(f"{self._separator}\n  {text}")
            self._separator = ","
        sys.stdout.flush()

    def close(self):
        """End the array."""
        sys.stdout.write("[]\n" if self._separator == "[" else "\n]\n")


def _csv_printer(classes, columns, longest):
    from ..photos._formats import CSVLines

    return LinePrinter(CSVLines(columns))


def _json_lines_printer(classes, columns, longest):
    from ..photos._formats import JSONLines

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
