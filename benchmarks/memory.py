"""How much memory do large images take in a pipeline, with and without the limit of memory?

    python benchmarks/memory.py

Writes benchmarks/results/memory.json and memory.md. Random RGB images of 96×96 pixels are loaded
from a Parquet file, resized and normalised, in one process per limit. Counted is the memory that
cannot be paged out to the temporary files (RssAnon, Linux only), beyond that of a process that has
done the same with a few images. Half a minute; needs 8 GB of disk.
"""

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
from _common import argument_parser, markdown_table, write_result

from fer_sklearn import PixelNormalizer, RGBResizer, load_image_table

_N, _SIDE, _FEW = 10_000, 96, 200
_LIMITS = ("100M", "500M", "8G")


def main():
    parser = argument_parser(__doc__, data=False)
    parser.add_argument("--child", type=Path, help="measure one limit with this table")
    args = parser.parse_args()
    if args.child:
        print(peak(args.child))
        return
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "faces.parquet")
        write_faces(table)
        measured = {limit: in_own_process(table, limit, folder) for limit in _LIMITS}
    rows = [(f"`{limit}`", f"{bytes_ / 1e6:,.0f}") for limit, bytes_ in measured.items()]
    result = {"images": _N, "side": _SIDE, "channels": 3, "bytes": measured}
    header = ["`FER_SKLEARN_MAX_MEMORY`", f"memory for {_N:,} images of {_SIDE}×{_SIDE} RGB, MB"]
    write_result("memory", result, args.output, markdown_table(header, rows))


def write_faces(path):
    """Write a table of raw images, a few hundred rows at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    schema = pa.schema([("path", pa.binary()), ("label", pa.string())])
    with pq.ParquetWriter(path, schema, compression="none") as writer:
        for _ in range(0, _N, 500):
            pixels = rng.integers(0, 256, (500, _SIDE, _SIDE, 3), dtype=np.uint8)
            header = f"P6 {_SIDE} {_SIDE} 255\n".encode()
            images = [header + image.tobytes() for image in pixels]
            writer.write_table(pa.table([images, ["happy", "sad"] * 250], schema=schema))


def in_own_process(table, limit, folder):
    environment = {**os.environ, "FER_SKLEARN_MAX_MEMORY": limit, "TMPDIR": folder}
    command = [sys.executable, __file__, "--child", str(table)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return int(done.stdout)


def peak(table):
    """Return the bytes that the images take at most."""
    few = list(np.zeros((_FEW, _SIDE, _SIDE, 3), np.uint8))
    PixelNormalizer().transform(RGBResizer(_SIDE).transform(few))
    before, most, done = anonymous(), [0], threading.Event()

    def watch():
        while not done.wait(0.01):
            most[0] = max(most[0], anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    faces = load_image_table(table, grayscale=False)
    PixelNormalizer().transform(RGBResizer(_SIDE).transform(faces.images))
    done.set()
    watcher.join()
    return most[0] - before


def anonymous():
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("RssAnon:")[2].split()[0])


if __name__ == "__main__":
    main()
