"""Read request bodies within limits, and describe requests and responses in OpenAPI.

Photos come as multipart forms or JSON and stay in memory.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from .._utils.files import decode_text
from ..photos import PhotoSource
from ..photos._sources import reason_of

__all__ = [
    "DESCRIPTION",
    "TAGS",
    "Bodies",
    "Limits",
    "add_examples",
    "describe_faces",
    "describe_probabilities",
    "refusal",
]

# Bodies of all requests may take this many times the size of the largest one allowed.
_MAX_BODIES = 8
# After a refusal, the rest of the body is read for this long, and up to this multiple of the
# largest body: a client that is cut off while it sends may never read the response.
_LINGER_SECONDS, _LINGER_BODIES = 2.0, 2

DESCRIPTION = """\
Send photos, and get a row per face: where it is, its emotion, and the probability of each. The
rows are those of `fer_sklearn.predict_photos`.

A request has up to {limits.max_files} photos of up to {limits.max_pixels:,} pixels, in up to
{limits.max_bytes:,} bytes. A photo that cannot be read does not affect the others; its `status`
gives the reason. Photos stay in memory only until the response; none is stored or logged.
"""
TAGS = [
    {"name": "emotions", "description": "Send photos, get rows."},
    {"name": "operation", "description": "For operators of the service."},
]

_FACE = {
    **{"source": "team.jpg", "face": 0},
    **{"left": 168.24, "top": 60.03, "width": 112.61, "height": 112.61},
    **{"score": 0.94, "quality": 0.87},
}
_NONE = dict.fromkeys(("left", "top", "width", "height", "score", "quality"))
_PROVENANCE = {
    "name": "provenance",
    "in": "query",
    "schema": {"type": "boolean", "default": False},
    "description": "Whether each row has a field `provenance` that records how it was made, as "
    "JSON: the versions of the packages, the network, the detector, and how faces are framed.",
}
_REFUSALS = {
    400: "The body is not a valid form or JSON, or has no photo; or `provenance` is not a boolean.",
    401: "The token is wrong or missing.",
    408: "The body did not arrive within {limits.timeout:g} seconds.",
    413: "More than {limits.max_bytes:,} bytes, {limits.max_files} photos, or "
    "{limits.max_pixels:,} pixels in a photo.",
    415: "The body is neither multipart/form-data nor application/json.",
    429: "Too many photos are waiting. Try again after the number of seconds in the header "
    "Retry-After.",
}


@dataclass(frozen=True)
class Limits:
    """Limits for one request.

    Attributes
    ----------
    max_bytes : int
        Maximum size of the body.
    max_files : int
    max_pixels : int
        Maximum number of pixels per photo.
    timeout : float
        Seconds within which the body must arrive, and within which the response must follow.
    """

    max_bytes: int
    max_files: int
    max_pixels: int
    timeout: float


def refusal(status: int, reason: str, headers: Mapping[str, str] | None = None) -> HTTPException:
    """Return the error for a refused request, after which its connection is closed."""
    return HTTPException(status, reason, {"Connection": "close", **(headers or {})})


class Bodies:
    """The bodies of all requests that are being read or processed.

    Parameters
    ----------
    limits : Limits
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._n_bytes = 0

    @asynccontextmanager
    async def photos(self, request: Request) -> AsyncIterator[list[PhotoSource]]:
        """Read the photos of a request.

        Parameters
        ----------
        request : Request

        Yields
        ------
        list of PhotoSource
            With the names of files as they were sent, without their folders.

        Raises
        ------
        HTTPException
            400, 408, 413, 415 or 429.
        """
        body = _Body(request, self)
        try:
            try:
                async with asyncio.timeout(self._limits.timeout):
                    photos = await self._read(request, body)
            except TimeoutError:
                raise refusal(
                    408, f"The body did not arrive within {self._limits.timeout:g} seconds."
                ) from None
            except HTTPException:
                await body.discard()
                raise
            yield photos
        finally:
            self._n_bytes -= body.n_bytes

    def reserve(self, n_bytes: int) -> None:
        """Count bytes that have arrived."""
        if self._n_bytes + n_bytes > _MAX_BODIES * self._limits.max_bytes:
            raise refusal(
                429, "Too many bytes are waiting to be processed. Try again.", {"Retry-After": "1"}
            )
        self._n_bytes += n_bytes

    async def discard(self, request: Request) -> None:
        """Read the body of a request that was refused before its body was read."""
        await _Body(request, self).discard()

    async def _read(self, request, body):
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            photos = await self._of_form(request, body)
        elif kind == "application/json":
            content = b"".join([chunk async for chunk in body.chunks()])
            photos = await run_in_threadpool(self._of_json, content)
        else:
            raise refusal(
                415,
                f"The body is {kind or 'of unknown type'}; expected multipart/form-data, with "
                f"photos in the field 'files', or application/json.",
            )
        if not photos:
            raise refusal(400, "The request has no photo. Send files in the field 'files'.")
        return photos

    async def _of_form(self, request, body):
        parser = _InMemoryParser(
            request.headers,
            body.chunks(),
            max_files=self._limits.max_files,
            max_fields=self._limits.max_files,
        )
        try:
            form = await parser.parse()
        except (MultiPartException, ValueError, LookupError) as error:  # such as an unknown charset
            reason = getattr(error, "message", str(error))
            if "Too many files" in reason:
                raise self._too_many() from None
            raise refusal(400, f"The body is not a valid multipart form: {reason}") from None
        items = form.multi_items()
        files = [item for _, item in items if isinstance(item, UploadFile)]
        photos = [
            PhotoSource(_name(file.filename, position), await file.read(), position=position)
            for position, file in enumerate(files)
        ]
        await form.close()
        # Rows are matched with photos by their order, so none may be left out.
        if not parser.is_complete:
            raise refusal(
                400, "The form ends before its closing boundary, so photos may be missing."
            )
        if any(name == "files" and isinstance(item, str) for name, item in items):
            raise refusal(
                400,
                "The field 'files' has a text instead of a file; expected a filename in each of "
                "its parts, as curl sends it for --form files=@photo.jpg.",
            )
        return photos

    def _of_json(self, content):
        try:
            images = json.loads(content)["images"]
        except (ValueError, KeyError, TypeError, RecursionError):
            images = None
        if not isinstance(images, list) or not all(isinstance(item, str) for item in images):
            raise refusal(
                400, 'The body is not valid JSON; expected {"images": ["<photo in base64>", …]}.'
            )
        if len(images) > self._limits.max_files:
            raise self._too_many()
        return [_of_text(text, position) for position, text in enumerate(images)]

    def _too_many(self):
        return refusal(
            413, f"The request has more than {self._limits.max_files} photos. Send several."
        )


class _Body:
    """The body of one request."""

    def __init__(self, request: Request, bodies: Bodies) -> None:
        self._receive = request.receive
        self._bodies, self._limits = bodies, bodies._limits
        self._declared = request.headers.get("content-length", "")
        self._is_complete = False
        self.n_bytes = 0

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it arrives, whether its length is declared or not."""
        if self._declared.isdecimal() and int(self._declared) > self._limits.max_bytes:
            raise self._too_large()
        async for chunk in self._messages():
            if self.n_bytes + len(chunk) > self._limits.max_bytes:
                raise self._too_large()
            self._bodies.reserve(len(chunk))
            self.n_bytes += len(chunk)
            yield chunk

    async def discard(self) -> None:
        """Read the rest for a while, without keeping it."""
        n_bytes = 0
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                async for chunk in self._messages():
                    n_bytes += len(chunk)
                    if n_bytes > _LINGER_BODIES * self._limits.max_bytes:
                        return
        except (TimeoutError, HTTPException):
            pass

    async def _messages(self):
        while not self._is_complete:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._is_complete = True
                raise HTTPException(499, "The connection was cut.")
            self._is_complete = not message.get("more_body", False)
            yield message.get("body", b"")

    def _too_large(self):
        return refusal(
            413,
            f"The body has more than {self._limits.max_bytes} bytes. Send fewer or smaller photos.",
        )


class _InMemoryParser(MultiPartParser):
    """Keep files in memory, and know whether the form was complete.

    The base class writes large files to disk, and drops a last part that was cut off.
    """

    spool_max_size = 0  # no limit
    is_complete = False

    def on_end(self) -> None:
        self.is_complete = True


def _name(name, position):
    """Return the name of a file for its rows, or its position if it has none."""
    text = (name or "").encode("utf-8", "replace").decode()  # no lone surrogates
    return text.replace("\\", "/").rpartition("/")[2] or f"[{position}]"


def _of_text(text, position):
    name = f"[{position}]"
    try:
        return PhotoSource(name, decode_text(text), position=position)
    except Exception as error:
        return PhotoSource(name, problem=reason_of(error), position=position)


def describe_faces(classes: Sequence[str], limits: Limits) -> dict[str, Any]:
    """Return the options of FastAPI's decorator for ``/v1/faces``."""
    return _describe(
        limits,
        summary="Faces in photos",
        answer="One list per photo, in the order in which they were sent, with a row per face. A "
        "photo without a face has a single row that says so.",
        schema={"type": "array", "items": {"type": "array", "items": _row(classes)}},
    )


def describe_probabilities(classes: Sequence[str], limits: Limits) -> dict[str, Any]:
    """Return the options of FastAPI's decorator for ``/v1/probabilities``."""
    return _describe(
        limits,
        summary="Ready crops",
        answer="One row per photo, in the order in which they were sent; each is one face.",
        schema={"type": "array", "items": _row(classes)},
    )


def add_examples(described: dict[str, Any], classes: Sequence[str]) -> None:
    """Add example responses to the description, from which FastAPI would drop nulls."""
    found = _FACE | _emotion(classes) | {"status": "ok"}
    nothing = {"source": "sea.jpg", "face": None} | _NONE | {"emotion": None}
    nothing |= dict.fromkeys(classes) | {"status": "no face"}
    damaged = nothing | {"source": "notes.txt", "status": "unreadable: not an image …"}
    whole = _NONE | {"left": 0.0, "top": 0.0, "width": 48.0, "height": 48.0}
    for path, example in (
        ("/v1/faces", [[found], [nothing], [damaged]]),
        ("/v1/probabilities", [found | {"source": "face.png"} | whole]),
    ):
        answer = described["paths"][path]["post"]["responses"]["200"]
        answer["content"]["application/json"]["example"] = example


def _describe(limits, *, summary, answer, schema):
    """Describe an address that takes photos."""
    file = {"type": "string", "format": "binary"}
    text = {"type": "string", "description": "The photo in base64, or as a data URI."}
    form = {"files": {"type": "array", "items": file, "maxItems": limits.max_files}}
    images = {"images": {"type": "array", "items": text, "maxItems": limits.max_files}}
    taken = {
        "multipart/form-data": {
            "schema": {"type": "object", "properties": form, "required": ["files"]}
        },
        "application/json": {
            "schema": {"type": "object", "properties": images, "required": ["images"]},
            "example": {"images": ["iVBORw0KGgoAAAANSUhEUg…"]},
        },
    }
    detail = {"type": "object", "properties": {"detail": {"type": "string"}}}
    refused: dict[int | str, dict[str, Any]] = {
        status: {
            "description": reason.format(limits=limits),
            "content": {"application/json": {"schema": detail}},
        }
        for status, reason in _REFUSALS.items()
    }
    refused[429]["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    return {
        "summary": summary,
        "responses": {
            200: {"description": answer, "content": {"application/json": {"schema": schema}}},
            **refused,
        },
        "openapi_extra": {
            "parameters": [_PROVENANCE],
            "requestBody": {"required": True, "content": taken},
        },
    }


def _row(classes):
    """Return the schema of a row."""
    number, text = {"type": ["number", "null"]}, {"type": ["string", "null"]}
    properties = {
        "source": {"type": "string"},
        "face": {"type": ["integer", "null"]},
        **dict.fromkeys(_NONE, number),
        "emotion": text,
        **dict.fromkeys(classes, number),
        "status": {"type": "string"},
    }
    required = list(properties)
    properties["provenance"] = {"type": "string", "description": "Only if it was requested."}
    return {"type": "object", "properties": properties, "required": required}


def _emotion(classes):
    best = "happy" if "happy" in classes else classes[-1]
    rest = 0.04 / max(1, len(classes) - 1)
    proba = {name: 0.96 if name == best else round(rest, 4) for name in classes}
    return {"emotion": best} | proba
