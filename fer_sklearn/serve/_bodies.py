"""Photos from the body of a request: multipart or JSON, in memory, within limits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from .._utils.files import decode_text
from ..photos import PhotoSource
from ..photos._sources import reason_of

__all__ = ["Bodies", "Limits", "refusal"]

# Bodies of all requests may take this many times the size of the largest one allowed.
_MAX_BODIES = 8
# What a client still sends after it was refused is read for this long, and up to this multiple of
# the largest body: a client that is cut off while it sends may never read the answer.
_LINGER_SECONDS, _LINGER_BODIES = 2.0, 2


@dataclass(frozen=True)
class Limits:
    """What one request may cost.

    Attributes
    ----------
    max_bytes : int
        Of the body.
    max_files : int
    max_pixels : int
        Of one photo.
    timeout : float
        Seconds in which the body must arrive, and in which the answer must follow.
    """

    max_bytes: int
    max_files: int
    max_pixels: int
    timeout: float


def refusal(status: int, reason: str, headers: Mapping[str, str] | None = None) -> HTTPException:
    """Return the error of a request that is refused, after which its connection is closed."""
    return HTTPException(status, reason, {"Connection": "close", **(headers or {})})


class Bodies:
    """The bodies of all requests that are being read or answered.

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
                429, "Too many bytes wait to be processed. Try again.", {"Retry-After": "1"}
            )
        self._n_bytes += n_bytes

    async def discard(self, request: Request) -> None:
        """Read what a client sends that was refused before its body was looked at."""
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
                f"The body is {kind or 'of no stated type'}; expected multipart/form-data, with "
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
        except (MultiPartException, ValueError, LookupError) as error:  # such as a strange charset
            reason = getattr(error, "message", str(error))
            if "Too many files" in reason:
                raise self._too_many() from None
            raise refusal(400, f"The body is no valid multipart form: {reason}") from None
        files = [item for _, item in form.multi_items() if isinstance(item, UploadFile)]
        photos = [
            PhotoSource(_name(file.filename, position), await file.read(), position=position)
            for position, file in enumerate(files)
        ]
        await form.close()
        return photos

    def _of_json(self, content):
        try:
            images = json.loads(content)["images"]
        except (ValueError, KeyError, TypeError, RecursionError):
            images = None
        if not isinstance(images, list) or not all(isinstance(item, str) for item in images):
            raise refusal(
                400, 'The body is no valid JSON; expected {"images": ["<photo in base64>", …]}.'
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
    """Keeps files in memory, where others write large ones to the disk."""

    spool_max_size = 0  # no limit


def _name(name, position):
    """Return the name of a file in its rows, as photos without one are named otherwise."""
    text = (name or "").encode("utf-8", "replace").decode()  # no half characters
    return text.replace("\\", "/").rpartition("/")[2] or f"[{position}]"


def _of_text(text, position):
    name = f"[{position}]"
    try:
        return PhotoSource(name, decode_text(text), position=position)
    except Exception as error:
        return PhotoSource(name, problem=reason_of(error), position=position)
