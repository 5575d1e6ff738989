"""
Preprocessing must match
========================

A network works only on images that are preprocessed like its training images. One of the notebooks
that this package is based on reported 60 % on its validation images and 31 % on its test images,
which another cell had preprocessed differently. There was no error, just wrong results. This
example shows how that happens, and why it cannot happen with a pipeline.
"""

# %%
# A network and its images
# ------------------------
#
# The pipeline scales each face, divides its pixels by 255 and passes them to the network.

from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np

from fer_sklearn import FERCNNClassifier, make_cnn_pipeline, make_faces

X, y = make_faces(560, random_state=0, return_X_y=True)
unseen, truth = make_faces(210, random_state=1, return_X_y=True)
classifier = FERCNNClassifier(
    architecture="conv4_dense3", epochs=12, batch_size=16, dropout=0.1, random_state=0
)
pipeline = make_cnn_pipeline(classifier, size=24).fit(X, y)

# %%
# The network alone
# -----------------
#
# ``model_`` is the bare Keras network, as a notebook would use it: it makes a prediction for any
# input. So we pass it images that were preprocessed in six ways, all of which look reasonable; only
# the first matches the training images.

from fer_sklearn.preprocessing import normalize_pixels, resize_gray

small = resize_gray(unseen, (24, 24))
pixels = normalize_pixels(small)
smaller = resize_gray(resize_gray(unseen, (10, 10)), (24, 24))
variants = {
    "as in training": pixels,
    "standardised": normalize_pixels(small, "standard"),
    "from a thumbnail": normalize_pixels(smaller),
    "equalised histogram": normalize_pixels(small, "equalize"),
    "−1 to 1": 2 * pixels - 1,
    "0 to 255": small.astype(np.float32),
}
network = pipeline[-1].model_
labels = pipeline.classes_
accuracies = {
    name: np.mean(labels[network.predict(images[..., None], verbose=0).argmax(axis=1)] == truth)
    for name, images in variants.items()
}

# %%
# Most of them look the same to us, because a plot stretches each image from its darkest to its
# lightest pixel. The network sees the numbers.

figure, (above, below) = plt.subplots(
    2, 1, figsize=(8, 4.4), layout="constrained", height_ratios=[1, 2]
)
above.set_axis_off()
for column, images in enumerate(variants.values()):
    inset = above.inset_axes([column / 6, 0, 1 / 6, 1])
    inset.imshow(images[3], cmap="gray")
    inset.set_title(f"{images[3].min():.1f} … {images[3].max():.1f}", fontsize=9)
    inset.set_axis_off()
bars = below.bar(
    range(6), list(accuracies.values()), color=["#0072B2"] + ["#D55E00"] * 5, width=0.6
)
below.bar_label(bars, [f"{value:.0%}" for value in accuracies.values()])
below.hlines(1 / 7, -0.5, 5.3, color="grey", linestyle=":")
below.text(5.36, 1 / 7, "guessing", color="grey", va="center", fontsize=9)
below.set_xticks(range(6), [fill(name, 12) for name in accuracies])
below.set(ylim=(0, 1.12), xlim=(-0.5, 6), yticks=[0, 0.5, 1], ylabel="accuracy")
below.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# The pipeline
# ------------
#
# The pipeline preprocesses its input itself, for faces of any size:

large, same = make_faces(210, size=96, random_state=1, return_X_y=True)
f"{pipeline.score(unseen, truth):.0%} and {pipeline.score(large, same):.0%}"

# %%
# The classifier inside it rejects pixels whose range or size differs from the training images:

for name in ("−1 to 1", "0 to 255"):
    try:
        pipeline[-1].predict(variants[name])
    except ValueError as error:
        print(f"{name}: {error}\n")
