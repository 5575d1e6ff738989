"""
Tune a whole pipeline
=====================

How large should the HOG cells be, and how strongly should the support vector machine be
regularised? The two depend on each other, so we search for both together. A parameter of any step
has a name of the form ``step__parameter``.
"""

# %%
# Noisy faces
# -----------
#
# We add a lot of noise to the pixels to make the problem hard enough.

# sphinx_gallery_thumbnail_number = 2
import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV

from fer_sklearn import SCORING, make_faces, make_hog_svm_pipeline, plot_faces

X, y = make_faces(420, noise=25, random_state=0, return_X_y=True)
plot_faces(X[:14], y[:14], n_cols=7)

# %%
# Search
# ------
#
# ``SCORING`` contains accuracy, balanced accuracy and macro-F1; the last one selects the best
# candidate. ``n_jobs=2`` would run two fits at a time, with the same result.

cells, penalties = [4, 6, 8, 12], [0.1, 0.5, 2.0, 10.0]
search = GridSearchCV(
    make_hog_svm_pipeline(),
    {"hog__pixels_per_cell": cells, "classifier__C": penalties},
    scoring=SCORING,
    refit="macro_f1",
    cv=3,
).fit(X, y)
search.best_params_, round(search.best_score_, 3)

# %%
# All sixteen candidates
# ----------------------
#
# The best score alone does not show whether it is a peak or a plateau.

scores = search.cv_results_["mean_test_macro_f1"].reshape(len(penalties), len(cells))

figure, ax = plt.subplots(figsize=(5.4, 4.2), layout="constrained")
image = ax.imshow(scores, cmap="viridis", aspect="auto")
for (row, column), score in np.ndenumerate(scores):
    dark = image.norm(score) < 0.6
    ax.text(column, row, f"{score:.2f}", ha="center", va="center", color="wk"[not dark])
row, column = np.unravel_index(scores.argmax(), scores.shape)
ax.add_patch(
    plt.Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="#D55E00", linewidth=3)
)
ax.set_xticks(range(len(cells)), [f"{cell}×{cell}" for cell in cells])
ax.set_yticks(range(len(penalties)), penalties)
ax.set(xlabel="pixels per cell", ylabel="C of the SVM", title="macro-F1, cross-validated")
figure.colorbar(image)
plt.show()
