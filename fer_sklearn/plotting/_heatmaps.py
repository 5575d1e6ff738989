"""Maps of relevance over faces."""

import numpy as np

from ._faces import Tile, check_titles, draw_tiles, face_array, face_list

__all__ = ["plot_heatmaps"]

# What speaks for and against, told apart with each kind of colour blindness.
_FOR, _AGAINST = "#D55E00", "#0072B2"
# On the way to the highest relevance, lighter than it.
_SOME = "#F0C020"
# How much of the face the highest relevance hides.
_OPACITY = 0.9
# Inches of the colour bar, and of what it takes with its numbers and its name.
_BAR, _BAR_ROOM = 0.13, 0.8


def plot_heatmaps(
    images, heatmaps, titles=None, *, signed=None, label="relevance", n_cols=None, size=1.4
):
    """Draw faces in grey, and over each a map of what matters in it.

    Where nothing matters the face shows; the more does, the more the colour covers it. All
    maps share one scale, which the colour bar tells.

    Parameters
    ----------
    images : list or ndarray of n faces
        As :func:`~fer_sklearn.plot_faces` takes them. Colour is turned to grey, which
        leaves colour to the maps.
    heatmaps : list or ndarray of shape (n, h, w), float
        A map a face, of any size: it is stretched over the face. NaN is not drawn.
    titles : sequence of n str, default=None
        A line above each face.
    signed : bool, default=None
        Whether maps run through 0, with orange for what speaks for a prediction and blue
        for what speaks against it. False draws what is below 0 like 0. None asks whether
        there are numbers below 0.
    label : str, default="relevance"
        What the colour bar measures.
    n_cols : int, default=None
        Faces in a row. None makes the grid about square, with ten in a row at most.
    size : float, default=1.4
        Inches a face.

    Returns
    -------
    matplotlib.figure.Figure
        Its last axes are those of the colour bar.

    Raises
    ------
    ValueError
        If images, maps and titles differ in number, or a map has no two sides, no pixel,
        or an infinite number.

    Examples
    --------
    >>> faces = np.zeros((2, 48, 48), dtype=np.uint8)
    >>> figure = plot_heatmaps(faces, np.random.default_rng(0).random((2, 6, 6)))
    >>> figure.axes[-1].get_ylabel()
    'relevance'
    """
    faces = [_grey(face_array(i, face)) for i, face in enumerate(face_list(images))]
    maps = [_checked_map(i, heatmap) for i, heatmap in enumerate(heatmaps)]
    if len(maps) != len(faces):
        raise ValueError(
            f"heatmaps has {len(maps)} map(s) for {len(faces)} image(s); expected one each."
        )
    check_titles(titles, len(faces))
    titles = [None] * len(faces) if titles is None else map(str, titles)
    tiles = [Tile(face, title) for face, title in zip(faces, titles, strict=True)]
    values = np.concatenate([heatmap[~np.isnan(heatmap)] for heatmap in maps])
    signed = bool((values < 0).any()) if signed is None else signed
    highest = _highest(values, signed)
    figure = draw_tiles(tiles, n_cols=n_cols, size=size)
    options = {"cmap": _colormap(signed), "vmin": -highest if signed else 0, "vmax": highest}
    drawn = [_draw_map(ax, heatmap, options) for ax, heatmap in zip(figure.axes, maps, strict=True)]
    width, height = figure.get_size_inches()
    figure.set_size_inches(width + _BAR_ROOM, height)
    bar = figure.colorbar(drawn[0], ax=figure.axes, aspect=height / _BAR, pad=0.02)
    bar.set_label(label)
    return figure


def _grey(face):
    """Return a face without colour, with the scale it had."""
    if face.ndim == 2:
        return face
    grey = face[:, :, :3] @ np.array([0.299, 0.587, 0.114])
    return grey.round().astype(face.dtype) if face.dtype.kind in "iu" else grey


def _checked_map(i, heatmap):
    heatmap = np.asarray(heatmap, dtype=np.float64)
    if heatmap.ndim != 2 or not heatmap.size:
        raise ValueError(
            f"heatmaps[{i}] has shape {heatmap.shape}; expected (h, w), at least one pixel each."
        )
    if np.isinf(heatmap).any():
        raise ValueError(
            f"heatmaps[{i}] has {np.isinf(heatmap).sum()} infinite number(s); expected finite "
            f"ones, or NaN for what is not to be drawn."
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
        # A coarse map is drawn smooth, as what it says about pixels is.
        interpolation="nearest" if heatmap.shape == (height, width) else "bilinear",
        **options,
    )


def _colormap(signed):
    """Return colours that become clear towards 0, for the face to show."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    ends = [to_rgba(color, _OPACITY) for color in (_AGAINST, _FOR)]
    against, up = ([*color[:3], 0] for color in ends)
    if signed:
        nodes = [(0, ends[0]), (0.5, against), (0.5, up), (1, ends[1])]
    else:
        nodes = [(0, to_rgba(_SOME, 0)), (0.5, to_rgba(_SOME, _OPACITY / 2)), (1, ends[1])]
    return LinearSegmentedColormap.from_list("relevance", nodes)
