"""
A map of faces: t-SNE and UMAP
==============================

Projected to two dimensions, embeddings show which expressions a network considers similar, which
clusters a data set has, and which faces may have a wrong label.
"""

# %%
# Embed and project
# -----------------
#
# ``FaceEmbedder`` computes 256 numbers per face. t-SNE is part of scikit-learn; UMAP comes from the
# package ``umap-learn``.

# sphinx_gallery_thumbnail_number = 1
import warnings

from sklearn.manifold import TSNE
from umap import UMAP

from fer_sklearn import FaceEmbedder, make_faces

X, y = make_faces(210, noise=10, random_state=0, return_X_y=True)
embedded = FaceEmbedder().fit_transform(X)

maps = {"t-SNE": TSNE(random_state=0).fit_transform(embedded)}
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "n_jobs value 1 overridden")  # by random_state
    maps["UMAP"] = UMAP(random_state=0).fit_transform(embedded)

# %%
# Colour by emotion
# -----------------

import matplotlib.pyplot as plt

from fer_sklearn import EMOTION_COLORS, EMOTIONS

figure, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
for ax, (name, points) in zip(axes, maps.items(), strict=True):
    for emotion in EMOTIONS:
        ax.scatter(*points[y == emotion].T, s=14, color=EMOTION_COLORS[emotion], label=emotion)
    ax.set(title=name, xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=7)
plt.show()

# %%
# Faces on the map
# ----------------
#
# The same t-SNE map, with a face for every third point.

from matplotlib.offsetbox import AnnotationBbox, OffsetImage

figure, ax = plt.subplots(figsize=(7, 6), layout="constrained")
ax.scatter(*maps["t-SNE"].T, s=4, color="lightgrey")
for point, face, emotion in zip(maps["t-SNE"][::3], X[::3], y[::3], strict=True):
    picture = OffsetImage(face, zoom=0.5, cmap="gray")
    frame = {"edgecolor": EMOTION_COLORS[emotion], "linewidth": 2}
    ax.add_artist(AnnotationBbox(picture, point, pad=0.1, bboxprops=frame))
ax.set(xticks=[], yticks=[])
ax.spines[:].set_visible(False)
plt.show()
