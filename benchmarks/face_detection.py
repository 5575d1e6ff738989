"""Recall, false positives and speed of the face detectors.

    python benchmarks/face_detection.py --data fer2013.zip [--yunet yunet.onnx]

Faces: scikit-image's lfw_subset, FER2013's PublicTest, and the heads of the astronaut
(scikit-image) and of Grace Hopper (matplotlib), pasted into photos at several sizes and tilts.
Non-faces: the other half of lfw_subset, and the photos without people of scikit-image and
scikit-learn, also mirrored. Times are CPU times of a single thread, which depend less on other
load than the clock; the sizes are timed alternately. Writes benchmarks/results/face_detection.json
and .md. About five minutes.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from _common import RESULTS, load_split, write_result
from matplotlib.cbook import get_sample_data
from skimage import data
from sklearn.datasets import load_sample_image

from fer_sklearn.faces import HaarDetector, YuNetDetector, detect_faces
from fer_sklearn.images import to_uint8

WITHOUT_FACES = [
    *("brick", "cat", "cell", "clock", "coffee", "coins", "colorwheel", "grass", "gravel"),
    *("horse", "hubble_deep_field", "immunohistochemistry", "logo", "microaneurysms", "moon"),
    *("page", "retina", "rocket", "shepp_logan_phantom", "text"),
]
BACKGROUNDS = ("coffee", "rocket", "gravel", "brick")
FRACTIONS = (0.06, 0.08, 0.12, 0.2, 0.3)
TILTS = (0, 10, 20, 30, 40)
# A photo of 24 megapixels may take this many times as long as one of a megapixel. A frame may
# take this long, for one core to reach 15 frames per second.
MOST_TIMES, MOST_MILLISECONDS = 1.5, 66


def rgb(name):
    photo = to_uint8(getattr(data, name)())
    return photo[..., :3] if photo.ndim == 3 else np.repeat(photo[..., np.newaxis], 3, axis=2)


def heads():
    """Return square images of heads, each with its face (half as large) in the middle."""
    hopper = cv2.cvtColor(cv2.imread(str(get_sample_data("grace_hopper.jpg", False))), 4)
    return data.astronaut()[5:225, 115:335], hopper[0:440, 45:485]


def paste(photo, head, side, centre, tilt):
    """Paste a head into a photo, so that its face has `side` pixels; return the face's box."""
    size = 2 * side
    head = cv2.resize(head, (size, size), interpolation=cv2.INTER_AREA)
    turn = cv2.getRotationMatrix2D((side, side), -tilt, 1)
    head = cv2.warpAffine(head, turn, (size, size), borderMode=cv2.BORDER_REPLICATE)
    rows, columns = np.ogrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    # The border fades out, so that the detector does not see an edge.
    cover = np.clip((1 - np.hypot(rows, columns)) / 0.15, 0, 1)[..., np.newaxis]
    left, top = (int(c) - side for c in centre)
    part = photo[top : top + size, left : left + size]
    part[:] = cover * head + (1 - cover) * part
    return left + side / 2, top + side / 2, side


def composed(tilt=0):
    """Yield photos of 1200×900 pixels with five faces each, and the faces' boxes."""
    for index, name in enumerate(BACKGROUNDS):
        photo = cv2.resize(rgb(name), (1200, 900))
        small = np.roll([(150, 150), (500, 150), (220, 700)], index, axis=0)
        faces = [
            (fraction, paste(photo, heads()[(index + i) % 2], round(900 * fraction), centre, tilt))
            for i, (fraction, centre) in enumerate(
                zip(FRACTIONS, [*small, (950, 250), (600, 600)], strict=True)
            )
        ]
        yield photo, faces


def found_in(photo, faces, detector):
    """Return the fractions of the faces that were found, and the number of false positives."""
    boxes = detect_faces(photo, detector).boxes
    centres, used, found = boxes[:, :2] + boxes[:, 2:] / 2, set(), []
    for fraction, (left, top, side) in faces:
        near = np.abs(centres - (left + side / 2, top + side / 2)).max(axis=1) < 0.35 * side
        near &= (boxes[:, 3] > 0.5 * side) & (boxes[:, 3] < 2 * side)
        used.update(np.flatnonzero(near))
        found += [fraction] * bool(near.any())
    return found, len(boxes) - len(used)


def count(images, detector):
    return sum(len(detect_faces(image, detector)) > 0 for image in images)


def accuracy(detector, fer2013):
    """Return counts of a detector's findings."""
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
            fraction: sum(found.count(fraction) for found, _ in several) for fraction in FRACTIONS
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
    """Return the CPU time per photo in milliseconds, interleaving the photos."""
    photos = {
        "frame of 640×480, one face": scene(480, 640, True),
        "frame of 640×480, no face": scene(480, 640, False),
        "1 megapixel, one face": scene(816, 1224, True),
        "24 megapixels, one face": scene(4000, 6000, True),
    }
    measured = {name: [] for name in photos}
    for _ in range(repeats):
        for name, photo in photos.items():
            start = time.process_time()
            detect_faces(photo, detector)
            measured[name].append(1e3 * (time.process_time() - start))
    medians = {name: statistics.median(values) for name, values in measured.items()}
    ratio = medians["24 megapixels, one face"] / medians["1 megapixel, one face"]
    return {name: round(value, 1) for name, value in medians.items()} | {
        "24 megapixels relative to 1": round(ratio, 2)
    }


def flat(result, before=""):
    """Yield the names and cells of a result for the table, with one sum per kind of face."""
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
    lines = [f"| | {' | '.join(results)} |", f"| --- |{' ---: |' * len(results)}"]
    lines += [f"| {name} | {' | '.join(row[name] for row in rows)} |" for name in rows[0]]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="FER2013: zip, CSV or folder")
    parser.add_argument("--yunet", help="YuNet's model file, to include it")
    parser.add_argument("--repeats", type=int, default=9, help="repeats per timing (default: 9)")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()

    cv2.setNumThreads(1)
    fer2013 = None
    if args.data:
        images, _ = load_split(args.data, "public")
        fer2013 = images[np.random.default_rng(0).permutation(len(images))[:200]]
    detectors = {"haar": HaarDetector(), "haar, unverified": HaarDetector(verify=False)}
    if args.yunet:
        detectors["yunet"] = YuNetDetector(args.yunet)
    results = {}
    for name, detector in detectors.items():
        print(f"{name} …", flush=True)
        figures, cost = accuracy(detector, fer2013), times(detector, args.repeats)
        results[name] = {"accuracy": figures, "cpu_ms": cost}
    write_result("face_detection", {"results": results, "threads": 1}, args.output)
    (args.output / "face_detection.md").write_text(table(results) + "\n", encoding="utf-8")
    print(table(results))
    cost = results["haar"]["cpu_ms"]
    is_fast = cost["frame of 640×480, one face"] <= MOST_MILLISECONDS
    return 0 if is_fast and cost["24 megapixels relative to 1"] <= MOST_TIMES else 1


if __name__ == "__main__":
    sys.exit(main())
