"""Configuration of tests and doctests: settings made before any import, and the slow ones."""

import os

# matplotlib and TensorFlow read these once, when they are imported.
os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "PYTEST_XDIST_WORKER" in os.environ:
    # As many processes as cores run already.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        os.environ.setdefault(variable, "1")

import pytest

# Tests with one of these are slow: the built site, a cluster, a browser, the whole of FER2013.
SLOW_FIXTURES = {"site", "cluster", "client", "browser", "packages", "fer2013_path"}
# Doctests of several seconds.
SLOW_DOCTESTS = {
    "fer_sklearn.cnn._classifier.FERCNNClassifier.auxiliary_classifier",
    "fer_sklearn.exporting._export.export",
    "fer_sklearn.exporting._formats.to_litert",
    "fer_sklearn.inference.load_exported",
}


def pytest_configure(config):
    named = [argument for argument in config.invocation_params.args if "::" in argument]
    if named and "-m" not in config.invocation_params.args:
        # Tests named on the command line run even if they are slow.
        config.option.markexpr = ""


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items):
    for item in items:
        slow = SLOW_FIXTURES & set(getattr(item, "fixturenames", ()))
        if slow or item.name in SLOW_DOCTESTS or item.get_closest_marker("nightly"):
            item.add_marker(pytest.mark.slow)
    # The site takes minutes to build. A process whose tests begin with those of the site builds it
    # for all of them: others steal tests from the end of its list.
    items.sort(key=lambda item: "site" not in getattr(item, "fixturenames", ()))
