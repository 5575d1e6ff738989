"""Small tables as aligned text, Markdown and HTML.

A table is a caption, a header and rows of text; the first column names the row.
"""

import html

__all__ = ["html_table", "markdown_table", "text_table"]


def text_table(caption, header, rows):
    """Align the first column to the left, all others to the right."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        [caption]
        + [
            "  ".join(
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        ]
    )


def markdown_table(caption, header, rows):
    """Return a Markdown table under its caption in bold."""
    rule = ("---", *["---:"] * (len(header) - 1))
    cells = [[cell.replace("|", "\\|") for cell in line] for line in (header, rule, *rows)]
    return "\n".join([f"**{caption}**", "", *(f"| {' | '.join(line)} |" for line in cells)])


def html_table(caption, header, rows):
    """Return a ``<table>`` with its caption; all text is escaped."""

    def line(cells, tag):
        return "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)

    body = "".join(f"<tr>{line(row[:1], 'th')}{line(row[1:], 'td')}</tr>" for row in rows)
    return (
        f"<table><caption>{html.escape(caption)}</caption>"
        f"<thead><tr>{line(header, 'th')}</tr></thead><tbody>{body}</tbody></table>"
    )
