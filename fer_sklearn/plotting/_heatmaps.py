"""Heatmaps of relevance over faces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .._utils.typing import ArrayLike, ImagesLike, NDArray
from ._base import BLUE, VERMILION
from ._faces import Tile, check_titles, draw_tiles, face_arrays

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_heatmaps"]

# Evidence for and against; distinguishable with each kind of colour blindness.
_FOR, _AGAINST = VERMILION, BLUE
# Halfway to the highest relevance, lighter than it.
_SOME = "#F0C020"
# Opacity of the highest relevance over the face.
_OPACITY = 0.9
# Inches of the colour bar, and of the room for it with its ticks and its label.
_BAR, _BAR_ROOM = 0.13, 0.8


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

    Where nothing is relevant the face is visible; the higher the relevance, the more the colour
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
