"""
Fine-tune a model that comes along
==================================

``load_pretrained`` returns a pipeline that is fitted already. Fitting it again does not start
from nothing: it keeps what the network knows of faces and adapts the rest to yours, for which a
few hundred images are enough. Drawn faces stand for yours here: they look like none that the
model has seen.
"""

# sphinx_gallery_thumbnail_number = 2

# %%
# Before
# ------

from fer_sklearn import evaluate, load_pretrained, make_faces

X, y = make_faces(280, noise=15, random_state=0, return_X_y=True)
unseen, truth = make_faces(210, noise=15, random_state=1, return_X_y=True)
model = load_pretrained("tiny")
before = evaluate(model, unseen, truth)

# %%
# Learn
# -----
#
# The first two stages stay as they are (``frozen_stages``). A part of the images is held out to
# see how training goes.

model.set_params(
    classifier__epochs=6,
    classifier__learning_rate=0.02,
    classifier__validation_fraction=0.2,
    classifier__random_state=0,
)
model.fit(X, y)

# %%
# Look at the training
# --------------------
#
# Both curves fall: it learns, and what it learns holds for images that it did not learn from.
# Training images are turned, shifted and erased at random, validation images are not, which is
# why validation may do better.

from fer_sklearn import LearningCurvesDisplay

LearningCurvesDisplay.from_history(model[-1].history_)

# %%
# After
# -----
#
# How many faces of each emotion are recognised, before (open) and after (filled):

import matplotlib.pyplot as plt

from fer_sklearn import EMOTION_COLORS, EMOTIONS

after = evaluate(model, unseen, truth)
figure, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
for row, emotion in enumerate(EMOTIONS):
    start, end = (one.per_emotion[emotion]["recall"].value for one in (before, after))
    color = EMOTION_COLORS[emotion]
    ax.plot([start, end], [row, row], color=color, linewidth=2.5, solid_capstyle="butt")
    ax.scatter(start, row, s=60, facecolor="white", edgecolor=color, linewidth=2, zorder=3)
    ax.scatter(end, row, s=60, color=color, zorder=3)
ax.set_yticks(range(len(EMOTIONS)), EMOTIONS)
ax.invert_yaxis()
ax.set(xlim=(-0.03, 1.03), xlabel="recall")
ax.grid(axis="x", alpha=0.3)
ax.spines[["top", "right", "left"]].set_visible(False)
plt.show()

# %%
# The shipped weights themselves are as they were: ``load_pretrained("tiny")`` gives them again.

for name, report in {"before": before, "after": after}.items():
    print(f"{name}: {report.overall['accuracy'].value:.1%} right")
