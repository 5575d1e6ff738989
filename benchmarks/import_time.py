"""How long does it take to import the package, and to make the first prediction in a new process?

    python benchmarks/import_time.py

New interpreters alternately do this package's work and its reference, so that a busy machine slows
both equally; the medians are compared.

- `import fer_sklearn` takes almost no time, since names are loaded when they are first used. With
  the HOG-SVM pipeline it takes as long as scikit-learn, with which both are compared.
- The emotions in one photo, by the command and from Python, without TensorFlow and scikit-learn;
  compared with `import tensorflow`, which other packages begin with. The floor is the time of the
  parts that are always needed: Python, NumPy, OpenCV, Pillow and LiteRT.

Writes benchmarks/results/import_time.json and a Markdown table next to it.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _common import argument_parser, markdown_table, write_result
from skimage.data import astronaut

from fer_sklearn.images import write_image

PACKAGE = "import fer_sklearn"
PIPELINE = "from fer_sklearn import make_hog_svm_pipeline"
REFERENCE = "import sklearn.pipeline, sklearn.svm"
TENSORFLOW = "import tensorflow"
FLOOR = "import cv2, PIL.Image, ai_edge_litert.interpreter"
COMMAND = "fer-sklearn predict photo.jpg"
FIRST_ANSWERS = (COMMAND, "recognize('photo.jpg')", "predict_photos('photo.jpg')")
# Largest ratios of wall time, by what is compared with what.
TARGETS = {
    PACKAGE: (REFERENCE, 0.1),
    PIPELINE: (REFERENCE, 1.5),
    **dict.fromkeys(FIRST_ANSWERS[:2], (TENSORFLOW, 0.15)),
    FIRST_ANSWERS[2]: (TENSORFLOW, 0.3),
}


def command_of(what):
    """Return the arguments of a new process that does something."""
    if what == COMMAND:
        return [sys.executable, "-m", "fer_sklearn", *COMMAND.split()[1:]]
    if what in FIRST_ANSWERS:
        what = f"from fer_sklearn import {what.partition('(')[0]}; {what}"
    return [sys.executable, "-c", what]


def seconds(what, folder):
    """Return the wall and the CPU seconds of a new process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(
        command_of(what),
        check=True,
        capture_output=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path[1:]))},
    )
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, sum(
        getattr(after, kind) - getattr(before, kind) for kind in ("ru_utime", "ru_stime")
    )


def measure(repeats):
    """Time everything alternately."""
    times = {what: [] for what in (*TARGETS, REFERENCE, TENSORFLOW, FLOOR)}
    with tempfile.TemporaryDirectory() as folder:
        write_image(Path(folder, "photo.jpg"), astronaut())
        for what in times:  # once for the disk cache and the bytecode
            seconds(what, folder)
        for _ in range(repeats):
            for what, measured in times.items():
                measured.append(seconds(what, folder))
    medians = {
        what: dict(
            zip(("wall", "cpu"), map(statistics.median, zip(*all_, strict=True)), strict=True)
        )
        for what, all_ in times.items()
    }
    rows = [
        {
            "what": what,
            "reference": reference,
            "ratio": round(medians[what]["wall"] / medians[reference]["wall"], 4),
            "cpu_ratio": round(medians[what]["cpu"] / medians[reference]["cpu"], 4),
            "cpu_seconds": round(medians[what]["cpu"], 3),
            "aim": target,
        }
        for what, (reference, target) in TARGETS.items()
    ]
    return {"rows": rows, "median_seconds": medians, "repeats": repeats}


def main():
    parser = argument_parser(__doc__, data=False)
    parser.add_argument("--repeats", type=int, default=7, help="processes of each (default: 7)")
    args = parser.parse_args()
    result = measure(args.repeats)
    header = ["a new process", "relative to", "time", "CPU time", "CPU, s", "target"]
    cells = [
        [
            f"`{row['what']}`",
            f"`{row['reference']}`",
            f"{row['ratio']:.3f}",
            f"{row['cpu_ratio']:.3f}",
            f"{row['cpu_seconds']:.2f}",
            f"at most {row['aim']}",
        ]
        for row in result["rows"]
    ]
    write_result("import_time", result, args.output, markdown_table(header, cells, "ll"))
    return 0 if all(row["ratio"] <= row["aim"] for row in result["rows"]) else 1


if __name__ == "__main__":
    sys.exit(main())
