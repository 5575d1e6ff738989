"""Time of ``import fer_sklearn``, compared with what its users import anyway.

Fresh interpreters alternately import this package and ``sklearn.pipeline, sklearn.svm``, so that
other load slows both equally; the medians are compared. The target is a ratio of at most 1.3.
Importing the package alone takes almost no time, since names are loaded when they are first used;
so the HOG-SVM pipeline, which loads what scikit-learn's users have, is timed too.

    python benchmarks/import_time.py
"""

import argparse
import statistics
import subprocess
import sys

from _common import write_result

PACKAGE = "import fer_sklearn"
PIPELINE = "from fer_sklearn import make_hog_svm_pipeline"
REFERENCE = "import sklearn.pipeline, sklearn.svm"
AIM = 1.3


def seconds(statement):
    """Return the time a fresh interpreter takes for an import."""
    script = (
        f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def measure(repeats):
    """Import both alternately and return the result as a dictionary."""
    times = {PACKAGE: [], PIPELINE: [], REFERENCE: []}
    for statement in times:  # Warm up the disk cache and the bytecode.
        seconds(statement)
    for _ in range(repeats):
        for statement, measured in times.items():
            measured.append(seconds(statement))
    medians = {statement: statistics.median(measured) for statement, measured in times.items()}
    return {
        "question": "import time of fer_sklearn as a multiple of scikit-learn's",
        "ratio": round(medians[PACKAGE] / medians[REFERENCE], 4),
        "ratio_with_pipeline": round(medians[PIPELINE] / medians[REFERENCE], 4),
        "aim": AIM,
        "median_seconds": {name: round(value, 4) for name, value in medians.items()},
        "repeats": repeats,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--repeats", type=int, default=7, help="repeats of each (default: 7)")
    arguments = parser.parse_args()
    result = measure(arguments.repeats)
    write_result("import_time", result)
    print(f"{result['ratio']:.3f} times {REFERENCE!r} (aim: at most {AIM})")
    print(f"{result['ratio_with_pipeline']:.3f} times with make_hog_svm_pipeline")
    return 0 if result["ratio"] <= AIM else 1


if __name__ == "__main__":
    sys.exit(main())
