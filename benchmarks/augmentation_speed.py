"""How long does augmentation take, relative to the training step of conv3 that it feeds?

    python benchmarks/augmentation_speed.py

Alternately augments a batch of 64 faces of 48×48 pixels with the default settings, and trains one
step on it. The target is at most a quarter of the step.
"""

import statistics
import time

import keras
import numpy as np
from _common import argument_parser, write_result

from fer_sklearn import make_faces
from fer_sklearn.cnn.architectures import build_model
from fer_sklearn.cnn.augmentation import DEFAULT_AUGMENTATION, augment

TARGET = 0.25
BATCH_SIZE = 64


def measure(repeats):
    """Return the median seconds of augmenting a batch, and of one training step on it."""
    faces, _ = make_faces(BATCH_SIZE, random_state=0, return_X_y=True)
    targets = np.eye(7, dtype=np.float32)[np.arange(BATCH_SIZE) % 7]
    model = build_model("conv3", {"input_shape": (48, 48, 1), "n_classes": 7})
    model.compile("adam", "categorical_crossentropy", jit_compile=False)
    rng = np.random.default_rng(0)
    times = {"augmentation": [], "training step": []}
    for repeat in range(repeats + 5):  # the first five warm up
        start = time.perf_counter()
        batch = augment(faces, DEFAULT_AUGMENTATION, rng)[..., np.newaxis]
        augmented = time.perf_counter()
        model.train_on_batch(batch, targets)
        trained = time.perf_counter()
        if repeat >= 5:
            times["augmentation"].append(augmented - start)
            times["training step"].append(trained - augmented)
    return {name: statistics.median(measured) for name, measured in times.items()}


def main():
    parser = argument_parser(__doc__, data=False)
    parser.add_argument("--repeats", type=int, default=40)
    args = parser.parse_args()
    medians = measure(args.repeats)
    ratio = medians["augmentation"] / medians["training step"]
    result = {
        "question": "augmentation relative to one training step of conv3",
        "ratio": round(ratio, 4),
        "aim": TARGET,
        "batch_size": BATCH_SIZE,
        "median_milliseconds": {name: round(1000 * s, 2) for name, s in medians.items()},
        "settings": DEFAULT_AUGMENTATION,
        "keras_backend": keras.backend.backend(),
    }
    write_result("augmentation_speed", result, args.output)
    print(f"augmentation takes {100 * ratio:.1f} % of a step; target: at most {100 * TARGET:g} %")
    return int(ratio > TARGET)


if __name__ == "__main__":
    raise SystemExit(main())
