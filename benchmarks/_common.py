"""Shared by the benchmark scripts: options, data, timing, tables and results."""

import argparse
import json
import math
import platform
import statistics
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from fer_sklearn import FaceReader, duplicate_groups, load_fer2013, read_image
from fer_sklearn.faces import Faces
from fer_sklearn.images import resize_gray

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("fer_sklearn", "scikit-learn", "scikit-image", "numpy", "tensorflow", "keras")


def argument_parser(
    doc: str,
    *,
    data: bool = True,
    votes: bool = False,
    web: bool = False,
    only: Iterable[str] = (),
    seed: bool = False,
) -> argparse.ArgumentParser:
    """Return a parser with the options that several scripts have; each has ``--output``.

    Parameters
    ----------
    doc : str
        Docstring of the script, which ``--help`` shows.
    data, votes, web : bool
        Whether the script needs FER2013, the votes of FER+, and a zip of photos from the web.
    only : iterable of str
        The parts that a script can run alone.
    seed : bool
        Whether something is random.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if data:
        parser.add_argument("--data", required=True, help="FER2013: zip, CSV or folder")
    if votes:
        parser.add_argument("--votes", required=True, help="FER+ votes as CSV, by file name")
    if web:
        parser.add_argument("--web", required=True, help="zip of photos, one folder per emotion")
    if only:
        parser.add_argument("--only", nargs="+", choices=only, help="run these, even again")
    if seed:
        parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument(
        "--output", type=Path, default=RESULTS, help="folder for the results (default: %(default)s)"
    )
    return parser


def load_bunch(path, subset):
    """Return one subset of FER2013 with the names of its files."""
    return load_fer2013(path, subset=subset)


def load_split(path, subset):
    """Return images and labels of one subset of FER2013."""
    return load_fer2013(path, subset=subset, return_X_y=True)


def also_in_training(X_train, X):
    """Return which images of `X` are exact copies of training images, as bools."""
    groups = duplicate_groups(np.concatenate([X_train, X]))
    return np.isin(groups[len(X_train) :], groups[: len(X_train)])


def web_faces(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest face of each photo in a zip of ``emotion/*.jpg``, and the labels.

    Haar cascades find the faces, so that the figures are comparable with those of earlier
    versions. Photos in which they find no face are left out.

    Returns
    -------
    images : ndarray of shape (n, 48, 48), uint8
    labels : ndarray of shape (n,), str
    """
    labels, _, images = zip(*largest_faces(path, FaceReader(detector="haar")), strict=True)
    return np.array(images), np.array(labels)


def largest_faces(path: str | Path, reader: FaceReader) -> Iterator[tuple[str, Faces, np.ndarray]]:
    """Yield the emotion, the largest face and its crop for each photo with faces in such a zip."""
    with zipfile.ZipFile(path) as file:
        for name in sorted(n for n in file.namelist() if n.endswith(".jpg")):
            photo = read_image(file.read(name))
            faces = reader.detect(photo)
            if len(faces):
                face = faces.take([int(faces.boxes[:, 2:].prod(axis=1).argmax())])
                yield name.split("/")[-2], face, resize_gray(reader.crop(photo, face), (48, 48))[0]


def timed(function: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def interleaved_medians(stopwatches: Sequence[Callable[[], float]], rounds: int) -> list[float]:
    """Return the median of each of several timings that are taken alternately.

    A busy machine then slows all of them equally, so that ratios are meaningful even if seconds
    are not.

    Parameters
    ----------
    stopwatches : sequence of callable
        Each does its work once and returns the seconds that it took. The first result of each
        is discarded.
    rounds : int
        Number of results per stopwatch.
    """
    for stopwatch in stopwatches:
        stopwatch()
    laps = [[stopwatch() for stopwatch in stopwatches] for _ in range(rounds)]
    return [statistics.median(lap) for lap in zip(*laps, strict=True)]


def percent(estimate: dict | Sequence[float]) -> str:
    """Format an estimate with its interval in percent, such as ``"70.2 (68.7–71.7)"``."""
    numbers = estimate.values() if isinstance(estimate, dict) else estimate
    value, low, high = (100 * number for number in numbers)
    return "–" if math.isnan(value) else f"{value:.1f} ({low:.1f}–{high:.1f})"


def markdown_table(
    header: Sequence[str], rows: Iterable[Sequence[object]], align: str = "l"
) -> str:
    """Return a Markdown table.

    Parameters
    ----------
    header : sequence of str
    rows : iterable of sequence
        The cells of each row.
    align : str, default="l"
        ``"l"`` for text or ``"r"`` for numbers, for each column. If it is too short, the
        remaining columns are numbers.
    """
    rule = [{"l": "---", "r": "---:"}[side] for side in align.ljust(len(header), "r")]
    lines = [f"| {' | '.join(map(str, cells))} |" for cells in (header, rule, *rows)]
    return "\n".join([lines[0].replace("|  |", "| |"), *lines[1:]])


def read_result(name: str, folder: Path = RESULTS) -> dict:
    """Return what :func:`write_result` wrote, or an empty dict."""
    path = Path(folder) / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write_result(
    name: str,
    result: dict,
    folder: Path = RESULTS,
    table: str | Mapping[str, str] | None = None,
) -> None:
    """Write a result as JSON, with the versions of packages that it depends on.

    If there is a Markdown table of it, that is written next to it, and printed. If there are
    several, they have names, which are appended to that of the file; an empty one is not.
    """
    environment = {
        "python": platform.python_version(),
        "packages": {package: version(package) for package in _PACKAGES},
        "machine": platform.machine(),
    }
    content = {**result, "environment": environment}
    _write(folder, f"{name}.json", json.dumps(content, indent=2, ensure_ascii=False))
    tables = {"": table} if isinstance(table, str) else table or {}
    for part, text in tables.items():
        _write(folder, f"{name}_{part}.md" if part else f"{name}.md", text)
        print(text, flush=True)


def _write(folder, name, text):
    Path(folder).mkdir(parents=True, exist_ok=True)
    (Path(folder) / name).write_text(text + "\n", encoding="utf-8")
