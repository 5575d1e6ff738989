"""YuNetDetector with a stand-in for OpenCV's network, and fetch_yunet from files.

With the environment variable YUNET_PATH, the path of face_detection_yunet_2023mar.onnx,
the real network is tested too.
"""

import hashlib
import os
import pickle
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose
from running import in_threads
from skimage.data import astronaut

from fer_sklearn.cli import main
from fer_sklearn.faces import FaceCropper, YuNetDetector, _opencv, detect_faces, fetch_yunet
from fer_sklearn.faces._faces import per_thread

MODEL = b"stand-in for a model"
ROW = [10, 20, 30, 40, 33, 30, 17, 31, 25, 40, 18, 50, 32, 50, 0.9]


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a folder without logging."""

    def log_message(self, *args):
        pass


class StandIn:
    """Behaves like cv2.FaceDetectorYN: finds one face at a fixed place, and records the calls."""

    made: list = []  # noqa: RUF012

    @classmethod
    def create(cls, framework, model, config, size, **options):
        network = cls()
        network.model, network.thread, network.images = bytes(model), threading.get_ident(), []
        cls.made.append(network)
        return network

    def setScoreThreshold(self, value):
        self.min_score = value

    def setInputSize(self, size):
        self.size = size

    def detect(self, image):
        assert self.thread == threading.get_ident()
        assert image.shape == (self.size[1], self.size[0], 3)
        self.images.append(image)
        if self.min_score > 0.9:
            return 1, None
        return 1, np.array([ROW], np.float32)


@pytest.fixture
def network(monkeypatch):
    monkeypatch.setattr(StandIn, "made", [])
    monkeypatch.setattr(cv2, "FaceDetectorYN", StandIn)
    monkeypatch.setattr(_opencv, "_load_yunet", per_thread(_opencv._load_yunet_file, maxsize=1))
    return StandIn


@pytest.fixture
def published(monkeypatch, tmp_path):
    """Serve the stand-in's bytes as the published file, from localhost."""
    source = tmp_path / "zoo" / "yunet.onnx"
    source.parent.mkdir()
    source.write_bytes(MODEL)
    handler = partial(QuietHandler, directory=source.parent)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(_opencv, "YUNET_SHA256", hashlib.sha256(MODEL).hexdigest())
    monkeypatch.setattr(
        _opencv, "YUNET_URLS", (f"http://127.0.0.1:{server.server_port}/yunet.onnx",)
    )
    monkeypatch.setenv("FER_SKLEARN_DATA", str(tmp_path / "home"))
    yield source
    server.shutdown()
    server.server_close()


def test_rows_become_faces(network, published):
    fetch_yunet()
    faces = detect_faces(np.zeros((300, 400, 3), np.uint8), "yunet")
    assert_allclose(faces.boxes, [[10, 20, 30, 40]])
    assert_allclose(faces.scores, [0.9], rtol=1e-6)
    # The network reports the corners of the mouth.
    known = [[33, 30], [17, 31], [25, 40], [25, 50]]
    assert_allclose(faces.keypoints, [[*known, [np.nan, np.nan], [np.nan, np.nan]]])


def test_the_command_line_fetches_the_network(network, published, capsys):
    assert main(["info", "--fetch-yunet"]) == 0
    assert "yunet_2023mar.onnx" in capsys.readouterr().err
    assert len(detect_faces(np.zeros((300, 400, 3), np.uint8), "yunet")) == 1


def test_no_rows_are_no_faces(network, published):
    fetch_yunet()
    assert len(YuNetDetector(min_score=0.95)(np.zeros((300, 400), np.uint8))) == 0


def test_the_network_gets_bgr(network, published):
    fetch_yunet()
    photo = np.zeros((300, 400, 3), np.uint8)
    photo[..., 0] = 200
    YuNetDetector()(photo)
    assert network.made[0].images[0][0, 0].tolist() == [0, 0, 200]


def test_large_photos_are_downscaled_for_detection(network, published):
    fetch_yunet()
    faces = YuNetDetector(max_side=400)(np.zeros((1200, 1600), np.uint8))
    assert network.made[0].size == (400, 300)
    assert_allclose(faces.boxes, [[40, 80, 120, 160]])
    assert_allclose(faces.keypoints[:, :2], [[[132, 120], [68, 124]]])


def test_tight_crops_are_enlarged_and_padded(network, published):
    fetch_yunet()
    faces = YuNetDetector()(np.zeros((50, 50), np.uint8))
    assert network.made[0].size == (448, 448)
    assert_allclose(faces.boxes, [[-8.4375, -6.875, 4.6875, 6.25]])


def test_each_thread_loads_the_file_once(network, published):
    fetch_yunet()
    photo, detector = np.zeros((300, 400), np.uint8), YuNetDetector()
    in_threads(lambda: [detector(photo) for _ in range(5)], 3)
    assert len(network.made) == 3
    assert [len(made.images) for made in network.made] == [5, 5, 5]


def test_a_replaced_file_is_reloaded(network, tmp_path):
    path, photo = tmp_path / "own.onnx", np.zeros((300, 400), np.uint8)
    for content in (b"one", b"another"):
        path.write_bytes(content)
        YuNetDetector(path)(photo)
    assert [made.model for made in network.made] == [b"one", b"another"]


def test_a_missing_file_is_an_error_with_a_remedy(published):
    with pytest.raises(FileNotFoundError, match=r"no YuNet model .*Call fer_sklearn\.fetch_yunet"):
        FaceCropper(detector="yunet").transform([np.zeros((300, 400), np.uint8)])


def test_a_damaged_file_in_the_data_folder_is_an_error(network, published):
    fetch_yunet().write_bytes(b"other")
    with pytest.raises(ValueError, match=r"is not the file that OpenCV Zoo publishes: it has 5 by"):
        YuNetDetector()(np.zeros((300, 400), np.uint8))


def test_a_file_that_is_not_a_network_is_an_error(tmp_path):
    path = tmp_path / "own.onnx"
    path.write_bytes(b"no network")
    with pytest.raises(ValueError, match=r"own\.onnx' cannot be read by OpenCV .* as a YuNet"):
        YuNetDetector(path)(np.zeros((300, 400), np.uint8))


def test_yunet_downloads_once_and_repairs_damaged_files(published, tmp_path):
    path = fetch_yunet()
    assert path == tmp_path / "home" / "face_detection_yunet_2023mar.onnx"
    assert path.read_bytes() == MODEL
    path.write_bytes(b"half")
    assert fetch_yunet().read_bytes() == MODEL
    published.unlink()
    assert fetch_yunet() == path


def test_yunet_takes_a_folder_and_the_mirror(published, monkeypatch, tmp_path):
    gone = _opencv.YUNET_URLS[0].replace("yunet.onnx", "gone.onnx")
    monkeypatch.setattr(_opencv, "YUNET_URLS", (gone, *_opencv.YUNET_URLS))
    assert fetch_yunet(tmp_path / "a" / "b").parent == tmp_path / "a" / "b"


@pytest.mark.parametrize("content", [b"another file", MODEL + b"!"])
def test_yunet_keeps_nothing_but_the_published_file(published, content, tmp_path):
    published.write_bytes(content)
    with pytest.raises(ConnectionError, match=r"does not match the known hash.*\. Check"):
        fetch_yunet()
    assert not list((tmp_path / "home").glob("*"))


def test_yunet_without_a_network_says_what_to_do(published, monkeypatch):
    monkeypatch.setattr(_opencv, "YUNET_URLS", ("http://127.0.0.1:9/yunet.onnx",))
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:9.*refused.*into .*home by hand"):
        fetch_yunet()


def test_a_detector_is_equal_to_its_pickled_copy():
    detector = YuNetDetector("own.onnx", min_score=0.5)
    copy = pickle.loads(pickle.dumps(detector))
    assert copy == detector
    assert hash(copy) == hash(detector)
    assert copy != YuNetDetector()


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"model": 3}, TypeError, "model=3 must be the path of an ONNX file, or None"),
        ({"min_score": 1.0}, ValueError, r"min_score=1\.0 must be a number in \(0, 1\)"),
        ({"max_side": 2.5}, ValueError, r"max_side=2\.5 must be an int of 64 or more"),
    ],
)
def test_a_wrong_parameter_is_named(parameters, error, message):
    with pytest.raises(error, match=message):
        YuNetDetector(**parameters)


@pytest.mark.skipif("YUNET_PATH" not in os.environ, reason="needs YUNET_PATH, the model file")
@pytest.mark.parametrize("scale", [0.1, 1, 4])
def test_the_real_network_finds_the_astronaut(scale):
    detector = YuNetDetector(os.environ["YUNET_PATH"])
    photo = astronaut()[20:260, 100:350] if scale == 0.1 else astronaut()
    photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    faces = detector(photo)
    offset = (100, 20) if scale == 0.1 else (0, 0)
    left, top, width, height = faces.boxes[0] / scale + (*offset, 0, 0)
    assert len(faces) == 1
    assert abs(left + width / 2 - 225) < 10
    assert abs(top + height / 2 - 115) < 15
    assert np.abs(faces.keypoints[0, :2] / scale + offset - [[201, 101], [247, 103]]).max() < 10
