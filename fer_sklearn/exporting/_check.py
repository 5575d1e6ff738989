"""An exported file has to answer as the model did, or it is not kept."""

import numpy as np

from ..datasets import make_faces
from ..exceptions import ExportError
from ..preprocessing import resize_gray

__all__ = ["check_answers", "check_size", "probes"]

_N_FACES = 64
# How far float formats may differ in probability: rounding in another order, no more.
_TOLERANCE = 1e-4
_BYTES_A_WEIGHT = {"float32": 4, "float16": 2, "dynamic_int8": 1, "int8": 1}
# Red, green and blue of the drawn faces, so that a graph that mixes up colours is noticed.
_TINT = np.array([1.0, 0.8, 0.55])


def probes(parts, images, *, size, channels):
    """Return what is compared: images for the model, and the same for the exported graph.

    Parameters
    ----------
    parts : Parts
    images : batch of photos or None
        None draws 64 faces.
    size : (int, int)
        Height and width of what the graph takes.
    channels : {1, 3}

    Returns
    -------
    for_model : ndarray
        As ``parts.predict_proba`` takes them.
    for_graph : ndarray of shape (n, height, width, channels), float32
    """
    drawn = images is None
    if drawn:
        images = make_faces(_N_FACES, size=max(size), random_state=0).images
    grays = resize_gray(images, size)
    if not parts.takes_faces:
        low, high = parts.classifier.pixel_range_
        pixels = (low + grays / np.float32(255) * (high - low)).astype(np.float32)
        return pixels, pixels[..., None]
    if channels == 1:
        return grays, grays[..., None].astype(np.float32)
    faces = np.repeat(grays[..., None], 3, axis=-1)
    if drawn:
        faces = np.rint(faces * _TINT).astype(np.uint8)
    return faces, faces.astype(np.float32)


def check_answers(expected, found, *, exact, min_agreement):
    """Compare what an exported file answers with what the model answers.

    Parameters
    ----------
    expected, found : ndarray of shape (n, n_classes)
    exact : bool
        Whether probabilities are to agree, to 1e-4, or labels only.
    min_agreement : float
        Least share of equal labels, where only these are to agree.

    Returns
    -------
    dict
        ``faces``, ``largest_difference`` and ``label_agreement``.

    Raises
    ------
    ExportError
        If they do not agree.
    """
    if found.shape != expected.shape:
        raise ExportError(
            f"The exported file answers {found.shape} numbers where the model answers "
            f"{expected.shape}. Nothing was written; please report this."
        )
    if not np.isfinite(found).all():
        raise ExportError(
            "The exported file answers NaN or infinity, as one without its weights does. Nothing "
            "was written; please report this."
        )
    difference = float(np.abs(found - expected).max())
    agreement = float((found.argmax(axis=1) == expected.argmax(axis=1)).mean())
    if exact and difference > _TOLERANCE:
        raise ExportError(
            f"The exported file differs from the model by {difference:.2g} in probability on "
            f"{len(expected)} faces; expected at most {_TOLERANCE:g}. Nothing was written. Does a "
            f"layer of the network behave otherwise outside of Keras?"
        )
    if not exact and agreement < min_agreement:
        raise ExportError(
            f"The quantised file gives {agreement:.1%} of {len(expected)} faces the label that the "
            f"model gives them; min_agreement={min_agreement:g}. Nothing was written. Pass more "
            f"images, such as a few hundred of those trained on, choose another precision, or "
            f"lower min_agreement."
        )
    return {
        "faces": len(expected),
        "largest_difference": difference,
        "label_agreement": agreement,
    }


def check_size(n_bytes, n_parameters, precision):
    """Refuse a file that is too small to hold the network's weights."""
    least = n_parameters * _BYTES_A_WEIGHT[precision] // 2
    if n_bytes < least:
        raise ExportError(
            f"The exported file has {n_bytes:,} bytes; {n_parameters:,} weights as {precision} "
            f"need {least:,} at least. Nothing was written; please report this."
        )
