"""A local web page that shows annotated frames as they are processed, and controls it."""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections.abc import Mapping
from html import escape
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from .._utils.compat import cv2
from .._utils.tables import to_json_value
from .._utils.typing import PixelArray
from ..emotions import label_colors
from ..images import resize

__all__ = ["StreamPage"]

_HOST = "127.0.0.1"
_OWN_NAMES = (_HOST, "localhost")
_BOUNDARY = b"frame"
_JPEG_QUALITY = 85
# Larger frames take time to encode and are shown no larger.
_LONGEST_SIDE = 1920
# Seconds between two messages about the faces, until an unresponsive client is dropped, and
# between two heartbeats.
_STATUS_INTERVAL, _PATIENCE, _HEARTBEAT = 0.1, 10, 5
# Weight of a new latency in the average that is shown.
_LATENCY_WEIGHT = 0.1


class StreamPage:
    """A local web page that shows the newest frame, the faces in it, and a table of all faces.

    It has buttons to stop and start again, to finish, and to save the table.

    This process serves the page, to this computer only, from construction until :meth:`close`; the
    page loads nothing from elsewhere. Other programs and users of the same computer can open it
    too. Web sites cannot: requests that come from another page, or under another host name (DNS
    rebinding), are refused.

    Parameters
    ----------
    port : int, default=0
        Port to serve on; 0 takes any free one.
    title : str, default="fer-sklearn"
        Title of the page.

    Attributes
    ----------
    url : str
        Address to open, such as ``"http://127.0.0.1:41234/"``.
    closed : bool
        True once someone pressed "Finish" on the page, or :meth:`close` was called.
    paused : bool
        True after someone pressed "Stop" on the page, until "Start" is pressed.

    Raises
    ------
    OSError
        If `port` is in use or not allowed.

    Examples
    --------
    >>> import numpy as np
    >>> from fer_sklearn.video import StreamPage
    >>> with StreamPage() as page:
    ...     page.show(np.zeros((48, 64, 3), dtype=np.uint8))
    ...     page.update({"seconds": 0.0, "fps": 25.0, "faces": []})
    """

    def __init__(self, *, port: int = 0, title: str = "fer-sklearn"):
        self._state = _State(title)
        self._server = _serve(port, self._state)
        self.url = f"http://{_HOST}:{self._server.server_address[1]}/"
        # A short poll lets close() return quickly.
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="StreamPage", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> StreamPage:
        return self

    def __exit__(self, *exception):
        self.close()

    @property
    def closed(self) -> bool:
        """Whether the page is finished or closed."""
        return bool(self._state.ended or self._state.is_finished)

    @property
    def paused(self) -> bool:
        """Whether the page is paused."""
        return self._state.is_paused

    def show(self, frame: PixelArray, *, arrived: float | None = None) -> None:
        """Make a frame the newest one; return at once.

        It is encoded only if someone is watching, and dropped when the next one arrives.

        Parameters
        ----------
        frame : ndarray of shape (h, w, 3), uint8
            RGB. It is not copied, so do not modify it later.
        arrived : float or None, default=None
            When the frame was taken, by ``time.monotonic``. The page shows the latency: the time
            from then until the frame is sent to the browser.

        Raises
        ------
        ValueError
            If it has another shape or dtype.
        """
        shape, dtype = np.shape(frame), getattr(frame, "dtype", None)
        if len(shape) != 3 or shape[2] != 3 or 0 in shape or dtype != np.uint8:
            raise ValueError(
                f"frame has shape {shape} and dtype {dtype}; expected RGB pixels, (h, w, 3), uint8."
            )
        self._state.set_frame(frame, arrived)

    def update(self, status: Mapping[str, Any]) -> None:
        """Replace the data shown next to the frame; return at once.

        Parameters
        ----------
        status : dict
            All keys are optional; NaN and None stand for unknown.

            - ``seconds`` and ``fps``: float,
            - ``faces``: a list with one dict per face, with ``face`` (its number), ``emotion``,
              ``probability`` (in [0, 1]) and ``probabilities`` (a dict of label to probability),
            - ``message``: a text, for example that the camera is lost,
            - ``table``: the rows of :class:`~fer_sklearn.video.VideoSummary`, which stay until they
              are replaced.
        """
        status = dict(status)
        if (table := status.pop("table", None)) is not None:
            self._state.set_table(json.dumps(to_json_value(table)).encode())
        faces = status.get("faces") or []
        names = [name for face in faces for name in face.get("probabilities") or {}]
        colors = label_colors([*names, *(face["emotion"] for face in faces)])
        self._state.set_status(to_json_value({**status, "colors": colors}))

    def close(self) -> None:
        """Stop serving, and notify open pages. You may close a page twice."""
        self._state.end()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _State:
    """The state that the threads of the server share: the newest frame and status."""

    def __init__(self, title):
        self.title = title
        self.ended = ""  # the reason, after the end
        self.is_over = threading.Event()
        self.is_paused = self.is_finished = False
        self.table = (0, b"[]")
        self._latency: float | None = None
        self._frame, self._arrived, self._status = None, None, {}
        self._frame_number = self._status_number = 0
        self._jpeg: tuple[int, bytes, float | None] = (0, b"", None)
        self._changed = threading.Condition()
        self._encoding = threading.Lock()

    def set_frame(self, frame, arrived):
        with self._changed:
            self._frame, self._arrived = frame, arrived
            self._frame_number += 1
            self._changed.notify_all()

    def set_status(self, status):
        with self._changed:
            self._status = status
            self._status_number += 1
            self._changed.notify_all()

    def set_table(self, table):
        self.table = (self.table[0] + 1, table)

    def set_paused(self, is_paused):
        with self._changed:
            self.is_paused = is_paused
            # Frames from before are not compared with the clock.
            self._latency = None
            self._status_number += 1
            self._changed.notify_all()

    def note_latency(self, arrived):
        """Average the time from the arrival of a frame to now, when it was sent."""
        if arrived is None:
            return
        latency = time.monotonic() - arrived
        last = latency if self._latency is None else self._latency
        self._latency = last + _LATENCY_WEIGHT * (latency - last)

    def end(self):
        """Release all clients."""
        with self._changed:
            self.ended = "finished" if self.is_finished else "ended"
            self.is_over.set()
            self._changed.notify_all()

    def next_jpeg(self, seen):
        """Wait for a frame after `seen`; return (number, JPEG, arrival), or None at the end.

        If there is no new one for a while, the last is returned again, which shows whether the
        client is still there.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.ended or self._frame_number > seen, _HEARTBEAT)
            while self._frame is None and not self.ended:
                self._changed.wait()
            if self.ended:
                return None
        with self._encoding:
            # A thread that had to wait for the lock finds the frame encoded.
            with self._changed:
                number, frame, arrived = self._frame_number, self._frame, self._arrived
            if self._jpeg[0] != number:
                self._jpeg = (number, _encode(frame), arrived)
            return self._jpeg

    def next_status(self, seen):
        """Wait for a status after number `seen`; return (number, JSON), or None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self.ended or self._status_number > seen, _HEARTBEAT)
            if self.ended:
                return None
            latency = None if self._latency is None else round(self._latency, 4)
            own = {"paused": self.is_paused, "latency": latency}
            return self._status_number, json.dumps({**self._status, **own}).encode()


class _Server(ThreadingTCPServer):
    state: _State
    # http.server's own class looks up the host name, which takes seconds on some computers.
    daemon_threads = True
    block_on_close = False
    # On Windows this would allow a second program to use the same port.
    allow_reuse_address = os.name != "nt"

    def handle_error(self, request, client_address):
        """Ignore errors: browsers may disconnect at any time."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _PATIENCE
    server_version, sys_version = "fer-sklearn", ""

    def log_message(self, *args):
        """Log nothing: the terminal belongs to the command that shows the page."""

    def do_GET(self):
        self._respond({"/": self._page, "/stream": self._stream, "/events": self._events})

    def do_POST(self):
        self._respond({"/stop": self._stop, "/start": self._start, "/finish": self._finish})

    def _respond(self, handlers):
        handler = handlers.get(urlsplit(self.path).path)
        if not self._is_from_own_page():
            self.send_error(403, "Only this page itself may request that")
        elif handler is None:
            self.send_error(404)
        else:
            handler()

    def _is_from_own_page(self):
        """Whether the request names this computer, and does not come from another web site."""
        host = self.headers.get("Host", "")
        origin = self.headers.get("Origin")
        # The port may differ if it is forwarded.
        is_own_host = urlsplit(f"//{host}").hostname in _OWN_NAMES
        is_own_origin = origin is None or origin == f"http://{host}"
        # Browsers set this for images and frames in other pages, which send no Origin.
        site = self.headers.get("Sec-Fetch-Site", "none")
        # A link on another page may open this one.
        is_visit = self.command == "GET" and self.headers.get("Sec-Fetch-Dest") == "document"
        return is_own_host and is_own_origin and (site in ("same-origin", "none") or is_visit)

    def _head(self, content_type, **headers):
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def _page(self):
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; "
            f"script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; frame-ancestors 'none'"
        )
        page = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
        page = page.replace("{{nonce}}", nonce)
        page = page.replace("{{title}}", escape(self.server.state.title))
        self._head("text/html; charset=utf-8", Content_Security_Policy=policy)
        self.wfile.write(page.encode())

    def _stream(self):
        """Send frames until the end, each one replacing the last."""
        self._head(f"multipart/x-mixed-replace; boundary={_BOUNDARY.decode()}")
        self.wfile.write(b"--" + _BOUNDARY + b"\r\n")
        seen = 0
        while (newest := self.server.state.next_jpeg(seen)) is not None:
            number, jpeg, arrived = newest
            head = b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
            # Browsers show an image once they have read the boundary after it.
            self.wfile.write(head + jpeg + b"\r\n--" + _BOUNDARY + b"\r\n")
            if number != seen:
                self.server.state.note_latency(arrived)
            seen = number

    def _events(self):
        """Send the status whenever it changes, as server-sent events."""
        self._head("text/event-stream")
        state = self.server.state
        newest, table = (-1, b""), 0
        while (newest := state.next_status(newest[0])) is not None:
            self.wfile.write(b"data: " + newest[1] + b"\n\n")
            table = self._send_table(table)
            state.is_over.wait(_STATUS_INTERVAL)
        self._send_table(table)
        self.wfile.write(b"event: end\ndata: " + state.ended.encode() + b"\n\n")

    def _send_table(self, seen):
        """Send the table if it is not the one that was seen; return its number."""
        number, table = self.server.state.table
        if number != seen:
            self.wfile.write(b"event: table\ndata: " + table + b"\n\n")
        return number

    def _stop(self):
        self.server.state.set_paused(True)
        self._send_done()

    def _start(self):
        self.server.state.set_paused(False)
        self._send_done()

    def _finish(self):
        # The page stays until the last table has been sent, and `close` is called.
        self.server.state.is_finished = True
        self._send_done()

    def _send_done(self):
        self.send_response(204)
        self.end_headers()


def _serve(port, state):
    try:
        server = _Server((_HOST, port), _Handler)
    except (OSError, OverflowError) as error:
        raise OSError(
            f"port={port!r} cannot be used: {getattr(error, 'strerror', None) or error}. Pass "
            f"another one, or 0 for any free one."
        ) from None
    server.state = state
    return server


def _encode(frame):
    """Return an RGB frame as JPEG."""
    height, width = frame.shape[:2]
    scale = _LONGEST_SIDE / max(height, width)
    if scale < 1:
        frame = resize(frame, (max(1, round(height * scale)), max(1, round(width * scale))))
    bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()
