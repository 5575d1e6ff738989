"""Photos on a cluster: the same table as in one process, even if workers are lost."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
from photo_reader import Reader, photo
from skimage.data import astronaut
from skimage.transform import resize

from fer_sklearn import FaceReader, iter_photo_rows, load_pretrained, predict_photos
from fer_sklearn.images import write_image

distributed = pytest.importorskip("distributed")
bag = pytest.importorskip("dask.bag")

# Warnings of distributed itself.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed")


def table_of(part, reader):
    return [predict_photos(list(part), reader, n_jobs=1)]


def rows_of(part, reader):
    return list(iter_photo_rows(part, reader, n_jobs=1))


def tiny_reader():
    return FaceReader(load_pretrained("tiny", runtime="litert"))


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with distributed.Client(
        n_workers=2,
        threads_per_worker=1,
        dashboard_address=None,
        local_directory=tmp_path_factory.mktemp("dask"),
    ) as client:
        yield client


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Photos with one face and without, one that is damaged and one that is missing."""
    folder = tmp_path_factory.mktemp("photos")
    face = astronaut()
    for i, size in enumerate((512, 400, 320, 256)):
        small = np.rint(255 * resize(face, (size, size))).astype(np.uint8)
        write_image(folder / f"{i}.jpg", small)
        write_image(folder / f"{i}_mirrored.png", small[:, ::-1])
    write_image(folder / "wall.png", np.full((200, 300), 128, np.uint8))
    (folder / "half.jpg").write_bytes((folder / "0.jpg").read_bytes()[:3000])
    found = sorted(str(path) for path in folder.iterdir())
    return [*found[:5], str(folder / "missing.jpg"), *found[5:]]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Photos for the stand-in with up to two faces, and one that cannot be read."""
    folder = tmp_path_factory.mktemp("drawn")
    paths = [str(folder / f"{i:02}.png") for i in range(30)]
    for i, path in enumerate(paths):
        write_image(path, photo(i % 3, 8 * i))
    os.remove(paths[7])
    return paths


def in_parts(paths, reader, *, size=3, function=table_of):
    from dask import delayed

    return bag.from_sequence(paths, partition_size=size).map_partitions(function, delayed(reader)())


def test_bag_returns_the_table_of_one_process(client, paths):
    table = pd.concat(in_parts(paths, tiny_reader).compute(), ignore_index=True)
    pd.testing.assert_frame_equal(table, predict_photos(paths, tiny_reader()), check_exact=True)
    assert table["source"].drop_duplicates().tolist() == paths
    assert table["status"].str.startswith("unreadable").sum() == 2
    assert (table["status"] == "no face").sum() == 1
    assert (table["emotion"] == "happy").sum() >= 6


def test_rows_one_by_one(client, drawn):
    rows = in_parts(drawn, Reader, function=rows_of).compute()
    assert rows == list(iter_photo_rows(drawn, Reader()))
    assert [row["source"] for row in rows if row["status"].startswith("unread")] == [drawn[7]]


class CountedReader(Reader):
    """Writes a file each time an instance is created."""

    def __init__(self, folder):
        super().__init__()
        open(f"{folder}/{time.time_ns()}-{os.getpid()}", "w").close()


def test_model_is_loaded_once_per_worker(client, drawn, tmp_path):
    from dask import delayed

    reader = delayed(CountedReader)(str(tmp_path))
    parts = bag.from_sequence(drawn, partition_size=1).map_partitions(rows_of, reader)
    assert parts.compute() == list(iter_photo_rows(drawn, Reader()))
    assert len(os.listdir(tmp_path)) == 1


class SlowReader(Reader):
    def detect(self, photo):
        time.sleep(0.2)
        return super().detect(photo)


def test_killed_worker_loses_no_row(client, drawn):
    killed = []
    killer = threading.Thread(target=kill_at_work, args=(client, killed))
    killer.start()
    rows = in_parts(drawn, SlowReader, size=2, function=rows_of).compute()
    killer.join()
    assert killed
    assert rows == list(iter_photo_rows(drawn, Reader()))


def kill_at_work(client, killed):
    """Kill a worker that has finished one part and is processing the next."""
    while not killed:
        time.sleep(0.05)
        done = sum("rows_of" in str(keys) for keys in client.has_what().values())
        busy = [worker for worker, keys in client.processing().items() if keys]
        if done and busy:
            pids = client.run(os.getpid)
            os.kill(pids[busy[0]], signal.SIGKILL)
            killed.append(busy[0])


def test_unnamed_photos_are_numbered_in_each_part(client):
    # This is why the guide recommends paths.
    rows = in_parts([photo(), photo(), photo()], Reader, size=2, function=rows_of).compute()
    assert [row["source"] for row in rows] == ["[0]", "[1]", "[0]"]


def test_model_that_cannot_be_pickled_is_named(client, paths):
    import cv2

    reader = FaceReader(detector=cv2.CascadeClassifier().detectMultiScale)
    parts = bag.from_sequence(paths, partition_size=3).map_partitions(table_of, reader)
    with pytest.raises(TypeError, match=r"[Cc]annot pickle|not serialize"):
        parts.compute()


def test_one_file_per_part_is_resumed(client, drawn, tmp_path):
    """Each part writes its own file, and the same call again only reads it."""

    def write(part):
        number, photos = part
        output = tmp_path / f"emotions-{number:03}.csv"
        return predict_photos(photos, Reader(), output=output, n_jobs=1)

    parts = [(i, drawn[start : start + 4]) for i, start in enumerate(range(0, len(drawn), 4))]
    first = client.gather(client.map(write, parts, pure=False))
    again = client.gather(client.map(write, parts, pure=False))
    assert sum(summary.photos for summary in first) == len(drawn)
    # The last photo of each file is processed again.
    assert sum(summary.n_resumed for summary in again) == len(drawn) - len(parts)
    table = pd.concat([pd.read_csv(path) for path in sorted(tmp_path.glob("*.csv"))])
    assert table["source"].tolist() == predict_photos(drawn, Reader())["source"].tolist()


RAY = """
import os, signal, sys

import pyarrow as pa
import ray
from fer_sklearn import FaceReader, load_pretrained, predict_photos


class Predict:
    def __init__(self):
        self.reader = FaceReader(load_pretrained("tiny", runtime="litert"))

    def __call__(self, photos):
        if "wall.png" in str(photos["item"].tolist()) and not os.path.exists("killed"):
            open("killed", "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        table = predict_photos(photos["item"].tolist(), self.reader, n_jobs=1)
        return pa.Table.from_pandas(table)


ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100_000_000)
ray.data.DataContext.get_current().execution_options.preserve_order = True
photos = ray.data.from_items(sys.argv[1:])
photos.map_batches(
    Predict, batch_size=3, batch_format="pandas", concurrency=2
).to_pandas().to_pickle("table.pickle")
"""


def test_ray_returns_the_table_of_one_process_after_a_killed_worker(paths, tmp_path):
    pytest.importorskip("ray.data")
    subprocess.run(
        [sys.executable, "-c", RAY, *paths],
        cwd=tmp_path,
        env=os.environ | {"RAY_AUTH_MODE": "disabled"},
        check=True,
        capture_output=True,
        timeout=300,
    )
    assert (tmp_path / "killed").exists()
    reference = predict_photos(paths, tiny_reader())
    table = pd.read_pickle(tmp_path / "table.pickle").astype(reference.dtypes)
    pd.testing.assert_frame_equal(table, reference, check_exact=True)
