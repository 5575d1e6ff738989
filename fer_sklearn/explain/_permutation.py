"""What each part of the face is worth to a classifier, by swapping it between faces."""

from dataclasses import dataclass
from numbers import Integral

import numpy as np
from sklearn.utils import check_random_state

from .._utils._probabilities import predicted_probabilities
from .._utils.compat import Interval, StrOptions, validate_params
from ._explanation import label_positions
from ._images import make_images
from ._regions import face_regions, region_masks

__all__ = ["RegionImportance", "region_importance"]


@dataclass(frozen=True, repr=False, eq=False)
class RegionImportance:
    """What :func:`region_importance` found.

    Attributes
    ----------
    regions : dict of str to ndarray of shape (h, w), bool
        The masks by name, in the order of all that follows.
    emotions : ndarray of shape (n_emotions,)
        The labels in `y`, sorted.
    baseline : float
        The score of the images as they are.
    baseline_by_emotion : ndarray of shape (n_emotions,)
    drops : ndarray of shape (n_repeats, n_regions)
        How much the score falls where a region is swapped.
    drops_by_emotion : ndarray of shape (n_repeats, n_regions, n_emotions)
        The same among the images of one emotion.
    mean_face : ndarray of shape (h, w) or (h, w, 3), float32
        The mean of the images.
    scoring : str
        What the score is.
    """

    regions: dict
    emotions: np.ndarray
    baseline: float
    baseline_by_emotion: np.ndarray
    drops: np.ndarray
    drops_by_emotion: np.ndarray
    mean_face: np.ndarray
    scoring: str

    @property
    def mean(self):
        """Mean drop of each region: ndarray of shape (n_regions,)."""
        return self.drops.mean(axis=0)

    @property
    def std(self):
        """Standard deviation of the drop over repeats: ndarray of shape (n_regions,)."""
        return self.drops.std(axis=0)

    @property
    def heatmap(self):
        """Each pixel's mean drop, as that of its region: ndarray of shape (h, w), float32.

        Where regions overlap, the mean of theirs; outside all of them 0.
        """
        return self._painted(self.mean)

    @property
    def heatmaps(self):
        """The same for each emotion: ndarray of shape (n_emotions, h, w), float32."""
        by_emotion = self.drops_by_emotion.mean(axis=0)
        return np.stack([self._painted(drops) for drops in by_emotion.T])

    def to_frame(self):
        """Return the drops as a tidy table.

        Returns
        -------
        pandas.DataFrame
            One row a region and emotion; columns ``region``, ``emotion`` (``"all"`` for all
            images), ``mean`` and ``std`` over the repeats.
        """
        import pandas as pd

        drops = np.concatenate([self.drops[..., np.newaxis], self.drops_by_emotion], axis=-1)
        emotions = ["all", *self.emotions.tolist()]
        index = pd.MultiIndex.from_product([self.regions, emotions], names=["region", "emotion"])
        columns = {"mean": drops.mean(axis=0).ravel(), "std": drops.std(axis=0).ravel()}
        return pd.DataFrame(columns, index=index).reset_index()

    def __repr__(self):
        width = max(map(len, self.regions))
        lines = [
            f"{name.ljust(width)}  {mean:+.3f} ± {std:.3f}"
            for name, mean, std in zip(self.regions, self.mean, self.std, strict=True)
        ]
        return "\n".join(
            [
                f"Drop of {self.scoring} from {self.baseline:.3f} where a region is swapped "
                f"between faces, {len(self.drops)} repeats",
                *lines,
            ]
        )

    def _painted(self, drops):
        masks = np.stack(list(self.regions.values()))
        covered = masks.sum(axis=0)
        return (np.tensordot(drops, masks, axes=1) / np.maximum(covered, 1)).astype(np.float32)


@validate_params(
    {
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "scoring": [StrOptions({"accuracy", "probability"})],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def region_importance(
    estimator, X, y, *, regions=None, n_repeats=5, scoring="accuracy", random_state=None
):
    """Measure what each part of the face is worth to a classifier.

    Permutation importance (Breiman 2001) of regions in place of features: a region's pixels are
    swapped at random between the images, and what the score loses is what the region was worth.
    It says what the classifier relies on, be that reasonable or not, over all images and in
    those of each emotion. What two regions tell alike counts for neither, since one of them is
    left; and since what is swapped in need not fit its new surroundings, edges may mislead the
    classifier beyond the loss of what was there.

    Parameters
    ----------
    estimator : fitted classifier or Pipeline
        Of any kind. `predict` is called once for each region and repeat.
    X : batch of n_samples images or photos
        Faces cropped alike, as FER2013's, or a Pipeline that begins with FaceCropper or
        GrayscaleResizer: then their images are changed.
    y : array-like of shape (n_samples,)
        The true labels.
    regions : mapping of str to mask or box, or None, default=None
        Masks are bool arrays ``(h, w)``, boxes ``(top, bottom, left, right)`` as shares of
        height and width. None is :func:`face_regions`.
    n_repeats : int, default=5
        Permutations, the same ones for all regions.
    scoring : {"accuracy", "probability"}, default="accuracy"
        ``"accuracy"``: the share of right labels, within an emotion its recall.

        ``"probability"``: the mean probability of the true label, which needs
        `predict_proba`, and moves where labels do not yet.
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
        For lengths that differ, labels that the estimator never saw, images of several sizes,
        a single image, or a region without pixels.

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
        raise ValueError("X holds 1 image; expected two or more, to swap regions between.")
    shape = images.shape[1:3]
    masks = face_regions(shape) if regions is None else region_masks(regions, shape)
    score = _SCORES[scoring]
    before = score(batch, images, codes)
    emotions, groups, counts = np.unique(codes, return_inverse=True, return_counts=True)
    members = (groups[:, np.newaxis] == np.arange(len(emotions))).astype(np.float64)
    drops = _all_drops(batch, masks.values(), codes, before, score, n_repeats, random_state)
    return RegionImportance(
        regions=masks,
        emotions=classes[emotions],
        baseline=float(before.mean()),
        baseline_by_emotion=before @ members / counts,
        drops=drops.mean(axis=-1),
        drops_by_emotion=drops @ members / counts,
        mean_face=images.mean(axis=0, dtype=np.float64).astype(np.float32),
        scoring=scoring,
    )


def _all_drops(batch, masks, codes, before, score, n_repeats, random_state):
    """Return what swapping costs each image: (n_repeats, n_regions, n_samples)."""
    images, random_state = batch.images, check_random_state(random_state)
    orders = [random_state.permutation(len(images)) for _ in range(n_repeats)]
    return np.array(
        [
            [before - score(batch, _swapped(images, mask, order), codes) for mask in masks]
            for order in orders
        ]
    )


def _swapped(images, mask, order):
    changed = images.copy()
    changed[:, mask] = images[order][:, mask]
    return changed


def _accuracy(batch, images, codes):
    """Return for each image whether its label is right, 1 or 0."""
    labels = np.asarray(batch.estimator.classes_)[codes]
    return (batch.estimator.predict(batch.as_given(images)) == labels).astype(np.float64)


def _probability(batch, images, codes):
    """Return for each image the probability of its label."""
    probabilities, _ = predicted_probabilities(batch.estimator, batch.as_given(images))
    return probabilities[np.arange(len(codes)), codes]


_SCORES = {"accuracy": _accuracy, "probability": _probability}
