"""Faces in a grid."""

import math
import os

import numpy as np

from .._validation import as_photo_list
from ..images import read_image
from ._style import EMOTION_COLORS, new_figure

__all__ = ["plot_faces"]


def plot_faces(images, titles=None, *, n_cols=None, size=1.1):
    """Draw faces in a grid.

    Parameters
    ----------
    images : list or ndarray of shape (n, h, w), (n, h, w, 1 | 3) or (n, h * w)
        Grey or RGB faces; in a list, paths of image files too. Integers are 0..255; floats
        in [0, 1] are shown as such, and floats beyond, as standardised pixels are, from
        each face's darkest to its lightest.
    titles : sequence of n str, default=None
        A line above each face. A face whose title is the name of an emotion gets a frame
        of that emotion's colour, see :data:`EMOTION_COLORS`.
    n_cols : int, default=None
        Faces in a row. None makes the grid about square, with ten in a row at most.
    size : float, default=1.1
        Inches a face.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no face, one is no image, a title is missing, or `n_cols` is not
        positive.
    ImageReadError
        If a file is missing or not an image.

    Examples
    --------
    >>> figure = plot_faces(np.zeros((3, 48, 48), dtype=np.uint8), ["happy", "sad", "fear"])
    >>> [ax.get_title() for ax in figure.axes]
    ['happy', 'sad', 'fear']
    """
    faces = [_face_array(i, face) for i, face in enumerate(as_photo_list(images, name="images"))]
    if titles is not None and len(titles) != len(faces):
        raise ValueError(
            f"titles has {len(titles)} item(s) for {len(faces)} image(s); expected one each."
        )
    if n_cols is None:
        n_cols = min(10, math.ceil(math.sqrt(len(faces))))
    if n_cols < 1:
        raise ValueError(f"n_cols={n_cols!r} must be at least 1.")
    n_cols = min(n_cols, len(faces))
    n_rows = math.ceil(len(faces) / n_cols)
    row_height = size * (1.0 if titles is None else 1.2)
    figure = new_figure((size * n_cols, row_height * n_rows))
    for i, face in enumerate(faces):
        ax = figure.add_subplot(n_rows, n_cols, i + 1)
        title = None if titles is None else str(titles[i])
        _draw_face(ax, face, title)
    return figure


def _face_array(i, face):
    """Return one face as an array that ``imshow`` takes."""
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


def _draw_face(ax, face, title):
    ax.imshow(face, cmap="gray", vmin=0, vmax=255 if face.dtype.kind in "iu" else 1)
    ax.set(xticks=[], yticks=[])
    if title is not None:
        ax.set_title(title, fontsize=8, pad=3)
    color = EMOTION_COLORS.get(title)
    if color is None:
        ax.spines[:].set_visible(False)
    else:
        ax.spines[:].set(color=color, linewidth=2.5)
