"""``/v1/attachments/{sha256}``: an attachment's bytes in and out, streamed, named by what they are."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from exchange.gateway.answers import DIGEST, StorageReceiptAnswer
from exchange.gateway.bodies import chunks
from exchange.gateway.problems import Refused
from exchange.gateway.routes.access import CountedCaller, GatewayHere, problems, require_voice
from exchange.gateway.state import Gateway

OCTETS = "application/octet-stream"
_FROM = re.compile(r"bytes=([0-9]{1,15})-", re.ASCII)

router = APIRouter(tags=["attachments"])

Digest = Annotated[str, Path(alias="sha256", pattern="^[0-9a-f]{64}$", description="Lower-case hex", examples=[DIGEST])]
_BODY: dict[str, Any] = {
    "required": True,
    "content": {OCTETS: {"schema": {"type": "string", "format": "binary"}, "example": "the bytes themselves"}},
}


@router.put(
    "/v1/attachments/{sha256}",
    response_model=StorageReceiptAnswer,
    responses=problems(403, 408, 413) | {201: {"model": StorageReceiptAnswer, "description": "Stored now"}},
    openapi_extra={"requestBody": _BODY},
    summary="Store an attachment",
)
async def store(digest: Digest, request: Request, caller: CountedCaller, gateway: GatewayHere) -> Response:
    """Store bytes under their SHA-256; the receipt goes into the record of the statement that attaches them.

    201 if they are new, 200 if they were there. Any media type: bytes are bytes.
    """
    require_voice(caller, gateway)
    with gateway.uploads.one(caller.code):
        body = chunks(request, gateway.limits.attachment_bytes, gateway.limits)
        stored, is_new = await gateway.files.put(bytes.fromhex(digest), body)
    return JSONResponse(StorageReceiptAnswer.of(stored).model_dump(), 201 if is_new else 200)


@router.get(
    "/v1/attachments/{sha256}",
    response_class=StreamingResponse,
    responses=problems(404)
    | {
        200: {"description": "The bytes", "content": {OCTETS: {"schema": {"type": "string", "format": "binary"}}}},
        206: {"description": "From an offset on", "content": {OCTETS: {"schema": {"type": "string"}}}},
    },
    summary="Fetch an attachment",
)
async def fetch(digest: Digest, request: Request, caller: CountedCaller, gateway: GatewayHere) -> Response:
    """Stream an attachment; ``Range: bytes=N-`` goes on from an offset after a broken connection.

    Check the SHA-256 when all is there, as the SDK does. Bytes that differ in the store break the connection.
    """
    size = await _size(gateway, digest)
    start = _start(request, size)
    headers = _headers(digest, size - start)
    if start:
        headers["content-range"] = f"bytes {start}-{size - 1}/{size}"
    with gateway.uploads.one(caller.code):
        pass  # refuse while a refusal can still be answered; the slot is held while bytes flow
    return StreamingResponse(
        _flow(gateway, caller.code, digest, start), 206 if start else 200, headers, media_type=OCTETS
    )


@router.head(
    "/v1/attachments/{sha256}",
    responses=problems(404) | {200: {"description": "It is stored; Content-Length is its size"}},
    summary="Ask whether an attachment is stored",
)
async def head(digest: Digest, caller: CountedCaller, gateway: GatewayHere) -> Response:
    """Tell whether the bytes are stored, and how many they are."""
    return Response(None, 200, _headers(digest, await _size(gateway, digest)), OCTETS)


async def _size(gateway: Gateway, digest: str) -> int:
    size = await gateway.files.size(bytes.fromhex(digest))
    if size is None:
        raise Refused("attachment.missing", digest)
    return size


def _start(request: Request, size: int) -> int:
    """Where to begin; a range that we don't know, or beyond the end, is all of it (RFC 9110 §14.2 allows that)."""
    asked = _FROM.fullmatch(request.headers.get("range", "").strip())
    start = int(asked[1]) if asked else 0
    return start if start < size else 0


def _headers(digest: str, length: int) -> dict[str, str]:
    return {
        "content-length": str(length),
        "accept-ranges": "bytes",
        "etag": f'"{digest}"',
        "cache-control": "private, immutable, max-age=31536000",
        "content-disposition": "attachment",
        "x-content-type-options": "nosniff",
    }


async def _flow(gateway: Gateway, code: str, digest: str, start: int) -> AsyncIterator[bytes]:
    with gateway.uploads.one(code):
        async for piece in gateway.files.read(bytes.fromhex(digest), start):
            yield piece
