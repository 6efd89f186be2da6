"""Asking a time-stamping authority for a stamp, over HTTP.

Guarantees: what comes back is a verified token over the very digest asked for, with our nonce and, if one is asked for,
the policy; nothing else does. Bounded in size and time.

Source: RFC 3161 §2.4, §3.4 (HTTP).
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from asn1crypto import cms, core, tsp

from exchange.errors import Rejected, Unavailable
from exchange.ledger.stamps.posting import TIMEOUT_S, post
from exchange.ledger.stamps.token import DIGESTS, TOKEN_BYTES_MAX, slimmed, verify_stamp

NONCE_BITS = 64
RESPONSE_BYTES_MAX = TOKEN_BYTES_MAX + 1024
QUERY, REPLY = "application/timestamp-query", "application/timestamp-reply"

_GRANTED = {"granted", "granted_with_mods"}
_UNREADABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)


class Response(core.Sequence):  # type: ignore[misc]  # asn1crypto is untyped, and its own wants a token in a refusal
    """TimeStampResp, RFC 3161 §2.4.2."""

    _fields = [("status", tsp.PKIStatusInfo), ("time_stamp_token", cms.ContentInfo, {"optional": True})]  # noqa: RUF012


def ask(
    url: str,
    content: bytes,
    anchors: Sequence[bytes],
    *,
    name: str = "sha256",
    policy: str | None = None,
    timeout_s: float = TIMEOUT_S,
) -> bytes:
    """A token (DER) over `content`, whose digest `name` is sent. `anchors`: the trusted roots of authorities, DER.

    Raises: Unavailable ``attestor.unavailable``, ``tsa.refused``: try again, or another authority; Rejected
        ``stamp.*``: what it gave isn't a stamp to rely on, as `verify_stamp`, ``stamp.nonce``, ``stamp.policy``.
    """
    digest, nonce = DIGESTS[name](content).digest(), secrets.randbits(NONCE_BITS)
    asked = request(digest, name, nonce, policy)
    return read_response(post(url, asked, QUERY, REPLY, RESPONSE_BYTES_MAX, timeout_s), digest, nonce, policy, anchors)


def request(digest: bytes, name: str, nonce: int, policy: str | None = None) -> bytes:
    """A TimeStampReq (DER) that asks for the certificate as well."""
    said: dict[str, Any] = {
        "version": "v1",
        "message_imprint": {"hash_algorithm": {"algorithm": name}, "hashed_message": digest},
        "nonce": nonce,
        "cert_req": True,
    }
    if policy is not None:
        said["req_policy"] = policy
    made: bytes = tsp.TimeStampReq(said).dump()
    return made


def read_response(data: bytes, digest: bytes, nonce: int, policy: str | None, anchors: Sequence[bytes]) -> bytes:
    """The token of a response, with the certificates that it needs and no others; raises as `ask`."""
    if len(data) > RESPONSE_BYTES_MAX:
        raise Rejected("stamp.too_large", f"{len(data)} > {RESPONSE_BYTES_MAX} bytes")
    try:
        response = Response.load(data, strict=True)
        status = response["status"]
        if status["status"].native not in _GRANTED:
            why = (status["fail_info"].native or set(), status["status_string"].native or [])
            raise Unavailable("tsa.refused", f"{status['status'].native} {why}"[:200])
        given = response["time_stamp_token"].dump()
    except _UNREADABLE as exc:
        raise Rejected("stamp.malformed", repr(exc)[:200]) from exc
    token = slimmed(given, digest, anchors)
    found = verify_stamp(token, digest, anchors)
    if found.nonce != nonce:
        raise Rejected("stamp.nonce", "it answers another question")
    if policy is not None and found.policy != policy:
        raise Rejected("stamp.policy", f"{found.policy}, not {policy}"[:120])
    return token
