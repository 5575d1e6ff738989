"""What each part of the face is worth to a classifier, by swapping it between faces."""

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state

from .._utils.compat import Interval, StrOptions, validate_params
from .._utils.prediction import predicted_probabilities
from ._explanation import label_positions, make_images

__all__ = ["FACE_REGIONS", "RegionImportance", "face_regions", "region_importance", "region_masks"]


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


#: Top, bottom, left and right of each part of a face, as shares of the image's height and
#: width, for faces cropped as tightly as FER2013's. Left and right are the viewer's.
FACE_REGIONS = {
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


def face_regions(shape=(48, 48)):
    """Return the parts of a face as masks.

    Their places are those of the mean of FER2013's images: brows and eyes (a row together, so
    that a frown between the brows is in them), nose, cheeks, mouth with its corners, chin and
    forehead. All other pixels, hair and background, are the ``"surroundings"``.

    Parameters
    ----------
    shape : (int, int), default=(48, 48)
        Height and width of the images.

    Returns
    -------
    dict of str to ndarray of shape (height, width), bool
        Every pixel is in one of them.

    Examples
    --------
    >>> {name: int(mask.sum()) for name, mask in face_regions((12, 12)).items()}["mouth"]
    18
    """
    masks = region_masks(FACE_REGIONS, shape)
    rest = ~np.any(list(masks.values()), axis=0)
    return {**masks, _REST: rest} if rest.any() else masks


def region_masks(regions, shape):
    """Turn regions, as masks or as boxes, into masks.

    Parameters
    ----------
    regions : mapping of str to ndarray of shape `shape`, bool, or (top, bottom, left, right)
        Boxes are shares of height and width, from 0 to 1.
    shape : (int, int)
        Height and width of the images.

    Returns
    -------
    dict of str to ndarray of shape `shape`, bool

    Raises
    ------
    ValueError
        For a region that is neither, or without a pixel, or if there is none.
    """
    if not hasattr(regions, "items") or not regions:
        raise ValueError(
            f"regions={regions!r} must be a mapping of names to masks or boxes, with one region "
            f"or more."
        )
    return {name: _mask(name, region, shape) for name, region in regions.items()}


def _mask(name, region, shape):
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
            f"regions[{name!r}] is of shape {mask.shape} and dtype {mask.dtype}; expected a bool "
            f"mask of shape {tuple(shape)}, or (top, bottom, left, right) as shares of the "
            f"image, 0 <= top < bottom <= 1 and 0 <= left < right <= 1."
        )
    if not mask.any():
        raise ValueError(f"regions[{name!r}] has no pixel in images of {shape[0]}×{shape[1]}.")
    return mask


def _is_box(region):
    if np.shape(region) != (4,) or not all(isinstance(edge, (Real, Integral)) for edge in region):
        return False
    top, bottom, left, right = region
    return 0 <= top < bottom <= 1 and 0 <= left < right <= 1


def _covered(start, stop, side):
    """Return which pixels of a side have their centre between two shares of it."""
    centres = (np.arange(side) + 0.5) / side
    return (centres >= start) & (centres < stop)
