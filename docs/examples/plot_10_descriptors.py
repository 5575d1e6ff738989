"""
Combine several descriptors
===========================

Histograms of oriented gradients describe the strokes of a face, local binary patterns its texture.
Each descriptor is a transformer, so scikit-learn's ``FeatureUnion`` can combine them.
"""

# %%
# What they measure
# -----------------
#
# HOG builds a histogram of edge directions in each cell. LBP compares each pixel with its
# neighbours, and builds a histogram of the resulting patterns.

import matplotlib.pyplot as plt
from skimage.feature import local_binary_pattern

from fer_sklearn import HOGExtractor, hog_image, make_faces

portraits, names = make_faces(6, size=96, noise=0, random_state=2, return_X_y=True)
hog_images = hog_image(portraits, hog=HOGExtractor(), scale=4)
figure, axes = plt.subplots(3, 6, figsize=(8, 4.2), layout="constrained")
for column, (face, name, strokes) in enumerate(zip(portraits, names, hog_images, strict=True)):
    patterns = local_binary_pattern(face, P=8, R=2, method="uniform")
    for row, image in enumerate((face, strokes, patterns)):
        axes[row, column].imshow(image, cmap="gray")
        axes[row, column].set(xticks=[], yticks=[])
        axes[row, column].spines[:].set_visible(False)
    axes[0, column].set_title(name)
for row, label in enumerate(("face", "HOG", "LBP")):
    axes[row, 0].set_ylabel(label)
plt.show()

# %%
# Alone and combined
# ------------------
#
# The parameters of a step within the union have nested names, in a grid search too:
# ``features__hog__pixels_per_cell``.

import numpy as np
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from fer_sklearn import GrayscaleResizer, LBPExtractor

descriptors = {
    "HOG": [("hog", HOGExtractor(pixels_per_cell=6))],
    "LBP": [("lbp", LBPExtractor(radius=2))],
}
descriptors["both"] = descriptors["HOG"] + descriptors["LBP"]

noises = [5, 20, 40]
scores = {name: [] for name in descriptors}
for noise in noises:
    X, y = make_faces(280, noise=noise, random_state=0, return_X_y=True)
    for name, union in descriptors.items():
        model = make_pipeline(GrayscaleResizer(48), FeatureUnion(union), StandardScaler(), SVC(C=5))
        scores[name].append(cross_val_score(model, X, y, cv=3))

# %%
# Strokes are more informative than texture. On noisy faces, the combination is better than either.

figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
for (name, values), color in zip(scores.items(), ("#0072B2", "#E69F00", "#333333"), strict=True):
    values = np.array(values)
    ax.errorbar(
        noises,
        values.mean(axis=1),
        values.std(axis=1),
        color=color,
        label=name,
        marker="o",
        capsize=3,
    )
ax.axhline(1 / 7, color="grey", linestyle=":", label="guessing")
ax.set(xlabel="noise, grey levels", ylabel="accuracy", ylim=(0, 1.03), xticks=noises)
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# On FER2013, HOG with two LBPs, two learned codebooks of patches and mirror images raises the
# accuracy of a classical model from 59 to 66 %: ``make_descriptor_svm_pipeline()``.
