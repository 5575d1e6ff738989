"""
Read a photo
============

The models that come along tell the emotions in a photo at once, offline and without any
training. This is the whole way, step by step, and then the one function that does it all.
"""

# sphinx_gallery_thumbnail_number = 2

# %%
# Find the face
# -------------
#
# A photo is a path, or an array. ``detect_faces`` says where the faces are and, where it can,
# the eyes.

import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle
from skimage.data import astronaut

from fer_sklearn import FaceCropper, detect_faces, load_pretrained

photo = astronaut()
found = detect_faces(photo)
found

# %%
# ``FaceCropper`` cuts it out; with ``align=True`` the eyes are made level. It is a transformer:
# photos of any size in, faces of one size out.

faces = FaceCropper(size=96, align=True).fit_transform([photo])

figure, (left, right) = plt.subplots(1, 2, figsize=(7.6, 3.8), layout="constrained")
left.imshow(photo)
for x, y, width, height in found.boxes:
    left.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor="#E69F00", linewidth=2))
left.scatter(*found.eyes[0].T, color="#56B4E9", s=12)
left.set(title="found", xticks=[], yticks=[])
right.imshow(faces[0])
right.set(title="cut out and turned upright", xticks=[], yticks=[])
plt.show()

# %%
# Ask the model
# -------------
#
# ``load_pretrained`` is a fitted pipeline. With ``crop_faces=True`` it does the above by itself;
# ``runtime="litert"`` answers without TensorFlow.

model = load_pretrained(crop_faces=True, runtime="litert")
probabilities = model.predict_proba([photo])[0]
dict(zip(model.classes_.tolist(), probabilities.round(3).tolist(), strict=True))

# %%
# Many photos, many faces
# -----------------------
#
# ``predict_photos`` takes folders, patterns, paths and arrays, finds every face, and gives a table
# with a row for each. What cannot be read has a row that says so.

from fer_sklearn import draw_faces, predict_photos

table = predict_photos([photo, "no-such.jpg"], progress=False)
table[["source", "face", "left", "top", "emotion", "status"]]

# %%
# Drawn onto the photo:

seen = table[table["status"] == "ok"]
boxes = seen[["left", "top", "width", "height"]].to_numpy()
answers = seen[model.classes_].to_numpy()
picture = draw_faces(photo, boxes, seen["emotion"], answers, model.classes_)

figure, ax = plt.subplots(figsize=(6, 6), layout="constrained")
ax.imshow(picture)
ax.set_axis_off()
plt.show()
