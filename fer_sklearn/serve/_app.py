"""The HTTP application: its addresses, their responses, and their description in OpenAPI."""

from __future__ import annotations

import asyncio
import hmac
import json
import os
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from fastapi.security import HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST

from .. import __version__
from .._utils.image_files import PixelLimitError
from .._utils.litert import count_processors
from .._utils.typing import Estimator
from ..face_reader import FaceReader, as_face_reader, provenance_of
from ..faces._detect import Detector, refuse_boxes
from ..photos import PhotoResult
from ._batching import QueueFullError, Recognizer
from ._bodies import (
    DESCRIPTION,
    TAGS,
    Bodies,
    Limits,
    add_examples,
    describe_faces,
    describe_probabilities,
    refusal,
)
from ._operation import Metrics

__all__ = ["TOKEN_VARIABLE", "create_app", "read_token"]

#: The environment variable with the token, unless one is passed.
TOKEN_VARIABLE = "FER_SKLEARN_TOKEN"


def create_app(
    estimator: Estimator | FaceReader | str | None = None,
    *,
    detector: Detector | None = None,
    token: str | None = None,
    max_bytes: int = 32_000_000,
    max_files: int = 16,
    max_pixels: int = 50_000_000,
    max_queue: int = 256,
    timeout: float = 30.0,
    batch_size: int = 64,
    n_jobs: int = -1,
) -> FastAPI:
    """Return the HTTP service as an ASGI application.

    Run it with ``fer-sklearn serve`` or any ASGI server, or mount it in your own application. It
    keeps photos in memory until it has responded, and neither stores nor logs them.

    Parameters
    ----------
    estimator, detector
        As in :func:`~fer_sklearn.predict_photos`.
    token : str or None, default=None
        The token that clients must send as ``Authorization: Bearer <token>`` to all addresses
        except ``/healthz``, ``/readyz`` and the documentation. If None, the environment variable
        ``FER_SKLEARN_TOKEN``; if that is not set either, anyone may use the service.
    max_bytes : int, default=32_000_000
        Maximum size of the body of a request. All bodies together may take eight times this.
    max_files : int, default=16
        Maximum number of photos per request.
    max_pixels : int, default=50_000_000
        Maximum number of pixels per photo; a larger one is refused once its header has been read.
    max_queue : int, default=256
        Maximum number of photos, of all requests, that are waiting or in progress.
    timeout : float, default=30.0
        Seconds within which a body must arrive, and within which the response must then follow.
    batch_size : int, default=64
        Maximum number of faces to classify at once, from any requests.
    n_jobs : int, default=-1
        Threads that read photos and find faces; -1 uses all processors.

    Returns
    -------
    fastapi.FastAPI
        ``POST /v1/faces``, ``POST /v1/probabilities``, ``GET /healthz``, ``/readyz``,
        ``/metrics`` and ``/docs``. Requests that exceed a limit get 401, 408, 413, 415 or 429,
        with the reason as ``detail``.

    Raises
    ------
    ValueError
        If a limit is not a number above 0, `token` is empty or has several lines, or `detector` is
        a list of boxes.

    Examples
    --------
    >>> import io
    >>> from fastapi.testclient import TestClient
    >>> from PIL import Image
    >>> from skimage.data import astronaut
    >>> from fer_sklearn.serve import create_app
    >>> file = io.BytesIO()
    >>> Image.fromarray(astronaut()).save(file, "PNG")
    >>> with TestClient(create_app()) as client:
    ...     answer = client.post("/v1/faces", files={"files": ("photo.png", file.getvalue())})
    >>> [[face["emotion"] for face in faces] for faces in answer.json()]
    [['happy']]
    """
    for name, number in (
        *(("max_bytes", max_bytes), ("max_files", max_files), ("max_pixels", max_pixels)),
        *(("max_queue", max_queue), ("batch_size", batch_size)),
    ):
        if not isinstance(number, Integral) or isinstance(number, bool) or number < 1:
            raise ValueError(f"{name}={number!r}; expected an int above 0.")
    if not isinstance(timeout, Real) or not 0 < timeout < float("inf"):
        raise ValueError(f"timeout={timeout!r}; expected a number of seconds above 0.")
    if max_queue < max_files:
        raise ValueError(
            f"max_queue={max_queue} is less than max_files={max_files}; expected room for the "
            f"photos of one request at least. Enlarge max_queue, or reduce max_files."
        )
    if n_jobs == 0 or not isinstance(n_jobs, Integral):
        raise ValueError(f"n_jobs={n_jobs!r}; expected an int above 0, or -1 for all processors.")
    refuse_boxes(detector)
    metrics = Metrics()
    recognizer = Recognizer(
        as_face_reader(estimator, detector),
        batch_size=batch_size,
        n_threads=n_jobs if n_jobs > 0 else max(1, count_processors() + 1 + n_jobs),
        max_queue=max_queue,
        max_pixels=max_pixels,
        on_batch=metrics.count_batch,
    )
    metrics.watch_queue(lambda: recognizer.n_waiting)
    limits = Limits(int(max_bytes), int(max_files), int(max_pixels), float(timeout))
    return _Service(recognizer, metrics, limits, read_token(token)).make_app()


def read_token(token: str | None) -> bytes | None:
    """Return the token that clients need, if any: the given one, or that of the environment.

    Raises
    ------
    ValueError
        If it is empty, or has several lines.
    """
    if token is None:
        token = os.environ.get(TOKEN_VARIABLE)
    if token is not None and not token.strip():
        raise ValueError(
            f"token is empty; expected a secret, as from python -c 'import secrets; "
            f"print(secrets.token_urlsafe())'. Set {TOKEN_VARIABLE} or unset it."
        )
    if token is not None and len(token.strip().splitlines()) > 1:
        raise ValueError("token has several lines; expected one, since a header contains it.")
    return None if token is None else token.strip().encode()


class _Service:
    """The handlers of the addresses."""

    def __init__(
        self, recognizer: Recognizer, metrics: Metrics, limits: Limits, token: bytes | None
    ) -> None:
        self._recognizer, self._metrics = recognizer, metrics
        self._limits, self._token = limits, token
        self._bodies = Bodies(limits)
        self._made_by: dict[bool, str] = {}

    def make_app(self) -> FastAPI:
        """Return the application."""
        app = FastAPI(
            title="fer_sklearn",
            summary="Emotions of faces in photos",
            description=DESCRIPTION.format(limits=self._limits),
            version=__version__,
            openapi_tags=TAGS,
            docs_url=None,  # these pages would load scripts from another server
            redoc_url=None,
            lifespan=self._lifespan,
        )
        app.add_middleware(self._metrics.middleware)
        # Only for the description; `_check_token` checks the token.
        secret = [] if self._token is None else [Depends(HTTPBearer(auto_error=False))]
        classes, limits = self._recognizer.reader.classes, self._limits
        for path, answer, described in (
            ("/v1/faces", self.faces, describe_faces(classes, limits)),
            ("/v1/probabilities", self.probabilities, describe_probabilities(classes, limits)),
        ):
            app.post(path, tags=["emotions"], dependencies=secret, **described)(answer)
        plain: dict[str, Any] = {"tags": ["operation"], "response_class": PlainTextResponse}
        app.get("/healthz", summary="Alive", **plain)(self.healthz)
        app.get(
            "/readyz",
            summary="Ready",
            **plain,
            responses={503: {"description": "Not ready yet, or shutting down."}},
        )(self.readyz)
        app.get("/metrics", summary="Numbers", **plain, dependencies=secret)(self.metrics)
        app.get("/docs", include_in_schema=False)(self.docs)
        # Load balancers and `wget --spider` send HEAD requests; the server leaves out the body.
        head = partial(app.head, include_in_schema=False, response_class=PlainTextResponse)
        head("/healthz")(self.healthz)
        head("/readyz")(self.readyz)
        head("/metrics")(self.metrics)
        head("/docs")(self.docs)
        add_examples(app.openapi(), classes)
        return app

    async def faces(self, request: Request) -> Response:
        """Find all faces in photos, and recognise their emotions."""
        return JSONResponse(await self._rows(request, crop_faces=True))

    async def probabilities(self, request: Request) -> Response:
        """Recognise the emotion of faces that are cropped already, as in FER2013."""
        rows = await self._rows(request, crop_faces=False)
        return JSONResponse([row for photo in rows for row in photo])

    async def healthz(self) -> str:
        """Respond as long as the process is alive."""
        return "ok\n"

    async def readyz(self) -> Response:
        """Return whether photos can be sent: the model is loaded and has made a prediction."""
        if self._recognizer.is_ready():
            return PlainTextResponse("ready\n")
        return PlainTextResponse("not ready\n", 503)

    async def metrics(self, request: Request) -> Response:
        """Return numbers of requests, photos and faces, and latencies, for Prometheus."""
        self._check_token(request)
        return Response(self._metrics.text(), media_type=CONTENT_TYPE_LATEST)

    async def docs(self) -> Response:
        """Return the page that describes the addresses, with a form to try them."""
        page = Path(__file__).with_name("docs.html").read_text(encoding="utf-8")
        return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})

    async def _rows(self, request: Request, *, crop_faces: bool) -> list[list[dict[str, Any]]]:
        """Return the rows of each photo."""
        try:
            self._check_token(request)
            self._check_room()
            says_how = _says_how(request)
        except HTTPException:
            await self._bodies.discard(request)
            raise
        results = await self._recognize(request, crop_faces=crop_faces)
        more = {}
        if says_how:
            more["provenance"] = await asyncio.to_thread(self._provenance, crop_faces)
        return [[row | more for row in result.rows()] for result in results]

    def _provenance(self, crop_faces):
        """Return how rows are made, as JSON; it does not change while the service runs."""
        if crop_faces not in self._made_by:
            made_by = provenance_of(self._recognizer.reader, crop_faces=crop_faces)
            self._made_by[crop_faces] = json.dumps(made_by, ensure_ascii=False)
        return self._made_by[crop_faces]

    async def _recognize(self, request: Request, *, crop_faces: bool) -> list[PhotoResult]:
        async with self._bodies.photos(request) as photos:
            try:
                queued = self._recognizer.submit(photos, crop_faces=crop_faces)
            except QueueFullError as error:
                raise _too_busy("Too many photos are waiting", error.retry_after) from None
            try:
                results = await _answers(request, queued, self._limits.timeout)
            except TimeoutError:
                raise _too_busy(
                    f"There was no response within {self._limits.timeout:g} seconds", 1
                ) from None
            except PixelLimitError as error:
                raise refusal(413, str(error)) from None
            self._metrics.count_photos(results)
            return results

    def _check_token(self, request):
        if self._token is None:
            return
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        # Always compare, even for another scheme, so that the time of a refusal reveals nothing.
        # Only ASCII blanks: in Latin-1, the last byte of "à" is one too.
        given = given.strip(" \t").encode("latin-1", "replace")
        is_known = hmac.compare_digest(given, self._token)
        if kind.lower() != "bearer" or not is_known:
            raise refusal(
                401,
                "The token is missing or wrong; expected the header Authorization: Bearer <token>.",
                {"WWW-Authenticate": "Bearer"},
            )

    def _check_room(self):
        """Refuse a request before its body is read if there is no room for a single photo."""
        try:
            self._recognizer.check_room()
        except QueueFullError as error:
            raise _too_busy("Too many photos are waiting", error.retry_after) from None

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        self._recognizer.is_ready()  # starts to load everything that the first photo needs
        yield
        await asyncio.to_thread(self._recognizer.close)


# The page may run its own script and call its own server, and nothing else.
_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)


def _says_how(request):
    """Return whether the rows should record how they were made."""
    given = request.query_params.get("provenance", "false")
    known = {"true": True, "1": True, "false": False, "0": False}
    if given.lower() not in known:
        raise refusal(400, f"provenance={given!r}; expected true or false.")
    return known[given.lower()]


def _too_busy(reason, retry_after):
    return HTTPException(429, f"{reason}. Try again.", {"Retry-After": str(retry_after)})


async def _answers(request: Request, futures: Sequence[Future], timeout: float) -> list[Any]:
    """Wait for all results of a request, unless its client disconnects.

    Raises
    ------
    TimeoutError, HTTPException
        After the time limit, or with status 499 if the client disconnects.
    """
    answers = asyncio.gather(*map(asyncio.wrap_future, futures))
    cut = asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait((answers, cut), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if answers.done():
            return answers.result()
        if cut.done():
            raise HTTPException(499, "The connection was cut.")
        raise TimeoutError
    finally:
        cut.cancel()
        answers.cancel()
        answers.add_done_callback(lambda answers: answers.cancelled() or answers.exception())
        for future in futures:
            future.cancel()


async def _disconnect(request):
    while (await request.receive())["type"] != "http.disconnect":
        pass
