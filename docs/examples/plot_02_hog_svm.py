"""
From data to a confusion matrix
===============================

A classical model in a dozen lines: faces are described by histograms of oriented gradients, and
a support vector machine tells them apart. The faces are drawn ones, so that nothing has to be
downloaded; ``load_fer2013`` goes in the place of ``make_faces`` for real ones.
"""

# %%
# Look at the data first
# ----------------------

from fer_sklearn import make_faces, plot_samples

X, y = make_faces(600, noise=15, random_state=0, return_X_y=True)
plot_samples(X, y, n_per_class=9, random_state=0)

# %%
# Fit a pipeline
# --------------
#
# Scaling and description are steps of it, so that they are the same in training and in use.

from sklearn.model_selection import train_test_split

from fer_sklearn import make_hog_svm_pipeline

X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
model = make_hog_svm_pipeline().fit(X_train, y_train)
model

# %%
# How good is it?
# ---------------
#
# ``evaluate`` says so with a 95 % interval for each figure: it is measured on 150 images, and
# other 150 images would have given other figures.

from fer_sklearn import evaluate

evaluate(model, X_test, y_test)

# %%
# The confusion matrix shows what is taken for what. The shade is the share of a row, so that a
# rare emotion is as visible as a frequent one; the count stands below.

from fer_sklearn import ConfusionMatrixDisplay

ConfusionMatrixDisplay.from_estimator(model, X_test, y_test)
