"""Who is calling: the access token, checked at every request against the directory as it is now.

Or the certificate that the client showed in the TLS handshake, which needs no token.

Guarantees: a certificate revoked, expired or taken off the list ends the session with the next request. A token over
mutual TLS is good with its own certificate only.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from exchange.agencies import Agency
from exchange.gateway.answers import ProblemAnswer
from exchange.gateway.assertions import require_seal
from exchange.gateway.connections import PEER
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


async def gateway_here(request: Request) -> Gateway:
    """The same, for FastAPI, which would call a plain function in a thread: two switches a request."""
    return gateway_of(request)


GatewayHere = Annotated[Gateway, Depends(gateway_here)]


async def caller_of(request: Request, gateway: GatewayHere, _: Annotated[object, Depends(_BEARER)]) -> Caller:
    """Open the token, or take the certificate of the connection, and ask the directory again.

    Raises: Refused ``token.*``, ``assertion.not_a_seal``; Rejected ``certificate.*``.
    """
    now_ms = gateway.clock()
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    peer: bytes | None = getattr(request.state, PEER, None)
    if scheme.lower() == "bearer" and token:
        session = open_token(gateway.deployment.token_key, token.strip(), now_ms)
        if peer is not None and peer != session.certificate:  # RFC 8705 §3: a token that was taken is of no use
            raise Refused("token.invalid", f"{session.agency}'s token over a connection of another certificate")
        signer = gateway.directory.trust.signer(session.certificate, now_ms)
    elif peer is not None:
        signer = gateway.directory.trust.signer(peer, now_ms)
        require_seal(signer)
        session = Session(signer.agency, peer, now_ms + gateway.limits.token_s * 1000)
    else:
        raise Refused("token.missing")
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
