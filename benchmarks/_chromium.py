"""Times an exported network in headless Chromium."""

import json
import queue
import shutil
import subprocess
import tempfile
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

_BINARIES = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run")
_TIME_LIMIT = 120  # seconds per prediction; the first one loads everything

_PAGE = """\
<!doctype html>
<script type="module">
const send = (result) => fetch("/result", { method: "POST", body: JSON.stringify(result) });
try {
  const { runtime } = await (await fetch("page.json")).json();
  for (const { url } of runtime.scripts.filter(({ url }) => url.includes("/tf-")))
    (0, eval)(await (await fetch(url)).text());
  tf.env().set("WASM_HAS_MULTITHREAD_SUPPORT", false);
  tf.wasm.setWasmPaths("/vendor/");
  await tf.setBackend("wasm");
  const model = await tf.loadGraphModel("model/model.json");
  const values = new Float32Array(await (await fetch("/face")).arrayBuffer());
  const face = tf.tensor(values, [1, 48, 48, 3]);
  for (;;) {
    await fetch("/turn");
    const start = performance.now();
    const output = model.predict(face);
    const probabilities = await output.data();
    const seconds = (performance.now() - start) / 1000;
    await send({ seconds, probabilities: [...probabilities] });
    output.dispose();
  }
} catch (error) {
  send({ error: String(error.stack ?? error) });
}
</script>
"""


def find_chromium():
    """Return the path of Chromium, or None if it is not installed."""
    return next(filter(None, map(shutil.which, _BINARIES)), None)


@contextmanager
def browser_stopwatch(folder, face, expected):
    """Load an export of the format ``"web"`` in Chromium, to time it on one face.

    Parameters
    ----------
    folder : Path
        The export, with bundled packages.
    face : ndarray of shape (1, 48, 48, 3), float32
    expected : ndarray of shape (n_classes,)
        The expected probabilities, to 1e-4.

    Yields
    ------
    callable
        Classifies the face once, and returns the seconds that this took in the page.
    """
    turns, results = queue.Queue(), queue.Queue()
    handler = partial(_Handler, turns, results, face.tobytes(), directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def stopwatch():
        turns.put(None)
        result = results.get(timeout=_TIME_LIMIT)
        if "error" in result:
            raise RuntimeError(f"The page failed: {result['error']}")
        pairs = zip(result["probabilities"], expected, strict=True)
        difference = max(abs(a - b) for a, b in pairs)
        if difference > 1e-4:
            raise RuntimeError(f"The page's probabilities differ by {difference:.2g}.")
        return result["seconds"]

    with tempfile.TemporaryDirectory() as profile:
        address = f"http://127.0.0.1:{server.server_port}/stopwatch"
        command = [find_chromium(), *_OPTIONS, f"--user-data-dir={profile}", address]
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield stopwatch
        finally:
            browser.terminate()
            browser.wait()
            server.shutdown()


class _Handler(SimpleHTTPRequestHandler):
    """Serves the folder, and passes messages between the page and the stopwatch."""

    def __init__(self, turns, results, face, *args, **kwargs):
        self._turns, self._results = turns, results
        self._own = {"/stopwatch": (_PAGE.encode(), "text/html"), "/face": (face, "")}
        super().__init__(*args, **kwargs)

    def do_GET(self):
        """Send a file; or, for ``/turn``, respond when the page should classify the face."""
        if self.path == "/turn":
            self._turns.get()
            self._send(b"", "text/plain")
        elif self.path in self._own:
            self._send(*self._own[self.path])
        else:
            super().do_GET()

    def do_POST(self):
        """Receive a result."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._results.put(json.loads(body))
        self._send(b"", "text/plain")

    def log_message(self, *args):
        """Log nothing."""

    def _send(self, content, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind or "application/octet-stream")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
