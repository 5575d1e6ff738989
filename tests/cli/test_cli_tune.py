"""`fer-sklearn tune`."""

import json
import re

import pytest
from running import csv_rows, run, usage_error

from fer_sklearn import load
from fer_sklearn.cli._train import SCORES, parse_grid
from fer_sklearn.persistence import read_card


def test_tune_ranks_and_saves(photos, tmp_path, capsys):
    path = tmp_path / "best.fer"
    grid = ["--grid", "classifier__C=0.001,5", "--grid", "hog__pixels_per_cell=8"]
    options = ["--cv", "2", "--scoring", "macro_f1", "--format", "csv", "-o", path]
    assert run("tune", photos, "--model", "hog-svm", *grid, *options) == 0
    out, err = capsys.readouterr()
    rows = csv_rows(out)
    assert [float(row["classifier__C"]) for row in rows] == [5.0, 0.001]
    assert float(rows[0]["macro_f1"]) > float(rows[1]["macro_f1"])
    assert set(SCORES) <= set(rows[0])
    assert "2 candidates × 2 folds = 4 fits" in err
    assert "7 images, 7 labels; 95 % intervals" in err  # nothing follows the table
    best = load(path)
    assert (best[-1].C, best.memory) == (5, None)
    card = read_card(path)
    assert (card["data"]["n_images"], card["scores"]["n_images"]) == (63, 7)


def test_tune_prints_a_table_with_short_names(photos, capsys):
    grid = ["--grid", "classifier__kernel=linear,rbf", "--limit", "35", "--cv", "2"]
    assert run("tune", photos, "--model", "hog-svm", *grid) == 0
    header, rule, *rows = capsys.readouterr().out.splitlines()
    assert header.split("  ")[0] == "rank"
    assert "kernel" in header
    assert "__" not in header
    assert set(rule) == {"-", " "}
    assert len(rows) == 2
    assert re.search(r"0\.\d{3} ± 0\.\d{3}", rows[0])


def test_tune_detects_faces_once_per_fold(photos, capsys):
    options = ["--crop-faces", "--limit", "14", "--cv", "2", "--grid", "classifier__C=1,5"]
    assert run("tune", photos, "--model", "hog-svm", *options, "--format", "json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 2


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (
            "classifier__CC=1",
            "there is no hyperparameter 'classifier__CC'. Did you mean 'classifier__C'?",
        ),
        ("classifier__C", "'classifier__C' is not of the form NAME=VALUE,VALUE"),
    ],
)
def test_tune_reports_a_wrong_grid(grid, message, photos, capsys):
    error = usage_error(capsys, "tune", photos, "--model", "hog-svm", "--grid", grid)
    assert error == f"fer-sklearn tune: error: argument --grid: {message}"


def test_without_a_model_nothing_is_held_out(photos, tmp_path, capsys):
    options = ["--grid", "classifier__head_C=0.03", "--cv", "2"]
    assert run("tune", photos, "--from", "tiny", *options) == 0
    out, err = capsys.readouterr()
    assert "70 images" in err
    assert "Held out" not in out + err
    options = ["--from", "tiny", "--confusion", tmp_path / "a.png"]
    assert "only with --output" in usage_error(capsys, "tune", photos, *options)


def test_tune_needs_two_folds(photos, capsys):
    error = usage_error(capsys, "tune", photos, "--model", "hog-svm", "--cv", "1")
    assert error == "fer-sklearn tune: error: argument --cv: expected at least 2 folds"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a__b=1,0.5", [1, 0.5]),
        ("a__b=rbf,linear", ["rbf", "linear"]),
        ("a__b=None,balanced", [None, "balanced"]),
        ("a__b=(2, 2),(3, 3)", [(2, 2), (3, 3)]),
    ],
)
def test_grid_values(text, expected):
    assert parse_grid([text]) == {"a__b": expected}
