"""Faces in a grid: any, those of each emotion, and those that a model judged."""

import math
import os
import textwrap
from typing import NamedTuple

import numpy as np

from .._utils.validation import check_choice
from ..emotions import EMOTION_COLORS, label_colors
from ..images import as_photo_list, read_image
from ._base import encode_true_labels, score_predictions
from ._style import fit_text, new_figure, text_width

__all__ = [
    "Tile",
    "check_titles",
    "draw_tile",
    "draw_tiles",
    "face_array",
    "face_list",
    "plot_faces",
    "plot_predictions",
    "plot_samples",
]

_ORDERS = ("most_certain", "least_certain")
# Inches of the name of a row of samples.
_WIDEST_NAME = 2.0


def plot_faces(images, titles=None, *, n_cols=None, size=1.1):
    """Draw faces in a grid.

    Parameters
    ----------
    images : list or ndarray of shape (n, h, w), (n, h, w, 1 | 3) or (n, h * w)
        Grey or RGB faces; in a list, paths of image files too. Integers are 0..255; floats
        in [0, 1] are shown as such, and floats beyond, as standardised pixels are, from
        each face's darkest to its lightest.
    titles : sequence of n str, default=None
        A line above each face, in smaller letters where it would be wider than the face. A
        face whose title is the name of an emotion gets a frame of that emotion's colour,
        see :data:`EMOTION_COLORS`.
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
    faces = [face_array(i, face) for i, face in enumerate(face_list(images))]
    check_titles(titles, len(faces))
    titles = [None] * len(faces) if titles is None else [str(title) for title in titles]
    tiles = [
        Tile(face, title, EMOTION_COLORS.get(title))
        for face, title in zip(faces, titles, strict=True)
    ]
    return draw_tiles(tiles, n_cols=n_cols, size=size)


def plot_predictions(
    images, y_true, y_proba, *, labels=None, which="errors", order=None, n=20, n_cols=None, size=1.1
):
    """Draw the faces that a model judged wrongly, or rightly, and say how sure it was.

    Each face says what was predicted with which probability, and the true label below; its
    frame has the colour of the predicted emotion.

    Parameters
    ----------
    images : list or ndarray of n_samples faces
        As :func:`plot_faces` takes them. Only files that are shown are read.
    y_true : array-like of shape (n_samples,)
        True labels.
    y_proba : array-like of shape (n_samples, n_labels), float
        Probabilities, as `predict_proba` returns them. The most probable label is the
        prediction.
    labels : array-like of shape (n_labels,), default=None
        The label of each column. None takes the sorted labels of `y_true`, which must then
        all occur.
    which : {"errors", "hits"}, default="errors"
        Which faces: those with a wrong prediction, or with a right one.
    order : {"most_certain", "least_certain"}, default=None
        Which come first. None takes those that tell most: the most certain errors, or the
        least certain hits.
    n : int, default=20
        Faces at most.
    n_cols : int, default=None
        Faces in a row; as in :func:`plot_faces`.
    size : float, default=1.1
        Inches a face.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If no face is of that kind, images, labels and probabilities differ in number, the
        probabilities are none, or a parameter is unknown.

    See Also
    --------
    fer_sklearn.ConfusionMatrixDisplay : Which emotions are taken for which.

    Examples
    --------
    >>> faces = np.zeros((2, 48, 48), dtype=np.uint8)
    >>> proba = [[0.8, 0.2], [0.6, 0.4]]
    >>> figure = plot_predictions(faces, ["happy", "sad"], proba, labels=["happy", "sad"])
    >>> print(figure.axes[0].get_title())
    happy 60 %
    true: sad
    """
    check_choice("which", which, ("errors", "hits"))
    if order is None:
        order = "most_certain" if which == "errors" else "least_certain"
    check_choice("order", order, _ORDERS)
    if n < 1:
        raise ValueError(f"n={n!r} must be at least 1.")
    faces = face_list(images)
    scored = score_predictions(y_true, y_proba, labels)
    if len(faces) != len(scored.true):
        raise ValueError(
            f"images has {len(faces)} item(s) and y_true {len(scored.true)} label(s); expected "
            f"one label an image."
        )
    wanted = np.flatnonzero(scored.correct == (which == "hits"))
    if not len(wanted):
        raise ValueError(
            f"There are no {which} among the {len(faces)} prediction(s), thus nothing to draw."
        )
    certainty = scored.confidence[wanted] * (-1 if order == "most_certain" else 1)
    # A stable sort: equally certain faces stay in their order.
    chosen = wanted[np.argsort(certainty, kind="stable")[:n]]
    names = [str(label) for label in scored.labels.tolist()]
    colors = label_colors(names)
    predicted = [names[i] for i in scored.predicted[chosen]]
    true = [names[i] for i in scored.true[chosen]]
    tiles = [
        Tile(face_array(i, faces[i]), f"{told} {100 * sure:.0f} %\ntrue: {truly}", colors[told])
        for i, told, sure, truly in zip(
            chosen.tolist(), predicted, scored.confidence[chosen], true, strict=True
        )
    ]
    kind = f"{which.removesuffix('s')}{'s' * (len(wanted) > 1)} among {len(faces):,} images"
    heading = f"{len(chosen):,} {order.replace('_', ' ')} of {len(wanted):,} {kind}"
    return draw_tiles(tiles, n_cols=n_cols, size=size, heading=heading)


def plot_samples(images, target, *, labels=None, n_per_class=8, random_state=None, size=0.9):
    """Draw a few faces of every emotion, a row each.

    Left of each row stand the emotion and how many faces have it.

    Parameters
    ----------
    images : list or ndarray of n_samples faces
        As :func:`plot_faces` takes them. Only files that are shown are read.
    target : array-like of shape (n_samples,)
        Their labels.
    labels : array-like of shape (k,), default=None
        The rows, from top to bottom; all labels of `target` must be among them. None takes
        the sorted labels of `target`.
    n_per_class : int, default=8
        Faces a row, fewer where there are no more.
    random_state : int, RandomState instance or None, default=None
        Which faces are drawn by lot. An int draws the same ones every time.
    size : float, default=0.9
        Inches a face.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no face, labels are missing, of another number than the faces, or not
        among `labels`, or `n_per_class` is not positive.
    ImageReadError
        If a file that is to be shown is missing or not an image.

    Examples
    --------
    >>> from fer_sklearn import make_faces
    >>> faces = make_faces(21, random_state=0)
    >>> figure = plot_samples(faces.data, faces.target, n_per_class=3, random_state=0)
    >>> len(figure.axes)
    21
    """
    from sklearn.utils import check_random_state

    if n_per_class < 1:
        raise ValueError(f"n_per_class={n_per_class!r} must be at least 1.")
    faces = face_list(images)
    labels, true = encode_true_labels(target, labels, name="target")
    if len(faces) != len(true):
        raise ValueError(
            f"images has {len(faces)} item(s) and target {len(true)} label(s); expected one "
            f"label an image."
        )
    rng = check_random_state(random_state)
    rows = [np.flatnonzero(true == i) for i in range(len(labels))]
    chosen = [
        np.sort(rng.choice(row, min(n_per_class, len(row)), replace=False)).tolist() for row in rows
    ]
    names = [f"{label}\n{len(row):,}" for label, row in zip(labels.tolist(), rows, strict=True)]
    n_cols = max(map(len, chosen))
    figure = new_figure((size * n_cols, size * len(rows)))
    grid = figure.subplots(len(rows), n_cols, squeeze=False)
    colors = label_colors(labels.tolist())
    for axes, indices, color in zip(grid, chosen, colors.values(), strict=True):
        for ax, i in zip(axes, indices, strict=False):
            draw_tile(ax, Tile(face_array(i, faces[i]), color=color), size)
        for ax in axes[len(indices) :]:
            _empty(ax)
    _name_rows(figure, grid[:, 0], names)
    return figure


def _empty(ax):
    """Leave a place of a grid white; its label stays."""
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _name_rows(figure, axes, names):
    """Write a name left of each of the axes, and make the figure wider by as much."""
    texts = [
        ax.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9, labelpad=6)
        for ax, name in zip(axes, names, strict=True)
    ]
    for ax, text in zip(axes, texts, strict=True):
        # From the left end of its place, the face leaves a known room for the name.
        ax.set_anchor("W")
        fit_text(text, _WIDEST_NAME)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width + max(map(text_width, texts)) + 0.3, height)


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
