"""``POST /v1/token``: an access token for a client assertion (RFC 7523 §2.2, RFC 6749 §4.4)."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request

from exchange.gateway import assertions
from exchange.gateway.answers import TokenAnswer
from exchange.gateway.bodies import FORM, media_type, whole
from exchange.gateway.problems import Refused
from exchange.gateway.routes.access import GatewayHere, problems
from exchange.gateway.tokens import Session, mint

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
GRANT_TYPE = "client_credentials"
FIELDS_MAX = 10

router = APIRouter(tags=["access"])

_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        FORM: {
            "schema": {
                "type": "object",
                "required": ["grant_type", "client_assertion_type", "client_assertion"],
                "properties": {
                    "grant_type": {"type": "string", "const": GRANT_TYPE},
                    "client_assertion_type": {"type": "string", "const": ASSERTION_TYPE},
                    "client_assertion": {
                        "type": "string",
                        "maxLength": assertions.ASSERTION_CHARACTERS_MAX,
                        "description": "A JWT: iss = sub = the agency's code, aud = this gateway, exp at most five "
                        "minutes ahead, jti used once; header x5t#S256 names the seal's certificate",
                    },
                },
            },
            "example": {
                "grant_type": GRANT_TYPE,
                "client_assertion_type": ASSERTION_TYPE,
                "client_assertion": "eyJhbGciOiJFUzI1NiIsIng1dCNTMjU2Ijoi…",
            },
        }
    },
}


@router.post(
    "/v1/token",
    response_model=TokenAnswer,
    responses=problems(408, 413, 415),
    openapi_extra={"requestBody": _BODY},
    summary="Get an access token",
)
async def token(request: Request, gateway: GatewayHere) -> TokenAnswer:
    """Prove by the agency's seal who you are; the token lives ten minutes."""
    gateway.token_requests.take(request.client.host if request.client else "")
    if media_type(request) != FORM:
        raise Refused("request.media_type", media_type(request)[:60])
    body = await whole(request, gateway.limits.form_bytes, gateway.limits)
    form = _form(body)
    if form.get("grant_type") != GRANT_TYPE or form.get("client_assertion_type") != ASSERTION_TYPE:
        raise Refused("request.invalid", "grant_type or client_assertion_type")
    now_ms = gateway.clock()
    signer = assertions.verify(
        form.get("client_assertion", ""), gateway.audiences, gateway.directory.trust, gateway.used, gateway.limits,
        now_ms,
    )  # fmt: skip
    session = Session(signer.agency, signer.certificate.fingerprint, now_ms + gateway.limits.token_s * 1000)
    return TokenAnswer(
        access_token=mint(gateway.deployment.token_key, session),
        expires_in=gateway.limits.token_s,
        agency=signer.agency,
    )


def _form(body: bytes) -> dict[str, str]:
    """Each field once; a repeated one leaves it open which counts (RFC 6749 §3.2)."""
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=FIELDS_MAX)
    except ValueError as exc:
        raise Refused("request.malformed", repr(exc)[:100]) from exc
    if any(len(values) > 1 for values in fields.values()):
        raise Refused("request.malformed", "a field twice")
    return {name: values[0] for name, values in fields.items()}
