"""Labelled images for a command: FER2013 in any form, or one folder per label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ._output import CommandError, note

if TYPE_CHECKING:
    from .._utils.typing import IntArray, LabelArray

__all__ = [
    "SUBSET_HELP",
    "TEST_SUBSETS",
    "TRAIN_SUBSETS",
    "Labelled",
    "hold_out",
    "load_labelled",
    "load_split",
    "stratified_rows",
]

# Names of the parts of a data set, most likely first.
TRAIN_SUBSETS = ("train", "training")
TEST_SUBSETS = ("public", "test", "publictest", "testing", "validation", "valid", "val", "dev")

SUBSET_HELP = (
    "part of the data: train, public, private or all of FER2013, or the name of a folder around "
    "the label folders or of a subset in a table"
)


class Labelled(NamedTuple):
    """Images, ``(n, h, w)`` or an object array if sizes differ, and their labels."""

    images: Any
    target: Any
    layout: str = ""
    filenames: Any = None


def load_labelled(
    path: str,
    *,
    subset: str | None = None,
    prefer: Sequence[str] = TRAIN_SUBSETS,
    limit: int | None = None,
    random_state: int = 0,
) -> Labelled:
    """Load labelled images and report what was read.

    Parameters
    ----------
    path : str
        FER2013 as a zip, CSV or folder; or a folder or zip of label folders.
    subset : str or None, default=None
        The part to load. If None, the first of `prefer` that exists, else everything.
    prefer : sequence of str
    limit : int or None, default=None
        Draw at most this many images, stratified by label.
    random_state : int, default=0
        Seed of that draw.
    """
    data = _load(path, subset or prefer)
    found = Labelled(data.images, data.target, data.layout, data.filenames)
    drawn = _draw(found, limit, random_state)
    part = "all" if data.part == "all" else f"subset {data.part}"
    _report(f"{path} ({data.layout}, {part})", drawn, found)
    return drawn


def load_split(
    path: str, *, limit: int | None = None, random_state: int = 0
) -> tuple[Labelled, Labelled]:
    """Load images to train on and images to test on, as `load_labelled` does.

    If the data has no such parts, a quarter is held out for testing, stratified by label and
    without copies of training images.

    Returns
    -------
    train, test : Labelled
    """
    data = _load(path, TRAIN_SUBSETS)
    found = Labelled(data.images, data.target)
    if data.part != "all":
        test_data = _load(path, TEST_SUBSETS)
        if test_data.part == "all":
            raise CommandError(
                f"{path} has a subset {data.part!r}, but no test subset; expected one of "
                f"{', '.join(TEST_SUBSETS)} next to it."
            )
        test = Labelled(test_data.images, test_data.target)
        names = f"subset {data.part}", f"subset {test_data.part}"
    else:
        found, test = hold_out(found, 0.25, random_state)
        names = "three quarters", "the other quarter"
    train = _draw(found, limit, random_state)
    _report(f"{path} ({data.layout}, {names[0]})", train, found)
    _report(f"{path} ({data.layout}, {names[1]})", test, test)
    return train, test


def _load(path, subset):
    from ..datasets import load_dataset

    return load_dataset(path, subset=subset, on_error="warn")


def hold_out(data: Labelled, fraction: float, random_state: int) -> tuple[Labelled, Labelled]:
    """Split images at random into those to train on and those to score.

    This fraction of each label's images is held out, at least one image and never all. Copies of an
    image stay together, so that memorised images do not inflate a score.

    Parameters
    ----------
    data : Labelled
    fraction : float
    random_state : int
        Shuffles the images.

    Returns
    -------
    training, held_out : Labelled

    Raises
    ------
    CommandError
        If a label has a single image, or only copies of one.
    """
    import numpy as np

    from ..datasets import duplicate_groups

    _, first, group, sizes = np.unique(
        duplicate_groups(data.images), return_index=True, return_inverse=True, return_counts=True
    )
    label_of_group = data.target[first]
    shuffled = np.random.default_rng(random_state).permutation(len(sizes))
    is_held = np.zeros(len(sizes), bool)
    for label in np.unique(data.target):
        members = shuffled[label_of_group[shuffled] == label]
        if len(members) < 2:
            raise CommandError(
                f"the label {label!s} has a single image, or copies of one, so none can be "
                f"held out; add images, or train on all with --hold-out 0"
            )
        wanted = max(1, round(fraction * sizes[members].sum()))
        before = np.cumsum(sizes[members]) - sizes[members]
        is_held[members[:-1][before[:-1] < wanted]] = True
    rows = is_held[group]
    return _take(data, np.flatnonzero(~rows)), _take(data, np.flatnonzero(rows))


def _take(data, rows):
    names = None if data.filenames is None else data.filenames[rows]
    return data._replace(images=data.images[rows], target=data.target[rows], filenames=names)


def _draw(data, limit, random_state):
    """Return at most `limit` images."""
    if limit is None or limit >= len(data.target):
        return data
    return _take(data, stratified_rows(data.target, limit, random_state))


def stratified_rows(target: LabelArray, n_rows: int, random_state: int) -> IntArray:
    """Draw rows at random so that labels keep their proportions, and rare ones are included.

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


def _report(what, data, found):
    """Report what was read, and how many images each label has."""
    import numpy as np

    labels, counts = np.unique(data.target, return_counts=True)
    n, n_found = len(data.target), len(found.target)
    drawn = "" if n == n_found else f", drawn from {n_found:,}"
    varied = data.images.dtype == object
    sizes = "several sizes" if varied else f"{data.images.shape[2]}×{data.images.shape[1]} pixels"
    note(f"Read {what}: {n:,} images{drawn}, {sizes}")
    counted = zip(labels.tolist(), counts.tolist(), strict=True)
    note("  " + ", ".join(f"{label} {count:,}" for label, count in counted))
