"""``POST /v1/statements``: signed records on their way, answered once the broker has them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from exchange import metrics, spans
from exchange.gateway.answers import DIGEST, ReceiptAnswer, ReceiptsAnswer
from exchange.gateway.bodies import ALGORITHMS, AVRO, JSON, media_type, records_in, whole
from exchange.gateway.examining import examine
from exchange.gateway.problems import Refused
from exchange.gateway.routes.access import CallerHere, GatewayHere, problems, require_voice

router = APIRouter(tags=["statements"])

_HEX = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_BASE64 = {"type": "string", "contentEncoding": "base64"}
_WHOLE = {"type": "integer", "minimum": 0}
_PARTS: dict[str, Any] = {
    "type": "object",
    "required": ["statement", "signatures"],
    "properties": {
        "statement": _BASE64,
        "signatures": {
            "type": "array",
            "minItems": 1,
            "maxItems": 8,
            "items": {
                "type": "object",
                "required": ["algorithm", "certificate", "value"],
                "properties": {
                    "algorithm": {"enum": sorted(ALGORITHMS)},
                    "certificate": _HEX | {"description": "SHA-256 of the signer's certificate (DER)"},
                    "value": _BASE64 | {"description": "Over the statement's bytes; ECDSA as DER"},
                },
            },
        },
        "storage": {
            "type": "array",
            "maxItems": 100,
            "description": "The answers to `PUT /v1/attachments/{sha256}`",
            "items": {
                "type": "object",
                "required": ["sha256", "size", "stored_ms", "mac"],
                "properties": {"sha256": _HEX, "size": _WHOLE, "stored_ms": _WHOLE, "mac": _BASE64},
            },
        },
    },
}
"""A record in its parts, for who has no Avro library."""

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
                "items": {"oneOf": [{"type": "string", "contentEncoding": "base64"}, _PARTS]},
            },
            "example": [
                {
                    "statement": "wwEk0a9tq8hD5w…",
                    "signatures": [{"algorithm": "ecdsa_p256_sha256", "certificate": DIGEST, "value": "MEUCIQ…"}],
                    "storage": [{"sha256": DIGEST, "size": 4, "stored_ms": 1767225600000, "mac": "x0T…="}],
                }
            ],
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
    """Submit one or many records, all of the caller's own or sealed as another's delegate; either all are sent or none.

    The answer means that the exchange has them durably, not that it accepts them: the verdict comes to your inbox, as
    the recipients' receipts or as a notice with a code. The same bytes again change nothing: without an answer, send
    again.
    """
    require_voice(caller, gateway)
    gateway.require_room()
    kind = media_type(request)
    if kind not in {AVRO, JSON}:
        raise Refused("request.media_type", kind[:60])
    with gateway.submissions.one(caller.code):
        body = await whole(request, gateway.limits.body_bytes, gateway.limits)
        outgoing = examine(records_in(body, kind, gateway.limits.records), caller.code, gateway.directory.view)
        gateway.statements.take(caller.code, len(outgoing))
        with spans.request("gateway.submit", request.headers.get("traceparent")) as traceparent:
            taken = await gateway.producing.submit(outgoing, traceparent)
        metrics.GATEWAY_RECORDS.inc(len(taken))
    return ReceiptsAnswer(receipts=[ReceiptAnswer(**one._asdict()) for one in taken])
