"""The program as a whole: help, start-up, errors and imports."""

import os
import re
import shlex
import subprocess
import sys
import tempfile

import numpy as np
import pytest
from running import run, usage_error

from fer_sklearn import weights
from fer_sklearn.cli import _make_parser
from fer_sklearn.cli._models import ARCHITECTURES, SHIPPED
from fer_sklearn.cli._output import quiet_start_up
from fer_sklearn.cli._train import SCORES
from fer_sklearn.cnn.architectures import ARCHITECTURES as ALL_ARCHITECTURES
from fer_sklearn.evaluation import SCORING
from fer_sklearn.images import write_image

COMMANDS = (
    *("train", "evaluate", "tune", "predict", "video", "webcam", "export", "benchmark", "info"),
)


@pytest.mark.parametrize("command", [(), *((command,) for command in COMMANDS)])
def test_help_has_an_example_and_fits_80_columns(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as caught:
        run(*command, "--help")
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


def test_an_unknown_model_names_the_bundled_ones(capsys):
    assert run("predict", "photo.jpg", "--model", "hog") == 1
    assert capsys.readouterr().err == (
        "fer-sklearn: error: path='hog' does not exist; expected a model file, or default or tiny "
        "for a bundled one.\n"
    )


def test_debug_shows_the_traceback():
    with pytest.raises(FileNotFoundError):
        run("info", "no.fer", "--debug")


def test_a_closed_pipe_is_not_an_error():
    command = [sys.executable, "-m", "fer_sklearn", "info"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode == 1
    assert errors == b""


@pytest.mark.parametrize("streams", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_not_an_error(tmp_path, streams):
    (tmp_path / "text.jpg").write_text("a text")
    write_image(tmp_path / "photo.png", np.zeros((48, 48), np.uint8))
    command = f"{sys.executable} -m fer_sklearn predict . --no-crop-faces -o rows.csv {streams}"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, timeout=120)
    assert done.returncode == 1  # one of the photos cannot be read
    assert b"Traceback" not in done.stderr
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 3


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_names_that_the_output_cannot_encode_are_escaped(tmp_path, encoding):
    write_image(tmp_path / "日本.png", np.zeros((48, 48), np.uint8))
    command = [sys.executable, "-m", "fer_sklearn", "predict", "日本.png", "–.png"]
    done = subprocess.run(
        [*command, "--no-crop-faces"],
        cwd=tmp_path,
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": encoding},
        timeout=120,
    )
    lines = done.stdout.decode(encoding).splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("日本.png" if encoding == "utf-8" else r"\u65e5\u672c.png")
    assert b"there is no such file" in done.stderr


def _examples():
    """Yield the examples in the help of the program and of every command."""
    program = _make_parser()
    (commands,) = program._subparsers._group_actions
    assert set(COMMANDS) <= set(commands.choices)
    for parser in (program, *commands.choices.values()):
        for line in parser.epilog.replace("\\\n", " ").splitlines():
            if line.startswith("  fer-sklearn "):
                yield re.sub(r"( {3,}| [>|] ).*", "", line.strip())


@pytest.mark.parametrize("example", list(_examples()))
def test_examples_are_commands_that_exist(example):
    _, *arguments = shlex.split(example)
    assert callable(_make_parser().parse_args(arguments).run)


def test_a_command_is_needed(capsys):
    message = usage_error(capsys)
    assert message.startswith("fer-sklearn: error: a COMMAND is missing; expected one of predict, ")
    assert message.endswith(", serve. Type: fer-sklearn --help")
    assert usage_error(capsys, "--model") == "fer-sklearn: error: unrecognized arguments: --model"


def test_copied_names_are_complete():
    assert sorted(ARCHITECTURES) == sorted(ALL_ARCHITECTURES)
    assert list(SCORES) == list(SCORING)
    assert SHIPPED == weights.SHIPPED


START_UP = b"I0000 00:00:1795254230.82 15393 port.cc:153] oneDNN custom operations are on.\n"


@pytest.mark.parametrize(
    ("enabled", "expected"), [(True, b"kept\n"), (False, START_UP + b"kept\n")]
)
def test_start_up_messages_are_removed(enabled, expected, capfdbinary, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet_start_up(enabled=enabled):
        os.write(2, START_UP + b"kept\n")
    assert capfdbinary.readouterr().err == expected


def test_start_up_where_no_file_can_be_written(capfdbinary, monkeypatch):
    def refuse():
        raise OSError("read-only file system")

    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with quiet_start_up(enabled=True):
        os.write(2, b"kept\n")
    assert capfdbinary.readouterr().err == b"kept\n"


@pytest.mark.slow
@pytest.mark.parametrize("which", ["cnn", "shipped"])
def test_no_library_prints_to_the_terminal(cnn, photos, which):
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    model = cnn if which == "cnn" else "tiny"
    command = [sys.executable, "-m", "fer_sklearn", "predict", photos / "test" / "sad"]
    done = subprocess.run(
        [*command, "--no-crop-faces", "--model", model],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0
    # The command's own summary, and nothing else.
    assert re.fullmatch(r"9 photo\(s\); 9 face\(s\); 0 photo.*unreadable; [\d.]+ s\n", done.stderr)
