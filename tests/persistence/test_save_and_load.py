"""`save` and `load`: models of any kind survive, and are safe to load."""

import copy
import importlib
import os
import re
import subprocess
import sys
import warnings
import zipfile
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest
from archives import edit, parts_of, write
from sklearn.base import BaseEstimator, clone
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

import fer_sklearn
from fer_sklearn import (
    AbstainingClassifier,
    BlazeFaceDetector,
    FaceCropper,
    FERCNNClassifier,
    HaarDetector,
    HOGExtractor,
    LBPExtractor,
    YuNetDetector,
    load,
    load_pretrained,
    make_cnn_pipeline,
    make_descriptor_svm_pipeline,
    make_hog_svm_pipeline,
    save,
)
from fer_sklearn.exceptions import ModelFileError
from fer_sklearn.inference import InferenceClassifier
from fer_sklearn.persistence import _estimator


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 5)), rng.choice(["happy", "sad"], 60)


@pytest.fixture
def model(data):
    return make_pipeline(StandardScaler(), SVC()).fit(*data)


@pytest.fixture
def saved(model, tmp_path):
    return save(model, tmp_path / "model.fer")


def hog_svm(**parameters):
    return make_hog_svm_pipeline().set_params(
        pca__n_components=20, **{f"classifier__{name}": value for name, value in parameters.items()}
    )


# Public estimators that are made from parameters, and whether they are fitted on pixels, features
# or not at all.
SIMPLE = {
    "BalancedPCA": ({"n_components": 4}, "features"),
    "CappedPCA": ({"n_components": 4}, "features"),
    "CodebookExtractor": ({"n_patches": 8, "random_state": 0}, "pixels"),
    "FERCNNClassifier": ({"epochs": 1, "random_state": 0, "save_optimizer": True}, "pixels"),
    "FaceEmbedder": ({"weights": "tiny"}, "pixels"),
    "FaceCropper": ({"detector": HaarDetector()}, None),
    "GrayscaleResizer": ({"size": 24}, "pixels"),
    "RGBResizer": ({"size": 24}, "pixels"),
    "HOGExtractor": ({}, "pixels"),
    "HOGSVMClassifier": ({"n_components": 4}, "features"),
    "LBPExtractor": ({}, "pixels"),
    "LSSVMClassifier": ({"probability": True}, "features"),
    "MirroredFeatures": ({"transformer": HOGExtractor()}, "pixels"),
    "PixelNormalizer": ({"method": "standard"}, "pixels"),
}
# Every public estimator, by a name: what makes it, and what it is fitted on.
ESTIMATORS = {
    **{
        name: (partial(getattr(fer_sklearn, name), **parameters), fits_on)
        for name, (parameters, fits_on) in SIMPLE.items()
    },
    "AbstainingClassifier": (
        lambda: AbstainingClassifier(hog_svm(probability=True), coverage=0.8),
        "pixels",
    ),
    "InferenceClassifier": (lambda: InferenceClassifier("tiny").load(), None),
    "hog-svm": (lambda: hog_svm(), "pixels"),
    "hog-svm, linear": (lambda: hog_svm(kernel="linear"), "pixels"),
    "hog-svm, probabilities": (lambda: hog_svm(probability=True), "pixels"),
    "descriptors": (lambda: make_descriptor_svm_pipeline().set_params(), "pixels"),
    "default": (load_pretrained, None),
    "tiny, cropped": (lambda: load_pretrained("tiny", crop_faces=True), None),
    "own labels": (
        lambda: load_pretrained("tiny").set_params(classifier__random_state=0),
        "own labels",
    ),
    "ferplus, litert": (lambda: load_pretrained("tiny", labels="ferplus", runtime="litert"), None),
    "frozen": (lambda: FrozenEstimator(load_pretrained("tiny", runtime="litert")), None),
    "union": (lambda: FeatureUnion([("h", HOGExtractor()), ("l", LBPExtractor())]), "pixels"),
    "detectors": (lambda: FaceCropper(detector=BlazeFaceDetector()), None),
    "yunet": (lambda: FaceCropper(detector=YuNetDetector()), None),
}
SLOW = {"FERCNNClassifier", "descriptors"}


def fitted(name, faces):
    make, fits_on = ESTIMATORS[name]
    X, y = faces
    if fits_on == "features":
        X = X[:, ::12, ::12].reshape(len(X), -1).astype(np.float32) / 255
    if fits_on == "own labels":
        y = np.where(y == "happy", "smile", "none")
    return (make() if fits_on is None else make().fit(X, y)), X


def outputs(estimator, X):
    names = ("predict", "predict_proba", "decision_function", "transform")
    return {
        name: np.asarray(getattr(estimator, name)(X[:9]))
        for name in names
        if hasattr(estimator, name)
    }


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in ESTIMATORS]
)
def test_loaded_models_make_bit_identical_predictions(name, faces, tmp_path):
    estimator, X = fitted(name, faces)
    restored = load(save(estimator, tmp_path / "model.fer"))
    assert type(restored) is type(estimator)
    assert repr(restored) == repr(estimator)
    if name == "yunet":  # whose model is a download
        return
    expected, found = outputs(estimator, X), outputs(restored, X)
    assert expected.keys() == found.keys()
    for method, values in expected.items():
        assert values.dtype == found[method].dtype
        np.testing.assert_array_equal(values, found[method])
    clone(restored)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_skops_dumps_each_estimator(name, faces):
    import skops.io

    estimator = ESTIMATORS[name][0]() if name in SLOW else fitted(name, faces)[0]
    content = skops.io.dumps(estimator)
    untrusted = skops.io.get_untrusted_types(data=content)
    assert set(untrusted) <= _estimator.OWN_TYPES | {"pathlib.PosixPath"}
    restored = skops.io.loads(content, trusted=untrusted)
    assert repr(restored) == repr(estimator)


@pytest.mark.parametrize("ensemble", [VotingClassifier, StackingClassifier])
def test_ensembles_of_scikit_learn(ensemble, data, tmp_path):
    model = ensemble([("svc", SVC()), ("dummy", DummyClassifier())]).fit(*data)
    restored = load(save(model, tmp_path / "model.fer"))
    assert restored.predict(data[0]).tolist() == model.predict(data[0]).tolist()
    assert restored.named_estimators_.svc is restored.named_estimators_["svc"]


def test_each_public_estimator_is_in_the_table():
    public = [getattr(fer_sklearn, name) for name in fer_sklearn.__all__]
    estimators = {
        item.__name__
        for item in public
        if isinstance(item, type) and issubclass(item, BaseEstimator)
    }
    assert estimators
    assert estimators <= ESTIMATORS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(_estimator.OWN_TYPES | _estimator.OWN_FUNCTIONS))
def test_each_type_and_function_exists(name):
    module, _, kind = name.rpartition(".")
    found = getattr(importlib.import_module(module), kind)
    assert isinstance(found, type) == (name in _estimator.OWN_TYPES)
    assert f"{found.__module__}.{found.__name__}" == name


@pytest.mark.slow
def test_each_architecture_is_known():
    from fer_sklearn.cnn import architectures

    functions = {
        f"{getattr(architectures, name).__module__}.{name}" for name in architectures.ARCHITECTURES
    }
    assert functions == _estimator.OWN_FUNCTIONS


@pytest.mark.slow
def test_architectures_with_other_settings_are_restored(tmp_path):
    from fer_sklearn.cnn.architectures import mobilenet_v3_small, resnet_se

    for architecture in (resnet_se, partial(mobilenet_v3_small, size=64)):
        network = FERCNNClassifier(architecture=architecture)
        restored = load(save(network, tmp_path / "a.fer")).architecture
        assert repr(restored) == repr(architecture)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["auto", "keras"])
def test_networks_continue_training_after_loading(runtime, tmp_path, faces):
    X, y = faces
    model = load_pretrained("tiny", runtime=runtime)
    restored = load(save(model, tmp_path / "model.fer"))
    for pipeline in (model, restored):
        pipeline.set_params(classifier__epochs=1, classifier__random_state=0)
        pipeline.fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), restored.predict_proba(X))


CUSTOM = """
import keras

class Scale(keras.layers.Layer):
    def __init__(self, factor, **options):
        super().__init__(**options)
        self.factor = factor

    def call(self, x):
        return x * self.factor

    def get_config(self):
        return super().get_config() | {"factor": self.factor}

def build(meta):
    inputs = keras.Input(meta["input_shape"])
    x = keras.layers.Flatten()(Scale(2.0)(inputs))
    return keras.Model(inputs, keras.layers.Dense(meta["n_classes"], activation="softmax")(x))
"""


@pytest.mark.slow
def test_layers_of_the_user_are_loaded_if_they_are_named(small_faces, tmp_path, monkeypatch):
    (tmp_path / "own_layers.py").write_text(CUSTOM)
    monkeypatch.syspath_prepend(tmp_path)
    import own_layers

    X, y = small_faces
    network = FERCNNClassifier(architecture=own_layers.build, epochs=1, random_state=0).fit(X, y)
    path = save(network, tmp_path / "own.fer")
    with pytest.raises(ModelFileError, match=r"'own_layers\.Scale', 'own_layers\.build'") as caught:
        load(path)
    assert "pass trusted=['own_layers.Scale', 'own_layers.build']" in str(caught.value)
    restored = load(path, trusted=["own_layers.Scale", own_layers.build])
    np.testing.assert_array_equal(restored.predict_proba(X), network.predict_proba(X))


def test_a_search_is_loaded_with_its_scorer_named(data, tmp_path):
    search = GridSearchCV(SVC(), {"C": [1, 2]}, cv=2).fit(*data)
    path = save(search, tmp_path / "search.fer")
    scorer = "sklearn.metrics._scorer._PassthroughScorer"
    with pytest.raises(ModelFileError, match=re.escape(f"trusted=['{scorer}']")):
        load(path)
    restored = load(path, trusted=[scorer])
    np.testing.assert_array_equal(restored.predict(data[0]), search.predict(data[0]))


def test_trees_are_refused_by_name(data, tmp_path):
    path = save(DecisionTreeClassifier().fit(*data), tmp_path / "tree.fer")
    with pytest.raises(ModelFileError, match=r"'sklearn\.tree\._tree\.Tree'"):
        load(path)
    tree = load(path, trusted=["sklearn.tree._tree.Tree"])
    assert tree.predict(data[0]).tolist()


@pytest.mark.parametrize("trusted", [True, "sklearn.tree._tree.Tree", None])
def test_trusted_is_a_list(saved, trusted):
    with pytest.raises(TypeError, match=r"is not a list; expected names such as"):
        load(saved, trusted=trusted)


@pytest.mark.parametrize("compress", [0, 1, 9])
def test_saved_models_are_restored(model, data, tmp_path, compress):
    path = save(model, str(tmp_path / "model.fer"), compress=compress)
    assert path == tmp_path / "model.fer"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        restored = load(path)
    np.testing.assert_array_equal(
        restored.decision_function(data[0]), model.decision_function(data[0])
    )


@pytest.mark.parametrize("compress", [-1, 10, "xz", 1.0])
def test_compression_out_of_range(model, tmp_path, compress):
    with pytest.raises(ValueError, match=r"expected an integer from 0 to 9\.$"):
        save(model, tmp_path / "model.fer", compress=compress)


def test_compression_makes_the_file_smaller(tmp_path):
    model = StandardScaler().fit(np.ones((2, 50_000)))
    plain = save(model, tmp_path / "plain", compress=0).stat().st_size
    assert save(model, tmp_path / "small").stat().st_size < plain / 10


def test_a_model_that_compresses_too_well_loads(tmp_path, monkeypatch):
    from fer_sklearn.persistence import _archive

    monkeypatch.setattr(_archive, "_SMALL", 10_000)
    model = StandardScaler().fit(np.ones((2, 50_000)))
    path = save(model, tmp_path / "model.fer")
    np.testing.assert_array_equal(load(path).mean_, model.mean_)


def test_the_same_model_gives_the_same_file(model, saved, tmp_path):
    again = save(load(saved), tmp_path / "again.fer")
    assert again.read_bytes() == saved.read_bytes()


@pytest.mark.slow
def test_a_network_whose_class_is_registered_is_restored(faces, tmp_path):
    X, y = faces
    clf = FERCNNClassifier(epochs=1, random_state=0).fit(X, y)
    copy.deepcopy(clf.model_)  # for which scikeras registers the class of Keras's own models
    save(clf, tmp_path / "model.fer")
    loaded = load(tmp_path / "model.fer")
    assert loaded.predict_proba(X).tolist() == clf.predict_proba(X).tolist()


@pytest.mark.slow
def test_saved_models_are_restored_in_a_new_process_without_tensorflow(faces, tmp_path):
    model = load_pretrained("tiny")
    paths = [tmp_path / name for name in ("model.fer", "X.npy", "proba.npy")]
    save(model, paths[0])
    np.save(paths[1], faces[0])
    script = (
        "import sys, numpy as np, fer_sklearn\n"
        "proba = fer_sklearn.load(sys.argv[1]).predict_proba(np.load(sys.argv[2]))\n"
        "np.save(sys.argv[3], proba)\n"
        "assert not {'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script, *map(str, paths)], check=True, timeout=120)
    np.testing.assert_array_equal(np.load(paths[2]), model.predict_proba(faces[0]))


def test_every_part_is_json_or_an_array_without_objects(saved):
    with zipfile.ZipFile(saved) as archive:
        assert archive.testzip() is None
        for name in archive.namelist():
            assert name.endswith((".json", ".npy"))
            if name.endswith(".npy"):
                with archive.open(name) as file:
                    np.load(file, allow_pickle=False)


def test_folders_of_this_computer_are_not_saved(data, tmp_path):
    model = make_pipeline(StandardScaler(), SVC(), memory=str(tmp_path / "cache")).fit(*data)
    assert load(save(model, tmp_path / "a.fer")).memory is None
    model.memory = joblib.Memory(tmp_path / "cache")
    assert load(save(model, tmp_path / "a.fer")).memory is None
    network = FERCNNClassifier(checkpoint_dir=tmp_path, initial_weights=tmp_path / "a.npz")
    restored = load(save(network, tmp_path / "a.fer"))
    assert restored.checkpoint_dir is None
    assert restored.initial_weights == str(tmp_path / "a.npz")
    assert network.checkpoint_dir == tmp_path


@pytest.mark.parametrize(
    "strategy", [{1: 0.5, 2: 2.0}, {"a": 1}, {np.int64(3): 1.0}, {1.5: 2}, None, [1, None, True]]
)
def test_parameters_are_restored(strategy, tmp_path):
    restored = load(save(SVC(class_weight=strategy), tmp_path / "a.fer"))
    assert restored.class_weight == strategy


# What cannot be saved


def _nested():
    def float64(x):  # the name of something else in this module's NumPy
        return x

    return float64


class Slotted:
    """Has no state in JSON."""

    def __init__(self):
        self.file = open(os.devnull)  # noqa: SIM115 - what cannot be saved


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (lambda x: x, "steps: func=<function <lambda>"),
        (_nested(), "steps: func=<function _nested.<locals>.float64"),
        (partial(lambda x: x), "steps: func=functools.partial(<function"),
        (Slotted(), "steps: func=<test_save_and_load.Slotted object"),
        ({True: 1, False: 2}, "steps: func={True: 1, False: 2}"),
        ({(1, 2): 1}, "steps: func={(1, 2): 1}"),
        ({1: 1, "1": 2}, "steps: func={1: 1, '1': 2}"),
    ],
    ids=["lambda", "nested", "partial", "file", "bool keys", "tuple keys", "same keys"],
)
def test_parts_that_need_pickle_are_named_before_anything_is_written(value, shown, tmp_path):
    model = make_pipeline(StandardScaler(), FunctionTransformer())
    model.steps[1][1].func = value
    with pytest.raises(TypeError) as caught:
        save(model, tmp_path / "model.fer")
    expected = shown.replace("steps: ", "functiontransformer.")
    assert str(caught.value).startswith(expected)
    assert "cannot be saved without pickle" in str(caught.value)
    assert "use joblib.dump" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_optimizer_object_is_named(tmp_path):
    import keras

    model = make_cnn_pipeline(FERCNNClassifier(optimizer=keras.optimizers.SGD()))
    with pytest.raises(TypeError, match=r"^classifier\.optimizer=<keras.*SGD object"):
        save(model, tmp_path / "model.fer")


def test_a_failed_save_keeps_the_old_file(saved):
    before = saved.read_bytes()
    with pytest.raises(TypeError, match="cannot be saved without pickle"):
        save(DummyClassifier(constant=lambda: None), saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["model.fer"]


def test_saving_again_replaces_the_file_and_leaves_no_other(model, saved):
    save(DummyClassifier(), saved)
    assert isinstance(load(saved), DummyClassifier)
    assert [path.name for path in saved.parent.iterdir()] == ["model.fer"]


def test_saving_through_a_link_writes_to_its_target(model, saved):
    link = saved.parent / "link"
    link.symlink_to(saved)
    save(DummyClassifier(), link)
    assert link.is_symlink()
    assert isinstance(load(saved), DummyClassifier)


def test_saved_files_have_the_usual_permissions(saved):
    (saved.parent / "other").touch()
    assert saved.stat().st_mode == (saved.parent / "other").stat().st_mode


@pytest.mark.parametrize(
    ("estimator", "shown"), [(SVC, "SVC"), ({"a": 1}, "{'a': 1}"), (None, "None")]
)
def test_only_estimators_are_saved(estimator, shown, tmp_path):
    with pytest.raises(TypeError) as caught:
        save(estimator, tmp_path / "model")
    assert str(caught.value) == (
        f"estimator={shown} is not an estimator instance; pass a fitted model."
    )
    assert not (tmp_path / "model").exists()


def test_saving_into_a_missing_folder(model, tmp_path):
    path = tmp_path / "missing" / "model"
    with pytest.raises(FileNotFoundError) as caught:
        save(model, path)
    assert str(caught.value) == (
        f"path={str(path)!r} is in a folder that does not exist, "
        f"{os.path.realpath(path.parent)!r}. Create it first."
    )


def test_saving_onto_a_folder(model, tmp_path):
    with pytest.raises(IsADirectoryError, match=r"is a folder; name a file in it\.$"):
        save(model, tmp_path)


# What cannot be loaded


def test_loading_a_missing_file(tmp_path):
    path = tmp_path / "missing"
    with pytest.raises(FileNotFoundError) as caught:
        load(path)
    assert str(caught.value) == f"path={str(path)!r} does not exist; expected a model file."


def test_loading_a_folder(tmp_path):
    with pytest.raises(IsADirectoryError, match=r"is a folder; name a model file in it\.$"):
        load(tmp_path)


def test_a_joblib_file_is_refused_with_the_remedy(model, tmp_path):
    joblib.dump(model, tmp_path / "plain.joblib")
    with pytest.raises(ModelFileError, match=r"only if you trust it, use joblib\.load\.$"):
        load(tmp_path / "plain.joblib")
    assert joblib.load(tmp_path / "plain.joblib").get_params()


def test_a_file_of_the_old_kind_is_refused_with_the_remedy(tmp_path):
    path = tmp_path / "old.fer"
    path.write_bytes(b'fer_sklearn model\n{"format": 1}'.ljust(1024) + b"\x80\x04.")
    with pytest.raises(ModelFileError, match=r"as a pickle, which load does not read.*Train"):
        load(path)


def test_loading_a_newer_format(saved):
    edit(saved, format=3, versions={"fer_sklearn": "9.0"})
    with pytest.raises(
        ModelFileError,
        match=r"has the file format 3, of fer_sklearn 9\.0; this version reads formats up "
        r"to 2\. Type: pip install --upgrade fer_sklearn$",
    ):
        load(saved)


@pytest.mark.parametrize("name", ["fer_sklearn", "scikit-learn"])
def test_another_minor_version_warns(saved, name):
    here = fer_sklearn.__version__ if name == "fer_sklearn" else __import__("sklearn").__version__
    edit(saved, versions={name: "0.0.7"})
    with pytest.warns(UserWarning, match=re.escape(f"{name} 0.0.7 (here {here})")) as caught:
        load(saved)
    assert len(caught) == 1
    assert Path(caught[0].filename) == Path(__file__)


def test_another_patch_version_does_not_warn(saved):
    patched = ".".join(__import__("sklearn").__version__.split(".")[:2]) + ".99"
    edit(saved, versions={"scikit-learn": patched})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(saved).get_params()


def test_code_missing_in_this_process_is_named(saved, monkeypatch, tmp_path):
    (tmp_path / "own_code.py").write_text(
        "from sklearn.dummy import DummyClassifier\nclass Own(DummyClassifier):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import own_code

    save(own_code.Own(), saved)
    monkeypatch.delitem(sys.modules, "own_code")
    (tmp_path / "own_code.py").unlink()
    with pytest.raises(ModelFileError, match=r"'own_code\.Own'"):
        load(saved)
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'own_code'$"):
        load(saved, trusted=["own_code.Own"])


def test_an_object_that_is_not_an_estimator(saved):
    parts = parts_of(saved)
    schema = {**_estimator._NULL, "content": '"text"', "protocol": 2, "_skops_version": "0"}
    write(saved, {"card.json": parts["card.json"], "estimator.json": schema})
    with pytest.raises(ModelFileError, match=r"an object of type str; expected an estimator\.$"):
        load(saved)
