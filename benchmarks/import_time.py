"""How long does `import fer_sklearn` take, relative to what its users import anyway?

    python benchmarks/import_time.py

New interpreters alternately import this package and `sklearn.pipeline, sklearn.svm`, so that a
busy machine slows both equally; the medians are compared. The target is a ratio of at most 1.3.
Importing only the package takes almost no time, since names are loaded when they are first used;
so the import of the HOG-SVM pipeline is timed too. Writes benchmarks/results/import_time.json.
"""

import statistics
import subprocess
import sys

from _common import argument_parser, write_result

PACKAGE = "import fer_sklearn"
PIPELINE = "from fer_sklearn import make_hog_svm_pipeline"
REFERENCE = "import sklearn.pipeline, sklearn.svm"
TARGET = 1.3


def seconds(statement):
    """Return the seconds that an import takes in a new interpreter."""
    script = (
        f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def measure(repeats):
    """Time all imports alternately."""
    times = {PACKAGE: [], PIPELINE: [], REFERENCE: []}
    for statement in times:  # once for the disk cache and the bytecode
        seconds(statement)
    for _ in range(repeats):
        for statement, measured in times.items():
            measured.append(seconds(statement))
    medians = {statement: statistics.median(measured) for statement, measured in times.items()}
    return {
        "question": "import time of fer_sklearn relative to scikit-learn's",
        "ratio": round(medians[PACKAGE] / medians[REFERENCE], 4),
        "ratio_with_pipeline": round(medians[PIPELINE] / medians[REFERENCE], 4),
        "aim": TARGET,
        "median_seconds": {name: round(value, 4) for name, value in medians.items()},
        "repeats": repeats,
    }


def main():
    parser = argument_parser(__doc__, data=False)
    parser.add_argument("--repeats", type=int, default=7, help="imports of each (default: 7)")
    args = parser.parse_args()
    result = measure(args.repeats)
    write_result("import_time", result, args.output)
    print(f"{result['ratio']:.3f} times {REFERENCE!r} (target: at most {TARGET})")
    print(f"{result['ratio_with_pipeline']:.3f} times with make_hog_svm_pipeline")
    return 0 if result["ratio"] <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
