"""
Is one model better, or luckier?
================================

Two accuracies always differ. Whether the difference says anything depends on how many images
it rests on, and on which images the two models disagree. ``compare`` answers that.
"""

# %%
# Three models
# ------------
#
# The third one has seen less.

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
    "half of the images": svm().fit(X[::2], y[::2]),
}
reports = {name: evaluate(model, unseen, truth) for name, model in models.items()}
reports["fine cells"]

# %%
# Intervals that overlap say little
# ---------------------------------
#
# They are drawn from the same faces: what is hard for one model is mostly hard for the others.

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
# The paired bootstrap resamples the same images for all models. McNemar's test looks at the
# images that one has right and the other wrong.

compare(reports)
