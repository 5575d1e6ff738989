"""`fer-sklearn train`."""

import io
import re
import shlex
import shutil
import sys
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import pytest
from running import run, usage_error, write_folder

from fer_sklearn import duplicate_groups, load, make_faces, read_image
from fer_sklearn.cli._data import hold_out, load_labelled
from fer_sklearn.persistence import read_card


def test_train_saves_a_model_and_prints_a_summary(photos, tmp_path, capsys):
    path = tmp_path / "a.fer"
    options = ["--C", "2", "--image-size", "32", "--class-weight", "balanced"]
    assert run("train", photos, "--model", "hog-svm", *options, "-o", path) == 0
    out, err = capsys.readouterr()
    assert re.search(r"^images +63$", out, re.MULTILINE)
    assert "70 images" in err
    assert "Held out 7 of these" in err
    card = read_card(path)
    assert (card["data"]["name"], card["data"]["n_images"]) == (photos.name, 63)
    assert card["data"]["digest"].startswith("sha256:")
    assert card["evaluated_on"]["n_images"] == card["scores"]["n_images"] == 7
    accuracy = card["scores"]["metrics"][0]
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    classifier = load(path)[-1]
    assert (classifier.C, classifier.class_weight) == (2.0, "balanced")
    assert load(path)["resize"].size == 32


def test_the_hint_at_the_end_is_a_command_that_works(photos, tmp_path, capsys):
    path = tmp_path / "my model.fer"
    assert run("train", photos, "--model", "hog-svm", "--image-size", "32", "-o", path) == 0
    err = capsys.readouterr().err
    _run_hint(err, photos)
    assert err.splitlines()[-1].endswith(f"--model {shlex.quote(str(path))}")


@pytest.mark.parametrize("name", ["tiny", "-mine.fer"])
def test_the_hint_names_the_file_and_nothing_else(photos, tmp_path, capsys, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert run("train", photos, "--model", "hog-svm", "--image-size", "32", f"--output={name}") == 0
    err = capsys.readouterr().err
    assert re.search(rf"evaluate \./{name} DATA, or: .* --model \./{name}$", err.strip())
    _run_hint(err, photos)


@pytest.fixture(scope="module")
def moods(tmp_path_factory):
    """A folder of 60 faces with labels that no bundled model has, and copies of three of them."""
    folder = tmp_path_factory.mktemp("moods")
    X, y = make_faces(105, random_state=3, return_X_y=True)
    rows = np.flatnonzero(np.isin(y, ["happy", "surprise", "sad", "fear"]))
    labels = np.where(np.isin(y[rows], ["happy", "surprise"]), "bright", "low mood")
    write_folder(folder, X[rows], labels)
    for photo in sorted((folder / "bright").iterdir())[:3]:
        shutil.copy(photo, photo.with_stem(f"copy of {photo.stem}"))
    return folder


@pytest.fixture(scope="module")
def from_tiny(moods, tmp_path_factory):
    """The output of `train --from tiny`, and its model."""
    path = tmp_path_factory.mktemp("models") / "my moods.fer"
    output = io.StringIO(), io.StringIO()
    with redirect_stdout(output[0]), redirect_stderr(output[1]):
        assert run("train", moods, "--from", "tiny", "-o", path) == 0
    return *(stream.getvalue() for stream in output), path


def test_a_bundled_network_learns_labels_of_a_folder(from_tiny, moods):
    out, err, path = from_tiny
    assert re.search(r"^labels +bright, low mood$", out, re.MULTILINE)
    assert "Training a new head of tiny on 57 images" in err
    model = load(path)
    assert model.classes_.tolist() == ["bright", "low mood"]
    photos = sorted(moods.glob("*/*.png"))
    assert model.score(photos, [photo.parent.name for photo in photos]) > 0.9


def test_it_is_scored_on_images_that_are_held_out(from_tiny):
    out, err, path = from_tiny
    assert "Held out 6 of these to score the model; --hold-out 0 trains on all" in err
    assert "6 images, 2 labels; 95 % intervals" in out
    assert re.search(r"^accuracy +\d\.\d{3} +\d\.\d{3}–\d\.\d{3}$", out, re.MULTILINE)
    for label in ("bright", "low mood"):
        assert re.search(rf"^{label} +\d\.\d{{3}} \(.* +3$", out, re.MULTILINE)
    picture = path.with_name("my moods_confusion.png")
    assert read_image(picture).std() > 5
    assert f"Confusion matrix: {picture}" in err
    assert "training data" not in err  # of which `evaluate` warns


def test_its_hint_is_a_command_that_works(from_tiny, moods, capsys):
    _, err, path = from_tiny
    _run_hint(err, moods)
    assert shlex.quote(str(path)) in err.splitlines()[-1]
    assert "bright" in capsys.readouterr().out


def _run_hint(err, data):
    """Run both commands of the last line that a command printed."""
    evaluate, predict = err.splitlines()[-1].removeprefix("Next: ").split(", or: ")
    photo = sorted(data.rglob("*.png"))[0]
    for command, subject in ((evaluate, data), (predict, photo)):
        program, *arguments = shlex.split(command.replace("DATA", "PHOTO"))
        assert program == "fer-sklearn"
        arguments[arguments.index("PHOTO")] = subject
        assert run(*arguments) == 0


def test_tuning_a_new_head_ends_with_the_same(moods, tmp_path, capsys):
    path = tmp_path / "tuned.fer"
    assert run("tune", moods, "--from", "tiny", "--cv", "2", "-o", path) == 0
    out, err = capsys.readouterr()
    assert "10 candidates × 2 folds = 20 fits" in err
    assert "6 images, 2 labels; 95 % intervals" in out
    assert re.search(r"^hyperparameters +classifier__class_weight=", out, re.MULTILINE)
    assert path.with_name("tuned_confusion.png").exists()
    _run_hint(err, moods)


def test_copies_are_held_out_together(moods):
    data = load_labelled(str(moods))
    for seed in range(20):
        training, held_out = hold_out(data, 0.3, seed)
        assert len(training.target) + len(held_out.target) == 63
        assert set(held_out.target) == set(training.target) == {"bright", "low mood"}
        both = np.concatenate([training.images, held_out.images])
        groups = duplicate_groups(both)
        assert not set(groups[: len(training.target)]) & set(groups[len(training.target) :])
        assert 0.2 < len(held_out.target) / 63 < 0.4


def test_all_images_are_used_without_a_held_out_part(moods, tmp_path, capsys):
    path = tmp_path / "all.fer"
    assert run("train", moods, "--from", "tiny", "--hold-out", "0", "-o", path) == 0
    out, err = capsys.readouterr()
    assert re.search(r"^images +63$", out, re.MULTILINE)
    assert "accuracy" not in out
    assert "Held out" not in err
    assert [file.name for file in tmp_path.iterdir()] == ["all.fer"]


def test_a_label_with_one_image_cannot_be_held_out(moods, tmp_path, capsys):
    folder = tmp_path / "photos"
    shutil.copytree(moods, folder)
    (folder / "rare").mkdir()
    shutil.copy(next((moods / "bright").iterdir()), folder / "rare" / "1.png")
    shutil.copy(folder / "rare" / "1.png", folder / "rare" / "2.png")
    assert run("train", folder, "--from", "tiny", "-o", tmp_path / "a.fer") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "the label rare has" in error
    assert "--hold-out 0" in error


@pytest.mark.slow
def test_more_of_the_network(moods, tmp_path, capsys):
    path = tmp_path / "deep.fer"
    options = ["--trainable", "last_stage", "--epochs", "1", "--no-augmentation"]
    assert run("train", moods, "--from", "tiny", *options, "-o", path) == 0
    err = capsys.readouterr().err
    assert "Training the last stage of tiny" in err
    assert re.search(r"^epoch +1/1", err, re.MULTILINE)
    assert load(path)[-1].n_iter_ == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--from", "tiny", "--model", "cnn"], "argument --model/-m: not allowed with argument"),
        ([], "one of the arguments --from --model/-m is required"),
        (["--from", "tiny", "--C", "3"], "--C: only for --model hog-svm"),
        (["--from", "tiny", "--dropout", "0.1"], "--dropout: only for --model cnn"),
        (["--from", "tiny", "--image-size", "32"], "--image-size: not with --from"),
        (["--from", "tiny", "--epochs", "3"], "--epochs: only for --trainable last_stage or all"),
        (["--model", "cnn", "--trainable", "all"], "--trainable: only with --from"),
        (["--model", "cnn", "--hold-out", "1"], "argument --hold-out: '1' is not a number of at"),
        (
            ["--model", "cnn", "--hold-out", "0", "--confusion", "a.png"],
            "argument --confusion: not",
        ),
    ],
)
def test_train_rejects_contradictory_options(options, message, moods, capsys):
    assert message in usage_error(capsys, "train", moods, *options)


@pytest.mark.parametrize("option", ["--output", "--confusion"])
def test_outputs_replace_neither_each_other_nor_the_data(option, moods, tmp_path, capsys):
    data, other = tmp_path / "data.png", tmp_path / "a.png"
    data.write_text("as a table or an archive")
    paths = {"--output": other, "--confusion": other}
    options = [word for pair in paths.items() for word in pair]
    assert run("train", moods, "--from", "tiny", *options) == 1
    assert "a.png: this file is that of --output. Choose another" in capsys.readouterr().err
    options = [word for pair in (paths | {option: data}).items() for word in pair]
    assert run("train", data, "--from", "tiny", "--force", *options) == 1
    assert f"{option} {data}: this file is read. Choose another" in capsys.readouterr().err
    assert run("train", data, "--from", "tiny", "--force", "--hold-out", "0", "-o", data) == 1
    assert not other.exists()
    assert data.read_text().startswith("as a")


def test_an_unknown_network(moods, tmp_path, capsys):
    assert run("train", moods, "--from", "tini", "-o", tmp_path / "a.fer") == 1
    assert "no weights named 'tini'" in capsys.readouterr().err


def test_train_refuses_to_replace_a_file(photos, model, capsys):
    assert run("train", photos, "--model", "hog-svm", "-o", model) == 1
    assert capsys.readouterr().err == (
        f"fer-sklearn: error: --output={str(model)!r} exists already. Choose another file, or add "
        f"--force to replace it.\n"
    )


def test_train_replaces_a_file_with_force(photos, tmp_path):
    path = tmp_path / "a.fer"
    path.write_text("old")
    assert run("train", photos, "--model", "hog-svm", "-o", path, "--force") == 0
    assert load(path).classes_.shape == (7,)


def test_train_needs_a_folder_for_its_file(photos, tmp_path, capsys):
    path = tmp_path / "no" / "a.fer"
    assert run("train", photos, "--model", "hog-svm", "-o", path) == 1
    assert capsys.readouterr().err == (
        f"fer-sklearn: error: --output={str(path)!r} is in a folder that does not exist, "
        f"{str(path.parent)!r}. Create it first.\n"
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
        (
            ["cnn", "--random-state", "-1"],
            "argument --random-state: '-1' is not a whole number from 0 to 4294967295",
        ),
    ],
)
def test_train_checks_which_options_a_model_has(options, message, photos, capsys):
    error = usage_error(capsys, "train", photos, "--model", *options)
    assert error == f"fer-sklearn train: error: {message}"


def test_training_a_network_prints_one_line_per_epoch(photos, tmp_path, capsys):
    path = tmp_path / "a.fer"
    options = ["--architecture", "conv3", "--epochs", "2", "--image-size", "16"]
    assert run("train", photos, "--model", "cnn", *options, "-o", path) == 0
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
    assert run("train", photos, "--model", "cnn", *options, "-o", path) == 0
    assert "epoch 2/2: 100%" in terminal.getvalue()
    assert "accuracy=" in terminal.getvalue()
    assert load(path)[-1].callbacks is None
