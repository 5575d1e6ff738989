"""Operate the service: run it with uvicorn, and collect metrics for Prometheus."""

from __future__ import annotations

import logging
import socket
import time
from asyncio import BaseTransport, TimerHandle
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from .._utils.compat import import_optional
from ..photos import PhotoResult

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Metrics", "run_app"]

# Upper bounds of the buckets of histograms.
_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_FACES = (1, 2, 4, 8, 16, 32, 64)
_METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH")
# Seconds that a client has to send the headers of a request, and that an idle connection is kept.
_HEADER_SECONDS, _IDLE_SECONDS = 10.0, 5
# Seconds that requests in progress get after a signal.
_SHUTDOWN_SECONDS = 30
_BACKLOG = 2048


def run_app(
    app: ASGIApp,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    on_start: Callable[[str], object] | None = None,
) -> None:
    """Serve an application on one address, until SIGINT or SIGTERM.

    It then accepts no more connections, and ends when the requests in progress are finished.

    Parameters
    ----------
    app : ASGI application
        As :func:`create_app` returns it.
    host : str, default="127.0.0.1"
        Address to listen on. The default is reachable only from this computer, ``"0.0.0.0"`` from
        all networks.
    port : int, default=8000
        0 picks a free one.
    on_start : callable or None, default=None
        Called with the address, such as ``"http://127.0.0.1:8000"``, once connections are accepted.

    Raises
    ------
    OSError
        If the address cannot be used, for example because another process uses it.
    MissingExtraError
        Without uvicorn.

    Examples
    --------
    >>> from fer_sklearn.serve import create_app, run_app
    >>> run_app(create_app("tiny"), port=8080)  # doctest: +SKIP
    """
    uvicorn = import_optional("uvicorn", extra="serve", purpose="The service")
    # It would log a line, with a byte of the body, for each malformed form.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    listening = _listen(host, port)
    config = uvicorn.Config(
        app,
        http=_make_protocol(),
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        backlog=_BACKLOG,
    )
    with listening:
        if on_start is not None:
            name, number = listening.getsockname()[:2]
            on_start(f"http://{f'[{name}]' if ':' in name else name}:{number}")
        uvicorn.Server(config).run(sockets=[listening])


def _listen(host, port):
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise OSError(
            f"host={host!r}, port={port} cannot be listened on ({error.strerror or error}). Stop "
            f"the program that uses it, or choose another port; 0 picks a free one."
        ) from error


def _make_protocol() -> type:
    """Return uvicorn's protocol, with a time limit for headers."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class ImpatientProtocol(H11Protocol):
        """Close connections whose clients begin a request and do not finish its headers.

        uvicorn limits the time between requests, and the application the time for a body.
        """

        _timer: TimerHandle | None = None

        def connection_made(self, transport: BaseTransport) -> None:
            super().connection_made(transport)  # type: ignore[arg-type]
            # asyncio does this only for sockets that it created. The end of a response would be
            # 40 ms late.
            connection = transport.get_extra_info("socket")
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_watching()
            super().connection_lost(exc)

        def _watch(self) -> None:
            if not self._is_idle():
                self._stop_watching()
            elif self._timer is None:
                self._timer = self.loop.call_later(_HEADER_SECONDS, self._give_up)

        def _stop_watching(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _give_up(self) -> None:
            self._timer = None
            if self._is_idle() and not self.transport.is_closing():
                self.transport.close()

        def _is_idle(self) -> bool:
            cycle: Any = self.cycle
            return cycle is None or cycle.response_complete

    return ImpatientProtocol


class Metrics:
    """Counts for one application, since a process may have several."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "fer_sklearn_requests",
            "Requests processed; status 499 if the client disconnected",
            ("method", "path", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "fer_sklearn_request_seconds",
            "Time from the headers of a request to the end of its response",
            ("path",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._photos = Counter(
            "fer_sklearn_photos", "Photos processed", ("status",), registry=registry
        )
        self._faces = Counter("fer_sklearn_faces", "Faces processed", registry=registry)
        self._batch = Histogram(
            "fer_sklearn_batch_faces",
            "Faces classified together",
            buckets=_FACES,
            registry=registry,
        )
        self._queue = Gauge(
            "fer_sklearn_queue_photos", "Photos that are waiting or in progress", registry=registry
        )

    def watch_queue(self, count: Callable[[], int]) -> None:
        """Read the number of photos in the queue from `count`."""
        self._queue.set_function(count)

    def count_batch(self, n_faces: int) -> None:
        """Count a batch of faces."""
        self._batch.observe(n_faces)

    def count_photos(self, results: Iterable[PhotoResult]) -> None:
        """Count processed photos and their faces."""
        for result in results:
            self._photos.labels(result.status.partition(":")[0]).inc()
            self._faces.inc(len(result.boxes))

    def text(self) -> bytes:
        """Return all numbers in Prometheus's text format."""
        return generate_latest(self._registry)

    def middleware(self, app: ASGIApp) -> ASGIApp:
        """Return an application that responds like `app`, and counts its requests."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            status, start = 500, time.perf_counter()

            async def noted(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            try:
                await app(scope, receive, noted)
            finally:
                # Addresses that clients make up would fill the memory.
                path = getattr(scope.get("route"), "path", "other")
                method = scope["method"] if scope["method"] in _METHODS else "other"
                self._requests.labels(method, path, str(status)).inc()
                self._seconds.labels(path).observe(time.perf_counter() - start)

        return counted
