"""Where does the pretrained model fail: small, blurred, tilted, covered, dark or turned faces?

    python benchmarks/weaknesses.py --data fer2013.zip --votes ferplus.csv --web web_photos.zip

Writes benchmarks/results/weaknesses.json and the tables of the model card, weaknesses_simulated.md
and weaknesses_photos.md. The first changes the images of PublicTest that have a majority (FER+),
one change at a time. The second divides photos from the web by the size of the face, by how far the
head is turned, and by emotion. A head is turned by the distance of the nose from the middle between
the eyes, in distances of the eyes. Two minutes.
"""

import cv2
import numpy as np
from _common import (
    argument_parser,
    largest_faces,
    load_bunch,
    markdown_table,
    percent,
    write_result,
)
from scipy.stats import binomtest

from fer_sklearn import FaceReader, load_pretrained
from fer_sklearn.datasets import load_ferplus, majority_vote
from fer_sklearn.images import resize_gray

# Where FER2013's images have the eyes and the mouth: medians over the training images.
_RIGHT_EYE, _LEFT_EYE, _MOUTH = (15, 19), (33, 19), (24, 37)
_SIZES = ((0, 48), (48, 96), (96, 192), (192, 10_000))
_TURNS = ((0.0, 0.15), (0.15, 0.3), (0.3, 10.0))


def main():
    args = argument_parser(__doc__, votes=True, web=True).parse_args()
    model = load_pretrained()
    simulated = measure_simulated(model, args)
    photos = measure_photos(model, args.web)
    tables = {
        "simulated": table("PublicTest, with one change", "images", simulated),
        "photos": table("photos from the web", "faces", photos),
    }
    result = {"simulated": simulated, "photos": photos}
    write_result("weaknesses", result, args.output, tables)


def table(title, unit, rows):
    cells = [(name, row["images"], percent(row["accuracy"])) for name, row in rows.items()]
    return markdown_table([title, unit, "accuracy, %"], cells)


def proportion(correct):
    """Return the number of images, and the accuracy with its exact interval."""
    correct = np.asarray(correct)
    if not len(correct):
        return {"images": 0, "accuracy": [float("nan")] * 3}
    interval = binomtest(int(correct.sum()), len(correct)).proportion_ci(method="exact")
    value = [float(correct.mean()), float(interval.low), float(interval.high)]
    return {"images": len(correct), "accuracy": value}


# -- simulated ------------------------------------------------------------------------------


def measure_simulated(model, args):
    public = load_bunch(args.data, "public")
    people = majority_vote(load_ferplus(args.votes, public.filenames))
    X, y = public.images[people != ""], people[people != ""]
    return {
        name: proportion(model.predict(np.stack([change(image) for image in X])) == y)
        for name, change in changes().items()
    }


def changes():
    """Return the changes by their names."""
    rng = np.random.default_rng(0)
    return {
        "unchanged": lambda image: image,
        **{f"reduced to {n}×{n} pixels": reduced(n) for n in (32, 24, 16, 12)},
        **{f"blurred, σ = {s} pixel(s)": blurred(s) for s in (1, 2, 3)},
        **{f"tilted by {angle}°": tilted(angle) for angle in (10, 20, 30, 45)},
        "a quarter of the brightness": lambda image: image // 4,
        "noise, σ = 20 of 255": lambda image: np.clip(
            image + rng.normal(0, 20, image.shape), 0, 255
        ).astype(np.uint8),
        "glasses": glasses,
        "sunglasses": sunglasses,
        "mouth and nose covered": mask,
    }


def reduced(side):
    return lambda image: resize_gray(resize_gray([image], (side, side)), (48, 48))[0]


def blurred(sigma):
    return lambda image: cv2.GaussianBlur(image, (0, 0), sigma)


def tilted(angle):
    matrix = cv2.getRotationMatrix2D((23.5, 23.5), angle, 1)
    return lambda image: cv2.warpAffine(image, matrix, (48, 48), borderMode=cv2.BORDER_REPLICATE)


def glasses(image):
    image = image.copy()
    for eye in (_RIGHT_EYE, _LEFT_EYE):
        cv2.ellipse(image, eye, (7, 5), 0, 0, 360, 30, 1, cv2.LINE_AA)
    cv2.line(image, (22, 18), (26, 18), 30, 1, cv2.LINE_AA)
    return image


def sunglasses(image):
    image = glasses(image)
    for eye in (_RIGHT_EYE, _LEFT_EYE):
        cv2.ellipse(image, eye, (7, 5), 0, 0, 360, 20, -1, cv2.LINE_AA)
    return image


def mask(image):
    image = image.copy()
    cv2.ellipse(image, (_MOUTH[0], _MOUTH[1] + 2), (15, 12), 0, 0, 360, 200, -1, cv2.LINE_AA)
    return image


# -- photos ---------------------------------------------------------------------------------


def measure_photos(model, path):
    """Measure the largest face of each photo."""
    labels, faces, crops = zip(*largest_faces(path, FaceReader()), strict=True)
    labels = np.array(labels)
    sides = np.array([np.sqrt(face.boxes[0, 2:].prod()) for face in faces])
    turns = np.array([turn(face.keypoints[0]) for face in faces])
    correct = model.predict(np.array(crops)) == labels
    rows = {"all": proportion(correct)}
    for low, high in _SIZES:
        name = f"faces of {low} to {high} pixels" if high < 10_000 else f"faces of {low} and more"
        rows[name] = proportion(correct[(sides >= low) & (sides < high)])
    for low, high in _TURNS:
        name = f"turned by {low} to {high}" if high < 10 else f"turned by {low} and more"
        rows[name] = proportion(correct[(turns >= low) & (turns < high)])
    for label in np.unique(labels):
        rows[label] = proportion(correct[labels == label])
    return rows


def turn(keypoints):
    """Return how far the nose is from the middle of the eyes, along the line between them."""
    right, left, nose = keypoints[:3]
    line = left - right
    return float(abs((nose - (right + left) / 2) @ line) / max(line @ line, 1e-9))


if __name__ == "__main__":
    main()
