"""
Answers withheld
================

A model that may say "uncertain" is right more often where it does answer. How much that costs is
the curve of accuracy over coverage, the share of images that get an answer.
"""

# %%
# From sure to unsure
# -------------------
#
# Two models on noisy faces; the second one has seen less.

import matplotlib.pyplot as plt
from sklearn.base import clone

from fer_sklearn import (
    CoverageAccuracyDisplay,
    HOGSVMClassifier,
    make_faces,
    make_hog_svm_pipeline,
)

X, y = make_faces(420, noise=25, random_state=0, return_X_y=True)
unseen, truth = make_faces(490, noise=25, random_state=1, return_X_y=True)
svm = make_hog_svm_pipeline(HOGSVMClassifier(probability=True, random_state=0))
good, poor = clone(svm).fit(X, y), clone(svm).fit(X[:140], y[:140])

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
CoverageAccuracyDisplay.from_estimator(good, unseen, truth, name="420 images", ax=ax)
CoverageAccuracyDisplay.from_estimator(poor, unseen, truth, name="140 images", ax=ax)
plt.show()

# %%
# A classifier that abstains
# --------------------------
#
# ``AbstainingClassifier`` wraps any classifier with probabilities. Given a coverage, it chooses
# the threshold by cross-validation; given a threshold, it takes that.

from fer_sklearn import AbstainingClassifier

careful = AbstainingClassifier(svm, coverage=0.6, cv=3).fit(X, y)
careful.selective_scores(unseen, truth)

# %%
# Which faces?
# ------------
#
# Above, the surest answers; below, what it would rather not say.

import numpy as np

from fer_sklearn import plot_faces

answers = careful.predict(unseen)
confidence = careful.predict_proba(unseen).max(axis=1)
order = np.argsort(-confidence)
shown = np.concatenate([order[:9], order[-9:]])
plot_faces(unseen[shown], answers[shown], n_cols=9)
