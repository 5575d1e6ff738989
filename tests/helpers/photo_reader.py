"""A stand-in for a model and a detector, and photos whose pixels encode what it finds."""

import threading

import numpy as np

CLASSES = ["happy", "sad"]
COLUMNS = ["source", "face", "left", "top", "width", "height", "score"]
COLUMNS += ["quality", "emotion", *CLASSES]
COLUMNS += ["status"]


class _Found:
    def __init__(self, boxes):
        self.boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4)
        self.scores = np.full(len(self.boxes), 5.0)
        self.eyes = np.full((len(self.boxes), 2, 2), np.nan)


class Reader:
    """Stands in for a model: the first pixel of a photo is its number of faces.

    The brightness of the second pixel encodes the emotion of each face.
    """

    classes = CLASSES

    def __init__(self):
        self.batches = []
        self.threads = set()

    def detect(self, photo):
        self.threads.add(threading.get_ident())
        return _Found([[i, 1, 4, 4] for i in range(int(photo[0, 0]))])

    def crop(self, photo, faces):
        return [photo[:4, :4].copy() for _ in faces.boxes]

    def predict(self, crops):
        self.batches.append(len(crops))
        happy = np.array([crop[0, 1] / 255 for crop in crops], dtype=np.float64)
        labels = np.where(happy > 0.5, "happy", "sad").astype(str)
        return labels, np.stack([happy, 1 - happy], axis=1)


def photo(n_faces=1, happy=255):
    pixels = np.zeros((8, 8), np.uint8)
    pixels[0, :2] = n_faces, happy
    return pixels
