"""Show notebooks on the site, with the outputs that are stored in them.

``python docs/_extensions/notebooks.py docs/notebooks/*.ipynb`` runs notebooks and stores their
outputs.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from myst_parser.parsers.sphinx_ import MystParser

# What a cell shows, the best first.
_KINDS = ("image/png", "text/html", "text/plain")


def as_markdown(notebook: dict) -> str:
    """Return a notebook as MyST Markdown."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            parts.append(_fence("python", source))
            parts += filter(None, map(_output, cell["outputs"]))
        else:
            parts.append(source)
    return "\n\n".join(parts) + "\n"


def _output(output):
    if output["output_type"] == "stream":
        return _text("".join(output["text"]))
    kind = next(kind for kind in _KINDS if kind in output["data"])
    content = "".join(output["data"][kind])
    if kind == "image/png":
        data = content.replace("\n", "")
        return f"![A figure that the lines above plot](data:image/png;base64,{data})"
    if kind == "text/html":
        return _fence("{raw} html", f'<div class="notebook-output">{content}</div>')
    return _text(content)


def _text(content):
    return _fence("{code-block} text", ":class: notebook-output\n\n" + content.rstrip())


def _fence(kind, content):
    return f"``````{kind}\n{content}\n``````"


class NotebookParser(MystParser):
    """Parse a notebook as the Markdown that it becomes."""

    supported = ("ipynb",)

    def parse(self, inputstring, document):
        title, _, text = as_markdown(json.loads(inputstring)).partition("\n")
        name = Path(document["source"]).name
        download = f"{{download}}`Download this notebook <{name}>`, to run it yourself."
        super().parse(f"{title}\n\n{download}\n{text}", document)


def run(path: Path) -> None:
    """Run a notebook on synthetic faces, and store it with its outputs."""
    import nbclient
    import nbformat

    # With FER2013 it would train for hours. A kernel shows plots only with its default backend.
    for variable in ("FER2013_PATH", "MPLBACKEND"):
        os.environ.pop(variable, None)
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TMPDIR"] = folder
        resources = {"metadata": {"path": folder}}
        nbclient.NotebookClient(notebook, timeout=900, resources=resources).execute()
    for cell in notebook.cells:
        # The times of its cells change with every run.
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [one for one in cell.outputs if not _is_log(one)]
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.write(notebook, path)


def _is_log(output):
    # TensorFlow logs to stdout in a notebook, other libraries to stderr.
    return output.get("name") == "stderr" or output.get("text", "").startswith("INFO:tensorflow")


def setup(app):
    """Register the extension with Sphinx."""
    app.add_source_suffix(".ipynb", "ipynb")
    app.add_source_parser(NotebookParser)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    for name in sys.argv[1:]:
        run(Path(name))
