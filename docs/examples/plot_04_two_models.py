"""
HOG-SVM or CNN?
===============

Both kinds of model are scikit-learn classifiers, so ``cross_val_score`` can compare them on
exactly the same folds.
"""

# %%
# Two pipelines
# -------------
#
# The network is a small one, for images of 24×24 pixels, so that this example runs in seconds.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import StratifiedKFold, cross_val_score

from fer_sklearn import FERCNNClassifier, make_cnn_pipeline, make_faces, make_hog_svm_pipeline

network = FERCNNClassifier(
    architecture="conv3",
    epochs=12,
    batch_size=16,
    learning_rate=2e-3,
    dropout=0.1,
    random_state=0,
)
models = {
    "HOG-SVM": make_hog_svm_pipeline(),
    "network": make_cnn_pipeline(network, size=24),
}

# %%
# The same folds for both
# -----------------------
#
# We compare the models on few images, and on four times as many.

folds = StratifiedKFold(3, shuffle=True, random_state=0)
sizes = [105, 420]
scores = {name: [] for name in models}
for n in sizes:
    X, y = make_faces(n, noise=15, random_state=0, return_X_y=True)
    for name, model in models.items():
        scores[name].append(cross_val_score(model, X, y, cv=folds))

# %%
# Results
# -------
#
# Each dot is a fold, each line the mean. With few images, the hand-crafted descriptor wins; a
# network has to learn its own features, which takes more images. On the 28,709 training images of
# FER2013, the network is more accurate.

figure, ax = plt.subplots(figsize=(6, 3.8), layout="constrained")
for number, ((name, values), color) in enumerate(
    zip(scores.items(), ("#0072B2", "#D55E00"), strict=True)
):
    for position, folds_of_one in enumerate(values):
        x = position + 0.24 * (number - 0.5)
        label = name if position == 0 else None
        ax.scatter([x] * 3, folds_of_one, color=color, alpha=0.6, s=45, label=label)
        ax.hlines(folds_of_one.mean(), x - 0.09, x + 0.09, color=color, linewidth=3)
        ax.text(x + 0.1, folds_of_one.mean(), f"{folds_of_one.mean():.0%}", va="center")
ax.axhline(1 / 7, color="grey", linestyle=":")
ax.text(1.5, 1 / 7 + 0.015, "guessing", color="grey", ha="right", fontsize=9)
ax.set_xticks(np.arange(len(sizes)), [f"{n} images" for n in sizes])
ax.set(xlim=(-0.5, 1.5), ylim=(0, 1.02), ylabel="accuracy, cross-validated")
ax.legend(frameon=False, loc="upper left")
ax.spines[["top", "right"]].set_visible(False)
plt.show()
