"""What the shipped models lose, gain and cost in each format that `export` writes.

    python benchmarks/export.py --data fer2013.zip

Every file answers all 3,589 images of PublicTest, and is compared with the pipeline it was made
of. One face is timed by turns with `model.predict` of Keras, which answers for the same network
but not for its mirror image too, as all others do. Full integers learn their ranges from 300
training images. Writes benchmarks/results/export.json and a Markdown table beside it; `--only
tflite,web` measures these formats anew and keeps the other rows. TensorFlow.js answers in
Node.js, and is timed in Chromium; both must be installed, or these figures are left out.
"""

import argparse
import json
import os
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from _chromium import browser_stopwatch, find_chromium
from _common import RESULTS, load_split, medians_by_turns, timed, write_result

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
_AT_ONCE = 256


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="FER2013: zip, CSV or folder")
    parser.add_argument("--only", help="formats, with commas between them")
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    only = args.only.split(",") if args.only else list(_NAMES)
    if unknown := set(only) - set(_NAMES):
        parser.error(f"--only: {', '.join(sorted(unknown))}; expected {', '.join(_NAMES)}")

    images, target = load_split(args.data, "public")
    representative = representative_faces(args.data)
    rows = earlier_rows(args.output / "export.json")
    for name in MODELS:
        bench = Bench(name, images, target, representative, args.rounds)
        for kind in KINDS:
            if kind[0] in only:
                rows[(name, *kind)] = row = bench.measure(*kind)
                print(json.dumps(row), flush=True)
    order = [(name, *kind) for name in MODELS for kind in KINDS]
    rows = [rows[key] for key in order if key in rows]
    write_result("export", {"scored_on": "PublicTest", "rows": rows}, args.output)
    text = as_table(rows)
    (args.output / "export.md").write_text(text + "\n", encoding="utf-8")
    print(text)


def earlier_rows(path):
    """Return the rows of an earlier run by what they measured."""
    if not path.exists():
        return {}
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return {(row["model"], row["format"], row["precision"]): row for row in rows}


def representative_faces(path):
    """Return training images, none of which is scored."""
    images, _ = load_split(path, "train")
    return images[np.random.default_rng(0).choice(len(images), _N_REPRESENTATIVE, replace=False)]


class Bench:
    """One shipped model, and what its exports are compared with."""

    def __init__(self, name, images, target, representative, rounds):
        self.name, self.images, self.target = name, images, target
        self.representative, self.rounds = representative, rounds
        self.pipeline = load_pretrained(name)
        self.expected = self.pipeline.predict_proba(images)
        self.rgb = np.repeat(images[..., np.newaxis], 3, axis=-1).astype(np.float32)

    def measure(self, format, precision):
        """Export, answer everything, time one answer."""
        row = {"model": self.name, "format": format, "precision": precision}
        with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
            path = Path(folder) / ("model." + format if format in ("tflite", "onnx") else "model")
            if format != "keras":
                row |= self._export(path, format, precision)
            answers, stopwatch = getattr(self, f"_{format}")(path, opened)
            row |= self._compare(answers)
            if stopwatch is not None:
                row |= self._time(stopwatch)
        return row

    def _export(self, path, format, precision):
        representative = self.representative if precision == "int8" else None
        options = {"precision": precision} if format == "tflite" else {}
        # Whatever quantisation loses is to be told here, not refused.
        told = export(
            self.pipeline,
            path,
            format=format,
            representative_data=representative,
            min_label_agreement=0.0,
            **options,
        )
        sizes = {"bytes": sum(file["bytes"] for file in told["files"].values())}
        if path.is_dir():
            sizes["folder_bytes"] = sum(
                file.stat().st_size for file in path.rglob("*") if file.is_file()
            )
        return sizes | {"runtime": told["check"]["runtime"]}

    def _compare(self, answers):
        labels, expected = answers.argmax(axis=1), self.expected.argmax(axis=1)
        return {
            "label_agreement": float((labels == expected).mean()),
            "largest_difference": float(np.abs(answers - self.expected).max()),
            "accuracy": float((self.pipeline.classes_[labels] == self.target).mean()),
        }

    def _time(self, stopwatch):
        network = self.pipeline[-1].model_
        pixels = (self.images[:1] / 255).astype(np.float32)[..., np.newaxis]
        baseline = partial(timed, lambda: network.predict(pixels, verbose=0))
        own, keras = medians_by_turns([stopwatch, baseline], self.rounds)
        return {"seconds": own, "keras_predict_seconds": keras, "ratio": own / keras}

    # Each returns all answers, and a stopwatch for one face or None.

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
        return self._in_parts(lambda images: loaded.serve(images).numpy()), stopwatch

    def _web(self, path, opened):
        answers = self._in_parts(partial(run_tfjs, path / "model"))
        if find_chromium() is None:
            return answers, None
        watch = browser_stopwatch(path, self.rgb[:1], self.expected[0])
        return answers, opened.enter_context(watch)

    def _in_parts(self, answer):
        starts = range(0, len(self.rgb), _AT_ONCE)
        return np.concatenate([answer(self.rgb[start : start + _AT_ONCE]) for start in starts])


def as_table(rows):
    lines = [
        "| model | format | weights | MB | same labels, % | largest difference | PublicTest, % | "
        "ms per face | relative to `model.predict` |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        size = f"{row['bytes'] / 1e6:.2f}" if "bytes" in row else "–"
        timing = ("–", "–")
        if "ratio" in row:
            timing = (f"{1000 * row['seconds']:.1f}", f"{row['ratio']:.3f}")
        cells = (
            f"`{row['model']}`",
            _NAMES[row["format"]],
            row["precision"],
            size,
            f"{100 * row['label_agreement']:.1f}",
            f"{row['largest_difference']:.1g}",
            f"{100 * row['accuracy']:.1f}",
            *timing,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
