"""Make the files of the pretrained models, and score what was written.

    python benchmarks/train_on_gpu.py teachers --data fer2013.zip --votes ferplus.csv
    python benchmarks/train_on_gpu.py students --data fer2013.zip --votes ferplus.csv
    python benchmarks/train_on_gpu.py vary --data fer2013.zip --votes ferplus.csv
    python benchmarks/train_on_gpu.py mirror --data fer2013.zip --votes ferplus.csv
    python benchmarks/train_pretrained.py --data fer2013.zip --votes ferplus.csv \\
        --web web_photos.zip

`train_on_gpu.py` trains the networks, from FER2013's images and labels and FER+'s votes alone.
This script converts them to the package's format, chooses how the two heads are blended to predict
what people see, fits a temperature for each label set, converts the network to LiteRT, and scores
each label set with and without mirror images. It takes a few minutes on two cores. --ship writes
the files into the package.

The chosen blend has the highest mean accuracy on two sets: people's majority on PublicTest, and
photos from the web (a zip of `emotion/*.jpg`), one face each. Blends that lose more than 0.2 points
on the former without mirror images are left out. Writes benchmarks/results/pretrained.json and a
Markdown table next to it.
"""

import itertools
import json
import re
from pathlib import Path

import keras
import numpy as np
from _common import also_in_training, argument_parser, load_bunch, web_faces, write_result
from ai_edge_litert.interpreter import Interpreter
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from fer_sklearn import load_pretrained
from fer_sklearn.cnn.architectures import build_model
from fer_sklearn.datasets import load_ferplus, majority_vote
from fer_sklearn.evaluation import evaluate_predictions
from fer_sklearn.exporting import to_litert
from fer_sklearn.weights import SHIPPED, shipped_path, write_weights

ARCHITECTURES = {"default": "resnet_se_v2", "tiny": "resnet_se_v2_tiny"}
SIZE = 48
# The heads' outputs in the order of training; in a file they are sorted.
HEADS = {
    "fer2013": ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"],
    "ferplus": ["neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt"],
}
NAMES_IN_TRAINING = {"fer2013": "seven", "ferplus": "eight"}
MIRROR_LOSS = 0.002  # maximum loss of predictions without mirror images
BLENDS = np.round(np.arange(0, 0.55, 0.05), 2)  # weights of the head of labels


def main():
    parser = argument_parser(__doc__, votes=True, web=True)
    parser.add_argument("--work", type=Path, default=Path("pretrained"))
    parser.add_argument("--ship", action="store_true", help="put the files into the package")
    args = parser.parse_args()
    scoring = ScoringData(args)
    models = {}
    for name in SHIPPED:
        source = args.work / f"{name}.npz"
        if not source.exists():
            parser.error(f"{source} is missing; run benchmarks/train_on_gpu.py first")
        path = shipped_path(name) if args.ship else args.work / f"{name}.shipped.npz"
        models[name] = make(source, name, path, scoring)
        print(name, json.dumps(models[name]["scores"]["mirrored"], indent=1), flush=True)
    result = {"people": scoring.counts, "models": models}
    write_result("pretrained", result, args.output, table(result))


class ScoringData:
    """Images to score the networks on, not seen in training except for copies."""

    def __init__(self, args):
        train, public = (load_bunch(args.data, subset) for subset in ("train", "public"))
        self.images, self.labels = public.images, public.target
        self.unseen = ~also_in_training(train.images, public.images)
        self.people = majority_vote(load_ferplus(args.votes, public.filenames))
        self.clear = self.people != ""
        self.web_images, self.web_labels = web_faces(args.web)
        self.counts = {
            "images": len(self.images),
            "clear_majority": int(self.clear.sum()),
            "contempt": int((self.people == "contempt").sum()),
            "also_in_training": int((~self.unseen).sum()),
            "web_faces": len(self.web_images),
        }

    def scores(self, path, flip):
        """Score a written file in the precision that ships."""
        scores = {}
        for labels in ("people", "ferplus", "fer2013"):
            model = load_pretrained(path, labels=labels, runtime="litert")
            model.set_params(classifier__test_time_augmentation=flip)
            truth = self.labels if labels == "fer2013" else self.people
            kept = self.clear if labels != "fer2013" else np.ones(len(truth), bool)
            y_proba = model.predict_proba(self.images[kept])
            scores[labels] = score(truth[kept], y_proba, model.classes_)
            scores[labels]["accuracy_without_copies"] = float(
                np.mean((predicted(y_proba, model.classes_) == truth[kept])[self.unseen[kept]])
            )
            if labels == "people":
                web = predicted(model.predict_proba(self.web_images), model.classes_)
                right = web == self.web_labels
                scores["web"] = {
                    "accuracy": float(right.mean()),
                    "recall": {
                        str(e): float(right[self.web_labels == e].mean())
                        for e in np.unique(self.web_labels)
                    },
                }
        return scores


def predicted(y_proba, classes):
    return np.asarray(classes)[y_proba.argmax(axis=1)]


def score(truth, y_proba, classes):
    report = evaluate_predictions(truth, predicted(y_proba, classes))
    accuracy = report.overall["accuracy"]
    right = predicted(y_proba, classes) == truth
    return {
        "accuracy": accuracy.value,
        "interval": [accuracy.low, accuracy.high],
        "recall": {str(e): float(right[truth == e].mean()) for e in np.unique(truth)},
        "calibration_error": expected_calibration_error(y_proba.max(axis=1), right),
        "n": len(truth),
    }


def expected_calibration_error(confidence, right, n_bins=15):
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    gaps = [
        abs(confidence[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean()
        for b in np.unique(bins)
    ]
    return float(sum(gaps))


def make(source, name, path, scoring):
    """Write the file of one model, score it, and note the scores in it."""
    with np.load(source) as file:
        training = json.loads(str(file["description"]))
        state = {key: file[key].astype(np.float32) for key in file.files if key != "description"}
    network = two_headed(ARCHITECTURES[name], state)
    public = logits(network, scoring.images)
    web = logits(network, scoring.web_images)
    blend, blends = choose_blend(public, web, scoring)
    classes = sorted(HEADS["fer2013"])
    label_sets = {
        "people": {"classes": classes, "blend": {"fer2013": blend, "ferplus": 1 - blend}},
        "ferplus": {"classes": sorted(HEADS["ferplus"]), "blend": {"ferplus": 1.0}},
        "fer2013": {"classes": classes, "blend": {"fer2013": 1.0}},
    }
    for labels, chosen in label_sets.items():
        truth = scoring.labels if labels == "fer2013" else scoring.people
        chosen["temperature"] = fit_temperature(public, chosen, truth, scoring)
    description = {
        "architecture": ARCHITECTURES[name],
        "image_shape": [SIZE, SIZE],
        "classes": classes,
        "pixel_range": [0.0, 1.0],
        "heads": {head: sorted(classes) for head, classes in HEADS.items()},
        "label_sets": label_sets,
        "trained_on": "FER2013, training split, 28,709 images, and FER+'s votes on them",
        "training": training,
        "licence": "MIT; the images it was trained on, FER2013, have terms of their own",
    }
    litert = to_litert(network, precision="dynamic_int8")
    description["outputs"] = outputs_in_order(litert, network)
    arrays = network.get_weights()
    write_weights(path, arrays, description, litert=litert)
    scores = {
        kind: scoring.scores(path, flip) for kind, flip in (("plain", False), ("mirrored", True))
    }
    for labels, chosen in label_sets.items():
        against = "FER2013's labels" if labels == "fer2013" else "people's majority"
        chosen["accuracy"] = {
            f"{against}, PublicTest, {how} mirror images": round(
                scores[kind][labels]["accuracy"], 5
            )
            for kind, how in (("mirrored", "with"), ("plain", "without"))
        }
    write_weights(path, arrays, description, litert=litert)
    return {
        "parameters": sum(array.size for array in arrays),
        "file_bytes": path.stat().st_size,
        "scores": scores,
        "blend": blend,
        "blends": blends,
        "temperatures": {k: v["temperature"] for k, v in label_sets.items()},
    }


def outputs_in_order(litert, network):
    """Return the sizes of the LiteRT model's outputs, in that model's order."""
    names = {tensor.shape[-1]: name for name, tensor in network.output.items()}
    interpreter = Interpreter(model_content=litert)
    sizes = [int(output["shape"][-1]) for output in interpreter.get_output_details()]
    return {names[size]: size for size in sizes}


def two_headed(architecture, state):
    """Build the network whose outputs are both heads' logits and the embedding before them."""
    meta = {"input_shape": (SIZE, SIZE, 1), "n_classes": len(HEADS["fer2013"])}
    body = build_model(architecture, meta)
    embedding = body.layers[-1].input
    outputs = {
        head: keras.layers.Dense(len(classes), name=head)(embedding)
        for head, classes in HEADS.items()
    }
    network = keras.Model(body.inputs, outputs | {"embedding": embedding})
    fill(network, state)
    return network


def fill(network, state):
    """Put PyTorch's weights into the network: both made their layers in the same order."""
    of_type = {
        kind: iter(sorted((x for x in network.layers if isinstance(x, kind)), key=_number))
        for kind in (keras.layers.Conv2D, keras.layers.BatchNormalization)
    }
    for name in _modules(state):
        weight = state[f"{name}.weight"]
        if weight.ndim == 4:
            arrays = [weight.transpose(2, 3, 1, 0)]
            arrays += [state[f"{name}.bias"]] if f"{name}.bias" in state else []
            next(of_type[keras.layers.Conv2D]).set_weights(arrays)
        else:
            keys = ("weight", "bias", "running_mean", "running_var")
            layer = next(of_type[keras.layers.BatchNormalization])
            layer.set_weights([state[f"{name}.{key}"] for key in keys])
    for head, classes in HEADS.items():
        order = np.argsort(classes)
        name = NAMES_IN_TRAINING[head]
        kernel, bias = state[f"{name}.weight"].T[:, order], state[f"{name}.bias"][order]
        network.get_layer(head).set_weights([kernel, bias])


def _modules(state):
    """Yield the names of convolutions and normalisations in the order of the Keras layers."""
    yield from ("stem.conv", "stem.bn")
    for i in itertools.count():
        if f"body.{i}.a.conv.weight" not in state:
            break
        if f"body.{i}.shortcut.conv.weight" in state:
            yield from (f"body.{i}.shortcut.conv", f"body.{i}.shortcut.bn")
        yield from (f"body.{i}.{part}" for part in ("a.conv", "a.bn", "b.conv", "b.bn"))
        yield from (f"body.{i}.squeeze", f"body.{i}.excite")
    if "head.conv.weight" in state:
        yield from ("head.conv", "head.bn")


def _number(layer):
    return int(re.search(r"\d*$", layer.name)[0] or 0)


def logits(network, images):
    """Return both heads' log-probabilities, of shape (2, n, outputs): images, mirror images."""
    batch = images[..., np.newaxis].astype(np.float32) / 255
    views = [
        network.predict(view, batch_size=256, verbose=0) for view in (batch, batch[:, :, ::-1])
    ]
    return {head: np.stack([log_softmax(view[head], axis=1) for view in views]) for head in HEADS}


def combine(values, blend, classes):
    columns = {head: [sorted(HEADS[head]).index(c) for c in classes] for head in blend}
    return sum(weight * values[head][..., columns[head]] for head, weight in blend.items())


def choose_blend(public, web, scoring):
    """Return the weight of the head for labels, and the accuracy with each weight."""
    classes = sorted(HEADS["fer2013"])
    rows = []
    for weight in map(float, BLENDS):
        blend = {"fer2013": weight, "ferplus": 1 - weight}
        views = combine(public, blend, classes)[:, scoring.clear]
        people, plain = (predicted(view, classes) for view in (views.mean(axis=0), views[0]))
        photos = predicted(combine(web, blend, classes).mean(axis=0), classes)
        neutral = scoring.web_labels == "neutral"
        rows.append(
            {
                "weight": weight,
                "people": float(np.mean(people == scoring.people[scoring.clear])),
                "people_plain": float(np.mean(plain == scoring.people[scoring.clear])),
                "web": float(np.mean(photos == scoring.web_labels)),
                "web_neutral": float(np.mean(photos[neutral] == "neutral")),
            }
        )
    kept = [row for row in rows if row["people"] - row["people_plain"] <= MIRROR_LOSS]
    best = max(kept, key=lambda row: row["people"] + row["web"])
    return best["weight"], rows


def fit_temperature(public, label_set, truth, scoring):
    """Return the temperature with the lowest log loss on images that are not in training."""
    kept = scoring.unseen & np.isin(truth, label_set["classes"])
    combined = combine(public, label_set["blend"], label_set["classes"]).mean(axis=0)[kept]
    columns = np.searchsorted(label_set["classes"], truth[kept])

    def loss(log_temperature):
        scaled = log_softmax(combined / np.exp(log_temperature), axis=1)
        return -scaled[np.arange(len(columns)), columns].mean()

    return float(np.exp(minimize_scalar(loss, bounds=(-2, 2), method="bounded").x))


def table(result):
    web = f"web photos ({result['people']['web_faces']} faces found by Haar cascades), %"
    lines = [
        "| model | parameters | people's majority, % | FER+, eight emotions, % "
        f"| FER2013's labels, % | {web} |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, entry in result["models"].items():
        scores = entry["scores"]["mirrored"]
        cells = [
            f"{100 * scores[k]['accuracy']:.1f}" for k in ("people", "ferplus", "fer2013", "web")
        ]
        lines.append(f"| `{name}` | {entry['parameters']:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
