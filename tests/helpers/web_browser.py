"""A real Chromium that opens the page of `write_web`, and the server for it."""

import functools
import http.server
import io
import math
import shutil
import threading
import time
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

_CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None
)
# Milliseconds; the first prediction waits for the whole runtime.
_PATIENCE = 60_000


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder on localhost, and records the requests."""

    def __init__(self, folder):
        self.paths = []
        super().__init__(("127.0.0.1", 0), functools.partial(_Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server_port}/"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        self.server.paths.append(self.path)
        super().do_GET()

    def log_message(self, *args):
        pass


def write_camera_video(path):
    """Write four seconds of raw video with the astronaut moving on the left."""
    height, width, n_frames = 360, 480, 120
    with open(path, "wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F30:1 Ip A1:1 C420jpeg\n".encode())
        for index in range(n_frames):
            turn = 2 * math.pi * index / n_frames
            shift = np.float32([[1, 0, 40 * math.sin(turn) - 100], [0, 1, 15 * math.cos(turn)]])
            frame = cv2.warpAffine(data.astronaut(), shift, (width, height))
            file.write(b"FRAME\n" + cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420).tobytes())


@contextmanager
def chromium(film=None):
    """Start Chromium, if given with a video as its camera, or skip."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright: pip install playwright"
    )
    if _CHROMIUM is None:
        pytest.skip("needs Chromium or Chrome: apt install chromium, or see chromium.org")
    arguments = ["--no-sandbox"]
    if film is not None:
        arguments.append("--use-fake-device-for-media-stream")
        arguments.append(f"--use-file-for-fake-video-capture={film}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=arguments)
        yield browser
        browser.close()


@contextmanager
def page_opener(browser):
    """Return a function that opens pages, which can only reach localhost.

    A page has its blocked requests as ``blocked_requests``, and its errors as ``logged``.
    """
    contexts = []

    def open_page(url, *, elsewhere=None, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.blocked_requests, page.logged = [], []

        def on_request(route):
            if route.request.url.startswith("http://127.0.0.1:"):
                route.continue_()
            elif elsewhere is not None:
                elsewhere(route)
            else:
                page.blocked_requests.append(route.request.url)
                route.abort()

        context.route("**/*", on_request)
        page.set_default_timeout(_PATIENCE)
        page.on("console", lambda said: said.type == "error" and page.logged.append(said.text))
        page.on("pageerror", lambda error: page.logged.append(str(error)))
        page.goto(url)
        wait_for(page, "window.ferSklearn")
        return page

    yield open_page
    for context in contexts:
        context.close()


def wait_for(page, condition):
    """Wait until a JavaScript expression is true.

    Playwright's own function evaluates text in the page, which the page's policy forbids.
    """
    deadline = time.monotonic() + _PATIENCE / 1000
    while not page.evaluate(f"!!({condition})"):
        assert time.monotonic() < deadline, f"never true: {condition}"
        time.sleep(0.02)


def as_files(images):
    """Return images as PNG files, as a file input takes them."""
    return [
        {"name": f"{index}.png", "mimeType": "image/png", "buffer": _png(image)}
        for index, image in enumerate(images)
    ]


def read(page, files):
    """Choose files on the page like a user, and return what it shows for each."""
    known = page.evaluate("ferSklearn.shown.length")
    page.set_input_files("#files", files)
    page.evaluate("ferSklearn.idle")
    return page.evaluate(
        """(known) => ferSklearn.shown.slice(known).map(({name, faces, error}) => ({
          name, error,
          faces: faces?.map(({image, ...face}) => ({...face, pixels: Array.from(image.data)})),
        }))""",
        known,
    )


def _png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG", compress_level=1)
    return file.getvalue()
