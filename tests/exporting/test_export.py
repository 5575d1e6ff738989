"""Exports predict like the pipeline, describe themselves, and are complete or absent."""

import hashlib
import json
import sys
import warnings

import keras
import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from fer_sklearn import (
    BlazeFaceDetector,
    FaceCropper,
    FERCNNClassifier,
    PixelNormalizer,
    export,
    load_exported,
    load_pretrained,
    make_cnn_pipeline,
    make_faces,
    make_hog_svm_pipeline,
)
from fer_sklearn.exceptions import ExportError, MissingExtraError
from fer_sklearn.exporting import _formats
from fer_sklearn.exporting._graph import _crop, serving_model, take_apart
from fer_sklearn.images import resize

FOLDERS = ("saved_model", "tfjs")
FILES = {"tflite": "model.tflite", "onnx": "model.onnx"}


@pytest.fixture(scope="module")
def tiny():
    return load_pretrained("tiny", crop_faces=True)


@pytest.fixture(scope="module")
def small(small_faces):
    """A network of a pipeline for images of 24 × 24 pixels, barely trained."""
    X, y = small_faces
    return make_cnn_pipeline(FERCNNClassifier(epochs=1, random_state=0), size=24).fit(
        X[:70], y[:70]
    )


def read_metadata(path):
    file = path / "fer_sklearn.json" if path.is_dir() else path.with_name(f"{path.name}.json")
    return json.loads(file.read_text(encoding="utf-8"))


# The graph.


@pytest.mark.parametrize(
    "size",
    [
        *[(48, 48), (96, 96), (100, 90), (30, 30), (131, 170), (192, 96)],
        *[(48, 30), (30, 48), (131, 40), (30, 100)],  # a side that shrinks or stays, one that grows
    ],
)
def test_graph_preprocesses_faces_of_any_size_like_the_pipeline(tiny, faces, size):
    parts = take_apart(tiny)
    rgb = np.stack([resize(face, size) for face in faces[0][:8]])
    rgb = np.stack([rgb, 255 - rgb // 2, rgb // 3 * 2], axis=-1)
    y_proba = serving_model(parts)(rgb.astype(np.float32), training=False).numpy()
    np.testing.assert_allclose(y_proba, parts.predict_proba(rgb), atol=1e-5)
    swapped = serving_model(parts)(rgb[..., ::-1].astype(np.float32), training=False).numpy()
    assert abs(swapped - y_proba).max() > 1e-3


@pytest.mark.parametrize("flip", [False, True])
def test_graph_standardises_and_averages_like_the_pipeline(small_faces, flip):
    X, y = small_faces
    classifier = FERCNNClassifier(epochs=1, random_state=0, test_time_augmentation=flip)
    pipeline = make_cnn_pipeline(classifier, size=24, normalize="standard").fit(X[:70], y[:70])
    flat = np.concatenate([X[:9], np.full((1, 24, 24), 7, np.uint8)])
    rgb = np.repeat(flat[..., None], 3, axis=-1)
    y_proba = serving_model(take_apart(pipeline))(rgb.astype(np.float32), training=False).numpy()
    np.testing.assert_allclose(y_proba, pipeline.predict_proba(rgb), atol=1e-5)


# Every format.


@pytest.mark.parametrize(
    ("detector", "name"),
    [
        ("blazeface", "blazeface"),
        (BlazeFaceDetector(), "blazeface"),
        (BlazeFaceDetector(min_score=0.9), "BlazeFaceDetector(min_score=0.9, min_face_size=24"),
        ("haar", "haar"),
        (len, "<built-in function len>"),
    ],
)
def test_the_detector_is_named_and_a_page_warns_of_another_one(tiny, detector, name):
    model = make_pipeline(FaceCropper(detector=detector), *(step for _, step in tiny.steps[1:]))
    parts = take_apart(model)
    assert _crop(parts, "tflite")["detector"].startswith(name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert _crop(parts, "web")["detector"] == "blazeface"
    expected = [] if name == "blazeface" else [f"detector={name}"]
    assert len(caught) == len(expected)
    assert all(text in str(one.message) for text, one in zip(expected, caught, strict=True))


@pytest.mark.parametrize(
    "format",
    [
        pytest.param(format, marks=[] if format == "tflite" else pytest.mark.slow)
        for format in [*FOLDERS, *FILES]
    ],
)
def test_every_format_agrees_and_describes_its_input(tiny, tmp_path, format):
    if format == "onnx":
        pytest.importorskip("tf2onnx")
    path = tmp_path / FILES.get(format, "folder")
    metadata = export(tiny, path, format=format, accuracy={"mine": 0.5})
    assert metadata["check"]["faces"] == 64
    assert metadata["check"]["largest_difference"] < 1e-4
    assert metadata == read_metadata(path)
    assert metadata["labels"] == tiny.classes_.tolist()
    assert metadata["input"]["range"] == [0, 255]
    assert metadata["crop"] == {"detector": "blazeface", "framing": "keypoints"}
    assert metadata["mirror_average"] is True
    assert metadata["accuracy"] == {"mine": 0.5}
    assert metadata["licence"].startswith("MIT")
    assert "gray" in metadata["preprocessing"]["in_the_graph"]
    root = path if path.is_dir() else tmp_path
    for name, file in metadata["files"].items():
        content = (root / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (
            file["bytes"],
            file["sha256"],
        )
    expected = {path.name} if path.is_dir() else {path.name, f"{path.name}.json"}
    assert {file.name for file in tmp_path.iterdir()} == expected


def test_suffix_implies_the_format_and_a_pretrained_model_its_accuracy(tiny, tmp_path):
    metadata = export(tiny, tmp_path / "m.tflite", input_size=96, batch_size=2)
    assert metadata["input"]["shape"] == [2, 96, 96, 3]
    assert metadata["preprocessing"]["in_the_graph"] == ["gray", "resize", "normalize"]
    assert 0.8 < metadata["accuracy"]["people's majority, PublicTest, with mirror images"] < 0.9
    assert metadata["label_set"] == "people"


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float16", "dynamic_int8", "int8"])
def test_quantised_files_are_smaller_and_report_label_agreement(tiny, tmp_path, precision):
    images = make_faces(256, random_state=1).images
    plain = export(tiny, tmp_path / "plain.tflite")["files"]["plain.tflite"]["bytes"]
    metadata = export(
        tiny,
        tmp_path / "q.tflite",
        precision=precision,
        representative_data=images,
        min_label_agreement=0.9,
    )
    assert metadata["files"]["q.tflite"]["bytes"] < 0.7 * plain
    assert 0.9 <= metadata["check"]["label_agreement"] <= 1
    assert metadata["check"]["faces"] == (64 if precision == "int8" else 256)
    assert metadata["input"]["dtype"] == ("uint8" if precision == "int8" else "float32")
    assert metadata["input"]["kind"] == ("gray" if precision == "int8" else "rgb")
    y_proba = load_exported(tmp_path / "q.tflite").predict_proba(images)
    np.testing.assert_allclose(y_proba.sum(axis=1), 1, atol=1e-5)


def test_classifier_without_pipeline_takes_pixels_as_in_training(small_faces, tmp_path):
    X, y = small_faces
    X = (X / np.float32(255) - 0.5) * 4
    classifier = FERCNNClassifier(epochs=1, random_state=0).fit(X[:70], y[:70])
    metadata = export(classifier, tmp_path / "c.tflite")
    assert metadata["input"]["kind"] == "pixels"
    assert metadata["input"]["range"] == [pytest.approx(X[:70].min()), pytest.approx(X[:70].max())]
    assert metadata["input"]["shape"] == [1, 24, 24, 1]
    assert metadata["crop"] is None


def test_the_input_of_a_pipeline_without_a_resizer_is_not_normalised_yet(small_faces, tmp_path):
    X, y = small_faces
    classifier = FERCNNClassifier(epochs=1, random_state=0)
    pipeline = make_pipeline(PixelNormalizer(method="standard"), classifier).fit(X[:70], y[:70])
    metadata = export(pipeline, tmp_path / "s.tflite")
    assert metadata["input"]["range"] == [0, 1]
    found = load_exported(tmp_path / "s.tflite").predict_proba(X)
    np.testing.assert_allclose(found, pipeline.predict_proba(X), atol=1e-5)


@pytest.mark.slow
def test_half_precision_network_is_exported_in_float32(small_faces, tmp_path):
    X, y = small_faces
    classifier = FERCNNClassifier(epochs=1, dtype_policy="mixed_bfloat16", random_state=0)
    pipeline = make_pipeline(PixelNormalizer(), classifier).fit(X[:70], y[:70])
    assert export(pipeline, tmp_path / "m.tflite")["check"]["largest_difference"] < 1e-4
    assert classifier.dtype_policy == "mixed_bfloat16"


@pytest.mark.slow
def test_search_exports_its_best_estimator(small_faces, tmp_path):
    X, y = small_faces
    grid = {"learning_rate": [1e-3]}
    search = GridSearchCV(FERCNNClassifier(epochs=1, random_state=0), grid, cv=2)
    with pytest.raises(TypeError, match=r"has a GridSearchCV.*Fit the search first"):
        export(search, tmp_path / "s.tflite")
    export(search.fit(X[:70], y[:70]), tmp_path / "s.tflite")


# Exports that disagree are not kept.


def tamper_with_export(monkeypatch, tamper):
    to_litert = _formats.to_litert
    monkeypatch.setattr(
        _formats, "to_litert", lambda model, **options: tamper(to_litert, model, options)
    )


@pytest.mark.slow
def test_different_outputs_are_refused(small, tmp_path, monkeypatch):
    right = serving_model(take_apart(small), size=(24, 24), batch_size=1)
    wrong = keras.Model(right.inputs, keras.ops.roll(right.outputs[0], 1, axis=1))
    tamper_with_export(monkeypatch, lambda convert, model, options: convert(wrong, **options))
    with pytest.raises(
        ExportError, match=r"differs from the original by .* expected at most 0\.0001"
    ):
        export(small, tmp_path / "m.tflite")
    with pytest.raises(
        ExportError, match=r"the same label as the original.*min_label_agreement=0\.97"
    ):
        export(small, tmp_path / "m.tflite", precision="float16")
    assert not list(tmp_path.iterdir())


def test_file_that_is_too_small_is_refused(small, tmp_path, monkeypatch):
    tamper_with_export(
        monkeypatch, lambda convert, model, options: convert(model, **options)[:1000]
    )
    with pytest.raises(ExportError, match=r"has 1,000 bytes; .* weights as float32 need"):
        export(small, tmp_path / "m.tflite")
    assert not list(tmp_path.iterdir())


def test_file_that_returns_nan_is_refused(small, tmp_path, monkeypatch):
    right = serving_model(take_apart(small), size=(24, 24), batch_size=1)
    wrong = keras.Model(right.inputs, keras.ops.log(-1 - right.outputs[0]))
    tamper_with_export(monkeypatch, lambda convert, model, options: convert(wrong, **options))
    with pytest.raises(ExportError, match=r"returned NaN or infinity"):
        export(small, tmp_path / "m.tflite")
    assert not list(tmp_path.iterdir())


def test_network_that_returns_nan_is_rejected(small_faces, tmp_path):
    X, y = small_faces
    pipeline = make_cnn_pipeline(FERCNNClassifier(epochs=1, random_state=0), size=24)
    network = pipeline.fit(X[:70], y[:70])[-1].model_
    network.set_weights([*network.get_weights()[:-1], np.full(7, np.nan, np.float32)])
    with pytest.raises(ValueError, match=r"network of FERCNNClassifier returned NaN for 64 of 64"):
        export(pipeline, tmp_path / "m.tflite")
    assert not list(tmp_path.iterdir())


# Bad input.


class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2 * x


def doubled_network(meta):
    given = keras.Input(meta["input_shape"])
    x = keras.layers.Flatten()(Doubled(name="mine")(given))
    return keras.Model(given, keras.layers.Dense(meta["n_classes"], activation="softmax")(x))


def test_custom_layer_is_refused_or_converted(small_faces, tmp_path):
    X, y = small_faces
    classifier = FERCNNClassifier(architecture=doubled_network, epochs=1, random_state=0)
    pipeline = make_cnn_pipeline(classifier, size=24).fit(X[:70], y[:70])
    with pytest.raises(
        ValueError, match=r"'mine' \(test_export\.Doubled\).*allow_custom_layers=True"
    ):
        export(pipeline, tmp_path / "m.tflite")
    assert not list(tmp_path.iterdir())
    export(pipeline, tmp_path / "m.tflite", allow_custom_layers=True)


def test_error_for_other_estimators_says_what_can_be_exported(small_faces, tmp_path):
    X, y = small_faces
    path = tmp_path / "m.tflite"
    hog = make_hog_svm_pipeline(size=24).fit(X[:70], y[:70])
    with pytest.raises(TypeError, match=r"has a HOGExtractor.*Only networks can be exported"):
        export(hog, path)
    with pytest.raises(TypeError, match=r"Export load_pretrained\(runtime='keras'\) instead"):
        export(load_pretrained("tiny", runtime="litert"), path)
    with pytest.raises(NotFittedError, match=r"estimator is not fitted.*Call fit first"):
        export(make_cnn_pipeline(), path)
    with pytest.raises(TypeError, match=r"has the steps FERCNNClassifier, PixelNormalizer"):
        export(make_pipeline(FERCNNClassifier(), PixelNormalizer()), path)
    equalized = make_cnn_pipeline(FERCNNClassifier(epochs=1), size=24, normalize="equalize")
    with pytest.raises(ValueError, match=r"normalize has method='equalize'.*'unit' or 'standard'"):
        export(equalized.fit(X[:70], y[:70]), path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("m.bin", {}, r"format=None, and path=.*ends neither in '\.tflite' nor"),
        ("m.bin", {"format": "tflite"}, r"has the suffix '\.bin'; expected '\.tflite'"),
        ("m", {"format": "tfljs"}, r"format='tfljs' is unknown.*Did you mean 'tfjs'\?"),
        ("m", {"format": "tfjs", "precision": "int8"}, r"precision='int8' is for format='tflite'"),
        ("m", {"format": "tfjs", "batch_size": 2}, r"batch_size=2 is for format='tflite' only"),
        ("m.tflite", {"precision": "int4"}, r"precision='int4' is unknown"),
        ("m.tflite", {"precision": "int8"}, r"precision='int8' needs representative_data"),
        ("m.tflite", {"representative_data": [0] * 9}, r"_data has 9 faces; expected at least 64"),
        (
            "m.tflite",
            {"representative_data": [0] * 99, "precision": "int8"},
            r"99 faces; expected at least 256",
        ),
        (
            "m.tflite",
            {"min_label_agreement": 97},
            r"min_label_agreement=97 must be a number from 0 to 1",
        ),
        ("m.tflite", {"batch_size": 0}, r"batch_size=0 must be an int of 1 or more"),
        ("m.tflite", {"input_size": 100}, r"input_size=100 must be whole multiples of .* 24×24"),
    ],
)
def test_invalid_parameters_are_named(small, tmp_path, name, options, message):
    with pytest.raises(ValueError, match=message):
        export(small, tmp_path / name, **options)
    assert not list(tmp_path.iterdir())


def test_all_invalid_parameters_are_reported_at_once(small, tmp_path):
    with pytest.raises(ValueError, match=r"min_label_agreement=2 .*batch_size=0 "):
        export(small, tmp_path / "m.tflite", min_label_agreement=2, batch_size=0)


def test_missing_extra_names_the_install_command(small, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'fer_sklearn\[onnx\]'"):
        export(small, tmp_path / "m.onnx")


@pytest.mark.slow
def test_existing_files_are_kept_without_overwrite(small, tmp_path):
    path = tmp_path / "m.tflite"
    export(small, path)
    before = path.read_bytes()
    (tmp_path / "n.tflite.json").write_text("{}")
    for taken in ("m.tflite", "n.tflite"):
        with pytest.raises(FileExistsError, match=r"exists already.*overwrite=True"):
            export(small, tmp_path / taken)
    assert path.read_bytes() == before
    export(small, path, precision="float16", overwrite=True)
    assert len(path.read_bytes()) < len(before)
    with pytest.raises(FileNotFoundError, match=r"folder that does not exist"):
        export(small, tmp_path / "no" / "m.tflite")


@pytest.mark.slow
def test_folder_that_is_not_an_export_is_never_replaced(small, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear")
    with pytest.raises(FileExistsError, match=r"is not an earlier export.*not overwritten"):
        export(small, folder, format="saved_model", overwrite=True)
    assert (folder / "letter.txt").read_text() == "dear"
    export(small, tmp_path / "mine2", format="saved_model")
    export(small, tmp_path / "mine2", format="saved_model", overwrite=True)
    assert {file.name for file in tmp_path.iterdir()} == {"mine", "mine2"}
