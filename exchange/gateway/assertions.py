"""Client assertions: an agency's seal proves who asks for a token (``private_key_jwt``).

Guarantees: an assertion is good once, for this gateway, for at most five minutes, and only while the directory's
certificate that it names is. The algorithm follows from the certificate's key, never from the assertion alone.
Pure but for the memory of what was used; the clock is the caller's (milliseconds since 1970 UTC).

Source: RFC 7523 §3, RFC 7521 §5.2, OpenID Connect Core §9; ``x5t#S256`` of RFC 7515 §4.1.8; RFC 8725.
"""

from __future__ import annotations

import base64
import binascii
import heapq
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from exchange.errors import Rejected
from exchange.gateway.limits import Limits
from exchange.gateway.problems import Refused
from exchange.signatures import PublicKey, Signer, Trust
from exchange.signatures.signers import SEALS

ASSERTION_CHARACTERS_MAX = 8 * 1024
JTI_CHARACTERS_MAX = 128
_REQUIRED = ["iss", "sub", "aud", "exp", "jti"]


class Used:
    """The assertions used and not yet over. `most`: how many are remembered."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._until: dict[tuple[str, str], int] = {}
        self._order: list[tuple[int, tuple[str, str]]] = []

    def use(self, agency: str, jti: str, until_s: int, now_s: int) -> None:
        """Remember an assertion until `until_s`.

        Raises: Refused ``assertion.replayed``; ``quota.exceeded`` when too many are alive: forgetting one would let
            it be replayed.
        """
        while self._order and self._order[0][0] < now_s:
            del self._until[heapq.heappop(self._order)[1]]
        key = (agency, jti)
        if key in self._until:
            raise Refused("assertion.replayed", f"{agency} {jti}")
        if len(self._until) >= self._most:
            raise Refused("quota.exceeded", "assertions alive", float(self._order[0][0] - now_s + 1))
        self._until[key] = until_s
        heapq.heappush(self._order, (until_s, key))


def verify(assertion: str, audiences: list[str], trust: Trust, used: Used, limits: Limits, now_ms: int) -> Signer:
    """Verify an assertion; returns the seal that made it.

    Raises: Refused ``assertion.*``; Rejected ``certificate.*``; Unavailable ``crl.stale``.
    """
    # 1. Size, and the header: which certificate (RFC 7515 §4.1.8).
    if len(assertion) > ASSERTION_CHARACTERS_MAX:
        raise Refused("assertion.malformed", f"{len(assertion)} characters")
    header = _header(assertion)
    # 2. The certificate is listed, chains to a root, is valid and unrevoked now; it is an agency's seal.
    signer = trust.signer(_fingerprint(header.get("x5t#S256")), now_ms)
    require_seal(signer)
    # 3. The algorithm is that of the certificate's key (RFC 8725 §3.1); the signature and the audience are right.
    claims = _claims(assertion, header, signer.public_key, audiences)
    # 4. It speaks of the certificate's agency (RFC 7523 §3: iss and sub are the client).
    if not claims["iss"] == claims["sub"] == signer.agency:
        raise Refused("assertion.claims", f"iss {claims['iss']!r}, sub {claims['sub']!r}, listed {signer.agency}"[:200])
    # 5. It is alive, and not for long.
    now_s = now_ms // 1000
    until_s = _whole(claims["exp"])
    begins_s = max(_whole(claims.get("iat", now_s)), _whole(claims.get("nbf", now_s)))
    if until_s + limits.clock_skew_s <= now_s:
        raise Refused("assertion.expired", str(until_s - now_s))
    if until_s > now_s + limits.assertion_s + limits.clock_skew_s or begins_s > now_s + limits.clock_skew_s:
        raise Refused("assertion.too_long", f"{begins_s - now_s} to {until_s - now_s} s from now")
    # 6. It was not used before (RFC 7523 §3 (7)).
    jti = claims["jti"]
    if not 0 < len(jti) <= JTI_CHARACTERS_MAX:
        raise Refused("assertion.claims", f"jti of {len(jti)} characters")
    used.use(signer.agency, jti, until_s + limits.clock_skew_s, now_s)
    return signer


def require_seal(signer: Signer) -> None:
    """Only an agency's seal, or its connector's, comes in; Refused ``assertion.not_a_seal``."""
    if signer.role not in SEALS or signer.leader is not None:
        raise Refused("assertion.not_a_seal", signer.role)


def _header(assertion: str) -> dict[str, Any]:
    try:
        return jwt.get_unverified_header(assertion)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as exc:
        raise Refused("assertion.malformed", repr(exc)) from exc


def _fingerprint(text: object) -> bytes:
    if not isinstance(text, str):
        raise Refused("assertion.malformed", "no x5t#S256")
    try:
        digest = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as exc:
        raise Refused("assertion.malformed", "x5t#S256") from exc
    if len(digest) != 32:
        raise Rejected("certificate.unknown", digest[:64].hex())
    return digest


def algorithm_of(key: PublicKey) -> str:
    """The JWS algorithm of a key (RFC 7518 §3.1, RFC 8037 §3.1)."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "ES256"
    return "RS256" if isinstance(key, rsa.RSAPublicKey) else "EdDSA"


def _claims(assertion: str, header: dict[str, Any], key: PublicKey, audiences: list[str]) -> dict[str, Any]:
    algorithm = algorithm_of(key)
    if header.get("alg") != algorithm:
        raise Refused("assertion.algorithm", f"{header.get('alg')!r} with a key for {algorithm}"[:100])
    options: Any = {"require": _REQUIRED, "verify_exp": False, "verify_iat": False, "verify_nbf": False}
    try:
        return jwt.decode(assertion, key, algorithms=[algorithm], audience=audiences, options=options)
    except jwt.InvalidSignatureError as exc:
        raise Refused("assertion.signature") from exc
    except jwt.InvalidAudienceError as exc:
        raise Refused("assertion.audience", str(exc)) from exc
    except jwt.DecodeError as exc:
        raise Refused("assertion.malformed", repr(exc)) from exc
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as exc:
        raise Refused("assertion.claims", repr(exc)) from exc


def _whole(value: object) -> int:
    """A NumericDate (RFC 7519 §2) as whole seconds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        raise Refused("assertion.claims", f"a time that is {value!r}"[:100])
    return int(value)
