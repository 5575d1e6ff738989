"""Synthetic faces, for tests, examples and demonstrations without data."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Literal, TypeAlias, overload

import numpy as np
from sklearn.utils import Bunch, check_random_state

from .._utils.typing import LabelArray, NDArray, PixelArray, RandomState
from ..emotions import EMOTIONS

__all__ = ["make_faces"]

_FEATURES = (
    *("brow_in", "brow_out", "brow_gap", "arch", "eye_up", "eye_low", "curve", "open_up"),
    *("open_low", "width", "lip", "teeth", "wrinkle", "fold", "furrow", "squint"),
)
# How each emotion moves the features, after the action units (AU) of the Facial Action Coding
# System (Ekman, Friesen & Hager 2002). Lengths are in half heights of a face:
# brow_in, brow_out   raising of the ends of the brows (AU 1, 2; below 0: AU 4)
# brow_gap            drawing together of the brows (AU 4)
# eye_up, eye_low     opening of the eyes above and below the pupil (AU 5; smaller: AU 6, 7)
# curve               corners of the mouth up (AU 12) or down (AU 15)
# open_up, open_low   opening of the mouth (AU 10, 25, 26)
# teeth               height of the teeth below the upper lip
# width, lip          half width of the mouth (AU 20), thickness of the lips (thinner: AU 23)
# wrinkle, fold, furrow   darkness of the lines at the nose (AU 9), the cheeks and the brows
# squint              extra closing of one eye and raising of one corner of the mouth
_EXPRESSIONS = {
    "angry": (-0.13, 0.06, 0.07, 0, 0.10, 0.045, -0.05, 0, 0, 0.25, 0.022, 0, 0.2, 0.3, 1, 0),
    "disgust": (-0.09, -0.02, 0.03, 0.03, 0.05, 0.03, -0.1, 0.1, 0, 0.29, 0.06, 0.06, 1, 1, 0.3, 1),
    "fear": (0.15, 0.04, 0.05, 0.02, 0.17, 0.09, -0.07, 0.04, 0.09, 0.40, 0.04, 0.06, 0, 0, 0.5, 0),
    "happy": (0.02, 0.02, 0, 0.06, 0.07, 0.03, 0.17, 0.02, 0.12, 0.43, 0.04, 0.09, 0, 0.9, 0, 0),
    "neutral": (0, 0, 0, 0.05, 0.10, 0.065, 0, 0, 0, 0.30, 0.05, 0, 0, 0, 0, 0),
    "sad": (0.13, -0.06, 0.03, 0, 0.065, 0.06, -0.14, 0, 0, 0.27, 0.05, 0, 0, 0.3, 0.3, 0),
    "surprise": (0.15, 0.15, 0, 0.09, 0.17, 0.10, 0, 0.12, 0.22, 0.20, 0.05, 0, 0, 0, 0, 0),
}
_FACE = {"eye_x": 0.35, "eye_y": -0.14, "brow_y": -0.39, "mouth_y": 0.54}
# Pixels drawn at a time, few enough for the processor's cache.
_CHUNK_PIXELS = 65_536

Face: TypeAlias = dict[str, NDArray[np.float32]]
Paint: TypeAlias = Callable[..., None]


@overload
def make_faces(
    n_samples: int = 100,
    size: int = 48,
    *,
    noise: float = 6.0,
    random_state: RandomState = None,
    return_X_y: Literal[False] = False,
) -> Bunch: ...
@overload
def make_faces(
    n_samples: int = 100,
    size: int = 48,
    *,
    noise: float = 6.0,
    random_state: RandomState = None,
    return_X_y: Literal[True],
) -> tuple[PixelArray, LabelArray]: ...
def make_faces(
    n_samples: int = 100,
    size: int = 48,
    *,
    noise: float = 6.0,
    random_state: RandomState = None,
    return_X_y: bool = False,
) -> Bunch | tuple[PixelArray, LabelArray]:
    """Generate simple grey faces whose brows, eyes and mouth show an emotion.

    The seven emotions are equally frequent, to within one image, in random order. The strength of
    the expression, proportions, hair, position, size, tilt and lighting vary.

    Parameters
    ----------
    n_samples : int, default=100
        Number of faces.
    size : int, default=48
        Height and width in pixels, at least 16.
    noise : float, default=6.0
        Standard deviation of the noise added to the pixels, in grey levels.
    random_state : int, RandomState instance or None, default=None
        Seed. The same integer generates the same faces.
    return_X_y : bool, default=False
        If True, return ``(images, target)``.

    Returns
    -------
    Bunch
        - images : ndarray of shape (n_samples, size, size), uint8
        - data : ndarray of shape (n_samples, size * size), uint8; a view of `images`
        - target : ndarray of shape (n_samples,), str; emotion names
        - target_names : ndarray of shape (7,), str; sorted
        - subset : ndarray of shape (n_samples,), str; all ``"train"``
        - DESCR : str

    Raises
    ------
    ValueError
        If a parameter is not a number in its range.

    References
    ----------
    The features that each emotion moves follow Ekman, Friesen & Hager (2002), Facial Action Coding
    System.

    Examples
    --------
    >>> from fer_sklearn import make_faces
    >>> X, y = make_faces(14, random_state=0, return_X_y=True)
    >>> X.shape, X.dtype
    ((14, 48, 48), dtype('uint8'))
    >>> sorted(set(y.tolist()))
    ['angry', 'disgust', 'fear', 'happy', 'neutral', 'sad', 'surprise']
    """
    _check_count("n_samples", n_samples, 1)
    _check_count("size", size, 16)
    if not isinstance(noise, Real) or isinstance(noise, bool) or not 0 <= noise < np.inf:
        raise ValueError(f"noise={noise!r} must be a finite number of grey levels, at least 0.")
    rng = np.random.default_rng(check_random_state(random_state).randint(2**31, size=4))
    # One permutation decides which emotions get an extra face, the other the order.
    codes = rng.permutation(np.resize(rng.permutation(len(EMOTIONS)), n_samples))
    target = np.array(EMOTIONS)[codes]
    images = _draw_all(_draw_parameters(target, rng), int(size), noise, rng)
    if return_X_y:
        return images, target
    return Bunch(
        images=images,
        data=images.reshape(n_samples, -1),
        target=target,
        target_names=np.array(EMOTIONS),
        subset=np.full(n_samples, "train"),
        DESCR=f"{n_samples} synthetic faces of {size}×{size} pixels, generated by make_faces.",
    )


def _check_count(name: str, value: Any, low: int) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < low:
        raise ValueError(f"{name}={value!r} must be an integer of at least {low}.")


def _draw_parameters(target: LabelArray, rng: np.random.Generator) -> Face:
    """Draw the parameters of each face; each value has shape (n, 1) and dtype float32."""
    n = len(target)
    neutral = np.array(_EXPRESSIONS["neutral"])
    shown = np.array([_EXPRESSIONS[emotion] for emotion in target.tolist()])
    features = neutral + rng.uniform(0.75, 1.15, (n, 1)) * (shown - neutral)
    # Individual faces deviate from the table.
    spread = np.array([0.012] * 4 + [0.008] * 2 + [0.015] + [0.008] * 2 + [0.02] + [0.006] * 2)
    features[:, : len(spread)] += rng.normal(size=(n, len(spread))) * spread
    face = dict(zip(_FEATURES, features.T, strict=True))
    for name in ("eye_up", "eye_low", "lip"):
        face[name] = np.maximum(face[name], 0.015)
    # A closed mouth stays closed.
    for name in ("open_up", "open_low", "teeth"):
        face[name] = np.where(shown[:, _FEATURES.index(name)] > 0, np.maximum(face[name], 0.0), 0.0)
    face |= {name: rng.normal(mean, 0.015, n) for name, mean in _FACE.items()}
    face |= {
        "side": rng.choice([-1.0, 1.0], n),
        "shift_x": rng.uniform(-0.08, 0.08, n),
        "shift_y": rng.uniform(-0.08, 0.08, n),
        "scale": rng.uniform(0.82, 0.98, n),
        "stretch": rng.uniform(0.94, 1.06, n),
        "tilt": rng.normal(0, 0.09, n).clip(-0.25, 0.25),
        "skin": rng.uniform(105, 215, n),
        "hair": rng.uniform(15, 90, n),
        "hairline": rng.uniform(-0.88, -0.76, n),
        "back": rng.uniform(40, 225, n),
        "light_x": rng.uniform(-0.22, 0.22, n),
        "light_y": rng.uniform(-0.16, 0.08, n),
        "iris": rng.uniform(30, 100, n),
        "brow": rng.uniform(0.032, 0.055, n),
        "gain": rng.uniform(0.8, 1.1, n),
    }
    return {name: value.astype(np.float32)[:, np.newaxis] for name, value in face.items()}


def _draw_all(face: Face, size: int, noise: float, rng: np.random.Generator) -> PixelArray:
    n_samples = len(face["skin"])
    images = np.empty((n_samples, size, size), np.uint8)
    step = max(1, _CHUNK_PIXELS // size**2)
    for start in range(0, n_samples, step):
        part = {name: value[start : start + step] for name, value in face.items()}
        canvas = _draw(part, size)
        canvas += np.float32(noise) * rng.standard_normal(canvas.shape, dtype=np.float32)
        images[start : start + step] = np.clip(canvas, 0, 255).reshape(-1, size, size)
    return images


def _draw(face: Face, size: int) -> NDArray[np.float32]:
    """Draw faces from back to front, as an array of shape (n, size * size)."""
    u, v = _face_coordinates(face, size)
    pixel = 2 / (size * face["scale"])

    def paint(distance: Any, value: Any, opacity: Any = 1.0) -> None:
        """Paint a shape with soft edges where the `distance` to its edge is negative."""
        canvas[...] += np.clip(0.5 - distance / pixel, 0, 1) * opacity * (value - canvas)

    au = np.abs(u)
    skin, hair = face["skin"], face["hair"]
    canvas = face["back"] * (1 + 0.1 * v)
    paint(_ellipse(u, v + 0.10, 0.90, 1.06), hair)
    paint(_ellipse(au - 0.77, v + 0.02, 0.09, 0.20), 0.85 * skin)
    shade = 1 + face["light_x"] * u + face["light_y"] * v - 0.22 * au * au
    head = _ellipse(u * (1 + 0.14 * v), v - 0.06, 0.76, 0.96)
    paint(np.maximum(head, face["hairline"] + 0.25 * au * au - v), skin * shade)
    _paint_lines(paint, face, u, au, v, 0.62 * skin)
    _paint_nose(paint, au, v, skin)
    _paint_eyes(paint, face, u, au, v)
    _paint_brows(paint, face, au, v)
    _paint_mouth(paint, face, u, v, pixel)
    return canvas * face["gain"]


def _face_coordinates(face: Face, size: int) -> tuple[Any, Any]:
    """Map pixels to face coordinates: a face spans about [-0.8, 0.8] × [-1, 1], v downwards."""
    axis = ((np.arange(size, dtype=np.float32) + 0.5) * 2 / size - 1)[np.newaxis]
    x = np.tile(axis, (1, size)) - face["shift_x"]
    y = np.repeat(axis, size, axis=1) - face["shift_y"]
    cos, sin = np.cos(face["tilt"]) / face["scale"], np.sin(face["tilt"]) / face["scale"]
    return (cos * x + sin * y) * face["stretch"], cos * y - sin * x


def _ellipse(x: Any, y: Any, a: float, b: float) -> Any:
    """Approximate the distance to an ellipse."""
    return (np.sqrt((x / a) ** 2 + (y / b) ** 2) - 1) * min(a, b)


def _segment(
    x: Any, y: Any, start: tuple[float, float], end: tuple[float, float], width: float
) -> Any:
    """Return the distance to a straight stroke."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    along = np.clip(((x - start[0]) * dx + (y - start[1]) * dy) / (dx * dx + dy * dy), 0, 1)
    return np.hypot(x - start[0] - along * dx, y - start[1] - along * dy) - width


def _paint_lines(paint: Paint, face: Face, u: Any, au: Any, v: Any, dark: Any) -> None:
    paint(_segment(au, v, (0.19, 0.24), (0.44, 0.60), 0.022), dark, 0.9 * face["fold"])
    paint(_segment(au, v, (0.07, -0.46), (0.055, -0.28), 0.022), dark, face["furrow"])
    for height in (-0.10, 0.0):
        stroke = np.maximum(np.abs(v - height + 0.6 * au) - 0.02, au - 0.15)
        paint(stroke, dark, 0.9 * face["wrinkle"])


def _paint_nose(paint: Paint, au: Any, v: Any, skin: Any) -> None:
    paint(_segment(au, v, (0.075, -0.12), (0.13, 0.22), 0.016), 0.8 * skin, 0.6)
    paint(_ellipse(au - 0.075, v - 0.27, 0.05, 0.03), 0.4 * skin)


def _paint_eyes(paint: Paint, face: Face, u: Any, au: Any, v: Any) -> None:
    closing = 1 - 0.45 * face["squint"] * (u * face["side"] > 0)
    up, low = face["eye_up"] * closing, face["eye_low"] * closing
    x, y = au - face["eye_x"], v - face["eye_y"]
    lid = 1 - (x / 0.18) ** 2
    eye = np.maximum(-y - up * lid, y - low * lid)
    paint(eye, np.minimum(1.35 * face["skin"], 240))
    iris = np.sqrt(x * x + y * y)
    paint(np.maximum(iris - 0.088, eye), face["iris"])
    paint(np.maximum(iris - 0.040, eye), 10)
    rim = np.maximum(np.abs(y + up * lid) - 0.022, np.abs(x) - 0.19)
    paint(rim, 25)
    paint(np.maximum(np.abs(y - low * lid) - 0.010, np.abs(x) - 0.17), 0.5 * face["skin"], 0.7)


def _paint_brows(paint: Paint, face: Face, au: Any, v: Any) -> None:
    along = (au - face["eye_x"] + face["brow_gap"]) / 0.23
    height = (
        face["brow_y"]
        - face["brow_in"] * (1 - along) / 2
        - face["brow_out"] * (1 + along) / 2
        - face["arch"] * (1 - along * along)
    )
    thickness = face["brow"] * (1.1 - 0.35 * along)
    stroke = np.maximum(np.abs(v - height) - thickness, 0.23 * (np.abs(along) - 1))
    paint(stroke, np.minimum(face["hair"], 0.5 * face["skin"]))


def _paint_mouth(paint: Paint, face: Face, u: Any, v: Any, pixel: Any) -> None:
    x = u / face["width"]
    arc = np.maximum(1 - x * x, 0)
    # Squinting raises one corner.
    line = face["mouth_y"] - face["curve"] * (x * x - 0.35)
    line = line - 0.06 * face["squint"] * face["side"] * x
    # An open mouth is round, a closed one tapers.
    roundness = np.sqrt(arc)
    top, bottom = line - face["open_up"] * roundness, line + face["open_low"] * roundness
    ends = face["width"] * (np.abs(x) - 1)
    lips = np.maximum(top - face["lip"] * arc - v, v - bottom - 1.25 * face["lip"] * arc)
    paint(np.maximum(lips, ends), 0.62 * face["skin"])
    is_open = (face["open_up"] + face["open_low"]) > 0
    cavity = np.maximum(np.maximum(top - v, v - bottom), ends)
    paint(cavity, 20, is_open)
    paint(np.maximum(cavity, v - top - face["teeth"]), 225, (face["teeth"] > 0) * 0.95)
    paint(np.maximum(np.abs(v - line) - 0.016, ends), 25, 1 - is_open)
