"""What all grids of faces share: faces as ``imshow`` takes them, and their places."""

import math
import os
import textwrap
from typing import NamedTuple

import numpy as np

from .._utils.pixels import as_photo_list
from ..images import read_image
from ._style import fit_text, new_figure, text_width

__all__ = ["Tile", "check_titles", "draw_tile", "draw_tiles", "face_array", "face_list"]

# Inches that a line of a title takes, and points of its text.
_LINE, _TITLE_SIZE = 0.17, 8


class Tile(NamedTuple):
    """One face of a grid.

    Attributes
    ----------
    face : ndarray of shape (h, w), (h, w, 3) or (h, w, 4)
        As :func:`face_array` returns it.
    title : str or None
    color : str or None
        That of the frame; None leaves the frame out.
    """

    face: np.ndarray
    title: str | None = None
    color: str | None = None


def face_list(images):
    """Return faces as a list of paths and arrays, not yet read."""
    return as_photo_list(images, name="images")


def check_titles(titles, n_faces):
    """Raise if there is not one title a face."""
    if titles is not None and len(titles) != n_faces:
        raise ValueError(
            f"titles has {len(titles)} item(s) for {n_faces} image(s); expected one each."
        )


def face_array(i, face):
    """Return the face at position `i` as an array that ``imshow`` takes."""
    face = read_image(face) if isinstance(face, (str, os.PathLike)) else np.asarray(face)
    if face.ndim == 3 and face.shape[2] == 1:
        face = face[:, :, 0]
    if face.ndim != 2 and not (face.ndim == 3 and face.shape[2] in (3, 4)):
        raise ValueError(
            f"images[{i}] has shape {face.shape}; expected a grey image (h, w) or a colour "
            f"image (h, w, 3)."
        )
    if face.dtype.kind == "f" and (face.min() < 0 or face.max() > 1):
        face = face - face.min()
        face = face / (face.max() or 1)
    return face


def draw_tiles(tiles, *, n_cols, size, heading=None):
    """Draw faces in a new figure, row by row.

    Parameters
    ----------
    tiles : list of Tile
    n_cols : int or None
        Faces in a row. None makes the grid about square, with ten in a row at most.
    size : float
        Inches a face.
    heading : str, default=None
        A line above all faces.

    Returns
    -------
    matplotlib.figure.Figure
        With one axes a tile, in the order of `tiles`.
    """
    if n_cols is None:
        n_cols = min(10, math.ceil(math.sqrt(len(tiles))))
    if n_cols < 1:
        raise ValueError(f"n_cols={n_cols!r} must be at least 1.")
    n_cols = min(n_cols, len(tiles))
    n_rows = math.ceil(len(tiles) / n_cols)
    lines = max(0 if tile.title is None else 1 + tile.title.count("\n") for tile in tiles)
    width, height = size * n_cols, (size + _LINE * lines) * n_rows
    figure = new_figure((width, height if heading is None else height + 2 * _LINE))
    if heading is not None:
        text = figure.suptitle(heading, fontsize=_TITLE_SIZE + 1)
        if text_width(text) > width:
            text.set_text(textwrap.fill(heading, len(heading) // 2 + 4))
        fit_text(text, 0.97 * width)
    for i, tile in enumerate(tiles):
        draw_tile(figure.add_subplot(n_rows, n_cols, i + 1), tile, size)
    return figure


def draw_tile(ax, tile, size):
    """Draw one face in axes of `size` inches."""
    top = 255 if tile.face.dtype.kind in "iu" else 1
    ax.imshow(tile.face, cmap="gray", vmin=0, vmax=top)
    ax.set(xticks=[], yticks=[])
    if tile.title is not None:
        fit_text(ax.set_title(tile.title, fontsize=_TITLE_SIZE, pad=3), 0.97 * size)
    if tile.color is None:
        ax.spines[:].set_visible(False)
    else:
        ax.spines[:].set(color=tile.color, linewidth=2.5)
