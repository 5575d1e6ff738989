"""
Explain predictions
===================

A model can be right for the wrong reason. This example explains predictions with three methods,
each of which requires less of the model than the one before.
"""

# %%
# Gradients: for networks
# -----------------------
#
# Grad-CAM (Selvaraju et al. 2017) shows which parts of a network's feature maps support a label:
# the predicted one, or any other. Each map has its own scale; its most relevant pixel is 1.

from skimage.data import astronaut

from fer_sklearn import FaceCropper, grad_cam, load_pretrained, plot_heatmaps

face = FaceCropper(size=96).fit_transform([astronaut()])
labels = ["happy", "surprise", "angry"]
explanation = grad_cam(load_pretrained("tiny"), face.repeat(3, axis=0), target=labels)
plot_heatmaps(explanation.images, explanation.heatmaps, labels, n_cols=3, cell_size=2.2)

# %%
# Occlusion: for any classifier with probabilities
# ------------------------------------------------
#
# Hide part of the image, and measure how much the probability drops. This needs nothing but the
# model's predictions. We use a HOG-SVM on synthetic faces, for which we know what makes up each
# emotion. In blue areas, hiding pixels increases the confidence.

import numpy as np

from fer_sklearn import (
    EMOTIONS,
    HOGSVMClassifier,
    make_faces,
    make_hog_svm_pipeline,
    occlusion_map,
)

X, y = make_faces(420, random_state=0, return_X_y=True)
unseen, truth = make_faces(210, random_state=1, return_X_y=True)
svm = make_hog_svm_pipeline(HOGSVMClassifier(probability=True, random_state=0)).fit(X, y)

one_each = [np.flatnonzero(truth == emotion)[0] for emotion in EMOTIONS]
maps = occlusion_map(svm, unseen[one_each], target=EMOTIONS)
plot_heatmaps(maps.images, maps.heatmaps, EMOTIONS, n_cols=7, label="probability lost")

# %%
# Swapped regions: for any classifier
# -----------------------------------
#
# How much accuracy is lost if a region is swapped at random between many faces? This does not even
# need probabilities, and describes the model as a whole, not its prediction for one face.

from fer_sklearn import region_importance

importance = region_importance(svm, unseen, truth, random_state=0)
importance

# %%
# The same for each emotion. Surprise depends on the mouth, anger on the brows:

plot_heatmaps(
    [importance.mean_face] * len(EMOTIONS),
    importance.heatmaps,
    importance.emotions,
    n_cols=7,
    label="loss of recall",
)
