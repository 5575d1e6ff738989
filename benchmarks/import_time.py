"""How long does ``import fer_sklearn`` take, beside what its users import anyway?

Fresh interpreters import this package and ``sklearn.pipeline, sklearn.svm`` by turns, so
that a busy machine slows both alike; the medians are compared. The aim is a ratio of at
most 1.3::

    python benchmarks/import_time.py
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

PACKAGE = "import fer_sklearn"
REFERENCE = "import sklearn.pipeline, sklearn.svm"
AIM = 1.3
RESULT = Path(__file__).parent / "results" / "import_time.json"


def seconds(statement):
    """Return how long a fresh interpreter takes for an import."""
    script = (
        f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def measure(repeats):
    """Import both by turns and return the result as a dictionary."""
    times = {PACKAGE: [], REFERENCE: []}
    for statement in times:  # Once for the disk cache and the bytecode.
        seconds(statement)
    for _ in range(repeats):
        for statement, measured in times.items():
            measured.append(seconds(statement))
    medians = {statement: statistics.median(measured) for statement, measured in times.items()}
    return {
        "question": "import time of fer_sklearn as a multiple of scikit-learn's",
        "ratio": round(medians[PACKAGE] / medians[REFERENCE], 4),
        "aim": AIM,
        "median_seconds": {name: round(value, 4) for name, value in medians.items()},
        "repeats": repeats,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("fer_sklearn", "scikit-learn", "numpy")},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--repeats", type=int, default=7, help="imports of each (default: 7)")
    parser.add_argument("--output", type=Path, default=RESULT, help="where the JSON goes")
    arguments = parser.parse_args()
    result = measure(arguments.repeats)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"{result['ratio']:.3f} times {REFERENCE!r} (aim: at most {AIM})")
    return 0 if result["ratio"] <= AIM else 1


if __name__ == "__main__":
    sys.exit(main())
