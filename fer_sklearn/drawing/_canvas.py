"""Text and rounded shapes on RGB arrays, in place, with smooth edges."""

from functools import lru_cache
from pathlib import Path

import numpy as np

__all__ = ["fill", "line_height", "outline", "readable_on", "text_width", "write"]

_BLACK, _WHITE = (28, 28, 30), (255, 255, 255)
# OpenCV takes coordinates in 2**-_SHIFT pixels.
_SHIFT = 4
# The points of a circle, clockwise from the right, and the corner that each belongs to.
_ANGLES = np.linspace(0, np.pi / 2, 9) + np.pi / 2 * np.arange(4)[:, None]
_ARCS = np.column_stack([np.cos(_ANGLES).ravel(), np.sin(_ANGLES).ravel()])
_CORNERS = np.repeat([[1, 1], [0, 1], [0, 0], [1, 0]], 9, axis=0)


@lru_cache(maxsize=64)
def _font(size, bold):
    """Return DejaVu Sans, which comes with matplotlib: clear when small, Latin to Cyrillic."""
    import matplotlib
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", name)
    # The basic layout takes half the time of the one for Arabic and Indic scripts, which
    # the font lacks.
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def line_height(size):
    """Return the pixels from the top of the highest to the bottom of the lowest letter."""
    return sum(_font(size, False).getmetrics())


@lru_cache(maxsize=1024)
def text_width(text, size, *, bold=False):
    """Return the width of a line of text, in pixels."""
    return int(np.ceil(_font(size, bold).getlength(text)))


@lru_cache(maxsize=256)
def _text_mask(text, size, bold):
    """Return how much of each pixel a line of text covers: uint8 (h, w)."""
    from PIL import Image, ImageDraw

    ascent, descent = _font(size, bold).getmetrics()
    # A letter may lean over its advance by a pixel or two.
    mask = Image.new("L", (text_width(text, size, bold=bold) + 2, ascent + descent))
    ImageDraw.Draw(mask).text((0, ascent), text, 255, _font(size, bold), anchor="ls")
    return np.asarray(mask)


def write(canvas, text, x, y, size, color, *, bold=False):
    """Write a line of text whose top left corner is at x, y; return where it ends, in x.

    Parameters
    ----------
    canvas : ndarray of shape (h, w, 3), uint8
        Written on; what does not fit is cut off.
    text : str
    x, y : int
        Pixels.
    size : int
        Of the font, in pixels.
    color : tuple of 3 int
        RGB, 0..255.
    bold : bool, default=False

    Returns
    -------
    int
    """
    _blend(canvas, _text_mask(text, size, bold), x, y, color)
    return x + text_width(text, size, bold=bold)


def fill(canvas, box, color, *, radius=0.0, opacity=1.0):
    """Fill a rectangle with round corners.

    Parameters
    ----------
    canvas : ndarray of shape (h, w, 3), uint8
        Painted on.
    box : tuple of 4 float
        Left, top, width, height in pixels.
    color : tuple of 3 int
        RGB, 0..255.
    radius : float, default=0.0
        Of the corners, in pixels; at most half the shorter side is used.
    opacity : float, default=1.0
        0 leaves what is there, 1 hides it.
    """
    import cv2

    left, top, width, height = box
    if width <= 0 or height <= 0:
        return
    # Around a pixel's centre OpenCV paints half a pixel more on each side, hence the -1.
    if opacity == 1:
        polygon = _rounded((left, top, width - 1, height - 1), radius)
        cv2.fillPoly(canvas, [polygon], color, cv2.LINE_AA, _SHIFT)
        return
    x, y = int(np.floor(left)), int(np.floor(top))
    shape = (int(np.ceil(top + height)) - y, int(np.ceil(left + width)) - x)
    mask = np.zeros(shape, np.uint8)
    polygon = _rounded((left - x, top - y, width - 1, height - 1), radius)
    cv2.fillPoly(mask, [polygon], round(255 * opacity), cv2.LINE_AA, _SHIFT)
    _blend(canvas, mask, x, y, color)


def outline(canvas, box, color, *, thickness, radius):
    """Draw a rectangle with round corners, its line half inside and half outside of `box`.

    Parameters
    ----------
    canvas, box, color, radius
        As :func:`fill` takes them.
    thickness : int
        Of the line, in pixels.
    """
    import cv2

    polygon = _rounded(box, radius)
    cv2.polylines(canvas, [polygon], True, color, thickness, cv2.LINE_AA, _SHIFT)


def readable_on(color):
    """Return near-black or white, whichever contrasts more with `color` (WCAG 2 luminance)."""
    luminance = np.dot([0.2126, 0.7152, 0.0722], (np.asarray(color) / 255) ** 2.2)
    return _WHITE if luminance < 0.2 else _BLACK


def _rounded(box, radius):
    """Return the corner points of a rectangle with round corners, in 2**-_SHIFT pixels."""
    left, top, width, height = box
    radius = max(0.0, min(radius, width / 2, height / 2))
    inner = np.array([max(0.0, width - 2 * radius), max(0.0, height - 2 * radius)])
    points = _CORNERS * inner + _ARCS * radius + (left + radius, top + radius)
    return np.rint(points * 2**_SHIFT).astype(np.int32)


def _blend(canvas, mask, x, y, color):
    """Mix a colour into the canvas by a mask, 0..255, whose top left corner is at x, y."""
    import cv2

    height, width = canvas.shape[:2]
    top, left = max(0, -y), max(0, -x)
    mask = mask[top : max(top, height - y), left : max(left, width - x)]
    if mask.size == 0:
        return
    y, x = y + top, x + left
    part = canvas[y : y + mask.shape[0], x : x + mask.shape[1]]
    mask = cv2.merge((mask, mask, mask))
    shares = np.rint(np.arange(256)[:, None] / 255 * np.array(color)).astype(np.uint8)
    paint = cv2.LUT(mask, shares[:, None])
    part[:] = cv2.add(cv2.multiply(part, cv2.bitwise_not(mask), scale=1 / 255), paint)
