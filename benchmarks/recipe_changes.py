"""How much does each part of the recipe of the pretrained models gain?

    pip install torch
    python benchmarks/recipe_changes.py --data fer2013.zip --votes ferplus.csv \\
        --web web_photos.zip

Trains `tiny` for a few epochs with the recipe of `train_on_gpu.py`, and again with one change at a
time, then scores every network as `train_pretrained.py` scores those that ship: by people's
majority, by FER2013's labels, and on photos from the web. Needs the teachers, which
`train_on_gpu.py teachers` writes to --work. On a CPU their predictions for plain training images
stand in for those for augmented ones, which would take days. If interrupted, run the same command
again: finished changes are skipped. Small gains after a short training need not last until the
end of a long one.
"""

from pathlib import Path

import _torch_training as training
import numpy as np
import torch
import train_on_gpu as recipes
from _common import (
    argument_parser,
    markdown_table,
    read_result,
    write_result,
)
from scipy.special import log_softmax, softmax
from train_pretrained import (
    HEADS,
    ScoringData,
    combine,
    expected_calibration_error,
    fit_temperature,
    predicted,
)

BLEND = 0.1  # weight of the head of labels in what people see, the same for all changes
# What each change replaces: settings of both phases, of the optimizer, or of the targets.
CHANGES = {
    "the recipe": {},
    "no distillation, only labels and votes": {"own": 1.0},
    "no labels or votes, only distillation": {"own": 0.0},
    "labels only: no votes, no distillation": {"own": 1.0, "votes": 0.0, "votes_weight": 0.0},
    "no second head": {"votes_weight": 0.0},
    "no mixup": {"mixup": 0.0},
    "no erased rectangles": {"erasing": 0.0},
    "no blur": {"blur": 0.0},
    "half the augmentation": {"strength": 0.5},
    "no milder end": {"mild": False},
    "SGD of rate 0.1 instead of Muon": {"optimizer": "sgd", "rate": 0.1},
    "SGD of rate 0.3 instead of Muon": {"optimizer": "sgd", "rate": 0.3},
}


def main():
    args = parse_arguments()
    scoring = ScoringData(args)
    data = recipes.Data(args, torch.device("cpu"))
    taught = taught_targets(args, data)
    rows = read_result("recipe_changes", args.output).get("changes", {})
    if any(row["epochs"] != args.epochs for row in rows.values()):
        raise SystemExit("the results are of another number of epochs; remove them first")
    for name in args.only or [name for name in CHANGES if name not in rows]:
        network = train(args, CHANGES[name], data, taught)
        has_votes = CHANGES[name].get("votes_weight") != 0.0
        rows[name] = {"epochs": args.epochs} | figures(network, scoring, has_votes)
        print(name, rows[name], flush=True)
        ordered = {change: rows[change] for change in CHANGES if change in rows}
        result = {"network": "tiny", "people": scoring.counts, "changes": ordered}
        write_result("recipe_changes", result, args.output, table(ordered))


def parse_arguments():
    parser = argument_parser(__doc__, votes=True, web=True, only=CHANGES, seed=True)
    parser.add_argument("--work", type=Path, default=Path("pretrained"), help="the teachers")
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()
    args.limit = None
    return args


def taught_targets(args, data):
    """Return the mean of the teachers' probabilities for each image and its mirror image."""
    path = args.work / "soft_targets.npz"
    if not path.exists():
        teachers = [training.load(args.work / f"{n}.npz", data.device) for n in recipes.TEACHERS]
        chunks = [taught_by(teachers, chunk) for chunk in data.images.split(256)]
        seven, eight = (
            np.concatenate(head).astype(np.float16) for head in zip(*chunks, strict=True)
        )
        np.savez(path, seven=seven, eight=eight)
    with np.load(path) as file:
        return [torch.from_numpy(file[head].astype(np.float32)) for head in ("seven", "eight")]


@torch.no_grad()
def taught_by(teachers, images):
    views = [training.channels_last(v.float() / 255) for v in (images, images.flip(3))]
    predictions = [teacher(view) for teacher in teachers for view in views]
    return [
        torch.stack([p[head].softmax(1) for p in predictions]).mean(0).numpy() for head in (0, 1)
    ]


def train(args, change, data, taught):
    """Train `tiny` with one change to the recipe."""
    recipe = recipes.RECIPES["tiny"] | {k: change[k] for k in ("optimizer", "rate") if k in change}
    bulk = recipes.STUDENT_BULK | {k: v for k, v in change.items() if k in recipes.STUDENT_BULK}
    mild = recipes.STUDENT_MILD | {k: v for k, v in change.items() if k in ("own", "blur")}
    if not change.get("mild", True):
        mild = bulk
    votes_weight = change.get("votes_weight", training.VOTES_WEIGHT)
    torch.manual_seed(args.seed)
    learner = training.Learner(recipes.STUDENTS["tiny"], recipe, data, average=0.995)
    phase = training.Phase(data.device, bulk, mild)
    mixer = training.Mixer(phase.mixup, alpha=1.0, device=data.device)
    labels, voted = data.label_targets(change.get("votes", 0.5)), data.votes.sum(1, keepdim=True)
    seven_taught, eight_taught = taught

    def step(index):
        images = training.augment(data.images[index], phase)
        seven = torch.lerp(seven_taught[index], labels[index], phase.own)
        own = phase.own * voted[index]
        eight = (1 - own) * eight_taught[index] + own * data.votes[index]
        images, seven, eight = mixer(images, seven, eight)
        return learner.learn(training.channels_last(images), seven, eight, votes_weight)

    training.Loop(step, data, [learner], phase).run(args.epochs, "tiny")
    return learner.averaged(data)


def figures(network, scoring, has_votes):
    """Score a network's label sets, with and without mirror images."""
    public, web = (logits(network, images) for images in (scoring.images, scoring.web_images))
    seven, eight = sorted(HEADS["fer2013"]), sorted(HEADS["ferplus"])
    people = {"fer2013": BLEND, "ferplus": 1 - BLEND} if has_votes else {"fer2013": 1.0}
    label_sets = {"people": {"classes": seven, "blend": people}}
    if has_votes:
        label_sets["ferplus"] = {"classes": eight, "blend": {"ferplus": 1.0}}
    label_sets["fer2013"] = {"classes": seven, "blend": {"fer2013": 1.0}}
    scores = {}
    for labels, label_set in label_sets.items():
        classes = label_set["classes"]
        truth = scoring.labels if labels == "fer2013" else scoring.people
        kept = scoring.clear if labels != "fer2013" else np.ones(len(truth), bool)
        temperature = fit_temperature(public, label_set, truth, scoring)
        views = combine(public, label_set["blend"], classes)[:, kept] / temperature
        y_proba = softmax(views, axis=2)
        right = predicted(y_proba.mean(axis=0), classes) == truth[kept]
        scores[labels] = {
            "accuracy": float(right.mean()),
            "accuracy_plain": float(np.mean(predicted(y_proba[0], classes) == truth[kept])),
            "calibration_error": expected_calibration_error(
                y_proba.mean(axis=0).max(axis=1), right
            ),
        }
    photos = predicted(combine(web, people, seven).mean(axis=0), seven)
    neutral = scoring.web_labels == "neutral"
    scores["web"] = {
        "accuracy": float(np.mean(photos == scoring.web_labels)),
        "neutral_recall": float(np.mean(photos[neutral] == "neutral")),
    }
    return scores


@torch.no_grad()
def logits(network, images):
    """Return both heads' log-probabilities, of shape (2, n, outputs): images, mirror images."""
    views = []
    for flipped in (images, images[:, :, ::-1]):
        batch = torch.from_numpy(flipped[:, np.newaxis].astype(np.float32) / 255)
        views.append(
            [torch.cat(head).numpy() for head in zip(*map(network, batch.split(256)), strict=True)]
        )
    values = {}
    for i, (head, classes) in enumerate(HEADS.items()):
        order = np.argsort(classes)
        values[head] = np.stack([log_softmax(view[i][:, order], axis=1) for view in views])
    return values


def table(rows):
    header = [
        "change",
        "people's majority, %",
        "FER+, eight emotions, %",
        "FER2013's labels, %",
        "web photos, %",
        "neutral in web photos, %",
        "lost without mirror images",
        "calibration error",
    ]
    cells = []
    for name, row in rows.items():
        eight = row.get("ferplus")
        cells.append(
            [
                name,
                f"{100 * row['people']['accuracy']:.1f}",
                "–" if eight is None else f"{100 * eight['accuracy']:.1f}",
                f"{100 * row['fer2013']['accuracy']:.1f}",
                f"{100 * row['web']['accuracy']:.1f}",
                f"{100 * row['web']['neutral_recall']:.0f}",
                f"{100 * (row['people']['accuracy'] - row['people']['accuracy_plain']):.1f}",
                f"{row['people']['calibration_error']:.3f}",
            ]
        )
    return markdown_table(header, cells)


if __name__ == "__main__":
    main()
