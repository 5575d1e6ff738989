"""Labelled images for a command: FER2013 in any form, or a folder of label folders."""

from pathlib import Path
from typing import NamedTuple

from ._output import CommandError, note

__all__ = [
    "SUBSET_HELP",
    "TEST_SUBSETS",
    "TRAIN_SUBSETS",
    "Labelled",
    "load_labelled",
    "load_split",
    "stratified_rows",
]

_FER2013_SUBSETS = ("train", "public", "private", "all")
# What the parts of a data set are called, the most likely first.
TRAIN_SUBSETS = ("train", "training")
TEST_SUBSETS = ("public", "test", "publictest", "testing", "validation", "valid", "val", "dev")

SUBSET_HELP = (
    "the part of the data: train, public, private or all of FER2013, or the name of a folder "
    "around the label folders"
)


class Labelled(NamedTuple):
    """Images, ``(n, h, w)`` or an object array where sizes differ, and their labels."""

    images: object
    target: object


def load_labelled(path, *, subset=None, prefer=TRAIN_SUBSETS, limit=None, random_state=0):
    """Read labelled images and say what was read.

    Parameters
    ----------
    path : str
        FER2013 as a zip, CSV or folder; or a folder or zip of label folders.
    subset : str or None
        The part to read; None is the first of `prefer` that there is, else everything.
    prefer : sequence of str
    limit : int or None
        Read no more images than these, drawn so that all labels keep their share.
    random_state : int
        Draws them.

    Returns
    -------
    Labelled
    """
    kind, data, part = _load(path, subset, prefer)
    found = Labelled(data.images, data.target)
    drawn = _draw(found, limit, random_state)
    _tell(f"{path} ({kind}, {'all' if part == 'all' else f'subset {part}'})", drawn, found)
    return drawn


def load_split(path, *, limit=None, random_state=0):
    """Read images to train on and images to test on, as `load_labelled` reads them.

    Where the data has no such parts, a quarter is held out for the test: of each label its
    share, and never a copy of a training image.

    Returns
    -------
    train, test : Labelled
    """
    kind, data, part = _load(path, None, TRAIN_SUBSETS)
    found = Labelled(data.images, data.target)
    if part != "all":
        _, data, test_part = _load(path, None, TEST_SUBSETS)
        if test_part == "all":
            raise CommandError(
                f"{path} has a part {part!r} but none to test on; expected one of "
                f"{', '.join(TEST_SUBSETS)} beside it."
            )
        test = Labelled(data.images, data.target)
        names = f"subset {part}", f"subset {test_part}"
    else:
        found, test = _hold_out(found, random_state)
        names = "three quarters", "the other quarter"
    train = _draw(found, limit, random_state)
    _tell(f"{path} ({kind}, {names[0]})", train, found)
    _tell(f"{path} ({kind}, {names[1]})", test, test)
    return train, test


def _hold_out(data, random_state):
    from sklearn.model_selection import StratifiedGroupKFold

    from ..datasets import duplicate_groups

    folds = StratifiedGroupKFold(4, shuffle=True, random_state=random_state)
    groups = duplicate_groups(data.images)
    parts = next(folds.split(data.target, data.target, groups))
    return tuple(Labelled(data.images[rows], data.target[rows]) for rows in parts)


def _draw(data, limit, random_state):
    """Return no more images than `limit`."""
    if limit is None or limit >= len(data.target):
        return data
    rows = stratified_rows(data.target, limit, random_state)
    return Labelled(data.images[rows], data.target[rows])


def stratified_rows(target, n_rows, random_state):
    """Draw rows at random so that every label keeps its share, and none is lost early.

    Returns
    -------
    ndarray of shape (n_rows,), int
        Sorted.
    """
    import numpy as np

    shuffled = np.random.default_rng(random_state).permutation(len(target))
    _, codes, counts = np.unique(target[shuffled], return_inverse=True, return_counts=True)
    # A row that is the third of ten of its label comes before one that is the second of five.
    rank = np.empty(len(target))
    for code, count in enumerate(counts):
        rank[codes == code] = np.arange(count) / count
    return np.sort(shuffled[np.argsort(rank, kind="stable")[:n_rows]])


def _load(path, subset, prefer):
    """Return what the data is, the data, and its part; try FER2013 first."""
    from ..datasets import load_fer2013, load_image_folder
    from ..exceptions import DatasetFormatError

    wanted = (subset or prefer[0]).lower()
    not_fer2013 = None
    if wanted in _FER2013_SUBSETS:
        try:
            return "FER2013 layout", load_fer2013(path, subset=wanted), wanted
        except DatasetFormatError as error:
            not_fer2013 = error
    if Path(path).suffix.lower() == ".csv":
        raise not_fer2013 or CommandError(
            f"--subset {subset} is no part of FER2013; expected one of "
            f"{', '.join(_FER2013_SUBSETS)}"
        )
    try:
        data = load_image_folder(path, on_error="warn")
        return "label folders", *_part_of(data, path, subset, prefer)
    except (DatasetFormatError, CommandError) as error:
        if not_fer2013 is None:
            raise
        raise CommandError(
            f"{path} cannot be used. As FER2013: {not_fer2013} As label folders: {error}"
        ) from error


def _part_of(data, path, subset, prefer):
    """Return the wanted part of an image folder, and what it is called."""
    import numpy as np

    names = {name.lower(): name for name in np.unique(data.subset).tolist()}
    part = subset.lower() if subset else next((name for name in prefer if name in names), "all")
    if part == "all":
        return data, part
    if part not in names:
        raise CommandError(
            f"{path} has no part called {subset!r}; it has {', '.join(names.values())}. "
            f"Choose one of these as --subset, or all."
        )
    rows = data.subset == names[part]
    data.images, data.target = data.images[rows], data.target[rows]
    return data, names[part]


def _tell(what, data, found):
    """Say what was read, and how many images of each label."""
    import numpy as np

    labels, counts = np.unique(data.target, return_counts=True)
    n, n_found = len(data.target), len(found.target)
    drawn = "" if n == n_found else f", drawn from {n_found:,}"
    varied = data.images.dtype == object
    sizes = "several sizes" if varied else f"{data.images.shape[2]}×{data.images.shape[1]} pixels"
    note(f"Read {what}: {n:,} images{drawn}, {sizes}")
    counted = zip(labels.tolist(), counts.tolist(), strict=True)
    note("  " + ", ".join(f"{label} {count:,}" for label, count in counted))
