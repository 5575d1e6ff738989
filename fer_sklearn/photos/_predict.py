"""``predict_photos`` and its generator: from paths to a table of faces."""

import sys
from contextlib import closing
from numbers import Integral

from ..face_reader import as_reader
from ._recognize import iter_photo_batches, row_columns
from ._rows import RowFile, check_output
from ._sources import count_sources, iter_sources

__all__ = ["iter_photo_rows", "photo_bar", "predict_photos"]


def predict_photos(
    images,
    model=None,
    *,
    detector=None,
    crop_faces=True,
    output=None,
    overwrite=False,
    batch_size=64,
    n_jobs=-1,
    progress=None,
):
    """Tell the emotion of every face in photos: one row a face.

    Parameters
    ----------
    images : path, array, bytes, file object, or iterable of these
        The path of a folder stands for its photos of any depth, sorted by name; a pattern such
        as ``"photos/**/*.jpg"`` for the photos that it matches. A list, a generator or a
        stack ``(n, h, w[, 3])`` may be of any length: only a few photos are in memory at a
        time.
    model : fitted pipeline, FaceReader or None, default=None
        None is the model that ships with the package.
    detector : None, "haar", "yunet" or callable, default=None
        How faces are found, as in :class:`~fer_sklearn.FaceCropper`. None is the detector of
        the model's step ``crop``, else ``"haar"``. A callable is called from several threads,
        unless ``n_jobs=1``.
    crop_faces : bool, default=True
        False takes every photo for one face, which FER2013's pictures are.
    output : path or None, default=None
        A file to write the rows to as they come: ``.csv``, ``.jsonl`` (one JSON object a line)
        or ``.parquet`` (needs ``pip install 'fer_sklearn[parquet]'``). The same call with
        the same file goes on where the last one ended, whatever ended it.
    overwrite : bool, default=False
        Whether to begin `output` anew where it exists.
    batch_size : int, default=64
        Faces that are classified at a time.
    n_jobs : int, default=-1
        Threads that read photos and find faces; -1 takes all processors.
    progress : bool or None, default=None
        Whether to show a bar on stderr; None does so where that is a terminal.

    Returns
    -------
    pandas.DataFrame or PhotoSummary
        Without `output`, a row a face, in the order of `images`:

        - source : the path, or ``"[3]"`` for the fourth item where it has no name
        - face : its number in the photo, from 0
        - left, top, width, height : its box in pixels of the photo
        - score : the detector's, higher is surer; missing where it tells none
        - emotion : the most probable label
        - one column a label, ``angry`` to ``surprise``: the probabilities, in [0, 1];
          missing where the model tells none
        - status : ``"ok"``, ``"no face"`` or ``"unreadable: why"``

        A photo without a face has one row, without an emotion: a wall is not neutral. So has
        a photo that cannot be read, a missing file or an empty folder.

        With `output`, the rows are there, rounded to 6 digits, and the counts are
        returned: ``photos``, ``faces``, ``no_face``, ``unreadable`` and ``resumed``, the photos
        that an earlier call had written.

    Raises
    ------
    ValueError
        If `output` holds other photos, or the results of another model.
    OSError
        If `output` cannot be written.

    See Also
    --------
    iter_photo_rows : The rows one after the other, for millions of photos.

    Notes
    -----
    A call that goes on compares the names of all photos in `output` with `images`, and searches
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
    if output is not None:
        check_output(output)
    options = {"crop_faces": crop_faces, **_check_numbers(batch_size, n_jobs)}
    reader = as_reader(model, detector)
    columns = row_columns(reader.classes)
    sources = iter_sources(images)
    with photo_bar(images, progress) as bar:
        if output is None:
            return _to_frame(_told(_photo_rows(sources, reader, options), bar), columns)
        with RowFile(output, columns, overwrite=overwrite) as file:
            sources = file.resume(sources)
            bar.update(file.summary.resumed)
            for photos in _photo_rows(sources, reader, options):
                file.write(photos)
                bar.update(len(photos))
    return file.summary


def iter_photo_rows(
    images, model=None, *, detector=None, crop_faces=True, batch_size=64, n_jobs=-1
):
    """Yield the rows of `predict_photos` as dictionaries, as they come.

    Parameters
    ----------
    images, model, detector, crop_faces, batch_size, n_jobs
        As in :func:`predict_photos`. The generator may be closed, or left, at any time.

    Yields
    ------
    dict
        A face, with the columns of :func:`predict_photos` as keys and None where there is
        nothing to tell.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> from fer_sklearn import iter_photo_rows
    >>> for row in iter_photo_rows([astronaut()]):
    ...     print(row["source"], row["emotion"], row["status"])
    [0] happy ok
    """
    options = {"crop_faces": crop_faces, **_check_numbers(batch_size, n_jobs)}
    reader = as_reader(model, detector)
    row_columns(reader.classes)
    batches = _photo_rows(iter_sources(images), reader, options)
    return (row for photos in batches for rows in photos for row in rows)


def _photo_rows(sources, reader, options):
    """Yield the rows of the photos of each batch; stop the threads when it is closed."""
    with closing(iter_photo_batches(sources, reader, **options)) as batches:
        for results in batches:
            yield [result.rows(reader.classes) for result in results]


def _check_numbers(batch_size, n_jobs):
    from joblib import effective_n_jobs

    for name, number in (("batch_size", batch_size), ("n_jobs", n_jobs)):
        is_int = isinstance(number, Integral) and not isinstance(number, bool)
        if not is_int or (number < 1 and not (name == "n_jobs" and number < 0)):
            expected = "above 0" + (", or -1 for all processors" if name == "n_jobs" else "")
            raise ValueError(f"{name}={number!r}; expected an int {expected}.")
    return {"batch_size": int(batch_size), "n_threads": effective_n_jobs(int(n_jobs))}


def photo_bar(images, shown=None):
    """Return a bar that counts photos on stderr; None shows it where that is a terminal."""
    from tqdm import tqdm

    shown = sys.stderr.isatty() if shown is None else shown
    total = count_sources(images) if shown else None
    return tqdm(total=total, unit="photo", file=sys.stderr, disable=not shown, dynamic_ncols=True)


def _told(batches, bar):
    for photos in batches:
        yield from photos
        bar.update(len(photos))


def _to_frame(photos, columns):
    """Collect rows by columns, a fraction of the memory of as many dictionaries."""
    import pandas as pd

    collected = {name: [] for name in columns}
    for rows in photos:
        for row in rows:
            for name, values in collected.items():
                values.append(row[name])
    types = dict.fromkeys(columns, "float64") | {"face": "Int64"}
    types |= dict.fromkeys(("source", "emotion", "status"), "string")
    return pd.DataFrame(
        {name: pd.Series(values, dtype=types[name]) for name, values in collected.items()}
    )
