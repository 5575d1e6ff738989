"""`fer-sklearn predict`."""

import csv
import io
import json
import os
import re
import shutil
import sys

import numpy as np
import pytest
from photo_reader import COLUMNS, Reader, photo
from running import csv_rows, run, usage_error
from skimage.data import astronaut

from fer_sklearn import FaceReader, __version__, iter_photo_rows, load_pretrained
from fer_sklearn._utils.tables import rounded
from fer_sklearn.cli import _predict
from fer_sklearn.images import read_image, write_image
from fer_sklearn.weights import shipped_path

SEVEN = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]


@pytest.fixture
def album(tmp_path, monkeypatch):
    """A working directory with photos for the model's test double."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_predict, "_reader", lambda args: Reader())
    os.makedirs("album/sub")
    write_image("album/a.png", photo(2))
    write_image("album/sub/a.png", photo(0))
    write_image("b.png", photo(1, 0))
    return tmp_path


# Printed output


def test_a_table_has_one_row_per_face(album, capsys):
    assert run("predict", "album", "b.png") == 0
    out, err = capsys.readouterr()
    assert out == (
        "source           face  emotion  probability  status\n"
        "---------------  ----  -------  -----------  ------\n"
        "album/a.png         0  happy          1.000  ok\n"
        "album/a.png         1  happy          1.000  ok\n"
        "album/sub/a.png     –  –                  –  no face\n"
        "b.png               0  sad            1.000  ok\n"
    )
    assert err.startswith("3 photo(s); 3 face(s); 1 photo(s) without a face, 0 unreadable; ")
    assert run("predict", "b.png") == 0
    assert capsys.readouterr().err == ""


def test_paths_are_cut_to_the_terminal_only(album, capsys, monkeypatch):
    os.rename("album", "a_very_long_name_of_an_album_that_is_quite_long")
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert run("predict", "b.png", "a_very_long_name_of_an_album_that_is_quite_long") == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 70
    assert lines[-1].startswith("…")
    assert "quite_long/sub/a.png  " in lines[-1]


def test_csv_has_all_columns(album, capsys):
    assert run("predict", "album", "--format", "csv") == 0
    rows = csv_rows(capsys.readouterr().out)
    assert list(rows[0]) == COLUMNS
    assert [row["happy"] for row in rows] == ["1.0", "1.0", ""]


def test_json_is_one_array(album, capsys):
    assert run("predict", "album", "--format", "json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert list(rows[0]) == COLUMNS
    assert [row["emotion"] for row in rows] == ["happy", "happy", None]


def test_json_lines_are_objects(album, capsys):
    assert run("predict", "b.png", "--format", "jsonl") == 0
    assert json.loads(capsys.readouterr().out)["left"] == 0.0


def test_a_quoted_pattern_is_expanded(album, capsys):
    assert run("predict", "album/**/*.png", "--format", "csv") == 0
    rows = csv_rows(capsys.readouterr().out)
    assert sorted({row["source"] for row in rows}) == ["album/a.png", "album/sub/a.png"]


def test_names_with_line_breaks_keep_to_their_row(album, capsys):
    os.rename("b.png", "b\r\n\t.png")
    assert run("predict", "b\r\n\t.png") == 0
    assert capsys.readouterr().out.splitlines()[2].startswith(r"b\r\n\t.png")
    assert run("predict", "b\r\n\t.png", "--format", "csv") == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out, newline=""))
    assert row["source"] == "b\r\n\t.png"


def test_results_can_include_provenance(tmp_path, capsys):
    write_image(tmp_path / "a.png", np.zeros((48, 48), np.uint8))
    arguments = ["predict", tmp_path / "a.png", "--model", "tiny", "--no-crop-faces"]
    assert run(*arguments, "--provenance", "--format", "jsonl") == 0
    made_by = json.loads(json.loads(capsys.readouterr().out)["provenance"])
    assert (made_by["model"], made_by["labels"]) == ("tiny", "people")
    assert (made_by["fer_sklearn"], made_by["detector"]) == (__version__, "none")
    assert len(made_by["model_sha256"]) == 64
    assert run(*arguments, "--provenance", "-o", tmp_path / "rows.csv") == 0
    assert json.loads((tmp_path / "rows.csv.provenance.json").read_text()) == made_by
    capsys.readouterr()
    assert run(*arguments, "--provenance") == 0
    _, below = capsys.readouterr().out.split("\n\n")
    assert below == "".join(f"{name}: {value}\n" for name, value in made_by.items())


@pytest.mark.parametrize(
    ("model", "labels", "expected"),
    [
        ("own.npz", None, "tiny"),
        ("own.npz", "ferplus", "tiny:ferplus"),
        ("own.npz:ferplus", None, "tiny:ferplus"),
        ("tiny:ferplus", None, "tiny:ferplus"),
        ("tiny:ferplus", "people", "tiny"),
    ],
)
def test_weights_and_their_labels_are_named(tmp_path, monkeypatch, capsys, model, labels, expected):
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(shipped_path("tiny"), "own.npz")
    write_image("a.png", astronaut())
    options = ["--model", model, *([] if labels is None else ["--labels", labels])]
    assert run("predict", "a.png", *options, "--format", "jsonl") == 0
    found = json.loads(capsys.readouterr().out)
    (row,) = iter_photo_rows("a.png", expected)
    assert found == rounded(row)
    assert run("info", model, *options[2:], "--format", "json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["labels"] == (labels or model.partition(":")[2] or "people")
    assert facts["file"] == ("own.npz" if "own" in model else str(shipped_path("tiny")))
    assert facts["classes"] == FaceReader(expected).classes


def test_photos_of_cropped_faces_get_a_hint(album, capsys):
    assert run("predict", "album/sub") == 0
    assert capsys.readouterr().err == (
        "No face was found in 1 of 1 photo(s). If they show nothing but a face, add "
        "--no-crop-faces.\n"
    )


# Errors


def test_each_failure_is_one_line_and_does_not_stop_the_rest(album, capsys):
    os.mkdir("empty")
    with open("text.jpg", "w") as file:
        file.write("a text")
    paths = ("empty", "text.jpg", "no.png", "*.tif", "b.png", "no.mp4")
    assert run("predict", *paths, "--format", "csv") == 1
    out, err = capsys.readouterr()
    status = [row["status"].partition(":")[0] for row in csv_rows(out)]
    assert status == [*["unreadable"] * 4, "ok", "unreadable"]
    lines = err.splitlines()
    assert lines.pop(5).startswith("6 photo(s); 1 face(s); 0 photo(s) without a face, 5 unreadable")
    assert lines == [
        "fer-sklearn: warning: empty: there is no photo in this folder",
        "fer-sklearn: warning: text.jpg: not an image in a known format; its first bytes are "
        "b'a text'",
        "fer-sklearn: warning: no.png: there is no such file",
        "fer-sklearn: warning: *.tif: there is no such file, and no photo matches it as a pattern",
        "fer-sklearn: warning: no.mp4: there is no such file. For videos, type: fer-sklearn video",
        "fer-sklearn: error: 5 of 6 photo(s) could not be read",
    ]


def test_a_name_cannot_move_the_cursor(album, capsys):
    with open("\x1b[2J\n.jpg", "w") as file:
        file.write("a text")
    assert run("predict", "\x1b[2J\n.jpg") == 1
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert err.startswith(r"fer-sklearn: warning: \x1b[2J .jpg: not an image in a known format")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            ["--output", "no/a.csv"],
            "output='no/a.csv' is in a folder that does not exist, '{here}/no'. Create it first.",
        ),
        (
            ["--output", "a.txt"],
            "output='a.txt' ends in '.txt'; expected one of .csv, .jsonl, .parquet.",
        ),
        (
            ["--annotate", "b.png"],
            "annotate='b.png' cannot be written to (File exists). Choose another folder.",
        ),
        (
            ["--annotate", "album/new"],
            "annotate='album/new' lies in 'album', whose photos are read: annotated photos would "
            "be read as photos. Choose a folder elsewhere.",
        ),
    ],
)
def test_outputs_are_checked_before_any_work(album, capsys, monkeypatch, option, message):
    monkeypatch.setattr(_predict, "_reader", None)
    assert run("predict", "album", *option) == 1
    message = message.format(here=os.path.realpath(album))
    assert capsys.readouterr() == ("", f"fer-sklearn: error: {message}\n")
    assert sorted(os.listdir(".")) == ["album", "b.png"]


def test_contradictory_options_are_usage_errors(album, capsys):
    assert usage_error(capsys, "predict", "b.png", "--force") == (
        "fer-sklearn predict: error: argument --force: only with --output"
    )
    assert usage_error(capsys, "predict", "b.png", "-o", "a.csv", "--format", "jsonl") == (
        "fer-sklearn predict: error: argument --format: only for printing; the suffix of "
        "--output determines its format"
    )


# Output file


def test_a_file_is_written_and_resumed(album, capsys):
    assert run("predict", "b.png", "--output", "rows.csv") == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(
        r"Written to rows\.csv: 1 photo\(s\); 1 face\(s\); 0 photo\(s\) without a face, 0 "
        r"unreadable; \d\.\d s\n",
        err,
    )
    assert run("predict", "b.png", "album", "no.png", "-o", "rows.csv") == 1
    _, err = capsys.readouterr()
    assert "Written to rows.csv: 4 photo(s); 3 face(s); 1 photo(s) without a face, 1 unread" in err
    assert run("predict", "b.png", "album", "no.png", "-o", "rows.csv") == 1
    _, err = capsys.readouterr()
    assert "Written to rows.csv: 4 photo(s), 3 of them by an earlier run; 3 face(s); 1" in err
    assert err.endswith("fer-sklearn: error: 1 of 4 photo(s) could not be read\n")
    with open("rows.csv") as file:
        assert len(csv_rows(file.read())) == 5


def test_a_different_call_is_rejected_unless_forced(album, capsys):
    assert run("predict", "album", "--output", "rows.jsonl") == 0
    capsys.readouterr()
    assert run("predict", "b.png", "--output", "rows.jsonl") == 1
    assert capsys.readouterr().err == (
        "fer-sklearn: error: output='rows.jsonl' contains 'album/a.png' as photo 1, but 'b.png' "
        "was passed there. Repeat the original call, choose another output file, or add --force to "
        "start over.\n"
    )
    assert run("predict", "b.png", "--output", "rows.jsonl", "--force") == 0


@pytest.mark.parametrize(("name", "kept"), [("r.csv", "r.csv"), ("r.parquet", "r.parquet.partial")])
def test_an_interruption_keeps_what_is_written(album, capsys, monkeypatch, name, kept):
    pytest.importorskip("pyarrow")
    for i in range(20):
        write_image(f"album/sub/{i:02}.png", photo(1, i))
    monkeypatch.setattr("fer_sklearn.photos._recognize._MAX_SECONDS", 0.0)
    reader = Reader()
    plain = reader.predict

    def classify(crops):
        if len(reader.batches) == 8:
            raise KeyboardInterrupt
        return plain(crops)

    reader.predict = classify
    monkeypatch.setattr(_predict, "_reader", lambda args: reader)
    assert run("predict", "album", "--output", name) == 130
    assert capsys.readouterr().err == (
        f"{kept} keeps 8 photo(s); the same call resumes after them.\nfer-sklearn: interrupted\n"
    )
    monkeypatch.setattr(_predict, "_reader", lambda args: Reader())
    assert run("predict", "album", "--output", name) == 0
    assert (
        "Written to " + name + ": 22 photo(s), 7 of them by an earlier run; 22 face(s); 1"
        in capsys.readouterr().err
    )


# Images


def test_photos_are_annotated_in_addition_to_the_rows(album, capsys):
    before = read_image("album/a.png")
    assert run("predict", "album", "--annotate", "out/faces") == 0
    assert _files("out") == ["faces/a-faces.png", "faces/sub/a-faces.png"]
    assert read_image("out/faces/a-faces.png").shape[2] == 3
    assert (read_image("album/a.png") == before).all()


def test_photos_of_the_same_name_do_not_replace_each_other(album, capsys):
    os.makedirs("other/album")
    write_image("other/album/a.png", photo())
    write_image("other/b.png", photo())
    os.rename("b.png", "b.gif")  # still a PNG
    arguments = ["album", "other/album", "b.gif", "other/b.png", "album/a.png", "other/b.png"]
    assert run("predict", *arguments, "--annotate", "out") == 0
    assert _files("out") == [
        "a-faces.png",
        "album-2/a-faces.png",
        "album/a-faces.png",
        "album/sub/a-faces.png",
        "b-faces.png",
        "b.gif.faces.png",
    ]


def test_an_annotated_photo_never_replaces_the_original(album, capsys):
    before = read_image("b.png")
    assert run("predict", "b.png", "no.png", "--annotate", ".") == 1
    assert (read_image("b.png") == before).all()
    assert sorted(os.listdir(".")) == ["album", "b-faces.png", "b.png"]


def test_patterns_keep_their_folders(album, capsys):
    assert run("predict", "album/**/*.png", "--annotate", "out") == 0
    assert _files("out") == ["a-faces.png", "sub/a-faces.png"]
    assert run("predict", "album/**/*.png", "--annotate", "album/out") == 1
    assert "lies in 'album', whose photos are read" in capsys.readouterr().err
    assert run("predict", "*.png", "--annotate", "new") == 0
    assert _files("new") == ["b-faces.png"]


def _files(root):
    found = [os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names]
    return sorted(os.path.relpath(path, root) for path in found)


# Real models


def test_the_sample_photo_is_used_without_a_path(tmp_path, capsys):
    assert run("predict", "--format", "csv", "--annotate", tmp_path) == 0
    out, err = capsys.readouterr()
    (row,) = csv_rows(out)
    assert (row["source"], row["emotion"]) == ("astronaut", "happy")
    assert "Next, try: fer-sklearn predict PHOTO" in err
    assert _files(tmp_path) == ["astronaut-faces.png"]


def test_the_bundled_model_predicts_photos(tmp_path, capsys):
    from skimage.data import astronaut

    write_image(tmp_path / "astronaut.png", astronaut())
    write_image(tmp_path / "blank.png", np.full((60, 60), 128, np.uint8))
    assert run("predict", tmp_path, "--format", "json") == 0
    first, second = json.loads(capsys.readouterr().out)
    assert list(first) == [*COLUMNS[: COLUMNS.index("emotion") + 1], *SEVEN, "status"]
    assert (first["emotion"], first["status"]) == ("happy", "ok")
    assert first["happy"] > 0.5
    assert (second["emotion"], second["status"]) == (None, "no face")


def test_faces_need_not_be_detected(photos, capsys):
    folder = photos / "test" / "happy"
    assert run("predict", folder, "--model", "tiny", "--no-crop-faces", "--format", "json") == 0
    rows = json.loads(capsys.readouterr().out)
    expected = load_pretrained("tiny").predict(sorted(map(str, folder.iterdir())))
    assert [row["emotion"] for row in rows] == expected.tolist()


def test_a_model_file_is_used(model, photos, capsys):
    folder = photos / "test" / "happy"
    assert run("predict", folder, "--model", model, "--no-crop-faces", "--format", "json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["source"] for row in rows] == sorted(map(str, folder.iterdir()))
    assert {row["status"] for row in rows} == {"ok"}
    assert {row["happy"] for row in rows} == {None}  # an SVM without probabilities


def test_a_model_file_with_a_cropper_detects_faces(photos, tmp_path, capsys):
    path = tmp_path / "a.fer"
    options = ["--model", "hog-svm", "--crop-faces", "--limit", "35"]
    assert run("train", photos, *options, "-o", path) == 0
    blank = tmp_path / "blank.png"
    write_image(blank, np.full((60, 60), 128, np.uint8))
    capsys.readouterr()
    assert run("predict", blank, "--model", path, "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)[0]["status"] == "no face"
