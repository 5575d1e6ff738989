"""Splitting networks into stages, and freezing the first ones."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral

import keras

__all__ = ["freeze_stages", "leaf_layers", "split_stages"]

# A stage ends where the resolution falls to this fraction. Unpadded convolutions reduce it less.
_FALL = 0.6


def split_stages(model: keras.Model) -> list[list[keras.layers.Layer]]:
    """Split the layers of a network into stages, each the layers at one resolution.

    A new stage begins where height and width fall to at most 0.6 of the previous stage's, after
    pooling or a stride. The last stage is the head: flattening or global pooling, and every layer
    after it. Squeeze-and-excitation branches belong to the stage whose channels they weight.
    Every stage has weights: layers without weights before a stage, such as the scaling of the
    input, are part of it, and a head without weights begins at the last layer that has some.

    Parameters
    ----------
    model : keras.Model
        Any network. Networks nested in it, such as backbones, are split too. A subclassed model,
        whose graph Keras does not know, is one stage.

    Returns
    -------
    list of list of keras.layers.Layer
        From input to output. Each layer is in one stage.

    Examples
    --------
    >>> from fer_sklearn.cnn.architectures import build_model, split_stages
    >>> model = build_model("conv3", {"input_shape": (48, 48, 1), "n_classes": 7})
    >>> for stage in split_stages(model):
    ...     print([type(layer).__name__ for layer in stage])
    ['InputLayer', 'Conv2D']
    ['MaxPooling2D', 'Dropout', 'Conv2D']
    ['MaxPooling2D', 'Dropout', 'Conv2D']
    ['MaxPooling2D', 'Dropout', 'Flatten', 'Dense', 'Dropout', 'Dense']
    """
    leaves = list(leaf_layers(model))
    sides = [_side(layer) for layer in leaves]
    wide = [i for i, side in enumerate(sides) if side is not None and side > 1]
    narrow_from = wide[-1] + 1 if wide else 0
    end = _end_of_maps(leaves, sides, narrow_from)
    # Maps of one pixel before larger ones are those of squeeze-and-excitation branches.
    sides[:narrow_from] = [None if side == 1 else side for side in sides[:narrow_from]]
    return _with_weights([*_by_resolution(leaves[:end], sides), leaves[end:]])


def freeze_stages(model: keras.Model, n: int) -> None:
    """Freeze the first stages of a network, in place; the others stay as they are.

    Frozen layers keep their weights, and frozen batch normalisation also its statistics. Freeze
    stages before compiling the model.

    Parameters
    ----------
    model : keras.Model
    n : int
        Number of stages, as :func:`split_stages` returns them, at most all but the last. In
        backbones too: ``mobilenet_v3_small`` has five stages and the head.

    Raises
    ------
    ValueError
        If there are fewer stages before the head.

    Examples
    --------
    >>> from fer_sklearn.cnn.architectures import build_model, freeze_stages
    >>> model = build_model("conv3", {"input_shape": (48, 48, 1), "n_classes": 7})
    >>> freeze_stages(model, 2)
    >>> [layer.trainable for layer in model.layers if layer.weights]
    [False, False, True, True, True]
    """
    if isinstance(n, Integral) and n == 0:
        return
    stages = split_stages(model)
    if not (isinstance(n, Integral) and 0 < int(n) < len(stages)):
        sizes = ", ".join([*map(_resolution, stages[:-1]), "head"])
        raise ValueError(
            f"frozen_stages={n!r} does not fit the architecture, which has {len(stages)} "
            f"stage(s): {sizes}. Expected an integer from 0 to {len(stages) - 1}, so that the "
            f"last one learns."
        )
    for stage in stages[:n]:
        for layer in stage:
            layer.trainable = False


def leaf_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Iterate over the layers of a network and of networks nested in it.

    Parameters
    ----------
    model : keras.Model

    Yields
    ------
    keras.layers.Layer
        In topological order; nested networks themselves are left out.
    """
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaf_layers(layer)
        else:
            yield layer


def _end_of_maps(leaves, sides, narrow_from):
    """Return the position of the first layer of the head."""
    narrow = leaves[narrow_from:]
    pooled = (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)
    if not narrow or sides[narrow_from] is None or isinstance(narrow[0], pooled):
        return narrow_from
    # Convolution or pooling reduced maps to one pixel: a stage like others, up to its last map.
    return 1 + max(i for i, side in enumerate(sides) if side is not None)


def _by_resolution(leaves, sides):
    """Split layers by the longer side of their maps; none comes before a layer that feeds it."""
    stages: list[list] = [[]]
    heights = [0]
    origins: dict[int, int] = {}
    for layer, side in zip(leaves, sides, strict=False):
        known = (origins.get(id(tensor)) for tensor in _tensors(layer, "input"))
        # The input of a nested model, for example, is not the output of a layer.
        stage = max((s for s in known if s is not None), default=len(stages) - 1)
        if side is not None and side <= _FALL * heights[stage]:
            stage += 1
            if stage == len(stages):
                stages.append([])
                heights.append(side)
        elif side is not None and not any(other.weights for other in stages[stage]):
            heights[stage] = max(heights[stage], side)  # the input is enlarged
        stages[stage].append(layer)
        origins |= {id(tensor): stage for tensor in _tensors(layer, "output")}
    return stages


def _with_weights(stages):
    """Merge stages without weights into the next one, and make sure that the last one has some."""
    joined: list[list] = []
    waiting: list = []
    for stage in stages:
        waiting = waiting + stage
        if any(layer.weights for layer in waiting):
            joined.append(waiting)
            waiting = []
    if not waiting or not joined:
        return joined or [waiting]
    *before, last = joined
    start = max(i for i, layer in enumerate(last) if layer.weights)
    if not any(layer.weights for layer in last[:start]):
        return [*before, last + waiting]
    return [*before, last[:start], last[start:] + waiting]


def _resolution(stage):
    """Return the size of a stage's maps, as ``"48×48"``."""
    shapes = [t.shape for layer in stage if layer.weights for t in _tensors(layer, "output")]
    sizes = [shape[1:3] for shape in shapes if len(shape) == 4]
    return "×".join(map(str, sizes[0])) if sizes else "unknown size"


def _side(layer):
    """Return the longer side of a layer's map ``(n, h, w, c)``; None if it has no map."""
    maps = [t.shape[1:3] for t in _tensors(layer, "output") if len(t.shape) == 4]
    return max(maps[0]) if maps and None not in maps[0] else None


def _tensors(layer, side):
    try:
        return keras.tree.flatten(getattr(layer, side))
    except (AttributeError, ValueError):  # the layer was not part of a graph
        return []
