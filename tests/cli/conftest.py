"""Labelled photos on disk, and models that the command line trained on them."""

import pytest
from running import write_folder

from fer_sklearn import make_faces
from fer_sklearn.cli import main


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder of 70 faces in train/<label>/ and 35 in test/<label>/."""
    root = tmp_path_factory.mktemp("photos")
    X, y = make_faces(105, random_state=3, return_X_y=True)
    write_folder(root / "train", X[:70], y[:70])
    write_folder(root / "test", X[70:], y[70:])
    return root


@pytest.fixture(scope="session")
def model(photos, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "hog.fer"
    assert main(["train", str(photos), "--model", "hog-svm", "--output", str(path)]) == 0
    return path


@pytest.fixture(scope="session")
def cnn(photos, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "cnn.fer"
    options = ["--architecture", "conv3", "--epochs", "2", "--image-size", "16"]
    options += ["--validation-fraction", "0.2"]
    assert main(["train", str(photos), "--model", "cnn", *options, "-o", str(path)]) == 0
    return path
