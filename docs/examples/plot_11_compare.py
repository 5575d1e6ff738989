"""
Is one model better, or just lucky?
===================================

Two accuracies always differ. Whether the difference means anything depends on the number of
images, and on those on which the two models disagree. ``compare`` tests it.
"""

# %%
# Three models
# ------------
#
# The third one is trained on half of the images.

from fer_sklearn import (
    HOGExtractor,
    HOGSVMClassifier,
    compare,
    evaluate,
    make_faces,
    make_hog_svm_pipeline,
)

X, y = make_faces(420, noise=25, random_state=0, return_X_y=True)
unseen, truth = make_faces(350, noise=25, random_state=1, return_X_y=True)


def svm(**settings):
    return make_hog_svm_pipeline(HOGSVMClassifier(probability=True, random_state=0, **settings))


models = {
    "fine cells": svm().fit(X, y),
    "coarse cells": svm().set_params(hog=HOGExtractor(pixels_per_cell=12)).fit(X, y),
    "half the images": svm().fit(X[::2], y[::2]),
}
reports = {name: evaluate(model, unseen, truth) for name, model in models.items()}
reports["fine cells"]

# %%
# Overlapping intervals are inconclusive
# --------------------------------------
#
# All models are evaluated on the same faces: those that are hard for one model are mostly hard for
# the others too.

import matplotlib.pyplot as plt

measures = ["accuracy", "macro_f1", "cohen_kappa", "top_2_accuracy"]
figure, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
for row, ((name, report), color) in enumerate(
    zip(reports.items(), ("#0072B2", "#E69F00", "#009E73"), strict=True)
):
    for column, measure in enumerate(measures):
        value, low, high = report.overall[measure]
        position = column + 0.18 * (row - 1)
        ax.plot([position, position], [low, high], color=color, linewidth=2)
        ax.plot(position, value, "o", color=color, label=name if column == 0 else None)
ax.set_xticks(range(len(measures)), [measure.replace("_", " ") for measure in measures])
ax.set_title("with 95 % intervals", loc="left", fontsize=10)
ax.grid(axis="y", alpha=0.3)
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# Compare them face by face
# -------------------------
#
# ``compare`` takes into account that all models predicted the same images. McNemar's test uses the
# images on which exactly one of two models is correct.

compare(reports)
