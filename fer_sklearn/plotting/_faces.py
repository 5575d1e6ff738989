"""Plot grids of faces: any faces, samples of each emotion, predictions, heatmaps over faces."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from .._utils.pixel_values import to_pixels
from .._utils.pixels import split_batch
from .._utils.typing import ArrayLike, ImagesLike, NDArray, PixelArray, RandomState
from .._utils.validation import check_choice, encode_labels
from ..emotions import EMOTION_COLORS, label_colors
from ..images import as_photo
from ._base import BLUE, VERMILION, fit_text, new_figure, score_predictions, text_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "Tile",
    "check_titles",
    "draw_tile",
    "draw_tiles",
    "face_array",
    "face_arrays",
    "plot_faces",
    "plot_heatmaps",
    "plot_predictions",
    "plot_samples",
]

# Names of the orders, as headings print them.
_ORDERS = {"confident": "most confident", "uncertain": "least confident"}
_KINDS = {"errors": "error", "correct": "correct prediction"}
# Maximum width of the name of a row of samples, in inches.
_WIDEST_NAME = 2.0
# Inches per line of a title, and points of its text.
_LINE, _TITLE_SIZE = 0.17, 8
# Evidence for and against; distinguishable with each kind of colour blindness.
_FOR, _AGAINST = VERMILION, BLUE
# Halfway to the highest relevance, lighter than it.
_SOME = "#F0C020"
# Opacity of the highest relevance over the face.
_OPACITY = 0.9
# Inches of the colour bar, and of the room for it with its ticks and its label.
_BAR, _BAR_ROOM = 0.13, 0.8


def plot_faces(
    images: ImagesLike,
    titles: Sequence[str] | None = None,
    *,
    n_cols: int | None = None,
    cell_size: float = 1.1,
) -> Figure:
    """Plot faces in a grid.

    Parameters
    ----------
    images : list or ndarray of shape (n, h, w), (n, h, w, 1 | 3) or (n, h * w)
        Grey or RGB faces; a list can contain paths of image files too. Integers are in 0..255,
        or uint16; floats in [0, 1] are shown as they are, and floats beyond, such as standardised
        pixels, are scaled from each face's darkest to its lightest pixel.
    titles : sequence of n str, default=None
        A line above each face, in smaller text if it is wider than the face. A face whose title
        is the name of an emotion gets a frame in the colour of that emotion; see
        :data:`EMOTION_COLORS`.
    n_cols : int, default=None
        Faces per row. If None, the grid is about square, with at most ten per row.
    cell_size : float, default=1.1
        Inches per face.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no face, an item is not an image, a title is missing, or `n_cols` is not
        positive.
    ImageReadError
        If a file is missing or not an image.

    Examples
    --------
    >>> figure = plot_faces(np.zeros((3, 48, 48), dtype=np.uint8), ["happy", "sad", "fear"])
    >>> [ax.get_title() for ax in figure.axes]
    ['happy', 'sad', 'fear']
    """
    faces = face_arrays(images)
    check_titles(titles, len(faces))
    names = [None] * len(faces) if titles is None else [str(title) for title in titles]
    tiles = [
        Tile(face, name, None if name is None else EMOTION_COLORS.get(name))
        for face, name in zip(faces, names, strict=True)
    ]
    return draw_tiles(tiles, n_cols=n_cols, cell_size=cell_size)


def plot_predictions(
    images: ImagesLike,
    y_true: ArrayLike,
    y_proba: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    which: Literal["errors", "correct"] = "errors",
    order: Literal["confident", "uncertain"] | None = None,
    max_images: int = 20,
    n_cols: int | None = None,
    cell_size: float = 1.1,
) -> Figure:
    """Plot the faces that a model predicted wrongly, or correctly, with its confidence.

    The title of each face is the predicted label with its probability, and the true label; its
    frame has the colour of the predicted emotion.

    Parameters
    ----------
    images : list or ndarray of n_samples faces
        As for :func:`plot_faces`. Only files that are shown are read.
    y_true : array-like of shape (n_samples,)
        True labels.
    y_proba : array-like of shape (n_samples, n_labels), float
        Probabilities, as `predict_proba` returns them, or a DataFrame with a column named after
        each label. The most probable label is the prediction.
    labels : array-like of shape (n_labels,), default=None
        The label of each column. If None, the sorted labels of `y_true`, which must then all
        occur.
    which : {"errors", "correct"}, default="errors"
        Whether to show wrong or correct predictions.
    order : {"confident", "uncertain"}, default=None
        Whether the most or the least confident predictions come first. If None, the more
        informative ones: the most confident errors, or the least confident correct predictions.
    max_images : int, default=20
        Maximum number of faces.
    n_cols, cell_size
        As in :func:`plot_faces`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there are no such predictions, images, labels and probabilities differ in number, the
        rows of `y_proba` are not probabilities, or a parameter is unknown.

    See Also
    --------
    fer_sklearn.ConfusionMatrixDisplay : Which emotions are mistaken for which.

    Examples
    --------
    >>> faces = np.zeros((2, 48, 48), dtype=np.uint8)
    >>> proba = [[0.8, 0.2], [0.6, 0.4]]
    >>> figure = plot_predictions(faces, ["happy", "sad"], proba, labels=["happy", "sad"])
    >>> print(figure.axes[0].get_title())
    happy 60 %
    true: sad
    """
    check_choice("which", which, _KINDS)
    if order is None:
        order = "confident" if which == "errors" else "uncertain"
    check_choice("order", order, _ORDERS)
    if max_images < 1:
        raise ValueError(f"max_images={max_images!r} must be at least 1.")
    faces = _split_faces(images)
    scored = score_predictions(y_true, y_proba, labels)
    _check_one_label_each(len(faces), len(scored.true), "y_true")
    wanted = np.flatnonzero(scored.correct == (which == "correct"))
    if not len(wanted):
        raise ValueError(
            f"There is no {_KINDS[which]} among the {len(faces)} prediction(s), so there is "
            f"nothing to draw."
        )
    keys = scored.confidence[wanted] * (-1 if order == "confident" else 1)
    # A stable sort keeps equally confident faces in their order.
    chosen = wanted[np.argsort(keys, kind="stable")[:max_images]]
    names = [str(label) for label in scored.labels.tolist()]
    colors = label_colors(names)
    tiles = [
        Tile(
            face_array(i, faces[i]),
            f"{names[predicted]} {100 * confidence:.0f} %\ntrue: {names[true]}",
            colors[names[predicted]],
        )
        for i, predicted, confidence, true in zip(
            chosen.tolist(),
            scored.predicted[chosen].tolist(),
            scored.confidence[chosen].tolist(),
            scored.true[chosen].tolist(),
            strict=True,
        )
    ]
    kind = f"{_KINDS[which]}{'s' * (len(wanted) > 1)} among {len(faces):,} images"
    heading = f"{len(chosen):,} {_ORDERS[order]} of {len(wanted):,} {kind}"
    return draw_tiles(tiles, n_cols=n_cols, cell_size=cell_size, heading=heading)


def plot_samples(
    images: ImagesLike,
    y: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    samples_per_class: int = 8,
    random_state: RandomState = None,
    cell_size: float = 0.9,
) -> Figure:
    """Plot random faces of every emotion, one row per emotion.

    The emotion and its number of faces are printed to the left of each row.

    Parameters
    ----------
    images : list or ndarray of n_samples faces
        As for :func:`plot_faces`. Only files that are shown are read.
    y : array-like of shape (n_samples,)
        Their labels.
    labels : array-like of shape (k,), default=None
        The rows, from top to bottom; all labels of `y` must be among them. If None, the sorted
        labels of `y`.
    samples_per_class : int, default=8
        Faces per row, or fewer if there are no more.
    random_state : int, RandomState instance or None, default=None
        Selects the faces. Pass an int to get the same ones every time.
    cell_size : float, default=0.9
        Inches per face.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no face, labels are missing, differ in number from the faces, or are not
        among `labels`, or `samples_per_class` is not positive.
    ImageReadError
        If a file that is to be shown is missing or not an image.

    Examples
    --------
    >>> from fer_sklearn import make_faces
    >>> faces = make_faces(21, random_state=0)
    >>> figure = plot_samples(faces.data, faces.target, samples_per_class=3, random_state=0)
    >>> len(figure.axes)
    21
    """
    from sklearn.utils import check_random_state

    if samples_per_class < 1:
        raise ValueError(f"samples_per_class={samples_per_class!r} must be at least 1.")
    faces = _split_faces(images)
    known, codes = encode_labels(y, labels)
    _check_one_label_each(len(faces), len(codes), "y")
    rng = check_random_state(random_state)
    rows = [np.flatnonzero(codes == i) for i in range(len(known))]
    chosen = [
        np.sort(rng.choice(row, min(samples_per_class, len(row)), replace=False)).tolist()
        for row in rows
    ]
    names = [f"{label}\n{len(row):,}" for label, row in zip(known.tolist(), rows, strict=True)]
    n_cols = max(map(len, chosen))
    figure = new_figure((cell_size * n_cols, cell_size * len(rows)))
    grid = figure.subplots(len(rows), n_cols, squeeze=False)
    colors = label_colors(known.tolist())
    for axes, indices, color in zip(grid, chosen, colors.values(), strict=True):
        for ax, i in zip(axes, indices, strict=False):
            draw_tile(ax, Tile(face_array(i, faces[i]), color=color), cell_size)
        for ax in axes[len(indices) :]:
            _empty(ax)
    _name_rows(figure, grid[:, 0], names)
    return figure


class Tile(NamedTuple):
    """One face of a grid.

    Attributes
    ----------
    face : ndarray of shape (h, w), (h, w, 3) or (h, w, 4)
        As :func:`face_array` returns it.
    title : str or None
    color : str or None
        Colour of the frame. If None, there is no frame.
    """

    face: PixelArray
    title: str | None = None
    color: str | None = None


def _check_one_label_each(n_faces, n_labels, name):
    if n_faces != n_labels:
        raise ValueError(
            f"images has {n_faces} item(s) and {name} {n_labels} label(s); expected one label per "
            f"image."
        )


def check_titles(titles: Sequence[str] | None, n_faces: int) -> None:
    """Raise ValueError if there is not one title per face."""
    if titles is not None and len(titles) != n_faces:
        raise ValueError(
            f"titles has {len(titles)} item(s) for {n_faces} image(s); expected one each."
        )


def face_arrays(images: ImagesLike) -> list[PixelArray]:
    """Return faces as arrays that ``imshow`` takes; files are read."""
    return [face_array(i, face) for i, face in enumerate(_split_faces(images))]


def _split_faces(images):
    """Return a batch of faces; the white of integers is that of the whole array."""
    faces = split_batch(images, name="images")
    are_integers = isinstance(faces, np.ndarray) and faces.dtype.kind in "iu"
    return to_pixels(faces, name="images", is_batch=True) if are_integers else faces


def face_array(i: int, face: Any) -> PixelArray:
    """Return the face at position `i` as an array that ``imshow`` takes."""
    if not isinstance(face, (np.ndarray, list, tuple)):
        return as_photo(face, name=f"images[{i}]")
    pixels = np.asarray(face)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.ndim != 2 and not (pixels.ndim == 3 and pixels.shape[2] in (3, 4)):
        raise ValueError(
            f"images[{i}] has shape {pixels.shape}; expected a grey image (h, w) or a colour "
            f"image (h, w, 3)."
        )
    if pixels.dtype.kind in "iu":
        return to_pixels(pixels, name=f"images[{i}]")
    # Standardised pixels, which are not photos: scale them instead of refusing them.
    if pixels.dtype.kind == "f" and (pixels.min() < 0 or pixels.max() > 1):
        pixels = pixels - pixels.min()
        pixels = pixels / (pixels.max() or 1)
    return pixels


def draw_tiles(
    tiles: Sequence[Tile], *, n_cols: int | None, cell_size: float, heading: str | None = None
) -> Figure:
    """Draw faces in a new figure, row by row.

    Parameters
    ----------
    tiles : list of Tile
    n_cols : int or None
        Faces per row. If None, the grid is about square, with at most ten per row.
    cell_size : float
        Inches per face.
    heading : str, default=None
        A line above all faces.

    Returns
    -------
    matplotlib.figure.Figure
        With one axes per tile, in the order of `tiles`.
    """
    if n_cols is None:
        n_cols = min(10, math.ceil(math.sqrt(len(tiles))))
    if n_cols < 1:
        raise ValueError(f"n_cols={n_cols!r} must be at least 1.")
    n_cols = min(n_cols, len(tiles))
    n_rows = math.ceil(len(tiles) / n_cols)
    lines = max(0 if tile.title is None else 1 + tile.title.count("\n") for tile in tiles)
    width, height = cell_size * n_cols, (cell_size + _LINE * lines) * n_rows
    figure = new_figure((width, height if heading is None else height + 2 * _LINE))
    if heading is not None:
        text = figure.suptitle(heading, fontsize=_TITLE_SIZE + 1)
        if text_width(text) > width:
            text.set_text(textwrap.fill(heading, len(heading) // 2 + 4))
        fit_text(text, 0.97 * width)
    for i, tile in enumerate(tiles):
        draw_tile(figure.add_subplot(n_rows, n_cols, i + 1), tile, cell_size)
    return figure


def draw_tile(ax: Axes, tile: Tile, cell_size: float) -> None:
    """Draw one face in axes of `cell_size` inches."""
    top = 255 if tile.face.dtype.kind in "iu" else 1
    ax.imshow(tile.face, cmap="gray", vmin=0, vmax=top)
    ax.set(xticks=[], yticks=[])
    if tile.title is not None:
        fit_text(ax.set_title(tile.title, fontsize=_TITLE_SIZE, pad=3), 0.97 * cell_size)
    if tile.color is None:
        ax.spines[:].set_visible(False)
    else:
        ax.spines[:].set(color=tile.color, linewidth=2.5)


def _empty(ax):
    """Leave a cell of the grid white, except for its label."""
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _name_rows(figure, axes, names):
    """Write a name to the left of each of the axes, and widen the figure accordingly."""
    texts = [
        ax.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9, labelpad=6)
        for ax, name in zip(axes, names, strict=True)
    ]
    for ax, text in zip(axes, texts, strict=True):
        # With the face at the left end of its cell, the room for the name is known.
        ax.set_anchor("W")
        fit_text(text, _WIDEST_NAME)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width + max(map(text_width, texts)) + 0.3, height)


def plot_heatmaps(
    images: ImagesLike,
    heatmaps: Sequence[ArrayLike] | NDArray,
    titles: Sequence[str] | None = None,
    *,
    signed: bool | None = None,
    label: str = "relevance",
    n_cols: int | None = None,
    cell_size: float = 1.4,
) -> Figure:
    """Plot faces in grey, each with a heatmap over it.

    Where nothing is relevant, the face is visible; the higher the relevance, the more the colour
    covers it. All maps share one scale, that of the colour bar.

    Parameters
    ----------
    images : list or ndarray of n faces
        As for :func:`~fer_sklearn.plot_faces`. Colour images are converted to grey, which leaves
        colour to the maps.
    heatmaps : list or ndarray of shape (n, h, w), float
        One map per face, of any size: it is stretched over the face. NaN is not drawn.
    titles : sequence of n str, default=None
        A line above each face.
    signed : bool, default=None
        Whether maps are centred on 0, with orange for evidence for a prediction and blue for
        evidence against it. If False, values below 0 are drawn like 0. If None, whether there
        are values below 0.
    label : str, default="relevance"
        Label of the colour bar.
    n_cols : int, default=None
        Faces per row. If None, the grid is about square, with at most ten per row.
    cell_size : float, default=1.4
        Inches per face.

    Returns
    -------
    matplotlib.figure.Figure
        Its last axes are those of the colour bar.

    Raises
    ------
    ValueError
        If images, maps and titles differ in number, or a map is not two-dimensional, has no
        pixel, or an infinite value.

    Examples
    --------
    >>> faces = np.zeros((2, 48, 48), dtype=np.uint8)
    >>> figure = plot_heatmaps(faces, np.random.default_rng(0).random((2, 6, 6)))
    >>> figure.axes[-1].get_ylabel()
    'relevance'
    """
    faces = [_gray(face) for face in face_arrays(images)]
    maps = [_checked_map(i, heatmap) for i, heatmap in enumerate(heatmaps)]
    if len(maps) != len(faces):
        raise ValueError(
            f"heatmaps has {len(maps)} map(s) for {len(faces)} image(s); expected one each."
        )
    check_titles(titles, len(faces))
    names = [None] * len(faces) if titles is None else [str(title) for title in titles]
    tiles = [Tile(face, name) for face, name in zip(faces, names, strict=True)]
    values = np.concatenate([heatmap[~np.isnan(heatmap)] for heatmap in maps])
    signed = bool((values < 0).any()) if signed is None else signed
    highest = _highest(values, signed)
    figure = draw_tiles(tiles, n_cols=n_cols, cell_size=cell_size)
    options = {"cmap": _colormap(signed), "vmin": -highest if signed else 0, "vmax": highest}
    drawn = [_draw_map(ax, heatmap, options) for ax, heatmap in zip(figure.axes, maps, strict=True)]
    width, height = figure.get_size_inches()
    figure.set_size_inches(width + _BAR_ROOM, height)
    bar = figure.colorbar(drawn[0], ax=figure.axes, aspect=height / _BAR, pad=0.02)
    bar.set_label(label)
    return figure


def _gray(face):
    """Return a face in grey, on the same scale."""
    if face.ndim == 2:
        return face
    gray = face[:, :, :3] @ np.array([0.299, 0.587, 0.114])
    return gray.round().astype(face.dtype) if face.dtype.kind in "iu" else gray


def _checked_map(i, heatmap):
    heatmap = np.asarray(heatmap, dtype=np.float64)
    if heatmap.ndim != 2 or not heatmap.size:
        raise ValueError(
            f"heatmaps[{i}] has shape {heatmap.shape}; expected (h, w), at least one pixel each."
        )
    if np.isinf(heatmap).any():
        raise ValueError(
            f"heatmaps[{i}] has {np.isinf(heatmap).sum()} infinite number(s); expected finite "
            f"ones, or NaN for pixels that should not be drawn."
        )
    return heatmap


def _highest(values, signed):
    """Return the end of the scale, in (0, inf)."""
    values = np.abs(values) if signed else values
    # Maps of zeros, or of NaN alone, have a scale too.
    return max(values.max(initial=0), 0) or 1.0


def _draw_map(ax, heatmap, options):
    height, width = ax.images[0].get_array().shape
    return ax.imshow(
        np.ma.masked_invalid(heatmap),
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
        # A coarse map is interpolated, since it has no detail at the level of pixels.
        interpolation="nearest" if heatmap.shape == (height, width) else "bilinear",
        **options,
    )


def _colormap(signed):
    """Return colours that become transparent towards 0, so that the face is visible."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    ends = [to_rgba(color, _OPACITY) for color in (_AGAINST, _FOR)]
    against, up = ([*color[:3], 0] for color in ends)
    if signed:
        nodes = [(0, ends[0]), (0.5, against), (0.5, up), (1, ends[1])]
    else:
        nodes = [(0, to_rgba(_SOME, 0)), (0.5, to_rgba(_SOME, _OPACITY / 2)), (1, ends[1])]
    return LinearSegmentedColormap.from_list("relevance", nodes)
