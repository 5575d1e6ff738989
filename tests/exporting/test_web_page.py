"""The web app of `write_web` in a real Chromium, compared with Python."""

import io
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data, transform
from web_browser import Server, as_files, chromium, page_opener, read, write_camera_video

from fer_sklearn import FaceCropper, FaceReader, make_faces
from fer_sklearn.exporting import _web
from fer_sklearn.exporting._node import MissingNodeError, install_packages
from fer_sklearn.faces import _opencv

PROBABILITY = 1e-4
# The page never requests this; the test checks that its policy would block it.
ANYTHING = "fetch({url!r}, {{mode: 'no-cors'}}).then(() => 'sent', () => 'refused')"


# --- the server


@pytest.fixture(scope="module")
def packages():
    """The folder of the npm packages."""
    try:
        return install_packages()
    except MissingNodeError as error:
        pytest.skip(f"needs the npm packages: {error}")


@pytest.fixture(scope="module")
def pretrained():
    from fer_sklearn import load_pretrained

    return load_pretrained()


@pytest.fixture(scope="module")
def model(pretrained):
    """The exported network, and its metadata."""
    from fer_sklearn.exporting._graph import serving_model, take_apart
    from fer_sklearn.exporting._metadata import describe

    parts = take_apart(pretrained)
    network = serving_model(parts)
    metadata = describe(
        parts, network, format="web", precision="float32", accuracy={"faces": 0.5}, license=None
    )
    return network, metadata


@pytest.fixture(scope="module")
def folder(model, packages, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    _web.write_web(*model, folder, bundle_packages=True)
    return folder


@pytest.fixture(scope="module")
def server(folder):
    with Server(folder) as server:
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    film = tmp_path_factory.mktemp("film") / "film.y4m"
    write_camera_video(film)
    with chromium(film) as browser:
        yield browser


@pytest.fixture
def opened(browser):
    with page_opener(browser) as open_page:
        yield open_page


def _difference(shown, probabilities):
    return np.abs(np.array([face["probabilities"] for face in shown]) - probabilities).max()


# --- photos


def _images():
    """Sixteen synthetic and sixteen real faces, grey and in colour, some in wide crops."""
    drawn = make_faces(16, random_state=1, return_X_y=True)[0]
    subset = (255 * data.lfw_subset()[:6]).astype(np.uint8)
    enlarged = [
        cv2.resize(face, (side, side))
        for face, side in zip(subset, range(60, 180, 20), strict=True)
    ]
    astronaut = data.astronaut()
    cut = [astronaut[20 : 20 + side, 120 : 120 + side] for side in range(150, 400, 50)]
    shrunk = [cv2.resize(astronaut, (side, side - 20)) for side in range(200, 480, 60)]
    wide = [astronaut[60:110, 120:220], astronaut[60:180, 160:200]]
    return [*drawn, *enlarged, *cut, *shrunk, *wide]


def test_page_matches_python_on_the_astronaut_and_34_faces(opened, server, pretrained):
    images = [data.astronaut(), *_images()]
    assert len(images) == 35
    page = opened(server.url)
    shown = read(page, as_files(images))
    reader = FaceReader(pretrained, detector="haar")
    found_faces, cuts = [], []
    for image, record in zip(images, shown, strict=True):
        found = reader.detect(image)
        boxes = [face["box"] for face in record["faces"] if not face["whole"]]
        assert np.allclose(np.reshape(boxes, (-1, 4)), found.boxes, atol=1e-9)
        scores = [face["score"] for face in record["faces"] if not face["whole"]]
        assert np.allclose(scores, found.scores)
        found_faces += record["faces"]
        cuts += reader.crop(image, found) or [FaceCropper(detector=[None]).transform([image])[0]]
    labels, probabilities = reader.predict(cuts)
    assert len(found_faces) == len(cuts) >= 35
    assert sum(face["whole"] for face in found_faces) < 20
    assert [face["label"] for face in found_faces] == labels.tolist()
    # OpenCV.js rounds a few pixels of enlarged crops differently from OpenCV.
    is_enlarged = np.array([face["box"][2] < 48 for face in found_faces])
    for chosen, tolerance in ((~is_enlarged, PROBABILITY), (is_enlarged, 10 * PROBABILITY)):
        few = [face for face, is_chosen in zip(found_faces, chosen, strict=True) if is_chosen]
        assert few
        assert _difference(few, probabilities[chosen]) < tolerance
    # A comparison that accepted the prediction for a neighbouring face would prove nothing.
    assert _difference(found_faces, np.roll(probabilities, 1, axis=0)) > 0.1
    assert all(
        np.abs(np.reshape(face["pixels"], (48, 48, 4))[..., :3] - _rgb(cut)).max() <= 1
        for face, cut in zip(found_faces, cuts, strict=True)
    )
    assert page.locator(".face .row").count() == 7 * len(found_faces)
    assert page.logged == []


def _rgb(image):
    image = image.astype(int)
    return image if image.ndim == 3 else image[..., None]


def test_boxes_in_large_and_rotated_photos_match_python(opened, server):
    astronaut = data.astronaut()
    large = cv2.resize(astronaut, (1024, 1024), interpolation=cv2.INTER_CUBIC)
    large = cv2.copyMakeBorder(large, 0, 0, 1500, 500, cv2.BORDER_REPLICATE)
    rotated = (255 * transform.rotate(astronaut, 25, mode="edge")).astype(np.uint8)
    shown = read(opened(server.url), as_files([large, rotated]))
    detector = _opencv.HaarDetector()
    for image, record, tolerance in zip([large, rotated], shown, (1e-9, 4), strict=True):
        found = detector(image)
        (face,) = record["faces"]
        assert np.allclose([face["box"]], found.boxes, atol=tolerance)


def test_files_without_a_face_or_an_image_are_reported(opened, server, pretrained, tmp_path):
    page = opened(server.url)
    text = {"name": "notes.png", "mimeType": "image/png", "buffer": b"no image at all"}
    bricks = data.brick()
    broken, faceless, astronaut = read(page, [text, *as_files([bricks, data.astronaut()])])
    assert "not an image" in broken["error"]
    assert "not an image" in page.locator("article", has_text="notes.png").inner_text()
    assert faceless["faces"] == []
    assert len(astronaut["faces"]) == 1
    card = page.locator("article", has_text="No face was found")
    card.get_by_role("button", name="whole image").click()
    page.evaluate("ferSklearn.idle")
    whole = page.evaluate("ferSklearn.shown[1].faces.map(({probabilities}) => ({probabilities}))")
    with pytest.warns(UserWarning, match="No face"):
        cut = FaceCropper(detector="haar").transform([bricks])
    assert _difference(whole, pretrained.predict_proba(cut)) < PROBABILITY
    assert "the whole image was classified" in page.locator("article").nth(1).inner_text()
    page.get_by_role("button", name="Clear").click()
    assert page.locator("article").count() == 0


def test_exif_orientation_is_applied(opened, server):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    file = io.BytesIO()
    turned = Image.fromarray(np.rot90(data.astronaut()).copy())
    turned.save(file, format="JPEG", quality=98, subsampling=0, exif=exif)
    jpeg = {"name": "phone.jpg", "mimeType": "image/jpeg", "buffer": file.getvalue()}
    (record,) = read(opened(server.url), [jpeg])
    (face,) = record["faces"]
    assert np.allclose(face["box"], _opencv.HaarDetector()(data.astronaut()).boxes[0], atol=4)
    assert face["label"] == "happy"


def test_page_contacts_no_other_server(opened, server, folder, tmp_path):
    asked_before = len(server.paths)
    page = opened(server.url)
    page.evaluate("ferSklearn.ready")
    assert page.blocked_requests == []
    assert all((folder / path.lstrip("/")).exists() for path in server.paths[asked_before:])
    with Server(tmp_path) as other:
        send = ANYTHING.format(url=other.url)
        assert page.evaluate(send) == "refused"
        (worker,) = page.workers
        assert worker.evaluate(send) == "refused"
        assert other.paths == []
        other.shutdown()


# --- the camera


def test_camera_starts_and_stops(opened, server):
    page = opened(server.url, permissions=["camera"])
    page.get_by_role("button", name="Turn the camera on").click()
    page.wait_for_function("ferSklearn.camera.predictionsPerSecond > 1")
    page.locator("#camera-faces .emotion", has_text="happy").wait_for()
    assert re.fullmatch(r"\d+ predictions per second", page.locator("#speed").inner_text())
    assert page.locator("#camera-boxes .box").count() == 1
    assert "happy" in page.locator("#status").inner_text()
    # On the right, because the image is mirrored.
    left = page.locator(".box").evaluate("(box) => parseFloat(box.style.left)")
    assert left > 50
    page.get_by_role("button", name="Stop").click()
    assert page.locator("#camera").is_hidden()
    assert page.evaluate("document.activeElement.id") == "turn-on"
    assert page.logged == []


def test_denied_camera_access_shows_advice(opened, server):
    page = opened(server.url)
    page.evaluate(
        """() => { navigator.mediaDevices.getUserMedia = () =>
             Promise.reject(new DOMException("Permission denied", "NotAllowedError")); }"""
    )
    page.get_by_role("button", name="Turn the camera on").click()
    advice = page.get_by_role("alert")
    advice.filter(has_text="Access to the camera was denied").wait_for()
    assert "Allow it for this page" in advice.inner_text()
    assert page.locator("#camera").is_hidden()


# --- accessibility


def test_keyboard_reaches_everything(opened, server):
    page = opened(server.url)
    choosers, reached = [], []
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    for _ in range(2):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    assert reached == ["choose", "turn-on"]
    width = page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)")
    assert width >= 2
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    page.wait_for_function("ferSklearn.ready")
    assert [chooser.is_multiple() for chooser in choosers] == [True]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_on_a_phone(opened, server, scheme, tmp_path):
    phone = {"width": 360, "height": 740}
    page = opened(server.url, viewport=phone, color_scheme=scheme, has_touch=True)
    read(page, as_files([data.astronaut()]))
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    shot = tmp_path / f"{scheme}.png"
    page.screenshot(path=shot)
    corner = np.asarray(Image.open(shot).convert("L"))[5, 5]
    assert corner > 200 if scheme == "light" else corner < 60


# --- without npm


def test_stored_hashes_match_the_packages(packages):
    assert _web.read_hashes() == _web.hash_packages(packages)


def test_page_loads_packages_that_are_not_bundled_from_a_cdn(opened, model, packages, tmp_path):
    _web.write_web(*model, tmp_path, bundle_packages=False)
    assert not (tmp_path / "vendor").exists()
    fetched, spoiled = [], []

    def cdn(route):
        package, version_and_file = re.fullmatch(
            r"https://cdn\.jsdelivr\.net/npm/(@[^@]+)@(.+)", route.request.url
        ).groups()
        file = packages / package / version_and_file.split("/", 1)[1]
        fetched.append(file.name)
        body = file.read_bytes() + (b" " if file.name in spoiled else b"")
        route.fulfill(body=body, headers={"Access-Control-Allow-Origin": "*"})

    with Server(tmp_path) as server:
        (record,) = read(opened(server.url, elsewhere=cdn), as_files([data.astronaut()]))
        assert record["faces"][0]["label"] == "happy"
        assert len(fetched) == 5
        spoiled.append("tf-core.min.js")
        page = opened(server.url, elsewhere=cdn)
        (record,) = read(page, as_files([data.astronaut()]))
        assert "tf-core.min.js could not be loaded" in record["error"]
        assert "tf-core.min.js" in page.get_by_role("alert").inner_text()
        server.shutdown()


def test_missing_npm_is_an_error_only_if_packages_must_be_bundled(model, tmp_path, monkeypatch):
    def missing():
        raise MissingNodeError("npm was not found")

    monkeypatch.setattr(_web, "install_packages", missing)
    with pytest.raises(MissingNodeError, match="npm was not found"):
        _web.write_web(*model, tmp_path, bundle_packages=True)
    assert list(tmp_path.iterdir()) == []
    _web.write_web(*model, tmp_path, bundle_packages="auto")
    page = json.loads((tmp_path / "page.json").read_text())
    assert page["runtime"]["wasm"]["url"].startswith("https://cdn.jsdelivr.net/npm/@tensorflow/")


# --- constants shared with Python


def test_page_has_the_constants_of_the_detector():
    def numbers(name):
        text = (_web._PAGE / name).read_text(encoding="utf-8")
        return dict(re.findall(r"\b([A-Z][A-Z_]+) = ([\d.]+)[,;]", text))

    detector = _opencv.HaarDetector()
    parameters = ("MIN_SIZE", "MAX_SIDE", "SCALE_FACTOR", "MIN_NEIGHBORS")
    for name, text in numbers("faces.js").items():
        python = detector if name in parameters else _opencv
        key = name.lower() if name in parameters else f"_{name}"
        assert float(text) == getattr(python, key), name
    assert len(numbers("faces.js")) == 15
    for name, text in numbers("cascades.js").items():
        assert float(text) == pytest.approx(getattr(_opencv, f"_{name}")), name


def test_security_policy_forbids_other_servers():
    text = (_web._PAGE / "index.html").read_text(encoding="utf-8")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy.startswith("default-src 'none';")
    assert _web._CONNECT in policy
    assert not re.search(r"http|unsafe-inline|\*", policy)
    assert re.findall(r"<script(?! type=\"module\" src=)|\son\w+=|style=", text) == []


def test_network_of_grey_pixels_is_refused(tmp_path):
    import keras

    network = keras.Sequential([keras.Input((48, 48, 1)), keras.layers.Flatten()])
    with pytest.raises(ValueError, match="passes faces in colour"):
        _web.write_web(network, {}, tmp_path)
    with pytest.raises(ValueError, match="bundle_packages='yes' is unknown"):
        _web.write_web(network, {}, tmp_path, bundle_packages="yes")
    assert list(Path(tmp_path).iterdir()) == []
