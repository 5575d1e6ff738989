"""What is the overhead of a dask cluster, and how much faster are two workers than one?

    python benchmarks/scaling.py --data fer2013.zip

The same work is done in one process without dask, by one worker and by two workers, alternately on
one cluster: a grid search over the HOG-SVM, and the emotions in a folder of photos. Every process
uses one thread, so that two workers have twice the resources of one. CPU time is that of all
processes together. The script fails if the results differ. Writes benchmarks/results/scaling.json
and two Markdown tables next to it.
"""

import os
import statistics
import tempfile
import time
from pathlib import Path

# Must be set before NumPy is imported; dask sets it for its workers.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
from _common import argument_parser, load_split, markdown_table, write_result
from dask import bag, delayed
from distributed import Client
from joblib import parallel_config
from skimage.data import astronaut
from sklearn.model_selection import GridSearchCV

from fer_sklearn import (
    FaceReader,
    HOGSVMClassifier,
    load_pretrained,
    make_faces,
    make_hog_svm_pipeline,
    predict_photos,
)
from fer_sklearn.dask import register_dask
from fer_sklearn.images import write_image

_GRID = {"hog__pixels_per_cell": [6, 8], "classifier__C": [1.0, 5.0]}
_SIDES = ("one process", "one worker", "two workers")
# Height and width of photos, and the factor by which the pasted face of FER2013 is enlarged.
_SIZES = ((480, 640, 2), (768, 1024, 3), (1200, 1600, 5))


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--images", type=int, default=2000, help="images in the grid search")
    parser.add_argument("--photos", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    X, y = load_split(args.data, "train")
    chosen = np.random.default_rng(0).choice(len(X), args.images, replace=False)
    register_dask()
    result = vars(args) | {"data": "FER2013", "output": None, "grid": _GRID}
    with tempfile.TemporaryDirectory() as folder:
        options = {"threads_per_worker": 1, "dashboard_address": None, "local_directory": folder}
        with Client(n_workers=2, **options) as client:
            one_thread()
            client.run(one_thread)
            paths = write_photos(X[chosen], args.photos, Path(folder) / "photos")
            result["work"] = [
                compare("grid search, HOG-SVM", search(client, X[chosen], y[chosen]), client, args),
                compare(f"{args.photos} photos", photos(client, paths), client, args),
            ]
        result["worker_megabytes"] = {
            name: megabytes(work, options) for name, work in _KINDS.items()
        }
    del result["output"]
    tables = {
        "": as_table(result["work"]),
        "memory": as_memory_table(result["worker_megabytes"]),
    }
    write_result("scaling", result, args.output, tables)


def one_thread():
    """Limit OpenCV, which has its own threads, to one."""
    import cv2

    cv2.setNumThreads(1)


# The work: one function per side, which returns the result


def search(client, X, y):
    def found():
        pipeline = make_hog_svm_pipeline(HOGSVMClassifier(random_state=0))
        fitted = GridSearchCV(pipeline, _GRID, cv=3, refit=False).fit(X, y)
        names = [name for name in fitted.cv_results_ if name.endswith("test_score")]
        return {name: fitted.cv_results_[name].tolist() for name in names}

    def by(workers):
        with parallel_config(backend="dask", workers=workers):
            return found()

    first, second = workers_of(client)
    return [found, lambda: by([first]), lambda: by([first, second])]


def photos(client, paths):
    reader = single_threaded_reader()

    def by(workers):
        parts = bag.from_sequence(paths, partition_size=8)
        tables = parts.map_partitions(table_of, delayed(reader)).compute(workers=workers)
        return pd.concat(tables, ignore_index=True).to_json()

    first, second = workers_of(client)
    return [
        lambda: table_of(paths, reader)[0].to_json(),
        lambda: by([first]),
        lambda: by([first, second]),
    ]


def table_of(part, reader):
    return [predict_photos(list(part), reader, n_jobs=1)]


def single_threaded_reader():
    model = load_pretrained(runtime="litert").set_params(classifier__n_threads=1)
    model[-1].load()
    return FaceReader(model)


def workers_of(client):
    return sorted(client.ncores())


def write_photos(faces, n_photos, folder):
    """Write photos of a person and of a face of FER2013, on a grey background, in several sizes."""
    folder.mkdir()
    person = astronaut()
    for i in range(n_photos):
        height, width, scale = _SIZES[i % len(_SIZES)]
        canvas = np.full((height, width, 3), 96, np.uint8)
        shown = person[:height, : width // 2 :][:, :: 1 if i % 2 else -1]
        canvas[: shown.shape[0], : shown.shape[1]] = shown
        face = np.kron(faces[i % len(faces)], np.ones((scale, scale), np.uint8))
        canvas[-len(face) - 20 : -20, -len(face) - 20 : -20] = face[..., np.newaxis]
        write_image(folder / f"{i:04}.jpg", canvas)
    return [str(path) for path in sorted(folder.iterdir())]


# Time


def compare(question, functions, client, args):
    """Time the sides alternately, and return medians; the first round is discarded."""
    laps, results = [], []
    for _ in range(args.rounds + 1):
        lap = [costs(function, client) for function in functions]
        laps.append([cost for cost, _ in lap])
        results += [result for _, result in lap]
    if any(result != results[0] for result in results):
        raise RuntimeError(f"{question}: the results of the sides differ.")
    medians = np.median(laps[1:], axis=0)
    sides = [
        {"where": where, "seconds": seconds, "cpu_seconds": cpu}
        for where, (seconds, cpu) in zip(_SIDES, medians.tolist(), strict=True)
    ]
    ratios = [lap[1][0] / lap[2][0] for lap in laps[1:]]
    return {"question": question, "sides": sides, "times_as_fast": statistics.median(ratios)}


def costs(function, client):
    """Return wall and CPU seconds of a call, including the workers', and its result."""
    before = cpu_seconds(client)
    start = time.perf_counter()
    result = function()
    seconds = time.perf_counter() - start
    return (seconds, cpu_seconds(client) - before), result


def cpu_seconds(client):
    return time.process_time() + sum(client.run(time.process_time).values())


# Memory


def fit_hog_svm():
    return make_hog_svm_pipeline().fit(*make_faces(350, random_state=0, return_X_y=True))


def fit_cnn():
    from fer_sklearn import FERCNNClassifier  # loads TensorFlow, which the others do not need

    cnn = FERCNNClassifier(epochs=1, random_state=0)
    return cnn.fit(*make_faces(350, random_state=0, return_X_y=True))


def recognize_photo():
    return table_of([astronaut()], FaceReader())


_KINDS = {"HOG-SVM": fit_hog_svm, "photos, LiteRT": recognize_photo, "CNN": fit_cnn}


def megabytes(work, options):
    """Return the memory of a new worker after one piece of work."""

    def measure():
        import psutil

        work()
        return psutil.Process().memory_info().rss / 2**20

    with Client(n_workers=1, **options) as client:
        return client.submit(measure).result()


def as_table(results):
    rows = []
    for row in results:
        alone = row["sides"][0]
        for side in row["sides"]:
            wall, cpu = (side[name] / alone[name] for name in ("seconds", "cpu_seconds"))
            speed_up = f"{row['times_as_fast']:.2f}" if side is row["sides"][-1] else ""
            rows.append([row["question"], side["where"], f"{wall:.2f}", f"{cpu:.2f}", speed_up])
    header = ["work", "where", "time", "CPU time", "speed-up of two workers over one"]
    return markdown_table(header, rows, "ll")


def as_memory_table(megabytes_of):
    rows = [[name, f"{number:.0f}"] for name, number in megabytes_of.items()]
    return markdown_table(["worker after", "MB"], rows)


if __name__ == "__main__":
    main()
