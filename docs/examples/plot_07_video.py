"""
A film and its time line
========================

Emotions change. ``iter_video`` follows the faces in a film from frame to frame and averages
their probabilities over half a second or so; ``analyze_video`` writes all of it down. The film
here is a drawn face that changes its expression, so that we know what should come out.
"""

# sphinx_gallery_thumbnail_number = 2

# %%
# Make a film
# -----------
#
# A face looks one way for a second and a half, then fades into the next expression.

import tempfile
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np

from fer_sklearn import make_faces

folder = Path(tempfile.mkdtemp())
story = ["neutral", "surprise", "happy", "neutral", "sad", "angry"]
faces, emotions = make_faces(70, size=96, noise=2, random_state=3, return_X_y=True)
stills = [faces[emotions == emotion][number % 2] for number, emotion in enumerate(story)]

frames = []
for now, following in zip(stills, [*stills[1:], stills[-1]], strict=True):
    frames += [now] * 12
    frames += [
        ((1 - share) * now + share * following).astype(np.uint8) for share in np.arange(1, 8) / 8
    ]

film = folder / "film.avi"
writer = cv2.VideoWriter(str(film), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 96))
for frame in frames:
    writer.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR))
writer.release()

figure, axes = plt.subplots(1, 9, figsize=(9, 1.4), layout="constrained")
for ax, number in zip(axes, np.linspace(0, len(frames) - 1, 9).astype(int), strict=True):
    ax.imshow(frames[number], cmap="gray", vmin=0, vmax=255)
    ax.set_title(f"{number / 10:.1f} s", fontsize=9)
    ax.set_axis_off()
plt.show()

# %%
# A model, and where the faces are
# --------------------------------
#
# Drawn faces want a model of their own. Any function from pixels to boxes is a detector: this
# one says that the face is the whole frame.

from fer_sklearn import HOGSVMClassifier, make_hog_svm_pipeline

model = make_hog_svm_pipeline(HOGSVMClassifier(probability=True, random_state=0))
model.fit(*make_faces(700, random_state=0, return_X_y=True))


def whole_frame(photo):
    """Return one box, (left, top, width, height)."""
    height, width = photo.shape[:2]
    return [[0, 0, width, height]]


# %%
# Read it
# -------

from fer_sklearn import EmotionTimelineDisplay, analyze_video

summary = analyze_video(
    film, model, detector=whole_frame, timeline=folder / "film.csv", smoothing=0.3
)
summary

# %%
# The band above the curves is what was told at each moment.

import pandas as pd

display = EmotionTimelineDisplay.from_rows(pd.read_csv(folder / "film.csv"))
display.figure_.set_size_inches(9, 3.6)

# %%
# Real films go the same way, without ``detector``: ``analyze_video("holiday.mp4")``. On the
# command line, ``fer-sklearn video holiday.mp4 --plot holiday.png``.
