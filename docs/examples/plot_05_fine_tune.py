"""
Fine-tune a pretrained model
============================

``load_pretrained`` returns a pipeline that is already fitted. When you fit it again, it does not
start from scratch: it keeps what the network has learned about faces and adapts the rest to yours.
By default that is a new head, learned in seconds; here, the last stage of the network is trained
too. Synthetic faces stand in for yours; they look like nothing the model has seen.
"""

# %%
# Before
# ------

# sphinx_gallery_thumbnail_number = 2
from fer_sklearn import evaluate, load_pretrained, make_faces

X, y = make_faces(280, noise=15, random_state=0, return_X_y=True)
unseen, truth = make_faces(210, noise=15, random_state=1, return_X_y=True)
model = load_pretrained("tiny")
before = evaluate(model, unseen, truth)

# %%
# Train
# -----
#
# Only the last stage and the head are trained (``trainable``). Part of the images is held out for
# validation.

model.set_params(
    classifier__trainable="last_stage",
    classifier__epochs=6,
    classifier__learning_rate=0.02,
    classifier__validation_fraction=0.2,
    classifier__random_state=0,
)
model.fit(X, y)

# %%
# Plot the training history
# -------------------------
#
# Both curves fall, so what the network learns generalises to the validation images. Training images
# are augmented with random rotations, shifts and erased rectangles, and validation images are not,
# which is why the validation loss may be lower.

from fer_sklearn import LearningCurvesDisplay

LearningCurvesDisplay.from_history(model[-1].history_)

# %%
# After
# -----
#
# Recall of each emotion, before (open) and after fine-tuning (filled):

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
# The bundled weights are unchanged: ``load_pretrained("tiny")`` loads them again.

for name, report in {"before": before, "after": after}.items():
    print(f"{name}: {report.overall['accuracy'].value:.1%} accuracy")
