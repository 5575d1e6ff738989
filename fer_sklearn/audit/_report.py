"""The report of an audit: numbers, tables and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.tables import TabularReport
from .._utils.typing import BoolArray, FloatArray, IntArray, LabelArray, PixelArray
from .._utils.validation import check_choice
from ..plotting import plot_faces

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["PROBLEMS", "AuditReport"]

#: The problems that an image can have, as ``to_frame`` and ``mask`` name them.
PROBLEMS = ("unreadable", "blank", "copy", "conflict", "label error")
# Number of likely label errors, and of files that cannot be read, in the printed tables.
_SHOWN = 10
# Rows of likely label errors in the figure, and the grey level of its empty cells.
_ERROR_ROWS = 3
_PAPER = 255


@dataclass(frozen=True, repr=False, eq=False)
class AuditReport(TabularReport):
    """Result of :func:`audit_dataset`; prints as aligned tables.

    An image can have several problems. A conflict is a group of identical images with different
    labels; all its members but the first are also copies.

    Attributes
    ----------
    labels : ndarray of shape (k,)
        The labels, in the order of the columns of `y_proba`.
    codes : ndarray of shape (n,), int
        The label of each image, as a position in `labels`.
    images : ndarray of shape (n, 48, 48), uint8
        All images in grey, for display; black if they cannot be read.
    groups : ndarray of shape (n,), int
        Group numbers; copies have the same one, as from :func:`duplicate_groups`. -1 for files
        that cannot be read.
    unreadable : ndarray of int
        Positions of the files that are missing, damaged or not images. They have no other problem.
    reasons : list of str
        Why each of `unreadable` cannot be read.
    blank : ndarray of int
        Positions of the blank images.
    copies : ndarray of int
        Positions of the images that equal an earlier one.
    label_conflicts : list of ndarray of int
        Positions of the members of each group of copies with different labels.
    label_errors : ndarray of int
        Positions of likely label errors, the most confident first.
    suggested_labels : ndarray of int
        The most probable label for each of `label_errors`, as a position in `labels`.
    y_proba : ndarray of shape (n, k), float64, or None
        The probabilities that the labels were compared with; None if they were not, and NaN for
        files that cannot be read.
    """

    labels: LabelArray
    codes: IntArray
    images: PixelArray
    groups: IntArray
    unreadable: IntArray
    reasons: list[str]
    blank: IntArray
    copies: IntArray
    label_conflicts: list[IntArray]
    label_errors: IntArray
    suggested_labels: IntArray
    y_proba: FloatArray | None

    @property
    def n_images(self) -> int:
        """Number of images."""
        return len(self.codes)

    @property
    def confidence(self) -> FloatArray:
        """Probability of each suggested label, ndarray of the shape of `label_errors`."""
        if self.y_proba is None:
            return np.empty(0)
        return self.y_proba[self.label_errors, self.suggested_labels]

    def indices(self, problem: str) -> IntArray:
        """Return the positions of the images with a problem.

        Parameters
        ----------
        problem : {"unreadable", "blank", "copy", "conflict", "label error"}

        Returns
        -------
        ndarray of int
            Label errors with the most confident first, conflicts by group, others in order.
        """
        check_choice("problem", problem, PROBLEMS)
        members = np.concatenate([np.empty(0, dtype=int), *self.label_conflicts])
        positions = (self.unreadable, self.blank, self.copies, members, self.label_errors)
        return dict(zip(PROBLEMS, positions, strict=True))[problem]

    def mask(
        self, *, exclude: Sequence[str] = ("unreadable", "blank", "copy", "conflict")
    ) -> BoolArray:
        """Return a mask of the images without certain problems.

        Parameters
        ----------
        exclude : sequence of str
            Problems; see :meth:`indices`. By default, likely label errors are kept, because a
            classifier also doubts good images, especially rare ones. The first of several copies is
            kept, unless their labels conflict.

        Returns
        -------
        ndarray of shape (n,), bool
            For indexing images and labels: ``X[report.mask()]``.
        """
        if isinstance(exclude, str):
            raise ValueError(f"exclude={exclude!r} must be a list of problems; pass [{exclude!r}].")
        mask = np.ones(self.n_images, dtype=bool)
        for problem in exclude:
            mask[self.indices(problem)] = False
        return mask

    @property
    def clean_indices(self) -> IntArray:
        """Positions of the images in :meth:`mask`, for indexing a list of paths."""
        return np.flatnonzero(self.mask())

    def to_frame(self) -> pd.DataFrame:
        """Return all problems as a table.

        Returns
        -------
        pandas.DataFrame
            One row per problem of an image, in the order of :meth:`indices`; columns ``index``,
            ``label``, ``problem``, ``suggested_label`` (None except for label errors),
            ``confidence`` (its probability; NaN without one) and ``group`` (of copies).
        """
        import pandas as pd

        found = [self.indices(problem) for problem in PROBLEMS]
        index = np.concatenate(found)
        n_others = len(index) - len(self.label_errors)  # label errors come last
        suggested = [None] * n_others + self.labels[self.suggested_labels].tolist()
        return pd.DataFrame(
            {
                "index": index,
                "label": self.labels[self.codes[index]],
                "problem": np.repeat(PROBLEMS, [len(rows) for rows in found]),
                # Otherwise None would become NaN, and numbers floats.
                "suggested_label": pd.Series(suggested, dtype=object),
                "confidence": np.concatenate([np.full(n_others, np.nan), self.confidence]),
                "group": self.groups[index],
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the problems as nested dictionaries and lists of plain Python values.

        Returns
        -------
        dict
            ``label_errors`` is None if the labels were not checked.
        """
        errors = [
            {"index": index, "label": label, "suggested_label": suggested, "confidence": confidence}
            for index, label, suggested, confidence in self._errors()
        ]
        return {
            "n_images": self.n_images,
            "labels": self.labels.tolist(),
            "unreadable": [
                {"index": index, "reason": reason}
                for index, reason in zip(self.unreadable.tolist(), self.reasons, strict=True)
            ],
            "blank": self.blank.tolist(),
            "copies": self.copies.tolist(),
            "label_conflicts": [members.tolist() for members in self.label_conflicts],
            "label_errors": None if self.y_proba is None else errors,
        }

    def plot(self, *, n_cols: int = 10, cell_size: float = 1.1) -> Figure:
        """Plot the images with problems: blank ones, conflicts, and the likeliest label errors.

        Parameters
        ----------
        n_cols : int, default=10
            Images per row. Blank images and conflicts have up to one row each, label errors
            three.
        cell_size : float, default=1.1
            Inches per image.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ValueError
            If there is nothing to draw, or `n_cols` is not positive.
        """
        return _draw_report(self, n_cols, cell_size)

    def _errors(self, n=None):
        """Return (index, label, suggested label, confidence) of the first `n` label errors."""
        return list(
            zip(
                self.label_errors[:n].tolist(),
                self.labels[self.codes[self.label_errors[:n]]].tolist(),
                self.labels[self.suggested_labels[:n]].tolist(),
                self.confidence[:n].tolist(),
                strict=True,
            )
        )

    def _headline(self):
        unreadable = _count(len(self.unreadable), "image") + " that cannot be read"
        found = [
            *([unreadable] if len(self.unreadable) else []),
            _count(len(self.blank), "blank image"),
            _count(len(self.copies), "copy", "copies") + " of others",
            _count(len(self.label_conflicts), "group") + " of copies with different labels",
        ]
        if self.y_proba is not None:
            found.append(_count(len(self.label_errors), "likely label error"))
        else:
            found.append("labels not checked")
        return f"{_count(self.n_images, 'image')}: {', '.join(found)}"

    def _tables(self):
        """Return (caption, header, rows) of the problems by label and of the first errors."""
        tables = [self._problems_by_label()]
        if len(self.unreadable):
            reasons = list(zip(map(str, self.unreadable), self.reasons, strict=True))
            tables.append(("Images that cannot be read", ("image", "reason"), reasons[:_SHOWN]))
        if len(self.label_errors):
            rows = [
                (str(index), str(label), str(suggested), f"{confidence:.2f}")
                for index, label, suggested, confidence in self._errors(_SHOWN)
            ]
            header = ("image", "label", "suggested", "confidence")
            tables.append(("Likely label errors, the most confident first", header, rows))
        return tables

    def _problems_by_label(self):
        found = [self.indices(problem) for problem in PROBLEMS]
        names = ["unreadable", "blank", "copies", "in conflict", "label errors"]
        if self.y_proba is None:
            del found[-1], names[-1]
        if not len(self.unreadable):
            del found[0], names[0]
        counts = [
            np.bincount(self.codes[rows], minlength=len(self.labels))
            for rows in (np.arange(self.n_images), *found)
        ]
        rows = [
            (str(label), *(f"{count:,}" for count in row))
            for label, row in zip(
                [*self.labels.tolist(), "all"],
                np.vstack([np.transpose(counts), np.sum(counts, axis=1)]).tolist(),
                strict=True,
            )
        ]
        return "Images with a problem, by label", ("label", "images", *names), rows


def _count(n, one, several=None):
    return f"{n:,} {one if n == 1 else several or one + 's'}"


# The figure


def _draw_report(report, n_cols, cell_size):
    """Draw the images with problems, each kind in its own rows."""
    if n_cols < 1:
        raise ValueError(f"n_cols={n_cols!r} must be at least 1.")
    kinds = (
        ("blank", report.blank, _blank_tiles(report)[:n_cols]),
        (
            "copies with\ndifferent labels",
            report.label_conflicts,
            _conflict_tiles(report)[:n_cols],
        ),
        ("likely\nlabel errors", report.label_errors, _error_tiles(report, _ERROR_ROWS * n_cols)),
    )
    sections = [(f"{name}\n({len(found):,})", shown) for name, found, shown in kinds if shown]
    if not sections:
        raise ValueError(
            "The audit found no blank image, conflict or likely label error, so there is nothing "
            "to draw. Copies with equal labels are in report.copies."
        )
    tiles: list[tuple[int, str] | None] = []
    headings = {}
    for heading, shown in sections:
        headings[len(tiles)] = heading
        tiles += shown
        tiles += [None] * (-len(tiles) % n_cols)
    empty = np.full(report.images.shape[1:], _PAPER, np.uint8)
    faces = np.stack([empty if tile is None else report.images[tile[0]] for tile in tiles])
    titles = ["" if tile is None else tile[1] for tile in tiles]
    figure = plot_faces(faces, titles, n_cols=n_cols, cell_size=cell_size)
    for number, ax in enumerate(figure.axes):
        if tiles[number] is None:
            ax.set_visible(False)
        if number in headings:
            ax.set_ylabel(headings[number], rotation=0, ha="right", va="center", labelpad=8)
    return figure


def _blank_tiles(report):
    return [(i, str(report.labels[report.codes[i]])) for i in report.blank.tolist()]


def _conflict_tiles(report):
    """Return one image per group, since all are the same, with the labels of the group."""
    blank = set(report.blank.tolist())  # drawn already
    return [
        (members[0], "\n".join(report.labels[np.unique(report.codes[members])].astype(str)))
        for members in report.label_conflicts
        if not blank & set(members.tolist())
    ]


def _error_tiles(report, n):
    return [
        (index, f"{label} →\n{suggested} {100 * confidence:.0f} %")
        for index, label, suggested, confidence in report._errors(n)
    ]
