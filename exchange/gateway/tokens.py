"""Access tokens: short-lived, of this gateway, bound to an agency and to the certificate that asked.

Guarantees: only a holder of the key makes one that opens; one that is over doesn't open. It carries the
certificate's fingerprint, so that a certificate revoked in between ends the session with the next request. Not
encrypted: it says nothing that its owner doesn't know.

Source: RFC 6750 (bearer tokens); RFC 2104 (HMAC) with SHA-256.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import struct
from typing import NamedTuple

from exchange.gateway.problems import Refused

KEY_BYTES = 32
_DOMAIN = b"vn.exchange.access-token.v1\x00"
_HEAD = struct.Struct(">q32s")
_MAC_BYTES = 32
_CHARACTERS_MAX = 256


class Session(NamedTuple):
    """Whom a token speaks for. `certificate`: SHA-256 of the seal's. `until_ms`: since 1970 UTC."""

    agency: str
    certificate: bytes
    until_ms: int


def mint(key: bytes, session: Session) -> str:
    """Write a token; 100 to 150 characters of base64url."""
    body = _HEAD.pack(session.until_ms, session.certificate) + session.agency.encode("ascii")
    return base64.urlsafe_b64encode(body + _mac(key, body)).rstrip(b"=").decode("ascii")


def open_token(key: bytes, token: str, now_ms: int) -> Session:
    """Read a token; Refused ``token.invalid`` if it isn't ours or is over."""
    try:
        if len(token) > _CHARACTERS_MAX:
            raise ValueError(len(token))
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, _mac(key, body)):
            raise ValueError("mac")
        until_ms, certificate = _HEAD.unpack_from(body)
        agency = body[_HEAD.size :].decode("ascii")
    except (binascii.Error, ValueError, struct.error) as exc:
        raise Refused("token.invalid", repr(exc)[:100]) from exc
    if now_ms >= until_ms:
        raise Refused("token.invalid", f"over since {now_ms - until_ms} ms")
    return Session(agency, certificate, until_ms)


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, _DOMAIN + body, "sha256")
