"""Make the images of the README and the guide: ``python docs/make_images.py``."""

import shutil
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from skimage.data import astronaut

from fer_sklearn import (
    EMOTION_COLORS,
    EMOTIONS,
    HOGSVMClassifier,
    draw_faces,
    export,
    load_pretrained,
    make_faces,
    make_hog_svm_pipeline,
    recognize,
)
from fer_sklearn.images import write_image

IMAGES = Path(__file__).parent / "images"


def plot_predicted_faces(faces, labels, probabilities, emotions):
    """Plot a row of faces, each above its class probabilities."""
    figure = Figure(figsize=(11, 3.4), facecolor="white")
    axes = figure.subplots(2, len(faces), height_ratios=[1.1, 1], squeeze=False)
    colors = [EMOTION_COLORS[emotion] for emotion in emotions]
    for column, (face, label, row) in enumerate(zip(faces, labels, probabilities, strict=True)):
        above, below = axes[:, column]
        above.imshow(face, cmap="gray", vmin=0, vmax=255, interpolation="bilinear")
        above.set_axis_off()
        above.set_title(label, fontsize=13, color=EMOTION_COLORS[label], fontweight="bold")
        below.barh(range(len(row)), row, color=colors, height=0.72)
        below.set(xlim=(0, 1), xticks=[], yticks=[])
        below.invert_yaxis()
        below.spines[["top", "right", "bottom"]].set_visible(False)
        if column == 0:
            below.set_yticks(range(len(row)), emotions, fontsize=10)
            below.tick_params(length=0)
    figure.tight_layout(w_pad=0.6, h_pad=0.4)
    return figure


def annotate(photo):
    """Return a photo with its faces drawn on it, as ``predict --annotate`` does."""
    faces = recognize(photo)
    classes = list(faces[0].probabilities)
    return draw_faces(
        photo,
        [face.box for face in faces],
        [face.emotion for face in faces],
        [list(face.probabilities.values()) for face in faces],
        classes,
    )


def draw_synthetic_faces():
    """Return a figure of a synthetic face of each emotion, as a HOG-SVM recognises it."""
    model = make_hog_svm_pipeline(HOGSVMClassifier(probability=True, random_state=0))
    model.fit(*make_faces(1400, random_state=0, return_X_y=True))
    faces, emotions = make_faces(70, random_state=7, return_X_y=True)
    first = [np.flatnonzero(emotions == emotion)[0] for emotion in EMOTIONS]
    # Twice as large for display; the model scales them to 48×48 either way.
    large = make_faces(70, size=96, random_state=7, return_X_y=True)[0]
    return plot_predicted_faces(
        large[first],
        model.predict(faces[first]),
        model.predict_proba(faces[first]),
        model.classes_.tolist(),
    )


def take_screenshot(path):
    """Save a screenshot of the web app of ``export(…, format="web")`` with two photos.

    Needs Chromium, npm and playwright.
    """
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        export(load_pretrained(), f"{folder}/page", format="web")
        photos = {"astronaut.png": astronaut(), "portrait.png": astronaut()[10:230, 110:330]}
        for name, photo in photos.items():
            write_image(f"{folder}/{name}", photo)
        handler = partial(SimpleHTTPRequestHandler, directory=f"{folder}/page")
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        size = {"width": 900, "height": 950}
        # The page forbids what waiting for a condition needs.
        page = browser.new_page(viewport=size, device_scale_factor=1.5, bypass_csp=True)
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.set_input_files("#files", [f"{folder}/{name}" for name in photos])
        page.wait_for_function("window.ferSklearn?.shown.every((one) => one.faces)")
        page.wait_for_timeout(1000)  # until the bars have finished growing
        page.screenshot(path=path)
        browser.close()
        server.shutdown()


def main():
    IMAGES.mkdir(exist_ok=True)
    write_image(IMAGES / "annotated.png", annotate(astronaut()[8:278]))
    draw_synthetic_faces().savefig(IMAGES / "faces.png", dpi=110)
    take_screenshot(IMAGES / "page.png")


if __name__ == "__main__":
    main()
