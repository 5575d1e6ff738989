"""FaceReader: detection, cropping and prediction, step by step."""

import pickle

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from fer_sklearn import (
    AbstainingClassifier,
    FaceCropper,
    FaceReader,
    GrayscaleResizer,
    crop_face,
    iter_photo_rows,
    load_pretrained,
    make_hog_svm_pipeline,
    predict_photos,
    recognize,
)
from fer_sklearn.face_reader import as_face_reader
from fer_sklearn.faces._crop import FRAMINGS
from fer_sklearn.weights import read_weights, shipped_path, write_weights

BOXES = np.array([[4.0, 6.0, 20.0, 20.0], [30.0, 10.0, 24.0, 24.0]])


@pytest.fixture(scope="module")
def photo():
    return np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)


@pytest.fixture(scope="module")
def model(faces):
    cropper = FaceCropper(framing="box", detector=lambda photo: [(4, 4, 40, 40)])
    return make_hog_svm_pipeline(size=32, crop_faces=cropper).fit(list(faces[0]), faces[1])


def find(photo):
    return BOXES


class Finder:
    def detect(self, photo):
        return BOXES

    def refind(self, photo, faces):
        photo[:] = 0
        return faces.boxes.tolist()


def test_the_pretrained_model_is_the_default():
    from skimage.data import astronaut

    reader = FaceReader()
    assert reader.classes == load_pretrained("tiny").classes_.tolist()
    found = reader.detect(astronaut())
    labels, probabilities = reader.predict(reader.crop(astronaut(), found))
    assert labels.tolist() == ["happy"]
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_the_default_predicts_like_the_pretrained_pipeline(faces):
    crops = [*faces[0][:40], np.repeat(faces[0][40][:30, :, None], 3, axis=2)]
    found = FaceReader().predict(crops)
    expected = FaceReader(load_pretrained(runtime="litert")).predict(crops)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("name", "labels"), [("tiny", "people"), ("tiny:ferplus", "ferplus"), ("tiny:people", "people")]
)
def test_a_bundled_network_is_named(faces, name, labels, monkeypatch):
    crops = list(faces[0][:5])
    expected = load_pretrained("tiny", labels=labels, runtime="litert")
    reader = FaceReader(name)
    assert reader.classes == expected.classes_.tolist()
    np.testing.assert_array_equal(reader.predict(crops)[1], expected.predict_proba(crops))
    monkeypatch.setattr("fer_sklearn.face_reader.is_litert_installed", lambda: False)
    np.testing.assert_array_equal(FaceReader(name).predict(crops)[0], reader.predict(crops)[0])


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"no weights named 'tini'.*Did you mean 'tiny'\?"):
        FaceReader("tini")


def test_faces_are_cropped_as_by_the_model(model, photo):
    reader = FaceReader(model, detector=find)
    found = reader.detect(photo)
    cropper = FaceCropper(size=32, framing="box", detector=lambda photo: BOXES[1:])
    pictures = reader.crop(photo, found)
    assert [picture.shape for picture in pictures] == [(32, 32, 3)] * 2
    np.testing.assert_array_equal(pictures[1], cropper.transform([photo])[0])


def test_a_model_without_probabilities(model, photo):
    reader = FaceReader(model, detector=find)
    labels, probabilities = reader.predict(reader.crop(photo, reader.detect(photo)))
    assert set(labels) <= set(reader.classes)
    assert probabilities.shape == (2, 7)
    assert np.isnan(probabilities).all()


def test_all_steps_take_every_kind_of_pixels(photo):
    reader = FaceReader("tiny", detector=find)
    found = reader.detect(photo / 255)
    crops = reader.crop(photo / 255, BOXES.tolist())
    for crop, expected in zip(crops, reader.crop(photo, found), strict=True):
        np.testing.assert_array_equal(crop, expected)
    quality = reader.quality(photo, found, crops)
    np.testing.assert_array_equal(reader.quality(photo / 255, BOXES.tolist(), crops), quality)
    y_proba = reader.predict(crops)[1]
    for same in ([crop / 255 for crop in crops], np.stack(crops)):
        np.testing.assert_array_equal(reader.predict(same)[1], y_proba)
    with pytest.raises(ValueError, match=r"crops has shape \(48, 48, 3\), which is one photo"):
        reader.predict(crops[0])


def test_no_faces(photo):
    reader = FaceReader(load_pretrained("tiny", runtime="litert"), detector=lambda photo: [])
    found = reader.detect(photo)
    assert len(found.boxes) == 0
    labels, probabilities = reader.predict(reader.crop(photo, found))
    assert (labels.shape, probabilities.shape) == ((0,), (0, 7))


def test_the_detector_of_the_model(faces):
    cropper = FaceCropper(detector=find)
    model = make_hog_svm_pipeline(crop_faces=cropper).fit(list(faces[0]), faces[1])
    assert len(FaceReader(model).detect(np.zeros((60, 80), np.uint8)).boxes) == 2


def test_a_model_that_abstains(photo, faces):
    pretrained = FrozenEstimator(load_pretrained("tiny", runtime="litert"))
    model = AbstainingClassifier(pretrained, coverage=0.5).fit(faces[0])
    crops = list(faces[0])
    labels, probabilities = FaceReader(model).predict(crops)
    assert labels.tolist() == model.predict(crops).tolist()
    assert 0 < labels.tolist().count("uncertain") <= 0.5 * len(crops)
    assert np.isfinite(probabilities).all()
    labels, _ = FaceReader(make_pipeline(GrayscaleResizer(), model)).predict(crops)
    assert labels.tolist() == model.predict(crops).tolist()


@pytest.mark.parametrize("wrap", ["abstaining", "calibrated", "voting", "pipeline", "transformer"])
def test_faces_are_not_cropped_twice_inside_a_wrapper(photo, faces, wrap):
    searched = []

    def finds(photo):
        searched.append(photo.shape)
        return [(4, 4, 40, 40)]

    cropper = FaceCropper(size=32, framing="box", detector=finds)
    pipeline = make_hog_svm_pipeline(size=32, crop_faces=cropper)
    (_, crop), *rest = pipeline.steps
    model = {
        "abstaining": AbstainingClassifier(
            clone(pipeline).set_params(classifier__probability=True)
        ),
        "calibrated": CalibratedClassifierCV(pipeline, cv=2),
        "voting": VotingClassifier([("a", pipeline), ("b", clone(pipeline))]),
        "pipeline": make_pipeline(pipeline),
        "transformer": make_pipeline(make_pipeline(crop, rest[0][1]), *(s for _, s in rest[1:])),
    }[wrap]
    if wrap == "abstaining":
        model.set_params(threshold=0.1)
    model.fit(list(faces[0]), faces[1])
    reader = FaceReader(model)
    searched.clear()
    (crop,) = reader.crop(photo, reader.detect(photo))
    np.testing.assert_array_equal(crop, crop_face(photo, (4, 4, 40, 40), (32, 32)))
    labels, _ = reader.predict([crop])
    assert searched == [photo.shape]
    # The model itself still crops.
    assert model.predict([photo]).tolist() == labels.tolist()
    assert len(searched) > 1


def test_an_unknown_framing_is_refused_before_the_first_photo(faces):
    model = make_hog_svm_pipeline(crop_faces=FaceCropper(detector=lambda photo: []))
    model.fit(list(faces[0]), faces[1]).set_params(crop__framing="keypoint")
    with pytest.raises(ValueError, match=r"framing='keypoint'.*Did you mean 'keypoints'\?"):
        FaceReader(model)


def test_croppers_that_differ_are_refused(faces):
    one, other = (make_hog_svm_pipeline(crop_faces=FaceCropper(framing=f)) for f in FRAMINGS)
    ensemble = VotingClassifier([("one", one), ("other", other)]).fit(list(faces[0]), faces[1])
    with pytest.raises(ValueError, match=r"steps that differ; .*make_pipeline\(FaceCropper"):
        FaceReader(ensemble)


def test_provenance_names_the_model(faces):
    def made_by(model, detector=None):
        return FaceReader(model, detector=detector).provenance()

    default, tiny, labels = (
        made_by(load_pretrained(name, labels=labels))
        for name, labels in (("default", "people"), ("tiny", "people"), ("tiny", "fer2013"))
    )
    assert len({known["model_checksum"] for known in (default, tiny, labels)}) == 3
    assert made_by(load_pretrained()) == default
    model = make_hog_svm_pipeline().fit(*faces)
    assert made_by(pickle.loads(pickle.dumps(model))) == made_by(model)
    assert made_by(model)["labels"] == "angry, disgust, fear, happy, neutral, sad, surprise"
    model.set_params(resize=FunctionTransformer(lambda X: X))
    assert made_by(model)["model_checksum"] == "unknown: the estimator cannot be pickled"
    # Addresses differ between two runs of one program.
    assert made_by("tiny", find)["detector"] == "<function find>"
    assert made_by("tiny", Finder())["detector"].endswith("test_face_reader.Finder object>>")
    assert made_by("tiny")["detector_sha256"].startswith("3bc182eb")
    assert "detector_sha256" not in made_by("tiny", "haar")
    assert made_by("tiny")["opencv"] == cv2.__version__


def test_a_network_may_be_a_path(faces):
    crops = list(faces[0][:3])
    named, found = (FaceReader(name).predict(crops)[1] for name in ("tiny", shipped_path("tiny")))
    np.testing.assert_array_equal(found, named)
    with pytest.raises(ValueError, match=r"no weights named 'a\.fer'.* what load or load_exported"):
        FaceReader("a.fer")


@pytest.mark.slow
def test_weights_may_come_without_a_litert_model(faces, tmp_path):
    weights = read_weights("tiny")
    keys = ("architecture", "image_shape", "classes", "pixel_range", "feature_classes")
    description = {key: weights.description[key] for key in keys if key in weights.description}
    write_weights(tmp_path / "own.npz", weights.arrays, description)
    crops = list(faces[0][:3])
    (label, y_proba), (_, expected) = (
        FaceReader(name).predict(crops) for name in (tmp_path / "own.npz", "tiny")
    )
    np.testing.assert_allclose(y_proba, expected, atol=0.05)
    assert len(label) == 3


def test_an_own_detector_may_follow_faces(photo):
    reader = pickle.loads(pickle.dumps(FaceReader("tiny", detector=Finder())))
    before = photo.copy()
    found = reader.refind(photo, reader.detect(photo))
    assert found.boxes.tolist() == BOXES.tolist()
    assert np.isnan(found.keypoints).all()
    np.testing.assert_array_equal(photo, before)


def test_known_faces_of_other_photos_are_refused(photo, model):
    known = make_pipeline(FaceCropper(detector=[(4, 4, 40, 40)]), *(s for _, s in model.steps[1:]))
    with pytest.raises(ValueError, match=r"a list of known faces.*detector='blazeface'"):
        FaceReader(known)
    assert len(FaceReader(known, detector=find).detect(photo)) == 2


def test_numbered_labels(photo):
    class Second(ClassifierMixin, BaseEstimator):
        classes_ = np.array([3, 7])

        def predict(self, X):
            return np.full(len(X), 7)

        def predict_proba(self, X):
            return np.tile([0.2, 0.8], (len(X), 1))

    reader = FaceReader(Second(), detector=find)
    labels, _ = reader.predict(reader.crop(photo, reader.detect(photo)))
    assert labels.tolist() == ["7", "7"]


class Constant(ClassifierMixin, BaseEstimator):
    """Answers with one row of probabilities."""

    classes_ = np.array(["happy", "sad"])

    def __init__(self, answer):
        self.answer = answer

    def predict_proba(self, X):
        return self.answer

    def predict(self, X):
        return ["sad"] * len(X)


def test_probabilities_go_by_the_names_of_their_columns(photo):
    table = pd.DataFrame({"sad": [0.2], "happy": [0.8]})
    labels, y_proba = FaceReader(Constant(table)).predict([photo])
    assert (labels.tolist(), y_proba.tolist()) == (["happy"], [[0.8, 0.2]])


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([[np.nan, 0.3]], r"faces\)\[0\] is \[nan 0\.3\]; expected numbers from 0 to 1"),
        ([[2.0, 3.0]], r"predict_proba\(faces\)\[0\] is \[2\. 3\.\]; expected numbers from 0"),
        ([[0.2, 0.3, 0.5]], r"predict_proba\(faces\) has shape \(1, 3\); expected \(1, 2\)"),
        (np.empty((0, 2)), r"predict_proba\(faces\) has shape \(0, 2\); expected \(1, 2\)"),
    ],
)
def test_what_is_no_probability_gives_no_emotion(photo, answer, message):
    with pytest.raises(ValueError, match=message):
        FaceReader(Constant(answer)).predict([photo])


@pytest.mark.parametrize("wrap", [lambda model: model, FrozenEstimator, make_pipeline])
def test_faces_have_the_size_of_a_network_that_scales_them_itself(photo, wrap):
    class Exported(ClassifierMixin, BaseEstimator):
        classes_ = np.array(["happy", "sad"])
        image_shape_ = (64, 56)

        def predict(self, X):
            return np.full(len(X), "sad")

    reader = FaceReader(wrap(Exported()), detector=find)
    crops = reader.crop(photo, reader.detect(photo))
    np.testing.assert_array_equal(crops[0], crop_face(photo, BOXES[0], (64, 56)))


def test_one_detector_is_expected(photo):
    reader = FaceReader("tiny", detector=find)
    assert as_face_reader(reader, None) is reader
    for use in (recognize, predict_photos, iter_photo_rows):
        with pytest.raises(ValueError, match=r"detector='haar' is given, but estimator, a FaceRea"):
            use(photo, reader, detector="haar")
        with pytest.raises(TypeError, match=r"the class FaceReader; expected .* FaceReader\(\)"):
            use(photo, FaceReader)


def test_an_object_that_cannot_predict():
    with pytest.raises(
        TypeError, match=r"estimator is a FaceCropper that cannot predict.*load_pre"
    ):
        FaceReader(FaceCropper())
