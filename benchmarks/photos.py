"""How many photos per second, at what cost, with each detector; and how does `fer` compare?

    python benchmarks/photos.py [--photos FOLDER] [--yunet yunet.onnx] [--fer fer/bin/python]

Without --photos, the photos can be named: scikit-image's astronaut and the faces of its
lfw_subset, at several sizes; groups of faces that are pasted into its other photos; and, for peak
memory, groups of 12 megapixels. With it, those of a folder are read, and nothing is written.

`fer` 25.10 is the most widely used package for the task. It has a separate environment, since its
requirements conflict with this package's:

    python -m venv fer && fer/bin/pip install fer==25.10.3 'opencv-contrib-python<5' 'setuptools<81'

Every side runs in a new process, one after the other. It predicts one photo first, so that neither
imports nor the loading of networks count; `first photo` is the time from the start of the process
to that prediction. CPU time is that of all threads. Peak memory includes Python and all libraries.
Writes benchmarks/results/photos.json and a Markdown table next to it.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
WORKERS = (1, 2)
# Of a folder of photos of 12 megapixels, with two workers.
MAX_MEGABYTES = 600
_LARGE = (3000, 4000)
# Passes the start time to a process.
_STARTED = "FER_SKLEARN_BENCHMARK_STARTED"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, help="a folder of your own")
    parser.add_argument("--yunet", help="model file of YuNet, to measure it too")
    parser.add_argument("--fer", help="Python of an environment with fer")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=1, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps(run_side(args)))
        return 0
    if args.photos:
        print(table(measure(args, {"photos": args.photos})))
        return 0
    from _common import write_result

    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder, "small"), Path(folder, "12 megapixels")
        write_photos(small, large)
        result = measure(args, {"small": small, "12 megapixels": large})
    write_result("photos", result, args.output, table(result))
    peak = max(row["peak_megabytes"] for row in result["rows"] if "fer" not in row["side"].split())
    return 0 if peak <= MAX_MEGABYTES else 1


def measure(args, folders):
    """Run every side on every folder."""
    sides = [("blazeface", n) for n in WORKERS] + [("haar", n) for n in WORKERS]
    if args.yunet:
        sides += [("yunet", n) for n in WORKERS]
    if args.fer:
        sides.append(("fer", 1))
    rows = []
    for name, folder in folders.items():
        for side, workers in sides:
            python = args.fer if side == "fer" else sys.executable
            command = [python, __file__, "--side", side, "--workers", str(workers)]
            command += ["--photos", str(folder)]
            command += ["--yunet", args.yunet] if args.yunet else []
            environment = os.environ | {_STARTED: str(time.time())}
            done = subprocess.run(
                command, check=True, capture_output=True, text=True, env=environment
            )
            row = json.loads(done.stdout.splitlines()[-1])
            rows.append({"photos": name, "side": side, "workers": workers} | row)
            print(rows[-1], flush=True)
    return {"rows": rows, "processors": os.cpu_count(), "aim_peak_megabytes": MAX_MEGABYTES}


def run_side(args):
    """Predict all photos in this process, and return the costs."""
    paths = sorted(str(path) for path in args.photos.rglob("*") if path.is_file())
    predict = predict_by_fer() if args.side == "fer" else predict_by_package(args)
    predict(paths[:1])
    first = time.time() - float(os.environ[_STARTED])
    wall, cpu = time.perf_counter(), time.process_time()
    found, with_face = predict(paths)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "n_photos": len(paths),
        "photos_with_faces": with_face,
        "faces": found,
        "photos_per_second": len(paths) / wall,
        "cpu_milliseconds_per_photo": 1000 * cpu / len(paths),
        "cores_used": cpu / wall,
        "first_photo_seconds": first,
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def predict_by_package(args):
    import cv2

    from fer_sklearn import FaceReader, YuNetDetector, iter_photo_rows

    cv2.setNumThreads(1)  # the workers are the threads
    detector = YuNetDetector(args.yunet) if args.side == "yunet" else args.side
    reader = FaceReader(detector=detector)

    def predict(paths):
        rows = iter_photo_rows(paths, reader, n_jobs=args.workers)
        faces = [row["source"] for row in rows if row["face"] is not None]
        return len(faces), len(set(faces))

    return predict


def predict_by_fer():
    import cv2
    from fer.fer import FER

    cv2.setNumThreads(1)
    recognizer = FER()

    def predict(paths):
        counts = [len(recognizer.detect_emotions(cv2.imread(path))) for path in paths]
        return sum(counts), sum(count > 0 for count in counts)

    return predict


def write_photos(small, large):
    """Write the photos that can be named."""
    import cv2
    import numpy as np
    from face_detection import composed
    from skimage.data import astronaut, lfw_subset

    from fer_sklearn.images import to_uint8, write_image

    small.mkdir()
    large.mkdir()
    for side in (256, 384, 512, 768, 1024):
        for turned in (False, True):
            photo = cv2.resize(astronaut(), (side, side), interpolation=cv2.INTER_AREA)
            photo = photo[:, ::-1] if turned else photo
            write_image(small / f"astronaut {side} {turned}.jpg", np.ascontiguousarray(photo))
    for number, face in enumerate(to_uint8(lfw_subset()[:100])):
        enlarged = cv2.resize(face, (150, 150), interpolation=cv2.INTER_CUBIC)
        write_image(small / f"lfw {number:02}.jpg", enlarged)
    for tilt in (0, 10, -10, 20):
        for number, (photo, _) in enumerate(composed(tilt)):
            write_image(small / f"group {tilt} {number}.jpg", photo)
            if tilt in (0, 10):
                size = _LARGE[::-1]
                photo = cv2.resize(photo, size, interpolation=cv2.INTER_CUBIC)
                for copy in range(3):
                    write_image(large / f"group {tilt} {number} {copy}.jpg", photo)


def table(result):
    """Return a table with a row per side."""
    header = ["photos", "detector", "workers", "photos with a face", "faces", "photos per second"]
    header += ["CPU, ms a photo", "cores", "first photo, s", "peak, MB"]
    lines = [header, ["---", "---", *["---:"] * 8]]
    for row in result["rows"]:
        lines.append(
            [
                f"{row['photos']}, {row['n_photos']}",
                "`fer` 25.10" if row["side"] == "fer" else f"`{row['side']}`",
                row["workers"],
                row["photos_with_faces"],
                row["faces"],
                f"{row['photos_per_second']:.0f}"
                if row["photos_per_second"] > 10
                else f"{row['photos_per_second']:.1f}",
                f"{row['cpu_milliseconds_per_photo']:.1f}",
                f"{row['cores_used']:.2f}",
                f"{row['first_photo_seconds']:.2f}",
                f"{row['peak_megabytes']:.0f}",
            ]
        )
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)


if __name__ == "__main__":
    sys.exit(main())
