"""Checks for any figure: readable text and distinguishable colours."""

from itertools import combinations
from unittest import mock

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from skimage.color import rgb2lab

# Severe protanopia, deuteranopia and tritanopia in linear RGB (Machado et al. 2009).
COLOR_BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def drawn_texts(figure):
    """Return every text of a figure: labels, ticks, legends."""
    drawn = []
    draw = Text.draw

    def record(self, renderer, *args, **kwargs):
        if self.get_visible() and self.get_text().strip():
            drawn.append(self)
        return draw(self, renderer, *args, **kwargs)

    with mock.patch.object(Text, "draw", record):
        figure.canvas.draw()
    return drawn


def assert_readable(figure):
    """Assert that every text lies within the figure, is large enough, and overlaps no other."""
    texts = drawn_texts(figure)
    assert texts
    width, height = figure.canvas.get_width_height()
    for text in texts:
        box = text.get_window_extent()
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
        assert inside, f"clipped: {text.get_text()!r}"
        assert text.get_fontsize() >= 5, f"too small: {text.get_text()!r}"
    # The bounding box of rotated text is much larger than the text.
    straight = [text for text in texts if text.get_rotation() % 90 == 0]
    boxes = [text.get_window_extent().extents for text in straight]
    for (one, a), (other, b) in combinations(zip(straight, boxes, strict=True), 2):
        overlap = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
        assert overlap.min() < 1.5, f"on each other: {one.get_text()!r} and {other.get_text()!r}"


def color_distance(colors, kind):
    """Return the smallest distance in CIE Lab between two of `colors`, for a type of vision."""
    rgb = np.array([to_rgb(color) for color in colors])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(COLOR_BLINDNESS[kind]), 0, 1)
    lab = rgb2lab(np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055))
    distances = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    return distances[np.triu_indices(len(colors), k=1)].min()
