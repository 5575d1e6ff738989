"""How many faces do the detectors find, how many false ones, and how long do they take?

    python benchmarks/face_detection.py --data fer2013.zip [--yunet yunet.onnx]

Without --yunet, the column of YuNet is kept from the last run that measured it.

Faces: scikit-image's lfw_subset, FER2013's PublicTest, and the heads of the astronaut
(scikit-image) and of Grace Hopper (matplotlib), pasted into photos at several sizes and tilts.
Non-faces: the other half of lfw_subset, and photos of scikit-image and scikit-learn without
people, each also mirrored. Times are CPU time on one thread, which depends less on other work on
the machine than wall time; the sizes are timed alternately. Writes
benchmarks/results/face_detection.json and a Markdown table next to it. About five minutes.
"""

import statistics
import sys
import time

import cv2
import numpy as np
from _common import (
    argument_parser,
    load_split,
    markdown_table,
    read_result,
    write_result,
)
from matplotlib.cbook import get_sample_data
from skimage import data
from sklearn.datasets import load_sample_image

from fer_sklearn.faces import BlazeFaceDetector, HaarDetector, YuNetDetector, detect_faces
from fer_sklearn.images import to_uint8

WITHOUT_FACES = [
    *("brick", "cat", "cell", "clock", "coffee", "coins", "colorwheel", "grass", "gravel"),
    *("horse", "hubble_deep_field", "immunohistochemistry", "logo", "microaneurysms", "moon"),
    *("page", "retina", "rocket", "shepp_logan_phantom", "text"),
]
BACKGROUNDS = ("coffee", "rocket", "gravel", "brick")
SIZES = (0.06, 0.08, 0.12, 0.2, 0.3)
TILTS = (0, 10, 20, 30, 40)
# How long a frame, and a group photo of 12 megapixels, may take the default detector.
MAX_FRAME, MAX_GROUP = 66, 200


def rgb(name):
    photo = to_uint8(getattr(data, name)())
    return photo[..., :3] if photo.ndim == 3 else np.repeat(photo[..., np.newaxis], 3, axis=2)


def heads():
    """Return square images of heads, each with its face, half as large, in the middle."""
    hopper = cv2.cvtColor(cv2.imread(str(get_sample_data("grace_hopper.jpg", False))), 4)
    return data.astronaut()[5:225, 115:335], hopper[0:440, 45:485]


def paste(photo, head, side, centre, tilt):
    """Paste a head into a photo, so that its face has `side` pixels; return the face's box."""
    size = 2 * side
    head = cv2.resize(head, (size, size), interpolation=cv2.INTER_AREA)
    rotation = cv2.getRotationMatrix2D((side, side), -tilt, 1)
    head = cv2.warpAffine(head, rotation, (size, size), borderMode=cv2.BORDER_REPLICATE)
    rows, columns = np.ogrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    # The border is blended, so that the detector sees no edge.
    cover = np.clip((1 - np.hypot(rows, columns)) / 0.15, 0, 1)[..., np.newaxis]
    left, top = (int(c) - side for c in centre)
    part = photo[top : top + size, left : left + size]
    part[:] = cover * head + (1 - cover) * part
    return left + side / 2, top + side / 2, side


def composed(tilt=0):
    """Yield photos of 1200×900 pixels with five faces each, and the sizes and boxes of faces."""
    for index, name in enumerate(BACKGROUNDS):
        photo = cv2.resize(rgb(name), (1200, 900))
        small = np.roll([(150, 150), (500, 150), (220, 700)], index, axis=0)
        faces = [
            (size, paste(photo, heads()[(index + i) % 2], round(900 * size), centre, tilt))
            for i, (size, centre) in enumerate(
                zip(SIZES, [*small, (950, 250), (600, 600)], strict=True)
            )
        ]
        yield photo, faces


def found_in(photo, faces, detector):
    """Return the sizes of the faces that were found, and the number of false boxes."""
    boxes = detect_faces(photo, detector).boxes
    centres, used, found = boxes[:, :2] + boxes[:, 2:] / 2, set(), []
    for size, (left, top, side) in faces:
        near = np.abs(centres - (left + side / 2, top + side / 2)).max(axis=1) < 0.35 * side
        near &= (boxes[:, 3] > 0.5 * side) & (boxes[:, 3] < 2 * side)
        used.update(np.flatnonzero(near))
        found += [size] * bool(near.any())
    return found, len(boxes) - len(used)


def count(images, detector):
    return sum(len(detect_faces(image, detector)) > 0 for image in images)


def accuracy(detector, fer2013):
    """Count what a detector finds."""
    subset = to_uint8(data.lfw_subset())
    photos = {name: rgb(name) for name in WITHOUT_FACES}
    photos |= {name: load_sample_image(f"{name}.jpg") for name in ("china", "flower")}
    false = {
        name: len(detect_faces(photo, detector)) + len(detect_faces(photo[:, ::-1], detector))
        for name, photo in photos.items()
    }
    several = [found_in(*scene, detector) for scene in composed()]
    alone = {
        tilt: sum(
            bool(found_in(photo, [(0, paste(photo, head, 200, (300, 300), tilt))], detector)[0])
            for name in BACKGROUNDS
            for head in heads()
            for photo in [cv2.resize(rgb(name), (800, 600))]
        )
        for tilt in (sign * tilt for tilt in TILTS for sign in {1, -1 if tilt else 1})
    }
    return {
        "lfw_subset faces, of 100": count(subset[:100], detector),
        "FER2013 faces, of 200": None if fer2013 is None else count(fer2013, detector),
        "five faces per photo, 6 to 30 % of its height, 4 of each": {
            size: sum(found.count(size) for found, _ in several) for size in SIZES
        },
        "faces tilted by 0 to 40 degrees, 8 of each": alone,
        "lfw_subset non-faces, of 100": count(subset[100:], detector),
        f"false positives in {2 * len(photos)} photos without faces": sum(false.values()),
        "false positives in photos with five faces": sum(false for _, false in several),
        "photos without faces, but with a false positive": [name for name, n in false.items() if n],
    }


def scene(height, width, with_face):
    photo = cv2.resize(rgb("coffee"), (width, height), interpolation=cv2.INTER_AREA)
    if with_face:
        paste(photo, heads()[0], height // 3, (width // 2, height // 2), 0)
    return photo


def times(detector, repeats):
    """Return milliseconds of CPU time per photo, timed alternately."""
    photos = {
        "frame of 640×480, one face": scene(480, 640, True),
        "frame of 640×480, no face": scene(480, 640, False),
        "1 megapixel, one face": scene(816, 1224, True),
        "12 megapixels, five faces": cv2.resize(next(composed())[0], (4000, 3000)),
        "24 megapixels, one face": scene(4000, 6000, True),
    }
    measured = {name: [] for name in photos}
    for _ in range(repeats):
        for name, photo in photos.items():
            start = time.process_time()
            detect_faces(photo, detector)
            measured[name].append(1e3 * (time.process_time() - start))
    medians = {name: statistics.median(values) for name, values in measured.items()}
    return {name: round(value, 1) for name, value in medians.items()}


def flat(result, before=""):
    """Yield names and cells of a result for the table, with counts by size or tilt summed up."""
    for name, value in result.items():
        if isinstance(value, dict):
            kinds, n_each = name.rsplit(", ", 1)
            total = int(n_each.split()[0]) * len(value)
            yield f"{kinds}, of {total}", str(sum(value.values()))
        else:
            cell = ", ".join(value) or "none" if isinstance(value, list) else value
            yield f"{before}{name}", "" if cell is None else str(cell)


def table(results):
    rows = [dict(flat(r["accuracy"])) | dict(flat(r["cpu_ms"], "ms: ")) for r in results.values()]
    cells = [[name, *(row.get(name, "") for row in rows)] for name in rows[0]]
    return markdown_table(["", *results], cells)


def main():
    parser = argument_parser(__doc__, data=False)
    parser.add_argument("--data", help="FER2013: zip, CSV or folder; without it, less is measured")
    parser.add_argument("--yunet", help="model file of YuNet, to measure it too")
    parser.add_argument("--repeats", type=int, default=9, help="runs per time (default: 9)")
    args = parser.parse_args()

    cv2.setNumThreads(1)
    fer2013 = None
    if args.data:
        images, _ = load_split(args.data, "public")
        fer2013 = images[np.random.default_rng(0).permutation(len(images))[:200]]
    detectors = {
        "blazeface": BlazeFaceDetector(),
        "haar": HaarDetector(),
        "haar, unverified": HaarDetector(verify=False),
    }
    if args.yunet:
        detectors["yunet"] = YuNetDetector(args.yunet)
    earlier = read_result("face_detection", args.output).get("results", {})
    results = dict.fromkeys(detectors) | {k: v for k, v in earlier.items() if k == "yunet"}
    for name, detector in detectors.items():
        print(f"{name} …", flush=True)
        figures, cost = accuracy(detector, fer2013), times(detector, args.repeats)
        results[name] = {"accuracy": figures, "cpu_ms": cost}
    write_result("face_detection", {"results": results, "threads": 1}, args.output, table(results))
    cost = results["blazeface"]["cpu_ms"]
    is_fast = cost["frame of 640×480, one face"] <= MAX_FRAME
    return 0 if is_fast and cost["12 megapixels, five faces"] <= MAX_GROUP else 1


if __name__ == "__main__":
    sys.exit(main())
