"""What an audit found: numbers, tables and a picture."""

import html
from dataclasses import dataclass

import numpy as np

from .._utils.tables import html_table, markdown_table, text_table
from .._utils.validation import check_choice
from ..plotting import plot_faces

__all__ = ["PROBLEMS", "AuditReport", "draw_report"]

#: What can be wrong with an image, as ``to_frame`` and ``keep`` call it.
PROBLEMS = ("blank", "copy", "conflict", "label error")
# Likely label errors that the printed tables name.
_SHOWN = 10


@dataclass(frozen=True, repr=False, eq=False)
class AuditReport:
    """What :func:`audit_dataset` found; prints as aligned tables.

    An image may have several problems. A conflict is a group of identical images that carry
    different labels; its members are copies too, all but the first.

    Attributes
    ----------
    labels : ndarray of shape (k,)
        The labels, in the order of the columns of `pred_probs`.
    codes : ndarray of shape (n,), int
        The label of each image, as a position in `labels`.
    images : ndarray of shape (n, 48, 48), uint8
        All images in grey, to be shown.
    groups : ndarray of shape (n,), int
        Copies have the same number, as from :func:`duplicate_groups`.
    blank : ndarray of int
        Positions of the images that show nothing.
    copies : ndarray of int
        Positions of the images that equal an earlier one.
    conflicts : list of ndarray of int
        Positions of the members of each group of copies with different labels.
    label_errors : ndarray of int
        Positions of likely label errors, the surest first.
    suggested : ndarray of int
        For each of `label_errors` the most probable label, as a position in `labels`.
    pred_probs : ndarray of shape (n, k), float64, or None
        What the labels were judged by; None where they were not.
    """

    labels: np.ndarray
    codes: np.ndarray
    images: np.ndarray
    groups: np.ndarray
    blank: np.ndarray
    copies: np.ndarray
    conflicts: list
    label_errors: np.ndarray
    suggested: np.ndarray
    pred_probs: np.ndarray | None

    @property
    def n_images(self):
        """Number of images."""
        return len(self.codes)

    @property
    def confidence(self):
        """How probable each suggested label is, ndarray of the shape of `label_errors`."""
        if self.pred_probs is None:
            return np.empty(0)
        return self.pred_probs[self.label_errors, self.suggested]

    def indices(self, problem):
        """Return the positions of the images with a problem.

        Parameters
        ----------
        problem : {"blank", "copy", "conflict", "label error"}

        Returns
        -------
        ndarray of int
            Label errors with the surest first, conflicts by group, others in order.
        """
        check_choice("problem", problem, PROBLEMS)
        members = np.concatenate([np.empty(0, dtype=int), *self.conflicts])
        return dict(
            zip(PROBLEMS, (self.blank, self.copies, members, self.label_errors), strict=True)
        )[problem]

    def keep(self, *, drop=("blank", "copy", "conflict")):
        """Return a mask of the images that have none of some problems.

        Parameters
        ----------
        drop : sequence of str
            Problems; see :meth:`indices`. Likely label errors are no default: a classifier
            suspects good images too, rare ones above all. Of copies the first stays, unless
            their labels conflict.

        Returns
        -------
        ndarray of shape (n,), bool
            To index images and labels with: ``X[report.keep()]``.
        """
        if isinstance(drop, str):
            raise ValueError(f"drop={drop!r} must be a list of problems; pass [{drop!r}].")
        mask = np.ones(self.n_images, dtype=bool)
        for problem in drop:
            mask[self.indices(problem)] = False
        return mask

    @property
    def clean_indices(self):
        """Positions of the images that :meth:`keep` keeps, to index a list of paths with."""
        return np.flatnonzero(self.keep())

    def to_frame(self):
        """Return what is wrong with which image.

        Returns
        -------
        pandas.DataFrame
            One row a problem of an image, in the order of :meth:`indices`; columns ``index``,
            ``label``, ``problem``, ``suggested`` (None but for label errors), ``confidence``
            (the probability of that; NaN without) and ``group`` (of copies).
        """
        import pandas as pd

        found = [self.indices(problem) for problem in PROBLEMS]
        index = np.concatenate(found)
        unjudged = len(index) - len(self.label_errors)  # label errors come last
        return pd.DataFrame(
            {
                "index": index,
                "label": self.labels[self.codes[index]],
                "problem": np.repeat(PROBLEMS, [len(rows) for rows in found]),
                "suggested": [None] * unjudged + self.labels[self.suggested].tolist(),
                "confidence": np.concatenate([np.full(unjudged, np.nan), self.confidence]),
                "group": self.groups[index],
            }
        )

    def plot(self, *, n_cols=10, size=1.1):
        """Draw the images with problems: blank ones, conflicts, and the surest label errors.

        Parameters
        ----------
        n_cols : int, default=10
            Images in a row. Blank images and conflicts have up to one row each, label errors
            three.
        size : float, default=1.1
            Inches an image.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ValueError
            If there is nothing to draw, or `n_cols` is not positive.
        """
        return draw_report(self, n_cols=n_cols, size=size)

    def to_markdown(self):
        """Return the tables in Markdown.

        Returns
        -------
        str
        """
        return "\n\n".join(
            [self._headline(), *(markdown_table(*table) for table in self._tables())]
        )

    def __repr__(self):
        return "\n\n".join([self._headline(), *(text_table(*table) for table in self._tables())])

    def _repr_html_(self):
        tables = "".join(html_table(*table) for table in self._tables())
        return f"<p>{html.escape(self._headline())}</p>{tables}"

    def _headline(self):
        found = [
            _count(len(self.blank), "blank image"),
            _count(len(self.copies), "copy", "copies") + " of others",
            _count(len(self.conflicts), "group") + " of copies with different labels",
        ]
        if self.pred_probs is not None:
            found.append(_count(len(self.label_errors), "likely label error"))
        else:
            found.append("labels not judged")
        return f"{_count(self.n_images, 'image')}: {', '.join(found)}"

    def _tables(self):
        """Return (caption, header, rows) of the problems by label and of the surest errors."""
        tables = [self._problems_by_label()]
        if len(self.label_errors):
            tables.append(self._surest_errors())
        return tables

    def _problems_by_label(self):
        found = [self.indices(problem) for problem in PROBLEMS]
        if self.pred_probs is None:
            found.pop()
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
        header = ("label", "images", "blank", "copies", "in conflict", "label errors")
        return "Images with a problem, by their label", header[: len(counts) + 1], rows

    def _surest_errors(self):
        shown = slice(_SHOWN)
        rows = [
            (str(index), str(label), str(suggested), f"{confidence:.2f}")
            for index, label, suggested, confidence in zip(
                self.label_errors[shown].tolist(),
                self.labels[self.codes[self.label_errors[shown]]].tolist(),
                self.labels[self.suggested[shown]].tolist(),
                self.confidence[shown].tolist(),
                strict=True,
            )
        ]
        header = ("image", "label", "suggested", "confidence")
        return "Likely label errors, the surest first", header, rows


def _count(n, one, several=None):
    return f"{n:,} {one if n == 1 else several or one + 's'}"


_ERROR_ROWS = 3
_PAPER = 255


def draw_report(report, *, n_cols, size):
    """Draw the images with problems, each kind in rows of its own; see ``AuditReport.plot``."""
    if n_cols < 1:
        raise ValueError(f"n_cols={n_cols!r} must be at least 1.")
    kinds = (
        ("blank", report.blank, _blank(report)[:n_cols]),
        ("copies with\ndifferent labels", report.conflicts, _conflicts(report)[:n_cols]),
        ("likely\nlabel errors", report.label_errors, _errors(report, _ERROR_ROWS * n_cols)),
    )
    sections = [(f"{name}\n({len(found):,})", shown) for name, found, shown in kinds if shown]
    if not sections:
        raise ValueError(
            "The audit found no blank image, conflict or likely label error: there is nothing "
            "to draw. Copies with one label are in report.copies."
        )
    tiles, headings = [], {}
    for heading, shown in sections:
        headings[len(tiles)] = heading
        tiles += shown
        tiles += [None] * (-len(tiles) % n_cols)
    return _draw(report, tiles, headings, n_cols, size)


def _draw(report, tiles, headings, n_cols, size):
    nothing = np.full(report.images.shape[1:], _PAPER, np.uint8)
    faces = np.stack([nothing if tile is None else report.images[tile[0]] for tile in tiles])
    titles = ["" if tile is None else tile[1] for tile in tiles]
    figure = plot_faces(faces, titles, n_cols=n_cols, cell_size=size)
    for number, ax in enumerate(figure.axes):
        if tiles[number] is None:
            ax.set_visible(False)
        if number in headings:
            ax.set_ylabel(headings[number], rotation=0, ha="right", va="center", labelpad=8)
    return figure


def _blank(report):
    return [(i, str(report.labels[report.codes[i]])) for i in report.blank.tolist()]


def _conflicts(report):
    """Return one image a group, for all are the same, with the labels of the group."""
    blank = set(report.blank.tolist())  # shown already
    return [
        (members[0], "\n".join(report.labels[np.unique(report.codes[members])].astype(str)))
        for members in report.conflicts
        if not blank & set(members.tolist())
    ]


def _errors(report, n):
    errors = report.label_errors[:n]
    labels, suggested = report.labels[report.codes[errors]], report.labels[report.suggested[:n]]
    return [
        (i, f"{label} →\n{other} {100 * confidence:.0f} %")
        for i, label, other, confidence in zip(
            errors, labels, suggested, report.confidence[:n], strict=True
        )
    ]
