"""The web app of `write_web` in a real Chromium, compared with Python."""

import base64
import hashlib
import io
import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage import data
from sklearn.pipeline import make_pipeline
from web_browser import (
    Server,
    as_files,
    chromium,
    page_opener,
    read,
    wait_for,
    write_camera_video,
)

from fer_sklearn import (
    BlazeFaceDetector,
    FaceCropper,
    FaceReader,
    export,
    make_faces,
    predict_photos,
)
from fer_sklearn._utils.tables import row_columns
from fer_sklearn.exporting import _web
from fer_sklearn.exporting._web import MissingNodeError, install_packages
from fer_sklearn.faces import _blazeface, _crop
from fer_sklearn.faces._crop import face_quality

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

    return load_pretrained("tiny", runtime="keras")


@pytest.fixture(scope="module")
def model(pretrained):
    """The exported network, and its metadata."""
    from fer_sklearn.exporting._graph import describe, serving_model, take_apart

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


def _turned(image, angle):
    height, width = image.shape[:2]
    motion = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1)
    return cv2.warpAffine(image, motion, (width, height), borderMode=cv2.BORDER_REPLICATE)


def _photos():
    """Faces upright, tilted, on their side, two, a dozen, large, small, tight, grey, and none."""
    astronaut = data.astronaut()
    pair = np.hstack([astronaut[:400, 60:380], _turned(astronaut, 22)[:400, 60:380]])
    subset = (255 * data.lfw_subset()[3]).astype(np.uint8)
    return {
        "astronaut": astronaut,
        "pair": pair,
        "tilted": _turned(astronaut, -28),
        "on its side": np.ascontiguousarray(np.rot90(astronaut)),
        "group": cv2.resize(np.tile(pair, (2, 3, 1)), (1100, 660)),
        "far": cv2.copyMakeBorder(astronaut, 200, 300, 500, 300, cv2.BORDER_REPLICATE),
        "large": cv2.resize(astronaut, (1000, 950), interpolation=cv2.INTER_CUBIC),
        "small": cv2.resize(astronaut, (200, 190)),
        "tight": astronaut[50:190, 160:290],
        "grey": cv2.resize(subset, (100, 100)),
        "strip": astronaut[100:101],
        "cup": np.ascontiguousarray(data.coffee()[:, ::-1]),  # a face, but not in the mirror
        "drawn": make_faces(1, size=160, random_state=1).images[0],
    }


def test_page_detects_and_crops_faces_as_python_does(opened, server, pretrained):
    photos = _photos()
    page = opened(server.url)
    shown = read(page, as_files(photos.values()))
    reader = FaceReader(pretrained)
    counts, differences = {}, []
    for (name, photo), record in zip(photos.items(), shown, strict=True):
        found = reader.detect(photo)
        faces = [face for face in record["faces"] if not face["whole"]]
        counts[name] = len(found)
        assert len(faces) == len(found), name
        if not faces:
            continue
        crops = reader.crop(photo, found)
        labels, probabilities = reader.predict(crops)
        assert [face["label"] for face in faces] == labels.tolist(), name
        expected = {
            "box": found.boxes,
            "keypoints": found.keypoints,
            "score": found.scores,
            "quality": face_quality(photo.shape, found, crops),
            "pixels": np.stack([_rgb(crop) for crop in crops]),
            "probabilities": probabilities,
        }
        for face in faces:
            face["pixels"] = np.reshape(face["pixels"], (48, 48, 4))[..., :3]
        differences.append(
            {
                key: np.abs(np.array([face[key] for face in faces]) - values)
                for key, values in expected.items()
            }
        )
    assert counts["astronaut"] == counts["tilted"] == 1
    assert counts["pair"] == 2
    assert counts["group"] >= 12
    most = {key: max(some[key].max() for some in differences) for key in differences[0]}
    # The detector's sums are rounded in another order. A box that moves by a hundredth of a pixel
    # changes few pixels of the crop, by a level or two.
    assert most["box"] < 0.1
    assert most["keypoints"] < 0.2
    assert most["score"] < 1e-3
    assert most["quality"] < 1e-3
    assert most["pixels"] <= 4
    assert np.mean([(some["pixels"] > 0).mean() for some in differences]) < 0.05
    assert most["probabilities"] < 2e-3
    assert page.locator(".face .row").count() == 7 * sum(len(some["faces"]) for some in shown)
    assert page.logged == []


def _rgb(image):
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image


def test_page_frames_by_the_box_if_the_pipeline_does(opened, folder, pretrained, tmp_path):
    shutil.copytree(folder, tmp_path / "page")
    described = json.loads((tmp_path / "page" / "fer_sklearn.json").read_text())
    assert described["crop"] == {"detector": "blazeface", "framing": "keypoints"}
    described["crop"]["framing"] = "box"
    (tmp_path / "page" / "fer_sklearn.json").write_text(json.dumps(described))
    tilted = _photos()["tilted"]
    with Server(tmp_path / "page") as server:
        (record,) = read(opened(server.url), as_files([tilted]))
        server.shutdown()
    reader = FaceReader(make_pipeline(FaceCropper(framing="box"), *pretrained))
    (crop,) = reader.crop(tilted, reader.detect(tilted))
    (face,) = record["faces"]
    assert np.abs(np.reshape(face["pixels"], (48, 48, 4))[..., :3] - crop.astype(int)).max() <= 4


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
        cut = FaceCropper().transform([bricks])
    # OpenCV averages areas in 32 bits.
    assert _difference(whole, pretrained.predict_proba(cut)) < 10 * PROBABILITY
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
    assert np.allclose(face["box"], BlazeFaceDetector()(data.astronaut()).boxes[0], atol=1)
    assert face["label"] == "happy"


def test_sample_photo_and_its_table(opened, server, pretrained, tmp_path):
    page = opened(server.url)
    page.get_by_role("button", name="Try a sample photo").click()
    wait_for(page, "ferSklearn.shown[0]?.faces")
    assert page.locator(".face .emotion").inner_text().startswith("Happy")
    read(page, [{**as_files([data.brick()])[0], "name": 'a "wall", grey.png'}])
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV").click()
    assert download.value.suggested_filename == "emotions.csv"
    saved = pd.read_csv(download.value.path())
    sample = _web._PAGE / "sample.jpg"
    predict_photos([sample], pretrained, output=tmp_path / "python.csv", progress=False)
    expected = pd.read_csv(tmp_path / "python.csv")
    assert saved.columns.tolist() == expected.columns.tolist()
    assert saved["source"].tolist() == ["sample.jpg", 'a "wall", grey.png']
    assert saved["status"].tolist() == ["ok", "no face"]
    assert saved["face"].tolist()[0] == 0
    assert saved.iloc[1].drop(["source", "status"]).isna().all()
    numbers = expected.select_dtypes("number").columns
    # Browsers and Pillow decode JPEG files alike, but for a few grey levels.
    assert np.allclose(saved.loc[[0], numbers], expected[numbers], atol=0.3)


def test_labels_of_any_kind_stay_in_their_columns(opened, model, packages, tmp_path):
    network, metadata = model
    labels = ["-1", "0", "10", "2", "constructor", 'a, "b"', "<b>ü</b>"]
    _web.write_web(network, metadata | {"labels": labels}, tmp_path, bundle_packages=True)
    with Server(tmp_path) as server:
        page = opened(server.url)
        shown = read(page, as_files([data.astronaut(), data.brick()]))
        with page.expect_download() as download:
            page.get_by_role("button", name="Save as CSV").click()
        server.shutdown()
    saved = pd.read_csv(download.value.path())
    assert saved.columns.tolist() == list(row_columns(labels))
    (face,) = shown[0]["faces"]
    assert np.allclose(saved.loc[0, labels].astype(float), face["probabilities"], atol=1e-6)
    assert saved.loc[1, labels].isna().all()


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
    wait_for(page, "ferSklearn.camera.predictionsPerSecond > 1")
    page.locator("#camera-faces .emotion", has_text="happy").wait_for()
    assert re.fullmatch(r"\d+ per second, \d+ ms each", page.locator("#speed").inner_text())
    assert page.locator("#camera-boxes .box").count() == 1
    assert "happy" in page.locator("#status").inner_text()
    # On the right, because the image is mirrored.
    left = page.locator(".box").evaluate("(box) => parseFloat(box.style.left)")
    assert left > 50
    # One face, followed over many frames, is one face.
    page.wait_for_timeout(1500)
    assert page.locator("#camera-faces .face").count() == 1
    assert page.evaluate("ferSklearn.camera.numbers") == [0]
    page.keyboard.press("Escape")
    assert page.locator("#camera").is_hidden()
    assert page.evaluate("document.activeElement.id") == "turn-on"
    assert page.logged == []


def test_faces_that_come_and_go_keep_their_numbers(opened, server):
    page = opened(server.url)
    pair = cv2.resize(_photos()["pair"], (640, 400))
    left, right = pair.copy(), pair.copy()
    left[:, 320:] = left[:, :1]
    right[:, :320] = right[:, -1:]

    def show(image, n_frames, start):
        """Show a frame n times at 20 per second, and return the numbers in each."""
        (file,) = as_files([image])
        page.evaluate(
            """(text) => {
              const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
              window.frame = new Blob([bytes]);
            }""",
            base64.b64encode(file["buffer"]).decode(),
        )
        return page.evaluate(
            """async ([n, start]) => {
              const numbers = [];
              for (let i = 0; i < n; i++) {
                const request = { source: window.frame, seconds: start + i / 20 };
                const { faces } = await ferSklearn.camera.engine.request("frame", request);
                numbers.push(faces.map(({number}) => number));
              }
              return numbers;
            }""",
            [n_frames, start],
        )

    assert show(left, 3, 0) == [[0]] * 3
    both = show(pair, 21, 1)
    assert both[0] == [0]
    assert both[-1] == [0, 1]
    gone = show(right, 8, 3)
    assert gone[-1] == [1]


REFUSALS = {
    "NotAllowedError": "Access to the camera was denied. Allow it for this page",
    "SecurityError": "settings do not allow pages to use the camera",
    "NotFoundError": "No camera was found. Connect one",
    "NotReadableError": "another program may be using it",
    "AbortError": "stopped while it was starting",
    "OverconstrainedError": "no longer connected",
    "UnheardOfError": "The camera did not start (said the browser)",
}
FORBIDDEN = {
    "Object.defineProperty(window, 'isSecureContext', {value: false})": "https:// or localhost",
    "Object.defineProperty(navigator, 'mediaDevices', {value: undefined})": "does not let pages",
    "document.featurePolicy.allowsFeature = () => false": "The site that embeds this page does not",
}


@pytest.mark.parametrize("refusal", [*REFUSALS, *FORBIDDEN])
def test_each_refusal_of_the_camera_has_its_advice(opened, server, refusal):
    page = opened(server.url)
    refuse = f"""navigator.mediaDevices.getUserMedia = () =>
        Promise.reject(new DOMException("said the browser", "{refusal}"))"""
    page.evaluate(f"() => {{ {refusal if refusal in FORBIDDEN else refuse}; }}")
    page.get_by_role("button", name="Turn the camera on").click()
    advice = page.get_by_role("alert")
    advice.filter(has_text={**REFUSALS, **FORBIDDEN}[refusal]).wait_for()
    assert "choose a photo" in advice.inner_text()
    assert page.locator("#camera").is_hidden()


# --- accessibility


def test_keyboard_reaches_everything(opened, server):
    page = opened(server.url)
    # Playwright looks out for file choosers from a moment after the first listener.
    page.on("filechooser", lambda chooser: None)
    assert _tabbed(page, 3) == ["choose", "turn-on", "sample"]
    width = page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)")
    assert width >= 2
    page.keyboard.press("Enter")
    wait_for(page, "ferSklearn.shown[0]?.faces")
    assert _tabbed(page, 2) == ["save", "clear"]
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "choose"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    assert chooser.value.is_multiple()


def _tabbed(page, n):
    """Press Tab n times, and return what has the focus each time."""
    reached = []
    for _ in range(n):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    return reached


def test_screen_readers_get_names_and_results(opened, server):
    page = opened(server.url)
    read(page, as_files([_photos()["pair"]]))
    results = page.get_by_role("region", name="Results")
    photo = results.get_by_role("article", name="0.png")
    faces = photo.get_by_role("list", name="Faces").locator(":scope > li")
    assert faces.count() == 2
    assert re.match(r"happy\s*face 1, quality 0\.\d\d", faces.nth(1).inner_text().lower())
    rows = faces.nth(0).get_by_role("list", name="Probabilities").get_by_role("listitem")
    assert re.fullmatch(r"Happy\s+\d+\s%", rows.nth(3).inner_text())
    assert re.fullmatch(
        r"0\.png: face 0: happy, \d+\s%; face 1: happy, \d+\s%",
        page.get_by_role("status").inner_text(),
    )
    unnamed = """() => [...document.querySelectorAll("button, select, input, video, progress")]
        .filter((element) => !(element.ariaLabel || element.labels?.length
            || element.textContent.trim())).map((element) => element.id)"""
    assert page.evaluate(unnamed) == []


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
        assert len(fetched) == 4
        spoiled.append("tf-core.min.js")
        page = opened(server.url, elsewhere=cdn)
        (record,) = read(page, as_files([data.astronaut()]))
        assert "tf-core.min.js could not be loaded" in record["error"]
        assert "tf-core.min.js" in page.get_by_role("alert").inner_text()
        server.shutdown()


def test_missing_npm_is_reported_before_anything_is_written(
    model, pretrained, tmp_path, monkeypatch
):
    def missing():
        raise MissingNodeError("npm was not found.")

    monkeypatch.setattr(_web, "install_packages", missing)
    monkeypatch.setattr("fer_sklearn.exporting._graph.take_apart", None)  # no work is done
    with pytest.raises(MissingNodeError, match=r"npm was not found\. Or pass .*False .*--cdn"):
        export(pretrained, tmp_path / "page", format="web")
    with pytest.raises(MissingNodeError, match="npm was not found"):
        _web.write_web(*model, tmp_path)
    assert list(tmp_path.iterdir()) == []
    _web.write_web(*model, tmp_path, bundle_packages=False)
    page = json.loads((tmp_path / "page.json").read_text())
    assert page["runtime"]["wasm"]["url"].startswith("https://cdn.jsdelivr.net/npm/@tensorflow/")


def test_page_names_what_it_contains(model, tmp_path):
    _web.write_web(*model, tmp_path, bundle_packages=False)
    notice = (tmp_path / "NOTICE.txt").read_text()
    assert "tfjs-core/v/4.22.0" in notice
    assert _blazeface.FILE in notice
    assert "Apache License" in (tmp_path / "APACHE-2.0.txt").read_text()
    detector = (tmp_path / "detector" / _blazeface.FILE).read_bytes()
    assert hashlib.sha256(detector).hexdigest() == _blazeface.SHA256


# --- constants shared with Python


@pytest.mark.parametrize(("file", "module"), [("blazeface.js", _blazeface), ("crop.js", _crop)])
def test_page_has_the_constants_of_python(file, module):
    text = (_web._PAGE / file).read_text(encoding="utf-8")
    numbers = dict(re.findall(r"\b([A-Z][A-Z_]+) = ([\d.]+)[,;]", text))
    lists = dict(re.findall(r"const ([A-Z_]+) = (\[[^;]+\]);", text))
    own = {"BATCH_SIZE", "RIGHT_EYE", "LEFT_EYE", "NOSE", "MOUTH"}
    detector = BlazeFaceDetector()
    compared = set()
    for name, value in (numbers | lists).items():
        python = getattr(detector, name.lower(), None) or getattr(module, f"_{name}", None)
        python = list(python.values()) if isinstance(python, dict) else python
        if name in own or python is None:
            assert name in own | {"BOX_IN_CROP"}, name
            continue
        compared.add(name)
        assert np.array(eval(value)) == pytest.approx(np.array(python)), name
    assert len(compared) >= (5 if file == "crop.js" else 18)
    if file == "crop.js":
        assert tuple(json.loads(lists["BOX_IN_CROP"])) == _blazeface._BOX_IN_CROP


def test_security_policy_forbids_other_servers():
    text = (_web._PAGE / "index.html").read_text(encoding="utf-8")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy.startswith("default-src 'none';")
    assert _web._CONNECT in policy
    assert not re.search(r"http|unsafe-inline|\*", policy)
    assert re.findall(r"<script(?! type=\"module\" src=)|\son\w+=|style=", text) == []


@pytest.mark.slow
def test_network_of_grey_pixels_is_refused(tmp_path):
    import keras

    network = keras.Sequential([keras.Input((48, 48, 1)), keras.layers.Flatten()])
    with pytest.raises(ValueError, match="passes faces in colour"):
        _web.write_web(network, {}, tmp_path)
    assert list(Path(tmp_path).iterdir()) == []
