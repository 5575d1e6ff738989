"""The notebook that rebuilds five published ones runs from the first cell to the last."""

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs the extra: pip install '.[docs]'")
nbclient = pytest.importorskip("nbclient", reason="needs the extra: pip install '.[docs]'")

PATH = Path(__file__).parents[2] / "docs" / "notebooks" / "fer_with_sklearn.ipynb"


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(PATH, as_version=4)


def _code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_is_stored_without_outputs(notebook):
    for cell in _code(notebook):
        assert cell.outputs == []
        assert cell.execution_count is None


@pytest.mark.parametrize("name", ["conv4_dense3", "vgg_elu", "conv3", "conv4_wide"])
def test_it_has_the_network_of_each_original(notebook, name):
    assert any(f'architecture="{name}"' in cell.source for cell in _code(notebook))


def _shown(notebook, kind):
    """Return the outputs of a MIME type, such as "image/png" or "text/plain"."""
    outputs = [output for cell in _code(notebook) for output in cell.outputs]
    return [output.data[kind] for output in outputs if kind in output.get("data", {})]


@pytest.mark.slow
@pytest.mark.timeout(1200)  # on a busy machine; a minute on an idle one
def test_it_runs(notebook, monkeypatch, tmp_path):
    # With FER2013 it would train for hours. A kernel shows plots only with its default backend.
    for variable in ("FER2013_PATH", "MPLBACKEND"):
        monkeypatch.delenv(variable, raising=False)
    for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(threads, "1")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    client = nbclient.NotebookClient(
        notebook, timeout=900, resources={"metadata": {"path": str(tmp_path)}}
    )
    done = client.execute()
    assert all(cell.execution_count for cell in _code(done))
    assert len(_shown(done, "image/png")) >= 5  # samples, curves, photo, timeline, confusion
    printed = "".join(
        output.text
        for cell in _code(done)
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stdout"
    )
    assert "the same label for 100.0% of the test images" in printed
    assert "pixels" in printed  # those that the network of (b) rejects
    table = _shown(done, "text/plain")[-1]
    assert {line.split()[0] for line in table.splitlines()[1:]} == {"a", "b", "c", "d", "HOG-SVM"}
