"""Benchmark of several models."""

import json

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from fer_sklearn import (
    HOGSVMClassifier,
    benchmark_models,
    make_faces,
    make_hog_svm_pipeline,
)
from fer_sklearn._utils.tables import to_json_value


@pytest.fixture(scope="module")
def benchmark():
    train = make_faces(140, random_state=0, return_X_y=True)
    test = make_faces(70, random_state=1, return_X_y=True)
    models = {
        "RBF": make_hog_svm_pipeline(),
        "linear": make_hog_svm_pipeline(HOGSVMClassifier(kernel="linear", random_state=0)),
    }
    started = []
    benchmark = benchmark_models(models, train, test, on_start=started.append)
    assert started == ["RBF", "linear"]
    return benchmark


def test_each_model_is_scored_on_all_test_images(benchmark):
    for entry in benchmark.values():
        assert entry.report.n_samples == 70
        assert entry.report.overall["accuracy"].value > 0.7


def test_costs_are_measured(benchmark):
    for entry in benchmark.values():
        assert entry.fit_seconds > 0
        assert entry.predict_seconds > 0
        assert entry.size_bytes > 10_000


def test_the_dictionary_has_scores_times_and_sizes(benchmark):
    found = benchmark["RBF"].to_dict()
    assert {"overall", "per_emotion", "fit_seconds", "size_bytes"} <= set(found)


def test_the_table_has_one_row_per_model_and_the_intervals(benchmark):
    lines = benchmark.to_markdown().splitlines()
    assert lines[0] == "**70 test images, 95 % intervals**"
    assert [line.split(" | ")[0] for line in lines[4:]] == ["| RBF", "| linear"]
    accuracy = benchmark["RBF"].report.overall["accuracy"]
    assert f"{100 * accuracy.value:.1f} ({100 * accuracy.low:.1f}–" in lines[4]


def test_the_printed_table_has_one_column_per_model(benchmark):
    headline, _, header, *rows = repr(benchmark).splitlines()
    assert headline == "70 test images, 95 % intervals"
    assert header.split() == ["RBF", "linear"]
    accuracy = benchmark["linear"].report.overall["accuracy"]
    assert rows[0].startswith("accuracy, %")
    assert f"{100 * accuracy.value:.1f} ({100 * accuracy.low:.1f}–" in rows[0]
    assert any(row.startswith("F1 of happy, %") for row in rows)
    assert "<table>" in benchmark._repr_html_()


def test_the_frame_has_scores_and_costs_of_each_model(benchmark):
    frame = benchmark.to_frame().set_index(["model", "emotion", "metric"])
    for name, entry in benchmark.items():
        accuracy = frame.loc[name, "all", "accuracy"]
        assert tuple(accuracy) == entry.report.overall["accuracy"]
        assert frame.loc[(name, "all", "size_bytes"), "value"] == entry.size_bytes


def test_a_model_that_cannot_be_dumped_has_no_size():
    data = [[0.0], [1.0], [0.0], [1.0]], ["a", "b", "a", "b"]
    model = make_pipeline(FunctionTransformer(lambda X: X), DummyClassifier())
    benchmark = benchmark_models({"dummy": model}, data, data)
    assert np.isnan(benchmark["dummy"].size_bytes)
    assert benchmark.to_markdown().splitlines()[-1].endswith("| – |")
    assert repr(benchmark).split()[-1] == "–"
    assert json.loads(benchmark.to_json())["dummy"]["size_bytes"] is None


@pytest.mark.parametrize("estimators", [{}, [DummyClassifier()]])
def test_models_have_names(estimators):
    with pytest.raises(ValueError, match="must be a mapping of at least one name"):
        benchmark_models(estimators, ([], []), ([], []))


def test_json_is_that_of_the_dictionary(benchmark):
    assert json.loads(benchmark.to_json()) == to_json_value(benchmark.to_dict())
