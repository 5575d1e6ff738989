"""Every recipe of the cookbook works as described, in a shell and in Python."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from pages import COOKBOOK, code_blocks
from running import csv_rows, started_service

# What each recipe prints.
PRINTED = {
    "Your own labels": r"\['reserved' 'welcoming'\] \['welcoming'\]",
    "A video, person by person": r"\nface +0 +1\n",
    "A folder that takes all night": r"happy +3\n",
    "A service": r"\['happy', 'happy'\]",
    "A phone": r"happy +0\.9\d+ +ok",
    "Abstain rather than guess": r"'uncertain'[^]]*\]\n0\.6\d+ SelectiveAccuracy.*=0\.7",
    "Rare labels": r"None 0\.4\d\d .*\nbalanced 0\.8\d\d ",
    "An audit of your data": r"1 blank image, 1 copy[\s\S]*\n60 +welcoming|\n60 +reserved",
    "Which of two models is better?": r"no significant difference in accuracy",
}

# `fer-sklearn` of this environment; nothing is installed, and the service runs already.
SHELL = """
set -eu
fer-sklearn() { if [ "$1" != serve ]; then "$PYTHON" -m fer_sklearn "$@"; fi; }
pip() { :; }
"""
TENSORFLOW_IS_MISSING = """
import sys

sys.modules.update(dict.fromkeys(("tensorflow", "keras", "scikeras")))
from fer_sklearn.cli import main

sys.exit(main(sys.argv[1:]))
"""


def _sections():
    text = COOKBOOK.read_text(encoding="utf-8")
    samples, *recipes = re.split(r"^## ", text, flags=re.MULTILINE)
    return samples, {recipe.partition("\n")[0]: recipe for recipe in recipes}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the sample files of the cookbook."""
    folder = tmp_path_factory.mktemp("cookbook")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        _run_blocks(_sections()[0], "http://127.0.0.1:8000")
    return folder


def _run_blocks(section, address):
    """Run the blocks of a section in order, with the service at an address."""
    python = [(line, code, True) for line, code in code_blocks(section, "python")]
    shell = [(line, code, False) for line, code in code_blocks(section, "bash")]
    namespace = {"__name__": "__main__"}
    for line, code, is_python in sorted(python + shell):
        code = code.replace("http://127.0.0.1:8000", address)
        if is_python:
            exec(compile("\n" * line + code, str(COOKBOOK), "exec"), namespace)
        else:
            environment = {"PYTHON": sys.executable}
            subprocess.run(["bash", "-c", SHELL + code], check=True, env=os.environ | environment)


def test_there_are_ten_recipes():
    assert list(_sections()[1]) == [*PRINTED, "A container"]


@pytest.mark.keras
@pytest.mark.slow
@pytest.mark.parametrize("recipe", PRINTED)
def test_a_recipe_works(recipe, folder, monkeypatch, capfd):
    if not shutil.which("bash") or not shutil.which("curl"):
        pytest.skip("needs bash and curl")
    monkeypatch.chdir(folder)
    section = _sections()[1][recipe]
    if "fer-sklearn serve" in section:
        with started_service() as (_, port):
            _run_blocks(section, f"http://127.0.0.1:{port}")
    else:
        _run_blocks(section, "")
    printed = capfd.readouterr().out
    assert re.search(PRINTED[recipe], printed), printed


@pytest.mark.slow
def test_the_container_predicts(folder, monkeypatch):
    """Its program, on its arguments, without TensorFlow; what it installs is tested elsewhere."""
    monkeypatch.chdir(folder)
    section = _sections()[1]["A container"]
    ((_, recipe),) = code_blocks(section, "dockerfile")
    program = json.loads(re.search(r"ENTRYPOINT (.*)", recipe)[1])
    assert program[0] == "fer-sklearn"
    ((_, shell),) = code_blocks(section, "bash")
    words = shlex.split(shell.replace("\\\n", ""))
    mounted = words[words.index("--volume") + 1].split(":")
    assert mounted == ["$PWD/photos", "/photos", "ro"]
    arguments = words[words.index("emotions", words.index("run")) + 1 : words.index(">")]
    arguments = [re.sub("^/photos", "photos", argument) for argument in arguments]
    done = subprocess.run(
        [sys.executable, "-c", TENSORFLOW_IS_MISSING, *program[1:], *arguments],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert [row["emotion"] for row in csv_rows(done.stdout)] == ["happy"] * 3
