"""Permutation importance of the regions of a face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.utils import check_random_state

from .._utils.compat import Interval, StrOptions, validate_params
from .._utils.estimators import predicted_probabilities
from .._utils.tables import TabularReport
from .._utils.typing import (
    ArrayLike,
    BoolArray,
    Estimator,
    FloatArray,
    ImagesLike,
    LabelArray,
    RandomState,
)
from .._utils.validation import check_pair
from ._explanation import label_positions, make_images

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FACE_REGIONS", "RegionImportance", "face_regions", "region_importance"]

#: Top, bottom, left and right of each region of a face, as fractions of the image's height and
#: width, for faces cropped as tightly as FER2013's. Left and right are the viewer's.
FACE_REGIONS: dict[str, tuple[float, float, float, float]] = {
    "forehead": (0 / 48, 11 / 48, 9 / 48, 39 / 48),
    "left eye": (11 / 48, 22 / 48, 6 / 48, 24 / 48),
    "right eye": (11 / 48, 22 / 48, 24 / 48, 42 / 48),
    "nose": (22 / 48, 33 / 48, 18 / 48, 30 / 48),
    "left cheek": (22 / 48, 33 / 48, 6 / 48, 18 / 48),
    "right cheek": (22 / 48, 33 / 48, 30 / 48, 42 / 48),
    "mouth": (33 / 48, 44 / 48, 12 / 48, 36 / 48),
    "chin": (44 / 48, 48 / 48, 12 / 48, 36 / 48),
}
_REST = "surroundings"


@dataclass(frozen=True, repr=False, eq=False)
class RegionImportance(TabularReport):
    """Result of :func:`region_importance`; prints as an aligned table.

    Attributes
    ----------
    regions : dict of str to ndarray of shape (h, w), bool
        The masks by name, in the order of all the following attributes.
    emotions : ndarray of shape (n_emotions,)
        The labels in `y`, sorted.
    baseline : float
        The score on the original images.
    baseline_per_class : ndarray of shape (n_emotions,)
        The same among the images of one emotion.
    importances : ndarray of shape (n_repeats, n_regions)
        The drop in the score after permuting a region.
    importances_per_class : ndarray of shape (n_repeats, n_regions, n_emotions)
        The same among the images of one emotion.
    mean_face : ndarray of shape (h, w) or (h, w, 3), float32
        The mean of the images.
    scoring : str
        The score.
    """

    regions: dict[str, BoolArray]
    emotions: LabelArray
    baseline: float
    baseline_per_class: FloatArray
    importances: FloatArray
    importances_per_class: FloatArray
    mean_face: FloatArray
    scoring: str

    @property
    def mean(self) -> FloatArray:
        """Mean importance of each region, ndarray of shape (n_regions,)."""
        return self.importances.mean(axis=0)

    @property
    def std(self) -> FloatArray:
        """Standard deviation of the importance over repeats, ndarray of shape (n_regions,)."""
        return self.importances.std(axis=0)

    @property
    def heatmap(self) -> FloatArray:
        """Mean importance of each pixel's region, ndarray of shape (h, w), float32.

        Where regions overlap, their mean; 0 outside all regions.
        """
        return self._painted(self.mean)

    @property
    def heatmaps(self) -> FloatArray:
        """The same for each emotion, ndarray of shape (n_emotions, h, w), float32."""
        per_class = self.importances_per_class.mean(axis=0)
        return np.stack([self._painted(importances) for importances in per_class.T])

    def to_frame(self) -> pd.DataFrame:
        """Return the importances as a tidy table.

        Returns
        -------
        pandas.DataFrame
            One row per region and emotion; columns ``region``, ``emotion`` (``"all"`` for all
            images), ``mean`` and ``std`` over the repeats.
        """
        import pandas as pd

        importances = np.concatenate(
            [self.importances[..., np.newaxis], self.importances_per_class], axis=-1
        )
        emotions = ["all", *self.emotions.tolist()]
        index = pd.MultiIndex.from_product([self.regions, emotions], names=["region", "emotion"])
        columns = {
            "mean": importances.mean(axis=0).ravel(),
            "std": importances.std(axis=0).ravel(),
        }
        return pd.DataFrame(columns, index=index).reset_index()

    def to_dict(self) -> dict[str, Any]:
        """Return the importances as nested dictionaries of plain Python values.

        Returns
        -------
        dict
            ``importances`` has the rows of :meth:`to_frame`.
        """
        return {
            "scoring": self.scoring,
            "n_repeats": len(self.importances),
            "baseline": self.baseline,
            "baseline_per_class": dict(
                zip(self.emotions.tolist(), self.baseline_per_class.tolist(), strict=True)
            ),
            "importances": self.to_frame().to_dict("records"),
        }

    def _headline(self):
        return (
            f"Drop in {self.scoring} from {self.baseline:.3f} after permuting a region between "
            f"faces, {len(self.importances)} repeats"
        )

    def _tables(self):
        rows = [
            (name, f"{mean:+.3f} ± {std:.3f}")
            for name, mean, std in zip(self.regions, self.mean, self.std, strict=True)
        ]
        return [("", ("region", "importance"), rows)]

    def _painted(self, importances):
        masks = np.stack(list(self.regions.values()))
        covered = masks.sum(axis=0)
        means = np.tensordot(importances, masks, axes=1) / np.maximum(covered, 1)
        return means.astype(np.float32)


@validate_params(
    {
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "scoring": [StrOptions({"accuracy", "probability"})],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def region_importance(
    estimator: Estimator,
    X: ImagesLike,
    y: ArrayLike,
    *,
    regions: Mapping[str, Any] | None = None,
    n_repeats: int = 5,
    scoring: Literal["accuracy", "probability"] = "accuracy",
    random_state: RandomState = None,
) -> RegionImportance:
    """Measure the importance of each region of the face to a classifier.

    Permutation importance (Breiman 2001) of regions instead of features: the pixels of a region
    are permuted between the images, and the importance is the drop in the score. It shows what
    the classifier relies on, reasonable or not, over all images and for each emotion. The
    importance of redundant regions is underestimated, since the other region still carries the
    information; and since a permuted region need not fit its new surroundings, edges may mislead
    the classifier beyond the loss of information.

    Parameters
    ----------
    estimator : fitted classifier or Pipeline
        Any classifier; its `predict` is called once per region and repeat.
    X : batch of n_samples images or photos
        Faces cropped alike, such as FER2013's; or photos, for a Pipeline that begins with
        FaceCropper or GrayscaleResizer, whose output is then permuted.
    y : array-like of shape (n_samples,)
        True labels.
    regions : mapping of str to mask or box, or None, default=None
        Masks are bool arrays ``(h, w)``, boxes ``(top, bottom, left, right)`` as fractions of
        height and width. If None, those of :func:`face_regions`.
    n_repeats : int, default=5
        Number of permutations, the same ones for all regions.
    scoring : {"accuracy", "probability"}, default="accuracy"
        ``"accuracy"``: the fraction of correct predictions, within an emotion its recall.

        ``"probability"``: the mean probability of the true label, which needs `predict_proba`,
        and changes before predictions do.
    random_state : int, RandomState instance or None, default=None
        Seed of the permutations.

    Returns
    -------
    RegionImportance

    Raises
    ------
    TypeError
        If `scoring` needs a `predict_proba` that the estimator does not have.
    ValueError
        For different lengths, labels that the estimator was not fitted on, images of several
        sizes, a single image, or a region without pixels.

    Examples
    --------
    >>> from fer_sklearn import load_pretrained, make_faces
    >>> from fer_sklearn.explain import region_importance
    >>> X, y = make_faces(70, random_state=0, return_X_y=True)
    >>> model = load_pretrained("tiny", runtime="litert")
    >>> regions = {"upper half": (0, 0.5, 0, 1), "lower half": (0.5, 1, 0, 1)}
    >>> result = region_importance(model, X, y, regions=regions, random_state=0)
    >>> result.to_frame().query("emotion == 'all'")["region"].tolist()
    ['upper half', 'lower half']
    """
    batch = make_images(estimator, X)
    images = batch.images
    classes = np.asarray(batch.estimator.classes_)
    codes = label_positions("y", y, classes, len(images))
    if len(images) < 2:
        raise ValueError("X has 1 image; expected at least two, to permute regions between.")
    shape = images.shape[1:3]
    masks = face_regions(shape) if regions is None else _region_masks(regions, shape)
    score = _SCORES[scoring]
    before = score(batch, images, codes)
    emotions, groups, counts = np.unique(codes, return_inverse=True, return_counts=True)
    members = (groups[:, np.newaxis] == np.arange(len(emotions))).astype(np.float64)
    drops = _all_drops(batch, masks.values(), codes, before, score, n_repeats, random_state)
    return RegionImportance(
        regions=masks,
        emotions=classes[emotions],
        baseline=float(before.mean()),
        baseline_per_class=before @ members / counts,
        importances=drops.mean(axis=-1),
        importances_per_class=drops @ members / counts,
        mean_face=images.mean(axis=0, dtype=np.float64).astype(np.float32),
        scoring=scoring,
    )


def _all_drops(batch, masks, codes, before, score, n_repeats, random_state):
    """Return the drop in each image's score: (n_repeats, n_regions, n_samples)."""
    images, random_state = batch.images, check_random_state(random_state)
    orders = [random_state.permutation(len(images)) for _ in range(n_repeats)]
    return np.array(
        [
            [before - score(batch, _permuted(images, mask, order), codes) for mask in masks]
            for order in orders
        ]
    )


def _permuted(images, mask, order):
    changed = images.copy()
    changed[:, mask] = images[order][:, mask]
    return changed


def _accuracy(batch, images, codes):
    """Return for each image whether its prediction is correct, 1 or 0."""
    labels = np.asarray(batch.estimator.classes_)[codes]
    return (batch.estimator.predict(batch.as_given(images)) == labels).astype(np.float64)


def _probability(batch, images, codes):
    """Return for each image the probability of its label."""
    proba, _ = predicted_probabilities(batch.estimator, batch.as_given(images))
    return proba[np.arange(len(codes)), codes]


_SCORES = {"accuracy": _accuracy, "probability": _probability}


def face_regions(shape: tuple[int, int] = (48, 48)) -> dict[str, BoolArray]:
    """Return the regions of a face as masks.

    Their positions are those in the mean of FER2013's images: brows and eyes (one row, so that a
    frown between the brows is included), nose, cheeks, mouth with its corners, chin and
    forehead. All other pixels, hair and background, are the ``"surroundings"``.

    Parameters
    ----------
    shape : (int, int), default=(48, 48)
        Height and width of the images.

    Returns
    -------
    dict of str to ndarray of shape (height, width), bool
        Every pixel is in one of them.

    Raises
    ------
    ValueError
        If `shape` is not two positive integers, or so small that a region has no pixel.

    Examples
    --------
    >>> {name: int(mask.sum()) for name, mask in face_regions((12, 12)).items()}["mouth"]
    18
    """
    shape = check_pair("shape", tuple(shape) if np.ndim(shape) == 1 else shape, "(height, width)")
    masks = _region_masks(FACE_REGIONS, shape)
    rest = ~np.any(list(masks.values()), axis=0)
    return {**masks, _REST: rest} if rest.any() else masks


def _region_masks(regions, shape):
    """Return regions, given as masks or boxes, as masks of a shape; raise ValueError for others."""
    if not hasattr(regions, "items") or not regions:
        raise ValueError(
            f"regions={regions!r} must be a mapping of names to masks or boxes, with at least one "
            f"region."
        )
    return {name: _region_mask(name, region, shape) for name, region in regions.items()}


def _region_mask(name, region, shape):
    mask = np.asarray(region)
    if mask.dtype == bool and mask.shape == tuple(shape):
        mask = mask.copy()
    elif _is_box(region):
        top, bottom, left, right = region
        rows, columns = (
            _covered(start, stop, side)
            for (start, stop), side in zip(((top, bottom), (left, right)), shape, strict=True)
        )
        mask = rows[:, np.newaxis] & columns
    else:
        raise ValueError(
            f"regions[{name!r}] has shape {mask.shape} and dtype {mask.dtype}; expected a bool "
            f"mask of shape {tuple(shape)}, or (top, bottom, left, right) as fractions of the "
            f"image, 0 <= top < bottom <= 1 and 0 <= left < right <= 1."
        )
    if not mask.any():
        raise ValueError(f"regions[{name!r}] has no pixel in images of {shape[0]}×{shape[1]}.")
    return mask


def _is_box(region):
    if np.shape(region) != (4,) or not all(isinstance(edge, Real) for edge in region):
        return False
    top, bottom, left, right = region
    return 0 <= top < bottom <= 1 and 0 <= left < right <= 1


def _covered(start, stop, side):
    """Return which pixels of a side have their centre between two fractions of it."""
    centres = (np.arange(side) + 0.5) / side
    return (centres >= start) & (centres < stop)
