"""Labelled images: folders and archives of them, and data sets whose layout is detected."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from sklearn.utils import Bunch

from .._utils.image_files import image_format
from .._utils.typing import LabelArray, PathLike, PixelArray, Size
from .._utils.validation import check_choice, suggestion
from ..emotions import canonical_emotion, is_emotion
from ..exceptions import DatasetFormatError, ImageReadError
from ..images import OTHER_SUFFIXES, decode_color, decode_gray, is_image_file, resize
from ._archives import Source, open_source
from ._fer2013 import SUBSETS, load_fer2013

__all__ = ["load_dataset", "load_image_folder", "subset_role"]

# Names of folders that are parts of a data set, in lower case and without other characters:
# "TrainingSet", "val_images", "fold-1", "unlabeled".
_SUBSET = re.compile(
    r"(?:images?|imgs?|faces?|data)?"
    r"(?P<word>train(?:ing)?|test(?:ing)?|val(?:id(?:ation)?)?|dev(?:elopment)?|eval(?:uation)?"
    r"|holdout|(?:public|private)(?:test)?|(?:un)?labell?ed|(?:k?fold|cv|split|subset|part)(?=\d))"
    r"(?:sets?|data(?:set)?|images?|imgs?|faces?|samples?|folder|split|subset)?\d*"
)
# Label folders are in fewer folders than this.
_DEEPEST = 50
_IMAGE_LIKE = (".heic", ".heif", *OTHER_SUFFIXES)
# Files beside images that need not be looked into.
_NOT_IMAGES = (".txt", ".csv", ".json", ".xml", ".md", ".html", ".py", ".pdf", ".mat", ".npy")


@overload
def load_image_folder(
    path: PathLike,
    *,
    size: Size | None = None,
    grayscale: bool = True,
    on_error: str = "raise",
    return_X_y: Literal[False] = False,
) -> Bunch: ...
@overload
def load_image_folder(
    path: PathLike,
    *,
    size: Size | None = None,
    grayscale: bool = True,
    on_error: str = "raise",
    return_X_y: Literal[True],
) -> tuple[PixelArray, LabelArray]: ...
def load_image_folder(
    path: PathLike,
    *,
    size: Size | None = None,
    grayscale: bool = True,
    on_error: str = "raise",
    return_X_y: bool = False,
) -> Bunch | tuple[PixelArray, LabelArray]:
    """Load images from a folder or archive with one folder per label.

    The label of ``anger/S010/1.png`` is the name of the first folder, ``anger``, translated by
    :func:`~fer_sklearn.canonical_emotion` to ``angry``; labels that are not synonyms of an emotion
    are kept, and listed in `DESCR`. If the first folders have names of subsets (``train``,
    ``val_images``, ``TestSet``, ``fold1``, …), the label is the name of the folder below. A single
    folder around all others, as archives often have it, is skipped unless it is named like an
    emotion. Hidden files, and those that systems add, such as ``__MACOSX`` and ``Thumbs.db``, are
    ignored.

    Parameters
    ----------
    path : str or path-like
        The folder, or a zip or tar archive of it; the latter may be compressed.
    size : int, (int, int) or None, default=None
        Side, or height and width, in pixels, that all images are resized to, regardless of their
        proportions. If None, images keep their sizes.
    grayscale : bool, default=True
        Whether to convert images to grey; otherwise they are loaded as RGB.
    on_error : {"raise", "warn"}, default="raise"
        What to do with unreadable images: raise an error at the first, or leave them out and list
        them in one warning at the end.
    return_X_y : bool, default=False
        If True, return ``(images, target)``.

    Returns
    -------
    Bunch
        - images : ndarray of shape (n, h, w) or (n, h, w, 3), uint8. With ``size=None`` and
          images of different sizes, an object array of shape (n,) of such images, which
          ``FaceCropper`` and ``GrayscaleResizer`` accept
        - data : ndarray of shape (n, n_features), uint8; a view of `images`. Absent if the sizes
          differ
        - target : ndarray of shape (n,), str; labels
        - target_names : ndarray of str; the labels that occur, sorted
        - subset : ndarray of shape (n,), str; the name of the subset folder, or ``"all"`` if there
          are none
        - filenames : ndarray of shape (n,), str; names relative to `path`
        - DESCR : str

        Rows are sorted by file name.

    Raises
    ------
    FileNotFoundError
        If `path` does not exist.
    DatasetFormatError
        If no label folder contains an image; if the first folders are not labels but the ones below
        are emotions; if subsets and other folders lie next to each other; or if an archive is
        damaged or could do harm.
    ImageReadError
        If an image is missing, truncated or damaged; with ``on_error="warn"``, only if no image
        can be read.
    ValueError
        If a parameter is invalid.

    Warns
    -----
    UserWarning
        About label folders without an image, images outside label folders or in formats that are
        not read, a folder next to subsets that is taken for another one, and as `on_error` says.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fer_sklearn import load_image_folder, make_faces
    >>> from fer_sklearn.images import write_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for label in ("happiness", "contempt"):
    ...         pathlib.Path(folder, label).mkdir()
    ...         write_image(f"{folder}/{label}/1.png", make_faces(1, random_state=0).images[0])
    ...     faces = load_image_folder(folder, size=32)
    >>> faces.images.shape, faces.target.tolist()
    ((2, 32, 32), ['contempt', 'happy'])
    """
    check_choice("on_error", on_error, ("raise", "warn"))
    shape = _check_size(size)
    with open_source(path) as source:
        labels = _Labels(source)
        for text in labels.notes:
            warnings.warn(f"{source.path}: {text}.", UserWarning, stacklevel=2)
        images, names = _read(source, sorted(labels.found), shape, grayscale, on_error)
    target = np.array([labels.found[name][1] for name in names])
    stacked = _stack(images)
    if return_X_y:
        return stacked, target
    bunch = Bunch(
        images=stacked,
        target=target,
        target_names=np.unique(target),
        subset=np.array([labels.found[name][0] for name in names]),
        filenames=np.array(names),
        DESCR=_description(path, target),
    )
    if stacked.dtype != object:
        bunch.data = stacked.reshape(len(stacked), -1)
    return bunch


def _description(path: PathLike, target: LabelArray) -> str:
    text = f"{len(target)} labelled images from {path}."
    others = [label for label in np.unique(target).tolist() if not is_emotion(label)]
    return f"{text} Labels that are not emotions: {', '.join(others)}." if others else text


def _check_size(size: Any) -> tuple[int, int] | None:
    """Return ``(height, width)``, or None."""
    if size is None:
        return None
    sides = (size, size) if isinstance(size, Integral) else tuple(np.atleast_1d(size))
    if len(sides) == 2 and all(
        isinstance(side, Integral) and not isinstance(side, bool) and int(side) >= 1
        for side in sides
    ):
        return int(sides[0]), int(sides[1])
    raise ValueError(
        f"size={size!r} must be None, a positive integer, or a pair of them, (height, width)."
    )


class _Labels:
    """The subset and label of each image of a source, by its name.

    Parameters
    ----------
    source : FolderSource, ZipSource or TarSource
        Where the images are.

    Attributes
    ----------
    found : dict of str to (str, str)
        Subset and label of each image in a label folder.
    notes : list of str
        What users should know.

    Raises
    ------
    DatasetFormatError
        If no label folder contains an image, or if it is not clear which folders are labels.
    """

    def __init__(self, source: Source) -> None:
        self.found: dict[str, tuple[str, str]] = {}
        self.notes: list[str] = []
        self._source = source
        self._left_out: list[str] = []
        # The folders that label folders are in.
        self._places: set[str] = set()
        names = [name.split("/") for name in source.names if _is_read(name)]
        self._add(names, 0, "")
        if not self.found:
            raise DatasetFormatError(
                f"{source.path} has no images in label folders: found {len(names)} image(s) and "
                f"{len(source.folders)} folder(s). Expected <label>/<image>, such as happy/1.png."
            )
        self._note_empty_folders()
        if self._left_out:
            self.notes.append(
                f"left out {len(self._left_out)} image(s) outside label folders, such as "
                f"{self._left_out[0]!r}"
            )
        self._note_other_files()

    def _add(self, names: list[list[str]], depth: int, subset: str) -> None:
        """Label the images below a folder to which `depth` folders lead."""
        if depth > _DEEPEST:
            raise DatasetFormatError(
                f"{self._source.path} has no label folders in the first {_DEEPEST} levels of "
                f"folders. Pass the folder in which the label folders are."
            )
        self._left_out += ["/".join(parts) for parts in names if len(parts) == depth + 1]
        folders: dict[str, list[list[str]]] = {}
        for parts in names:
            if len(parts) > depth + 1:
                folders.setdefault(parts[depth], []).append(parts)
        below = {
            folder: {parts[depth + 1] for parts in members if len(parts) > depth + 2}
            for folder, members in folders.items()
        }
        kinds = self._kinds(below)
        if list(kinds.values()) == ["other"] and any(below.values()):
            self._add(next(iter(folders.values())), depth + 1, subset)
            return
        for folder, members in folders.items():
            if set(kinds.values()) == {"subset"}:
                self._add(members, depth + 1, f"{subset}/{folder}" if subset else folder)
            elif kinds[folder] == "subset":
                self._left_out += ["/".join(parts) for parts in members]
            else:
                self._places.add("/".join(members[0][:depth]))
                label = str(canonical_emotion(folder))
                self.found |= {"/".join(parts): (subset or "all", label) for parts in members}

    def _kinds(self, below: dict[str, set[str]]) -> dict[str, str]:
        """Return the kind of each folder, given the names of the folders in it."""
        kinds = {folder: _kind(folder) for folder in below}
        if len(kinds) < 2 or set(kinds.values()) == {"subset"}:
            return kinds
        listed = ", ".join(map(repr, sorted(kinds)[:8])) + (" and more" if len(kinds) > 8 else "")
        subsets = sorted(folder for folder, kind in kinds.items() if kind == "subset")
        others = sorted(set(kinds) - set(subsets))
        emotions = sorted(name for name in set().union(*below.values()) if _kind(name) == "emotion")
        is_about_emotions = "emotion" in kinds.values()
        if subsets and not is_about_emotions and all(map(_has_only_emotions, below.values())):
            self.notes.append(
                f"took {', '.join(map(repr, others))} for a subset like {subsets[0]!r}, since the "
                f"folders below are emotions there too"
            )
            return dict.fromkeys(kinds, "subset")
        if emotions and not is_about_emotions:
            raise DatasetFormatError(
                f"{self._source.path} has the folders {listed}, which are not emotions, while "
                f"folders below are ({', '.join(map(repr, emotions))}); expected label folders, "
                f"alone or in folders of subsets such as 'train' and 'test'. Pass one of these "
                f"folders, or move those that are not part of the data."
            )
        if subsets and (
            not is_about_emotions or any(_has_emotion(below[name]) for name in subsets)
        ):
            raise DatasetFormatError(
                f"{self._source.path} has folders of subsets, {', '.join(map(repr, subsets))}, "
                f"next to other folders: {listed}; expected either subsets or labels. Pass one of "
                f"these folders, or move those that are not part of the data."
            )
        return kinds

    def _note_empty_folders(self) -> None:
        filled = set()
        for name in self.found:
            parts = name.split("/")
            filled |= {"/".join(parts[:i]) for i in range(len(parts))}
        empty = [
            folder
            for folder in self._source.folders
            if folder.rpartition("/")[0] in self._places
            and folder not in filled
            and _kind(folder.rpartition("/")[2]) != "subset"
        ]
        if empty:
            self.notes.append(
                f"no image in the label folder(s) {', '.join(map(repr, empty))}; these labels are "
                f"missing from the data"
            )

    def _note_other_files(self) -> None:
        """Note files that are not read although they are images."""
        counts: dict[str, int] = {}
        for name in self._source.names:
            suffix = os.path.splitext(name)[1].lower()
            if _is_read(name) or suffix in _NOT_IMAGES:
                continue
            if suffix in _IMAGE_LIKE or image_format(self._source.head(name)) is not None:
                counts[suffix or "no suffix"] = counts.get(suffix or "no suffix", 0) + 1
        if counts:
            listed = ", ".join(f"{count} {suffix}" for suffix, count in sorted(counts.items()))
            self.notes.append(
                f"left out {sum(counts.values())} image(s) in formats or with suffixes that are "
                f"not read ({listed}). Convert them to JPEG or PNG; for HEIC, pip install "
                f"'fer_sklearn[heic]' suffices"
            )


def _kind(folder: str) -> str:
    """Return what a folder is named after: "emotion", "subset" or "other"."""
    if is_emotion(canonical_emotion(folder)):
        return "emotion"
    return "subset" if subset_role(folder) else "other"


def _has_emotion(folders: Iterable[str]) -> bool:
    return any(_kind(folder) == "emotion" for folder in folders)


def _has_only_emotions(folders: Iterable[str]) -> bool:
    return {_kind(folder) for folder in folders} == {"emotion"}


def subset_role(name: str) -> str:
    """Return the part of a data set that a folder is named after, such as "train"; or "".

    Parameters
    ----------
    name : str
        Such as ``"TrainingSet"``, ``"val_images"`` or ``"fold1"``.

    Returns
    -------
    str
        ``"train"``, ``"test"``, ``"val"``, or the first word of another name.
    """
    match = _SUBSET.fullmatch(re.sub("[^a-z0-9]", "", name.lower()))
    if match is None:
        return ""
    word = match["word"]
    return next((role for role in ("train", "test", "val") if word.startswith(role)), word)


def _is_read(name: str) -> bool:
    """Return whether a file is read as an image: HEIC only if there is a decoder for it."""
    if name.lower().endswith((".heic", ".heif")):
        return is_image_file(name) and find_spec("pillow_heif") is not None
    return is_image_file(name)


def _read(
    source: Source,
    names: list[str],
    shape: tuple[int, int] | None,
    grayscale: bool,
    on_error: str,
) -> tuple[list[PixelArray], list[str]]:
    """Return the images that can be read, and their names."""
    images, read, errors = [], [], []
    for name in names:
        try:
            image = _read_one(source, name, grayscale)
        except ImageReadError as error:
            if on_error == "raise":
                raise
            errors.append(error)
            continue
        images.append(image if shape is None else resize(image, shape))
        read.append(name)
    if errors and not images:
        raise ImageReadError(f"None of {len(errors)} image(s) can be read. First: {errors[0]}")
    if errors:
        warnings.warn(
            f"Left out {len(errors)} of {len(names)} image(s) that cannot be read:\n"
            + "\n".join(map(str, errors)),
            UserWarning,
            stacklevel=3,
        )
    return images, read


def _read_one(source: Source, name: str, grayscale: bool) -> PixelArray:
    data, described = source.read(name), source.describe(name)
    if grayscale:
        return decode_gray(data, described)
    return decode_color(data, described)


def _stack(images: list[PixelArray]) -> PixelArray:
    if len({image.shape for image in images}) == 1:
        return np.stack(images)
    stacked = np.empty(len(images), dtype=object)
    # Not by slice: NumPy would try to make one array of images of equal height.
    for i, image in enumerate(images):
        stacked[i] = image
    return stacked


# -- data sets whose layout is detected ------------------------------------------------


@overload
def load_dataset(
    path: PathLike,
    *,
    subset: str | Sequence[str] | None = None,
    on_error: str = "raise",
    return_X_y: Literal[False] = False,
) -> Bunch: ...
@overload
def load_dataset(
    path: PathLike,
    *,
    subset: str | Sequence[str] | None = None,
    on_error: str = "raise",
    return_X_y: Literal[True],
) -> tuple[PixelArray, LabelArray]: ...
def load_dataset(
    path: PathLike,
    *,
    subset: str | Sequence[str] | None = None,
    on_error: str = "raise",
    return_X_y: bool = False,
) -> Bunch | tuple[PixelArray, LabelArray]:
    """Load labelled images, either FER2013 or a folder per label.

    The layout is detected: `path` is read with :func:`load_fer2013` if it is FER2013 in any of
    its forms, otherwise with :func:`load_image_folder`.

    Parameters
    ----------
    path : str or path-like
        A CSV file of FER2013, a folder, or a zip archive.
    subset : str, sequence of str or None, default=None
        The part to load: ``"train"``, ``"public"``, ``"private"`` or ``"all"`` for FER2013, or the
        name of a folder around the label folders; case does not matter. Given several names, the
        first that the data has is loaded, or everything if it has none of them. If None,
        everything is loaded.
    on_error : {"raise", "warn"}, default="raise"
        What to do with unreadable images in label folders, as in :func:`load_image_folder`.
    return_X_y : bool, default=False
        If True, return ``(images, target)``.

    Returns
    -------
    Bunch
        What the loader returned, and

        - layout : str; ``"FER2013 layout"`` or ``"label folders"``
        - part : str; the name of the subset that was loaded, or ``"all"``

    Raises
    ------
    FileNotFoundError
        If `path` does not exist.
    DatasetFormatError
        If `path` has neither layout, or no subset of this name.
    ImageReadError
        If an image is missing, truncated or damaged.
    ValueError
        If `path` is a CSV file and `subset` is not one of FER2013's.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fer_sklearn import load_dataset, make_faces
    >>> from fer_sklearn.images import write_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for label in ("happy", "sad"):
    ...         pathlib.Path(folder, label).mkdir()
    ...         write_image(f"{folder}/{label}/1.png", make_faces(1, random_state=0).images[0])
    ...     faces = load_dataset(folder, subset=["train", "training"])
    >>> faces.layout, faces.part, faces.target.tolist()
    ('label folders', 'all', ['happy', 'sad'])
    """
    check_choice("on_error", on_error, ("raise", "warn"))
    names = ["all"] if subset is None else [subset] if isinstance(subset, str) else list(subset)
    names = [name.lower() for name in names]
    is_optional = subset is not None and not isinstance(subset, str)
    data = _load(path, names, is_optional, on_error)
    return (data.images, data.target) if return_X_y else data


def _load(path: PathLike, names: list[str], is_optional: bool, on_error: str) -> Bunch:
    """Try FER2013, then label folders; if neither fits, report both errors."""
    not_fer2013 = None
    fer2013_name = next((name for name in names if name in (*SUBSETS, "all")), None)
    if fer2013_name is not None:
        try:
            data = load_fer2013(path, subset=fer2013_name)
            return Bunch(layout="FER2013 layout", part=fer2013_name, **data)
        except DatasetFormatError as error:
            not_fer2013 = error
    if ".csv" in map(str.lower, Path(path).suffixes):
        raise not_fer2013 or ValueError(
            f"subset={names[0]!r} is not a subset of FER2013, the only data set in CSV files that "
            f"can be read; expected one of {', '.join((*SUBSETS, 'all'))}."
        )
    try:
        return _select_part(load_image_folder(path, on_error=on_error), path, names, is_optional)
    except DatasetFormatError as error:
        if not_fer2013 is None:
            raise
        raise DatasetFormatError(
            f"{path} cannot be used. As FER2013: {not_fer2013} As label folders: {error}"
        ) from error


def _select_part(data: Bunch, path: PathLike, names: list[str], is_optional: bool) -> Bunch:
    """Keep the images of the first subset in `names` that an image folder has."""
    existing = {name.lower(): name for name in np.unique(data.subset).tolist()}
    part = next((existing[name] for name in names if name in existing), None)
    if part is None and "all" not in names:
        part = next(filter(None, (_part_of_role(name, existing, path) for name in names)), None)
    if part is None and (is_optional or "all" in names):
        part = "all"
    if part is None:
        raise DatasetFormatError(
            f"{path} has no subset {names[0]!r}; it has {', '.join(existing.values())}. Choose one "
            f"of these, or 'all'.{suggestion(names[0], existing.values())}"
        )
    if part != "all":
        rows = data.subset == part
        selected = {
            key: value[rows]
            for key, value in data.items()
            if key in ("images", "target", "subset", "filenames")
        }
        data = Bunch(**{**data, **selected, "target_names": np.unique(selected["target"])})
        data.pop("data", None)
        if data.images.dtype != object:
            data.data = data.images.reshape(len(data.images), -1)
    return Bunch(layout="label folders", part=part, **data)


def _part_of_role(name: str, existing: dict[str, str], path: PathLike) -> str | None:
    """Return the subset that is the same part under another name: "TrainingSet" for "train"."""
    role = subset_role(name)
    found = [other for other in existing.values() if role and subset_role(other) == role]
    if len(found) > 1:
        raise DatasetFormatError(
            f"{path} has no subset {name!r}, but {', '.join(map(repr, found))}. Choose one of "
            f"these."
        )
    return found[0] if found else None
