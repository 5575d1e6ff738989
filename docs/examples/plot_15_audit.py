"""
Look for mistakes in a data set
===============================

FER2013 has blank images, copies, copies with different labels, and many labels that are plainly
wrong. ``audit_dataset`` looks for all four in any set of labelled faces. Here we hide some, and
see what it finds.
"""

# %%
# Hide some mistakes
# ------------------

import numpy as np

from fer_sklearn import EMOTIONS, audit_dataset, make_faces

X, y = make_faces(420, random_state=0, return_X_y=True)
rng = np.random.default_rng(0)
chosen = rng.permutation(len(X))
blank, copies, wrong = chosen[:4], chosen[4:16], chosen[16:37]

X[blank] = 128
X[copies] = X[chosen[100:112]]
y[copies] = y[chosen[100:112]]
y[copies[:3]] = ["fear", "happy", "sad"]  # copies with another label, most likely
for index in wrong:
    y[index] = rng.choice([emotion for emotion in EMOTIONS if emotion != y[index]])

# %%
# Audit
# -----
#
# Likely label errors are images whose label is contradicted by a classifier that has seen neither
# them nor a copy of them (confident learning, Northcutt et al. 2021).

report = audit_dataset(X, y)
report

# %%
# As a picture
# ------------

report.plot()

# %%
# How much of it was found?
# -------------------------

found = np.isin(wrong, report.label_errors).sum()
extra = np.setdiff1d(report.label_errors, [*wrong, *copies, *blank])
print(f"{found} of {len(wrong)} wrong labels found, {len(extra)} good ones suspected")

# %%
# ``keep`` gives the images to go on with. Drop what is blank or a copy without much thought, but
# look at suspected labels first: the odd face of a rare emotion looks like an error too.

kept = report.keep(drop=("blank", "copy", "conflict"))
X[kept].shape
