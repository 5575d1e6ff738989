"""Models side by side."""

import pytest

from fer_sklearn import (
    HOGSVMClassifier,
    benchmark_models,
    benchmark_table,
    make_faces,
    make_hog_svm_pipeline,
)


@pytest.fixture(scope="module")
def entries():
    train = make_faces(140, random_state=0, return_X_y=True)
    test = make_faces(70, random_state=1, return_X_y=True)
    models = {
        "RBF": make_hog_svm_pipeline(),
        "linear": make_hog_svm_pipeline(HOGSVMClassifier(kernel="linear", random_state=0)),
    }
    started = []
    entries = benchmark_models(models, train, test, on_start=started.append)
    assert started == ["RBF", "linear"]
    return entries


def test_each_model_is_scored_on_all_test_images(entries):
    for entry in entries.values():
        assert entry.report.n_samples == 70
        assert entry.report.overall["accuracy"].value > 0.7


def test_costs_are_measured(entries):
    for entry in entries.values():
        assert entry.fit_seconds > 0
        assert entry.predict_seconds > 0
        assert entry.size_bytes > 10_000


def test_the_dictionary_has_scores_and_costs(entries):
    found = entries["RBF"].to_dict()
    assert {"overall", "per_emotion", "fit_seconds", "size_bytes"} <= set(found)


def test_the_table_has_a_row_a_model_and_the_interval(entries):
    lines = benchmark_table(entries).splitlines()
    assert lines[0] == "**70 test images, 95 % bootstrap intervals**"
    assert [line.split(" | ")[0] for line in lines[4:]] == ["| RBF", "| linear"]
    accuracy = entries["RBF"].report.overall["accuracy"]
    assert f"{100 * accuracy.value:.1f} ({100 * accuracy.low:.1f}–" in lines[4]
