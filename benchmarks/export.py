"""How accurate, large and fast are the pretrained models in each format of `export`?

    python benchmarks/export.py --data fer2013.zip

Every export predicts all 3,589 images of PublicTest, and is compared with the pipeline it was made
from. One face is timed, alternately with `model.predict` of Keras, which computes the same network
but without the mirror image that all others include. Full integers are calibrated on 300 training
images. Writes benchmarks/results/export.json and a Markdown table next to it; `--only tflite,web`
measures these formats again and keeps the other rows. TensorFlow.js is run in Node.js and timed in
Chromium; if they are not installed, its figures are left out.
"""

import json
import os
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from _chromium import browser_stopwatch, find_chromium
from _common import (
    argument_parser,
    interleaved_medians,
    load_split,
    markdown_table,
    read_result,
    timed,
    write_result,
)

from fer_sklearn import export, load_exported, load_pretrained
from fer_sklearn.exporting import run_tfjs

MODELS = ("default", "tiny")
PRECISIONS = ("float32", "float16", "dynamic_int8", "int8")
KINDS = (
    ("keras", "float32"),
    *(("tflite", precision) for precision in PRECISIONS),
    *((format, "float32") for format in ("onnx", "saved_model", "web")),
)
_NAMES = {
    "keras": "none (the pipeline on Keras)",
    "tflite": "LiteRT (`tflite`)",
    "onnx": "ONNX (`onnx`)",
    "saved_model": "TensorFlow (`saved_model`)",
    "web": "TensorFlow.js (`tfjs`, `web`)",
}
_N_REPRESENTATIVE = 300
_BATCH_SIZE = 256


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--only", help="formats to measure, separated by commas")
    parser.add_argument("--rounds", type=int, default=31, help="number of timings per format")
    args = parser.parse_args()
    only = args.only.split(",") if args.only else list(_NAMES)
    if unknown := set(only) - set(_NAMES):
        parser.error(f"--only: {', '.join(sorted(unknown))}; expected {', '.join(_NAMES)}")

    images, target = load_split(args.data, "public")
    representative = representative_faces(args.data)
    rows = earlier_rows(args.output)
    for name in MODELS:
        bench = Bench(name, images, target, representative, args.rounds)
        for kind in KINDS:
            if kind[0] in only:
                rows[(name, *kind)] = row = bench.measure(*kind)
                print(json.dumps(row), flush=True)
    order = [(name, *kind) for name in MODELS for kind in KINDS]
    rows = [rows[key] for key in order if key in rows]
    write_result("export", {"scored_on": "PublicTest", "rows": rows}, args.output, as_table(rows))


def earlier_rows(folder):
    """Return the rows of an earlier run by model, format and precision."""
    rows = read_result("export", folder).get("rows", [])
    return {(row["model"], row["format"], row["precision"]): row for row in rows}


def representative_faces(path):
    """Return training images for calibration."""
    images, _ = load_split(path, "train")
    return images[np.random.default_rng(0).choice(len(images), _N_REPRESENTATIVE, replace=False)]


class Bench:
    """A pretrained model, and the reference for its exports."""

    def __init__(self, name, images, target, representative, rounds):
        self.name, self.images, self.target = name, images, target
        self.representative, self.rounds = representative, rounds
        self.pipeline = load_pretrained(name, labels="fer2013", runtime="keras")
        self.expected = self.pipeline.predict_proba(images)
        self.rgb = np.repeat(images[..., np.newaxis], 3, axis=-1).astype(np.float32)

    def measure(self, format, precision):
        """Export, predict PublicTest, and time one face."""
        row = {"model": self.name, "format": format, "precision": precision}
        with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
            path = Path(folder) / ("model." + format if format in ("tflite", "onnx") else "model")
            if format != "keras":
                row |= self._export(path, format, precision)
            y_proba, stopwatch = getattr(self, f"_{format}")(path, opened)
            row |= self._compare(y_proba)
            if stopwatch is not None:
                row |= self._time(stopwatch)
        return row

    def _export(self, path, format, precision):
        representative = self.representative if precision == "int8" else None
        options = {"precision": precision} if format == "tflite" else {}
        # Measure the loss in accuracy through quantisation, rather than refuse it.
        metadata = export(
            self.pipeline,
            path,
            format=format,
            representative_data=representative,
            min_label_agreement=0.0,
            **options,
        )
        sizes = {"bytes": sum(file["bytes"] for file in metadata["files"].values())}
        if path.is_dir():
            sizes["folder_bytes"] = sum(
                file.stat().st_size for file in path.rglob("*") if file.is_file()
            )
        return sizes | {"runtime": metadata["check"]["runtime"]}

    def _compare(self, y_proba):
        labels, expected = y_proba.argmax(axis=1), self.expected.argmax(axis=1)
        return {
            "label_agreement": float((labels == expected).mean()),
            "largest_difference": float(np.abs(y_proba - self.expected).max()),
            "accuracy": float((self.pipeline.classes_[labels] == self.target).mean()),
        }

    def _time(self, stopwatch):
        network = self.pipeline[-1].model_
        pixels = (self.images[:1] / 255).astype(np.float32)[..., np.newaxis]
        baseline = partial(timed, lambda: network.predict(pixels, verbose=0))
        own, keras = interleaved_medians([stopwatch, baseline], self.rounds)
        return {"seconds": own, "keras_predict_seconds": keras, "ratio": own / keras}

    # Each returns the probabilities of all images, and a stopwatch for one face or None.

    def _keras(self, path, opened):
        return self._of(self.pipeline)

    def _tflite(self, path, opened):
        return self._of(load_exported(path))

    _onnx = _tflite

    def _of(self, classifier):
        stopwatch = partial(timed, lambda: classifier.predict_proba(self.images[:1]))
        return classifier.predict_proba(self.images), stopwatch

    def _saved_model(self, path, opened):
        import tensorflow as tf

        loaded = tf.saved_model.load(path)
        stopwatch = partial(timed, lambda: loaded.serve(self.rgb[:1]).numpy())
        return self._in_batches(lambda images: loaded.serve(images).numpy()), stopwatch

    def _web(self, path, opened):
        y_proba = self._in_batches(partial(run_tfjs, path / "model"))
        if find_chromium() is None:
            return y_proba, None
        watch = browser_stopwatch(path, self.rgb[:1], self.expected[0])
        return y_proba, opened.enter_context(watch)

    def _in_batches(self, predict_proba):
        starts = range(0, len(self.rgb), _BATCH_SIZE)
        return np.concatenate([predict_proba(self.rgb[i : i + _BATCH_SIZE]) for i in starts])


def as_table(rows):
    cells = []
    for row in rows:
        size = f"{row['bytes'] / 1e6:.2f}" if "bytes" in row else "–"
        timing = ("–", "–")
        if "ratio" in row:
            timing = (f"{1000 * row['seconds']:.1f}", f"{row['ratio']:.3f}")
        line = (
            f"`{row['model']}`",
            _NAMES[row["format"]],
            row["precision"],
            size,
            f"{100 * row['label_agreement']:.1f}",
            f"{row['largest_difference']:.1g}",
            f"{100 * row['accuracy']:.1f}",
            *timing,
        )
        cells.append(line)
    header = ["model", "format", "weights", "MB", "same labels, %", "largest difference"]
    header += ["PublicTest, %", "ms per face", "relative to `model.predict`"]
    return markdown_table(header, cells, "lll")


if __name__ == "__main__":
    main()
