"""`fer-sklearn train`."""

import io
import re
import shlex
import sys

import pytest
from running import run, usage_error

from fer_sklearn import load


def test_train_saves_a_model_and_prints_a_summary(photos, tmp_path, capsys):
    path = tmp_path / "a.fer"
    options = ["--C", "2", "--image-size", "32", "--class-weight", "balanced"]
    assert run("train", photos, "--model", "hog-svm", *options, "-o", path) == 0
    out, err = capsys.readouterr()
    assert re.search(r"^images +70$", out, re.MULTILINE)
    assert "70 images" in err
    classifier = load(path)[-1]
    assert (classifier.C, classifier.class_weight) == (2.0, "balanced")
    assert load(path)["resize"].size == 32


def test_the_hint_at_the_end_is_a_command_that_works(photos, tmp_path, capsys):
    path = tmp_path / "my model.fer"
    assert run("train", photos, "--model", "hog-svm", "--image-size", "32", "-o", path) == 0
    hint = capsys.readouterr().err.splitlines()[-1]
    evaluate, predict = hint.removeprefix("Next: ").split(", or: ")
    photo = next((photos / "test" / "happy").iterdir())
    for command, subject in ((evaluate, photos), (predict, photo)):
        program, *arguments = shlex.split(command.replace("DATA", "PHOTO"))
        assert program == "fer-sklearn"
        arguments[arguments.index("PHOTO")] = subject
        assert run(*arguments) == 0
    assert str(path) in arguments[arguments.index("--model") + 1]


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
