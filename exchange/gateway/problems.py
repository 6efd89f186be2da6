"""Errors as an outsider sees them: RFC 9457 problem details with a stable code, and nothing of our insides.

Guarantees: every answer of 400 and above is ``application/problem+json``; no exception's text is in it. The codes
are those of `exchange.errors`, of the envelope and of the gateway; the detail goes to the log only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from exchange.errors import ExchangeError, Rejected, Unavailable

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:exchange:problem:"
ERRORS_MAX = 20

log = structlog.get_logger(__name__)

TITLES: dict[str, tuple[int, str]] = {
    "request.invalid": (422, "A parameter or the body doesn't have the form that the API describes."),
    "request.malformed": (400, "The request can't be read."),
    "request.not_found": (404, "There is nothing here."),
    "request.method": (405, "This address doesn't know that method."),
    "request.media_type": (415, "Send application/avro or application/json."),
    "request.too_large": (413, "The body is larger than the limit."),
    "request.too_slow": (408, "The body came too slowly."),
    "request.too_many_records": (413, "Too many records in one request."),
    "request.empty": (422, "The request holds no record."),
    "token.missing": (401, "An access token is needed (POST /v1/token), or a client certificate."),
    "token.invalid": (401, "The access token isn't ours, or is over: ask for a new one."),
    "assertion.malformed": (401, "The client assertion can't be read."),
    "assertion.claims": (401, "The assertion must say iss, sub, aud, exp and jti; iss and sub are the agency's code."),
    "assertion.algorithm": (401, "The algorithm doesn't go with the certificate's key: ES256, RS256 or EdDSA."),
    "assertion.signature": (401, "The assertion's signature doesn't verify."),
    "assertion.audience": (401, "The assertion is for another audience."),
    "assertion.expired": (401, "The assertion is over."),
    "assertion.too_long": (401, "The assertion lives longer than five minutes, or begins in the future."),
    "assertion.replayed": (401, "The assertion was used before."),
    "assertion.not_a_seal": (401, "Only an agency's own seal, or its connector's, comes in."),
    "sender.not_yours": (403, "You may speak for your own agency only."),
    "sender.suspended": (403, "Your agency is suspended: it may read, and say nothing until it is resumed."),
    "quota.exceeded": (429, "More than your quota: wait as long as Retry-After says."),
    "hop.behind": (429, "The exchange is behind: wait as long as Retry-After says, then send the same again."),
    "cursor.invalid": (400, "The cursor isn't one that we gave you."),
    "cursor.expired": (410, "What the cursor points at is no longer kept: begin without a cursor."),
    "attachment.missing": (404, "No such attachment is stored."),
    "attachment.differs": (422, "The bytes don't have the SHA-256 that the address names."),
    "upload.offset": (409, "The upload goes on elsewhere: at `offset`."),
    "upload.too_many": (429, "Too many uploads are unfinished: finish one, or give it up."),
    "agency.unknown": (404, "No agency has this code."),
    "certificate.not_listed": (404, "The directory doesn't list this certificate."),
    "leader.unknown": (404, "The directory doesn't list this person."),
    "trace.not_found": (404, "No such document of yours, sent or received."),
    "trace.ambiguous": (409, "Several documents bear this id: name the sender."),
    "promise.not_given": (404, "Nothing is promised, or not yet, about such a submission of yours."),
    "ledger.behind": (404, "The ledger doesn't hold it yet."),
    "ledger.absent": (404, "This gateway knows of no ledger."),
    "internal": (500, "A fault of ours. It has been written down; send the same again."),
}
"""Status and what it means, for each code of the gateway's own."""

_SIZE_CODES = frozenset({"record.too_large", "statement.too_large"})
_BY_STATUS = {404: "request.not_found", 405: "request.method", 413: "request.too_large", 415: "request.media_type"}
RETRY_AFTER_S = 5


class Refused(ExchangeError):
    """The gateway says no; the status is the code's. `more`: further members of the answer."""

    def __init__(self, code: str, detail: str = "", retry_after_s: float | None = None, **more: object) -> None:
        super().__init__(code, detail)
        self.retry_after_s = retry_after_s
        self.more = more


def status_of(exc: ExchangeError) -> int:
    """The HTTP status that goes with an error."""
    known = TITLES.get(exc.code)
    if known is not None:
        return known[0]
    if exc.code in _SIZE_CODES:
        return 413
    if exc.code.startswith("certificate."):
        return 401
    return 503 if isinstance(exc, Unavailable) else 422 if isinstance(exc, Rejected | Refused) else 500


def problem(
    status: int, code: str, more: Mapping[str, object] | None = None, retry_after_s: float | None = None
) -> Response:
    """The answer for a code. `retry_after_s`: rounded up to whole seconds."""
    body: dict[str, object] = {"type": TYPE + code, "title": _title(status, code), "status": status, "code": code}
    headers = {"cache-control": "no-store"}
    if retry_after_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(retry_after_s)))
    if status == 401:
        headers["www-authenticate"] = 'Bearer realm="exchange"'
        body["error"] = "invalid_token" if code.startswith("token.") else "invalid_client"  # RFC 6749 §5.2, RFC 6750
    return JSONResponse({**body, **(more or {})}, status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Let every error of the application become a problem."""
    app.add_exception_handler(ExchangeError, _on_ours)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_bug)


def _title(status: int, code: str) -> str:
    if code in TITLES:
        return TITLES[code][1]
    if status == 503:
        return "Not available now: wait as long as Retry-After says, then send the same again."
    if code.startswith("certificate."):
        return "The certificate is not one that the exchange trusts now."
    return "The record can't be taken: see the code."


async def _on_ours(_: Request, exc: Exception) -> Response:
    if not isinstance(exc, ExchangeError):
        raise TypeError(type(exc).__name__)
    status = status_of(exc)
    retry_after_s = exc.retry_after_s if isinstance(exc, Refused) else RETRY_AFTER_S if status == 503 else None
    write = log.error if status >= 500 else log.info
    write("gateway.refused", code=exc.code, detail=exc.detail[:500], status=status)
    if status == 500:
        return problem(500, "internal")
    return problem(status, exc.code, exc.more if isinstance(exc, Refused) else None, retry_after_s)


async def _on_validation(_: Request, exc: Exception) -> Response:
    found: list[Any] = list(exc.errors()) if isinstance(exc, RequestValidationError) else []
    errors = [{"where": ".".join(map(str, one["loc"]))[:100], "what": one["type"]} for one in found[:ERRORS_MAX]]
    return problem(422, "request.invalid", {"errors": errors})


async def _on_http(_: Request, exc: Exception) -> Response:
    status = exc.status_code if isinstance(exc, HTTPException) else 500
    answer = problem(status, _BY_STATUS.get(status, "request.malformed" if status < 500 else "internal"))
    allowed = (exc.headers or {}).get("allow") if isinstance(exc, HTTPException) else None
    if allowed:
        answer.headers["allow"] = allowed
    return answer


async def _on_bug(request: Request, exc: Exception) -> Response:
    log.critical("gateway.bug", path=request.url.path, error=repr(exc)[:500])
    return problem(500, "internal")
