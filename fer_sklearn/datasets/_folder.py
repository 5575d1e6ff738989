"""Folders and archives of labelled images."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from importlib.util import find_spec
from numbers import Integral
from typing import Any, Literal, TypeVar, overload

import numpy as np
from sklearn.utils import Bunch

from .._utils.image_files import image_format
from .._utils.pixel_values import PixelStack
from .._utils.typing import LabelArray, PathLike, PixelArray, Size
from .._utils.validation import check_choice
from ..emotions import canonical_emotion, is_emotion
from ..exceptions import DatasetFormatError, ImageReadError
from ..images import OTHER_SUFFIXES, decode_color, decode_gray, is_image_file, resize
from ._archives import Source, open_source

__all__ = [
    "check_size",
    "description",
    "load_image_folder",
    "read_images",
    "subset_role",
    "warn_of_stray_labels",
]

Key = TypeVar("Key")

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
# Files next to images that are ignored.
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
    :func:`~fer_sklearn.canonical_emotion` to ``angry``. Labels that are not synonyms of an emotion
    are kept, and listed in `DESCR`; if most labels are emotions, a warning lists the others. If the
    first folders have names of subsets (``train``, ``val_images``, ``TestSet``, ``fold1``, …), the
    label is the name of the folder below; subsets may also be in the label folders, as in
    ``anger/train/1.png``. A single folder around all others, as archives often have
    it, is skipped unless it is named like an emotion. Hidden files, and those that systems add,
    such as ``__MACOSX`` and ``Thumbs.db``, are ignored.

    Parameters
    ----------
    path : str or path-like
        The folder, or a zip or tar archive of it; the latter may be compressed.
    size : int, (int, int) or None, default=None
        Side, or height and width, in pixels, that all images are resized to, regardless of their
        aspect ratio. If None, images keep their sizes.
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
        are emotions; if subsets and other folders are next to each other; or if an archive is
        damaged or unsafe.
    ImageReadError
        If an image is missing, truncated or damaged; with ``on_error="warn"``, only if no image
        can be read.
    ValueError
        If a parameter is invalid.

    Warns
    -----
    UserWarning
        About label folders without an image, images outside label folders or in unsupported
        formats, a folder next to subsets that is treated as another subset, and, with
        `on_error="warn"`, unreadable images.

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
    shape = check_size(size)
    with open_source(path) as source:
        labels = _Labels(source)
        for text in labels.notes:
            warnings.warn(f"{source.path}: {text}.", UserWarning, stacklevel=2)
        readers = (
            (name, partial(_read_one, source, name, grayscale)) for name in sorted(labels.found)
        )
        images, names = read_images(readers, shape, on_error)
    target = np.array([labels.found[name][1] for name in names])
    warn_of_stray_labels(target, source.path, "Move those folders elsewhere")
    if return_X_y:
        return images, target
    bunch = Bunch(
        images=images,
        target=target,
        target_names=np.unique(target),
        subset=np.array([labels.found[name][0] for name in names]),
        filenames=np.array(names),
        DESCR=description(path, target),
    )
    if images.dtype != object:
        bunch.data = images.reshape(len(images), -1)
    return bunch


def warn_of_stray_labels(target: LabelArray, source: object, remedy: str) -> None:
    """Warn, on behalf of a loader, about labels that are not emotions if most are."""
    labels, counts = np.unique(target, return_counts=True)
    others = [
        f"{label!r} ({count} image(s))"
        for label, count in zip(labels.tolist(), counts.tolist(), strict=True)
        if not is_emotion(label)
    ]
    if 0 < len(others) < len(labels) / 2:
        warnings.warn(
            f"{source}: the label(s) {', '.join(others)} are not emotions, while the other labels "
            f"are. {remedy} unless you want them as labels.",
            UserWarning,
            stacklevel=3,
        )


def description(origin: object, target: LabelArray) -> str:
    """Return the `DESCR` of labelled images, which lists labels that are not emotions."""
    text = f"{len(target)} labelled images from {origin}."
    others = [str(label) for label in np.unique(target).tolist() if not is_emotion(label)]
    return f"{text} Labels that are not emotions: {', '.join(others)}." if others else text


def check_size(size: Any) -> tuple[int, int] | None:
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
        Remarks for the user.

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
        """Label the images below a folder that is `depth` levels deep."""
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
        has_inner_subsets = not subset and all(
            len(parts) > depth + 2 and subset_role(parts[depth + 1])
            for folder, members in folders.items()
            if kinds[folder] != "subset"
            for parts in members
        )
        for folder, members in folders.items():
            if set(kinds.values()) == {"subset"}:
                self._add(members, depth + 1, f"{subset}/{folder}" if subset else folder)
            elif kinds[folder] == "subset":
                self._left_out += ["/".join(parts) for parts in members]
            else:
                self._places.add("/".join(members[0][:depth]))
                label = str(canonical_emotion(folder))
                for parts in members:
                    part = parts[depth + 1] if has_inner_subsets else subset or "all"
                    self.found["/".join(parts)] = part, label

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
                f"treated {', '.join(map(repr, others))} as a subset like {subsets[0]!r}, since "
                f"the folders in it are emotions, too"
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
        holding = sorted(
            name for name in others if kinds[name] == "other" and _has_emotion(below[name])
        )
        if holding:
            raise DatasetFormatError(
                f"{self._source.path} has the folders {listed}, and folders of emotions in "
                f"{', '.join(map(repr, holding))} too; expected label folders, alone or in folders "
                f"of subsets such as 'train' and 'test'. Pass one of these folders, or move those "
                f"that are not part of the data."
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
        """Note images that are skipped because their format or suffix is not supported."""
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
    """Return the kind of a folder's name: "emotion", "subset" or "other"."""
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


def read_images(
    readers: Iterable[tuple[Key, Callable[[], PixelArray]]],
    shape: tuple[int, int] | None,
    on_error: str,
) -> tuple[PixelArray, list[Key]]:
    """Read images one by one, leaving out those that cannot be read.

    Parameters
    ----------
    readers : iterable of (key, callable)
        An identifier of each image, and a function that reads it.
    shape : (int, int) or None
        Height and width that images are resized to.
    on_error : {"raise", "warn"}
        As in :func:`load_image_folder`.

    Returns
    -------
    images : ndarray of shape (n, h, w) or (n, h, w, 3), uint8, or an object array of shape (n,)
    keys : list
        The identifiers of the images.

    Raises
    ------
    ImageReadError
        If an image cannot be read or, with ``on_error="warn"``, none.
    """
    stack, read, errors = PixelStack(), [], []
    for key, reader in readers:
        try:
            image = reader()
        except (ImageReadError, DatasetFormatError) as error:
            if on_error == "raise":
                raise
            errors.append(error)
            continue
        stack.append(image if shape is None else resize(image, shape))
        read.append(key)
    if errors and not read:
        raise ImageReadError(f"None of {len(errors)} image(s) can be read. First: {errors[0]}")
    if errors:
        warnings.warn(
            f"Left out {len(errors)} of {len(errors) + len(read)} image(s) that cannot be read:\n"
            + "\n".join(map(str, errors)),
            UserWarning,
            stacklevel=3,
        )
    return stack.finish(), read


def _read_one(source: Source, name: str, grayscale: bool) -> PixelArray:
    data, described = source.read(name), source.describe(name)
    if grayscale:
        return decode_gray(data, described)
    return decode_color(data, described)
