"""What several test modules share: small seeded faces and the real FER2013, where it is."""

import os

# Before anything imports matplotlib or TensorFlow, which read them once.
os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest


@pytest.fixture(scope="session")
def faces():
    """Seventy synthetic faces, uint8 (70, 48, 48), and their emotions, each ten times or so.

    Shared by the whole session, hence read-only.
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
    """Path of fer2013.zip, as the environment variable FER2013_PATH gives it."""
    path = os.environ.get("FER2013_PATH")
    if not path:
        pytest.skip("needs FER2013_PATH, the path of fer2013.zip")
    return path
