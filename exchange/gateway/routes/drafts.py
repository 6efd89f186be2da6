"""``POST /v1/drafts``: the bytes to sign, for systems without an Avro library."""

from __future__ import annotations

import base64
from collections.abc import Callable, Coroutine
from hashlib import sha256
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message

from exchange.gateway.answers import DraftAnswer
from exchange.gateway.bodies import JSON, media_type, whole
from exchange.gateway.drafts import DocumentDraft, StatusDraft, drafted
from exchange.gateway.problems import Refused
from exchange.gateway.routes.access import CountedCaller, GatewayHere, gateway_of, problems


class Bounded(APIRoute):
    """Reads the body within our limits, before FastAPI would without any."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI asks."""
        handler = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            limits = gateway_of(request).limits
            if media_type(request) != JSON:
                raise Refused("request.media_type", media_type(request)[:60])
            body = await whole(request, limits.draft_bytes, limits)

            async def receive() -> Message:
                return {"type": "http.request", "body": body, "more_body": False}

            return await handler(Request(request.scope, receive))

        return bounded


router = APIRouter(tags=["statements"], route_class=Bounded)


_EXAMPLE = {"kind": "document", "to": ["G22"], "subject": "Kế hoạch năm 2026"}


@router.post(
    "/v1/drafts",
    response_model=DraftAnswer,
    responses=problems(408, 413, 415),
    openapi_extra={"requestBody": {"content": {"application/json": {"example": _EXAMPLE}}}},
    summary="Encode a statement to sign",
)
async def draft(
    said: Annotated[
        DocumentDraft | StatusDraft,
        Body(discriminator="kind"),
    ],
    caller: CountedCaller,
    gateway: GatewayHere,
) -> DraftAnswer:
    """Encode a document, or a status about a delivery, as the caller's own; nothing is kept or sent.

    Sign the bytes with your seal (`openssl dgst -sha256 -sign`), and submit them with the signature. What you sign is
    what you say: decode the bytes first if you don't trust this gateway.
    """
    statement_id, raw = drafted(said, caller.code, gateway.clock())
    text = base64.b64encode(raw).decode("ascii")
    return DraftAnswer(id=statement_id, kind=said.kind, statement=text, sha256=sha256(raw).hexdigest())
