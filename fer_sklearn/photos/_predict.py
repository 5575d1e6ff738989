"""``predict_photos`` and ``iter_photo_rows``: from photos to a table of faces."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, nullcontext
from functools import cache
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._utils.files import is_terminal
from .._utils.litert import count_processors
from .._utils.tables import Column, row_columns
from .._utils.typing import Estimator, ImageLike, ImagesLike, PathLike
from .._utils.validation import check_choice
from ..face_reader import FaceReader, as_face_reader, provenance_of
from ..faces._detect import refuse_boxes
from ._recognize import PhotoResult, iter_photo_batches
from ._rows import NO_FACE, UNREADABLE, PhotoSummary, RowFile, check_output
from ._sources import (
    PhotoSource,
    as_path_table,
    batch_items,
    count_sources,
    fixed_root,
    is_path,
    is_pattern,
    iter_sources,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check_photo_outputs", "iter_photo_rows", "predict_photos"]

# A smaller photo is enlarged to this side, so that its labels are legible.
_MIN_SIDE = 320
# Annotated photos keep these formats, up to their longest sides; few programs show the others.
_KEPT_SUFFIXES = {".png": 2**31, ".jpg": 65_500, ".jpeg": 65_500, ".webp": 16_383}
# This many bytes of a photo's name fit into the name of its copy, which has a suffix, and another
# one until it is complete.
_LONGEST_STEM = 190


def predict_photos(
    images: ImageLike | ImagesLike | Iterable[ImageLike],
    estimator: Estimator | FaceReader | str | None = None,
    *,
    detector: str | Callable | None = None,
    crop_faces: bool = True,
    on_error: str = "row",
    output: PathLike | None = None,
    overwrite: bool = False,
    annotate: PathLike | None = None,
    on_photo: Callable[[PhotoResult], object] | None = None,
    provenance: bool = False,
    batch_size: int = 64,
    n_jobs: int = -1,
    progress: bool | None = None,
) -> pd.DataFrame | PhotoSummary:
    """Recognise the emotion of every face in photos, with one row per face.

    Parameters
    ----------
    images : path, array, bytes, file object, Pillow image, or iterable of these
        The path of a folder stands for the photos in it and in its subfolders, sorted by name; a
        pattern such as ``"photos/**/*.jpg"`` stands for the photos that match it. Text may also be
        the contents of a photo, as a data URI or in base64. A list, a generator, a Series or a
        stack of shape ``(n, h, w[, 3])`` may be of any length: only a few photos are in memory at a
        time. A table (pandas or polars) needs the paths in a column ``path``, ``file``,
        ``filename``, ``image``, ``photo`` or ``source``; its other columns are joined to the
        result. It cannot be passed together with `output`.
    estimator : fitted pipeline or classifier, str, FaceReader or None, default=None
        As in :class:`~fer_sklearn.FaceReader`: a string names a bundled network, such as
        ``"tiny"``. If None, the bundled pretrained model.
    detector : None, "blazeface", "haar", "yunet" or callable, default=None
        The face detector, as in :class:`~fer_sklearn.FaceCropper`. If None, the detector of the
        estimator's step ``crop``, or ``"blazeface"`` without such a step. A callable is called from
        several threads, unless ``n_jobs=1``.
    crop_faces : bool, default=True
        Whether to find faces. If False, every photo is treated as one face, as in FER2013.
    on_error : {"row", "raise"}, default="row"
        Whether a photo that cannot be read gets a row that says why, or raises an error.
    output : path or None, default=None
        File to which rows are written as they are computed: ``.csv``, ``.jsonl`` (one JSON
        object per line) or ``.parquet`` (needs ``pip install 'fer_sklearn[parquet]'``). If the
        file already exists, an identical call resumes where the previous one stopped.
    overwrite : bool, default=False
        Whether to start over if `output` exists.
    annotate : path or None, default=None
        Folder to which a copy of each photo is written, with boxes, emotions and probabilities
        drawn on it; it is created if it is missing. ``a/b.jpg``, found in the folder ``a``,
        becomes ``b-faces.jpg``. If `images` are several folders, each gets a subfolder, and
        files of the same name are numbered.
    on_photo : callable or None, default=None
        Called with the :class:`~fer_sklearn.photos.PhotoResult` of each photo, in order, once
        its rows are written to `output` and its annotated copy to `annotate`.
    provenance : bool, default=False
        Whether to record how the results were made: the versions of the package, the network and
        the detector, the labels and how faces are framed. A table gets a column ``provenance`` with
        JSON, and the same as a dictionary in its ``attrs``. A JSON Lines file begins with a line
        ``{"provenance": …}``, a Parquet file has it in its metadata, and for a CSV file
        ``emotions.csv`` it is written to ``emotions.csv.provenance.json``. Every call that resumes
        such a file compares it.
    batch_size : int, default=64
        Number of faces to classify at once.
    n_jobs : int, default=-1
        Number of threads that read photos and find faces; -1 uses all processors.
    progress : bool or None, default=None
        Whether to show a progress bar on stderr. If None, it is shown on a terminal.

    Returns
    -------
    pandas.DataFrame or PhotoSummary
        Without `output`, one row per face, in the order of `images`:

        - source : the path, or ``"[3]"`` for the fourth item if it has no name
        - face : index of the face in the photo, from 0
        - left, top, width, height : bounding box in pixels of the photo
        - score : detection score, higher is more confident; missing if the detector has none
        - quality : how well the face can be seen, in [0, 1]: large, sharp, frontal, inside the
          photo and detected with confidence; missing if your own reader does not measure it
        - emotion : the most probable label
        - one column per label, such as ``angry`` to ``surprise``: its probability, in [0, 1];
          missing if the estimator has none
        - status : ``"ok"``, ``"no face"`` or ``"unreadable: <reason>"``

        A photo in which no face is detected gets a single row with no emotion. So does a photo
        that cannot be read, a file that is missing and a folder without photos.

        With `output`, the file contains the same rows, with boxes rounded to 2 digits, scores and
        qualities to 4 and probabilities to 6. The returned summary has the number of ``photos``,
        ``faces``, photos with ``no_face``, ``unreadable`` photos, ``n_resumed`` photos that an
        earlier call had written, and ``seconds``.

    Raises
    ------
    ValueError
        If `output` contains other photos or the results of another model, if `annotate` lies in a
        folder whose photos are read, or if `images` is a table and `output` is given, or the table
        lacks a column of paths or has another column with the name of one in the result.
    OSError
        If `output` or `annotate` cannot be written, or another process writes to `output`.
    ImageReadError
        With ``on_error="raise"``, if a photo cannot be read.

    See Also
    --------
    iter_photo_rows : Yields the rows one by one, for millions of photos.

    Notes
    -----
    A call that resumes compares the names of all photos in `output` with `images`, and processes
    the last photo there again. Photos that could not be read are not tried again.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> from fer_sklearn import predict_photos
    >>> table = predict_photos([astronaut(), "no-such.jpg"])
    >>> table[["source", "face", "emotion", "status"]]
            source  face emotion                            status
    0          [0]     0   happy                                ok
    1  no-such.jpg  <NA>    <NA>  unreadable: there is no such file
    """
    run = _Run(
        images,
        estimator,
        detector,
        crop_faces=crop_faces,
        on_error=on_error,
        output=output,
        annotate=annotate,
        on_photo=on_photo,
        provenance=provenance,
        batch_size=batch_size,
        n_jobs=n_jobs,
    )
    with run.progress_bar(progress) as bar:
        if output is None:
            return run.to_frame(bar)
        with RowFile(
            output, run.columns, overwrite=overwrite, made_by=run.made_by, provenance=provenance
        ) as file:
            sources = file.resume(run.sources)
            if bar is not None:
                bar.update(file.summary.n_resumed)
            for results in run.batches(sources):
                file.write([result.rows() for result in results])
                run.report(results, bar)
    return file.summary


def iter_photo_rows(
    images: ImageLike | ImagesLike | Iterable[ImageLike],
    estimator: Estimator | FaceReader | str | None = None,
    *,
    detector: str | Callable | None = None,
    crop_faces: bool = True,
    on_error: str = "row",
    annotate: PathLike | None = None,
    on_photo: Callable[[PhotoResult], object] | None = None,
    provenance: bool = False,
    batch_size: int = 64,
    n_jobs: int = -1,
    progress: bool = False,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of `predict_photos` one by one, as they are computed.

    Parameters
    ----------
    images, estimator, detector, crop_faces, on_error, annotate, batch_size, n_jobs
        As in :func:`predict_photos`; a table must be passed as its column of paths.
    on_photo : callable or None, default=None
        Called with the :class:`~fer_sklearn.photos.PhotoResult` of each photo before its rows
        are yielded.
    provenance : bool, default=False
        Whether rows record how they were made, in JSON.
    progress : bool, default=False
        Whether to show a progress bar on stderr.

    Yields
    ------
    dict
        One face, with the columns of :func:`predict_photos` as keys. Missing values are None.
        You may close or drop the generator at any time.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> from fer_sklearn import iter_photo_rows
    >>> for row in iter_photo_rows([astronaut()]):
    ...     print(row["source"], row["emotion"], row["status"])
    [0] happy ok
    """
    run = _Run(
        images,
        estimator,
        detector,
        crop_faces=crop_faces,
        on_error=on_error,
        annotate=annotate,
        on_photo=on_photo,
        provenance=provenance,
        batch_size=batch_size,
        n_jobs=n_jobs,
    )
    if run.table is not None:
        raise TypeError(
            "images is a table, whose columns predict_photos joins to the results; expected "
            "photos. Pass its column of paths."
        )
    return run.iter_rows(progress)


def check_photo_outputs(
    images: ImageLike | ImagesLike | Iterable[ImageLike],
    *,
    output: PathLike | None = None,
    annotate: PathLike | None = None,
) -> None:
    """Check that `predict_photos` can write its outputs, before you load a large model.

    Parameters
    ----------
    images, output, annotate
        As in :func:`predict_photos`, which begins with the same check.

    Raises
    ------
    ValueError
        If `output` has an unknown suffix, or `annotate` lies in a folder whose photos are read.
    OSError
        If `output` or `annotate` cannot be written.
    MissingExtraError
        For Parquet without pyarrow.
    """
    if output is not None:
        check_output(output)
    if annotate is not None:
        AnnotatedFolder(annotate, images)


class _Run:
    """One call of `predict_photos` or `iter_photo_rows`, whose parameters it checks."""

    def __init__(
        self,
        images,
        estimator,
        detector,
        *,
        crop_faces,
        on_error,
        annotate,
        on_photo,
        provenance,
        batch_size,
        n_jobs,
        output=None,
    ):
        check_choice("on_error", on_error, ("row", "raise"))
        refuse_boxes(detector)
        self.table = as_path_table(images)
        if self.table is not None:
            images = self.table.paths
            if output is not None:
                raise ValueError(
                    "output is given, but images is a table, whose columns are only joined to a "
                    "table that is returned. Pass its column of paths, and join the file's rows by "
                    "their column 'source'."
                )
        self._images, self._on_photo = images, on_photo
        self._n_faces, self._counts = 0, Counter[str]()
        if output is not None:
            check_output(output)
        self._folder = None if annotate is None else AnnotatedFolder(annotate, images)
        self.sources = iter_sources(images) if self._folder is None else self._folder.sources()
        options = _check_numbers(batch_size, n_jobs)
        self._reader = as_face_reader(estimator, detector)
        self.columns = row_columns(self._reader.classes)
        self._options = options | {
            "crop_faces": crop_faces,
            "on_error": on_error,
            "keep_photos": self._folder is not None,
        }
        # How the rows are made: for a large estimator, its checksum takes seconds.
        self.made_by = cache(lambda: provenance_of(self._reader, crop_faces=crop_faces))
        self._more = {}
        if provenance:
            self._more = {"provenance": json.dumps(self.made_by(), ensure_ascii=False)}

    def batches(self, sources):
        """Yield the results of each batch, once annotated; closing it stops the threads."""
        with closing(iter_photo_batches(sources, self._reader, **self._options)) as batches:
            for results in batches:
                if self._folder is not None:
                    for result in results:
                        self._folder.write(result)
                yield results

    def report(self, results, bar):
        """Pass results to the callback and the progress bar."""
        for result in results:
            if self._on_photo is not None:
                self._on_photo(result)
            self._counts[result.status.partition(":")[0]] += 1
            self._n_faces += len(result.boxes)
        if bar is not None:
            bar.set_postfix_str(
                f"{self._n_faces:,} face(s), {self._counts[NO_FACE]:,} without, "
                f"{self._counts[UNREADABLE]:,} unreadable",
                refresh=False,
            )
            bar.update(len(results))

    def iter_rows(self, progress):
        """Yield all rows."""
        with self.progress_bar(progress) as bar:
            for _, row in self._rows(bar):
                yield row

    def to_frame(self, bar):
        """Collect all rows by column, which takes a fraction of the memory of dictionaries."""
        columns = self.columns | {name: Column(str) for name in self._more}
        if self.table is not None:
            self.table.check_names(columns)
        collected: dict[str, list] = {name: [] for name in columns}
        positions = []
        for position, row in self._rows(bar):
            positions.append(position)
            for name, values in collected.items():
                values.append(row[name])
        import pandas as pd  # at the end: nothing before needs it

        types = {int: "Int64", float: "float64", str: "string"}
        frame = pd.DataFrame(
            {
                name: pd.Series(values, dtype=types[columns[name].type])
                for name, values in collected.items()
            }
        )
        if self.table is not None:
            frame = _joined(frame, self.table, positions)
        if self._more:
            frame.attrs["provenance"] = self.made_by()
        return frame

    def _rows(self, bar):
        """Yield the position of each photo's item, and each row."""
        for results in self.batches(self.sources):
            for result in results:
                self.report([result], bar)
                for row in result.rows():
                    yield result.source.position, row | self._more

    def progress_bar(self, shown):
        """Return a bar on stderr that counts photos; if `shown` is None, on a terminal only."""
        if not (is_terminal(sys.stderr) if shown is None else shown):
            return nullcontext()
        from tqdm import tqdm

        total = count_sources(self._images)
        return tqdm(total=total, unit="photo", file=sys.stderr, dynamic_ncols=True)


def _joined(frame, table, positions):
    """Append the other columns of the table that has the paths."""
    import pandas as pd

    if hasattr(table.table, "iloc"):  # pandas: dtypes are kept
        others = table.table.loc[:, [name != table.column for name in table.table.columns]]
    else:
        columns = {name: _as_series(table.table[name].to_list()) for name in table.other_columns}
        others = pd.DataFrame(columns, index=range(len(table.paths)))
    return pd.concat([frame, others.iloc[positions].reset_index(drop=True)], axis=1)


def _as_series(values):
    import pandas as pd

    # Together with missing values, pandas would round large integers to floats.
    is_exact = pd.api.types.infer_dtype(values) == "integer" and None in values
    return pd.Series(values, dtype=object if is_exact else None)


def _check_numbers(batch_size, n_jobs):
    for name, number in (("batch_size", batch_size), ("n_jobs", n_jobs)):
        is_int = isinstance(number, Integral) and not isinstance(number, bool)
        if not is_int or (number < 1 and not (name == "n_jobs" and number < 0)):
            expected = "above 0" + (", or -1 for all processors" if name == "n_jobs" else "")
            raise ValueError(f"{name}={number!r}; expected an int {expected}.")
    # Negative numbers count from all processors, as joblib's do.
    n_threads = n_jobs if n_jobs > 0 else max(1, count_processors() + 1 + n_jobs)
    return {"batch_size": int(batch_size), "n_threads": int(n_threads)}


class AnnotatedFolder:
    """Write each photo to a folder with boxes, emotions and bars of probabilities.

    The annotated copy of ``a/b.jpg``, found in the folder ``a``, is ``b-faces.jpg``. If several
    folders are read, each gets a subfolder, and files of the same name are numbered: no file
    replaces another one, nor a photo.

    Parameters
    ----------
    folder : path-like
        Created if it is missing.
    images : path, array, bytes, file object, or iterable of these
        As passed to :func:`~fer_sklearn.predict_photos`.

    Raises
    ------
    OSError
        If the folder cannot be written to.
    ValueError
        If the folder lies in one whose photos are read.
    """

    def __init__(self, folder: PathLike, images: ImagesLike) -> None:
        self.folder = Path(folder)
        self._images = images
        # Names of folders and files by path, and of photos without one.
        self._names: dict[str, str] = {}
        self._unnamed: dict[PhotoSource, str] = {}
        self._taken: set[str] = set()
        self._is_iterator = isinstance(images, Iterator)
        are_paths = [] if self._is_iterator else [is_path(item) for item in batch_items(images)]
        self._is_single = len(are_paths) == 1
        if any(are_paths):
            for item in batch_items(images):
                self._reserve(item)
        self._check()

    def sources(self) -> Iterator[PhotoSource]:
        """Yield the photos that `images` stands for, once a name is reserved for each."""
        for source in iter_sources(self._reserved() if self._is_iterator else self._images):
            if not isinstance(source.item, str):
                name = f"{os.path.basename(source.name)}.png"
                self._unnamed[source] = _free_name(name, self._taken)
            yield source

    def write(self, result: PhotoResult) -> None:
        """Write the annotated copy of a photo, unless the photo could not be read."""
        from ..drawing import draw_faces
        from ..images import write_image

        if result.photo is None:
            self._unnamed.pop(result.source, None)
            return
        faces = result.boxes, result.labels, result.y_proba, result.classes
        titles = [f"face {number}" for number in range(len(result.labels))]
        annotated = draw_faces(result.photo, *faces, titles=titles, min_side=_MIN_SIDE)
        path = self._path(result.source, max(annotated.shape))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, annotated)

    def _reserved(self):
        for item in self._images:
            self._reserve(item)
            yield item

    def _reserve(self, item):
        if not is_path(item):
            return
        path = os.fsdecode(item)
        root = self._root(path)
        if not (self._is_single and root):
            key = root or path
            if key not in self._names:
                self._names[key] = _free_name(key, self._taken)

    def _root(self, path):
        """Return the folder whose structure is kept, or "" for a single file."""
        if is_pattern(path):
            root = fixed_root(path)
            is_read = "**" in path or any(self._is_in(match) for match in glob.glob(path))
        else:
            root = path if os.path.isdir(path) else ""
            is_read = bool(root)
        if is_read and self._is_in(root):
            raise ValueError(
                f"annotate={str(self.folder)!r} lies in {root!r}, whose photos are read: annotated "
                f"photos would be read as photos. Choose a folder elsewhere."
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
            raise OSError(
                f"annotate={str(self.folder)!r} cannot be written to ({error.strerror}). Choose "
                f"another folder."
            ) from error

    def _path(self, source, longest):
        if source.folder:
            below = self._names.get(source.folder, "")
            name = Path(below, os.path.relpath(source.item, source.folder))
        elif source in self._unnamed:
            name = Path(self._unnamed.pop(source))
        else:
            name = Path(self._names[source.item])
        return self.folder / name.parent / _annotated_name(name.name, longest)


def _free_name(path, taken):
    """Return the last part of a path, numbered if it is taken already."""
    path = Path(os.path.abspath(path))  # works even for a path that cannot exist
    name, number = path.name, 1
    while name.lower() in taken:
        number += 1
        name = f"{path.stem}-{number}{path.suffix}"
    taken.add(name.lower())
    return name


def _annotated_name(name, longest):
    """Return the file name of an annotated photo; different photos have different ones."""
    stem, suffix = os.path.splitext(name)
    kept = longest <= _KEPT_SUFFIXES.get(suffix.lower(), 0)
    stem, suffix = (stem, f"-faces{suffix}") if kept else (name, ".faces.png")
    encoded = os.fsencode(stem)
    if len(encoded) > _LONGEST_STEM:
        digest = hashlib.sha256(encoded).hexdigest()[:16]
        stem = os.fsdecode(encoded[: _LONGEST_STEM - len(digest)]) + digest
    return stem + suffix
