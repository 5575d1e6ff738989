"""Persistence: models survive saving and loading, and other files raise errors."""

import json
import os
import pickle
import re
import subprocess
import sys
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from fer_sklearn import load, save

HEADER_BYTES = 1024


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 5)), rng.choice(["happy", "sad"], 60)


@pytest.fixture
def model(data):
    return make_pipeline(StandardScaler(), SVC()).fit(*data)


@pytest.fixture
def saved(model, tmp_path):
    return save(model, tmp_path / "model.joblib")


def _edit_header(path, **changes):
    """Replace entries of the header of a model file."""
    content = path.read_bytes()
    magic, header = content[:HEADER_BYTES].split(b"\n", 1)
    header = json.loads(header) | changes
    head = (magic + b"\n" + json.dumps(header).encode()).ljust(HEADER_BYTES - 1) + b"\n"
    path.write_bytes(head + content[HEADER_BYTES:])


def _header(path):
    return json.loads(path.read_bytes()[:HEADER_BYTES].split(b"\n", 1)[1])


@pytest.mark.parametrize("compress", [0, 3, True, ("gzip", 3), "xz", "bz2"])
def test_saved_models_are_restored(model, data, tmp_path, compress):
    path = save(model, str(tmp_path / "model.joblib"), compress=compress)
    assert path == tmp_path / "model.joblib"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        restored = load(path)
    np.testing.assert_array_equal(
        restored.decision_function(data[0]), model.decision_function(data[0])
    )


def test_saved_models_are_restored_in_a_new_process(model, data, saved, tmp_path):
    np.save(tmp_path / "X.npy", data[0])
    script = (
        "import sys, numpy as np, fer_sklearn\n"
        "scores = fer_sklearn.load(sys.argv[1]).decision_function(np.load(sys.argv[2]))\n"
        "np.save(sys.argv[3], scores)\n"
    )
    paths = [str(saved), str(tmp_path / "X.npy"), str(tmp_path / "scores.npy")]
    subprocess.run([sys.executable, "-c", script, *paths], check=True, timeout=120)
    scores = np.load(tmp_path / "scores.npy")
    np.testing.assert_allclose(scores, model.decision_function(data[0]), rtol=0, atol=1e-6)


def test_the_header_can_be_read_without_loading(saved):
    header = _header(saved)
    assert header["format"] == 1
    assert header["payload_bytes"] == saved.stat().st_size - HEADER_BYTES
    assert header["versions"].keys() >= {"fer_sklearn", "scikit-learn", "numpy", "python"}


def test_compression_makes_the_file_smaller(tmp_path):
    model = StandardScaler().fit(np.ones((2, 50_000)))
    plain = save(model, tmp_path / "plain", compress=0).stat().st_size
    assert save(model, tmp_path / "small").stat().st_size < plain / 10


def test_a_plain_joblib_file_loads(model, data, tmp_path):
    joblib.dump(model, tmp_path / "plain.joblib")
    restored = load(tmp_path / "plain.joblib")
    np.testing.assert_array_equal(restored.predict(data[0]), model.predict(data[0]))


def test_saving_again_replaces_the_file_and_leaves_no_other(model, saved):
    save(DummyClassifier(), saved)
    assert isinstance(load(saved), DummyClassifier)
    assert [path.name for path in saved.parent.iterdir()] == ["model.joblib"]


def test_a_failed_save_keeps_the_old_file(saved):
    before = saved.read_bytes()
    # A lambda cannot be pickled; the array before it is written first.
    broken = DummyClassifier(strategy=np.zeros(100_000), constant=lambda: None)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        save(broken, saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["model.joblib"]


def test_saving_through_a_link_writes_to_what_it_names(model, saved):
    link = saved.parent / "link"
    link.symlink_to(saved)
    save(DummyClassifier(), link)
    assert link.is_symlink()
    assert isinstance(load(saved), DummyClassifier)


def test_saved_files_have_the_usual_permissions(saved):
    (saved.parent / "other").touch()
    assert saved.stat().st_mode == (saved.parent / "other").stat().st_mode


@pytest.mark.parametrize(
    ("estimator", "shown"), [(SVC, "SVC"), ({"a": 1}, "{'a': 1}"), (None, "None")]
)
def test_only_estimators_are_saved(estimator, shown, tmp_path):
    with pytest.raises(TypeError) as caught:
        save(estimator, tmp_path / "model")
    assert str(caught.value) == (
        f"estimator={shown} is not an estimator instance; pass a fitted model."
    )
    assert not (tmp_path / "model").exists()


def test_saving_into_a_missing_folder(model, tmp_path):
    path = tmp_path / "missing" / "model"
    with pytest.raises(FileNotFoundError) as caught:
        save(model, path)
    assert str(caught.value) == (
        f"path={str(path)!r} is in a folder that does not exist, "
        f"{os.path.realpath(path.parent)!r}. Create it first."
    )


def test_saving_onto_a_folder(model, tmp_path):
    with pytest.raises(IsADirectoryError, match=r"is a folder; name a file in it\.$"):
        save(model, tmp_path)


def test_loading_a_missing_file(tmp_path):
    path = tmp_path / "missing"
    with pytest.raises(FileNotFoundError) as caught:
        load(path)
    assert str(caught.value) == f"path={str(path)!r} does not exist; expected a model file."


def test_loading_a_folder(tmp_path):
    with pytest.raises(IsADirectoryError, match=r"is a folder; name a model file in it\.$"):
        load(tmp_path)


@pytest.mark.parametrize("lost", [1, 500])
def test_loading_a_truncated_file(saved, lost):
    content = saved.read_bytes()
    saved.write_bytes(content[:-lost])
    with pytest.raises(ValueError, match="truncated or damaged") as caught:
        load(saved)
    assert str(caught.value) == (
        f"path={str(saved)!r} has {len(content) - lost} bytes where {len(content)} were saved: "
        f"it is truncated or damaged. Copy it again from where it was saved."
    )


def test_loading_a_file_that_ends_within_its_header(saved):
    saved.write_bytes(saved.read_bytes()[:60])
    with pytest.raises(ValueError, match=r"whose header is damaged or truncated\. Copy it again"):
        load(saved)


def test_loading_a_file_with_damaged_bytes(saved):
    content = bytearray(saved.read_bytes())
    content[HEADER_BYTES + 40 : HEADER_BYTES + 80] = bytes(40)
    saved.write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot be read as a model file \("):
        load(saved)


@pytest.mark.parametrize("content", [b"", b"emotion,pixels\n0,1 2 3\n", b"PK\x03\x04 a zip"])
def test_loading_another_object(tmp_path, content):
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"is damaged, or neither fer_sklearn\.save nor joblib\.dump wrote it\.$"
    ):
        load(path)


def test_loading_a_pickle_of_something_else(tmp_path):
    joblib.dump({"a": 1}, tmp_path / "dict")
    with pytest.raises(ValueError, match=r"contains an object of type dict; expected an estimator"):
        load(tmp_path / "dict")


def test_loading_a_newer_format(saved):
    _edit_header(saved, format=2, versions={"fer_sklearn": "9.0"})
    with pytest.raises(
        ValueError,
        match=r"has the file format 2, of fer_sklearn 9\.0; this version, .*, reads formats up "
        r"to 1\. Type: pip install --upgrade fer_sklearn$",
    ):
        load(saved)


@pytest.mark.parametrize("name", ["fer_sklearn", "scikit-learn"])
def test_another_minor_version_warns(saved, name):
    versions = _header(saved)["versions"]
    here = versions[name]
    _edit_header(saved, versions=versions | {name: "0.0.7"})
    with pytest.warns(UserWarning, match=re.escape(f"{name} 0.0.7 (here {here})")) as caught:
        load(saved)
    assert len(caught) == 1
    assert Path(caught[0].filename) == Path(__file__)


def test_another_patch_version_does_not_warn(saved):
    versions = _header(saved)["versions"]
    patched = ".".join(versions["scikit-learn"].split(".")[:2]) + ".99"
    _edit_header(saved, versions=versions | {"scikit-learn": patched})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(saved).get_params()


def test_code_missing_in_this_process_is_named(saved, monkeypatch, tmp_path):
    (tmp_path / "own_code.py").write_text(
        "from sklearn.dummy import DummyClassifier\nclass Own(DummyClassifier):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import own_code

    save(own_code.Own(), saved)
    monkeypatch.delitem(sys.modules, "own_code")
    (tmp_path / "own_code.py").unlink()
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'own_code'$"):
        load(saved)
