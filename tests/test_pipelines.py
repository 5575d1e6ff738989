"""Pipelines: tuning, comparison, caching and saving as a whole."""

import subprocess
import sys
import textwrap

import joblib
import keras
import numpy as np
import pytest
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedGroupKFold,
    StratifiedKFold,
    cross_val_score,
)

from fer_sklearn import (
    CNN_GRID,
    DESCRIPTOR_SVM_GRID,
    HOG_SVM_GRID,
    SCORING,
    FaceCropper,
    FERCNNClassifier,
    LBPExtractor,
    duplicate_groups,
    make_cnn_pipeline,
    make_descriptor_svm_pipeline,
    make_faces,
    make_hog_svm_pipeline,
)

QUICK = {"epochs": 20, "batch_size": 32, "learning_rate": 2e-3, "dropout": 0.0, "random_state": 0}


@pytest.fixture(scope="module")
def drawn():
    return make_faces(210, noise=3, random_state=0, return_X_y=True)


def quick_cnn(**parameters):
    return make_cnn_pipeline(FERCNNClassifier(**(QUICK | parameters)), size=24)


def test_steps_of_the_pipelines():
    assert list(make_hog_svm_pipeline().named_steps) == ["resize", "hog", "pca", "classifier"]
    with_faces = make_cnn_pipeline(crop_faces=True)
    assert list(with_faces.named_steps) == ["crop", "resize", "normalize", "classifier"]


def test_a_custom_cropper():
    cropper = FaceCropper(framing="box")
    assert make_hog_svm_pipeline(crop_faces=cropper)[0] is cropper


@pytest.mark.parametrize(
    ("make", "grid"),
    [
        (make_hog_svm_pipeline, HOG_SVM_GRID),
        (make_descriptor_svm_pipeline, DESCRIPTOR_SVM_GRID),
        (make_cnn_pipeline, CNN_GRID),
    ],
)
def test_every_name_of_a_grid_is_a_parameter(make, grid):
    assert set(grid) <= set(make().get_params())


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_grid_search_tunes_preprocessing_and_svm_together(drawn, n_jobs):
    grid = {"hog__pixels_per_cell": [6, 16], "classifier__C": [0.001, 5.0]}
    search = GridSearchCV(
        make_hog_svm_pipeline(), grid, cv=2, n_jobs=n_jobs, scoring=SCORING, refit="macro_f1"
    ).fit(*drawn)
    assert search.best_params_["classifier__C"] == 5.0
    assert search.best_score_ > 0.8
    assert {"mean_test_accuracy", "mean_test_balanced_accuracy"} <= set(search.cv_results_)


@pytest.mark.slow
def test_several_descriptors_use_the_mirror_image(drawn):
    X, y = drawn
    pipeline = make_descriptor_svm_pipeline().fit(X[:140], y[:140])
    assert pipeline.score(X[140:], y[140:]) > 0.9
    turned = pipeline.decision_function(X[140:, :, ::-1])
    np.testing.assert_allclose(pipeline.decision_function(X[140:]), turned, atol=1e-3)


def test_grid_search_tunes_descriptors_by_name(drawn):
    pipeline = make_descriptor_svm_pipeline(descriptors=[("lbp", LBPExtractor(grid=1))])
    grid = {"features__transformer__lbp__grid": [1, 6]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(*drawn)
    assert search.best_params_ == {"features__transformer__lbp__grid": 6}


@pytest.mark.slow
def test_grid_search_tunes_preprocessing_and_cnn_together(drawn):
    grid = {"resize__size": [8, 24], "classifier__learning_rate": [1e-6, 2e-3]}
    found = [
        GridSearchCV(quick_cnn(epochs=8), grid, cv=2, n_jobs=n_jobs, refit=False).fit(*drawn)
        for n_jobs in (1, 2)
    ]
    assert found[0].best_params_ == {"resize__size": 24, "classifier__learning_rate": 2e-3}
    np.testing.assert_array_equal(
        found[0].cv_results_["mean_test_score"], found[1].cv_results_["mean_test_score"]
    )


@pytest.mark.slow
def test_both_models_are_compared_on_the_same_folds(drawn):
    folds = StratifiedKFold(2, shuffle=True, random_state=0)
    for pipeline in (make_hog_svm_pipeline(), quick_cnn()):
        assert cross_val_score(pipeline, *drawn, cv=folds).min() > 0.5


def test_copies_stay_in_one_fold(drawn):
    X, y = (np.concatenate([part, part[:70]]) for part in drawn)
    groups = duplicate_groups(X)
    for train, test in StratifiedGroupKFold(3).split(X, y, groups):
        assert not set(groups[train]) & set(groups[test])


def test_cached_steps_are_computed_once(drawn, tmp_path, monkeypatch):
    from fer_sklearn.features import _combine, _hog

    calls = []

    def counted(real):
        return lambda *args, **options: calls.append(real.__name__) or real(*args, **options)

    monkeypatch.setattr(_hog, "hog_batch", counted(_hog.hog_batch))
    monkeypatch.setattr(_combine, "make_pca", counted(_combine.make_pca))
    pipeline = make_hog_svm_pipeline(memory=str(tmp_path))
    pipeline.fit(*drawn)
    assert calls == ["hog_batch", "make_pca"]
    pipeline.set_params(classifier__C=1.0).fit(*drawn)
    assert calls == ["hog_batch", "make_pca"]


def test_photos_of_any_size_in_one_list(drawn):
    X, y = drawn
    photos = [np.stack([np.pad(face, i % 3)] * 3, axis=-1) for i, face in enumerate(X)]
    pipeline = make_hog_svm_pipeline().fit(X, y)
    assert pipeline.score(photos, y) > 0.9


def own_network(meta):
    layers = [keras.Input(meta["input_shape"]), keras.layers.Flatten()]
    return keras.Sequential([*layers, keras.layers.Dense(meta["n_classes"], "softmax")])


@pytest.mark.parametrize(
    "make",
    [
        make_hog_svm_pipeline,
        pytest.param(quick_cnn, marks=pytest.mark.slow),
        pytest.param(
            lambda: quick_cnn(architecture=own_network, dropout=None), marks=pytest.mark.nightly
        ),
    ],
    ids=["hog-svm", "named architecture", "own architecture"],
)
def test_joblib_gives_the_same_predictions_in_a_new_process(drawn, tmp_path, make):
    X, y = drawn
    pipeline = make().fit(X, y)
    joblib.dump(pipeline, tmp_path / "model.joblib")
    np.save(tmp_path / "faces.npy", X[:20])
    method = "predict_proba" if hasattr(pipeline, "predict_proba") else "decision_function"
    code = f"""
        import joblib, numpy as np
        pipeline = joblib.load("model.joblib")
        np.save("predictions.npy", pipeline.{method}(np.load("faces.npy")))
    """
    (tmp_path / "test_pipelines.py").write_text(_own_network_alone(), encoding="utf-8")
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, check=True)
    predictions = np.load(tmp_path / "predictions.npy")
    np.testing.assert_allclose(predictions, getattr(pipeline, method)(X[:20]), atol=1e-6)


def _own_network_alone():
    """A module from which the new process imports the user's function."""
    import inspect

    return "import keras\n\n\n" + inspect.getsource(own_network)
