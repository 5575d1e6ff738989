"""How large is the web app, and how long does it take for a frame of a camera and for a photo?

    python benchmarks/page.py

The page runs in headless Chromium, whose camera is a video of a moving face. Writes
benchmarks/results/page.json. Times are the best of several, as with timeit: other programs can only
make them longer. Needs Chromium, npm and playwright.
"""

import functools
import gzip
import http.server
import io
import os
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import numpy as np
from _chromium import find_chromium
from _common import argument_parser, write_result
from PIL import Image
from playwright.sync_api import sync_playwright
from skimage.data import astronaut

from fer_sklearn import export, load_pretrained

_WIDTH, _HEIGHT, _FRAMES = 640, 480, 90
# Sides of the photos in pixels.
_PHOTOS = (512, 3000)

_SPEED = "[ferSklearn.camera.predictionsPerSecond, ferSklearn.camera.millisecondsPerFrame]"
_KEEP = "(bytes) => { window.photo = new Blob([Uint8Array.from(bytes)], {type: 'image/jpeg'}); }"
_PREDICT = """async () => {
  const start = performance.now();
  await ferSklearn.predict(window.photo);
  return performance.now() - start;
}"""


def main():
    parser = argument_parser(__doc__, data=False)
    parser.add_argument("--seconds", type=float, default=20, help="time to measure, per model")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "video.y4m"
        write_video(video)
        for name in ("default", "tiny"):
            page = Path(folder) / name
            export(load_pretrained(name), page, format="web")
            rows.append({"model": name, **sizes(page), **measure(page, video, args.seconds)})
            print(rows[-1], flush=True)
    write_result("page", {"camera": f"{_WIDTH}×{_HEIGHT}", "rows": rows}, args.output)


def write_video(path):
    """Write a raw video of the astronaut moving from side to side."""
    photo = astronaut()
    with open(path, "wb") as file:
        file.write(f"YUV4MPEG2 W{_WIDTH} H{_HEIGHT} F30:1 Ip A1:1 C420jpeg\n".encode())
        for index in range(_FRAMES):
            shift = 40 * np.sin(2 * np.pi * index / _FRAMES)
            move = np.float32([[1, 0, 60 + shift], [0, 1, 0]])
            frame = cv2.warpAffine(photo, move, (_WIDTH, _HEIGHT))
            file.write(b"FRAME\n" + cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420).tobytes())


def sizes(folder):
    """Return the size of the page on a server, and its compressed size for transfer."""
    contents = [file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()]
    return {
        "megabytes": sum(map(len, contents)) / 1e6,
        "megabytes_compressed": sum(len(gzip.compress(content)) for content in contents) / 1e6,
    }


def measure(folder, video, seconds):
    """Turn the camera on, and read the speed that the page shows; then classify photos."""
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = ["--no-sandbox", "--use-fake-device-for-media-stream"]
    options += ["--use-fake-ui-for-media-stream", f"--use-file-for-fake-video-capture={video}"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=options)
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        # The page's policy forbids what `wait_for_function` does.
        while not page.evaluate("!!window.ferSklearn"):
            time.sleep(0.01)
        start = time.perf_counter()
        page.evaluate("ferSklearn.ready")
        loaded = time.perf_counter() - start
        page.click("#turn-on")
        page.wait_for_selector("#camera-faces li")
        figures = []
        for _ in range(10):
            time.sleep(seconds / 10)
            figures.append(page.evaluate(_SPEED))
        emotion = page.inner_text("#camera-faces li").split()[0]
        page.click("#stop")
        photos = {f"ms_per_photo_of_{side}": time_photo(page, side) for side in _PHOTOS}
        browser.close()
    server.shutdown()
    rates, durations = np.transpose(figures)
    return {
        "predictions_per_second": float(rates.max()),
        "ms_per_frame": float(durations.min()),
        **photos,
        "seconds_to_load": loaded,
        "emotion": emotion,
    }


def time_photo(page, side):
    """Return how many milliseconds one photo takes, from its file to its faces."""
    file = io.BytesIO()
    Image.fromarray(astronaut()).resize((side, side)).save(file, format="JPEG")
    page.evaluate(_KEEP, list(file.getvalue()))
    return float(min(page.evaluate(_PREDICT) for _ in range(7)))


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Log nothing."""


if __name__ == "__main__":
    main()
