"""Images of HOG features, and of the weights of a linear classifier on them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.svm import SVC, NuSVC
from sklearn.utils.validation import check_is_fitted

from .._utils.estimators import split_pipeline
from .._utils.typing import Estimator, FloatArray, ImagesLike, LabelArray
from .._utils.validation import check_pair
from ..features import HOGExtractor
from ..svm import HOGSVMClassifier

__all__ = ["HOGWeights", "draw_strokes", "feature_weights", "hog_image", "hog_weights"]

# Width of a stroke, as a fraction of a cell.
_WIDTH = 0.09


class HOGWeights(NamedTuple):
    """Result of :func:`hog_weights`.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        The labels, in the order of all the following attributes.
    positive_weights, negative_weights : ndarray of shape (n_classes, scale * h, scale * w)
        Strokes, float32 in [0, 1], whose brightness is the weight of edges in their direction
        for and against the label. Both of one label are on one scale.
    relevance : ndarray of shape (n_classes, h, w), float32
        The total weight of each cell, of either sign: in [0, 1], 1 in the cell with the highest.
    """

    classes: LabelArray
    positive_weights: FloatArray
    negative_weights: FloatArray
    relevance: FloatArray


def hog_image(
    X: ImagesLike, *, hog: HOGExtractor | Estimator | None = None, scale: int = 8
) -> FloatArray:
    """Draw the HOG features of faces as strokes, to show what a classifier of HOG features sees.

    Each cell contains a star of strokes along its edges. The brightness of a stroke is the value
    of its feature, averaged over the blocks that contain the cell.

    Parameters
    ----------
    X : array-like of shape (n, h, w), (n, h, w, 1) or (n, h * w), or photos
        Grey images; photos in colour or of several sizes if `hog` is a Pipeline that begins
        with GrayscaleResizer.
    hog : HOGExtractor, fitted estimator or None, default=None
        An extractor, fitted or not, or an estimator that contains one, such as a Pipeline, whose
        steps before it then run. If None, ``HOGExtractor()``.
    scale : int, default=8
        Pixels of the result per pixel of the image.

    Returns
    -------
    ndarray of shape (n, scale * h, scale * w), float32
        In [0, 1], 1 for the highest feature of each image.

    Examples
    --------
    >>> from fer_sklearn import HOGExtractor, make_faces
    >>> from fer_sklearn.explain import hog_image
    >>> X, y = make_faces(2, random_state=0, return_X_y=True)
    >>> hog_image(X, hog=HOGExtractor(pixels_per_cell=6)).shape
    (2, 384, 384)
    """
    extractor: Any = HOGExtractor() if hog is None else hog
    if not isinstance(extractor, HOGExtractor):
        extractor, X = _run_to_hog(extractor, X)
    fitted = clone(extractor).fit(X)
    blocks = _blocks(fitted.transform(X), fitted)
    cells = _sum_by_cell(blocks) / _sum_by_cell(np.ones_like(blocks[:1]))
    strokes = draw_strokes(cells, fitted.image_shape_, _cell(fitted), _checked_scale(scale))
    return _to_unit(strokes, axis=(1, 2))


def hog_weights(estimator: Estimator, *, scale: int = 8) -> HOGWeights:
    """Draw the weights of a linear classifier of HOG features, for each label.

    Parameters
    ----------
    estimator : fitted Pipeline
        A HOGExtractor, then linear steps, such as PCA or StandardScaler, through which weights
        are projected back, then a classifier with ``coef_``: LinearSVC, LogisticRegression,
        ``HOGSVMClassifier(kernel="linear")``. It can be inside a search or a
        CalibratedClassifierCV of one estimator.
    scale : int, default=8
        Pixels of the result per pixel of the image.

    Returns
    -------
    HOGWeights

    Raises
    ------
    TypeError
        If no step is a HOGExtractor, or the classifier has no ``coef_``, as with every kernel
        but the linear one.
    ValueError
        For a step between the two that is not linear, or weights for pairs of labels.

    Examples
    --------
    >>> from sklearn.svm import LinearSVC
    >>> from fer_sklearn import make_faces, make_hog_svm_pipeline
    >>> from fer_sklearn.explain import hog_weights
    >>> X, y = make_faces(70, random_state=0, return_X_y=True)
    >>> weights = hog_weights(make_hog_svm_pipeline(LinearSVC()).fit(X, y))
    >>> weights.positive_weights.shape, weights.relevance.shape
    ((7, 384, 384), (7, 48, 48))
    """
    hog, weights = feature_weights(estimator)
    blocks, pixels = _blocks(weights, hog), _cell(hog)
    net = _sum_by_cell(blocks)
    signed = np.concatenate([np.maximum(net, 0), np.maximum(-net, 0)])
    strokes = draw_strokes(signed, hog.image_shape_, pixels, _checked_scale(scale))
    strokes = _to_unit(strokes.reshape(2, len(net), *strokes.shape[1:]), axis=(0, 2, 3))
    lengths = np.sqrt(_sum_by_cell(blocks**2).sum(axis=-1))
    relevance = _to_unit(_spread_cells(lengths, hog.image_shape_, pixels), axis=(1, 2))
    return HOGWeights(np.asarray(estimator.classes_), strokes[0], strokes[1], relevance)


def feature_weights(estimator: Any) -> tuple[HOGExtractor, FloatArray]:
    """Return the HOGExtractor of an estimator, and its weights of each HOG feature.

    Returns
    -------
    hog : HOGExtractor
    weights : ndarray of shape (n_classes, n_features), float64
        The estimator's scores are these times the features, plus a constant for each label.
    """
    steps, classifier = _take_apart(estimator)
    _, hog, between = _split_at_hog(steps, estimator)
    check_is_fitted(hog, "image_shape_")
    weights = _label_weights(classifier)
    for step in reversed(between):
        weights = weights @ _matrix(step).T
    return hog, weights


def _take_apart(estimator):
    """Return the transformers of an estimator, in order, and its classifier."""
    steps, classifier = split_pipeline(estimator)
    if isinstance(classifier, HOGSVMClassifier):
        check_is_fitted(classifier)
        inside = [step for step in (classifier.hog_, classifier.pca_) if step is not None]
        return [*steps, *inside], classifier.svm_
    return steps, classifier


def _split_at_hog(steps, estimator):
    """Return the steps before the HOGExtractor, the extractor, and those after it."""
    for i, step in enumerate(steps):
        if isinstance(step, HOGExtractor):
            return steps[:i], step, steps[i + 1 :]
    names = ", ".join(type(step).__name__ for step in steps)
    raise TypeError(
        f"{type(estimator).__name__} has no HOGExtractor among its steps ({names}); expected a "
        f"pipeline such as that of make_hog_svm_pipeline(). For any other classifier use "
        f"occlusion_map or region_importance."
    )


def _run_to_hog(estimator, X):
    """Return the extractor inside an estimator, and its input."""
    steps, last = _take_apart(estimator)
    before, hog, _ = _split_at_hog([*steps, last], estimator)
    for step in before:
        X = step.transform(X)
    return hog, X


def _label_weights(classifier):
    """Return one row of weights per label."""
    name, remedy = type(classifier).__name__, "Fit LinearSVC() or LogisticRegression() instead"
    if not hasattr(classifier, "coef_"):
        raise TypeError(
            f"estimator ends in a {name}, which has no weights of features (coef_), like every "
            f"kernel but the linear one. {remedy}, or HOGSVMClassifier(kernel='linear'); or use "
            f"occlusion_map or region_importance, which take any classifier."
        )
    weights, n_classes = np.asarray(classifier.coef_, dtype=np.float64), len(classifier.classes_)
    if n_classes == 2 and len(weights) == 1:
        return np.concatenate([-weights, weights])
    if isinstance(classifier, (SVC, NuSVC)) or len(weights) != n_classes:
        raise ValueError(
            f"estimator ends in a {name} with {len(weights)} rows of weights for pairs of its "
            f"{n_classes} labels; expected one per label. {remedy}."
        )
    return weights


def _matrix(step):
    """Return the matrix of a linear step: (n_features_in, n_features_out)."""
    n_features = step.n_features_in_
    rng = np.random.default_rng(0)
    probe = np.concatenate([np.zeros((1, n_features)), np.eye(n_features)])
    start, *rows = _transformed(step, probe)
    matrix = np.array(rows) - start
    some = rng.normal(size=(5, n_features))
    if np.allclose(_transformed(step, some), start + some @ matrix, rtol=1e-3, atol=1e-5):
        return matrix
    raise ValueError(
        f"estimator has the step {type(step).__name__} after HOG, which is not linear, so "
        f"weights cannot be projected back through it. Leave it out, or use occlusion_map or "
        f"region_importance, which take any classifier."
    )


def _transformed(step, rows):
    """Return what a step makes of an array, even if it was fitted on tables."""
    names = getattr(step, "feature_names_in_", None)
    if names is not None:
        import pandas as pd

        rows = pd.DataFrame(rows, columns=names)
    return np.asarray(step.transform(rows), dtype=np.float64)


def _blocks(values, hog):
    """View features or their weights as (n, block rows, columns, cell rows, columns, bins)."""
    block = check_pair("cells_per_block", hog.cells_per_block, "(rows, columns)")
    shape = (len(values), *hog.grid_shape_, *block, hog.orientations)
    return np.asarray(values, np.float64).reshape(shape)


def _sum_by_cell(blocks):
    """Sum over the blocks that contain each cell: (n, cell rows, cell columns, bins)."""
    n, rows, columns, down, across, bins = blocks.shape
    sums = np.zeros((n, rows + down - 1, columns + across - 1, bins))
    for i, j in np.ndindex(down, across):
        sums[:, i : i + rows, j : j + columns] += blocks[:, :, :, i, j]
    return sums


def _cell(hog):
    return check_pair("pixels_per_cell", hog.pixels_per_cell, "(rows, columns)")


def _checked_scale(scale):
    return check_pair("scale", scale, "pixels of the result per pixel of the image")[0]


def _to_unit(values, axis):
    highest = values.max(axis=axis, keepdims=True)
    return (values / np.where(highest > 0, highest, 1)).astype(np.float32)


# Strokes


def draw_strokes(
    cells: FloatArray, image_shape: tuple[int, int], cell: tuple[int, int], scale: int
) -> FloatArray:
    """Draw each histogram as strokes along the edges that its bins count.

    Parameters
    ----------
    cells : ndarray of shape (n, cell rows, cell columns, bins)
        Not negative; bins divide 180 degrees of gradient, like those of HOG.
    image_shape : (int, int)
        Height and width of the images that the cells come from.
    cell : (int, int)
        Rows and columns of a cell in pixels.
    scale : int
        Pixels of the result per pixel of the image.

    Returns
    -------
    ndarray of shape (n, scale * height, scale * width), float64
        A stroke has the value of its bin; where strokes cross, the highest one.
    """
    n, rows, columns, bins = cells.shape
    height, width = (scale * side for side in cell)
    stars = np.zeros((n, rows, height, columns, width))
    strokes = _stroke_shapes(bins, height, width)
    for values, stroke in zip(np.moveaxis(cells, -1, 0), strokes, strict=True):
        np.maximum(stars, values[:, :, None, :, None] * stroke[:, None, :], out=stars)
    return _pad(
        stars.reshape(n, rows * height, columns * width), [scale * side for side in image_shape]
    )


def _spread_cells(values, image_shape, cell):
    """Expand cells to pixels: ``(n, rows, columns)`` to ``(n, height, width)``."""
    return _pad(values.repeat(cell[0], axis=1).repeat(cell[1], axis=2), image_shape)


def _pad(images, shape):
    """Pad with zeros at the right and the bottom, for pixels that do not fill a cell."""
    rest = [(0, side - have) for side, have in zip(shape, images.shape[1:], strict=True)]
    return np.pad(images, [(0, 0), *rest])


def _stroke_shapes(bins, height, width):
    """Yield for each bin how much a stroke through the centre covers each pixel of a cell."""
    down = np.arange(height)[:, np.newaxis] - (height - 1) / 2
    across = np.arange(width) - (width - 1) / 2
    length = 0.48 * min(height, width)
    thickness = max(1.0, _WIDTH * min(height, width))
    for gradient in (np.arange(bins) + 0.5) * np.pi / bins:
        # An edge is perpendicular to its gradient.
        along = down * np.cos(gradient) - across * np.sin(gradient)
        beside = down * np.sin(gradient) + across * np.cos(gradient)
        inside = np.minimum(length - np.abs(along), thickness / 2 - np.abs(beside))
        yield np.clip(inside + 0.5, 0, 1)
