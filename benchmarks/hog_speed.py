"""How much faster is HOGExtractor than calling scikit-image image by image?

    python benchmarks/hog_speed.py

Both process 1,000 synthetic faces of 48×48 pixels alternately, in one process, so that a busy
machine slows both equally; the medians of CPU time are compared. The target is 12 times as fast,
with features that are equal to 1e-5. Writes benchmarks/results/hog_speed.json.
"""

import os
import statistics
import sys
import time

# Neither side may use more than one core.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from _common import argument_parser, write_result
from skimage.feature import hog

from fer_sklearn import HOGExtractor, make_faces

TARGET = 12


def in_a_loop(images):
    """Call scikit-image once per image, with HOGExtractor's defaults."""
    return np.array(
        [hog(image, 9, (8, 8), (2, 2), block_norm="L2-Hys") for image in images], np.float32
    )


def timed(function, images):
    """Return the CPU seconds that a call takes, and its result."""
    start = time.process_time()
    result = function(images)
    return time.process_time() - start, result


def compare(images, repeats):
    """Time both alternately, and compare their features."""
    sides = {"scikit-image": in_a_loop, "fer_sklearn": HOGExtractor().fit_transform}
    times, features = {name: [] for name in sides}, {}
    for name, function in sides.items():  # once for imports and tables
        features[name] = function(images)
    for _ in range(repeats):
        for name, function in sides.items():
            times[name].append(timed(function, images)[0])
    medians = {name: statistics.median(measured) for name, measured in times.items()}
    difference = np.abs(features["fer_sklearn"] - features["scikit-image"]).max()
    return {
        "times_as_fast": round(medians["scikit-image"] / medians["fer_sklearn"], 2),
        "median_cpu_milliseconds": {name: round(1e3 * t, 2) for name, t in medians.items()},
        "largest_difference": float(difference),
    }


def measure(n_images, repeats):
    """Compare on uint8, on the same pixels divided by 255, and on arbitrary floats."""
    images = make_faces(n_images, random_state=0).images
    noise = np.random.default_rng(0).normal(0, 0.01, images.shape)
    inputs = {
        "uint8": images,
        "float32, uint8 / 255": images / np.float32(255),
        "float64, any": images / 255 + noise,
    }
    return {
        "question": "speed of HOGExtractor relative to a loop over skimage.feature.hog",
        "aim": {"uint8": TARGET},
        "n_images": n_images,
        "image_size": images.shape[1:],
        "results": {name: compare(values, repeats) for name, values in inputs.items()},
        "repeats": repeats,
    }


def main():
    parser = argument_parser(__doc__, data=False)
    parser.add_argument("--images", type=int, default=1000, help="number of faces (default: 1000)")
    parser.add_argument("--repeats", type=int, default=9, help="runs of each (default: 9)")
    args = parser.parse_args()
    result = measure(args.images, args.repeats)
    write_result("hog_speed", result, args.output)
    for name, figures in result["results"].items():
        print(
            f"{name:22} {figures['times_as_fast']:6.1f} times as fast, "
            f"equal to {figures['largest_difference']:.0e}"
        )
    return 0 if result["results"]["uint8"]["times_as_fast"] >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
