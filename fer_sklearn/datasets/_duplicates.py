"""Exact duplicates among the images of a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length

from .._utils.pixels import split_batch
from .._utils.typing import ArrayLike, ImagesLike, IntArray
from .._utils.validation import encode_labels
from ..images import as_photo

__all__ = ["DuplicateReport", "duplicate_groups", "duplicate_report", "number_copies"]


def duplicate_groups(images: ImagesLike) -> IntArray:
    """Assign the same group number to identical images.

    Duplicates that fall into both parts of a split inflate the score. Pass these numbers as
    ``groups`` to scikit-learn's ``StratifiedGroupKFold`` to keep them in one fold.

    Parameters
    ----------
    images : array-like of shape (n, h, w), (n, h, w, c) or (n, h * w), or list of photos
        Images are identical if all their pixels, their size and their dtype are.

    Returns
    -------
    ndarray of shape (n,), int64
        Group numbers, counted from 0 in the order of first appearance.

    Raises
    ------
    ValueError
        If `images` is empty or not a batch of images.

    Examples
    --------
    >>> from fer_sklearn import duplicate_groups, make_faces
    >>> faces = make_faces(3, random_state=0).images
    >>> duplicate_groups(faces[[0, 1, 0, 2, 1]])
    array([0, 1, 0, 2, 1])
    """
    if isinstance(images, np.ndarray) and images.dtype.kind in "biuf" and images.ndim == 2:
        return number_copies(images)  # rows are compared, regardless of the shape of the images
    return number_copies(split_batch(images, name="images"))


def number_copies(photos: Iterable[Any]) -> IntArray:
    """Assign the same group number to identical photos, reading them one at a time.

    Parameters
    ----------
    photos : iterable of paths, bytes, file objects or arrays
        Photos, as in :func:`duplicate_groups`.

    Returns
    -------
    ndarray of shape (n,), int64
        Group numbers, counted from 0 in the order of first appearance.
    """
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(_digest(photo), len(numbers)) for photo in photos])


@dataclass(frozen=True)
class DuplicateReport:
    """Numbers of exact duplicates; print it for a readable summary.

    Attributes
    ----------
    n_images : dict of str to int
        Number of images in each subset.
    copies : dict of str to int
        Number of images in each subset that equal an earlier one of the same subset.
    label_conflicts : dict of str to int
        Number of groups of identical images in each subset that have different labels; empty if
        no labels were given.
    shared : dict of (str, str) to int
        ``shared["public", "train"]`` images of ``public`` are also in ``train``.
    groups : ndarray of shape (n,), int64
        Group numbers as :func:`duplicate_groups` returns them, for a splitter.
    """

    n_images: dict[str, int]
    copies: dict[str, int]
    label_conflicts: dict[str, int]
    shared: dict[tuple[str, str], int]
    groups: IntArray = field(repr=False)

    def __str__(self) -> str:
        lines = []
        for name, n_images in self.n_images.items():
            line = f"{name}: {n_images:,} images, {self.copies[name]:,} copies of others"
            if name in self.label_conflicts:
                n_conflicts = self.label_conflicts[name]
                line += f", {n_conflicts:,} groups of copies with different labels"
            lines.append(line)
        lines += [
            f"{a} in {b}: {n:,} of {self.n_images[a]:,} images ({n / self.n_images[a]:.1%})"
            for (a, b), n in self.shared.items()
        ]
        return "\n".join(lines)


def duplicate_report(
    images: ImagesLike, y: ArrayLike | None = None, subset: ArrayLike | None = None
) -> DuplicateReport:
    """Count exact duplicates within and between the subsets of a data set.

    Parameters
    ----------
    images : array-like of shape (n, h, w), (n, h, w, c) or (n, h * w), or list of photos
        Images, of all subsets.
    y : array-like of shape (n,) or None, default=None
        Labels. If given, duplicates with different labels are counted too.
    subset : array-like of shape (n,) or None, default=None
        Name of the subset of each image. If None, all images are in one subset, ``"all"``.

    Returns
    -------
    DuplicateReport
        Numbers of duplicates.

    Raises
    ------
    ValueError
        If `images` is empty, or `y` or `subset` has a different length or a missing value.

    Examples
    --------
    >>> from fer_sklearn import duplicate_report, make_faces
    >>> faces = make_faces(3, random_state=0).images
    >>> subset = ["train", "train", "train", "test", "test"]
    >>> print(duplicate_report(faces[[0, 1, 1, 0, 2]], list("aabab"), subset))
    train: 3 images, 1 copies of others, 1 groups of copies with different labels
    test: 2 images, 0 copies of others, 0 groups of copies with different labels
    train in test: 1 of 3 images (33.3%)
    test in train: 1 of 2 images (50.0%)
    """
    check_consistent_length(images, y, subset)
    groups = duplicate_groups(images)
    subsets = np.full(len(groups), "all")
    if subset is not None:
        known, positions = encode_labels(subset, name="subset")
        subsets = known[positions]
    names = list(dict.fromkeys(subsets.tolist()))
    within = {name: groups[subsets == name] for name in names}
    conflicts = {}
    if y is not None:
        codes = encode_labels(y)[1]
        conflicts = {name: _n_conflicts(within[name], codes[subsets == name]) for name in names}
    return DuplicateReport(
        n_images={name: len(within[name]) for name in names},
        copies={name: len(within[name]) - len(np.unique(within[name])) for name in names},
        label_conflicts=conflicts,
        shared={
            (a, b): int(np.isin(within[a], within[b]).sum()) for a, b in permutations(names, 2)
        },
        groups=groups,
    )


def _digest(photo: Any) -> bytes:
    """Return 16 bytes that only identical images share."""
    pixels = np.ascontiguousarray(photo if hasattr(photo, "dtype") else as_photo(photo))
    digest = hashlib.blake2b(f"{pixels.shape}{pixels.dtype.str}".encode(), digest_size=16)
    digest.update(pixels.data)
    return digest.digest()


def _n_conflicts(groups: IntArray, codes: IntArray) -> int:
    """Count groups with more than one label."""
    pairs = np.unique(np.stack([groups, codes]), axis=1)
    return int((np.bincount(pairs[0]) > 1).sum())
