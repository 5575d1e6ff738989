"""
What an answer rests on
=======================

A model that is right may be right for the wrong reason. Maps over the face show what an answer
rests on, in three ways that ask ever less of the model.
"""

# %%
# Gradients: for networks
# -----------------------
#
# Grad-CAM (Selvaraju et al. 2017) asks which parts of a network's last maps speak for a label: the
# one that it gives, or any other. Each map has its own scale: the most relevant pixel is 1.

from skimage.data import astronaut

from fer_sklearn import FaceCropper, grad_cam, load_pretrained, plot_heatmaps

face = FaceCropper(size=96, align=True).fit_transform([astronaut()])
labels = ["happy", "surprise", "angry"]
explanation = grad_cam(load_pretrained("tiny"), face.repeat(3, axis=0), target=labels)
plot_heatmaps(explanation.images, explanation.heatmaps, labels, n_cols=3, size=2.2)

# %%
# Occlusion: for anything with probabilities
# ------------------------------------------
#
# Hide a part of the image, and see how far the probability falls. This needs nothing of a model but
# its answers: here a HOG-SVM on drawn faces, of which we know what an emotion is made of. Where a
# map is blue, hiding makes the answer surer.

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
plot_heatmaps(maps.images, maps.heatmaps, EMOTIONS, n_cols=7, label="fall")

# %%
# Swapped regions: for any classifier
# -----------------------------------
#
# What does the accuracy on many faces lose if a region is exchanged between them at random? This
# needs no probabilities either, and speaks of the model, not of one face.

from fer_sklearn import region_importance

importance = region_importance(svm, unseen, truth, random_state=0)
importance

# %%
# The same for each emotion. Surprise is in the mouth, anger in the brows:

plot_heatmaps(
    [importance.mean_face] * len(EMOTIONS),
    importance.heatmaps,
    importance.emotions,
    n_cols=7,
    label="loss of recall",
)
