"""``/v1/uploads/{sha256}``: an attachment in several requests.

Source: draft-ietf-httpbis-resumable-upload-09, with the attachment's own name in place of a created resource.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse, Response

from exchange.gateway.answers import StorageReceiptAnswer, UploadAnswer
from exchange.gateway.bodies import chunks
from exchange.gateway.routes.access import CountedCaller, GatewayHere, problems, require_voice
from exchange.gateway.routes.attachments import OCTETS, Digest
from exchange.gateway.state import Gateway

PARTIAL = "application/partial-upload"

router = APIRouter(tags=["attachments"])

_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        kind: {"schema": {"type": "string", "format": "binary"}, "example": "the bytes from Upload-Offset on"}
        for kind in (PARTIAL, OCTETS)
    },
}


@router.get("/v1/uploads/{sha256}", response_model=UploadAnswer, responses=problems(), summary="How far an upload is")
async def offset(digest: Digest, caller: CountedCaller, gateway: GatewayHere) -> Response:
    """Tell from where to go on: the number of bytes that are here of the caller's own upload, 0 if there is none."""
    return _so_far(gateway, await gateway.uploading.offset(caller.code, bytes.fromhex(digest)))


@router.head("/v1/uploads/{sha256}", responses=problems(), summary="How far an upload is, in headers")
async def head(digest: Digest, caller: CountedCaller, gateway: GatewayHere) -> Response:
    """Tell the same in `Upload-Offset`, as the draft has it."""
    return _so_far(gateway, await gateway.uploading.offset(caller.code, bytes.fromhex(digest)))


@router.patch(
    "/v1/uploads/{sha256}",
    response_model=StorageReceiptAnswer | UploadAnswer,
    responses=problems(403, 408, 409, 413) | {201: {"model": StorageReceiptAnswer, "description": "Complete, and new"}},
    openapi_extra={"requestBody": _BODY},
    summary="Go on with an upload",
)
async def append(
    digest: Digest,
    request: Request,
    caller: CountedCaller,
    gateway: GatewayHere,
    upload_offset: Annotated[int, Header(ge=0, lt=2**63, examples=[0])] = 0,
    upload_complete: Annotated[
        Literal["?0", "?1"], Header(description="?0: more will follow in another request", examples=["?1"])
    ] = "?1",
) -> Response:
    """Add bytes to the caller's own upload of an attachment; with the last, get its storage receipt.

    `Upload-Offset` says where they begin: where the last request ended or was broken off, or 409 `upload.offset` tells.
    """
    require_voice(caller, gateway)
    key = caller.code, bytes.fromhex(digest)
    with gateway.uploads.one(caller.code):
        body = chunks(request, gateway.limits.attachment_bytes, gateway.limits)
        here = await gateway.uploading.append(*key, upload_offset, body)
        if upload_complete == "?0":
            return _so_far(gateway, here)
        stored, is_new = await gateway.uploading.complete(*key)
    return JSONResponse(StorageReceiptAnswer.of(stored).model_dump(), 201 if is_new else 200, {"upload-complete": "?1"})


@router.delete("/v1/uploads/{sha256}", status_code=204, responses=problems(), summary="Give an upload up")
async def give_up(digest: Digest, caller: CountedCaller, gateway: GatewayHere) -> Response:
    """Forget what is here of the caller's own upload; attachments that are stored stay."""
    await gateway.uploading.let_go(caller.code, bytes.fromhex(digest))
    return Response(None, 204)


def _so_far(gateway: Gateway, here: int) -> Response:
    headers = {
        "upload-offset": str(here),
        "upload-complete": "?0",
        "upload-limit": f"max-size={gateway.limits.attachment_bytes}",
        "cache-control": "no-store",
    }
    return JSONResponse(UploadAnswer(offset=here).model_dump(), 200, headers)
