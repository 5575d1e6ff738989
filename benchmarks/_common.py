"""Shared by the benchmark scripts: data, and results with their environment."""

import json
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from fer_sklearn import duplicate_groups, load_fer2013

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("fer_sklearn", "scikit-learn", "scikit-image", "numpy", "tensorflow", "keras")


def load_bunch(path, subset):
    """Return one subset of FER2013 with the names of its files."""
    return load_fer2013(path, subset=subset)


def load_split(path, subset):
    """Return images and labels of one subset of FER2013."""
    return load_fer2013(path, subset=subset, return_X_y=True)


def also_in_training(X_train, X):
    """Return which images of `X` are exact duplicates of training images."""
    groups = duplicate_groups(np.concatenate([X_train, X]))
    return np.isin(groups[len(X_train) :], groups[: len(X_train)])


def environment():
    """Return the versions and the type of machine that every figure depends on."""
    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "machine": platform.machine(),
    }


def timed(function):
    """Return the seconds a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def medians_by_turns(stopwatches, rounds):
    """Return the median of each of several interleaved timings.

    Other load then slows all of them equally, so that their ratio is reliable. A
    stopwatch is a function that does its work once and returns the seconds it took; the
    first time is discarded.
    """
    for stopwatch in stopwatches:
        stopwatch()
    laps = [[stopwatch() for stopwatch in stopwatches] for _ in range(rounds)]
    return [statistics.median(lap) for lap in zip(*laps, strict=True)]


def write_result(name, result, folder=RESULTS):
    """Write a result as JSON next to the scripts, or into another folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    text = json.dumps({**result, "environment": environment()}, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    return path
