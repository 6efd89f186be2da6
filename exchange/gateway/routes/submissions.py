"""``POST /v1/statements``: signed records on their way, answered once the broker has them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from exchange.gateway.answers import ReceiptAnswer, ReceiptsAnswer
from exchange.gateway.bodies import AVRO, JSON, media_type, records_in, whole
from exchange.gateway.examining import examine
from exchange.gateway.problems import Refused
from exchange.gateway.routes.access import CallerHere, GatewayHere, problems

router = APIRouter(tags=["statements"])

_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        AVRO: {
            "schema": {"type": "string", "format": "binary"},
            "example": "one or more records one after another, each in Avro's single-object encoding",
        },
        JSON: {
            "schema": {
                "type": "array",
                "minItems": 1,
                "maxItems": 1000,
                "items": {"type": "string", "contentEncoding": "base64"},
            },
            "example": ["wwEk0a9tq8hD5w…"],
        },
    },
}


@router.post(
    "/v1/statements",
    response_model=ReceiptsAnswer,
    responses=problems(403, 408, 413, 415),
    openapi_extra={"requestBody": _BODY},
    summary="Submit signed statements",
)
async def submit(request: Request, caller: CallerHere, gateway: GatewayHere) -> ReceiptsAnswer:
    """Submit one or many records, all of the caller's own; either all are sent or none.

    The answer means that the exchange has them durably, not that it accepts them: the verdict comes to your inbox, as
    the recipients' receipts or as a notice with a code. The same bytes again change nothing: without an answer, send
    again.
    """
    gateway.require_room()
    kind = media_type(request)
    if kind not in {AVRO, JSON}:
        raise Refused("request.media_type", kind[:60])
    with gateway.submissions.one(caller.code):
        body = await whole(request, gateway.limits.body_bytes, gateway.limits.body_chunk_s)
        outgoing = examine(records_in(body, kind, gateway.limits.records), caller.code)
        gateway.statements.take(caller.code, len(outgoing))
        taken = await gateway.producing.submit(outgoing)
    return ReceiptsAnswer(receipts=[ReceiptAnswer(**one._asdict()) for one in taken])
