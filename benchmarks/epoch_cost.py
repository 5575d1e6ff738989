"""How long does an epoch of FERCNNClassifier take, relative to `model.fit` of Keras?

    python benchmarks/epoch_cost.py

The classifier shuffles and augments images, writes a checkpoint and keeps a history; `model.fit`
trains the same network with the same optimizer and loss on arrays. Both train alternately, on
synthetic faces. Writes benchmarks/results/epoch_cost.json.
"""

import statistics
import tempfile
import time

import keras
import numpy as np
from _common import argument_parser, write_result

from fer_sklearn import FERCNNClassifier, make_faces
from fer_sklearn.cnn.architectures import build_model

_BATCH_SIZE = 128
_OPTIMIZER = {"learning_rate": 0.01, "momentum": 0.9, "nesterov": True, "weight_decay": 4e-3}


def main():
    parser = argument_parser(__doc__, data=False)
    parser.add_argument("--architecture", default="resnet_se_wide")
    parser.add_argument("--images", type=int, default=2560)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    X, y = make_faces(args.images, random_state=0, return_X_y=True)
    result = {
        "architecture": args.architecture,
        "images": args.images,
        "rounds": args.rounds,
        "policies": {
            policy: measure(args, policy, X, y) for policy in ("float32", "mixed_bfloat16")
        },
    }
    write_result("epoch_cost", result, args.output)
    for policy, times in result["policies"].items():
        print(f"{policy}: {times['ratio']:.2f} times as long as an epoch of the bare model")


def measure(args, policy, X, y):
    """Return the seconds of an epoch of both, and the ratio of their medians."""
    bare = bare_side(args.architecture, policy, X, y)
    with tempfile.TemporaryDirectory() as folder:
        own = own_side(args.architecture, policy, X, y, folder)
        bare(), own()  # compile
        pairs = [(bare(), own()) for _ in range(args.rounds)]
    bare_seconds, own_seconds = (list(side) for side in zip(*pairs, strict=True))
    return {
        "bare_keras_s": bare_seconds,
        "fer_sklearn_s": own_seconds,
        "ratio": statistics.median(own_seconds) / statistics.median(bare_seconds),
    }


def bare_side(architecture, policy, X, y):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    model = build_model(architecture, {"input_shape": (48, 48, 1), "n_classes": 7})
    keras.config.set_dtype_policy(before)
    model.compile(
        keras.optimizers.SGD(**_OPTIMIZER),
        "categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    images = (X / 255).astype(np.float32)[..., np.newaxis]
    targets = (y[:, np.newaxis] == np.unique(y)).astype(np.float32)
    clock = Clock()

    def epoch():
        model.fit(images, targets, batch_size=_BATCH_SIZE, epochs=2, verbose=0, callbacks=[clock])
        return clock.seconds

    return epoch


def own_side(architecture, policy, X, y, folder):
    seeds = iter(range(1000))  # a new seed each time, since a finished fit is not repeated
    clock = Clock()

    def epoch():
        classifier = FERCNNClassifier(
            architecture=architecture,
            epochs=2,
            batch_size=_BATCH_SIZE,
            optimizer=keras.optimizers.SGD(**_OPTIMIZER),
            augmentation=True,
            dtype_policy=policy,
            checkpoint_dir=folder,
            random_state=next(seeds),
            callbacks=[clock],
        ).fit(X, y)
        assert classifier.n_iter_ == 2
        return clock.seconds

    return epoch


class Clock(keras.callbacks.Callback):
    """Measures the time from the end of the first epoch to the end of training."""

    def __copy__(self):
        return self  # since the estimator copies its callbacks

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            self._start = time.perf_counter()

    def on_train_end(self, logs=None):
        self.seconds = time.perf_counter() - self._start


if __name__ == "__main__":
    main()
