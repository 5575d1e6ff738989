"""The picture of an audit."""

import numpy as np

from ..plotting import plot_faces

__all__ = ["draw_report"]

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
    figure = plot_faces(faces, titles, n_cols=n_cols, size=size)
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
