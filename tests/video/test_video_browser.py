"""The page of a stream in a real browser: what it shows, and its buttons."""

import csv
import re
import threading
import time

import pytest
from videos import Camera, SquareReader, squares
from web_browser import chromium

from fer_sklearn.video import StreamPage, analyze_video

pytestmark = pytest.mark.slow


class _Cameras:
    """Stands in for ``cv2.VideoCapture``; each connection is a new camera."""

    def __init__(self):
        self.opened = []

    def __call__(self, source):
        self.opened.append(Camera(rate=25, draw=self._draw))
        return self.opened[-1]

    def _draw(self, index):
        return squares((80, 60, "happy"), (200 + index % 20, 160, "sad"))


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def cameras(monkeypatch):
    cameras = _Cameras()
    monkeypatch.setattr("cv2.VideoCapture", cameras)
    return cameras


@pytest.fixture
def analysis(cameras, tmp_path):
    """A running analysis of the camera, as (page, thread, summaries)."""
    viewer = StreamPage()
    summaries = []

    def analyze():
        summaries.append(
            analyze_video(
                0, SquareReader(), viewer=lambda: viewer, faces_path=tmp_path / "faces.csv"
            )
        )

    thread = threading.Thread(target=analyze, daemon=True)
    thread.start()
    yield viewer, thread, summaries
    viewer.close()
    thread.join(30)


@pytest.fixture
def page(browser, analysis):
    page = browser.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: said.type == "error" and errors.append(said.text))
    page.set_default_timeout(60_000)
    page.goto(analysis[0].url)
    _expect(page, "#state").to_have_text("live")
    yield page
    page.close()
    assert errors == []


def _expect(page, selector):
    """Wait for something on the page, whose policy allows no scripts from outside."""
    from playwright.sync_api import expect

    expect.set_options(timeout=60_000)
    return expect(page.locator(selector))


def test_the_page_shows_frames_faces_and_latency(page):
    while page.evaluate("() => document.querySelector('#stream').naturalWidth") != 320:
        pass
    _expect(page, "#faces h2").to_have_count(2)
    assert page.locator("#faces strong").all_text_contents() == ["happy", "sad"]
    # Below two seconds, once the average no longer contains those in which the browser started.
    _expect(page, "#numbers").to_contain_text(re.compile(r"latency 1?\d{1,3} ms"))
    # The image moves.
    pixels = """() => {
      const image = document.querySelector("#stream");
      const canvas = new OffscreenCanvas(320, 240).getContext("2d");
      canvas.drawImage(image, 0, 0);
      return canvas.getImageData(0, 0, 320, 240).data.reduce((sum, value) => sum + value, 0);
    }"""
    sums = set()
    while len(sums) < 2:
        sums.add(page.evaluate(pixels))


def test_the_table_of_faces_can_be_saved(page, analysis, tmp_path):
    _, thread, _ = analysis
    _expect(page, "#people tbody tr").to_have_count(2)
    heads = page.locator("#people thead th").all_text_contents()
    assert heads == [
        *("face", "seconds", "first", "last", "emotion", "changes"),
        *("fraction of the time", "mean probability", "happy", "sad", "happy", "sad"),
    ]
    page.click("#finish")
    thread.join(30)
    _expect(page, "#state").to_have_text("finished")
    # The last table has arrived, and can be saved though the server has gone.
    with page.expect_download() as saving:
        page.click("text=Save this table")
    assert saving.value.suggested_filename == "faces.csv"
    saved = saving.value.path().read_text()
    assert saved == (tmp_path / "faces.csv").read_text().replace(".0,", ",").replace(".0\n", "\n")
    rows = list(csv.DictReader(saved.splitlines()))
    assert [row["emotion"] for row in rows] == ["happy", "sad"]
    cells = page.locator("#people tbody tr:first-child td").all_text_contents()
    assert cells[4:7] == ["happy", "0", "100 %"]
    assert cells[-2:] == ["90 %", "10 %"]


def test_labels_that_are_numbers_stay_in_their_columns(browser):
    row = {
        **{"face": 0, "seconds": 2.0, "first": 0.0, "last": 2.0, "emotion": "10", "n_changes": 1},
        **{"10": 0.75, "2": 0.25, "mean_10": 0.7, "mean_2": 0.3},
    }
    viewer = StreamPage()
    page = browser.new_page()
    page.goto(viewer.url, wait_until="domcontentloaded")  # it waits for a frame
    viewer.update({"seconds": 2.0, "table": [row]})
    _expect(page, "#people tbody tr").to_have_count(1)
    heads = page.locator("#people thead tr:last-child th").all_text_contents()
    assert heads == ["10", "2", "10", "2"]
    cells = page.locator("#people tbody td").all_text_contents()
    assert cells[:6] == ["0", "2.0 s", "0.0 s", "2.0 s", "10", "1"]
    assert [cell.split()[0] for cell in cells[6:]] == ["75", "25", "70", "30"]
    with page.expect_download() as saving:
        page.click("text=Save this table")
    saved = saving.value.path().read_text()
    assert saved == ",".join(row) + "\n0,2,0,2,10,1,0.75,0.25,0.7,0.3\n"
    page.close()
    viewer.close()


def test_stop_releases_the_camera_and_start_takes_it_again(page, analysis, cameras):
    _, thread, summaries = analysis
    page.click("text=Stop")
    _expect(page, "#state").to_have_text("stopped")
    (first,) = cameras.opened
    while not first.released:
        time.sleep(0.02)
    _expect(page, "#numbers").not_to_contain_text("latency")
    page.click("text=Start")
    _expect(page, "#state").to_have_text("live")
    _expect(page, "#numbers").to_contain_text("latency")
    assert len(cameras.opened) == 2
    assert page.locator("#toggle").text_content() == "Stop"
    assert thread.is_alive()
    page.click("#finish")
    thread.join(30)
    (summary,) = summaries
    assert summary.problem is None
    _expect(page, "#toggle").to_be_disabled()
