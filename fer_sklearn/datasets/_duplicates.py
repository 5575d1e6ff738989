"""Exact copies among the images of a data set."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length

from ..images import as_photo_list, read_image

__all__ = ["DuplicateReport", "duplicate_groups", "duplicate_report"]


def duplicate_groups(images):
    """Number identical images alike.

    Copies that fall into both parts of a split make a score too good. Given as ``groups``
    to scikit-learn's ``StratifiedGroupKFold``, these numbers keep them in one fold.

    Parameters
    ----------
    images : array-like of shape (n, h, w), (n, h, w, c) or (n, h * w), or list of photos
        Images are identical where all their pixels, their size and their dtype are.

    Returns
    -------
    ndarray of shape (n,), int64
        Group numbers, from 0 in the order of first appearance.

    Raises
    ------
    ValueError
        If `images` is empty or no batch of images.

    Examples
    --------
    >>> from fer_sklearn import duplicate_groups, make_faces
    >>> faces = make_faces(3, random_state=0).images
    >>> duplicate_groups(faces[[0, 1, 0, 2, 1]])
    array([0, 1, 0, 2, 1])
    """
    return number_copies(as_photo_list(images, name="images"))


def number_copies(photos: Iterable[Any]) -> np.ndarray:
    """Number identical photos alike, as :func:`duplicate_groups`, reading them one at a time.

    Parameters
    ----------
    photos : iterable of paths or pixels

    Returns
    -------
    ndarray of shape (n,), int64
    """
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(_digest(photo), len(numbers)) for photo in photos])


@dataclass(frozen=True)
class DuplicateReport:
    """Counts of exact copies; printing it gives a readable summary.

    Attributes
    ----------
    n_images : dict of str to int
        Images in each subset.
    copies : dict of str to int
        Images of a subset that equal an earlier one of the same subset.
    conflicts : dict of str to int
        Groups of identical images within a subset that carry different labels; empty
        where no labels were given.
    shared : dict of (str, str) to int
        ``shared["public", "train"]`` images of ``public`` stand in ``train`` too.
    groups : ndarray of shape (n,), int64
        The numbers of :func:`duplicate_groups`, to pass on to a splitter.
    """

    n_images: dict
    copies: dict
    conflicts: dict
    shared: dict
    groups: np.ndarray = field(repr=False)

    def __str__(self):
        lines = []
        for name, n_images in self.n_images.items():
            line = f"{name}: {n_images:,} images, {self.copies[name]:,} copies of others"
            if name in self.conflicts:
                line += f", {self.conflicts[name]:,} groups of copies with different labels"
            lines.append(line)
        lines += [
            f"{a} in {b}: {n:,} of {self.n_images[a]:,} images ({n / self.n_images[a]:.1%})"
            for (a, b), n in self.shared.items()
        ]
        return "\n".join(lines)


def duplicate_report(images, target=None, subset=None):
    """Count exact copies within and between the subsets of a data set.

    Parameters
    ----------
    images : array-like of shape (n, h, w), (n, h, w, c) or (n, h * w), or list of photos
    target : array-like of shape (n,) or None, default=None
        Labels; with them, copies that are labelled differently are counted.
    subset : array-like of shape (n,) or None, default=None
        The subset of every image; None means that there is one, ``"all"``.

    Returns
    -------
    DuplicateReport

    Raises
    ------
    ValueError
        If `images` is empty, or `target` or `subset` has another length.

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
    check_consistent_length(images, target, subset)
    groups = duplicate_groups(images)
    subset = np.full(len(groups), "all") if subset is None else np.asarray(subset)
    names = list(dict.fromkeys(subset.tolist()))
    within = {name: groups[subset == name] for name in names}
    conflicts = {}
    if target is not None:
        labels = np.unique(np.asarray(target), return_inverse=True)[1]
        conflicts = {name: _n_conflicts(within[name], labels[subset == name]) for name in names}
    return DuplicateReport(
        n_images={name: len(within[name]) for name in names},
        copies={name: len(within[name]) - len(np.unique(within[name])) for name in names},
        conflicts=conflicts,
        shared={
            (a, b): int(np.isin(within[a], within[b]).sum()) for a, b in permutations(names, 2)
        },
        groups=groups,
    )


def _digest(photo):
    """Return 16 bytes that only identical images share."""
    pixels = np.ascontiguousarray(photo if hasattr(photo, "dtype") else _as_pixels(photo))
    digest = hashlib.blake2b(f"{pixels.shape}{pixels.dtype.str}".encode(), digest_size=16)
    digest.update(pixels)
    return digest.digest()


def _as_pixels(photo):
    return read_image(photo) if isinstance(photo, str) or hasattr(photo, "__fspath__") else photo


def _n_conflicts(groups, labels):
    """Count groups that hold more than one label."""
    pairs = np.unique(np.stack([groups, labels]), axis=1)
    return int((np.bincount(pairs[0]) > 1).sum())
