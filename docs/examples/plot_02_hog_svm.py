"""
From data to a confusion matrix
===============================

A classical model in a dozen lines: histograms of oriented gradients describe each face, and a
support vector machine classifies them. The faces are synthetic, so there is nothing to download;
for real ones, replace ``make_faces`` with ``load_fer2013``.
"""

# %%
# Look at the data first
# ----------------------

from fer_sklearn import make_faces, plot_samples

X, y = make_faces(600, noise=15, random_state=0, return_X_y=True)
plot_samples(X, y, samples_per_class=9, random_state=0)

# %%
# Fit a pipeline
# --------------
#
# Scaling and feature extraction are steps of the pipeline, so they are the same in training and
# prediction.

from sklearn.model_selection import train_test_split

from fer_sklearn import make_hog_svm_pipeline

X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
model = make_hog_svm_pipeline().fit(X_train, y_train)
model

# %%
# How accurate is it?
# -------------------
#
# ``evaluate`` reports each metric with a 95 % confidence interval: it is measured on 150 images,
# and another 150 images would have given a different value.

from fer_sklearn import evaluate

evaluate(model, X_test, y_test)

# %%
# The confusion matrix shows which emotions are confused with which. Colour represents the fraction
# of each row, so that rare emotions are as visible as frequent ones; the counts are printed below.

from fer_sklearn import ConfusionMatrixDisplay

ConfusionMatrixDisplay.from_estimator(model, X_test, y_test)
