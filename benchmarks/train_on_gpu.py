"""Train the networks of the pretrained models on one GPU, in PyTorch.

    pip install torch
    python benchmarks/train_on_gpu.py teachers --data fer2013.zip --votes ferplus.csv --work gpu
    python benchmarks/train_on_gpu.py students --data fer2013.zip --votes ferplus.csv --work gpu
    python benchmarks/train_on_gpu.py vary --data fer2013.zip --votes ferplus.csv --work gpu
    python benchmarks/train_on_gpu.py mirror --data fer2013.zip --votes ferplus.csv --work gpu

Two teachers learn from FER2013's labels and from FER+'s votes. The students, "default" and
"tiny", then learn by consistent, patient distillation (Beyer et al. 2021, arXiv:2106.05237): what
the teachers' mean predicts for the very same augmented and blended image, plus a fraction of
labels and votes. All have two heads on one body: FER2013's seven labels and FER+'s eight emotions.

Two shorter stages follow. "vary" trains a second `default`, from the first one, on faces in bad
light, compressed or at low resolution. "mirror" trains both students on the average of what these
two predict for a face and its mirror image. Its final weights make up a third of the result, and
its initial weights two thirds (Wortsman et al. 2022, arXiv:2109.01903).

Kernels in front of batch normalisation are trained with Muon (Jordan 2024): each update is made
orthogonal, and the norm of the kernel stays constant. On an H200, the teachers took 290 seconds,
the students 480, "vary" 405 and "mirror" 57. On a CPU this would take days.

Writes `teacher-*.npz`, `student-*.npz`, `varied.npz`, `default.npz` and `tiny.npz` to --work. From
the last two, `benchmarks/train_pretrained.py` makes the bundled files. A command whose files exist
does nothing, so run an interrupted one again.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from _torch_training import (
    VOTES_WEIGHT,
    Learner,
    Loop,
    Mixer,
    Phase,
    as_in_photos,
    augment,
    channels_last,
    load,
    save,
)

from fer_sklearn.datasets import load_fer2013, vote_distributions, votes_to_soft_targets

STUDENTS = {
    "default": {"stem": 16, "widths": (32, 64, 128, 256), "blocks": (2, 3, 4, 1)},
    "tiny": {"stem": 16, "widths": (16, 32, 48), "blocks": (3, 2, 1), "head": 128},
}
TEACHERS = {
    "teacher-0": {
        "stem": 64,
        "widths": (128, 256, 384),
        "blocks": (2, 2, 2),
        "reduction": 16,
        "dropout": 0.15,
    },
    "teacher-1": {
        "stem": 64,
        "widths": (64, 128, 256, 384),
        "blocks": (2, 2, 2, 2),
        "strides": (1, 2, 2, 2),
        "reduction": 16,
        "dropout": 0.2,
    },
}
RECIPES = {
    # Two optimizers and two fractions of votes, so that the teachers make different errors.
    "teacher-0": {"optimizer": "muon", "rate": 0.15, "decay": 1e-3, "epochs": 119, "votes": 0.5},
    "teacher-1": {"optimizer": "sgd", "rate": 0.1, "decay": 5e-4, "epochs": 117, "votes": 0.35},
    "default": {"optimizer": "muon", "rate": 0.15, "decay": 1e-3, "epochs": 302},
    "tiny": {"optimizer": "muon", "rate": 0.15, "decay": 3e-4, "epochs": 302},
}
# The last part of each training is milder than its bulk.
BULK = {"mixup": 0.2, "erasing": 0.25, "blur": 0.2, "own": 0.0, "strength": 1.0}
MILD = {"mixup": 0.0, "erasing": 0.0, "blur": 0.2, "own": 0.0, "strength": 0.8}
STUDENT_BULK = BULK | {"mixup": 0.3, "own": 0.2}
STUDENT_MILD = MILD | {"own": 0.3}
# Cycles of "vary": epochs, rate, and where the milder part begins. Their ends are averaged.
CYCLES = ((105, 0.1, 0.85), (35, 0.05, 0.6), (35, 0.05, 0.6))
VARY_BULK = STUDENT_BULK | {"photo": 0.5}
VARY_MILD = STUDENT_MILD | {"photo": 0.4}
MIRROR_EPOCHS, MIRROR_RATE, MIRROR_MILD_FROM = 33, 0.02, 0.6
MIRROR_BULK = {"mixup": 0.2, "erasing": 0.0, "blur": 0.2, "own": 0.0, "strength": 0.9, "photo": 0.0}
MIRROR_MILD = MIRROR_BULK | {"mixup": 0.0, "strength": 0.8}
PAIRS = 192  # the batch size if each image is paired with its mirror image
# The networks that each stage writes. A stage whose files exist is skipped.
MADE_BY = {
    "teachers": list(TEACHERS),
    "students": [f"student-{name}" for name in STUDENTS],
    "vary": ["varied"],
    "mirror": list(STUDENTS),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=MADE_BY)
    parser.add_argument("--data", required=True, help="FER2013: zip, CSV or folder")
    parser.add_argument("--votes", required=True, help="FER+ votes as CSV, by file name")
    parser.add_argument("--work", type=Path, default=Path("pretrained"))
    parser.add_argument("--epochs", type=int, help="instead of the recipe's; for a trial")
    parser.add_argument("--limit", type=int, help="use this many images only; for a trial")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if all((args.work / f"{name}.npz").exists() for name in MADE_BY[args.command]):
        print(f"{', '.join(MADE_BY[args.command])}: the files exist and are kept")
        return
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    data = Data(args, device)
    stages = {
        "teachers": train_teachers,
        "students": train_students,
        "vary": vary,
        "mirror": mirror,
    }
    stages[args.command](args, data)


def train_teachers(args, data):
    for seed, (name, network) in enumerate(TEACHERS.items()):
        path = args.work / f"{name}.npz"
        if path.exists():
            print(f"{path} exists and is kept")
            continue
        recipe = RECIPES[name]
        torch.manual_seed(100 + seed)
        learner = Learner(network, recipe, data, average=0.998)
        phase = Phase(data.device, BULK, MILD)
        mixer = Mixer(phase.mixup, alpha=0.4, device=data.device)
        labels = data.label_targets(recipe["votes"])

        def step(index, learner=learner, phase=phase, mixer=mixer, labels=labels):
            images = augment(data.images[index], phase)
            images, seven, eight = mixer(images, labels[index], data.votes[index])
            return learner.learn(channels_last(images), seven, eight)

        Loop(step, data, [learner], phase).run(args.epochs or recipe["epochs"], name)
        save(learner.averaged(data), path, {"network": network, "recipe": recipe})


def train_students(args, data):
    teachers = load_networks(args, data, TEACHERS)
    recipes = {name: RECIPES[name] for name in STUDENTS}
    torch.manual_seed(0)
    learners = [
        Learner(network, recipes[name], data, average=0.999) for name, network in STUDENTS.items()
    ]
    phase = Phase(data.device, STUDENT_BULK, STUDENT_MILD)
    step = distillation_step(teachers, learners, data, phase)
    epochs = args.epochs or max(recipe["epochs"] for recipe in recipes.values())
    Loop(step, data, learners, phase).run(epochs, "students")
    for (name, network), learner in zip(STUDENTS.items(), learners, strict=True):
        description = {"network": network, "recipe": recipes[name] | {"epochs": epochs}}
        save(learner.averaged(data), args.work / f"student-{name}.npz", description)


def vary(args, data):
    """Train a second `default` from the first, on faces as in photos of all kinds."""
    teachers = load_networks(args, data, TEACHERS)
    torch.manual_seed(1)
    learner = Learner(STUDENTS["default"], RECIPES["default"], data, average=0.999)
    learner.start_from(args.work / "student-default.npz")
    phase = Phase(data.device, VARY_BULK, VARY_MILD)
    step = distillation_step(teachers, [learner], data, phase, votes_weight=1.0, in_pairs=True)
    loop = Loop(step, data, [learner], phase, PAIRS)
    ends = []
    for i, (epochs, learner.rate, phase.mild_from) in enumerate(CYCLES):
        loop.run(args.epochs or epochs, f"vary, cycle {i + 1}")
        ends.append(learner.mean())
    description = {"network": STUDENTS["default"], "recipe": {"cycles": CYCLES}}
    save(learner.averaged(data, ends), args.work / "varied.npz", description)


def mirror(args, data):
    """Teach each student to predict the same for a face and its mirror image."""
    teachers = load_networks(args, data, ["student-default", "varied"])
    torch.manual_seed(1)
    learners = [
        Learner(network, RECIPES[name], data, average=0.998) for name, network in STUDENTS.items()
    ]
    for name, learner in zip(STUDENTS, learners, strict=True):
        learner.start_from(args.work / f"student-{name}.npz")
        learner.rate = MIRROR_RATE
    beginnings = [learner.mean() for learner in learners]
    phase = Phase(data.device, MIRROR_BULK, MIRROR_MILD, mild_from=MIRROR_MILD_FROM)
    step = distillation_step(teachers, learners, data, phase, in_pairs=True)
    epochs = args.epochs or MIRROR_EPOCHS
    Loop(step, data, learners, phase, PAIRS).run(epochs, "mirror")
    for (name, network), learner, began in zip(STUDENTS.items(), learners, beginnings, strict=True):
        recipe = RECIPES[name] | {"mirror": {"epochs": epochs, "rate": MIRROR_RATE}}
        final = learner.averaged(data, [began, began, learner.mean()])
        save(final, args.work / f"{name}.npz", {"network": network, "recipe": recipe})


def load_networks(args, data, names):
    return [load(args.work / f"{name}.npz", data.device) for name in names]


def distillation_step(
    teachers, learners, data, phase, *, votes_weight=VOTES_WEIGHT, in_pairs=False
):
    """Return the step in which the learners learn what the teachers predict for the same images.

    In pairs, each image is followed by its mirror image, and the target of both is the mean of what
    the teachers predict for the two.
    """
    mixer = Mixer(phase.mixup, alpha=1.0, device=data.device)
    labels, has_votes = data.label_targets(0.5), data.votes.sum(1, keepdim=True)

    def step(index):
        images = augment(data.images[index], phase)
        images, seven, eight, voted = mixer(
            images, labels[index], data.votes[index], has_votes[index]
        )
        if in_pairs:
            images = torch.cat([images, images.flip(3)])
        taught = taught_by(teachers, channels_last(images))
        if in_pairs:
            taught = [head.view(2, len(index), -1).mean(0) for head in taught]
            images = as_in_photos(images, phase.photo)
        seven = torch.lerp(taught[0], seven, phase.own)
        # For an image without votes, the second head learns what the teachers predict.
        eight = (1 - phase.own * voted) * taught[1] + phase.own * eight
        if in_pairs:
            seven, eight = torch.cat([seven, seven]), torch.cat([eight, eight])
        images = channels_last(images)
        return sum(learner.learn(images, seven, eight, votes_weight) for learner in learners)

    return step


@torch.no_grad()
def taught_by(teachers, images):
    """Return the mean of the teachers' probabilities, for each head."""
    with torch.autocast(images.device.type, torch.bfloat16, cache_enabled=False):
        predictions = [teacher(images) for teacher in teachers]
    return [
        sum(p[head].float().softmax(1) for p in predictions) / len(predictions) for head in (0, 1)
    ]


class Data:
    """FER2013's training images on the device, with its labels and FER+'s votes."""

    def __init__(self, args, device):
        faces = load_fer2013(args.data, subset="train", votes=args.votes)
        chosen = np.random.default_rng(0).permutation(len(faces.images))[: args.limit]
        by_votes = votes_to_soft_targets(faces.votes, faces.target, random_state=0)
        labels = faces.target[:, np.newaxis] == np.unique(faces.target)
        self.device = device
        self.images = self._put(faces.images[chosen][:, np.newaxis])
        self.labels, self.by_votes, self.votes = (
            self._put(array[chosen].astype(np.float32))
            for array in (labels, by_votes, vote_distributions(faces.votes))
        )
        self.n_images = len(self.images)

    def label_targets(self, votes):
        """Return the label, blended with how probable the votes make each label."""
        return torch.lerp(self.labels, self.by_votes, votes)

    def _put(self, array):
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


if __name__ == "__main__":
    main()
