"""`fer-sklearn info`."""

import json
import re

import numpy as np
from running import run, usage_error


def test_info_shows_what_is_installed(capsys, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert run("info", "--format", "json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["numpy"] == np.__version__
    assert facts["Keras backend"] == "jax"
    assert int(facts["OpenCV cascades"]) > 0
    assert "extra [parquet]" in facts


def test_info_reads_the_backend_of_the_settings_file(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    assert run("info") == 0
    assert re.search(r"^Keras backend +torch$", capsys.readouterr().out, re.MULTILINE)


def test_info_says_how_to_install_an_extra(capsys, monkeypatch):
    requirements = ["numpy>=1", 'no-such-package>=1; extra == "video"']
    monkeypatch.setattr("importlib.metadata.requires", lambda name: requirements)
    assert run("info") == 0
    out, err = capsys.readouterr()
    assert re.search(r"^extra \[video\] +not installed: no-such-package$", out, re.MULTILINE)
    assert err == "To install no-such-package: pip install 'fer_sklearn[video]'\n"


def test_info_follows_the_labels(capsys):
    assert run("info", "tiny", "--labels", "ferplus", "--format", "json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["labels"] == "ferplus"
    assert "contempt" in facts["classes"]
    assert "argument --labels: only with MODEL" in usage_error(capsys, "info", "--labels", "people")


def test_info_shows_a_model(cnn, capsys):
    assert run("info", cnn, "--format", "json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["image size"] == "16×16"
    assert facts["epochs trained"] == 2
    assert facts["probabilities"] == "yes"
    assert facts["classifier"]["architecture"] == "conv3"
    assert facts["classes"][:2] == ["angry", "disgust"]


def test_settings_that_determine_predictions_are_shown(model, capsys):
    assert run("info", "tiny", "--format", "json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert len(facts["network SHA-256"]) == 64
    assert "Detector(" in facts["detector"]
    assert "size=(48, 48)" in facts["framing"]
    assert run("info", model, "--format", "json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert "Detector(" in facts["detector"]
    assert "network SHA-256" not in facts
