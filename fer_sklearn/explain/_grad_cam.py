"""Class activation maps: Grad-CAM and HiResCAM."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from scipy.ndimage import zoom
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted

from .._utils.pixel_values import to_unit_floats
from .._utils.typing import Estimator, FloatArray, ImagesLike, IntArray, PixelArray
from .._utils.validation import check_choice, suggestion
from ._explanation import Explanation, find_network, target_positions

if TYPE_CHECKING:
    import keras

__all__ = ["SplitNetwork", "activation_maps", "grad_cam", "split_network"]

_METHODS = ("hires_cam", "grad_cam")
_BATCH_SIZE = 128
# Cutting a network permanently adds nodes to the graph of the layers behind the cut, so cuts are
# cached, by network, then by layer and method. They are freed with the network.
_cuts_made: WeakKeyDictionary[Any, dict] = WeakKeyDictionary()
# Minimum side of the maps, as a fraction of the image's. A third distinguishes the parts of an
# eye; later maps, of an eighth, hardly distinguish the eyes from the mouth.
_DETAIL = {"hires_cam": 1 / 3, "grad_cam": 1 / 10}


def grad_cam(
    estimator: Estimator,
    X: ImagesLike,
    *,
    target: Any = None,
    method: Literal["hires_cam", "grad_cam"] = "hires_cam",
    layer: str | None = None,
) -> Explanation:
    """Compute class activation maps for a fitted network.

    Gradient-weighted class activation mapping: the feature maps of one layer are multiplied by
    the gradient of the label's score, its logit, and summed; negative values are clipped to zero
    (ReLU).

    Parameters
    ----------
    estimator : fitted FERCNNClassifier, or an estimator that contains one
        A Pipeline, a search, a CalibratedClassifierCV of a FrozenEstimator or an
        AbstainingClassifier.
    X : batch of n_samples images or photos
        Any input that `estimator` accepts.
    target : None, label, or array-like of shape (n_samples,), default=None
        The label to explain, or one per image. If None, the one that the network finds most
        probable.
    method : {"hires_cam", "grad_cam"}, default="hires_cam"
        ``"hires_cam"``: each pixel of a map is multiplied by its own gradient (Draelos & Carin
        2020, arXiv:2011.08891), on maps of at least a third of the image's side.

        ``"grad_cam"``: each map is multiplied by the mean of its gradient (Selvaraju et al.
        2017, arXiv:1610.02391), on late maps of at least a tenth. On faces of 48×48, where
        those have 6×6 pixels with receptive fields of nearly the whole face, it shows little
        more than where the face is.
    layer : str or None, default=None
        Name of a layer of ``model_``, or of a network nested in it, with maps ``(n, h, w, c)``
        through which all data pass. If None, the last such layer after a convolution whose maps
        are as large as `method` needs them or, if there is none, the one with the largest maps.

    Returns
    -------
    Explanation
        Its images are the input of the network, after the steps of a pipeline. Its heatmaps are
        interpolated to their size and divided by their maximum: the most relevant pixel of each
        image is 1, regardless of the image's score, and a map without evidence for the label is
        0.

    Raises
    ------
    TypeError
        If there is no Keras network inside the estimator, as with ``runtime="litert"``.
    ValueError
        For an unknown method, layer or target, or a network without maps.

    See Also
    --------
    occlusion_map : For any classifier; slower, and finer.

    Notes
    -----
    With ``test_time_augmentation``, the map is the mean of the map of the image and that of its
    mirror image, mirrored back. Nothing is compiled; the models before and after the layer are
    cached as long as the network exists.

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
    check_is_fitted(classifier)
    pixels = classifier._check_images(X)
    classes = classifier.classes_
    y_proba = (
        classifier._checked_proba(pixels)
        if target is None
        else np.broadcast_to(np.float32(0), (len(pixels), len(classes)))
    )
    positions = target_positions(target, y_proba, classes)
    images = to_unit_floats(pixels)
    parts = split_network(classifier.model_, layer, method)
    maps = activation_maps(parts, images, positions, method)
    if classifier.test_time_augmentation:
        mirrored = activation_maps(parts, images[:, :, ::-1], positions, method)
        maps = maps + mirrored[:, :, ::-1]
    maps = _enlarged(np.maximum(maps, 0), pixels.shape[1:3])
    shown = images if images.shape[3] == 3 else images[..., 0]
    return Explanation(shown, maps, classes[positions])


def _enlarged(maps, size):
    """Interpolate maps to a size, and divide each by its maximum."""
    factors = (1, *(side / length for side, length in zip(size, maps.shape[1:], strict=True)))
    maps = zoom(maps, factors, order=1, mode="nearest", grid_mode=True)
    highest = maps.max(axis=(1, 2), keepdims=True)
    return maps / np.where(highest > 0, highest, 1)


# The functions below import Keras only when they run, so that importing this file is fast.


class SplitNetwork(NamedTuple):
    """A network, split at the maps of one layer.

    Attributes
    ----------
    body : list of keras.Model
        One after another, from images to the maps.
    head : list of keras.Model
        One after another, from the maps to the input of the last layer.
    last : keras.Layer
        From there to probabilities.
    """

    body: list[keras.Model]
    head: list[keras.Model]
    last: keras.Layer

    def scores(self, maps: Any) -> Any:
        """Return the logits as a tensor: (n, n_classes), float32."""
        import keras
        from keras import ops

        inputs = _through(self.head, maps)
        if isinstance(self.last, keras.layers.Dense) and _is_softmax(self.last):
            scores = ops.matmul(inputs, ops.cast(self.last.kernel, inputs.dtype))
            if self.last.bias is not None:
                scores = scores + ops.cast(self.last.bias, inputs.dtype)
        elif isinstance(self.last, keras.layers.Softmax) or _is_softmax(self.last):
            scores = inputs
        else:
            scores = ops.log(self.last(inputs, training=False) + keras.config.epsilon())
        return ops.cast(scores, "float32")


def split_network(model: keras.Model, name: str | None, method: str) -> SplitNetwork:
    """Split a network at a layer through which all data pass, or return the cached split.

    Parameters
    ----------
    model : keras.Model
    name : str or None
        Name of a layer, which can be in a nested network. If None, chosen as in
        :func:`grad_cam`, depending on the method.
    method : {"hires_cam", "grad_cam"}

    Raises
    ------
    ValueError
        If `model` is subclassed, has no maps, or no such layer called `name`.
    """
    made = _cuts_made.setdefault(model, {})
    if (name, method) not in made:
        made[name, method] = _split(model, name, method)
    return made[name, method]


def _split(model, name, method):
    try:
        last = model.layers[-1]
        cuts = list(_cuts(model, _input(last)))
    except (AttributeError, IndexError, ValueError):
        raise ValueError(
            "The network is a subclassed model, whose layers cannot be separated. Build it with "
            "keras.Input and keras.Model, or use occlusion_map, which only needs probabilities."
        ) from None
    after_convolution = list(itertools.dropwhile(lambda cut: not cut.is_convolution, cuts))
    if name is None:
        side = _DETAIL[method] * min(model.input_shape[1:3])
        body, head = _last_with_detail(after_convolution, side)
    else:
        body, head = _named(after_convolution, name)
    return SplitNetwork(body, head, last)


def activation_maps(
    parts: SplitNetwork, images: PixelArray, positions: IntArray, method: str
) -> FloatArray:
    """Return the weighted sum of a layer's maps for one score of each image.

    Parameters
    ----------
    parts : SplitNetwork
    images : ndarray of shape (n, h, w, 1), float32
    positions : ndarray of shape (n,), int
        The column of the score of each image.
    method : {"hires_cam", "grad_cam"}
        Whether weights are the gradients or their means over each map.

    Returns
    -------
    ndarray of shape (n, map height, map width), float32
    """
    from keras import ops

    sums = []
    for batch in gen_batches(len(images), _BATCH_SIZE):
        maps = ops.cast(_through(parts.body, ops.convert_to_tensor(images[batch])), "float32")
        chosen = ops.one_hot(positions[batch], parts.last.output.shape[-1], dtype="float32")
        weights = _gradients(parts, maps, chosen)
        if method == "grad_cam":
            weights = weights.mean(axis=(1, 2), keepdims=True)
        sums.append((ops.convert_to_numpy(maps) * weights).sum(axis=-1))
    return np.concatenate(sums)


def _through(models, values):
    for model in models:
        values = model(values, training=False)
    return values


def _gradients(parts, maps, chosen):
    """Return the gradient of the chosen scores with respect to the maps, as an array."""
    import keras
    from keras import ops

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(maps)
            score = ops.sum(parts.scores(maps) * chosen)
        gradients = tape.gradient(score, maps)
    elif backend == "jax":
        import jax

        gradients = jax.grad(lambda maps: ops.sum(parts.scores(maps) * chosen))(maps)
    elif backend == "torch":
        import torch

        maps = maps.detach().requires_grad_(True)
        with torch.enable_grad():
            score = ops.sum(parts.scores(maps) * chosen)
        (gradients,) = torch.autograd.grad(score, maps)
    else:
        raise NotImplementedError(
            f"Keras runs on {backend}; grad_cam computes gradients on tensorflow, jax and torch. "
            f"Use occlusion_map."
        )
    return ops.convert_to_numpy(gradients)


class _Cut(NamedTuple):
    """A layer with maps, and the tensors at the ends of the models before and after it."""

    layer: keras.Layer
    side: int  # the shorter one of its maps
    body: tuple
    head: tuple

    @property
    def is_convolution(self):
        return any(len(weight.shape) == 4 for weight in self.layer.weights)

    def models(self):
        """Return the models before and after, or None if some data bypass the layer."""
        import keras

        try:
            return tuple([keras.Model(*ends) for ends in part] for part in (self.body, self.head))
        except ValueError:  # the output does not depend on its maps alone
            return None


def _cuts(model, end, body=(), head=()):
    """Yield all layers with maps in topological order, including those of nested networks.

    Networks here have one input and one output, from images to probabilities.
    """
    import keras

    for layer in model.layers:
        output = _output(layer)
        if isinstance(layer, keras.Model):
            yield from _cuts(
                layer,
                layer.outputs[0],
                (*body, (model.inputs[0], _input(layer))),
                ((output, end), *head),
            )
        shape = getattr(output, "shape", ())
        padded = isinstance(layer, keras.layers.ZeroPadding2D)  # not aligned with the image
        if len(shape) == 4 and None not in shape[1:3] and not padded:
            yield _Cut(
                layer, min(shape[1:3]), (*body, (model.inputs[0], output)), ((output, end), *head)
            )


def _last_with_detail(cuts, side):
    """Return the models around the last layer whose maps are large enough, or the largest."""
    large = [cut for cut in cuts if cut.side >= side]
    small = [cut for cut in cuts if 1 < cut.side < side]
    # Sorting keeps the order of layers with maps of equal size.
    for cut in reversed([*sorted(small, key=lambda cut: cut.side), *large]):
        models = cut.models()
        if models is not None:
            return models
    raise ValueError(
        "The network has no layer with maps of at least two pixels after a convolution, through "
        "which all data pass. Use occlusion_map, which only needs probabilities."
    )


def _named(cuts, name):
    """Return the models around the layer called `name`."""
    for cut in cuts:
        if cut.layer.name == name and (models := cut.models()) is not None:
            return models
    known = [cut.layer.name for cut in cuts if cut.models() is not None]
    raise ValueError(
        f"layer={name!r} is not a layer of the network with maps after a convolution, through "
        f"which all data pass; expected one of {', '.join(map(repr, known))}."
        f"{suggestion(name, known)}"
    )


def _is_softmax(layer):
    import keras

    return getattr(layer, "activation", None) is keras.activations.softmax


# `layer.input` and `layer.output` of a nested network are its inner tensors; the properties of
# Operation are those in the outer graph.
def _input(layer):
    import keras

    return keras.Operation.input.fget(layer)


def _output(layer):
    import keras

    return keras.Operation.output.fget(layer)
