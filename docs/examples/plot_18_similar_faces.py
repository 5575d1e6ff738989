"""
Find similar expressions
========================

The nearest neighbours of a face in the space of embeddings show a similar expression. You can use
them to search a collection by example, or to look at the training images closest to an error.
"""

# %%
# Index a collection
# ------------------
#
# ``FaceEmbedder`` takes faces of any size, or their paths; ``NearestNeighbors`` indexes the
# embeddings.

from sklearn.neighbors import NearestNeighbors

from fer_sklearn import FaceEmbedder, make_faces

collection, emotions = make_faces(280, noise=15, random_state=0, return_X_y=True)
queries, wanted = make_faces(5, noise=15, random_state=1, return_X_y=True)

embedder = FaceEmbedder()
index = NearestNeighbors(n_neighbors=6, metric="cosine").fit(embedder.transform(collection))
distances, rows = index.kneighbors(embedder.transform(queries))

# %%
# Show the neighbours
# -------------------
#
# Each query on the left, and its neighbours from near to far, with the distance.

import matplotlib.pyplot as plt

figure, axes = plt.subplots(len(queries), 7, figsize=(8, 6.4), layout="constrained")
for line, query, emotion, found, distance in zip(
    axes, queries, wanted, rows, distances, strict=True
):
    line[0].imshow(query, cmap="gray")
    line[0].set_ylabel(emotion)
    for ax, row, number in zip(line[1:], found, distance, strict=True):
        ax.imshow(collection[row], cmap="gray")
        ax.set_title(f"{emotions[row]}, {number:.2f}", fontsize=8)
    for ax in line:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
axes[0, 0].set_title("query", fontsize=8)
plt.show()

# %%
# How many neighbours share the emotion of the query:

print(f"{(emotions[rows] == wanted[:, None]).mean():.0%}")
