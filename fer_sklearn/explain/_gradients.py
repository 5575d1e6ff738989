"""A network in two parts, and the gradient of its scores where they meet, on any backend."""

import itertools
from typing import NamedTuple
from weakref import WeakKeyDictionary

import keras
import numpy as np
from keras import ops
from sklearn.utils import gen_batches

from .._utils.validation import suggestion

__all__ = ["SplitNetwork", "activation_maps", "split_network"]

_AT_A_TIME = 128
# A cut adds nodes to the graph of the layers behind it for good, so that each is made once: by
# network, then by layer and method. Goes with the network.
_cuts_made = WeakKeyDictionary()
# How long a side of the maps should be, as a share of the image's. A third tells the parts of
# an eye apart; later maps, of an eighth, hardly tell the eyes from the mouth.
_DETAIL = {"hires_cam": 1 / 3, "grad_cam": 1 / 10}


class SplitNetwork(NamedTuple):
    """A network, cut at the maps of one layer.

    Attributes
    ----------
    body : list of keras.Model
        One after another, from images to the maps.
    head : list of keras.Model
        One after another, from the maps to what goes into the last layer.
    last : keras.Layer
        From there to probabilities.
    """

    body: list
    head: list
    last: keras.Layer

    def scores(self, maps):
        """Return the scores before the softmax: (n, n_classes), float32."""
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


def split_network(model, name, method):
    """Cut a network at a layer through which everything passes, or return the cut made before.

    Parameters
    ----------
    model : keras.Model
    name : str or None
        A layer's, also of one in a nested network. None is as in :func:`grad_cam`, where it
        depends on the method.
    method : {"hires_cam", "grad_cam"}

    Returns
    -------
    SplitNetwork

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
            "The network is a subclassed model, whose layers cannot be told apart. Build it with "
            "keras.Input and keras.Model, or use occlusion_map, which asks for probabilities "
            "alone."
        ) from None
    after_convolution = list(itertools.dropwhile(lambda cut: not cut.is_convolution, cuts))
    if name is None:
        side = _DETAIL[method] * min(model.input_shape[1:3])
        return SplitNetwork(*_last_with_detail(after_convolution, side), last)
    return SplitNetwork(*_named(after_convolution, name), last)


def activation_maps(parts, images, positions, method):
    """Return the weighted sum of a layer's maps for one score of each image.

    Parameters
    ----------
    parts : SplitNetwork
    images : ndarray of shape (n, h, w, 1), float32
    positions : ndarray of shape (n,), int
        Which score.
    method : {"hires_cam", "grad_cam"}
        Whether weights are the gradients or their means over each map.

    Returns
    -------
    ndarray of shape (n, map height, map width), float32
    """
    sums = []
    for batch in gen_batches(len(images), _AT_A_TIME):
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
            f"Keras runs on {backend}, of which grad_cam knows no gradients; it knows those of "
            f"tensorflow, jax and torch. Use occlusion_map."
        )
    return ops.convert_to_numpy(gradients)


class _Cut(NamedTuple):
    """A layer with maps, and between which tensors the models before and after it lie."""

    layer: keras.Layer
    side: int  # the shorter one of its maps
    body: tuple
    head: tuple

    @property
    def is_convolution(self):
        return any(len(weight.shape) == 4 for weight in self.layer.weights)

    def models(self):
        """Return the models before and after, or None where some data pass the layer by."""
        try:
            return tuple([keras.Model(*ends) for ends in part] for part in (self.body, self.head))
        except ValueError:  # its maps alone do not decide the output
            return None


def _cuts(model, end, body=(), head=()):
    """Yield all layers with maps in topological order, those of nested networks too.

    Networks here have one input and one output, from images to probabilities.
    """
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
        padded = isinstance(layer, keras.layers.ZeroPadding2D)  # lies askew over the image
        if len(shape) == 4 and None not in shape[1:3] and not padded:
            yield _Cut(
                layer, min(shape[1:3]), (*body, (model.inputs[0], output)), ((output, end), *head)
            )


def _last_with_detail(cuts, side):
    """Return the models around the last layer whose maps are large enough, or the largest."""
    large = [cut for cut in cuts if cut.side >= side]
    small = [cut for cut in cuts if 1 < cut.side < side]
    # Sorting keeps the order of layers with maps of one size.
    for cut in reversed([*sorted(small, key=lambda cut: cut.side), *large]):
        models = cut.models()
        if models is not None:
            return models
    raise ValueError(
        "The network has no layer with maps of two pixels or more after a convolution, through "
        "which everything passes. Use occlusion_map, which asks for probabilities alone."
    )


def _named(cuts, name):
    """Return the models around the layer called `name`."""
    for cut in cuts:
        if cut.layer.name == name and (models := cut.models()) is not None:
            return models
    known = [cut.layer.name for cut in cuts if cut.models() is not None]
    raise ValueError(
        f"layer={name!r} is no layer of the network with maps after a convolution, through which "
        f"everything passes; expected one of {', '.join(map(repr, known))}."
        f"{suggestion(name, known)}"
    )


def _is_softmax(layer):
    return getattr(layer, "activation", None) is keras.activations.softmax


# A nested network's own `input` and `output` are those inside it; these are where it stands.
_input = keras.Operation.input.fget
_output = keras.Operation.output.fget
