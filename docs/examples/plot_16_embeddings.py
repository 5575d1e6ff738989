"""
Faces as vectors
================

``FaceEmbedder`` turns a face into the 256 numbers from which the bundled network derives its
labels. It is a transformer that does not need TensorFlow, and any scikit-learn estimator can learn
your own labels from its output. Here, the labels are the attitudes of synthetic faces, which look
like nothing the network has seen.
"""

# %%
# Your labels
# -----------

from fer_sklearn import make_faces

attitudes = {"happy": "open", "surprise": "open", "neutral": "reserved", "sad": "reserved"}
faces, emotions = make_faces(420, noise=20, random_state=0, return_X_y=True)
rows = [row for row, emotion in enumerate(emotions) if emotion in attitudes]
X, y = faces[rows], [attitudes[emotions[row]] for row in rows]
print(f"{len(X)} faces, {y.count('open')} of them open")

# %%
# Any estimator
# -------------
#
# The embeddings are cached, so that the network sees each face once, although four estimators are
# fitted on them in five folds each.

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from fer_sklearn import FaceEmbedder, GrayscaleResizer, HOGExtractor

estimators = {
    "logistic regression": LogisticRegression(C=0.1, max_iter=1000),
    "linear discriminant": LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
    "support vector machine": SVC(),
    "nearest neighbours": KNeighborsClassifier(),
}
features = {
    "FaceEmbedder": [FaceEmbedder()],
    "HOG": [GrayscaleResizer(48), HOGExtractor()],
}
scores = {
    name: [cross_val_score(make_pipeline(*steps, one), X, y) for one in estimators.values()]
    for name, steps in features.items()
}

# %%
# The network was trained on photographs, where the advantage of its embedding is larger.

import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
for offset, (name, color) in enumerate(zip(scores, ("#0072B2", "#E69F00"), strict=True)):
    values = np.array(scores[name])
    places = np.arange(len(estimators)) + 0.16 * (2 * offset - 1)
    ax.errorbar(values.mean(1), places, xerr=values.std(1), fmt="o", color=color, label=name)
ax.set_yticks(range(len(estimators)), estimators)
ax.invert_yaxis()
ax.set(xlabel="accuracy, mean and standard deviation over five folds")
ax.grid(axis="x", alpha=0.3)
ax.spines[["top", "right", "left"]].set_visible(False)
ax.legend(frameon=False)
plt.show()
