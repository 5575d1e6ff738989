"""Verification: an exported file is kept only if its output matches the model's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._utils.typing import FloatArray, ImagesLike, NDArray
from ..datasets import make_faces
from ..exceptions import ExportError
from ..preprocessing import resize_gray

if TYPE_CHECKING:
    from ._graph import PipelineParts

__all__ = ["check_file_size", "check_outputs", "make_probe_batch"]

_N_FACES = 64
# Largest difference in probability allowed for float32 formats, which round in another order.
_TOLERANCE = 1e-4
_BYTES_PER_WEIGHT = {"float32": 4, "float16": 2, "dynamic_int8": 1, "int8": 1}
# Scales of red, green and blue in synthetic faces, so that a graph which swaps channels is noticed.
_TINT = np.array([1.0, 0.8, 0.55])


def make_probe_batch(
    parts: PipelineParts, images: ImagesLike | None, *, size: tuple[int, int], channels: int
) -> tuple[NDArray, FloatArray]:
    """Return the faces to compare: as input of the model, and as input of the exported graph.

    Parameters
    ----------
    parts : PipelineParts
    images : batch of photos or None
        If None, 64 synthetic faces.
    size : (int, int)
        Height and width of the graph's input.
    channels : {1, 3}

    Returns
    -------
    for_model : ndarray
        Input of ``parts.predict_proba``.
    for_graph : ndarray of shape (n, height, width, channels), float32
    """
    synthetic = images is None
    if synthetic:
        images = make_faces(_N_FACES, size=max(size), random_state=0).images
    grays = resize_gray(images, size)
    if not parts.takes_faces:
        low, high = parts.classifier.pixel_range_
        pixels = (low + grays / np.float32(255) * (high - low)).astype(np.float32)
        return pixels, pixels[..., None]
    if channels == 1:
        return grays, grays[..., None].astype(np.float32)
    faces = np.repeat(grays[..., None], 3, axis=-1)
    if synthetic:
        faces = np.rint(faces * _TINT).astype(np.uint8)
    return faces, faces.astype(np.float32)


def check_outputs(
    expected: FloatArray, found: FloatArray, *, exact: bool, min_label_agreement: float
) -> dict[str, int | float]:
    """Compare the output of an exported file with that of the model.

    Parameters
    ----------
    expected, found : ndarray of shape (n, n_classes)
        Probabilities from the model and from the exported file.
    exact : bool
        Whether probabilities must agree to 1e-4, or only the predicted labels.
    min_label_agreement : float
        Minimum fraction of equal labels if `exact` is False.

    Returns
    -------
    dict
        ``faces``, ``largest_difference`` and ``label_agreement``.

    Raises
    ------
    ExportError
        If the outputs do not agree.
    """
    if found.shape != expected.shape:
        raise ExportError(
            f"The exported model returned an output of shape {found.shape}; expected "
            f"{expected.shape}. Nothing was written. Please report this as a bug."
        )
    if not np.isfinite(found).all():
        raise ExportError(
            "The exported model returned NaN or infinity, as a file without its weights does. "
            "Nothing was written. Please report this as a bug."
        )
    difference = float(np.abs(found - expected).max())
    agreement = float((found.argmax(axis=1) == expected.argmax(axis=1)).mean())
    if exact and difference > _TOLERANCE:
        raise ExportError(
            f"The exported model differs from the original by {difference:.2g} in probability on "
            f"{len(expected)} faces; expected at most {_TOLERANCE:g}. Nothing was written. Check "
            f"whether a layer of the network behaves differently outside Keras."
        )
    if not exact and agreement < min_label_agreement:
        raise ExportError(
            f"The quantised model predicts the same label as the original for {agreement:.1%} of "
            f"{len(expected)} faces; min_label_agreement={min_label_agreement:g}. Nothing was "
            f"written. Pass more representative_data, such as a few hundred training images, "
            f"choose another precision, or lower min_label_agreement."
        )
    return {
        "faces": len(expected),
        "largest_difference": difference,
        "label_agreement": agreement,
    }


def check_file_size(n_bytes: int, n_parameters: int, precision: str) -> None:
    """Raise ExportError if a file is too small to contain the network's weights."""
    minimum = n_parameters * _BYTES_PER_WEIGHT[precision] // 2
    if n_bytes < minimum:
        raise ExportError(
            f"The exported file has {n_bytes:,} bytes; {n_parameters:,} weights as {precision} "
            f"need at least {minimum:,}. Nothing was written. Please report this as a bug."
        )
