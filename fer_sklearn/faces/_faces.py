"""What a detector finds in one photo."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Faces", "as_faces"]

_EXPECTED = (
    "expected a list of (left, top, width, height) and perhaps a score, finite, width and "
    "height above 0; or a Faces object; or an empty list where there is no face"
)


@dataclass(frozen=True, eq=False)
class Faces:
    """The faces that a detector found in one photo.

    Parameters
    ----------
    boxes : ndarray of shape (n_faces, 4), float64
        Left, top, width and height in pixels of the photo. A box may reach beyond it.
    scores : ndarray of shape (n_faces,), float64
        How sure the detector is; higher is surer, on a scale of its own. NaN where it
        does not tell.
    eyes : ndarray of shape (n_faces, 2, 2), float64
        x and y of the eye further left in the photo, then of the other; NaN where unknown.

    Examples
    --------
    >>> len(Faces.none())
    0
    """

    boxes: np.ndarray
    scores: np.ndarray
    eyes: np.ndarray

    @classmethod
    def none(cls):
        """Return what is found in a photo without faces."""
        return cls(np.empty((0, 4)), np.empty(0), np.empty((0, 2, 2)))

    def __len__(self):
        return len(self.boxes)

    def take(self, indices):
        """Return some of the faces, in the order of `indices` (or a mask)."""
        return Faces(self.boxes[indices], self.scores[indices], self.eyes[indices])


def as_faces(found, source):
    """Turn whatever a detector returns, or a user wrote down, into `Faces`.

    Parameters
    ----------
    found : Faces, None or array-like of shape (n, 4) or (n, 5)
        Boxes, the fifth number being a score. None and empty sequences are no faces.
    source : str
        Where `found` comes from, as the start of an error message.

    Returns
    -------
    Faces

    Raises
    ------
    ValueError
        For anything else, and for boxes without an area.
    """
    if isinstance(found, Faces):
        _check_boxes(found.boxes, source)
        if found.scores.shape != (len(found),) or found.eyes.shape != (len(found), 2, 2):
            raise ValueError(
                f"{source} Faces with {len(found)} boxes, scores of shape {found.scores.shape} "
                f"and eyes of shape {found.eyes.shape}; expected ({len(found)},) and "
                f"({len(found)}, 2, 2), NaN where unknown."
            )
        return found
    if found is None or (hasattr(found, "__len__") and len(found) == 0):
        return Faces.none()
    try:
        rows = np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{source} {found!r}; {_EXPECTED}.") from None
    if rows.ndim != 2 or rows.shape[1] not in (4, 5):
        raise ValueError(f"{source} {rows.tolist()}, of shape {rows.shape}; {_EXPECTED}.")
    _check_boxes(rows[:, :4], source)
    scores = rows[:, 4] if rows.shape[1] == 5 else np.full(len(rows), np.nan)
    return Faces(rows[:, :4], scores, np.full((len(rows), 2, 2), np.nan))


def _check_boxes(boxes, source):
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{source} boxes of shape {boxes.shape}; {_EXPECTED}.")
    wrong = ~np.isfinite(boxes).all(axis=1) | (boxes[:, 2:] <= 0).any(axis=1)
    if wrong.any():
        index = np.flatnonzero(wrong)[0]
        raise ValueError(
            f"{source} {boxes[index].tolist()} as number {index} of {len(boxes)} boxes; "
            f"{_EXPECTED}."
        )
