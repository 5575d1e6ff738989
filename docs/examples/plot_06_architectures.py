"""
The networks of five notebooks
==============================

Notebooks on FER2013 bring their networks along as cells of Keras code. Here they have names. A
name is an argument of ``FERCNNClassifier``, so that exchanging the network is exchanging a
word, in a grid search too.
"""

# %%
# By name
# -------

import matplotlib.pyplot as plt
import numpy as np

from fer_sklearn.cnn.architectures import ARCHITECTURES, build_model, split_stages

notebooks = {
    "conv4_dense3": "(a) four blocks, three dense layers, 28×28",
    "vgg_elu": "(b) pairs of convolutions, after VGG",
    "conv3": "(c) three convolutions",
    "conv4_wide": "(d, e) 128-256-512-512, dense 512 and 256",
    "resnet_se": "this package's own: residual, with attention",
}
sides = dict.fromkeys(notebooks, 48) | {"conv4_dense3": 28}
models = {
    name: build_model(name, {"input_shape": (side, side, 1), "n_classes": 7})
    for name, side in sides.items()
}
sorted(ARCHITECTURES)

# %%
# What they look like
# -------------------
#
# ``split_stages`` cuts a network where its resolution changes. A box is a stage: as high as its
# maps, and as wide as the logarithm of their number. All get narrower and deeper; they differ in
# how fast, and in what comes after.


def largest_maps(stage):
    """Return side and number of the largest maps in a stage; (1, 0) where there are none."""
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
# What they were trained with
# ---------------------------
#
# The rest of a notebook are settings of ``FERCNNClassifier``. They can be exchanged and searched
# over one by one:

from sklearn.model_selection import ParameterGrid

from fer_sklearn import FERCNNClassifier

settings = {
    "(a)": {"architecture": "conv4_dense3", "learning_rate": 1e-4},
    "(b)": {"architecture": "vgg_elu", "class_weight": "balanced"},
    "(c)": {"architecture": "conv3", "batch_size": 64, "early_stopping": True},
    "(d, e)": {"architecture": "conv4_wide", "dropout": 0.4},
}
for name, of_one in settings.items():
    print(name, FERCNNClassifier(**of_one))
len(ParameterGrid({"architecture": list(notebooks), "class_weight": [None, "balanced"]}))

# %%
# ``docs/notebooks/fer_with_sklearn.ipynb`` trains all of them: on drawn faces, or on FER2013 if
# you have it.
