"""Grad-CAM and its finer sister: where a network's maps speak for a label."""

import numpy as np
from scipy.ndimage import zoom
from sklearn.utils.validation import check_is_fitted

from .._utils.pixels import check_pixel_range, check_pixels, to_unit_floats
from .._utils.validation import check_choice
from ._explanation import Explanation, target_positions
from ._network import find_network

__all__ = ["grad_cam"]

_METHODS = ("hires_cam", "grad_cam")


def grad_cam(estimator, X, *, target=None, method="hires_cam", layer=None):
    """Map where a network sees what speaks for a label.

    Class activation mapping by gradients: the maps of one layer are multiplied by the gradient
    of the label's score, the number before the softmax, and summed; what speaks against the
    label is cut off.

    Parameters
    ----------
    estimator : fitted FERCNNClassifier, or an estimator with one inside
        A Pipeline, a search, a CalibratedClassifierCV of a FrozenEstimator or an
        AbstainingClassifier.
    X : batch of n_samples images or photos
        Whatever `estimator` takes.
    target : None, label, or array-like of shape (n_samples,), default=None
        The label to explain, or one for each image. None is the one that the network finds
        most probable.
    method : {"hires_cam", "grad_cam"}, default="hires_cam"
        ``"hires_cam"``: each pixel of a map is multiplied by its own gradient (Draelos & Carin
        2020, arXiv:2011.08891), on maps of at least a third of the image's side.

        ``"grad_cam"``: each map is multiplied by the mean of its gradient (Selvaraju et al.
        2017, arXiv:1610.02391), on late maps of at least a tenth. On faces of 48×48, where
        those are of 6×6 and have seen nearly the whole face each, it says little more than
        where the face is.
    layer : str or None, default=None
        Name of a layer of ``model_``, or of a network nested in it, with maps ``(n, h, w, c)``
        through which everything passes. None is the last such layer after a convolution whose
        maps are as large as `method` wants them or, where there is none, have the most pixels.

    Returns
    -------
    Explanation
        Its images are the pixels that reach the network, after the steps of a pipeline. Its
        heat maps are interpolated to their size and divided by their highest value: the most
        relevant pixel of each image is 1, whatever the image's score, and a map where nothing
        speaks for the label is 0.

    Raises
    ------
    TypeError
        If there is no network of Keras's inside the estimator, as with
        ``runtime="litert"``.
    ValueError
        For an unknown method, layer or target, or a network without maps.

    See Also
    --------
    occlusion_map : For any classifier; slower, and finer.

    Notes
    -----
    With ``test_time_flip``, the map is the mean of the image's and of its mirror image's,
    mirrored back, as the probabilities are. Nothing is compiled; how a network was cut at the
    layer is remembered as long as the network lives.

    Examples
    --------
    >>> from fer_sklearn import load_pretrained, make_faces
    >>> from fer_sklearn.explain import grad_cam
    >>> X, y = make_faces(2, random_state=0, return_X_y=True)
    >>> explanation = grad_cam(load_pretrained("tiny"), X)
    >>> explanation.heatmaps.shape, float(explanation.heatmaps.max())
    ((2, 48, 48), 1.0)
    """
    check_choice("method", method, _METHODS)
    classifier, X = find_network(estimator, X)
    from ._gradients import activation_maps, split_network  # loads Keras

    check_is_fitted(classifier)
    pixels = check_pixels(classifier, X, reset=False)
    check_pixel_range(pixels, classifier.pixel_range_, type(classifier).__name__)
    classes = classifier.classes_
    probabilities = (
        classifier.predict_proba(pixels)
        if target is None
        else np.broadcast_to(np.float32(0), (len(pixels), len(classes)))
    )
    positions = target_positions(target, probabilities, classes)
    images = to_unit_floats(pixels)
    parts = split_network(classifier.model_, layer, method)
    maps = activation_maps(parts, images, positions, method)
    if classifier.test_time_flip:
        mirrored = activation_maps(parts, images[:, :, ::-1], positions, method)
        maps = maps + mirrored[:, :, ::-1]
    maps = _enlarged(np.maximum(maps, 0), pixels.shape[1:])
    return Explanation(images[..., 0], maps, classes[positions])


def _enlarged(maps, size):
    """Interpolate maps to a size, and divide each by its highest value."""
    factors = (1, *(side / length for side, length in zip(size, maps.shape[1:], strict=True)))
    maps = zoom(maps, factors, order=1, mode="nearest", grid_mode=True)
    highest = maps.max(axis=(1, 2), keepdims=True)
    return maps / np.where(highest > 0, highest, 1)
