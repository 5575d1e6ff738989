"""The packages for browsers are installed completely, once, and at their pinned versions."""

import json
import os
import stat
from pathlib import Path

import pytest

import fer_sklearn
from fer_sklearn.exporting import run_tfjs
from fer_sklearn.exporting._web import MissingNodeError, find_node, find_npm, install_packages

WEB = Path(fer_sklearn.__file__).parent / "exporting" / "web"
needs_sh = pytest.mark.skipif(os.name == "nt", reason="the stand-ins for npm are shell scripts")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty folder of downloaded files."""
    folder = tmp_path / "home"
    monkeypatch.setenv("FER_SKLEARN_DATA", str(folder))
    return folder


@pytest.fixture
def on_path(tmp_path, monkeypatch):
    """Put stand-ins, by name, on an otherwise empty PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def put(**scripts):
        for name, script in scripts.items():
            path = folder / name
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(path.stat().st_mode | stat.S_IXUSR)

    return put


def test_missing_npm_is_reported(home, on_path):
    assert find_node() is None
    assert find_npm() is None
    with pytest.raises(MissingNodeError, match=r"npm.*was not found.*https://nodejs.org"):
        install_packages()
    assert not home.exists()


@needs_sh
def test_npm_needs_node(home, on_path):
    on_path(npm="exit 0")
    assert find_npm() is None


@needs_sh
def test_packages_are_installed_once(home, on_path):
    on_path(
        node="", npm='[ "$1" = ci ] && [ -f package-lock.json ] && PATH=/bin mkdir node_modules'
    )
    folder = install_packages()
    assert folder.is_dir()
    on_path(npm="exit 1")
    assert install_packages() == folder
    assert [path.name for path in home.iterdir()] == [folder.parent.name]


def check_installation_fails(home, message):
    """Check the error, and that nothing is left behind."""
    with pytest.raises(MissingNodeError, match=message):
        install_packages()
    assert list(home.iterdir()) == []


@needs_sh
def test_failed_installation_leaves_nothing_behind(home, on_path):
    on_path(node="", npm="PATH=/bin mkdir node_modules; echo no connection >&2; exit 7")
    check_installation_fails(home, r"(?s)status 7.*no connection.*npm ping")


@needs_sh
def test_npm_has_a_time_limit(home, on_path, monkeypatch):
    on_path(node="", npm="PATH=/bin exec sleep 60")
    monkeypatch.setattr("fer_sklearn.exporting._web._INSTALL_TIME_LIMIT", 0.5)
    check_installation_fails(home, r"did not finish within 0\.5 seconds")


@needs_sh
def test_running_needs_node(home, on_path, tmp_path):
    on_path(node="", npm="PATH=/bin mkdir node_modules")
    install_packages()
    (tmp_path / "bin" / "node").unlink()
    with pytest.raises(MissingNodeError, match=r"node, which .* was not found.*https://nodejs.org"):
        run_tfjs(tmp_path, [[0.0]])


def test_every_package_is_pinned():
    wanted = json.loads((WEB / "package.json").read_text())["dependencies"]
    assert all(version[0].isdigit() for version in wanted.values())
    packages = json.loads((WEB / "package-lock.json").read_text())["packages"]
    assert packages[""]["dependencies"] == wanted
    for name, package in packages.items():
        if name:
            assert package["resolved"].startswith("https://registry.npmjs.org/"), name
            assert package["integrity"].startswith("sha512-"), name
