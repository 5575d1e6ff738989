"""`fer-sklearn evaluate`."""

import json

import pytest
from running import csv_rows, run

from fer_sklearn.emotions import FERPLUS_COLUMNS


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


@pytest.mark.parametrize("labels", ["people", "ferplus"])
def test_evaluate_follows_the_labels_of_a_bundled_model(photos, labels, capsys):
    assert run("evaluate", "tiny", photos, "--labels", labels, "--format", "json") == 0
    assert ("contempt" in json.loads(capsys.readouterr().out)["labels"]) == (labels == "ferplus")


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


def test_evaluate_checks_outputs_before_it_loads_anything(photos, tmp_path, capsys):
    model = tmp_path / "model.png"
    model.write_text("not read")
    missing = tmp_path / "no" / "scores.json"
    for options, message in (
        (["-o", model], f"--output {model}: this file is read. Choose another one."),
        (["--confusion", model], f"--confusion {model}: this file is read. Choose another one."),
        (["-o", missing], f"--output={str(missing)!r} is in a folder that does not exist"),
    ):
        assert run("evaluate", model, photos, *options) == 1
        assert message in capsys.readouterr().err
    assert model.read_text() == "not read"


def write_votes(path, rows):
    header = ",".join(["file", *FERPLUS_COLUMNS])
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_evaluate_compares_with_people(model, photos, tmp_path, capsys):
    names = sorted(path.relative_to(photos).as_posix() for path in photos.glob("test/*/*.png"))
    votes = write_votes(tmp_path / "votes.csv", [f"{name},0,9,1,0,0,0,0,0,0,0" for name in names])
    assert run("evaluate", model, photos, "--votes", votes, "--format", "json") == 0
    report = json.loads(capsys.readouterr().out)
    happy = report["labels"].index("happy")
    predicted = sum(row[happy] for row in report["confusion_matrix"])
    assert report["people"]["n_images"] == 35
    assert report["people"]["accuracy"]["value"] == pytest.approx(predicted / 35)


def test_votes_belong_to_the_rows_of_a_table(model, tmp_path, capsys):
    table = tmp_path / "fer2013.csv"
    table.write_text("emotion,pixels,Usage\n3," + " ".join(["0"] * 2304) + ",PublicTest\n")
    votes = write_votes(tmp_path / "votes.csv", ["[0],0,9,1,0,0,0,0,0,0,0"])
    assert run("evaluate", model, table, "--votes", votes, "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["people"]["n_images"] == 1
