"""Loading exported files: ordinary classifiers, without TensorFlow."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline

from fer_sklearn import (
    FERCNNClassifier,
    GrayscaleResizer,
    PixelNormalizer,
    export,
    load_exported,
    load_fer2013,
    load_pretrained,
)


@pytest.fixture(scope="module")
def tiny():
    return load_pretrained("tiny")


@pytest.fixture(scope="module", params=["tflite", pytest.param("onnx", marks=pytest.mark.slow)])
def path(request, tiny, tmp_path_factory):
    if request.param == "onnx":
        pytest.importorskip("tf2onnx")
    path = tmp_path_factory.mktemp("exported") / f"m.{request.param}"
    export(tiny, path)
    return path


@pytest.fixture
def copied(path, tmp_path):
    """A copy that a test may damage."""
    for name in (path.name, f"{path.name}.json"):
        (tmp_path / name).write_bytes((path.parent / name).read_bytes())
    return tmp_path / path.name


@pytest.mark.keras
def test_it_predicts_like_the_pipeline(path, tiny, faces):
    X, _ = faces
    loaded = load_exported(path)
    expected = tiny.predict_proba(X)
    np.testing.assert_allclose(loaded.predict_proba(X), expected, atol=1e-4)
    np.testing.assert_array_equal(loaded.predict(X), tiny.predict(X))
    neighbours = loaded.predict_proba(np.roll(X, 1, axis=0))
    assert abs(neighbours - expected).max() > 1e-2


@pytest.mark.keras
def test_it_takes_what_the_pipeline_takes(path, tiny, faces):
    X, _ = faces
    loaded = load_exported(path, n_threads=1)
    photos = [X[0], np.repeat(X[1][..., None], 3, axis=2), X[2][:40, :33], X[3] / 255]
    np.testing.assert_allclose(loaded.predict_proba(photos), tiny.predict_proba(photos), atol=1e-4)
    flat = X.reshape(len(X), -1)
    np.testing.assert_allclose(loaded.predict_proba(flat), tiny.predict_proba(X), atol=1e-4)


@pytest.mark.keras
def test_it_works_with_other_classifiers(path, tiny, faces):
    X, y = faces
    loaded = load_exported(path)
    assert is_classifier(loaded)
    assert loaded.n_features_in_ == 48 * 48
    pipeline = make_pipeline(GrayscaleResizer(48), PixelNormalizer(), loaded).fit(X, y)
    expected = tiny.predict_proba(X)
    np.testing.assert_allclose(pipeline.predict_proba(X), expected, atol=1e-4)
    for method, wanted in (("predict_proba", expected), ("predict", tiny.predict(X))):
        found = cross_val_predict(loaded, X, y, cv=3, method=method)
        if method == "predict":
            np.testing.assert_array_equal(found, wanted)
        else:
            np.testing.assert_allclose(found, wanted, atol=1e-4)
    for copy in (pickle.loads(pickle.dumps(loaded)), clone(loaded).fit(X, y)):
        np.testing.assert_array_equal(copy.predict_proba(X), loaded.predict_proba(X))


@pytest.mark.slow
def test_one_batch_more_or_less_changes_nothing(tiny, faces, tmp_path):
    X, _ = faces
    export(tiny, tmp_path / "four.tflite", batch_size=4, input_size=(96, 144))
    predictions = load_exported(tmp_path / "four.tflite").predict_proba(X[:9])
    np.testing.assert_allclose(predictions, tiny.predict_proba(X[:9]), atol=1e-4)


@pytest.mark.keras
@pytest.mark.parametrize(
    "kind", [bool, *(pytest.param(kind, marks=pytest.mark.slow) for kind in (np.int64, float))]
)
def test_labels_that_are_numbers_stay_numbers(small_faces, tmp_path, kind):
    from networks import small_network  # with Keras, which other tests here do without

    X, y = small_faces
    numbers = 2 * np.unique(y, return_inverse=True)[1] - 4  # as text, they have another order
    model = FERCNNClassifier(architecture=small_network, epochs=1, random_state=0)
    model.fit(X, numbers > 0 if kind is bool else numbers.astype(kind))
    export(model, tmp_path / "m.tflite")
    loaded = load_exported(tmp_path / "m.tflite")
    assert loaded.classes_.tolist() == model.classes_.tolist()
    assert (loaded.predict(X) == model.predict(X)).all()


@pytest.mark.slow
def test_a_bare_classifier_takes_the_pixels_it_was_trained_on(faces, tmp_path):
    X, _ = faces
    pixels = X / np.float32(255)
    classifier = load_pretrained("tiny")[-1]
    export(classifier, tmp_path / "c.tflite")
    loaded = load_exported(tmp_path / "c.tflite")
    for given in (pixels, X, pixels.reshape(len(X), -1)):
        np.testing.assert_allclose(
            loaded.predict_proba(given), classifier.predict_proba(pixels), atol=1e-4
        )
    with pytest.raises(ValueError, match=r"has pixels from 0 to 255 .*on pixels from 0 to 1"):
        loaded.predict_proba(pixels * 255)


@pytest.mark.keras
def test_tensorflow_is_not_loaded(path):
    code = (
        "import sys, numpy as np\n"
        "from fer_sklearn import load_exported\n"
        "load_exported(sys.argv[1]).predict_proba(np.zeros((2, 48, 48), np.uint8))\n"
        "assert not {'tensorflow', 'keras', 'scikeras'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, timeout=300)


def test_it_scores_as_the_original_on_fer2013(path, tiny, fer2013_path):
    X, y = load_fer2013(fer2013_path, subset="public", return_X_y=True)
    expected = (tiny.predict(X) == y).mean()
    assert abs((load_exported(path).predict(X) == y).mean() - expected) < 0.002


@pytest.mark.keras
def test_missing_and_damaged_files_are_rejected(copied):
    metadata = copied.with_name(f"{copied.name}.json")
    description = json.loads(metadata.read_text())
    copied.write_bytes(copied.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"does not match the checksum"):
        load_exported(copied)
    metadata.write_text(json.dumps(description | {"version": 9}))
    with pytest.raises(ValueError, match=r"by a newer fer_sklearn.*pip install --upgrade"):
        load_exported(copied)
    labels = description["labels"]
    for changed in (
        {"version": "nine"},
        {"labels": None},
        {"labels": labels[:-1]},
        {"labels": [*labels[:-1], labels[0]]},
        {"numeric_labels": [1, 2]},
        {"input": {}},
        {"input": description["input"] | {"kind": "colour"}},
        {"files": {}},
    ):
        metadata.write_text(json.dumps(description | changed))
        with pytest.raises(
            ValueError, match=r"is damaged, or fer_sklearn\.export did not write it"
        ):
            load_exported(copied)
    metadata.write_text("{}")
    with pytest.raises(ValueError, match=r"is damaged, or fer_sklearn\.export did not write it"):
        load_exported(copied)
    metadata.unlink()
    with pytest.raises(FileNotFoundError, match=r"\.json' does not exist.*Copy both"):
        load_exported(copied)
    with pytest.raises(FileNotFoundError, match=r"no\.tflite' does not exist"):
        load_exported(copied.with_name("no.tflite"))


@pytest.mark.slow
def test_a_format_that_needs_tensorflow_is_rejected(tiny, tmp_path):
    export(tiny, tmp_path / "saved", format="saved_model")
    with pytest.raises(ValueError, match=r"has the format 'saved_model'; expected 'tflite' or"):
        load_exported(tmp_path / "saved")
