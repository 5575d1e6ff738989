"""The notebook that rebuilds five published ones runs, and is stored with its outputs."""

import shutil
import sys
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs the extra: pip install '.[docs]'")
pytest.importorskip("nbclient", reason="needs the extra: pip install '.[docs]'")

DOCS = Path(__file__).parents[2] / "docs"
PATH = DOCS / "notebooks" / "fer_with_sklearn.ipynb"


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(PATH, as_version=4)


def _code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _outputs(notebook):
    return [output for cell in _code(notebook) for output in cell.outputs]


def _kinds(cell):
    """Return the types of a cell's outputs: "image/png", "text/html" or the name of a stream."""
    return [sorted(output.get("data", [output.get("name")])) for output in cell.outputs]


def test_it_is_stored_as_a_run_left_it(notebook):
    counts = [cell.execution_count for cell in _code(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    for output in _outputs(notebook):
        assert output.output_type in ("stream", "display_data", "execute_result")
        # Neither logs nor paths of the machine.
        assert output.get("name") != "stderr"
        assert "/tmp" not in output.get("text", output.get("data", {}).get("text/plain", ""))


@pytest.mark.parametrize("name", ["conv4_dense3", "vgg_elu", "conv3", "conv4_wide"])
def test_it_has_the_network_of_each_original(notebook, name):
    assert any(f'architecture="{name}"' in cell.source for cell in _code(notebook))


def _shown(notebook, kind):
    """Return the outputs of a MIME type, such as "image/png" or "text/plain"."""
    return [output.data[kind] for output in _outputs(notebook) if kind in output.get("data", {})]


@pytest.mark.nightly
@pytest.mark.timeout(1200)  # on a busy machine; a minute on an idle one
def test_it_runs_and_shows_what_is_stored(notebook, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(DOCS / "_extensions")
    from notebooks import run

    # Changes made by the run are undone.
    for variable in ("FER2013_PATH", "MPLBACKEND", "TMPDIR"):
        monkeypatch.setenv(variable, "")
    for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(threads, "1")
    path = tmp_path / PATH.name
    shutil.copy(PATH, path)
    run(path)
    done = nbformat.read(path, as_version=4)
    assert list(map(_kinds, _code(done))) == list(map(_kinds, _code(notebook)))
    assert len(_shown(done, "image/png")) >= 5  # samples, curves, photo, timeline, confusion
    printed = "".join(output.get("text", "") for output in _outputs(done))
    assert "the same label for 100.0% of the test images" in printed
    assert "pixels" in printed  # those that the network of (b) rejects
    table = _shown(done, "text/plain")[-1]
    assert {line.split()[0] for line in table.splitlines()[1:]} == {"a", "b", "c", "d", "HOG-SVM"}
    sys.modules.pop("notebooks")
