"""Tables for notebooks, readable on light and on dark pages."""

import html

import numpy as np

from .tables import html_table

__all__ = ["html_page", "shaded_table"]

# Colours are the page's own; lines and shades let its background through.
_STYLE = """<style>
.fer-tables {overflow-x: auto; font-variant-numeric: tabular-nums; line-height: 1.35}
.fer-tables table {border-collapse: collapse; margin: 1em 0; width: auto; color: inherit}
.fer-tables caption {caption-side: top; text-align: left; color: inherit; font-weight: 600;
  padding: 0.3em 0.6em; white-space: nowrap}
.fer-tables tr {background: none !important}
.fer-tables th, .fer-tables td {padding: 0.25em 0.6em; border: 0; text-align: right;
  vertical-align: middle; white-space: nowrap; color: inherit; background: none}
.fer-tables th:first-child {text-align: left}
.fer-tables thead th {border-bottom: 1px solid rgba(128, 128, 128, 0.8)}
.fer-tables tbody tr + tr > * {border-top: 1px solid rgba(128, 128, 128, 0.25)}
.fer-tables small {opacity: 0.8}
</style>"""
# Black on white and white on black both stay readable over this much of a middle blue.
_BLUE, _DEEPEST = "0, 114, 178", 0.6


def html_page(paragraphs, *tables):
    """Put paragraphs over tables.

    Parameters
    ----------
    paragraphs : list of str
        Plain text.
    *tables : str or tuple (caption, header, rows)
        HTML as :func:`shaded_table` makes it, or what becomes a plain table.

    Returns
    -------
    str
    """
    text = "".join(f"<p>{html.escape(paragraph)}</p>" for paragraph in paragraphs)
    drawn = (table if isinstance(table, str) else html_table(*table) for table in tables)
    return f'{_STYLE}<div class="fer-tables">{text}{"".join(drawn)}</div>'


def shaded_table(caption, header, names, counts):
    """Return counts with their share of the row, the deeper in colour the larger that is.

    Parameters
    ----------
    caption : str
    header : tuple of str
        Of all columns, that of the names too.
    names : sequence of str
        Of the rows.
    counts : ndarray of shape (n_rows, n_columns), int

    Returns
    -------
    str
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join(
        f"<tr><th>{html.escape(name)}</th>{''.join(map(_cell, row, row_shares))}</tr>"
        for name, row, row_shares in zip(names, counts.tolist(), shares.tolist(), strict=True)
    )
    return (
        f"<table><caption>{html.escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _cell(count, share):
    shade = f"rgba({_BLUE}, {_DEEPEST * share:.2f})"
    return f'<td style="background: {shade}">{count}<br><small>{100 * share:.0f} %</small></td>'
