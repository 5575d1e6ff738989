"""
The networks of five notebooks
==============================

Notebooks on FER2013 define their networks in cells of Keras code. Here, each network has a name,
which you pass to ``FERCNNClassifier``. To try another network you change one word, and you can
search over networks in a grid search.
"""

# %%
# Networks by name
# ----------------

import matplotlib.pyplot as plt
import numpy as np

from fer_sklearn.cnn.architectures import ARCHITECTURES, build_model, split_stages

notebooks = {
    "conv4_dense3": "(a) four blocks, three dense layers, 28×28",
    "vgg_elu": "(b) pairs of convolutions, VGG-style",
    "conv3": "(c) three convolutions",
    "conv4_wide": "(d, e) 128-256-512-512, dense 512 and 256",
    "resnet_se": "designed for this package: residual, with attention",
}
sides = dict.fromkeys(notebooks, 48) | {"conv4_dense3": 28}
models = {
    name: build_model(name, {"input_shape": (side, side, 1), "n_classes": 7})
    for name, side in sides.items()
}
sorted(ARCHITECTURES)

# %%
# Compare the networks
# --------------------
#
# ``split_stages`` splits a network where its resolution changes. Each box is a stage. Its height
# is the size of its feature maps, its width the logarithm of their number. All networks reduce the
# resolution and increase the number of maps; they differ in how fast they do, and in the layers
# that follow.


def largest_maps(stage):
    """Return the size and number of the largest maps in a stage, or (1, 0) if there are none."""
    shapes = [layer.output.shape[1:] for layer in stage if len(layer.output.shape) == 4]
    side = max((shape[0] for shape in shapes), default=1)
    return side, max((shape[2] for shape in shapes if shape[0] == side), default=0)


figure, axes = plt.subplots(len(models), 1, figsize=(8, 8.5), layout="constrained")
shades = plt.get_cmap("viridis")
for ax, (name, model) in zip(axes, models.items(), strict=True):
    left = 0.0
    for number, stage in enumerate(split_stages(model)):
        side, depth = largest_maps(stage)
        if side == 1 or depth == 1:
            continue
        width = 1 + np.log2(depth)
        color = shades(0.15 + 0.16 * number)
        ax.add_patch(plt.Rectangle((left, -side / 2), width, side, color=color))
        middle, text = left + width / 2, f"{side}×{side}\n×{depth}"
        if side >= 20:
            ax.text(middle, 0, text, color="white", ha="center", va="center", fontsize=9)
        else:
            ax.text(middle, side / 2 + 2, text, ha="center", va="bottom", fontsize=9)
        left += width + 0.8
    ax.text(left, 0, "→ seven probabilities", va="center", fontsize=9)
    ax.set(xlim=(-0.2, 50), ylim=(-26, 26))
    title = f"{name}: {model.count_params():,} parameters – {notebooks[name]}"
    ax.set_title(title, loc="left", fontsize=10)
    ax.set_axis_off()
plt.show()

# %%
# Training settings
# -----------------
#
# The other settings of a notebook are parameters of ``FERCNNClassifier``. You can change or tune
# each of them separately:

from sklearn.model_selection import ParameterGrid

from fer_sklearn import FERCNNClassifier

settings = {
    "(a)": {"architecture": "conv4_dense3", "learning_rate": 1e-4},
    "(b)": {"architecture": "vgg_elu", "class_weight": "balanced"},
    "(c)": {"architecture": "conv3", "batch_size": 64, "early_stopping": True},
    "(d, e)": {"architecture": "conv4_wide", "dropout": 0.4},
}
for name, parameters in settings.items():
    print(name, FERCNNClassifier(**parameters))
len(ParameterGrid({"architecture": list(notebooks), "class_weight": [None, "balanced"]}))

# %%
# ``docs/notebooks/fer_with_sklearn.ipynb`` trains all of these networks, on synthetic faces, or on
# FER2013 if you have it.
