"""
Analyse a photo
===============

The pretrained models predict the emotions in a photo, offline and without any training. This
example shows each step, and then the one function that does everything.
"""

# %%
# Find the face
# -------------
#
# A photo is a path or an array. ``detect_faces`` locates the faces, and the eyes, nose, mouth and
# ears of each.

# sphinx_gallery_thumbnail_number = 2
import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle
from skimage.data import astronaut

from fer_sklearn import FaceCropper, detect_faces, load_pretrained

photo = astronaut()
found = detect_faces(photo)
found

# %%
# ``FaceCropper`` crops the photo to the face, with level eyes. It is a transformer: photos of any
# size in, faces of one size out.

faces = FaceCropper(size=96).fit_transform([photo])

figure, (left, right) = plt.subplots(1, 2, figsize=(7.6, 3.8), layout="constrained")
left.imshow(photo)
for x, y, width, height in found.boxes:
    left.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor="#E69F00", linewidth=2))
left.scatter(*found.keypoints[0].T, color="#56B4E9", s=12)
left.set(title="detected", xticks=[], yticks=[])
right.imshow(faces[0])
right.set(title="cropped", xticks=[], yticks=[])
plt.show()

# %%
# Predict the emotion
# -------------------
#
# ``load_pretrained`` returns a fitted pipeline. With ``crop_faces=True`` it performs the steps
# above itself; ``runtime="litert"`` predicts without TensorFlow.

model = load_pretrained(crop_faces=True, runtime="litert")
probabilities = model.predict_proba([photo])[0]
dict(zip(model.classes_.tolist(), probabilities.round(3).tolist(), strict=True))

# %%
# Many photos, many faces
# -----------------------
#
# ``predict_photos`` takes folders, glob patterns, paths and arrays, finds every face, and returns
# a table with one row per face. A file that cannot be read gets a row that says so.

from fer_sklearn import draw_faces, predict_photos

table = predict_photos([photo, "no-such.jpg"], progress=False)
table[["source", "face", "left", "top", "emotion", "status"]]

# %%
# Draw the results onto the photo:

found = table[table["status"] == "ok"]
boxes = found[["left", "top", "width", "height"]].to_numpy()
probabilities = found[model.classes_].to_numpy()
annotated = draw_faces(photo, boxes, found["emotion"], probabilities, model.classes_)

figure, ax = plt.subplots(figsize=(6, 6), layout="constrained")
ax.imshow(annotated)
ax.set_axis_off()
plt.show()
