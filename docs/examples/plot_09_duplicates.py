"""
Duplicates inflate scores
=========================

FER2013 contains many duplicates. If one copy of an image is in the training set and another in the
test set, the model only needs to remember it. The scores are then higher than on new faces.
"""

# %%
# A data set with duplicates
# --------------------------
#
# We take very noisy synthetic faces, include every third one three times, and shuffle them.

# sphinx_gallery_thumbnail_number = 2
import matplotlib.pyplot as plt
import numpy as np

from fer_sklearn import duplicate_groups, duplicate_report, make_faces, plot_faces

originals, emotions = make_faces(210, noise=40, random_state=0, return_X_y=True)
rng = np.random.default_rng(0)
order = rng.permutation(np.concatenate([np.arange(210), np.arange(0, 210, 3).repeat(2)]))
X, y = originals[order], emotions[order]
print(duplicate_report(X, y))

# %%
# ``duplicate_groups`` assigns the same number to identical images. Three groups of this data set:

groups = duplicate_groups(X)
threefold = np.flatnonzero(np.bincount(groups) == 3)[:3]
shown = np.concatenate([np.flatnonzero(groups == group) for group in threefold])
plot_faces(X[shown], [f"group {group}" for group in groups[shown]], n_cols=9)

# %%
# Two ways to split
# -----------------
#
# ``StratifiedKFold`` ignores duplicates. ``StratifiedGroupKFold`` keeps each group in one fold.
# The third score is the true one: it is measured on new faces that were never in the data set.

from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_validate
from sklearn.neighbors import KNeighborsClassifier

from fer_sklearn import LSSVMClassifier, make_hog_svm_pipeline

new_faces, new_emotions = make_faces(700, noise=40, random_state=1, return_X_y=True)
models = {
    "nearest face": make_hog_svm_pipeline(KNeighborsClassifier(1)),
    "HOG-SVM": make_hog_svm_pipeline(),
    "least-squares SVM": make_hog_svm_pipeline(LSSVMClassifier()),
}
splits = {
    "duplicates on both sides": (StratifiedKFold(5, shuffle=True, random_state=0), None),
    "duplicates kept together": (StratifiedGroupKFold(5, shuffle=True, random_state=0), groups),
}
scores = {split: [] for split in [*splits, "new faces"]}
for model in models.values():
    for split, (folds, kept) in splits.items():
        result = cross_validate(model, X, y, groups=kept, cv=folds, return_estimator=True)
        scores[split].append(result["test_score"].mean())
    fitted = result["estimator"]
    scores["new faces"].append(np.mean([one.score(new_faces, new_emotions) for one in fitted]))

# %%
# Inflated scores
# ---------------

figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
colors = ("#D55E00", "#0072B2", "#333333")
for number, ((split, values), color) in enumerate(zip(scores.items(), colors, strict=True)):
    positions = np.arange(len(models)) + 0.26 * (number - 1)
    bars = ax.bar(positions, values, width=0.24, color=color, label=split)
    ax.bar_label(bars, [f"{value:.0%}" for value in values], fontsize=9)
ax.set_xticks(range(len(models)), models)
ax.set(ylim=(0, 1.05), yticks=[0, 0.5, 1], ylabel="accuracy")
ax.legend(frameon=False, ncols=3, loc="upper center")
ax.spines[["top", "right"]].set_visible(False)
plt.show()
