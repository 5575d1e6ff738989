"""Histograms of orientations as stars of strokes."""

import numpy as np

__all__ = ["draw_strokes", "spread_cells"]

# Width of a stroke, as a share of a cell.
_WIDTH = 0.09


def draw_strokes(cells, image_shape, cell, scale):
    """Draw each histogram as strokes along the edges that its bins count.

    Parameters
    ----------
    cells : ndarray of shape (n, cell rows, cell columns, bins)
        Not negative; bins divide 180 degrees of gradient, as those of HOG do.
    image_shape : (int, int)
        Height and width of the images that the cells come from.
    cell : (int, int)
        Rows and columns of a cell in pixels.
    scale : int
        Pixels of the picture for one of the image.

    Returns
    -------
    ndarray of shape (n, scale * height, scale * width), float64
        A stroke has the value of its bin; where strokes cross, the highest counts.
    """
    n, rows, columns, bins = cells.shape
    height, width = (scale * side for side in cell)
    stars = np.zeros((n, rows, height, columns, width))
    strokes = _stroke_shapes(bins, height, width)
    for values, stroke in zip(np.moveaxis(cells, -1, 0), strokes, strict=True):
        np.maximum(stars, values[:, :, None, :, None] * stroke[:, None, :], out=stars)
    return _fill_up(
        stars.reshape(n, rows * height, columns * width), [scale * side for side in image_shape]
    )


def spread_cells(values, image_shape, cell):
    """Give each pixel the value of its cell: ``(n, rows, columns)`` to ``(n, height, width)``."""
    return _fill_up(values.repeat(cell[0], axis=1).repeat(cell[1], axis=2), image_shape)


def _fill_up(pictures, shape):
    """Add the pixels at the right and at the bottom that are too few for a cell, as zeros."""
    rest = [(0, side - have) for side, have in zip(shape, pictures.shape[1:], strict=True)]
    return np.pad(pictures, [(0, 0), *rest])


def _stroke_shapes(bins, height, width):
    """Yield for each bin how much a stroke through the middle covers each pixel of a cell."""
    down = np.arange(height)[:, np.newaxis] - (height - 1) / 2
    across = np.arange(width) - (width - 1) / 2
    length = 0.48 * min(height, width)
    thickness = max(1.0, _WIDTH * min(height, width))
    for gradient in (np.arange(bins) + 0.5) * np.pi / bins:
        # An edge runs at right angles to its gradient.
        along = down * np.cos(gradient) - across * np.sin(gradient)
        beside = down * np.sin(gradient) + across * np.cos(gradient)
        inside = np.minimum(length - np.abs(along), thickness / 2 - np.abs(beside))
        yield np.clip(inside + 0.5, 0, 1)
