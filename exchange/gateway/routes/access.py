"""Who is calling: the access token, checked at every request against the directory as it is now.

Guarantees: a certificate revoked, expired or taken off the list ends the session with the next request.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from exchange.agencies import Agency
from exchange.gateway.answers import ProblemAnswer
from exchange.gateway.problems import Refused
from exchange.gateway.state import Gateway
from exchange.gateway.tokens import Session, open_token

_BEARER = HTTPBearer(auto_error=False, scheme_name="access token", description="From `POST /v1/token`.")


class Caller(NamedTuple):
    """The agency that the token speaks for."""

    agency: Agency
    session: Session

    @property
    def code(self) -> str:
        """Its code of record."""
        return self.agency.code


def gateway_of(request: Request) -> Gateway:
    """The gateway that the application belongs to."""
    gateway: Gateway = request.app.state.gateway
    return gateway


GatewayHere = Annotated[Gateway, Depends(gateway_of)]


async def caller_of(request: Request, gateway: GatewayHere, _: Annotated[object, Depends(_BEARER)]) -> Caller:
    """Open the token and ask the directory again; Refused ``token.*``, Rejected ``certificate.*``."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refused("token.missing")
    now_ms = gateway.clock()
    session = open_token(gateway.deployment.token_key, token.strip(), now_ms)
    signer = gateway.directory.trust.signer(session.certificate, now_ms)
    if signer.agency != session.agency:
        raise Refused("token.invalid", f"{session.agency}'s certificate is now {signer.agency}'s")
    return Caller(gateway.directory.agency(session.agency), session)


async def quota_of(caller: Annotated[Caller, Depends(caller_of)], gateway: GatewayHere) -> Caller:
    """The same, and one request of its quota; Refused ``quota.exceeded``."""
    gateway.requests.take(caller.code)
    return caller


def require_voice(caller: Caller, gateway: Gateway) -> None:
    """Refuse whatever a suspended agency would say; Refused ``sender.suspended``. It may go on reading."""
    if gateway.directory.view.suspension(caller.code) is not None:
        raise Refused("sender.suspended", caller.code)


CallerHere = Annotated[Caller, Depends(caller_of)]
"""For submissions, whose quota is counted in statements."""
CountedCaller = Annotated[Caller, Depends(quota_of)]

_MEANINGS = {
    400: "The request can't be read",
    401: "No token, or the certificate isn't trusted now",
    403: "Not the caller's to say",
    404: "Not found, or not the caller's to see",
    408: "The body came too slowly",
    409: "Ambiguous",
    410: "No longer kept",
    413: "Too large",
    415: "Wrong media type",
    422: "The content can't be taken",
    429: "Over quota, or the exchange is behind; see Retry-After",
    500: "A fault of ours",
    503: "Not available now; see Retry-After",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of an address for OpenAPI; those that every address has are added."""
    return {
        status: {"model": ProblemAnswer, "description": _MEANINGS[status]}
        for status in sorted({*statuses, 400, 401, 422, 429, 500, 503})
    }
