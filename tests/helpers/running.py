"""Run the command line, or functions in threads or with little memory; input and output of both."""

import csv
import io
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from fer_sklearn.cli import main
from fer_sklearn.images import write_image


def run(*arguments):
    return main([str(argument) for argument in arguments])


def usage_error(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def in_threads(work, n_threads):
    """Call `work` in threads that start together; return what each call returns."""
    start = threading.Barrier(n_threads)

    def work_with_others(_):
        start.wait()
        return work()

    with ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(work_with_others, range(n_threads)))


@contextmanager
def limited_memory(gibibytes):
    """Let a test that takes too much memory fail, rather than the machine."""
    import resource  # not on Windows

    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (gibibytes << 30, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def started_service(*options, env=None):
    """Start ``fer-sklearn serve`` on a free port; yield its process and the port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fer_sklearn", "serve", "--port", "0", *options],
        stderr=subprocess.PIPE,
        text=True,
        env=env,
    )
    try:
        said = process.stderr.readline()
        port = re.match(r"Serving on http://127\.0\.0\.1:(\d+) ", said)
        assert port, said + process.stderr.read()
        yield process, int(port[1])
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def csv_rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def write_folder(root, images, target):
    """Write each image as `root`/label/number.png."""
    for i, (image, label) in enumerate(zip(images, target, strict=True)):
        folder = root / label
        folder.mkdir(parents=True, exist_ok=True)
        write_image(folder / f"{i}.png", image)
