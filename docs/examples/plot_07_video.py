"""
A video and its timeline
========================

``iter_video`` tracks the faces in a video from frame to frame and averages their probabilities
over about half a second; ``analyze_video`` writes the results to files. The video in this example
is a synthetic face that changes its expression, so we know what to expect.
"""

# %%
# Make a video
# ------------
#
# The face keeps one expression for a second and a half, then fades into the next.

# sphinx_gallery_thumbnail_number = 2
import tempfile
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np

from fer_sklearn import make_faces

folder = Path(tempfile.mkdtemp())
story = ["neutral", "surprise", "happy", "neutral", "sad", "angry"]
faces, emotions = make_faces(70, size=96, noise=2, random_state=9, return_X_y=True)
stills = [faces[emotions == emotion][number % 2] for number, emotion in enumerate(story)]

frames = []
for now, following in zip(stills, [*stills[1:], stills[-1]], strict=True):
    frames += [now] * 12
    frames += [
        ((1 - weight) * now + weight * following).astype(np.uint8) for weight in np.arange(1, 8) / 8
    ]

video = folder / "video.avi"
writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 96))
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
# A model and a detector
# ----------------------
#
# Synthetic faces need their own model. Any function from pixels to boxes can serve as a detector;
# this one returns the whole frame.

from fer_sklearn import HOGSVMClassifier, make_hog_svm_pipeline

model = make_hog_svm_pipeline(HOGSVMClassifier(probability=True, random_state=0))
model.fit(*make_faces(700, random_state=0, return_X_y=True))


def whole_frame(photo):
    """Return one box, (left, top, width, height)."""
    height, width = photo.shape[:2]
    return [[0, 0, width, height]]


# %%
# Analyse it
# ----------

from fer_sklearn import EmotionTimelineDisplay, analyze_video

summary = analyze_video(
    video, model, detector=whole_frame, output=folder / "video.csv", smoothing_seconds=0.3
)
print(summary)

# %%
# The band above the curves shows the predicted emotion at each moment.

import pandas as pd

display = EmotionTimelineDisplay.from_rows(pd.read_csv(folder / "video.csv"))
display.figure_.set_size_inches(9, 3.6)

# %%
# For real videos, leave out ``detector``: ``analyze_video("holiday.mp4")``. On the command line,
# use ``fer-sklearn video holiday.mp4 --plot holiday.png``.
