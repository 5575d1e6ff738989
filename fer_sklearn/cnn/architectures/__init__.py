"""Keras networks, each built by one function.

A builder takes ``meta``, a mapping with ``"input_shape"`` ``(height, width, 1 | 3)`` and
``"n_classes"``, and optionally ``dropout`` and ``weights``. It returns an uncompiled
``keras.Model`` whose output is ``n_classes`` probabilities. Wherever an architecture is
expected, you can pass a name, your own builder, or ``functools.partial`` of a builder, which
sets its other parameters. Builders need no seeds: :class:`~fer_sklearn.FERCNNClassifier`
initialises all weights from its `random_state`.
"""

from ._backbones import efficientnet_b0, mobilenet_v3_small
from ._build import (
    architecture_key,
    build_model,
    freeze_stages,
    leaf_layers,
    resolve_architecture,
    split_stages,
)
from ._named import (
    ARCHITECTURES,
    conv3,
    conv4_dense3,
    conv4_wide,
    mini_xception,
    resnet_se,
    resnet_se_tiny,
    resnet_se_v2,
    resnet_se_v2_tiny,
    resnet_se_wide,
    vgg_elu,
)

__all__ = [
    "ARCHITECTURES",
    "architecture_key",
    "build_model",
    "conv3",
    "conv4_dense3",
    "conv4_wide",
    "efficientnet_b0",
    "freeze_stages",
    "leaf_layers",
    "mini_xception",
    "mobilenet_v3_small",
    "resnet_se",
    "resnet_se_tiny",
    "resnet_se_v2",
    "resnet_se_v2_tiny",
    "resnet_se_wide",
    "resolve_architecture",
    "split_stages",
    "vgg_elu",
]
