"""What the addresses take and answer, in OpenAPI, with examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ._bodies import Limits

__all__ = ["DESCRIPTION", "TAGS", "add_examples", "describe_faces", "describe_probabilities"]

DESCRIPTION = """\
Send photos, and get a row per face: where it is, its emotion, and the probability of each. The
rows are those of `fer_sklearn.predict_photos`.

A request has up to {limits.max_files} photos of up to {limits.max_pixels:,} pixels, in up to
{limits.max_bytes:,} bytes. A photo that cannot be read costs only its own answer, whose `status`
gives the reason. Photos stay in memory until they are answered; none is stored or logged.
"""
TAGS = [
    {"name": "emotions", "description": "Photos in, rows out."},
    {"name": "operation", "description": "For those who run the service."},
]

_FACE = {
    **{"source": "team.jpg", "face": 0},
    **{"left": 168.24, "top": 60.03, "width": 112.61, "height": 112.61, "score": 0.94},
}
_NONE = {"left": None, "top": None, "width": None, "height": None, "score": None}
_REFUSALS = {
    400: "The body is no valid form or JSON, or has no photo.",
    401: "The token is wrong or missing, where one is needed.",
    408: "The body did not arrive within {limits.timeout:g} seconds.",
    413: "More than {limits.max_bytes:,} bytes, {limits.max_files} photos, or "
    "{limits.max_pixels:,} pixels in a photo.",
    415: "The body is neither multipart/form-data nor application/json.",
    429: "Too many photos wait. Try again after the seconds in the header Retry-After.",
}


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
    """Add answers to the description of the application, from which FastAPI would drop nulls."""
    found = _FACE | _emotion(classes) | {"status": "ok"}
    nothing = {"source": "sea.jpg", "face": None} | _NONE | {"emotion": None}
    nothing |= dict.fromkeys(classes) | {"status": "no face"}
    damaged = nothing | {"source": "notes.txt", "status": "unreadable: not an image …"}
    whole = {"left": 0.0, "top": 0.0, "width": 48.0, "height": 48.0, "score": None}
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
        "openapi_extra": {"requestBody": {"required": True, "content": taken}},
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
    return {"type": "object", "properties": properties, "required": list(properties)}


def _emotion(classes):
    best = "happy" if "happy" in classes else classes[-1]
    rest = 0.04 / max(1, len(classes) - 1)
    proba = {name: 0.96 if name == best else round(rest, 4) for name in classes}
    return {"emotion": best} | proba
