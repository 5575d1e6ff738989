"""Building a network from a name or a function, and checking it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable
from functools import partial

import keras

from ..._utils.typing import PathLike
from ..._utils.validation import suggestion
from ._backbones import efficientnet_b0, mobilenet_v3_small
from ._common import Meta, check_path, load_file
from ._plain import conv3, conv4_dense3, conv4_wide, vgg_elu
from ._residual import (
    mini_xception,
    resnet_se,
    resnet_se_tiny,
    resnet_se_v2,
    resnet_se_v2_tiny,
    resnet_se_wide,
)

#: The named architectures: their builders by name.
ARCHITECTURES: dict[str, Callable[..., keras.Model]] = {
    builder.__name__: builder
    for builder in (
        conv3,
        conv4_dense3,
        conv4_wide,
        vgg_elu,
        mini_xception,
        resnet_se,
        resnet_se_tiny,
        resnet_se_v2,
        resnet_se_v2_tiny,
        resnet_se_wide,
        mobilenet_v3_small,
        efficientnet_b0,
    )
}


def build_model(
    architecture: str | Callable[..., keras.Model],
    meta: Meta,
    dropout: float | None = None,
    weights: PathLike | None = None,
) -> keras.Model:
    """Build a network from a name or a builder function, and check it.

    Parameters
    ----------
    architecture : str or callable
        A key of :data:`ARCHITECTURES`, or a function ``(meta)`` that returns a
        ``keras.Model``, or ``functools.partial`` of one. The function may also take
        ``dropout`` and ``weights``.
    meta : mapping
        ``"input_shape"``, ``(height, width, 1)``, and ``"n_classes"``. It is passed to the
        builder as it is.
    dropout : float or None, default=None
        Dropout rate. If None, the builder's default.
    weights : None, str or path-like, default=None
        Passed to a builder that takes ``weights``. For any other, the path of a
        ``.weights.h5`` file of the whole network. If None, weights are drawn.

    Returns
    -------
    keras.Model
        Uncompiled, with the output shape ``(None, n_classes)``.

    Raises
    ------
    ValueError
        If the name is unknown, the builder takes no `dropout`, the model has another output
        shape, or `weights` do not fit.
    FileNotFoundError
        If the file `weights` does not exist.
    OSError
        If ImageNet's weights cannot be downloaded.
    TypeError
        If the builder does not return a ``keras.Model``.

    Examples
    --------
    >>> from functools import partial
    >>> from fer_sklearn.cnn.architectures import build_model, mobilenet_v3_small
    >>> meta = {"input_shape": (48, 48, 1), "n_classes": 7}
    >>> build_model("conv3", meta).output_shape
    (None, 7)
    >>> model = build_model(partial(mobilenet_v3_small, size=64), meta)
    >>> model.get_layer("backbone").input_shape
    (None, 64, 64, 3)
    """
    builder = resolve_architecture(architecture)
    name = _name(builder)
    loads = _takes(builder, "weights")
    if dropout is not None:
        if not _takes(builder, "dropout"):
            raise ValueError(
                f"dropout={dropout!r} was given, but architecture {name!r} takes no "
                f"dropout. Leave dropout=None, or add the parameter to the function."
            )
        builder = partial(builder, dropout=dropout)
    if weights is not None and loads:
        builder = partial(builder, weights=weights)
    elif weights is not None:
        _check_file(weights, name)
    model = _checked(builder(meta), name, meta)
    if weights is not None and not loads:
        _load_network(model, weights, name, meta)
    return model


def resolve_architecture(
    architecture: str | Callable[..., keras.Model],
) -> Callable[..., keras.Model]:
    """Return the builder function of an architecture.

    Parameters
    ----------
    architecture : str or callable
        A key of :data:`ARCHITECTURES`, or a function, which is returned as it is.

    Returns
    -------
    callable

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    if callable(architecture):
        return architecture
    if architecture in ARCHITECTURES:
        return ARCHITECTURES[architecture]
    raise ValueError(
        f"architecture={architecture!r} is unknown; expected a function or one of "
        f"{', '.join(map(repr, ARCHITECTURES))}.{suggestion(architecture, ARCHITECTURES)}"
    )


def architecture_key(architecture: str | Callable[..., keras.Model]) -> Hashable:
    """Return a hashable key that is equal for equal architectures.

    Copies of a ``functools.partial``, as ``sklearn.clone`` makes them, do not compare equal, but
    their keys do.

    Parameters
    ----------
    architecture : str or callable
        As in :func:`build_model`.

    Returns
    -------
    hashable
    """
    builder = resolve_architecture(architecture)
    if not isinstance(builder, partial):
        return builder
    key = (builder.func, builder.args, tuple(sorted(builder.keywords.items())))
    try:
        hash(key)
    except TypeError:  # an argument is a list, for example
        return builder
    return key


def _name(builder):
    if isinstance(builder, partial):
        builder = builder.func
    return getattr(builder, "__name__", repr(builder))


def _takes(builder, parameter):
    return parameter in inspect.signature(builder).parameters


def _checked(model, name, meta):
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"architecture {name!r} returned {type(model).__name__}; expected a keras.Model."
        )
    expected = (None, meta["n_classes"])
    if model.output_shape != expected:
        raise ValueError(
            f"architecture {name!r} has the output shape {model.output_shape}; expected "
            f"{expected}: end it with Dense(meta['n_classes'], activation='softmax')."
        )
    return model


def _check_file(weights, name):
    """Reject a path that cannot be the file of a whole network, before anything is built."""
    if weights == "imagenet":
        choices = [repr(n) for n, builder in ARCHITECTURES.items() if _takes(builder, "weights")]
        raise ValueError(
            f"initial_weights='imagenet' was given, but architecture {name!r} has no ImageNet "
            f"weights; choose {' or '.join(choices)}."
        )
    check_path(weights)


def _load_network(model, weights, name, meta):
    height, width, _ = meta["input_shape"]
    load_file(
        model,
        weights,
        owner=f"architecture {name!r} for {height}×{width} pixels and {meta['n_classes']} classes",
        expected=(
            "what model.save_weights('….weights.h5') wrote of the same architecture, image size "
            "and number of classes"
        ),
    )
