"""Shared fixtures: small seeded faces, and the real FER2013 if available."""

import os

import pytest


@pytest.fixture(scope="session")
def faces():
    """Seventy synthetic faces, uint8 (70, 48, 48), and their emotions, about ten of each.

    Shared by the whole session, and therefore read-only.
    """
    from fer_sklearn import make_faces

    X, y = make_faces(70, random_state=0, return_X_y=True)
    X.flags.writeable = False
    y.flags.writeable = False
    return X, y


@pytest.fixture(scope="session")
def small_faces():
    """280 synthetic faces with little noise, uint8 (280, 24, 24), and their emotions."""
    from fer_sklearn import make_faces

    X, y = make_faces(280, size=24, noise=3, random_state=0, return_X_y=True)
    X.flags.writeable = False
    y.flags.writeable = False
    return X, y


@pytest.fixture(scope="session")
def fer2013_path():
    """Path of fer2013.zip, from the environment variable FER2013_PATH."""
    path = os.environ.get("FER2013_PATH")
    if not path:
        pytest.skip("needs FER2013_PATH, the path of fer2013.zip")
    return path


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder of 70 faces in train/<label>/ and 35 in test/<label>/."""
    from running import write_folder

    from fer_sklearn import make_faces

    root = tmp_path_factory.mktemp("photos")
    X, y = make_faces(105, random_state=3, return_X_y=True)
    write_folder(root / "train", X[:70], y[:70])
    write_folder(root / "test", X[70:], y[70:])
    return root


@pytest.fixture(scope="session")
def model(photos, tmp_path_factory):
    from fer_sklearn.cli import main

    path = tmp_path_factory.mktemp("models") / "hog.fer"
    assert main(["train", str(photos), "--model", "hog-svm", "--output", str(path)]) == 0
    return path


@pytest.fixture(scope="session")
def cnn(photos, tmp_path_factory):
    from fer_sklearn.cli import main

    path = tmp_path_factory.mktemp("models") / "cnn.fer"
    options = ["--architecture", "conv3", "--epochs", "2", "--image-size", "16"]
    options += ["--validation-fraction", "0.2"]
    assert main(["train", str(photos), "--model", "cnn", *options, "-o", str(path)]) == 0
    return path
