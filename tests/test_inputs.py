"""Images in every form, in every estimator: lists and Series of photos, colour, memory."""

import gc
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from fer_sklearn import (
    AbstainingClassifier,
    FaceCropper,
    FERCNNClassifier,
    GrayscaleResizer,
    HOGExtractor,
    HOGSVMClassifier,
    LBPExtractor,
    LSSVMClassifier,
    MirroredFeatures,
    PixelNormalizer,
    RGBResizer,
    export,
    grad_cam,
    load,
    load_pretrained,
    make_cnn_pipeline,
    make_faces,
    make_hog_svm_pipeline,
    occlusion_map,
    save,
)
from fer_sklearn._utils.pixel_values import PixelStack, empty_pixels, max_memory
from fer_sklearn.cnn import save_network
from fer_sklearn.exceptions import ImageReadError
from fer_sklearn.images import resize_rgb, write_image

X, Y = make_faces(28, size=48, random_state=0, return_X_y=True)
COLOR = np.stack([X, 255 - X, X // 2], axis=-1)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    for i, image in enumerate(X):
        write_image(folder / f"{i}.png", image)
    return [str(folder / f"{i}.png") for i in range(len(X))]


def as_objects(items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


# NumPy 2's; earlier ones have fixed widths only.
STRING = getattr(np.dtypes, "StringDType", lambda: np.dtype(str))()


def in_every_form(paths):
    """Return the same batch in each form."""
    pillow = [Image.fromarray(image) for image in X]
    arrays = np.empty(len(X), dtype=object)
    for i, image in enumerate(X):
        arrays[i] = image
    return {
        "Pillow": pillow,
        "tuple": tuple(pillow),
        "objects": as_objects(pillow),
        "arrays": arrays,
        "Series": pd.Series(paths, index=range(100, 100 + len(paths))),
        "Series of Pillow images": pd.Series(pillow, dtype=object),
        "polars": pl.Series("path", paths),
        "table": pd.DataFrame({"path": paths}),
        "text": np.array(paths),
        "text of any width": np.array(paths, dtype=STRING),
        "paths": [Path(path) for path in paths],
        "bytes": [Path(path).read_bytes() for path in paths],
        "files": [BytesIO(Path(path).read_bytes()) for path in paths],
    }


FORMS = list(in_every_form([__file__] * len(X)))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "transformer",
    [
        PixelNormalizer(),
        PixelNormalizer("standard"),
        GrayscaleResizer(24),
        RGBResizer(24),
        FaceCropper(size=24, detector=lambda photo: []),
        HOGExtractor(),
        LBPExtractor(),
        MirroredFeatures(HOGExtractor()),
    ],
    ids=lambda transformer: type(transformer).__name__,
)
@pytest.mark.filterwarnings("ignore:No face was found")
def test_transformers_take_photos(transformer, form, paths):
    batch = in_every_form(paths)[form]
    expected = clone(transformer).fit(X).transform(X)
    np.testing.assert_array_equal(clone(transformer).fit(batch).transform(batch), expected)


@pytest.mark.parametrize("form", FORMS)
def test_pipelines_take_photos(form, paths):
    batch = in_every_form(paths)[form]
    pipeline = make_hog_svm_pipeline()
    expected = clone(pipeline).fit(X, Y)
    fitted = clone(pipeline).fit(batch, Y)
    np.testing.assert_array_equal(fitted.predict(batch), expected.predict(X))
    assert fitted.score(batch, Y) == expected.score(X, Y)
    scores = cross_val_score(pipeline, batch, Y, cv=2, error_score="raise")
    np.testing.assert_array_equal(scores, cross_val_score(pipeline, X, Y, cv=2))


@pytest.mark.parametrize("form", FORMS)
def test_pretrained_networks_take_photos(form, paths):
    model = load_pretrained("tiny")
    batch = in_every_form(paths)[form]
    np.testing.assert_array_equal(model.predict_proba(batch), model.predict_proba(X))


def test_networks_take_photos(paths):
    network = FERCNNClassifier(architecture="conv3", epochs=1, random_state=0)
    expected = network.fit(X, Y).predict_proba(X)
    for form in ("Pillow", "Series", "objects", "arrays"):
        batch = in_every_form(paths)[form]
        np.testing.assert_array_equal(network.predict_proba(batch), expected)
    again = clone(network).fit(pd.Series(paths), Y)
    np.testing.assert_array_equal(again.predict_proba(X), expected)
    assert again.score(paths, Y) == network.score(X, Y)
    assert cross_val_score(clone(network), pd.Series(paths), Y, cv=2, error_score="raise").size == 2
    assert again.n_channels_ == 1


def test_photos_in_colour_become_grey_where_the_estimator_needs_it():
    photos = [Image.fromarray(image) for image in COLOR]
    gray = GrayscaleResizer(48).transform(photos)
    np.testing.assert_array_equal(PixelNormalizer().transform(photos) * 255, gray)
    np.testing.assert_array_equal(HOGExtractor().transform(photos), HOGExtractor().transform(gray))


def test_errors_about_photos(paths):
    with pytest.raises(ValueError, match=r"2 different sizes.*Put GrayscaleResizer\(\) before"):
        HOGExtractor().fit([Image.new("L", (20, 20)), Image.new("L", (24, 20))])
    with pytest.raises(ImageReadError, match=r"missing\.png: there is no such file"):
        PixelNormalizer().fit_transform([paths[0], "missing.png"])
    with pytest.raises(ImageReadError, match="not an image"):
        HOGExtractor().fit([b"text"] * 3)
    fitted = HOGExtractor().fit(paths)
    with pytest.raises(ValueError, match="has images of 20×20 pixels, but HOGExtractor was fitted"):
        fitted.transform([Image.new("L", (20, 20))])
    for classifier in (HOGSVMClassifier(), LSSVMClassifier()):
        with pytest.raises(ValueError, match=r"X contains photos; .* Use make_hog_svm_pipeline"):
            classifier.fit(pd.Series(paths), Y)


# -- colour and larger faces ----------------------------------------------------------------


@pytest.mark.parametrize("other", [None, X[0].tolist()[:3], np.zeros(48)])
def test_an_item_that_is_no_image_is_named(other):
    with pytest.raises(ValueError, match=rf"X\[1\] is a {type(other).__name__} of shape "):
        HOGExtractor().fit([X[0], other, X[1]])


def test_images_become_rgb_of_one_size(paths):
    resizer = RGBResizer(size=(30, 40))
    assert resizer.transform([*paths[:1], COLOR[0], X[1]]).shape == (3, 30, 40, 3)
    same = RGBResizer(48).transform(COLOR)
    assert same is COLOR
    gray = RGBResizer(48).transform(X)
    np.testing.assert_array_equal(gray, np.repeat(X[..., None], 3, axis=3))
    names = resizer.get_feature_names_out()
    assert (len(names), names[-1]) == (3600, "pixel_29_39_blue")
    table = RGBResizer(48).set_output(transform="pandas").transform(COLOR[:3])
    pixels = PixelNormalizer().transform(table) * 255
    np.testing.assert_array_equal(pixels, COLOR[:3].reshape(3, -1))
    np.testing.assert_array_equal(resize_rgb(X, (48, 48)), gray)


@pytest.mark.parametrize("method", ["unit", "standard"])
def test_colour_is_normalised(method):
    normalizer = PixelNormalizer(method).fit(COLOR)
    assert (normalizer.n_channels_, normalizer.n_features_in_) == (3, 48 * 48 * 3)
    assert len(normalizer.get_feature_names_out()) == 48 * 48 * 3
    pixels = normalizer.transform(COLOR)
    assert (pixels.shape, pixels.dtype) == (COLOR.shape, np.float32)
    np.testing.assert_array_equal(
        normalizer.transform(COLOR.reshape(28, -1)), pixels.reshape(28, -1)
    )
    if method == "standard":
        np.testing.assert_allclose(pixels.mean(axis=(1, 2, 3)), 0, atol=1e-5)
    else:
        np.testing.assert_array_equal(pixels, COLOR / np.float32(255))


@pytest.mark.parametrize("method", ["equalize", "clahe"])
def test_histograms_are_those_of_grey_images(method):
    with pytest.raises(ValueError, match=f"method='{method}' takes grey images"):
        PixelNormalizer(method).fit_transform(COLOR)


def test_larger_faces_are_not_cropped_smaller():
    assert make_cnn_pipeline(size=96, crop_faces=True)["crop"].size == 96
    assert make_cnn_pipeline(size=28, crop_faces=True)["crop"].size == 48
    mine = FaceCropper(size=64)
    assert make_cnn_pipeline(size=96, crop_faces=mine)["crop"] is mine


@pytest.mark.slow
def test_networks_learn_colour(tmp_path):
    # The same grey, so that only the colour reveals the labels.
    tints = np.array([[60, 0, 0], [0, 0, 60]])[np.arange(28) % 2]
    tinted = (X[..., None] // 2 + tints[:, None, None, :]).astype(np.uint8)
    labels = np.array(["red", "blue"])[np.arange(28) % 2]
    network = FERCNNClassifier(
        architecture="conv3",
        epochs=12,
        batch_size=14,
        random_state=0,
        augmentation={"flip": 0.5, "rotation": 5, "brightness": 0.02, "erasing": 0.2},
        validation_fraction=0.2,
    )
    model = make_cnn_pipeline(network, size=32, color=True).fit(tinted, labels)
    assert model[-1].n_channels_ == 3
    assert model[-1].model_.input_shape == (None, 32, 32, 3)
    assert model.score(tinted, labels) > 0.9
    photos = [Image.fromarray(image) for image in tinted]
    np.testing.assert_array_equal(model.predict_proba(photos), model.predict_proba(tinted))
    save(model, tmp_path / "colour.fer")
    again = load(tmp_path / "colour.fer")
    np.testing.assert_allclose(again.predict_proba(tinted), model.predict_proba(tinted), atol=1e-6)
    assert grad_cam(model, tinted[:2]).heatmaps.shape == (2, 32, 32)
    assert occlusion_map(model, tinted[:2], window=16).heatmaps.shape == (2, 32, 32)

    small = RGBResizer(32).transform(tinted)
    with pytest.raises(ValueError, match="was fitted on images in colour"):
        model[-1].predict(small[..., 0])
    with pytest.raises(ValueError, match="3 channels; expected grey images"):
        FERCNNClassifier(epochs=1).fit(X, Y).predict(COLOR)
    with pytest.raises(TypeError, match="Exports take grey faces"):
        export(model, tmp_path / "x.tflite")
    with pytest.raises(ValueError, match="exports take grey faces"):
        export(model[-1], tmp_path / "x.tflite")
    with pytest.raises(ValueError, match="these files support only grey images"):
        save_network(model[-1], tmp_path / "x.npz")


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["mobilenet_v3_small", "efficientnet_b0"])
def test_backbones_take_colour_as_it_is(architecture):
    from fer_sklearn.cnn.architectures import build_model

    meta = {"input_shape": (96, 96, 3), "n_classes": 7}
    model = build_model(architecture, meta)
    kinds = {type(layer).__name__ for layer in model.layers}
    assert model.input_shape == model.get_layer("backbone").input_shape == (None, 96, 96, 3)
    assert not {"Concatenate", "Resizing"} & kinds


# -- more images than fit in memory ---------------------------------------------------------


def test_the_limit_of_memory(monkeypatch):
    monkeypatch.delenv("FER_SKLEARN_MAX_MEMORY", raising=False)
    assert max_memory() == 2 * 2**30
    for text, n_bytes in (("100", 100), ("1.5k", 1536), ("20M", 20 * 2**20), ("3 GiB", 3 * 2**30)):
        monkeypatch.setenv("FER_SKLEARN_MAX_MEMORY", text)
        assert max_memory() == n_bytes
    monkeypatch.setenv("FER_SKLEARN_MAX_MEMORY", "much")
    with pytest.raises(ValueError, match=r"FER_SKLEARN_MAX_MEMORY is 'much'; expected"):
        max_memory()


def test_files_of_large_arrays_live_as_long_as_these(monkeypatch, tmp_path):
    monkeypatch.setenv("FER_SKLEARN_MAX_MEMORY", "1k")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    array = empty_pixels((10, 20, 20))
    array[:] = 7
    view = array[2:4]
    del array
    gc.collect()
    assert len(list(tmp_path.iterdir())) == 1
    assert view.sum() == 2 * 400 * 7
    del view
    gc.collect()
    assert list(tmp_path.iterdir()) == []
    assert not isinstance(empty_pixels((1, 20, 20)), np.memmap)
    with pytest.raises(OSError, match="does not fit on the disk"):
        empty_pixels((2**50,))


def test_a_stack_moves_to_a_file_as_it_grows(monkeypatch):
    monkeypatch.setenv("FER_SKLEARN_MAX_MEMORY", "10k")
    stack = PixelStack()
    for image in X:
        stack.append(image)
    assert isinstance(stack.finish(), np.memmap)
    np.testing.assert_array_equal(stack.finish(), X)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:No face was found")
def test_pipelines_keep_to_the_limit(monkeypatch, paths):
    cropper = FaceCropper(size=48, detector=lambda photo: [])
    steps = [cropper, RGBResizer(48), PixelNormalizer()]
    expected = make_pipeline(*steps).fit_transform(COLOR)
    standard = PixelNormalizer("standard").fit_transform(COLOR)
    network = FERCNNClassifier(epochs=1, random_state=0, validation_fraction=0.25)
    probabilities = clone(network).fit(expected, Y).predict_proba(expected)

    monkeypatch.setenv("FER_SKLEARN_MAX_MEMORY", "50k")
    monkeypatch.setattr("fer_sklearn._utils.pixel_values._BYTES_AT_ONCE", 2**17)
    batch = [Image.fromarray(image) for image in COLOR]
    for step in steps:
        batch = step.fit_transform(batch)
        assert isinstance(batch, np.memmap), step
    np.testing.assert_array_equal(batch, expected)
    np.testing.assert_array_equal(PixelNormalizer("standard").fit_transform(COLOR), standard)
    gray = GrayscaleResizer(48).fit_transform(paths)
    assert isinstance(gray, np.memmap)
    np.testing.assert_array_equal(gray, X)
    np.testing.assert_array_equal(clone(network).fit(batch, Y).predict_proba(batch), probabilities)


@pytest.mark.slow
def test_processes_share_the_file_of_a_large_array(monkeypatch):
    expected = cross_val_score(make_hog_svm_pipeline(), X, Y, cv=2)
    monkeypatch.setenv("FER_SKLEARN_MAX_MEMORY", "50k")
    mapped = GrayscaleResizer(48).fit_transform(list(X))
    assert isinstance(mapped, np.memmap)
    scores = cross_val_score(make_hog_svm_pipeline(), mapped, Y, cv=2, n_jobs=2)
    np.testing.assert_array_equal(scores, expected)


# Labels

SOME_MISSING = {
    "NaN in a list": ["happy", "sad", float("nan"), "sad"],
    "None": np.array(["happy", "sad", None, "sad"], dtype=object),
    "NaN": np.array([0.0, 1.0, np.nan, 1.0]),
    "NA": pd.Series(["happy", "sad", pd.NA, "sad"], dtype="string"),
    "NA among numbers": pd.Series([0, 1, pd.NA, 1], dtype="Int64"),
    "null": pl.Series(["happy", "sad", None, "sad"]),
}


def classifiers_of_pixels():
    return [
        LSSVMClassifier(),
        HOGSVMClassifier(),
        FERCNNClassifier(epochs=1),
        AbstainingClassifier(LSSVMClassifier(probability=True), threshold=0.5),
        make_hog_svm_pipeline(),
    ]


@pytest.mark.parametrize("y", SOME_MISSING.values(), ids=SOME_MISSING)
def test_missing_labels_are_refused_by_row(y):
    X = np.random.default_rng(0).random((4, 576))
    for classifier in classifiers_of_pixels():
        with pytest.raises(ValueError, match=r"y\[2\] is .*; 1 of 4 labels are missing"):
            classifier.fit(X, y)


@pytest.mark.skipif(STRING.kind != "T", reason="NumPy 1 has no such dtype")
def test_labels_that_scikit_learn_does_not_take_have_a_remedy():
    y = np.array(["happy", "sad"] * 2, dtype=STRING)
    for classifier in classifiers_of_pixels():
        with pytest.raises(ValueError, match=r"y has dtype StringDType.* Pass y.astype\(str\)"):
            classifier.fit(np.zeros((4, 576)), y)


def test_text_among_numbers_is_refused_as_a_label():
    # NumPy would turn 3 into "3", one more class.
    X = np.random.default_rng(0).random((4, 576))
    for classifier in classifiers_of_pixels():
        with pytest.raises(ValueError, match=r"'happy' and y\[2\] is 3; expected one kind"):
            classifier.fit(X, ["happy", "sad", 3, "sad"])
