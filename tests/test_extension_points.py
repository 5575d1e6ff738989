"""Every detector, descriptor, data set, display and command meets the contract of its kind.

Each is found by its name or its base class, so that a new one is tested without being listed here.
The page docs/contributing.md says how to add one.
"""

import inspect
import pickle
import pkgutil
import re
from importlib import import_module

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from running import run
from skimage.data import astronaut
from sklearn.base import clone

import fer_sklearn.cli
from fer_sklearn import EMOTIONS, FaceReader, HOGSVMClassifier, datasets, faces, features, plotting
from fer_sklearn._utils.estimators import ImageDescriptor
from fer_sklearn.cli._output import Command
from fer_sklearn.plotting._base import Display


def _classes(module, accept):
    found = [getattr(module, name) for name in module.__all__]
    return [found for found in found if isinstance(found, type) and accept(found)]


# -- descriptors ------------------------------------------------------------------------

DESCRIPTORS = _classes(features, lambda cls: issubclass(cls, ImageDescriptor))


def test_there_are_descriptors():
    assert len(DESCRIPTORS) >= 2


@pytest.mark.parametrize("descriptor", DESCRIPTORS)
def test_descriptor_turns_each_image_into_a_row_of_named_features(descriptor):
    images = np.random.default_rng(0).integers(0, 256, (5, 48, 48), dtype=np.uint8)
    transformer = descriptor()
    rows = transformer.fit_transform(images)
    assert rows.dtype == np.float32
    assert rows.shape == (5, len(transformer.get_feature_names_out()))
    np.testing.assert_array_equal(transformer.transform(images[3:4])[0], rows[3])
    for same in (images[..., None], images.reshape(5, -1), list(images)):
        np.testing.assert_array_equal(clone(transformer).fit_transform(same), rows)
    copy = pickle.loads(pickle.dumps(transformer))
    np.testing.assert_array_equal(copy.transform(images), rows)


# -- detectors --------------------------------------------------------------------------

DETECTORS = _classes(faces, lambda cls: cls.__name__.endswith("Detector"))


def _detect_or_skip(photo, detector):
    try:
        return faces.detect_faces(photo, detector)
    except FileNotFoundError as error:
        if "fetch_" not in str(error):  # Name the function that downloads the file.
            raise
        pytest.skip("needs a file that is downloaded")


def test_there_are_detectors():
    assert len(DETECTORS) >= 2


@pytest.mark.parametrize("detector", DETECTORS)
def test_detector_finds_a_face_and_is_known_by_name(detector):
    photo = astronaut()
    found = _detect_or_skip(photo, detector())
    assert found.boxes.shape == (len(found), 4)
    assert found.scores.shape == (len(found),)
    left, top, width, height = found.boxes[found.scores.argmax()]
    assert left < 225 < left + width, "the nose of the astronaut is at (225, 120)"
    assert top < 120 < top + height
    by_name = faces.detect_faces(photo, detector.__name__.removesuffix("Detector").lower())
    np.testing.assert_array_equal(by_name.boxes, found.boxes)
    copy = pickle.loads(pickle.dumps(detector()))
    np.testing.assert_array_equal(faces.detect_faces(photo, copy).boxes, found.boxes)


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("shape", [(1, 1), (60, 80), (60, 80, 3), (60, 80, 4)])
def test_detector_finds_nothing_in_a_blank_image(detector, shape):
    assert len(_detect_or_skip(np.full(shape, 128, np.uint8), detector())) == 0


@pytest.mark.parametrize("detector", DETECTORS)
def test_detector_follows_a_face(detector):
    photo = astronaut()
    found = _detect_or_skip(photo, detector())
    moved = np.roll(photo, (9, -12), axis=(0, 1))
    again = detector().refind(moved, found)
    np.testing.assert_allclose(again.boxes - found.boxes, [[-12, 9, 0, 0]] * len(found), atol=12)
    assert again.keypoints.shape == found.keypoints.shape
    assert len(detector().refind(np.zeros_like(photo), found)) == 0
    assert len(detector().refind(moved, faces.Faces.none())) == 0
    assert FaceReader(detector=detector()).refind(moved, found).boxes.shape == again.boxes.shape


@pytest.mark.parametrize("detector", DETECTORS)
def test_detector_takes_every_kind_of_pixels(detector):
    photo = astronaut()
    found = _detect_or_skip(photo, detector())
    for same in (photo / 255, photo.astype(int), np.asfortranarray(photo)):
        np.testing.assert_array_equal(detector()(same).boxes, found.boxes)
        np.testing.assert_array_equal(
            detector().refind(same, found).boxes, detector().refind(photo, found).boxes
        )
    for use in (detector(), lambda image: detector().refind(image, found)):
        with pytest.raises(ValueError, match=r"image has shape \(1, 512, 512, 3\); expected one"):
            use(photo[np.newaxis])
        with pytest.raises(ValueError, match=r"image has shape \(0, 512, 3\): a photo without"):
            use(photo[:0])


# -- data sets --------------------------------------------------------------------------

# load_ferplus loads votes on the images of another data set.
LOADERS = [
    name
    for name in datasets.__all__
    if name.startswith(("load_", "fetch_", "make_")) and name != "load_ferplus"
]


@pytest.mark.parametrize("name", LOADERS)
def test_loader_offers_return_X_y(name):
    parameter = inspect.signature(getattr(datasets, name)).parameters["return_X_y"]
    assert parameter.kind is parameter.KEYWORD_ONLY
    assert parameter.default is False


@pytest.mark.parametrize("name", [name for name in LOADERS if not name.startswith("fetch_")])
def test_loader_returns_a_bunch_of_labelled_faces(name, photos):
    table = pd.DataFrame({"path": sorted(map(str, photos.rglob("*.png")))})
    table["label"] = table["path"].str.split(r"[/\\]").str[-2]

    def load(**options):
        arguments = [table] if name.endswith("_table") else [photos]
        arguments = [] if name.startswith("make_") else arguments
        options |= {"random_state": 0} if name.startswith("make_") else {}
        return getattr(datasets, name)(*arguments, **options)

    data = load()
    n = len(data.images)
    assert data.images.dtype == np.uint8
    assert data.images.ndim == 3
    np.testing.assert_array_equal(data.data, data.images.reshape(n, -1))
    assert data.target.shape == (n,)
    assert set(data.target.tolist()) <= set(EMOTIONS)
    assert data.target_names.tolist() == sorted(set(data.target.tolist()))
    X, y = load(return_X_y=True)
    np.testing.assert_array_equal(X, data.images)
    np.testing.assert_array_equal(y, data.target)


# -- displays ---------------------------------------------------------------------------

DISPLAYS = _classes(plotting, lambda cls: cls.__name__.endswith("Display"))
OF_PREDICTIONS = [display for display in DISPLAYS if hasattr(display, "from_predictions")]


@pytest.fixture(scope="module")
def classifier(faces):
    from fer_sklearn import make_hog_svm_pipeline

    return make_hog_svm_pipeline(HOGSVMClassifier(probability=True, random_state=0)).fit(*faces)


@pytest.mark.parametrize("display", DISPLAYS)
def test_display_has_a_constructor_and_can_be_plotted_again(display):
    assert callable(display.plot)
    assert [name for name in dir(display) if name.startswith("from_")]


@pytest.mark.parametrize("display", OF_PREDICTIONS)
def test_display_of_predictions_has_the_base_class(display):
    assert issubclass(display, Display)


def test_there_are_displays_of_predictions():
    assert len(OF_PREDICTIONS) >= 4


@pytest.mark.parametrize("display", OF_PREDICTIONS)
def test_display_draws_into_given_axes_from_an_estimator_or_its_predictions(
    display, classifier, faces
):
    X, y = faces
    figure, (left, right) = plt.subplots(1, 2)
    takes_labels = "y_pred" in inspect.signature(display.from_predictions).parameters
    predicted = classifier.predict(X) if takes_labels else classifier.predict_proba(X)
    by_estimator = display.from_estimator(classifier, X, y, ax=left)
    by_predictions = display.from_predictions(y, predicted, ax=right)
    assert (by_estimator.ax_, by_predictions.ax_) == (left, right)
    assert by_estimator.figure_ is by_predictions.figure_ is figure
    for axes in (left, right):
        assert axes.has_data()
    drawn, again = ([line.get_xydata().tolist() for line in ax.lines] for ax in (left, right))
    assert drawn == again
    assert by_estimator.plot().ax_ is not left
    plt.close("all")


# -- commands ---------------------------------------------------------------------------

COMMANDS = sorted(
    found.name
    for module in pkgutil.iter_modules(fer_sklearn.cli.__path__)
    for found in vars(import_module(f"fer_sklearn.cli.{module.name}")).values()
    if isinstance(found, Command)
)


def test_there_are_commands():
    assert {"predict", "train", "tune"} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_registered_and_its_help_has_an_example(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as caught:
        run(command, "--help")
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert re.search(rf"^  fer-sklearn {command}", text, re.MULTILINE)
    assert max(map(len, text.splitlines())) <= 80
