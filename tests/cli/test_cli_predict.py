"""`fer-sklearn predict`."""

import json

import numpy as np
from running import csv_rows, run

from fer_sklearn import load, load_pretrained
from fer_sklearn.images import write_image


def test_predict_gives_a_row_a_photo(model, photos, capsys):
    folder = photos / "test" / "happy"
    assert run("predict", folder, "--model", model, "--format", "csv") == 0
    out, err = capsys.readouterr()
    rows = csv_rows(out)
    assert [row["source"] for row in rows] == sorted(map(str, folder.iterdir()))
    assert {row["status"] for row in rows} == {"ok"}
    assert list(rows[0]) == ["source", "emotion", "decision", "status"]
    predicted = load(model).predict(sorted(map(str, folder.iterdir())))
    assert [row["emotion"] for row in rows] == predicted.tolist()
    assert err == ""


def test_predict_tells_probabilities(cnn, photos, capsys):
    assert run("predict", photos / "test", "--model", cnn, "--format", "json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 35
    assert all(1 / 7 <= row["probability"] <= 1 for row in rows)


def test_predict_goes_on_after_an_unreadable_file(model, photos, tmp_path, capsys):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG")
    good = next((photos / "test" / "sad").iterdir())
    assert run("predict", broken, good, "--model", model, "--format", "csv") == 1
    out, err = capsys.readouterr()
    first, second = csv_rows(out)
    assert (first["emotion"], first["decision"], first["status"]) == ("", "", "not readable")
    assert second["status"] == "ok"
    warning, error = err.splitlines()
    assert warning.startswith(f"fer-sklearn: warning: {broken}: ")
    assert error == "fer-sklearn: error: 1 of 2 photo(s) could not be read"


def test_predict_finds_faces(model, tmp_path, capsys):
    from skimage.data import astronaut

    write_image(tmp_path / "a.png", astronaut())
    write_image(tmp_path / "b.png", np.full((60, 60), 128, np.uint8))
    assert run("predict", tmp_path, "--model", model, "--crop-faces", "--format", "json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["status"] for row in rows] == ["ok", "no face found"]


def test_predict_asks_about_large_photos(model, tmp_path, capsys):
    write_image(tmp_path / "a.png", np.zeros((400, 300), np.uint8))
    assert run("predict", tmp_path / "a.png", "--model", model) == 0
    assert capsys.readouterr().err == (
        "1 of 1 photo(s) are large, and were taken to show nothing but a face. If they show "
        "more, add --crop-faces.\n"
    )


def test_predict_needs_a_photo_in_a_folder(model, tmp_path, capsys):
    assert run("predict", tmp_path, "--model", model) == 1
    assert capsys.readouterr().err == (
        f"fer-sklearn: error: {tmp_path}: there is no photo in this folder\n"
    )


def test_a_model_that_crops_does_so_photo_by_photo(photos, tmp_path, capsys):
    path = tmp_path / "a.fer"
    options = ["--model", "hog-svm", "--crop-faces", "--limit", "35"]
    assert run("train", photos, *options, "-o", path) == 0
    blank = tmp_path / "blank.png"
    write_image(blank, np.full((60, 60), 128, np.uint8))
    capsys.readouterr()
    assert run("predict", blank, "--model", path, "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)[0]["status"] == "no face found"


def test_a_photo_alone_is_told_by_the_shipped_model(tmp_path, capsys):
    from skimage.data import astronaut

    write_image(tmp_path / "astronaut.png", astronaut())
    write_image(tmp_path / "blank.png", np.full((60, 60), 128, np.uint8))
    assert run("predict", tmp_path, "--format", "json") == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["emotion"], first["status"]) == ("happy", "ok")
    assert first["probability"] > 0.5
    assert second["status"] == "no face found"


def test_faces_need_not_be_found(photos, capsys):
    folder = photos / "test" / "happy"
    assert run("predict", folder, "--model", "tiny", "--no-crop-faces", "--format", "json") == 0
    rows = json.loads(capsys.readouterr().out)
    expected = load_pretrained("tiny").predict(sorted(map(str, folder.iterdir())))
    assert [row["emotion"] for row in rows] == expected.tolist()
