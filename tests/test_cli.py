"""The command line: what it prints where, what it writes, and how it fails."""

import csv
import io
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from fer_sklearn import load, make_faces
from fer_sklearn.architectures import ARCHITECTURES as ALL_ARCHITECTURES
from fer_sklearn.cli import _benchmark, main
from fer_sklearn.cli._data import load_labelled, load_split, stratified_rows
from fer_sklearn.cli._models import ARCHITECTURES
from fer_sklearn.cli._terminal import quiet_start_up
from fer_sklearn.cli._tune import SCORES, parse_grid
from fer_sklearn.evaluation import SCORING
from fer_sklearn.images import write_image

COMMANDS = ("train", "evaluate", "tune", "predict", "benchmark", "info")


def _write_folder(root, images, target):
    for i, (image, label) in enumerate(zip(images, target, strict=True)):
        folder = root / label
        folder.mkdir(parents=True, exist_ok=True)
        write_image(folder / f"{i}.png", image)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of 70 faces in train/<label>/ and 35 in test/<label>/."""
    root = tmp_path_factory.mktemp("photos")
    X, y = make_faces(105, random_state=3, return_X_y=True)
    _write_folder(root / "train", X[:70], y[:70])
    _write_folder(root / "test", X[70:], y[70:])
    return root


@pytest.fixture(scope="module")
def model(photos, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "hog.fer"
    assert main(["train", str(photos), "--model", "hog-svm", "--output", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def cnn(photos, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "cnn.fer"
    options = ["--architecture", "conv3", "--epochs", "2", "--image-size", "16"]
    options += ["--validation-fraction", "0.2"]
    assert main(["train", str(photos), "--model", "cnn", *options, "-o", str(path)]) == 0
    return path


def _run(*arguments):
    return main([str(argument) for argument in arguments])


def _usage_error(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        _run(*arguments)
    assert caught.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def _rows(text):
    return list(csv.DictReader(io.StringIO(text)))


# -- the program ------------------------------------------------------------------------


@pytest.mark.parametrize("command", [(), *((command,) for command in COMMANDS)])
def test_help_has_an_example_and_fits_80_columns(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as caught:
        _run(*command, "--help")
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert re.search(rf"^  fer-sklearn {' '.join(command)}", text, re.MULTILINE)
    assert max(map(len, text.splitlines())) <= 80


def _loaded_by(arguments):
    script = (
        "import sys\nfrom fer_sklearn.cli import main\n"
        f"try:\n    main({arguments})\nexcept SystemExit:\n    pass\n"
        "print('LOADED', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    return set(done.stdout.partition("LOADED")[2].split())


def test_help_loads_nothing_heavy():
    heavy = {"numpy", "sklearn", "pandas", "cv2", "tqdm", "tensorflow", "keras", "matplotlib"}
    assert not _loaded_by(["train", "--help"]) & heavy


def test_info_does_not_load_tensorflow():
    loaded = _loaded_by(["info"])
    assert "fer_sklearn.cli._info" in loaded
    assert not loaded & {"tensorflow", "keras", "sklearn", "matplotlib"}


def test_the_module_is_the_program(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "fer_sklearn", "info", str(tmp_path / "no.fer")],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    missing = str(tmp_path / "no.fer")
    assert done.stderr == (
        f"fer-sklearn: error: path={missing!r} does not exist; expected a model file.\n"
    )


def test_debug_shows_where():
    with pytest.raises(FileNotFoundError):
        _run("info", "no.fer", "--debug")


def test_a_reader_who_leaves_is_no_error():
    command = [sys.executable, "-m", "fer_sklearn", "info"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode == 1
    assert errors == b""


def test_a_command_is_needed(capsys):
    assert _usage_error(capsys) == (
        "fer-sklearn: error: the following arguments are required: COMMAND"
    )


def test_names_that_are_copied_are_complete():
    assert sorted(ARCHITECTURES) == sorted(ALL_ARCHITECTURES)
    assert list(SCORES) == list(SCORING)


START_UP = b"I0000 00:00:1795254230.82 15393 port.cc:153] oneDNN custom operations are on.\n"


@pytest.mark.parametrize(
    ("enabled", "expected"), [(True, b"kept\n"), (False, START_UP + b"kept\n")]
)
def test_start_up_lines_are_taken_out(enabled, expected, capfdbinary, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet_start_up(enabled=enabled):
        os.write(2, START_UP + b"kept\n")
    assert capfdbinary.readouterr().err == expected


def test_no_library_speaks_on_the_terminal(cnn, photos):
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-m", "fer_sklearn", "predict", str(cnn), str(photos / "test" / "sad")],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert (done.returncode, done.stderr) == (0, "")


# -- data -------------------------------------------------------------------------------


def test_drawn_rows_keep_the_shares():
    target = np.array(["a"] * 60 + ["b"] * 30 + ["c"] * 10)
    rows = stratified_rows(target, 20, random_state=0)
    assert np.unique(target[rows], return_counts=True)[1].tolist() == [12, 6, 2]
    assert len(np.unique(rows)) == 20


def test_drawn_rows_have_every_label():
    target = np.array(["a"] * 997 + ["b", "c", "d"])
    assert set(target[stratified_rows(target, 4, random_state=0)]) == set("abcd")


def test_what_was_read_is_told(photos, capsys):
    data = load_labelled(photos, subset="test", limit=14)
    assert data.images.shape == (14, 48, 48)
    first, second = capsys.readouterr().err.splitlines()
    assert first == (
        f"Read {photos} (label folders, subset test): 14 images, drawn from 35, 48×48 pixels"
    )
    assert second.count(",") == 6


def test_a_folder_of_one_label_is_no_data(photos, capsys):
    path = photos / "train" / "happy"
    assert _run("train", path, "--model", "hog-svm", "-o", "x.fer") == 1
    error = capsys.readouterr().err
    assert error.startswith(
        f"fer-sklearn: error: {path} cannot be used. As FER2013: {path} has images in folders"
    )
    assert f"As label folders: {path} has no images in label folders" in error


def test_a_part_of_fer2013_that_is_missing_is_told(photos, model, capsys):
    assert _run("evaluate", model, photos, "--subset", "private") == 1
    error = capsys.readouterr().err
    assert error.startswith(f"fer-sklearn: error: {photos} cannot be used. As FER2013: ")
    assert error.endswith(
        f"As label folders: {photos} has no part called 'private'; it has test, train. Choose "
        f"one of these as --subset, or all.\n"
    )


def test_a_table_is_only_fer2013(tmp_path, model, capsys):
    table = tmp_path / "fer2013.csv"
    table.write_text("emotion,pixels,Usage\n0,1 2 3,Training\n")
    assert _run("train", table, "--model", "hog-svm", "-o", tmp_path / "a.fer") == 1
    assert capsys.readouterr().err == (
        f"fer-sklearn: error: {table}, row 1 below the header: 3 pixels; expected 2304 (48×48). "
        f"Download the file again, or remove the row.\n"
    )
    assert _run("evaluate", model, table, "--subset", "test") == 1
    assert capsys.readouterr().err == (
        "fer-sklearn: error: --subset test is no part of FER2013; expected one of train, "
        "public, private, all\n"
    )


def test_an_unknown_part_is_told(photos, model, capsys):
    assert _run("evaluate", model, photos, "--subset", "tset") == 1
    assert capsys.readouterr().err == (
        f"fer-sklearn: error: {photos} has no part called 'tset'; it has test, train. Choose "
        f"one of these as --subset, or all.\n"
    )


def test_data_without_parts_is_split_and_copies_stay_together(tmp_path):
    X, y = make_faces(56, random_state=0, return_X_y=True)
    _write_folder(tmp_path / "a", X, y)
    _write_folder(tmp_path / "b", X, y)
    for part in ("a", "b"):
        for label in (tmp_path / part).iterdir():
            for file in label.iterdir():
                (tmp_path / "all" / label.name).mkdir(parents=True, exist_ok=True)
                file.rename(tmp_path / "all" / label.name / f"{part}{file.name}")
    train, test = load_split(tmp_path / "all")
    assert len(train.target) + len(test.target) == 112
    assert not {x.tobytes() for x in train.images} & {x.tobytes() for x in test.images}
    assert set(test.target) == set(y)


def test_real_data_is_read(fer2013_path, capsys):
    data = load_labelled(fer2013_path, subset="public", limit=50)
    assert data.images.shape == (50, 48, 48)
    assert "50 images, drawn from 3,589, 48×48 pixels" in capsys.readouterr().err


# -- train ------------------------------------------------------------------------------


def test_train_saves_a_model_and_prints_a_summary(photos, tmp_path, capsys):
    path = tmp_path / "a.fer"
    options = ["--C", "2", "--image-size", "32", "--class-weight", "balanced"]
    assert _run("train", photos, "--model", "hog-svm", *options, "-o", path) == 0
    out, err = capsys.readouterr()
    assert re.search(r"^images +70$", out, re.MULTILINE)
    assert "70 images" in err
    classifier = load(path)[-1]
    assert (classifier.C, classifier.class_weight) == (2.0, "balanced")
    assert load(path)["resize"].size == 32


def test_train_refuses_to_replace_a_file(photos, model, capsys):
    assert _run("train", photos, "--model", "hog-svm", "-o", model) == 1
    assert capsys.readouterr().err == (
        f"fer-sklearn: error: {model} exists already. Choose another --output, or add --force "
        f"to replace it.\n"
    )


def test_train_replaces_a_file_by_force(photos, tmp_path):
    path = tmp_path / "a.fer"
    path.write_text("old")
    assert _run("train", photos, "--model", "hog-svm", "-o", path, "--force") == 0
    assert load(path).classes_.shape == (7,)


def test_train_needs_a_folder_for_its_file(photos, tmp_path, capsys):
    path = tmp_path / "no" / "a.fer"
    assert _run("train", photos, "--model", "hog-svm", "-o", path) == 1
    assert capsys.readouterr().err == (
        f"fer-sklearn: error: {path}: there is no folder {path.parent}. Create it first.\n"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["hog-svm", "--epochs", "3", "--no-augmentation"],
            "--epochs, --augmentation: only for --model cnn",
        ),
        (["cnn", "--C", "3"], "--C: only for --model hog-svm"),
        (["cnn", "--epochs", "0"], "argument --epochs: '0' is not a whole number above 0"),
    ],
)
def test_train_knows_which_options_a_model_has(options, message, photos, capsys):
    error = _usage_error(capsys, "train", photos, "--model", *options)
    assert error == f"fer-sklearn train: error: {message}"


def test_a_network_is_trained_with_a_line_an_epoch(photos, tmp_path, capsys):
    path = tmp_path / "a.fer"
    options = ["--architecture", "conv3", "--epochs", "2", "--image-size", "16"]
    assert _run("train", photos, "--model", "cnn", *options, "-o", path) == 0
    out, err = capsys.readouterr()
    assert len(re.findall(r"^epoch +\d/2 \| training: loss", err, re.MULTILINE)) == 2
    assert "epoch " not in out
    classifier = load(path)[-1]
    assert (classifier.callbacks, classifier.verbose, classifier.n_iter_) == (None, 0, 2)


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_sees_a_bar(photos, tmp_path, monkeypatch):
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    options = ["--architecture", "conv3", "--epochs", "2", "--image-size", "16"]
    path = tmp_path / "a.fer"
    assert _run("train", photos, "--model", "cnn", *options, "-o", path) == 0
    assert "epoch 2/2: 100%" in terminal.getvalue()
    assert "accuracy=" in terminal.getvalue()
    assert load(path)[-1].callbacks is None


# -- evaluate ---------------------------------------------------------------------------


def test_evaluate_prints_tables(model, photos, capsys):
    assert _run("evaluate", model, photos) == 0
    out, err = capsys.readouterr()
    assert out.startswith("35 images, 7 labels; 95 % intervals")
    assert "subset test" in err


def test_evaluate_formats_agree(model, photos, capsys):
    texts = {}
    for form in ("json", "csv", "markdown"):
        assert _run("evaluate", model, photos, "--format", form) == 0
        texts[form] = capsys.readouterr().out
    accuracy = json.loads(texts["json"])["overall"]["accuracy"]["value"]
    assert accuracy > 0.5
    assert float(_rows(texts["csv"])[0]["value"]) == pytest.approx(accuracy)
    assert f"| accuracy | {accuracy:.3f} |" in texts["markdown"]


def test_evaluate_writes_files(model, photos, tmp_path, capsys):
    scores, picture = tmp_path / "scores.json", tmp_path / "c.png"
    assert _run("evaluate", model, photos, "-o", scores, "--confusion", picture) == 0
    assert capsys.readouterr().out == ""
    assert json.loads(scores.read_text())["n_samples"] == 35
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_evaluate_refuses_other_pictures(model, photos, capsys):
    assert _run("evaluate", model, photos, "--confusion", "c.txt") == 1
    assert capsys.readouterr().err == (
        "fer-sklearn: error: --confusion c.txt must end in .png, .pdf or .svg\n"
    )


# -- tune -------------------------------------------------------------------------------


def test_tune_ranks_and_saves(photos, tmp_path, capsys):
    path = tmp_path / "best.fer"
    grid = ["--grid", "classifier__C=0.001,5", "--grid", "hog__pixels_per_cell=8"]
    options = ["--cv", "2", "--scoring", "macro_f1", "--format", "csv", "-o", path]
    assert _run("tune", photos, "--model", "hog-svm", *grid, *options) == 0
    out, err = capsys.readouterr()
    rows = _rows(out)
    assert [float(row["classifier__C"]) for row in rows] == [5.0, 0.001]
    assert float(rows[0]["macro_f1"]) > float(rows[1]["macro_f1"])
    assert set(SCORES) <= set(rows[0])
    assert "2 candidates × 2 folds = 4 trainings" in err
    best = load(path)
    assert (best[-1].C, best.memory) == (5, None)


def test_tune_prints_a_table_with_short_names(photos, capsys):
    grid = ["--grid", "classifier__kernel=linear,rbf", "--limit", "35", "--cv", "2"]
    assert _run("tune", photos, "--model", "hog-svm", *grid) == 0
    header, rule, *rows = capsys.readouterr().out.splitlines()
    assert header.split("  ")[0] == "rank"
    assert "kernel" in header
    assert "__" not in header
    assert set(rule) == {"-", " "}
    assert len(rows) == 2
    assert re.search(r"0\.\d{3} ± 0\.\d{3}", rows[0])


def test_tune_finds_faces_once_a_fold(photos, capsys):
    options = ["--crop-faces", "--limit", "14", "--cv", "2", "--grid", "classifier__C=1,5"]
    assert _run("tune", photos, "--model", "hog-svm", *options, "--format", "json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 2


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (
            "classifier__CC=1",
            "there is no setting 'classifier__CC'. Did you mean 'classifier__C'?",
        ),
        ("classifier__C", "'classifier__C' is not of the form NAME=VALUE,VALUE"),
    ],
)
def test_tune_tells_a_wrong_grid(grid, message, photos, capsys):
    error = _usage_error(capsys, "tune", photos, "--model", "hog-svm", "--grid", grid)
    assert error == f"fer-sklearn tune: error: argument --grid: {message}"


def test_tune_needs_two_folds(photos, capsys):
    error = _usage_error(capsys, "tune", photos, "--model", "hog-svm", "--cv", "1")
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


# -- predict ----------------------------------------------------------------------------


def test_predict_gives_a_row_a_photo(model, photos, capsys):
    folder = photos / "test" / "happy"
    assert _run("predict", model, folder, "--format", "csv") == 0
    out, err = capsys.readouterr()
    rows = _rows(out)
    assert [row["source"] for row in rows] == sorted(map(str, folder.iterdir()))
    assert {row["status"] for row in rows} == {"ok"}
    assert list(rows[0]) == ["source", "emotion", "decision", "status"]
    predicted = load(model).predict(sorted(map(str, folder.iterdir())))
    assert [row["emotion"] for row in rows] == predicted.tolist()
    assert err == ""


def test_predict_tells_probabilities(cnn, photos, capsys):
    assert _run("predict", cnn, photos / "test", "--format", "json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 35
    assert all(1 / 7 <= row["probability"] <= 1 for row in rows)


def test_predict_goes_on_after_an_unreadable_file(model, photos, tmp_path, capsys):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG")
    good = next((photos / "test" / "sad").iterdir())
    assert _run("predict", model, broken, good, "--format", "csv") == 1
    out, err = capsys.readouterr()
    first, second = _rows(out)
    assert (first["emotion"], first["decision"], first["status"]) == ("", "", "not readable")
    assert second["status"] == "ok"
    warning, error = err.splitlines()
    assert warning.startswith(f"fer-sklearn: warning: {broken}: ")
    assert error == "fer-sklearn: error: 1 of 2 photo(s) could not be read"


def test_predict_finds_faces(model, tmp_path, capsys):
    from skimage.data import astronaut

    write_image(tmp_path / "a.png", astronaut())
    write_image(tmp_path / "b.png", np.full((60, 60), 128, np.uint8))
    assert _run("predict", model, tmp_path, "--crop-faces", "--format", "json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["status"] for row in rows] == ["ok", "no face found"]


def test_predict_asks_about_large_photos(model, tmp_path, capsys):
    write_image(tmp_path / "a.png", np.zeros((400, 300), np.uint8))
    assert _run("predict", model, tmp_path / "a.png") == 0
    assert capsys.readouterr().err == (
        "1 of 1 photo(s) are large, and were taken to show nothing but a face. If they show "
        "more, add --crop-faces.\n"
    )


def test_predict_needs_a_photo_in_a_folder(model, tmp_path, capsys):
    assert _run("predict", model, tmp_path) == 1
    assert capsys.readouterr().err == (
        f"fer-sklearn: error: {tmp_path}: there is no photo in this folder\n"
    )


def test_a_model_that_crops_does_so_photo_by_photo(photos, tmp_path, capsys):
    path = tmp_path / "a.fer"
    options = ["--model", "hog-svm", "--crop-faces", "--limit", "35"]
    assert _run("train", photos, *options, "-o", path) == 0
    blank = tmp_path / "blank.png"
    write_image(blank, np.full((60, 60), 128, np.uint8))
    capsys.readouterr()
    assert _run("predict", path, blank, "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)[0]["status"] == "no face found"


# -- benchmark --------------------------------------------------------------------------


def test_benchmark_without_data_says_that_it_is_synthetic(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_benchmark, "_N_TRAIN", 70)
    monkeypatch.setattr(_benchmark, "_N_TEST", 35)
    assert _run("benchmark", "--epochs", "1", "--output", tmp_path / "out") == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0].split() == ["HOG-SVM", "CNN"]
    assert re.search(r"^accuracy, % +\d+\.\d \(", out, re.MULTILINE)
    assert err.count("SYNTHETIC") == 2
    result = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert result["synthetic"] is True
    assert set(result["models"]) == {"HOG-SVM", "CNN"}
    assert "SYNTHETIC" in (tmp_path / "out" / "benchmark.md").read_text(encoding="utf-8")
    assert (tmp_path / "out" / "confusion_hog_svm.png").stat().st_size > 0


def test_benchmark_on_data(photos, capsys, monkeypatch):
    models = _benchmark._models

    def only_small(args):
        args.data = None
        return models(args)

    monkeypatch.setattr(_benchmark, "_models", only_small)
    options = ["--epochs", "1", "--limit", "35", "--format", "csv"]
    assert _run("benchmark", "--data", photos, *options) == 0
    out, err = capsys.readouterr()
    rows = _rows(out)
    assert {row["model"] for row in rows} == {"HOG-SVM", "CNN"}
    assert {"accuracy", "fit_seconds", "size_bytes"} <= {row["metric"] for row in rows}
    assert "35 images, drawn from 70" in err


def test_benchmark_keeps_an_earlier_result(tmp_path, capsys):
    (tmp_path / "benchmark.json").write_text("{}")
    assert _run("benchmark", "--output", tmp_path) == 1
    assert capsys.readouterr().err == (
        f"fer-sklearn: error: {tmp_path / 'benchmark.json'} exists already. Choose another "
        f"--output, or add --force.\n"
    )


def test_benchmark_limits_only_data(capsys):
    error = _usage_error(capsys, "benchmark", "--limit", "3")
    assert error == "fer-sklearn benchmark: error: argument --limit: only with --data"


# -- info -------------------------------------------------------------------------------


def test_info_shows_what_is_installed(capsys, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert _run("info", "--format", "json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["numpy"] == np.__version__
    assert facts["Keras backend"] == "jax"
    assert int(facts["OpenCV cascades"]) > 0
    assert "extra [fetch]" in facts


def test_info_reads_the_backend_of_the_settings_file(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    assert _run("info") == 0
    assert re.search(r"^Keras backend +torch$", capsys.readouterr().out, re.MULTILINE)


def test_info_says_what_to_type_for_an_extra(capsys, monkeypatch):
    requirements = ["numpy>=1", 'no-such-package>=1; extra == "video"']
    monkeypatch.setattr("importlib.metadata.requires", lambda name: requirements)
    assert _run("info") == 0
    out, err = capsys.readouterr()
    assert re.search(r"^extra \[video\] +not installed: no-such-package$", out, re.MULTILINE)
    assert err == "For no-such-package type: pip install 'fer_sklearn[video]'\n"


def test_info_shows_a_model(cnn, capsys):
    assert _run("info", cnn, "--format", "json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["image size"] == "16×16"
    assert facts["epochs trained"] == 2
    assert facts["probabilities"] == "yes"
    assert facts["classifier"]["architecture"] == "conv3"
    assert facts["classes"][:2] == ["angry", "disgust"]
