"""`fer-sklearn export`."""

import json
import os
import re
import shlex
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from running import run, usage_error, write_folder

import fer_sklearn
from fer_sklearn import load, load_exported, make_faces
from fer_sklearn.cli import _export
from fer_sklearn.exceptions import ExportError
from fer_sklearn.images import write_image


def shown(text):
    """Return the rows of the printed table."""
    return dict(re.split(r"  +", line, maxsplit=1) for line in text.splitlines()[2:])


@pytest.fixture
def no_node(monkeypatch):
    """Hide Node.js, so that a test needs neither it nor a network connection."""
    from fer_sklearn.exporting._web import MissingNodeError

    def run_tfjs(folder, images):
        raise MissingNodeError("no Node.js")

    monkeypatch.setattr("fer_sklearn.exporting._formats.run_tfjs", run_tfjs)


@pytest.fixture
def failing_check(monkeypatch):
    """Make every export predict something different from the model."""

    def check_outputs(*args, **options):
        raise ExportError("The exported file differs.")

    monkeypatch.setattr("fer_sklearn.exporting._export._check_outputs", check_outputs)


def test_export_writes_a_file_and_prints_how_it_was_verified(cnn, faces, tmp_path, capsys):
    path = tmp_path / "a.tflite"
    assert run("export", path, "--model", cnn, "--license", "my own") == 0
    out, err = capsys.readouterr()
    table = shown(out)
    assert table["file"] == str(path)
    assert table["size"] == f"{path.stat().st_size / 1e6:.2f} MB"
    assert table["input"] == "1×16×16×3 float32, rgb, 0 to 255"
    assert table["verified with"].startswith("ai-edge-litert ")
    assert (table["test faces"], table["same labels"]) == ("64", "100.0%")
    assert float(table["largest difference"]) < 1e-4
    assert err.splitlines()[-1].startswith("Next: in Python, without TensorFlow: ")
    described = json.loads((tmp_path / "a.tflite.json").read_text(encoding="utf-8"))
    assert (described["format"], described["licence"]) == ("tflite", "my own")
    images = faces[0][:5]
    expected = load(cnn).predict_proba(images)
    np.testing.assert_allclose(load_exported(path).predict_proba(images), expected, atol=1e-4)


@pytest.mark.slow
def test_a_bundled_model_is_exported_by_name(tmp_path, capsys):
    path = tmp_path / "a.tflite"
    options = ["--model", "tiny", "--precision", "float16", "--input-size", "96"]
    assert run("export", path, *options, "--batch-size", "2", "--min-label-agreement", "0.9") == 0
    assert shown(capsys.readouterr().out)["input"] == "2×96×96×3 float32, rgb, 0 to 255"
    described = json.loads((tmp_path / "a.tflite.json").read_text(encoding="utf-8"))
    assert described["precision"] == "float16"
    assert described["licence"].startswith("MIT")


def test_web_page_without_npm_names_both_remedies_and_writes_nothing(
    cnn, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setenv("FER_SKLEARN_DATA", str(tmp_path / "data"))
    assert run("export", tmp_path / "page", "--model", cnn, "--format", "web") == 1
    err = capsys.readouterr().err
    assert "npm, or the node it needs, was not found. Install Node.js" in err
    assert "--cdn" in err
    assert list(tmp_path.iterdir()) == []


def test_int8_is_calibrated_with_label_folders(cnn, tmp_path, capsys):
    write_folder(tmp_path / "faces", *make_faces(280, size=16, random_state=0, return_X_y=True))
    path = tmp_path / "a.tflite"
    options = ["--precision", "int8", "--images", tmp_path / "faces", "--min-label-agreement", "0"]
    assert run("export", path, "--model", cnn, *options) == 0
    out, err = capsys.readouterr()
    assert "280 images" in err
    assert shown(out)["input"] == "1×16×16×1 uint8, gray, 0 to 255"
    assert shown(out)["test faces"] == "70"


def test_a_folder_of_images_is_subsampled_evenly(cnn, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "faces"
    folder.mkdir()
    for i, image in enumerate(make_faces(128, size=16, random_state=0).images):
        write_image(folder / f"{i:03}.png", image)
    read = []
    read_image = _recorded("fer_sklearn.images.read_image", read)
    monkeypatch.setattr("fer_sklearn.images.read_image", read_image)
    monkeypatch.setattr(_export, "_MOST_IMAGES", 64)
    path = tmp_path / "a.tflite"
    assert run("export", path, "--model", cnn, "--images", folder) == 0
    out, err = capsys.readouterr()
    assert f"Read {folder}: 64 of 128 images\n" in err
    assert shown(out)["test faces"] == "64"
    assert [file.name for file in read] == [f"{i:03}.png" for i in range(0, 128, 2)]


def _recorded(name, calls):
    module, _, function = name.rpartition(".")
    original = getattr(sys.modules[module], function)

    def record(argument):
        calls.append(argument)
        return original(argument)

    return record


def test_exporting_a_page_says_how_to_open_it(cnn, no_node, tmp_path, capsys):
    folder = tmp_path / "page"
    assert run("export", folder, "--model", cnn, "--format", "web", "--cdn") == 0
    out, err = capsys.readouterr()
    table = shown(out)
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert (folder / "index.html") in files
    assert (table["folder"], table["files"]) == (str(folder), str(len(files)))
    assert table["input"] == "any×any×any×3 float32, rgb, 0 to 255"
    assert f"Next: python -m http.server --directory {folder}, and open http://localhost:" in err
    assert "the camera needs https" in err


def hint(capsys):
    """Return the last line of stderr, which suggests the next command."""
    return capsys.readouterr().err.splitlines()[-1].removeprefix("Next: ")


def test_the_hint_after_a_litert_export_is_code_that_works(cnn, faces, tmp_path, capsys):
    assert run("export", tmp_path / "it's mine.tflite", "--model", cnn) == 0
    (call,) = re.findall(r"fer_sklearn\.load_exported\(.*?\)", hint(capsys))
    loaded = eval(call, {"fer_sklearn": fer_sklearn})
    assert loaded.predict_proba(faces[0][:3]).shape == (3, 7)


@pytest.mark.slow
def test_the_hint_after_an_export_to_tensorflow_is_code_that_works(cnn, faces, tmp_path, capsys):
    import tensorflow as tf

    assert run("export", tmp_path / "my model", "--model", cnn, "--format", "saved_model") == 0
    code, _, _ = hint(capsys).partition(", or ")
    statement, _, call = code.partition("; ")
    images = np.repeat(faces[0][:3, ..., np.newaxis], 3, axis=-1).astype(np.float32)
    names = {"tf": tf, "faces": images}
    exec(statement, names)
    assert np.shape(eval(call, names)) == (3, 7)


@pytest.mark.slow
def test_the_hint_after_an_export_to_javascript_names_the_file(cnn, no_node, tmp_path, capsys):
    assert run("export", tmp_path / "my model", "--model", cnn, "--format", "tfjs") == 0
    (path,) = re.findall(r"^await tf\.loadGraphModel\((.*)\) in JavaScript", hint(capsys))
    assert "modelTopology" in json.loads(Path(json.loads(path)).read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_hint_after_an_export_of_a_page_starts_a_server(cnn, no_node, tmp_path, capsys):
    folder = tmp_path / "my page"
    assert run("export", folder, "--model", cnn, "--format", "web", "--cdn") == 0
    command, _, _ = hint(capsys).partition(", and open ")
    python, *arguments = shlex.split(command)
    assert python == "python"
    server = [sys.executable, "-u", *arguments, "--bind", "127.0.0.1", "0"]
    with subprocess.Popen(server, stdout=subprocess.PIPE, text=True) as process:
        try:
            port = re.search(r"port (\d+)", process.stdout.readline())[1]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/index.html", timeout=30) as page:
                assert b"<html" in page.read()
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["model"],
            "--format is required, since model ends neither in .tflite nor in .onnx; choose from "
            "tflite, tfjs, onnx, saved_model, web",
        ),
        (["a.onnx", "--format", "tflite"], "a.onnx must end in .tflite for --format tflite"),
        (
            ["a.onnx", "--precision", "int8", "--input-size", "96"],
            "--precision, --input-size: only for --format tflite",
        ),
        (["a.tflite", "--cdn"], "--cdn: only for --format web"),
        (
            ["a.tflite", "--precision", "int8"],
            "--precision int8 needs --images for calibration",
        ),
        (
            ["a.tflite", "--min-label-agreement", "97"],
            "argument --min-label-agreement: '97' is not a number from 0 to 1",
        ),
        (
            ["a.tflite", "--batch-size", "0"],
            "argument --batch-size: '0' is not a whole number above 0",
        ),
    ],
)
def test_export_checks_which_options_fit_together(options, message, capsys):
    assert usage_error(capsys, "export", *options) == f"fer-sklearn export: error: {message}"


@pytest.mark.parametrize("existing", ["a.tflite", "a.tflite.json"])
def test_export_refuses_to_replace_a_file(existing, tmp_path, capsys):
    (tmp_path / existing).write_text("mine")
    assert run("export", tmp_path / "a.tflite") == 1
    assert capsys.readouterr().err == (
        f"fer-sklearn: error: PATH={str(tmp_path / existing)!r} exists already. Choose another "
        f"file, or add --force to replace it.\n"
    )


def test_export_refuses_to_replace_a_folder(tmp_path, capsys):
    assert run("export", tmp_path, "--format", "tfjs") == 1
    assert capsys.readouterr().err == (
        f"fer-sklearn: error: PATH={str(tmp_path)!r} exists already. Choose another folder, or "
        f"add --force to replace an earlier export.\n"
    )


def test_export_needs_a_folder_around_its_folder(tmp_path, capsys):
    path = tmp_path / "no" / "page"
    assert run("export", path, "--format", "web") == 1
    assert capsys.readouterr().err == (
        f"fer-sklearn: error: PATH={str(path)!r} is in a folder that does not exist, "
        f"{str(path.parent)!r}. Create it first.\n"
    )


@pytest.mark.slow
def test_force_replaces_an_earlier_export(cnn, tmp_path, capsys):
    folder = tmp_path / "saved"
    command = ["export", folder, "--model", cnn, "--format", "saved_model"]
    assert run(*command) == 0
    (folder / "left_over").write_text("old")
    assert run(*command, "--force") == 0
    assert (folder / "fer_sklearn.json").is_file()
    assert not (folder / "left_over").exists()


def test_force_replaces_nothing_else(cnn, tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "photo.jpg").write_text("mine")
    options = ["--model", cnn, "--format", "saved_model", "--force"]
    assert run("export", folder, *options) == 1
    assert "is not an earlier export" in capsys.readouterr().err
    assert (folder / "photo.jpg").read_text() == "mine"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "form"), [("a.tflite", "tflite"), ("saved", "saved_model")])
def test_a_failed_export_leaves_nothing(name, form, cnn, failing_check, tmp_path, capsys):
    assert run("export", tmp_path / name, "--model", cnn, "--format", form) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1] == "fer-sklearn: error: The exported file differs."
    assert list(tmp_path.iterdir()) == []


def test_a_hog_svm_is_refused_in_one_line(model, tmp_path, capsys):
    assert run("export", tmp_path / "a.tflite", "--model", model) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert re.match(r"fer-sklearn: error: estimator has a \w+, which cannot be exported", error)
    assert list(tmp_path.iterdir()) == []


def test_too_few_images_are_reported(cnn, photos, tmp_path, capsys):
    folder = photos / "test" / "happy"
    n_images = len(list(folder.iterdir()))
    command = ["export", tmp_path / "a.tflite", "--model", cnn, "--images", folder]
    assert run(*command) == 1
    assert (
        f"error: representative_data has {n_images} faces; expected at least 64"
        in capsys.readouterr().err
    )


def test_copied_names_are_complete():
    from fer_sklearn.exporting._formats import FORMATS, LITERT_PRECISIONS

    assert {name: form.suffix for name, form in FORMATS.items()} == _export.FORMATS
    assert _export.PRECISIONS == LITERT_PRECISIONS
    assert list(_export._NEXT) == list(_export.FORMATS)


def test_help_fits_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        run("export", "--help")
    text = capsys.readouterr().out
    assert "\n  fer-sklearn export page/ --format web\n" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.slow
def test_no_library_prints_to_the_terminal(cnn, tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-m", "fer_sklearn", "export", "a.tflite", "--model", cnn]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0
    first, second, last = done.stderr.splitlines()
    assert (first, second) == ("Loading Keras …", "Exporting to a.tflite and verifying it …")
    assert last.startswith("Next: ")
