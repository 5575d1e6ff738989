"""`fer-sklearn benchmark`."""

import json
import re

import pytest
from running import csv_rows, run, usage_error

from fer_sklearn.cli import _evaluate


@pytest.mark.slow
def test_benchmark_without_data_says_that_it_is_synthetic(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_evaluate, "_N_TRAIN", 70)
    monkeypatch.setattr(_evaluate, "_N_TEST", 35)
    assert run("benchmark", "--epochs", "1", "--output", tmp_path / "out") == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "35 test images, 95 % intervals"
    assert out.splitlines()[2].split() == ["HOG-SVM", "CNN"]
    assert re.search(r"^accuracy, % +\d+\.\d \(", out, re.MULTILINE)
    assert err.count("SYNTHETIC") == 2
    result = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert result["synthetic"] is True
    assert set(result["models"]) == {"HOG-SVM", "CNN"}
    assert "SYNTHETIC" in (tmp_path / "out" / "benchmark.md").read_text(encoding="utf-8")
    assert (tmp_path / "out" / "confusion_hog_svm.png").stat().st_size > 0


def test_benchmark_on_data(photos, capsys, monkeypatch):
    models = _evaluate._both_models

    def only_small(args):
        args.data = None
        return models(args)

    monkeypatch.setattr(_evaluate, "_both_models", only_small)
    options = ["--epochs", "1", "--limit", "35", "--format", "csv"]
    assert run("benchmark", "--data", photos, *options) == 0
    out, err = capsys.readouterr()
    rows = csv_rows(out)
    assert {row["model"] for row in rows} == {"HOG-SVM", "CNN"}
    assert {"accuracy", "fit_seconds", "size_bytes"} <= {row["metric"] for row in rows}
    assert "35 images, drawn from 70" in err


def test_benchmark_keeps_an_earlier_result(tmp_path, capsys):
    (tmp_path / "benchmark.json").write_text("{}")
    assert run("benchmark", "--output", tmp_path) == 1
    assert capsys.readouterr().err == (
        f"fer-sklearn: error: {tmp_path / 'benchmark.json'} exists already. Choose another "
        f"--output, or add --force.\n"
    )


def test_benchmark_limits_data_only(capsys):
    error = usage_error(capsys, "benchmark", "--limit", "3")
    assert error == "fer-sklearn benchmark: error: argument --limit: only with --data"


def test_benchmark_checks_the_seed(capsys):
    error = usage_error(capsys, "benchmark", "--random-state", "4294967296")
    assert error.endswith("'4294967296' is not a whole number from 0 to 4294967295")
