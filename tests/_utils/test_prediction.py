"""Prediction from several threads, and ten thousand times in a row, with each runtime."""

import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest

from fer_sklearn import load_pretrained


@pytest.fixture(scope="module", params=[pytest.param("keras", marks=pytest.mark.slow), "litert"])
def tiny(request):
    return load_pretrained("tiny", runtime=request.param)


def test_threads_get_the_same_predictions_as_one_thread(tiny, faces):
    X, _ = faces
    parts = [X[i : i + n] for i, n in enumerate([1, 5, 40, 3] * 8)]
    expected = [tiny.predict_proba(part) for part in parts]
    with ThreadPoolExecutor(8) as pool:
        for found, wanted in zip(pool.map(tiny.predict_proba, parts), expected, strict=True):
            np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_outputs_that_are_not_numbers_are_refused(faces, monkeypatch):
    network = load_pretrained("tiny", runtime="litert")[-1]

    def predict_batch(images):
        proba = np.full((len(images), 7), 1 / 7)
        proba[-1] = np.nan
        return proba

    monkeypatch.setattr(network, "_predict_batch", predict_batch)
    for method in (network.predict, network.predict_proba):
        with pytest.raises(ValueError, match=r"NaN for 1 of 3 image\(s\), the first X\[2\]"):
            method(faces[0][:3])


@pytest.mark.nightly
def test_ten_thousand_predictions_do_not_leak_memory(tiny, faces):
    X, _ = faces
    process = psutil.Process()

    def predict(count):
        for i in range(count):
            tiny.predict_proba(X[i % len(X)][np.newaxis])
        gc.collect()
        return process.memory_info().rss

    before = predict(300)
    assert predict(10_000) - before <= 20e6
