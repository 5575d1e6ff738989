"""
Abstain when uncertain
======================

A model that may return "uncertain" is more accurate on the images for which it does predict an
emotion. The accuracy–coverage curve shows the trade-off; coverage is the fraction of images with a
prediction.
"""

# %%
# Accuracy against coverage
# -------------------------
#
# Two models on noisy faces; the second is trained on fewer images.

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
# ``AbstainingClassifier`` wraps any classifier with probabilities. Set a threshold, or a coverage,
# for which it chooses the threshold by cross-validation.

from fer_sklearn import AbstainingClassifier

careful = AbstainingClassifier(svm, coverage=0.6, cv=3).fit(X, y)
careful.selective_accuracy(unseen, truth)

# %%
# Which faces?
# ------------
#
# The most confident predictions in the top row, the faces it abstains on in the bottom row.

import numpy as np

from fer_sklearn import plot_faces

predictions = careful.predict(unseen)
confidence = careful.predict_proba(unseen).max(axis=1)
order = np.argsort(-confidence)
shown = np.concatenate([order[:9], order[-9:]])
plot_faces(unseen[shown], predictions[shown], n_cols=9)
