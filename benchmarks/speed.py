"""How long does a prediction take, for one face, many faces, a video frame and a new process?

    python benchmarks/speed.py

In each comparison, both sides are timed alternately, so that a busy machine slows both equally,
and their medians are compared. The reference is `model.predict` of Keras with the same network,
which is called once per face, even if the package also averages over the mirror image. Writes
benchmarks/results/speed.json and a Markdown table next to it.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from _common import (
    argument_parser,
    interleaved_medians,
    markdown_table,
    timed,
    write_result,
)
from skimage.data import astronaut

from fer_sklearn import load_pretrained, make_faces
from fer_sklearn.face_reader import FaceReader
from fer_sklearn.images import write_image

_MANY = 4096
_FRAME = (480, 640)


def main():
    parser = argument_parser(__doc__, data=False)
    parser.add_argument("--rounds", type=int, default=15, help="number of timings per side")
    args = parser.parse_args()
    keras = load_pretrained(runtime="keras")
    litert = load_pretrained(runtime="litert")
    result = {
        "rounds": args.rounds,
        "comparisons": [
            *one_face(keras, litert, args.rounds),
            *many_faces(keras, litert, max(3, args.rounds // 5)),
            frames(args.rounds),
            new_process(max(3, args.rounds // 5)),
        ],
    }
    write_result("speed", result, args.output, as_table(result["comparisons"]))


def one_face(keras, litert, rounds):
    """Compare `predict_proba` of one face with `model.predict`."""
    face = make_faces(7, random_state=0).images[:1]
    pixels = (face / 255).astype(np.float32)[..., np.newaxis]
    network = keras[-1].model_

    def baseline():
        network.predict(pixels, verbose=0)

    for name, model in (("Keras", keras), ("LiteRT", litert)):
        for flip in (False, True):
            model.set_params(classifier__test_time_augmentation=flip)
            yield compare(
                f"one face, {name}{', with its mirror image' * flip}",
                lambda model=model: model.predict_proba(face),
                baseline,
                rounds,
                aim="at most 0.125",
            )


def many_faces(keras, litert, rounds):
    """Compare `predict_proba` of 4,096 faces with `model.predict`."""
    faces = make_faces(_MANY, random_state=0).images
    pixels = (faces / 255).astype(np.float32)[..., np.newaxis]
    network = keras[-1].model_
    for name, model in (("Keras", keras), ("LiteRT", litert)):
        model.set_params(classifier__test_time_augmentation=False)
        yield compare(
            f"{_MANY:,} faces, {name}",
            lambda model=model: model.predict_proba(faces),
            lambda: network.predict(pixels, verbose=0, batch_size=256),
            rounds,
            aim="at most 1",
        )


def frames(rounds):
    """Time the detection and classification of the face in a frame."""
    photo = astronaut()
    frame = np.zeros((*_FRAME, 3), np.uint8)
    frame[:, :512] = photo[: _FRAME[0], : _FRAME[1]]
    frame[:, 512:] = photo[: _FRAME[0], 511:]
    reader = FaceReader()

    def recognize():
        faces = reader.detect(frame)
        return reader.predict(reader.crop(frame, faces))

    found = len(recognize()[0])
    seconds = [timed(recognize) for _ in range(rounds)]
    return {
        "question": f"a frame of {_FRAME[1]}×{_FRAME[0]}, {found} face detected and classified",
        "median_seconds": statistics.median(seconds),
        "frames_per_second": 1 / statistics.median(seconds),
        "aim": "at least 15 per second",
    }


def new_process(rounds):
    """Compare the first prediction of the command line with importing TensorFlow."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.png"
        write_image(path, astronaut())
        command = [sys.executable, "-m", "fer_sklearn", "predict", str(path)]
        return compare(
            "new process: fer-sklearn predict photo.png vs import tensorflow",
            lambda: run(command),
            lambda: run([sys.executable, "-c", "import tensorflow"]),
            rounds,
            aim="at most 0.15",
        )


def run(command):
    subprocess.run(command, check=True, capture_output=True)


def compare(question, ours, theirs, rounds, *, aim):
    """Time both alternately, and return medians and their ratio."""
    own, other = interleaved_medians([lambda: timed(ours), lambda: timed(theirs)], rounds)
    return {
        "question": question,
        "fer_sklearn_seconds": own,
        "other_seconds": other,
        "ratio": own / other,
        "aim": aim,
    }


def as_table(comparisons):
    rows = []
    for row in comparisons:
        if "ratio" in row:
            measured = f"{row['ratio']:.3f}"
        else:
            measured = f"{row['frames_per_second']:.0f} per second"
        rows.append([row["question"], measured, row["aim"]])
    return markdown_table(["what", "time relative to the reference", "target"], rows)


if __name__ == "__main__":
    main()
