"""`fer-sklearn evaluate`."""

import json

import pytest
from running import csv_rows, run


def test_evaluate_prints_tables(model, photos, capsys):
    assert run("evaluate", model, photos) == 0
    out, err = capsys.readouterr()
    assert out.startswith("35 images, 7 labels; 95 % intervals")
    assert "subset test" in err


def test_evaluate_formats_agree(model, photos, capsys):
    texts = {}
    for form in ("json", "csv", "markdown"):
        assert run("evaluate", model, photos, "--format", form) == 0
        texts[form] = capsys.readouterr().out
    accuracy = json.loads(texts["json"])["overall"]["accuracy"]["value"]
    assert accuracy > 0.5
    assert float(csv_rows(texts["csv"])[0]["value"]) == pytest.approx(accuracy)
    assert f"| accuracy | {accuracy:.3f} |" in texts["markdown"]


def test_evaluate_writes_files(model, photos, tmp_path, capsys):
    scores, picture = tmp_path / "scores.json", tmp_path / "c.png"
    assert run("evaluate", model, photos, "-o", scores, "--confusion", picture) == 0
    assert capsys.readouterr().out == ""
    assert json.loads(scores.read_text())["n_samples"] == 35
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_evaluate_refuses_other_suffixes(model, photos, capsys):
    assert run("evaluate", model, photos, "--confusion", "c.txt") == 1
    assert capsys.readouterr().err == (
        "fer-sklearn: error: --confusion='c.txt' ends in '.txt'; expected one of .png, .pdf, "
        ".svg.\n"
    )
