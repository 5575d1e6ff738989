"""
Find errors in a data set
=========================

FER2013 contains blank images, duplicates, duplicates with conflicting labels, and many labels that
are plainly wrong. ``audit_dataset`` looks for all four in any set of labelled faces. Here we
introduce some errors, and check whether it finds them.
"""

# %%
# Introduce errors
# ----------------

import numpy as np

from fer_sklearn import EMOTIONS, audit_dataset, make_faces

X, y = make_faces(420, random_state=0, return_X_y=True)
rng = np.random.default_rng(0)
chosen = rng.permutation(len(X))
blank, duplicates, wrong = chosen[:4], chosen[4:16], chosen[16:37]

X[blank] = 128
X[duplicates] = X[chosen[100:112]]
y[duplicates] = y[chosen[100:112]]
y[duplicates[:3]] = ["fear", "happy", "sad"]  # duplicates, most likely with another label
for index in wrong:
    y[index] = rng.choice([emotion for emotion in EMOTIONS if emotion != y[index]])

# %%
# Audit
# -----
#
# Likely label errors are images whose label contradicts a classifier that has seen neither them
# nor a duplicate of them (confident learning, Northcutt et al. 2021).

report = audit_dataset(X, y)
report

# %%
# Plot the findings
# -----------------

report.plot()

# %%
# How many were found?
# --------------------

found = np.isin(wrong, report.label_errors).sum()
extra = np.setdiff1d(report.label_errors, [*wrong, *duplicates, *blank])
print(f"{found} of {len(wrong)} wrong labels found, {len(extra)} correct ones flagged")

# %%
# ``mask`` returns a mask of the images to keep. You can safely drop blank images and duplicates,
# but look at the likely label errors first: an unusual face of a rare emotion looks like an error
# too.

kept = report.mask(exclude=("blank", "copy", "conflict"))
X[kept].shape
